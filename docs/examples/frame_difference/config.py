"""Mean absolute difference of frames, the example of docs/new_system.md.

Command (seconds; the built-in toy scenes without --config.data.dir):
  python -m vadjax.main --config=docs/examples/frame_difference/config.py --workdir=runs/difference
"""

import ml_collections

from vadjax.config import base


def get_config() -> ml_collections.ConfigDict:
    """Nothing is trained by steps: `init` measures the training videos."""
    config = base("docs.examples.frame_difference.system")
    config.train.steps = 0
    config.eval.untrained = False  # there is no untrained state to compare with
    return config
