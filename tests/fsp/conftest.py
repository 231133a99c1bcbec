"""The helpers beside this file are imported as tests.fsp.*; an installed vfax still comes first."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)
