import re
from copy import deepcopy
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from emotalk.config import checked_config, read_schema
from emotalk.config_reference import reference
from emotalk.errors import ConfigError
from emotalk.model.pretrained import EncoderSource
from emotalk.training.settings import LossWeights, TrainingSettings

ROOT = Path(__file__).parents[2]
SCHEMA = read_schema(ROOT / "workflow/schemas/config.schema.yaml")


def shipped(name: str) -> dict:
    return yaml.safe_load((ROOT / "config" / name).read_text())


def overlaid(base: dict, over: dict) -> dict:
    """What snakemake makes of `--configfile`: a deep merge."""
    merged = deepcopy(base)
    for key, value in over.items():
        merged[key] = overlaid(merged[key], value) if isinstance(value, dict) and key in merged else value
    return merged


def test_the_shipped_configuration_is_complete():
    config = shipped("config.yaml")
    assert checked_config(config, SCHEMA) | {"sources": {}} == config


def test_every_corpus_has_its_source_and_split_whatever_its_name():
    config = checked_config(shipped("config.yaml") | {"corpora": ["RAVDESS", "Mine"]}, SCHEMA)
    assert config["sources"]["Mine"]["layout"] == "auto"
    assert config["split"]["Mine"] == {"validation": 0.1, "test": 0.1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sources": {"Other": {}}}, "sources.Other: there is no such corpus; 'corpora' names RAVDESS"),
        ({"sources": {"RAVDESS": {"fsp": 25}}}, "sources.RAVDESS.fsp: there is no such setting; did you mean fps?"),
        ({"sources": {"RAVDESS": None}}, "sources.RAVDESS: None is not of type 'object'"),
        ({"corpora": ["../up"]}, "corpora.0"),
        ({"faults": {"silent_wav": "repair"}}, "faults.silent_wav: 'repair' is not one of"),
        ({"faults": {"silent_wave": "keep"}}, "faults.silent_wave: there is no such setting; did you mean silent_wav?"),
        ({"parts": 0}, "parts: 0 is less than the minimum"),
    ],
)
def test_a_fault_in_a_corpus_setting_is_a_sentence(changes, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        checked_config(shipped("config.yaml") | changes, SCHEMA)


@pytest.mark.parametrize("name", ["3d-etf.yaml", "report.yaml"])
def test_the_recipes_are_valid_over_the_default(name):
    config = checked_config(overlaid(shipped("config.yaml"), shipped(name)), SCHEMA)
    assert config["model"]["content_encoder"]["source"] == "jonatasgrosman/wav2vec2-large-xlsr-53-english"
    assert config["train"]["epochs"] == 80


def test_the_reference_is_what_the_schema_says():
    """Renew it with `python -m emotalk.config_reference > config/README.md`."""
    assert (ROOT / "config/README.md").read_text(encoding="utf-8") == reference(SCHEMA)


def test_the_schema_describes_every_setting():
    rows = reference(SCHEMA).splitlines()
    assert all(len(row.rsplit(" | ", 1)[1].strip()) > 10 for row in rows if row.startswith("| `"))
    assert sum(row.startswith("| `") for row in rows) > 40


def test_the_dataclasses_hold_exactly_the_settings_of_training():
    sections = SCHEMA["properties"]
    train = {field.name for field in fields(TrainingSettings)} - {"seed", "content_encoder", "emotion_encoder"}
    assert train == set(sections["train"]["properties"])
    weights = {field.name for field in fields(LossWeights)}
    assert weights == set(sections["train"]["properties"]["loss_weights"]["properties"])
    assert {field.name for field in fields(EncoderSource)} == set(SCHEMA["$defs"]["encoder"]["properties"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train": {"lerning_rate": 1}}, "train.lerning_rate: there is no such setting; did you mean learning_rate?"),
        ({"epochs": 3}, "epochs: there is no such setting; known here are data,"),
        ({"train": {"epochs": "many"}}, "train.epochs: 'many' is not of type 'integer'"),
        ({"train": {"epochs": "7"}}, "train.epochs: YAML reads 7 as text; write 7"),
        ({"train": {"learning_rate": "1e-4"}}, "train.learning_rate: YAML reads 1e-4 as text; write 0.0001"),
        (
            {"smooth": {"enabled": False, "clip_negatives": True}},
            "smooth.clip_negatives: works only with",
        ),
        ({"model": {"content_encoder": {"sorce": "x"}}}, "there is no such setting; did you mean source?"),
        ({"slice": {"max_frames": 100}}, "slice.max_frames: 100 is not a multiple of 3"),
        ({"smooth": {"window": 4}}, "smooth.window: 4 is even"),
        ({"smooth": {"order": 5}}, "smooth.order: 5 must be below smooth.window, which is 5"),
        ({"split": {"RAVDESS": {"validation": [1, 2], "test": [2]}}}, "split.RAVDESS: 2 cannot both validate and test"),
        ({"split": {"RAVDESS": {"validation": ["07"], "test": [7]}}}, "split.RAVDESS: 7 cannot both validate and test"),
        ({"corpora": []}, "corpora: [] should be non-empty"),
        ({"pair": {"recipe": "papr"}}, "pair.recipe: 'papr' is not one of ['paper', 'report']"),
    ],
)
def test_a_faulty_setting_is_named_with_the_rule(change, said):
    with pytest.raises(ConfigError) as error:
        checked_config(overlaid(shipped("config.yaml"), change), SCHEMA)
    assert said in str(error.value)


def test_all_faults_are_listed_at_once():
    config = overlaid(shipped("config.yaml"), {"train": {"epochs": 0, "batch_size": 0}})
    with pytest.raises(ConfigError) as error:
        checked_config(config, SCHEMA)
    assert "train.epochs" in str(error.value)
    assert "train.batch_size" in str(error.value)
