"""What the pages are given. `infra.bootstrap` builds the real one; tests build one of ten-line fakes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable
from uuid import UUID

from commands.assay import Assay
from web.attempts import SignInAttempts
from web.bearer import WrongTokens
from web.sessions import SessionStore

ReadModels: TypeAlias = Any
"""One attribute a slice: `read.users`, `read.industries`, … Each query is a plain method returning frozen structs."""


class Changes(Protocol):
    """How far the read models have come, to be waited on without a thread."""

    async def next_change(self, after: int, timeout: float, rest: float) -> int:  # noqa: ASYNC109 - a watcher waits, it is not cancelled
        """The position once it is beyond `after`, or `after` again when `timeout` seconds have passed; after `rest` seconds."""


class Passwords(Protocol):
    """Argon2id."""

    def hash(self, password: str) -> str:
        """A PHC string."""

    def verify(self, password_hash: str, password: str) -> bool:
        """Whether the password is the one that was hashed."""


@dataclass(frozen=True)
class WebSettings:
    """`secret` signs cookies and form tokens; every web process of one installation has the same one."""

    secret: str
    secure_cookies: bool = False
    worker_silence_seconds: float = 60.0


@dataclass(frozen=True)
class Services:
    """Everything a page may reach.

    `wait` returns when the read models have reached a position and raises TimeoutError after five seconds. `artifacts` gives the
    path of a stored file, `uploads` takes files from browsers, `images` the files of data paths, `data_folders` looks into folders
    as they are typed; `drafts` keeps the wizards' unfinished forms; `heartbeats` say what running jobs do at this moment, `waiting`
    why the others wait, `running_logs` what a job has logged up to this moment; `machines` says how busy the system is,
    `load_history` how busy it was lately; `token_uses` says when API tokens were used last, `api_requests` which requests machines
    have sent, `public_events` reads the log as others may see it, `feed` says how far those events were sent, `relay` how far what
    workers say over Kafka was taken in, `unusable_reports` holds what could not be; `log` gives the facts themselves, for their
    history, `manifests` the images of jobs, `image_checks` how far they were compared with what they were. `readiness` gives the
    state of each part that the pages stand on, `ready` where it is well; `is_away` says of an error whether the database does not
    answer; `stopping` says that the server is about to end, so that open streams end first.
    """

    assay: Assay
    read: ReadModels
    wait: Callable[[int], None]
    changes: Changes
    sessions: SessionStore
    passwords: Passwords
    settings: WebSettings
    drafts: Any = None
    artifacts: Any = None
    uploads: Any = None
    images: Any = None
    data_folders: Any = None
    heartbeats: Any = None
    waiting: Any = None
    machines: Any = None
    load_history: Any = None
    token_uses: Any = None
    api_requests: Any = None
    public_events: Any = None
    feed: Any = None
    relay: Any = None
    unusable_reports: Any = None
    log: Any = None
    manifests: Any = None
    image_checks: Any = None
    running_logs: Any = None
    attempts: SignInAttempts = field(default_factory=SignInAttempts)
    wrong_tokens: WrongTokens = field(default_factory=WrongTokens)
    readiness: Callable[[], Mapping[str, str]] = dict
    is_away: Callable[[BaseException], bool] = lambda _error: False
    stopping: Callable[[], bool] = lambda: False


class Asker(Protocol):
    """A signed-in user, or the user for whom a machine asks."""

    @property
    def user_id(self) -> UUID: ...
    @property
    def username(self) -> str: ...
    @property
    def role(self) -> Any: ...


@runtime_checkable
class Account(Asker, Protocol):
    """The signed-in user, as `read.users.account(user_id)` gives it."""

    @property
    def email(self) -> str: ...
    @property
    def session_epoch(self) -> int: ...
