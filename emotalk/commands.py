"""Subcommands of `emotalk`; each function has the name of its subcommand.

Arguments and files are checked before slow libraries are imported.
"""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emotalk.formats.motion import Motion

_LOG = logging.getLogger(__name__)


def predict(args: argparse.Namespace) -> None:
    """Predict motion for recordings."""
    from emotalk.config.prediction import PredictSettings
    from emotalk.errors import ConfigError, PredictionError
    from emotalk.files import check_outputs
    from emotalk.inference.recordings import find_recordings, planned_outputs
    from emotalk.model.card import find_weights, read_network_config

    if args.strength != 1 and not (args.emotion or args.emotion_from):
        raise ConfigError("--strength needs --emotion or --emotion-from.")
    names = PredictSettings.model_fields.keys() & vars(args).keys() - {"audio", "weights"}
    settings = PredictSettings(**{name: getattr(args, name) for name in names})
    recordings, weights = find_recordings(args.audio), find_weights(args.weights)
    read_network_config(weights)  # Raises errors of the card.
    if args.emotion_from:
        find_recordings([args.emotion_from])
    inputs = [weights, *(recording.path for recording in recordings)]
    check_outputs(planned_outputs(recordings, args.out, settings.formats), inputs=inputs, overwrite=args.overwrite)

    from emotalk.device import device_from_name
    from emotalk.inference.predict import predict_files

    failed = predict_files(recordings, args.out, settings, weights=weights, device=device_from_name(args.device))
    if failed:
        raise PredictionError(
            f"{len(failed)} of {len(recordings)} recordings could not be predicted: {', '.join(failed)}. The "
            "warnings above state the reasons."
        )


def convert(args: argparse.Namespace) -> None:
    """Convert motion to another format."""
    from emotalk.errors import FormatError
    from emotalk.files import check_outputs
    from emotalk.formats.files import format_from_name, write_motion
    from emotalk.timing import FPS, as_frame_rate

    format_name = format_from_name(args.target)
    if format_name == "npy" and args.fps is not None and as_frame_rate(args.fps) != FPS:
        raise FormatError(f"A track (npy) has {FPS} frames per second; use --fps only for other formats.")
    check_outputs([args.target], inputs=filter(None, [args.source, args.head]), overwrite=args.overwrite)
    motion = _read_motion(args.source, args)
    if num_without_face := int((~motion.has_face).sum()):
        _LOG.warning("%s: no face in %d of %d rows.", args.source, num_without_face, len(motion.seconds))
    if rate := FPS if format_name == "npy" else args.fps:
        motion = motion.resampled(rate)
    write_motion(args.target, motion, format_name, head=args.head, partial=args.partial)
    log_values = (args.target, len(motion.seconds), motion.seconds[-1], float(motion.rate))
    _LOG.info("%s: %d frames, %.2f s, %.5g frames per second", *log_values)


def _read_motion(path: Path, args: argparse.Namespace) -> "Motion":
    from emotalk.formats.files import read_motion
    from emotalk.formats.tracks import TrackFormat
    from emotalk.timing import as_frame_rate

    fps = as_frame_rate(args.npy_fps)
    return read_motion(path, TrackFormat.from_settings(args.channels, fps, args.scale, partial=args.partial))


def preview(args: argparse.Namespace) -> None:
    """Write a page that shows motion on a drawn face."""
    from emotalk.errors import OutputError
    from emotalk.files import check_outputs
    from emotalk.report.player import write_preview
    from emotalk.timing import FPS

    page = args.out or Path("previews") / f"{args.motion.stem}.html"
    if page.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"{page} is not the name of a page; it must end in .html.")
    check_outputs([page], inputs=filter(None, [args.motion, args.audio]), overwrite=args.overwrite)
    motion = _read_motion(args.motion, args).resampled(FPS)
    write_preview(page, motion.values, title=args.motion.name, audio=args.audio)


def capture(args: argparse.Namespace) -> None:
    """Make recordings from videos."""
    from emotalk.capture.capture import capture_videos
    from emotalk.config.corpus import CaptureSettings
    from emotalk.parallel import usable_cores

    settings = CaptureSettings(model=str(args.model), on_cut=args.on_cut)
    capture_videos(args.videos, args.out, settings, processes=args.processes or usable_cores())


def scan(args: argparse.Namespace) -> None:
    """Write a settings file for a folder of recordings."""
    from emotalk.data.scan import scan_folder

    scan_folder(args.folder, args.out, recipe=args.recipe, overwrite=args.overwrite)


def export(args: argparse.Namespace) -> None:
    """Write weights as ONNX."""
    from emotalk.inference.onnx import export_onnx

    export_onnx(args.weights, args.onnx, fp16=args.fp16, overwrite=args.overwrite)


def app(args: argparse.Namespace) -> None:
    """Serve a page that predicts motion in the browser."""
    from emotalk.app.server import run
    from emotalk.device import device_from_name

    run(args.weights, device=device_from_name(args.device), host=args.host, port=args.port, share=args.share)
