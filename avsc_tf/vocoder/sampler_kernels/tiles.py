"""The kernel's inner loops in explicit vectors: pieces of LLVM code that Numba sets into the loops around them.

LLVM's own vectoriser does not keep a tile of outputs in registers over a whole matrix product; written out, the product
runs as fast as weights arrive from the cache. Every function here takes arrays with places in them (in elements) and
checks nothing. Which version is built follows from types alone, so that Numba's cache tells them apart:

    ways: a tuple as long as a vector has float32 numbers.
    words: the weights. float32; or int32, two rows' bfloat16 in a word (the even row in its lower half), unpacked to
        float32; or uint32, the same words, multiplied by the processor's bfloat16 dot product. Then inputs are
        rounded to bfloat16 too: they lie in `pairs` at half the place they have in `memory`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from avsc_tf.vocoder.sampler_kernels.emitter import I64, Emitter

CHAINS = 4  # sums under way at a time for each lane, so that the latency of a multiply-add is hidden


class _BFloat(ir.Type):
    """bfloat16, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash("bfloat")


@intrinsic
def rows_a_word(typing_context, words):
    """Rows of a matrix that lie in one row of words."""
    rows = 1 if words.dtype == types.float32 else 2

    def generate(context, builder, signature, arguments):
        return ir.Constant(I64, rows)

    return types.intp(words), generate


@intrinsic(prefer_literal=True)
def tile(
    typing_context,
    ways,
    words,
    word_at,  # of the panel: rows of vectors * ways words, one after another
    memory,
    pairs,
    x_at,
    x_step,  # from lane to lane
    n_rows,
    out_at,
    out_step,
    start,  # float32: what the products are added to
    start_at,
    start_step,
    least,  # float32: smaller sums become this
    vectors,  # a literal: outputs, in vectors
    lanes,  # a literal
):
    """memory[out] = max(least, start + x @ panel) for a block of lanes; all sums stay in registers."""
    place = types.intp
    signature = types.void(
        ways, words, place, memory, pairs, place, place, place, place, place, start, place, place, types.float32,
        vectors, lanes,
    )  # fmt: skip
    shape = vectors.literal_value, lanes.literal_value

    def generate(context, builder, signature, arguments):
        _TileEmitter(context, builder, signature, arguments, *shape).emit()
        return context.get_dummy_value()

    return signature, generate


class _TileEmitter(Emitter):
    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any, n_vectors: int, n_lanes: int):
        super().__init__(context, builder, signature, arguments)
        self.n_vectors, self.n_lanes = n_vectors, n_lanes
        self.n_chains = max(1, CHAINS // n_vectors)
        self.panel, self.memory, self.start = self.data(1), self.data(3), self.data(10)
        self.kind = {types.float32: "float32", types.int32: "unpack", types.uint32: "dot"}[signature.args[1].dtype]
        self.x = self.data(4) if self.kind == "dot" else self.memory
        _, _, self.word_at, _, _, x_at, x_step, n_rows, self.out_at, self.out_step = arguments[:10]
        self.start_at, self.start_step, self.least = arguments[11:14]
        if self.kind == "dot":
            x_at, x_step = self._half(x_at), self._half(x_step)
        self.x_places = [builder.add(x_at, builder.mul(x_step, ir.Constant(I64, lane))) for lane in range(n_lanes)]
        self.n_words = n_rows if self.kind == "float32" else self._half(n_rows)
        if self.kind == "dot":
            halves = ir.VectorType(_BFloat(), 2 * self.width)
            kind = ir.FunctionType(self.floats, [self.floats, halves, halves])
            name = "llvm.x86.avx512bf16.dpbf16ps.512"
            self.dot, self.halves = cgutils.get_or_insert_function(builder.module, kind, name), halves

    def emit(self) -> None:
        """Sums: [chain][lane][vector]."""
        builder = self.builder
        first = [self._start(lane, j) for lane in range(self.n_lanes) for j in range(self.n_vectors)]
        sums = first + [self.constant(0.0)] * (len(first) * (self.n_chains - 1))
        before, body, after = builder.block, builder.append_basic_block("rows"), builder.append_basic_block("stored")
        builder.branch(body)
        builder.position_at_end(body)
        row = builder.phi(I64)
        row.add_incoming(ir.Constant(I64, 0), before)
        under_way = []
        for value in sums:
            phi = builder.phi(self.floats)
            phi.add_incoming(value, before)
            under_way.append(phi)
        unroll = max(self.n_chains, CHAINS // self.n_lanes)
        now: list[ir.Value] = list(under_way)
        for k in range(unroll):
            self._add_row(now, self.step(row, k), (k % self.n_chains) * len(first))
        following = self.step(row, unroll)
        row.add_incoming(following, builder.block)
        for phi, value in zip(under_way, now, strict=True):
            phi.add_incoming(value, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, self.n_words), body, after)
        builder.position_at_end(after)
        self._store([self._total(now, k, len(first)) for k in range(len(first))])

    def _half(self, value: ir.Value) -> ir.Value:
        return self.builder.ashr(value, ir.Constant(I64, 1))

    def _start(self, lane: int, j: int) -> ir.Value:
        place = self.builder.add(self.start_at, self.builder.mul(self.start_step, ir.Constant(I64, lane)))
        return self.load(self.start, self.step(place, j * self.width))

    def _add_row(self, sums: list[ir.Value], row: ir.Value, base: int) -> None:
        """One row of words: one row of weights, or two."""
        in_panel = self.builder.mul(row, ir.Constant(I64, self.n_vectors * self.width))
        at = self.builder.add(self.word_at, in_panel)
        kind = self.floats if self.kind == "float32" else self.words
        words = [self.load(self.panel, self.step(at, j * self.width), kind) for j in range(self.n_vectors)]
        for lane in range(self.n_lanes):
            mine = range(base + lane * self.n_vectors, base + (lane + 1) * self.n_vectors)
            x = self._inputs(lane, row)
            for word, k in zip(words, mine, strict=True):
                sums[k] = self._products(word, x, sums[k])

    def _inputs(self, lane: int, row: ir.Value) -> list[ir.Value]:
        """The lane's input for a row, in every place of a vector; two for a row of unpacked pairs."""
        place = self.x_places[lane]
        if self.kind != "unpack":
            return [self.splat(self.builder.load(self.builder.gep(self.x, [self.builder.add(place, row)])))]
        place = self.builder.add(place, self.builder.shl(row, ir.Constant(I64, 1)))
        return [self.splat(self.builder.load(self.builder.gep(self.x, [self.step(place, k)]))) for k in (0, 1)]

    def _products(self, word: ir.Value, x: list[ir.Value], total: ir.Value) -> ir.Value:
        builder = self.builder
        if self.kind == "float32":
            return self.multiply_add(word, x[0], total)
        if self.kind == "dot":
            pairs, inputs = builder.bitcast(word, self.halves), builder.bitcast(x[0], self.halves)
            return builder.call(self.dot, [total, pairs, inputs])
        even = builder.bitcast(builder.shl(word, self.mask(16)), self.floats)
        odd = builder.bitcast(builder.and_(word, self.mask(-65536)), self.floats)
        return self.multiply_add(odd, x[1], self.multiply_add(even, x[0], total))

    def _total(self, sums: list[ir.Value], k: int, stride: int) -> ir.Value:
        total = sums[k]
        for chain in range(1, self.n_chains):
            total = self.builder.fadd(total, sums[k + chain * stride])
        return total

    def _store(self, totals: list[ir.Value]) -> None:
        least = self.splat(self.least)
        for lane in range(self.n_lanes):
            place = self.builder.add(self.out_at, self.builder.mul(self.out_step, ir.Constant(I64, lane)))
            for j in range(self.n_vectors):
                value = self.larger(totals[lane * self.n_vectors + j], least)
                self.store(value, self.memory, self.step(place, j * self.width))
