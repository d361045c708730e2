"""Starting and stopping the app: local, without telemetry, and with nothing left on the disk."""

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
"""What browsers may load: this server's own files only."""
_ENVIRONMENT = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "GRADIO_MCP_SERVER": "False"}
_TEMPLATES = Path(__file__).parent / "templates"


class _OwnFilesOnly:
    """ASGI middleware that lets browsers load nothing from other machines."""

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
def serving(
    weights: Sequence[Path], *, device: torch.device, host: str = "127.0.0.1", port: int = 7860, share: bool = False
) -> Iterator[str]:
    """Serve the page while the context lasts; what visitors uploaded and got is removed with it.

    Yields
    ------
    str
        Address of the page on this machine.

    Raises
    ------
    EmoTalkError
        If Gradio is not installed, weights cannot be loaded, or the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="emotalk-app-", ignore_cleanup_errors=True) as root:
        # Gradio reads these when it is imported.
        os.environ |= _ENVIRONMENT | {"GRADIO_TEMP_DIR": str(Path(root).resolve() / "uploads")}
        logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio asks its own server whether it is up.
        try:
            import gradio
        except ImportError:
            raise EmoTalkError(
                "The app needs Gradio, which is not installed: pip install -c requirements.lock '.[app]'"
            ) from None
        from starlette.middleware import Middleware

        from emotalk.app.page import MAX_MEGABYTES, build
        from emotalk.app.prediction import load_models
        from emotalk.app.sessions import Sessions

        models = load_models(weights, device)
        sessions = Sessions(Path(root).resolve())
        page = build(models, sessions).queue(default_concurrency_limit=1, max_size=20)
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
                max_file_size=f"{MAX_MEGABYTES}mb",
                allowed_paths=[str(sessions.results)],
                app_kwargs={"middleware": [Middleware(_OwnFilesOnly)]},
                theme=_theme(gradio),
                css_paths=_TEMPLATES / "app.css",
            )
            page.share = False  # Else Gradio's page for shared links loads scripts from another host.
            yield address
        except OSError as error:
            if "port" not in str(error):
                raise
            raise EmoTalkError(f"Port {port} of {host} is in use; choose another by --port.") from None
        finally:
            page.close(verbose=False)


def _theme(gradio: Any) -> Any:
    """Look of the page, in fonts that the visitor has."""
    fonts = ["system-ui", "sans-serif"]
    mono = ["ui-monospace", "monospace"]
    theme = gradio.themes.Default(primary_hue="blue", neutral_hue="slate", font=fonts, font_mono=mono, radius_size="md")
    # Gradio's own greys and blues are lighter than 4.5 to 1 on their ground.
    return theme.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        color_accent="*primary_600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
    )


def run(weights: Sequence[Path], *, device: torch.device, host: str, port: int, share: bool) -> None:
    """Serve the page until Ctrl-C or SIGTERM; see :func:`serving`."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    with serving(weights, device=device, host=host, port=port, share=share) as address:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, on_signal)
        _LOG.info("Open %s in a browser. Ctrl-C ends the app.", address)
        stop.wait()
        _LOG.info("The app ends; uploads and results are removed.")
