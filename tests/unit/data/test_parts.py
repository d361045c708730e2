import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emotalk.data.parts import group_by_corpus, join_arrow, join_parquet, part_range


@pytest.mark.parametrize("total", [0, 1, 7, 1000])
@pytest.mark.parametrize("count", [1, 2, 5, 13])
def test_parts_cover_all_items_in_order_with_nearly_equal_sizes(total, count):
    parts = [part_range(f"{number}-of-{count}", total) for number in range(1, count + 1)]
    assert [item for part in parts for item in part] == list(range(total))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_part_none_means_all_items():
    assert part_range(None, 7) == range(7)


def test_an_invalid_part_name_is_an_error():
    with pytest.raises(ValueError, match="'third' is not a part"):
        part_range("third", 7)


def test_joined_files_have_the_rows_of_all_parts_in_order(tmp_path):
    tables = [pa.table({"id": list(range(first, first + 3))}) for first in (0, 3, 6)]
    for number, table in enumerate(tables):
        pq.write_table(table, tmp_path / f"{number}.parquet")
        with pa.ipc.new_file(str(tmp_path / f"{number}.arrow"), table.schema) as writer:
            writer.write_table(table)
    join_parquet(sorted(tmp_path.glob("*.parquet")), tmp_path / "whole.parquet")
    join_arrow(sorted(tmp_path.glob("*.arrow")), tmp_path / "whole.arrow")
    assert pq.read_table(tmp_path / "whole.parquet")["id"].to_pylist() == list(range(9))
    assert pa.ipc.open_file(tmp_path / "whole.arrow").read_all()["id"].to_pylist() == list(range(9))


def test_files_of_parts_are_grouped_by_corpus():
    assert group_by_corpus(["a1", "a2", "b1", "b2"], 2) == [["a1", "a2"], ["b1", "b2"]]
    assert group_by_corpus([], 2) == [[], []]
