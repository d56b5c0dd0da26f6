"""Targets, outputs, masks and weights of a batch, as losses and metrics average over their entries.

An entry is a row, or a step of a row if there is one value for each step.
"""

from __future__ import annotations

import numpy as np

from rnnkit.arrays import real


def aligned(y_true, y_pred, ids: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and outputs with equally many axes, two at least, alike but for the last one.

    An axis of 1 at the end of the targets may be there or not. With ``ids`` that axis is there and nothing else, and
    the targets are numbers of classes. A ValueError refuses shapes that don't belong together.
    """
    y_true, y_pred = real(y_true, "y_true"), real(y_pred, "y_pred")
    given, shape = y_true.shape, y_pred.shape
    if not shape:
        raise ValueError("expected y_pred of shape (batch, …), got a number")
    y_pred = y_pred[:, None] if len(shape) == 1 else y_pred
    if given == y_pred.shape[:-1]:
        y_true = y_true[..., None]
    elif given == (*y_pred.shape, 1):
        y_true = y_true[..., 0]
    if y_true.ndim != y_pred.ndim or y_true.shape[:-1] != y_pred.shape[:-1] or (ids and y_true.shape[-1] != 1):
        wanted = f"{shape[:-1]}, numbers of classes," if ids else f"{shape}"
        raise ValueError(
            f"expected y_true of shape {wanted} for y_pred of shape {shape}, got {given}{_hint(given, shape)}"
        )
    return y_true, y_pred


def _hint(given: tuple, shape: tuple) -> str:
    """Return the advice for targets that belong to another output."""
    if given == shape:
        return "; y.argmax(axis=-1) makes numbers of one-hot rows, or the loss is categorical_crossentropy"
    if len(given) < len(shape) and len(shape) == 3:
        return "; the output has steps, and return_sequences=False gives the last one alone"
    if len(given) == 3 and len(shape) == 2:
        return "; return_sequences=True gives an output for each step"
    return ""


def check_ids(ids, classes: int, used=None) -> None:
    """Refuse numbers at used entries that are no classes, by a ValueError."""
    if not ids.size or (ids.dtype.kind != "f" and ids.min() >= 0 and ids.max() < classes):
        return
    wrong = ~((ids >= 0) & (ids < classes))
    if ids.dtype.kind == "f":
        wrong |= ids != np.floor(ids)
    if used is not None:
        wrong &= behind(used, ids)
    if wrong.any():
        from_one = ids.min() == 1 and ids.max() == classes
        hint = "; y - 1 counts them from 0" if from_one else ""
        raise ValueError(f"expected classes from 0 to {classes - 1} in y_true, got {ids[wrong][0]:g}{hint}")


def used_steps(mask, shape) -> np.ndarray | None:
    """Return `step_mask`; None if every step is used."""
    mask = step_mask(mask, shape)
    return None if mask is None or mask.all() else mask


def step_mask(mask, shape) -> np.ndarray | None:
    """Return a mask ``(B, T)`` or ``(B, T, 1)`` as booleans ``(B, T)``; None if it doesn't fit outputs of a shape."""
    if mask is None:
        return None
    mask = real(mask, "mask")
    mask = mask[..., 0] if mask.ndim == 3 and mask.shape[-1] == 1 else mask
    if mask.ndim != 2 or mask.shape[0] != shape[0]:
        raise ValueError(f"expected mask of shape (batch, time) for y_pred of shape {shape}, got {mask.shape}")
    if len(shape) < 3 or mask.shape != shape[:2]:
        return None
    return mask != 0


def weights(sample_weight, lead, dtype) -> np.ndarray:
    """Return a new array of weights of shape ``lead``, ``(B,)`` or ``(B, T)``; a ValueError for others, or below 0."""
    if sample_weight is None:
        return np.ones(lead, dtype)
    given = real(sample_weight, "sample_weight")
    found = given[..., 0] if given.ndim > 1 and given.shape[-1] == 1 and given.shape != lead else given
    if found.shape not in (lead, lead[:1]):
        wanted = " or ".join(str(shape) for shape in dict.fromkeys((lead[:1], lead)))
        raise ValueError(f"expected sample_weight of shape {wanted}, got {given.shape}")
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise ValueError("expected finite sample weights of at least 0")
    return np.array(np.broadcast_to(found if found.shape == lead else found[:, None], lead), dtype)


def behind(used, array) -> np.ndarray:
    """Return a mask with axes of length 1 for an array's axes after those of the mask."""
    return used.reshape(*used.shape, *(1,) * (array.ndim - used.ndim))


def by_step(shape, y_pred_shape) -> bool:
    """Return whether losses have one value for each step; a ValueError if neither for each row nor for each step."""
    rows = y_pred_shape[0]
    if not shape or shape[0] != rows:
        got = f"shape {shape}" if shape else "a number"
        raise ValueError(f"expected one value for each row or step, got {got} for {rows} rows; reduce with axis=-1")
    if len(y_pred_shape) < 3 or len(shape) == 1:
        return False
    if shape[1] != y_pred_shape[1]:
        raise ValueError(f"expected values of shape ({rows},) or {(rows, y_pred_shape[1])}, got {shape}")
    return True


def by_entry(values, steps: bool):
    """Return one value for each row, or with ``steps`` for each step: the mean over the other axes."""
    while values.ndim > 1 + steps:
        values = np.mean(values, axis=-1)
    return values
