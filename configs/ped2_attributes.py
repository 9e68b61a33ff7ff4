r"""Objects and their attributes on UCSD Ped2, without training (spec attributes).

    python -m data_prep.weights nanodet
    python -m data_prep.ucsd_ped --data UCSD_PED2 --out data/ped2
    python -m vadjax.main --config=configs/ped2_attributes.py --config.data.dir=data/ped2 \
        --workdir=RUN

Minutes on two cores. No label is used. The rule and its constants were written down before any
test label was read; regions and tracks are derived from the masks, not the annotators'. There is
no paper of this rule, and no original program: "specification" is what an independent program
measured.

    figure, real Ped2            paper   original program   here: AUC   RBDC    TBDC
    (no variant)                 –       – (specification:  0.980       0.810   0.955
                                         0.980 0.814 0.957)
    :yolo                        –       – (0.982 0.825 0.962) 0.982      0.819   0.956
    :motion                      –       – (0.948 0.662 0.925) 0.948      0.662   0.925
    :nodetector                  –       – (0.930 –     –    ) 0.930      0.666   0.933

Variants (all but the first need no other command; `:yolo` needs boxes in the dataset):
    (none)       objects of NanoDet-g and what else moves; speed and look
    :yolo        the boxes that the dataset holds in place of the detector's
    :motion      only what moves; speed and look
    :nodetector  only what moves, judged by its speed; no weights are needed
    :tracks      tracks of a dataset without pixels; speed, place and size
    :smoke       as :nodetector, in seconds, on toy scenes
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.attributes import presets


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The rule of the specification, or a variant."""
    config = presets.attributes()
    config.eval.tracks = "tracks derived from the masks"
    return apply_variant(config, variant, presets.VARIANTS)
