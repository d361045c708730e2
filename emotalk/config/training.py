"""Settings of the network and of its training."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from emotalk.config.section import PathSetting, Section
from emotalk.subjects import MAX_SUBJECT_SLOTS, NUM_RELEASED_SLOTS

RANDOM = "random"
"""Source of encoders without pretrained weights."""

Freeze = Literal["conv", "all"] | Annotated[int, Field(ge=0)]


class EncoderSettings(Section):
    """Source of an encoder."""

    source: PathSetting = Field(
        description="`random`, a local folder with config.json and weights (no network access), or a repository id on "
        "the Hugging Face Hub."
    )
    revision: str | None = Field(
        None,
        description="Branch, tag or commit on the Hugging Face Hub; null uses the default branch. The card contains "
        "the resolved commit.",
    )
    sizes: dict[str, Any] = Field(
        {}, description="Sizes of a random encoder, by the names of wav2vec2 configuration values."
    )


class ModelSettings(Section):
    """The two speech encoders and the number of subject slots; other modules have the released sizes."""

    content_encoder: EncoderSettings = Field(
        EncoderSettings(source="jonatasgrosman/wav2vec2-large-xlsr-53-english"),
        description="Encoder of the content of speech.",
    )
    emotion_encoder: EncoderSettings = Field(
        EncoderSettings(source="r-f/wav2vec-english-speech-emotion-recognition"),
        description="Encoder and classifier of the emotion of speech.",
    )
    num_subject_slots: int = Field(
        NUM_RELEASED_SLOTS,
        ge=NUM_RELEASED_SLOTS,
        le=MAX_SUBJECT_SLOTS,
        description="Number of subject slots. The released network has 24; its code cannot load weights with more. "
        "Each training speaker has a slot of its own, except in the corpora in `pair.shared_slot_corpora`.",
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
    """Initial weights of training, instead of pretrained encoders."""

    source: PathSetting | None = Field(
        None,
        description="The released `EmoTalk.pth`, weights of this program (.pth, .safetensors or the card .json), or "
        "null for none. The network then has the sizes of the card, or the released ones without a card; `model` and "
        "the hub are not used.",
    )
    parts: Literal["all", "encoders"] = Field(
        "all", description="Loaded parts: the whole network, or only its two `encoders`."
    )
    new_subjects: bool = Field(
        False,
        description="For new subjects: whether all subject slots are initialized with the mean of the slots, instead "
        "of the subjects that the weights were trained on.",
    )
    strict: bool = Field(
        True,
        description="If true, missing, additional or differently shaped parameters are an error. If false, matching "
        "parameters are loaded and the log lists the others.",
    )


class TrainSettings(Section):
    """Training."""

    epochs: int = Field(
        80,
        ge=1,
        description="Passes over the training clips. After a run with a constant learning rate, a larger number "
        "continues the run.",
    )
    batch_size: int = Field(
        8,
        ge=1,
        description="Maximum number of examples per batch (paper: 8, training report: 1). Examples of similar length "
        "are batched together; the examples of an epoch do not depend on the batch size. Memory grows with it.",
    )
    max_frames_per_batch: Annotated[int, Field(ge=30)] | None = Field(
        None,
        description="Maximum number of frames (1/30 s) of all reconstructions in a batch; a longer example is a batch "
        "of its own. It limits memory for clips of very different lengths. null: only `batch_size` limits batches.",
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
        "has the lowest validation loss (its checkpoint is then kept for any value of `keep_best`).",
    )
    init_weights: InitialWeights = Field(
        InitialWeights(), description="Initial weights of training, instead of pretrained encoders."
    )
    loss_weights: LossWeights = Field(
        LossWeights(), description="Factors of the terms of the loss (paper, equation 6)."
    )
    velocity_on: Literal["every", "cross", "first"] = Field(
        "every",
        description="Reconstructions with a velocity loss: `every` reconstruction (the paper does not specify it), the "
        "two cross-reconstructions (`cross`), or only the `first` of the two (training report). Single clips always "
        "have a velocity loss.",
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
        description="Whether activations of the encoder layers are recomputed in the backward pass instead of stored: "
        "a tenth of the memory of a batch, for a third more time if the GPU is the bottleneck, and nearly twice the "
        "time if the CPU is (docs/performance.md). Results are the same; a stopped run may continue with another "
        "value.",
    )
    compile: bool = Field(
        False,
        description="Whether the plain encoder layers are compiled (torch.compile; needs a C++ compiler, and triton on "
        "a GPU), instead of using our own mixed-precision layers on a GPU. Compilation takes one or two minutes; check "
        "with the benchmark whether training is faster. Random numbers of dropout differ. A stopped run may continue "
        "with another value.",
    )
    cache_features: bool = Field(
        True,
        description="Whether the outputs of the frozen convolutional layers are computed once per clip and stored "
        "beside the clips: 0.34 GiB per hour of audio for each distinct stack at full size (two, or one if both "
        "encoders have the same). On 2 CPU cores it saves a fifth of a step. Features are stored in fp32.",
    )
    checkpoint_every_minutes: float = Field(
        5,
        ge=0,
        description="Minutes between checkpoints, also within an epoch; a final checkpoint is always written. At full "
        "size, a checkpoint has 7.1 GiB. 0: one checkpoint at the end of every epoch.",
    )
    checkpoint_every_steps: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Steps of an epoch between additional checkpoints. null: none."
    )
    keep_last: int = Field(
        2,
        ge=1,
        description="Number of newest checkpoints that are kept. With 2, a run can continue from the previous "
        "checkpoint if the newest is damaged. Disk space for one more is needed while a new checkpoint is written.",
    )
    keep_best: int = Field(
        0, ge=0, description="Number of checkpoints of the epochs with the lowest validation loss that are also kept."
    )
    gpus: int = Field(
        1,
        ge=1,
        description="Number of GPUs for data-parallel training, with one process per GPU; without GPUs, the same "
        "number of processes share the CPU cores. The result does not depend on the number, so that a stopped run may "
        "continue with another. Needs `--resources gpu=N`: the default profile provides one, profiles/slurm any.",
    )
    nodes: int = Field(
        1,
        ge=1,
        description="Number of machines for data-parallel training, with `gpus` GPUs each. More than one needs Slurm "
        "(docs/cluster.md).",
    )

    @model_validator(mode="after")
    def _check(self) -> "TrainSettings":
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs: {self.warmup_epochs:g} is more than epochs, which is {self.epochs}")
        return self

    def learning_rate_at(self, passed: float) -> float:
        """Return the learning rate after `passed` epochs; for a step, its middle is used."""
        if passed < self.warmup_epochs:
            return self.learning_rate * passed / self.warmup_epochs
        if self.lr_schedule == "constant":
            return self.learning_rate
        share = (passed - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return self.learning_rate * (1 + math.cos(math.pi * share)) / 2

    @property
    def num_best(self) -> int:
        """Number of checkpoints of best epochs to keep."""
        return max(self.keep_best, self.checkpoint == "best")

    @property
    def needs_validation(self) -> bool:
        """Whether validation results affect training or its output."""
        return self.early_stopping is not None or self.num_best > 0
