"""The recipes of the golden README for S3R and RTFM, and what several tests do with them."""

import functools
import json
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from vadjax.systems.s3r.convert import to_variables
from vadjax.systems.s3r.model import Network, build


def uniform(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """u(seed, name, shape)."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode("ascii"))])
    return rng.random(shape)


def recipe_weight(seed: int, name: str, shape: list[int], kind: str, gain: float) -> np.ndarray:
    """One tensor of a state dict, float32."""
    if kind == "zero_int":
        return np.zeros(shape, np.int64)
    r = uniform(seed, name, tuple(shape))
    s = 2 * r - 1
    values = {
        "kernel": lambda: s * (np.sqrt(3) * gain / np.sqrt(np.prod(shape[1:]))),
        "bias": lambda: 0.1 * s,
        "norm_scale": lambda: 1 + 0.2 * s,
        "norm_bias": lambda: 0.1 * s,
        "run_mean": lambda: 0.2 * s,
        "run_var": lambda: 0.5 + r,
    }
    return values[kind]().astype(np.float32)


def recipe_video(seed: int, name: str, shape: tuple[int, int, int, int]) -> np.ndarray:
    """Bags [B, N, T, C]."""
    r = uniform(seed, f"{name}/u", shape)
    level = uniform(seed, f"{name}/level", (shape[0], shape[2]))
    return (3 * (r * r * r * r) * (0.5 + level)[:, None, :, None]).astype(np.float32)


def recipe_dictionary(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Dictionary [S, C]."""
    r = uniform(seed, "dictionary", shape)
    return (2 * (r * r * r)).astype(np.float32)


class Case:
    """One model of the golden set: `s3r_small`, `s3r_full` or `rtfm_full`.

    Attributes:
      settings: of its `*_params.json`, without `params`; and of `cases.json`.
    """

    def __init__(self, folder, name: str):
        self.folder, self.name = folder, name
        content = json.loads((folder / f"{name}_params.json").read_text())
        self.params = content.pop("params")
        cases = json.loads((folder / "cases.json").read_text())
        self.settings = content | cases | cases[name]
        self.seed, self.dim, self.crops = content["seed"], content["dim"], content["crops"]

    @functools.cached_property
    def dictionary(self) -> np.ndarray | None:
        """[S, C]; None for RTFM."""
        if "slots" not in self.settings:
            return None
        return recipe_dictionary(self.seed, (self.settings["slots"], self.dim))

    def state(self) -> dict[str, np.ndarray]:
        """The state dict of the originals."""
        return {row["name"]: recipe_weight(self.seed, **row) for row in self.params}

    def model(self, **options) -> Network:
        """The network without dropout."""
        return build(self.name.split("_")[0], **{"dropout": 0.0} | options)

    def variables(self) -> dict:
        """Its variables."""
        variables, unused = to_variables(self.state(), self.model(), self.dim, self.name)
        assert bool(unused) == self.name.startswith("s3r")
        return jax.tree.map(jnp.asarray, variables)

    def numbers(self, kind: str) -> dict[str, np.ndarray]:
        """Golden arrays of `eval`, `train` or `dropout`."""
        return dict(np.load(self.folder / f"{self.name}_{kind}.npz"))

    def video(self, snippets: int) -> np.ndarray:
        """The bag of an evaluation, [1, N, T, C]."""
        shape = (1, self.crops, snippets, self.dim)
        return recipe_video(self.seed, f"eval_video_T{snippets}", shape)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The bags of a training step."""
        number = step % (self.settings["stored_batches"] or step + 1)
        shape = self.settings["batch_size"], self.crops, self.settings["segments"], self.dim
        return {
            ours: recipe_video(self.seed, f"train_{theirs}_{number}", shape)
            for ours, theirs in (("normal", "regular"), ("anomalous", "anomaly"))
        }
