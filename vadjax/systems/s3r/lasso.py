"""Lasso by following its path exactly, for many samples at once (spec s3r §3.2).

Coordinate descent stalls on nearly collinear atoms, which this data has. On the path every code is
the solution of a small linear system.
"""

import numpy as np

FLAT = 1e-10  # an idle atom that closes in more slowly never joins: it copies an active one


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
    # All samples advance level by level; those that reach alpha leave with their codes.
    for _ in range(20 * len(atoms)):
        if not len(rows):
            return codes
        ended, final_codes = path.advance(alpha)
        codes[rows[ended]] = final_codes
        rows = rows[~ended]
    raise ArithmeticError(f"lasso: the path of {len(rows)} samples does not end")


class _Path:
    """Samples on their way from the level where the first atom joins down to `alpha`.

    At level t the active atoms S have the signs s and the codes `G_SS⁻¹ (b_S - t s)`, and the
    correlations of all atoms with the residual are linear in t as well. The next event is at the
    highest level where an idle atom's correlation reaches the level (it joins) or an active atom's
    code reaches zero (it leaves). The slopes tell which atoms are on their way there.

    An additional atom, which is 0, fills the places of samples with fewer active atoms than others.

    Attributes:
      gram: G, products of the atoms, [K + 1, K + 1].
      correlations: b, products of samples and atoms, [n, K + 1].
      level: t of every sample, [n].
      counts: number of active atoms of every sample, [n].
      active: numbers of the active atoms, [n, m]; of each row the first `counts` are used.
      wanted: b_S and s of those atoms, the right sides of the linear systems, [n, m, 2].
    """

    def __init__(self, gram: np.ndarray, correlations: np.ndarray, level: np.ndarray):
        self.gram = np.pad(gram, (0, 1))
        self.correlations, self.level = np.pad(correlations, ((0, 0), (0, 1))), level
        self.counts = np.zeros(len(level), int)
        self.active = np.full((len(level), 8), len(gram))
        self.wanted = np.zeros((len(level), 8, 2))
        everyone, first = np.arange(len(level)), np.abs(correlations).argmax(1)
        self._join(everyone, first, np.sign(correlations[everyone, first]))

    def advance(self, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """Moves every sample to its next event; those that pass `alpha` leave with their codes.

        Returns:
          Which samples ended, bool [n], and the codes of those, [ended, K].
        """
        # The next event of every sample: the higher level of the two.
        places = self.counts.max()
        active, wanted = self.active[:, :places], self.wanted[:, :places]
        solution = self._solve(active, wanted)
        atom, sign, join = self._next_join(active, solution)
        place, leave = _next_leave(wanted[..., 1], solution)
        self.level = np.minimum(np.maximum(join, leave), self.level)
        # Samples whose event is beyond alpha end: their codes there, G_SS⁻¹ b_S - alpha G_SS⁻¹ s.
        ended = ~(self.level > alpha)
        codes = np.zeros((np.count_nonzero(ended), len(self.gram)))
        if len(codes):
            solution, keep = solution[ended], ~ended
            np.put_along_axis(codes, active[ended], solution[..., 0] - alpha * solution[..., 1], 1)
            for name in ("level", "correlations", "active", "wanted", "counts"):
                setattr(self, name, getattr(self, name)[keep])
            atom, sign, join, place, leave = (a[keep] for a in (atom, sign, join, place, leave))
        # The others change their active atoms.
        joins = np.flatnonzero(join >= leave)
        for row in np.flatnonzero(join < leave):
            self._leave(row, place[row])
        self._join(joins, atom[joins], sign[joins])
        return ended, codes[:, :-1]

    def _solve(self, active: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """`G_SS⁻¹ b_S` and `G_SS⁻¹ s` of every sample, [n, m, 2], 0 past its active atoms.

        The codes at level t are the first minus t times the second.
        """
        # Unused places have the zero atom and no sign; a 1 on their diagonal keeps G_SS regular.
        system = self.gram[active[:, :, None], active[:, None, :]]
        places = np.arange(active.shape[1])
        system[:, places, places] += wanted[..., 1] == 0
        return np.linalg.solve(system, wanted)

    def _next_join(self, active, solution) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Idle atom that is the first to reach the level, its sign and that level, [n] each.

        The correlation of an idle atom is rest + t turn, and below t in absolute value. As t falls
        it can only meet the bound on the side of `rest`: at t = |rest| / (1 - sign(rest) turn).
        """
        reached = solution.transpose(0, 2, 1) @ self.gram.take(active, 0)
        rest = self.correlations - reached[:, 0]
        closing = 1 - np.copysign(1, rest) * reached[:, 1]
        closing[closing < FLAT] = np.inf
        event = np.abs(rest) / closing
        everyone = np.arange(len(event))
        event[everyone[:, None], active] = 0
        atom = event.argmax(1)
        return atom, np.sign(rest[everyone, atom]), event[everyone, atom]

    def _join(self, rows: np.ndarray, atom: np.ndarray, sign: np.ndarray) -> None:
        """Makes an idle atom active in each of the rows; doubles the places when they are full."""
        place = self.counts[rows]
        if len(rows) and place.max() == self.active.shape[1]:
            more = np.full_like(self.active, len(self.gram) - 1)
            self.active = np.concatenate([self.active, more], 1)
            self.wanted = np.concatenate([self.wanted, np.zeros_like(self.wanted)], 1)
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


def _next_leave(signs: np.ndarray, solution: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place of the active atom whose code is the first to reach 0, and that level, [n] each."""
    # The code base - t slope is 0 at t = base / slope; atoms that move away from 0 have no event.
    base, slope = solution[..., 0], solution[..., 1]
    event = np.divide(base, slope, out=np.zeros_like(base), where=signs * slope < 0)
    place = event.argmax(1)
    return place, event[np.arange(len(event)), place]
