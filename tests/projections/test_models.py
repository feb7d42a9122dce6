"""The list and details of models on real PostgreSQL."""

from typing import Any

from msgspec.structs import replace

from domain.data_paths import FolderName
from domain.models import ModelDataPathReleased, ModelVersionWithdrawn
from domain.training_jobs import TrainedWeights, VersionUsed
from domain.users import UserDeleted
from projections.models import MOST_CHOICES, SORTS, Models, ModelVersionChoices
from projections.users import Users
from tests.examples import (
    BINDING,
    DEFECT_CODES,
    FACTORY_1,
    FACTORY_2,
    FIGURES,
    LAST_FIGURES,
    MODEL_ID,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_FOLDER,
    TRAINING_JOB_ID,
    TRAINING_ORDER,
    VERSION_PUBLISHED,
    WORSE_AT_THE_END,
    History,
    example_id,
    plant,
)
from tests.projections.read_side import Project

GLASS_EDGE_ID = example_id("glass-edge")
RETRAINED_ID = example_id("panel-a retrained")
SECOND = replace(
    VERSION_PUBLISHED, version="v1.02", job_id=RETRAINED_ID, figures=replace(FIGURES, accuracy=None, recall=0.5)
)


def published() -> History:
    """Two models of trainer_wang: panel-a with two versions, then glass-edge."""
    return (
        plant()
        .add(MODEL_ID, VERSION_PUBLISHED, SECOND, actor=TRAINER_WANG_ID)
        .add(GLASS_EDGE_ID, replace(VERSION_PUBLISHED, model_name="glass-edge"), actor=TRAINER_WANG_ID)
    )


def test_the_list_shows_each_model_as_its_newest_version(project: Project) -> None:  # V-2
    read = project(published(), Users, Models)
    page = read.models.page(TRAINER_WANG_ID)
    assert [(row.name, row.version, row.version_count, row.modified_by) for row in page.items] == [
        ("glass-edge", "v1.01", 1, "trainer_wang"),
        ("panel-a", "v1.02", 2, "trainer_wang"),
    ]
    assert page.items[1].accuracy is None, "undefined stays undefined"


def test_everyone_sees_their_own_models_only(project: Project) -> None:  # section U
    read = project(published(), Users, Models)
    assert read.models.page(TRAINER_LI_ID).total == 0
    assert read.models.page(QUALITY_LEAD_ID).total == 0
    assert read.models.choices(TRAINER_LI_ID) == ModelVersionChoices()


def test_who_asks_for_no_owner_sees_the_models_of_everybody(project: Project) -> None:  # K-5
    read = project(published(), Users, Models)
    for owner, names in (
        (TRAINER_WANG_ID, ["glass-edge", "panel-a"]),
        (TRAINER_LI_ID, []),
        (None, ["glass-edge", "panel-a"]),
    ):
        assert [row.name for row in read.models.stretch(owner, size=5).items] == names


def test_an_heir_owns_the_models_that_were_left_to_them(project: Project) -> None:  # U-7
    left = published().add(TRAINER_WANG_ID, UserDeleted(heir=TRAINER_LI_ID), actor=QUALITY_LEAD_ID)
    read = project(left, Users, Models)
    assert read.models.get(MODEL_ID).owner == TRAINER_LI_ID
    assert [row.name for row in read.models.stretch(TRAINER_LI_ID, size=5).items] == ["glass-edge", "panel-a"]


def test_the_list_stands_in_the_asked_order(project: Project) -> None:
    read = project(published(), Users, Models)
    for sort, names in (
        ("name", ["glass-edge", "panel-a"]),
        ("-name", ["panel-a", "glass-edge"]),
        ("version", ["glass-edge", "panel-a"]),
        ("modified_at", ["panel-a", "glass-edge"]),
        ("-modified_at", ["glass-edge", "panel-a"]),
    ):
        assert [row.name for row in read.models.page(TRAINER_WANG_ID, sort=sort).items] == names, sort


def test_versions_are_ordered_as_numbers(project: Project) -> None:  # V-1
    later = replace(VERSION_PUBLISHED, model_name="panel-b", version="v10.01")
    read = project(published().add(example_id("panel-b"), later, actor=TRAINER_WANG_ID), Users, Models)
    shown = [row.version for row in read.models.page(TRAINER_WANG_ID, sort="version").items]
    assert shown == ["v1.01", "v1.02", "v10.01"]
    assert [row.version for row in read.models.page(TRAINER_WANG_ID, sort="-version").items] == shown[::-1]


def test_every_order_that_is_offered_is_one_that_the_database_knows(project: Project) -> None:
    read = project(published(), Users, Models)
    for sort in SORTS:
        assert read.models.page(TRAINER_WANG_ID, sort=f"-{sort}").total == 2


def test_a_search_finds_parts_of_a_name_and_takes_signs_as_they_are(project: Project) -> None:
    read = project(published(), Users, Models)
    assert [row.name for row in read.models.page(TRAINER_WANG_ID, search="EDGE").items] == ["glass-edge"]
    assert read.models.page(TRAINER_WANG_ID, search="_").total == 0


def test_the_list_comes_in_pages(project: Project) -> None:
    read = project(published(), Users, Models)
    second = read.models.page(TRAINER_WANG_ID, number=2, size=1)
    assert ([row.name for row in second.items], second.total) == (["panel-a"], 2)


def test_a_model_keeps_everything_that_made_each_version(project: Project) -> None:  # V-2
    model = project(published(), Users, Models).models.get(MODEL_ID)
    assert (model.name, model.owner, model.owner_name, model.environment) == (
        "panel-a",
        TRAINER_WANG_ID,
        "trainer_wang",
        BINDING,
    )
    assert [version.label for version in model.versions] == ["v1.02", "v1.01"]
    first = model.version("v1.01")
    assert (first.job_id, first.training_order, first.figures) == (TRAINING_JOB_ID, TRAINING_ORDER, FIGURES)
    assert (first.model_image_label, first.published_by) == ("resnet18 v1.0", "trainer_wang")
    assert (first.weights, first.resolution_rule) == (VERSION_PUBLISHED.weights, VERSION_PUBLISHED.resolution_rule)
    assert model.newest.recall == 0.5
    assert model.version("v1.03") is None


def test_a_version_tells_which_weights_it_was_published_with(project: Project) -> None:  # V-2
    kept = WORSE_AT_THE_END.kept_weights
    last = replace(
        VERSION_PUBLISHED,
        version="v1.02",
        chosen_weights=TrainedWeights.LAST,
        kept_weights=kept,
        other_figures=LAST_FIGURES,
    )
    history = plant().add(MODEL_ID, VERSION_PUBLISHED, last, actor=TRAINER_WANG_ID)
    model = project(history, Users, Models).models.get(MODEL_ID)
    told = [(one.label, one.chosen_weights, one.kept_weights, one.other_figures) for one in model.versions]
    assert told == [("v1.02", TrainedWeights.LAST, kept, LAST_FIGURES), ("v1.01", TrainedWeights.BEST, (), None)]


def test_every_version_can_be_chosen_the_last_published_first(project: Project) -> None:  # P-1
    choices = project(published(), Users, Models).models.choices(TRAINER_WANG_ID)
    assert [(one.model_name, one.label, one.accuracy) for one in choices.versions] == [
        ("glass-edge", "v1.01", FIGURES.accuracy),
        ("panel-a", "v1.02", None),
        ("panel-a", "v1.01", FIGURES.accuracy),
    ]
    assert {(one.network, one.defect_codes) for one in choices.versions} == {("ResNet18", DEFECT_CODES)}


def test_special_codes_are_no_classes_of_a_version(project: Project) -> None:  # W-4, W-12
    parameters = replace(TRAINING_ORDER.model_parameters, code_list=(*DEFECT_CODES, "TSFAS"))
    special = replace(VERSION_PUBLISHED, order=replace(TRAINING_ORDER, model_parameters=parameters))
    (choice,) = project(plant().add(MODEL_ID, special), Users, Models).models.choices(TRAINER_WANG_ID).versions
    assert choice.defect_codes == DEFECT_CODES


def test_versions_are_narrowed_by_name_place_and_network(project: Project) -> None:  # P-1, W-12
    read = project(published(), Users, Models)

    def labels(**narrowed: Any) -> list[tuple[str, str]]:
        found = read.models.choices(TRAINER_WANG_ID, **narrowed).versions
        return [(one.model_name, one.label) for one in found]

    assert labels(search="EDGE") == [("glass-edge", "v1.01")]
    assert labels(search="_") == []
    assert len(labels(place_ids=[FACTORY_1.node_id])) == 3
    assert labels(place_ids=[FACTORY_2.node_id]) == []
    assert len(labels(network="ResNet18")) == 3
    assert labels(network="ResNet34") == []
    assert labels(network="ResNet34", chosen=(MODEL_ID, "v1.01")) == [("panel-a", "v1.01")]
    assert labels(search="edge", chosen=(MODEL_ID, "v1.01")) == [("panel-a", "v1.01"), ("glass-edge", "v1.01")]


def test_of_many_versions_the_last_published_are_offered(project: Project) -> None:  # P-1
    history = plant()
    for number in range(1, 23):
        history.add(MODEL_ID, replace(VERSION_PUBLISHED, version=f"v1.{number:02}"))
    choices = project(history, Users, Models).models.choices(TRAINER_WANG_ID)
    assert [one.label for one in choices.versions] == [f"v1.{number:02}" for number in range(22, 2, -1)]
    assert choices.has_more


def withdrawn(*labels: str) -> History:
    """The same two models, with versions of panel-a withdrawn."""
    facts = [ModelVersionWithdrawn(version=label, reason="Misses scratches.") for label in labels]
    return published().add(MODEL_ID, *facts, actor=QUALITY_LEAD_ID)


def test_a_withdrawn_version_is_offered_nowhere_not_even_as_the_chosen_one(project: Project) -> None:  # V-4
    read = project(withdrawn("v1.02"), Users, Models)
    offered = read.models.choices(TRAINER_WANG_ID, chosen=(MODEL_ID, "v1.02"))
    assert [version.name for version in offered.versions] == [f"{GLASS_EDGE_ID}/v1.01", f"{MODEL_ID}/v1.01"]


def test_a_withdrawn_version_stays_in_the_history_with_who_when_and_why(project: Project) -> None:  # V-4
    read = project(withdrawn("v1.02"), Users, Models)
    model = read.models.get(MODEL_ID)
    assert model is not None
    newest, first = model.versions
    assert (newest.label, newest.is_withdrawn, newest.withdrawn_by, newest.withdrawal_reason) == (
        "v1.02",
        True,
        "quality_lead",
        "Misses scratches.",
    )
    assert newest.withdrawn_at is not None
    assert newest.published_at < newest.withdrawn_at
    assert (first.is_withdrawn, first.withdrawn_by, first.withdrawal_reason) == (False, "", "")
    assert model.newest == first


def test_the_list_shows_the_newest_version_that_stands(project: Project) -> None:  # V-2, V-4
    first = next(iter(project(withdrawn("v1.02"), Users, Models).models.page(TRAINER_WANG_ID, search="panel").items))
    assert (first.version, first.is_withdrawn, first.accuracy, first.modified_by, first.version_count) == (
        "v1.01",
        False,
        FIGURES.accuracy,
        "quality_lead",
        2,
    )


def test_a_model_of_which_everything_was_withdrawn_is_still_there(project: Project) -> None:  # V-4
    read = project(withdrawn("v1.02", "v1.01"), Users, Models)
    row = next(iter(read.models.page(TRAINER_WANG_ID, search="panel").items))
    assert (row.version, row.is_withdrawn) == ("v1.02", True)
    model = read.models.get(MODEL_ID)
    assert model is not None
    assert model.newest.label == "v1.02"


def test_for_a_comparison_models_with_two_versions_are_offered(project: Project) -> None:  # P-1
    read = project(published(), Users, Models)
    panel_a = [f"{MODEL_ID}/v1.02", f"{MODEL_ID}/v1.01"]
    assert [one.name for one in read.models.choices(TRAINER_WANG_ID, compared=()).versions] == panel_a
    glass = f"{GLASS_EDGE_ID}/v1.01"  # ticked by a link; it stays in the list, and the step says that another is needed
    kept = read.models.choices(TRAINER_WANG_ID, compared=(panel_a[1], glass), search="nothing")
    assert [one.name for one in kept.versions] == [glass, panel_a[1]]


def test_a_model_with_one_version_left_is_not_compared(project: Project) -> None:  # P-1, V-4
    read = project(withdrawn("v1.02"), Users, Models)
    assert read.models.choices(TRAINER_WANG_ID, compared=()).versions == ()


def test_somebody_elses_version_is_never_offered_not_even_as_the_chosen_one(project: Project) -> None:  # U
    read = project(published(), Users, Models)
    assert read.models.choices(TRAINER_LI_ID, chosen=(MODEL_ID, "v1.01")) == ModelVersionChoices()


def test_a_version_tells_which_one_its_training_started_from(project: Project) -> None:  # W-12
    started_from = VersionUsed(MODEL_ID, "panel-a", "v1.01")
    history = plant().add(MODEL_ID, VERSION_PUBLISHED, replace(SECOND, started_from=started_from))
    model = project(history, Users, Models).models.get(MODEL_ID)
    assert (model.version("v1.01").started_from, model.version("v1.02").started_from) == (None, started_from)


MORE_FOLDER = FolderName("data", "panel-a/more")


def test_the_paths_of_the_first_training_are_locked_until_they_are_released(project: Project) -> None:  # W-5
    first = replace(VERSION_PUBLISHED, order=replace(TRAINING_ORDER, data_paths=(TRAINING_FOLDER, MORE_FOLDER)))
    third = FolderName("data", "panel-a/third")
    later = replace(SECOND, order=replace(TRAINING_ORDER, data_paths=(TRAINING_FOLDER, MORE_FOLDER, third)))
    history = plant().add(MODEL_ID, first, later, actor=TRAINER_WANG_ID)
    history.add(MODEL_ID, ModelDataPathReleased(folder=MORE_FOLDER), actor=QUALITY_LEAD_ID)
    read = project(history, Users, Models)
    kept, released = read.models.locked_paths(MODEL_ID)
    assert (kept.folder, kept.released_at) == (TRAINING_FOLDER, None)
    assert (released.folder, released.released_by) == (MORE_FOLDER, "quality_lead")
    assert released.released_at is not None
    (row,) = read.models.locked_page().items
    assert (row.name, row.owner_name, row.path_count, row.released_count) == ("panel-a", "trainer_wang", 2, 1)
    assert (read.models.locked_page(search="PANEL").total, read.models.locked_page(search="edge").total) == (1, 0)
    read.assert_rebuild_equals_live()


def test_a_model_of_which_nothing_was_published_is_not_there(project: Project) -> None:
    assert project(plant(), Users, Models).models.get(MODEL_ID) is None


def test_the_log_alone_gives_the_same_rows(project: Project) -> None:  # E-2
    tables = project(published(), Users, Models).assert_rebuild_equals_live()
    assert [len(tables[name]) for name in ("models", "model_versions")] == [2, 3]


def test_for_a_comparison_the_versions_of_one_model_stand_together(project: Project) -> None:  # P-1
    history = plant()
    for version in ("v1.01", "v1.02"):
        for name in ("panel-a", "glass-edge"):
            history.add(example_id(name), replace(VERSION_PUBLISHED, model_name=name, version=version))
    models = project(history, Users, Models).models
    together = ["glass-edge v1.02", "glass-edge v1.01", "panel-a v1.02", "panel-a v1.01"]
    by_time = ["glass-edge v1.02", "panel-a v1.02", "glass-edge v1.01", "panel-a v1.01"]
    for compared, expected in (((), together), (None, by_time)):
        found = models.choices(TRAINER_WANG_ID, compared=compared).versions
        assert [f"{one.model_name} {one.label}" for one in found] == expected


def test_the_classes_of_a_version_stand_in_the_order_of_its_list(project: Project) -> None:  # W-3
    parameters = replace(TRAINING_ORDER.model_parameters, code_list=DEFECT_CODES[::-1])
    published = replace(VERSION_PUBLISHED, order=replace(TRAINING_ORDER, model_parameters=parameters))
    (choice,) = project(plant().add(MODEL_ID, published), Users, Models).models.choices(TRAINER_WANG_ID).versions
    assert choice.defect_codes == DEFECT_CODES[::-1]


def test_exactly_as_many_versions_as_are_offered_are_all(project: Project) -> None:  # P-1
    history = plant()
    for number in range(1, MOST_CHOICES + 1):
        history.add(MODEL_ID, replace(VERSION_PUBLISHED, version=f"v1.{number:02}"))
    choices = project(history, Users, Models).models.choices(TRAINER_WANG_ID)
    assert (len(choices.versions), choices.has_more) == (MOST_CHOICES, False)


def test_whoever_published_withdrew_or_released_is_marked_once_deleted(project: Project) -> None:  # U-3
    published = plant().add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)
    other = replace(VERSION_PUBLISHED, model_name="other")
    published.add(GLASS_EDGE_ID, other, actor=TRAINER_WANG_ID)
    facts = (ModelVersionWithdrawn(version="v1.01", reason="…"), ModelDataPathReleased(folder=TRAINING_FOLDER))
    history = published.add(MODEL_ID, *facts, actor=TRAINER_LI_ID)
    read = project(history, Users, Models)
    assert [path.is_releaser_deleted for path in read.models.locked_paths(MODEL_ID)] == [False]
    read.take_in(history.add(TRAINER_LI_ID, UserDeleted(heir=TRAINER_WANG_ID), actor=QUALITY_LEAD_ID))
    (version,) = read.models.get(MODEL_ID).versions
    assert (version.is_publisher_deleted, version.is_withdrawer_deleted) == (False, True)
    (released,) = read.models.locked_paths(MODEL_ID)
    assert (released.released_by, released.is_releaser_deleted) == ("trainer_li", True)
    (kept,) = read.models.locked_paths(GLASS_EDGE_ID)
    assert (kept.released_by, kept.is_releaser_deleted) == ("", False)
