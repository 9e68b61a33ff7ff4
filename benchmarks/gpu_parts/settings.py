"""What all parts of `benchmarks.gpu` are given, and how they say that there is nothing to do."""

import pathlib
from typing import NamedTuple

from tests.helpers.accelerator_cases import PUBLISHED, SMALL, Size

ROOT = pathlib.Path(__file__).parents[2]


class LeftOut(Exception):
    """Why a part has nothing to measure on this machine."""


class Settings(NamedTuple):
    """Of the command line.

    Attributes:
      small: whether all sizes are those of tests.
      volumes: that the exemplar kernels see, in all.
      exemplars: that they compare them with, in all.
    """

    small: bool
    volumes: int
    exemplars: int

    @property
    def size(self) -> Size:
        """Of the inputs of steps."""
        return SMALL if self.small else PUBLISHED
