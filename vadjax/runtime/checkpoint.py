"""Checkpoints: the state of a system after a number of steps. The only user of orbax.

A saved step holds the CRC-32C of its files (`vadjax.runtime.checksums`), a finished state the
SHA-256. They are written before the folder is renamed into its place, so no kill leaves a step
without; only a step of an older vadjax has none, which is said when it is read.
"""

import asyncio
import contextlib
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from vadjax.formats import json_files
from vadjax.formats.text import read_text
from vadjax.runtime import checksums, layout, processes, replacing, space
from vadjax.runtime.checksums import Damaged

FINISHED, HALF = layout.FINISHED, layout.HALF
SELECT = "selected_by"  # name of the figure that chooses the best checkpoint
DAMAGED = "damaged_{}"  # folder that a damaged step is moved to
# What orbax itself writes after the sums: times and names, nothing of the state.
UNSUMMED = ("_CHECKPOINT_METADATA", "commit_success.txt")
_NAMES, _TIME = (dict, None), (int, None)
NOTES = {  # fields of `_CHECKPOINT_METADATA`
    "item_handlers?": (dict, str, None),
    "metrics?": _NAMES,
    "performance_metrics?": _NAMES,
    "custom_metadata?": _NAMES,
    "init_timestamp_nsecs?": _TIME,
    "commit_timestamp_nsecs?": _TIME,
}
PACKED = 0.75  # the least share of a state's bytes that its compressed checkpoint takes


class _Summed(ocp.path.atomicity.AtomicRenameTemporaryPath):
    """The folder of a step while it is written. It gets its sums before it is renamed."""

    kind = checksums.CRC
    early: checksums.Early | None = None  # none for the folder of a part of a step

    async def create(self) -> Any:  # a path of orbax's own kind
        """Makes the folder; if it is that of a whole step, its files are summed from now on."""
        folder = await super().create()
        if HALF not in folder.parent.name:
            self.early = checksums.Early(pathlib.Path(folder), self.kind)
        return folder

    async def finalize(self) -> None:
        """Writes the sums of a whole step, not those of its parts, then renames it."""
        if self.early:
            await asyncio.to_thread(self.early.write, UNSUMMED)
        await super().finalize()


class _SummedBySha(_Summed):
    """The same for a finished state."""

    kind = checksums.SHA


class Checkpoints(contextlib.AbstractContextManager):
    """The checkpoints of a workdir: the newest few, and with `select` the two best.

    Args:
      workdir: they live in `workdir/checkpoints`.
      select: whether checkpoints are saved with a figure, and the two best are kept too.
      newest: number of recent checkpoints to keep.
      read_only: whether only to read them; nothing is made or moved.

    Raises:
      FileNotFoundError: there are none, and nothing may be made.
      Damaged: those to go on from are not as they were saved. Damaged newer ones are moved to
        `damaged_STEP` in the workdir, unless `read_only`.
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """

    def __init__(
        self,
        workdir: str | pathlib.Path,
        select: bool = False,
        newest: int = 1,
        read_only: bool = False,
    ):
        self.folder = (pathlib.Path(workdir) / layout.CHECKPOINTS).absolute()
        self._bytes: int | None = None  # of the state that was saved last
        self._read_only, self._remedy = read_only, MAKE_ANEW if read_only else REMOVE
        if read_only and not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder}: no checkpoints here; train first")
        # Which are kept.
        policies = ocp.checkpoint_managers
        keep, best = [policies.LatestN(max(newest, 1))], {}
        if select:
            best = {"best_fn": lambda figures: figures[SELECT], "best_mode": "max"}
            keep.append(
                policies.BestN(
                    get_metric_fn=best["best_fn"],
                    n=2,
                    reverse=False,
                    keep_checkpoints_without_metrics=False,
                )
            )
        # Damaged ones are found before orbax opens the folder.
        with space.naming(self.folder):
            if not read_only:
                self._once(self._set_aside)
            self._once(self._check_figures)
            with _naming(self.folder, self._remedy):
                self._manager = ocp.CheckpointManager(
                    self.folder,
                    options=ocp.CheckpointManagerOptions(
                        preservation_policy=policies.AnyPreservationPolicy(keep),
                        create=not read_only,
                        read_only=read_only,
                        temporary_path_class=_Summed,
                        **best,
                    ),
                )

    def __exit__(self, kind: type[BaseException] | None, *error) -> None:
        # After an error the manager would wait for other processes, which may have ended.
        failed = kind is not None and issubclass(kind, Exception)
        if not failed or processes.count() == 1:
            with space.naming(self.folder, needed=self._bytes):
                self._manager.close()

    @property
    def newest(self) -> int | None:
        """Step of the newest checkpoint, once its save has finished; None if there is none."""
        self.wait()
        return self._manager.latest_step()

    @property
    def best(self) -> int | None:
        """Step of the checkpoint with the highest figure; None if none has one."""
        self.wait()
        return self._manager.best_step()

    def save(
        self,
        step: int,
        state: Any,
        figure: float | None = None,
    ) -> None:
        """Saves in the background; a step counts only once its save has finished.

        Raises:
          vadjax.runtime.space.NotWritten: the disk is full or cannot be written, at this save or
            the last.
        """
        if step in self._manager.all_steps():
            return
        self._bytes = size_of(state)
        with space.naming(self.folder, "checkpoint", self._bytes):
            self._manager.save(
                step,
                metrics=None if figure is None else {SELECT: float(figure)},
                args=ocp.args.Composite(state=ocp.args.StandardSave(state)),
                force=True,
            )

    def wait(self) -> None:
        """Returns when all saves have finished.

        Raises:
          vadjax.runtime.space.NotWritten: as `save`.
        """
        with space.naming(self.folder, "checkpoint", self._bytes):
            self._manager.wait_until_finished()

    def check_room(self, state: Any, count: int) -> None:
        """Finds out before the first step whether the disk can hold the checkpoints of a run.

        Args:
          state: what a checkpoint holds.
          count: the largest number of them that will be there at once.

        Raises:
          vadjax.runtime.space.NotWritten: the disk cannot hold them.
        """

        def check() -> None:
            present = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
            needed = int(PACKED * size_of(state) * count) - present
            space.check(self.folder, needed, f"the checkpoints of this run, up to {count} at once")

        processes.once(check, space.NotWritten)

    def restore(self, target: Any, step: int | None = None) -> tuple[Any, int]:
        """Reads a checkpoint.

        Args:
          target: shapes, types and placement of the state (`vadjax.runtime.mesh.abstract`).
          step: step of the checkpoint; None takes the newest.

        Returns:
          The state and its step.

        Raises:
          FileNotFoundError: there is no such checkpoint.
          ValueError: it is of another system or shape; the message names the differences.
          Damaged: it is not as it was saved.
        """
        step = self.newest if step is None else step
        steps = self._all_steps()
        if step not in steps:
            have = ", ".join(map(str, sorted(steps))) or "none"
            raise FileNotFoundError(f"{self.folder}: no checkpoint of step {step}; it has {have}")
        items = ocp.args.Composite(state=ocp.args.StandardRestore(target))
        saved = self._check(step)
        check_shapes(saved, target, self.folder / str(step))
        with self._naming(step):
            return self._manager.restore(step, args=items)["state"], step

    def restore_part(self, target: Mapping[str, Any], step: int | None = None) -> dict:
        """Reads some entries of a state without the others, such as the optimiser's.

        Args:
          target: entry of the state → shapes, types and placement of what is in it.
          step: step of the checkpoint; None takes the newest.

        Raises:
          FileNotFoundError, ValueError, Damaged: as `restore`.
        """
        step = self.newest if step is None else step
        if step is None:
            raise FileNotFoundError(f"{self.folder}: no finished checkpoint; train first")
        saved = self._check(step)
        part = {name: saved.get(name, {}) for name in target}
        check_shapes(part, target, self.folder / str(step))
        args = ocp.args.PyTreeRestore(
            item=dict(target),
            restore_args=ocp.checkpoint_utils.construct_restore_args(dict(target)),
            partial_restore=True,
        )
        with self._naming(step), ocp.PyTreeCheckpointer() as reader:
            return reader.restore(self.folder / str(step) / "state", args=args)

    def _set_aside(self) -> None:
        """Moves the newest steps away that are not as they were saved, each with a line.

        What a kill has left of a save is removed.

        Raises:
          Damaged: all steps are damaged.
        """
        for half in self.folder.glob(f"*{HALF}*"):
            shutil.rmtree(half, ignore_errors=True)
        # From the newest step back to the first one that is whole.
        damaged = {}
        for step in self._on_disk():
            try:
                _check_files(self.folder / str(step))
                break
            except Damaged as error:
                damaged[step] = error
        else:
            if damaged:
                with self._naming(max(damaged)):
                    raise damaged[max(damaged)]
        for damaged_step, reason in damaged.items():
            aside = self.folder.parent / DAMAGED.format(damaged_step)
            shutil.rmtree(aside, ignore_errors=True)
            (self.folder / str(damaged_step)).rename(aside)
            print(
                f"{self.folder / str(damaged_step)}: damaged ({reason}); moved to {aside}. "
                f"Going on from step {step:,}."
            )

    def _check_figures(self) -> None:
        """Checks the files of the figures of all steps: they decide which step is the best.

        Raises:
          Damaged: one is not as it was saved.
        """
        again = f"Remove {self.folder} to train again from the start"
        for step in self._on_disk():
            with self._naming(step, None if self._read_only else again):
                _check_files(self.folder / str(step), "metrics/")

    def _once(self, check: Callable[[], bool | None]) -> int:
        """Runs a check in the first process, with the same end in all of them.

        A process that only reads checkpoints may be the only one that does: then it checks itself.
        """
        return int(check() or 0) if self._read_only else processes.once(check, Damaged)

    def _on_disk(self) -> list[int]:
        """The saved steps, newest first, by the names of their folders."""
        paths = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted((int(path.name) for path in paths if path.name.isdecimal()), reverse=True)

    def _all_steps(self) -> list[int]:
        """The saved steps as orbax knows them, once all saves have finished."""
        self.wait()
        return list(self._manager.all_steps())

    def _check(self, step: int) -> Any:
        """Compares the files of a step with their sums.

        Returns:
          Names, shapes and types of what is in it.

        Raises:
          Damaged: it is not as it was saved.
        """
        folder = self.folder / str(step)
        with self._naming(step):
            if not self._once(lambda: _check_files(folder)):
                print(f"{folder}: not checked, of an older vadjax: it has no {checksums.FILE}")
            return ocp.StandardCheckpointHandler().metadata(folder / "state").tree

    def _naming(self, step: int, remedy: str | None = None) -> contextlib.AbstractContextManager:
        return _naming(self.folder / str(step), remedy or self._remedy)


def _check_files(folder: pathlib.Path, below: str = "") -> bool:
    """As `checksums.check`; also checks that orbax can use its notes, which have no sum.

    Notes that a kill cut short are passed over, as orbax does: they hold nothing of the state.
    """
    has_sums, path = checksums.check(folder, below), folder / UNSUMMED[0]
    try:
        if path.is_file() and _is_json(text := read_text(path)):
            json_files.check_fields(json_files.parse(text, path), (NOTES, None), path)
    except ValueError as error:
        raise Damaged(str(error).removeprefix(f"{folder}/")) from error
    return has_sums


def _is_json(text: str) -> bool:
    """Whether a text is JSON; True also for JSON that is nested too deep to be read."""
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    except RecursionError:  # `json_files` refuses it, with a message
        pass
    return True


def size_of(state: Any) -> int:
    """Bytes of the arrays of a state."""
    return sum(
        np.dtype(x.dtype).itemsize * np.size(x)
        for x in jax.tree.leaves(state)
        if not jax.dtypes.issubdtype(x.dtype, jax.dtypes.extended)
    )


def write_finished(workdir: str | pathlib.Path, state: Any) -> None:
    """Saves the state after `System.finalize`, which `read_finished` reads, in place of another.

    Raises:
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    path = (pathlib.Path(workdir) / FINISHED).absolute()
    state = jax.tree.map(np.asarray, state)
    # All processes write into a folder that the first one makes, and moves into its place.
    with contextlib.ExitStack() as first:
        if processes.is_first():
            first.enter_context(space.naming(path, needed=size_of(state)))
            first.enter_context(replacing.beside(path))
        processes.wait("finished begins")
        made = replacing.hidden(path, "tmp") / FINISHED
        with ocp.StandardCheckpointer(temporary_path_class=_SummedBySha) as writer:
            writer.save(made, state)
        processes.wait("finished is written")
        if processes.is_first():
            replacing.put(made, path)
    processes.wait("finished")


def read_finished(workdir: str | pathlib.Path, target: Any) -> Any:
    """The state of a finished run.

    Args:
      workdir: of the run.
      target: shapes, types and placement of the state (`vadjax.runtime.mesh.abstract`).

    Raises:
      FileNotFoundError: the run is not finished.
      ValueError: it is of another system or shape; the message names the differences.
      Damaged: it is not as it was saved.
    """
    # Its files must be whole, and of this system, before it is read.
    path = (pathlib.Path(workdir) / FINISHED).absolute()
    if not path.is_dir():
        raise FileNotFoundError(
            f"{workdir}: no finished run (no folder {FINISHED}/); run its training command to the "
            "end, which goes on where it stopped"
        )
    with _naming(path, MAKE_ANEW), ocp.StandardCheckpointer() as reader:
        if not _check_files(path):
            print(f"{path}: not checked, of an older vadjax: it has no {checksums.FILE}")
        saved = reader.metadata(path).item_metadata.tree
    check_shapes(saved, target, path)
    with _naming(path, MAKE_ANEW), ocp.StandardCheckpointer() as reader:
        return reader.restore(path, target)


def check_shapes(saved: Any, target: Any, path: pathlib.Path) -> None:
    """Compares names, shapes and types; orbax itself would cast types silently.

    Raises:
      ValueError: they differ; names the first ones.
    """
    saved, wanted = _shapes(saved), _shapes(target)
    differ = [
        f"{name}: saved {saved.get(name, 'nothing')}, wanted {wanted.get(name, 'nothing')}"
        for name in sorted(saved.keys() | wanted.keys())
        if saved.get(name) != wanted.get(name)
    ]
    if differ:
        more = f" and {len(differ) - 4} more" if len(differ) > 4 else ""
        raise ValueError(
            f"{path} is of another system, width or precision: {'; '.join(differ[:4])}{more}"
        )


REMOVE = "Remove this folder to go on from an earlier checkpoint, or from the start"
MAKE_ANEW = "Copy it again, or give the command again that made it"


@contextlib.contextmanager
def _naming(folder: pathlib.Path, remedy: str) -> Iterator[None]:
    """Turns what orbax raises on a damaged checkpoint into one line that names it and a remedy."""
    try:
        yield
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        kind = Damaged if isinstance(error, Damaged) else ValueError
        raise kind(f"{folder}: cannot be read ({reason}). {remedy}") from error


def _shapes(tree: Any) -> Mapping[str, str]:
    """Dotted name of every array of a tree → its type and shape."""

    def name(key) -> str:
        return str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key))))

    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {".".join(map(name, path)): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}
