"""Export of a built layer or model as a folder of C99 files: `export_c`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import tracebacks
from rnnkit.c_code import network
from rnnkit.c_code.files import MARK, Recorded, Texts
from rnnkit.c_code.network import Network
from rnnkit.c_code.text import identifier, is_identifier
from rnnkit.hints import Array, DType
from rnnkit.layers.base import Layer
from rnnkit.layers.support import validation
from rnnkit.layers.support.device_transfer import device_of
from rnnkit.layers.support.facts import built_shape, states_aside
from rnnkit.layers.support.layer_tree import all_layers
from rnnkit.layers.support.symbolic import shape_leaves
from rnnkit.serialization.atomic_files import replacing

_TOLERANCES = {"float32": 1e-5, "float64": 1e-10}
_MOST_RECORDED = 4096  # numbers of an input, which limits the files


@dataclass(frozen=True)
class ExportedC:
    """The result of `export_c`.

    Attributes
    ----------
    name : str
        The prefix of the names of all files and functions.
    folder : Path
    files : tuple of Path
    weight_bytes : int
        Of the constant arrays.
    state_bytes : int
        Of the struct of states, including the memory of a step.
    """

    name: str
    folder: Path
    files: tuple[Path, ...]
    weight_bytes: int
    state_bytes: int

    def __str__(self) -> Any:
        return (
            f"{self.name} in {self.folder}: {', '.join(file.name for file in self.files)}\n"
            f"weights {self.weight_bytes:,} bytes, states {self.state_bytes:,} bytes"
        )


@tracebacks.edge
def export_c(
    layer: Layer,
    folder: Any,
    name: str | None = None,
    *,
    dtype: DType = None,
    data: Any = None,
    constants: Array = None,
) -> ExportedC:
    """Write a layer or a model as C99 that needs no library but math.h and allocates nothing.

    ``<name>.h`` declares ``<name>_state`` and four functions: ``<name>_reset``, ``<name>_step`` for one step of one
    sequence, ``<name>_skip`` for a step that is masked, and ``<name>_run`` for many steps. The weights are constant.
    Beside them are a test with recorded outputs, a Makefile and a README. The same model makes the same files.

    Parameters
    ----------
    layer : Layer
        A built recurrent layer, or a model whose layers take one step at a time.
    folder : str or os.PathLike
        Created if missing; one for each model. Files of an earlier export are replaced, others stay.
    name : str, optional
        A C identifier; default: made of the layer's name.
    dtype : {"float32", "float64"}, optional
        Of the C code; default: the layers' own.
    data : array_like (B, T, …), optional
        Typical inputs, or a list of them for several. The test has the first of the sequences. Default: random numbers.
    constants : list of array_like (B, …), optional
        Typical constants for a recurrent layer whose cell takes them; ``<name>_reset`` gets the actual ones.

    Returns
    -------
    ExportedC
        The files, and the sizes of weights and states in bytes.

    Raises
    ------
    ValueError, TypeError
        For a layer that isn't built, that needs whole sequences, or whose step can't be traced; and for invalid
        arguments. Nothing is written then.
    FileExistsError
        If a file of one of these names was not written by an export. Nothing is written then.

    Examples
    --------
    >>> import tempfile
    >>> import rnnkit as rk
    >>> model = rk.Sequential([rk.LSTM(8, return_sequences=True), rk.Dense(1)], seed=0, name="engine")
    >>> model.build((None, None, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     exported = rk.export_c(model, folder)
    >>> [file.name for file in exported.files]
    ['engine.h', 'engine.c', 'engine_weights.h', 'engine_weights.c', 'engine_test.c', 'Makefile', 'README.md']
    >>> exported.weight_bytes, exported.state_bytes
    (1568, 416)
    """
    _check(layer)
    if name is None:
        name = identifier(layer.name.lower(), fallback="layer")[:63]
    elif not isinstance(name, str) or not is_identifier(name):
        raise ValueError(f"expected name as a C identifier of at most 63 letters, digits and '_', got {name!r}")
    dtype = _dtype(layer, dtype)
    given = [np.asarray(validation.array(one, "constants")) for one in constants or []]
    made = network.read(layer, dtype, [one.shape[1:] for one in given])
    inputs = _inputs(layer, made, data)
    for one in given:
        if not len(one):
            raise ValueError(f"expected constants of at least one row, got {one.shape}")
    rows = len(inputs[0])
    given = [one if len(one) == rows else np.repeat(one[:1], rows, axis=0) for one in given]
    try:
        outputs = _called(layer, made, inputs, given)
    except IndexError as failed:  # a row, at a step
        if data is not None:
            raise
        raise ValueError(f"expected data=, typical inputs for the test; with random ones {failed}") from None
    title = f"{type(layer).__name__} '{layer.name}' in {dtype.name}"
    texts = Texts(made, name, title, _recorded(made, layer, dtype, inputs, outputs, given))
    paths = _write(Path(folder), texts.all())
    return ExportedC(name, Path(folder), paths, texts.weight_bytes(), texts.state_bytes())


def _check(layer) -> None:
    if not isinstance(layer, Layer):
        raise TypeError(f"expected a layer or a model to write in C, got {layer!r}")
    if not layer.built:
        raise ValueError(f"expected the layer {layer.name!r} to be built before it is written in C; call build first")
    if (device := device_of(layer)) != "cpu":
        raise ValueError(f"expected a layer on the CPU to write in C, {layer.name!r} is on {device}")


def _dtype(layer: Layer, dtype) -> np.dtype:
    if dtype is not None:
        return validation.floating(dtype)
    found = {one.dtype for one in all_layers(layer) if one.dtype is not None and one.dtype.kind == "f"}
    if len(found) != 1:
        names = " and ".join(sorted(one.name for one in found))
        raise ValueError(f"expected layers of one precision, or dtype to say which C has; got {names or 'none'}")
    return found.pop()


def _inputs(layer: Layer, made: Network, data) -> list[np.ndarray]:
    """Return sequences ``(B, T, …)`` for every input, given or random."""
    if data is None:
        rng = np.random.default_rng(0)
        numbers = max(signal.size for signal in made.inputs)
        known = [shape[1] for shape in shape_leaves(built_shape(layer)) if shape[1] is not None]  # inputs of one length
        steps = known[0] if known else max(1, min(32, _MOST_RECORDED // max(numbers, 1)))
        ids = min((table.shape[0] for table in made.tables.values()), default=2)
        return [
            rng.integers(0, ids, (1, steps, *signal.shape)) if signal.ids
            else rng.standard_normal((1, steps, *signal.shape)).astype(made.dtype)
            for signal in made.inputs
        ]  # fmt: skip
    if isinstance(data, Mapping):
        raise TypeError("expected data as an array, or as a list of arrays for several inputs, got a dict")
    arrays = [validation.array(one, "data") for one in (data if len(made.inputs) > 1 else [data])]
    if len(arrays) != len(made.inputs):
        raise ValueError(f"expected data as a list of {len(made.inputs)} arrays, got {len(arrays)}")
    for signal, array in zip(made.inputs, arrays, strict=True):
        if array.ndim < 2 or array.shape[2:] != signal.shape or array.shape[:2] != arrays[0].shape[:2]:
            shape = ", ".join(["batch", "time", *map(str, signal.shape)])
            raise ValueError(f"expected data of shape ({shape}), got {array.shape}")
        if not array.shape[0] or not array.shape[1]:
            raise ValueError(f"expected data of at least one sequence with one step, got {array.shape}")
    return [one if signal.ids else one.astype(made.dtype) for signal, one in zip(made.inputs, arrays, strict=True)]


def _called(layer: Any, made: Network, inputs, constants) -> list[np.ndarray]:
    """Return the layer's outputs; a stateful layer keeps its states."""
    more = {"constants": constants} if constants else {}
    with states_aside(layer):
        found = layer(inputs if len(inputs) > 1 else inputs[0], **more)
    return list(found) if isinstance(found, (list, tuple)) else [found]


def _recorded(made: Network, layer: Layer, dtype, inputs, outputs, constants) -> Recorded:
    """Return the first sequence for the test, cut to limit the file unless an output is after the last step."""
    steps = inputs[0].shape[1]
    own = {one.dtype for one in all_layers(layer) if one.dtype is not None}
    tolerance = max([_TOLERANCES[dtype.name], *(_TOLERANCES.get(one.name, 0.0) for one in own)])
    if all(signal.in_time for signal in made.outputs):
        steps = max(1, min(steps, _MOST_RECORDED // max(1, *(signal.size for signal in made.inputs + made.outputs))))
    return Recorded(
        steps,
        [one[0, :steps].reshape(-1) for one in inputs],
        [
            (one[0, :steps] if signal.in_time else one[0]).reshape(-1)
            for one, signal in zip(outputs, made.outputs, strict=True)
        ],
        [one[0].reshape(-1) for one in constants],
        tolerance,
    )


def _write(folder: Path, files: dict[str, str]) -> tuple[Path, ...]:
    """Write all files under temporary names, and then replace the old ones."""
    paths = tuple(folder / file for file in files)
    for path in paths:
        if path.is_file() and MARK not in path.read_text(encoding="utf-8", errors="replace")[:1000]:
            raise FileExistsError(f"{path} was not written by rnnkit; expected a folder where it may be replaced")
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for path, text in zip(paths, files.values(), strict=True):
            beside = stack.enter_context(replacing(path))
            beside.write_bytes(text.encode("ascii"))
    return paths
