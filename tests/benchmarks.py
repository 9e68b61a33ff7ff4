"""The benchmarks lie in `benchmarks/` now: `python -m benchmarks.NAME`."""

import sys

OLD = "tests.benchmarks"
called = next((one for one in sys.orig_argv if one.startswith(f"{OLD}.")), f"{OLD}.NAME")
sys.exit(f"error: {called} is now: python -m {called.removeprefix('tests.')}")
