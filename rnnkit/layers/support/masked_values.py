"""Values under a mask, for layers that compute with all steps."""

from __future__ import annotations

import numpy as np

from rnnkit.backends.cuda.memory.array import DeviceArray
from rnnkit.layers.support import validation


def finite_under_mask(x, mask):
    """Return `x` ``(B, T, …)`` with 0 in place of NaN and infinity at masked steps, which reach no result or gradient.

    An x of other axes or in a GPU's memory, and one whose mask isn't ``(B, T)``, is returned as it is.
    """
    if mask is None or isinstance(x, DeviceArray) or x.ndim < 3 or x.dtype.kind != "f":
        return x
    given = validation.given(mask, "mask")
    if isinstance(given, DeviceArray) or given.shape not in (x.shape[:2], (*x.shape[:2], 1)):
        return x
    used = validation.mask(given, *x.shape[:2])
    finite = used.reshape(*used.shape, *(1,) * (x.ndim - 2)) | np.isfinite(x)
    return x if finite.all() else np.where(finite, x, x.dtype.type(0))
