"""Models, layers and forecasters from the files that their `save` wrote."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rnnkit.layers.support import model_files
from rnnkit.serialization.array_files import load_arrays


def load_model(path: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Read the model, layer or fitted forecaster that a file holds.

    Loading runs no code of the file and imports nothing that it names; the memory that it takes is bounded by the
    file's size. Code of the user's, such as the step of a cell, is not in the file: it has to be given.

    Parameters
    ----------
    path : str or os.PathLike
        A file that `save` of a model, a layer or a forecaster wrote.
    custom_objects : dict of str to object, optional
        Functions and classes that the configuration names and that are neither rnnkit's own nor registered, by name:
        ``{"leaky": leaky}``.

    Returns
    -------
    Model, Sequential, Layer or forecaster
        On the CPU. A model that was saved with its optimizer is compiled, and its `fit` can go on.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, another's, of a later version, or names what isn't known here; it says which.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, rnnkit as rk
    >>> @rk.cell(states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units"))})
    ... def leaky(x, states, weights, *, leak=0.3):
    ...     h = (1 - leak) * states[0] + leak * np.tanh(x @ weights.kernel)
    ...     return h, h
    >>> x = np.ones((2, 5, 3))
    >>> layer = rk.RNN(leaky(units=4), seed=0)
    >>> y = layer(x)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     layer.save(os.path.join(folder, "leaky.npz"))
    ...     again = rk.load_model(os.path.join(folder, "leaky.npz"), custom_objects={"leaky": leaky})
    >>> np.array_equal(again(x), y)
    True
    """
    arrays, about = load_arrays(path)
    if "layer" in about:
        return model_files.restored(path, arrays, about, custom_objects)
    if "forecaster" in about:
        from rnnkit.forecast import registry, saving

        return registry.restored(path, saving.of_file(path, arrays, about))
    raise ValueError(f"expected a file of a model; {os.fspath(path)!r} holds arrays alone")
