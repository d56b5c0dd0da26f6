"""Every public name of Keras is here, or says why not; importing the names costs nothing."""

import importlib
import json
import sys

import keras_cases
import processes
import pytest

from rnnkit import keras
from rnnkit.keras.left_out import WHY, LeftOut
from rnnkit.keras.ops import WHY as WHY_OPS

NAMES = json.loads(keras_cases.NAMES.read_text(encoding="utf-8"))


def module(name):
    return importlib.import_module(f"rnnkit.keras.{name}") if name else keras


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_here_or_says_why_not(name):
    space = module(name)
    for one in NAMES[name]:
        found = getattr(space, one)
        if isinstance(found, LeftOut):
            with pytest.raises(NotImplementedError, match=f"keras.*{one} is not in rnnkit.keras: .{{12,}}"):
                found(1)
        else:
            assert found is getattr(space, one), "a name stands for one thing"


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_nobody_has_is_no_attribute(name):
    with pytest.raises(AttributeError, match="Nothing"):
        module(name).Nothing
    assert "Nothing" not in dir(module(name))
    assert not hasattr(module(name), "__path_of_nothing__")


def test_no_reason_is_for_a_name_that_is_here_or_unknown():
    for name, reasons in {**WHY, "ops": WHY_OPS}.items():
        if name in ("applications", "datasets"):
            continue
        for one in " ".join(reasons).split():
            known = NAMES.get(name, [one])
            assert one in known, f"{name}.{one}"
            assert isinstance(getattr(module(name), one), LeftOut)


def test_what_is_left_out_may_be_imported_and_not_used():
    from rnnkit.keras.callbacks import RemoteMonitor
    from rnnkit.keras.layers import Conv2D, TextVectorization

    assert not isinstance(3, Conv2D)
    with pytest.raises(NotImplementedError, match="sends the logs"):
        RemoteMonitor()
    with pytest.raises(NotImplementedError, match="Embedding"):
        TextVectorization()
    with pytest.raises(NotImplementedError, match="images"):

        class Own(Conv2D):
            pass

    with pytest.raises(NotImplementedError, match="nothing is downloaded"):
        keras.datasets.mnist.load_data()
    with pytest.raises(NotImplementedError, match="images"):
        keras.applications.VGG16()


def test_importing_rnnkit_does_not_import_the_names_nor_do_these_take_optional_packages():
    code = """
import sys, time
import rnnkit
assert not any(name.startswith("rnnkit.keras") for name in sys.modules)
begun = time.process_time()
from rnnkit import keras
import rnnkit.keras as again
from rnnkit.keras import layers
from rnnkit.keras.models import Sequential
from rnnkit.keras.layers import LSTM, Dense
assert keras is again and keras.layers.LSTM is LSTM and keras.Sequential is Sequential
print(time.process_time() - begun)
for name in ("keras", "h5py", "torch", "matplotlib", "tqdm", "narwhals", "numba", "safetensors"):
    assert name not in sys.modules, name
"""
    assert float(processes.run([sys.executable, "-c", code], check=True).stdout) < 0.2


def test_submodules_by_every_way_of_import():
    import rnnkit.keras.backend as K
    from rnnkit.keras import layers, ops
    from rnnkit.keras.layers import LSTM
    from rnnkit.keras.models import Model, Sequential, load_model
    from rnnkit.keras.optimizers.schedules import ExponentialDecay
    from rnnkit.keras.preprocessing.sequence import pad_sequences
    from rnnkit.keras.utils import to_categorical

    assert (layers.LSTM, keras.layers.LSTM) == (LSTM, LSTM)
    assert keras.Sequential is Sequential and keras.models.Model is Model and keras.Model is Model
    assert keras.optimizers.schedules.ExponentialDecay is ExponentialDecay
    assert keras.preprocessing.sequence.pad_sequences is pad_sequences is keras.utils.pad_sequences
    assert keras.backend is K and K.backend() == "rnnkit" and ops.nn.relu is ops.relu
    assert to_categorical([1]).tolist() == [[0.0, 1.0]] and load_model is keras.saving.load_model


def test_the_names_are_an_attribute_that_is_imported_when_it_is_asked_for():
    code = """if True:
        import sys, rnnkit as rk
        before = "rnnkit.keras" in sys.modules
        print(before, rk.keras.layers.LSTM is not None, "sklearn" in sys.modules)"""
    assert processes.run([sys.executable, "-c", code], check=True).stdout == "False True False\n"
