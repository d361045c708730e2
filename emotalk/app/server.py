"""Start and stop of the app: local, without telemetry, and without files left behind."""

import logging
import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from emotalk.errors import EmoTalkError

_LOG = logging.getLogger(__name__)
_MAX_UPLOAD = "200mb"
_MAX_WAITING = 20
_POLICY = "; ".join(
    (
        "default-src 'self' data: blob:",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
"""What browsers may load: only files of this server."""
_ENVIRONMENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_MCP_SERVER": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


class _PolicyHeaders:
    """ASGI middleware: browsers load nothing from other hosts, and tell them nothing."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = [(b"content-security-policy", _POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                message = {**message, "headers": [*message.get("headers", []), *policy]}
            await send(message)

        await self._app(scope, receive, send_with_policy if scope["type"] == "http" else send)


@contextmanager
def serve(
    weights: Sequence[Path], *, device: torch.device, host: str = "127.0.0.1", port: int = 7860, share: bool = False
) -> Iterator[str]:
    """Serve the page while the context lasts; at its end, all uploads and results are removed.

    Yields
    ------
    str
        Address of the page on this machine.

    Raises
    ------
    EmoTalkError
        If Gradio is not installed, weights cannot be loaded, or the port is in use.
    """
    with tempfile.TemporaryDirectory(prefix="emotalk-app-", ignore_cleanup_errors=True) as folder:
        root = Path(folder).resolve()
        # Gradio reads these when it is imported.
        os.environ |= _ENVIRONMENT | {"GRADIO_TEMP_DIR": str(root / "uploads")}
        logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio requests its own page to see whether it is up.
        try:
            from emotalk.app.page import build_page
        except ImportError:
            raise EmoTalkError(
                "The app needs Gradio, which is not installed: pip install -c requirements.lock '.[app]'"
            ) from None
        from emotalk.app.prediction import load_models
        from emotalk.app.sessions import Sessions

        sessions, stop = Sessions(root), threading.Event()
        page = build_page(load_models(weights, device), sessions).queue(max_size=_MAX_WAITING)
        threading.Thread(target=sessions.remove_expired, args=(stop,), daemon=True).start()
        try:
            yield _launch(page, sessions, host=host, port=port, share=share)
        finally:
            stop.set()
            page.close(verbose=False)


def _launch(page: Any, sessions: Any, *, host: str, port: int, share: bool) -> str:
    """Start the server of a page in a thread, and return its address."""
    from starlette.middleware import Middleware

    from emotalk.app.page import STYLE, build_theme

    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=share,
            prevent_thread_lock=True,
            quiet=True,
            inbrowser=False,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            max_file_size=_MAX_UPLOAD,
            allowed_paths=[str(sessions.results)],
            app_kwargs={"middleware": [Middleware(_PolicyHeaders)]},
            theme=build_theme(),
            css_paths=STYLE,
        )
    except OSError as error:
        if "port" not in str(error):
            raise
        raise EmoTalkError(f"Port {port} of {host} is in use; choose another with --port.") from None
    page.share = False  # Otherwise, the page for public links loads scripts from another host.
    return address


def run(weights: Sequence[Path], *, device: torch.device, host: str, port: int, share: bool) -> None:
    """Serve the page until Ctrl-C or a signal; see :func:`serve`."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), on_signal)
    with serve(weights, device=device, host=host, port=port, share=share) as address:
        _LOG.info("Open %s in a browser. Ctrl-C ends the app.", address)
        stop.wait()
        _LOG.info("The app ends; uploads and results are removed.")
