r"""MIL ranker on UCF-Crime: Sultani et al. (CVPR 2018) in its two-stream I3D form (spec mil).

    python -m vadjax.main --config=configs/ucf_mil.py --config.data.dir=DATASET --workdir=RUN

75 epochs of 27 steps; on two CPU cores 5 minutes for the whole command at the full size
(1,620 + 290 bags of 32 × 2048; generated features, benchmarks/full_size.py).

    figure                                   paper     original program     here
    pooled AUC, UCF-Crime, C3D               75.41 %   -                    not measured
    per-pair AUC, UCF-Crime, two-stream I3D  -         84.45 % [its README] not measured
    (the full features are not public; a per-pair AUC cannot be compared with a pooled one)

Variants:
    :mini   40 real UCF-Crime videos with C3D features, 300 steps of 10 + 10 (spec mil §9):
            pooled AUC of seeds 0-4: .752 .765 .759 .759 .747, mean 0.757 ± 0.006
            (original program 0.761 ± 0.010); untrained 0.519 ± 0.118. 40 s a seed on two cores:
            python -m data_prep.ucf_crime --features FOLDER/c3d_fc6_32seg --out data/ucf_mini
            python -m vadjax.main --config=configs/ucf_mil.py:mini --config.seed=SEED \
                --config.data.dir=data/ucf_mini --workdir=runs/mini_SEED
            python -m vadjax.report.table runs/mini_?
    :demo   400 steps, for the toy set: `make demo`
    :smoke  6 steps, for tests

Quirks of the original that are fields here: loss.segments_used (30; the paper's is 32),
loss.pairing, eval.expansion ("seed": frames past the last whole clip score 0; "segments" gives them
the last score), and eval.select_on_test with eval.select_by = "auc_pairs" (the
original keeps the best epoch on the test split; off here).
"""

import ml_collections

from vadjax.config import apply_variant, small_report
from vadjax.systems.mil import presets


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published run, or `:mini`, `:demo`, `:smoke`."""
    config = presets.ranker()
    config.train.steps = 75 * 27
    config.train.batch = 30
    config.train.evaluate_every = 5 * 27
    config.train.save_every = 5 * 27
    return apply_variant(config, variant, {"mini": _mini, "demo": _demo, "smoke": _smoke})


def _mini(config: ml_collections.ConfigDict) -> None:
    """The protocol of spec mil §9."""
    config.train.steps = 300
    config.train.batch = 10
    config.train.evaluate_every = config.train.save_every = 50


def _demo(config: ml_collections.ConfigDict) -> None:
    config.train.steps = 400
    config.train.evaluate_every = config.train.save_every = 50


def _smoke(config: ml_collections.ConfigDict) -> None:
    small_report(config)
    config.train.steps = 6
    config.train.batch = 8
    config.train.log_every = 2
    config.train.evaluate_every = config.train.save_every = 3
