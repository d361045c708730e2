"""The whole configuration, and how the files and the command line that it comes from are read.

Order of the layers: defaults, the recipe's file, `config/config.yaml`, the user's file, the command line.
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
from emotalk.config.reading import merge, read_file
from emotalk.config.section import PathSetting, Section
from emotalk.config.training import ModelSettings, TrainSettings
from emotalk.config.use import EvaluateSettings, PredictSettings
from emotalk.errors import ConfigError

Recipe = Literal["demo", "paper", "report", "personal"]
DEMO = "demo"
"""Value of `data` that synthesizes a corpus."""

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
}
"""Settings of earlier versions, and what replaces them."""


class Config(Section):
    """All settings of the workflow."""

    recipe: Recipe = Field(
        "demo",
        description="Set of values to start from, `config/recipes/<recipe>.yaml`: `demo` (synthetic corpus, small "
        "encoders), `paper` (the paper's training), `report` (the public training report's), `personal` (fine-tuning "
        "of given weights on few speakers). Default: `paper` where `data` is set to a folder, else `demo`.",
    )
    data: PathSetting = Field(
        description="Folder that contains the corpora as `<corpus>/audio/<stem>.wav` and "
        "`<corpus>/blendshape/<stem>.npy`; `sources` sets other folders. The word `demo` synthesizes a small corpus "
        "instead."
    )
    results: PathSetting = Field(
        description="Folder that everything is written to: by default `results` for the demo, and `results-<recipe>` "
        "for the other recipes. Two configurations need two folders."
    )
    corpora: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]], Field(min_length=1)
    ] = Field(
        ["RAVDESS", "HDTF"],
        description="Corpora to use, by names of your choice. RAVDESS and HDTF are read as 3D-ETF names their files, "
        "others as `sources.<corpus>` sets.",
    )
    sources: dict[str, SourceSettings] = Field(
        {}, description="Where each corpus is and how it is read; not needed for corpora in the layout of 3D-ETF."
    )
    seed: int = Field(
        1,
        ge=0,
        description="Seed of every random choice. The same seed gives the same manifest, and on one type of CPU with "
        "the same number of cores the same weights.",
    )
    strict: bool = Field(
        False, description="Whether a recording that cannot be used stops the run, instead of being excluded."
    )
    capture: CaptureSettings = Field(
        CaptureSettings(), description="Capture of coefficients from videos, by rule `capture` (docs/capture.md)."
    )
    demo: DemoSettings = Field(DemoSettings(), description="The demo corpus, made only with `data: demo`.")
    index: IndexSettings = Field(IndexSettings(), description="What counts as a usable recording.")
    parts: int = Field(
        1,
        ge=1,
        le=1000,
        description="Parts into which a corpus too large for one machine is divided: index, smooth and slice have a "
        "cluster job for each part, and one that joins them. docs/cluster.md says from which size on that pays.",
    )
    smooth: SmoothSettings = Field(SmoothSettings(), description="Savitzky-Golay smoothing of the tracks along time.")
    slice: SliceSettings = Field(SliceSettings(), description="Cutting of recordings into clips.")
    split: dict[str, SplitSettings] = Field(
        {},
        description="Held-out data, by corpus. Defaults: RAVDESS actors 21 and 22 for validation, 23 and 24 for test; "
        "HDTF 0.05 of the speakers each; other corpora 0.1 each.",
    )
    pair: PairSettings = Field(PairSettings(), description="How clips become training examples.")
    model: ModelSettings = Field(
        ModelSettings(), description="The two speech encoders; all other sizes are those of the released network."
    )
    train: TrainSettings = Field(TrainSettings(), description="Training of the network.")
    evaluate: EvaluateSettings = Field(EvaluateSettings(), description="Evaluation on the test split.")
    predict: PredictSettings = Field(
        PredictSettings(),
        description="Prediction of new recordings by rule `predict`; the command `emotalk predict` does the same.",
    )

    @model_validator(mode="before")
    @classmethod
    def _each_corpus(cls, given: Any) -> Any:
        """Give each corpus its source and split."""
        corpora = given.get("corpora", cls.model_fields["corpora"].default)
        if not isinstance(corpora, list):
            return given
        complete = dict(given)
        for section, defaults in (("sources", {}), ("split", DEFAULT_SPLITS)):
            chosen = complete.get(section, {})
            if isinstance(chosen, dict):
                base = {str(corpus): defaults.get(str(corpus), {}) for corpus in corpora}
                complete[section] = merge(base, chosen)
        return complete

    @model_validator(mode="after")
    def _check(self) -> "Config":
        found = [
            f"sources.{corpus}: there is no such corpus; 'corpora' is {', '.join(self.corpora)}"
            for corpus in self.sources
            if corpus not in self.corpora
        ]
        if self.recipe == "personal" and self.train.init_weights.source is None:
            found.append(
                "train.init_weights.source: recipe personal fine-tunes weights and none are given; set the released "
                "EmoTalk.pth or weights of this program"
            )
        if found:
            raise ValueError("\n  ".join(found))
        return self

    @field_validator("corpora")
    @classmethod
    def _check_corpora(cls, corpora: list[str]) -> list[str]:
        if len(set(corpora)) < len(corpora):
            raise ValueError(f"{', '.join(corpora)} names a corpus twice")
        return corpora


def load_config(layers: Iterable[Mapping[str, Any]], recipes: str | Path) -> Config:
    """Configuration from what was set, each mapping over the one before, and all over the recipe and the defaults.

    Parameters
    ----------
    layers
        Contents of the files, then of the command line.
    recipes
        Folder of the recipes' files.

    Raises
    ------
    ConfigError
        If a setting is unknown, of the wrong type or out of its range; all of them are listed.
    """
    given = merge({}, *layers)
    recipe = given.setdefault("recipe", DEMO if given.get("data", DEMO) == DEMO else "paper")
    file = Path(recipes) / f"{recipe}.yaml"
    if recipe not in get_args(Recipe) or not file.is_file():
        raise ConfigError(f"recipe: there is no recipe {recipe!r}; the recipes are {', '.join(get_args(Recipe))}.")
    complete = merge({"results": "results" if recipe == DEMO else f"results-{recipe}"}, read_file(file), given)
    try:
        return Config.model_validate(complete)
    except ValidationError as error:
        issues = dict.fromkeys(_sentences(error.errors(include_url=False)))
        raise ConfigError("The configuration cannot be used:\n  " + "\n  ".join(issues)) from None


def check_results_folder(results: str | Path, checkout: str | Path) -> None:
    """Refuse a results folder in which results would lie among files of the project or of the user.

    Raises
    ------
    ConfigError
        If it is the working folder or one above it, or is within a folder of the checkout's own files.
    """
    folder, root = Path(results).resolve(), Path(checkout).resolve()
    own = [entry for entry in root.iterdir() if entry.is_dir() and (entry.name in _OWN_FOLDERS)]
    if Path.cwd().is_relative_to(folder) or root.is_relative_to(folder) or any(map(folder.is_relative_to, own)):
        raise ConfigError(
            f"results: {results} contains, or is among, files that are not results. Choose a folder of its own, "
            "results/my-run for example."
        )


_OWN_FOLDERS = frozenset(
    (".ci", ".git", ".github", "config", "container", "docs", "emotalk", "profiles", "resources", "tests", "workflow")
)


def _sentences(errors: Iterable[ErrorDetails]) -> Iterator[str]:
    """One sentence for each issue."""
    for error in errors:
        path, kind = ".".join(map(str, error["loc"])), error["type"]
        if kind == "extra_forbidden":
            yield _unknown(error["loc"])
        elif kind == "value_error":
            message = str(error["ctx"]["error"])
            separator = "." if message.partition(":")[0].isidentifier() else ": "
            yield f"{path}{separator}{message}" if path else message
        elif kind == "missing":
            yield f"{path}: must be set" + (f". {Config.model_fields[path].description}" if path == "data" else "")
        else:
            name, allowed = allowed_values(Config, error["loc"])
            yield f"{name}: must be {allowed}, not {_shown(error)}"


def _shown(error: ErrorDetails) -> str:
    return f"{error['input']!r}" + (" (text)" if isinstance(error["input"], str) else "")


def _unknown(location: tuple[int | str, ...]) -> str:
    """What to write in place of an unknown setting."""
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
    return f"{written}: there is no such setting; {hint}"
