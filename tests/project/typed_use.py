"""What a user writes, for type checkers: every ``type: ignore`` stands on a line that must be an error."""

from pathlib import Path

import numpy as np

import rnnkit as rk


@rk.cell(states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units"), "glorot_uniform")})
def leaky(x, states, weights, *, leak=0.3):
    (h,) = states
    h = (1 - leak) * h + leak * np.tanh(x @ weights.kernel)
    return h, (h,)


def layers(x: np.ndarray) -> np.ndarray:
    layer = rk.RNN(leaky(units=32, leak=0.5), return_sequences=True, seed=0)
    lstm = rk.LSTM(8, activation="tanh", recurrent_initializer=rk.initializers.Orthogonal(), dropout=0.1)
    both = rk.Bidirectional(lstm, merge_mode="concat")
    outputs, pullback = layer.vjp(x)
    assert lstm.units == 8 and both.built
    again = rk.LSTM.from_config(lstm.get_config(), custom_objects={"sine": np.sin})
    rk.Dense.from_config(rk.Dense(2).get_config(), custom_objects={"sine": np.sin})
    rk.RNN.from_config(layer.get_config(), custom_objects=None)
    with rk.eager():
        again(x)
    return both(layer(x)) + pullback(outputs).x


def models(x: np.ndarray, y: np.ndarray, path: Path) -> list[float]:
    model = rk.Sequential([rk.GRU(16, return_sequences=True), rk.LSTM(4), rk.Dense(1)], seed=0)
    metrics = [rk.metrics.MeanAbsoluteError("mae"), rk.metrics.RootMeanSquaredError()]
    loss: rk.losses.Loss = rk.losses.Huber(delta=0.5)
    model.compile(rk.optimizers.Adam(rk.optimizers.schedules.CosineDecay(0.01, 100)), loss, metrics=metrics)
    history = model.fit(x, y, epochs=2, batch_size=8, callbacks=[rk.callbacks.EarlyStopping(patience=2)], verbose=0)
    model.save(path)
    again = rk.load_model(path)
    again.predict(x)
    inputs = rk.Input((None, 3))
    functional = rk.Model(inputs, rk.Dense(1)(rk.LSTM(4)(inputs)))
    functional.evaluate(x, y)
    return list(history.history["loss"])


def forecasts(y: np.ndarray) -> np.ndarray:
    auto = rk.forecast.Auto().fit(y)
    esn = rk.ESN(horizon=3, season=12).fit(y)
    rk.forecast.TrainedForecaster(horizon=3).fit(y, progress=print)
    return np.concatenate([auto.predict(3), esn.predict()])


class Enough(rk.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None and logs["loss"] < 0.1:
            self.model.stop_training = True


class Signs(rk.optimizers.Optimizer):
    slots = ("average",)

    def rule(self, weight, gradient, slots, now):
        average = 0.9 * slots[0] + 0.1 * gradient
        return weight - now.learning_rate * np.sign(average), (average,)


def mistakes(x: np.ndarray) -> None:
    rk.LSTM("8")  # type: ignore[arg-type]
    rk.LSTM(8, return_sequence=True)  # type: ignore[call-arg]
    rk.LSTM(8, dropout="0.5")  # type: ignore[arg-type]
    rk.Dense(1, activation=3)  # type: ignore[arg-type]
    rk.optimizers.Adam(learning_rate="fast")  # type: ignore[arg-type]
    rk.callbacks.EarlyStopping(patience="long")  # type: ignore[arg-type]
    rk.LSTM(8).unit  # type: ignore[attr-defined]
    rk.Sequential().fit(x, x, epochs="two")  # type: ignore[arg-type]
    rk.LTSM(8)  # type: ignore[attr-defined]
    rk.pad_sequences([[1]], return_masks=True)  # type: ignore[call-arg]
