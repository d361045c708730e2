"""A real browser without a window, in which a test looks at a page and uses it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium or Chrome")

_ARGS = ["--autoplay-policy=no-user-gesture-required"]


def use(page: Path, script: str, *, size: tuple[int, int] = (1000, 900)) -> Any:
    """Open a page from its file, run a script in it, and return what that returns.

    Fails on any error of the page, also on its console, and on any request to another machine.

    Parameters
    ----------
    script
        Body of an async function; `wait(milliseconds)` is defined for it.
    size
        Width and height of what the window shows, in pixels.
    """
    errors: list[str] = []
    requests: list[str] = []
    wait = "const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));"
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGS) as browser:
        tab = browser.new_page(viewport={"width": size[0], "height": size[1]})
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url[:80]))
        tab.goto(page.as_uri())
        result = tab.evaluate(f"async () => {{ {wait} {script} }}")
    elsewhere = [url for url in requests if not url.startswith(("file:", "data:"))]
    assert not errors and not elsewhere, f"errors: {errors}; requests: {elsewhere}"
    return result
