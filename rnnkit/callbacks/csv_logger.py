"""A table on disk of the logs of every epoch."""

from __future__ import annotations

import csv
import os
from typing import Any

from rnnkit.callbacks.callback import Callback
from rnnkit.hints import Logs
from rnnkit.serialization.atomic_files import replacing


class CSVLogger(Callback):
    """A callback that writes the logs of all epochs as CSV, rewriting the file after every epoch.

    The first column is ``epoch``, from 0, the others are sorted; a key that first occurs later adds a column, empty in
    earlier rows.

    Parameters
    ----------
    filename : str or os.PathLike
    separator : str
        One character.
    append : bool
        Keep the rows of an existing file.

    Raises
    ------
    ValueError
        For a `separator` of another length; when training begins, if the file to append to is not such a table.
    FileNotFoundError, IsADirectoryError
        When training begins, if the folder is missing, or the path is one.

    Examples
    --------
    >>> import rnnkit.callbacks
    >>> logger = rnnkit.callbacks.CSVLogger("training.csv", append=True)
    """

    missing = ""  # in a row without a key

    def __init__(self, filename: str, separator: str = ",", append: bool = False):
        super().__init__()
        if not isinstance(separator, str) or len(separator) != 1 or separator in '\r\n"':
            raise ValueError(
                f"expected separator to be one character, neither a quote nor a line's end; got {separator!r}"
            )
        self.filename: Any = os.fspath(filename)
        self.separator = separator
        self.append: bool = bool(append)
        self._rows: list[dict[str, str]] = []
        self._columns = ["epoch"]

    def on_train_begin(self, logs: Logs = None) -> None:
        """Read the rows to keep, and raise an error if the file can't be written."""
        self._rows, self._columns = [], ["epoch"]
        if self.append and os.path.exists(self.filename):
            with open(self.filename, encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file, delimiter=self.separator)
                columns = list(reader.fieldnames or [])
                rows = list(reader)
            if (columns and columns[0] != "epoch") or any(None in row or None in row.values() for row in rows):
                raise ValueError(
                    f"expected {self.filename!r} to hold a table that CSVLogger wrote, separated by "
                    f"{self.separator!r}, to append to; its first line is {self.separator.join(columns)!r}"
                )
            self._rows, self._columns = rows, columns or self._columns
        self._write()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Add a row, and write the file."""
        row = {"epoch": str(epoch)} | {key: repr(float(value)) for key, value in (logs or {}).items()}
        self._rows.append(row)
        self._columns += sorted(row.keys() - set(self._columns))
        self._write()

    def _write(self):
        with replacing(self.filename) as beside, open(beside, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(
                file, self._columns, restval=self.missing, delimiter=self.separator, lineterminator="\n"
            )
            writer.writeheader()
            writer.writerows(self._rows)
