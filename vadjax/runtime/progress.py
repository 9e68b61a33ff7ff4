"""Progress of long work: a live bar on a terminal, a line now and then elsewhere; warnings."""

import contextlib
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import IO

from vadjax.runtime import terminal

QUIET_SECONDS = 30  # between two lines where there is no terminal


class Bar:
    """Shows how far a loop is, with figures and the rate.

    Args:
      title: what the loop does.
      total: number of its last step.
      first: steps that were done before it began.
      live: bar on a terminal; None prints lines instead.
      file: where lines go; None is the standard output.
    """

    def __init__(
        self,
        title: str,
        total: int,
        first: int,
        live: terminal.LiveBar | None,
        file: IO | None = None,
    ):
        self._title, self._total, self._first, self._live = title, total, first, live
        self._file = file
        self._start = self._spoke = time.monotonic()

    def update(self, step: int, figures: Mapping[str, float]) -> None:
        """Says that `step` steps are done."""
        # Figures, and the rate since the loop began.
        now = time.monotonic()
        rate = (step - self._first) / max(now - self._start, 1e-9)
        parts = [f"{name} {value:.4f}" for name, value in figures.items()]
        note = " · ".join([*parts, f"{rate:.1f} steps/s"])
        if self._live:
            self._live.update(step, note)
        # Without a terminal a line now and then. The total may be too small (`VideoFile.listed`).
        elif step == self._total or now - self._spoke > QUIET_SECONDS:
            of, left = (f"/{self._total:,}" if self._total >= step else ""), ""
            if of and step > self._first:
                left = f" · {(self._total - step) / max(rate, 1e-9):.0f} s left"
            print(f"{self._title} {step:,}{of} · {note}{left}", flush=True, file=self._file)
            self._spoke = now


@contextlib.contextmanager
def bar(title: str, total: int, first: int = 0, file: IO | None = None) -> Iterator[Bar]:
    """A bar for steps `first` to `total` on a file (default: the standard output)."""
    with terminal.live(title, total, first, file) as live:
        yield Bar(title, total, first, live, file)


@contextlib.contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Every warning to the user becomes a line on the standard error."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *rest: print(f"warning: {message}", file=sys.stderr)
        yield
