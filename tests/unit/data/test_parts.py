import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emotalk.data.recordings import by_corpus, join_arrow, join_parquet, part_range


@pytest.mark.parametrize("total", [0, 1, 7, 1000])
@pytest.mark.parametrize("count", [1, 2, 5, 13])
def test_parts_together_are_the_whole_in_order_and_of_nearly_equal_size(total, count):
    parts = [part_range(f"{number}-of-{count}", total) for number in range(1, count + 1)]
    assert [item for part in parts for item in part] == list(range(total))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_no_part_is_everything():
    assert part_range(None, 7) == range(7)


def test_what_is_no_part_is_refused():
    with pytest.raises(ValueError, match="'third' is no part"):
        part_range("third", 7)


def test_joined_files_hold_the_rows_of_their_parts_in_order(tmp_path):
    tables = [pa.table({"id": list(range(first, first + 3))}) for first in (0, 3, 6)]
    for number, table in enumerate(tables):
        pq.write_table(table, tmp_path / f"{number}.parquet")
        with pa.ipc.new_file(str(tmp_path / f"{number}.arrow"), table.schema) as writer:
            writer.write_table(table)
    join_parquet(sorted(tmp_path.glob("*.parquet")), tmp_path / "whole.parquet")
    join_arrow(sorted(tmp_path.glob("*.arrow")), tmp_path / "whole.arrow")
    assert pq.read_table(tmp_path / "whole.parquet")["id"].to_pylist() == list(range(9))
    assert pa.ipc.open_file(tmp_path / "whole.arrow").read_all()["id"].to_pylist() == list(range(9))


def test_files_of_parts_stand_corpus_after_corpus():
    assert by_corpus(["a1", "a2", "b1", "b2"], 2) == [["a1", "a2"], ["b1", "b2"]]
    assert by_corpus([], 2) == [[], []]
