"""Dispatch: who may ask for what, what is stored, and what happens when several ask at the same moment."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from threading import Barrier
from typing import Any, cast, get_type_hints
from uuid import UUID

import msgspec
import pytest

import commands
from commands.assay import DECISIONS_BEFORE_GIVING_UP, HANDLERS, Assay, Command
from commands.datasets import DeleteDataset
from commands.environments import AddNodes
from commands.industries import ChooseDefaultIndustry
from commands.prediction_jobs import QueuePredictionJob
from commands.task_types import CreateTaskType
from commands.training_jobs import QueueTrainingJob, StartTraining
from commands.users import ChangeOwnEmail
from domain.api_tokens import (
    MANAGING,
    ApiTokenCreated,
    ScopeIsMes,
    ScopeIsRead,
    ScopeIsWithoutManagement,
    TokenIsUnknown,
    TokenScope,
)
from domain.artifacts import Artifact
from domain.compute_resources import ComputeResourceKind
from domain.data_paths import FolderName, Inspection
from domain.datasets import DatasetPurpose
from domain.environments import EnvironmentNode, EnvironmentNodesAdded, NodeNameTaken
from domain.exports import Export
from domain.facts import _EVOLVE, SYSTEM, Fact, Origin, Recorded, State
from domain.messages import Resources
from domain.model_images import ModelImageKind
from domain.model_packages import ModelPackage
from domain.models import Model
from domain.names import NameClaim, NameClaimed, NameKind, NameTaken, claim_id
from domain.permissions import Permission, Role
from domain.prediction_jobs import PredictionDraft, PredictionJob
from domain.refusals import ChangedMeanwhile, NotFound, NotPermitted, NotTheOwner, Refusal, Refusals
from domain.sentences import Sentence
from domain.task_types import TaskKind, TaskTypeCreated
from domain.training_jobs import TrainedWeights, TrainingJob, TrainingTerminated
from domain.training_requests import TrainingDraft
from domain.unusable_reports import ReportPlace
from domain.users import EmailIsInvalid, UserDeleted, UserEmailChanged, UserRefusedAction
from infra.event_store import create_tables, open_event_log
from tests import permission_table
from tests.examples import (
    ENVIRONMENT_ID,
    INDUSTRY_ID,
    MODEL_ID,
    PORTS,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    VERSION_PUBLISHED,
    History,
    MemoryLog,
    artifact,
    assay_after,
    example_id,
    inspection,
    plant,
)
from tests.permission_table import Who

for module in pkgutil.iter_modules(commands.__path__):
    importlib.import_module(f"commands.{module.name}")

COMMANDS = sorted(HANDLERS, key=lambda command_type: command_type.__name__)
ACTORS = {Role.SUPER_ADMINISTRATOR: QUALITY_LEAD_ID, Role.MODEL_TRAINER: TRAINER_LI_ID}
VALUES: dict[Any, Any] = {
    UUID: example_id("something that does not exist"),
    UUID | None: None,
    str: "panel-a",
    FolderName: FolderName("data", "panel-a/train"),
    int: 1,
    bool: True,
    Role: Role.MODEL_TRAINER,
    TrainedWeights: TrainedWeights.BEST,
    TaskKind: TaskKind.CLASSIFICATION,
    TokenScope: TokenScope.READ,
    datetime | None: None,
    DatasetPurpose: DatasetPurpose.TRAINING,
    ModelImageKind: ModelImageKind.GENERAL,
    ComputeResourceKind: ComputeResourceKind.GENERAL_PURPOSE,
    Resources: Resources(cpu_cores=2, memory_gib=4),
    TrainingDraft: TrainingDraft(),
    PredictionDraft: PredictionDraft(),
    Artifact: artifact("something"),
    ModelPackage: ModelPackage(networks=()),
    Sentence: Sentence("The disk is full."),
    Fact: TrainingTerminated(),
    Inspection: inspection(),
    ReportPlace: ReportPlace(topic="assay.reports", partition=3, offset=17),
    tuple[str, ...]: (),
    tuple[UUID, ...]: (),
    tuple[tuple[UUID, ...], ...]: (),
}
"""A value for every kind of field that a command has."""


def command_of(command_type: type[Command], actor: UUID, **fields: Any) -> Command:
    """Some command of a type: complete, but about nothing that exists."""
    hints = get_type_hints(command_type)
    names = [
        field.name for field in msgspec.structs.fields(command_type) if field.name not in ("actor", "request", "token")
    ]
    return command_type(actor=actor, **({name: VALUES[hints[name]] for name in names} | fields))


def answer_to(assay: Assay, command: Command) -> type[Exception] | None:
    """The refusal that a command gets, if any."""
    try:
        assay.dispatch(command)
    except (Refusal, Refusals) as refusal:
        return type(refusal)
    return None


def test_every_command_has_a_handler_and_a_row_in_the_table() -> None:  # U-6
    def subtypes(command_type: type[Command]) -> Iterator[type[Command]]:
        for subtype in command_type.__subclasses__():
            yield subtype
            yield from subtypes(subtype)

    declared = {command_type for command_type in subtypes(Command) if command_type.__module__.startswith("commands.")}
    assert declared == set(HANDLERS)
    assert len(declared) > 30
    assert all(isinstance(command_type.PERMISSION, Permission) for command_type in declared)


def test_every_command_has_its_line_in_the_permission_table() -> None:  # U-6
    assert {command_type.__name__ for command_type in COMMANDS} == set(permission_table.COMMANDS)


ROLES_OF = {
    Who.EVERYONE: {Role.SUPER_ADMINISTRATOR, Role.MODEL_TRAINER},
    Who.OWNER: {Role.SUPER_ADMINISTRATOR, Role.MODEL_TRAINER},
    Who.SUPER_ADMINISTRATOR: {Role.SUPER_ADMINISTRATOR},
    Who.NO_PERSON: set[Role](),
}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("command_type", COMMANDS)
def test_the_permission_table_is_decided_for_every_command(command_type: type[Command], role: Role) -> None:  # U-6
    assay, log = assay_after(plant())
    before = len(log.events)
    answer = answer_to(assay, command_of(command_type, ACTORS[role]))
    if role in ROLES_OF[permission_table.COMMANDS[command_type.__name__]]:
        assert answer is not NotPermitted
        assert not any(isinstance(event.data, UserRefusedAction) for event in log.events)
        return
    assert answer is NotPermitted
    (record,) = log.events[before:]
    assert record.data == UserRefusedAction(command=command_type.__name__)
    assert (record.originator_id, record.origin.actor) == (ACTORS[role], ACTORS[role])


@pytest.mark.parametrize("command_type", COMMANDS)
def test_what_only_owners_may_do_names_what_must_be_owned(command_type: type[Command]) -> None:  # U-6
    is_for_owners = permission_table.COMMANDS[command_type.__name__] is Who.OWNER
    assert (command_type.OWNED is not None) is is_for_owners


MAKING_NEW_ONES: set[type[Command]] = {QueueTrainingJob, QueuePredictionJob}
OWNED_BY_FIELD: dict[str, set[type[State]]] = {
    "job_id": {TrainingJob, PredictionJob},
    "model_id": {Model},
    "export_id": {Export},
}
"""Fields of commands that name something with an owner, and what they name."""


def test_a_command_about_something_owned_names_it() -> None:  # U-6
    """Whatever names a job or a model is about something owned, unless it makes that, or is not for owners at all."""
    for command_type in set(COMMANDS) - MAKING_NEW_ONES:
        named = set(command_type.__struct_fields__) & set(OWNED_BY_FIELD)
        if not named or permission_table.COMMANDS[command_type.__name__] in (Who.NO_PERSON, Who.SUPER_ADMINISTRATOR):
            continue
        assert command_type.OWNED is not None, command_type
        owned_type, field = command_type.OWNED
        assert field in named, command_type
        assert owned_type in OWNED_BY_FIELD[field], command_type


def test_everything_that_has_an_owner_is_known_here() -> None:  # U-6
    has_owner = {state_type for state_type in _EVOLVE if "owner" in state_type.__struct_fields__}
    assert has_owner - {NameClaim} == {one for several in OWNED_BY_FIELD.values() for one in several}


OWNED_IDS = {TrainingJob: TRAINING_JOB_ID, PredictionJob: PREDICTION_JOB_ID, Model: MODEL_ID}
OWNED_COMMANDS = [command_type for command_type in COMMANDS if command_type.OWNED is not None]


def owned_by_wang() -> History:
    return (
        plant()
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, actor=TRAINER_WANG_ID)
        .add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)
        .add(PREDICTION_JOB_ID, PREDICTION_QUEUED, actor=TRAINER_WANG_ID)
    )


def about_what_wang_owns(command_type: type[Command], actor: UUID) -> Command:
    assert command_type.OWNED is not None
    owned_type, field = command_type.OWNED
    return command_of(command_type, actor, **{field: OWNED_IDS[cast(Any, owned_type)]})


@pytest.mark.parametrize("actor", [TRAINER_LI_ID, QUALITY_LEAD_ID])
@pytest.mark.parametrize("command_type", OWNED_COMMANDS)
def test_only_the_owner_acts_on_a_job_or_model_whatever_the_role(
    command_type: type[Command], actor: UUID
) -> None:  # U-6
    assay, log = assay_after(owned_by_wang())
    before = list(log.events)
    assert answer_to(assay, about_what_wang_owns(command_type, actor)) is NotTheOwner
    assert log.events == before


@pytest.mark.parametrize("command_type", OWNED_COMMANDS)
def test_the_owner_is_never_told_that_it_belongs_to_someone_else(command_type: type[Command]) -> None:  # U-6
    assay, _ = assay_after(owned_by_wang())
    assert answer_to(assay, about_what_wang_owns(command_type, TRAINER_WANG_ID)) is not NotTheOwner


def test_an_account_command_names_nobody_but_the_actor() -> None:  # U-6
    of_accounts = [
        command_type for command_type in COMMANDS if command_type.PERMISSION is Permission.MANAGE_OWN_ACCOUNT
    ]
    assert of_accounts
    for command_type in of_accounts:
        ids = [field.name for field in msgspec.structs.fields(command_type) if field.type is UUID]
        assert ids == ["actor"]


def test_somebody_who_is_no_user_or_none_any_more_can_ask_for_nothing() -> None:  # U-3, U-6
    assay, log = assay_after(plant().add(TRAINER_LI_ID, UserDeleted(heir=TRAINER_WANG_ID), actor=QUALITY_LEAD_ID))
    before = list(log.events)
    for command_type in COMMANDS:
        for nobody in (example_id("nobody"), TRAINER_LI_ID):
            assert answer_to(assay, command_of(command_type, nobody)) is NotFound
    assert log.events == before


def test_the_id_of_something_else_names_nothing() -> None:
    assay, _ = assay_after(owned_by_wang())
    for dataset_id in (TRAINING_JOB_ID, MODEL_ID, TRAINER_WANG_ID):
        assert answer_to(assay, DeleteDataset(actor=TRAINER_WANG_ID, dataset_id=dataset_id)) is NotFound


def test_workers_reports_are_taken_from_the_system_only() -> None:  # U-6
    claim = {"job_id": TRAINING_JOB_ID, "attempt": 1, "worker": "gpu-1"}
    assay, _ = assay_after(plant().add(TRAINING_JOB_ID, TRAINING_QUEUED))
    assert answer_to(assay, StartTraining(actor=TRAINER_WANG_ID, **claim)) is NotPermitted  # type: ignore[arg-type]
    assert answer_to(assay, StartTraining(actor=SYSTEM, **claim)) is None  # type: ignore[arg-type]


# What is stored


def test_a_fact_is_stored_with_who_asked_and_through_which_request() -> None:  # E-1
    assay, log = assay_after(plant())
    command = ChangeOwnEmail(actor=TRAINER_WANG_ID, email="wang@fab.example")
    position = assay.dispatch(command, request_id="request-0001")
    stored = log.events[-1]
    assert position == len(log.events)
    assert (stored.originator_id, stored.originator_version) == (TRAINER_WANG_ID, 2)
    assert stored.data == UserEmailChanged(email="wang@fab.example")
    assert stored.origin == Origin(actor=TRAINER_WANG_ID, request="request-0001")
    assert stored.timestamp.tzinfo is not None


def test_a_command_may_bring_its_request_along() -> None:  # E-1
    assay, log = assay_after(plant())
    assay.dispatch(ChangeOwnEmail(actor=TRAINER_WANG_ID, email="wang@fab.example", request="request-0002"))
    assert log.events[-1].origin.request == "request-0002"


TOKEN_ID = example_id("token of trainer_wang")


def with_token(user_id: UUID = TRAINER_WANG_ID, scope: TokenScope = TokenScope.MANAGE) -> tuple[Assay, MemoryLog]:
    """A machine may do in the name of trainer_wang, or of another user, what its scope says."""
    token = ApiTokenCreated(name="SPC", user_id=user_id, scope=scope, secret_hash="f" * 64)
    return assay_after(plant().add(TOKEN_ID, token, actor=QUALITY_LEAD_ID))


def creating_a_task_type(actor: UUID, token: UUID) -> CreateTaskType:
    return CreateTaskType(
        actor=actor, task_type_id=example_id("new"), name="new", kind=TaskKind.CLASSIFICATION, token=token
    )


def test_a_command_may_bring_the_token_of_a_machine_along() -> None:  # E-1, K-5
    assay, log = with_token()
    assay.dispatch(ChangeOwnEmail(actor=TRAINER_WANG_ID, email="wang@fab.example", token=TOKEN_ID))
    assert log.events[-1].origin == Origin(actor=TRAINER_WANG_ID, token=TOKEN_ID)
    assert answer_to(assay, creating_a_task_type(TRAINER_WANG_ID, TOKEN_ID)) is NotPermitted
    assert (type(log.events[-1].data), log.events[-1].origin.token) == (UserRefusedAction, TOKEN_ID)


def test_no_command_of_management_is_in_a_token_that_does_not_say_so() -> None:  # K-5, U-6
    managing = {one for one in COMMANDS if one.PERMISSION in MANAGING}
    assert {one.PERMISSION for one in COMMANDS} - {one.PERMISSION for one in managing} == {
        Permission.MANAGE_DATASETS,
        Permission.MANAGE_MODEL_IMAGES,
        Permission.MANAGE_OWN_MODELS,
        Permission.MANAGE_OWN_TRAINING_JOBS,
        Permission.MANAGE_OWN_PREDICTION_JOBS,
        Permission.SYSTEM,
    }
    for scope, refusal in (
        (TokenScope.READ, ScopeIsWithoutManagement),
        (TokenScope.ACT, ScopeIsWithoutManagement),
        (TokenScope.MES, ScopeIsMes),
        (TokenScope.AUDIT, ScopeIsRead),
    ):
        for command_type in managing:
            assay, log = with_token(QUALITY_LEAD_ID, scope)
            before = len(log.events)
            assert answer_to(assay, command_of(command_type, QUALITY_LEAD_ID, token=TOKEN_ID)) is refusal
            left = [(event.data, event.origin.token) for event in log.events[before:]]
            is_own = command_type.PERMISSION is Permission.MANAGE_OWN_ACCOUNT
            assert left == ([] if is_own else [(UserRefusedAction(command=command_type.__name__), TOKEN_ID)])


@pytest.mark.parametrize(
    ("actor", "token"),
    [
        pytest.param(TRAINER_WANG_ID, example_id("token of nobody"), id="nobody ever made it"),
        pytest.param(QUALITY_LEAD_ID, TOKEN_ID, id="it acts for somebody else"),
    ],
)
def test_a_token_that_was_never_made_for_the_actor_opens_nothing(actor: UUID, token: UUID) -> None:  # K-5, U-6
    """Nor is it named in the log, not even beside a refused action."""
    assay, log = with_token()
    before = list(log.events)
    asked = ChangeOwnEmail(actor=actor, email="wang@fab.example", token=token)
    assert answer_to(assay, asked) is TokenIsUnknown
    assert answer_to(assay, creating_a_task_type(actor, token)) is TokenIsUnknown
    assert log.events == before


def test_a_command_that_changes_nothing_stores_nothing_and_needs_no_waiting() -> None:
    assay, log = assay_after(plant())
    before = list(log.events)
    assert assay.dispatch(ChooseDefaultIndustry(actor=QUALITY_LEAD_ID, industry_id=INDUSTRY_ID)) == 0
    assert log.events == before


def test_a_refused_command_leaves_nothing_half_done() -> None:
    assay, log = assay_after(plant())
    before = list(log.events)
    assert answer_to(assay, ChangeOwnEmail(actor=TRAINER_WANG_ID, email="wang")) is EmailIsInvalid
    command = CreateTaskType(
        actor=QUALITY_LEAD_ID, task_type_id=example_id("分类 again"), name="分类", kind=TaskKind.CLASSIFICATION
    )
    assert answer_to(assay, command) is NameTaken
    assert log.events == before


# Several at the same moment


class BusyLog(MemoryLog):
    """Before each append, somebody else is faster, as long as there is somebody."""

    def __init__(self, events: Sequence[Recorded], others: Iterator[Callable[["BusyLog"], None]]) -> None:
        super().__init__(events)
        self._others = others

    def append(self, events: Sequence[Recorded]) -> int:
        if somebody := next(self._others, None):
            somebody(self)
        return super().append(events)

    def happen(self, aggregate_id: UUID, fact: Fact) -> None:
        version = 1 + sum(event.originator_id == aggregate_id for event in self.events)
        self.events.append(Recorded(aggregate_id, version, fact, self.events[-1].timestamp))


def adding_a_factory(name: str) -> AddNodes:
    return AddNodes(
        actor=QUALITY_LEAD_ID,
        industry_id=INDUSTRY_ID,
        parent_id=None,
        names=(name,),
        node_ids=(example_id(f"{name} of the actor"),),
    )


def somebody_adds(name: str) -> Callable[[BusyLog], None]:
    node = EnvironmentNode(example_id(f"{name} of somebody else"), name)
    return lambda log: log.happen(ENVIRONMENT_ID, EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=(node,)))


def test_who_comes_second_is_decided_on_what_happened_first() -> None:  # S-2
    log = BusyLog(plant().events, iter([somebody_adds("三厂区"), somebody_adds("四厂区")]))
    Assay(log, PORTS).dispatch(adding_a_factory("五厂区"))
    added = [event for event in log.events if event.originator_id == ENVIRONMENT_ID]
    assert [event.originator_version for event in added] == [1, 2, 3, 4]
    assert added[-1].origin.actor == QUALITY_LEAD_ID


def test_who_comes_second_with_the_same_name_is_refused() -> None:  # M-3
    log = BusyLog(plant().events, iter([somebody_adds("三厂区")]))
    assert answer_to(Assay(log, PORTS), adding_a_factory("三厂区")) is NodeNameTaken


def test_after_so_many_attempts_the_actor_is_asked_to_look_again() -> None:
    others = (somebody_adds(f"{number}厂区") for number in range(100))
    log = BusyLog(plant().events, others)
    assert answer_to(Assay(log, PORTS), adding_a_factory("五厂区")) is ChangedMeanwhile
    added = [event for event in log.events if event.originator_id == ENVIRONMENT_ID]
    assert len(added) == 1 + DECISIONS_BEFORE_GIVING_UP
    assert all(event.origin.actor == SYSTEM for event in added[1:])


def test_the_audit_record_of_a_refusal_is_kept_also_when_the_user_changed_meanwhile() -> None:  # U-6
    def changes_email(log: BusyLog) -> None:
        log.happen(TRAINER_LI_ID, UserEmailChanged(email="li@fab.example"))

    log = BusyLog(plant().events, iter([changes_email]))
    command = msgspec.structs.replace(adding_a_factory("五厂区"), actor=TRAINER_LI_ID)
    assert answer_to(Assay(log, PORTS), command) is NotPermitted
    assert log.events[-1].data == UserRefusedAction(command="AddNodes")
    assert log.events[-1].originator_version == 3


def test_of_eight_who_take_one_name_at_the_same_moment_exactly_one_gets_it(database: str) -> None:  # M-5
    create_tables(database)
    names = ("defect_type", "Defect_Type", "DEFECT_TYPE", "defect_TYPE") * 2
    with closing(open_event_log(database, pool_size=8)) as log:
        log.append(plant().events)
        assay, start = Assay(log, PORTS), Barrier(8)

        def take(number: int) -> type[Exception] | None:
            start.wait(timeout=20)
            return answer_to(
                assay,
                CreateTaskType(
                    actor=QUALITY_LEAD_ID,
                    task_type_id=example_id(f"task type {number}"),
                    name=names[number],
                    kind=TaskKind.CLASSIFICATION,
                ),
            )

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(take, range(8)))
        assert sorted(answers, key=str) == sorted([None, *[NameTaken] * 7], key=str)
        stored = [recorded for _, recorded in log.read(0, 1_000)][len(plant().events) :]
        assert [type(recorded.data) for recorded in stored] == [TaskTypeCreated, NameClaimed]
        held = log.load(NameClaim, claim_id(NameKind.TASK_TYPE, "defect_type"))
        assert held is not None
        assert held.owner == stored[0].originator_id
