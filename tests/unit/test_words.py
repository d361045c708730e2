"""Code and documents use the words of the glossary (docs/glossary.md), not those that they have replaced."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUFFIXES = {".py", ".smk", ".md", ".rst", ".j2", ".js", ".yaml", ".toml", ""}

REPLACED = {
    r"EmoTalk\.speak|speak a recording|Speaking": "predict, prediction",
    r"worn|wear|wears|wearing|heard": "emotion reference, emotion_features, emotion_logits",
    r"class (?:Found|Fault|Rules|Tally|Room|Earlier|Gathered)|judge": "RecordingFiles, Issue, QualityPolicy",
    r"class (?:Heard|Spoken|Speech|Request|Schedule)": "AudioInputs, PlayerClip, AudioFile, Manifest",
    r"taken_or_made|goes_on|of_shard|second_chance|may_meet": "is_retry, match_unpaired, can_pair",
    r"let_children_import_this_package": "prepend_pythonpath",
    r"contextualise|unfilled|take_what_fits|fit_state": "encode, empty, load_matching, load_strict",
    r"ALONE|add_up|whereabouts": "SINGLE_PROCESS, all_reduce_sum, position",
    r"train\.deliver|train\.schedule": "train.checkpoint, train.lr_schedule",
    r"def of": "a name such as from_files or from_config",
    r"Results are owed|How fast|When it stops|Beside what|In which order to save": "No results yet, Performance, …",
    r"Decided otherwise than planned": "Design decisions",
    r"(?:frames|times|steps|clips|samples) a second|a row a frame": "per second, per frame",
    r"is no card|holds nothing": "is not a valid card, contains no …, unknown …",
}
"""Words as regular expressions, and the words that replace them."""

EXCEPTIONS = {
    "CHANGELOG.md": r"train\.deliver|train\.schedule",
    "emotalk/config/config.py": r"train\.deliver|train\.schedule",
    "tests/unit/test_config.py": r"train\.deliver|train\.schedule",
}
"""Files that name settings of earlier versions."""


def texts() -> list[Path]:
    """List the text files of the repository, except this one."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git repository")
    paths = [ROOT / line for line in listed.stdout.splitlines()]
    return [path for path in paths if path.suffix in SUFFIXES and path.is_file() and path != Path(__file__)]


def test_replaced_words_are_not_used():
    pattern = re.compile("|".join(rf"(?<!\w)(?:{words})(?!\w)" for words in REPLACED))
    uses = []
    for path in texts():
        name = path.relative_to(ROOT).as_posix()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            for match in pattern.finditer(line):
                if not re.fullmatch(EXCEPTIONS.get(name, "(?!)"), match[0]):
                    words = next(new for old, new in REPLACED.items() if re.fullmatch(old, match[0]))
                    uses.append(f"{name}:{number}: {match[0]!r}; use {words}")
    assert not uses, "\n".join(uses)
