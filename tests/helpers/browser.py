"""Chromium of the distribution, by Playwright, for pages that are opened from disk."""

import contextlib
import importlib.util
import pathlib
import time
from collections.abc import Iterator

from tests.required import missing

CHROMIUM = pathlib.Path("/usr/bin/chromium")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@contextlib.contextmanager
def chromium() -> Iterator:
    """The browser; without it, or without Playwright, the test is skipped or fails."""
    if not importlib.util.find_spec("playwright"):
        missing("chromium", "Playwright is not installed (pip install -e .[dev])")
    if not CHROMIUM.is_file():
        missing("chromium", f"{CHROMIUM} is missing (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(browser, index: pathlib.Path, ready: str = "frame", **options) -> Iterator:
    """A page of a report in the browser, ready; no error and no address but files is allowed.

    Args:
      browser: of `chromium`.
      index: the page.
      ready: entry of the body's data set that the page makes when it is ready.
      **options: of the browser's context, such as `color_scheme`.
    """
    context = browser.new_context(**options)
    try:
        page, wrong = context.new_page(), []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        page.on("dialog", lambda dialog: wrong.append(f"dialog {dialog.message}"))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith("file:") else wrong.append(request.url)
            ),
        )
        page.goto(index.as_uri())
        until(page, f"document.body.dataset.{ready} !== undefined")
        yield page
        assert not wrong
    finally:
        context.close()


def until(page, expression: str, seconds: float = 20) -> None:
    """Waits until an expression of JavaScript holds.

    The page's policy forbids the browser to evaluate text, which Playwright's own waiting does.
    """
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, (
            f"{expression}: {page.evaluate('({...document.body.dataset})')}"
        )
        page.wait_for_timeout(20)
