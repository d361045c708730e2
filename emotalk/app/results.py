"""What the app shows after a prediction: files to download, and faces with sound and curves."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from emotalk.formats.files import SUFFIXES, write_motion
from emotalk.formats.motion import Motion
from emotalk.report.player import PlayerClip, encode_clips

_FORMATS = {
    "livelink": (SUFFIXES["livelink"], "Live Link", "CSV for Unreal"),
    "json": (SUFFIXES["json"], "JSON", "Unity, VRM, web"),
    "arkit-csv": (SUFFIXES["arkit-csv"], "ARKit CSV", "spreadsheets"),
    "npy": (SUFFIXES["npy"], "npy", "Python"),
    "glb": (".glb", "GLB", "Blender, web"),
}
"""Suffix, title and use of each format, in the order of the page."""
_TEMPLATES = Environment(
    loader=ChoiceLoader([PackageLoader("emotalk.app"), PackageLoader("emotalk.report")]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)


def render(template: str, **content: Any) -> str:
    """Render a template of the app."""
    return _TEMPLATES.get_template(template).render(content)


def write_files(
    folder: Path, stem: str, tracks: Mapping[str, np.ndarray], head: Path | None = None
) -> dict[str, dict[str, Path]]:
    """Write each track in each format, with a head also as GLB; channels that the head lacks are left out there.

    Returns
    -------
    dict
        Path by label of the track and format.

    Raises
    ------
    FormatError
        If the head cannot be animated.
    """
    files: dict[str, dict[str, Path]] = {}
    for label, track in tracks.items():
        name = stem if len(tracks) == 1 else f"{stem}.{label.replace('/', '-')}"
        files[label] = {
            format_name: folder / f"{name}{suffix}"
            for format_name, (suffix, *_) in _FORMATS.items()
            if format_name != "glb" or head
        }
        for format_name, path in files[label].items():
            write_motion(path, Motion.from_track(track), format_name, head=head, partial=True)
    return files


def render_downloads(files: Mapping[str, Mapping[str, Path]]) -> str:
    """Render links to files."""
    groups = {
        label: [
            {"path": str(path), "name": path.name, "title": title, "use": use, "size": _format_size(path)}
            for (_, title, use), path in ((_FORMATS[format_name], path) for format_name, path in paths.items())
        ]
        for label, paths in files.items()
    }
    return render("downloads.html.j2", groups=groups)


def _format_size(path: Path) -> str:
    num_bytes = path.stat().st_size
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e6 else f"{max(1, round(num_bytes / 1e3))} kB"


def render_faces(title: str, note: str, tracks: Mapping[str, np.ndarray], waveform: np.ndarray) -> str:
    """Render the player in a frame that cannot access the page around it."""
    captions = tracks if len(tracks) > 1 else {"predicted": next(iter(tracks.values()))}
    clip = PlayerClip(title, note, captions, waveform, kinds=("model", "swapped"))
    page = render("faces.html.j2", title=title, player=encode_clips([clip]))
    return (
        '<iframe class="faces" title="Faces with sound and curves" sandbox="allow-scripts" '
        f'srcdoc="{escape(page)}"></iframe>'
    )


def render_error(text: str) -> str:
    """Render an error message."""
    return f'<p class="error" role="alert">{escape(text)}</p>'
