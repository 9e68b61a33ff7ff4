"""Checkpoints: the state of a system after a number of steps. The only user of orbax."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from vadjax import processes

FINISHED = "finished"  # folder of the state of a finished run
SELECT = "selected_by"  # name of the figure that chooses the best checkpoint


class Checkpoints(contextlib.AbstractContextManager):
    """The checkpoints of a workdir: the newest few, and with `select` the two best.

    Args:
      workdir: they live in `workdir/checkpoints`.
      select: checkpoints are saved with a figure, and the best are kept too.
      newest: keep so many of the newest.
      read_only: make nothing; raise if there is none.
    """

    def __init__(
        self,
        workdir: str | pathlib.Path,
        select: bool = False,
        newest: int = 1,
        read_only: bool = False,
    ):
        self.folder = (pathlib.Path(workdir) / "checkpoints").absolute()
        if read_only and not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder}: no checkpoints here; train first")
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
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy(keep),
                create=not read_only,
                read_only=read_only,
                **best,
            ),
        )

    def __exit__(self, kind: type[BaseException] | None, *error) -> None:
        failed = kind is not None and issubclass(kind, Exception)
        if not failed or processes.count() == 1:  # else it would wait for a process that has gone
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
        """Saves in the background; a step counts only once its save has finished."""
        if step in self._manager.all_steps():
            return
        self._manager.save(
            step,
            metrics=None if figure is None else {SELECT: float(figure)},
            args=ocp.args.Composite(state=ocp.args.StandardSave(state)),
            force=True,
        )

    def wait(self) -> None:
        """Returns when all saves have finished."""
        self._manager.wait_until_finished()

    def restore(self, target: Any, step: int | None = None) -> tuple[Any, int]:
        """Reads a checkpoint.

        Args:
          target: shapes, types and placement of the state (`vadjax.mesh.abstract`).
          step: which; the newest if None.

        Returns:
          The state and its step.

        Raises:
          FileNotFoundError: there is no such checkpoint.
          ValueError: it is of another system or shape; the message names the differences.
        """
        step = self.newest if step is None else step
        steps = self._manager.all_steps()
        if step not in steps:
            have = ", ".join(map(str, sorted(steps))) or "none"
            raise FileNotFoundError(f"{self.folder}: no checkpoint of step {step}; it has {have}")
        items = ocp.args.Composite(state=ocp.args.StandardRestore(target))
        with _naming(self.folder / str(step)):
            saved = ocp.StandardCheckpointHandler().metadata(self.folder / str(step) / "state")
        check_shapes(saved.tree, target, self.folder / str(step))
        with _naming(self.folder / str(step)):
            return self._manager.restore(step, args=items)["state"], step

    def restore_part(self, target: Mapping[str, Any], step: int | None = None) -> dict:
        """Reads some entries of a state and leaves the others, such as the optimiser's.

        Args:
          target: entry of the state → shapes, types and placement of what is in it.
          step: which; the newest if None.

        Raises:
          FileNotFoundError, ValueError: as `restore`.
        """
        step = self.newest if step is None else step
        if step is None:
            raise FileNotFoundError(f"{self.folder}: no finished checkpoint; train first")
        with _naming(self.folder / str(step)):
            saved = ocp.StandardCheckpointHandler().metadata(self.folder / str(step) / "state")
        part = {name: saved.tree.get(name, {}) for name in target}
        check_shapes(part, target, self.folder / str(step))
        args = ocp.args.PyTreeRestore(
            item=dict(target),
            restore_args=ocp.checkpoint_utils.construct_restore_args(dict(target)),
            partial_restore=True,
        )
        with _naming(self.folder / str(step)), ocp.PyTreeCheckpointer() as reader:
            return reader.restore(self.folder / str(step) / "state", args=args)


def write_finished(workdir: str | pathlib.Path, state: Any) -> None:
    """Saves the state after `System.finalize`, which `read_finished` reads, in place of another."""
    path = (pathlib.Path(workdir) / FINISHED).absolute()
    with ocp.StandardCheckpointer() as writer:
        writer.save(path, jax.tree.map(np.asarray, state), force=True)


def read_finished(workdir: str | pathlib.Path, target: Any) -> Any:
    """The state of a finished run.

    Args:
      workdir: of the run.
      target: shapes, types and placement of the state (`vadjax.mesh.abstract`).

    Raises:
      FileNotFoundError: the run is not finished.
      ValueError: it is of another system or shape; the message names the differences.
    """
    path = (pathlib.Path(workdir) / FINISHED).absolute()
    if not path.is_dir():
        raise FileNotFoundError(
            f"{workdir}: no finished run (no folder {FINISHED}/); run its training command to the "
            "end, which goes on where it stopped"
        )
    with _naming(path), ocp.StandardCheckpointer() as reader:
        saved = reader.metadata(path).item_metadata.tree
    check_shapes(saved, target, path)
    with _naming(path), ocp.StandardCheckpointer() as reader:
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


@contextlib.contextmanager
def _naming(folder: pathlib.Path) -> Iterator[None]:
    """Turns what orbax raises on a damaged checkpoint into one line that names it."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise ValueError(
            f"{folder}: cannot be read ({reason}). Remove this folder to go on from an earlier "
            "checkpoint, or from the start"
        ) from error


def _shapes(tree: Any) -> Mapping[str, str]:
    def name(key) -> str:
        return str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key))))

    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {".".join(map(name, path)): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}
