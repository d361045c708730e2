"""A real browser without a window, in which a test looks at a page and uses it.

It is spoken to by the DevTools protocol through two pipes, which needs no further library: each message is a JSON
object that ends with a zero byte.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium or Chrome")

_OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --autoplay-policy=no-user-gesture-required --remote-debugging-pipe"
).split()
_PATIENCE_S = 60


def use(page: Path, script: str, *, size: tuple[int, int] = (1000, 900)) -> Any:
    """Open a page from its file, run a script in it, and return what that returns.

    Fails if the page complains, on its console or by an error, or requests anything from anywhere.

    Parameters
    ----------
    script
        Body of an async function; `wait(milliseconds)` is there.
    """
    with _tab(size) as tab:
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.ask(f"{domain}.enable")
        tab.ask("Page.navigate", url=page.as_uri())
        tab.await_event("Page.loadEventFired")
        wait = "const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));"
        expression = f"(async () => {{ {wait} {script} }})()"
        done = tab.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
    assert "exceptionDetails" not in done, done["exceptionDetails"]
    assert [event for event in tab.events if _is_complaint(event)] == []
    requests = [event["params"]["request"] for event in tab.events if event["method"] == "Network.requestWillBeSent"]
    assert [request["url"][:80] for request in requests if not request["url"].startswith(("file:", "data:"))] == []
    return done["result"].get("value")


def _is_complaint(event: dict[str, Any]) -> bool:
    told = event.get("params", {})
    is_error = "error" in (told.get("type"), told.get("entry", {}).get("level"))
    return event["method"] == "Runtime.exceptionThrown" or is_error


class _Tab:
    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._buffer, self._number, self._session = b"", 0, None
        self.events: list[dict[str, Any]] = []

    def open(self) -> None:
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (told := self._next()).get("id") != self._number:
            self.events.append(told)
        assert "error" not in told, told["error"]
        return told["result"]

    def await_event(self, method: str) -> None:
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._buffer:
            assert time.monotonic() < end, "the browser does not answer"
            part = os.read(self._from, 1 << 16)
            assert part, "the browser has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


def _connected(inbound: int, outbound: int) -> list[str]:
    """Beginning of a command that gives what follows the protocol's pipes, as file descriptors 3 and 4."""
    code = (
        "import os, sys; pipes = [os.dup(int(number)) for number in sys.argv[1:3]]; "
        "[(os.dup2(pipe, place), os.set_inheritable(place, True)) for place, pipe in enumerate(pipes, 3)]; "
        "os.execv(sys.argv[3], sys.argv[3:])"
    )
    return [sys.executable, "-c", code, str(inbound), str(outbound)]


@contextmanager
def _tab(size: tuple[int, int]) -> Iterator[_Tab]:
    inbound, to_browser = os.pipe()
    from_browser, outbound = os.pipe()

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            *_connected(inbound, outbound),
            str(CHROMIUM),
            *_OPTIONS,
            f"--user-data-dir={profile}",
            f"--window-size={size[0]},{size[1]}",
        ]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        browser = subprocess.Popen(command, pass_fds=(inbound, outbound), **silent)
        os.close(inbound)
        os.close(outbound)
        try:
            tab = _Tab(to_browser, from_browser)
            tab.open()
            yield tab
        finally:
            browser.kill()
            browser.wait()
            os.close(to_browser)
            os.close(from_browser)
