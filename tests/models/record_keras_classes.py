"""Records what Keras gives for the models of ``keras_classes``: ``PYTHONPATH=.:tests/support python`` this file."""

import json
import pathlib

import keras_classes
import keras_witness as witness
import numpy as np


def tensors(keras, x):
    return [tensors(keras, one) for one in x] if isinstance(x, list) else keras.ops.convert_to_tensor(x)


def recorded(keras, case):
    """Outputs without and with training, the losses of three updates, and the weights after them."""
    model, x = case(keras_classes.of_keras(keras))
    x, y = tensors(keras, x), tensors(keras, keras_classes.TARGET)
    model(x)
    model.set_weights(keras_classes.numbers_for([one.shape for one in model.get_weights()]))
    outputs = [np.asarray(model(x, training=training)).reshape(-1).tolist() for training in (False, True)]
    model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=False)
    losses = model.fit(x, y, batch_size=6, epochs=3, shuffle=False, verbose=0).history["loss"]
    weights = keras_classes.told(model.get_weights())
    return {"outputs": outputs, "losses": losses, "weights": weights, "keras": keras.__version__}


def main():
    keras = witness.imported()
    witness.use(keras, "float64")
    found = {name: recorded(keras, case) for name, case in keras_classes.CASES.items()}
    path = pathlib.Path(__file__).with_name("keras_classes.json")
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
