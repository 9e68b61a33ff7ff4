"""Where the repository and the real data lie."""

import pathlib

ROOT = pathlib.Path(__file__).parents[2]
REAL_DATA = ROOT.parent / "shared" / "data"
