"""What lies between the matrix products of a layer, in explicit vectors; see `tiles` for the arguments they share."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from avsc_tf.vocoder.sampler_kernels.emitter import I32, I64, Emitter

I16 = ir.IntType(16)
FLOATS_A_LINE = 16  # of the cache


class _Rows(Emitter):
    """`memory` and `pairs` are arguments 2 and 3; a loop over one lane's channels."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any):
        super().__init__(context, builder, signature, arguments)
        self.memory = self.data(2)
        self.inputs = self.sixteen_bit(3) if self.rounds_inputs else self.memory
        self.input_kind = ir.VectorType(I16, self.width) if self.rounds_inputs else self.floats

    def sixteen_bit(self, index: int) -> ir.Value:
        return self.builder.bitcast(self.data(index), I16.as_pointer())

    def as_input(self, x: ir.Value) -> ir.Value:
        """As a following product takes it."""
        return self.rounded(x) if self.rounds_inputs else x

    def places(self, count: ir.Value):
        """A loop over vectors; `index` goes up by the vector's width."""
        start, step = ir.Constant(I64, 0), ir.Constant(I64, self.width)
        return cgutils.for_range_slice(self.builder, start, count, step)


@intrinsic
def remember(typing_context, ways, words, memory, pairs, rings, ring_at, x_at, pair_at, biases, bias_at, channels):
    """A layer's input x goes into its ring in place of the one a dilation ago; both become a pair; then x += bias."""
    place = types.intp
    signature = types.void(ways, words, memory, pairs, rings, place, place, place, biases, place, place)

    def generate(context, builder, signature, arguments):
        rows = _Rows(context, builder, signature, arguments)
        ring_at, x_at, pair_at, _, bias_at, channels = arguments[5:]
        rings, biases = (rows.sixteen_bit(4) if rows.rounds_inputs else rows.data(4)), rows.data(8)
        with rows.places(channels) as (j, _):
            x = rows.load(rows.memory, builder.add(x_at, j))
            slot, before = builder.add(ring_at, j), builder.add(pair_at, j)
            rows.store(rows.load(rings, slot, rows.input_kind), rows.inputs, before)
            rows.store(rows.as_input(x), rings, slot)
            rows.store(rows.as_input(x), rows.inputs, builder.add(before, channels))
            biased = builder.fadd(x, rows.load(biases, builder.add(bias_at, j)))
            rows.store(biased, rows.memory, builder.add(x_at, j))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def fetch(typing_context, ways, array, place, count):
    """Asks for `count` numbers of float32 `array` to be brought into the cache while others are at work."""
    signature = types.void(ways, array, types.intp, types.intp)

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[1])(context, builder, arguments[1]).data
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, I32, I32, I32])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        to_read, nearest, of_data = (ir.Constant(I32, value) for value in (0, 3, 1))
        start, step = ir.Constant(I64, 0), ir.Constant(I64, FLOATS_A_LINE)
        with cgutils.for_range_slice(builder, start, arguments[3], step) as (j, _):
            there = builder.bitcast(builder.gep(data, [builder.add(arguments[2], j)]), pointer)
            builder.call(ask, [there, to_read, nearest, of_data])
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def gate(typing_context, ways, words, memory, pairs, filtered_at, gate_at, channels):
    """tanh(first half) * sigmoid(second half) of a layer's filtered channels."""
    place = types.intp
    signature = types.void(ways, words, memory, pairs, place, place, place)

    def generate(context, builder, signature, arguments):
        rows = _Rows(context, builder, signature, arguments)
        filtered_at, gate_at, channels = arguments[4:]
        half = rows.constant(0.5)
        with rows.places(channels) as (j, _):
            place = builder.add(filtered_at, j)
            above, below = rows.tanh(rows.load(rows.memory, place))
            openness = rows.load(rows.memory, builder.add(place, channels))
            above_2, below_2 = rows.tanh(builder.fmul(openness, half))  # sigmoid(x) = (1 + tanh(x / 2)) / 2
            numerator = builder.fmul(builder.fmul(above, half), builder.fadd(above_2, below_2))
            z = builder.fdiv(numerator, builder.fmul(below, below_2))
            rows.store(rows.as_input(z), rows.inputs, builder.add(gate_at, j))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def ready(typing_context, ways, words, memory, pairs, at, count):
    """Outputs of a product become inputs of the next: rounded into `pairs` where the dot product wants that."""
    signature = types.void(ways, words, memory, pairs, types.intp, types.intp)

    def generate(context, builder, signature, arguments):
        rows = _Rows(context, builder, signature, arguments)
        if rows.rounds_inputs:
            at, count = arguments[4:]
            with rows.places(count) as (j, _):
                place = builder.add(at, j)
                rows.store(rows.rounded(rows.load(rows.memory, place)), rows.inputs, place)
        return context.get_dummy_value()

    return signature, generate
