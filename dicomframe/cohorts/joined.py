"""The tables that cohorts join: read from files so that no identifier changes, their keys in the cohort's form."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final

import pandas as pd

from dicomframe.cohorts.steps import Step
from dicomframe.errors import TableError

#: What stands in files where there is no value.
_NOTHING: Final = ("", "NA", "N/A", "<NA>", "NaN", "nan", "NULL", "null", "None")
#: Numbers would lose their leading zeros: 0042 is no number.
_LEADING_ZERO: Final = r"\s*[+-]?0\d"


def read_table(step: Step) -> pd.DataFrame:
    """Give the table that a step joins.

    Raises
    ------
    TableError
        If its file is of another kind or cannot be read as that, or two of its columns have one name.
    OSError
        If there is no such file.
    """
    table = step.table.copy() if isinstance(step.table, pd.DataFrame) else _read_file(step)
    if not table.columns.is_unique:
        raise TableError(f"Step {step.name!r}: two columns of the joined table have one name; rename one.")
    return table


def _read_file(step: Step) -> pd.DataFrame:
    assert isinstance(step.table, str | Path)  # noqa: S101 - `make_step` saw to it
    path = Path(step.table)
    suffix = path.suffix.lower()
    if suffix not in {".csv", ".parquet"}:
        raise TableError(f"Step {step.name!r}: a file to join is .csv or .parquet, or give a table.")
    try:
        return pd.read_parquet(path) if suffix == ".parquet" else _read_csv(path, step.on)
    except UnicodeDecodeError:
        raise TableError(f"Step {step.name!r}: the file is no UTF-8 text; save it as that.") from None
    except (ValueError, pd.errors.ParserWarning) as error:  # pandas' and Arrow's own are among them
        # Their words may hold what is in the file.
        raise TableError(
            f"Step {step.name!r}: the file cannot be read as {suffix} ({type(error).__name__}). A .csv has commas,"
            " names in its first line, and in no line more values than names."
        ) from None


def _read_csv(path: Path, on: tuple[str, ...]) -> pd.DataFrame:
    """Read text: identifiers as they are written, also where somebody is called NA."""
    options: dict[str, Any] = {
        "keep_default_na": False,
        "index_col": False,
        "dtype_backend": "numpy_nullable",
    }
    with warnings.catch_warnings():
        # With more values than names in a line, pandas takes the first for labels, or leaves the last out.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        texts = pd.read_csv(path, dtype="string", **options)
        as_text = [
            name for name in texts.columns if name in on or bool(texts[name].str.match(_LEADING_ZERO).any())
        ]
        table: pd.DataFrame = pd.read_csv(
            path,
            dtype=dict.fromkeys(as_text, "string"),
            na_values={name: [""] if name in on else list(_NOTHING) for name in texts.columns},
            **options,
        )
        return table


def same_kind(step: Step, keys: pd.Series[Any], wanted: pd.Series[Any]) -> pd.Series[Any]:
    """Bring keys into the form of those that they are held against.

    Raises
    ------
    TableError
        If one of them would change by it.
    """
    is_text = [pd.api.types.is_string_dtype(each.dropna()) for each in (keys, wanted)]
    if is_text[0] != is_text[1]:
        raise TableError(
            f"Step {step.name!r}: {str(keys.name)[:64]!r} is {wanted.dtype} in the cohort and {keys.dtype} in the"
            " joined table. Read identifiers as text (dtype=str): numbers have lost their leading zeros."
        )
    try:
        made = keys.astype(wanted.dtype)
        stays = bool((made == keys).all())
    except (TypeError, ValueError, OverflowError):
        stays = False
    if not stays:
        raise TableError(
            f"Step {step.name!r}: {str(keys.name)[:64]!r} is {wanted.dtype} in the cohort, and {keys.dtype} in the"
            " joined table has values that this cannot hold, such as a time zone or parts of a second. Make them alike."
        )
    return made
