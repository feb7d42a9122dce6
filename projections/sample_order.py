"""In which order the samples of a report are shown; apart from their index, which needs numpy."""

import enum


class Order(enum.Enum):
    """The order of samples in a list. Surest is the highest confidence, of a comparison the highest sum of both."""

    SUREST = "surest"
    LEAST_SURE = "least_sure"
    FOLDER = "folder"
