"""The pages of a finished run in a real browser, on wide and narrow screens, in light and dark, and by keyboard."""

from itertools import pairwise

import pytest

from tests.browser import LOW_CONTRAST, OVERFLOW, needs_browser, run_in_page

PAGES = ("index.html", "data.html")
OPEN = 'for (const details of document.querySelectorAll("details")) details.open = true;'

pytestmark = needs_browser


@pytest.fixture(params=PAGES)
def page(request, finished_folder):
    return finished_folder / "results/report" / request.param


def test_a_page_is_smaller_than_5_megabytes(page):
    assert page.stat().st_size < 5e6


@pytest.mark.parametrize("width", [360, 390, 1000, 1440])
def test_nothing_is_wider_than_the_screen(page, width):
    fits, wide = run_in_page(page, OVERFLOW, size=(width, 900))
    assert fits
    assert wide == []


@pytest.mark.parametrize("is_dark", [False, True])
def test_the_contrast_of_every_text_is_at_least_4_5_to_1(page, is_dark):
    assert run_in_page(page, OPEN + LOW_CONTRAST, is_dark=is_dark) == []


def test_headings_have_no_gaps_and_ids_are_unique(page):
    script = """
    const levels = [...document.querySelectorAll("h1, h2, h3, h4")].map((heading) => Number(heading.tagName[1]));
    const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
    const targets = [...document.querySelectorAll("nav a")].map((link) => link.getAttribute("href").slice(1));
    return [levels, ids, targets];
    """
    levels, ids, targets = run_in_page(page, script)
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(set(ids)) == len(ids)
    assert set(targets) <= set(ids)


def test_controls_and_charts_have_names_for_screen_readers(page):
    script = """
    const controls = [...document.querySelectorAll("select, button, input, [role=img], [role=group]")];
    return controls.filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim())).map((e) => e.outerHTML);
    """
    assert run_in_page(page, OPEN + script) == []


def test_the_player_works_by_keyboard_only(page):
    script = """
    const find = (name) => document.querySelector(`[data-${name}]`);
    const event = (key) => new KeyboardEvent("keydown", { key, bubbles: true });
    const press = (key) => document.activeElement.dispatchEvent(event(key));
    find("channels").open = true;
    const stops = [...document.querySelectorAll("#player *")].filter((e) => e.tabIndex >= 0 && e.checkVisibility());
    find("scrubber").focus();
    press("End");
    const end = find("clock").textContent;
    press("Home");
    press("ArrowDown");
    press("ArrowDown");
    const curve = document.activeElement.getAttribute("aria-label");
    press("PageDown");
    return [stops.length, end, curve, find("choice").value, find("status").getAttribute("aria-live")];
    """
    num_stops, end, curve, clip, live = run_in_page(page, script)
    assert num_stops == 6, "clip, button, time, speed, heading of the curves, one curve"
    seconds = end.split(" s")[0]
    assert end.startswith(f"{seconds} s of {seconds} s")
    assert (curve, clip, live) == ("curve: browDownRight", "1", "polite")


def test_a_click_on_a_row_of_the_data_page_shows_the_recording(finished_folder):
    script = """
    const links = [...document.querySelectorAll("[data-clip]")];
    const link = links[links.length - 1];
    link.click();
    const choice = document.querySelector("[data-choice]");
    return [links.length, link.dataset.clip, choice.value, document.querySelectorAll(".face").length,
      document.querySelector("[data-audio]").src.slice(0, 15), document.activeElement.textContent];
    """
    count, clip, value, faces, audio, focused = run_in_page(finished_folder / "results/report/data.html", script)
    assert count >= 5
    assert (value, faces, audio, focused) == (clip, 2, "data:audio/flac", "Play")


def test_the_report_has_a_verdict_and_the_next_command(finished_folder):
    text = (finished_folder / "results/report/index.html").read_text()
    summary = (finished_folder / "results/report/summary.txt").read_text()
    for words in ("RAVDESS, sentences that training contains", "HDTF, speech without sentence labels"):
        assert words in text
        assert f"Result:  {words}: mouth " in summary
    assert "emotalk predict SPEECH.wav --weights results/weights" in text


def test_the_data_page_is_written_before_training(finished_folder):
    results = finished_folder / "results"
    page, checkpoint = results / "report/data.html", results / "training/checkpoint.pth"
    assert page.stat().st_mtime < checkpoint.stat().st_mtime
    assert "Start the training: <code>snakemake --cores 8 all</code>" in page.read_text()
