"""训练数据集 and 题库数据集: the same pages at two addresses, in two words. Source: section D; manual, “数据集管理”."""

from uuid import UUID

import msgspec

from domain.datasets import DatasetPurpose
from domain.refusals import NotFound
from domain.sentences import N_
from projections.datasets import DatasetRow
from web.services import ReadModels


class Kind(msgspec.Struct, frozen=True):
    """What tells the two kinds of datasets apart on pages."""

    purpose: DatasetPurpose
    address: str
    title: str


TRAINING = Kind(DatasetPurpose.TRAINING, "/training-datasets", N_("Training datasets"))
QUESTION_BANK = Kind(DatasetPurpose.QUESTION_BANK, "/question-bank-datasets", N_("Question-bank datasets"))


def dataset_of(read: ReadModels, kind: Kind, dataset_id: UUID) -> DatasetRow:
    """A dataset of one kind; under the address of the other it does not exist.

    Raises:
        NotFound
    """
    dataset: DatasetRow | None = read.datasets.head(dataset_id)
    if dataset is None or dataset.purpose is not kind.purpose:
        raise NotFound
    return dataset
