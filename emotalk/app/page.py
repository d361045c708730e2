"""The page: its controls, and what happens when they are used."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from emotalk.app.prediction import Model, faces_page, in_frame, predict, render, write_files
from emotalk.app.sessions import Sessions
from emotalk.config.use import PredictSettings
from emotalk.errors import EmoTalkError, EvaluationError
from emotalk.model.inputs import NUM_SUBJECTS
from emotalk.timing import SAMPLING_RATE

_LOG = logging.getLogger(__name__)
MAX_MEGABYTES = 200
TITLE = "EmoTalk"
_FILE_TYPES = ["audio", "video"]
_FORMATS = {
    "livelink": ("Live Link CSV", "Unreal, MetaHuman"),
    "json": ("JSON", "Unity, VRM, web"),
    "arkit-csv": ("ARKit CSV", "spreadsheets, scripts"),
    "npy": ("npy", "Python, this program"),
}
_OWN_EMOTION, _REFERENCE = "of the speech", "of another recording"
_DEFECT = "This is a defect of the program. The terminal in which it runs shows the details."
_EMPTY = (
    '<div class="empty"><p><strong>No prediction yet</strong></p><p>Drop a recording or record your voice, then press '
    "Predict. The face, its sound and the curves of all 52 coefficients appear here.</p></div>"
)
_FRAME = """
window.addEventListener("message", (event) => {
  const frame = element.querySelector("iframe");
  const height = Number(event.data && event.data.facesHeight);
  if (frame && event.source === frame.contentWindow && height > 0) frame.style.height = `${Math.ceil(height)}px`;
});
watch("value", () => {  // On a phone the faces are far below the button.
  if (element.getBoundingClientRect().top > window.innerHeight * 0.6) element.scrollIntoView();
});
"""
"""The frame is as high as its page, and is scrolled to when it is new."""


def build(models: Sequence[Model], sessions: Sessions) -> gr.Blocks:
    """The page for one of the weights, or for two to compare."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.HTML(render("heading.html.j2", models=models), elem_classes="heading")
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=2, min_width=300):
                controls = _speech() | _controls(models)
                button = gr.Button("Predict", variant="primary", size="lg", elem_id="predict")
            with gr.Column(scale=5, min_width=300, elem_classes="results"):
                message = gr.HTML(visible=False, elem_id="message")
                downloads = gr.HTML(visible=False, elem_id="downloads")
                faces = gr.HTML(_EMPTY, elem_id="faces", js_on_load=_FRAME)

        def run(request: gr.Request, *values: Any) -> tuple[Any, Any, Any]:
            chosen = dict(zip(controls, values, strict=True))
            return _run(models, sessions, request.session_hash or "", chosen)

        button.click(
            run,
            list(controls.values()),
            [message, downloads, faces],
            concurrency_limit=1,
            api_visibility="private",
            show_progress_on=[faces],
        )
        _keep_uploads(sessions, {role: controls[role] for role in ("file", "voice", "reference")})
        _close_at_unload(page, sessions)
    return page


def _speech() -> dict[str, gr.components.Component]:
    """The speech, as a file or a voice, and the name of the one that is used."""
    source = gr.State("file")
    with gr.Tabs():
        with gr.Tab("File") as by_file:
            file = gr.File(label="Speech: audio or video", file_types=_FILE_TYPES, height=150, elem_id="speech")
        with gr.Tab("Microphone") as by_voice:
            voice = gr.Audio(label="Speech", sources=["microphone"], type="filepath", elem_id="voice")
    how: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
    by_file.select(lambda: "file", None, source, **how)
    by_voice.select(lambda: "voice", None, source, **how)
    return {"source": source, "file": file, "voice": voice}


def _controls(models: Sequence[Model]) -> dict[str, gr.components.Component]:
    """How to predict; `_settings` reads it."""
    with gr.Group():
        intensity = gr.Radio(["normal", "strong"], value="normal", label="Intensity", elem_id="intensity")
        subject = gr.Dropdown(
            _subjects(models), value="mean", label="Subject", info="Whose style of speaking", elem_id="subject"
        )
    with gr.Group():
        # Emotion by name, with its strength, becomes a third choice here and in _settings.
        emotion = gr.Radio([_OWN_EMOTION, _REFERENCE], value=_OWN_EMOTION, label="Emotion", elem_id="emotion")
        reference = gr.File(
            label="Recording with the emotion", file_types=_FILE_TYPES, height=130, visible=False, elem_id="reference"
        )
    with gr.Group():
        smooth = gr.Checkbox(label="Smooth the motion", elem_id="smooth")
        blinks = gr.Checkbox(label="Add synthetic blinks", elem_id="blinks")
        seed = gr.Number(0, label="Seed of the blinks", precision=0, minimum=0, visible=False, elem_id="seed")
    how: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
    emotion.change(lambda chosen: gr.update(visible=chosen == _REFERENCE), emotion, reference, **how)
    blinks.change(lambda chosen: gr.update(visible=chosen), blinks, seed, **how)
    return {
        "intensity": intensity,
        "subject": subject,
        "emotion": emotion,
        "reference": reference,
        "smooth": smooth,
        "blinks": blinks,
        "seed": seed,
    }


def _subjects(models: Sequence[Model]) -> list[tuple[str, str | int]]:
    """Choices of the subject; those that some of the weights were not trained with are marked."""
    known = [set(model.training_subjects) for model in models if model.training_subjects]
    marks = ["" if all(index in each for each in known) else " (not trained)" for index in range(NUM_SUBJECTS)]
    return [("Mean of the training subjects", "mean"), *((f"{i}{mark}", i) for i, mark in enumerate(marks))]


def _keep_uploads(sessions: Sessions, uploads: dict[str, gr.components.Component]) -> None:
    """Let uploads be removed when they are replaced, taken away, or when the visit ends."""
    for role, component in uploads.items():

        def keep(path: str | None, request: gr.Request, role: str = role) -> None:
            sessions.keep_upload(request.session_hash or "", role, Path(path) if path else None)

        component.change(keep, component, None, queue=False, api_visibility="private", show_progress="hidden")


def _close_at_unload(page: gr.Blocks, sessions: Sessions) -> None:
    def close(request: gr.Request) -> None:
        sessions.close(request.session_hash or "")

    page.unload(close)


def _settings(chosen: Mapping[str, Any]) -> PredictSettings:
    reference = chosen["reference"] if chosen["emotion"] == _REFERENCE else None
    if chosen["emotion"] == _REFERENCE and reference is None:
        raise EvaluationError("Give a recording with the emotion, or choose the emotion of the speech.")
    return PredictSettings(
        intensity=chosen["intensity"],
        subject=chosen["subject"],
        emotion_from=reference,
        smooth=chosen["smooth"],
        blink_seed=int(chosen["seed"] or 0) if chosen["blinks"] else None,
    )


def _run(models: Sequence[Model], sessions: Sessions, session: str, chosen: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Message, downloads and faces after a press of the button; after a mistake the last faces stay."""
    try:
        given = chosen[chosen["source"]]
        if given is None:
            raise EvaluationError("There is no speech yet. Drop a file, or record your voice.")
        audio = Path(given)
        stem = audio.stem if chosen["source"] == "file" else "recording"
        start = time.perf_counter()
        waveform, tracks = predict(models, audio, _settings(chosen))
        taken, duration = time.perf_counter() - start, len(waveform) / SAMPLING_RATE
        frames = len(next(iter(tracks.values())))
        note = f"{duration:.1f} s of speech, {frames} frames at 30 per second, predicted in {taken:.1f} s"
        _LOG.info("%s", note)
        links = _links(write_files(sessions.new_results(session), stem, tracks, list(_FORMATS)))
        captions = tracks if len(tracks) > 1 else {"predicted": next(iter(tracks.values()))}
        return gr.update(value="", visible=False), links, in_frame(faces_page(stem, note, captions, waveform))
    except EmoTalkError as error:
        return _message(str(error)), gr.skip(), gr.skip()
    except Exception:
        _LOG.exception("%s", _DEFECT)
        return _message(_DEFECT), gr.skip(), gr.skip()


def _links(files: Iterable[tuple[str, str, Path]]) -> Any:
    groups: dict[str, list[dict[str, str]]] = {}
    for label, kind, path in files:
        title, use = _FORMATS[kind]
        shown = {"title": title, "use": use, "kind": kind, "name": path.name, "path": str(path)}
        groups.setdefault(label, []).append(shown | {"size": _size(path.stat().st_size)})
    return gr.update(value=render("downloads.html.j2", groups=groups), visible=True)


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e6 else f"{max(1, round(num_bytes / 1e3))} kB"


def _message(text: str) -> Any:
    return gr.update(value=f'<p class="mistake" role="alert">{escape(text)}</p>', visible=True)
