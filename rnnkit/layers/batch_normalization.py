"""BatchNormalization: every feature normalized over the batch, or by averages that calls in training have moved."""

from __future__ import annotations

import numpy as np

from rnnkit import constraints, regularizers
from rnnkit.arguments import fraction, integer, number_from_zero
from rnnkit.initializers import initializer, initializer_config
from rnnkit.layers.base import frozen_outside
from rnnkit.layers.support import validation
from rnnkit.layers.weighted import OwnWeight, Weighted
from rnnkit.recording import weights_now
from rnnkit.steps.cell import frozen
from rnnkit.steps.weight_options import WeightOptions

_MASK_EPSILON = 1e-7  # which Keras adds to the number of used entries


class BatchNormalization(Weighted):
    """Each feature with mean 0 and variance 1 over a batch, then scaled and shifted (Ioffe and Szegedy 2015).

    In training, and where the layer isn't frozen, mean and variance are those of the call's used steps, and the call
    moves the averages::

        moving_mean = momentum * moving_mean + (1 - momentum) * mean
        moving_variance = momentum * moving_variance + (1 - momentum) * variance

    Otherwise the averages are used. With `trainable` False, of this layer or one around it, a call in training is one
    outside of training. A batch that fails in `fit`, and a model's call that raises, leave the averages as they were.

    Parameters
    ----------
    axis : int
        That of the features, not the batch axis; its size has to be known when the layer is built.
    momentum : float in [0, 1]
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether there are ``beta`` and ``gamma``.
    beta_initializer, gamma_initializer : str, callable or initializer
    moving_mean_initializer, moving_variance_initializer : str, callable or initializer
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        Penalties on the weights, see `rnnkit.regularizers`.
    beta_constraint, gamma_constraint : str or callable, optional
        What the weights must keep to in training, see `rnnkit.constraints`.
    dtype, seed, name
        As in every layer.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.BatchNormalization(momentum=0.5, epsilon=0.0)
    >>> layer(np.array([[1.0], [3.0]]), training=True).tolist()
    [[-1.0], [1.0]]
    >>> layer.weights["moving_mean"].tolist(), layer.weights["moving_variance"].tolist()
    ([1.0], [1.0])
    """

    def __init__(
        self,
        axis=-1,
        momentum=0.99,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        moving_mean_initializer="zeros",
        moving_variance_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        beta_constraint=None,
        gamma_constraint=None,
        *,
        dtype=None,
        seed=None,
        name=None,
    ):
        super().__init__(dtype=dtype, seed=seed, name=name)
        self.axis = integer(axis, "axis")
        if self.axis == 0:
            raise ValueError("expected axis as that of the features, not the batch axis 0; got 0")
        self.momentum, self.epsilon = fraction(momentum, "momentum"), number_from_zero(epsilon, "epsilon")
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer = initializer(beta_initializer)
        self.gamma_initializer = initializer(gamma_initializer)
        self.moving_mean_initializer = initializer(moving_mean_initializer)
        self.moving_variance_initializer = initializer(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)

    def get_config(self):
        """Return the constructor's arguments as JSON values."""
        return {
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializer_config(self.beta_initializer),
            "gamma_initializer": initializer_config(self.gamma_initializer),
            "moving_mean_initializer": initializer_config(self.moving_mean_initializer),
            "moving_variance_initializer": initializer_config(self.moving_variance_initializer),
            "beta_regularizer": regularizers.config_of(self.beta_regularizer),
            "gamma_regularizer": regularizers.config_of(self.gamma_regularizer),
            "beta_constraint": constraints.config_of(self.beta_constraint),
            "gamma_constraint": constraints.config_of(self.gamma_constraint),
        } | super().get_config()

    # Shapes and weights

    def _shape(self, shape):
        found = super()._shape(shape)
        if not -len(found) < self.axis < len(found):
            raise ValueError(f"expected x of {self.name!r} with an axis {self.axis} behind the batch axis, got {found}")
        return found

    def _opened(self, shape):
        features = self.axis % len(shape)
        return tuple(size if axis == features else None for axis, size in enumerate(shape))

    def _check_shape(self, shape):
        expected = self._input_shape
        if (len(shape) != len(expected) and self.axis > 0) or shape[self.axis] != expected[self.axis]:
            raise ValueError(f"expected x of shape {expected}, as the layer was built for, got {tuple(shape)}")

    def _own_weights(self, shape):
        size = shape[self.axis]
        if size is None:
            raise ValueError(f"expected a known size of the axis {self.axis} of {self.name!r}, got {shape}")
        found, fixed = {}, WeightOptions(trainable=False)
        if self.scale:
            options = WeightOptions(True, self.gamma_regularizer, self.gamma_constraint)
            found["gamma"] = OwnWeight((size,), self.gamma_initializer, options)
        if self.center:
            options = WeightOptions(True, self.beta_regularizer, self.beta_constraint)
            found["beta"] = OwnWeight((size,), self.beta_initializer, options)
        found["moving_mean"] = OwnWeight((size,), self.moving_mean_initializer, fixed)
        found["moving_variance"] = OwnWeight((size,), self.moving_variance_initializer, fixed)
        return found

    def _moving(self):
        return {name: array for name, array in self._own.items() if name.startswith("moving")}

    # Calls

    def _bound(self):
        own, weights = self._own, weights_now(self._own)
        is_frozen = frozen_outside.get() or not self.trainable
        live = [name for name in self._moving() if weights[name] is own[name]]  # calls between repetitions change them

        def run(inputs, mask, training):
            now = weights | {name: self._own[name] for name in live}
            return self._with_weights(now, inputs, mask, training and not is_frozen)

        return run

    def _computed(self, weights, x, mask, training):
        features = self.axis % x.ndim
        over = tuple(axis for axis in range(x.ndim) if axis != features)
        wide = tuple(-1 if axis == features else 1 for axis in range(x.ndim))
        training, used = training and x.size, None if mask is None else self._used(x, mask)
        if training:
            mean, variance, count = _moments(x, used, over)
            self._move_averages(mean, variance)
        else:
            mean, variance = weights["moving_mean"], weights["moving_variance"]
        inverse = 1 / np.sqrt(variance + self.epsilon)
        slope = inverse * weights["gamma"] if self.scale else inverse
        from_mean = x - mean.reshape(wide)
        y = from_mean * slope.reshape(wide)
        if self.center:
            y += weights["beta"].reshape(wide)

        def back(d):
            total, along = _sum(d, over), _sum(d * from_mean, over) * inverse
            d_mean, d_variance = -slope * total, -0.5 * slope * inverse * along
            found = {"gamma": along} if self.scale else {}
            if self.center:
                found["beta"] = total
            d_x = d * slope.reshape(wide)
            if not training:
                return found | {"moving_mean": d_mean, "moving_variance": d_variance}, d_x
            found |= {name: np.zeros_like(total) for name in ("moving_mean", "moving_variance")}
            slope_of_square = 2 * d_variance / count
            if used is not None:  # the sum of from_mean is 0 but for what was added to the number of entries
                d_mean = d_mean - slope_of_square * mean * _MASK_EPSILON
            moved = from_mean * slope_of_square.reshape(wide)
            moved += (d_mean / count).reshape(wide)
            d_x += _where(used, moved)
            return found, d_x

        return y, back

    def _used(self, x, mask):
        """Where the mask's steps are used, as an array that goes with x."""
        used = validation.mask(mask, *x.shape[:2]) if x.ndim > 2 else validation.array(mask, "mask") != 0
        if used.shape != x.shape[: used.ndim]:
            raise ValueError(f"expected mask of shape {x.shape[:-1]}, got {used.shape}")
        return np.broadcast_to(used.reshape(*used.shape, *(1,) * (x.ndim - used.ndim)), x.shape)

    def _move_averages(self, mean, variance) -> None:
        new = {
            name: frozen(self._own[name] * self.momentum + value * (1 - self.momentum), self.dtype)
            for name, value in (("moving_mean", mean), ("moving_variance", variance))
        }
        self._put_own_arrays(new)


def _moments(x, used, over):
    """Mean and variance of each feature over the used entries, and by how many entries the sums are divided."""
    wide = tuple(1 if axis in over else -1 for axis in range(x.ndim))
    if used is None:
        count = np.asarray(np.prod([x.shape[axis] for axis in over]), x.dtype)
    else:
        count = used.sum(axis=over).astype(x.dtype) + x.dtype.type(_MASK_EPSILON)
    mean = _sum(_where(used, x), over) / count
    from_mean = _where(used, x - mean.reshape(wide))
    return mean, _sum(from_mean * from_mean, over) / count, count


def _where(used, array):
    """An array with 0 where it isn't used; None uses all."""
    return array if used is None else np.where(used, array, array.dtype.type(0))


def _sum(array, over):
    """A sum in double, in the array's precision."""
    return array.sum(axis=over, dtype=np.float64).astype(array.dtype)
