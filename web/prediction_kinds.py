"""题库预测 and 模型对比: the same lists, jobs and steps at two addresses, in two words. Source: manual, “在线评估”."""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from domain.prediction_jobs import PredictionKind
from domain.sentences import N_


class KindOfPages(msgspec.Struct, frozen=True, kw_only=True):
    """Where the jobs of one kind are, and the words that only they use. `draft` names the unfinished form."""

    kind: PredictionKind
    address: str
    draft: str
    title: str
    new: str
    start: str
    deleted: str
    queued: str

    @property
    def new_address(self) -> str:
        """The first of the three steps."""
        return f"{self.address}/new"

    @property
    def is_comparison(self) -> bool:
        """Whether two versions are chosen."""
        return self.kind is PredictionKind.COMPARISON


QUESTION_BANK = KindOfPages(
    kind=PredictionKind.QUESTION_BANK,
    address="/prediction-jobs",
    draft="prediction",
    title=N_("Question-bank prediction"),
    new=N_("New prediction job"),
    start=N_("Start prediction"),
    deleted=N_("Prediction job “{name}” is deleted."),
    queued=N_("Prediction job “{name}” waits for a worker."),
)
COMPARISON = KindOfPages(
    kind=PredictionKind.COMPARISON,
    address="/comparisons",
    draft="comparison",
    title=N_("Model comparison"),
    new=N_("New comparison"),
    start=N_("Start comparison"),
    deleted=N_("Comparison “{name}” is deleted."),
    queued=N_("Comparison “{name}” waits for a worker."),
)
PAGES: Mapping[PredictionKind, KindOfPages] = MappingProxyType({one.kind: one for one in (QUESTION_BANK, COMPARISON)})
