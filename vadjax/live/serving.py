"""A page of what is watched now: picture, boxes, curve and events, over HTTP."""

import asyncio
import hmac
import ipaddress
import json
import pathlib
import socket
import threading
import time
import urllib.parse
from collections.abc import Mapping, Sequence

from vadjax.formats.text import read_text
from vadjax.live.observer import FOLDER, CameraObserver, Latest
from vadjax.live.pictures import to_jpeg, with_boxes

PAGE = pathlib.Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
LEAST_TOKEN, MOST_TOKEN = 16, 4096  # letters; bytes of the file
COOKIE = "vadjax_token"
STARTING, STOPPING = 10.0, 5.0  # seconds
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


def parse_address(address: str) -> tuple[str, int]:
    """Host and port of `--serve`.

    Raises:
      ValueError: another form, or a port that none can have.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 <= int(port) < 1 << 16:
        raise ValueError(f"--serve={address}: expected ADDRESS:PORT, as 127.0.0.1:8800")
    return host.strip("[]"), int(port)


def is_local(host: str) -> bool:
    """Whether only this machine can reach the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(path: pathlib.Path | None, host: str) -> str | None:
    """The token of the page; None where none is needed.

    Raises:
      OSError: the file cannot be read.
      ValueError: none is given for a host that others can reach, or it is too short.
    """
    if path is None:
        if is_local(host):
            return None
        raise ValueError(
            f"--serve={host}:…: others can reach this address; name a file with a token of at "
            f"least {LEAST_TOKEN} letters: --serve_token=FILE, or serve 127.0.0.1"
        )
    token = read_text(path, MOST_TOKEN).strip()
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isalnum():
        raise ValueError(
            f"{path}: expected a token of at least {LEAST_TOKEN} letters and digits; make one: "
            "python -c 'import secrets; print(secrets.token_hex())'"
        )
    return token


class LivePage(threading.Thread):
    """Serves the page in a thread of its own.

    Args:
      address: ADDRESS:PORT; port 0 takes a free one.
      token: path of a file with the token; None where only this machine reaches the address.
      observers: of the cameras, by name; may still grow.
      out: folder of the results.

    Raises:
      ImportError: tornado is not installed.
      OSError: the port cannot be opened, or the token not be read.
      ValueError: an address or token that cannot be.

    Attributes:
      url: of the page, without the token.
    """

    def __init__(
        self,
        address: str,
        token: pathlib.Path | None,
        observers: Mapping[str, CameraObserver],
        out: pathlib.Path,
    ):
        super().__init__(daemon=True, name="page")
        host, port = parse_address(address)
        self._token = read_token(token, host)
        try:
            import tornado.httpserver  # noqa: F401 (whether it is there)
        except ImportError as error:
            raise ImportError("--serve needs tornado; run: pip install 'vadjax[serve]'") from error
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            raise OSError(
                f"--serve={address}: {error.strerror or error}; is another program there? Take "
                "another port"
            ) from error
        self._socket.setblocking(False)
        port = self._socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        self._application = application(observers, out.absolute() / FOLDER, self._token)
        self._loop, self._stopped = None, None
        self._serving = threading.Event()
        self.start()
        self._serving.wait(STARTING)
        print(f"Page: {self.url}" + (" with ?token=… once" if self._token else ""), flush=True)

    def run(self) -> None:
        """Serves until `close`."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        from tornado.httpserver import HTTPServer

        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = HTTPServer(self._application, max_body_size=1 << 16, idle_connection_timeout=60)
        server.add_socket(self._socket)
        self._serving.set()
        await self._stopped.wait()
        server.stop()
        await server.close_all_connections()

    def close(self) -> None:
        """Ends it."""
        if self._loop is not None and self.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self.join(STOPPING)


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


def application(observers: Mapping[str, CameraObserver], folder: pathlib.Path, token: str | None):
    """The handlers of the page, as tornado has them.

    Args:
      observers: by name of the camera.
      folder: of snapshots and clips.
      token: that a visitor must have; None for none.
    """
    import tornado.web

    class GuardedHandler(tornado.web.RequestHandler):
        """Answers nobody who may not look."""

        def set_default_headers(self) -> None:
            for name, value in HEADERS.items():
                self.set_header(name, value)

        def prepare(self) -> None:
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
            return hmac.compare_digest(given.encode(), token.encode())

        def write_error(self, status_code: int, **kwargs) -> None:
            if "exc_info" in kwargs and status_code == 403:
                self.finish("403: this page needs its token: /?token=…\n")
            else:
                self.finish(f"{status_code}\n")

    class FileHandler(GuardedHandler, tornado.web.StaticFileHandler):
        """Snapshots and clips."""

        @classmethod
        def get_absolute_path(cls, root: str, path: str) -> str:
            camera, _, name = path.partition("/")
            if camera in (".", "..") or "/" in name or "\\" in path:
                raise tornado.web.HTTPError(404)
            return super().get_absolute_path(root, path)

        def set_extra_headers(self, path: str) -> None:
            self.set_header("Cache-Control", "private, max-age=3600")

    class AssetHandler(GuardedHandler):
        """The page and what belongs to it."""

        def get(self, name: str = "") -> None:
            path = PAGE / (name or "page.html")
            self.set_header("Content-Type", f"{TYPES[path.suffix]}; charset=utf-8")
            self.finish(path.read_bytes())

    class StateHandler(GuardedHandler):
        """What is shown, as JSON."""

        def get(self) -> None:
            self.set_header("Content-Type", "application/json; charset=utf-8")
            self.finish(json.dumps(state_of(list(observers.values())), allow_nan=False))

    class PictureHandler(GuardedHandler):
        """The newest picture of a camera."""

        def get(self, number: str) -> None:
            own = list(observers.values())
            latest = own[int(number)].latest if int(number) < len(own) else None
            if latest is None:
                raise tornado.web.HTTPError(404)
            self.set_header("Content-Type", "image/jpeg")
            self.finish(picture_of(latest, own[int(number)].size))

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
    )
