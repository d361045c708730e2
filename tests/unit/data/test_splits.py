from emotalk.data.splits import split_subjects

ACTORS = [str(i) for i in range(1, 25)]


def test_named_subjects_go_where_they_are_named():
    assigned = split_subjects(ACTORS, validation=[21, 22], test=["23", 24], seed=1)
    assert [name for name in ACTORS if assigned[name] == "validation"] == ["21", "22"]
    assert [name for name in ACTORS if assigned[name] == "test"] == ["23", "24"]
    assert sum(split == "train" for split in assigned.values()) == 20


def test_a_fraction_takes_that_many_subjects_by_the_seed():
    first = split_subjects(ACTORS, validation=0.1, test=0.25, seed=1)
    assert sum(split == "validation" for split in first.values()) == 2
    assert sum(split == "test" for split in first.values()) == 6
    assert first == split_subjects(reversed(ACTORS), validation=0.1, test=0.25, seed=1)
    assert first != split_subjects(ACTORS, validation=0.1, test=0.25, seed=2)


def test_a_fraction_that_is_not_zero_takes_at_least_one_of_three():
    assert sorted(split_subjects("abc", validation=0.05, test=0.05, seed=1).values()) == ["test", "train", "validation"]
    assert set(split_subjects("abc", validation=0.0, test=0, seed=1).values()) == {"train"}
    assert set(split_subjects("ab", validation=0.5, test=0.5, seed=1).values()) == {"train"}


def test_another_subject_leaves_most_where_they_were():
    before = split_subjects(ACTORS, validation=0.25, test=0.25, seed=1)
    after = split_subjects([*ACTORS, "new"], validation=0.25, test=0.25, seed=1)
    assert sum(before[name] != after[name] for name in ACTORS) <= 2


def test_an_actor_may_be_written_as_file_names_write_it():
    assigned = split_subjects(ACTORS, validation=["07", 8], test=["09"], seed=1)
    assert [name for name in ACTORS if assigned[name] != "train"] == ["7", "8", "9"]


def test_folders_may_be_named_with_zeros_too():
    assigned = split_subjects(["00", "01", "02", "03"], validation=["02"], test=[3, 0], seed=1)
    assert assigned == {"00": "test", "01": "train", "02": "validation", "03": "test"}
