"""Pages of ours that take long to code, with libspandsp waiting for them."""

from pathlib import Path

import pytest

from tests.interop import documents
from tests.interop.grid import draw, simulated
from tests.interop.joined import JoinedFax
from tests.interop.spandsp import Abilities
from vfax.codecs.dis import Resolution
from vfax.t30.options import T30Options

pytestmark = pytest.mark.usefixtures("libspandsp")

PAGES = [draw(1728, 157, number) for number in (1, 2)]
OURS = tuple(simulated(page, Resolution.STANDARD) for page in PAGES)


@pytest.mark.parametrize("ecm", [True, False], ids=["ecm", "no-ecm"])
@pytest.mark.parametrize("seconds", [5.0, 9.0, 25.0])
def test_libspandsp_waits_while_the_training_is_said_again(seconds: float, ecm: bool, tmp_path: Path) -> None:
    got = tmp_path / "got.tif"
    fax = JoinedFax(
        got, peer_calls=False, abilities=Abilities(), options=T30Options(ecm=ecm), pages=OURS, coding_takes=seconds
    )
    result = fax.run()
    assert result.ok, result
    documents.assert_same_pages(got, PAGES)
