"""Files that Keras wrote, read without it; `record_keras.py` makes them."""

import io
import json
import os
import pathlib
import sys
import zipfile

import numpy as np
import pytest
from matrix import close, flat, same_bits

import rnnkit as rk
from rnnkit.interop import keras_files

h5py = pytest.importorskip("h5py")

DATA = pathlib.Path(__file__).parent / "data"
NAMES = ("sequence", "graph")


def recorded(name, what):
    """The recorded arrays whose names begin with a letter, in their order."""
    with np.load(DATA / f"{name}.npz") as arrays:
        return [arrays[key] for key in sorted(arrays) if key.startswith(what)]


def outputs(model, name):
    """What a model gives for the recorded inputs."""
    x = recorded(name, "x")
    return flat(model(x if len(x) > 1 else x[0]))


def parts(name):
    """The configuration and the weights in a file, and the rest of it."""
    with zipfile.ZipFile(DATA / f"{name}.keras") as archive:
        return json.loads(archive.read("config.json")), archive.read("model.weights.h5")


def written(folder, config, weights, **options):
    """A file of these parts."""
    path = folder / "other.keras"
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        archive.writestr("model.weights.h5", weights)
    return path


def changed(weights, change):
    """The bytes of an HDF5 file after a function has changed it."""
    content = io.BytesIO(weights)
    with h5py.File(content, "r+") as file:
        change(file)
    return content.getvalue()


def layer_config(config, name):
    return next(one["config"] for one in config["config"]["layers"] if one["config"]["name"] == name)


@pytest.mark.parametrize("name", NAMES)
def test_X17_a_file_gives_what_keras_gives(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    model = rk.interop.from_keras(DATA / f"{name}.keras")
    close(outputs(model, name), recorded(name, "y"), "float32")
    assert sorted(w.tobytes() for w in model.get_weights()) == sorted(w.tobytes() for w in recorded(name, "w"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_weights_go_into_a_model_of_the_same_structure(name, suffix, tmp_path):
    path = DATA / f"{name}.keras"
    model = rk.interop.from_keras(path)
    other = type(model).from_config(model.get_config())
    assert not np.array_equal(model.get_weights()[0], other.get_weights()[0])
    if suffix == "h5":
        path = tmp_path / "model.weights.h5"
        path.write_bytes(parts(name)[1])
    rk.interop.load_keras_weights(other, path)
    same_bits(other.get_weights(), model.get_weights())
    same_bits(outputs(other, name), outputs(model, name))


def test_options_come_along():
    model = rk.interop.from_keras(DATA / "sequence.keras")
    table, both, each, simple, stack, dropout, dense = model.layers
    assert table.mask_zero and table.embeddings_constraint == rk.constraints.MaxNorm()
    assert both.merge_mode == "ave" and both.forward_layer.cell.dropout == 0.25
    assert both.forward_layer.cell.kernel_regularizer == rk.regularizers.L1L2(0.5, 0.25)
    assert each.layer.name == "each" and each.layer.activation is rk.gelu
    assert simple.zero_output_for_mask and simple.return_sequences and simple.cell.activation is rk.relu
    assert stack.go_backwards and not stack.cell.cells[0].reset_after and not stack.cell.cells[1].use_bias
    assert dropout.rate == 0.5 and dropout.seed == 3
    assert dense.kernel_initializer == rk.initializers.VarianceScaling(2.0)
    assert model.dtype == np.float32 and model.name == "sequence"


@pytest.mark.parametrize("share", [0.0, 0.02, 0.2, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_one_error(share, tmp_path):
    content = (DATA / "graph.keras").read_bytes()
    path = tmp_path / "cut.keras"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"cut\.keras"):
        rk.interop.from_keras(path)
    path.write_bytes(parts("graph")[1][: int(share * len(content) / 2)])
    model = rk.interop.from_keras(DATA / "graph.keras")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"cut\.keras"):
        rk.interop.load_keras_weights(model, path)
    same_bits(model.get_weights(), before)


@pytest.mark.parametrize("seed", range(12))
def test_X17_a_damaged_file_is_one_error_or_harmless(seed, tmp_path):
    rng = np.random.default_rng(seed)
    weights = bytearray(parts("graph")[1])
    for place in rng.integers(0, len(weights), 40):
        weights[place] ^= 1 << int(rng.integers(8))
    path = tmp_path / "damaged.weights.h5"
    path.write_bytes(bytes(weights))
    model = rk.interop.from_keras(DATA / "graph.keras")
    before = model.get_weights()
    found = None
    try:
        rk.interop.load_keras_weights(model, path)
    except ValueError as error:
        found = error
    if found is not None:
        assert "damaged.weights.h5" in str(found)
        same_bits(model.get_weights(), before)


def link_elsewhere(file):
    del file["layers/lstm/cell/vars/0"]
    file["layers/lstm/cell/vars/0"] = h5py.ExternalLink("/etc/passwd", "/x")


def link_inside(file):
    del file["layers/lstm/cell/vars/0"]
    file["layers/lstm/cell/vars/0"] = h5py.SoftLink("/layers/lstm/cell/vars/1")


def replaced(values, **options):
    def change(file):
        del file["layers/lstm/cell/vars/0"]
        file["layers/lstm/cell/vars"].create_dataset("0", data=values, **options)

    return change


def declared_only(file):
    del file["layers/lstm/cell/vars/0"]
    file["layers/lstm/cell/vars"].create_dataset("0", shape=(10**6, 10**6), dtype="f4")


def twice(file):
    del file["layers/dense"]
    file["layers/dense"] = file["layers/gru"]


def missing(file):
    del file["layers/lstm/cell/vars"]


def one_too_many(file):
    file["layers/lstm/cell/vars/3"] = np.zeros(3, "f4")


def misnamed(file):
    file.move("layers/lstm/cell/vars/2", "layers/lstm/cell/vars/7")


KERNEL = np.zeros((3, 8), "f4")
HOSTILE = {
    "link_elsewhere": (link_elsewhere, "link"),
    "link_inside": (link_inside, "link"),
    "packed": (replaced(KERNEL, compression="gzip"), "one piece"),
    "declared_only": (declared_only, "aren't there"),
    "integers": (replaced(KERNEL.astype(int)), "floating"),
    "text": (replaced(np.array(b"kernel")), "floating"),
    "shape": (replaced(np.zeros((4, 8), "f4")), "shape"),
    "units": (replaced(np.zeros((3, 12), "f4")), "shape"),
    "scalar": (replaced(np.float32(0)), "shape"),
    "twice": (twice, "weights of"),
    "missing": (missing, "weights of"),
    "one_too_many": (one_too_many, "shape"),
    "misnamed": (misnamed, "arrays 0, 1"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_weights_that_keras_does_not_write_are_refused(kind, tmp_path):
    change, words = HOSTILE[kind]
    config, weights = parts("graph")
    path = written(tmp_path, config, changed(weights, change))
    with pytest.raises(ValueError, match=rf"other\.keras.*{words}"):
        rk.interop.from_keras(path)
    model = rk.interop.from_keras(DATA / "graph.keras")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"other\.keras"):
        rk.interop.load_keras_weights(model, path)
    same_bits(model.get_weights(), before)


def test_an_array_is_not_read_more_often_than_it_is_stored():
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["vars/0"] = np.zeros(10**5)
        file["vars/1"] = file["vars/0"]
    with pytest.raises(ValueError, match="aren't there"):
        keras_files.Arrays(content.getvalue()).read("")


def executes(config):
    config["config"]["layers"][-1] |= {"class_name": "Lambda", "config": {"name": "x", "function": "__import__('os')"}}


def elsewhere(config):
    config["config"]["layers"][-1] |= {"module": "os", "class_name": "system"}


def huge(config):
    layer_config(config, "encoder")["units"] = 10**12


def option(config):
    layer_config(config, "encoder")["time_major"] = True


def a_loop(config):
    (node,) = next(one for one in config["config"]["layers"] if one["name"] == "last")["inbound_nodes"]
    node["args"][0]["config"]["keras_history"] = ["last", 0, 0]


def no_layers(config):
    del config["config"]["layers"]


def numbers_for_layers(config):
    config["config"]["layers"] = [1, 2]


def output_of_nothing(config):
    config["config"]["output_layers"] = ["nothing", 0, 0]


CONFIGS = {
    "executes": (executes, "Lambda"),
    "elsewhere": (elsewhere, "os"),
    "huge": (huge, "shape"),
    "option": (option, "time_major"),
    "a_loop": (a_loop, "last"),
    "no_layers": (no_layers, "nothing|encoder|a"),
    "numbers_for_layers": (numbers_for_layers, "configuration"),
    "output_of_nothing": (output_of_nothing, "nothing"),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_configurations_that_rnnkit_does_not_read_are_refused(kind, tmp_path):
    change, words = CONFIGS[kind]
    config, weights = parts("graph")
    change(config)
    with pytest.raises(ValueError, match=rf"other\.keras.*({words})"):
        rk.interop.from_keras(written(tmp_path, config, weights))


def test_options_that_change_nothing_are_read(tmp_path):
    config, weights = parts("graph")
    added = {"time_major": False, "implementation": 2, "use_cudnn": "auto", "autocast": False, "data_format": None}
    layer_config(config, "encoder").update(added)
    other = rk.interop.from_keras(written(tmp_path, config, weights))
    same_bits(outputs(other, "graph"), outputs(rk.interop.from_keras(DATA / "graph.keras"), "graph"))


def test_a_model_without_its_weights_is_refused_before_it_is_built(tmp_path):
    """A small file that says of a layer that it is large: nothing of that size is made."""
    config = parts("sequence")[0]
    del config["config"]["build_input_shape"]
    for one in config["config"]["layers"]:
        one.pop("build_config", None)
    config["config"]["layers"][-1]["config"]["units"] = 10**12
    empty = io.BytesIO()
    h5py.File(empty, "w").close()
    with pytest.raises(ValueError, match=r"other\.keras.*weights of the Embedding"):
        rk.interop.from_keras(written(tmp_path, config, empty.getvalue()))


def test_text_that_is_no_configuration_is_refused(tmp_path):
    for text in ("", "[]", "{", "[" * 10**5, '{"class_name": 1, "config": {}}', "null", '{"class_name": "Functional"}'):
        with pytest.raises(ValueError, match=r"other\.keras"):
            rk.interop.from_keras(written(tmp_path, text, parts("graph")[1]))


def test_a_bomb_is_refused(tmp_path):
    config = parts("graph")[0]
    path = written(tmp_path, config, bytes(10**8), compression=zipfile.ZIP_DEFLATED)
    assert os.path.getsize(path) < 10**6
    with pytest.raises(ValueError, match="at most"):
        rk.interop.from_keras(path)


def test_an_archive_that_was_packed_again_is_read(tmp_path):
    path = written(tmp_path, *parts("graph"), compression=zipfile.ZIP_DEFLATED)
    close(outputs(rk.interop.from_keras(path), "graph"), recorded("graph", "y"), "float32")


def test_other_files_and_models_are_refused(tmp_path):
    path = tmp_path / "model.weights.h5"
    path.write_bytes(parts("graph")[1])
    with pytest.raises(ValueError, match="load_keras_weights"):
        rk.interop.from_keras(path)
    with pytest.raises(FileNotFoundError):
        rk.interop.from_keras(tmp_path / "nothing.keras")
    with pytest.raises(ValueError, match="built"):
        rk.interop.load_keras_weights(rk.LSTM(3), path)
    layer = rk.LSTM(3)
    layer.build((None, None, 2))
    with pytest.raises(ValueError, match="expected 3 arrays for 'lstm', got 0"):
        rk.interop.load_keras_weights(layer, path)
    renamed = rk.interop.from_keras(DATA / "graph.keras")
    renamed = rk.Model.from_config(json.loads(json.dumps(renamed.get_config()).replace('"encoder"', '"reader"')))
    with pytest.raises(ValueError, match="names of the model's layers.*reader"):
        rk.interop.load_keras_weights(renamed, path)


def test_without_h5py_one_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"rnnkit\[keras\]"):
        rk.interop.from_keras(DATA / "graph.keras")
