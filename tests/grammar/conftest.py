"""The grammar's modules import one another by name; `benchmarks/fuzz_grammar.py` uses them, too."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
