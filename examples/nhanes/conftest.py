"""Make the example's modules importable in tests and doctests, as they are when it runs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
