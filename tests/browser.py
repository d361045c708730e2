"""A headless browser for tests of pages."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium or Chrome is not installed")

_ARGS = ["--autoplay-policy=no-user-gesture-required"]


def run_in_page(page: Path, script: str, *, size: tuple[int, int] = (1000, 900)) -> Any:
    """Open a page from its file, run a script in it, and return the result.

    Fails if the page has an error, logs an error to the console, or sends a request.

    Parameters
    ----------
    script
        Body of an async function; `wait(milliseconds)` is defined for it.
    size
        Width and height of the viewport in pixels.
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
    remote = [url for url in requests if not url.startswith(("file:", "data:"))]
    assert not errors and not remote, f"errors: {errors}; requests: {remote}"
    return result
