"""Strides in bytes."""

from __future__ import annotations


def contiguous_strides(shape, itemsize: int) -> tuple[int, ...]:
    strides, stride = [], itemsize
    for size in reversed(shape):
        strides.append(stride)
        stride *= size
    return tuple(reversed(strides))
