"""The sections that every config has; each file of `configs/` fills them in."""

from collections.abc import Callable

import ml_collections


def base(system: str) -> ml_collections.ConfigDict:
    """A config of `system` with the shared sections.

    data     dir ("" = the built-in toy set), verify (checksum | size), threads, prefetch
    train    steps, batch (global), precision (float32 | bfloat16), log/evaluate/save_every (steps;
             0 = only at the end), keep (so many of the newest checkpoints), devices (0 = all),
             fsdp (the devices share out parameters and the state of the optimiser too),
             profile (a trace of five steps goes to WORKDIR/profile)
    eval     split, batch (videos at once), select_on_test, select_by, threshold, pairings,
             pair_seed, untrained (score the first state too, for comparison); where scores have
             maps or boxes and the dataset has tracks: alpha, beta (spec metrics §3), thresholds,
             min_area (of maps), tracks (what the report says of where the tracks are from).
             Systems that learn from bags have held_out: this share of the training videos of each
             label is kept out, and selects the step that is reported (0 = none; the last)
    report   videos (curves of the best and worst so many videos), windows (so many highest- and
             lowest-scoring pictures, where the system predicts frames; 0 = none), reasons (why so
             many of the highest-scoring events were flagged, where the system says it; 0 = none)
    """
    config = ml_collections.ConfigDict()
    config.system = system
    config.seed = 0
    config.data = {"dir": "", "verify": "checksum", "threads": 2, "prefetch": 2}
    config.train = {
        "steps": 1000,
        "batch": 32,
        "precision": "float32",
        "log_every": 10,
        "evaluate_every": 0,
        "save_every": 500,
        "keep": 3,
        "fsdp": False,
        "profile": False,
        "devices": 0,
    }
    config.eval = {
        "split": "test",
        "batch": 512,
        "select_on_test": False,
        "select_by": "auc",
        "threshold": 0.5,
        "pairings": 10,
        "pair_seed": 0,
        "untrained": True,
        "alpha": 0.1,
        "beta": 0.1,
        "thresholds": 200,
        "min_area": 1,
        "tracks": "",
    }
    config.report = {"videos": 12, "windows": 4, "reasons": 6}
    return config


def features() -> dict:
    """Section `features`: how new video becomes features (`--mode=predict`).

    weights        folder of the network (python -m data_prep.weights); "RGB,FLOW" for two
    crops, step, normalisation, flow: as the flags of data_prep.extract_features. They count only
                   where the dataset does not say how its features were made
    """
    return {"weights": "", "crops": "centre", "step": 16, "normalisation": "", "flow": ""}


def small_report(config: ml_collections.ConfigDict) -> None:
    """One picture of a kind: drawing takes much of a run of a few steps."""
    config.report = {"videos": 1, "windows": 1, "reasons": 1}


def variant(name: str, known: dict) -> Callable:
    """The function of `known` that a config's `:variant` names.

    Raises:
      ValueError: no variant of that name.
    """
    if name not in known:
        have = ", ".join(f":{key}" for key in known if key)
        raise ValueError(f"no variant :{name} of this config; it has {have}")
    return known[name]
