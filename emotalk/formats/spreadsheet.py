"""Reading csv files with any delimiter, quotes, decimal commas or a byte order mark."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotalk.errors import FormatError

if TYPE_CHECKING:
    import pandas as pd

_DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_SAMPLE_BYTES = 1 << 16
_MAX_COLUMNS = 1000
_DECIMAL_COMMA = re.compile(r'(?:^|[;\t|"])\s*-?\d+,\d+\s*(?=$|[;\t|"])', re.MULTILINE)


def read_spreadsheet(path: str | Path, *, as_text: bool = False) -> "pd.DataFrame":
    """Read a table with a header line; an optional line such as `sep=;` before it sets the delimiter.

    Parameters
    ----------
    as_text
        Keep all cells as text.

    Raises
    ------
    FormatError
        If it is not a regular file, not text, or not a table.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise FormatError("it is not a regular file")
    sample = _sample(path)
    first, _, rest = sample.partition("\n")
    separator = _SEPARATOR_LINE.fullmatch(first.strip())
    header = rest.partition("\n")[0] if separator else first
    delimiter = separator[1] if separator else max(_DELIMITERS, key=_unquoted(header).count)
    if (num_columns := header.count(delimiter) + 1) > _MAX_COLUMNS:  # pandas takes minutes for them.
        raise FormatError(f"its header has at least {num_columns} columns; at most {_MAX_COLUMNS} are supported")
    decimal = "," if delimiter != "," and _DECIMAL_COMMA.search(sample) else "."
    options: dict[str, Any] = {"dtype": str} if as_text else {"decimal": decimal}
    try:
        table: pd.DataFrame = pd.read_csv(
            path,
            sep=delimiter,
            skiprows=1 if separator else 0,
            skipinitialspace=True,
            encoding="utf-8-sig",
            **options,
        )
    except Exception as error:  # pandas raises many types of errors for damaged files.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise FormatError(f"it is not a table ({reason})") from None
    return table


def _sample(path: Path) -> str:
    with open(path, "rb") as file:
        start = file.read(_SAMPLE_BYTES)
    if not start.strip():
        raise FormatError("it is empty")
    if b"\0" in start:
        raise FormatError("it is not text")
    return start.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")


def _unquoted(line: str) -> str:
    return re.sub(r'"[^"]*"', "", line)
