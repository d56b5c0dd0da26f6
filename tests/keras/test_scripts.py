"""Scripts for Keras run by changing their imports, and give what Keras gives."""

import ast

import keras_scripts as scripts
import numpy as np
import pytest

RECORDS, OUTPUTS = scripts.recorded()


def test_there_are_thirty_scripts_that_import_keras_alone():
    """At least thirty; each imports Keras, NumPy and the standard library, and names its model."""
    assert len(scripts.NAMES) >= 30
    assert sorted(RECORDS) == sorted(OUTPUTS) == scripts.NAMES
    for name in scripts.NAMES:
        tree = ast.parse(scripts.source(name))
        imported = {
            (node.names[0].name if isinstance(node, ast.Import) else node.module).split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
        }
        assert "keras" in imported and imported <= {"keras", "numpy", "os", "tempfile", "collections", "jax"}, name
        assert scripts.origin(name)


@pytest.mark.parametrize("name", scripts.NAMES)
def test_X18_only_imports_are_changed(name):
    """A line differs from the script's only by where it imports from."""
    text, count = scripts.for_rnnkit(scripts.source(name))
    pairs = zip(scripts.source(name).splitlines(), text.splitlines(), strict=True)
    changed = [(old, new) for old, new in pairs if old != new]
    assert 1 <= len(changed) == count
    for old, new in changed:
        assert old in ("import keras", "from jax import value_and_grad") or old.startswith("from keras")
        library = old.split()[1].split(".")[0]
        assert new == "from rnnkit import keras" or new == old.replace(f"from {library}", "from rnnkit.keras", 1)


@pytest.mark.parametrize("name", scripts.NAMES)
def test_X18_a_script_gives_what_keras_gives(name):
    """Outputs before and after three updates, losses, metrics: equal to 1e-4, and most to 5e-6, to what Keras gave."""
    again = "record it again: python tests/keras/record_scripts.py"
    assert RECORDS[name]["crc"] == scripts.crc(name), again
    if "stopped" in RECORDS[name]:
        with pytest.raises((AttributeError, TypeError, ValueError, NotImplementedError)):  # if it runs, record it again
            scripts.run(name, "rnnkit")
    else:
        near = min(1e-4, max(5e-6, 10 * RECORDS[name]["difference"]))  # a wrong beta_2 of Adam shows by less than 1e-4
        assert scripts.difference(scripts.run(name, "rnnkit").arrays, OUTPUTS[name]) < near


@pytest.mark.sweep
@pytest.mark.parametrize("name", scripts.NAMES)
def test_the_recording_is_what_keras_gives(name):
    """Run with Keras itself."""
    pytest.importorskip("keras")
    assert scripts.difference(scripts.run(name, "keras").arrays, OUTPUTS[name]) < 1e-5


def test_training_changes_what_a_script_predicts():
    """The recorded losses change from epoch to epoch, so equal numbers mean something."""
    for name, arrays in OUTPUTS.items():
        losses = arrays["history_loss"]
        assert len(losses) == 1 or len(np.unique(losses)) == len(losses), name


def test_a_difference_is_found():
    """A value that is off, a shape that is off, and an output that is missing."""
    one = {"after0": np.ones((2, 3), "float32"), "scores": np.zeros(2, "float32")}
    assert scripts.difference(one, one) == 0
    assert scripts.difference(one | {"scores": np.array([0, 1e-3], "float32")}, one) > 1e-4
    with pytest.raises(AssertionError):
        scripts.difference(one | {"after0": np.ones((3, 2), "float32")}, one)
    with pytest.raises(AssertionError):
        scripts.difference({"after0": one["after0"]}, one)


def test_the_page_has_the_last_recording():
    """The table of docs/from-keras.md."""
    assert scripts.cut_page()[1] == scripts.table(RECORDS)
