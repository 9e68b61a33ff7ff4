r"""One camera of your own: normal video of it in, what is unusual out.

    python -m data_prep.videos --normal NORMAL --new NEW --out DATASET
    python -m vadjax.main --config=configs/camera.py --config.data.dir=DATASET --workdir=RUN
    python -m vadjax.main --workdir=RUN --mode=predict --video=VIDEO

NORMAL is footage in which nothing unusual happens, NEW what is to be looked through; no labels are
needed (docs/videos.md). The run ends with a report of what is unusual in the test split. What was
fitted to the footage is printed: sizes of boxes, speeds, the alarm line and how often normal video
reaches it.
`--config.alarm.per_hour=1` sets the line to one false alarm an hour. There is no published row for
a camera of one's own:

    figure             paper   original program   here
    (any)              –       –                  –

Variants:
    (none)       the system of configs/ped2_attributes.py: objects of NanoDet-g and what else moves;
                 speed and look
    :motion      only what moves; speed and look
    :nodetector  only what moves, judged by its speed; no weights are needed
    :exemplar    the system of configs/ped2_exemplar.py: exemplars of every region, by optical flow;
                 no weights are needed. --config.volume.window=10,96,96 with
                 --config.volume.step=5,48,48 is for people of 96 pixels; without, of 40
    :smoke       as :nodetector, in seconds, on toy scenes
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.attributes import presets
from vadjax.systems.exemplar import presets as exemplar_presets

VARIANTS = {name: presets.VARIANTS[name] for name in ("motion", "nodetector", "smoke")}


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The attributes system for a camera, a variant of it, or the exemplar system."""
    if variant == "exemplar":
        config = exemplar_presets.default()
        exemplar_presets.flow_speed(config)
        return config
    return apply_variant(presets.attributes(), variant, VARIANTS | {"exemplar": None})
