"""Settings of the network and of its training."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from emotalk.config.section import PathSetting, Section

RANDOM = "random"
"""Source of encoders without pretrained weights."""

Freeze = Literal["conv", "all"] | Annotated[int, Field(ge=0)]


class EncoderSettings(Section):
    """Where an encoder comes from."""

    source: PathSetting = Field(
        description="`random`, a local folder with config.json and weights (no network access), or a repository id on "
        "the model hub."
    )
    revision: str | None = Field(
        None,
        description="Branch, tag or commit on the hub; null uses the default branch. The resolved commit is on the "
        "card.",
    )
    sizes: dict[str, Any] = Field(
        {}, description="Sizes of a random encoder, by the names of wav2vec2 configuration values."
    )


class ModelSettings(Section):
    """The two speech encoders; all other sizes are those of the released network."""

    content_encoder: EncoderSettings = Field(
        EncoderSettings(source="jonatasgrosman/wav2vec2-large-xlsr-53-english"),
        description="Encoder of the content of speech.",
    )
    emotion_encoder: EncoderSettings = Field(
        EncoderSettings(source="r-f/wav2vec-english-speech-emotion-recognition"),
        description="Encoder and classifier of the emotion of speech.",
    )


class LossWeights(Section):
    """Factors of the terms of the loss (paper, equation 6)."""

    cross: float = Field(1.0, ge=0, description="Error of motion from swapped content and emotion.")
    self: float = Field(1.0, ge=0, description="Error of motion from a clip's own content and emotion.")
    velocity: float = Field(0.5, ge=0, description="Error of frame-to-frame differences.")
    classification: float = Field(0.1, ge=0, description="Cross-entropy of the emotion classifier.")


class FreezeSettings(Section):
    """Parts of the encoders that are not trained."""

    content_encoder: Freeze = Field(
        "conv",
        description="`conv`: the convolutional layers only, as in the released code; a number n: these and the n "
        "lowest transformer layers (of 24 at full size); `all`: the whole encoder.",
    )
    emotion_encoder: Freeze = Field("conv", description="As `content_encoder`.")


class InitialWeights(Section):
    """Weights that training begins with, instead of those of the encoders."""

    source: PathSetting | None = Field(
        None,
        description="The released `EmoTalk.pth`, weights of this program (.pth, .safetensors or the card .json), or "
        "null for none. The network then has the sizes on their card, or the released ones without a card, and "
        "`model` is not used: no hub is needed.",
    )
    parts: Literal["all", "encoders"] = Field(
        "all", description="What is loaded: the whole network, or its two `encoders` only."
    )
    new_subjects: bool = Field(
        False,
        description="Whether the subject slots of the training corpus start from the mean of all slots, and not from "
        "those of the speakers that the weights were trained on. For new speakers.",
    )
    strict: bool = Field(
        True,
        description="Whether weights with missing, additional or differently shaped parameters are refused. Otherwise "
        "matching parameters are loaded and the log lists the others.",
    )


class TrainSettings(Section):
    """Training."""

    epochs: int = Field(
        80,
        ge=1,
        description="Passes over the training clips. May be raised after a run with a constant learning rate, which "
        "then continues.",
    )
    batch_size: int = Field(
        8,
        ge=1,
        description="Maximum number of examples per batch (paper: 8, training report: 1). Examples of similar length "
        "are batched together; an epoch has the same examples whatever the batches. Memory grows with it.",
    )
    max_frames_per_batch: Annotated[int, Field(ge=30)] | None = Field(
        None,
        description="Maximum number of frames (1/30 s) that a batch reconstructs, over all outputs; a longer example "
        "is computed alone. It limits memory where clips have very different lengths. null: `batch_size` alone "
        "decides.",
    )
    accumulate: int = Field(
        1,
        ge=1,
        description="Batches whose gradients are accumulated per optimizer step: `batch_size` 1 with `accumulate` 8 "
        "has as many examples per step as `batch_size` 8, in little more than the memory of one.",
    )
    learning_rate: float = Field(0.0001, gt=0, description="Learning rate of Adam.")
    lr_schedule: Literal["constant", "cosine"] = Field(
        "constant",
        description="Learning rate over the steps: `constant`, as in the paper, or decaying along half a `cosine` to "
        "0 at the last step, which makes short runs more stable but cannot be extended afterwards.",
    )
    warmup_epochs: float = Field(
        0, ge=0, description="Epochs (or a part of one) in which the learning rate rises linearly from 0."
    )
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Maximum norm of a step's gradient; a larger one is scaled down. null: no clipping."
    )
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="Decay per step of an exponential moving average of the parameters (0.999 for example), which is "
        "then validated and extracted instead. It decays faster in the first steps. Costs 2.4 GiB of memory and of "
        "each checkpoint at full size. null: none.",
    )
    early_stopping: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Epochs without a lower validation loss after which training ends before `epochs`. null: never.",
    )
    checkpoint: Literal["last", "best"] = Field(
        "last",
        description="Epoch that becomes `training/checkpoint.pth` and the weights: the `last`, or the `best`, which "
        "has the lowest validation loss (its checkpoint is then kept whatever `keep_best` says).",
    )
    init_weights: InitialWeights = Field(
        InitialWeights(), description="Weights that training begins with, instead of those of the encoders."
    )
    loss_weights: LossWeights = Field(
        LossWeights(), description="Factors of the terms of the loss (paper, equation 6)."
    )
    velocity_on: Literal["every", "cross", "first"] = Field(
        "every",
        description="Outputs that the velocity loss is computed for: `every` output (the natural reading of the "
        "paper, which does not specify it), the two with swapped emotions (`cross`), or the `first` of those (the "
        "training report). Clips without a partner always count.",
    )
    freeze: FreezeSettings = Field(
        FreezeSettings(),
        description="Parts of the encoders that are not trained. They need no memory for gradients and optimizer.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="Precision of the network's computation; parameters, their updates and losses stay in fp32. "
        "`auto`: bf16 where the GPU supports it, fp16 (with loss scaling) on older GPUs, fp32 on the CPU. `fp32` on a "
        "GPU uses TF32 for products, if the GPU supports it.",
    )
    optimizer_state: Literal["fp32", "8bit"] = Field(
        "fp32",
        description="Precision of Adam's two moments. `8bit` saves 3.5 GiB at full size, synchronizes with the device "
        "at each step, and needs bitsandbytes (`pip install -c requirements.lock '.[8bit]'`).",
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Whether the encoders' layers are computed again in the backward pass instead of being stored: a "
        "tenth of the memory of a batch, for a third more time where the GPU is the limit and nearly twice the time "
        "where its host is (docs/performance.md). Results are the same; a stopped run may continue with another "
        "value.",
    )
    compile: bool = Field(
        False,
        description="Whether the encoders' plain layers are compiled (torch.compile; needs a C++ compiler, and triton "
        "on a GPU), instead of using our own mixed-precision layers on a GPU. Takes a minute or two at the start, and "
        "is faster only where the benchmark shows it. Dropout draws other numbers. A stopped run may continue with "
        "another value.",
    )
    cache_features: bool = Field(
        True,
        description="Whether the outputs of the frozen convolutional layers are computed once per clip and stored "
        "beside the clips: 0.34 GiB per hour of audio for each distinct stack at full size (two, or one where both "
        "encoders share theirs). On 2 CPU cores it saves a fifth of a step. Features are stored in fp32.",
    )
    checkpoint_every_minutes: float = Field(
        5,
        ge=0,
        description="Minutes between checkpoints, also within an epoch; one more is written at the end. At full size "
        "it is 7.1 GiB. 0: one at the end of every epoch.",
    )
    checkpoint_every_steps: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Steps of an epoch between additional checkpoints. null: none."
    )
    keep_last: int = Field(
        2,
        ge=1,
        description="Number of newest checkpoints that are kept. With 2, a run whose newest one is damaged continues "
        "from the one before. The disk holds one more while a new one is written.",
    )
    keep_best: int = Field(
        0, ge=0, description="Number of checkpoints of the epochs with the lowest validation loss that are also kept."
    )
    gpus: int = Field(
        1,
        ge=1,
        description="GPUs that share each step, one process each; on a machine without GPUs as many processes share "
        "its cores. The result is the same for any number, so a stopped run may continue on another. Needs "
        "`--resources gpu=N`: the default profile grants one, profiles/slurm as many as requested.",
    )
    nodes: int = Field(
        1,
        ge=1,
        description="Machines that share each step, each with `gpus` of its own. More than one needs Slurm "
        "(docs/cluster.md).",
    )

    @model_validator(mode="after")
    def _check(self) -> "TrainSettings":
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs: {self.warmup_epochs:g} is more than epochs, which is {self.epochs}")
        return self

    def learning_rate_at(self, passed: float) -> float:
        """Learning rate after so many epochs; a step counts at its middle."""
        if passed < self.warmup_epochs:
            return self.learning_rate * passed / self.warmup_epochs
        if self.lr_schedule == "constant":
            return self.learning_rate
        share = (passed - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return self.learning_rate * (1 + math.cos(math.pi * share)) / 2

    @property
    def num_best(self) -> int:
        """Checkpoints of best epochs to keep."""
        return max(self.keep_best, self.checkpoint == "best")

    @property
    def needs_validation(self) -> bool:
        """Whether something is decided by validation."""
        return self.early_stopping is not None or self.num_best > 0
