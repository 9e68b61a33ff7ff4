r"""Objects and their attributes on CUHK Avenue: 16 training and 21 test videos (spec attributes).

    python -m data_prep.weights nanodet
    python -m data_prep.avenue --data AVENUE --out data/avenue --tracks TRACKS
    python -m vadjax.main --config=configs/avenue_attributes.py --config.data.dir=data/avenue \
        --workdir=RUN

There is no paper of this rule, and no original program: "specification" is what an independent
program measured of published tracks of people (`python -m data_prep.tracks dataset --help`).

    figure             paper   specification   here
    (no variant) AUC   –       –               not measured
    :tracks AUC        –       0.650           not measured
    :tracks macro AUC  –       0.790           not measured

Variants: `:tracks`, `:smoke`, and the others of configs/ped2_attributes.py.
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.attributes import presets


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The rule of the specification, or a variant."""
    return apply_variant(presets.attributes(), variant, presets.VARIANTS)
