"""Reading, merging and validation of settings, and error messages."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from emotalk.config.config import Config, Recipe, check_results_folder, load_config
from emotalk.config.description import settings
from emotalk.config.reading import merge, read_arguments, read_file
from emotalk.config.reference import json_schema, reference
from emotalk.errors import ConfigError

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "config/recipes"
FULL_SIZE = "jonatasgrosman/wav2vec2-large-xlsr-53-english"


def load(*layers):
    return load_config(layers, recipes=RECIPES)


def error_of(*layers) -> str:
    with pytest.raises(ConfigError) as error:
        load(*layers)
    return str(error.value)


def test_the_default_is_the_demo():
    config = load()
    assert (config.recipe, config.data, config.results) == ("demo", "demo", "results")
    assert config.train.epochs == 8
    assert config.model.content_encoder.source == "random"


def test_with_a_data_folder_the_default_recipe_is_paper():
    config = load({"data": "/corpora"})
    assert (config.recipe, config.results) == ("paper", "results-paper")
    assert config.model.content_encoder.source == FULL_SIZE
    assert (config.train.epochs, config.train.batch_size, config.train.learning_rate) == (80, 8, 1e-4)


def test_recipes_have_different_results_folders():
    weights = {"train": {"init_weights": {"source": "w.pth"}}}
    folders = {recipe: Path(load({"recipe": recipe, "data": "x"}, weights).results) for recipe in get_args(Recipe)}
    assert len(set(folders.values())) == 4
    assert not any(a.is_relative_to(b) for a in folders.values() for b in folders.values() if a != b)


def test_the_recipe_report_has_the_values_of_the_training_report():
    config = load({"recipe": "report", "data": "x"})
    assert (config.corpora, config.pair.strategy, config.train.batch_size) == (["RAVDESS"], "random", 1)
    assert (config.train.loss_weights.classification, config.train.velocity_on) == (0, "first")
    assert config.train.epochs == 80


def test_the_recipe_personal_freezes_lower_layers_and_uses_the_best_epoch():
    config = load({"recipe": "personal", "data": "x", "train": {"init_weights": {"source": "EmoTalk.pth"}}})
    assert config.train.freeze.content_encoder == 20
    assert config.train.learning_rate < 1e-4
    assert config.train.checkpoint == "best"
    assert config.train.init_weights.new_subjects


def test_the_recipe_personal_needs_weights():
    assert "train.init_weights.source: recipe personal fine-tunes weights" in error_of(
        {"recipe": "personal", "data": "x"}
    )


def test_later_layers_override_earlier_ones_and_only_sections_are_merged():
    project, user, command_line = (
        {"train": {"epochs": 5}, "corpora": ["A", "B"]},
        {"corpora": ["A"]},
        {"train": {"keep_last": 9}},
    )
    config = load({"data": "x"}, project, user, command_line)
    assert (config.train.epochs, config.train.keep_last, config.corpora) == (5, 9, ["A"])


def test_every_corpus_has_a_source_and_a_split():
    config = load({"data": "x", "corpora": ["RAVDESS", "Mine"], "split": {"RAVDESS": {"test": [1]}}})
    assert config.sources["Mine"].layout == "auto"
    assert (config.split["Mine"].validation, config.split["Mine"].test) == (0.1, 0.1)
    assert (config.split["RAVDESS"].validation, config.split["RAVDESS"].test) == ([21, 22], [1])


def test_a_dumped_configuration_can_be_loaded():
    config = load({"data": "x"})
    assert load(json.loads(json.dumps(config.model_dump()))) == config


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("train={epochs: 3, clip_norm: null}", {"train": {"epochs": 3, "clip_norm": None}}),
        ("strict=true", {"strict": True}),
        ("split={phone: {test: 0.5}}", {"split": {"phone": {"test": 0.5}}}),
        ("train={learning_rate: 1e-4}", {"train": {"learning_rate": 1e-4}}),
        ("split={RAVDESS: {test: [010, 08, 7]}}", {"split": {"RAVDESS": {"test": ["010", "08", 7]}}}),
        ("data=/a b/2024-01-01", {"data": "/a b/2024-01-01"}),
        ("results=2024-01-01", {"results": "2024-01-01"}),
        ("seed=-0.5", {"seed": -0.5}),
        ("data=a=b", {"data": "a=b"}),
    ],
)
def test_values_on_the_command_line_are_yaml_with_leading_zeros_preserved(argument, expected):
    assert read_arguments([argument]) == expected


def test_arguments_of_one_section_are_merged():
    assert read_arguments(["train={epochs: 3}", "train={gpus: 2}"]) == {"train": {"epochs": 3, "gpus": 2}}


def test_a_value_that_is_not_valid_yaml_is_an_error():
    with pytest.raises(ConfigError, match=r"train: the value '\{epochs: ' on the command line is not valid YAML"):
        read_arguments(["train={epochs: "])


def test_files_are_read_like_the_command_line(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("\ufefftrain: {learning_rate: 1e-5}\nsplit: {A: {test: [010]}}\n", encoding="utf-8")
    assert read_file(path) == {"train": {"learning_rate": 1e-5}, "split": {"A": {"test": ["010"]}}}
    for text, message in (("- a\n", "must contain settings as 'name: value'"), ("a: [", "is not valid YAML")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            read_file(path)
    path.write_text("# nothing\n")
    assert read_file(path) == {}


def test_merging_does_not_modify_layers():
    below, above = {"a": {"b": [1]}}, {"a": {"c": 2}}
    merge(below, above)["a"]["b"].append(2)
    assert (below, above) == ({"a": {"b": [1]}}, {"a": {"c": 2}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"train": {"lerning_rate": 1}},
            "train.lerning_rate: unknown setting; did you mean train.learning_rate?",
        ),
        ({"epochs": 3}, "epochs: unknown setting; did you mean train.epochs?"),
        ({"train": {"epochs": "many"}}, "train.epochs: must be integer ≥ 1, not 'many' (text)"),
        ({"train": {"epochs": 2.5}}, "train.epochs: must be integer ≥ 1, not 2.5"),
        ({"train": {"epochs": True}}, "train.epochs: must be integer ≥ 1, not True"),
        ({"train": 3}, "train: must be section, not 3"),
        ({"train": {"learning_rate": float("nan")}}, "train.learning_rate: must be number > 0, not nan"),
        (
            {"smooth": {"enabled": False, "clip_negatives": True}},
            "smooth.clip_negatives: cannot be used if enabled is false",
        ),
        ({"model": {"content_encoder": {"sorce": "x"}}}, "did you mean model.content_encoder.source?"),
        ({"slice": {"max_frames": 100}}, "slice.max_frames: must be integer ≥ 30, multiple of 3, not 100"),
        ({"smooth": {"window": 4}}, "smooth.window: 4 is even"),
        ({"smooth": {"order": 5}}, "smooth.order: 5 must be below window, which is 5"),
        ({"split": {"RAVDESS": {"validation": ["07"], "test": [7]}}}, "split.RAVDESS: 7 must not be in both"),
        (
            {"split": {"A": {"test": 0.9}}},
            "split.A.test: must be list of text or integer or number ≥ 0, ≤ 0.5 or `none`, not 0.9",
        ),
        (
            {"split": {"A": {"by": "time", "test": ["x"]}}},
            "split.A.by: with time, validation and test must be fractions",
        ),
        (
            {"sources": {"HDTF": {"subject": "(?P<emotion>.*)"}}},
            "sources.HDTF.subject: '(?P<emotion>.*)' is not `one`",
        ),
        ({"sources": {"HDTF": {"subject": "(?P<subject>"}}}, "sources.HDTF.subject: '(?P<subject>' is not `one`"),
        ({"corpora": []}, "corpora: must be list of text, not []"),
        ({"corpora": ["../up"]}, "corpora: must be list of text, not '../up'"),
        ({"corpora": ["Mine\n"]}, "corpora: must be list of text"),
        ({"corpora": ["A", "A"]}, "corpora: a corpus is listed twice: A, A"),
        ({"pair": {"strategy": "papr"}}, "pair.strategy: must be `pseudo`, `random`, not 'papr'"),
        ({"sources": {"Other": {}}}, "sources.Other: unknown corpus; 'corpora' is RAVDESS, HDTF"),
        ({"sources": {"RAVDESS": {"fsp": 25}}}, "unknown setting; did you mean sources.RAVDESS.fps?"),
        ({"sources": {"RAVDESS": None}}, "sources.RAVDESS: must be a section, not None"),
        ({"index": {"issues": {"silent_wav": "repair"}}}, "index.issues.silent_wav: must be `exclude`, `keep`"),
        ({"parts": 0}, "parts: must be integer ≥ 1, ≤ 1000, not 0"),
        ({"recipe": "papr"}, "unknown recipe 'papr'; the recipes are demo, paper, report, personal"),
        ({"recipe": "../x"}, "unknown recipe '../x'"),
        ({"data": "$NOWHERE/x"}, "data: the environment variable $NOWHERE of $NOWHERE/x is not set"),
        (
            {"evaluate": {"subject": 24}},
            "evaluate.subject: is 24; the highest index is 23 (model.num_subject_slots)",
        ),
    ],
)
def test_a_wrong_setting_is_an_error_with_the_rule(values, message):
    assert message in error_of({"data": "x"}, values)


@pytest.mark.parametrize(
    ("values", "new"),
    [
        ({"faults": {"silent_wav": "keep"}}, "faults: is now index.issues"),
        ({"shards": 3}, "shards: is now parts"),
        ({"pair": {"recipe": "paper"}}, "pair.recipe: is now pair.strategy (paper is now pseudo"),
        ({"train": {"schedule": "cosine"}}, "train.schedule: is now train.lr_schedule"),
        ({"train": {"deliver": "best"}}, "train.deliver: is now train.checkpoint"),
        ({"evaluate": {"person": "own"}}, "evaluate.person: is now evaluate.subject"),
    ],
)
def test_the_error_for_an_old_setting_has_the_new_name(values, new):
    assert new in error_of({"data": "x"}, values)


def test_data_must_be_set_if_the_recipe_does_not_set_it():
    assert "data: must be set. Folder of the corpora" in error_of({"recipe": "paper"})


def test_all_wrong_settings_are_listed():
    message = error_of({"data": "x", "train": {"epochs": 0, "batch_size": 0}, "smooth": {"window": 4}, "strct": True})
    assert [line.split(":")[0].strip() for line in message.splitlines()[1:]] == [
        "smooth.window",
        "train.epochs",
        "train.batch_size",
        "strct",
    ]


def test_contradictory_settings_are_listed():
    split = {"RAVDESS": {"validation": [1], "test": [1]}, "HDTF": {"validation": ["A"], "test": ["A"]}}
    message = error_of({"data": "x", "split": split, "train": {"epochs": 0}, "corpora": ["RAVDESS", "HDTF", "HDTF"]})
    for name in (
        "split.RAVDESS: 1 must not",
        "split.HDTF: A must not",
        "train.epochs: must be",
        "a corpus is listed twice",
    ):
        assert name in message
    message = error_of({"data": "x", "recipe": "personal", "sources": {"A": {}, "B": {}}})
    for name in (
        "sources.A: unknown corpus",
        "sources.B: unknown corpus",
        "train.init_weights.source: recipe personal",
    ):
        assert name in message


def test_home_and_variables_are_expanded_in_every_path(monkeypatch):
    monkeypatch.setenv("CORPORA", "/corpora")
    monkeypatch.setenv("HOME", "/home/someone")
    config = load({"data": "$CORPORA/etf", "results": "~/runs", "predict": {"audio": "${CORPORA}/mine"}})
    assert (config.data, config.results) == ("/corpora/etf", "/home/someone/runs")
    assert config.predict.audio == "/corpora/mine"


@pytest.mark.parametrize("results", [".", "..", "/", "docs", "emotalk/x", "config", "results/../tests"])
def test_a_results_folder_with_other_files_is_an_error(results, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError, match="contains other files than results"):
        check_results_folder(results, ROOT)


@pytest.mark.parametrize("results", ["results", "results/paper", "runs", "/elsewhere/run"])
def test_a_separate_results_folder_is_accepted(results, monkeypatch):
    monkeypatch.chdir(ROOT)
    check_results_folder(results, ROOT)


def test_config_files_have_a_schema_and_config_yaml_is_empty():
    assert read_file(ROOT / "config/config.yaml") == {}
    for path in [ROOT / "config/config.yaml", *RECIPES.glob("*.yaml")]:
        schema = re.match(r"# yaml-language-server: \$schema=(\S+)", path.read_text())
        assert schema is not None
        assert (path.parent / schema[1]).samefile(ROOT / "config/schema.json")


def test_reference_and_schema_are_up_to_date():
    """Update them with `python -m emotalk.config.reference config`."""
    recipes = {name: yaml.safe_load((RECIPES / f"{name}.yaml").read_text()) for name in get_args(Recipe)}
    assert (ROOT / "config/README.md").read_text(encoding="utf-8") == reference(recipes)
    assert json.loads((ROOT / "config/schema.json").read_text(encoding="utf-8")) == json_schema()


def test_every_setting_is_described():
    assert [setting.path for setting in settings(Config) if len(setting.schema.get("description", "")) < 10] == []
