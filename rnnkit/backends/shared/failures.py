"""Failures of rows in compiled steps: codes that a program writes for every step, raised by Python after the call.

A step that checks something keeps a number of every row and step, `rnnkit.compiler.ir.graph.FAILED`: 0, or from 1 on
the place of the failure in the program's table of messages. It goes on in any case and reads nothing out of range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rnnkit.backends.shared.call import Record, Result
from rnnkit.compiler.ir.graph import FAILED
from rnnkit.compiler.ir.plan import written


class StepFailed(IndexError):
    """The error that a step can't go on with a row: the row, the step in processing order, and the reason."""

    def __init__(self, row: int, step: int, message: str):
        self.row, self.step, self.message = row, step, message
        super().__init__(f"row {row} fails at step {step}: {message}")

    def at(self, row: int, step: int) -> StepFailed:
        """Return the same error where row and step are numbered otherwise."""
        return StepFailed(row, step, self.message)


def _on_host(array) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else array.copy_to_host()


def checked(run: Callable[[Record], Result], record: Record, messages: tuple[str, ...], make: Callable) -> Result:
    """Return the result of a call, or raise `StepFailed` for the first row that fails at the first used step at which
    one does, with the step's place in the call's x; `make` gives memory of a shape for the codes.
    """
    name, steps = written(FAILED), record.x.shape[1]
    codes = record.placed.get(name)
    if codes is None:
        codes = make((len(record.x), steps, 1))
    # Rows keep their order: the codes are in that of the call.
    part = replace(record, placed={**record.placed, name: codes}, arranged=True)
    result = run(part)
    record.place, record.abandoned = part.place, part.abandoned
    raise_first(_on_host(codes)[:, :, 0], record, messages)
    return result


def raise_first(codes, record: Record, messages: tuple[str, ...]) -> None:
    """Raise the first failure of a call, by codes ``(B, T)`` in processing order."""
    mask, failed = record.mask, codes != 0
    if mask is not None:
        mask = _on_host(mask).astype(bool)
        failed &= mask[:, ::-1] if record.reverse else mask
    if failed.any():
        step = int(failed.any(axis=0).argmax())
        row = int(failed[:, step].argmax())
        _raise(row, step, int(codes[row, step]), record, messages)


def raise_first_of_rows(failures: np.ndarray, record: Record, messages: tuple[str, ...]) -> None:
    """Raise the first failure by the codes of rows' first ones: 0, or a used step's place in processing order times
    ``len(messages) + 1``, plus a code.
    """
    places, codes = failures // (len(messages) + 1), failures % (len(messages) + 1)
    if codes.any():
        row = int(np.where(codes != 0, places, record.x.shape[1]).argmin())
        _raise(row, int(places[row]), int(codes[row]), record, messages)


def _raise(row: int, step: int, code: int, record: Record, messages) -> None:
    place = int(record.places()[:: -1 if record.reverse else 1][step])
    raise StepFailed(row if record.rows is None else int(record.rows[row]), place, messages[code - 1])
