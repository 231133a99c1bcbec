"""What importing parts of the package brings along."""

import subprocess
import sys
from importlib.resources import files

import pytest


def test_package_carries_its_type_marker() -> None:
    assert files("vfax").joinpath("py.typed").is_file()


@pytest.mark.parametrize("module", ["vfax", "vfax.codecs.ifp", "vfax.codecs.t4", "vfax.t30.engine", "vfax.leg"])
def test_pure_module_brings_neither_trio_nor_pillow(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'trio', 'PIL', 'pydantic', 'socket'}} & sys.modules.keys()))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == []
