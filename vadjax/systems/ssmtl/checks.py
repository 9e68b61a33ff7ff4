"""Which fields of a config SSMTL cannot use, found before any data are read."""

import ml_collections

from vadjax.config import expect_one_of
from vadjax.systems.ssmtl.model import SMALLEST
from vadjax.systems.ssmtl.score import GAUSSIANS, OBJECT_SCORES, gaussian

SCHEDULES = ("constant", "cosine")


def check_fields(config: ml_collections.ConfigDict) -> None:
    """Checks what would otherwise fail after the data were read, or hours later in scoring.

    Raises:
      ValueError: names the field, its value and what is expected.
    """
    size, smoothing = config.model.size, config.eval
    if size < SMALLEST or size % SMALLEST:
        raise ValueError(f"model.size is {size}; expected a multiple of {SMALLEST} pixels")
    expect_one_of("optim.schedule", config.optim.schedule, SCHEDULES)
    expect_one_of("eval.object_score", config.eval.object_score, OBJECT_SCORES)
    expect_one_of("eval.gaussian", config.eval.gaussian, GAUSSIANS)
    gaussian(smoothing.sigma, smoothing.length, smoothing.gaussian)  # raises for a wrong one
