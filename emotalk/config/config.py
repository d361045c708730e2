"""Configuration of the workflow, merged from files and the command line, and its validation.

Values are merged in this order: defaults, the file of the recipe, `config/config.yaml`, the user's file, the command
line.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from emotalk.config.corpus import (
    DEFAULT_SPLITS,
    CaptureSettings,
    DemoSettings,
    IndexSettings,
    PairSettings,
    SliceSettings,
    SmoothSettings,
    SourceSettings,
    SplitSettings,
)
from emotalk.config.description import CORPUS, allowed_values, general_path, settings
from emotalk.config.prediction import EvaluateSettings, PredictSettings
from emotalk.config.reading import merge, read_file
from emotalk.config.section import PathSetting, Section
from emotalk.config.training import ModelSettings, TrainSettings
from emotalk.errors import ConfigError

Recipe = Literal["demo", "paper", "report", "personal"]
DEMO = "demo"
"""Value of `data` for the synthetic corpus."""

_OLD_NAMES = {
    "shards": "parts",
    "retries": "Snakemake's own option --retries",
    "faults": "index.issues",
    "pair.recipe": "pair.strategy (paper is now pseudo, report is random)",
    "pair.alignment": "nothing: motion is always aligned linearly",
    "pair.unlabelled_level": "pair.unlabelled_intensity",
    "pair.unlabelled_person": "pair.unlabelled_subject",
    "train.schedule": "train.lr_schedule",
    "train.deliver": "train.checkpoint",
    "train.checkpoint_frozen": "nothing: checkpoints always contain all parameters",
    "evaluate.person": "evaluate.subject",
    "pair.shared_slot": "pair.shared_slot_corpora",
}
"""Settings of earlier versions and their replacements."""


class Config(Section):
    """All settings of the workflow."""

    recipe: Recipe = Field(
        "demo",
        description="Set of values to start from, `config/recipes/<recipe>.yaml`: `demo` (synthetic corpus, small "
        "encoders), `paper` (training of the paper), `report` (training of the public training report), `personal` "
        "(fine-tuning of existing weights on few speakers). Default: `paper` if `data` is a folder, else `demo`.",
    )
    data: PathSetting = Field(
        description="Folder of the corpora, with files `<corpus>/audio/<stem>.wav` and "
        "`<corpus>/blendshape/<stem>.npy`; `sources` sets other folders. `demo` synthesizes a small corpus instead."
    )
    results: PathSetting = Field(
        description="Output folder. Default: `results` for the demo, and `results-<recipe>` for other recipes. Each "
        "configuration needs its own folder."
    )
    corpora: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]], Field(min_length=1)
    ] = Field(
        ["RAVDESS", "HDTF"],
        description="Names of the corpora to use. RAVDESS and HDTF are read with the file names of 3D-ETF, other "
        "corpora as set under `sources.<corpus>`.",
    )
    sources: dict[str, SourceSettings] = Field(
        {}, description="Location and layout of each corpus; not needed for corpora in the layout of 3D-ETF."
    )
    seed: int = Field(
        1,
        ge=0,
        description="Seed of every random choice. The same seed gives the same manifest, and on one type of CPU with "
        "the same number of cores the same weights.",
    )
    strict: bool = Field(False, description="If true, an unusable recording stops the run; if false, it is excluded.")
    capture: CaptureSettings = Field(
        CaptureSettings(), description="Capture of coefficients from videos with rule `capture` (docs/capture.md)."
    )
    demo: DemoSettings = Field(DemoSettings(), description="Synthetic demo corpus, used only with `data: demo`.")
    index: IndexSettings = Field(IndexSettings(), description="Checks and limits of usable recordings.")
    parts: int = Field(
        1,
        ge=1,
        le=1000,
        description="Number of parts of a corpus that is too large for one machine: index, smooth and slice run one "
        "cluster job per part, and one job that joins them. docs/cluster.md recommends a value.",
    )
    smooth: SmoothSettings = Field(SmoothSettings(), description="Savitzky-Golay smoothing of the tracks along time.")
    slice: SliceSettings = Field(SliceSettings(), description="Cutting of recordings into clips.")
    split: dict[str, SplitSettings] = Field(
        {},
        description="Held-out data, by corpus. Defaults: RAVDESS actors 21 and 22 for validation, 23 and 24 for test; "
        "HDTF 0.05 of the speakers each; other corpora 0.1 each.",
    )
    pair: PairSettings = Field(PairSettings(), description="Pairing of clips to training examples.")
    model: ModelSettings = Field(
        ModelSettings(),
        description="The two speech encoders and the number of subject slots; other modules have the released sizes.",
    )
    train: TrainSettings = Field(TrainSettings(), description="Training of the network.")
    evaluate: EvaluateSettings = Field(EvaluateSettings(), description="Evaluation on the test split.")
    predict: PredictSettings = Field(
        PredictSettings(),
        description="Prediction of new recordings with rule `predict`; equivalent to the command `emotalk predict`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _complete_corpora(cls, values: Any) -> Any:
        """Add missing sources and splits of the corpora."""
        corpora = values.get("corpora", cls.model_fields["corpora"].default)
        if not isinstance(corpora, list):
            return values
        complete = dict(values)
        for section, defaults in (("sources", {}), ("split", DEFAULT_SPLITS)):
            entries = complete.get(section, {})
            if isinstance(entries, dict):
                base = {str(corpus): defaults.get(str(corpus), {}) for corpus in corpora}
                complete[section] = merge(base, entries)
        return complete

    @model_validator(mode="after")
    def _check(self) -> "Config":
        errors = [
            f"sources.{corpus}: unknown corpus; 'corpora' is {', '.join(self.corpora)}"
            for corpus in self.sources
            if corpus not in self.corpora
        ]
        if self.recipe == "personal" and self.train.init_weights.source is None:
            errors.append(
                "train.init_weights.source: recipe personal fine-tunes weights; set the released EmoTalk.pth or other "
                "weights"
            )
        if self.data == DEMO:
            errors += [
                f"sources.{corpus}: has paths of its own, but data is `demo`, the synthetic corpus; set data to the "
                "folder of your corpora, and recipe"
                for corpus, source in self.sources.items()
                if source.audio or source.tracks or source.table or source.video
            ]
        slots = self.model.num_subject_slots
        for name, index in (
            ("pair.unlabelled_subject", self.pair.unlabelled_subject),
            ("evaluate.subject", self.evaluate.subject),
        ):
            if isinstance(index, int) and index >= slots:
                errors.append(f"{name}: is {index}; the highest index is {slots - 1} (model.num_subject_slots)")
        if errors:
            raise ValueError("\n  ".join(errors))
        return self

    @field_validator("corpora")
    @classmethod
    def _check_corpora(cls, corpora: list[str]) -> list[str]:
        if len(set(corpora)) < len(corpora):
            raise ValueError(f"a corpus is listed twice: {', '.join(corpora)}")
        return corpora


def load_config(layers: Iterable[Mapping[str, Any]], recipes: str | Path) -> Config:
    """Merge settings with the recipe and the defaults, and validate them.

    Parameters
    ----------
    layers
        Settings of the files, then of the command line; later ones override earlier ones.
    recipes
        Folder of the recipe files.

    Raises
    ------
    ConfigError
        If a setting is unknown, has the wrong type or is out of range; the message lists all errors.
    """
    user_settings = merge({}, *layers)
    recipe = user_settings.setdefault("recipe", DEMO if user_settings.get("data", DEMO) == DEMO else "paper")
    file = Path(recipes) / f"{recipe}.yaml"
    if recipe not in get_args(Recipe) or not file.is_file():
        raise ConfigError(f"recipe: unknown recipe {recipe!r}; the recipes are {', '.join(get_args(Recipe))}.")
    complete = merge({"results": "results" if recipe == DEMO else f"results-{recipe}"}, read_file(file), user_settings)
    try:
        return Config.model_validate(complete)
    except ValidationError as error:
        messages = dict.fromkeys(_format_errors(error.errors(include_url=False)))
        raise ConfigError("The configuration is not valid:\n  " + "\n  ".join(messages)) from None


def check_results_folder(results: str | Path, checkout: str | Path) -> None:
    """Check that the results folder is separate from files of the project and of the user.

    Raises
    ------
    ConfigError
        If it is the working folder or a parent of it, or is in a source folder of the project.
    """
    folder, root = Path(results).resolve(), Path(checkout).resolve()
    project_folders = [entry for entry in root.iterdir() if entry.is_dir() and entry.name in _PROJECT_FOLDERS]
    is_in_project = any(map(folder.is_relative_to, project_folders))
    if Path.cwd().is_relative_to(folder) or root.is_relative_to(folder) or is_in_project:
        raise ConfigError(
            f"results: {results} contains other files than results, or is in a source folder. Set a separate folder, "
            "for example results/my-run."
        )


_PROJECT_FOLDERS = frozenset(
    (".ci", ".git", ".github", "config", "container", "docs", "emotalk", "profiles", "resources", "tests", "workflow")
)


def _format_errors(errors: Iterable[ErrorDetails]) -> Iterator[str]:
    for error in errors:
        path, kind = ".".join(map(str, error["loc"])), error["type"]
        if kind == "extra_forbidden":
            yield _unknown_setting_message(error["loc"])
        elif kind == "value_error":
            message = str(error["ctx"]["error"])
            separator = "." if message.partition(":")[0].isidentifier() else ": "
            yield f"{path}{separator}{message}" if path else message
        elif kind == "missing":
            yield f"{path}: must be set" + (f". {Config.model_fields[path].description}" if path == "data" else "")
        else:
            name, allowed = allowed_values(Config, error["loc"])
            yield f"{name}: must be {allowed}, not {_format_input(error)}"


def _format_input(error: ErrorDetails) -> str:
    return f"{error['input']!r}" + (" (text)" if isinstance(error["input"], str) else "")


def _unknown_setting_message(location: tuple[int | str, ...]) -> str:
    """Return the error message for an unknown setting, with a suggestion."""
    names = [str(part) for part in location]
    written, path, name = ".".join(names), general_path(names), names[-1]
    if path in _OLD_NAMES:
        return f"{path}: is now {_OLD_NAMES[path]}"
    known = [setting.path for setting in settings(Config)]
    siblings = [other for other in known if other.rpartition(".")[0] == path.rpartition(".")[0]]
    same_name = [other for other in known if other.rpartition(".")[2] == name]
    nearest = same_name or difflib.get_close_matches(path, siblings, n=1) or difflib.get_close_matches(path, known, n=1)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"settings here are {', '.join(siblings)}"
    hint = hint.replace(CORPUS, names[1]) if CORPUS in path else hint
    return f"{written}: unknown setting; {hint}"
