"""The whole workflow on a tiny demo corpus."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from emotalk.data.clips import ClipStore, from_int16
from emotalk.model import load_weights
from emotalk.stages import STAGE_VERSIONS
from tests.browser import needs_browser, run_in_page
from tests.project import TINY_RUN

CORPUS_STAGES = ("demo_corpus", "index", "smooth", "slice", "pair")
EVERYTHING = {*CORPUS_STAGES, "data_page", "encoders", "train", "extract", "evaluate", "check", "report"}


def downstream(stage: str) -> set[str]:
    """Return a stage and all stages that depend on it."""
    order = [*CORPUS_STAGES, "train", "extract", "evaluate"]
    pages = {"data_page"} if stage in CORPUS_STAGES else set()
    return set(order[order.index(stage) :]) | pages | {"check", "report"}


def test_all_result_files_are_written(finished_folder):
    results = finished_folder / "results"
    for path in (
        "recordings.parquet tracks/RAVDESS.parquet tracks/HDTF.parquet clips/RAVDESS.arrow clips/HDTF.arrow "
        "manifest.parquet training/checkpoint.pth training/metrics.parquet weights/emotalk.pth "
        "weights/emotalk.safetensors weights/emotalk.json evaluation/metrics.csv report/index.html report/data.html"
    ).split():
        assert (results / path).stat().st_size > 0, path


def test_a_finished_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.run("-n", "all").stdout


@pytest.mark.parametrize("stage", ["slice", "data_page", "report"])
def test_each_stage_is_a_target(project, stage):
    jobs = project(TINY_RUN).jobs(stage)
    assert stage in jobs
    assert len(jobs) <= len(EVERYTHING)


def test_a_corpus_in_parts_has_a_job_per_part_and_a_job_that_joins_them(project):
    copy = project(TINY_RUN | {"parts": 3})
    parts = {"index_part", "smooth_part", "slice_part"}
    assert copy.jobs("pair") == {"demo_corpus", "index", "smooth", "slice", "pair", *parts}
    assert copy.jobs("slice") == {"demo_corpus", "index", "smooth", "slice", *parts}


def test_joined_parts_equal_the_undivided_corpus(finished, finished_folder):
    """Rows are equal; the batches of the files may differ."""
    finished.configure(TINY_RUN | {"parts": 2})
    done = finished.run("--cores", "2", "pair")
    assert done.returncode == 0, done.stderr
    assert len(list((finished.folder / "results/logs/parts").glob("slice.*"))) == 4  # Two corpora in two parts.
    divided, whole = finished.folder / "results", finished_folder / "results"
    for name in ("recordings.parquet", "tracks/RAVDESS.parquet", "tracks/HDTF.parquet", "manifest.parquet"):
        tables = [pd.read_parquet(folder / name) for folder in (divided, whole)]
        paths = {"wav_path", "track_path"}  # The projects are in different folders.
        frames = [table.drop(columns=paths & set(table.columns)) for table in tables]
        pd.testing.assert_frame_equal(*frames)
    stores = [ClipStore(sorted((folder / "clips").glob("*.arrow"))) for folder in (divided, whole)]
    assert stores[0].digest() == stores[1].digest()
    assert stores[0].metadata().equals(stores[1].metadata())


def test_train_with_a_gpu_needs_only_the_corpus_stages(project):
    assert {"encoders", "train", *CORPUS_STAGES} == project(TINY_RUN).jobs("train", "--resources", "gpu=1")


@pytest.mark.parametrize("stage", ["index", "slice", "train", "report"])
def test_a_forced_stage_reruns_itself_and_downstream_stages_only(finished, stage):
    expected = downstream(stage) if stage != "report" else {"report"}
    assert finished.jobs("--cores", "8", "--forcerun", stage) == expected


@pytest.mark.parametrize("stage", ["slice", "pair", "train", "demo_corpus"])
def test_a_new_stage_version_reruns_the_stage_and_downstream_stages(finished, stage):
    path = finished.folder / "emotalk/stages.py"
    path.write_text(path.read_text().replace(f'"{stage}": {STAGE_VERSIONS[stage]}', f'"{stage}": 99'))
    assert finished.jobs("all") == downstream(stage)


def test_changed_messages_and_comments_rerun_nothing(finished):
    """Only stage versions matter (emotalk/stages.py)."""
    for module in ("progress.py", "data/slicing.py", "training/trainer.py", "stages.py"):
        path = finished.folder / "emotalk" / module
        path.write_text(path.read_text().replace("%d", "%i").replace("per second", "/s") + "\n# A comment.\n")
    assert "Nothing to be done" in finished.run("-n", "all").stdout


@pytest.mark.parametrize(
    ("change", "stage"),
    [
        ({"smooth": {"window": 7}}, "smooth"),
        ({"slice": {"max_frames": 90}}, "slice"),
        ({"pair": {"calm": "ignored"}}, "pair"),
        ({"train": {**TINY_RUN["train"], "epochs": 2}}, "pair"),
        ({"train": {**TINY_RUN["train"], "learning_rate": 0.001}}, "train"),
    ],
)
def test_a_changed_setting_reruns_exactly_the_stages_that_depend_on_it(finished, change, stage):
    finished.configure(TINY_RUN | change)
    assert finished.jobs("all") == downstream(stage)


def test_two_runs_with_the_same_seed_have_equal_manifests_and_weights(finished_folder, own_data_folder):
    for name in ("manifest.parquet", "weights/emotalk.safetensors"):
        first, second = (folder / "results" / name for folder in (finished_folder, own_data_folder))
        assert first.read_bytes() == second.read_bytes(), name


def test_the_weights_reproduce_the_written_predictions(finished_folder):
    results = finished_folder / "results"
    manifest = pd.read_parquet(results / "manifest.parquet")
    row = manifest[manifest["split"] == "test"].iloc[0]
    saved = np.load(results / f"predictions/{row['audio_c1e2']}.npy")
    store = ClipStore(sorted((results / "clips").glob("*.arrow")))
    waveform = from_int16(store[row["audio_c1e2"]].waveform)
    # Index 0 is the only training subject and therefore the mean of the training subjects.
    predicted = load_weights(results / "weights/emotalk.pth").predict(waveform, intensity=row["intensity"], subject=0)
    np.testing.assert_allclose(predicted, saved, atol=1e-5)
    tests = set(manifest.loc[manifest["split"] == "test", "audio_c1e2"])
    assert tests == {path.stem for path in (results / "predictions").glob("*.npy")}


def test_the_metrics_have_the_documented_columns_and_rows(finished_folder):
    table = pd.read_csv(finished_folder / "results/evaluation/metrics.csv")
    assert list(table.columns) == ["metric", "region", "predictor", "value", "low", "high", "unit"]
    assert {"model", "mean_face", "still_face"} <= set(table["predictor"])
    assert {"all", "mouth", "brows", "eyes"} <= set(table["region"])
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()


def test_the_card_has_the_recipe_and_the_seed(finished_folder):
    card = json.loads((finished_folder / "results/weights/emotalk.json").read_text())
    assert card["recipe"]["recipe"] == "demo"
    assert card["run"]["seed"] == 1


def test_the_page_loads_no_other_files(finished_folder):
    page = (finished_folder / "results/report/index.html").read_text()
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert "<svg" in page


@needs_browser
@pytest.mark.parametrize("width", [390, 1100])
def test_the_player_of_the_report_plays_in_a_browser(finished_folder, width):
    script = """
    const find = (name) => document.querySelector(`[data-${name}]`);
    const clips = find("choice").options.length, faces = document.querySelectorAll(".face canvas").length;
    find("play").click();
    await wait(800);
    return { clips, faces, time: parseFloat(find("clock").textContent), wide: document.body.scrollWidth > innerWidth };
    """
    result = run_in_page(finished_folder / "results/report/index.html", script, size=(width, 900))
    assert result["clips"] >= 2
    assert result["faces"] in (2, 3)
    assert result["time"] > 0.1
    assert not result["wide"]


def test_rule_predict_predicts_new_recordings(finished):
    copy = finished
    audio = copy.folder / "results/demo_corpus/HDTF/audio"
    copy.configure(TINY_RUN | {"predict": {"audio": str(audio), "formats": ["npy", "livelink"]}})
    done = copy.run("--cores", "2", "predict")
    assert done.returncode == 0, done.stderr
    predicted = {path.name for path in (copy.folder / "results/predicted").iterdir() if not path.name.startswith(".")}
    assert predicted == {path.with_suffix(suffix).name for path in audio.iterdir() for suffix in (".npy", ".csv")}
    assert "Nothing to be done" in copy.run("-n", "predict").stdout


def test_predict_without_a_folder_is_an_error_without_traceback(project):
    done = project(TINY_RUN).run("-n", "predict")
    assert "predict.audio is not set" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_network_below_the_required_improvement_fails_the_check_but_has_a_report(finished):
    finished.configure(TINY_RUN | {"evaluate": {"required_improvement": 0.9}})
    done = finished.run("--cores", "1", "all")
    assert done.returncode == 1
    assert "required_improvement is 90.0%" in done.stdout + done.stderr
    assert (finished.folder / "results/report/index.html").exists()


def test_each_stage_writes_a_log(finished_folder):
    logs = {path.stem for path in (finished_folder / "results/logs").iterdir()}
    assert logs == EVERYTHING
    assert "epoch 1 of 1" in (finished_folder / "results/logs/train.log").read_text()
