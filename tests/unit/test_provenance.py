"""Digests of settings and files."""

from emotalk import provenance


def test_a_fingerprint_does_not_depend_on_the_order_of_keys():
    assert provenance.fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == provenance.fingerprint(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert provenance.fingerprint({"a": 1}) != provenance.fingerprint({"a": 2})


def test_a_listing_ignores_other_files_and_accepts_a_broken_link(tmp_path):
    before = provenance.metadata_digest(tmp_path, suffixes=(".wav",))
    (tmp_path / ".DS_Store").write_text("x")
    assert provenance.metadata_digest(tmp_path, suffixes=(".wav",)) == before
    (tmp_path / "a.WAV").symlink_to(tmp_path / "gone")
    assert provenance.metadata_digest(tmp_path, suffixes=(".wav",)) != before


def test_a_listing_changes_with_new_and_changed_files(tmp_path):
    digests = [provenance.metadata_digest(tmp_path, tmp_path / "absent")]
    (tmp_path / "a").write_text("1")
    digests.append(provenance.metadata_digest(tmp_path))
    (tmp_path / "a").write_text("22")
    digests.append(provenance.metadata_digest(tmp_path))
    assert len(set(digests)) == 3
