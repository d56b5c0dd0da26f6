"""`Value`s in a kernel for a GPU, so that the formulas of exponential, trigonometry … serve there as they stand.

NVVM merges a product and a sum into one multiply-add wherever it may. The product named here is rounded by decree,
which leaves nothing to merge: a multiply-add is formed only where `fma` is written, as on the CPU.
"""

from rnnkit.backends.formulas.value import Value, call_intrinsic

# Names in NVVM or its library of functions, libdevice: for float32 and for float64.
_LIBRARY = "fabs floor ceil trunc rint copysign fmod sin cos"
FUNCTIONS = {name: (f"__nv_{name}f", f"__nv_{name}") for name in _LIBRARY.split()}
_ROUNDED = {"multiply": "mul", "divide": "div", "sqrt": "sqrt"}  # to the nearest
FUNCTIONS |= {name: (f"llvm.nvvm.{own}.rn.f", f"llvm.nvvm.{own}.rn.d") for name, own in _ROUNDED.items()}
FUNCTIONS["fma"] = ("llvm.fma.f32", "llvm.fma.f64")
# The instructions that these names stand for.
INSTRUCTIONS = {"fmul": "multiply", "fdiv": "divide", "frem": "fmod"}


class DeviceValue(Value):
    """One float, integer or bit of one thread."""

    def function(self, name, *others):
        like = [self.like(other) for other in others]
        full = FUNCTIONS[name][self.width == 64]
        return self.of(call_intrinsic(self.builder, full, self.type, [v.value for v in (self, *like)]))

    def _emit(self, instruction, *others, **keywords):
        if instruction in INSTRUCTIONS:
            return self.function(INSTRUCTIONS[instruction], *others)
        if instruction == "fneg":  # unknown to NVVM's old LLVM; -0.0 - x is exactly the same
            return self.constant(-0.0) - self
        return super()._emit(instruction, *others, **keywords)
