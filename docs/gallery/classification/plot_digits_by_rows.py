"""
Digits, row by row
==================

A GRU reads an image of a digit as eight rows of eight pixels, from top to bottom. The
same output layer stands at every row, so that the model says after each row what it
believes so far. This example needs scikit-learn, for its images.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import rnnkit as rk

# %%
# Half of the 1,797 images are kept for the test. Each row has the digit as its target.

images, digits = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8).astype("float32") / 16
x, x_test, y, y_test = train_test_split(images, digits, test_size=0.5, random_state=0)

layers = [rk.GRU(64, return_sequences=True), rk.Dense(10, "softmax")]
model = rk.Sequential(layers, seed=0)
model.compile(rk.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
model.fit(x, np.repeat(y[:, None], 8, axis=1), epochs=40, verbose=0)

# %%
# The first row alone decides more than a third of the images, five rows nine tenths of
# them. The 3 in the picture looks like a 2 up to its sixth row.

probabilities = model.predict(x_test)
right = (probabilities.argmax(axis=-1) == y_test[:, None]).mean(axis=0)
three = np.flatnonzero(y_test == 3)[0]

figure, axes = plt.subplots(
    1, 3, figsize=(7.2, 3), layout="constrained", width_ratios=[1, 1.2, 1.6]
)
axes[0].imshow(x_test[three], cmap="Greys")
axes[0].set(title="One image", xlabel="pixel", ylabel="row", xticks=[])
axes[1].imshow(probabilities[three], cmap="Blues", vmin=0, vmax=1, aspect="auto")
axes[1].set(title="Belief after each row", xlabel="digit", xticks=range(10))
for each in axes[:2]:
    each.set_yticks(range(8), range(1, 9))
axes[2].plot(range(1, 9), 100 * right, "o-")
axes[2].set(title="All test images", xlabel="rows read", ylabel="accuracy (%)")
axes[2].set(ylim=(0, 100), xticks=range(1, 9))
plt.show()

# %%
# The accuracy after all rows:

print(f"{right[-1]:.1%} of {len(y_test)} images")
