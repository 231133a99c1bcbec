"""Every call script is played; the corpus is complete; the player itself can fail."""

import tomllib
from pathlib import Path
from typing import Final

import pytest

from tests.calls.player import play
from tests.calls.script import from_table, read
from tests.calls.table import HEADING, README, table

HERE: Final = Path(__file__).parent
SCRIPTS: Final = sorted([*HERE.glob("peers/*.toml"), *HERE.glob("procedures/*.toml")])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_call_goes_as_its_script_says(path: Path) -> None:
    play(read(path))


def test_every_entry_of_the_list_of_peer_faults_has_a_script() -> None:
    scripts = {path: read(path) for path in HERE.glob("peers/*.toml")}
    assert {script.entry for script in scripts.values()} == set(range(1, 65))
    for path, script in scripts.items():
        assert path.stem.startswith(f"{script.entry:02d}-"), path.name


def test_readme_lists_every_script_in_its_own_words() -> None:
    assert README.read_text("utf-8").partition(HEADING)[2].strip() == table().strip()


def test_readme_teaches_by_a_script_that_passes() -> None:
    example = README.read_text("utf-8").partition("```toml\n")[2].partition("```")[0]
    play(from_table(tomllib.loads(example)))
