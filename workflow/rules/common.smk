import os
import sys

from emotalk.config import checked_config, read_schema
from emotalk.errors import ConfigError
from emotalk.provenance import canonical, code_digest, folder_listing
from emotalk.training.acceptance import accept_finished


def usable_config(given: dict) -> dict:
    """The configuration with its defaults; a fault ends the run with its sentence, not with a traceback."""
    try:
        return checked_config(given, read_schema("workflow/schemas/config.schema.yaml"))
    except ConfigError as error:
        sys.exit(f"Error: {error}")


def data_listing(wildcards) -> str:
    """Digest of the delivered files: a recording that comes, goes or changes makes the index stale."""
    folders = [f"{DATA}/{corpus}/{part}" for corpus in CORPORA for part in ("audio", "blendshape")]
    return folder_listing(*folders, suffixes=(".wav", ".npy"))


def encoder_listing(wildcards) -> str:
    """Digest of the files of encoders that lie in local folders: other weights make the training stale."""
    return folder_listing(*(encoder["source"] for encoder in config["model"].values()))


def initial_weights_listing(wildcards) -> str:
    """Digest of the weights that training begins from and of their card, if some are named."""
    source = config["train"]["init_weights"]["source"]
    folder, name = os.path.split(source or "")
    stem = os.path.splitext(name)[0].lower()
    return (
        folder_listing(folder or ".", suffixes=(f"{stem}.pth", f"{stem}.safetensors", f"{stem}.json")) if stem else ""
    )


def number_of_attempt(wildcards, attempt: int) -> int:
    """Which try of the job this is, from 1."""
    return attempt


def recordings_folder(wildcards, input) -> str:
    """Folder above the corpora."""
    return input.demo if IS_DEMO else DATA


def training_folder(wildcards, output) -> str:
    """Folder of the run, for files that are no outputs: resumable checkpoints must survive a failed job."""
    return os.path.dirname(output.checkpoint)


config = usable_config(config)

RESULTS = config["results"]
LOGS = f"{RESULTS}/logs"
CORPORA = config["corpora"]
IS_DEMO = config["data"] == "demo"
DATA = f"{RESULTS}/demo_corpus" if IS_DEMO else config["data"]
CLIPS = expand(f"{RESULTS}/clips/{{corpus}}.arrow", corpus=CORPORA)


# Used only with `--software-deployment-method apptainer`; see container/emotalk.def for how to build it.
container: "container/emotalk.sif"
