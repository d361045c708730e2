"""Facts in the documents agree with the code."""

import re
from pathlib import Path

import pytest

from emotalk.evaluation.metrics import METRICS
from emotalk.evaluation.vertices import VERTEX_METRICS
from tests.benchmarks.memory import computed, table
from tests.imports_graph import DOCUMENT, package_imports, reachable, updated

ROOT = Path(__file__).parents[2]


def test_the_memory_table_equals_the_estimate():
    """Renew it with `python -m tests.benchmarks.memory`."""
    section = (ROOT / "docs/performance.md").read_text(encoding="utf-8").partition("## Saving memory")[2]
    assert table() in section


def test_the_picture_and_the_module_table_of_the_architecture_match_the_code():
    """Renew them with `python -m tests.imports_graph --write`."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == updated(text)


def test_packages_have_no_import_cycles():
    imports = package_imports()
    assert [package for package in imports if package in reachable(imports, package)] == []


def test_one_pair_fits_into_12_gb_and_eight_pairs_into_24_gb():
    """With 0.6 GiB for the driver; one pair with config/small-gpu.yaml."""
    assert computed({"gradient_checkpointing": True}, 1, accumulate=8) < 11.4
    assert computed({}, 8) < 23.4


def read_commands(name):
    """Commands, settings and code of a document in their order, without comments, which are translated."""
    blocks = re.findall(r"```(?:sh|yaml|python|bibtex)\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)
    return [re.sub(r"\s*#.*", "", block) for block in blocks]


def test_both_languages_have_the_same_commands():
    assert read_commands("README.md") == read_commands("README.zh-CN.md")


def read_first_cells(name, heading):
    """First cells of the table below a heading."""
    text = (ROOT / name).read_text(encoding="utf-8").partition(heading)[2].partition("\n## ")[0]
    return re.findall(r"^\| (`\S+`) \|", text, re.MULTILINE)


def test_both_languages_list_all_rules_of_the_workflow():
    listed = read_first_cells("README.md", "## What you get")
    assert listed == read_first_cells("README.zh-CN.md", "## 你会得到什么")
    source = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    rules = {name for name in re.findall(r"^rule (\w+):", source, re.MULTILINE) if not name.endswith("_part")}
    assert {f"`{rule}`" for rule in rules} == set(listed)


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/*.md")], ids=str)
def test_the_target_of_every_link_exists(path):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


_HOME = r"(?:\.ci|config|container|docs|emotalk|profiles|resources|tests|workflow)"


@pytest.mark.parametrize("path", [*ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")], ids=str)
def test_every_named_file_exists(path):
    named = re.findall(rf"`({_HOME}/[\w./-]+)`", path.read_text(encoding="utf-8"))
    generated = {"container/emotalk.sif"}
    assert [name for name in named if name not in generated and not (ROOT / name).exists()] == []


def test_the_gate_runs_the_first_two_commands_of_the_readme():
    """`.ci/run` reads the commands from the README."""
    lines = [
        line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("python3")
    ]
    install = "python3 -m venv .venv && . .venv/bin/activate && pip install -c requirements.lock"
    assert lines == [f"{install} . && snakemake --cores 8 all", f"{install} -e '.[dev]' && pytest"]


def test_every_document_is_linked_from_the_readme():
    for name in ("README.md", "README.zh-CN.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert [path.name for path in ROOT.glob("docs/*.md") if f"docs/{path.name}" not in text] == []


def test_the_document_lists_all_metrics():
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8").replace("`, `_recall`", "`, `lip_closure_recall`")
    for metric in METRICS:
        assert f"`{metric.name}`" in text
    assert [name for name in VERTEX_METRICS if name.startswith("lve") and f"`{name}`" not in text] == []
