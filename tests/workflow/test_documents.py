"""Commands in the documents work: Snakemake commands pass a dry run, `emotalk` commands are parsed."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emotalk.cli import build_parser
from tests.project import Project

ROOT = Path(__file__).parents[2]
_PATTERNS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "config/*.yaml", "config/recipes/*.yaml")
DOCUMENTS = [path for pattern in _PATTERNS for path in sorted(ROOT.glob(pattern))]
_SKIPPED_OPTIONS = ("--executor", "$BUCKET", "apptainer", "--report")
"""Options of commands that need a cluster, a bucket, a container or a finished run."""


def _commands(program: str) -> list[str]:
    """Return the commands of a program in the documents, without comments and with continued lines joined."""
    commands = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if path.suffix == ".md" else [text.replace("#", "")]
        for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
            command = re.sub(r"\s+#.*", "", line).strip().split("&& ")[-1]
            if command.startswith(f"{program} ") and not any(option in command for option in _SKIPPED_OPTIONS):
                commands.append(command)
    return sorted(set(commands))


def _settings_files() -> list[str]:
    """Return the contents of all `my.yaml` in the documents."""
    texts = [path.read_text(encoding="utf-8") for path in (*DOCUMENTS, ROOT / "resources/README.md")]
    return [block for text in texts for block in re.findall(r"```yaml\n(# my\.yaml.*?)```", text, re.DOTALL)]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Project:
    """A copy of the project with the recordings, weights and audio that the documents name."""
    project = Project.from_checkout(tmp_path_factory.mktemp("documents"), {})
    for corpus, stem in (("RAVDESS", "01-01-03-01-01-01-01"), ("HDTF", "WDA_A0_000")):
        for part in ("audio", "blendshape"):
            (project.folder / "data" / corpus / part).mkdir(parents=True)
        soundfile.write(project.folder / f"data/{corpus}/audio/{stem}.wav", np.zeros(32_000), 16_000)
        np.save(project.folder / f"data/{corpus}/blendshape/{stem}.npy", np.zeros((60, 52), np.float32))
    shutil.copytree(project.folder / "data", project.folder / "results/demo_corpus")
    (project.folder / "EmoTalk.pth").touch()
    return project


def _replace_paths(text: str) -> str:
    return re.sub(r"/path/to/(?!EmoTalk\.pth)[\w-]+", "data", text).replace("/path/to/EmoTalk.pth", "EmoTalk.pth")


@pytest.mark.parametrize("command", _commands("snakemake"))
def test_snakemake_commands_pass_a_dry_run(checkout, command):
    (checkout.folder / "my.yaml").write_text(_replace_paths(_settings_files()[0]), encoding="utf-8")
    arguments = shlex.split(_replace_paths(command))[1:]
    done = checkout.run_without_settings(*arguments, "--dry-run")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "train" in done.stdout or "train" not in arguments


@pytest.mark.parametrize("settings", _settings_files())
def test_user_settings_pass_a_dry_run(checkout, settings):
    (checkout.folder / "my.yaml").write_text(
        _replace_paths(settings).replace("resources/3D-ETF", "data"), encoding="utf-8"
    )
    done = checkout.run_without_settings("index", "--configfile", "my.yaml", "--dry-run")
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("command", _commands("emotalk"))
def test_emotalk_commands_can_be_parsed(command):
    build_parser().parse_args(shlex.split(command)[1:])
