"""The judge of stores sees what it is there for: each thing that is made wrong in a sound store, and nothing else."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.durability.faulty_delivery import Served, done
from tests.durability.judging_store import judge_store
from tests.durability.points import HastyDisk
from tests.durability.serving import COPIES, LINKS
from vfax.fsp.constants import JobStatusEnum

IN_STORE: Final = {
    "DELETE FROM faxes": "is not in the store",
    "DELETE FROM jobs": "it has no job",
    "UPDATE faxes SET digest = 'd'": "and the store says inbox/",
    "UPDATE faxes SET octets = 1": "and the store says inbox/",
    "UPDATE faxes SET document = NULL": "and the store says None",
    "UPDATE faxes SET record = '{}'": "different records",
    f"UPDATE jobs SET status = {int(JobStatusEnum.fjsINPROGRESS)}": "nobody receives it any more",
    "UPDATE jobs SET pages = 0": "and it is listed as",
    "UPDATE attempts SET ended_at = NULL": "has no end",
    f"DELETE FROM deliveries WHERE rule = '{LINKS.name}'": "and its deliveries are",
    "UPDATE deliveries SET state = 'given-up'": "is given-up",
}


def remove(root: Path, folder: str, suffix: str) -> None:
    for path in (root / "spool" / folder).glob(f"*{suffix}"):
        path.unlink()


def cut(root: Path) -> None:
    for path in (root / "spool" / COPIES.folder).glob("*.tif"):
        path.write_bytes(path.read_bytes()[:-1])


IN_FOLDERS: Final[list[tuple[Callable[[Path], object], str]]] = [
    (lambda root: remove(root, "inbox", ""), "that the spool has not"),
    (lambda root: remove(root, LINKS.folder, ".tif"), "links misses a fax"),
    (lambda root: remove(root, COPIES.folder, ".json"), "without its record"),
    (cut, "which is no fax of the inbox"),
    (lambda root: (root / "spool" / COPIES.folder / ".new-1").touch(), "copies/all holds .new-1"),
]


@pytest.fixture
def root(scratch: Path) -> Path:
    """Where a server has received and delivered two faxes."""
    served = Served(scratch)
    served.run(HastyDisk(), lambda: None, until=done)
    assert served.wrong() == []
    return served.root


@pytest.mark.parametrize("statement", IN_STORE)
def test_it_sees_what_is_wrong_in_the_store(statement: str, root: Path) -> None:
    with closing(sqlite3.connect(root / "spool" / "vfax.db")) as database:
        database.execute(statement)
        database.commit()
    assert any(IN_STORE[statement] in sentence for sentence in judge_store(root))


@pytest.mark.parametrize(("spoil", "sentence"), IN_FOLDERS)
def test_it_sees_what_is_wrong_in_the_folders(spoil: Callable[[Path], object], sentence: str, root: Path) -> None:
    spoil(root)
    assert any(sentence in one for one in judge_store(root))


def test_it_misses_a_job_that_was_said_to_have_begun(root: Path) -> None:
    assert judge_store(root, ["0000beef"]) == ["job 0000beef had begun and is not in the store"]
