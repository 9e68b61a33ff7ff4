"""A case of one ST-LSTM cell, as the golden `unit_stlstm.npz`, by a reference in NumPy.

Written from spec lgn_net §2.1. Gradients are by complex steps: `Im f(x + i h) / h` is exact to the
precision of float64.
"""

import numpy as np

STEP = 1e-30


def make(rng: np.random.Generator, batch: int, inputs: int, hidden: int, size: tuple[int, int]):
    """The keys of the golden file, without `zig/*` (those need one width).

    Args:
      rng: of weights, inputs and cotangents.
      batch: B.
      inputs: channels of x.
      hidden: channels C of h, c, m.
      size: (H, W).

    Returns:
      name → array; maps are [B, C, H, W].
    """
    kernels = {
        "conv_x.0": (7 * hidden, inputs, 3, 3),
        "conv_h.0": (4 * hidden, hidden, 3, 3),
        "conv_m.0": (3 * hidden, hidden, 3, 3),
        "conv_o.0": (hidden, 2 * hidden, 3, 3),
        "conv_last": (hidden, 2 * hidden, 1, 1),
    }
    channels = {"x": inputs, "h": hidden, "c": hidden, "m": hidden}
    free = {f"w/{name}.weight": _draw(rng, shape) for name, shape in kernels.items()}
    free |= {f"in/{name}": _draw(rng, (batch, n, *size)) for name, n in channels.items()}
    cotangents = {f"cot/{name}": _draw(rng, (batch, hidden, *size)) for name in "hcm"}
    out = dict(zip(("out/h", "out/c", "out/m"), cell(free), strict=True))
    case = {**free, **cotangents, **out, "loss": loss(free, cotangents)}
    for name in free:
        case[f"grad_{name}"] = _gradient(free, cotangents, name)
    return case


def cell(free: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """New h, c, m."""
    x, h, c, m = (free[f"in/{name}"] for name in "xhcm")
    xi, xf, xg, xi_m, xf_m, xg_m, xo = np.split(_conv(x, free["w/conv_x.0.weight"]), 7, 1)
    hi, hf, hg, ho = np.split(_conv(h, free["w/conv_h.0.weight"]), 4, 1)
    mi, mf, mg = np.split(_conv(m, free["w/conv_m.0.weight"]), 3, 1)
    c = _sigmoid(xf + hf + 1) * c + _sigmoid(xi + hi) * np.tanh(xg + hg)
    m = _sigmoid(xf_m + mf + 1) * m + _sigmoid(xi_m + mi) * np.tanh(xg_m + mg)
    both = np.concatenate([c, m], 1)
    o = _sigmoid(xo + ho + _conv(both, free["w/conv_o.0.weight"]))
    return o * np.tanh(_conv(both, free["w/conv_last.weight"])), c, m


def loss(free: dict, cotangents: dict):
    """Sum over the outputs of output times cotangent."""
    return sum(
        (out * cotangents[f"cot/{n}"]).sum() for n, out in zip("hcm", cell(free), strict=True)
    )


def _gradient(free: dict, cotangents: dict, name: str) -> np.ndarray:
    """Derivative of the loss by every entry of one array."""
    moved = free[name].astype(complex)
    gradient = np.zeros(moved.shape)
    for place in np.ndindex(*moved.shape):
        moved[place] += 1j * STEP
        gradient[place] = loss({**free, name: moved}, cotangents).imag / STEP
        moved[place] = free[name][place]
    return gradient


def _draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that float16 holds exactly, as the golden file stores them."""
    return rng.uniform(-0.5, 0.5, shape).astype(np.float16).astype(np.float64)


def _conv(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Convolution [B, F, H, W] with zeros around."""
    side = weight.shape[-1]
    padded = np.pad(x, [(0, 0), (0, 0)] + [(side // 2, side // 2)] * 2)
    seen = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (2, 3))
    return np.einsum("bchwij,fcij->bfhw", seen, weight)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
