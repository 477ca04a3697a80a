"""Vector instructions of one width, written into a function that Numba compiles."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

I32, I64, F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
TANH_LIMIT = 7.9053111
TANH_ABOVE = (  # of x^13, x^11 ... x: rational approximation as in Eigen, within 5e-7
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
TANH_BELOW = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)


class Emitter:
    """Vector instructions of one width."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any):
        self.context, self.builder = context, builder
        self.signature, self.arguments = signature, arguments
        self.width = signature.args[0].count
        self.floats = ir.VectorType(F32, self.width)
        self.words = ir.VectorType(I32, self.width)
        kind = ir.FunctionType(self.floats, [self.floats] * 3)
        self._fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{self.width}f32")

    def data(self, index: int) -> ir.Value:
        """First element of the array that is argument `index`."""
        array = self.context.make_array(self.signature.args[index])
        return array(self.context, self.builder, self.arguments[index]).data

    def load(self, base: ir.Value, place: ir.Value, kind: ir.Type | None = None) -> ir.Value:
        pointer = self.builder.bitcast(self.builder.gep(base, [place]), (kind or self.floats).as_pointer())
        return self.builder.load(pointer, align=4)

    def store(self, value: ir.Value, base: ir.Value, place: ir.Value) -> None:
        pointer = self.builder.bitcast(self.builder.gep(base, [place]), value.type.as_pointer())
        self.builder.store(value, pointer, align=4)

    def splat(self, value: ir.Value) -> ir.Value:
        vector = ir.VectorType(value.type, self.width)
        nothing, everywhere = ir.Constant(vector, ir.Undefined), ir.Constant(self.words, [0] * self.width)
        first = self.builder.insert_element(nothing, value, ir.Constant(I32, 0))
        return self.builder.shuffle_vector(first, nothing, everywhere)

    def constant(self, value: float) -> ir.Value:
        return ir.Constant(self.floats, [value] * self.width)

    def mask(self, value: int) -> ir.Value:
        return ir.Constant(self.words, [value] * self.width)

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """a * b + c, in one instruction where the processor has it."""
        return self.builder.call(self._fma, [a, b, c])

    def larger(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def smaller(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def step(self, place: ir.Value, count: int) -> ir.Value:
        return self.builder.add(place, ir.Constant(I64, count))

    def polynomial(self, coefficients: tuple[float, ...], square: ir.Value) -> ir.Value:
        total = self.constant(coefficients[0])
        for coefficient in coefficients[1:]:
            total = self.multiply_add(total, square, self.constant(coefficient))
        return total

    def tanh(self, x: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Above and below the bar."""
        x = self.larger(self.smaller(x, self.constant(TANH_LIMIT)), self.constant(-TANH_LIMIT))
        square = self.builder.fmul(x, x)
        return self.builder.fmul(self.polynomial(TANH_ABOVE, square), x), self.polynomial(TANH_BELOW, square)

    def rounded(self, x: ir.Value) -> ir.Value:
        """float32 -> bfloat16 as 16-bit integers, to the nearest, ties to even."""
        bits = self.builder.bitcast(x, self.words)
        odd = self.builder.and_(self.builder.lshr(bits, self.mask(16)), self.mask(1))
        up = self.builder.add(self.builder.add(bits, self.mask(0x7FFF)), odd)
        return self.builder.trunc(self.builder.lshr(up, self.mask(16)), ir.VectorType(ir.IntType(16), self.width))

    @property
    def rounds_inputs(self) -> bool:
        """Whether products are made by the bfloat16 dot product."""
        return self.signature.args[1].dtype == types.uint32
