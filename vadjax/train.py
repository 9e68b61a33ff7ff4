"""THE loop: resume, step, log, evaluate, save. One for all systems."""

import contextlib
import pathlib
import signal
import sys
from collections.abc import Iterator, Mapping

import jax
import ml_collections
import numpy as np

from vadjax import evaluate, mesh, progress, workdir, writers
from vadjax.checkpoint import Checkpoints
from vadjax.data import loader, source
from vadjax.system import load

STEP_STREAM, INIT_STREAM = 0, 1  # separate keys for the updates and for the first state


def run(config: ml_collections.ConfigDict, folder: str | pathlib.Path) -> None:
    """Trains (or resumes), evaluates and reports; everything is written to `folder`.

    Raises:
      FloatingPointError: the loss is not finite; names the step and the last good checkpoint.
      SystemExit: stopped by SIGTERM or SIGINT, after saving.
      ValueError, FileNotFoundError: the config, the data or the folder cannot be used.
    """
    folder = workdir.open_for(folder, config)
    if source.is_toy(config):
        print(source.TOY_NOTICE)
    system = load(config)
    data = source.open_dataset(config, system.kind, folder)
    devices = mesh.make(config.train.batch, config.train.devices)
    root = jax.random.key(config.seed)
    state = system.init(jax.random.fold_in(root, INIT_STREAM), data)
    batches = loader.iterate(
        system.batches(data, loader.this_process()), config.data.threads, config.data.prefetch
    )
    workdir.claim(folder, config)
    with Checkpoints(folder, config.eval.select_on_test) as checkpoints:
        step = 0
        if checkpoints.newest is not None:
            state, step = checkpoints.restore(mesh.abstract(devices, state), batches)
        else:
            state = mesh.put_state(devices, state)
        _print_start(config, folder, data, devices, state, step)
        writer = writers.Writer(folder, step)
        with contextlib.closing(writer):
            loop = Loop(config, system, data, devices, checkpoints, writer)
            state = loop.run(state, batches, step, jax.random.fold_in(root, STEP_STREAM))
        best = checkpoints.best if config.eval.select_on_test else None
        step = config.train.steps
        if best is not None:
            state, step = checkpoints.restore(mesh.abstract(devices, state), step=best)
    evaluate.measure(config, system, data, state, step, folder)
    if source.is_toy(config):
        print(source.TOY_NOTICE)


class Loop:
    """The steps between two evaluations, saves and log lines, in one fixed order."""

    def __init__(self, config, system, data, devices, checkpoints, writer):
        self.config, self.system, self.data = config, system, data
        self.devices, self.checkpoints, self.writer = devices, checkpoints, writer
        same, rows = mesh.replicated(devices), mesh.by_row(devices)
        self.update = jax.jit(
            system.update,
            in_shardings=(same, rows, same),
            out_shardings=(same, same),
            donate_argnums=0,
        )
        self.waiting: list[tuple[int, Mapping]] = []  # scalars still on the devices
        self.shown: dict[str, float] = {}

    def run(self, state, batches: Iterator, first: int, rng: jax.Array):
        """Updates `state` from step `first` to `train.steps`."""
        config = self.config.train
        if first == 0 and self.config.eval.untrained:
            self._evaluate(0, state)
        with _stop_on_signals() as stop, progress.bar("train", config.steps, first) as bar:
            for step in range(first + 1, config.steps + 1):
                batch = mesh.put_batch(self.devices, next(batches))
                state, scalars = self.update(state, batch, jax.random.fold_in(rng, step))
                self.waiting.append((step, scalars))
                last = step == config.steps or stop.by is not None
                figure = None
                if last or _due(step, config.log_every) or _due(step, config.save_every):
                    self._log()
                if _due(step, config.evaluate_every) and step < config.steps:
                    figure = self._evaluate(step, state)
                if step == config.steps and self.config.eval.select_on_test:
                    figure = self._evaluate(step, state)
                if last or figure is not None or _due(step, config.save_every):
                    self.checkpoints.save(step, state, batches, figure)
                bar.update(step, self.shown)
                if stop.by is not None and step < config.steps:
                    self.checkpoints.wait()
                    print(
                        f"Stopped by {stop.by.name} after step {step:,}; saved. "
                        "Run the same command again to go on."
                    )
                    sys.exit(128 + stop.by)
        return state

    def _log(self) -> None:
        """Writes the waiting scalars; the first that is not finite ends the run."""
        for step, scalars in jax.device_get(self.waiting):
            row = {name: float(value) for name, value in scalars.items()}
            self.writer.write(step, row)
            if not np.isfinite(row["loss"]):
                good = self.checkpoints.newest
                where = f"{self.checkpoints.folder}/{good}" if good is not None else "none yet"
                raise FloatingPointError(
                    f"loss is {row['loss']} at step {step:,}; last good checkpoint: {where}. "
                    "Lower optim.learning_rate, or train in float32 (train.precision)"
                )
            self.shown["loss"] = row["loss"]
        self.waiting = []

    def _evaluate(self, step: int, state) -> float | None:
        """Writes the figures of the test split; the one that selects, if any may."""
        self._log()
        split = self.config.eval.split
        final = self.system.finalize(state, self.data)
        figures = evaluate.figures(
            self.config, list(self.system.score(final, self.system.videos(self.data, split)))
        )
        self.writer.write(step, {f"{split}/{name}": value for name, value in figures.items()})
        self.shown[f"{split} AUC"] = figures["auc"]
        return figures[self.config.eval.select_by] if self.config.eval.select_on_test else None


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


class _Stop:
    """Holds the signal that asked to stop, if one did."""

    by: signal.Signals | None = None


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[_Stop]:
    """SIGTERM and SIGINT are noted for the loop, which saves and stops after its step."""
    stop = _Stop()

    def note(number, frame):
        del frame
        stop.by = signal.Signals(number)

    try:
        before = {s: signal.signal(s, note) for s in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread, for example inside a notebook's helper thread
        before = {}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_start(config, folder, data, devices, state, step: int) -> None:
    count = sum(np.size(leaf) for leaf in jax.tree.leaves(getattr(state, "params", state)))
    kinds = {device.device_kind for device in devices.devices.flat}
    splits = ", ".join(f"{name} {split['records']:,}" for name, split in data.splits.items())
    used = f"{devices.size} of {jax.device_count()} {'/'.join(sorted(kinds))} device(s)"
    print(
        f"{config.system} on {data.name} ({splits}; {data.folder}) · {used} · "
        f"{count:,} parameters · seed {config.seed} · {folder}"
    )
    if step:
        print(f"Resuming after step {step:,} of {config.train.steps:,}.")
