"""Make the example's modules importable in tests and doctests, as they are when it runs."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "study")]
