"""How much an engine holds: everything that can be reached from it, counted in octets.

Owns      the count. Not here: how much is too much (invariants.py).

What all calls share (classes, functions, modules, tables in modules) is not reached or not counted; the options of a
call are, and weigh a few kilobytes.
"""

import gc
import sys
from enum import Enum
from types import BuiltinFunctionType, FunctionType, ModuleType

_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, Enum)


def octets_held(*roots: object) -> int:
    """Octets of all objects that can be reached from `roots`, each counted once."""
    seen: set[int] = set()
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
