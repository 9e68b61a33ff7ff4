"""Parts of a machine that some tests need: a person's machine may lack them, CI may not.

`VADJAX_REQUIRE`, a list of names between commas, says which must be there. `.ci/run` sets it.
"""

import os
from typing import NoReturn

import pytest

VARIABLE = "VADJAX_REQUIRE"


def required() -> set[str]:
    """Names of the parts that must be there."""
    return {name.strip() for name in os.environ.get(VARIABLE, "").split(",")} - {""}


def missing(part: str, reason: str) -> NoReturn:
    """Ends a test that lacks a part: a failure where the part is required, else a skip.

    Args:
      part: name of the part, as in `VADJAX_REQUIRE`.
      reason: what is missing and how to get it.
    """
    if part in required():
        pytest.fail(f"{part} is required ({VARIABLE}), but {reason}", pytrace=False)
    pytest.skip(f"{part}: {reason}")
