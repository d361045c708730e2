"""Figures in the documents are those that the code computes."""

from pathlib import Path

from tests.benchmarks.memory import computed, table

ROOT = Path(__file__).parents[2]


def test_the_table_of_small_cards_is_what_the_preflight_computes():
    """Renew it with `python -m tests.benchmarks.memory`."""
    assert table() in (ROOT / "docs/small-cards.md").read_text(encoding="utf-8")


def test_one_pair_fits_a_card_of_12_gb_and_eight_one_of_24_gb():
    """With 0.6 GiB left for the driver; the one with config/small-card.yaml."""
    assert computed({"gradient_checkpointing": True}, 1, accumulate=8) < 11.4
    assert computed({}, 8) < 23.4
