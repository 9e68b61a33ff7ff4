"""The page: what it shows, and to whom."""

import contextlib
import http.client
import json
import pathlib
import sys
import threading
import types

import cv2
import numpy as np
import pytest

from tests.helpers.browser import chromium
from tests.helpers.servers import wait_for
from tests.live.cases import film
from vadjax.live import serving
from vadjax.live.observer import Latest
from vadjax.live.options import LiveOptions
from vadjax.live.serving import LivePage
from vadjax.predict import run as predict

NAME = "<script>alert(1)</script> \u202eגן 'q\""
TOKEN = "0123456789abcdef"


class Visitor:
    """Asks the page."""

    def __init__(self, url):
        self._place = url.split("/")[2]

    def __call__(self, path, **headers):
        """Status, headers and body."""
        connection = http.client.HTTPConnection(self._place, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()


@pytest.fixture
def observer(tmp_path):
    """A camera with one event."""
    folder = tmp_path / "events" / "door"
    folder.mkdir(parents=True)
    for name in ("door-1.jpg", "door-1.mp4", "door-1.txt"):
        (folder / name).write_bytes(b"0123456789")
    (tmp_path / "events" / "secret.jpg").write_bytes(b"")
    event = {
        **{"id": "door-1", "start_s": 1.0, "stop_s": 2.0, "noticed": "2026-11-30T12:00:00+01:00"},
        **{"score": 0.7, "text": NAME, "alert": True, "boxes": [[0, 1, 2, 3, 4, 0.9]]},
        **{"snapshot": str(folder / "door-1.jpg"), "clip": str(folder / "door-1.mp4")},
    }
    latest = Latest(np.zeros((40, 60, 3), np.uint8), [[5, 5, 20, 20]], 0.6, 3.0, 1.0)
    return types.SimpleNamespace(
        **{"name": "door", "line": 0.5, "size": (20, 30), "latest": latest, "count": 1},
        **{"curve": [(0.0, 0.25)], "listed": [event]},
    )


@contextlib.contextmanager
def served(tmp_path, observers, address="127.0.0.1:0", token=None):
    if token is not None:
        (tmp_path / "token").write_text(f"{token}\n", "utf-8")
        token = tmp_path / "token"
    page = LivePage(address, token, observers, tmp_path)
    try:
        yield Visitor(page.url)
    finally:
        page.close()
        assert not page.is_alive()


def test_the_page_and_what_it_asks_for(tmp_path, observer):
    with served(tmp_path, {"door": observer}) as ask:
        for path, kind in (("/", "html"), ("/page.js", "javascript"), ("/page.css", "css")):
            status, headers, body = ask(path)
            assert status == 200 and kind in headers["Content-Type"] and body
            assert headers["Content-Security-Policy"].startswith("default-src 'self'")
        state = json.loads(ask("/state.json")[2])
        status, headers, picture = ask("/picture/0.jpg")
        assert status == 200 and headers["Content-Type"] == "image/jpeg"
        clip = ask("/files/door/door-1.mp4", Range="bytes=2-4")
        assert clip[0] == 206 and clip[2] == b"234"
        others = "/files/door/door-1.txt", "/files/secret.jpg", "/files/door/../secret.jpg"
        for path in (*others, "/files/door/%2e%2e%2fsecret.jpg", "/picture/1.jpg", "/etc/passwd"):
            assert ask(path)[0] in (403, 404), path
    (camera,) = state["cameras"]
    assert camera["name"] == "door" and camera["score"] == 0.6 and camera["count"] == 1
    (event,) = camera["events"]
    assert event["text"] == NAME and event["clip"] == "/files/door/door-1.mp4"
    assert "boxes" not in event
    # The box is drawn at the size of the picture.
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert pixels.shape == (40, 60, 3) and pixels[25, 10, 0] > 120 and pixels[10, 5, 0] < 90


def test_nothing_of_the_page_makes_markup_of_text():
    text = (serving.PAGE / "page.js").read_text("utf-8")
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in text
    assert "://" not in text + (serving.PAGE / "page.html").read_text("utf-8")


def test_another_host_is_refused_without_a_token(tmp_path, observer):
    """A page of another site that leads its name to this machine."""
    with served(tmp_path, {"door": observer}) as ask:
        assert ask("/state.json", Host="evil.example")[0] == 403
        assert ask("/state.json", Host="localhost:8800")[0] == 200


def test_with_a_token_nothing_is_shown_without_it(tmp_path, observer):
    with served(tmp_path, {"door": observer}, token=TOKEN) as ask:
        for path in ("/", "/state.json", "/picture/0.jpg", "/files/door/door-1.jpg", "/page.js"):
            status, _, body = ask(path)
            assert status == 403 and b"needs its token" in body
            assert ask(f"{path}?token={TOKEN[:-1]}")[0] == 403
            assert ask(path, Cookie=f"vadjax_token={TOKEN}")[0] == 200
            assert ask(path, Authorization=f"Bearer {TOKEN}")[0] == 200
        status, headers, _ = ask(f"/?token={TOKEN}")
        assert status == 302 and headers["Location"] == "/"
        assert "HttpOnly" in headers["Set-Cookie"] and "SameSite=Strict" in headers["Set-Cookie"]


WRONG = {
    "8800": "--serve=8800: expected ADDRESS:PORT, as 127.0.0.1:8800",
    "127.0.0.1:99999": "expected ADDRESS:PORT",
    "0.0.0.0:8800": "others can reach this address; name a file with a token of at least 16",
    "[::]:8800": "others can reach this address",
}


@pytest.mark.parametrize("address", WRONG)
def test_addresses_that_are_refused(tmp_path, address):
    with pytest.raises(ValueError, match=WRONG[address]):
        LivePage(address, None, {}, tmp_path)


def test_tokens_ports_and_libraries_that_are_refused(tmp_path, monkeypatch):
    for token in ("short", "with spaces and so on"):
        with pytest.raises(ValueError, match="expected a token of at least 16 letters and digits"):
            with served(tmp_path, {}, token=token):
                pass
    with pytest.raises(ValueError, match="--serve_token is of the page; say --serve=ADDRESS:PORT"):
        LiveOptions(token=pathlib.Path("token"))
    with served(tmp_path, {}) as ask:
        with pytest.raises(OSError, match="is another program there\\? Take another port"):
            LivePage(ask._place, None, {}, tmp_path)
    monkeypatch.setitem(sys.modules, "tornado.httpserver", None)
    with pytest.raises(
        ImportError, match=r"--serve needs tornado; run: pip install 'vadjax\[serve"
    ):
        LivePage("127.0.0.1:0", None, {}, tmp_path)


def test_the_page_shows_what_is_watched(door_run, tmp_path, monkeypatch):
    config, folder = door_run
    pages, states = [], []
    monkeypatch.setattr(serving.LivePage, "start", lambda page: (pages.append(page), start(page)))
    start = threading.Thread.start
    video = film(tmp_path / "gate.avi", 90, (range(40, 52),))
    options = LiveOptions(serve="127.0.0.1:0")

    def look():
        wait_for(lambda: pages and pages[0]._serving.is_set())
        ask = Visitor(pages[0].url)
        with contextlib.suppress(OSError):
            while True:
                states.append(json.loads(ask("/state.json")[2]))

    looking = threading.Thread(target=look)
    looking.start()
    predict.run(config, folder, str(video), tmp_path, as_it_comes=True, watching=options)
    looking.join(30)
    shown = [state["cameras"][0] for state in states if state["cameras"]]
    assert shown[-1]["name"] == "gate" and shown[-1]["curve"]
    assert any(camera["events"] and "faster" in camera["events"][0]["text"] for camera in shown)


def test_names_are_shown_and_not_run_in_a_browser(tmp_path, observer):
    """Light and dark, on a screen and on a phone."""
    observer.name, problems = NAME, []
    del observer.listed[0]["snapshot"]  # no folder can have that name
    page = LivePage("127.0.0.1:0", None, {NAME: observer}, tmp_path)
    try:
        with chromium() as browser:
            for width, scheme in ((1100, "light"), (390, "dark")):
                size = {"width": width, "height": 800}
                tab = browser.new_page(viewport=size, color_scheme=scheme)
                tab.on("console", lambda one: problems.append(one.text))
                tab.on("dialog", lambda one: problems.append("dialog"))
                tab.goto(page.url)
                tab.wait_for_selector("li")
                assert tab.locator("h2").text_content() == NAME
                assert NAME in tab.locator("li").text_content()
                assert tab.evaluate("document.documentElement.scrollWidth") <= width
                tab.wait_for_function("document.querySelector('img.now').naturalWidth == 60")
                tab.close()
    finally:
        page.close()
    assert not problems
