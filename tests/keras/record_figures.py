"""Record what Keras gives for keras_cases.py and keras_arguments.py in tests/support, and its public names.

KERAS_BACKEND=jax PYTHONPATH=tests/support python tests/keras/record_figures.py
"""

import json

import keras_arguments
import keras_cases

MODULES = (
    "activations callbacks config constraints backend datasets dtype_policies initializers layers losses metrics "
    "mixed_precision models ops optimizers optimizers.schedules preprocessing.sequence random regularizers saving "
    "tree utils"
)


def rounded(value):
    """Numbers with eight digits."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return value if isinstance(value, str) else float(f"{value:.8g}")


def names(keras) -> dict:
    """The public names by module."""
    found = {"": sorted(name for name in dir(keras) if not name.startswith("_"))}
    for module in MODULES.split():
        space = keras
        for part in module.split("."):
            space = getattr(space, part)
        found[module] = sorted(name for name in dir(space) if not name.startswith("_"))
    return found


def main() -> None:
    """Write the files."""
    import keras

    figures = {name: rounded(function(keras)) for name, function in keras_cases.CASES.items()}
    keras_cases.FIGURES.write_text(json.dumps(figures) + "\n", encoding="utf-8")
    keras_arguments.FILE.write_text(json.dumps(keras_arguments.record(keras)) + "\n", encoding="utf-8")
    keras_cases.NAMES.write_text(json.dumps(names(keras), indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
