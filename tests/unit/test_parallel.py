"""Work shared among processes: in order, at bounded memory, with long arrays in memory that all see."""

import os
from collections.abc import Iterator

import numpy as np
import pytest

from emotalk.errors import EmoTalkError
from emotalk.parallel import Job, in_processes
from emotalk.sharedring import Room, SharedRing


def _count_up(item: int, room: Room) -> int:
    """Fill the room with the item's numbers, after those that it begins with."""
    room[1:] = item % 251
    return item


def _check(item: int, made: int, room: Room) -> tuple[int, int]:
    assert made == item
    assert room[0] == item % 7
    assert (room[1:] == item % 251).all()
    return item, len(room)


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("memory", [2_000, 100_000])
def test_each_room_holds_what_was_put_in_and_made_there_however_little_memory_there_is(processes, memory):
    sizes = np.random.default_rng(0).integers(2, 2_000, 300).tolist()
    jobs = (Job(i, size, np.array([i % 7], np.uint8)) for i, size in enumerate(sizes))
    results = list(in_processes(_count_up, _check, jobs, processes=processes, memory=memory))
    assert results == list(enumerate(sizes))


def test_what_is_ready_is_passed_on_in_its_place_and_not_worked_on():
    parent = os.getpid()
    jobs = [Job(i, ready="ready" if i % 3 else None) for i in range(40)]
    results = list(in_processes(_in_helper, lambda item, made, room: made != parent, jobs, processes=2))
    assert results == ["ready" if i % 3 else True for i in range(40)]


def _in_helper(item: int, room: Room) -> int:
    return os.getpid()


def test_items_are_asked_for_as_results_are_used():
    asked = []

    def jobs() -> Iterator[Job[int, int]]:
        for i in range(10_000):
            asked.append(i)
            yield Job(i, 1)

    results = in_processes(_return, lambda item, made, room: made, jobs(), processes=2, memory=10_000)
    assert next(results) == 0
    assert len(asked) < 100
    results.close()


def _return(item: int, room: Room) -> int:
    return item


def test_an_error_in_a_helper_is_the_caller_s():
    with pytest.raises(EmoTalkError, match="number 3"):
        list(in_processes(_fail, lambda item, made, room: made, [Job(i) for i in range(9)], processes=2))


def _fail(item: int, room: Room) -> None:
    if item == 3:
        raise EmoTalkError("number 3")


def test_a_helper_that_dies_is_told_with_what_to_do():
    with pytest.raises(EmoTalkError, match="more memory or fewer threads"):
        list(in_processes(_die, lambda item, made, room: made, [Job(0)], processes=2))


def _die(item: int, room: Room) -> None:
    os._exit(9)


def test_rooms_never_overlap_and_all_memory_comes_back():
    random = np.random.default_rng(1)
    ring, held = SharedRing(4_096), []
    for _ in range(2_000):
        size = int(random.integers(0, 1_500))
        while (place := ring.take(size)) is None:
            assert held, "an empty ring has room for everything that fits into it"
            ring.give_back()
            held.pop(0)
        assert ring[place].size == size
        taken = set(range(place.start, place.stop))
        assert not any(taken & set(range(other.start, other.stop)) for other in held)
        held.append(place)


def test_a_room_larger_than_the_ring_is_refused():
    with pytest.raises(ValueError, match="room of 5000 bytes"):
        SharedRing(4_096).take(5_000)
