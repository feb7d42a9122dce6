"""A plant of the size that Assay promises to carry, grown by its own commands as people would have grown it in two years.

`python -m benchmarks.grown_plant FOLDER` grows one in a new state folder, to look at: `ASSAY_STATE=FOLDER assay up` opens on it.
Everything is drawn from one seed, so two plants of one size are the same but for the hash of their password. Reports and
their samples are there; of weights, logs and packages there are the names only.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from uuid import UUID, uuid5

import msgspec
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from benchmarks.growing_log import (
    DEFECTS,
    ROOT,
    Appendable,
    GrowingLog,
    GrownArchives,
    GrownFolders,
    HashedOnce,
    NobodyLeaves,
)
from benchmarks.plant_lives import MOST_REPORTS, JudgedImages, Life, Lives
from commands.assay import Assay
from commands.compute_resources import CreateComputeResource
from commands.environments import AddNodes
from commands.industries import CreateIndustry, DefineLevels
from commands.ports import Passwords, Ports
from commands.task_types import CreateTaskType
from commands.users import CreateUser
from domain.compute_resources import ComputeResourceKind
from domain.data_paths import FolderName
from domain.datasets import DatasetPurpose
from domain.evaluation import Evaluation, Sample, SampleState
from domain.evaluation_figures import figures_of
from domain.messages import Resources
from domain.permissions import Role
from domain.task_types import TaskKind
from infra.artifacts import Artifacts
from infra.bootstrap import open_core
from infra.embedded_postgres import ensure_postgres, postgres_runs, stop_postgres
from infra.first_start import FIRST_ADMINISTRATOR_ID, prepare
from infra.kept_secrets import seal_key
from infra.kept_states import KEEP_EVERY
from infra.notary import Notary
from infra.projector import Projector
from infra.settings import Settings, read_settings
from projections.all import READ_MODELS

PASSWORD = "Plant2026"  # noqa: S105 - everybody's, in a plant that is made up
FIRST_DAY = datetime(2024, 1, 8, tzinfo=UTC)
YEARS = timedelta(days=2 * 365)
LIVES_AT_ONCE = 60
"""So many things happen beside each other: jobs that train, images that load, models that are made better."""
LEVEL_NAMES = ("工厂", "厂别", "站点", "产品")
FANOUT = (5, 8, 10, 24)
"""Nodes below each node, level by level: 10,045 nodes altogether."""
SURNAMES = "王李张刘陈杨赵黄周吴"
FIRST_OF_A_PURPOSE = 10
"""So many datasets are there before anybody trains."""
CHANGES_OF_A_DATASET = 0.25
MEAN_TRAININGS = 4
"""Of a model: the first one, and those that made it better."""
LEFT_TO_LONG_TRAININGS = 0.04
"""The share of all events; they make the log as long as it is wanted."""
EVENTS_OF_A_MODEL_IMAGE, EVENTS_OF_A_PREDICTION, EVENTS_AROUND_A_CURVE = 9, 6, 23
"""Roughly; the long trainings make up for what is wrong with it."""
EVALUATIONS, IMAGES_OF_AN_EVALUATION = 60, 240
SEAL_EVENTS = 10_000


class Size(msgspec.Struct, frozen=True):
    """How much there is in how many events; some long trainings come on top of `training_jobs`."""

    events: int = 1_000_000
    users: int = 1_000
    datasets: int = 100_000
    model_images: int = 2_000
    models: int = 1_000
    training_jobs: int = 10_000
    prediction_jobs: int = 6_000

    def times(self, share: float) -> "Size":
        """A smaller plant; the environment tree keeps its size."""
        return Size(*(max(3 * FIRST_OF_A_PURPOSE, round(count * share)) for count in msgspec.structs.astuple(self)))


class Plant:
    """A plant that grows into a log. `visitor` is the administrator, who looks at it and owns a third of all models and jobs."""

    def __init__(self, size: Size, log: Appendable, artifacts: Artifacts, passwords: Passwords) -> None:
        """`log` is that of a new installation.

        Raises:
            ValueError: somebody has worked with it already.
        """
        self.size, self.visitor = size, FIRST_ADMINISTRATOR_ID
        self.levels: list[list[UUID]] = []
        """The nodes level by level; the children of one node stand together."""
        self.log = GrowingLog(log, FIRST_DAY, YEARS / size.events)
        ports = Ports(HashedOnce(passwords), GrownFolders(), GrownArchives(), NobodyLeaves(), artifacts)
        self.lives = Lives(Assay(self.log, ports), self.log, judged_images(artifacts), self.visitor)
        """Who and what there is."""

    def grow(self) -> int:
        """Let two years pass; how many events there are then, with those of the first start."""
        self._set_up()
        self._live(self._begun())
        left = self.size.events - self.log.count
        count = -(-left // MOST_REPORTS)
        for number in range(count):
            until = self.size.events - left * (count - 1 - number) // count
            for _ in self.lives.long_training(number, until):
                pass
        self.log.finish()
        return self.log.count

    def way(self, *turns: int) -> list[UUID]:
        """Nodes from the first level down, each the so manieth below the one before."""
        place, nodes = 0, []
        for level, turn in enumerate(turns):
            place = place * FANOUT[level] + turn
            nodes.append(self.levels[level][place])
        return nodes

    def moment(self) -> datetime:
        """Some moment of the two years."""
        return FIRST_DAY + self.lives.random.random() * YEARS

    def _set_up(self) -> None:
        """What has to be there before anybody trains: people, places, what jobs need, a model image, datasets."""
        lives, visitor = self.lives, self.visitor
        for number in range(self.size.users - 1):
            user_id = lives.id_of("person", number)
            lives.people.append(user_id)
            lives.ask(
                CreateUser(
                    actor=visitor,
                    user_id=user_id,
                    username=f"{SURNAMES[number % 10]}工_{number:04d}" if number % 3 else f"trainer_{number:04d}",
                    password=PASSWORD,
                    role=Role.MODEL_TRAINER,
                    email=f"{number}@fab.example",
                )
            )
        self._build_environment()
        for number in range(20):
            task_type_id, resource_id = lives.id_of("task type", number), lives.id_of("resource", number)
            kind, resources = ComputeResourceKind.GENERAL_PURPOSE, Resources(cpu_cores=number + 1, memory_gib=4)
            lives.ask(
                CreateTaskType(
                    actor=visitor, task_type_id=task_type_id, name=f"分类_{number}", kind=TaskKind.CLASSIFICATION
                )
            )
            lives.ask(
                CreateComputeResource(actor=visitor, compute_resource_id=resource_id, kind=kind, resources=resources)
            )
            lives.task_type_ids.append(task_type_id)
            lives.resource_ids.append(resource_id)
        first = [lives.model_image(0, is_general=True)]
        first += [
            lives.dataset(number, purpose) for number, purpose in enumerate([*DatasetPurpose] * FIRST_OF_A_PURPOSE)
        ]
        for life in first:
            for _ in life:
                pass

    def _build_environment(self) -> None:
        visitor, industry_id = self.visitor, self.lives.id_of("industry", 0)
        self.lives.ask(CreateIndustry(actor=visitor, industry_id=industry_id, name="显示面板"))
        self.lives.ask(DefineLevels(actor=visitor, industry_id=industry_id, level_names=LEVEL_NAMES))
        for number in range(1, 21):
            other_id = self.lives.id_of("industry", number)
            self.lives.ask(CreateIndustry(actor=visitor, industry_id=other_id, name=f"行业{number}"))
        above: Sequence[UUID | None] = [None]
        siblings: list[tuple[UUID, ...]] = []
        for level, fanout in zip(LEVEL_NAMES, FANOUT, strict=True):
            names = tuple(f"{level}_{turn}" for turn in range(1, fanout + 1))
            siblings = [tuple(uuid5(parent or industry_id, name) for name in names) for parent in above]
            for parent, node_ids in zip(above, siblings, strict=True):
                self.lives.ask(
                    AddNodes(actor=visitor, industry_id=industry_id, parent_id=parent, names=names, node_ids=node_ids)
                )
            self.levels.append([node_id for node_ids in siblings for node_id in node_ids])
            above = self.levels[-1]
        self.lives.stations = [list(products) for products in siblings]

    def _begun(self) -> Iterator[Life]:
        """Everything that begins, in the order in which it does."""
        size, lives = self.size, self.lives
        trainings = [1 + lives.random.randrange(2 * MEAN_TRAININGS - 1) for _ in range(size.models)]
        predictions = divided(size.prediction_jobs, size.models)
        lone_count = max(0, size.training_jobs - sum(trainings))
        beginnings: list[Callable[[int], Life]] = [lives.dataset] * (size.datasets - 2 * FIRST_OF_A_PURPOSE)
        beginnings += [lives.change] * round(size.datasets * CHANGES_OF_A_DATASET)
        beginnings += [lives.model_image] * (size.model_images - 1)
        beginnings += [lives.lone_training] * lone_count
        beginnings += [
            partial(lives.model, training_count=trained, prediction_count=predicted)
            for trained, predicted in zip(trainings, predictions, strict=True)
        ]
        lives.random.shuffle(beginnings)
        training_count = lone_count + sum(trainings)
        others = (
            self.log.count + (2 + CHANGES_OF_A_DATASET) * size.datasets + EVENTS_OF_A_MODEL_IMAGE * size.model_images
        )
        others += EVENTS_OF_A_PREDICTION * size.prediction_jobs + EVENTS_AROUND_A_CURVE * training_count
        left = size.events * (1 - LEFT_TO_LONG_TRAININGS) - others
        lives.mean_reports, lives.reports_left = max(1.0, left / training_count), round(left)
        return (begin(2 * FIRST_OF_A_PURPOSE + number) for number, begin in enumerate(beginnings))

    def _live(self, begun: Iterator[Life]) -> None:
        """Step by step, some at a time; where one ends another begins."""
        present = list(islice(begun, LIVES_AT_ONCE))
        while present:
            place = self.lives.random.randrange(len(present))
            has_ended = next(present[place], True)
            if has_ended and (following := next(begun, None)):
                present[place] = following
            elif has_ended:
                present[place] = present[-1]
                present.pop()


def judged_images(artifacts: Artifacts) -> list[JudgedImages]:
    """Stored evaluations of the same images, each with fewer mistakes than the one before."""
    drawn = random.Random(1)  # noqa: S311 - a plant, no secret
    luck = [drawn.random() for _ in range(IMAGES_OF_AN_EVALUATION)]
    judged = []
    with tempfile.TemporaryDirectory() as folder:
        for level in range(EVALUATIONS):
            right_share = 0.7 + 0.29 * level / EVALUATIONS
            samples = tuple(_sample(number, is_right=luck[number] < right_share) for number in range(len(luck)))
            evaluation = Evaluation(defect_codes=DEFECTS, samples=samples)
            file = Path(folder, "evaluation")
            file.write_bytes(msgspec.msgpack.encode(evaluation))
            judged.append(JudgedImages(artifacts.keep(file), figures_of(evaluation)))
    return judged


def _sample(number: int, *, is_right: bool) -> Sample:
    true_index = number % len(DEFECTS)
    predicted_index = true_index if is_right else (true_index + 1 + number // 8 % 7) % len(DEFECTS)
    confidence = 0.5 + number * 37 % 50 / 100
    others = (1 - confidence) / (len(DEFECTS) - 1)
    complies = number % 40 != 39
    folder = FolderName(ROOT, f"panel-question-bank/0/{DEFECTS[true_index]}/{number:04d}.png")
    return Sample(
        folder=folder,
        checksum=sha256(folder.path.encode()).hexdigest(),
        width=1024,
        height=1024 if complies else 768,
        state=SampleState.JUDGED if complies else SampleState.NON_COMPLIANT,
        true_index=true_index,
        predicted_index=predicted_index if complies else -1,
        scores=tuple(confidence if index == predicted_index else others for index in range(len(DEFECTS)))
        if complies
        else (),
    )


def divided(whole: int, parts: int) -> list[int]:
    """Whole numbers that together are `whole`, as equal as they can be."""
    return [whole * (part + 1) // parts - whole * part // parts for part in range(parts)]


def grow(settings: Settings, size: Size) -> Plant:
    """A plant in the log and in the read tables of a new installation, chained and sealed, vacuumed as autovacuum does in time.

    The database of the settings runs; nothing else of the installation does.
    """
    prepare(settings)
    with open_core(settings) as core:
        plant = Plant(size, core.log, core.artifacts, core.assay.ports.passwords)
        with _said("grown", size.events):
            plant.grow()
            for state in plant.log.states.values():
                if state.HAS_LONG_HISTORY and state.version >= KEEP_EVERY:
                    core.log.load(type(state), state.id)  # whoever followed it would have kept it
        with _said("chained", size.events):
            chain(settings)
        with (
            closing(Projector(core.log, core.dsn, READ_MODELS, core.artifacts)) as projector,
            _said("projected", size.events),
        ):
            projector.drain()
    with psycopg.connect(core.dsn, autocommit=True) as connection:
        # Nothing waits and nothing runs at the end, so the dispatcher's line of work is empty as far as the log goes.
        connection.execute("INSERT INTO app.dispatcher (position) SELECT max(notification_id) FROM assay_events")
        connection.execute("SET client_min_messages = error")  # tables of the server itself are not ours to vacuum
        connection.execute("VACUUM ANALYZE")
    return plant


def chain(settings: Settings) -> None:
    """The whole log linked and sealed, as the notary does it beside the appends."""
    assert settings.database_url is not None
    key = Ed25519PrivateKey.from_private_bytes(seal_key(settings))
    notary = Notary(settings.database_url, key, settings.seals, seal_events=SEAL_EVENTS)
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        while notary.follow(connection):
            notary.seal_if_due(connection)
        notary.seal_if_due(connection, is_ending=True)


@contextmanager
def _said(done: str, events: int) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    print(f"{done}: {events:,} events in {seconds:.0f} seconds ({events / seconds:,.0f} a second)", flush=True)


def main() -> None:
    """Grow a plant in a state folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grown_plant", description=__doc__)
    parser.add_argument("folder", type=Path, help="a new state folder")
    parser.add_argument("--events", type=int, default=Size().events, help="how many (default: 1,000,000)")
    asked = parser.parse_args()
    settings = read_settings({**os.environ, "ASSAY_STATE": str(asked.folder), "ASSAY_ADMINISTRATOR_PASSWORD": PASSWORD})
    runs = postgres_runs(settings)
    try:
        grow(replace(settings, database_url=ensure_postgres(settings)), Size().times(asked.events / Size().events))
    finally:
        if not runs:
            stop_postgres(settings)
    print(
        f"`ASSAY_STATE={asked.folder} assay up` opens on it. “{settings.administrator}” and everybody else sign in with {PASSWORD}."
    )


if __name__ == "__main__":
    main()
