"""
A grid search in scikit-learn
=============================

The estimators of ``rnnkit.sklearn`` are estimators of scikit-learn. ``GridSearchCV``
searches the parameters of an echo state network inside a pipeline. This example needs
``pip install 'rnnkit[sklearn,plots]'``.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from rnnkit.sklearn import ESNClassifier

# %%
# Each image is a sequence of eight rows. The pipeline adds to each row its difference
# from the row before.


def with_changes(X):
    """Put the change since the step before beside each step."""
    return np.concatenate([X, np.diff(X, axis=1, prepend=X[:, :1])], axis=-1)


images, digits = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(
    images.reshape(-1, 8, 8), digits, train_size=300, random_state=0
)

pipeline = make_pipeline(
    FunctionTransformer(with_changes), ESNClassifier(random_state=0)
)
grid = {
    "esnclassifier__units": [10, 30, 100],
    "esnclassifier__spectral_radius": [0.1, 0.7, 1.3],
}
search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)

# %%
# With 300 images to fit, the size of the reservoir counts for more than its spectral
# radius.

units, radii = grid.values()
accuracy = 100 * search.cv_results_["mean_test_score"].reshape(len(radii), len(units))

figure, axes = plt.subplots(figsize=(5.2, 3.4), layout="constrained")
image = axes.imshow(accuracy, cmap="Blues", vmin=accuracy.min() - 2)
for row, column in np.ndindex(accuracy.shape):
    value = accuracy[row, column]
    colour = "white" if value > accuracy.mean() else "0.1"
    axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=colour)
axes.set_xticks(range(len(units)), units)
axes.set_yticks(range(len(radii)), radii)
axes.set(xlabel="units", ylabel="spectral radius")
figure.colorbar(image, ax=axes, label="mean accuracy (%)")
plt.show()

# %%
# The best parameters, and the accuracy on the images that the search has not seen:

print(search.best_params_)
print(f"{search.score(X_test, y_test):.1%} of {len(y_test)}")
