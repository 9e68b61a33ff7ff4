r"""Objects and their attributes on ShanghaiTech: a model for each camera (spec attributes).

With the published tracks and no frames:

    python -m data_prep.tracks dataset --train TRACKS/train --test TRACKS/test \
        --labels TRACKS/anomalous_frames.json --size 480x856 --fps 24 --out data/shanghaitech_tracks
    python -m vadjax.main --config=configs/shanghaitech_attributes.py:tracks \
        --config.data.dir=data/shanghaitech_tracks --workdir=RUN

With the frames:

    python -m data_prep.weights nanodet
    python -m data_prep.shanghaitech --data SHANGHAITECH --out data/shanghaitech
    python -m vadjax.main --config=configs/shanghaitech_attributes.py \
        --config.data.dir=data/shanghaitech --workdir=RUN

A camera is the text before the first underscore of a video's name (data.cameras = "prefix"). There
is no paper of this rule, and no original program: "specification" is what an independent program
measured. In `:tracks` the speed is that of the centres of boxes over 8 frames before and after, and
place and size count.

    figure             paper   specification   here
    (no variant) AUC   –       –               not measured
    :tracks AUC        –       0.757           0.7575
    :tracks macro AUC  –       0.827           0.8287

Variants: `:tracks`, `:smoke`, and the others of configs/ped2_attributes.py.
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.attributes import presets


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The rule of the specification with a model for each camera, or a variant."""
    config = presets.attributes()
    config.data.cameras = "prefix"
    return apply_variant(config, variant, presets.VARIANTS)
