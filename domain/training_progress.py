"""How far a training is, as shares of the whole: told by its worker while it runs, and by the log afterwards."""

from typing import Final

READ_SHARE: Final = 0.02
PREPARED_SHARE: Final = 0.05
"""After reading the images, and after decoding them; the training follows."""
TRAINED_SHARE: Final = 0.98
"""After the last iteration; the model is still to be judged and its weights to be kept."""


def share_of_whole(trained: float) -> float:
    """How far a training is where so much of its iterations is done, 0..1."""
    return PREPARED_SHARE + (TRAINED_SHARE - PREPARED_SHARE) * trained
