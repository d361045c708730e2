"""The page of the app: its controls, and what happens when they are used."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from emotalk.app.prediction import Model, predict
from emotalk.app.results import render, render_downloads, render_error, render_faces, write_files
from emotalk.app.sessions import Sessions
from emotalk.config.prediction import PredictSettings
from emotalk.errors import EmoTalkError, PredictionError
from emotalk.model.inputs import INTENSITIES
from emotalk.timing import FPS, SAMPLING_RATE

_LOG = logging.getLogger(__name__)
_TEMPLATES = Path(__file__).parent / "templates"
STYLE = _TEMPLATES / "app.css"
_AUDIO_TYPES = ["audio", "video"]
_OWN_EMOTION, _REFERENCE = "own", "reference"
"""Choices of the emotion beside those by name."""
_BUG = "This is a bug in the program. The terminal in which it runs shows the details."
_QUIET: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
"""Options of events that answer at once."""


def build_page(models: Sequence[Model], sessions: Sessions) -> gr.Blocks:
    """Build the page for one model, or for two to compare."""
    with gr.Blocks(title="EmoTalk", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(render("heading.html.j2", models=models), elem_classes="heading")
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=2, min_width=300):
                controls = _add_speech() | _add_settings(models)
                button = gr.Button("Predict", variant="primary", size="lg", elem_id="predict")
            with gr.Column(scale=5, min_width=300, elem_id="results"):
                error = gr.HTML(visible=False, elem_id="error")
                downloads = gr.HTML(visible=False, elem_id="downloads")
                script = (_TEMPLATES / "faces.js").read_text(encoding="utf-8")
                faces = gr.HTML(render("empty.html.j2"), elem_id="faces", js_on_load=script)

        def run(request: gr.Request, *values: Any) -> tuple[Any, Any, Any]:
            args = dict(zip(controls, values, strict=True))
            return _run(models, sessions, request.session_hash or "", args)

        button.click(
            run,
            list(controls.values()),
            [error, downloads, faces],
            concurrency_limit=1,
            api_visibility="private",
            show_progress_on=[faces],
        )
        for role in ("file", "voice", "reference", "head"):
            _remove_when_replaced(sessions, role, controls[role], error)
        _remove_at_unload(page, sessions)
    return page


def _add_speech() -> dict[str, gr.components.Component]:
    """Add the speech, as a file or from a microphone; `source` is the name of the one in use."""
    source = gr.State("file")
    with gr.Tabs():
        with gr.Tab("File") as file_tab:
            file = gr.File(label="Speech: audio or video", file_types=_AUDIO_TYPES, height=150, elem_id="speech")
        with gr.Tab("Microphone") as voice_tab:
            # Without the default buttons, one of which uploads to Hugging Face.
            voice = gr.Audio(
                label="Speech", sources=["microphone"], type="filepath", buttons=[], editable=False, elem_id="voice"
            )
    file_tab.select(lambda: "file", None, source, **_QUIET)
    voice_tab.select(lambda: "voice", None, source, **_QUIET)
    return {"source": source, "file": file, "voice": voice}


def _add_settings(models: Sequence[Model]) -> dict[str, gr.components.Component]:
    """Add the settings that `_settings` and `_run` read."""
    emotions = emotion_choices(models)
    has_names = len(emotions) > 2
    with gr.Group():
        emotion = gr.Dropdown(
            emotions,
            value=_OWN_EMOTION,
            label="Emotion",
            info=None if has_names else "Names need emotalk.emotions.safetensors beside the weights",
            filterable=False,
            elem_id="emotion",
        )
        reference = gr.File(
            label="Recording with the emotion", file_types=_AUDIO_TYPES, height=130, visible=False, elem_id="reference"
        )
        strength = gr.Slider(
            0,
            1,
            1,
            step=0.05,
            label="Strength",
            info="0 keeps the emotion of the speech",
            visible=False,
            elem_id="strength",
        )
        intensity = gr.Radio(list(INTENSITIES), value="normal", label="Intensity", elem_id="intensity")
    with gr.Group():
        subject = gr.Dropdown(
            subject_choices(models),
            value="mean",
            label="Subject",
            info="Whose style of speaking",
            filterable=False,
            elem_id="subject",
        )
    with gr.Group():
        smooth = gr.Checkbox(label="Smooth the motion", elem_id="smooth")
        blinks = gr.Checkbox(label="Add synthetic blinks", elem_id="blinks")
        seed = gr.Number(0, label="Seed of the blinks", precision=0, minimum=0, visible=False, elem_id="seed")
    with gr.Accordion("Your own head, for GLB", open=False, elem_id="head-section"):
        head = gr.File(label="GLB with morph targets of ARKit's names", file_types=[".glb"], height=130, elem_id="head")
    emotion.change(_show_emotion_settings, emotion, [reference, strength], **_QUIET)
    blinks.change(lambda chosen: gr.update(visible=chosen), blinks, seed, **_QUIET)
    return {
        "emotion": emotion,
        "reference": reference,
        "strength": strength,
        "intensity": intensity,
        "subject": subject,
        "smooth": smooth,
        "blinks": blinks,
        "seed": seed,
        "head": head,
    }


def emotion_choices(models: Sequence[Model]) -> list[tuple[str, str]]:
    """Return the emotion of the speech, those by name that all models have, and that of another recording."""
    names = [name for name in models[0].emotions if all(name in model.emotions for model in models)]
    return [
        ("Emotion of the speech", _OWN_EMOTION),
        *((name.capitalize(), name) for name in names),
        ("Emotion of another recording", _REFERENCE),
    ]


def _show_emotion_settings(emotion: str) -> tuple[Any, Any]:
    return gr.update(visible=emotion == _REFERENCE), gr.update(visible=emotion != _OWN_EMOTION)


def subject_choices(models: Sequence[Model]) -> list[tuple[str, str | int]]:
    """Return all subjects, with the names of the speakers; those that a model was not trained with are marked."""
    known = [set(subjects) for model in models if (subjects := model.card.get("training_subjects"))]
    indices = range(min(model.network.num_slots for model in models))
    marks = ["" if all(index in subjects for subjects in known) else " (not trained)" for index in indices]
    slots = models[0].card.get("subject_slots") or {}
    if any((model.card.get("subject_slots") or {}) != slots for model in models):
        slots = {}  # The indices of two models are different speakers.
    names = {slot: f": {name}" for name, slot in slots.items()}
    choices = [(f"{i}{names.get(i, '')}{mark}", i) for i, mark in enumerate(marks)]
    return [("Mean of the training subjects", "mean"), *choices]


def _remove_when_replaced(sessions: Sessions, role: str, upload: gr.components.Component, error: gr.HTML) -> None:
    """Remove the previous upload of a control, and hide the error message, which was about it."""

    def keep(path: str | None, request: gr.Request) -> Any:
        sessions.keep_upload(request.session_hash or "", role, Path(path) if path else None)
        return gr.update(visible=False)

    upload.change(keep, upload, error, **_QUIET)


def _remove_at_unload(page: gr.Blocks, sessions: Sessions) -> None:
    def close(request: gr.Request) -> None:
        sessions.close(request.session_hash or "")

    page.unload(close)


def _settings(args: Mapping[str, Any]) -> PredictSettings:
    emotion: dict[str, Any] = {}
    if args["emotion"] == _REFERENCE:
        if args["reference"] is None:
            raise PredictionError("Add a recording with the emotion, or choose the emotion of the speech.")
        emotion = {"emotion_from": args["reference"], "strength": args["strength"]}
    elif args["emotion"] != _OWN_EMOTION:
        emotion = {"emotion": args["emotion"], "strength": args["strength"]}
    return PredictSettings(
        **emotion,
        intensity=args["intensity"],
        subject=args["subject"],
        smooth=args["smooth"],
        blink_seed=int(args["seed"] or 0) if args["blinks"] else None,
    )


def _run(models: Sequence[Model], sessions: Sessions, session: str, args: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Return updates of error message, downloads and faces; after an error, the previous results stay."""
    try:
        if (speech := args[args["source"]]) is None:
            raise PredictionError("There is no speech yet. Drop a file, or record your voice.")
        stem = Path(speech).stem if args["source"] == "file" else "recording"
        start = time.perf_counter()
        waveform, tracks = predict(models, Path(speech), _settings(args))
        duration_s, elapsed_s = len(waveform) / SAMPLING_RATE, time.perf_counter() - start
        num_frames = len(next(iter(tracks.values())))
        note = f"{duration_s:.1f} s of speech, {num_frames} frames at {FPS} per second, predicted in {elapsed_s:.1f} s"
        _LOG.info("%s", note)
        head = Path(args["head"]) if args["head"] else None
        files = write_files(sessions.new_results(session), stem, tracks, head)
        return (
            gr.update(visible=False),
            gr.update(value=render_downloads(files), visible=True),
            render_faces(stem, note, tracks, waveform),
        )
    except EmoTalkError as error:
        return _show_error(sessions.hide_folders(str(error))), gr.skip(), gr.skip()
    except Exception:
        _LOG.exception("%s", _BUG)
        return _show_error(_BUG), gr.skip(), gr.skip()


def _show_error(text: str) -> Any:
    return gr.update(value=render_error(text), visible=True)


def build_theme() -> gr.themes.Base:
    """Build the look of the page, in fonts of the visitor's machine."""
    theme = gr.themes.Default(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
        radius_size="md",
    )
    # Gradio's own greys and blues have a contrast below 4.5 to 1.
    return theme.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="*neutral_300",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        color_accent="*primary_600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
    )
