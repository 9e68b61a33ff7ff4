r"""Objects and their attributes on UCSD Ped2, without training (spec attributes).

python -m data_prep.weights nanodet
python -m data_prep.ucsd_ped --data UCSD_PED2 --out data/ped2
python -m vadjax.main --config=configs/ped2_attributes.py --config.data.dir=data/ped2 \
        --workdir=runs/ped2_attributes
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.attributes import presets


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The rule of the specification, or a variant."""
    config = presets.attributes()
    config.eval.tracks = "tracks derived from the masks"
    return apply_variant(config, variant, presets.VARIANTS)
