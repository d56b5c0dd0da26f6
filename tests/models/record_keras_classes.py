"""Records what Keras gives for the models of ``keras_classes``: ``PYTHONPATH=.:tests/support python`` this file."""

import json
import pathlib

import keras_classes
import keras_witness as witness
import numpy as np

keras = witness.imported()
witness.use(keras, "float64")
library, found = keras_classes.of_keras(keras), {}


def tensors(x):
    return [tensors(one) for one in x] if isinstance(x, list) else keras.ops.convert_to_tensor(x)


for name, case in keras_classes.CASES.items():
    model, x = case(library)
    model(tensors(x))
    model.set_weights(keras_classes.numbers_for([one.shape for one in model.get_weights()]))
    outputs = [np.asarray(model(tensors(x), training=training)).reshape(-1).tolist() for training in (False, True)]
    model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=False)
    y = tensors(keras_classes.TARGET)
    history = model.fit(tensors(x), y, batch_size=6, epochs=3, shuffle=False, verbose=0).history
    weights = keras_classes.told(model.get_weights())
    found[name] = {"outputs": outputs, "losses": history["loss"], "weights": weights, "keras": keras.__version__}

path = pathlib.Path(__file__).with_name("keras_classes.json")
path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
