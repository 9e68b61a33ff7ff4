"""Features of regions on their way to the devices: checks, groups, placement.

R regions, N volumes, D features.
"""

import jax
import numpy as np
from jax.sharding import NamedSharding

from vadjax.ops.distance.kernels import LARGEST


def padded_rows(rows: np.ndarray, starts: np.ndarray, lengths: np.ndarray, size: int) -> np.ndarray:
    """Ragged rows → [len(starts), size, ...]: `lengths` rows from `starts` on, then zeros."""
    present = np.arange(size) < np.asarray(lengths)[:, None]
    padded = np.zeros((*present.shape, *rows.shape[1:]), rows.dtype)
    padded[present] = rows[np.repeat(starts, lengths) + np.nonzero(present)[1]]
    return padded


def checked(x, width: int, lengths=None) -> tuple[np.ndarray, np.ndarray]:
    """Features as float32 [R, N, D] and lengths [R], all N if None.

    Raises:
      ValueError: other shapes, or a length that is not 1 to N; it names the region.
    """
    x = np.asarray(x, np.float32)
    if x.ndim != 3 or x.shape[2] != width or 0 in x.shape:
        raise ValueError(
            f"features {x.shape}; expected [regions, volumes, {width}], none of them 0"
        )
    # Every region has its own number of volumes, at least one.
    lengths = np.full(len(x), x.shape[1]) if lengths is None else np.asarray(lengths)
    if lengths.shape != (len(x),):
        raise ValueError(f"lengths {lengths.shape} of {len(x)} regions: expected one each")
    outside = (lengths < 1) | (lengths > x.shape[1])
    if outside.any():
        region = outside.argmax()
        raise ValueError(
            f"region {region} has {lengths[region]} volumes; expected 1 to {x.shape[1]}"
        )
    return x, lengths


def groups(regions: np.ndarray, most: int, sharding: NamedSharding | None):
    """Cuts [n] regions into groups of at most `most` regions per device.

    Yields:
      Regions of a group, and the same repeated to a size that the devices share evenly: powers of
      two where fewer than `most` are left, so that few sizes are ever compiled.
    """
    devices = 1 if sharding is None else sharding.mesh.size
    most = devices * max(1, most)
    for first in range(0, len(regions), most):
        group = regions[first : first + most]
        size = min(most, 2 ** int(np.ceil(np.log2(len(group)))))
        yield group, np.resize(group, size + -size % devices)


def place(x: np.ndarray, regions: np.ndarray, first: int, size: int, sharding) -> jax.Array:
    """Places volumes `first : first + size` of the regions on the devices, zeros past the last."""
    # A buffer at a multiple of 64 bytes, which a CPU device takes without a copy.
    shape = len(regions), size, x.shape[2]
    total = int(np.prod(shape))
    buffer = np.empty(total + 16, np.float32)
    aligned = -(buffer.ctypes.data // 4) % 16
    placed = buffer[aligned : aligned + total].reshape(shape)
    for row, region in zip(placed, regions, strict=True):
        part = x[region, first : first + size]
        row[: len(part)] = part
        row[len(part) :] = 0
    return jax.device_put(placed, sharding)


def refuse(wrong: np.ndarray, regions: np.ndarray, first: int = 0) -> None:
    """Refuses features that are NaN, infinite or too large.

    Args:
      wrong: bool [R, N], volumes with such a feature.
      regions: [R], their numbers.
      first: number of the first of the N volumes.

    Raises:
      ValueError: there is one; the message names the first region and volume.
    """
    if wrong.any():
        row, volume = np.argwhere(wrong)[0]
        raise ValueError(
            f"region {regions[row]}, volume {first + volume}: a feature is NaN, infinite or "
            f"larger than {LARGEST:g}"
        )
