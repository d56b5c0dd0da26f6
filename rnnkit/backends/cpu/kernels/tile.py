"""Register tiles: a loop of LLVM whose sums stay in registers, and the choice among tiles of several shapes.

An element is one chain of multiply-adds in the order of the loop, started from 0, whatever the shape of its tile.
"""

from collections.abc import Callable, Iterable

from llvmlite import ir

from rnnkit.backends.cpu.simd.intrinsic import Intrinsic, intrinsic
from rnnkit.backends.cpu.simd.kinds import INT, VOID, Float
from rnnkit.backends.cpu.simd.load_store import load_unaligned, store_unaligned
from rnnkit.backends.cpu.simd.registers import LANES
from rnnkit.backends.formulas.value import Value, broadcast, fma, uniform


class Tile:
    """Writer of one tile of a kind of floats; a subclass has ``write(*shape, *operands)``. Addresses count bytes."""

    write: Callable[..., None]

    def __init__(self, builder, kind: Float):
        self.builder, self.element = builder, kind.llvm
        self.size, self.lanes = kind.size, LANES[kind.name]
        self.vector = ir.VectorType(self.element, self.lanes)
        self.vector_bytes = self.size * self.lanes
        self.zeros = uniform(self.element, self.lanes, "zeroinitializer")

    def load(self, address) -> Value:
        return Value(self.builder, load_unaligned(self.builder, address.value, self.vector, self.size))

    def splat(self, address) -> Value:
        """Load the number at an address into every lane."""
        number = load_unaligned(self.builder, address.value, self.element, self.size)
        return Value(self.builder, broadcast(self.builder, number, self.lanes))

    def store(self, address, vector) -> None:
        store_unaligned(self.builder, address.value, vector.value, self.size)

    def sums(
        self, name: str, count, places, factors: Callable[[Value], Iterable[tuple[Value, Value]]], some: bool = False
    ) -> list[Value]:
        """Return for each of `places` the sum of its products over ``0 … count - 1``; 0 where there are none.

        ``factors(k)`` gives the two factors of each place in turn, in the loop's block, which is called `name`. With
        `some` there is at least one.
        """
        builder, i64 = self.builder, ir.IntType(64)
        entry = builder.block
        loop, done = builder.append_basic_block(name), builder.append_basic_block("done")
        if some:
            builder.branch(loop)
        else:
            builder.cbranch((count > 0).value, loop, done)

        builder.position_at_end(loop)
        k = builder.phi(i64)
        totals = [builder.phi(self.vector) for _ in places]
        terms = zip(factors(Value(builder, k)), totals, strict=True)
        new = [fma(a, b, Value(builder, total)).value for (a, b), total in terms]
        following = Value(builder, k) + 1
        builder.cbranch((following < count).value, loop, done)

        builder.position_at_end(done)
        results = new if some else [builder.phi(self.vector) for _ in places]
        k.add_incoming(i64(0), entry)
        k.add_incoming(following.value, loop)
        for total, result, value in zip(totals, results, new, strict=True):
            for phi in (total,) if some else (total, result):
                phi.add_incoming(self.zeros, entry)
                phi.add_incoming(value, loop)
        return [Value(builder, result) for result in results]


def choice(tile: Callable[..., Tile], kind: Float, shapes, operands: int) -> Intrinsic:
    """Return an intrinsic of a number and int64 operands; number i (from 1) runs the tile of the i-th of `shapes`."""

    @intrinsic(VOID, *[INT] * (1 + operands))
    def run(builder, number, *arguments):
        values = [Value(builder, argument) for argument in arguments]
        end = builder.append_basic_block("end")
        switch = builder.switch(number, end)
        for case, shape in enumerate(shapes, 1):
            block = builder.append_basic_block(f"tile{'x'.join(map(str, shape))}")
            switch.add_case(case, block)
            builder.position_at_end(block)
            tile(builder, kind).write(*shape, *values)
            builder.branch(end)
        builder.position_at_end(end)

    return run
