"""What this machine cannot go below: bytes read and multiply-adds done a second, by probes; part of wavenet.py.

For each sample a stream reads all weights once and multiplies each once; a batch reads them once for all its streams.
So many samples a second cannot be passed: 1 / max(bytes / bandwidth, multiply-adds / rate). Everything else a network
has to do (rings, conditions, tanh, exp, the draw) counts as lost time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from avsc_tf.core.config import WaveNetConfig

BYTES = {"float32": 4, "bfloat16": 2}
LOADS = 16  # vectors a pass; as many sums, so that no load waits for an addition
PAGE = 4096
I32, I64, F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()


def _features() -> set[str]:
    return {name for name, present in llvm.get_host_cpu_features().items() if present}


HAS_AVX512 = "avx512f" in _features()
HAS_DOT_PRODUCT = "avx512bf16" in _features() and llvm.llvm_version_info[0] >= 17
WIDTH = 16 if HAS_AVX512 else 8
CHAINS = 16 if HAS_AVX512 else 10  # additions under way at once: enough to hide their latency, all in registers


@dataclass(frozen=True)
class Machine:
    """Figures of one round, of so many threads together."""

    bytes_a_second: float
    multiply_adds_a_second: dict[str, float]  # by the weights' type

    def floor(self, net: WaveNetConfig, *, weights: str, batch: int, n_threads: int = 1) -> float:
        """Samples a second in aggregate; the figures must be those of as many threads, each with such a batch."""
        n = multiply_adds(net)
        reading = n * BYTES[weights] / batch / (self.bytes_a_second / n_threads)
        adding = n / (self.multiply_adds_a_second[weights] / n_threads)
        return n_threads / max(reading, adding)


def multiply_adds(net: WaveNetConfig) -> int:
    """Weights of a sample's matrix products, each of them used once; the input projection is left out (a table)."""
    r, s, h = net.residual_channels, net.skip_channels, net.post_channels
    outputs = 3 * net.n_mixtures or net.n_classes
    return net.n_layers * 4 * r * r + (net.n_layers - 1) * r * r + net.n_layers * r * s + s * h + h * outputs


class Probes:
    """Reading and multiplying at full speed, by one thread or several; each call takes about `seconds`."""

    def __init__(self, net: WaveNetConfig, pool: Executor, *, seconds: float):
        self._pool = pool
        self._buffers = {name: _aligned(multiply_adds(net) * size // 4) for name, size in BYTES.items()}
        self._passes = {
            name: _calibrated(lambda n, b=buffer: read(b, n), seconds) for name, buffer in self._buffers.items()
        }
        self._adders = {"float32": (fused, WIDTH * CHAINS)}
        if HAS_DOT_PRODUCT:
            self._adders["bfloat16"] = (dot_products, 2 * WIDTH * CHAINS)
        self._steps = {
            name: _calibrated(lambda n, adder=adder: adder(np.float32(0.5), n), seconds)
            for name, (adder, _) in self._adders.items()
        }

    def __call__(self, *, weights: str, n_threads: int) -> Machine:
        """Of a network with such weights. Without a dot product for bfloat16, its rate is float32's."""
        buffer, n = self._buffers[weights], self._passes[weights]
        bandwidth = n_threads * n * buffer.nbytes / self._seconds(lambda: read(buffer, n), n_threads)
        names = {"float32", weights} & set(self._adders)
        return Machine(bandwidth, {weights: max(self._rate(name, n_threads) for name in names)})

    def _rate(self, name: str, n_threads: int) -> float:
        """Multiply-adds a second of all threads together."""
        (adder, done), n = self._adders[name], self._steps[name]
        return n_threads * n * done / self._seconds(lambda: adder(np.float32(0.5), n), n_threads)

    def _seconds(self, work: Callable[[], Any], n_threads: int) -> float:
        started = time.perf_counter()
        if n_threads == 1:
            work()
        else:
            for done in [self._pool.submit(work) for _ in range(n_threads)]:
                done.result()
        return time.perf_counter() - started


def _aligned(n_floats: int) -> np.ndarray:
    """Ones that begin with a page, as many whole passes as `n_floats` hold."""
    n = n_floats // (LOADS * WIDTH) * (LOADS * WIDTH)
    raw = np.zeros(4 * n + PAGE, np.uint8)
    start = -raw.ctypes.data % PAGE
    values = raw[start : start + 4 * n].view(np.float32)
    values[:] = 1.0
    return values


def _calibrated(run: Callable[[int], Any], seconds: float) -> int:
    """How many repetitions take about so long."""
    run(1)  # compiles
    n = 1
    while True:
        started = time.perf_counter()
        run(n)
        taken = time.perf_counter() - started
        if taken > seconds / 4:
            return max(1, round(n * seconds / taken))
        n *= 4


class _BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite does not know."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash("bfloat")


FLOATS = ir.VectorType(F32, WIDTH)


def _loop(builder: ir.IRBuilder, n: ir.Value, step: int, starts: list[ir.Value], body: Callable) -> list[ir.Value]:
    """for (i = 0; i < n; i += step) values = body(i, values); at least once."""
    before, block, after = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("after")
    builder.branch(block)
    builder.position_at_end(block)
    i = builder.phi(I64)
    phis = [builder.phi(FLOATS) for _ in starts]
    values = body(i, phis)
    following = builder.add(i, ir.Constant(I64, step))
    i.add_incoming(ir.Constant(I64, 0), before)
    i.add_incoming(following, block)
    for phi, start, value in zip(phis, starts, values, strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(value, block)
    builder.cbranch(builder.icmp_signed("<", following, n), block, after)
    builder.position_at_end(after)
    return values


def _sum(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
    """First element of the sum, so that nothing is left out as unused."""
    total = values[0]
    for value in values[1:]:
        total = builder.fadd(total, value)
    return builder.extract_element(total, ir.Constant(I32, 0))


@intrinsic
def _read_once(typing_context, array):
    """Every float of the array, by whole vectors, into as many sums."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0])
        n = builder.extract_value(data.shape, 0)

        def body(i, sums):
            def load(k):
                place = builder.gep(data.data, [builder.add(i, ir.Constant(I64, k * WIDTH))])
                return builder.load(builder.bitcast(place, FLOATS.as_pointer()), align=4)

            return [builder.fadd(value, load(k)) for k, value in enumerate(sums)]

        sums = _loop(builder, n, LOADS * WIDTH, [ir.Constant(FLOATS, [0.0] * WIDTH)] * LOADS, body)
        return _sum(builder, sums)

    return types.float32(array), generate


def _register_only(name: str, operand: Callable[[ir.IRBuilder, ir.Value], ir.Value], order: tuple[int, ...]) -> Any:
    """A probe: `n` times CHAINS independent calls of an LLVM function (sum, a, b), in the given order of arguments."""

    @intrinsic
    def probe(typing_context, x, n):
        def generate(context, builder, signature, arguments):
            lanes = ir.Constant(FLOATS, ir.Undefined)
            for lane in range(WIDTH):
                lanes = builder.insert_element(lanes, arguments[0], ir.Constant(I32, lane))
            factor = operand(builder, lanes)
            kind = ir.FunctionType(FLOATS, [(FLOATS, factor.type, factor.type)[k] for k in order])
            function = cgutils.get_or_insert_function(builder.module, kind, name)

            def body(_, sums):
                return [builder.call(function, [(value, factor, factor)[k] for k in order]) for value in sums]

            starts = [ir.Constant(FLOATS, [float(k)] * WIDTH) for k in range(CHAINS)]
            return _sum(builder, _loop(builder, arguments[1], 1, starts, body))

        return types.float32(x, n), generate

    return probe


def _as_bfloats(builder: ir.IRBuilder, lanes: ir.Value) -> ir.Value:
    return builder.bitcast(lanes, ir.VectorType(_BFloat(), 2 * WIDTH))


_fused = _register_only(f"llvm.fma.v{WIDTH}f32", lambda _, lanes: lanes, (1, 2, 0))
_dot_products = _register_only("llvm.x86.avx512bf16.dpbf16ps.512", _as_bfloats, (0, 1, 2))


@njit(nogil=True)
def read(array, passes):
    """Read all of `array` so many times."""
    total = np.float32(0.0)
    for _ in range(passes):
        total += _read_once(array)
    return total


@njit(nogil=True)
def fused(x, n):
    """CHAINS vectors of fused multiply-adds, n times, in registers alone."""
    return _fused(x, n)


@njit(nogil=True)
def dot_products(x, n):
    """CHAINS vectors of two bfloat16 multiply-adds an element, n times."""
    return _dot_products(x, n)
