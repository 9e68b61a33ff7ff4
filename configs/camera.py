r"""One camera of your own: normal video of it in, what is unusual out.

    python -m vadjax.main --config=configs/camera.py --config.data.dir=DATASET --workdir=RUN
    python -m vadjax.main --config=configs/camera.py --workdir=RUN --mode=predict --video=VIDEO

DATASET is a dataset of frames whose training split is normal video (`python -m
data_prep.ucsd_ped --help` says how folders of frames become one). No labels are needed to predict.
The system is that of `configs/ped2_attributes.py`: nothing is trained. There is no published row
for a camera of one's own:

    figure             paper   original program   here
    (any)              –       –                  –

Variants:
    (none)       objects of NanoDet-g and what else moves; speed and look
    :motion      only what moves; speed and look
    :nodetector  only what moves, judged by its speed; no weights are needed
    :smoke       as :nodetector, in seconds, on toy scenes
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.attributes import presets

VARIANTS = {name: presets.VARIANTS[name] for name in ("motion", "nodetector", "smoke")}


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The attributes system for a camera, or a variant of it."""
    return apply_variant(presets.attributes(), variant, VARIANTS)
