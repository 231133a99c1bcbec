"""vfax in real time against libspandsp and sipp: as an endpoint, as `vfax serve`, as `vfax send`.

Real time cannot be hurried, but it can be shared: everything runs at once, and the tests look at what came of it.
"""

import json
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import trio
from PIL import Image

from tests.interop import dissect, documents, serving, spandsp
from tests.interop.matrix import Caller, Case, Limiter, Played, Start, judge, peer_habits, play, vfax_options
from tests.interop.peer import CallResult, Habits, SpandspPeer, Way, open_peer
from tests.interop.sipp_runner import SippReport, run_sipp
from tests.interop.spandsp import Abilities, Coding, Modem

PEER_ID: Final = "+44 20 7946 0018"
PLAIN: Final = Case(Caller.PEER, Start.DIRECT, True, Modem.V17, Coding.MMR, 1, False, Limiter.PEER)
CASES: Final = (
    PLAIN,
    replace(PLAIN, start=Start.CALLED_ASKS, ecm=False, coding=Coding.MR),
    replace(PLAIN, caller=Caller.VFAX, modem=Modem.V29),
    replace(PLAIN, caller=Caller.VFAX, start=Start.CALLED_ASKS, ecm=False, coding=Coding.MH),
)
pytestmark = pytest.mark.realtime


@dataclass(slots=True)
class Rush:
    """What came of everything that ran at once."""

    folder: Path
    sipp: str
    pages: list[Image.Image]
    document: Path
    played: dict[Case, Played] = field(default_factory=dict)
    to_serve: list[CallResult] = field(default_factory=list)
    reports: dict[str, SippReport] = field(default_factory=dict)
    sent: dict[str, serving.Sent] = field(default_factory=dict)
    served: serving.Served | None = None

    def target(self, case: Case) -> Path:
        """Where the document of one case arrives."""
        return self.folder / f"{CASES.index(case)}.tif"

    async def run(self) -> None:
        """Everything at once."""
        async with trio.open_nursery() as nursery:
            for case in CASES:
                nursery.start_soon(self._play, case)
            nursery.start_soon(self._serve)
            nursery.start_soon(self._send, "taken", Habits(abilities=Abilities(ident=PEER_ID)))
            nursery.start_soon(self._send, "busy", Habits(refuse_with=486))

    async def _play(self, case: Case) -> None:
        work = (vfax_options(case), peer_habits(case), self.document, self.target(case), case.caller)
        self.played[case] = await play(*work)

    async def _serve(self) -> None:
        async with serving.serve(self.folder, "--lines", "4") as served, open_peer() as peer:
            self.served = served
            async with trio.open_nursery() as nursery:
                for way in (Way.DIRECT, Way.AUDIO_THEN_WAIT):
                    nursery.start_soon(self._call, peer, served.uri, way)
                for scenario in ("options", "direct_t38"):
                    run = partial(run_sipp, self.sipp, scenario, self.folder, ("127.0.0.1", served.port))
                    self.reports[scenario] = await trio.to_thread.run_sync(run)
            await served.wait_for_records(2)

    async def _call(self, peer: SpandspPeer, uri: str, way: Way) -> None:
        habits = Habits(way=way, abilities=Abilities(ident=PEER_ID))
        self.to_serve.append(await peer.call(uri, self.document, habits))

    async def _send(self, name: str, habits: Habits) -> None:
        async with open_peer() as peer, trio.open_nursery() as nursery:
            nursery.start_soon(peer.listen, self.folder / f"{name}.tif", habits)
            self.sent[name] = await serving.send(self.document, peer.uri)


@pytest.fixture(scope="module")
def rush(tmp_path_factory: pytest.TempPathFactory) -> Rush:
    """The one run that all tests of this module look at."""
    try:
        spandsp.load()
        sipp = dissect.find_program("sipp", "sip-tester")
    except (spandsp.MissingLibraryError, dissect.MissingProgramError) as why:
        pytest.fail(str(why), pytrace=False)
    folder = tmp_path_factory.mktemp("rush")
    pages = documents.draw_pages(1, lines=2)
    one = Rush(folder, sipp, pages, documents.write_fax(folder / "sent.tif", pages))
    trio.run(one.run)
    return one


@pytest.mark.parametrize("case", CASES, ids=str)
def test_call_in_real_time_goes_as_in_virtual_time(case: Case, rush: Rush) -> None:
    judge(case, rush.played[case])
    documents.assert_same_pages(rush.target(case), rush.pages)


def test_serve_takes_faxes_over_t38_and_over_audio_at_once(rush: Rush) -> None:
    assert rush.served is not None
    assert [result.ok for result in rush.to_serve] == [True, True], rush.served.text
    assert [result.complaints for result in rush.to_serve] == [[], []]
    faxes = [(tiff, record) for tiff, record in rush.served.records() if record["pages"] == 1]
    assert [(record["remote_id"], record["ecm"]) for _, record in faxes] == [(PEER_ID, True)] * 2
    for tiff, _ in faxes:
        documents.assert_same_pages(tiff, rush.pages)


@pytest.mark.parametrize("scenario", ["options", "direct_t38"])
def test_serve_answers_sipp_while_faxes_run(scenario: str, rush: Rush) -> None:
    assert rush.reports[scenario].ok, str(rush.reports[scenario])


def test_serve_never_shows_half_a_document(rush: Rush) -> None:
    assert rush.served is not None
    assert rush.served.half == []


def test_serve_ends_in_peace_on_sigterm(rush: Rush) -> None:
    assert rush.served is not None
    assert rush.served.status == 0, rush.served.text


def test_send_delivers_to_libspandsp(rush: Rush) -> None:
    sent = rush.sent["taken"]
    assert sent.status == 0, sent
    assert PEER_ID in json.dumps(sent.report)
    documents.assert_same_pages(rush.folder / "taken.tif", rush.pages)


def test_send_tells_a_busy_line_by_its_exit_status(rush: Rush) -> None:
    sent = rush.sent["busy"]
    assert sent.status == 10, sent
    assert "486" in json.dumps(sent.report)
