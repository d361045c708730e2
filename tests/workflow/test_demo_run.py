"""The whole workflow on a tiny demo corpus, as a user runs it."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from emotalk.data.clips import ClipStore
from emotalk.data.samples import from_int16
from emotalk.model import load_weights
from emotalk.stages import STAGE_VERSIONS
from tests.browser import needs_browser, use
from tests.project import TINY_RUN

CORPUS_STAGES = ("demo_corpus", "index", "smooth", "slice", "pair")
EVERYTHING = {*CORPUS_STAGES, "data_page", "train", "extract", "evaluate", "check", "report"}


def following(stage: str) -> set[str]:
    """The stages from one on, as the engine must rerun them."""
    order = [*CORPUS_STAGES, "train", "extract", "evaluate"]
    drawn = {"data_page"} if stage in CORPUS_STAGES else set()
    return set(order[order.index(stage) :]) | drawn | {"check", "report"}


def test_every_contracted_file_is_written(finished_folder):
    results = finished_folder / "results"
    for path in (
        "recordings.parquet tracks/RAVDESS.parquet tracks/HDTF.parquet clips/RAVDESS.arrow clips/HDTF.arrow "
        "manifest.parquet training/checkpoint.pth training/metrics.parquet weights/emotalk.pth "
        "weights/emotalk.safetensors weights/emotalk.json evaluation/metrics.csv report/index.html report/data.html"
    ).split():
        assert (results / path).stat().st_size > 0, path


def test_a_finished_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.run("-n", "all").stdout


@pytest.mark.parametrize("stage", ["index", "slice", "data_page", "train", "report"])
def test_every_stage_can_be_asked_for_by_name(project, stage):
    jobs = project(TINY_RUN).jobs(stage)
    assert stage in jobs
    assert len(jobs) <= len(EVERYTHING)


def test_a_divided_corpus_has_jobs_for_its_parts_and_one_that_joins_them(project):
    copy = project(TINY_RUN | {"parts": 3})
    parts = {"index_part", "smooth_part", "slice_part"}
    assert copy.jobs("pair") == {"demo_corpus", "index", "smooth", "slice", "pair", *parts}
    assert copy.jobs("slice") == {"demo_corpus", "index", "smooth", "slice", *parts}


def test_the_parts_of_a_corpus_joined_are_the_whole(project, finished_folder):
    """Byte for byte where rows decide, batches aside."""
    copy = project(TINY_RUN | {"parts": 3})
    done = copy.run("--cores", "2", "pair")
    assert done.returncode == 0, done.stderr
    mine, whole = copy.folder / "results", finished_folder / "results"
    for name in ("recordings.parquet", "tracks/RAVDESS.parquet", "tracks/HDTF.parquet", "manifest.parquet"):
        tables = [pd.read_parquet(folder / name) for folder in (mine, whole)]
        unlike = {"wav_path", "track_path"}  # The two projects lie in two folders.
        frames = [table.drop(columns=unlike & set(table.columns)) for table in tables]
        pd.testing.assert_frame_equal(*frames)
    stores = [ClipStore(sorted((folder / "clips").glob("*.arrow"))) for folder in (mine, whole)]
    assert stores[0].digest() == stores[1].digest()
    assert stores[0].labels().equals(stores[1].labels())


def test_train_is_asked_for_exactly_as_the_readme_says(project):
    assert {"train", *CORPUS_STAGES} == project(TINY_RUN).jobs("train", "--resources", "gpu=1")


@pytest.mark.parametrize("stage", ["index", "slice", "train", "report"])
def test_a_forced_stage_reruns_itself_and_what_follows_and_nothing_before(finished, stage):
    expected = following(stage) if stage != "report" else {"report"}
    assert finished.jobs("--cores", "8", "--forcerun", stage) == expected


@pytest.mark.parametrize("stage", ["slice", "pair", "train", "demo_corpus"])
def test_another_version_of_a_stage_reruns_it_and_what_follows(finished, stage):
    path = finished.folder / "emotalk/stages.py"
    path.write_text(path.read_text().replace(f'"{stage}": {STAGE_VERSIONS[stage]}', f'"{stage}": 99'))
    assert finished.jobs("all") == following(stage)


@pytest.mark.parametrize("module", ["progress.py", "corpus/slicing.py", "training/trainer.py", "stages.py"])
def test_a_message_or_a_comment_reruns_nothing(finished, module):
    """Only the version of a stage counts (emotalk/stages.py)."""
    path = finished.folder / "emotalk" / module
    path.write_text(path.read_text().replace("%d", "%i").replace("a second", "per second") + "\n# A comment.\n")
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
def test_a_change_of_a_setting_reruns_exactly_its_stages(finished, change, stage):
    finished.configure(TINY_RUN | change)
    assert finished.jobs("all") == following(stage)


def test_raising_the_epochs_continues_the_finished_run(finished):
    finished.configure(TINY_RUN | {"train": {**TINY_RUN["train"], "epochs": 2}})
    done = finished.run("--cores", "2", "train")
    assert done.returncode == 0, done.stderr
    log = (finished.folder / "results/logs/train.log").read_text()
    assert re.search(r"Newest checkpoint: emotalk_model_epoch1_\S+\.pth", log)
    assert re.search(r"Continuing: epoch 1, step 0, loss \d", log)
    assert "epoch 2 of 2" in log
    assert "epoch 1 of 2" not in log


def test_two_runs_with_one_seed_give_equal_manifests_and_equal_weights(project, finished_folder):
    again = project(TINY_RUN)
    assert again.run("--cores", "2", "extract").returncode == 0
    for name in ("manifest.parquet", "weights/emotalk.safetensors"):
        assert (again.folder / "results" / name).read_bytes() == (finished_folder / "results" / name).read_bytes()


def test_the_weights_predict_what_the_predictions_hold(finished_folder):
    results = finished_folder / "results"
    manifest = pd.read_parquet(results / "manifest.parquet")
    row = manifest[manifest["split"] == "test"].iloc[0]
    saved = np.load(results / f"predictions/{row['audio_c1e2']}.npy")
    store = ClipStore(sorted((results / "clips").glob("*.arrow")))
    waveform = from_int16(store[row["audio_c1e2"]].waveform)
    # The only training subject is index 0, so the mean of the training subjects is that index.
    predicted = load_weights(results / "weights/emotalk.pth").predict(waveform, intensity=row["intensity"], subject=0)
    np.testing.assert_allclose(predicted, saved, atol=1e-5)
    tests = set(manifest.loc[manifest["split"] == "test", "audio_c1e2"])
    assert tests == {path.stem for path in (results / "predictions").glob("*.npy")}


def test_the_metrics_have_the_contracted_columns_and_rows(finished_folder):
    table = pd.read_csv(finished_folder / "results/evaluation/metrics.csv")
    assert list(table.columns) == ["metric", "region", "predictor", "value", "low", "high", "unit"]
    assert {"model", "mean_face", "still_face"} <= set(table["predictor"])
    assert {"all", "mouth", "brows", "eyes"} <= set(table["region"])
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()


def test_the_card_tells_the_recipe_and_the_data(finished_folder):
    card = json.loads((finished_folder / "results/weights/emotalk.json").read_text())
    assert card["recipe"]["recipe"] == "demo"
    assert card["run"]["seed"] == 1


def test_the_page_loads_nothing_from_anywhere(finished_folder):
    page = (finished_folder / "results/report/index.html").read_text()
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert page.count("<svg xmlns") == 9
    assert (finished_folder / "results/report/index.html").stat().st_size < 5e6


@needs_browser
@pytest.mark.parametrize("width", [390, 1100])
def test_faces_on_the_page_speak_in_a_real_browser(finished_folder, width):
    script = """
    const find = (name) => document.querySelector(`[data-${name}]`);
    const clips = find("choice").options.length, faces = document.querySelectorAll(".face canvas").length;
    find("play").click();
    await wait(800);
    return { clips, faces, time: parseFloat(find("clock").textContent), wide: document.body.scrollWidth > innerWidth };
    """
    said = use(finished_folder / "results/report/index.html", script, size=(width, 900))
    assert said["clips"] >= 2
    assert said["faces"] in (2, 3)
    assert said["time"] > 0.1
    assert not said["wide"]


def test_new_recordings_are_spoken_by_the_rule(finished):
    copy = finished
    audio = copy.folder / "results/demo_corpus/HDTF/audio"
    copy.configure(TINY_RUN | {"predict": {"audio": str(audio), "formats": ["npy", "livelink"]}})
    done = copy.run("--cores", "2", "predict")
    assert done.returncode == 0, done.stderr
    spoken = {path.name for path in (copy.folder / "results/predicted").iterdir() if not path.name.startswith(".")}
    assert spoken == {path.with_suffix(suffix).name for path in audio.iterdir() for suffix in (".npy", ".csv")}
    assert "Nothing to be done" in copy.run("-n", "predict").stdout


def test_speaking_nothing_is_one_sentence(project):
    done = project(TINY_RUN).run("-n", "predict")
    assert "predict.audio names no folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_network_that_has_not_learned_fails_the_check_but_leaves_the_page(finished):
    finished.configure(TINY_RUN | {"evaluate": {"required_improvement": 0.9}})
    done = finished.run("--cores", "1", "all")
    assert done.returncode == 1
    assert "asks for 90.0%" in done.stdout + done.stderr
    assert (finished.folder / "results/report/index.html").exists()


def test_every_stage_leaves_a_log(finished_folder):
    logs = {path.stem for path in (finished_folder / "results/logs").iterdir()}
    assert logs == EVERYTHING
    assert "epoch 1 of 1" in (finished_folder / "results/logs/train.log").read_text()
