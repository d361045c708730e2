"""The report without a test split."""

import json

import pandas as pd
import pytest

from emotalk.evaluation.comparison import COLUMNS
from emotalk.report.page import write_report
from emotalk.report.summary import write_summary
from tests.browser import OVERFLOW, needs_browser, run_in_page


@pytest.fixture
def report(make_data, tmp_path):
    """Report and summary of a training on recordings of one speaker with a Chinese name, all of them for training."""
    data = make_data(
        {f"王芳_{number}": None for number in range(3)}, split={"C": {"validation": "none", "test": "none"}}
    )
    losses, card, comparisons = (
        tmp_path / "losses.parquet",
        tmp_path / "weights/card.json",
        tmp_path / "comparisons.csv",
    )
    rows = [(epoch, "train", 1 / epoch, 0.9) for epoch in (1, 2)]
    pd.DataFrame(rows, columns=["epoch", "split", "loss", "motion"]).to_parquet(losses)
    card.parent.mkdir()
    content = {"written": "2026-01-01T10:00:00+00:00", "epochs": 2, "licence": "free", "run": {}}
    card.write_text(json.dumps(content | {"recipe": {"recipe": "personal", "corpora": ["C"]}}))
    pd.DataFrame(columns=COLUMNS).to_csv(comparisons)
    page, summary = tmp_path / "index.html", tmp_path / "summary.txt"
    files = {"data_page": data.page, "losses": losses, "evaluation": tmp_path, "predictions": tmp_path, "card": card}
    write_report(page, **files, clips=data.clips, manifest=data.manifest)
    write_summary(summary, page=page, card=card, comparisons=comparisons, manifest=data.manifest)
    return page, summary


def test_a_report_without_a_test_split_says_so_and_has_the_losses(report):
    text = report[0].read_text()
    assert "There is no test split" in text
    assert "Loss (weighted sum of the terms)" in text
    assert "data-play" not in text
    assert "Result:  not evaluated, because there is no test split" in report[1].read_text()


@needs_browser
@pytest.mark.parametrize("width", [360, 1440])
def test_a_report_without_a_test_split_fits_the_screen(report, width):
    assert run_in_page(report[0], OVERFLOW, size=(width, 900)) == [True, []]
