"""The pages over the real parts: event log, projector, read models, sessions, drafts and passwords on PostgreSQL."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

from litestar.testing import TestClient

from commands.assay import Assay
from commands.users import CreateUser
from domain.facts import SYSTEM, Fact
from domain.permissions import Role
from infra.api_requests import ApiRequests
from infra.artifacts import Artifacts
from infra.bootstrap import read_models
from infra.bounded_looks import BoundedLooks
from infra.connections import is_away, open_pool
from infra.data_folders import DataFolders
from infra.drafts import Drafts
from infra.event_reader import EventReader
from infra.event_store import EventLog, create_tables, open_event_log
from infra.feed_watch import FeedWatch
from infra.heartbeats import Heartbeats
from infra.image_checks import ImageChecks
from infra.images import Images
from infra.line_of_work import Waiting
from infra.load_history import LoadHistory
from infra.machines import Machines
from infra.manifests import Manifests
from infra.passwords import Argon2Passwords
from infra.positions import PositionWatcher
from infra.projector import Projector
from infra.relay_watch import RelayWatch
from infra.running_logs import RunningLogs
from infra.scans import ScannedFolders, Scans
from infra.session_store import SessionStore
from infra.side_tables import create_side_tables
from infra.token_uses import TokenUses
from infra.unusable_reports import UnusableReports
from infra.uploads import Uploads
from projections.all import READ_MODELS
from projections.users import Users
from tests.examples import PORTS, History
from tests.web.site import FakeAccount, FakeChanges, Site
from web.app import create_app
from web.services import Services, WebSettings
from web.sessions import Session, Signer

ADMINISTRATOR = FakeAccount(UUID(int=7), "quality_lead")


class RealSite(Site):
    """A browser of nobody yet, and the log behind the pages."""

    log: EventLog

    def happened(self, history: History) -> None:
        """Put a history into the log and wait until the pages show it."""
        self.services.wait(self.log.append(history.events))

    def happened_to(self, aggregate_id: UUID, *facts: Fact, actor: UUID = SYSTEM) -> None:
        """The same of one aggregate, whatever happened to it before."""
        self.happened(History().add(aggregate_id, *facts, actor=actor, after=len(self.log.history(aggregate_id))))

    def enter(self, user_id: UUID, *, epoch: int = 0) -> None:
        """Somebody is signed in at the browser from now on."""
        mark = self.services.sessions.open(Session(user_id=user_id, epoch=epoch))
        self.client.cookies.set("assay_session", Signer(self.services.settings.secret).sign("session", mark))


@contextmanager
def open_real_site(database: str, folder: Path) -> Iterator[RealSite]:
    """Over an empty database and an empty folder for files."""
    create_tables(database)
    create_side_tables(database)
    log = open_event_log(database)
    passwords = Argon2Passwords(memory_kib=64)
    projector = Projector(log, database, READ_MODELS)
    projector.build_tables()
    stop = threading.Event()
    thread = threading.Thread(target=projector.run, args=(stop,))
    thread.start()
    watcher = PositionWatcher(database)
    data_folders, artifacts = DataFolders({"data": folder}), Artifacts(folder / "artifacts")
    try:
        with open_pool(database) as pool:
            looks = BoundedLooks()
            scanned_folders = ScannedFolders(data_folders, Scans(pool), looks)
            services = Services(
                assay=Assay(
                    log, replace(PORTS, passwords=passwords, data_folders=scanned_folders, ownership=Users(pool))
                ),
                read=read_models(pool, artifacts, folder / "indexes" / "reports"),
                wait=watcher.wait,
                changes=FakeChanges(),
                sessions=SessionStore(pool),
                passwords=passwords,
                settings=WebSettings(secret=uuid4().hex),
                drafts=Drafts(pool),
                artifacts=artifacts,
                uploads=Uploads(folder / "uploads", most_bytes=1 << 30, keep_free_bytes=0, keep_seconds=3600),
                images=Images(data_folders, folder / "cache", folder / "indexes", looks),
                data_folders=scanned_folders,
                heartbeats=Heartbeats(pool, silence_seconds=60.0),
                token_uses=TokenUses(pool),
                api_requests=ApiRequests(pool),
                public_events=EventReader(log),
                feed=FeedWatch(pool, topic=""),
                relay=RelayWatch(pool),
                unusable_reports=UnusableReports(pool, log, Assay(log, PORTS)),
                waiting=Waiting(pool, Assay(log, PORTS), silence_seconds=60.0),
                machines=Machines(pool, silence_seconds=60.0),
                load_history=LoadHistory(pool),
                log=log,
                manifests=Manifests(Artifacts(folder / "artifacts"), data_folders, looks),
                image_checks=ImageChecks(pool, folder / "indexes" / "images"),
                running_logs=RunningLogs(folder / "work"),
                is_away=is_away,
            )
            with TestClient(create_app(services), raise_server_exceptions=False) as client:
                client.follow_redirects = False
                site = RealSite(services, client)
                site.log = log
                yield site
    finally:  # a test that fails must end, too
        stop.set()
        watcher.close()
        thread.join()
        log.close()


def create_administrator(site: Site) -> None:
    """As the first start does; signs in with `site.sign_in()`."""
    site.services.wait(
        site.services.assay.dispatch(
            CreateUser(
                actor=SYSTEM,
                user_id=ADMINISTRATOR.user_id,
                username=ADMINISTRATOR.username,
                password="Secret1",
                role=Role.SUPER_ADMINISTRATOR,
            )
        )
    )
