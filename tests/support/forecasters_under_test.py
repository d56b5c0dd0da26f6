"""Every forecaster of panels, small enough for tests."""

import rnnkit as rk

MAKE = {
    "Autoregression": lambda: rk.forecast.Autoregression(4),
    "Theta": lambda: rk.forecast.Theta(4),
    "ExponentialSmoothing": lambda: rk.forecast.ExponentialSmoothing(4, ["ANN", "ANA"]),
    "Auto": lambda: rk.forecast.Auto(4),
    "Croston": lambda: rk.forecast.Croston(),
    "SBA": lambda: rk.forecast.SBA(0.2),
    "TSB": lambda: rk.forecast.TSB(beta=0.2),
    "ADIDA": lambda: rk.forecast.ADIDA(),
    "IMAPA": lambda: rk.forecast.IMAPA(),
    "GlobalRNN": lambda: rk.forecast.GlobalRNN(4, leads=4, units=4, networks=1, epochs=2),
    "ESN": lambda: rk.ESN(3, 12, season=4, seed=0),
    "TrainedForecaster": lambda: rk.forecast.TrainedForecaster(
        3, "rnn", 2, season=4, epochs=2, networks=1, calibrate=False, seed=0
    ),
}
DEMAND = ("Croston", "SBA", "TSB", "ADIDA", "IMAPA")  # which take no negative values
