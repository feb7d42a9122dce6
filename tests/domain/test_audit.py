"""Every fact can be told to people, in both languages, and says nothing that is secret. Source: REQUIREMENTS, E-3, E-6."""

import re
from uuid import UUID

import pytest

from domain.audit.kinds import KIND_NAMES, Kind, check_history, kind_of
from domain.audit.remembered import Subject
from domain.audit.told import BOOKKEEPING, TOLD, tell, who_sentence
from domain.compute_resources import ComputeResourceChanged, ComputeResourceCreated, ComputeResourceKind
from domain.environments import EnvironmentNode, EnvironmentNodesAdded
from domain.facts import SYSTEM, Fact, State, fold, public_form, state_type_of
from domain.industries import DefaultIndustryChosen, IndustryLevelsDefined
from domain.messages import Resources
from domain.permissions import Role
from domain.refusals import NotPermitted
from domain.sentences import Sentence
from domain.task_types import TaskTypeRenamed
from domain.training_jobs import TrainingFailed
from domain.users import User, UserCreated, UserEmailChanged, UserRoleChanged
from tests.every_fact import FACT_TYPES, SECRET, every_fact
from tests.examples import (
    INDUSTRY_ID,
    QUALITY_LEAD,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG,
    TRAINER_WANG_ID,
    History,
    example_id,
)
from web.i18n import translate


def nobody_named(_thing_id: UUID) -> str:
    return "somebody"


def told(*facts: Fact, by: str = "chen_wei", language: str = "en") -> str:
    """What is told of the last of some facts of one aggregate."""
    *before, last = facts
    subject = None
    for fact in before:
        _, subject = tell(fact, subject, nobody_named)
    sentence, _ = tell(last, subject, nobody_named)
    return translate(who_sentence(sentence, TRAINER_WANG_ID, by), language)


def may_read(kind: Kind, thing_id: UUID, owner: UUID | None, reader: UUID, role: Role = Role.MODEL_TRAINER) -> bool:
    try:
        check_history(kind, thing_id, owner, reader, role)
    except NotPermitted:
        return False
    return True


@pytest.mark.parametrize("kind", Kind)
def test_a_history_is_for_those_who_may_look_at_the_thing_and_for_super_administrators(kind: Kind) -> None:  # U, U-6
    thing = example_id("thing")
    of_owner, of_everybody = (
        (Kind.MODEL, Kind.EXPORT, Kind.PREDICTION_JOB),
        (Kind.DATASET, Kind.MODEL_IMAGE, Kind.TRAINING_JOB),
    )
    assert may_read(kind, thing, TRAINER_WANG_ID, QUALITY_LEAD_ID, Role.SUPER_ADMINISTRATOR)
    assert may_read(kind, thing, TRAINER_WANG_ID, TRAINER_WANG_ID) is (kind in of_owner + of_everybody)
    assert may_read(kind, thing, TRAINER_WANG_ID, TRAINER_LI_ID) is (kind in of_everybody)
    assert may_read(kind, thing, None, TRAINER_LI_ID) is (kind in of_everybody)
    assert may_read(kind, TRAINER_LI_ID, None, TRAINER_LI_ID) is (kind is Kind.USER or kind in of_everybody)


@pytest.mark.parametrize("fact_type", FACT_TYPES.values(), ids=FACT_TYPES)
def test_every_fact_has_a_sentence(fact_type: type[Fact]) -> None:  # E-3
    assert fact_type in TOLD, f"write what is told of {fact_type.TOPIC} in domain/audit/told.py"
    assert kind_of(fact_type) is not Kind.OTHER, (
        f"name the kind of {state_type_of(fact_type).__name__} in domain/audit/kinds.py"
    )


@pytest.mark.parametrize("fact", every_fact().values(), ids=FACT_TYPES)
def test_every_sentence_can_be_read_in_both_languages(fact: Fact) -> None:  # E-3, S-4
    for known in (None, Subject("panel-a", None, {})):
        sentence, _ = tell(fact, known, nobody_named)
        shown = who_sentence(sentence, TRAINER_WANG_ID, "chen_wei")
        english, chinese = (translate(shown, language) for language in ("en", "zh"))
        assert not re.search(r"[{}]", english + chinese)
        assert not re.search("[\u3400-\u9fff]", english)
        assert re.search("[\u3400-\u9fff]", chinese)


@pytest.mark.parametrize("fact", every_fact().values(), ids=FACT_TYPES)
def test_no_sentence_and_no_public_form_holds_a_secret(fact: Fact) -> None:  # E-6
    sentence, subject = tell(fact, None, nobody_named)
    assert SECRET not in f"{sentence!r} {subject!r} {public_form(fact)}"
    assert not fact.PRIVATE & set(public_form(fact))


def test_what_is_public_of_a_state_holds_no_secret() -> None:  # E-6
    user = fold(User, History().add(TRAINER_WANG_ID, TRAINER_WANG).events)
    assert user is not None
    form = public_form(user)
    assert form["username"] == "trainer_wang"
    assert TRAINER_WANG.password_hash not in str(form)


def test_a_change_says_what_was_there_before() -> None:  # E-3
    assert (
        told(QUALITY_LEAD, UserRoleChanged(role=Role.MODEL_TRAINER))
        == "chen_wei changed the role of “quality_lead” from “Super administrator” to “Model trainer”."
    )
    assert (
        told(QUALITY_LEAD, UserRoleChanged(role=Role.MODEL_TRAINER), language="zh")
        == "chen_wei 把“quality_lead”的角色由“超级管理员”改为“模型训练员”。"
    )
    levels = (IndustryLevelsDefined(level_names=("工厂",)), IndustryLevelsDefined(level_names=("厂区",)))
    assert told(*levels).endswith("from “工厂” to “厂区”.")
    assert told(levels[0]).endswith(": 工厂.")


def test_an_address_is_given_changed_and_removed() -> None:
    nobody = UserCreated(username="chen_wei", role=Role.MODEL_TRAINER, password_hash="x")
    given, removed = UserEmailChanged(email="chen@fab.example"), UserEmailChanged(email="")
    assert told(nobody, given) == "chen_wei gave “chen_wei” the e-mail address “chen@fab.example”."
    assert told(nobody, given, removed) == "chen_wei removed the e-mail address “chen@fab.example” of “chen_wei”."
    assert "from “chen@fab.example” to “wei@fab.example”" in told(
        nobody, given, UserEmailChanged(email="wei@fab.example")
    )


def test_a_thing_without_a_name_is_called_what_it_is() -> None:
    small = ComputeResourceCreated(
        kind=ComputeResourceKind.GENERAL_PURPOSE, resources=Resources(cpu_cores=2, memory_gib=4)
    )
    large = ComputeResourceChanged(
        kind=ComputeResourceKind.GPU, resources=Resources(cpu_cores=8, memory_gib=32, gpu_cards=1, gpu_memory_gib=24)
    )
    assert "“CPU 2 · 4 GiB” to “CPU 8 · 32 GiB · GPU 1 × 24 GiB”" in told(small, large)


def test_the_reason_of_a_failure_is_told_in_the_readers_language() -> None:  # T-7
    reason = Sentence("This does not exist, or it has been deleted.")
    assert told(TrainingFailed(reason=reason)).endswith("failed: This does not exist, or it has been deleted.")
    assert "不存在" in told(TrainingFailed(reason=reason), language="zh")


def test_what_nobody_asked_for_was_done_by_the_platform() -> None:
    sentence, _ = tell(QUALITY_LEAD, None, nobody_named)
    assert str(who_sentence(sentence, SYSTEM, "")).startswith("The platform created the user “quality_lead”")


def test_the_default_industry_is_named_before_and_after() -> None:
    names = {example_id("a"): "显示面板", example_id("b"): "电池"}
    first, second = (DefaultIndustryChosen(industry_id=industry_id) for industry_id in names)
    _, subject = tell(first, None, names.__getitem__)
    sentence, _ = tell(second, subject, names.__getitem__)
    assert (sentence.values["before"], sentence.values["after"]) == ("显示面板", "电池")


@pytest.mark.parametrize(("count", "named"), [(5, "1 / 2 / 3 / 4 / 5"), (6, "1 / 2 / 3 / 4 / 5 / …")])
def test_of_many_things_the_first_five_are_named(count: int, named: str) -> None:
    nodes = tuple(EnvironmentNode(example_id(f"{number}"), f"{number}") for number in range(1, count + 1))
    assert told(EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=nodes)).endswith(f"({count}): {named}")


def test_a_renamed_task_type_is_told_with_both_names() -> None:
    sentence, after = tell(TaskTypeRenamed(name="表面分类"), Subject("分类"), nobody_named)
    assert (sentence.values["before"], sentence.values["after"], after.name) == ("分类", "表面分类", "表面分类")


def test_bookkeeping_is_a_part_of_what_is_told() -> None:
    assert set(TOLD) > BOOKKEEPING
    assert set(KIND_NAMES) == set(Kind)


def test_a_state_belongs_to_each_fact() -> None:
    assert all(issubclass(state_type_of(fact_type), State) for fact_type in FACT_TYPES.values())
    with pytest.raises(LookupError):
        state_type_of(Fact)
