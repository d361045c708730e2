from pathlib import Path

import pytest

from emotalk import provenance


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A package of two modules, `emotalk.stage` that imports `emotalk.helper`, and one that nobody imports."""
    (tmp_path / "stage.py").write_text("from emotalk.helper import double\n\ndef run(x):\n    return double(x)\n")
    (tmp_path / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    (tmp_path / "other.py").write_text("x = 1\n")
    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    return tmp_path


def digest() -> str:
    provenance._read.cache_clear()
    provenance.code_digest.cache_clear()
    return provenance.code_digest("emotalk.stage")


def test_a_change_in_an_imported_module_changes_the_digest(package):
    before = digest()
    (package / "helper.py").write_text("def double(x):\n    return x + x\n")
    assert digest() != before


def test_an_import_inside_a_function_counts(package):
    (package / "stage.py").write_text("def run(x):\n    from emotalk.other import x\n    return x\n")
    before = digest()
    (package / "other.py").write_text("x = 2\n")
    assert digest() != before


def test_comments_docstrings_and_layout_do_not_count(package):
    before = digest()
    (package / "helper.py").write_text(
        '"""Doubling."""\n\n\ndef double(x):\n    """Twice."""\n    # easy\n    return (2 * x)\n'
    )
    assert digest() == before


def test_a_module_that_is_not_imported_does_not_count(package):
    before = digest()
    (package / "other.py").write_text("x = 3\n")
    assert digest() == before


def test_the_digest_of_slicing_ignores_training():
    reached = {path.name for path in provenance._closure("emotalk.corpus.slicing")}
    assert {"slicing.py", "audio.py", "timing.py"} <= reached
    assert not reached & {"loop.py", "network.py"}


def test_a_fingerprint_does_not_depend_on_the_order_of_keys():
    assert provenance.fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == provenance.fingerprint(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert provenance.fingerprint({"a": 1}) != provenance.fingerprint({"a": 2})


def test_a_listing_ignores_other_files_and_survives_a_link_that_leads_nowhere(tmp_path):
    before = provenance.file_listing(tmp_path, suffixes=(".wav",))
    (tmp_path / ".DS_Store").write_text("x")
    assert provenance.file_listing(tmp_path, suffixes=(".wav",)) == before
    (tmp_path / "a.WAV").symlink_to(tmp_path / "gone")
    assert provenance.file_listing(tmp_path, suffixes=(".wav",)) != before


def test_a_listing_sees_new_and_changed_files(tmp_path):
    seen = [provenance.file_listing(tmp_path, tmp_path / "absent")]
    (tmp_path / "a").write_text("1")
    seen.append(provenance.file_listing(tmp_path))
    (tmp_path / "a").write_text("22")
    seen.append(provenance.file_listing(tmp_path))
    assert len(set(seen)) == 3
