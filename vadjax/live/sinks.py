"""Where alerts go: a command, an address of HTTP, a broker of MQTT.

Each sink takes a record and returns once it has arrived, or raises `NotDelivered`. No call lasts
notably longer than `LIMIT`, whatever the other side does.
"""

import base64
import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import urllib.parse
from typing import Protocol

LIMIT = 10.0  # seconds for one delivery
MOST_ANSWER = 64 << 10  # bytes of an answer that are read
PORTS = {"http": 80, "https": 443, "mqtt": 1883, "mqtts": 8883}


class NotDelivered(Exception):
    """An alert did not arrive.

    Args:
      reason: why.
      lasting: whether another attempt would fail in the same way.
    """

    def __init__(self, reason: str, lasting: bool = False):
        super().__init__(reason)
        self.lasting = lasting


class Sink(Protocol):
    """Something that takes alerts.

    Attributes:
      shown: what messages call it; without passwords.
    """

    shown: str

    def send(self, record: dict) -> None:
        """Delivers a record; raises `NotDelivered`."""


def make_sink(target: str, limit: float = LIMIT) -> Sink:
    """The sink of `--alert`.

    Args:
      target: `http://…`, `https://…`, `mqtt://…`, `mqtts://…`, or else a command.
      limit: seconds for one delivery.

    Raises:
      ImportError: MQTT, without paho.
      ValueError: it can never be reached: no such command, no host, no topic.
    """
    scheme = target.split("://", 1)[0].lower() if "://" in target.split(" ", 1)[0] else ""
    if scheme in ("http", "https"):
        return HttpSink(target, limit)
    if scheme in ("mqtt", "mqtts"):
        return MqttSink(target, limit)
    if scheme:
        raise ValueError(
            f"--alert {scheme}://…: expected https://…, http://…, mqtt://…, mqtts://… or a command"
        )
    return CommandSink(target, limit)


class CommandSink:
    """A command that gets each record as a line of JSON on standard input, without a shell.

    Args:
      command: program and arguments, quoted as a shell has it.
      limit: seconds after which it is killed, with all that it has started.

    Raises:
      ValueError: the quotes do not fit, or there is no such program.
    """

    def __init__(self, command: str, limit: float = LIMIT):
        try:
            self._arguments = shlex.split(command)
        except ValueError as error:
            raise ValueError(f"--alert {command!r}: {error}; close the quotes") from error
        if not self._arguments or shutil.which(self._arguments[0]) is None:
            program = self._arguments[0] if self._arguments else ""
            raise ValueError(
                f"--alert {command!r}: no program {program!r} that can be run; give its path, and "
                "make it executable (chmod +x)"
            )
        self._limit, self.shown = limit, f"command {self._arguments[0]}"

    def send(self, record: dict) -> None:
        """Runs the command."""
        # Files and no pipes: what the command leaves running cannot keep this waiting.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as errors:
            given.write(line_of(record))
            given.seek(0)
            try:
                # In a session of its own, so that all that it starts can be ended with it.
                process = subprocess.Popen(
                    self._arguments,
                    stdin=given,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    start_new_session=True,
                )
            except OSError as error:
                raise NotDelivered(f"cannot be run: {error.strerror}") from error
            try:
                code = process.wait(self._limit)
            except subprocess.TimeoutExpired:
                raise NotDelivered(f"ran for more than {self._limit:g} s and was ended") from None
            finally:
                _end(process)
            # Its last line says why.
            if code:
                errors.seek(0)
                said = errors.read(MOST_ANSWER).decode("utf-8", "replace").strip().splitlines()
                raise NotDelivered(f"exit code {code}" + (f": {said[-1][:200]}" if said else ""))


def _end(process: subprocess.Popen) -> None:
    """Kills a command that still runs, with what it has started."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
        process.wait()


class HttpSink:
    """An address that gets each record by POST, as JSON.

    A user and password in the address are sent as Basic authorisation. Redirections are not
    followed, and proxies of the environment not used.

    Args:
      address: `http://…` or `https://…`.
      limit: seconds for one delivery.

    Raises:
      ValueError: it has no host, or a port that none can have.
    """

    def __init__(self, address: str, limit: float = LIMIT):
        parts, self._port = _address(address)
        self._host, self._limit, self._secure = parts.hostname, limit, parts.scheme == "https"
        self._path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        self._headers = {"Content-Type": "application/json", "User-Agent": "vadjax"}
        if login := _login(parts):
            code = base64.b64encode(":".join(login).encode()).decode()
            self._headers["Authorization"] = f"Basic {code}"
        self.shown = f"{parts.scheme}://{parts.hostname}"

    def send(self, record: dict) -> None:
        """Posts the record; any answer of 200 to 299 is an arrival."""
        # A new connection for each alert, which are rare.
        if self._secure:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._limit, context=context
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._limit)
        # The time-out of a socket is for each read; a side that gives a byte a second outlasts it.
        ended = threading.Event()
        timer = threading.Timer(self._limit, _shut, [connection, ended])
        timer.daemon = True
        timer.start()
        try:
            # A header holds no letters beyond Latin-1, which the name of a camera may have.
            key = urllib.parse.quote(str(record.get("id", "")))
            headers = self._headers | {"Idempotency-Key": key}
            connection.request("POST", self._path, line_of(record), headers)
            answer = connection.getresponse()
            answer.read(MOST_ANSWER)
            late = ended.is_set()
        except (OSError, http.client.HTTPException) as error:
            late = f"no whole answer within {self._limit:g} s"
            reason = late if ended.is_set() else str(error) or type(error).__name__
            raise NotDelivered(reason) from error
        finally:
            timer.cancel()
            connection.close()
        if late:  # what was cut off may look like a whole answer
            raise NotDelivered(f"no whole answer within {self._limit:g} s")
        if not 200 <= answer.status < 300:
            # Of the errors of the sender, only "too slow" and "too many" pass by themselves.
            lasting = 300 <= answer.status < 500 and answer.status not in (408, 425, 429)
            raise NotDelivered(f"answer {answer.status} {answer.reason}", lasting)


def _shut(connection: http.client.HTTPConnection, ended: threading.Event) -> None:
    """Ends a connection that takes too long, from another thread, which `ended` says before."""
    ended.set()
    if connection.sock is not None:
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class MqttSink:
    """A topic of an MQTT broker, which gets each record with quality of service 1.

    Args:
      address: `mqtt://[USER:PASSWORD@]HOST[:PORT]/TOPIC`, or `mqtts://…` with TLS.
      limit: seconds for one delivery.

    Raises:
      ImportError: paho is not installed.
      ValueError: there is no host or no topic that can be written to.
    """

    def __init__(self, address: str, limit: float = LIMIT):
        try:
            import paho.mqtt.client as mqtt
        except ImportError as error:
            raise ImportError(
                "--alert mqtt://… needs paho-mqtt; run: pip install 'vadjax[alerts]'"
            ) from error
        self._mqtt = mqtt
        parts, self._port = _address(address)
        self._host, self._limit, self._secure = parts.hostname, limit, parts.scheme == "mqtts"
        self._login = _login(parts)
        self._topic = urllib.parse.unquote(parts.path.lstrip("/"))
        self.shown = f"{parts.scheme}://{parts.hostname}"
        # An empty query or fragment is not in the parts, so the text behind the host is looked at.
        behind = address.partition("://")[2].removeprefix(parts.netloc)
        if not self._topic or set("+#?\0") & set(self._topic + behind):
            raise ValueError(
                f"--alert {self.shown}: the topic is {self._topic!r}; expected mqtt://HOST/TOPIC, "
                "without +, # and ?"
            )

    def send(self, record: dict) -> None:
        """Publishes the record, and waits until the broker has it."""
        # A client for each alert: what it could not deliver does not come twice later.
        client = self._mqtt.Client(self._mqtt.CallbackAPIVersion.VERSION2)
        client.connect_timeout = self._limit
        # Its own thread says when the broker has answered, and whether it lets us in.
        answered, refused = threading.Event(), []

        def on_connect(client, userdata, flags, reason, properties):
            if reason.is_failure:
                refused.append(str(reason))
            answered.set()

        client.on_connect = on_connect
        if self._login:
            client.username_pw_set(*self._login)
        if self._secure:
            client.tls_set()
        # The connection, the answer, and that the broker has the record.
        try:
            client.connect(self._host, self._port)
            client.loop_start()
            if not answered.wait(self._limit):
                raise NotDelivered(f"no answer within {self._limit:g} s")
            if refused:
                raise NotDelivered(f"the broker refuses: {refused[0]}")
            message = client.publish(self._topic, line_of(record), qos=1)
            message.wait_for_publish(self._limit)
            if not message.is_published():
                raise NotDelivered(f"not confirmed within {self._limit:g} s")
        except (OSError, ValueError, RuntimeError) as error:
            raise NotDelivered(str(error) or type(error).__name__) from error
        finally:
            client.disconnect()
            client.loop_stop()


def line_of(record: dict) -> bytes:
    """A record as one line of JSON."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _address(address: str) -> tuple[urllib.parse.SplitResult, int]:
    """The parts of an address, and its port.

    Raises:
      ValueError: no host, or no port; the message leaves out what may be secret.
    """
    scheme = address.split("://", 1)[0].lower()
    if any(letter.isspace() or not letter.isprintable() for letter in address):
        raise ValueError(f"--alert {scheme}://…: has spaces or the like in it; write %20")
    try:
        parts = urllib.parse.urlsplit(address)
        port = parts.port
    except ValueError:
        # The error has a part of the address in it, which may be of a password.
        raise ValueError(
            f"--alert {scheme}://…: cannot be taken apart; in a password write %2F for /, %23 for "
            "#, %3F for ? and %40 for @, and a port from 0 to 65535"
        ) from None
    if not parts.hostname:
        raise ValueError(f"--alert {scheme}://…: names no host; expected {scheme}://HOST/…")
    return parts, PORTS[scheme] if port is None else port


def _login(parts: urllib.parse.SplitResult) -> tuple[str, str] | None:
    """User and password of an address; None without any."""
    if parts.username is None:
        return None
    return urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or "")
