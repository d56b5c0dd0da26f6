"""Calls of Keras's public functions and classes, by each argument once, to be compared with what Keras gave.

A row has the names that it is about, a call of ``F``, which is each of them in turn, and what stands for ``…`` in it
one after the other: arguments that change what Keras gives.
"""

import inspect
from functools import partial, reduce
from pathlib import Path

import numpy as np

FILE = Path(__file__).parents[1] / "keras" / "data" / "arguments.json"
DRAWN = np.random.default_rng(0)
ARRAYS = {
    "A": DRAWN.normal(size=(3, 4)).astype("float32"),
    "B": DRAWN.normal(size=(3, 4)).astype("float32"),
    "C": DRAWN.normal(size=(2, 3, 4)).astype("float32"),
    "U": DRAWN.uniform(0.1, 0.9, size=(3, 4)).astype("float32"),
    "S": np.array([[3.0, 1.0, 0.5], [1.0, 4.0, 0.2], [0.5, 0.2, 5.0]], "float32"),
    "V": np.array([3.0, -1.0, 2.0, 0.5], "float32"),
    "W": np.array([1.0, 2.0, 0.5], "float32"),
    "I": np.array([[3, 1, 2, 0], [1, 1, 0, 5], [0, 4, 2, 2]], "int32"),
    "J": np.array([0, 2, 1, 2], "int32"),
    "N": np.array([[1.0, np.nan, 3.0, -2.0], [0.5, 2.0, np.nan, 1.0], [np.inf, 1.0, -np.inf, 4.0]], "float32"),
    "P": np.array([[0.7, 0.2, 0.1, 0.4], [0.3, 0.5, 0.6, 0.9], [0.2, 0.8, 0.4, 0.5]], "float32"),
    "T": np.array([[1, 0, 0, 0], [0, 0, 1, 1], [0, 1, 1, 0]], "float32"),
    "H": np.eye(4, dtype="float32")[[1, 3, 0]],
    "K": np.array([1, 3, 0], "int32"),
}
MODULES = ("ops", "activations", "losses", "metrics", "random")
AXES = ("axis=0", "keepdims=True", "axis=1, keepdims=True")
REDUCTIONS = ("reduction='sum'", "reduction='none'")
ROWS = [
    ("ops.all ops.any", "F(A > 0.2, …)", AXES),
    ("ops.count_nonzero", "F(I, …)", ("axis=1",)),
    ("ops.amax ops.amin ops.argmax ops.argmin ops.logsumexp ops.mean ops.median ops.ptp", "F(A, …)", AXES),
    ("ops.std ops.sum ops.var", "F(A, …)", AXES),
    ("ops.max", "F(A, …)", (*AXES, "axis=1, initial=0.6")),
    ("ops.min", "F(A, …)", (*AXES, "axis=1, initial=-0.6")),
    ("ops.prod", "F(A, …)", (*AXES, "dtype='int32'")),
    (
        "ops.nanmax ops.nanmean ops.nanmedian ops.nanmin ops.nanprod ops.nanstd ops.nansum ops.nanvar",
        "F(N[:2], …)",
        AXES,
    ),
    ("ops.nanargmax ops.nanargmin", "F(N[:2], …)", AXES),
    ("ops.nancumprod ops.nancumsum", "F(N[:2], …)", ("axis=0", "axis=1, dtype='int32'")),
    ("ops.cumprod ops.cumsum", "F(V, …)", ("axis=0, dtype='int32'",)),
    ("ops.cumprod ops.cumsum", "F(A, …)", ("axis=0",)),
    ("ops.nanpercentile", "F(N[:2], 30, …)", (*AXES, "axis=0, method='lower'")),
    ("ops.percentile", "F(A, 30, …)", (*AXES, "axis=0, method='nearest'")),
    ("ops.nanquantile", "F(N[:2], 0.3, …)", (*AXES, "axis=0, method='lower'")),
    ("ops.quantile", "F(A, 0.3, …)", (*AXES, "axis=0, method='nearest'")),
    ("ops.average", "F(A, …)", ("axis=0", "axis=0, weights=W")),
    ("ops.norm", "F(A, …)", ("ord=1", "axis=1", "axis=1, keepdims=True", "ord=np.inf, axis=0")),
    ("ops.moments", "F(A, axes=[0], …)", ("keepdims=True",)),
    ("ops.normalize", "F(A, …)", ("axis=0", "order=1", "epsilon=3.0")),
    (
        "ops.abs ops.absolute ops.angle ops.arcsinh ops.arctan ops.cbrt ops.ceil ops.conj ops.conjugate ops.cos",
        "F(A)",
        (),
    ),
    ("ops.convert_to_numpy ops.copy ops.corrcoef ops.cosh ops.deg2rad ops.dtype ops.erf ops.erfc ops.exp", "F(A)", ()),
    ("ops.exp2 ops.expm1 ops.fabs ops.fliplr ops.flipud ops.floor ops.imag ops.isreal", "F(A)", ()),
    ("ops.logical_not ops.ndim ops.negative ops.nonzero ops.rad2deg ops.ravel ops.real ops.reciprocal", "F(A)", ()),
    ("ops.shape ops.sign ops.signbit ops.sin ops.sinc ops.sinh ops.size ops.square ops.tan ops.tanh", "F(A)", ()),
    ("ops.trunc ops.i0", "F(3 * A)", ()),
    ("ops.view_as_real", "F(A + 1j * B)", ()),
    ("ops.angle ops.conj ops.imag ops.real ops.isreal", "F(A + 1j * (B > 0))", ()),
    ("ops.arccos ops.arcsin ops.arctanh ops.log ops.log10 ops.log1p ops.log2 ops.rsqrt ops.sqrt", "F(U)", ()),
    ("ops.arccosh", "F(1 + U)", ()),
    ("ops.isfinite ops.isinf ops.isnan ops.isneginf ops.isposinf", "F(N)", ()),
    ("ops.nan_to_num", "F(N, …)", ("nan=7.0", "posinf=8.0", "neginf=9.0")),
    ("ops.bartlett ops.blackman ops.hamming ops.hanning", "F(5)", ()),
    ("ops.kaiser", "F(5, beta=2.0)", ()),
    ("ops.round", "F(A, …)", ("decimals=1",)),
    ("ops.add ops.arctan2 ops.divide ops.equal ops.floor_divide ops.fmax ops.fmin ops.fmod ops.greater", "F(A, B)", ()),
    (
        "ops.greater_equal ops.heaviside ops.hypot ops.inner ops.isin ops.less ops.less_equal ops.logaddexp",
        "F(A, B)",
        (),
    ),
    ("ops.logaddexp2 ops.logical_and ops.logical_or ops.logical_xor ops.maximum ops.minimum ops.mod", "F(A, B)", ()),
    (
        "ops.multiply ops.nextafter ops.not_equal ops.outer ops.subtract ops.true_divide ops.vdot ops.kron",
        "F(A, B)",
        (),
    ),
    ("ops.power", "F(U, B)", ()),
    ("ops.divide_no_nan", "F(A, I[:, ::-1])", ()),
    ("ops.bitwise_and ops.bitwise_or ops.bitwise_xor ops.gcd ops.lcm", "F(I, J)", ()),
    ("ops.bitwise_left_shift ops.bitwise_right_shift ops.left_shift ops.right_shift", "F(I, J)", ()),
    ("ops.bitwise_invert ops.bitwise_not", "F(I)", ()),
    ("ops.ldexp", "F(A, I)", ()),
    ("ops.isin", "F(I, J, …)", ("invert=True",)),
    ("ops.isclose ops.allclose", "F(V, V + 0.01, …)", ("rtol=1.0",)),
    ("ops.isclose", "F(N, N + 1e-4, …)", ("atol=1.0", "atol=1.0, equal_nan=True")),
    ("ops.allclose", "F(N, N + 1e-4, …)", ("atol=1.0, equal_nan=True",)),
    ("ops.append", "F(A, B, …)", ("axis=0", "axis=1")),
    ("ops.argpartition", "F(np.array([[3, 1], [4, 2]]), 0, …)", ("axis=0",)),
    ("ops.argsort ops.sort", "F(A, …)", ("axis=0",)),
    ("ops.array_split", "F(A, 3, …)", ("axis=1",)),
    ("ops.split", "F(S, 3, …)", ("axis=1",)),
    ("ops.dsplit", "F(C, 2)", ()),
    ("ops.hsplit", "F(C, 3)", ()),
    ("ops.vsplit", "F(C, 2)", ()),
    ("ops.bincount", "F(J, …)", ("weights=V", "minlength=5")),
    ("ops.broadcast_to", "F(V, (2, 4))", ()),
    ("ops.concatenate", "F([A, B], …)", ("axis=1",)),
    ("ops.stack", "F([A, B], …)", ("axis=1",)),
    ("ops.dstack ops.hstack ops.vstack", "F([A, B])", ()),
    ("ops.correlate", "F(V, W, …)", ("mode='same'", "mode='full'")),
    ("ops.cross", "F(A[:, :3], A[:, 1:], …)", ("axis=0", "axisa=0", "axisb=0", "axisc=0")),
    ("ops.diag ops.diagflat", "F(V, …)", ("k=1",)),
    ("ops.diagonal ops.trace", "F(C, …)", ("offset=1", "axis1=2", "axis2=2")),
    ("ops.diff", "F(A, …)", ("n=2", "axis=0")),
    ("ops.digitize", "F(A, np.array([-0.5, 0.5]))", ()),
    ("ops.dot", "F(A, B.T)", ()),
    ("ops.matmul", "F(C, C.transpose(0, 2, 1))", ()),
    ("ops.tensordot", "F(S, A[:, :3], …)", ("axes=0", "axes=[[1], [1]]")),
    ("ops.einsum", "F('ij,kj->ik', A, B)", ()),
    ("ops.empty_like", "F(A).shape", ()),
    ("ops.ones_like ops.zeros_like", "F(A, …)", ()),
    ("ops.ones_like ops.zeros_like", "F(A, …).dtype", ("dtype='int32'",)),
    ("ops.full_like", "F(A, 2.5, …)", ("dtype='int32'",)),
    ("ops.full", "F((2, 3), 2.5, …)", ("dtype='int32'",)),
    ("ops.ones ops.zeros ops.empty", "F((2, 3), …).dtype", ("dtype='int32'",)),
    ("ops.ones ops.zeros", "F((2, 3))", ()),
    ("ops.expand_dims", "F(A, axis=1)", ()),
    ("ops.eye", "F(3, …)", ("M=4", "k=1")),
    ("ops.identity", "F(3)", ()),
    ("ops.eye ops.identity", "F(3, …).dtype", ("dtype='int32'",)),
    ("ops.tri", "F(3, …)", ("M=4", "k=1")),
    ("ops.tri", "F(3, …).dtype", ("dtype='int32'",)),
    ("ops.flip", "F(A, …)", ("axis=1",)),
    ("ops.geomspace", "F(1.0, 8.0, …)", ("num=4", "num=4, endpoint=False")),
    ("ops.geomspace", "F(V[2:], V[:2] ** 2, num=3, …)", ("axis=1", "dtype='int32'")),
    ("ops.logspace", "F(0.0, 2.0, …)", ("num=4", "num=4, endpoint=False", "base=2")),
    ("ops.logspace", "F(V, 2 * V, num=3, …)", ("axis=1", "dtype='int32'")),
    ("ops.linspace", "F(0.0, 2.0, …)", ("num=4", "num=4, endpoint=False", "retstep=True")),
    ("ops.linspace", "F(V, 2 * V, num=3, …)", ("axis=1", "dtype='int32'")),
    ("ops.arange", "F(5, …)", ("stop=7", "stop=9, step=2")),
    ("ops.arange", "F(5, …).dtype", ("dtype='float32'",)),
    ("ops.histogram", "F(V, …)", ("bins=3", "bins=4, range=(-1, 1)")),
    ("ops.meshgrid", "F(V, W, …)", ("indexing='ij'",)),
    ("ops.moveaxis", "F(C, 0, 2)", ()),
    ("ops.pad", "F(A, ((1, 0), (0, 2)), mode='reflect', constant_values=None)", ()),
    ("ops.pad", "F(A, ((1, 0), (0, 2)), …)", ("mode='reflect'", "constant_values=3.0", "mode='edge'")),
    ("ops.repeat", "F(A, 2, …)", ("axis=0",)),
    ("ops.roll", "F(A, 1, …)", ("axis=0",)),
    ("ops.rot90", "F(C, …)", ("k=2", "axes=(1, 2)")),
    ("ops.searchsorted", "F(np.array([1, 2, 2, 4]), np.array([2, 3]), …)", ("side='right'",)),
    ("ops.select", "F([A > 0.5, A > 0], [A, 2 * A], …)", ("default=9",)),
    ("ops.squeeze", "F(A[None, :, None], …)", ("axis=0",)),
    ("ops.swapaxes", "F(C, 0, 2)", ()),
    ("ops.take", "F(A, J, …)", ("axis=0", "axis=1")),
    ("ops.take_along_axis", "F(V, J, …)", ()),
    ("ops.take_along_axis", "F(A, I % 3, axis=0)", ()),
    ("ops.take_along_axis", "F(A, I % 3, axis=1)", ()),
    ("ops.transpose", "F(C, …)", ("axes=(1, 0, 2)",)),
    ("ops.tril ops.triu", "F(A, …)", ("k=1",)),
    ("ops.unravel_index", "F(J, (2, 3))", ()),
    ("ops.vander", "F(W, …)", ("N=2", "increasing=True")),
    ("ops.vectorize", "F(lambda x: x * 2, …)(A)", ()),
    ("ops.where", "F(A > 0, A, B)", ()),
    ("ops.where", "F(A > 0)", ()),
    ("ops.tile", "F(A, (2, 1))", ()),
    ("ops.reshape", "F(A, (2, 6))", ()),
    ("ops.slice", "F(A, (1, 0), (2, 3))", ()),
    ("ops.unstack", "F(A[:, :3], …)", ("axis=1",)),
    ("ops.unstack", "F(S, num=3)", ()),
    ("ops.get_item", "F(A, 1)", ()),
    ("ops.clip", "F(A, -0.5, 0.5)", ()),
    ("ops.cast", "F(3 * A, 'int32')", ()),
    ("ops.saturate_cast", "F(300 * A, 'int8')", ()),
    ("ops.convert_to_tensor ops.array", "F([1.5, 2.5], …)", ("dtype='int32'",)),
    ("ops.cond", "F(True, lambda: 1, lambda: 2)", ()),
    ("ops.switch", "F(1, [lambda x: x, lambda x: 2 * x], 4)", ()),
    ("ops.map", "F(lambda x: x * 2, A)", ()),
    ("ops.vectorized_map", "F(lambda x: x * 2, A)", ()),
    ("ops.map ops.vectorized_map", "F(lambda x: x[0] + x[1], (A, B))", ()),
    ("ops.one_hot", "F(I, 4, …)", ("axis=0", "axis=1")),
    ("ops.one_hot", "F(I, 4, …).dtype", ("dtype='int32'",)),
    ("ops.multi_hot", "F(I, 6, …)", ("axis=0",)),
    ("ops.multi_hot", "F(I, 6, …).dtype", ("dtype='int32'",)),
    ("ops.top_k", "F(A, 2)", ()),
    ("ops.in_top_k", "F(K, A, k=2)", ()),
    ("ops.binary_crossentropy", "F(T, P, …)", ("from_logits=True",)),
    ("ops.categorical_crossentropy", "F(H, P, …)", ("from_logits=True", "axis=0", "from_logits=True, axis=0")),
    ("ops.sparse_categorical_crossentropy", "F(K, P, …)", ("from_logits=True",)),
    ("ops.sparse_categorical_crossentropy", "F(K % 3, P[:, :3], axis=0, …)", ("from_logits=True",)),
    ("ops.trapezoid", "F(A, …)", ("x=np.cumsum(U, axis=1)", "dx=2.0", "axis=0")),
    ("ops.cholesky", "F(S)", ()),
    ("ops.det ops.inv ops.slogdet ops.pinv", "F(S)", ()),
    ("ops.eig ops.eigh", "F(S)[0].real", ()),
    ("ops.lstsq", "F(A.T, V, …)", ("rcond=0.7",)),
    ("ops.matrix_rank", "F(S, …)", ("tol=4.0",)),
    ("ops.pinv", "F(S, …)", ("rcond=0.7",)),
    ("ops.qr", "F(A.T, …)", ("mode='complete'",)),
    ("ops.solve", "F(S, W)", ()),
    ("ops.svd", "F(S, …)", ("compute_uv=False",)),
    ("ops.svd", "F(A, …)[2].shape", ("full_matrices=False",)),
    # activations
    ("activations.celu activations.elu ops.celu ops.elu", "F(A, …)", ("alpha=0.5",)),
    ("activations.exponential activations.hard_sigmoid activations.hard_silu activations.hard_swish", "F(3 * A)", ()),
    (
        "activations.hard_tanh activations.linear activations.log_sigmoid activations.mish activations.relu6",
        "F(3 * A)",
        (),
    ),
    ("activations.selu activations.sigmoid activations.silu activations.softplus activations.softsign", "F(3 * A)", ()),
    ("activations.sparse_plus activations.sparse_sigmoid activations.swish activations.tanh", "F(3 * A)", ()),
    (
        "activations.tanh_shrink ops.hard_sigmoid ops.hard_silu ops.hard_swish ops.hard_tanh ops.log_sigmoid",
        "F(3 * A)",
        (),
    ),
    ("ops.relu ops.relu6 ops.selu ops.sigmoid ops.silu ops.softplus ops.softsign ops.sparse_plus", "F(3 * A)", ()),
    ("ops.sparse_sigmoid ops.swish ops.tanh_shrink", "F(3 * A)", ()),
    ("activations.gelu", "F(A, …)", ("approximate=True",)),
    ("ops.gelu", "F(A, …)", ("approximate=False",)),
    ("activations.glu ops.glu", "F(C[:, :2], …)", ("axis=1",)),
    ("activations.hard_shrink activations.soft_shrink ops.hard_shrink ops.soft_shrink", "F(A, …)", ("threshold=0.1",)),
    ("activations.leaky_relu ops.leaky_relu", "F(A, …)", ("negative_slope=0.4",)),
    ("activations.log_softmax activations.softmax ops.log_softmax ops.softmax", "F(A, …)", ("axis=0", "axis=None")),
    ("activations.relu", "F(2 * I - 3.0, …)", ("negative_slope=0.5", "max_value=2.0", "threshold=1.0")),
    ("activations.squareplus ops.squareplus", "F(A, …)", ("b=2",)),
    ("activations.threshold ops.threshold", "F(A, 0.2, 7.0)", ()),
    # losses
    ("losses.mean_absolute_error losses.mean_squared_error losses.poisson losses.log_cosh losses.hinge", "F(T, P)", ()),
    ("losses.mean_absolute_percentage_error losses.mean_squared_logarithmic_error", "F(U, P)", ()),
    ("losses.squared_hinge losses.categorical_hinge losses.kl_divergence", "F(T, P)", ()),
    ("losses.cosine_similarity", "F(T, P, …)", ("axis=0",)),
    ("losses.huber", "F(T, P, …)", ("delta=0.3",)),
    ("losses.binary_crossentropy", "F(T, P, …)", ("from_logits=True", "label_smoothing=0.2", "axis=0")),
    ("losses.categorical_crossentropy", "F(H, P, …)", ("from_logits=True", "label_smoothing=0.2", "axis=0")),
    ("losses.sparse_categorical_crossentropy", "F(K, P, …)", ("from_logits=True", "ignore_class=1")),
    ("losses.sparse_categorical_crossentropy", "F(K % 3, P[:, :3], axis=0, …)", ("from_logits=True",)),
    ("losses.CategoricalHinge losses.Hinge losses.KLDivergence losses.LogCosh", "F(…)(T, P)", REDUCTIONS),
    ("losses.MeanAbsoluteError losses.MeanSquaredError losses.Poisson losses.SquaredHinge", "F(…)(T, P)", REDUCTIONS),
    ("losses.MeanAbsolutePercentageError losses.MeanSquaredLogarithmicError", "F(…)(U, P)", REDUCTIONS),
    ("losses.Huber", "F(…)(T, P)", (*REDUCTIONS, "delta=0.3")),
    ("losses.CosineSimilarity", "F(…)(T, P)", (*REDUCTIONS, "axis=0")),
    ("losses.BinaryCrossentropy", "F(…)(T, P)", (*REDUCTIONS, "from_logits=True", "label_smoothing=0.2")),
    ("losses.BinaryCrossentropy", "F(reduction='none', …)(T, P)", ("axis=0",)),
    (
        "losses.CategoricalCrossentropy",
        "F(…)(H, P)",
        (*REDUCTIONS, "from_logits=True", "label_smoothing=0.2", "axis=0"),
    ),
    ("losses.SparseCategoricalCrossentropy", "F(…)(K, P)", (*REDUCTIONS, "from_logits=True", "ignore_class=1")),
    ("losses.SparseCategoricalCrossentropy", "F(axis=0, …)(K % 3, P[:, :3])", ("from_logits=True",)),
    ("losses.MeanSquaredError", "F(…)(T, P, sample_weight=W)", (*REDUCTIONS, "reduction='mean_with_sample_weight'")),
    ("losses.MeanSquaredError losses.BinaryCrossentropy", "F(name='own').name", ()),
    # metrics
    ("metrics.binary_accuracy", "F(T, P, …)", ("threshold=0.3",)),
    ("metrics.categorical_accuracy", "F(H, P)", ()),
    ("metrics.sparse_categorical_accuracy", "F(K, P)", ()),
    ("metrics.top_k_categorical_accuracy", "F(H, P, …)", ("k=1", "k=2")),
    ("metrics.sparse_top_k_categorical_accuracy", "F(K, P, …)", ("k=1", "k=2")),
    ("metrics.Accuracy", "F()(I, I.T[:3, [0, 1, 2, 2]], …)", ("sample_weight=W",)),
    ("metrics.Accuracy", "F()([1, 2, 3, 4], [0, 2, 3, 4], …)", ("sample_weight=[4.0, 1.0, 1.0, 1.0]",)),
    ("metrics.BinaryAccuracy", "F(…)(T, P)", ("threshold=0.3",)),
    ("metrics.BinaryCrossentropy", "F(…)(T, P)", ("from_logits=True", "label_smoothing=0.2")),
    ("metrics.CategoricalCrossentropy", "F(…)(H, P)", ("from_logits=True", "label_smoothing=0.2", "axis=0")),
    ("metrics.SparseCategoricalCrossentropy", "F(…)(K, P)", ("from_logits=True", "ignore_class=1")),
    ("metrics.SparseCategoricalCrossentropy", "F(axis=0, …)(K % 3, P[:, :3])", ("from_logits=True",)),
    ("metrics.CosineSimilarity", "F(…)(T, P)", ("axis=0",)),
    ("metrics.CategoricalAccuracy", "F()(H, P, …)", ("sample_weight=W",)),
    ("metrics.SparseCategoricalAccuracy", "F()(K, P, …)", ("sample_weight=W",)),
    ("metrics.TopKCategoricalAccuracy", "F(…)(H, P)", ("k=1", "k=2")),
    ("metrics.SparseTopKCategoricalAccuracy", "F(…)(K, P)", ("k=1", "k=2")),
    (
        "metrics.CategoricalHinge metrics.Hinge metrics.KLDivergence metrics.LogCoshError",
        "F()(T, P, …)",
        ("sample_weight=W",),
    ),
    ("metrics.MeanAbsoluteError metrics.MeanSquaredError metrics.Poisson", "F()(T, P, …)", ("sample_weight=W",)),
    ("metrics.RootMeanSquaredError metrics.SquaredHinge", "F()(T, P, …)", ("sample_weight=W",)),
    ("metrics.MeanAbsolutePercentageError", "F()(U, P, …)", ("sample_weight=W",)),
    ("metrics.MeanSquaredLogarithmicError", "F()(U, P, …)", ("sample_weight=W",)),
    ("metrics.Mean metrics.Sum", "F()(W, …)", ("sample_weight=[1.0, 2.0, 3.0]",)),
    ("metrics.F1Score", "F(…)(T, P)", ("average='macro'", "average='micro'", "average='weighted'", "threshold=0.3")),
    ("metrics.FBetaScore", "F(…)(T, P)", ("average='macro'", "beta=3.0", "threshold=0.3")),
    ("metrics.FalseNegatives metrics.FalsePositives", "F(…)(T, P)", ("thresholds=0.25", "thresholds=[0.1, 0.45]")),
    ("metrics.TrueNegatives metrics.TruePositives", "F(…)(T, P)", ("thresholds=0.25", "thresholds=[0.1, 0.45]")),
    ("metrics.Precision metrics.Recall", "F(…)(T, P)", ("thresholds=0.25", "top_k=3")),
    ("metrics.Precision metrics.Recall", "F(thresholds=0.45, …)(T, P)", ("class_id=2", "top_k=1")),
    ("metrics.R2Score", "F(…)(U, P)", ("class_aggregation=None", "num_regressors=1")),
    ("metrics.R2Score", "F(…)(U, P)", ("class_aggregation='variance_weighted_average'",)),
    ("metrics.AUC", "F(…)(T, P)", ("num_thresholds=3", "curve='PR'", "thresholds=[0.3, 0.6]", "from_logits=True")),
    ("metrics.AUC", "F(num_thresholds=4, …)(T, P)", ("summation_method='minoring'", "summation_method='majoring'")),
    ("metrics.AUC", "F(num_thresholds=3, …)(T, 2 * P - 0.5)", ("curve='PR'",)),
    (
        "metrics.AUC",
        "F(…)(T, P)",
        ("multi_label=True, num_labels=4, label_weights=[1.0, 2.0, 3.0, 4.0]", "multi_label=True"),
    ),
    ("metrics.AUC metrics.Mean metrics.Precision metrics.MeanSquaredError", "F(name='own').name", ()),
    ("metrics.MeanMetricWrapper", "F(lambda y, p: (y - p) ** 2, name='own')(T, P)", ()),
    # numbers that are drawn
    ("random.normal random.truncated_normal", "F((9, 9), …).mean() > 3", ("mean=6.0",)),
    ("random.normal random.truncated_normal", "F((9, 9), …).std() > 3", ("stddev=6.0",)),
    ("random.uniform", "F((9, 9), …).max() > 3", ("maxval=9.0",)),
    ("random.uniform", "F((9, 9), …).min() < -3", ("minval=-9.0",)),
    ("random.randint", "F((9, 9), 3, 4, …)", ()),
    ("random.binomial", "F((9, 9), 3, 1.0)", ()),
    ("random.categorical", "F(1000 * S, 4)", ()),
    ("random.shuffle", "np.sort(F(A, 1), 1)", ()),
    ("random.dropout", "F(A, 0.0)", ()),
    ("random.dropout", "F(A, rate=1.0)", ()),
    ("random.dropout", "F(np.ones((4, 9), 'float32'), 0.5, …).std(1).max() > 0", ("noise_shape=(4, 1)",)),
    ("random.dropout", "np.unique(F(np.ones((9, 9), 'float32'), 0.75))", ()),
    # utilities
    ("utils.normalize", "F(A, …)", ("order=1",)),
    ("utils.to_categorical", "F([0, 2], …)", ("num_classes=4",)),
    ("utils.pad_sequences", "F([[1, 2, 3], [4]], …)", ("maxlen=2", "padding='post'", "value=9")),
    ("utils.pad_sequences", "F([[1, 2, 3], [4]], maxlen=2, …)", ("truncating='post'", "dtype='float32', value=0.5")),
    ("utils.pack_x_y_sample_weight", "F(1, …)", ("y=2", "y=2, sample_weight=3")),
    ("utils.unpack_x_y_sample_weight", "F((1, 2))", ()),
    ("utils.standardize_dtype", "F('float64')", ()),
]


def calls():
    """``{(name, call): base}`` of all rows: a call by each change, and the call that it changes, None for that one."""
    found = {}
    for names, call, changes in ROWS:
        base = call.replace(", …", "").replace("…", "")
        for name in names.split():
            found.setdefault((name, base), None)
            found |= {(name, call.replace("…", change)): base for change in changes}
    return found


def function_of(keras, name):
    """What a name stands for."""
    return reduce(getattr, name.split("."), keras)


def evaluated(function, call):
    """The value of a call as JSON values."""
    return as_json(eval(call, {"np": np, "F": function, **{name: array.copy() for name, array in ARRAYS.items()}}))


def as_json(value):
    """Numbers with eight digits, arrays as lists, all else as text."""
    if isinstance(value, (list, tuple)):
        return [as_json(one) for one in value]
    if isinstance(value, (bool, int, str)):
        return value
    array = np.asarray(value)
    if array.dtype.kind == "c":
        return [as_json(array.real), as_json(array.imag)]
    if array.dtype.kind not in "biuf":
        return str(value)
    return [as_json(one) for one in array] if array.ndim else float(f"{float(array):.8g}")


def signature(function) -> list:
    """The parameters of a function or a class: name, kind and default."""
    found = inspect.signature(partial(function.__init__, None) if isinstance(function, type) else function)
    return [
        [one.name, int(one.kind), None if one.default is one.empty else repr(one.default)]
        for one in found.parameters.values()
    ]


def record(keras) -> dict:
    """What Keras gives for all calls, and the signatures of all names in the modules that rows are about."""
    values = {}
    for (name, call), base in calls().items():
        values[f"{name}: {call}"] = found = evaluated(function_of(keras, name), call)
        assert base is None or found != values[f"{name}: {base}"], f"{name}: {call} gives what {base} does"
    signatures = {}
    for module in (*MODULES, "layers"):
        space = function_of(keras, module)
        for name in dir(space):
            if not name.startswith("_") and callable(getattr(space, name)):
                signatures[f"{module}.{name}"] = signature(getattr(space, name))
    return {"values": values, "signatures": signatures}
