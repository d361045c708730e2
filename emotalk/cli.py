"""The command `emotalk`: speech to motion, motion to other programs, motion to a page to look at."""

import argparse
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from emotalk import __version__
from emotalk.logs import job_log


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that was typed."""
    given = parser().parse_args(arguments)
    with job_log(None):
        # Only what a command needs is imported: torch alone takes seconds.
        _command(given.command)(given)


def _command(name: str) -> Callable[[argparse.Namespace], None]:
    return getattr(importlib.import_module("emotalk.commands"), name)


def parser() -> argparse.ArgumentParser:
    """Parser of all commands."""
    root = argparse.ArgumentParser(prog="emotalk", description="AudioFile to 52 ARKit blendshape coefficients.")
    root.add_argument("--version", action="version", version=__version__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_predict(commands.add_parser("predict", help="speak recordings with trained weights"))
    _add_convert(commands.add_parser("convert", help="bring motion from one format into another"))
    _add_preview(commands.add_parser("preview", help="make a page with a face that shows motion"))
    _add_capture(commands.add_parser("capture", help="make recordings, wav and npy, from videos of faces"))
    _add_app(commands.add_parser("app", help="start a page in the browser to try weights on speech"))
    return root


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.description = "Speak recordings of any length: <out>/<name>.npy, (frames, 52) at 30 fps, for each."
    parser.add_argument("audio", nargs="+", type=Path, help="recordings, wav or flac")
    parser.add_argument("--weights", type=Path, default=Path("results/weights"), help="file, card or folder of weights")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the motion")
    parser.add_argument("--emotion-from", metavar="AUDIO", help="use the emotion of this recording")
    parser.add_argument("--intensity", choices=("normal", "strong"), default="normal")
    parser.add_argument(
        "--subject", type=_subject, default="mean", help="0 to 23, or mean of those that were trained (default)"
    )
    parser.add_argument("--smooth", action="store_true", help="Savitzky-Golay (5, 2), as the released demo")
    parser.add_argument("--blinks", type=int, metavar="SEED", help="replace the lids by made-up blinks")
    kinds = ("npy", "livelink", "arkit-csv", "json")
    shown = ", ".join(kinds)
    parser.add_argument("--format", nargs="+", type=_kind, choices=kinds, default=["npy"], metavar="KIND", help=shown)
    parser.add_argument(
        "--window", type=_window, default=30.0, metavar="SECONDS", help="longest part processed at once, at least 10"
    )
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="auto: a GPU where there is one")


_GLB = "glb needs a head: predict npy, then 'emotalk convert' it with --head HEAD.glb"


def _kind(text: str) -> str:
    """Format of predicted motion."""
    if text == "glb":
        raise argparse.ArgumentTypeError(
            "glb needs a head: predict npy, then 'emotalk convert' it with --head HEAD.glb"
        )
    return text


def _subject(text: str) -> str | int:
    """Subject of predictions."""
    if text == "mean":
        return text
    if not text.isdigit() or int(text) > 23:
        raise argparse.ArgumentTypeError(f"{text!r} is neither 'mean' nor an index from 0 to 23")
    return int(text)


def _window(text: str) -> float:
    """Seconds of a window."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 10 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 10 up")
    return seconds


def _rate(text: str) -> int:
    """Frames a second."""
    if not text.isdigit() or not 1 <= int(text) <= 240:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to 240")
    return int(text)


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Formats by name: .npy, .csv (Live Link Face), .arkit.csv, .json; .glb as a target, with --head."
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--fps", type=_rate, help="frames a second of the target; by default the source's own times")
    parser.add_argument("--npy-fps", type=_rate, default=30, help="frames a second of an npy source")
    parser.add_argument(
        "--channels",
        default="arkit",
        help="column order of an npy source: arkit, mediapipe, livelink, or names with commas",
    )
    parser.add_argument("--scale", type=float, default=1.0, help="value in the source that means 1 (100: percentages)")
    parser.add_argument("--head", type=Path, metavar="GLB", help="head with ARKit morph targets, for a .glb target")


def _add_preview(parser: argparse.ArgumentParser) -> None:
    parser.description = "One self-contained page with a drawn face, its curves, and the speech if it is given."
    parser.add_argument("motion", type=Path, help="npy, Live Link csv, ARKit csv or json")
    parser.add_argument("audio", type=Path, nargs="?", help="speech to play with it")
    parser.add_argument("-o", "--out", type=Path, default=Path("preview.html"))


def _add_capture(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "For each video <out>/audio/<name>.wav, <out>/blendshape/<name>.npy, (frames, 52) at 30 fps, and "
        "<out>/faces/<name>.parquet, a row per frame. What is captured already is not captured again."
    )
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO", help="videos, or folders of videos")
    parser.add_argument("--out", type=Path, default=Path("captured"), help="folder for what is captured")
    parser.add_argument(
        "--model", type=Path, default=Path("resources/face_landmarker.task"), help="MediaPipe's face_landmarker.task"
    )
    cuts = "a recording for each scene of a video that is cut, or none"
    parser.add_argument("--on-cut", choices=("divide", "exclude"), default="divide", help=cuts)
    parser.add_argument("--processes", type=int, metavar="N", help="videos at once; by default one per core")


def _add_app(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "A page on this machine: drop or record speech, see and hear the face, download its motion. Two weights "
        "are shown side by side."
    )
    parser.add_argument(
        "weights", nargs="*", type=Path, metavar="WEIGHTS", help="file, card or folder; results/weights by default"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=_port, default=7860)
    parser.add_argument("--share", action="store_true", help="public link through Gradio's servers")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="auto: a GPU where there is one")


def _port(text: str) -> int:
    """Port to listen at."""
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1 to 65535")
    return int(text)
