"""Lets tests and doctests import the example as its scripts do."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
