"""What the flags of live video ask for, checked."""

import dataclasses
import math
import pathlib
from collections.abc import Iterable

from vadjax.data.video.camera import without_login
from vadjax.formats.names import check_name
from vadjax.live.sinks import Sink, make_sink

COOL_DOWN = 10.0  # seconds
MOST_ALERTS = 20  # sinks
MOST = 64  # cameras


@dataclasses.dataclass(frozen=True)
class LiveOptions:
    """What is done while video is watched.

    Attributes:
      alerts: where alerts go, as for `make_sink`.
      rules: path of the rules file; None for no rules.
      cool_down: seconds after the end of an alerted event in which no other one makes an alert.
      clips: whether clips of events are written.
      keep_days: days after which snapshots and clips are removed; None keeps them.
      serve: ADDRESS:PORT of the page; empty for none.
      token: path of a file with the token of the page; None for none.
    """

    alerts: tuple[str, ...] = ()
    rules: pathlib.Path | None = None
    cool_down: float = COOL_DOWN
    clips: bool = False
    keep_days: float | None = None
    serve: str = ""
    token: pathlib.Path | None = None

    def __post_init__(self):
        if not 0 <= self.cool_down < math.inf:
            raise ValueError(f"--cool_down {self.cool_down:g}; expected 0 or more seconds")
        if self.keep_days is not None and not 0 < self.keep_days < math.inf:
            raise ValueError(f"--keep_days {self.keep_days:g}; expected more than 0 days")
        if len(self.alerts) > MOST_ALERTS:
            raise ValueError(f"--alert: {len(self.alerts)} of them; expected {MOST_ALERTS} at most")
        if self.rules is not None and not self.alerts:
            raise ValueError("--alert_rules says which events are alerts; name an --alert too")
        if self.token is not None and not self.serve:
            raise ValueError("--serve_token is of the page; say --serve=ADDRESS:PORT too")

    @property
    def needs_events(self) -> bool:
        """Whether something is asked for that only events bring."""
        return bool(self.alerts or self.clips)

    @property
    def keeps_pictures(self) -> bool:
        """Whether snapshots of events are written."""
        return bool(self.alerts or self.clips or self.serve)

    def sinks(self) -> list[Sink]:
        """Those of `alerts`; raises ValueError or ImportError as `make_sink`."""
        return [make_sink(target) for target in self.alerts]


def parse_sources(arguments: Iterable[str]) -> dict[str, str]:
    """Name → source of arguments `NAME=SOURCE`.

    Raises:
      ValueError: an argument of another form, a name that no file can have, or one twice.
    """
    sources: dict[str, str] = {}
    for argument in arguments:
        name, equals, source = argument.partition("=")
        if not equals or not source:
            raise ValueError(
                f"--live: {without_login(argument)!r}; expected NAME=SOURCE, as "
                "door=rtsp://192.168.1.20/stream"
            )
        check_name(name, "--live", "camera")
        if name in sources:
            raise ValueError(f"--live: two cameras are called {name}; give each its own name")
        sources[name] = source
    if len(sources) > MOST:
        raise ValueError(f"--live: {len(sources)} cameras; expected {MOST} at most")
    return sources
