"""What the page of `serving` answers: the page itself, what is watched now, pictures and files.

This module needs tornado (extra `serve`).
"""

import hmac
import json
import pathlib
import time
import urllib.parse
from collections.abc import Mapping, Sequence

import tornado.web

from vadjax.live.observer import CameraObserver, Latest
from vadjax.live.pictures import to_jpeg, with_boxes
from vadjax.live.serving import PAGE, is_local

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
COOKIE = "vadjax_token"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Server": "vadjax",
}
SHOWN = ("id", "start_s", "stop_s", "time", "noticed", "score", "text", "alert", "held", "open")
TOKEN, OBSERVERS = "vadjax_token", "vadjax_observers"  # settings of the application


def application(
    observers: Mapping[str, CameraObserver], folder: pathlib.Path, token: str | None
) -> tornado.web.Application:
    """The handlers of the page.

    Args:
      observers: by name of the camera; may still grow.
      folder: of snapshots and clips.
      token: that a visitor must have; None for none.
    """
    files = r"/files/([^/]+/[^/]+\.(?:jpg|mp4))"
    return tornado.web.Application(
        [
            (r"/()", AssetHandler),
            (r"/(page\.js|page\.css)", AssetHandler),
            (r"/state\.json", StateHandler),
            (r"/picture/(\d{1,3})\.jpg", PictureHandler),
            (files, FileHandler, {"path": str(folder)}),
        ],
        log_function=lambda handler: None,
        **{TOKEN: token, OBSERVERS: observers},
    )


class GuardedHandler(tornado.web.RequestHandler):
    """Answers nobody who may not look."""

    def set_default_headers(self) -> None:
        """Headers of every answer."""
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Refuses whoever has no token, and takes the token out of the address.

        Raises:
          tornado.web.HTTPError: 403.
        """
        token = self.settings[TOKEN]
        # A page of another site may lead its name to this machine; then the host betrays it.
        host = urllib.parse.urlsplit(f"//{self.request.host}").hostname or ""
        if token is None and not is_local(host):
            raise tornado.web.HTTPError(403)
        if token is None or self._knows(self.get_cookie(COOKIE) or ""):
            return
        given = self.get_query_argument("token", "")
        kind, _, bearer = self.request.headers.get("Authorization", "").partition(" ")
        if kind == "Bearer" and self._knows(bearer):
            return
        if not self._knows(given):
            raise tornado.web.HTTPError(403)
        # The token leaves the address line, where others could read it.
        self.set_cookie(COOKIE, token, httponly=True, samesite="Strict", path="/")
        self.redirect("/")

    def _knows(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.settings[TOKEN].encode())

    def write_error(self, status_code: int, **kwargs) -> None:
        """The number of the error, and of 403 what is missing."""
        if "exc_info" in kwargs and status_code == 403:
            self.finish("403: this page needs its token: /?token=…\n")
        else:
            self.finish(f"{status_code}\n")


class FileHandler(GuardedHandler, tornado.web.StaticFileHandler):
    """Snapshots and clips."""

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        """The place of a file of a camera.

        Raises:
          tornado.web.HTTPError: 404, for a path that leads elsewhere.
        """
        camera, _, name = path.partition("/")
        if camera in (".", "..") or "/" in name or "\\" in path:
            raise tornado.web.HTTPError(404)
        return super().get_absolute_path(root, path)

    def set_extra_headers(self, path: str) -> None:
        """A file does not change once it is there."""
        self.set_header("Cache-Control", "private, max-age=3600")


class AssetHandler(GuardedHandler):
    """The page and what belongs to it."""

    def get(self, name: str = "") -> None:
        """The page, or one of its files."""
        path = PAGE / (name or "page.html")
        self.set_header("Content-Type", f"{TYPES[path.suffix]}; charset=utf-8")
        self.finish(path.read_bytes())


class StateHandler(GuardedHandler):
    """What is shown, as JSON."""

    def get(self) -> None:
        """The state of all cameras."""
        state = state_of(list(self.settings[OBSERVERS].values()))
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps(state, allow_nan=False))


class PictureHandler(GuardedHandler):
    """The newest picture of a camera."""

    def get(self, number: str) -> None:
        """The picture of the camera of that number, as JPEG.

        Raises:
          tornado.web.HTTPError: 404, where there is none.
        """
        own = list(self.settings[OBSERVERS].values())
        latest = own[int(number)].latest if int(number) < len(own) else None
        if latest is None:
            raise tornado.web.HTTPError(404)
        self.set_header("Content-Type", "image/jpeg")
        self.finish(picture_of(latest, own[int(number)].size))


def event_shown(record: dict, camera: str) -> dict:
    """What the page shows of an event, with the addresses of its files."""
    shown = {key: record[key] for key in SHOWN if key in record}
    for key in ("snapshot", "clip"):
        if key in record:
            name = pathlib.Path(record[key]).name
            shown[key] = f"/files/{urllib.parse.quote(camera)}/{urllib.parse.quote(name)}"
    return shown


def state_of(observers: Sequence[CameraObserver]) -> dict:
    """All that the page shows, as JSON can hold it."""
    now, cameras = time.time(), []
    for number, observer in enumerate(observers):
        latest = observer.latest
        cameras.append(
            {
                "name": observer.name,
                "number": number,
                "line": observer.line,
                "score": None if latest is None else round(latest.score, 4),
                "age": None if latest is None else round(now - latest.noted, 1),
                "seconds": None if latest is None else round(latest.seconds, 1),
                "curve": [[round(at - now, 2), round(one, 4)] for at, one in tuple(observer.curve)],
                "count": observer.count,
                "events": [event_shown(one, observer.name) for one in tuple(observer.listed)],
            }
        )
    return {"cameras": cameras}


def picture_of(latest: Latest, size: tuple[int, int] | None) -> bytes:
    """The newest picture with its boxes, as JPEG."""
    return to_jpeg(with_boxes(latest.pixels, latest.boxes, size))
