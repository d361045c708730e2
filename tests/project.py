"""A copy of the project in which tests run the workflow."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import TINY

_ROOT = Path(__file__).parents[1]
_PARTS = ("Snakefile", "workflow", "emotalk", "config", "profiles", "resources/demo.yaml")
_CONFIG = "test.yaml"

TINY_RUN = {
    "data": "demo",
    "results": "results",
    "demo": {"actors": 3},
    "split": {"RAVDESS": {"validation": [2], "test": [3]}},
    "model": {name: {"source": "random", "sizes": TINY} for name in ("content_encoder", "emotion_encoder")},
    "train": {"epochs": 1, "batch_size": 8, "lr_schedule": "constant"},
    "evaluate": {"required_improvement": None},
}
"""Settings of a demo run that is small enough for a test."""


def _restore_ctrl_c() -> None:
    """Restore SIGINT, which processes started in the background by a shell ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Project:
    """A copy of the project's files that a test may change, with a configuration file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def from_checkout(cls, folder: Path, config: dict) -> "Project":
        """Copy the checkout without its results."""
        for part in _PARTS:
            source, target = _ROOT / part, folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        project = cls(folder)
        project.configure(config)
        return project

    def copy(self, folder: Path) -> "Project":
        """Copy this project with its results and file times, so that nothing is stale."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return type(self)(folder)

    def configure(self, config: dict) -> None:
        """Replace the configuration file."""
        (self.folder / _CONFIG).write_text(yaml.safe_dump(config), encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        """Return the Snakemake command of a user."""
        return [sys.executable, "-m", "snakemake", *arguments, "--configfile", _CONFIG]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake and wait for it."""
        return self._run(self.command(*arguments))

    def run_without_settings(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake without the configuration file and wait for it."""
        return self._run([sys.executable, "-m", "snakemake", *arguments])

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=600, check=False)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start Snakemake in its own process group, which can be killed separately."""
        with open(self.folder / "output.txt", "ab") as output:
            command = self.command(*arguments)
            options = {"stdout": output, "stderr": output, "start_new_session": True, "preexec_fn": _restore_ctrl_c}
            return subprocess.Popen(command, cwd=self.folder, **options)

    def jobs(self, *arguments: str) -> set[str]:
        """Return the rules that Snakemake would run."""
        done = self.run("-n", *arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        table = (done.stdout + done.stderr).rpartition("Job stats:")[2].partition("\n\n")[0].splitlines()[3:]
        return {line.split()[0] for line in table} - {"total", "all"}
