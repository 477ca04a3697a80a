"""Which vectors this machine's WaveNet kernel is built of: the one place that decides."""

from __future__ import annotations

import os
from dataclasses import dataclass

import llvmlite.binding as llvm

from avsc_tf.core.errors import ConfigError

VARIABLE = "AVSC_TF_VECTORS"  # environment variable that overrides the machine's own
DOT_PRODUCT_LLVM = 17  # before, LLVM's bfloat16 dot product took other types


@dataclass(frozen=True)
class Vectors:
    """A way to build the kernel."""

    name: str
    width: int  # float32 numbers in a vector; 0: plain Numba, see `sampler_plain`
    dot_product: bool = False  # bfloat16 pairs are multiplied and added in one instruction


AVX512_BF16 = Vectors("avx512_bf16", 16, dot_product=True)
AVX512 = Vectors("avx512", 16)
AVX2 = Vectors("avx2", 8)
NEON = Vectors("neon", 4)
PLAIN = Vectors("plain", 0)
ALL = (AVX512_BF16, AVX512, AVX2, NEON, PLAIN)


def vectors_of_this_machine() -> Vectors:
    """The widest vectors the processor has, or those that AVSC_TF_VECTORS names.

    Raises:
        ConfigError: AVSC_TF_VECTORS names none.
    """
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        return choose(set(_features()), llvm.llvm_version_info[0])
    for vectors in ALL:
        if vectors.name == wanted:
            return vectors
    names = ", ".join(vectors.name for vectors in ALL)
    raise ConfigError(f"environment variable {VARIABLE}={wanted}: no such vectors. Unset it, or choose of {names}.")


def choose(features: set[str], llvm_version: int) -> Vectors:
    """By the names LLVM gives to what a processor can do."""
    if "avx512f" in features:
        return AVX512_BF16 if "avx512bf16" in features and llvm_version >= DOT_PRODUCT_LLVM else AVX512
    if {"avx2", "fma"} <= features:
        return AVX2
    return NEON if "neon" in features else PLAIN


def _features() -> list[str]:
    try:
        return [name for name, present in llvm.get_host_cpu_features().items() if present]
    except RuntimeError:  # LLVM does not know the processor's features
        return []
