"""
One step at a time
==================

A stream runs a model on readings that arrive one by one. It keeps the states between
the steps and gives the bits that a call over the whole sequence gives. Readings that
get lost are skipped, as a mask would do.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# A model learns to remove the noise of a sensor, given the past only. In training, a
# tenth of the steps is masked.

rng = np.random.default_rng(0)


def signals(count, steps):
    """Return noisy signals and the clean ones: sums of three waves."""
    time = np.arange(steps)[None, :, None]
    frequency, phase = rng.uniform(
        [[0.03], [0]], [[0.15], [6]], size=(count, 2, 3)
    ).swapaxes(0, 1)
    clean = np.sin(time * frequency[:, None] + phase[:, None]).sum(
        axis=-1, keepdims=True
    )
    noisy = clean + rng.normal(scale=0.6, size=clean.shape)
    return noisy.astype("float32"), clean.astype("float32")


noisy, clean = signals(400, 150)
layers = [rk.Masking(-99.0), rk.GRU(24, return_sequences=True), rk.Dense(1)]
model = rk.Sequential(layers, seed=0)
model.compile(rk.optimizers.Adam(0.01), "mse")
lost = rng.uniform(size=noisy.shape) < 0.1
model.fit(np.where(lost, np.float32(-99), noisy), clean, epochs=12, verbose=0)

# %%
# ``Masking`` needs no place in a stream, where ``skip`` says that a step is missing.

sensor, truth = signals(1, 300)
arrives = np.ones(300, bool)
arrives[120:135] = arrives[220:228] = False

online = rk.Sequential(model.layers[1:])
online.build(sensor.shape)
stream = online.stream()
filtered = np.empty(300, "float32")
for t in range(300):
    if not arrives[t]:
        stream.skip([0])
    filtered[t] = stream.step(sensor[:, t])[0, 0]

figure, axes = plt.subplots(layout="constrained")
readings = np.where(arrives, sensor[0, :, 0], np.nan)
axes.plot(readings, ".", color="0.7", markersize=4, label="readings")
axes.plot(truth[0, :, 0], color="0.3", linewidth=1, label="signal")
axes.plot(filtered, color="C0", label="output of the stream")
for start, end in ((120, 135), (220, 228)):
    axes.axvspan(start - 0.5, end - 0.5, color="0.93", zorder=0)
axes.set(xlabel="step", ylabel="value", xlim=(0, 299), ylim=(-4.5, 5.5))
axes.legend(loc="upper right", ncols=3)
plt.show()

# %%
# Grey stretches have no readings: the output stays. The whole sequence with a mask
# gives the same bits.

whole = online(sensor, mask=arrives[None])[0, :, 0]
noise, error = readings - truth[0, :, 0], filtered - truth[0, :, 0]
print("same bits as one call:", np.array_equal(whole, filtered))
print(f"error of a reading {np.nanstd(noise):.2f}, of the output {error.std():.2f}")
