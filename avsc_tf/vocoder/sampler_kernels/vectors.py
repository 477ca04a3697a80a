"""Selection of the vectors that the WaveNet kernel of this machine is compiled for."""

from __future__ import annotations

import os
from dataclasses import dataclass

import llvmlite.binding as llvm

from avsc_tf.core.errors import ConfigError

VARIABLE = "AVSC_TF_VECTORS"  # environment variable that overrides the selection
DOT_PRODUCT_LLVM = 17  # LLVM's bfloat16 dot product takes other types before


@dataclass(frozen=True)
class Vectors:
    """A variant of the kernel."""

    name: str
    width: int  # float32 numbers per vector
    dot_product: bool = False  # whether bfloat16 pairs are multiplied and added in one instruction


AVX512_BF16 = Vectors("avx512_bf16", 16, dot_product=True)
AVX512 = Vectors("avx512", 16)
AVX2 = Vectors("avx2", 8)
NEON = Vectors("neon", 4)
GENERIC = Vectors("generic", 4)  # every other processor: LLVM lowers the vectors to what it has
ALL = (AVX512_BF16, AVX512, AVX2, NEON, GENERIC)


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
    raise ConfigError(f"environment variable {VARIABLE}={wanted}: no such vectors. Unset it, or choose one of {names}.")


def choose(features: set[str], llvm_version: int) -> Vectors:
    """Select by LLVM's names of the processor's features."""
    if "avx512f" in features:
        return AVX512_BF16 if "avx512bf16" in features and llvm_version >= DOT_PRODUCT_LLVM else AVX512
    if {"avx2", "fma"} <= features:
        return AVX2
    return NEON if "neon" in features else GENERIC


def _features() -> list[str]:
    try:
        return [name for name, present in llvm.get_host_cpu_features().items() if present]
    except RuntimeError:  # LLVM does not know the processor's features
        return []
