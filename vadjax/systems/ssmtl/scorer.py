"""Scores of any number of objects: the network and `score.py`, a batch at a time."""

import functools
from collections.abc import Mapping

import jax
import ml_collections
import numpy as np

from vadjax.ops import pieces
from vadjax.runtime import mesh
from vadjax.systems.ssmtl import score, tasks
from vadjax.systems.ssmtl.model import TRUNKS, MultiTaskNet
from vadjax.systems.ssmtl.stream import TOTAL

SMALL_BATCH = 16  # objects at once if each frame is scored as it comes


class ObjectScorer:
    """Scores objects as the config asks. Two programs are compiled: a full batch and a small one.

    Args:
      model: the network.
      scored: the tasks that have a score.
      config: of the run; `eval` says how and how many at once, `train.devices` where.
    """

    def __init__(
        self, model: MultiTaskNet, scored: tuple[str, ...], config: ml_collections.ConfigDict
    ):
        self._model, self._scored, self._options = model, scored, config.eval
        self._spread = mesh.Spread(self.batch_scores, config.train.devices)

    def __call__(
        self,
        variables: Mapping,
        normal: jax.Array,
        crops: np.ndarray,
        detector: np.ndarray | None,
    ) -> dict[str, np.ndarray]:
        """Scores of the objects, high = anomalous.

        Args:
          variables: parameters and running statistics of the network.
          normal: float32 [tasks, 2], mean and deviation of each scored task on normal objects.
          crops: float32 [n, 7, H, W, 3] in [0, 1], plain sequences.
          detector: float32 [n, K], class outputs of the detector; None if it has none.

        Returns:
          task → float32 [n], and `TOTAL` → that of all tasks.
        """
        batches, start = [], 0
        while start < len(crops):
            # Full batches while they last; the objects that are left over go in small ones.
            full = len(crops) - start >= self._options.batch
            size = self._options.batch if full else SMALL_BATCH
            chosen = slice(start, start + size)
            rows = [crops[chosen]] if detector is None else [crops[chosen], detector[chosen]]
            # The last batch is filled up with zeros, whose scores are cut off.
            missing = size - len(crops[chosen])
            rows = [np.pad(row, [(0, missing)] + [(0, 0)] * (row.ndim - 1)) for row in rows]
            scores = self._spread((variables, normal), rows)
            batches.append({name: values[: size - missing] for name, values in scores.items()})
            start += size
        names = (TOTAL, *self._scored)
        empty = [np.zeros(0, np.float32)]  # there may be no object
        return {name: np.concatenate(empty + [batch[name] for batch in batches]) for name in names}

    def batch_scores(self, learnt: tuple, rows: list[jax.Array]) -> dict[str, jax.Array]:
        """The scores of one batch: what is compiled.

        Args:
          learnt: `variables` and `normal`.
          rows: `crops`, and `detector` if there is one.
        """
        variables, normal = learnt
        crops, *detector = rows
        outputs = self._outputs(variables, crops)
        outputs = {task: outputs[task] for task in self._scored}
        by_task = score.task_scores(
            outputs,
            crops[:, tasks.REACH],
            *(detector or [None]),
            self._options.distillation_space,
        )
        total = score.object_scores(by_task, self._options.object_score, normal)
        return {TOTAL: total, **by_task}

    def _outputs(self, variables: Mapping, crops: jax.Array) -> dict[str, jax.Array]:
        """Outputs of the network for plain sequences."""
        apply = functools.partial(self._model.apply, variables, method="score_outputs")
        # Bytes of one sample after the first layer, which has three temporal taps of these widths.
        channels = 3 * TRUNKS[self._model.trunk][0][0]
        size = crops[0, ..., 0].size * channels * crops.dtype.itemsize
        return pieces.by_sample(apply, crops, size)
