"""Where alerts go: commands, HTTP and MQTT, each of which may hang, fail or refuse."""

import base64
import contextlib
import http.server
import json
import shlex
import socket
import sys
import threading
import time
import urllib.parse

import pytest

from tests.helpers.servers import free_port, mqtt_broker, wait_for
from vadjax.live.sinks import NotDelivered, make_sink

RECORD = {"id": "door-1", "text": "läuft"}


def python(program: str) -> str:
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}"


class Inbox(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted; the path says how it answers."""

    got: list

    def do_POST(self):
        """Answers."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).got.append((self.path, dict(self.headers), body))
        if self.path == "/hangs":
            time.sleep(30)
        if self.path == "/drips":
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                for _ in range(300):
                    self.wfile.write(b"X-A: b\r\n")
                    time.sleep(0.1)
            return
        code = int(self.path[1:]) if self.path[1:].isdecimal() else 204
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/204")
        self.end_headers()

    def log_message(self, *args):
        """Says nothing."""


@pytest.fixture
def inbox():
    Inbox.got = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Inbox)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_command_gets_the_record_without_a_shell(tmp_path):
    path = tmp_path / "got $HOME; touch x"
    program = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"
    sink = make_sink(f"{python(program)} {shlex.quote(str(path))}")
    sink.send(RECORD)
    assert json.loads(path.read_bytes()) == RECORD and path.read_bytes().endswith(b"}\n")
    assert sink.shown == f"command {sys.executable}"


def test_a_command_that_fails_says_why():
    with pytest.raises(NotDelivered, match="exit code 3: no paper"):
        program = "import sys; print('no paper', file=sys.stderr); sys.exit(3)"
        make_sink(python(program)).send(RECORD)


def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    path = tmp_path / "alive"
    child = (
        f"import time\nfor _ in range(999): open({str(path)!r}, 'a').write('x'); time.sleep(.05)"
    )
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    start = time.monotonic()
    with pytest.raises(NotDelivered, match="ran for more than 3 s and was ended"):
        make_sink(python(program), 3.0).send(RECORD)
    assert time.monotonic() - start < 20
    wait_for(path.exists, 1)
    size = path.stat().st_size
    time.sleep(0.3)
    assert path.stat().st_size == size


def test_http_posts_the_record(inbox):
    make_sink(f"http://me:p%40ss@{inbox}/hook?key=1").send(RECORD)
    ((path, headers, body),) = Inbox.got
    assert path == "/hook?key=1" and json.loads(body) == RECORD
    assert headers["Content-Type"] == "application/json" and headers["Idempotency-Key"] == "door-1"
    assert base64.b64decode(headers["Authorization"].split()[1]) == b"me:p@ss"


def test_http_takes_alerts_of_cameras_with_any_name(inbox):
    make_sink(f"http://{inbox}/").send({"id": "門 é-1"})
    ((_, headers, body),) = Inbox.got
    assert json.loads(body) == {"id": "門 é-1"}
    assert urllib.parse.unquote(headers["Idempotency-Key"]) == "門 é-1"


@pytest.mark.parametrize(
    ("path", "reason", "lasting"),
    [
        ("500", "answer 500", False),
        ("429", "answer 429", False),
        ("404", "answer 404", True),
        ("302", "answer 302", True),  # a redirection is not followed
        ("hangs", "no whole answer within 1 s|timed out", False),
        ("drips", "no whole answer within 1 s", False),
    ],
)
def test_http_that_does_not_take_it(inbox, path, reason, lasting):
    sink, start = make_sink(f"http://{inbox}/{path}", 1.0), time.monotonic()
    with pytest.raises(NotDelivered, match=reason) as error:
        sink.send(RECORD)
    assert error.value.lasting is lasting and time.monotonic() - start < 15
    assert len(Inbox.got) == 1


def test_nobody_listens():
    with pytest.raises(NotDelivered, match="refused"):
        make_sink(f"http://127.0.0.1:{free_port()}/").send(RECORD)
    with pytest.raises(NotDelivered, match="refused"):
        make_sink(f"mqtt://127.0.0.1:{free_port()}/a").send(RECORD)


def test_https_does_not_trust_anybody(inbox):
    with pytest.raises(NotDelivered):
        make_sink(f"https://{inbox}/", 2.0).send(RECORD)
    assert not Inbox.got


def test_mqtt_publishes_the_record(tmp_path):
    with mqtt_broker(tmp_path) as (port, _):
        with subscribed(port, "home/#") as got:
            make_sink(f"mqtt://127.0.0.1:{port}/home/front%20door").send(RECORD)
            wait_for(lambda: got)
    assert got == [("home/front door", RECORD)]


@contextlib.contextmanager
def subscribed(port, topic):
    """Pairs of topic and record that arrive."""
    import paho.mqtt.client as mqtt

    got, ready = [], threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _, __, one: got.append((one.topic, json.loads(one.payload)))
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", port)
    client.subscribe(topic, qos=1)
    client.loop_start()
    assert ready.wait(10)
    yield got
    client.disconnect()
    client.loop_stop()


def test_a_broker_that_never_answers():
    with socket.create_server(("127.0.0.1", 0)) as server:
        start = time.monotonic()
        with pytest.raises(NotDelivered, match="no answer within 1 s"):
            make_sink(f"mqtt://127.0.0.1:{server.getsockname()[1]}/a", 1.0).send(RECORD)
        assert time.monotonic() - start < 20


WRONG = {
    "": "no program ''",
    "no/such/program --now": "no program 'no/such/program' that can be run; give its path",
    "mail 'me": "No closing quotation; close the quotes",
    "ftp://gate/x": "--alert ftp://…: expected https://…, http://…, mqtt://…, mqtts://… or a",
    "https:///x": "names no host; expected https://HOST/…",
    "http://gate:99999/": "--alert http://…: cannot be taken apart; .* a port from 0 to 65535",
    "http://gate/a b": "has spaces or the like in it; write %20",
    "mqtt://broker": "the topic is ''; expected mqtt://HOST/TOPIC",
    "mqtt://broker/a/#": "the topic is 'a/",
    "mqtt://me:p+w@broker/a/+": "the topic is 'a/",
}


@pytest.mark.parametrize("target", WRONG)
def test_what_can_never_be_reached_is_an_error_at_once(target):
    with pytest.raises(ValueError, match=WRONG[target]):
        make_sink(target)


def test_mqtt_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(ImportError, match=r"needs paho-mqtt; run: pip install 'vadjax\[alerts\]'"):
        make_sink("mqtt://broker/a")


def test_the_login_of_a_broker_may_have_any_letters():
    sink = make_sink("mqtt://u+r:p+w%23@broker/a")
    assert sink._login == ("u+r", "p+w#") and sink._topic == "a"


def test_messages_hide_what_may_be_secret():
    for target in ("https://me:pass@gate/secret?token=1", "mqtts://me:pass@gate/topic"):
        assert make_sink(target).shown == target.split("me:")[0] + "gate"
    for password in ("pass/w", "pass#w", "pass?w"):
        with pytest.raises(ValueError, match="write %2F for /") as error:
            make_sink(f"http://me:{password}@gate/")
        assert "pass" not in str(error.value).partition(" in a password ")[0]
