"""The functions of one or two values that every target has."""

FUNCTIONS = (
    "absolute sqrt floor ceil trunc rint copysign minimum maximum sign square reciprocal exp exp2 expm1 log log2 log10 "
    "log1p logaddexp sinh cosh tanh arcsinh arccosh arctanh sigmoid softplus log_sigmoid erf erfc sin cos tan arcsin "
    "arccos arctan arctan2 power cbrt hypot fmod remainder floor_divide"
).split()
