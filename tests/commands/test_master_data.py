"""Users and master data, from the command to the facts in the log."""

from uuid import UUID

import pytest

from commands.compute_resources import CreateComputeResource
from commands.environments import AddNodes, RemoveNodes
from commands.industries import ChooseDefaultIndustry, CreateIndustry, DefineLevels
from commands.task_types import CreateTaskType
from commands.users import ChangeOwnEmail, ChangeOwnPassword, CreateUser
from domain.compute_resources import ComputeResourceCreated, ComputeResourceKind
from domain.environments import EnvironmentNode, EnvironmentNodesAdded, EnvironmentNodesRemoved, environment_id
from domain.facts import Fact
from domain.industries import (
    DEFAULT_INDUSTRY_ID,
    DefaultIndustryChosen,
    IndustryCreated,
    IndustryLevelsDefined,
    LevelsCannotBeRemoved,
)
from domain.messages import Resources
from domain.names import NameClaimed, NameKind, NameTaken, claim_id
from domain.permissions import Role
from domain.refusals import NotFound
from domain.task_types import TaskKind, TaskTypeCreated
from domain.users import OldPasswordIsWrong, PasswordIsTooWeak, UserCreated, UserEmailChanged, UserPasswordChanged
from tests.examples import (
    ENVIRONMENT_ID,
    INDUSTRY_ID,
    LEVEL_NAMES,
    PANEL_65,
    PASSWORD,
    QUALITY_LEAD,
    QUALITY_LEAD_ID,
    TRAINER_WANG_ID,
    History,
    MemoryLog,
    assay_after,
    example_id,
    plant,
)

STEEL_ID = example_id("钢铁")


def stored_after(history: History, log: MemoryLog) -> list[tuple[UUID, Fact]]:
    """What a command added, and to which aggregates."""
    return [(event.originator_id, event.data) for event in log.events[len(history.events) :]]


def test_the_first_industry_becomes_the_default() -> None:  # M-1
    history = History().add(QUALITY_LEAD_ID, QUALITY_LEAD)
    assay, log = assay_after(history)
    assay.dispatch(CreateIndustry(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID, name="钢铁"))
    assert stored_after(history, log) == [
        (STEEL_ID, IndustryCreated(name="钢铁")),
        (claim_id(NameKind.INDUSTRY, "钢铁"), NameClaimed(kind=NameKind.INDUSTRY, name="钢铁", owner=STEEL_ID)),
        (DEFAULT_INDUSTRY_ID, DefaultIndustryChosen(industry_id=STEEL_ID)),
    ]


def test_a_further_industry_leaves_the_default_as_it_is_until_it_is_chosen() -> None:  # M-1
    history = plant()
    assay, log = assay_after(history)
    assay.dispatch(CreateIndustry(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID, name="钢铁"))
    assert DEFAULT_INDUSTRY_ID not in dict(stored_after(history, log))
    assay.dispatch(ChooseDefaultIndustry(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID))
    assert stored_after(history, log)[-1] == (DEFAULT_INDUSTRY_ID, DefaultIndustryChosen(industry_id=STEEL_ID))


def test_an_industry_that_does_not_exist_cannot_become_the_default() -> None:  # M-1
    assay, _ = assay_after(plant())
    with pytest.raises(NotFound):
        assay.dispatch(ChooseDefaultIndustry(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID))


def test_two_industries_cannot_share_a_name() -> None:  # M-1
    assay, _ = assay_after(plant())
    with pytest.raises(NameTaken):
        assay.dispatch(CreateIndustry(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID, name="显示面板"))


def test_levels_are_defined_and_then_only_renamed_or_extended() -> None:  # M-2
    history = plant()
    assay, log = assay_after(history)
    renamed = ("园区", *LEVEL_NAMES[1:])
    assay.dispatch(DefineLevels(actor=QUALITY_LEAD_ID, industry_id=INDUSTRY_ID, level_names=renamed))
    assert stored_after(history, log) == [(INDUSTRY_ID, IndustryLevelsDefined(level_names=renamed))]
    with pytest.raises(LevelsCannotBeRemoved):
        assay.dispatch(DefineLevels(actor=QUALITY_LEAD_ID, industry_id=INDUSTRY_ID, level_names=renamed[:2]))


def test_the_first_nodes_begin_the_tree_of_their_industry() -> None:  # M-3
    history = plant().add(STEEL_ID, IndustryCreated(name="钢铁"), IndustryLevelsDefined(level_names=("炼钢厂",)))
    assay, log = assay_after(history)
    mill_id = example_id("一炼钢")
    assay.dispatch(
        AddNodes(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID, parent_id=None, names=("一炼钢",), node_ids=(mill_id,))
    )
    added = EnvironmentNodesAdded(industry_id=STEEL_ID, nodes=(EnvironmentNode(mill_id, "一炼钢"),))
    assert stored_after(history, log) == [(environment_id(STEEL_ID), added)]


def test_removed_nodes_leave_the_tree_of_their_industry() -> None:  # M-3
    history = plant()
    assay, log = assay_after(history)
    assay.dispatch(RemoveNodes(actor=QUALITY_LEAD_ID, industry_id=INDUSTRY_ID, node_ids=(PANEL_65.node_id,)))
    removed = EnvironmentNodesRemoved(industry_id=INDUSTRY_ID, node_ids=(PANEL_65.node_id,))
    assert stored_after(history, log) == [(ENVIRONMENT_ID, removed)]


def test_an_industry_without_a_tree_has_nothing_to_remove() -> None:  # M-3
    assay, _ = assay_after(plant())
    with pytest.raises(NotFound):
        assay.dispatch(RemoveNodes(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID, node_ids=(PANEL_65.node_id,)))


def test_a_task_type_takes_its_name() -> None:  # M-5
    history, task_type_id = plant(), example_id("亮点分类")
    assay, log = assay_after(history)
    kind = TaskKind.CLASSIFICATION
    assay.dispatch(CreateTaskType(actor=QUALITY_LEAD_ID, task_type_id=task_type_id, name="亮点分类", kind=kind))
    claimed = NameClaimed(kind=NameKind.TASK_TYPE, name="亮点分类", owner=task_type_id)
    assert stored_after(history, log) == [
        (task_type_id, TaskTypeCreated(name="亮点分类", kind=kind)),
        (claim_id(NameKind.TASK_TYPE, "亮点分类"), claimed),
    ]


def test_a_compute_resource_is_created() -> None:  # M-6
    history, resource_id = plant(), example_id("four cores")
    assay, log = assay_after(history)
    kind, resources = ComputeResourceKind.GENERAL_PURPOSE, Resources(cpu_cores=4, memory_gib=8)
    assay.dispatch(
        CreateComputeResource(actor=QUALITY_LEAD_ID, compute_resource_id=resource_id, kind=kind, resources=resources)
    )
    assert stored_after(history, log) == [(resource_id, ComputeResourceCreated(kind=kind, resources=resources))]


ZHAO_ID = example_id("trainer_zhao")


def create_user(username: str) -> CreateUser:
    return CreateUser(
        actor=QUALITY_LEAD_ID, user_id=ZHAO_ID, username=username, password=PASSWORD, role=Role.MODEL_TRAINER
    )


def test_a_new_user_takes_the_name_and_only_the_hash_is_stored() -> None:  # U-2, E-6
    history = plant()
    assay, log = assay_after(history)
    assay.dispatch(create_user("trainer_zhao"))
    created, claimed = stored_after(history, log)
    assert created == (
        ZHAO_ID,
        UserCreated(username="trainer_zhao", role=Role.MODEL_TRAINER, password_hash=f"hash of {PASSWORD}"),
    )
    assert claimed[1] == NameClaimed(kind=NameKind.USER, name="trainer_zhao", owner=ZHAO_ID)


@pytest.mark.parametrize("username", ["trainer_wang", "Trainer_Wang"])
def test_user_names_are_unique_without_regard_to_case(username: str) -> None:  # U-2
    assay, _ = assay_after(plant())
    with pytest.raises(NameTaken) as refusal:
        assay.dispatch(create_user(username))
    assert refusal.value.at == "username"


def test_changing_the_own_password_asks_for_the_old_one() -> None:  # U-5
    history = plant()
    assay, log = assay_after(history)
    with pytest.raises(OldPasswordIsWrong):
        assay.dispatch(ChangeOwnPassword(actor=TRAINER_WANG_ID, old_password="guessed", new_password="Panel2026"))
    with pytest.raises(PasswordIsTooWeak):
        assay.dispatch(ChangeOwnPassword(actor=TRAINER_WANG_ID, old_password=PASSWORD, new_password="panel"))
    assert stored_after(history, log) == []
    assay.dispatch(ChangeOwnPassword(actor=TRAINER_WANG_ID, old_password=PASSWORD, new_password="Panel2026"))
    assert stored_after(history, log) == [(TRAINER_WANG_ID, UserPasswordChanged(password_hash="hash of Panel2026"))]


def test_the_own_email_address_can_be_changed() -> None:  # U-5
    history = plant()
    assay, log = assay_after(history)
    assay.dispatch(ChangeOwnEmail(actor=TRAINER_WANG_ID, email="wang@fab.example"))
    assert stored_after(history, log) == [(TRAINER_WANG_ID, UserEmailChanged(email="wang@fab.example"))]
