"""The recipes of the golden README for LGN-Net and MNAD, and runs that several tests look at."""

import csv
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vadjax.data.video.reader import to_float
from vadjax.ops import compilation
from vadjax.systems.lgn.convert import to_variables, weight_names
from vadjax.systems.lgn.model import FramePredictor, build
from vadjax.systems.lgn.step import RunningState, window_loss

WEIGHTS = {"lgn": (10.0, 5.0), "mnad_prediction": (0.1, 0.1), "mnad_reconstruction": (0.01, 0.01)}
RATE = 2e-4  # of Adam
FILES = {"lgn": "lgn", "mnad_prediction": "mnad_pred", "mnad_reconstruction": "mnad_recon"}


def recipe_weights(folder, variant: str) -> dict[str, np.ndarray]:
    """The state dict of the originals that the golden numbers were measured with."""
    seed = json.loads((folder / "set.json").read_text())["seed"]
    state = {}
    with open(folder / f"params_{FILES[variant]}.csv", newline="") as file:
        for row in csv.DictReader(file):
            shape = tuple(map(int, row["shape"].split("x")))
            low, high = float(row["lo"]), float(row["hi"])
            draw = np.random.default_rng([seed, int(row["index"])]).random(shape)
            state[row["name"]] = np.float32(low + (high - low) * draw)
    return state


def load_model(folder, variant: str, dtype=np.float32) -> tuple[FramePredictor, dict]:
    """The network and its variables with the recipe's weights."""
    model = build(variant, dtype=jnp.dtype(dtype))
    variables, _ = to_variables(recipe_weights(folder, variant), model, "golden recipe")
    return model, jax.tree.map(lambda a: jnp.asarray(a, dtype), variables)


def by_torch_names(model: FramePredictor, variables: dict) -> dict[str, np.ndarray]:
    """Leaves of ours under the names and in the layout of torch."""
    found = {}
    for name, (collection, *path), axes in weight_names(model):
        if collection in variables:
            leaf = variables[collection]
            for key in path:
                leaf = leaf[key]
            found[name] = np.asarray(leaf).transpose(np.argsort(axes))
    return found


def channels_first(x: jax.Array) -> np.ndarray:
    """[..., H, W, C] → [..., C, H, W]."""
    return np.moveaxis(np.asarray(x), -1, -3)


def windows(frames: np.ndarray, dtype=np.float32) -> jax.Array:
    """Frames uint8 → input, computed in float32."""
    return jnp.asarray(to_float(frames), dtype)


def train(folder, variant: str, numbers: dict, steps: int, dtype=np.float32) -> list[dict]:
    """Steps of Adam on one batch, the memory carried on: what is known before and after each."""
    model, variables = load_model(folder, variant, dtype)
    optimizer = optax.adam(RATE)
    loss = functools.partial(
        window_loss,
        model=model,
        compactness_weight=WEIGHTS[variant][0],
        separateness_weight=WEIGHTS[variant][1],
    )

    @functools.partial(jax.jit, compiler_options=compilation.step_options())
    def step(params, running, state, batch):
        gradient = jax.value_and_grad(loss, has_aux=True)
        (total, (terms, running)), gradients = gradient(params, running, batch)
        updates, state = optimizer.update(gradients, state, params)
        losses = [terms["pixel"], terms["compactness"], terms["separateness"], total]
        return optax.apply_updates(params, updates), running, state, jnp.stack(losses), gradients

    batch = windows(numbers["frames"], dtype)
    running = RunningState(variables["batch_stats"], jnp.asarray(numbers["keys"], dtype))
    params, state, found = variables["params"], optimizer.init(variables["params"]), []
    for _ in range(steps):
        params, running, state, losses, gradients = step(params, running, state, batch)
        after = {"params": params, "batch_stats": running.batch_stats}
        found.append(
            {
                "losses": np.asarray(losses),
                "items": np.asarray(running.items),
                "gradients": by_torch_names(model, {"params": gradients}),
                "after": by_torch_names(model, after),
            }
        )
    return found
