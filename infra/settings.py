"""The settings: one frozen struct, read here and nowhere else from the environment (`ASSAY_…`).

What a command must leave for the next start, such as the data root of the demo, lies in `settings.json` in the state
folder. The environment wins over it.
"""

import difflib
import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from infra.private_files import write_private

CHECKOUT = Path(__file__).resolve().parents[1]
_ROOT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
_KAFKA_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_KAFKA_MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
_LOG_LEVELS = ("debug", "info", "warning", "error")
_TOPIC_PREFIX = re.compile(r"[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*")
_DATABASE_ADDRESS = re.compile(r"postgres(ql)?://.*|.*=.*", re.DOTALL)
VARIABLES = (
    "ASSAY_STATE",
    "ASSAY_SHARED",
    "ASSAY_DATABASE_URL",
    "ASSAY_POSTGRES_BIN",
    "ASSAY_DATA_ROOTS",
    "ASSAY_ARCHIVE_ROOTS",
    "ASSAY_PICTURE_CACHE_MIB",
    "ASSAY_HOST",
    "ASSAY_PORT",
    "ASSAY_ADMINISTRATOR",
    "ASSAY_ADMINISTRATOR_PASSWORD",
    "ASSAY_SECURE_COOKIES",
    "ASSAY_TRUSTED_PROXIES",
    "ASSAY_MACHINE_NAME",
    "ASSAY_WORKER_NAME",
    "ASSAY_WORKER_THREADS",
    "ASSAY_HEARTBEAT_SECONDS",
    "ASSAY_WORKER_SILENCE_SECONDS",
    "ASSAY_MAX_ATTEMPTS",
    "ASSAY_UPLOAD_GIB",
    "ASSAY_UPLOAD_KEEP_FREE_GIB",
    "ASSAY_UPLOAD_HOURS",
    "ASSAY_RUN",
    "ASSAY_METRICS_HOST",
    "ASSAY_METRICS_PORT",
    "ASSAY_LOG_LEVEL",
    "ASSAY_KAFKA_BROKERS",
    "ASSAY_KAFKA_PORT",
    "ASSAY_KAFKA_TOPIC_PREFIX",
    "ASSAY_KAFKA_SECURITY",
    "ASSAY_KAFKA_SASL_MECHANISM",
    "ASSAY_KAFKA_USERNAME",
    "ASSAY_KAFKA_PASSWORD",
    "ASSAY_KAFKA_PASSWORD_FILE",
    "ASSAY_KAFKA_CA_FILE",
    "ASSAY_KAFKA_CERTIFICATE_FILE",
    "ASSAY_KAFKA_KEY_FILE",
)
"""All that are read; one that is nearly so called is a slip of the pen."""
_ALMOST = 0.85
"""How alike two names are, of 1: ASSAY_PROT and ASSAY_PORT are 0.9, ASSAY_HOME and ASSAY_HOST 0.8."""
_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


class WrongSetting(ValueError):
    """A setting that cannot be used; the sentence names the variable and says what belongs there."""


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the brokers are, and who we are to them."""

    brokers: tuple[str, ...]
    """As `host:port`."""

    is_local: bool = False
    """Whether the broker is one of our own, started with everything else. For one machine."""

    topic_prefix: str = "assay"
    """Before the names of all topics and groups. Default: what tells them from those of others on the same cluster."""

    security_protocol: str = "PLAINTEXT"
    """Default: brokers on a closed network; SSL and SASL_SSL encrypt."""

    sasl_mechanism: str = "SCRAM-SHA-512"
    """How the password is proved where the protocol asks for one. Default: the one that never sends it."""

    username: str = ""
    password: str = ""
    """Given by ASSAY_KAFKA_PASSWORD, or the first line of the file in ASSAY_KAFKA_PASSWORD_FILE."""

    authority_file: Path | None = None
    """PEM file of who vouches for the brokers' certificates. Default: those that the system trusts."""

    certificate_file: Path | None = None
    key_file: Path | None = None
    """PEM files of our own certificate, where the brokers ask for one."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything lies and how patient the processes are."""

    state: Path
    """The folder of everything that lasts: database, artifacts, logs, secrets. Default: `.assay` in the checkout
    (without a checkout in the working folder), so that trying Assay leaves nothing elsewhere."""

    shared: Path
    """The folder that the server and all workers share: packages, weights, reports, uploads, checkpoints. Default: the state
    folder; workers on other machines need it on network storage."""

    database_url: str | None = None
    """Another PostgreSQL server, as URL or key words. Default: none, the embedded server is started."""

    postgres_programs: Path | None = None
    """The folder of `initdb` and `postgres` for the embedded server. Default: those of the installed package, else the
    distribution's."""

    data_roots: dict[str, Path]
    """Folders of images by name; nothing outside them is ever read. Default: `data` in the state folder, so that a
    fresh installation opens no folder of the machine."""

    archive_roots: dict[str, Path]
    """Folders from which model image packages may be imported. Default: `archives` in the state folder, for the same
    reason."""

    host: str = "127.0.0.1"
    """Where the pages are served. Default: this machine only, because plain HTTP should not leave it unasked."""

    port: int = 8080
    """Default: above 1024, so that no privileges are needed."""

    administrator: str = "admin"
    """The sign-in name of the super administrator made at the first start."""

    administrator_password: str | None = None
    """The password of the first start. Default: none, one is made up and shown once."""

    secure_cookies: bool = False
    """Whether cookies travel over HTTPS only. Default: no, because 127.0.0.1 has no certificate; set it behind a TLS
    proxy."""

    machine_name: str
    """The name under which the overview shows this machine; processes that say the same are taken to be on one. Default: the
    host name, which in containers is each one's own."""

    worker_name: str
    """The name under which this machine's worker claims jobs; two workers must not share one. Default: the machine's
    name."""

    worker_threads: int
    """How many CPU cores jobs are offered. Default: all, because a worker is the only heavy process of its machine."""

    heartbeat_seconds: float = 1.0
    """How often a worker reports and asks whether to stop. Default: often enough that “terminate” feels immediate."""

    worker_silence_seconds: float = 15.0
    """After how long a silent worker counts as gone. Default: longer than any pause of a live one (import of torch, a
    slow disk), shorter than anybody waits for an answer."""

    max_attempts: int = 3
    """How often a job is given to a worker before it fails. Default: a crash may be bad luck twice, three times it is
    the job."""

    upload_gib: int = 8
    """How large a file a browser may send. Default: as much as a package may unpack to."""

    upload_keep_free_gib: int = 2
    """How much of the storage uploads must leave free. Default: room for the database and the checkpoints of a few jobs."""

    upload_hours: int = 24
    """After how long an upload that nobody goes on with or imports is removed. Default: a connection that broke in the evening
    can be mended in the morning."""

    picture_cache_mib: int = 2048
    """How much disk the small pictures of images may take, in MiB. Default: about 200,000 of them, on a disk that holds as
    many images."""

    kafka: KafkaSettings | None = None
    """Default: none, messages go through the log."""

    run: Path
    """The folder of the sockets on which this machine's processes tell how they fare. Default: `run` in the state folder; where
    several machines or containers share that one, each needs one of its own."""

    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    """Addresses and networks of the proxies that are believed when they say whose request they bring. Default: this machine,
    because whoever is believed can pretend to be anybody."""

    metrics_host: str = "127.0.0.1"
    """Where metrics are served once they have a port. Default: this machine only; they name nobody, but tell how much is
    made here."""

    metrics_port: int | None = None
    """Default: none, metrics are told in the run folder only."""

    log_level: str = "info"
    """Default: what happened, and each request. `warning` leaves what may need a person, `debug` adds what libraries say."""

    @property
    def logs(self) -> Path:
        """The folder of the processes' logs."""
        return self.state / "logs"

    @property
    def records(self) -> Path:
        """The folder of what a supervisor notes of itself and its processes, and of locks that the processes of a machine share."""
        return self.state / "run"

    @property
    def seals(self) -> Path:
        """The file of the seals over the log; it belongs on a storage that the database's administrator cannot write to."""
        return self.state / "seals" / "seals.jsonl"

    @property
    def scratch(self) -> Path:
        """Where workers train: checkpoints, logs that are being written, decoded images. On shared storage, so that another worker
        goes on with a job, and the pages show its log.
        """
        return self.shared / "work"

    @property
    def thumbnails(self) -> Path:
        """The cache of small pictures."""
        return self.state / "cache" / "thumbnails"

    @property
    def indexes(self) -> Path:
        """The folder of what scans leave behind, a file for each large data path."""
        return self.state / "indexes"

    @property
    def sample_indexes(self) -> Path:
        """The folder of what opened reports leave behind: where in its evaluation each sample lies."""
        return self.indexes / "reports"

    @property
    def image_checks(self) -> Path:
        """The folder of what comparisons of images with those of a training leave behind."""
        return self.indexes / "images"

    @property
    def address(self) -> str:
        """Where a browser on this machine finds the pages."""
        if self.host in _EVERYWHERE:
            return f"http://127.0.0.1:{self.port}"
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class Remembered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `settings.json` holds."""

    data_roots: dict[str, str] = {}


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this process.

    Raises:
        WrongSetting: a variable, or `settings.json`, holds what cannot be used, or a variable is misspelt.
    """
    _refuse_misspelt(environment)
    state = _state_folder(environment)
    heartbeat_seconds = _number(environment, "ASSAY_HEARTBEAT_SECONDS", 1, least=1, most=60)
    silence_seconds = _number(environment, "ASSAY_WORKER_SILENCE_SECONDS", 15, least=2, most=3600)
    if silence_seconds < 2 * heartbeat_seconds:
        raise WrongSetting(
            f"ASSAY_WORKER_SILENCE_SECONDS is {silence_seconds}, ASSAY_HEARTBEAT_SECONDS {heartbeat_seconds}. A live worker would"
            " count as gone: make the silence at least twice as long as the pause between heartbeats."
        )
    machine_name = environment.get("ASSAY_MACHINE_NAME") or socket.gethostname()
    remembered = {name: Path(folder) for name, folder in _remembered(state).data_roots.items()}
    return Settings(
        state=state,
        shared=Path(shared).expanduser().resolve() if (shared := environment.get("ASSAY_SHARED")) else state,
        database_url=_database_address(environment),
        postgres_programs=Path(programs) if (programs := environment.get("ASSAY_POSTGRES_BIN")) else None,
        data_roots={**remembered, **_roots(environment, "ASSAY_DATA_ROOTS", {"data": state / "data"})},
        archive_roots=_roots(environment, "ASSAY_ARCHIVE_ROOTS", {"archives": state / "archives"}),
        host=environment.get("ASSAY_HOST") or "127.0.0.1",
        port=_number(environment, "ASSAY_PORT", 8080, least=1, most=65535),
        administrator=environment.get("ASSAY_ADMINISTRATOR") or "admin",
        administrator_password=environment.get("ASSAY_ADMINISTRATOR_PASSWORD") or None,
        secure_cookies=_yes_or_no(environment, "ASSAY_SECURE_COOKIES"),
        trusted_proxies=_addresses(environment, "ASSAY_TRUSTED_PROXIES", ("127.0.0.1", "::1")),
        machine_name=machine_name,
        worker_name=environment.get("ASSAY_WORKER_NAME") or machine_name,
        worker_threads=_number(environment, "ASSAY_WORKER_THREADS", os.cpu_count() or 1, least=1, most=1024),
        heartbeat_seconds=heartbeat_seconds,
        worker_silence_seconds=silence_seconds,
        max_attempts=_number(environment, "ASSAY_MAX_ATTEMPTS", 3, least=1, most=100),
        picture_cache_mib=_number(environment, "ASSAY_PICTURE_CACHE_MIB", 2048, least=1, most=1 << 20),
        upload_gib=_number(environment, "ASSAY_UPLOAD_GIB", 8, least=1, most=1024),
        upload_keep_free_gib=_number(environment, "ASSAY_UPLOAD_KEEP_FREE_GIB", 2, least=0, most=65536),
        upload_hours=_number(environment, "ASSAY_UPLOAD_HOURS", 24, least=1, most=8760),
        kafka=_kafka(environment),
        run=Path(run).expanduser().resolve() if (run := environment.get("ASSAY_RUN")) else state / "run",
        metrics_host=environment.get("ASSAY_METRICS_HOST") or "127.0.0.1",
        metrics_port=_number(environment, "ASSAY_METRICS_PORT", 0, least=1, most=65535)
        if environment.get("ASSAY_METRICS_PORT")
        else None,
        log_level=_log_level(environment),
    )


def remember_data_root(settings: Settings, name: str, folder: Path) -> Settings:
    """Add a data root that later starts know, too; returns the settings with it. A root of that name is replaced.

    Raises:
        WrongSetting: the name has other signs than a-z, 0-9, - and _, or `folder` is no folder.
    """
    if not _ROOT_NAME.fullmatch(name):
        raise WrongSetting(f"“{name}” cannot name a data root. Use a-z, 0-9, - and _.")
    folder = folder.resolve()
    if not folder.is_dir():
        raise WrongSetting(f"{folder} is not a folder. Name an existing one.")
    known = _remembered(settings.state).data_roots
    content = msgspec.json.encode(Remembered(data_roots={**known, name: str(folder)}))
    write_private(settings.state / "settings.json", msgspec.json.format(content, indent=4) + b"\n")
    return msgspec.structs.replace(settings, data_roots={**settings.data_roots, name: folder})


_SECRET = re.compile(r"password|secret|token|url", re.IGNORECASE)
"""What names a field that may hold a secret; the address of a database often has the password in it."""


def told_settings(settings: Settings) -> dict[str, Any]:
    """Those without secrets: what a person may read who sets up the same installation elsewhere."""

    def shown(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: shown(part) for name, part in value.items() if not _SECRET.search(name)}
        return value

    told: dict[str, Any] = shown(msgspec.to_builtins(settings, enc_hook=str))
    return told


RESTORE_MARK = "restoring"
"""Lies in the state folder from the beginning of a restore to its end."""


def refuse_without_installation(settings: Settings) -> None:
    """Nothing is made where a wrong ASSAY_STATE points.

    Raises:
        WrongSetting
    """
    if settings.database_url is None and not (settings.state / "postgres").exists():
        raise WrongSetting(f"{settings.state} holds no installation. Set ASSAY_STATE, or ASSAY_DATABASE_URL.")


def refuse_unfinished_restore(settings: Settings) -> None:
    """Nothing may begin anew in a place that holds a part of a backup.

    Raises:
        WrongSetting: a restore into the state folder was interrupted.
    """
    mark = settings.state / RESTORE_MARK
    if mark.exists():
        raise WrongSetting(
            f"A restore into {settings.state} has not ended ({mark}). Run the same `assay restore` again."
        )


def secrets_in(settings: Settings) -> list[str]:
    """What no log may ever show, as far as the settings hold it; passwords inside addresses are known by their place there."""
    kafka_password = settings.kafka.password if settings.kafka else None
    return [secret for secret in (settings.administrator_password, kafka_password) if secret]


def _refuse_misspelt(environment: Mapping[str, str]) -> None:
    """Others may have variables that begin as ours; only what was meant for one of ours is refused."""
    for name in environment:
        if name.startswith("ASSAY_") and name not in VARIABLES:
            for meant in difflib.get_close_matches(name, VARIABLES, n=1, cutoff=_ALMOST):
                raise WrongSetting(f"{name} is no setting. Write {meant} if you mean that one, or remove the variable.")


def _database_address(environment: Mapping[str, str]) -> str | None:
    """As it is written; a password may be in it, so nobody repeats it."""
    written = environment.get("ASSAY_DATABASE_URL") or None
    if written is not None and not _DATABASE_ADDRESS.fullmatch(written):
        raise WrongSetting(
            "ASSAY_DATABASE_URL is no address. Write postgresql://user:password@host:port/database, or key words such as"
            " host=db-1 dbname=assay."
        )
    return written


def _state_folder(environment: Mapping[str, str]) -> Path:
    if named := environment.get("ASSAY_STATE"):
        return Path(named).expanduser().resolve()
    in_checkout = (CHECKOUT / "pyproject.toml").exists()
    return (CHECKOUT if in_checkout else Path.cwd()) / ".assay"


def _remembered(state: Path) -> Remembered:
    try:
        return msgspec.json.decode((state / "settings.json").read_bytes(), type=Remembered)
    except FileNotFoundError:
        return Remembered()
    except NotADirectoryError as error:
        raise WrongSetting(
            f"ASSAY_STATE names {state}, which is no folder. Name one; it is made where it is missing."
        ) from error
    except PermissionError as error:
        raise WrongSetting(f"{state} belongs to another user. Run this as that user, or set ASSAY_STATE.") from error
    except msgspec.DecodeError as error:
        raise WrongSetting(f"{state / 'settings.json'} cannot be read: {error}. Correct or remove it.") from error


def _roots(environment: Mapping[str, str], variable: str, default: dict[str, Path]) -> dict[str, Path]:
    roots: dict[str, Path] = {}
    for entry in filter(None, (part.strip() for part in environment.get(variable, "").split(","))):
        name, _, folder = entry.partition("=")
        if not _ROOT_NAME.fullmatch(name) or not Path(folder).is_absolute():
            raise WrongSetting(f"{variable} has “{entry}”. Write name=/absolute/path, with commas between.")
        roots[name] = Path(folder)
    return roots or default


def _kafka(environment: Mapping[str, str]) -> KafkaSettings | None:
    named = environment.get("ASSAY_KAFKA_BROKERS", "").replace(" ", "")
    if not named:
        return None
    protocol = (environment.get("ASSAY_KAFKA_SECURITY") or "PLAINTEXT").upper()
    if protocol not in _KAFKA_PROTOCOLS:
        raise WrongSetting(f"ASSAY_KAFKA_SECURITY is “{protocol}”. Write one of {', '.join(_KAFKA_PROTOCOLS)}.")
    if named == "local":
        port = _number(environment, "ASSAY_KAFKA_PORT", 9092, least=1, most=65534)
        brokers: tuple[str, ...] = (f"127.0.0.1:{port}",)
    else:
        brokers = tuple(filter(None, named.split(",")))
        for broker in brokers:
            if not re.fullmatch(r".+:\d+", broker):
                raise WrongSetting(
                    f"ASSAY_KAFKA_BROKERS has “{broker}”. Write host:port, with commas between, or local."
                )
    mechanism = (environment.get("ASSAY_KAFKA_SASL_MECHANISM") or _KAFKA_MECHANISMS[0]).upper()
    if mechanism not in _KAFKA_MECHANISMS:
        raise WrongSetting(f"ASSAY_KAFKA_SASL_MECHANISM is “{mechanism}”. Write one of {', '.join(_KAFKA_MECHANISMS)}.")
    prefix = environment.get("ASSAY_KAFKA_TOPIC_PREFIX") or "assay"
    if not _TOPIC_PREFIX.fullmatch(prefix):
        raise WrongSetting(f"ASSAY_KAFKA_TOPIC_PREFIX is “{prefix}”. Use letters, digits, - and _, and dots between.")
    kafka = KafkaSettings(
        brokers=brokers,
        is_local=named == "local",
        topic_prefix=prefix,
        security_protocol=protocol,
        sasl_mechanism=mechanism,
        username=environment.get("ASSAY_KAFKA_USERNAME", ""),
        password=_secret(environment, "ASSAY_KAFKA_PASSWORD", "ASSAY_KAFKA_PASSWORD_FILE"),
        authority_file=_file(environment, "ASSAY_KAFKA_CA_FILE"),
        certificate_file=_file(environment, "ASSAY_KAFKA_CERTIFICATE_FILE"),
        key_file=_file(environment, "ASSAY_KAFKA_KEY_FILE"),
    )
    if protocol.startswith("SASL_") and not (kafka.username and kafka.password):
        raise WrongSetting(
            f"ASSAY_KAFKA_SECURITY is {protocol}. Set ASSAY_KAFKA_USERNAME and ASSAY_KAFKA_PASSWORD, too."
        )
    return kafka


def _addresses(environment: Mapping[str, str], variable: str, default: tuple[str, ...]) -> tuple[str, ...]:
    written = [address for part in environment.get(variable, "").split(",") if (address := part.strip())]
    for address in written:
        try:
            is_everybody = ipaddress.ip_network(address).prefixlen == 0
        except ValueError:
            is_everybody = address == "*"
            if not is_everybody:
                raise WrongSetting(
                    f"{variable} names “{address}”. Write addresses or networks, such as 10.0.0.7 or 172.18.0.0/16, with"
                    " commas between them."
                ) from None
        if is_everybody:
            raise WrongSetting(f"{variable} names everybody. Write the addresses of your proxies.")
    return tuple(written) or default


def _secret(environment: Mapping[str, str], variable: str, file_variable: str) -> str:
    """What the variable says, or the first line of the file that the other names, which other processes cannot read as easily."""
    file = _file(environment, file_variable)
    return file.read_text().partition("\n")[0] if file else environment.get(variable, "")


def _file(environment: Mapping[str, str], variable: str) -> Path | None:
    if not (named := environment.get(variable)):
        return None
    file = Path(named)
    if not file.is_file():
        raise WrongSetting(f"{variable} names {file}, which is no file. Name an existing one.")
    return file


def _number(environment: Mapping[str, str], variable: str, default: int, *, least: int, most: int) -> int:
    written = environment.get(variable) or str(default)
    if not written.isascii() or not written.isdigit() or not least <= int(written) <= most:
        raise WrongSetting(f"{variable} is “{written}”. Write a whole number from {least} to {most}.")
    return int(written)


def _log_level(environment: Mapping[str, str]) -> str:
    written = (environment.get("ASSAY_LOG_LEVEL") or "info").lower()
    if written not in _LOG_LEVELS:
        raise WrongSetting(f"ASSAY_LOG_LEVEL is “{written}”. Write one of {', '.join(_LOG_LEVELS)}.")
    return written


def _yes_or_no(environment: Mapping[str, str], variable: str) -> bool:
    written = environment.get(variable, "").lower() or "no"
    if written not in _YES | _NO:
        raise WrongSetting(f"{variable} is “{written}”. Write yes or no.")
    return written in _YES
