"""The WaveNet, one sample after another, as compiled vector code (Numba)."""
