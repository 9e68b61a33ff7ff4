"""What every trained system is tested for: resuming, accelerators."""

import os
import pathlib
import signal

import jax
import pytest

from vadjax import train
from vadjax.data.records import Dataset
from vadjax.system import load


def run_in_two(config, folder: pathlib.Path, step: int, monkeypatch) -> None:
    """Runs the config, is stopped by SIGTERM when `step` is saved, and goes on."""
    save = train.Checkpoints.save

    def stopping(self, now, *rest):
        save(self, now, *rest)
        if now == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(train.Checkpoints, "save", stopping)
        with pytest.raises(SystemExit):
            train.run(config, folder)
    train.run(config, folder)


def same_figures(one: pathlib.Path, other: pathlib.Path) -> None:
    """Asserts that two runs have the same figures, bit for bit."""
    for name in ("metrics.json", "metrics.jsonl"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def lowers(config, batch) -> None:
    """Asserts that the step of a config lowers for accelerators; `batch` may be shapes alone."""
    data, system = Dataset(config.data.dir), load(config)
    state = jax.eval_shape(lambda: system.init(jax.random.key(0), data))
    leaves, tree = jax.tree.flatten(state)

    def step(leaves, batch, rng):
        state, scalars = system.update(jax.tree.unflatten(tree, leaves), batch, rng)
        return jax.tree.leaves(state), scalars

    for platform in ("cuda", "tpu"):
        exported = jax.export.export(jax.jit(step), platforms=[platform])(
            leaves, batch, jax.random.key(0)
        )
        assert exported.platforms == (platform,)
