"""The recipes of the golden README for S3R and RTFM, and what several tests do with them."""

import functools
import json
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vadjax.ops.optim import adam
from vadjax.systems.s3r.convert import to_state, to_variables
from vadjax.systems.s3r.model import Network, build
from vadjax.systems.s3r.step import by_label, pair_loss


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


@functools.cache
def training_step(model: Network, rate: float, decay: float, top_k: int):
    """Compiled step on (params, batch_stats, optimizer, batch, dictionary, keep)."""
    optimizer = adam(rate, decay)

    @functools.partial(jax.jit, donate_argnums=(0, 2))
    def step(params, batch_stats, state, batch, dictionary, keep):
        loss = functools.partial(
            pair_loss,
            model=model,
            dictionary=dictionary,
            keep=keep,
            top_k=top_k,
            selection_dropout=0.0,
        )
        gradient = jax.value_and_grad(loss, has_aux=True)
        (total, aux), gradients = gradient(params, batch_stats, batch, jax.random.key(0))
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), aux[1], state, (total, *aux), gradients

    return optimizer, step


TOLERANCES = {  # of the golden README §3: small and full models
    "small": {"scores": 2e-6, "smoothness": 1e-5, "gradient": 1e-3, "norm": 3e-4, "loss": 5e-5},
    "full": {"scores": 5e-6, "smoothness": 1e-3, "gradient": 5e-3, "norm": 2e-3, "loss": 1e-3},
}
AFTER_ONE = {"atol": 2e-6, "rtol": 1e-6}  # running statistics after one step
TERMS = {
    "bag": "loss_cls",
    "magnitude": "loss_magnitude_raw",
    "sparsity": "loss_sparse",
    "smoothness": "loss_smooth",
    "macro": "loss_macro",
}
WEIGHTS = {"sparsity": 8e-3, "smoothness": 8e-4}  # already in the golden terms


def check_losses(expected: dict, total, terms: dict, smoothness: float) -> None:
    """Every term that is in `expected`."""
    close = functools.partial(np.testing.assert_allclose, rtol=2e-6)
    close(total, expected["loss_total"])
    close(terms["bag"] + 1e-4 * terms["magnitude"], expected["loss_rtfm"])
    assert ("macro" in terms) == ("loss_macro" in expected)
    for ours, theirs in TERMS.items():
        if ours in terms:
            found = WEIGHTS.get(ours, 1.0) * terms[ours]
            rtol = smoothness if ours == "smoothness" else 2e-6
            close(found, expected[theirs], rtol=rtol, err_msg=ours)


def check_outputs(expected: dict, outputs, chosen, atol: float) -> None:
    """Scores, magnitudes, and the choice of snippets; normal bags come first in the file."""
    (normal, top_normal), (anomalous, top_anomalous) = by_label((outputs, chosen))
    both = jax.tree.map(lambda a, b: np.concatenate([a, b]), normal, anomalous)
    key = "feature_magnitudes" if "feature_magnitudes" in expected else "feat_magnitudes"
    np.testing.assert_allclose(both.magnitudes, expected[key], rtol=2e-6)
    key = "video_scores" if "video_scores" in expected else "scores"
    np.testing.assert_allclose(both.scores[..., None], expected[key], atol=atol, rtol=0)
    if both.macro is not None:
        found = both.macro[..., None]
        np.testing.assert_allclose(found, expected["macro_scores"], atol=atol, rtol=0)
    for label, names, scores, top in (
        ("regular", ("regular_score", "score_normal"), normal.scores, top_normal),
        ("anomaly", ("anomaly_score", "score_abnormal"), anomalous.scores, top_anomalous),
    ):
        np.testing.assert_array_equal(top, expected[f"topk_{label}"])
        (name,) = (name for name in names if name in expected)
        found = np.take_along_axis(np.asarray(scores), np.asarray(top), 1).mean(1, keepdims=True)
        np.testing.assert_allclose(found, expected[name], atol=atol, rtol=0)


def check_gradient_norms(case: Case, expected: dict, gradients: dict, rtol: float) -> None:
    """Norms of all gradients but those that are 0 in truth; -1 are tensors of no use."""
    zero = tuple(case.settings["zero_gradient_suffixes"])
    norms = dict(
        zip(expected["grad_norm_names"].tolist(), expected["grad_norm_values"], strict=True)
    )
    used = {name for name, value in norms.items() if value != -1}
    assert used == set(gradients)
    for name in used:
        if not name.endswith(zero):
            found = np.linalg.norm(gradients[name].astype(np.float64))
            np.testing.assert_allclose(found, norms[name], rtol=rtol, err_msg=name)


def check_gradients(case: Case, numbers: dict, gradients: dict, tolerance: float) -> None:
    """Whole gradients, or their first 64 values, against the largest of the tensor."""
    zero = tuple(case.settings["zero_gradient_suffixes"])
    compared = 0
    for key, expected in numbers.items():
        prefix, _, name = key.partition("/")
        if prefix in ("grad", "grad_slice") and not name.endswith(zero):
            found = gradients[name].reshape(-1)[: expected.size]
            atol = tolerance * np.abs(gradients[name]).max()
            np.testing.assert_allclose(found, expected.ravel(), atol=atol, rtol=0, err_msg=name)
            compared += 1
    assert compared


def check_parameters(
    numbers: dict, prefix: str, state: dict, share: float, most: float, running
) -> None:
    """All parameters pooled, and the running statistics one by one.

    Args:
      numbers: of the golden file.
      prefix: of their names.
      state: ours, by the names of the originals.
      share: of the parameters that must be within 1e-5.
      most: allowed difference of the others.
      running: tolerances of the statistics, from the expected ones.
    """
    differences = []
    for key, expected in numbers.items():
        name = key.removeprefix(f"{prefix}/")
        if key == name or "_projection" in name:
            continue
        found = state[name].reshape(-1)[: expected.size]
        if "running" in name:
            tolerances = running(np.abs(expected).max())
            np.testing.assert_allclose(found, expected.ravel(), err_msg=name, **tolerances)
        else:
            differences.append(np.abs(found - expected.ravel()))
    pooled = np.concatenate(differences)
    assert (pooled <= 1e-5).mean() >= share and pooled.max() <= most


def check_training(case: Case, size: str) -> None:
    """The golden trajectory: one compilation, and no more kept than is looked at."""
    numbers, tolerance = case.numbers("train"), TOLERANCES[size]
    rate, steps = float(numbers["lr"]), case.settings["steps"]
    decay, top_k = float(numbers["weight_decay"]), case.settings["top_k"]
    optimizer, step = training_step(case.model(), rate, decay, top_k)
    variables = case.variables()
    params, batch_stats = variables["params"], variables.pop("batch_stats")
    state = optimizer.init(variables.pop("params"))
    for number in range(steps):
        params, batch_stats, state, (total, terms, _, outputs, chosen), gradients = step(
            params, batch_stats, state, case.batch(number), case.dictionary, {}
        )
        expected = numbers["loss_trajectory"][number]
        np.testing.assert_allclose(total, expected, atol=tolerance["loss"], rtol=0)
        if number in (0, steps - 1):
            after = {"params": params, "batch_stats": batch_stats}
            after = to_state(after, case.model(), case.dim)
        if number == 0:
            first = {k.removeprefix("step0/"): v for k, v in numbers.items() if "step0/" in k}
            check_losses(first, total, terms, tolerance["smoothness"])
            check_outputs(first, outputs, chosen, tolerance["scores"])
            gradients = to_state({"params": gradients}, case.model(), case.dim)
            check_gradient_norms(case, numbers, gradients, tolerance["norm"])
            check_gradients(case, numbers, gradients, tolerance["gradient"])
            prefix = "after1" if size == "small" else "after1_slice"
            check_parameters(numbers, prefix, after, 0.999, 2 * rate, lambda _: AFTER_ONE)
        del outputs, gradients
    check_parameters(
        numbers,
        f"after{steps}_slice",
        after,
        0.995,
        2 * rate * steps,
        lambda top: {"atol": 2e-5 if size == "small" else 2e-2 * top, "rtol": 0},
    )
