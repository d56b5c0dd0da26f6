"""Run a script on Keras with Keras, or with its imports changed to rnnkit's, from the same weights.

A script builds `model`, fits it, and leaves `history`, `scores` (of evaluate) and `predicted` (of predict).
"""

import contextlib
import json
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np

SCRIPTS = Path(__file__).parents[1] / "keras" / "scripts"
NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py"))
DATA = SCRIPTS.parent / "data"
PAGE = SCRIPTS.parents[2] / "docs" / "from-keras.md"
BEGIN, END = "<!-- scripts: begin -->", "<!-- scripts: end -->"
IMPORT = re.compile(r"^import keras$|^from keras(?=[. ])|^from jax(?= import value_and_grad$)", re.MULTILINE)


@dataclass
class Run:
    """What a script gave: outputs and numbers by name, and its variables."""

    arrays: dict
    space: dict = field(repr=False)
    fits: list = field(repr=False)  # the last fit of each model: model, x, arguments and keywords

    def epoch(self, times: int):
        """Fit the last model for one epoch of as many batches of its data."""
        model, x, arguments, keywords = self.fits[-1]
        kept = {key: value for key, value in keywords.items() if key in ("batch_size", "sample_weight")}
        many = [_repeated(one, times) for one in (x, *arguments)]
        kept = {key: _repeated(value, times) if key == "sample_weight" else value for key, value in kept.items()}
        model.fit(*many, epochs=1, shuffle=False, verbose=0, **kept)


def source(name: str) -> str:
    """The text of a script."""
    return (SCRIPTS / f"{name}.py").read_text(encoding="utf-8")


def origin(name: str) -> str:
    """The script that it corresponds to, from its first line."""
    return re.match(r'"""As (.+?)(?:, |: |\. |\.?""")', source(name)).group(1)


def crc(name: str) -> int:
    """A number that changes with a script."""
    return zlib.crc32(source(name).encode())


def for_rnnkit(text: str) -> tuple[str, int]:
    """A script with its imports changed, and the number of lines that this changed."""

    def changed(found):
        return "from rnnkit import keras" if found.group().startswith("import") else "from rnnkit.keras"

    return IMPORT.subn(changed, text)


def run(name: str, library: str) -> Run:
    """Run a script with ``"keras"`` or with ``"rnnkit"``."""
    text = source(name) if library == "keras" else for_rnnkit(source(name))[0]
    if library == "rnnkit":  # names are counted from the start, whatever ran before
        from rnnkit.keras.settings import clear_session

        clear_session()
    before: list = []
    fits: list = []
    space = {"__name__": name}
    with _fits_watched(library, name, before, fits):
        exec(compile(text, str(SCRIPTS / f"{name}.py"), "exec"), space)
    history = space["history"].history
    arrays = {f"before{i}": one for i, one in enumerate(before)}
    arrays |= {f"history_{key}": np.array(values) for key, values in history.items()}
    arrays |= {f"after{i}": one for i, one in enumerate(_leaves(space["predicted"]))}
    arrays["scores"] = np.array(_leaves(space["scores"])).ravel()
    return Run({key: np.asarray(one, "float32") for key, one in arrays.items()}, space, fits)


def difference(found: dict, expected: dict) -> float:
    """The greatest difference of two runs, relative to 1 or to the greatest value of an array if that is more."""
    assert set(found) == set(expected), sorted(set(found) ^ set(expected))
    worst = 0.0
    for key, one in expected.items():
        assert found[key].shape == one.shape, (key, found[key].shape, one.shape)
        if one.size:
            worst = max(worst, float(np.abs(found[key] - one).max() / max(1.0, np.abs(one).max())))
    return worst


def weights(model, name: str) -> list:
    """Initial weights for a model: drawn, but for vectors, which stay near their constant initial values."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    new = []
    for one in model.get_weights():
        if one.ndim > 1:
            limit = np.sqrt(6 / (np.prod(one.shape[:-1]) + one.shape[-1]))
            new.append(rng.uniform(-limit, limit, one.shape).astype(one.dtype))
        else:
            new.append((one + rng.uniform(0, 0.1, one.shape)).astype(one.dtype))
    return new


@contextlib.contextmanager
def _fits_watched(library: str, name: str, before: list, fits: list):
    """Let the first fit of each model begin with the drawn weights and note its outputs; let fits keep the order."""
    if library == "keras":
        import keras

        kind = keras.Model
        windows = mock.patch.object(keras.preprocessing, "timeseries_dataset_from_array", _windows)
    else:
        from rnnkit.keras.training import KerasModel as kind

        windows = contextlib.nullcontext()
    fit, seen = kind.fit, []

    def watched(self, x=None, *arguments, **keywords):
        if not any(self is one for one in seen):
            seen.append(self)
            self.predict(_first(x), batch_size=keywords.get("batch_size"), verbose=0)  # which builds it
            self.set_weights(weights(self, name))
            _without_states(self)
            if not _without_states(self):  # Keras on jax carries no states from batch to batch
                before.extend(_leaves(self.predict(_first(x), batch_size=keywords.get("batch_size"), verbose=0)))
        keywords |= {"shuffle": False, "verbose": 0}
        fits.append((self, x, arguments, keywords))
        return fit(self, x, *arguments, **keywords)

    with mock.patch.object(kind, "fit", watched), windows:
        yield


def _windows(data, targets, sequence_length, sequence_stride=1, sampling_rate=1, batch_size=128, **others):
    """Keras's function of this name, which takes TensorFlow."""
    import keras

    starts = np.arange(0, len(data) - (sequence_length - 1) * sampling_rate, sequence_stride)
    starts = starts[: len(starts) if targets is None else -(-len(targets) // sequence_stride)]

    class Windows(keras.utils.PyDataset):
        def __len__(self):
            return -(-len(starts) // batch_size)

        def __getitem__(self, index):
            first = starts[index * batch_size : (index + 1) * batch_size]
            x = data[first[:, None] + np.arange(sequence_length) * sampling_rate]
            return x if targets is None else (x, targets[first])

    return Windows()


def _without_states(model) -> bool:
    """Let stateful layers begin anew, and say whether there are any."""
    stateful = [layer for layer in model.layers if getattr(layer, "stateful", False)]
    for layer in stateful:
        layer.reset_states()
    return bool(stateful)


def _first(x):
    """The inputs of a fit, or of the first batch of a data set."""
    if isinstance(x, (np.ndarray, list, dict)):
        return x
    return (x[0] if hasattr(x, "__getitem__") else next(iter(x)))[0]


def _repeated(nested, times: int):
    """Arrays with their rows repeated; a data set as it is."""
    if isinstance(nested, dict):
        return {key: _repeated(one, times) for key, one in nested.items()}
    if isinstance(nested, list):
        return [_repeated(one, times) for one in nested]
    return np.concatenate([nested] * times) if isinstance(nested, np.ndarray) else nested


def _leaves(nested) -> list:
    """The arrays of lists and dicts, in order."""
    if isinstance(nested, dict):
        return [leaf for key in sorted(nested) for leaf in _leaves(nested[key])]
    if isinstance(nested, (list, tuple)):
        return [leaf for one in nested for leaf in _leaves(one)]
    return [np.asarray(nested)]


def recorded() -> tuple[dict, dict]:
    """What the last recording found: numbers, and arrays, by script."""
    path = DATA / "scripts.json"
    records = json.loads(path.read_text()) if path.exists() else {}
    outputs: dict = {}
    if (DATA / "scripts.npz").exists():
        with np.load(DATA / "scripts.npz") as file:
            for key in file:
                name, part = key.split("/")
                outputs.setdefault(name, {})[part] = file[key]
    return records, outputs


def write(records: dict, outputs: dict) -> None:
    """Keep a recording."""
    (DATA / "scripts.json").write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")
    arrays = {f"{name}/{part}": one for name in sorted(records) for part, one in sorted(outputs[name].items())}
    np.savez_compressed(DATA / "scripts.npz", **arrays)


def table(records: dict) -> str:
    """The rows of docs/from-keras.md."""
    lines = [
        "| script | corresponds to | lines changed | greatest difference | time of an epoch, rnnkit ÷ Keras |",
        "|---|---|---|---|---|",
    ]
    for name, one in sorted(records.items()):
        found = f"{one['difference']:.0e}" if "difference" in one else "stops"
        ratio = f"{one['ratio']:g}" if "ratio" in one else "–"
        where = origin(name).replace(".py", "")
        lines.append(f"| {name} | {where} | {for_rnnkit(source(name))[1]} | {found} | {ratio} |")
    return "\n".join(lines)


def write_table(records: dict) -> None:
    """Put the table between its markers."""
    before, _, after = cut_page()
    PAGE.write_text(f"{before}{BEGIN}\n{table(records)}\n{END}{after}", encoding="utf-8")


def cut_page() -> tuple[str, str, str]:
    """The page before, between and behind the markers."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    between, after = rest.split(END)
    return before, between.strip(), after
