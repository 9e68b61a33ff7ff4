"""All that runs beside the cameras of one program: their observers, alerts and the page."""

import pathlib
import time
from collections.abc import Sequence

from vadjax.live import outbox, rules
from vadjax.live.observer import CameraObserver
from vadjax.live.options import LiveOptions
from vadjax.live.rules import AlertRules
from vadjax.live.serving import LivePage


class LiveSession:
    """What watches the cameras of one program.

    Args:
      options: what is asked for.
      cameras: names of the cameras or videos.
      out: folder of the results.
      line: live score from which a frame is an alarm; None if the system has none.
      size: (H, W) of the frames that boxes are in; None for that of the frames.
      classes: that the system tells of objects; none if it tells of no objects.

    Raises:
      ImportError: a library that is asked for is not installed.
      OSError: the rules cannot be read, or the page's port not be opened.
      ValueError: options that cannot be, or that this system cannot serve.
    """

    def __init__(
        self,
        options: LiveOptions,
        cameras: Sequence[str],
        out: pathlib.Path,
        line: float | None,
        size: tuple[int, int] | None,
        classes: Sequence[str],
    ):
        self._options, self._out, self._line, self._size = options, out, line, size
        # What can be wrong is found before anything runs.
        if options.needs_events and line is None:
            raise ValueError(
                "--alert and --clips need an alarm line, and this run has none; train a run of "
                "configs/camera.py"
            )
        self._rules = None
        if options.rules is not None:
            self._rules = rules.read(options.rules, cameras, classes)
            if self._rules.content.get("zones") and not classes:
                raise ValueError(
                    f"{options.rules}: zones, but this system tells of no objects with a place; "
                    "leave them out, or train a run of configs/camera.py"
                )
        sinks = options.sinks()
        self.observers: dict[str, CameraObserver] = {}
        self._page = None
        if options.serve:
            self._page = LivePage(options.serve, options.token, self.observers, out)
        self._outboxes = [outbox.Outbox(sink) for sink in sinks]

    def __enter__(self) -> "LiveSession":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def observe(self, name: str, live: bool) -> CameraObserver:
        """The observer of a camera or video.

        Args:
          name: of it.
          live: whether its frames come when they are filmed.
        """
        own = self._rules.of_camera(name) if self._rules else AlertRules()
        observer = CameraObserver(
            name, self._out, self._line, self._size, self._options, own, self._outboxes, live
        )
        self.observers[name] = observer
        return observer

    def close(self) -> None:
        """Delivers the alerts that wait, for some seconds, and says how many arrived."""
        if self._page is not None:
            self._page.close()
        # All of them have the same seconds, however many hang.
        end = time.monotonic() + outbox.LAST
        for one in self._outboxes:
            one.hurry()
        for one in self._outboxes:
            print(one.close(max(0.0, end - time.monotonic())), flush=True)
        self._outboxes = []
