"""LLVM values with Python's operators, so that vector arithmetic reads as arithmetic.

A function of `Value`s emits the same instructions for one number and for a vector of them, in float32 and
float64: its results are the same bits whichever way it is called.
"""

import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

from llvmlite import ir

from rnnkit.backends.formulas.registry import formula

BIT = ir.IntType(1)


def _operator(for_floats, for_integers):
    return lambda self, other: self._arithmetic(other, for_floats, for_integers)


def _reflected(apply):
    return lambda self, other: apply(self.constant(other), self)


def _comparison(sign):
    return lambda self, other: self._compare(sign, other)


class Value:
    """One LLVM value: a float, an integer or a bit, or a vector of those."""

    own: Mapping[str, Callable] = MappingProxyType({})  # functions of the target in the place of formulas

    def __init__(self, builder, value):
        self.builder = builder
        self.value = value

    def of(self, value):
        return type(self)(self.builder, value)

    @property
    def type(self):
        return self.value.type

    @property
    def lanes(self):
        """The number of elements, None for a scalar."""
        return self.type.count if isinstance(self.type, ir.VectorType) else None

    @property
    def element(self):
        return self.type.element if isinstance(self.type, ir.VectorType) else self.type

    @property
    def is_float(self):
        return not isinstance(self.element, ir.IntType)

    @property
    def width(self):
        if isinstance(self.element, ir.IntType):
            return self.element.width
        return 32 if isinstance(self.element, ir.FloatType) else 64

    def shaped(self, element):
        return element if self.lanes is None else ir.VectorType(element, self.lanes)

    def constant(self, number):
        """Return `number` in every lane, in this value's own type."""
        return self.of(_constant(self.element, self.lanes, float(number).hex() if self.is_float else int(number)))

    def like(self, other):
        """Return `other`, a number or a value, with as many lanes as this value."""
        if not isinstance(other, Value):
            return self.constant(other)
        if self.lanes is None or other.lanes is not None:
            return other
        return self.of(broadcast(self.builder, other.value, self.lanes))

    def _emit(self, instruction, *others, **keywords):
        result = getattr(self.builder, instruction)(self.value, *(o.value for o in others), **keywords)
        return self.of(result)

    def function(self, name, *others):
        """Return the target's function `name` of this value and others of its type: here LLVM's intrinsic."""
        like = [self.like(other) for other in others]
        full = f"llvm.{name}.{type_name(self.type)}"
        return self.of(call_intrinsic(self.builder, full, self.type, [v.value for v in (self, *like)]))

    def _arithmetic(self, other, for_floats, for_integers):
        other = self.like(other)
        this = other.like(self)
        return this._emit(for_floats if this.is_float else for_integers, other)

    __add__ = _operator("fadd", "add")
    __sub__ = _operator("fsub", "sub")
    __mul__ = _operator("fmul", "mul")
    __truediv__ = _operator("fdiv", None)
    __mod__ = _operator("frem", None)
    __and__ = _operator(None, "and_")
    __or__ = _operator(None, "or_")
    __xor__ = _operator(None, "xor")
    __lshift__ = _operator(None, "shl")
    __rshift__ = _operator(None, "ashr")  # the sign moves in from the left
    __radd__ = _reflected(operator.add)
    __rsub__ = _reflected(operator.sub)
    __rmul__ = _reflected(operator.mul)
    __rtruediv__ = _reflected(operator.truediv)

    def __neg__(self):
        return self._emit("fneg" if self.is_float else "neg")

    def __invert__(self):
        return self._emit("not_")

    def _compare(self, sign, other):
        other = self.like(other)
        this = other.like(self)
        # As in NumPy: NaN differs from everything, and no other comparison with it holds.
        ordered = "fcmp_unordered" if sign == "!=" else "fcmp_ordered"
        return this._emit_compare(ordered if this.is_float else "icmp_signed", sign, other)

    def _emit_compare(self, instruction, sign, other):
        return self.of(getattr(self.builder, instruction)(sign, self.value, other.value))

    __lt__ = _comparison("<")
    __le__ = _comparison("<=")
    __gt__ = _comparison(">")
    __ge__ = _comparison(">=")
    __eq__ = _comparison("==")
    __ne__ = _comparison("!=")

    __hash__ = None  # type: ignore[assignment]  # as Python itself sets it where == is defined

    def is_nan(self):
        return self != self

    def bits(self):
        """Return the same bits as integers, of floats; or as floats, of integers."""
        if self.is_float:
            element = ir.IntType(self.width)
        else:
            element = ir.FloatType() if self.width == 32 else ir.DoubleType()
        return self.of(self.builder.bitcast(self.value, self.shaped(element)))

    def to_float(self, element):
        """Return integers (signed) or bits (0 and 1) as floats of the LLVM type `element`."""
        instruction = self.builder.uitofp if self.element == BIT else self.builder.sitofp
        return self.of(instruction(self.value, self.shaped(element)))

    def extract(self, lane):
        return self.of(self.builder.extract_element(self.value, ir.IntType(32)(lane)))


@lru_cache(1024)
def _constant(element, lanes, number):
    """Return a constant whose text is made once for all uses; a float is given by digits, as -0.0 is not 0.0."""
    constant = ir.Constant(element, float.fromhex(number) if isinstance(number, str) else number)
    if lanes is None:
        return constant
    return Uniform(ir.VectorType(element, lanes), f"splat ({element} {constant.get_reference()})", constant.constant)


class Uniform(ir.Constant):
    """A vector of equal constants, in short form; with the number in every lane, if it is one."""

    def __init__(self, llvm_type, text, number=None):
        super().__init__(llvm_type, ir.Undefined)
        self.text, self.number = text, number

    def _get_reference(self):
        return self.text


@lru_cache(64)
def uniform(element, lanes, text) -> Uniform:
    """Return a vector of ``undef`` or of zeros (``zeroinitializer``)."""
    return Uniform(ir.VectorType(element, lanes), text)


def broadcast(builder, scalar, lanes):
    """Return the LLVM vector with `scalar` in every lane; for one lane the scalar itself."""
    if lanes == 1:
        return scalar
    if type(scalar) is ir.Constant and isinstance(scalar.type, ir.IntType):
        return _constant(scalar.type, lanes, scalar.constant)
    undefined, first = uniform(scalar.type, lanes, "undef"), uniform(ir.IntType(32), lanes, "zeroinitializer")
    return builder.shuffle_vector(builder.insert_element(undefined, scalar, ir.IntType(32)(0)), undefined, first)


def type_name(llvm_type):
    """Return a type as the names of LLVM's intrinsics spell it: f32, v16f32, v8i1."""
    if isinstance(llvm_type, ir.VectorType):
        return f"v{llvm_type.count}{llvm_type.element.intrinsic_name}"
    return llvm_type.intrinsic_name


def call_intrinsic(builder, name, result, arguments):
    return builder.call(external(builder, name, result, [argument.type for argument in arguments]), arguments)


def external(builder, name, result, arguments):
    """Return the function of a name that a module calls without defining it."""
    found = builder.module.globals.get(name)
    return ir.Function(builder.module, ir.FunctionType(result, arguments), name) if found is None else found


def widened(x):
    return x.of(x.builder.fpext(x.value, x.shaped(ir.DoubleType())))


def narrowed(x):
    return x.of(x.builder.fptrunc(x.value, x.shaped(ir.FloatType())))


def select(mask, a, b):
    """Return `a` where `mask` is set, `b` elsewhere; one of the two may be a number."""
    a = mask.like(a) if isinstance(a, Value) else b.constant(a)
    b = a.like(b)
    mask, a = a.like(mask), b.like(a)
    return mask.of(mask.builder.select(mask.value, a.value, b.value))


def fma(a, b, c):
    """Return a * b + c, rounded once."""
    return a.function("fma", b, c)


def horner(x, coefficients):
    """Return the polynomial with these `coefficients`, highest power first."""
    result = x.constant(coefficients[0])
    for coefficient in coefficients[1:]:
        result = fma(result, x, coefficient)
    return result


def by_halves(x, coefficients):
    """As `horner`, by Estrin's scheme: more operations, of which fewer wait for each other."""
    terms = [x.constant(coefficient) for coefficient in coefficients]
    while len(terms) > 1:
        odd = len(terms) % 2
        terms = terms[:odd] + [fma(a, x, b) for a, b in zip(terms[odd::2], terms[odd + 1 :: 2], strict=True)]
        x = x * x
    return terms[0]


def _by_target(name, own):
    """Return the formula of a name that is a target's own function."""

    def by_target(x):
        return x.function(own)

    by_target.__name__ = name
    return formula(by_target)


absolute = _by_target("absolute", "fabs")
sqrt, floor, ceil, trunc, rint = (_by_target(name, name) for name in ("sqrt", "floor", "ceil", "trunc", "rint"))


@formula
def copysign(magnitude, sign):
    return magnitude.function("copysign", sign)


@formula
def maximum(a, b):
    """Return the greater number; NaN if either is. One instruction where `b` is known to be a number."""
    b = a.like(b)
    return select((b > a) | b.is_nan(), b, a)


@formula
def minimum(a, b):
    """Return the smaller number; NaN if either is. One instruction where `b` is known to be a number."""
    b = a.like(b)
    return select((b < a) | b.is_nan(), b, a)


@formula
def square(x):
    return x * x


@formula
def sign(x):
    """Return -1, 0 or 1; NaN stays."""
    return select(x > 0, x.constant(1), select(x < 0, x.constant(-1), select(x == 0, x.constant(0), x)))


def reduce(x, combine):
    """Return all lanes combined to one scalar: halves first, then quarters, …, in that order on every host."""
    while x.lanes is not None:
        half = x.lanes // 2
        if half == 0 or x.lanes == 1:
            return x.extract(0)
        parts = []
        for start in (0, half):
            pick = ir.Constant(ir.VectorType(ir.IntType(32), half), list(range(start, start + half)))
            undefined = ir.Constant(x.type, ir.Undefined)
            parts.append(x.of(x.builder.shuffle_vector(x.value, undefined, pick)))
        x = combine(*parts)
    return x


def by_lane(compute, *values):
    """Return `compute`, a function of scalar Values, lane by lane: for functions without vector instructions."""
    first = values[0]
    if first.lanes is None:
        return compute(*values)
    builder, number, before = first.builder, ir.IntType(32), first.builder.block
    loop, done = builder.append_basic_block("lane"), builder.append_basic_block("lanes_done")
    builder.branch(loop)
    builder.position_at_end(loop)
    lane, result = builder.phi(number), builder.phi(first.type)
    scalars = [v.of(builder.extract_element(v.value, lane)) for v in values]
    changed = builder.insert_element(result, compute(*scalars).value, lane)
    following = builder.add(lane, number(1))
    for phi, start, value in ((lane, number(0), following), (result, first.type(ir.Undefined), changed)):
        phi.add_incoming(start, before)
        phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, number(first.lanes)), loop, done)
    builder.position_at_end(done)
    return first.of(changed)


def where_lanes(mask, compute, result, *values):
    """Return `result`, with `compute` by lane in the few lanes of `mask`; without such lanes this costs nothing."""
    builder = mask.builder
    some = mask.value
    if mask.lanes is not None:
        bits = ir.IntType(mask.lanes)
        some = builder.icmp_unsigned("!=", builder.bitcast(some, bits), bits(0))
    before = builder.block
    with builder.if_then(some, likely=False):
        mixed = select(mask, by_lane(compute, *values), result)
        inside = builder.block
    phi = builder.phi(result.type)
    phi.add_incoming(result.value, before)
    phi.add_incoming(mixed.value, inside)
    return mask.of(phi)
