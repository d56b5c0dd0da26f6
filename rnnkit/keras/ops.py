"""Keras's operations: NumPy's functions, on arrays, inside a step that is traced, and on symbolic tensors.

Each calls the function of NumPy that it names, with Keras's parameters, so what can be traced is what `rnnkit` traces
anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from rnnkit import activations as plain
from rnnkit import custom_gradients
from rnnkit.keras import activations, settings, tree
from rnnkit.keras.left_out import LeftOut
from rnnkit.keras.naming import by_order, namespace
from rnnkit.layers.support import symbolic

# NumPy's functions by Keras's parameters; those before the bar are passed by position, the others by name.
SAME = {
    "x |": "absolute angle arccos arccosh arcsin arcsinh arctan arctanh bartlett bitwise_not blackman cbrt ceil conj "
    "conjugate copy corrcoef cos cosh deg2rad exp exp2 expm1 fabs fliplr flipud floor hamming hanning i0 imag isfinite "
    "isinf isnan isneginf isposinf isreal log log10 log1p log2 logical_not ndim negative nonzero rad2deg ravel real "
    "reciprocal sign signbit sin sinc sinh size sqrt square tan tanh trunc det eig eigh inv slogdet abs "
    "bitwise_invert",
    "x1 x2 |": "add arctan2 divide dot equal floor_divide fmax fmin fmod gcd greater greater_equal heaviside hypot "
    "inner kron lcm ldexp less less_equal logaddexp logaddexp2 logical_and logical_or logical_xor matmul maximum "
    "minimum mod multiply nextafter not_equal outer power subtract true_divide vdot",
    "x y |": "bitwise_and bitwise_or bitwise_xor left_shift right_shift bitwise_left_shift bitwise_right_shift",
    "x | axis keepdims": "all amax amin any argmax argmin mean median nanargmax nanargmin nanmax nanmean nanmedian "
    "nanmin nanprod nanstd nansum nanvar ptp std sum var",
    "x | axis keepdims initial": "max min",
    "x | axis keepdims dtype": "prod",
    "x | axis dtype": "cumprod cumsum nancumprod nancumsum",
    "x q | axis method keepdims": "nanpercentile nanquantile percentile quantile",
    "x | axis": "argsort count_nonzero flip sort squeeze stack",
    "x axis |": "expand_dims",
    "xs | axis": "concatenate",
    "x | axis weights": "average",
    "xs |": "dstack hstack vstack",
    "x1 x2 | axis": "append",
    "x1 x2 | mode": "correlate",
    "x1 x2 | axisa axisb axisc axis": "cross",
    "x1 x2 | assume_unique invert": "isin",
    "x1 x2 | axes": "tensordot",
    "x1 x2 | rtol atol equal_nan": "allclose isclose",
    "x kth | axis": "argpartition",
    "x indices_or_sections | axis": "array_split split",
    "x indices_or_sections |": "dsplit hsplit vsplit",
    "x | weights minlength": "bincount",
    "x newshape |": "reshape",
    "x | ord axis keepdims": "norm",
    "x | k": "diag diagflat tril triu",
    "x | offset axis1 axis2": "diagonal trace",
    "a | n axis": "diff",
    "x bins |": "digitize",
    "x | dtype": "empty_like ones_like zeros_like",
    "x fill_value | dtype": "full_like",
    "start stop | num endpoint dtype axis": "geomspace",
    "start stop | num endpoint base dtype axis": "logspace",
    "x | bins range": "histogram",
    "x beta |": "kaiser",
    "x source destination |": "moveaxis",
    "x | nan posinf neginf": "nan_to_num",
    "x pad_width | mode constant_values": "pad",
    "x shift | axis": "roll",
    "array | k axes": "rot90",
    "x | decimals": "round",
    "sorted_sequence values | side": "searchsorted",
    "condlist choicelist | default": "select",
    "x axis1 axis2 |": "swapaxes",
    "x indices | axis": "take take_along_axis",
    "x | axes": "transpose",
    "y | x dx axis": "trapezoid",
    "indices shape |": "unravel_index",
    "x | N increasing": "vander",
    "condition x1 x2 |": "where",
    "x | tol": "matrix_rank",
    "x | rcond": "pinv",
    "x | upper": "cholesky",
    "x | mode": "qr",
    "a b |": "solve",
    "x | full_matrices compute_uv": "svd",
    "": "einsum meshgrid vectorize",
}
LINEAR_ALGEBRA = "cholesky det eig eigh inv matrix_rank norm pinv qr slogdet solve svd"
RENAMED = {
    "abs": "absolute",
    "bitwise_invert": "invert",  # NumPy 1 has none of these four
    "bitwise_left_shift": "left_shift",
    "bitwise_right_shift": "right_shift",
    "trapezoid": "trapezoid" if hasattr(np, "trapezoid") else "trapz",
}
ACTIVATIONS = (
    "celu elu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu log_sigmoid log_softmax relu "
    "relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax squareplus "
    "swish tanh_shrink threshold"
)

WHY = {
    "adaptive_average_pool adaptive_max_pool average_pool conv conv_transpose depthwise_conv image max_pool "
    "separable_conv depth_to_space space_to_depth psnr unfold fold extract_sequences": "use a layer, such as "
    "layers.Conv1D or layers.MaxPooling1D",
    "batch_normalization layer_normalization rms_normalization dot_product_attention": "use the layer of that name",
    "associative_scan scan while_loop fori_loop": "write the step as a cell, rnnkit.cell, and run it with layers.RNN",
    "ctc_loss ctc_decode": "rnnkit has no CTC",
    "jvp": "see rnnkit.jvp",
    "fft fft2 ifft2 irfft rfft stft istft": "compute it before the model, with np.fft",
    "segment_max segment_min segment_prod segment_sum scatter scatter_update slice_update": "write NumPy's x[i] = y, "
    "np.add.at or np.where",
    "cdist cholesky_inverse logdet lu_factor solve_triangular polar rearrange view view_as_complex erfinv "
    "unique": "use NumPy's or SciPy's function on arrays",
}


def cast(x, dtype):
    """Return an array in another precision; inside a step, floats stay in the layer's."""
    return x.astype(_kind(dtype)) if hasattr(x, "astype") else np.asarray(x, _kind(dtype))


def saturate_cast(x, dtype):
    """Return an array in another dtype, as `cast`; values beyond an integer's range become the range's end."""
    kind, found = _kind(dtype), cast(x, dtype)
    if kind.kind not in "iu":
        return found
    least, most = np.iinfo(kind).min, np.iinfo(kind).max
    return np.where(np.greater_equal(x, most), most, np.where(np.less_equal(x, least), least, found)).astype(kind)


def _kind(dtype):
    name = getattr(dtype, "name", dtype)
    return np.dtype("float32" if name == "bfloat16" else name)


def convert_to_tensor(x, dtype=None, sparse=None, ragged=None):
    """Return an array of `x`; Python's floats in the precision of `settings.floatx`."""
    _check_dense(sparse or ragged)
    if hasattr(x, "shape"):
        return x if dtype is None else cast(x, dtype)
    found = np.asarray(x)
    if dtype is None and found.dtype == np.float64:
        dtype = settings.floatx()
    if dtype is None and found.dtype == np.int64:
        dtype = "int32"
    return found if dtype is None else found.astype(_kind(dtype))


array = convert_to_tensor


def _check_dense(other):
    if other:
        raise ValueError("expected neither sparse nor ragged arrays, which rnnkit lacks; leave the argument out")


def convert_to_numpy(x):
    """Return `x` as an array of NumPy."""
    return np.asarray(x)


def is_tensor(x) -> bool:
    """Return whether `x` is an array or a symbolic tensor."""
    return hasattr(x, "shape") and hasattr(x, "dtype")


def shape(x) -> tuple:
    """Return the sizes of an array; None for an unknown one."""
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)


def dtype(x) -> str:
    """Return the name of an array's dtype."""
    return np.dtype(x.dtype).name


def zeros(shape, dtype=None):
    """Return an array of zeros; in `call`, the unknown batch size gives each row its own."""
    return _for_rows(partial(np.zeros, dtype=_kind(dtype or settings.floatx())), shape)


def ones(shape, dtype=None):
    """Return an array of ones; in `call`, the unknown batch size gives each row its own."""
    return _for_rows(partial(np.ones, dtype=_kind(dtype or settings.floatx())), shape)


empty = zeros


def tile(x, repeats):
    """Repeat an array as `numpy.tile`; in `call`, the unknown batch size repeats one row for each."""
    return _for_rows(partial(np.tile, x), np.asarray(repeats, object).tolist())


def repeat(x, repeats, axis=None):
    """Repeat entries as `numpy.repeat`; in `call`, the unknown batch size repeats one row for each."""
    return _for_rows(lambda _: x, [None]) if repeats is None else np.repeat(x, repeats, axis)


def broadcast_to(x, shape):
    """Return an array of a shape, as `numpy.broadcast_to`; in `call`, the unknown batch size gives each row its own."""
    has_rows = getattr(symbolic.resolved(x), "batched", False)
    return np.broadcast_to(x, shape) if has_rows else _for_rows(partial(np.broadcast_to, x), shape)


def _for_rows(make, sizes):
    """Return what a function makes of sizes; of an unknown first one, a batch's, once for each row."""
    if not isinstance(sizes, (tuple, list)) or None not in sizes:
        return make(sizes)
    found, trace = make(tuple(1 if one is None else one for one in sizes)), symbolic.tracing.get()
    if sizes[0] is not None or not hasattr(trace, "first") or getattr(found, "batched", False):
        return found
    return symbolic.RECORD[0]("rows", (trace.first, found), {})


def full(shape, fill_value, dtype=None):
    """Return an array of one value; in `call`, the unknown batch size gives each row its own."""
    return _for_rows(partial(np.full, fill_value=fill_value, dtype=_kind(dtype or settings.floatx())), shape)


def eye(N, M=None, k=0, dtype=None):
    """Return the identity matrix."""
    return np.eye(N, M, k, _kind(dtype or settings.floatx()))


def tri(N, M=None, k=0, dtype=None):
    """1 on the diagonal `k` and below, 0 elsewhere."""
    return np.tri(N, M, k, _kind(dtype or settings.floatx()))


def lstsq(a, b, rcond=None):
    """Return the least-squares solution x of ``a @ x = b``, the shortest one where there are several."""
    return np.linalg.lstsq(a, b, rcond)[0]


def view_as_real(x):
    """Complex numbers as pairs of their real and imaginary parts, on an axis at the end."""
    return np.stack([np.real(x), np.imag(x)], axis=-1)


def identity(n, dtype=None):
    """Return the identity matrix."""
    return eye(n, dtype=dtype)


def arange(start, stop=None, step=None, dtype=None):
    """Numbers at equal distances."""
    found = np.arange(start, stop, 1 if step is None else step) if stop is not None else np.arange(start)
    return convert_to_tensor(found.tolist(), dtype)


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    """`num` numbers from `start` to `stop`."""
    return np.linspace(start, stop, num, endpoint, retstep, _kind(dtype or settings.floatx()), axis)


def clip(x, x_min, x_max):
    """`x` between two bounds."""
    return np.clip(x, x_min, x_max)


def rsqrt(x):
    """``1 / sqrt(x)``."""
    return 1.0 / np.sqrt(x)


def divide_no_nan(x1, x2):
    """``x1 / x2``, and 0 where `x2` is 0."""
    none = np.equal(x2, 0)
    return np.where(none, 0.0, x1 / np.where(none, 1.0, x2))


def stop_gradient(variable):
    """Return the array without a gradient."""
    return custom_gradients.stop_gradient(variable)


def custom_gradient(f):
    """Return a function with a gradient of its own, see `rnnkit.custom_gradient`."""
    return custom_gradients.custom_gradient(f)


erf, erfc = plain.erf, plain.erfc


def gelu(x, approximate=True):
    """Return ``x * Φ(x)``, by default in the approximation by tanh, as Keras's operation."""
    return activations.gelu(x, approximate)


def logsumexp(x, axis=None, keepdims=False):
    """``log(sum(exp(x)))``."""
    top = np.max(x, axis=axis, keepdims=True)
    found = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return found if keepdims else np.squeeze(found, axis=axis)


def normalize(x, axis=-1, order=2, epsilon=None):
    """`x` divided by its length along an axis."""
    least = settings.epsilon() if epsilon is None else epsilon
    return x / np.maximum(np.linalg.norm(x, ord=order, axis=axis, keepdims=True), least)


def moments(x, axes, keepdims=False, synchronized=False):
    """Return the mean and the variance."""
    axes = tuple(axes) if isinstance(axes, list) else axes
    return np.mean(x, axis=axes, keepdims=keepdims), np.var(x, axis=axes, keepdims=keepdims)


def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    """Return 1 at the index of each id, 0 elsewhere."""
    _check_dense(sparse)
    found = np.where(np.equal(x[..., None], np.arange(num_classes)), 1.0, 0.0)
    found = found if axis == -1 else np.moveaxis(found, -1, axis)
    return cast(found, dtype or settings.floatx()) if isinstance(found, np.ndarray) else found


def multi_hot(inputs, num_classes=None, axis=-1, dtype=None, sparse=False):
    """Return 1 at the index of each id of a list of ids, 0 elsewhere."""
    return np.max(one_hot(inputs, num_classes, axis, dtype, sparse), axis=1 if len(np.shape(inputs)) > 1 else 0)


def unstack(x, num=None, axis=0):
    """Return the parts of an array along an axis, without it."""
    return [np.squeeze(part, axis=axis) for part in np.split(x, x.shape[axis] if num is None else num, axis=axis)]


def slice(inputs, start_indices, shape):
    """Return a block of an array from `start_indices` on, of a shape."""
    import builtins

    return inputs[tuple(builtins.slice(at, at + size) for at, size in zip(start_indices, shape, strict=True))]


def get_item(x, key):
    """``x[key]``."""
    return x[key]


def top_k(x, k, sorted=True):
    """Return the `k` largest entries of the last axis, and their indices."""
    return np.flip(np.sort(x, axis=-1), -1)[..., :k], np.argsort(-x, axis=-1)[..., :k]


def in_top_k(targets, predictions, k):
    """Return whether each target is among the `k` largest predictions."""
    chosen = np.take_along_axis(predictions, np.asarray(targets)[..., None], axis=-1)
    return np.sum(predictions > chosen, axis=-1) < k


def cond(pred, true_fn, false_fn):
    """Return the value of one of two functions, chosen by a number."""
    return true_fn() if pred else false_fn()


def switch(index, branches, *operands):
    """Return the value of one of several functions, chosen by its index."""
    return branches[int(np.clip(index, 0, len(branches) - 1))](*operands)


def map(f, xs):
    """Return the values of a function for the entries of the first axis; arrays may be nested on both sides."""
    rows = range(len(tree.flatten(xs)[0]))
    found = [f(tree.map_structure(lambda array, i=i: array[i], xs)) for i in rows]
    return tree.map_structure(lambda *parts: np.stack(parts), *found)


def vectorized_map(function, elements):
    """Return the values of a function as `map` does."""
    return map(function, elements)


def binary_crossentropy(target, output, from_logits=False):
    """Return the crossentropy of each entry."""
    if from_logits:
        return plain.softplus(output) - target * output
    p = np.clip(output, settings.epsilon(), 1.0 - settings.epsilon())
    return -(target * np.log(p) + (1.0 - target) * np.log(1.0 - p))


def categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """Return the crossentropy of classes that are one-hot."""
    from rnnkit import losses

    if axis not in (-1, len(output.shape) - 1):
        target, output = np.moveaxis(target, axis, -1), np.moveaxis(output, axis, -1)
    return losses.categorical_crossentropy(target, output, from_logits)


def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """Return the crossentropy of classes by their numbers."""
    from rnnkit import losses

    output = output if axis in (-1, len(output.shape) - 1) else np.moveaxis(output, axis, -1)
    return losses.sparse_categorical_crossentropy(target, output, from_logits)


class Operations:
    """Namespace of the operations as ``ops.nn`` and the like: each has every name."""

    def __getattr__(self, name):
        from rnnkit.keras import ops

        return getattr(ops, name)


nn = numpy = linalg = Operations()


def _stacked(name: str, keywords: dict):
    """Return an argument by its name; a list of a tape's numbers, such as `losses`, as one array."""
    value = keywords.pop(name)
    if name == "x" and isinstance(value, list):  # `any` may be the operation of this name here
        kinds = {(hasattr(type(one), "__rnnkit_array__"), np.ndim(one)) for one in value}
        return np.stack(value) if (True, 0) in kinds else value
    return value


def _function(name: str) -> Callable:
    place = np.linalg if name in LINEAR_ALGEBRA.split() else np
    found = getattr(place, RENAMED.get(name, name))
    order, first = next((key, key.partition("|")[0]) for key, names in SAME.items() if name in names.split())

    def operation(*arguments, **keywords):
        if order:
            keywords = by_order(order.replace("|", ""), operation, arguments, keywords)
            arguments = tuple(_stacked(one, keywords) for one in first.split() if keywords.get(one) is not None)
        if isinstance(keywords.get("axis"), list):
            keywords["axis"] = tuple(keywords["axis"])
        if name == "take_along_axis":
            keywords.setdefault("axis", -1)  # which NumPy has from 2.3 on
        return found(
            *arguments, **{one: value for one, value in keywords.items() if value is not None or one == "axis"}
        )

    operation.__name__ = operation.__qualname__ = name
    operation.__module__ = __name__
    operation.__doc__ = f"NumPy's `{found.__name__}`, see there, with Keras's parameters{': ' * bool(order)}{order}."
    return operation


def _make(name: str):
    why = next((reason for names, reason in WHY.items() if name in names.split()), None)
    if why is not None:
        return LeftOut(f"ops.{name}", why)
    return getattr(activations, name) if name in ACTIVATIONS.split() else _function(name)


MADE = " ".join([*SAME.values(), ACTIVATIONS, *WHY]).split()
__getattr__, __dir__ = namespace("ops", _make, MADE)
