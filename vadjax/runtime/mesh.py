"""The mesh of devices and where arrays lie on it. No other module makes a mesh or a sharding."""

import operator
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "data"
FSDP_SMALLEST = 1 << 14  # numbers of an array from which it is shared out


def make(batch: int, devices: int = 0, here: bool = False) -> Mesh:
    """Mesh of one axis, `data`, over the devices that can share a global batch evenly.

    Args:
      batch: rows of the global batch.
      devices: how many devices to use at most; 0 = all.
      here: only devices of this process.

    Returns:
      Where all devices are of one process, the largest number of them that divides `batch`.

    Raises:
      ValueError: more devices are asked for than there are, or several processes do not divide
        the batch evenly.
    """
    # One process takes as many devices as divide the batch.
    alone = here or jax.process_count() == 1
    have = jax.local_devices() if here else jax.devices()
    if devices > len(have):
        raise ValueError(f"train.devices is {devices}; this machine has {len(have)}")
    if alone:
        most = devices or len(have)
        count = max(n for n in range(1, most + 1) if batch % n == 0)
        return Mesh(np.array(have[:count]), (AXIS,))
    # Several processes must use all their devices, and the batch must fit them.
    if devices:
        raise ValueError(
            f"train.devices is {devices}; {jax.process_count()} processes use all they have (0)"
        )
    if batch % len(have):
        low = max(batch // len(have), 1) * len(have)
        raise ValueError(
            f"train.batch is {batch}; {len(have)} devices of {jax.process_count()} processes need "
            f"a multiple of {len(have)}, for example {low} or {low + len(have)}"
        )
    return Mesh(np.array(have), (AXIS,))


def of_run(config: ml_collections.ConfigDict) -> Mesh:
    """The mesh of a run: for its batches, or of all devices where nothing is trained by steps.

    Raises:
      ValueError: as `make`.
    """
    batch = config.train.batch if config.train.steps else jax.device_count()
    return make(batch, config.train.devices)


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


def placement(mesh: Mesh, state: Any, fsdp: bool = False) -> Any:
    """Where each array of a state lies: all of it on every device.

    With `fsdp` the devices share out the large ones by the longest axis that they divide evenly.
    """

    def of(array) -> NamedSharding:
        shape = np.shape(array)
        fitting = [axis for axis, size in enumerate(shape) if size % mesh.size == 0]
        if not fsdp or not fitting or np.prod(shape) < FSDP_SMALLEST:
            return replicated(mesh)
        axis = max(fitting, key=lambda axis: shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))

    return jax.tree.map(of, state)


def put_state(mesh: Mesh, state: Any, fsdp: bool = False) -> Any:
    """A state where `placement` has it, in fresh buffers (the loop donates them)."""
    return jax.device_put(jax.tree.map(np.array, state), placement(mesh, state, fsdp))


def abstract(mesh: Mesh, state: Any, fsdp: bool = False) -> Any:
    """Shapes, types and placement of a state: what a checkpoint is restored into."""
    return jax.tree.map(
        lambda a, sharding: jax.ShapeDtypeStruct(np.shape(a), a.dtype, sharding=sharding),
        state,
        placement(mesh, state, fsdp),
    )


def local(state: Any) -> Any:
    """A state as a whole on the first device of this process alone."""

    def of(array):
        if not isinstance(array, jax.Array):
            return array
        if not array.is_fully_replicated:
            whole = replicated(array.sharding.mesh)
            array = jax.jit(lambda a: a, out_shardings=whole)(array)
        return array.addressable_data(0)

    return jax.tree.map(of, state)


def over_rows(function: Callable, mesh: Mesh) -> Callable:
    """Shards a row-wise function `(state, rows) → rows` over the devices.

    Args:
      function: of trees of arrays, whose rows [n, …] do not depend on each other.
      mesh: the devices, which must divide n evenly. Each holds the whole state.
    """
    if mesh.size == 1:
        return function
    rows = PartitionSpec(AXIS)
    return jax.shard_map(
        function, mesh=mesh, in_specs=(PartitionSpec(), rows), out_specs=rows, check_vma=False
    )


class Spread:
    """A row-wise function, compiled for all devices of this process, for any number of rows.

    Rows are repeated until their number is a multiple of the devices; the results of the repeated
    rows are dropped.

    Args:
      function: as for `over_rows`.
      devices: how many devices to use at most; 0 = all.
    """

    def __init__(self, function: Callable, devices: int = 0):
        self._grid = make(devices or len(jax.local_devices()), devices, here=True)
        self._apply = jax.jit(over_rows(function, self._grid))
        self._leaves: list = []  # of the state that is on the devices
        self._placed: Any = None

    def __call__(self, state: Any, rows: Any) -> Any:
        """What the function gives for the rows, as NumPy arrays."""
        # The state stays on the devices as long as the same arrays are given.
        leaves = jax.tree.leaves(state)
        if len(leaves) != len(self._leaves) or not all(map(operator.is_, leaves, self._leaves)):
            self._leaves, self._placed = leaves, jax.device_put(state, replicated(self._grid))
        # The rows, repeated to a multiple of the devices.
        count = len(jax.tree.leaves(rows)[0])
        size = -(-count // self._grid.size) * self._grid.size
        if size != count:
            rows = jax.tree.map(lambda a: a[np.resize(np.arange(count), size)], rows)
        results = self._apply(self._placed, jax.device_put(rows, by_row(self._grid)))
        return jax.tree.map(lambda a: np.asarray(a)[:count], results)
