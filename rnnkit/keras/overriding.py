"""Methods that Keras calls and rnnkit doesn't: a class that overrides one is refused, with what to define instead."""

from __future__ import annotations

from rnnkit.arguments import is_own

_FILES = "files hold configuration and weights: define get_config, and keep other arrays as weights"
_LAYER = {
    "build_from_config get_build_config": "layers are built by the shape of their input",
    "load_own_variables save_own_variables": _FILES,
    "quantized_build quantized_call rematerialized_call symbolic_call": "define call",
}
_MODEL = {
    "compute_output_spec": "shapes are read from call",
    "compile_from_config get_compile_config": "files hold what compile was given",
    "get_quantization_layer_structure": "weights are float32 or float64",
    "jax_state_sync make_predict_function make_test_function make_train_function": "define train_step, test_step or "
    "predict_step",
    "stateless_compute_loss": "define compute_loss",
}
_OPTIMIZER = {
    "add_optimizer_variables add_variable add_variable_from_reference build update_step": "name slots, and define "
    "rule(weight, gradient, slots, now), see rnnkit.optimizers.Optimizer",
    "apply apply_gradients stateless_apply assign assign_add assign_sub": "define rule(weight, gradient, slots, now), "
    "see rnnkit.optimizers.Optimizer",
    "iterations learning_rate": "give learning_rate a schedule, a function of the number of updates",
    "load_own_variables save_own_variables set_weights": "files hold the slots of all weights",
    "scale_loss": "float32 and float64 need no scale",
}
_METRIC = {
    "stateless_reset_state stateless_result stateless_update_state": "define update_state, result and reset_state"
}
REFUSED = {
    "Layer": _LAYER,
    "Metric": _METRIC,
    "Model": _LAYER | _MODEL,
    "Optimizer": _OPTIMIZER,
}


def check(kind: type, of: str, given=None) -> None:
    """Refuse a program's class that overrides a method which nothing would call, or such an attribute of an object.

    Raises
    ------
    NotImplementedError
        With the method's name, and what to define instead.
    """
    for names, instead in REFUSED.get(of, {}).items():
        for name in names.split():
            if name in (given or vars(kind)) and (given or not is_own(kind)):
                raise NotImplementedError(
                    f"expected the class {kind.__name__} without {name}, which rnnkit.keras doesn't call: {instead}"
                )
