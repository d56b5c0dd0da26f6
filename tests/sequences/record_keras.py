"""Write the batches that Keras cuts; ``python tests/sequences/record_keras.py`` takes keras, a backend and grain."""

import json
import pathlib

import numpy as np

CASES = [
    (None, {"sequence_length": 7}),
    (40, {"sequence_length": 7, "batch_size": 4}),
    (40, {"sequence_length": 4, "sequence_stride": 3, "sampling_rate": 2, "batch_size": 5}),
    (20, {"sequence_length": 4, "sequence_stride": 2, "batch_size": 5}),
    (40, {"sequence_length": 4, "start_index": 5, "end_index": 21, "batch_size": 5}),
    (None, {"sequence_length": 4, "start_index": 5, "sampling_rate": 3, "batch_size": 5}),
    (30, {"sequence_length": 3, "end_index": 30, "sequence_stride": 4, "batch_size": None}),
    (None, {"sequence_length": 3, "end_index": 12, "batch_size": None}),
]


def main():
    import keras

    found = []
    for targets, options in CASES:
        given = None if targets is None else np.arange(targets) + 100
        batches = keras.utils.timeseries_dataset_from_array(np.arange(40), given, **options, format="grain")
        found_here = [_host(one) for one in batches]
        listed = [one.tolist() if given is None else [part.tolist() for part in one] for one in found_here]
        found.append({"targets": targets, "options": options, "batches": listed})
    path = pathlib.Path(__file__).parent / "data" / "timeseries_dataset.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found), encoding="utf-8")


def _host(batch):
    return tuple(map(np.asarray, batch)) if isinstance(batch, tuple) else np.asarray(batch)


if __name__ == "__main__":
    main()
