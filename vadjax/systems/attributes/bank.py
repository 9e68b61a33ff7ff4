"""A bounded bank of normal objects, and the nearest of them (spec attributes §4.2).

N rows, M of them in the bank, D features. Distances that decide are float64, those of direct
differences; where float32 is used it only says what cannot be the nearest.
"""

import numpy as np

MOST = 5_000  # objects of a bank
SAME = 1e-12  # squared distance up to which a row adds nothing
LOWER = 0.97  # of the radius that is looked at next
ROWS, PRODUCTS = 1024, 1 << 19  # rows and products of a block: 2 MiB; few rows, many of a bank
EPSILON = 2.0**-24  # largest relative error of one rounding to float32


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


class NearestInBank:
    """Finds the nearest of a bank, which is prepared once for many questions.

    Products in float32 tell which exemplars can be the nearest: all whose value is within the
    largest rounding error of the best. Direct differences in float64 decide among these, which are
    one or two of thousands.

    Args:
      bank: float [M, D], M at least 1.

    Raises:
      ValueError: an empty bank.
    """

    def __init__(self, bank: np.ndarray):
        self._bank = np.asarray(bank, np.float64)
        if self._bank.ndim != 2 or not len(self._bank):
            raise ValueError(f"a bank {self._bank.shape}; expected [M, D], M at least 1")
        # Around the middle products are smallest, and so are their rounding errors.
        self._middle = self._bank.mean(0)
        self._short = (self._bank - self._middle).astype(np.float32)
        squares = np.einsum("md,md->m", self._short, self._short)  # without an array of squares
        self._halves, self._longest = squares / 2, float(np.sqrt(squares.max()))

    def __call__(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance to the nearest of the bank, and its number, the first of equals.

        Args:
          rows: float [N, D].

        Returns:
          float64 [N] and int64 [N].

        Raises:
          ValueError: rows of another width.
        """
        rows = np.asarray(rows, np.float64)
        if rows.ndim != 2 or rows.shape[1:] != self._bank.shape[1:]:
            raise ValueError(f"rows {rows.shape} and a bank {self._bank.shape}; expected one width")
        parts = [self._of_block(rows[i : i + ROWS]) for i in range(0, len(rows), ROWS)]
        nothing = np.zeros(0), np.zeros(0, np.int64)
        distance, index = map(np.concatenate, zip(nothing, *parts, strict=True))
        return distance, index

    def _of_block(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        short = (rows - self._middle).astype(np.float32)
        error = self._largest_error(short)
        highest = np.full(len(rows), -np.inf, np.float32)
        step = max(1, PRODUCTS // len(rows))
        found = []  # rows, exemplars and values of those that can be the nearest
        for first in range(0, len(self._bank), step):
            # |a - b|² falls where a.b - b.b / 2 rises
            part = slice(first, first + step)
            near = short @ self._short[part].T
            near -= self._halves[part]
            best = near.max(1)
            np.maximum(highest, best, out=highest)
            # Most blocks hold nothing that is as near as what is known.
            least = highest - 2 * error
            own = np.flatnonzero(best >= least)
            row, exemplar = np.nonzero(near[own] >= least[own, None])
            found.append((own[row], first + exemplar, near[own[row], exemplar]))
        row, exemplar, value = map(np.concatenate, zip(*found, strict=True))
        kept = value >= (highest - 2 * error)[row]
        return self._decide(rows, row[kept], exemplar[kept])

    def _largest_error(self, short: np.ndarray) -> np.ndarray:
        """By how much a value of each row may be rounded, float32 [N]."""
        length = np.sqrt(np.einsum("nd,nd->n", short, short))
        terms = short.shape[1] + 4  # of a sum, and the roundings of both factors and of b.b / 2
        return np.float32(terms * EPSILON) * (length + self._longest) * np.float32(self._longest)

    def _decide(self, rows, row, exemplar) -> tuple[np.ndarray, np.ndarray]:
        """The nearest of each row among pairs of rows and exemplars, some for every row."""
        step = max(1, PRODUCTS // rows.shape[1])
        squares = np.concatenate(
            [
                np.square(rows[row[i : i + step]] - self._bank[exemplar[i : i + step]]).sum(1)
                for i in range(0, len(row), step)
            ]
        )
        order = np.lexsort((exemplar, squares, row))
        first = order[np.searchsorted(row[order], np.arange(len(rows)))]
        return np.sqrt(squares[first]), exemplar[first]


def nearest(rows: np.ndarray, bank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest of a bank, and its number, as of `NearestInBank`."""
    return NearestInBank(bank)(rows)


def _squares(rows: np.ndarray, row: np.ndarray) -> np.ndarray:
    return np.square(rows - row).sum(1)
