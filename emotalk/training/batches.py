"""Batches: which reconstructions an example asks for, and their tensors.

A clip that several reconstructions share stands in the batch once; the network encodes it once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from emotalk.corpus.clips import ClipStore
from emotalk.corpus.samples import from_int16
from emotalk.emotions import UNLABELLED
from emotalk.errors import TrainingError
from emotalk.model.inputs import Request, Speech
from emotalk.model.sequences import frame_mask, pad_batch
from emotalk.training.schedule import Example


class Reconstruction(NamedTuple):
    """One output of the network and what it is held against.

    Attributes
    ----------
    content, emotion, target
        Clip ids of the audio that is spoken, of the audio whose emotion is worn, and of the track to match.
    term
        Loss term of its squared error: "cross" or "self".
    has_velocity
        Whether it counts in the velocity term.
    label
        Class of its emotion for the classification term, or `UNLABELLED`.
    """

    content: str
    emotion: str
    target: str
    term: str
    has_velocity: bool
    label: int = UNLABELLED


def reconstructions(example: Example) -> list[Reconstruction]:
    """Outputs that an example asks for.

    Source
    ------
    `cross`: paper, equations 2 to 5; the velocity term falls on every reconstruction, which the paper leaves open.
    `random`: the training report, with the velocity term on the first output only and no classification.
    """
    main, donor = example["audio_c1e2"], example["audio_c2e1"]
    own = Reconstruction(main, main, main, "self", has_velocity=example["kind"] != "random")
    if example["kind"] == "self":
        return [own]
    if example["kind"] == "random":
        return [
            Reconstruction(main, donor, example["track_c1e1"], "cross", has_velocity=True),
            Reconstruction(donor, main, example["track_c2e2"], "cross", has_velocity=False),
            own,
        ]
    return [
        Reconstruction(main, donor, example["track_c1e1"], "cross", True, example["emotion_e1"]),
        Reconstruction(donor, main, example["track_c2e2"], "cross", True, example["emotion_e2"]),
        own,
    ]


@dataclass(frozen=True)
class Batch:
    """Examples as tensors; R reconstructions of E examples.

    Attributes
    ----------
    speech, request
        What the network takes.
    targets : (R, max T, 52) float32
        Tracks to match, zeros behind the shorter ones.
    mask : (R, max T) bool
        True where a target has a frame.
    is_cross, has_velocity : (R,) bool
        Which terms a reconstruction counts in; one that is not cross is self.
    labels : (R,) int64
        Emotion classes, `UNLABELLED` for none.
    num_examples
        E.
    clip_ids
        Clips heard in the batch.
    """

    speech: Speech
    request: Request
    targets: Tensor
    mask: Tensor
    is_cross: Tensor
    has_velocity: Tensor
    labels: Tensor
    num_examples: int
    clip_ids: Sequence[str]


def make_batch(examples: Sequence[Example], store: ClipStore, device: torch.device) -> Batch:
    """Read the clips of some examples from the store and lay them out as a batch on `device`.

    Raises
    ------
    TrainingError
        If the store lacks a clip of the manifest.
    """
    wanted = [(example, item) for example in examples for item in reconstructions(example)]
    items = [item for _, item in wanted]
    clip_ids = list(dict.fromkeys(clip for item in items for clip in (item.content, item.emotion)))
    place = {clip_id: i for i, clip_id in enumerate(clip_ids)}
    try:
        waveforms = [torch.from_numpy(from_int16(store[clip_id].waveform)) for clip_id in clip_ids]
        tracks = [torch.tensor(store[item.target].track) for item in items]
    except KeyError as error:
        raise TrainingError(f"Clip {error} of the manifest is not in the clip store. Run --forcerun slice.") from None
    num_frames = [len(track) for track in tracks]
    speech = Speech.of(waveforms)
    return Batch(
        speech=Speech(speech.waveforms.to(device), speech.num_samples),
        request=Request(
            content=[place[item.content] for item in items],
            emotion=[place[item.emotion] for item in items],
            num_frames=num_frames,
            level=torch.tensor([example["intensity"] for example, _ in wanted], device=device),
            person=torch.tensor([example["subject"] for example, _ in wanted], device=device),
        ),
        targets=pad_batch(tracks).to(device),
        mask=frame_mask(num_frames, device),
        is_cross=torch.tensor([item.term == "cross" for item in items], device=device),
        has_velocity=torch.tensor([item.has_velocity for item in items], device=device),
        labels=torch.tensor([item.label for item in items], device=device),
        num_examples=len(examples),
        clip_ids=clip_ids,
    )
