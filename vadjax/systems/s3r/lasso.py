"""Lasso by following its path exactly, for many samples at once (spec s3r §3.2).

Coordinate descent stalls on nearly collinear atoms, which this data has; on the path every code is
the solution of a small linear system.
"""

import numpy as np

FLAT = 1e-10  # a slope below this never reaches its bound: a copy of an active atom


def lasso(samples: np.ndarray, atoms: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    """Codes c that minimise `0.5 |x - c atoms|² + alpha |c|₁`, exactly.

    Args:
      samples: float [N, F].
      atoms: float [K, F], of any length.
      alpha: weight of the L1 norm, above 0.

    Returns:
      float64 [N, K].

    Raises:
      ArithmeticError: the path does not end, as when the values are not finite.
    """
    atoms = np.asarray(atoms, np.float64)
    correlations = np.asarray(samples, np.float64) @ atoms.T
    codes = np.zeros_like(correlations)
    level = np.abs(correlations).max(1)
    rows = np.flatnonzero(level > alpha)
    path = _Path(atoms @ atoms.T, correlations[rows], level[rows])
    for _ in range(20 * len(atoms)):
        if not len(rows):
            return codes
        ended, found = path.advance(alpha)
        codes[rows[ended]] = found
        rows = rows[~ended]
    raise ArithmeticError(f"lasso: the path of {len(rows)} samples does not end")


class _Path:
    """Samples on their way from the level where the first atom joins down to `alpha`.

    At level t the active atoms S have the signs s and the codes `G_SS⁻¹ (b_S - t s)`, and the
    correlations of all atoms with the residual are linear in t as well. Next is the highest level
    where an idle atom's correlation reaches the level (it joins) or an active atom's code reaches
    zero (it leaves). Which of them are on their way there, the slopes tell.

    One atom more than there are, which is 0, fills the places of samples with fewer active atoms
    than others.
    """

    def __init__(self, gram: np.ndarray, correlations: np.ndarray, level: np.ndarray):
        self.gram = np.pad(gram, (0, 1))
        self.correlations, self.level = np.pad(correlations, ((0, 0), (0, 1))), level
        self.counts = np.zeros(len(level), int)
        self.active = np.full((len(level), 8), len(gram))  # [n, m]; of each row the first `counts`
        self.wanted = np.zeros((len(level), 8, 2))  # b_S and s of those atoms
        first = np.abs(correlations).argmax(1)
        self._join(
            np.arange(len(level)), first, np.sign(correlations[np.arange(len(level)), first])
        )

    def advance(self, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """Goes to the next level of every sample; those that pass `alpha` leave with their codes.

        Returns:
          Which samples ended, bool [n], and the codes of those, [ended, K].
        """
        places = self.counts.max()
        active, wanted = self.active[:, :places], self.wanted[:, :places]
        line = self._solve(active, wanted)
        atom, sign, join = self._next_join(active, line)
        place, leave = _next_leave(wanted[..., 1], line)
        self.level = np.minimum(np.maximum(join, leave), self.level)
        ended = ~(self.level > alpha)
        found = np.zeros((np.count_nonzero(ended), len(self.gram)))
        if len(found):
            line, keep = line[ended], ~ended
            np.put_along_axis(found, active[ended], line[..., 0] - alpha * line[..., 1], 1)
            for name in ("level", "correlations", "active", "wanted", "counts"):
                setattr(self, name, getattr(self, name)[keep])
            atom, sign, join, place, leave = (a[keep] for a in (atom, sign, join, place, leave))
        joins = np.flatnonzero(join >= leave)
        for row in np.flatnonzero(join < leave):
            self._leave(row, place[row])
        self._join(joins, atom[joins], sign[joins])
        return ended, found[:, :-1]

    def _solve(self, active: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """`G_SS⁻¹ b_S` and `G_SS⁻¹ s` of every sample, [n, m, 2], 0 past its active atoms.

        The codes at level t are the first minus t times the second.
        """
        system = self.gram[active[:, :, None], active[:, None, :]]
        places = np.arange(active.shape[1])
        system[:, places, places] += wanted[..., 1] == 0
        return np.linalg.solve(system, wanted)

    def _next_join(self, active, line) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Idle atom that is the first to reach the level, its sign and that level, [n] each.

        The correlation of an idle atom is rest + t turn, and below t in absolute value. On the way
        down it can only meet the bound on the side of `rest`.
        """
        reached = line.transpose(0, 2, 1) @ self.gram.take(active, 0)
        rest = self.correlations - reached[:, 0]
        closing = 1 - np.copysign(1, rest) * reached[:, 1]
        closing[closing < FLAT] = np.inf
        event = np.abs(rest) / closing
        everyone = np.arange(len(event))
        event[everyone[:, None], active] = 0
        atom = event.argmax(1)
        return atom, np.sign(rest[everyone, atom]), event[everyone, atom]

    def _join(self, rows: np.ndarray, atom: np.ndarray, sign: np.ndarray) -> None:
        place = self.counts[rows]
        if len(rows) and place.max() == self.active.shape[1]:
            more = self.active.shape[1]
            self.active = np.pad(
                self.active, ((0, 0), (0, more)), constant_values=len(self.gram) - 1
            )
            self.wanted = np.pad(self.wanted, ((0, 0), (0, more), (0, 0)))
        self.active[rows, place] = atom
        self.wanted[rows, place, 0] = self.correlations[rows, atom]
        self.wanted[rows, place, 1] = sign
        self.counts[rows] += 1

    def _leave(self, row: int, place: int) -> None:
        """The last active atom takes the place of the one that leaves."""
        last = self.counts[row] - 1
        self.active[row, place], self.active[row, last] = self.active[row, last], len(self.gram) - 1
        self.wanted[row, place], self.wanted[row, last] = self.wanted[row, last], 0
        self.counts[row] = last


def _next_leave(signs: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place of the active atom whose code is the first to reach 0, and that level, [n] each."""
    base, slope = line[..., 0], line[..., 1]
    event = np.divide(base, slope, out=np.zeros_like(base), where=signs * slope < 0)
    place = event.argmax(1)
    return place, event[np.arange(len(event)), place]
