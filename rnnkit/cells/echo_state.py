"""The reservoir of an echo state network (Jaeger 2001): random recurrent weights, drawn once and never trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit.activations import activation as activation_of
from rnnkit.arguments import fraction, number_from_zero, positive_integer
from rnnkit.cells.standard import ConfiguredCell
from rnnkit.configured import seed_of
from rnnkit.hints import Activation, Array, Seed, Shape
from rnnkit.initializers import Uniform
from rnnkit.steps.cell import connections

_SPARSE = 0.25  # with more of the weights the dense product is as fast


class ESNCell(ConfiguredCell):
    """A layer of leaky units with sparse random weights (Jaeger 2001, Lukoševičius 2012).

    One step is::

        h = (1 - leak) * h + leak * activation(x @ kernel + bias + h @ recurrent_kernel)

    Lukoševičius (2012), "A practical guide to applying echo state networks", equations 2 and 3, here without noise.
    The recurrent weights are scaled so that their largest eigenvalue has the absolute value `spectral_radius`; below 1
    the reservoir forgets its first state in nearly all cases (Jaeger 2001, "The echo state approach to analysing and
    training recurrent neural networks", section 2).

    Parameters
    ----------
    units : int
        U, the size of the state and the output.
    spectral_radius : float
        0 or more; how long the past echoes.
    leak : float in [0, 1]
        1 for units that don't hold on to their state, less for a slower reservoir.
    input_scaling, bias_scaling : float
        The kernel and the bias are uniform between minus this and this.
    density : float in [0, 1]
        The share of the units that each unit hears; at least one is heard. Up to a quarter, recurrent_kernel is a
        sparse weight, and a step takes as much less time.
    activation : str, callable or None
        None is linear; a function takes and returns an array.
    seed : int, optional
        For the weights, where the layer has none of its own: the same seed gives the same bits.
    name : str, optional

    Raises
    ------
    ValueError
        For an argument outside its range or an activation of unknown name.

    Notes
    -----
    One bare state h ``(B, U)``. Weights in order: kernel ``(F, U)``, recurrent_kernel ``(U, U)``, bias ``(U,)``.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.RNN(rk.ESNCell(50, spectral_radius=0.9), return_sequences=True, dtype="float64", seed=0)
    >>> layer(np.ones((1, 10, 2))).shape
    (1, 10, 50)
    >>> eigenvalues = np.linalg.eigvals(layer.weights["recurrent_kernel"])
    >>> float(abs(eigenvalues).max().round(6))
    0.9
    """

    def __init__(
        self,
        units: int,
        spectral_radius: float = 0.9,
        leak: Any = 1.0,
        input_scaling: float = 1.0,
        bias_scaling: float = 0.0,
        density: float = 0.1,
        activation: Activation = "tanh",
        seed: Seed = None,
        *,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.units: int = positive_integer(units, "units")
        self.spectral_radius: float = number_from_zero(spectral_radius, "spectral_radius")
        self.leak: float = fraction(leak, "leak")
        self.input_scaling: float = number_from_zero(input_scaling, "input_scaling")
        self.bias_scaling: float = number_from_zero(bias_scaling, "bias_scaling")
        self.density: float = fraction(density, "density")
        self.activation: Callable[..., Any] = activation_of(activation)
        self.seed = seed_of(seed)
        self.state_size: Any = self.units

    def build(self, input_shape: Shape) -> None:
        """Draw ``kernel`` (F, U), ``recurrent_kernel`` (U, U) and ``bias`` (U,), which training leaves as they are."""
        features = self._features(input_shape)
        self._check_memory({"kernel": (features, self.units), "recurrent_kernel": (self.units, self.units)})
        inward = Uniform(-self.input_scaling, self.input_scaling)
        self.kernel: Any = self.add_weight((features, self.units), inward, "kernel", trainable=False)
        self.recurrent_kernel: Any = self.add_weight(
            (self.units, self.units), self.draw_reservoir, "recurrent_kernel", trainable=False
        )
        outward = Uniform(-self.bias_scaling, self.bias_scaling)
        self.bias: Any = self.add_weight((self.units,), outward, "bias", trainable=False)
        self.built = True

    def draw_reservoir(self, shape: Shape, rng: Any) -> Any:
        """Return sparse normal weights, as many into each unit, scaled to the spectral radius: an initializer."""
        from scipy.sparse import csc_array

        weights = np.where(connections(shape, self.density, rng), rng.standard_normal(shape), 0.0)
        weights *= self.spectral_radius / spectral_radius(weights)
        return csc_array(weights) if np.count_nonzero(weights) <= _SPARSE * weights.size else weights

    def call(self, inputs: Array, states: Array) -> Any:
        """Compute one step: ``(h, h)``."""
        h = states[0]
        z = inputs @ self.kernel + self.bias + h @ self.recurrent_kernel
        h = (1 - self.leak) * h + self.leak * self.activation(z)
        return h, h


def spectral_radius(matrix) -> float:
    """Return the largest absolute value of an eigenvalue of a square matrix.

    Large matrices are left to ARPACK, which starts from a fixed vector, so that the same matrix gives the same bits;
    small ones, and those where it doesn't converge, to LAPACK.

    >>> round(spectral_radius(np.array([[0.0, 2.0], [-2.0, 0.0]])), 9)
    2.0
    """
    if len(matrix) > 500:
        from scipy.sparse import csr_array
        from scipy.sparse.linalg import ArpackError, eigs

        try:
            # Moduli of random matrices crowd at the edge: several vectors, or the first to converge may be the second.
            start = np.ones(len(matrix))
            values = eigs(csr_array(matrix), k=6, ncv=60, v0=start, maxiter=1000, return_eigenvectors=False)
            return float(np.abs(values).max())
        except ArpackError:
            pass
    from scipy.linalg import eigvals

    return float(np.abs(eigvals(matrix)).max())
