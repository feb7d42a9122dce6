"""The only place that constructs: it puts the adapters together for each process."""

import importlib
import os
import pkgutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import commands
from commands.ports import Ports
from infra.artifacts import Artifacts
from infra.bounded_looks import BoundedLooks
from infra.connections import connect, is_away, open_pool
from infra.core import Core
from infra.drafts import Drafts
from infra.event_store import open_event_log
from infra.heartbeats import Heartbeats
from infra.kept_secrets import seal_key, session_secret
from infra.line_of_work import Waiting
from infra.load_history import LoadHistory
from infra.machine_figures import watched_machine
from infra.machines import Machines
from infra.manifests import Manifests
from infra.measured_assay import MeasuredAssay
from infra.metrics import told_of_pool
from infra.passwords import Argon2Passwords
from infra.positions import PositionWatcher
from infra.processes import until_told_to_stop
from infra.projector import Projector
from infra.readiness import readiness_of
from infra.recorder import LogRecorder
from infra.running_logs import RunningLogs
from infra.scans import ScannedFolders, Scans
from infra.settings import Settings
from infra.side_tables import create_side_tables
from infra.worker_bootstrap import BACKGROUND_NICENESS, open_storage, work
from infra.worker_roles import WorkerRole
from projections.all import READ_MODELS
from projections.comparisons import Comparisons
from projections.datasets import Datasets
from projections.evaluation_reports import EvaluationReports
from projections.read_model import Pool
from projections.users import Users

if TYPE_CHECKING:
    from commands.assay import Assay
    from infra.feed_watch import FeedState
    from infra.kept_states import CheckedState
    from infra.notary import Verified
    from infra.relay_watch import RelayState
    from infra.unusable_reports import UnusableReports

WEB_THREADS = 16
SCANS_KEPT_DAYS = 30
"""How long answers about folders of no dataset are kept: longer than anybody's unfinished form."""


@contextmanager
def open_core(settings: Settings, *, pool_size: int = 2) -> Iterator[Core]:
    """The write side on the database of the settings, which must name one."""
    if settings.database_url is None:
        raise ValueError("the settings name no database")
    _register_handlers()
    storage = open_storage(settings)
    with (
        closing(open_event_log(settings.database_url, pool_size=pool_size, keeps_states=True)) as event_log,
        open_pool(settings.database_url, size=pool_size) as pool,
        told_of_pool("log", cast("LogRecorder", event_log.recorder).datastore.pool),
        told_of_pool("commands", pool),
    ):
        looks = BoundedLooks()
        scanned_folders = ScannedFolders(storage.data_folders, Scans(pool), looks)
        passwords, ownership = Argon2Passwords(), Users(pool)
        ports = Ports(
            passwords,
            scanned_folders,
            storage.archives,
            ownership,
            storage.artifacts,
            max_attempts=settings.max_attempts,
        )
        yield Core(
            settings.database_url,
            event_log,
            MeasuredAssay(event_log, ports),
            storage.artifacts,
            storage.data_folders,
            scanned_folders,
            looks,
            storage.archives,
            storage.uploads,
        )


def run_projector(settings: Settings, ready: Callable[[], None]) -> None:
    """Follow the log into the read models until SIGTERM."""
    with open_core(settings) as core, until_told_to_stop() as stop:
        projector = Projector(core.log, core.dsn, READ_MODELS, core.artifacts)
        projector.build_tables()
        ready()
        projector.run(stop)


def run_dispatcher(settings: Settings, ready: Callable[[], None]) -> None:
    """Keep the line of waiting work and notice silent workers until SIGTERM."""
    from infra.dispatcher import Dispatcher  # noqa: PLC0415 - each process loads what it is

    with open_core(settings) as core, until_told_to_stop() as stop:
        dispatcher = Dispatcher(
            core.assay,
            core.dsn,
            silence_seconds=settings.worker_silence_seconds,
            is_through_kafka=settings.kafka is not None,
        )
        ready()
        dispatcher.run(stop)


def run_relay(settings: Settings, ready: Callable[[], None]) -> None:
    """Take what workers say over Kafka into the log until SIGTERM."""
    from infra.kafka import Kafka  # noqa: PLC0415 - as above
    from infra.relay import Relay  # noqa: PLC0415

    assert settings.kafka is not None
    with ExitStack() as stack:
        core = stack.enter_context(open_core(settings))
        pool = stack.enter_context(open_pool(core.dsn))
        stop = stack.enter_context(until_told_to_stop())
        heartbeats = Heartbeats(pool, silence_seconds=settings.worker_silence_seconds)
        Relay(Kafka(settings.kafka), core.log, core.assay.ports, core.dsn, heartbeats).run(stop, ready)


def run_feed(settings: Settings, ready: Callable[[], None]) -> None:
    """Send public events to Kafka until SIGTERM."""
    from infra.kafka import Kafka  # noqa: PLC0415 - as above
    from infra.mes_feed import MesFeed  # noqa: PLC0415

    assert settings.kafka is not None
    with open_core(settings) as core, until_told_to_stop() as stop:
        MesFeed(Kafka(settings.kafka), core.log, core.dsn).run(stop, ready)


def feed_state(settings: Settings) -> tuple["FeedState", "RelayState"]:
    """How far the feed and the relay are."""
    from infra.feed_watch import FeedWatch  # noqa: PLC0415 - as above
    from infra.relay_watch import RelayWatch  # noqa: PLC0415

    assert settings.database_url is not None
    create_side_tables(settings.database_url)
    with open_pool(settings.database_url, size=1) as pool:
        return FeedWatch(pool, topic="").state(), RelayWatch(pool).state()


@contextmanager
def open_unusable_reports(settings: Settings) -> Iterator[tuple["Assay", "UnusableReports"]]:
    """The reports that nobody could use, and the write side that notes what is done about them."""
    from infra.unusable_reports import UnusableReports  # noqa: PLC0415 - as above

    assert settings.database_url is not None
    create_side_tables(settings.database_url)
    with open_core(settings) as core, open_pool(core.dsn, size=2) as pool:
        yield core.assay, UnusableReports(pool, core.log, core.assay)


def run_scanner(settings: Settings, ready: Callable[[], None]) -> None:
    """Look into the folders that wait for it until SIGTERM."""
    from infra.image_checks import ImageChecker, ImageChecks  # noqa: PLC0415 - each process loads what it is
    from infra.image_index import index_file, remove_index  # noqa: PLC0415
    from infra.picture_cache import trim  # noqa: PLC0415
    from infra.scanner import Scanner  # noqa: PLC0415

    os.nice(BACKGROUND_NICENESS)
    with ExitStack() as stack:
        core = stack.enter_context(open_core(settings))
        pool = stack.enter_context(open_pool(core.dsn))
        stop = stack.enter_context(until_told_to_stop())
        datasets, scans = Datasets(pool), Scans(pool)

        def tidy() -> None:
            trim(settings.thumbnails, settings.picture_cache_mib << 20)
            for folder in scans.forget(unmoved_days=SCANS_KEPT_DAYS, kept=datasets.folders()):
                remove_index(index_file(settings.indexes, folder))

        scanner = Scanner(core.assay, datasets, scans, core.data_folders, settings.indexes, tidy)
        checker = ImageChecker(ImageChecks(pool, settings.image_checks), Manifests(core.artifacts, core.data_folders))
        beside = threading.Thread(target=checker.run, args=(core.dsn, stop), name="compares images")
        beside.start()
        stack.callback(beside.join)
        ready()
        scanner.run(core.dsn, stop)


def run_housekeeper(settings: Settings, ready: Callable[[], None]) -> None:
    """Remove files that nobody needs until SIGTERM."""
    from infra.housekeeper import Housekeeper  # noqa: PLC0415 - as above

    with ExitStack() as stack:
        core = stack.enter_context(open_core(settings))
        pool = stack.enter_context(open_pool(core.dsn))
        stop = stack.enter_context(until_told_to_stop())
        watcher = PositionWatcher(core.dsn)
        stack.callback(watcher.close)
        ready()
        Housekeeper(core, pool, watcher).run(stop)


def run_notary(settings: Settings, ready: Callable[[], None]) -> None:
    """Chain and seal the log until SIGTERM."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - as above

    from infra.notary import Notary  # noqa: PLC0415

    assert settings.database_url is not None
    with until_told_to_stop() as stop:
        notary = Notary(settings.database_url, Ed25519PrivateKey.from_private_bytes(seal_key(settings)), settings.seals)
        ready()
        notary.run(stop)


def verify_log(settings: Settings, public_key: bytes | None) -> tuple[bytes, "Verified"]:
    """Compare the log with its chain and its seals; `public_key` is that of this installation where None is given.

    Raises:
        ValueError: the file of seals, or the key, cannot be read.
    """
    from infra.notary import public_key_of, verify  # noqa: PLC0415 - as above

    assert settings.database_url is not None
    if public_key is None:
        public_key = public_key_of(seal_key(settings))
    create_side_tables(settings.database_url)  # a log from before it was chained has none
    return public_key, verify(settings.database_url, settings.seals, public_key)


def checked_states(settings: Settings) -> Iterator["CheckedState"]:
    """Every kept state, compared with what the log gives."""
    assert settings.database_url is not None
    create_side_tables(settings.database_url)
    with closing(open_event_log(settings.database_url, keeps_states=True)) as event_log:
        yield from event_log.checked_states()


def export_log(settings: Settings, target: Path) -> int:
    """Write the chained log to a file; returns how many events it holds."""
    from infra.notary import export_to  # noqa: PLC0415 - as above

    assert settings.database_url is not None
    create_side_tables(settings.database_url)
    return export_to(target, settings.database_url)


def run_worker(settings: Settings, ready: Callable[[], None], role: WorkerRole) -> None:
    """Be a worker that finds its jobs in the database, until SIGTERM."""
    from infra.mailbox import LogMailbox  # noqa: PLC0415 - as above

    with ExitStack() as stack:
        core = stack.enter_context(open_core(settings))
        pool = stack.enter_context(open_pool(core.dsn))
        heartbeats = Heartbeats(pool, silence_seconds=settings.worker_silence_seconds)
        machine = stack.enter_context(watched_machine(settings))
        mailbox = LogMailbox(
            core.assay, core.dsn, heartbeats, worker=role.name_in(settings), kinds=role.kinds, machine=machine.says
        )
        stack.callback(mailbox.close)
        work(settings, mailbox, role, ready)


def run_web(settings: Settings, ready: Callable[[], None]) -> None:
    """Serve the pages until SIGTERM. Then nobody new is let in, and who is being answered has `WEB_GRACE_SECONDS` left.

    Raises:
        UnknownFacts: nobody writes into the log of a newer release, whoever started this process.
    """
    import uvicorn  # noqa: PLC0415 - only the web process needs it
    from litestar.concurrency import set_asyncio_executor  # noqa: PLC0415

    from infra.api_requests import ApiRequests  # noqa: PLC0415
    from infra.event_reader import EventReader  # noqa: PLC0415
    from infra.feed_watch import FeedWatch  # noqa: PLC0415
    from infra.image_checks import ImageChecks  # noqa: PLC0415
    from infra.images import Images  # noqa: PLC0415
    from infra.named_artifacts import refuse_unknown_facts  # noqa: PLC0415
    from infra.relay_watch import RelayWatch  # noqa: PLC0415
    from infra.session_store import SessionStore  # noqa: PLC0415
    from infra.token_uses import TokenUses  # noqa: PLC0415
    from infra.unusable_reports import UnusableReports  # noqa: PLC0415
    from infra.web_requests import WatchedRequests  # noqa: PLC0415
    from infra.web_server import PageChanges, serving, web_server  # noqa: PLC0415
    from web.app import create_app  # noqa: PLC0415
    from web.services import Services, WebSettings  # noqa: PLC0415

    with ExitStack() as stack:
        core = stack.enter_context(open_core(settings, pool_size=WEB_THREADS))
        pool = stack.enter_context(open_pool(core.dsn, size=WEB_THREADS))
        stack.enter_context(told_of_pool("pages", pool))
        with connect(core.dsn) as connection:
            refuse_unknown_facts(connection)
        watcher = PositionWatcher(core.dsn)
        stack.callback(watcher.close)
        stop = stack.enter_context(until_told_to_stop())
        services = Services(
            assay=core.assay,
            read=read_models(pool, core.artifacts, settings.sample_indexes),
            wait=watcher.wait,
            changes=PageChanges(watcher),
            sessions=SessionStore(pool),
            passwords=Argon2Passwords(),
            settings=WebSettings(
                secret=session_secret(settings).hex(),
                secure_cookies=settings.secure_cookies,
                worker_silence_seconds=settings.worker_silence_seconds,
            ),
            drafts=Drafts(pool),
            artifacts=core.artifacts,
            uploads=core.uploads,
            images=Images(core.data_folders, settings.thumbnails, settings.indexes, core.looks),
            data_folders=core.scanned_folders,
            heartbeats=Heartbeats(pool, silence_seconds=settings.worker_silence_seconds),
            waiting=Waiting(pool, core.assay, silence_seconds=settings.worker_silence_seconds),
            machines=Machines(pool, silence_seconds=settings.worker_silence_seconds),
            load_history=LoadHistory(pool),
            token_uses=TokenUses(pool),
            api_requests=ApiRequests(pool),
            public_events=EventReader(core.log),
            feed=FeedWatch(pool, topic=_topic_of_the_feed(settings)),
            relay=RelayWatch(pool),
            unusable_reports=UnusableReports(pool, core.log, core.assay),
            log=core.log,
            manifests=Manifests(core.artifacts, core.data_folders, core.looks),
            image_checks=ImageChecks(pool, settings.image_checks),
            running_logs=RunningLogs(settings.scratch),
            readiness=readiness_of(settings, "web").parts,
            is_away=is_away,
            stopping=lambda: server.should_exit,
        )
        config = uvicorn.Config(
            WatchedRequests(create_app(services)),
            **serving(settings),
        )
        # Pages take turns on as many threads as there are connections; by default there would be six on two processors.
        set_asyncio_executor(ThreadPoolExecutor(WEB_THREADS, thread_name_prefix="page"))
        server = web_server(config, ready, stop)
        server.run()


def run_demo(settings: Settings, data_root: str | None, own_root: str, sign_in: Sequence[str] = ()) -> int:
    """Put the main job through, on the images of `data_root` or on generated ones; returns the exit status.

    `own_root` is the data root for images that the demo makes or copies. `sign_in` is what `prepare` said, to be said again.
    """
    from infra.demo import Demo  # noqa: PLC0415

    with ExitStack() as stack:
        core = stack.enter_context(open_core(settings))
        pool = stack.enter_context(open_pool(core.dsn))
        watcher = PositionWatcher(core.dsn)
        stack.callback(watcher.close)
        heartbeats = Heartbeats(pool, silence_seconds=settings.worker_silence_seconds)
        read = read_models(pool, core.artifacts, settings.sample_indexes)
        return Demo(settings, core, read, watcher.wait, heartbeats).run(data_root, own_root, sign_in)


def read_models(pool: Pool, artifacts: Artifacts, sample_indexes: Path) -> SimpleNamespace:
    """Every read model under its name, ready to be asked."""
    models: dict[str, Any] = {model.name: model(pool) for model in READ_MODELS}
    reports = EvaluationReports(pool, artifacts, sample_indexes)
    return SimpleNamespace(**models | {"evaluation_reports": reports, "comparisons": Comparisons(reports)})


def _topic_of_the_feed(settings: Settings) -> str:
    if settings.kafka is None:
        return ""
    from infra.mes_feed import EVENTS  # noqa: PLC0415 - loads Kafka's client

    return f"{settings.kafka.topic_prefix}.{EVENTS.name}"


def _register_handlers() -> None:
    """Import every command module, so that each command has its handler and each fact its topic."""
    for module in pkgutil.iter_modules(commands.__path__):
        importlib.import_module(f"commands.{module.name}")
