"""A bounded bank of normal objects, and the nearest of them (spec attributes §4.2).

N rows, M of them in the bank, D features. Everything is float64: distances that decide are those of
direct differences.
"""

import numpy as np

MOST = 5_000  # objects of a bank
SAME = 1e-12  # squared distance up to which a row adds nothing
LOWER = 0.97  # of the radius that is looked at next
ROWS, PRODUCTS = 1024, 1 << 19  # rows and products of a block: 4 MiB; few rows, many of a bank


def farthest_first(rows: np.ndarray, most: int = MOST) -> tuple[np.ndarray, float]:
    """Chooses rows so that all others are near to one of them.

    The first is the row nearest to the mean; each further one is that with the largest distance to
    those chosen, the first of equals. So a smaller bank is the beginning of a larger one.

    Distances only fall as rows are chosen. Only the rows that are still farther away than a radius
    are kept up to date; when none is left, the radius shrinks and the others catch up.

    Args:
      rows: float [N, D].
      most: rows to choose, at most; fewer where all others are equal to one that is chosen.

    Returns:
      Numbers of the rows, int64 [M], in the order in which they were chosen; and the largest
      distance that is left.

    Raises:
      ValueError: no rows, or none to choose.
    """
    rows = np.asarray(rows, np.float64)
    if not len(rows) or most < 1:
        raise ValueError(f"{most} of {len(rows)} rows; expected at least one of at least one")
    chosen = [int(_squares(rows, rows.mean(0)).argmin())]
    rest = _Rest(rows - rows.mean(0), chosen)  # far from 0 products would lose small distances
    while True:
        best, square = rest.farthest()
        if len(chosen) == most or square <= SAME:
            return np.array(chosen), float(np.sqrt(square))
        chosen.append(best)
        rest.add(best)


class _Rest:
    """Squared distances of all rows to those that are chosen: of the far ones always up to date.

    Args:
      rows: float64 [N, D].
      chosen: numbers of the rows that are chosen; the caller adds to it.
    """

    def __init__(self, rows: np.ndarray, chosen: list[int]):
        self._rows, self._chosen, self._norms = rows, chosen, np.square(rows).sum(1)
        self._squares = _squares(rows, rows[chosen[0]])  # to the chosen ones that a row knows
        self._known = np.ones(len(rows), np.int64)  # how many of the chosen a row knows
        self._radius = np.inf  # squared
        self._gather(np.empty(0, np.int64))

    def farthest(self) -> tuple[int, float]:
        """The row that is farthest away, the first of equals, and its squared distance."""
        while not len(self._far) or self._far_squares.max() < self._radius:
            self._squares[self._far], self._known[self._far] = self._far_squares, len(self._chosen)
            highest = self._squares.max()  # no row can be farther away
            self._radius = LOWER**2 * highest
            self._catch_up()
            if highest <= SAME:
                break
        best = self._far_squares.argmax()
        return int(self._far[best]), max(float(self._far_squares[best]), 0.0)

    def add(self, number: int) -> None:
        """Tells the far rows of one that was chosen."""
        products = self._far_rows @ self._rows[number]
        squares = self._far_norms + self._norms[number] - 2 * products
        np.minimum(self._far_squares, squares, out=self._far_squares)

    def _catch_up(self) -> None:
        """Tells the rows beyond the radius what was chosen; those that stay there are far."""
        behind = np.flatnonzero((self._squares >= self._radius) & (self._known < len(self._chosen)))
        for count in np.unique(self._known[behind]):
            late = behind[self._known[behind] == count]
            distance, _ = nearest(self._rows[late], self._rows[self._chosen[count:]])
            self._squares[late] = np.minimum(self._squares[late], np.square(distance))
        self._known[behind] = len(self._chosen)
        self._gather(np.flatnonzero(self._squares >= self._radius))

    def _gather(self, far: np.ndarray) -> None:
        self._far, self._far_rows = far, self._rows[far]
        self._far_norms, self._far_squares = self._norms[far], self._squares[far]


def nearest(rows: np.ndarray, bank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest of a bank, and its number, the first of equals.

    Args:
      rows: float [N, D].
      bank: float [M, D], M at least 1.

    Returns:
      float64 [N] and int64 [N]. Which one is the nearest is found by a.a + b.b - 2 a.b in blocks;
      its distance is that of the direct difference.

    Raises:
      ValueError: an empty bank, or rows of another width.
    """
    rows, bank = np.asarray(rows, np.float64), np.asarray(bank, np.float64)
    if not len(bank) or rows.ndim != 2 or rows.shape[1:] != bank.shape[1:]:
        raise ValueError(f"rows {rows.shape} and a bank {bank.shape}; expected [N, D] and [M, D]")
    highest = np.full(len(rows), -np.inf)
    index = np.zeros(len(rows), np.int64)
    halves = np.einsum("md,md->m", bank, bank) / 2  # without an array of squares
    for start in range(0, len(rows), ROWS):
        own = slice(start, start + ROWS)
        bank_rows = max(1, PRODUCTS // len(rows[own]))
        for first in range(0, len(bank), bank_rows):
            # |a - b|² falls where a.b - b.b / 2 rises
            part = slice(first, first + bank_rows)
            near = rows[own] @ bank[part].T
            near -= halves[part]
            best = near.argmax(1)
            value = near[np.arange(len(best)), best]
            closer = value > highest[own]
            highest[own] = np.where(closer, value, highest[own])
            index[own] = np.where(closer, first + best, index[own])
    return np.sqrt(np.square(rows - bank[index]).sum(1)), index


def _squares(rows: np.ndarray, row: np.ndarray) -> np.ndarray:
    return np.square(rows - row).sum(1)
