import os
import signal
import sys
import time
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# The package beside the Snakefile is used, also in a module and where another copy is installed.
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]
sys.path.insert(0, str(ROOT))

from emotalk.config.config import DEMO, Config, check_results_folder, load_config
from emotalk.config.reading import read_arguments, read_file
from emotalk.config.corpus import SourceSettings
from emotalk.data.discovery import AUDIO_SUFFIXES, TRACK_SUFFIXES, make_sources
from emotalk.errors import ConfigError, CorpusError
from emotalk.parallel import prepend_pythonpath
from emotalk.provenance import canonical, file_listing
from emotalk.stages import STAGE_VERSIONS


def checked_config() -> Config:
    """The configuration; a wrong setting ends the run with a sentence, not with a traceback."""
    try:
        settings = load_config(user_settings(), recipes=ROOT / "config/recipes")
        check_results_folder(settings.results, checkout=ROOT)
        return settings
    except ConfigError as error:
        raise WorkflowError(str(error)) from None


def user_settings() -> list[dict]:
    """What was set in files and on the command line, each over the one before.

    Read again, as Snakemake takes the subject 010 for 8 and values within braces on the command line for text. The
    settings of a module come from the workflow that uses it.
    """
    if workflow.modifier.skip_configfile:
        return [config]
    command_line = workflow.config_settings
    arguments = read_arguments(command_line.config_args)
    own_files = [] if command_line.replace_workflow_config else workflow.configfiles[len(command_line.configfiles) :]
    return [*map(read_file, [*own_files, *command_line.configfiles]), arguments]


def listing(*paths, suffixes: tuple[str, ...] = ("",)) -> str:
    """Digest of files and of those in folders; a folder that cannot be read ends the run with its sentence."""
    try:
        return file_listing(*paths, suffixes=suffixes)
    except CorpusError as error:
        raise WorkflowError(str(error)) from None


@cache
def delivered_files() -> str:
    """Digest of the delivered files, listed once: a million take 20 seconds."""
    sources = make_sources([corpus for corpus in CORPORA if corpus not in CAPTURED], DATA, SOURCES)
    paths = [path for source in sources for path in (source.audio, source.tracks, source.table) if path]
    if tables := [source for source in sources if source.table]:
        from emotalk.data.tables import files_outside_folders  # Takes a second to import.

        paths += [path for source in tables for path in files_outside_folders(source)]
    return listing(*paths, suffixes=AUDIO_SUFFIXES + TRACK_SUFFIXES)


def data_listing(wildcards) -> str:
    """Digest of the delivered files: a recording that comes, goes or changes makes the index stale.

    Only the process that decides what is stale needs it, and not each job.
    """
    return delivered_files() if workflow.is_main_process else ""


def video_folder(wildcards) -> str:
    """Folder of a corpus's videos."""
    return SOURCES[wildcards.corpus].video


def video_listing(wildcards) -> str:
    """Digest of a corpus's videos: one that comes, goes or changes makes the capture stale, and only its own is made."""
    return listing(video_folder(wildcards)) if workflow.is_main_process else ""


def listing_of_model(wildcards) -> str:
    """Digest of MediaPipe's model; a model that is missing is reported by the job."""
    model = config["capture"]["model"]
    return listing(model) if os.path.exists(model) else ""


def source_settings(corpus: str) -> SourceSettings:
    """Source of a corpus; what is captured from its videos is below the results."""
    source = SETTINGS.sources[corpus]
    if source.video is None:
        return source
    folder = f"{RESULTS}/captured/{corpus}"
    return source.model_copy(update={"audio": f"{folder}/audio", "tracks": f"{folder}/blendshape"})


def encoder_listing(wildcards) -> str:
    """Digest of the files of encoders that lie in local folders: other weights make the training stale."""
    return listing(*(encoder["source"] for encoder in config["model"].values()))


def initial_weights_listing(wildcards) -> str:
    """Digest of the weights that training starts from and of their card, if some are named."""
    return with_cards(config["train"]["init_weights"]["source"])


def with_cards(weights: str | None) -> str:
    """Digest of a weights file, of its card and of the other form of it, or of a folder of them."""
    if not weights or os.path.isdir(weights):
        return listing(weights) if weights else ""
    return listing(*(os.path.splitext(weights)[0] + suffix for suffix in (".pth", ".safetensors", ".json")))


def evaluate_settings(wildcards) -> str:
    """Settings of rule evaluate; the requirement is checked by rule check."""
    return canonical({name: value for name, value in config["evaluate"].items() if name != "required_improvement"})


def basis_listing(wildcards) -> str:
    """Digest of the files of a blendshape basis, if one is given."""
    basis = config["evaluate"]["basis"]
    return listing(basis) if basis else ""


def shipped(path: Path) -> str:
    """Path of a file of this project, relative, so that it is the same in a copy of the folder."""
    return os.path.relpath(path)


def read_summary() -> str:
    """Result and next command of the run; empty if there is no report yet."""
    return SUMMARY.read_text(encoding="utf-8") if SUMMARY.is_file() else ""


def log_summary() -> None:
    """Show what the run made and what to do next, if it made the report."""
    if SUMMARY.is_file() and SUMMARY.stat().st_mtime >= STARTED:
        logger.info(read_summary())


def parts_of(stage: str, suffix: str) -> list[str]:
    """Files that the jobs of a divided stage write, corpus after corpus; none if it is one job."""
    if config["parts"] == 1:
        return []
    patterns = [f"{RESULTS}/parts/{stage}/{corpus}.{{scatteritem}}{suffix}" for corpus in CORPORA]
    return [path for pattern in patterns for path in gather.part(pattern)]


def training_resources(gpus: int, nodes: int) -> dict:
    """Resources of a training on so many GPUs of each of so many nodes.

    With `mpi`, Slurm's executor starts the job on the first node only, which then starts all others; `tasks_per_gpu`
    keeps it from multiplying `tasks` by the GPUs. A node's memory holds what each of its processes reads to continue.
    """
    per_node = {"nodes": nodes, "mem_mb": 24_000 + 10_000 * (gpus - 1)}
    if nodes == 1:
        return per_node | {"gpu": gpus}
    return per_node | {"gres": f"gpu:{gpus}", "tasks": nodes, "tasks_per_gpu": 0, "mpi": "srun"}


def is_training_forced() -> bool:
    """Whether the user forced the training on the command line, by name, by an output or with everything."""
    told = workflow.dag_settings
    forced = set(told.forcerun) | (set(told.targets) if told.forcetargets else set())
    return told.forceall or not forced.isdisjoint(["train", *rules.train.output])


def start_over(wildcards, attempt: int) -> int:
    """1 if training is to start over: it was forced, and this is the first attempt.

    A resource, because that is no reason to run the rule again. Jobs on other machines learn it from their environment.
    """
    if workflow.is_main_process:
        os.environ[START_OVER] = "yes" if is_training_forced() else "no"
    return int(os.environ[START_OVER] == "yes" and attempt == 1)


def recordings_folder(wildcards, input) -> str:
    """Folder above the corpora."""
    return input.demo if IS_DEMO else DATA


def audio_listing(wildcards) -> str:
    """Digest of the recordings to predict; asking for `predict` without naming any ends here."""
    if config["predict"]["audio"] is None:
        # Snakemake shows a traceback for its own errors in functions of params.
        sys.exit("Error: predict.audio is not set. Set a folder: --config 'predict={audio: my-recordings}'.")
    paths = [config["predict"][name] for name in ("audio", "emotion_from") if config["predict"][name]]
    for path in paths:
        # Snakemake deletes the output folder before it runs the rule.
        if Path(path).resolve().is_relative_to(Path(RESULTS, "predicted").resolve()):
            sys.exit(f"Error: {path} is in the output folder of rule predict, {RESULTS}/predicted. Move it elsewhere.")
    return listing(*paths, suffixes=AUDIO_SUFFIXES)


def weights_listing(wildcards) -> str:
    """Digest of the weights to predict with, if others than those of this run are named."""
    return with_cards(config["predict"]["weights"])


def training_folder(wildcards, output) -> str:
    """Folder of the run, for files that are no outputs: resumable checkpoints must survive a failed job."""
    return os.path.dirname(output.checkpoint)


SETTINGS = checked_config()
config = SETTINGS.model_dump()

# Slurm's warning before a time limit reaches all processes of a job. Training saves then; those around it must live on,
# and what is ignored here is so in what they start, until it asks for more.
if hasattr(signal, "SIGUSR1"):
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)

# This process has the package from beside the Snakefile; in a container there is no other.
prepend_pythonpath()

RESULTS = config["results"]
SUMMARY = Path(RESULTS, "report/summary.txt")
config["summary"] = read_summary()  # Only for the first page of Snakemake's report, which can read nothing else.
LOGS = f"{RESULTS}/logs"
CORPORA = config["corpora"]
IS_DEMO = config["data"] == DEMO
DATA = f"{RESULTS}/demo_corpus" if IS_DEMO else config["data"]
STARTED = time.time()
SOURCES = {corpus: source_settings(corpus) for corpus in CORPORA}
CAPTURED = {corpus: f"{RESULTS}/captured/{corpus}.parquet" for corpus in CORPORA if SOURCES[corpus].video}
"""Corpora that are captured from videos, and the table of these videos."""
START_OVER = "EMOTALK_START_OVER"
os.environ.setdefault(START_OVER, "no")
# What is read by its path lies here, also where everything else goes to a bucket (docs/cluster.md).
TEMPLATES = [local(shipped(path)) for path in sorted(ROOT.glob("emotalk/report/templates/*"))]
TRACKS = [f"{RESULTS}/tracks/{corpus}.parquet" for corpus in CORPORA]
CLIPS = [f"{RESULTS}/clips/{corpus}.arrow" for corpus in CORPORA]


# Off by default: one job prepares a corpus (docs/cluster.md).
scattergather:
    part=config["parts"],


# Used only with `--software-deployment-method apptainer`; container/emotalk.def tells how to build it.
container: "container/emotalk.sif"


envvars:
    START_OVER,
