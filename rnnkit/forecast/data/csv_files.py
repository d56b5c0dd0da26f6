"""CSV files as people and spreadsheets write them: cells with their lines, and numbers with commas or points."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

GAPS = {"", "na", "nan", "n/a", "null", "none", "?", ".", "-", "#n/a", "#na"}
_SEPARATORS = ",;\t|"
_SPACES = " '\u00a0\u202f\u2019"  # within numbers, between thousands
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # first bytes of files in UTF-16
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # first bytes of .xlsx and .ods, and of .xls


class InputError(ValueError):
    """An error in a user's input; the message is one sentence for the command line."""


def cell_error(path, line: int, name: str, cell: str, expected: str, said: str = "") -> InputError:
    """Return an error for a cell of a column `name`; `expected` has the column as ``{column}``."""
    expected = expected.replace("{column}", f"column {name!r}")
    return InputError(f"{path}, line {line}: expected {expected}; got {cell!r}{said}")


def read_bytes(path) -> bytes:
    """Read a file, and decompress it if its name ends with .gz; an InputError if it can't be read."""
    try:
        found = Path(path).read_bytes()
        return gzip.decompress(found) if Path(path).suffix == ".gz" else found
    except IsADirectoryError:
        raise InputError(f"{path} is a directory; expected a CSV file") from None
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(f"{path} is not a whole file of gzip") from None
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from None


def read_rows(path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the names of the columns, and the rows with their line numbers; an InputError for no table."""
    text = _decoded(path)
    header = re.sub(r'"[^"]*"', "", text.lstrip("\r\n ").partition("\n")[0])
    separator = max(_SEPARATORS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        rows = [(reader.line_num, cells) for row in reader if any(cells := [cell.strip() for cell in row])]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from None
    if not rows:
        raise InputError(f"{path} is empty; expected a line with the names of the columns, and values below it")
    (_, names), *rows = rows
    while not names[-1] and not any(cells[len(names) - 1 :][:1] not in ([], [""]) for _, cells in rows):
        names.pop()
    if all(parsed(name) is not None for name in names):
        raise InputError(f"{path} starts with numbers; expected a first line with the names of the columns")
    if names.count("") > 1:
        raise InputError(
            f"{path} has {names.count('')} columns without a name; expected a first line with the names of all "
            f"columns, got {', '.join(map(repr, names))}"
        )
    if len(set(names)) < len(names):
        raise InputError(f"{path} has several columns of the same name among {', '.join(names)}")
    if not rows:
        raise InputError(f"{path} has no values below the names of the columns")
    for line, cells in rows:
        while len(cells) > len(names) and not cells[-1]:
            cells.pop()
        if len(cells) != len(names):
            raise InputError(f"{path}, line {line}: expected {len(names)} cells as in the first; got {len(cells)}")
    return names, rows


def parsed(cell: str) -> float | None:
    """Return a finite number from Python's notation, or None."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in cell else None


def numbers(path, lines: Sequence[int], columns: dict[str, list[str]], decimal: str | None = None) -> dict:
    """Return the columns of a file as float64, NaN in gaps, with one decimal mark; thousands may be grouped.

    An InputError names the first cell that is no number, or is ambiguous, by the rows' line numbers `lines`.
    """
    if decimal != ",":
        read = lambda cell: math.nan if cell.lower() in GAPS else parsed(cell)
        plain = {name: list(map(read, cells)) for name, cells in columns.items()}
        if not any(None in found for found in plain.values()):
            return {name: np.array(found) for name, found in plain.items()}
    fits = {mark: _pattern(mark) for mark in ([decimal] if decimal else ".,")}
    unclear = None
    for row, line in enumerate(lines):
        for name, cells in columns.items():
            cell = cells[row]
            if cell.lower() in GAPS or (still := [mark for mark in fits if fits[mark].fullmatch(cell)]) == [*fits]:
                unclear = unclear or ("," in cell and (line, name, cell))
                continue
            if not still:
                raise cell_error(path, line, name, cell, "a number in {column}, or nothing for a gap")
            fits = {mark: fits[mark] for mark in still}
    if len(fits) > 1 and unclear:
        said = ': say decimal="," or decimal="."'
        raise cell_error(path, *unclear, "a number in {column} that can be read in one way", said)
    mark = next(iter(fits))
    drop = str.maketrans("," if mark == "," else "", "." if mark == "," else "", _SPACES + (".,"[mark == "."]))
    return {
        name: np.array([math.nan if cell.lower() in GAPS else float(cell.translate(drop)) for cell in cells])
        for name, cells in columns.items()
    }


def _decoded(path) -> str:
    found = read_bytes(path)
    if found.startswith(_WORKBOOKS):
        raise InputError(
            f"{path} is a workbook; expected CSV: save the sheet as CSV UTF-8, or read it with pandas.read_excel and "
            "give fit the table"
        )
    try:
        text = found.decode(_MARKS.get(found[:2], "utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file in UTF-8; expected CSV: spreadsheets call it CSV UTF-8") from None
    if "\0" in text:
        raise InputError(f"{path} is not a text file; expected CSV")
    return text


def _pattern(mark: str) -> re.Pattern:
    """Return a pattern of numbers with this decimal mark and one consistent mark between thousands."""
    other = re.escape(".,"[mark == "."])
    grouped = "|".join(rf"\d{{1,3}}(?:{re.escape(one)}\d{{3}})+" for one in (*_SPACES, other.strip("\\")))
    return re.compile(rf"[+-]?(?:(?:\d+|{grouped})(?:{re.escape(mark)}\d*)?|{re.escape(mark)}\d+)(?:[eE][+-]?\d+)?")
