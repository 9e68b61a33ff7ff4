"""A page of what is watched now: picture, boxes, curve and events, over HTTP."""

import asyncio
import ipaddress
import pathlib
import socket
import threading
from collections.abc import Mapping

from vadjax.formats.text import read_text
from vadjax.live.observer import FOLDER, CameraObserver

PAGE = pathlib.Path(__file__).parent / "page"
LEAST_TOKEN, MOST_TOKEN = 16, 4096  # letters; bytes of the file
STARTING, STOPPING = 10.0, 5.0  # seconds


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

            from vadjax.live import handlers
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
        self._application = handlers.application(observers, out.absolute() / FOLDER, self._token)
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
