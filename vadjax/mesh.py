"""The mesh and its shardings; nothing else makes any."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "data"


def make(batch: int, devices: int = 0) -> Mesh:
    """Mesh of one axis, `data`, over the devices that can share a global batch evenly.

    Args:
      batch: rows of the global batch.
      devices: how many devices to use at most; 0 = all.

    Returns:
      With one process, the largest number of devices that divides `batch`.

    Raises:
      ValueError: more devices are asked for than there are, or several processes do not divide
        the batch evenly.
    """
    have = jax.devices()
    if devices > len(have):
        raise ValueError(f"train.devices is {devices}; this machine has {len(have)}")
    chosen = have[: devices or len(have)]
    if jax.process_count() > 1:
        if batch % len(chosen):
            raise ValueError(
                f"train.batch is {batch}; {len(chosen)} devices of {jax.process_count()} "
                f"processes need a multiple of {len(chosen)}"
            )
    else:
        count = max(n for n in range(1, len(chosen) + 1) if batch % n == 0)
        chosen = chosen[:count]
    return Mesh(np.array(chosen), (AXIS,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def by_row(mesh: Mesh) -> NamedSharding:
    """First axis split over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def put_batch(mesh: Mesh, batch: Any) -> Any:
    """A process's share of a batch → global arrays, rows split over the devices."""
    sharding = by_row(mesh)
    return jax.tree.map(lambda a: jax.make_array_from_process_local_data(sharding, a), batch)


def put_state(mesh: Mesh, state: Any) -> Any:
    """A state on every device, in fresh buffers (the loop donates them)."""
    return jax.device_put(jax.tree.map(np.array, state), replicated(mesh))


def abstract(mesh: Mesh, state: Any) -> Any:
    """Shapes, types and placement of a replicated state: what a checkpoint is restored into."""
    sharding = replicated(mesh)
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(np.shape(a), a.dtype, sharding=sharding), state
    )
