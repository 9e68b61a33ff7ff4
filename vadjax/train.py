"""THE loop: resume, step, log, evaluate, save. One for all systems."""

import contextlib
import pathlib
import signal
import sys
from collections.abc import Callable, Iterator, Mapping

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vadjax import evaluate
from vadjax.data.store import loader, source
from vadjax.ops import compilation, forms
from vadjax.runtime import checkpoint, heap, mesh, metric_writers, processes, progress, workdir
from vadjax.runtime.cache import RunCache
from vadjax.runtime.checkpoint import Checkpoints
from vadjax.scores import alarm
from vadjax.system import load_system

FINITE = "finite"
PROFILE = "profile"  # folder of the trace in the workdir
PROFILE_AFTER, PROFILE_STEPS = 3, 5
STEP_STREAM, INIT_STREAM = 0, 1  # separate keys for the updates and for the first state


def run(config: ml_collections.ConfigDict, folder: str | pathlib.Path) -> None:
    """Trains (or resumes), evaluates and reports; everything is written to `folder`.

    Raises:
      FloatingPointError: the loss is not finite; names the step, the last good checkpoint and the
        weights that the run began with.
      SystemExit: stopped by SIGTERM or SIGINT, after saving.
      ValueError, FileNotFoundError: the config, the data or the folder cannot be used.
      vadjax.runtime.lock.Held: another run is in the folder.
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    folder = workdir.open_for(folder, config)
    with workdir.hold(folder):
        _run(config, folder)


def _run(config: ml_collections.ConfigDict, folder: pathlib.Path) -> None:
    """As `run`, in a folder that is held."""
    if source.is_toy(config):
        print(source.TOY_NOTICE)
    # The system, its dataset, and what is wrong with either.
    system = load_system(config, RunCache(folder), any_module=True)
    with processes.first_then_others("dataset"):
        data = source.open_dataset(config, system.kind, folder)
    check_input(config, system, data, folder)
    # The input. Its position is the number of steps that are done.
    devices = mesh.of_run(config)
    with processes.first_then_others("input"):
        batches = system.batches(data, loader.this_process())
    workdir.keep_facts(folder, system.facts(data))
    # The first state: of the newest checkpoint, or a new one.
    root = jax.random.key(config.seed)
    selection = evaluate.selects(config, system)
    with Checkpoints(folder, bool(selection), config.train.keep) as checkpoints:
        step = checkpoints.newest
        resumes = step is not None
        if resumes:  # what was learned is in the checkpoint
            state = system.abstract_state(data)
        else:
            state = system.init(jax.random.fold_in(root, INIT_STREAM), data)
        checkpoints.check_room(state, most_checkpoints(config, bool(selection)))
        if resumes:
            target = mesh.abstract(devices, state, config.train.fsdp)
            state, step = checkpoints.restore(target, step)
        else:
            step = 0
            state = mesh.put_state(devices, state, config.train.fsdp)
            if not config.train.steps:
                workdir.claim(folder, config, data)
                checkpoints.save(0, state)
        # Train up to the last step.
        if batches is not None:
            batches = loader.iterate(batches, config.data.threads, config.data.prefetch, step)
        _print_start(config, folder, data, devices, state, system.parameters(state), step)
        writer = (
            metric_writers.Writer(folder, step) if processes.is_first() else metric_writers.Silent()
        )
        with contextlib.closing(writer):
            workdir.add_provenance(folder, {"from_step": step, **evaluate.made_with(config, data)})
            loop = Loop(config, system, data, devices, checkpoints, writer, folder)
            state = loop.run(state, batches, step, jax.random.fold_in(root, STEP_STREAM))
        # The state that is reported: of the last step, or of the best one.
        step, chosen = config.train.steps, "last step" if config.train.steps else "no steps"
        if selection and checkpoints.best is not None:
            chosen = selection
            state, step = checkpoints.restore(mesh.abstract(devices, state), step=checkpoints.best)
    # Finish it, keep it, and measure it.
    workdir.claim(folder, config, data)
    state = system.finalize(mesh.local(state), data)
    checkpoint.write_finished(folder, state)
    line = None
    if system.scores_videos and processes.is_first():
        line = system.alarm_line(state, data)
    if line is not None:
        alarm.write(folder, line)
    before = evaluate.untrained(folder)
    evaluate.measure(config, system, data, state, step, chosen, folder, before, line)
    if source.is_toy(config):
        print(source.TOY_NOTICE)


def most_checkpoints(config: ml_collections.ConfigDict, selects: bool) -> int:
    """How many checkpoints a run has on the disk at once, at the most.

    Those that it keeps, the one that is being written, and the finished state.
    """
    train = config.train
    saves = 1 + (train.steps // train.save_every if train.save_every > 0 else 0)
    if selects and train.evaluate_every > 0:
        saves += train.steps // train.evaluate_every
    return min(max(train.keep, 1) + 2 * selects, saves) + 2


def check_input(config, system, data, folder: pathlib.Path) -> None:
    """Finds before the first step what would otherwise end the run after hours.

    Raises:
      ValueError: a field that cannot be used, a split without frame labels, or a dataset that is
        not the one the folder's run began with.
    """
    # Fields.
    for name, least in (("steps", 0), ("batch", 1), ("log_every", 1)):
        if config.train[name] < least:
            raise ValueError(f"train.{name} is {config.train[name]}; expected at least {least}")
    if config.eval.batch < 1:
        raise ValueError(f"eval.batch is {config.eval.batch}; expected at least 1")
    evaluate.check_figure(config.eval.select_by)
    # The split that will be scored, and the run that is in the folder already.
    if system.scores_videos:
        if not evaluate.has_only_normal(config, system, data):
            system.videos(data, config.eval.split)
    elif config.eval.select_on_test:
        raise ValueError(
            f"eval.select_on_test: {config.system!r} scores no videos, so no step can be chosen"
        )
    if (folder / workdir.FILE).is_file():
        workdir.check(folder, config, data)


class Loop:
    """The training steps, with evaluations, saves and log lines between them in one fixed order.

    Args:
      config: of the run.
      system: what is trained.
      data: the dataset.
      devices: the mesh that steps run on.
      checkpoints, writer, folder: of the run; only `run` needs them.

    Attributes:
      update: one step, jitted (`compile` compiles it).
      selection: as of `evaluate.selects`.
      waiting: scalars of the steps since the last log line, still on the devices.
      shown: figures beside the progress bar.
    """

    def __init__(self, config, system, data, devices, checkpoints=None, writer=None, folder=None):
        self.config, self.system, self.data, self.devices = config, system, data, devices
        self.checkpoints, self.writer, self.folder = checkpoints, writer, folder
        # Rows of a batch are spread over the devices, keys and scalars are the same on each. Where
        # the state lies is said in `_update`. Its old buffers are given to the new state.
        same, rows = mesh.replicated(devices), mesh.by_row(devices)
        self.update = jax.jit(
            self._update,
            in_shardings=(None, rows, same),
            out_shardings=(None, same),
            donate_argnums=0,
        )
        self.selection = evaluate.selects(config, system)
        self.waiting: list[tuple[int, Mapping]] = []
        self.shown: dict[str, float] = {}

    def _update(self, state, batch, rng: jax.Array):
        """The system's update, with `finite`: whether no number of the new state is NaN."""
        state, scalars = self.system.update(state, batch, rng)
        where = mesh.placement(self.devices, state, self.config.train.fsdp)
        state = jax.lax.with_sharding_constraint(state, where)
        return state, {**scalars, FINITE: _all_finite(state)}

    def compile(self, state, batch, rng: jax.Array) -> Callable:
        """`update` compiled for arguments like these; see `vadjax.runtime.heap` for its memory."""
        saves_memory = self.system.saves_memory
        compiled = compilation.compile_step(
            self.update, state, batch, rng, saves_memory=saves_memory
        )
        return compiled if forms.plain_only() else heap.keeping(compiled, self.devices.size)

    def run(self, state, batches: Iterator, first: int, rng: jax.Array):
        """Updates `state` from step `first` to `train.steps`."""
        config = self.config.train
        if first == 0 and self.config.eval.untrained:
            self._evaluate(0, state)
        with (
            heap.released(),
            _stop_on_signals() as stop,
            progress.bar("train", config.steps, first) as bar,
        ):
            update = None
            profile = _Profile(self.folder, first, config.steps) if config.profile else None
            for step in range(first + 1, config.steps + 1):
                # Update.
                batch = mesh.put_batch(self.devices, next(batches))
                step_rng = jax.random.fold_in(rng, step)
                update = update or self.compile(state, batch, step_rng)
                state, scalars = update(state, batch, step_rng)
                if profile is not None:
                    profile.after(step, state)
                # Evaluate, log and save, where it is time for it.
                self.waiting.append((step, scalars))
                figure = self._evaluate(step, state) if self._evaluates(step) else None
                asked = stop.asked(step)  # once a step: a signal may come at any moment
                save = step == config.steps or _due(step, config.save_every)
                if save or asked or _due(step, config.log_every):
                    self._log()
                if save or asked or figure is not None:
                    workdir.claim(self.folder, self.config, self.data)
                    self.checkpoints.save(step, state, figure)
                bar.update(step, self.shown)
                # Stop, if a signal asked for it.
                if asked:
                    self.checkpoints.wait()
                    print(
                        f"Stopped by {asked.name} after step {step:,}; saved. "
                        "Run the same command again to go on."
                    )
                    sys.exit(128 + asked)
        return state

    def _evaluates(self, step: int) -> bool:
        """Whether to evaluate after `step`; the last is measured after the loop anyway."""
        if step == self.config.train.steps:
            return bool(self.selection)
        return _due(step, self.config.train.evaluate_every)

    def _log(self) -> None:
        """Writes the waiting scalars.

        Raises:
          FloatingPointError: a loss or a state is not finite; of the first such step.
        """
        for step, scalars in jax.device_get(self.waiting):
            row = {name: float(value) for name, value in scalars.items()}
            finite = row.pop(FINITE)
            self.writer.write(step, row)
            if not finite or not np.isfinite(row["loss"]):
                good = self.checkpoints.newest
                where = f"{self.checkpoints.folder}/{good}" if good is not None else "none yet"
                raise FloatingPointError(
                    f"loss is {row['loss']} and the state {'' if finite else 'not '}finite at step "
                    f"{step:,}; last good checkpoint: {where}. "
                    "Lower optim.learning_rate, or train in float32 (train.precision)"
                    f"{self._begun()}"
                )
            self.shown["loss"] = row["loss"]
        self.waiting = []

    def _begun(self) -> str:
        """What an error says of the weights that the run began with; empty if there are none."""
        weights = self.config.model.get("weights")
        return f"; or get {weights} again, if the weights in it may be damaged" if weights else ""

    def _evaluate(self, step: int, state) -> float | None:
        """Writes the figures of the test split, and of the held-out training videos.

        Returns:
          The figure that selects the step, high = better; None if none does.
        """
        self._log()
        heap.release()  # scoring takes memory of its own
        # The split that is reported, as it would be measured if the run ended here.
        split = self.config.eval.split
        final = self.system.finalize(mesh.local(state), self.data)
        figures = evaluate.measure_state(self.config, self.system, self.data, final, self.folder)
        self.writer.write(step, {f"{split}/{name}": value for name, value in figures.items()})
        if "auc" in figures:
            self.shown[f"{split} AUC"] = figures["auc"]
        if self.selection == evaluate.BEST:
            if self.config.eval.select_by not in figures:
                raise ValueError(
                    f"eval.select_on_test: split {split!r} of {self.data.folder} has no labels, so "
                    "no step can be chosen by it; leave eval.select_on_test out"
                )
            return figures[self.config.eval.select_by]
        if self.selection is None:
            return None
        # Held-out training videos.
        held_out = self.system.validate(final, self.data)
        self.writer.write(step, {f"held_out/{name}": value for name, value in held_out.items()})
        return held_out["auc"] if "auc" in held_out else -held_out["loss"]


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


class _Profile:
    """Writes a trace of a few steps to `profile/` in the workdir, once they are compiled.

    Args:
      folder: the workdir.
      first: step that the run goes on from.
      last: last step of the run.
    """

    def __init__(self, folder: pathlib.Path, first: int, last: int):
        self._folder = folder / PROFILE
        self._first = min(first + PROFILE_AFTER, last - 1)
        self._last, self._runs = min(self._first + PROFILE_STEPS, last), False

    def after(self, step: int, state) -> None:
        """Starts or stops after `step`, whose result is `state`."""
        if step == self._first:
            jax.block_until_ready(state)
            jax.profiler.start_trace(str(self._folder), create_perfetto_trace=True)
            self._runs = True
        elif step == self._last and self._runs:
            jax.block_until_ready(state)
            jax.profiler.stop_trace()
            print(
                f"Trace of steps {self._first + 1:,} to {step:,}: {self._folder} (tensorboard "
                "--logdir, with the plugin xprof; or perfetto_trace.json.gz below it in Perfetto)"
            )


class _Stop:
    """Holds the signal that asks to stop.

    Attributes:
      by: the signal; None as long as there was none.
    """

    by: signal.Signals | None = None

    def asked(self, step: int) -> signal.Signals | None:
        """The signal to stop by after `step`, in all processes at once; None to go on."""
        return signal.SIGTERM if processes.asked_to_stop(step) else self.by


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[_Stop]:
    """SIGTERM and SIGINT are noted for the loop, which saves and stops after its step."""
    stop = _Stop()
    # Of several processes JAX notes SIGTERM, and says it to all after the same step.
    if processes.count() > 1:
        with processes.interrupt_as_termination():
            yield stop
        return

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


def _print_start(config, folder, data, devices, state, parameters, step: int) -> None:
    """Prints what is trained, on what, and from which step on."""
    counted, what = (state, "numbers") if parameters is None else (parameters, "parameters")
    count = sum(np.size(leaf) for leaf in jax.tree.leaves(counted))
    kinds = {device.device_kind for device in devices.devices.flat}
    splits = ", ".join(f"{name} {split['records']:,}" for name, split in data.splits.items())
    used = f"{devices.size} of {jax.device_count()} {'/'.join(sorted(kinds))} device(s)"
    print(
        f"{config.system} on {data.name} ({splits}; {data.folder}) · {used} · "
        f"{count:,} {what} · seed {config.seed} · {folder}"
    )
    if step:
        print(f"Resuming after step {step:,} of {config.train.steps:,}.")


def _all_finite(state) -> jax.Array:
    """Whether no number is NaN or infinite; small arrays are joined, which compiles sooner."""
    leaves = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.inexact)]
    # Large arrays may be shared out over the devices (`mesh.placement`), so each stays by itself.
    small = [x.ravel() for x in leaves if x.size < mesh.FSDP_SMALLEST]
    joined = [jnp.concatenate(small)] if small else []
    large = [x for x in leaves if x.size >= mesh.FSDP_SMALLEST]
    # 0 x is 0 but for NaN and infinity; a sum is one pass, `isfinite` and `all` are two on a CPU.
    return jnp.stack([jnp.isfinite(jnp.sum(0 * x)) for x in joined + large]).all()
