"""Users and master data, from the command to the facts in the log."""

from uuid import UUID

import pytest

from commands.compute_resources import ChangeComputeResource, CreateComputeResource, DeleteComputeResource
from commands.environments import AddNodes, AddNodesToSeveralParents, RemoveNodes
from commands.industries import ChooseDefaultIndustry, CreateIndustry, DefineLevels, DeleteIndustry
from commands.task_types import CreateTaskType, DeleteTaskType, RenameTaskType
from commands.users import ChangeOwnEmail, ChangeOwnPassword, CreateUser, DeleteUser
from domain.compute_resources import (
    ComputeResourceChanged,
    ComputeResourceCreated,
    ComputeResourceDeleted,
    ComputeResourceKind,
)
from domain.environments import (
    EnvironmentDeleted,
    EnvironmentNode,
    EnvironmentNodesAdded,
    EnvironmentNodesRemoved,
    environment_id,
)
from domain.facts import Fact
from domain.industries import (
    DEFAULT_INDUSTRY_ID,
    DefaultIndustry,
    DefaultIndustryCannotBeDeleted,
    DefaultIndustryChosen,
    Industry,
    IndustryCreated,
    IndustryDeleted,
    IndustryLevelsDefined,
    LevelCountIsFixed,
    OtherIndustryDeleted,
)
from domain.messages import Resources
from domain.names import NameClaimed, NameKind, NameReleased, NameTaken, claim_id
from domain.permissions import Role
from domain.refusals import NotFound, Refusal
from domain.task_types import TaskKind, TaskTypeCreated, TaskTypeDeleted, TaskTypeRenamed
from domain.users import OldPasswordIsWrong, PasswordIsTooWeak, UserCreated, UserEmailChanged, UserPasswordChanged
from domain.uses import Needed, UseRuledOut
from tests.commands.meeting import at_once
from tests.examples import (
    AOI_STATION,
    CLASSIFICATION_ID,
    ENVIRONMENT_ID,
    INDUSTRY_ID,
    LEVEL_NAMES,
    PANEL_65,
    PASSWORD,
    PORTS,
    QUALITY_LEAD,
    QUALITY_LEAD_ID,
    REPAIR_STATION,
    SEGMENTATION_ID,
    TRAINER_WANG_ID,
    TWO_CORES_ID,
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


def test_the_same_wish_twice_creates_one_industry() -> None:  # M-1
    history = plant()
    assay, log = assay_after(history)
    wish = CreateIndustry(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID, name="钢铁")
    assay.dispatch(wish)
    assert assay.dispatch(wish) == 0
    assert len(stored_after(history, log)) == 2


def test_an_industry_that_was_deleted_is_not_created_again_by_an_old_form() -> None:  # M-1
    assay, _ = assay_after(two_industries())
    assay.dispatch(DeleteIndustry(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID))
    with pytest.raises(NotFound):
        assay.dispatch(CreateIndustry(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID, name="钢铁"))


def test_levels_are_defined_and_then_only_renamed() -> None:  # M-2
    history = plant()
    assay, log = assay_after(history)
    renamed = ("园区", *LEVEL_NAMES[1:])
    assay.dispatch(DefineLevels(actor=QUALITY_LEAD_ID, industry_id=INDUSTRY_ID, level_names=renamed))
    assert stored_after(history, log) == [(INDUSTRY_ID, IndustryLevelsDefined(level_names=renamed))]
    for others in (renamed[:2], (*renamed, "批次")):
        with pytest.raises(LevelCountIsFixed):
            assay.dispatch(DefineLevels(actor=QUALITY_LEAD_ID, industry_id=INDUSTRY_ID, level_names=others))


def two_industries() -> History:
    """显示面板 is the default; 钢铁 has one level with one node."""
    mill = EnvironmentNode(example_id("一炼钢"), "一炼钢")
    return (
        plant()
        .add(STEEL_ID, IndustryCreated(name="钢铁"), IndustryLevelsDefined(level_names=("炼钢厂",)))
        .claim(NameKind.INDUSTRY, "钢铁", STEEL_ID)
        .add(environment_id(STEEL_ID), EnvironmentNodesAdded(industry_id=STEEL_ID, nodes=(mill,)))
    )


def test_a_deleted_industry_takes_its_environment_along_and_frees_its_name() -> None:  # M-1
    history = two_industries()
    assay, log = assay_after(history)
    assay.dispatch(DeleteIndustry(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID))
    assert stored_after(history, log) == [
        (STEEL_ID, IndustryDeleted()),
        (claim_id(NameKind.INDUSTRY, "钢铁"), NameReleased()),
        (environment_id(STEEL_ID), EnvironmentDeleted(industry_id=STEEL_ID)),
        (DEFAULT_INDUSTRY_ID, OtherIndustryDeleted(industry_id=STEEL_ID)),
    ]
    again = example_id("钢铁 once more")
    assay.dispatch(CreateIndustry(actor=QUALITY_LEAD_ID, industry_id=again, name="钢铁"))
    assert assay.load(DefaultIndustry, DEFAULT_INDUSTRY_ID).industry_id == INDUSTRY_ID


def test_the_default_industry_is_not_deleted() -> None:  # M-1
    history = two_industries()
    assay, log = assay_after(history)
    with pytest.raises(DefaultIndustryCannotBeDeleted):
        assay.dispatch(DeleteIndustry(actor=QUALITY_LEAD_ID, industry_id=INDUSTRY_ID))
    assert stored_after(history, log) == []


def test_what_is_deleted_gets_no_levels_no_nodes_and_no_second_deletion() -> None:  # M-1
    assay, _ = assay_after(two_industries())
    assay.dispatch(DeleteIndustry(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID))
    for command in (
        DefineLevels(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID, level_names=("炼铁厂",)),
        ChooseDefaultIndustry(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID),
        DeleteIndustry(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID),
        AddNodes(
            actor=QUALITY_LEAD_ID,
            industry_id=STEEL_ID,
            parent_id=None,
            names=("二炼钢",),
            node_ids=(example_id("二炼钢"),),
        ),
    ):
        with pytest.raises(NotFound):
            assay.dispatch(command)


def test_an_industry_is_never_both_chosen_as_the_default_and_deleted() -> None:  # M-1
    log = MemoryLog(two_industries().events)
    choose = ChooseDefaultIndustry(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID)
    answers = at_once(log, PORTS, choose, DeleteIndustry(actor=QUALITY_LEAD_ID, industry_id=STEEL_ID))
    assert sum(isinstance(answer, Refusal) for answer in answers) == 1
    default, steel = log.load(DefaultIndustry, DEFAULT_INDUSTRY_ID), log.load(Industry, STEEL_ID)
    assert default is not None
    assert steel is not None
    assert (default.industry_id == STEEL_ID) is not steel.is_deleted


def test_of_two_first_industries_one_becomes_the_default() -> None:  # M-1
    log = MemoryLog(History().add(QUALITY_LEAD_ID, QUALITY_LEAD).events)
    wishes = [
        CreateIndustry(actor=QUALITY_LEAD_ID, industry_id=example_id(name), name=name) for name in ("钢铁", "采矿")
    ]
    at_once(log, PORTS, *wishes)
    chosen = [event.data for event in log.events if isinstance(event.data, DefaultIndustryChosen)]
    assert len(chosen) == 1


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


def test_the_same_names_are_added_below_several_nodes() -> None:  # M-4
    history = plant()
    assay, log = assay_after(history)
    parents = (AOI_STATION.node_id, REPAIR_STATION.node_id)
    ids = ((example_id("1"),), (example_id("2"),))
    assay.dispatch(
        AddNodesToSeveralParents(
            actor=QUALITY_LEAD_ID, industry_id=INDUSTRY_ID, parent_ids=parents, names=("43寸面板",), node_ids=ids
        )
    )
    nodes = tuple(EnvironmentNode(one, "43寸面板", parent_id) for parent_id, (one,) in zip(parents, ids, strict=True))
    assert stored_after(history, log) == [(ENVIRONMENT_ID, EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=nodes))]


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


def test_a_renamed_task_type_gives_its_old_name_back() -> None:  # M-5
    history = plant()
    assay, log = assay_after(history)
    assay.dispatch(RenameTaskType(actor=QUALITY_LEAD_ID, task_type_id=CLASSIFICATION_ID, name="缺陷分类"))
    assert stored_after(history, log) == [
        (CLASSIFICATION_ID, TaskTypeRenamed(name="缺陷分类")),
        (
            claim_id(NameKind.TASK_TYPE, "缺陷分类"),
            NameClaimed(kind=NameKind.TASK_TYPE, name="缺陷分类", owner=CLASSIFICATION_ID),
        ),
        (claim_id(NameKind.TASK_TYPE, "分类"), NameReleased()),
    ]
    new_id = example_id("another 分类")
    assay.dispatch(
        CreateTaskType(actor=QUALITY_LEAD_ID, task_type_id=new_id, name="分类", kind=TaskKind.CLASSIFICATION)
    )


def test_a_task_type_does_not_take_the_name_of_another() -> None:  # M-5
    history = plant()
    assay, log = assay_after(history)
    with pytest.raises(NameTaken):
        assay.dispatch(RenameTaskType(actor=QUALITY_LEAD_ID, task_type_id=CLASSIFICATION_ID, name="分割分类"))
    assert stored_after(history, log) == []


def test_a_name_can_be_given_another_case() -> None:  # M-5
    task_type_id = example_id("aoi")
    created = TaskTypeCreated(name="aoi", kind=TaskKind.CLASSIFICATION)
    history = plant().add(task_type_id, created).claim(NameKind.TASK_TYPE, "aoi", task_type_id)
    assay, log = assay_after(history)
    assay.dispatch(RenameTaskType(actor=QUALITY_LEAD_ID, task_type_id=task_type_id, name="AOI"))
    assert stored_after(history, log) == [(task_type_id, TaskTypeRenamed(name="AOI"))]
    with pytest.raises(NameTaken):
        assay.dispatch(RenameTaskType(actor=QUALITY_LEAD_ID, task_type_id=CLASSIFICATION_ID, name="Aoi"))


def test_a_deleted_task_type_frees_its_name_and_is_gone() -> None:  # M-5
    history = plant()
    assay, log = assay_after(history)
    assay.dispatch(DeleteTaskType(actor=QUALITY_LEAD_ID, task_type_id=SEGMENTATION_ID))
    assert stored_after(history, log) == [
        (SEGMENTATION_ID, TaskTypeDeleted()),
        (claim_id(NameKind.TASK_TYPE, "分割分类"), NameReleased()),
        (Needed.task_type(SEGMENTATION_ID).uses_id, UseRuledOut()),
    ]
    with pytest.raises(NotFound):
        assay.dispatch(RenameTaskType(actor=QUALITY_LEAD_ID, task_type_id=SEGMENTATION_ID, name="分割"))
    assay.dispatch(RenameTaskType(actor=QUALITY_LEAD_ID, task_type_id=CLASSIFICATION_ID, name="分割分类"))


def test_the_same_wish_twice_creates_one_task_type_and_one_compute_resource() -> None:  # M-5, M-6
    assay, _ = assay_after(plant())
    for wish in (
        CreateTaskType(
            actor=QUALITY_LEAD_ID, task_type_id=example_id("x"), name="亮点分类", kind=TaskKind.CLASSIFICATION
        ),
        CreateComputeResource(
            actor=QUALITY_LEAD_ID,
            compute_resource_id=example_id("y"),
            kind=ComputeResourceKind.GENERAL_PURPOSE,
            resources=Resources(cpu_cores=4, memory_gib=8),
        ),
    ):
        assert assay.dispatch(wish) > 0
        assert assay.dispatch(wish) == 0


def test_a_compute_resource_is_changed() -> None:  # M-6
    history = plant()
    assay, log = assay_after(history)
    kind, resources = ComputeResourceKind.GENERAL_PURPOSE, Resources(cpu_cores=4, memory_gib=8)
    assay.dispatch(
        ChangeComputeResource(actor=QUALITY_LEAD_ID, compute_resource_id=TWO_CORES_ID, kind=kind, resources=resources)
    )
    assert stored_after(history, log) == [(TWO_CORES_ID, ComputeResourceChanged(kind=kind, resources=resources))]


def test_a_deleted_compute_resource_is_gone_for_every_further_command() -> None:  # M-6
    history = plant()
    assay, log = assay_after(history)
    assay.dispatch(DeleteComputeResource(actor=QUALITY_LEAD_ID, compute_resource_id=TWO_CORES_ID))
    assert stored_after(history, log) == [
        (TWO_CORES_ID, ComputeResourceDeleted()),
        (Needed.compute_resource(TWO_CORES_ID).uses_id, UseRuledOut()),
    ]
    with pytest.raises(NotFound):
        assay.dispatch(DeleteComputeResource(actor=QUALITY_LEAD_ID, compute_resource_id=TWO_CORES_ID))


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


def test_the_same_wish_twice_creates_one_user() -> None:  # U-2
    history = plant()
    assay, log = assay_after(history)
    assert assay.dispatch(create_user("trainer_zhao")) > 0
    assert assay.dispatch(create_user("trainer_zhao")) == 0
    assert len(stored_after(history, log)) == 2


def test_a_user_who_was_deleted_is_not_created_again_by_an_old_form() -> None:  # U-3
    assay, _ = assay_after(plant())
    assay.dispatch(create_user("trainer_zhao"))
    assay.dispatch(DeleteUser(actor=QUALITY_LEAD_ID, user_id=ZHAO_ID))
    with pytest.raises(NotFound):
        assay.dispatch(create_user("trainer_zhao"))


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
