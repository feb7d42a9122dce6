"""A plant of the size that Assay promises to carry, grown through the log as people would have grown it in two years.

Everything is drawn from one seed, so two plants of one size are the same plant.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID, uuid5

import msgspec
from msgspec.structs import replace

from domain.artifacts import Artifact
from domain.compute_resources import ComputeResourceCreated, ComputeResourceKind
from domain.data_paths import DataPathState, DefectCodeCount, FolderName, Inspection
from domain.datasets import (
    DataPath,
    DataPathInspected,
    DataPathsAdded,
    DataPathsRemoved,
    DatasetCreated,
    DatasetDeleted,
    DatasetPurpose,
)
from domain.environments import EnvironmentBinding, EnvironmentNode, EnvironmentNodesAdded, environment_id
from domain.facts import SYSTEM, Fact, Origin, Recorded
from domain.industries import DEFAULT_INDUSTRY_ID, DefaultIndustryChosen, IndustryCreated, IndustryLevelsDefined
from domain.messages import Resources
from domain.model_images import ModelImageKind
from domain.permissions import Role
from domain.task_types import TaskKind, TaskTypeCreated
from domain.training_jobs import TrainingTerminated
from domain.users import UserCreated
from infra.event_store import EventLog
from tests.examples import (
    LOADING_QUEUED,
    LOADING_STARTED,
    MODEL_IMAGE_IMPORTED,
    MODEL_IMAGE_LOADED,
    PREDICTION_COMPLETED,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    TRAINING_COMPLETED,
    TRAINING_PUBLISHED,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    VERSION_PUBLISHED,
)

EVENTS_OF_AN_APPEND = 2_000
FIRST_DAY = datetime(2024, 1, 8, tzinfo=UTC)
SECONDS_BETWEEN_EVENTS = 200
LEVEL_NAMES = ("工厂", "厂别", "站点", "产品")
FANOUT = (5, 8, 10, 24)
"""Nodes below each node, level by level: 10,045 nodes altogether."""
SURNAMES = "王李张刘陈杨赵黄周吴"
PRODUCTS = ("panel", "array", "cell", "module", "touch", "cover", "oled", "mini-led")
DEFECTS = ("TPFIP", "TTFBS", "TTMUD", "TGGS0", "TPOTS", "TSFAS", "TSDFS", "TCPIN")
CODES = tuple(DefectCodeCount(code, 40 + 13 * number) for number, code in enumerate(DEFECTS))
FREQUENT, RARE, MISSING = "panel", "golden-sample", "no-such-word"
"""Searched for: in an eighth of all names, in one of two thousand, in none."""
CHANGED_SHARE, DELETED_SHARE = 0.25, 0.01


class Size(msgspec.Struct, frozen=True):
    """How much there is. Of `jobs` training jobs two of three are published; there are as many prediction jobs."""

    datasets: int = 100_000
    users: int = 1_000
    jobs: int = 6_000
    model_images: int = 2_000

    def times(self, share: float) -> "Size":
        """A smaller plant; the environment tree keeps its size."""
        return Size(*(max(40, round(count * share)) for count in msgspec.structs.astuple(self)))


class Plant:
    """Facts in the order in which they happened. `visitor` is the person who looks at the lists, and owns a third of all jobs."""

    def __init__(self, size: Size, visitor: UUID, evaluation: Artifact) -> None:
        """`evaluation` is a stored artifact; every finished job reports it."""
        self.size, self.visitor, self.evaluation = size, visitor, evaluation
        self.industry_id = uuid5(visitor, "显示面板")
        self.levels: list[list[EnvironmentNode]] = []
        """The nodes level by level; the children of one node stand together."""
        self._random = random.Random(20240108)  # noqa: S311 - a plant, no secret
        self._people = [visitor, *(uuid5(visitor, f"person {number}") for number in range(size.users - 1))]
        self._versions: dict[UUID, int] = {}
        self._moment = FIRST_DAY
        self._resource_id = uuid5(visitor, "resource 0")

    def grow(self, log: EventLog) -> int:
        """Append everything; how many events that were."""
        events, count = self._events(), 0
        while batch := list(islice(events, EVENTS_OF_AN_APPEND)):
            log.append(batch)
            count += len(batch)
        return count

    def way(self, *turns: int) -> list[UUID]:
        """Nodes from the first level down, each the so manieth below the one before."""
        place, nodes = 0, []
        for level, turn in enumerate(turns):
            place = place * FANOUT[level] + turn
            nodes.append(self.levels[level][place].node_id)
        return nodes

    def _events(self) -> Iterator[Recorded]:
        yield from self._master_data()
        made = [self._dataset] * self.size.datasets
        made += [self._model_image] * self.size.model_images
        made += [self._training_job] * self.size.jobs
        made += [self._prediction_job] * self.size.jobs
        self._random.shuffle(made)
        changing: list[tuple[UUID, DatasetCreated]] = []
        for number, make in enumerate(made):
            for aggregate_id, fact, actor in make(number):
                if isinstance(fact, DatasetCreated) and self._random.random() < CHANGED_SHARE:
                    changing.append((aggregate_id, fact))
                yield self._recorded(aggregate_id, fact, actor)
        self._random.shuffle(changing)
        for dataset_id, created in changing:
            yield self._recorded(dataset_id, self._change(created), self._random.choice(self._people))

    def _master_data(self) -> Iterator[Recorded]:
        for number, person in enumerate(self._people[1:]):
            name = f"{SURNAMES[number % 10]}工_{number:04d}" if number % 3 else f"trainer_{number:04d}"
            yield self._recorded(
                person,
                UserCreated(username=name, role=Role.MODEL_TRAINER, password_hash="", email=f"{number}@fab.example"),
            )
        yield self._recorded(self.industry_id, IndustryCreated(name="显示面板"))
        yield self._recorded(self.industry_id, IndustryLevelsDefined(level_names=LEVEL_NAMES))
        yield self._recorded(DEFAULT_INDUSTRY_ID, DefaultIndustryChosen(industry_id=self.industry_id))
        for number in range(20):
            yield self._recorded(uuid5(self.visitor, f"industry {number}"), IndustryCreated(name=f"行业{number}"))
            yield self._recorded(
                uuid5(self.visitor, f"task type {number}"),
                TaskTypeCreated(name=f"分类_{number}", kind=TaskKind.CLASSIFICATION),
            )
            yield self._recorded(
                uuid5(self.visitor, f"resource {number}"),
                ComputeResourceCreated(
                    kind=ComputeResourceKind.GENERAL_PURPOSE, resources=Resources(cpu_cores=number + 1)
                ),
            )
        above: list[UUID | None] = [None]
        for level, fanout in enumerate(FANOUT):
            nodes = [
                EnvironmentNode(uuid5(self.visitor, f"{parent} {turn}"), f"{LEVEL_NAMES[level]}_{turn + 1}", parent)
                for parent in above
                for turn in range(fanout)
            ]
            self.levels.append(nodes)
            for first in range(0, len(nodes), fanout):
                yield self._recorded(
                    environment_id(self.industry_id),
                    EnvironmentNodesAdded(industry_id=self.industry_id, nodes=tuple(nodes[first : first + fanout])),
                )
            above = [node.node_id for node in nodes]

    def _dataset(self, number: int) -> Iterator[tuple[UUID, Fact, UUID]]:
        word = RARE if self._random.random() < 1 / 2_000 else self._random.choice(PRODUCTS)
        name = f"{word}-{self._random.choice(DEFECTS).lower()}-2024w{number % 52:02d}-{number:06d}"
        purpose = DatasetPurpose.TRAINING if self._random.random() < 0.6 else DatasetPurpose.QUESTION_BANK
        dataset_id = uuid5(self.visitor, name)
        created = DatasetCreated(
            name=name,
            purpose=purpose,
            environment=self._binding(),
            data_paths=tuple(self._data_path(name, path) for path in range(self._random.randint(1, 6))),
        )
        yield dataset_id, created, self._random.choice(self._people)

    def _data_path(self, name: str, number: int) -> DataPath:
        codes = CODES[number % 4 : number % 4 + 1 + self._random.randrange(4)]
        image_count = sum(code.image_count for code in codes) + self._random.randrange(1_000)
        inspection = Inspection(
            folder=FolderName("data", f"{name}/{number}"),
            state=DataPathState.VALID,
            image_count=image_count,
            defect_codes=codes,
            formats=(("PNG", image_count),),
            resolutions=((1024, 1024, image_count),),
            total_bytes=image_count * 400_000,
        )
        return DataPath(uuid5(self.visitor, f"{name}/{number}"), inspection)

    def _change(self, created: DatasetCreated) -> Fact:
        drawn = self._random.random()
        first = created.data_paths[0]
        if drawn < DELETED_SHARE / CHANGED_SHARE:
            return DatasetDeleted()
        if drawn < 0.4:
            return DataPathsAdded(data_paths=(self._data_path(created.name, len(created.data_paths)),))
        if drawn < 0.7 and len(created.data_paths) > 1:
            return DataPathsRemoved(path_ids=(first.path_id,))
        again = replace(first.inspection, image_count=first.inspection.image_count + 1)
        return DataPathInspected(path_id=first.path_id, inspection=again)

    def _model_image(self, number: int) -> Iterator[tuple[UUID, Fact, UUID]]:
        image_id, actor = uuid5(self.visitor, f"image {number}"), self._random.choice(self._people)
        is_business = self._random.random() < 0.6
        yield (
            image_id,
            replace(
                MODEL_IMAGE_IMPORTED,
                name=f"{self._random.choice(PRODUCTS)}-resnet-{number:06d}",
                kind=ModelImageKind.BUSINESS if is_business else ModelImageKind.GENERAL,
                environment=self._binding() if is_business else None,
            ),
            actor,
        )
        for version in range(1, self._random.randint(2, 4)):
            yield image_id, LOADING_QUEUED, actor
            yield image_id, LOADING_STARTED, SYSTEM
            yield image_id, replace(MODEL_IMAGE_LOADED, number=version), SYSTEM

    def _training_job(self, number: int) -> Iterator[tuple[UUID, Fact, UUID]]:
        job_id, model_id = uuid5(self.visitor, f"job {number}"), uuid5(self.visitor, f"model {number}")
        owner = self.visitor if self._random.random() < 1 / 3 else self._random.choice(self._people)
        name, environment = f"{self._random.choice(PRODUCTS)}-{number:06d}", self._binding()
        yield (
            job_id,
            replace(
                TRAINING_QUEUED,
                owner=owner,
                model_id=model_id,
                model_name=name,
                environment=environment,
                compute_resource_id=self._resource_id,
            ),
            owner,
        )
        yield job_id, TRAINING_STARTED, SYSTEM
        if number % 6 == 0:
            yield job_id, TrainingTerminated(), owner
            return
        yield job_id, replace(TRAINING_COMPLETED, evaluation=self.evaluation), SYSTEM
        if number % 6 > 1:
            yield job_id, TRAINING_PUBLISHED, owner
            yield (
                model_id,
                replace(VERSION_PUBLISHED, owner=owner, model_name=name, job_id=job_id, environment=environment),
                owner,
            )

    def _prediction_job(self, number: int) -> Iterator[tuple[UUID, Fact, UUID]]:
        job_id = uuid5(self.visitor, f"prediction {number}")
        owner = self.visitor if self._random.random() < 1 / 3 else self._random.choice(self._people)
        name = f"{self._random.choice(PRODUCTS)}-check-{number:06d}"
        yield job_id, replace(PREDICTION_QUEUED, owner=owner, name=name, compute_resource_id=self._resource_id), owner
        yield job_id, PREDICTION_STARTED, SYSTEM
        results = tuple(replace(result, evaluation=self.evaluation) for result in PREDICTION_COMPLETED.results)
        yield job_id, replace(PREDICTION_COMPLETED, results=results), SYSTEM

    def _binding(self) -> EnvironmentBinding:
        place = self._random.randrange(len(self.levels[-2]))
        products = self.levels[-1][place * FANOUT[-1] : (place + 1) * FANOUT[-1]]
        path: list[EnvironmentNode] = []
        for level in range(len(FANOUT) - 2, -1, -1):
            path.insert(0, self.levels[level][place])
            place //= FANOUT[level]
        return EnvironmentBinding(
            industry_id=self.industry_id,
            industry="显示面板",
            level_names=LEVEL_NAMES,
            path=tuple(path),
            products=tuple(self._random.sample(products, self._random.randint(1, 4))),
        )

    def _recorded(self, aggregate_id: UUID, fact: Fact, actor: UUID = SYSTEM) -> Recorded:
        version = self._versions[aggregate_id] = self._versions.get(aggregate_id, 0) + 1
        self._moment += timedelta(seconds=SECONDS_BETWEEN_EVENTS)
        return Recorded(aggregate_id, version, fact, self._moment, Origin(actor=actor, request="b7f1c2d8"))
