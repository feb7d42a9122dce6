"""The description of a package, `image.yaml` (I-6): what `ModelPackage` holds, and size and SHA-256 of every other file.

format: 1
summary: …
networks:
  - {task: classification, name: ResNet18, input: {width: 96, height: 96}, weights: weights/resnet18.safetensors}
  - {task: segmentation, name: UNet-ResNet18, input: {width: 256, height: 256}}     # sides that are multiples of 32
resolution_rule: {exact_sizes: [[128, 128]]}        # or a range, both maxima in it; left out: the most frequent size
special_code_min_pixels: 1          # a special code needs more predicted pixels than this, counted at the segmentation's input size
model_parameters: {…}                               # defaults, as people see them in the editors
training_parameters: {…}
prediction_parameters: {…}
files:
  weights/resnet18.safetensors: {size: 44789012, sha256: …}
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
import yaml
from msgspec import Meta

from domain.json_forms import write_json
from domain.model_packages import NetworkInput, NetworkTask
from domain.refusals import Refusal
from domain.sentences import N_, Sentence
from domain.texts import is_seen
from domain.training_parameters import read_model_parameters, read_prediction_parameters, read_training_parameters
from gpu_worker.networks import LARGEST_INPUT, SMALLEST_INPUT, check_network

FORMAT: Final = 1
_MAXIMUM_DEPTH: Final = 20

SHIPPED_NAME: Final = "resnet18@1.0"
SHIPPED: Final[Mapping[str, Any]] = {
    "format": FORMAT,
    "summary": N_(
        "ResNet classifiers and a U-Net for segmentation, trained from nothing; the default parameters are those of the manual."
    ),
    "networks": [
        *(
            {"task": "classification", "name": name, "input": {"width": 128, "height": 128}}
            for name in ("ResNet18", "ResNet34", "ResNet50")
        ),
        {"task": "segmentation", "name": "UNet-ResNet18", "input": {"width": 256, "height": 256}},
    ],
    "special_code_min_pixels": 16,  # a dot of four by four is noise
    "model_parameters": {
        "classification": {"name": "ResNet18", "num_of_classes": 5},
        "code_list": ["TPFIP", "TTFBS", "TTMUD", "TGGS0", "TPOTS", "TSFAS", "TSDFS"],
    },
    "training_parameters": {
        "classification": {
            "base_lr": 0.001,
            "batch_size": 256,
            "max_iter": 40000,
            "weight_decay": 0.0001,
            "momentum": 0.9,
            "lr_policy": "poly",
            "power": 0.9,
            "gamma": 0.1,
        },
        "segmentation": {
            "base_lr": 0.01,
            "batch_size": 16,
            "max_iter": 100000,
            "weight_decay": 0.0001,
            "momentum": 0.9,
            "lr_policy": "poly",
            "power": 0.9,
            "gamma": 0.1,
        },
    },
    "prediction_parameters": {"batch_size": 32},
}
"""Source of the parameters: manual, “模型参数范例”, “默认参数范例”."""

_Side = Annotated[int, Meta(ge=SMALLEST_INPUT, le=LARGEST_INPUT)]
_Pixels = Annotated[int, Meta(ge=0, le=1_000_000)]
_Length = Annotated[int, Meta(ge=1, le=1_000_000)]
_Share = Annotated[float, Meta(ge=-10, le=10)]
_Deviation = Annotated[float, Meta(gt=0, le=10)]


NOT_A_MAPPING = N_("it is not a list of names with values")
HAS_ALIASES = N_("aliases (*name) are not allowed")
HAS_TAGS = N_("tags (!name) are not allowed")
HAS_MERGES = N_("taking in another list of names (<<) is not allowed")
HOLDS_UNSEEN = N_("line {line} holds a character that nobody sees")
IS_NESTED = N_("nested deeper than {most} levels")
STANDS_TWICE = N_("“{name}” stands twice")
IS_NOT_YAML = N_("line {line}, column {column} is not YAML")
IS_NOT_UTF8 = N_("it is not a text in UTF-8")
IS_UNREADABLE = N_("a value in it cannot be understood")
VALUE_IS_WRONG = N_("the value of “{place}” is not right")
_WRONG_VALUES = (
    (r"Expected `(?P<wanted>[^`]+)`, got `(?P<found>[^`]+)`", N_("“{place}” must be {wanted}, not {found}")),
    (r"Expected `(?P<kind>[^`]+)` (?P<bound>[<>]=? .+)", N_("“{place}” must be {kind} {bound}")),
    (
        r"Expected `(?P<kind>[^`]+)` of length (?P<bound>[^,]+)(, got .+)?",
        N_("“{place}” must be {kind} of length {bound}"),
    ),
    (r"Expected `str` matching regex (?P<pattern>.+)", N_("“{place}” must fit the regular expression {pattern}")),
    (r"Object missing required field `(?P<name>[^`]+)`", N_("“{name}” is missing at “{place}”")),
    (r"Object contains unknown field `(?P<name>[^`]+)`", N_("“{name}” at “{place}” means nothing here")),
    (r"Invalid enum value (?P<value>.+)", N_("“{place}” cannot be {value}")),
)


class DescriptionIsMalformed(Refusal):
    """The text is not YAML, or uses what a description does not need."""

    message = N_("image.yaml cannot be read: {problem}. Correct it and build the package again.")


class FormatUnknown(Refusal):
    """A package of a newer platform."""

    message = N_("The package has format {found}; this platform reads format {known}. Build it for this platform.")


class NetworkOfferedTwice(Refusal):
    """A person chooses networks by name."""

    message = N_("image.yaml offers the network “{network}” twice for the same task. Remove one of them.")


class NoNetworkOffered(Refusal):
    """Every task classifies."""

    message = N_("image.yaml offers no classification network. Add one, for example ResNet18.")


class InputSideIsUneven(Refusal):
    """A segmentation halves its input five times and doubles it again; it must meet itself."""

    message = N_("image.yaml: the input sides of “{network}” must be multiples of {step}. Use {width} × {height}.")


class ResolutionRuleIsTwofold(Refusal):
    """Which of the two counts would depend on the reader."""

    message = N_("image.yaml: resolution_rule has exact_sizes and a range. Keep one of the two.")


class ResolutionRangeIsWrong(Refusal):
    """A range that is not whole would screen every image out, or none."""

    message = N_(
        "image.yaml: the range of resolution_rule is {min_width} to {max_width} wide and {min_height} to {max_height} high. "
        "Write both maxima, neither smaller than its minimum."
    )


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file beside the description."""

    size: Annotated[int, Meta(ge=0)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`NetworkInput`, within what the networks can take."""

    width: _Side
    height: _Side
    mean: tuple[_Share, _Share, _Share] = NetworkInput(width=1, height=1).mean
    deviation: tuple[_Deviation, _Deviation, _Deviation] = NetworkInput(width=1, height=1).deviation


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`OfferedNetwork`; `weights` is the name of a file, empty for none."""

    task: NetworkTask
    name: str
    input: Input
    weights: str = ""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`ResolutionRule`."""

    exact_sizes: tuple[tuple[_Length, _Length], ...] = ()
    min_width: _Pixels = 0
    min_height: _Pixels = 0
    max_width: _Pixels = 0
    max_height: _Pixels = 0


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `image.yaml`."""

    format: int
    networks: tuple[Network, ...]
    model_parameters: dict[str, Any]
    training_parameters: dict[str, Any]
    prediction_parameters: dict[str, Any] = {}
    resolution_rule: Rule = Rule()
    special_code_min_pixels: Annotated[int, Meta(ge=1, le=LARGEST_INPUT**2)] = 1
    summary: Annotated[str, Meta(max_length=2000)] = ""
    files: dict[str, File] = {}


def description_of(content: Any) -> Description:
    """The values of a description, each within its bounds.

    Raises:
        FormatUnknown, DescriptionIsMalformed
    """
    found = content.get("format") if isinstance(content, dict) else None
    if isinstance(found, int) and found != FORMAT:
        raise FormatUnknown(found=found, known=FORMAT)
    try:
        return msgspec.convert(content, Description)
    except msgspec.ValidationError as error:
        raise DescriptionIsMalformed(problem=_wrong_value(str(error))) from error


def plain_yaml(text: bytes) -> Any:
    """YAML without aliases, a few lines of which can stand for more values than memory holds, and without deep nesting; without
    what readers of YAML 1.2 read otherwise, and without characters that neither a log nor a person could hold.

    Raises:
        DescriptionIsMalformed
    """
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if problem := _not_plain(event, depth):
                raise DescriptionIsMalformed(problem=problem)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise DescriptionIsMalformed(problem=_not_yaml(error)) from error


def _not_plain(event: yaml.Event, depth: int) -> Sentence | None:
    """What a description does not need; None where it is as plain as others."""
    if isinstance(event, yaml.AliasEvent):
        return Sentence(HAS_ALIASES)
    if depth > _MAXIMUM_DEPTH:
        return Sentence(IS_NESTED, {"most": _MAXIMUM_DEPTH})
    if getattr(event, "tag", None) is not None:
        return Sentence(HAS_TAGS)
    if not isinstance(event, yaml.ScalarEvent):
        return None
    if event.value == "<<" and event.style is None:
        return Sentence(HAS_MERGES)
    is_seen_whole = is_seen(event.value.replace("\n", " ").replace("\t", " "))
    assert event.start_mark is not None, "read from a text"
    return None if is_seen_whole else Sentence(HOLDS_UNSEEN, {"line": event.start_mark.line + 1})


def _not_yaml(error: Exception) -> Sentence:
    """Where the text stops to be YAML; what the library says of it is in English only."""
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    if mark:
        return Sentence(IS_NOT_YAML, {"line": mark.line + 1, "column": mark.column + 1})
    return Sentence(IS_NOT_UTF8 if isinstance(error, (UnicodeDecodeError, yaml.reader.ReaderError)) else IS_UNREADABLE)


def _wrong_value(told: str) -> Sentence:
    """What msgspec found, in words of ours, with the names of types and bounds as it writes them."""
    what, _, place = told.partition(" - at ")
    at = place.strip("`").removeprefix("$").lstrip(".") or "image.yaml"
    for pattern, text in _WRONG_VALUES:
        if found := re.fullmatch(pattern, what):
            return Sentence(text, {"place": at, **found.groupdict()})
    return Sentence(VALUE_IS_WRONG, {"place": at})


class _Loader(yaml.SafeLoader):
    """The safe loader, but keys stand once: which of two counts would depend on the reader."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise DescriptionIsMalformed(problem=Sentence(STANDS_TWICE, {"name": key.value}))
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def check_networks(description: Description) -> None:
    """Whether this platform can train what is offered.

    Raises:
        NetworkUnknown, NetworkOfferedTwice, NoNetworkOffered, InputSideIsUneven
    """
    offered = [(network.task, network.name) for network in description.networks]
    for task, name in offered:
        check_network(task, name)
        if offered.count((task, name)) > 1:
            raise NetworkOfferedTwice(network=name)
    if NetworkTask.CLASSIFICATION not in (task for task, _ in offered):
        raise NoNetworkOffered
    for network in description.networks:
        width, height = (
            -(-side // SMALLEST_INPUT) * SMALLEST_INPUT for side in (network.input.width, network.input.height)
        )
        if network.task is NetworkTask.SEGMENTATION and (width, height) != (network.input.width, network.input.height):
            raise InputSideIsUneven(network=network.name, step=SMALLEST_INPUT, width=width, height=height)


def check_resolution_rule(rule: Rule) -> None:
    """Whether some images comply with the rule (W-10); an empty one is left to the training images.

    Raises:
        ResolutionRuleIsTwofold, ResolutionRangeIsWrong
    """
    if not any((rule.min_width, rule.min_height, rule.max_width, rule.max_height)):
        return
    if rule.exact_sizes:
        raise ResolutionRuleIsTwofold
    if not (0 < rule.max_width >= rule.min_width and 0 < rule.max_height >= rule.min_height):
        bounds = {name: getattr(rule, name) for name in ("min_width", "min_height", "max_width", "max_height")}
        raise ResolutionRangeIsWrong(**bounds)


def default_parameters(description: Description) -> Mapping[str, str]:
    """The default parameters as the editors will show them, by their names in `ModelPackage`.

    Raises:
        Refusal: as if a person had written them.
    """
    offered = {task: [network.name for network in description.networks if network.task is task] for task in NetworkTask}
    model = write_json(description.model_parameters)
    training = write_json(description.training_parameters)
    prediction = write_json(description.prediction_parameters)
    read_model_parameters(model, offered[NetworkTask.CLASSIFICATION], offered[NetworkTask.SEGMENTATION])
    read_training_parameters(training)
    read_prediction_parameters(prediction)
    return {"model_parameters": model, "training_parameters": training, "prediction_parameters": prediction}
