"""How much an engine holds: everything that can be reached from it, counted in octets.

Owns      the count. Not here: how much is too much (invariants.py).

What all calls share is not counted: classes, functions, modules, and the row masks of decoders. The options of a call
are, and weigh a few kilobytes.
"""

import gc
import sys
from enum import Enum
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Final

from vfax.codecs.bits import masks
from vfax.codecs.dis import Resolution

_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, Enum)


_WIDTHS: Final = frozenset(width for resolution in Resolution for width in resolution.widths_px)


def octets_held(*roots: object) -> int:
    """Octets of all objects that can be reached from `roots`, each counted once."""
    seen = {id(masks(width)) for width in _WIDTHS}
    waiting: list[object] = list(roots)
    octets = 0
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _SHARED):
            continue
        seen.add(id(one))
        octets += sys.getsizeof(one)
        waiting += gc.get_referents(one)
    return octets
