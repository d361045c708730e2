"""Command line `emotalk`: predict motion from speech, convert motion between formats, preview motion."""

import argparse
import importlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from emotalk import __version__
from emotalk.logs import job_log

FORMATS = ("npy", "livelink", "arkit-csv", "json")
"""Formats of predicted motion that need no head."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the arguments and run the subcommand."""
    args = build_parser().parse_args(arguments)
    with job_log(None):
        # Each subcommand imports only what it needs, because importing torch takes seconds.
        _find_command(args.command)(args)


def _find_command(name: str) -> Callable[[argparse.Namespace], None]:
    return getattr(importlib.import_module("emotalk.commands"), name)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all subcommands."""
    root = argparse.ArgumentParser(prog="emotalk", description="Predict 52 ARKit blendshape coefficients from speech.")
    root.add_argument("--version", action="version", version=__version__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_predict(commands.add_parser("predict", help="predict motion for recordings with trained weights"))
    _add_convert(commands.add_parser("convert", help="convert motion from one format to another"))
    _add_preview(commands.add_parser("preview", help="write a page that shows motion on a drawn face"))
    _add_capture(commands.add_parser("capture", help="capture recordings, wav and npy, from videos of faces"))
    _add_scan(commands.add_parser("scan", help="look at a folder of recordings and write a settings file"))
    _add_export(commands.add_parser("export", help="write trained weights as ONNX, for programs without torch"))
    _add_app(commands.add_parser("app", help="serve a page that predicts motion in the browser"))
    return root


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Predict blendshapes for recordings of any length; writes one file per recording and format to the folder "
        "<out>. An npy is (frames, 52) at 30 fps."
    )
    parser.add_argument(
        "audio", nargs="+", type=Path, help="audio or video files, or folders, whose subfolders are kept"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=Path("results/weights"),
        help="weights: a file, its card or a folder (default: results/weights)",
    )
    parser.add_argument("--out", type=Path, default=Path("predicted"), help="output folder (default: predicted)")
    _add_overwrite(parser)
    emotion = parser.add_mutually_exclusive_group()
    emotion.add_argument("--emotion", type=_parse_emotion, metavar="NAME", help="emotion by name, for example angry")
    emotion.add_argument("--emotion-from", metavar="AUDIO", help="use this recording as emotion reference")
    parser.add_argument(
        "--strength",
        type=_parse_strength,
        default=1.0,
        help="share of --emotion or --emotion-from, 0 to 1; the rest is the emotion of the recording (default 1)",
    )
    parser.add_argument(
        "--intensity", choices=("normal", "strong"), default="normal", help="intensity of the emotion (default normal)"
    )
    parser.add_argument(
        "--subject",
        type=_parse_subject,
        default="mean",
        help="subject index, name of a training speaker, or 'mean' of the training subjects (default)",
    )
    parser.add_argument(
        "--smooth", action="store_true", help="smooth with Savitzky-Golay (window 5, degree 2), as in the released demo"
    )
    parser.add_argument(
        "--blinks", dest="blink_seed", type=int, metavar="SEED", help="replace the eyelids with random blinks"
    )
    parser.add_argument(
        "--format",
        dest="formats",
        type=_parse_formats,
        default=["npy"],
        metavar="FORMAT[,FORMAT]",
        help=f"formats, separated by commas: {', '.join(FORMATS)} (default npy)",
    )
    _add_fps(parser, "frames per second of all formats but npy, for example 24 or 30000/1001 (default 30)")
    parser.add_argument(
        "--window",
        dest="window_s",
        type=_parse_window,
        default=30.0,
        metavar="SECONDS",
        help="longest part that is processed at once, at least 10 (default 30)",
    )
    _add_device(parser)


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", type=_parse_device, default="auto", help="auto (a GPU if one is available), cpu, cuda or cuda:1"
    )


def _add_fps(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--fps", type=_parse_rate, metavar="RATE", help=text)


def _parse_formats(text: str) -> list[str]:
    """Parse names of formats, separated by commas."""
    formats = text.split(",")
    if "glb" in formats:
        raise argparse.ArgumentTypeError(
            "glb needs a head model: predict npy, then run 'emotalk convert' with --head HEAD.glb"
        )
    if unknown := sorted(set(formats) - set(FORMATS)):
        raise argparse.ArgumentTypeError(
            f"unknown format {', '.join(map(repr, unknown))}; the formats are {', '.join(FORMATS)}"
        )
    return formats


def _parse_subject(text: str) -> str | int:
    """Parse a subject index, or the name of a speaker."""
    if not text.lstrip("-").isdigit():
        return text
    if int(text) < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is negative; indices start at 0")
    return int(text)


def _parse_window(text: str) -> float:
    """Parse the length of a window in seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 10 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds, at least 10")
    return seconds


def _parse_rate(text: str) -> str:
    """Check a frame rate: a number or a fraction."""
    from emotalk.timing import as_frame_rate

    try:
        as_frame_rate(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _parse_emotion(text: str) -> str:
    """Parse an emotion in any spelling."""
    from emotalk.emotions import require_emotion

    try:
        return require_emotion(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parse_strength(text: str) -> float:
    """Parse a number from 0 to 1."""
    try:
        strength = float(text)
    except ValueError:
        strength = -1.0
    if not 0 <= strength <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return strength


def _parse_device(text: str) -> str:
    """Check the name of a device."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,2})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not auto, cpu, cuda or cuda:<index>")
    return text


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Convert motion. The file name determines the format: .npy, .csv (Live Link Face), .arkit.csv, .json; or .glb, "
        "only as target and with --head."
    )
    parser.add_argument("source", type=Path, help="motion file to read")
    parser.add_argument("target", type=Path, help="motion file to write")
    _add_fps(parser, "frames per second of the target, for example 24 or 30000/1001; default: the times of the source")
    parser.add_argument(
        "--head", type=Path, metavar="GLB", help="head model with ARKit morph targets, for a .glb target"
    )
    _add_source_options(parser)
    _add_overwrite(parser)


def _add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of motion files that are read."""
    parser.add_argument("--npy-fps", type=_parse_rate, default="30", help="frames per second of an npy (default 30)")
    orders = "column order of an npy: arkit, mediapipe, livelink, or comma-separated channel names"
    parser.add_argument("--channels", default="arkit", help=orders)
    parser.add_argument("--scale", type=float, default=1.0, help="value in the file that means 1 (100: percentages)")
    parser.add_argument("--partial", action="store_true", help="accept that channels are missing; they are 0")


def _add_preview(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write one self-contained page with a drawn face, a curve for each channel, and optionally the speech."
    )
    parser.add_argument("motion", type=Path, help="npy, Live Link csv, ARKit csv or json")
    parser.add_argument("audio", type=Path, nargs="?", help="speech to play with the motion")
    parser.add_argument("-o", "--out", type=Path, help="page to write (default: previews/<name>.html)")
    _add_source_options(parser)
    _add_overwrite(parser)


def _add_scan(parser: argparse.ArgumentParser) -> None:
    parser.description = "Look at a folder of recordings and write a commented settings file that trains on it."
    parser.add_argument("folder", type=Path, help="folder with audio and tracks")
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("my.yaml"), help="settings file to write (default my.yaml)"
    )
    _add_overwrite(parser)
    recipes = ("demo", "paper", "personal")
    parser.add_argument("--recipe", choices=recipes, default="paper", help="demo: small random encoders, for a trial")


def _add_capture(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "For each video <out>/audio/<name>.wav, <out>/blendshape/<name>.npy, (frames, 52) at 30 fps, and "
        "<out>/faces/<name>.parquet, a row per frame. What is captured already is not captured again."
    )
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO", help="videos, or folders of videos")
    parser.add_argument("--out", type=Path, default=Path("captured"), help="output folder (default: captured)")
    parser.add_argument(
        "--model", type=Path, default=Path("resources/face_landmarker.task"), help="MediaPipe's face_landmarker.task"
    )
    cuts = "a recording for each scene of a video that is cut, or none"
    parser.add_argument("--on-cut", choices=("divide", "exclude"), default="divide", help=cuts)
    parser.add_argument("--processes", type=int, metavar="N", help="videos at once; by default one per core")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Two graphs: <name>.onnx makes coefficients of speech and emotion features, <name>.emotion.onnx makes emotion "
        "features of speech. Needs the extra [onnx]; docs/engines.md shows how the graphs are used."
    )
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="file, card or folder of weights")
    parser.add_argument("--onnx", type=Path, metavar="FILE", required=True, help="target, named <name>.onnx")
    parser.add_argument("--fp16", action="store_true", help="half the size: weights and products in float16")
    _add_overwrite(parser)


def _add_app(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Serve a page on this machine: drop or record speech, see and hear the face, download its motion. Two weights "
        "are shown side by side."
    )
    parser.add_argument(
        "--weights",
        nargs="+",
        type=Path,
        default=[Path("results/weights")],
        metavar="WEIGHTS",
        help="one or two weights: a file, its card or a folder (default results/weights)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all networks")
    parser.add_argument("--port", type=_parse_port, default=7860, help="port (default 7860)")
    parser.add_argument("--share", action="store_true", help="also make a public link through Gradio's servers")
    _add_device(parser)


def _parse_port(text: str) -> int:
    """Parse the port to listen on."""
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)
