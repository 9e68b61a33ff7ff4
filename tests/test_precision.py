"""Training in bfloat16 reaches the AUC of float32 on the toy sets."""

import importlib
import json

import pytest

from vadjax import train
from vadjax.data.scenes import ToyScenes
from vadjax.data.toy import write_bags, write_scenes


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict:
    """Toy sets, of the bags the default one."""
    work = tmp_path_factory.mktemp("data")
    write_bags(work / "bags")
    write_scenes(work / "scenes", ToyScenes(train=3, test=3, frames=60, height=48, width=64))
    return {"bags": work / "bags", "scenes": work / "scenes"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "kind", "steps", "least"),
    [
        ("ucf_mil", "bags", 200, 0.7),
        ("shanghaitech_s3r", "bags", 100, 0.8),
        ("ped2_lgn", "scenes", 100, 0.6),
    ],
)
def test_bfloat16_reaches_the_auc_of_float32(module, kind, steps, least, folders, tmp_path):
    found = {}
    for precision in ("float32", "bfloat16"):
        config = importlib.import_module(f"configs.{module}").get_config("demo")
        config.data.dir, config.eval.untrained = str(folders[kind]), False
        config.train.steps, config.train.evaluate_every, config.train.save_every = steps, 0, 0
        config.train.precision, config.train.devices = precision, 1
        train.run(config, tmp_path / precision)
        figures = json.loads((tmp_path / precision / "metrics.json").read_text())["metrics"]
        found[precision] = figures["auc"]
    print(module, found)
    assert found["float32"] > least and found["float32"] != found["bfloat16"]
    assert found["bfloat16"] == pytest.approx(found["float32"], abs=0.01)
