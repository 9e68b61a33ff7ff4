"""Training in bfloat16 reaches the AUC of float32 on toy sets.

Short trainings on hard sets differ by more from seed to seed; these are easy enough to be learnt.
"""

import json

import pytest

from tests.helpers import commands
from vadjax.data.toy.datasets import ToyBags, write_bags, write_scenes
from vadjax.data.toy.scenes import ToyScenes

CASES = {
    "mil": ("ucf_mil", "bags", {"train.steps": 100, "train.batch": 16}),
    "s3r": (
        "shanghaitech_s3r",
        "bags",
        {
            "train.steps": 120,
            "model.dropout": 0.0,
            "model.selection_dropout": 0.0,
            "eval.held_out": 0.0,
        },
    ),
    "lgn": ("ped2_lgn", "scenes", {"train.steps": 60, "model.width": 8}),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict:
    """Bags of one kind of anomaly, and street scenes."""
    work = tmp_path_factory.mktemp("data")
    recipe = ToyBags(train=(40, 40), test=(20, 20), width=32, classes=1, strength=25)
    write_bags(work / "bags", recipe)
    write_scenes(work / "scenes", ToyScenes(train=3, test=3, frames=60, height=48, width=64))
    return {"bags": work / "bags", "scenes": work / "scenes"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["mil", *(pytest.param(name, marks=pytest.mark.whole) for name in ("s3r", "lgn"))]
)
def test_bfloat16_reaches_the_auc_of_float32(name, folders, tmp_path):
    module, kind, fields = CASES[name]
    found = {}
    for precision in ("float32", "bfloat16"):
        own = {
            **fields,
            "data.dir": folders[kind],
            "train.precision": precision,
            "eval.untrained": False,
            "train.save_every": 0,
            "train.evaluate_every": 0,
            "report.videos": 1,
            "report.windows": 1,
        }
        code, _, errors = commands.run(
            "vadjax.main",
            f"--config=configs/{module}.py:demo",
            f"--workdir={tmp_path / precision}",
            *(f"--config.{key}={value}" for key, value in own.items()),
        )
        assert code == 0, errors
        figures = json.loads((tmp_path / precision / "metrics.json").read_text())["metrics"]
        found[precision] = figures["auc"]
    print(name, found)
    assert found["float32"] > 0.8 and found["float32"] != found["bfloat16"]
    assert found["bfloat16"] == pytest.approx(found["float32"], abs=0.01)
