import math
import os
import signal
import sys
import time
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# Use the package beside the Snakefile, also in a module and if another copy is installed.
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]
sys.path.insert(0, str(ROOT))

from emotalk.config.config import DEMO, Config, check_results_folder, load_config
from emotalk.config.reading import read_arguments, read_file
from emotalk.config.corpus import SourceSettings
from emotalk.data.discovery import AUDIO_SUFFIXES, TRACK_SUFFIXES, make_sources
from emotalk.errors import ConfigError, CorpusError
from emotalk.parallel import prepend_pythonpath
from emotalk.provenance import canonical, metadata_digest
from emotalk.stages import STAGE_VERSIONS


def load_checked_config() -> Config:
    """Load the configuration; an invalid setting stops the run with a message and without traceback."""
    try:
        settings = load_config(user_settings(), recipes=ROOT / "config/recipes")
        check_results_folder(settings.results, checkout=ROOT)
        return settings
    except ConfigError as error:
        raise WorkflowError(str(error)) from None


def user_settings() -> list[dict]:
    """Read the settings of files and of the command line; later ones override earlier ones.

    They are read again, because Snakemake converts the subject 010 to 8, and values in braces on the command line to
    text. The settings of a module are those of the workflow that uses it.
    """
    if workflow.modifier.skip_configfile:
        return [config]
    command_line = workflow.config_settings
    arguments = read_arguments(command_line.config_args)
    is_replaced = command_line.replace_workflow_config
    workflow_files = [] if is_replaced else workflow.configfiles[len(command_line.configfiles) :]
    return [*map(read_file, [*workflow_files, *command_line.configfiles]), arguments]


def digest(*paths, suffixes: tuple[str, ...] = ("",)) -> str:
    """Return a digest of files and folders; an unreadable folder stops the run with a message."""
    try:
        return metadata_digest(*paths, suffixes=suffixes)
    except CorpusError as error:
        raise WorkflowError(str(error)) from None


@cache
def corpus_digest() -> str:
    """Return a digest of the files of all corpora. It is cached, because listing a million files takes 20 seconds."""
    sources = make_sources([corpus for corpus in CORPORA if corpus not in CAPTURED], DATA, SOURCES)
    paths = [path for source in sources for path in (source.audio, source.tracks, source.table) if path]
    if tables := [source for source in sources if source.table]:
        from emotalk.data.tables import files_outside_folders  # Slow import.

        paths += [path for source in tables for path in files_outside_folders(source)]
    return digest(*paths, suffixes=AUDIO_SUFFIXES + TRACK_SUFFIXES)


def data_digest(wildcards) -> str:
    """Return a digest of the recordings: the index becomes stale if a recording is added, removed or changed.

    Only the main process, which decides what is stale, computes it.
    """
    return corpus_digest() if workflow.is_main_process else ""


def video_folder(wildcards) -> str:
    """Return the folder of the videos of a corpus."""
    return SOURCES[wildcards.corpus].video


def video_digest(wildcards) -> str:
    """Return a digest of the videos of a corpus: the capture becomes stale if a video is added, removed or changed."""
    return digest(video_folder(wildcards)) if workflow.is_main_process else ""


def model_digest(wildcards) -> str:
    """Return a digest of MediaPipe's model; the job reports a missing model."""
    model = config["capture"]["model"]
    return digest(model) if os.path.exists(model) else ""


def source_settings(corpus: str) -> SourceSettings:
    """Return the source of a corpus; recordings that are captured from videos are in the results folder."""
    source = SETTINGS.sources[corpus]
    if source.video is None:
        return source
    folder = f"{RESULTS}/captured/{corpus}"
    return source.model_copy(update={"audio": f"{folder}/audio", "tracks": f"{folder}/blendshape"})


def encoder_digest(wildcards) -> str:
    """Return a digest of encoders in local folders: training becomes stale if their files change."""
    return digest(*(config["model"][name]["source"] for name in ("content_encoder", "emotion_encoder")))


def initial_weights_digest(wildcards) -> str:
    """Return a digest of the initial weights of training and their card, if they are set."""
    return digest_of_weights(config["train"]["init_weights"]["source"])


def digest_of_weights(weights: str | None) -> str:
    """Return a digest of a folder of weights, or of a weights file, its card and its other format."""
    if not weights or os.path.isdir(weights):
        return digest(weights) if weights else ""
    return digest(*(os.path.splitext(weights)[0] + suffix for suffix in (".pth", ".safetensors", ".json")))


def evaluate_settings(wildcards) -> str:
    """Return the settings of rule evaluate, without the requirement, which rule check uses."""
    return canonical({name: value for name, value in config["evaluate"].items() if name != "required_improvement"})


def basis_digest(wildcards) -> str:
    """Return a digest of the files of the blendshape basis, if it is set."""
    basis = config["evaluate"]["basis"]
    return digest(basis) if basis else ""


def project_file(path: Path) -> str:
    """Return the relative path of a file of this project, which is the same in a copy of the folder."""
    return os.path.relpath(path)


def read_summary() -> str:
    """Result and next command of the run; empty if there is no report yet."""
    return SUMMARY.read_text(encoding="utf-8") if SUMMARY.is_file() else ""


def log_summary() -> None:
    """Log the summary of the report and the next steps, if the run wrote the report."""
    if SUMMARY.is_file() and SUMMARY.stat().st_mtime >= STARTED:
        logger.info(read_summary())


def parts_of(stage: str, suffix: str) -> list[str]:
    """Return the output files of the jobs of a divided stage, by corpus; no files if the stage is one job."""
    if config["parts"] == 1:
        return []
    patterns = [f"{RESULTS}/parts/{stage}/{corpus}.{{scatteritem}}{suffix}" for corpus in CORPORA]
    return [path for pattern in patterns for path in gather.part(pattern)]


def training_resources(gpus: int, nodes: int) -> dict:
    """Return the resources of training with `gpus` GPUs on each of `nodes` nodes.

    With `mpi`, the Slurm executor starts the job on the first node only, which then starts the others; with
    `tasks_per_gpu`, it does not multiply `tasks` by the number of GPUs. The memory of a node includes the checkpoint
    that each of its processes loads.
    """
    per_node = {"nodes": nodes, "mem_mb": 24_000 + 10_000 * (gpus - 1)}
    if nodes == 1:
        return per_node | {"gpu": gpus}
    return per_node | {"gres": f"gpu:{gpus}", "tasks": nodes, "tasks_per_gpu": 0, "mpi": "srun"}


def is_training_forced() -> bool:
    """Whether the command line forces training: by its name, by an output, or with all rules."""
    dag_settings = workflow.dag_settings
    forced = set(dag_settings.forcerun) | (set(dag_settings.targets) if dag_settings.forcetargets else set())
    return dag_settings.forceall or not forced.isdisjoint([rules.train.rule.name, *rules.train.output])


def start_over(wildcards) -> int:
    """Return the time in Unix seconds when training was forced, else 0: checkpoints from before are not continued.

    With the time, a job that is retried continues the training that it has started over. It is a resource, because a
    changed resource does not make the rule stale. Jobs on other machines read it from their environment.
    """
    if workflow.is_main_process:
        os.environ[START_OVER] = str(math.ceil(STARTED) if is_training_forced() else 0)
    return int(os.environ[START_OVER])


def recordings_folder(wildcards, input) -> str:
    """Return the folder of the corpora."""
    return input.demo if IS_DEMO else DATA


def audio_digest(wildcards) -> str:
    """Return a digest of the recordings to predict; stop the run if predict.audio is not set."""
    if config["predict"]["audio"] is None:
        # For errors in functions of params, Snakemake would show a traceback.
        sys.exit("Error: predict.audio is not set. Set a folder: --config 'predict={audio: my-recordings}'.")
    paths = [config["predict"][name] for name in ("audio", "emotion_from") if config["predict"][name]]
    for path in paths:
        # Snakemake deletes the output folder before it runs the rule.
        if Path(path).resolve().is_relative_to(Path(RESULTS, "predicted").resolve()):
            sys.exit(f"Error: {path} is in the output folder of rule predict, {RESULTS}/predicted. Move it elsewhere.")
    return digest(*paths, suffixes=AUDIO_SUFFIXES)


def weights_digest(wildcards) -> str:
    """Return a digest of the weights for predictions, if other weights than those of this run are set."""
    return digest_of_weights(config["predict"]["weights"])


def training_folder(wildcards, output) -> str:
    """Return the folder of the run, for checkpoints, which are not outputs because they must survive a failed job."""
    return os.path.dirname(output.checkpoint)


SETTINGS = load_checked_config()
config = SETTINGS.model_dump()

# Slurm sends a warning signal before a time limit to all processes of a job. Training then saves a checkpoint; the
# other processes must not stop. Ignored signals are inherited by child processes, until training installs a handler.
if hasattr(signal, "SIGUSR1"):
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)

# Jobs use the package beside the Snakefile; in a container, no other copy is installed.
prepend_pythonpath()
# By default, torch's OpenMP threads busy-wait for each other, which slows training on the CPU down if other programs
# run (docs/performance.md).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

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
"""Corpora that are captured from videos, with the table of their videos."""
VIDEO_TABLES = CAPTURED | {
    source.corpus: str(folder / "videos.parquet")
    for source in make_sources(CORPORA, DATA, SOURCES)
    for folder in (source.tracks.parent, source.tracks)
    if source.corpus not in CAPTURED and (folder / "videos.parquet").is_file()
}
"""Tables of the videos of all captured corpora, including those that `emotalk capture` wrote."""
START_OVER = "EMOTALK_START_OVER"
os.environ.setdefault(START_OVER, "0")
# Templates are read by path, and are therefore local files, even if other files are in a bucket (docs/cluster.md).
TEMPLATES = [local(project_file(path)) for path in sorted(ROOT.glob("emotalk/report/templates/*"))]
TRACK_FILES = [f"{RESULTS}/tracks/{corpus}.parquet" for corpus in CORPORA]
CLIP_FILES = [f"{RESULTS}/clips/{corpus}.arrow" for corpus in CORPORA]


# By default, a stage is one job for all corpora (docs/cluster.md).
scattergather:
    part=config["parts"],


# Used only with `--software-deployment-method apptainer`; container/emotalk.def describes how to build it.
container: "container/emotalk.sif"


envvars:
    START_OVER,
