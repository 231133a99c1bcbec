"""RTN: what a sender makes of it, and what a receiver keeps of the page that it refused."""

from dataclasses import replace
from typing import Any

import pytest

from vfax.codecs.dis import FALL_BACK, Agreement, Capabilities, Coding, Resolution
from vfax.codecs.encode import encode_page
from vfax.codecs.frames import Fcf
from vfax.outcome import Cause
from vfax.signals import DataReceived, Modem, SendImage
from vfax.t30.options import AfterRtn, BadPage, Limits, T30Options
from vfax.t30.tables import S
from vfax.t30.values import PageCoded, PageConfirmed, PageReceived, PageRepeated, PageStarted

PEER = Capabilities(modems=frozenset(FALL_BACK), codings=frozenset(Coding), resolutions=frozenset(Resolution))
DATA = bytes(range(1, 251)) * 4
ROWS = 60
PLAIN = Agreement(
    modem=Modem.V29_9600,
    coding=Coding.MH,
    ecm=False,
    frame_octets=0,
    resolution=Resolution.FINE,
    width_px=1728,
    min_scan_ms=0,
)

# --- a sender ------------------------------------------------------------------------------------------


def refused(script: Any, *answers: Fcf) -> Any:
    """As far as the answer to the first page, the next one coded."""
    script.left().says(Fcf.DIS, PEER.encode()).left()
    script.order(PageCoded(1, DATA)).says(Fcf.CFR).left().left().order(PageCoded(2, DATA))
    for answer in answers:
        script.says(answer)
    return script


def test_rtn_means_the_page_again(bench: Any) -> None:
    script = refused(bench.script(sending=True, pages=2), Fcf.RTN).left().says(Fcf.CFR).left().left().says(Fcf.MCF)
    assert script.of(PageRepeated) == [PageRepeated(1, 0, "RTN came")]
    assert script.of(PageConfirmed) == [PageConfirmed(1)]


@pytest.mark.parametrize("answer", [Fcf.RTN, Fcf.PIN])
def test_going_on_sends_the_next_page_and_does_not_count_the_refused_one(bench: Any, answer: Fcf) -> None:
    script = refused(bench.script(sending=True, pages=2, after_rtn=AfterRtn.GO_ON), answer).left().says(Fcf.CFR)
    assert script.output[-1] == SendImage(Modem.V17_12000, True, DATA)
    assert script.of(PageStarted) == [PageStarted(1), PageStarted(2)]
    script.left().left().says(Fcf.MCF).left().wait(1.1)
    outcome = script.outcome
    assert script.of(PageConfirmed) == [PageConfirmed(2)]
    assert not script.of(PageRepeated)
    assert (outcome.cause, outcome.pages_confirmed, outcome.pages_partial) == (Cause.PAGE_REFUSED, 1, 1)
    assert outcome.sentence == "page 1 was refused"


def test_going_on_behind_the_last_page_is_the_end(bench: Any) -> None:
    script = refused(bench.script(sending=True, after_rtn=AfterRtn.GO_ON), Fcf.RTN).left().wait(1.1)
    assert (script.said[-1], script.outcome.cause) == ("DCN", Cause.PAGE_REFUSED)
    assert script.outcome.pages_confirmed == 0


def test_going_on_to_other_paper_waits_for_dis(bench: Any) -> None:
    pages = [bench.draw(20, seed=1), bench.draw(20, seed=2, resolution=Resolution.STANDARD)]
    spoilt = T30Options(ecm=False, rtn_from=0.0, rtp_from=0.0)
    pair = bench.pair(pages, send=T30Options(ecm=False, after_rtn=AfterRtn.GO_ON), take=spoilt).run()
    assert pair.said("receiver") == ["DIS", "CFR", "RTN", "DIS", "CFR", "RTN"]
    assert pair.outcome("sender").cause is Cause.PAGE_REFUSED


def test_giving_up_ends_the_fax(bench: Any) -> None:
    script = refused(bench.script(sending=True, pages=2, after_rtn=AfterRtn.GIVE_UP), Fcf.RTN).left().wait(1.1)
    assert (script.said[-1], script.outcome.cause) == ("DCN", Cause.PAGE_REFUSED)
    assert script.outcome.sentence == "page 1 was refused once: RTN came"


def test_pid_leaves_open_what_became_of_the_last_page(bench: Any) -> None:
    script = refused(bench.script(sending=True), Fcf.PID).left().wait(1.1)
    assert (script.said[-1], script.outcome.cause) == ("DCN", Cause.UNCERTAIN)
    script = refused(bench.script(sending=True, pages=2), Fcf.PID).left().wait(1.1)
    assert script.outcome.cause is Cause.PEER_DISCONNECTED


# --- a receiver ----------------------------------------------------------------------------------------


def drawn(bench: Any, seed: int, *, spoil: int = 0) -> bytes:
    """A page in MH; of every so many octets one is wrong."""
    _, raster = bench.draw(ROWS, seed=seed)
    data = bytearray(encode_page(raster, 1728, ROWS, Coding.MH, k=2, min_row_octets=0, ecm=False))
    if spoil:
        for at in range(spoil, len(data) - 12, spoil):
            data[at] ^= 0x5A
    return bytes(data)


def answered(script: Any, data: bytes, post: Fcf) -> Any:
    """The peer trains and sends a page; what is kept is told."""
    script.trains(PLAIN).burst(PLAIN.modem, DataReceived(PLAIN.modem, data)).says(post)
    script.wait(0.0)
    if script.engine.state is S.HOLDING:
        script.keeps(script.of(PageReceived)[-1].number)
    return script.left()


def parts(script: Any) -> list[tuple[int, bool]]:
    return [(event.number, event.complete) for event in script.of(PageReceived)]


def begun(bench: Any, **options: object) -> Any:
    return bench.script(sending=False, ecm=False, **options).left()


def test_the_same_page_again_takes_the_place_of_the_refused_one(bench: Any) -> None:
    script = answered(begun(bench), drawn(bench, 1, spoil=40), Fcf.EOP)
    assert (script.said[-1], parts(script)) == ("RTN", [])
    answered(script, drawn(bench, 1), Fcf.EOP).says(Fcf.DCN)
    assert parts(script) == [(1, True)]
    assert (script.outcome.cause, script.outcome.pages_confirmed, script.outcome.pages_partial) == (
        Cause.COMPLETE,
        1,
        0,
    )


def test_of_a_refused_page_that_the_sender_leaves_behind_the_rows_are_kept(bench: Any) -> None:
    script = answered(begun(bench), drawn(bench, 1, spoil=40), Fcf.MPS)
    answered(script, drawn(bench, 2), Fcf.EOP).says(Fcf.DCN)
    assert parts(script) == [(1, False), (2, True)]
    assert script.of(PageConfirmed) == [PageConfirmed(2)]
    assert script.of(PageStarted) == [PageStarted(1), PageStarted(2)]
    outcome = script.outcome
    assert (outcome.cause, outcome.pages_confirmed, outcome.pages_partial) == (Cause.PAGE_REFUSED, 1, 1)
    assert outcome.sentence == "page 1 was refused, and the sender went on"


def test_the_answer_to_the_page_behind_a_refused_one_needs_the_store_as_any(bench: Any) -> None:
    script = answered(begun(bench), drawn(bench, 1, spoil=40), Fcf.MPS)
    script.trains(PLAIN).burst(PLAIN.modem, DataReceived(PLAIN.modem, drawn(bench, 2))).says(Fcf.EOP).wait(0.0)
    assert (script.engine.state, parts(script)) == (S.HOLDING, [(1, False), (2, True)])
    script.keeps(1)
    assert script.engine.state is S.HOLDING
    assert "MCF" not in script.said


def test_a_refused_page_is_kept_when_the_sender_gives_up(bench: Any) -> None:
    script = answered(begun(bench), drawn(bench, 1, spoil=40), Fcf.EOP).says(Fcf.DCN)
    assert parts(script) == [(1, False)]
    outcome = script.outcome
    assert (outcome.cause, outcome.pages_confirmed, outcome.pages_partial) == (Cause.PEER_DISCONNECTED, 0, 1)


@pytest.mark.parametrize(("share", "seen"), [(0.2, ROWS // 2), (0.95, ROWS)])
def test_of_a_refused_page_and_its_cut_off_repetition_the_better_one_is_kept(
    bench: Any, share: float, seen: int
) -> None:
    script = answered(begun(bench), drawn(bench, 1, spoil=40), Fcf.EOP)
    again = drawn(bench, 1)
    script.trains(PLAIN).burst(PLAIN.modem, DataReceived(PLAIN.modem, again[: int(len(again) * share)])).says(Fcf.DCN)
    script.wait(1)
    (page,) = script.of(PageReceived)
    assert (page.number, page.complete, page.bad_rows > 5) == (1, False, share < 0.5)
    assert page.rows > seen // 2


def test_of_a_refused_page_and_part_of_another_both_are_kept(bench: Any) -> None:
    script = answered(begun(bench), drawn(bench, 1, spoil=40), Fcf.MPS)
    other = drawn(bench, 2)
    script.trains(PLAIN).burst(PLAIN.modem, DataReceived(PLAIN.modem, other[: len(other) * 3 // 4])).says(Fcf.DCN).wait(
        1
    )
    assert parts(script) == [(1, False), (2, False)]
    assert script.outcome.pages_partial == 2


def test_a_bad_page_may_end_the_fax_instead(bench: Any) -> None:
    script = answered(begun(bench, bad_page=BadPage.DCN), drawn(bench, 1, spoil=40), Fcf.MPS).wait(3)
    assert script.said[-2:] == ["CFR", "DCN"]
    assert (script.outcome.cause, parts(script)) == (Cause.PAGE_REFUSED, [(1, False)])


def test_refused_pages_count_against_the_limit(bench: Any) -> None:
    script = begun(bench, limits=Limits(pages=2))
    for seed in range(5):
        if script.engine.state is not S.ENDED:
            answered(script, drawn(bench, seed, spoil=40), Fcf.MPS).wait(0.0)
    assert script.wait(3).outcome.cause is Cause.LIMIT
    assert len(parts(script)) == 3


@pytest.mark.parametrize("after_rtn", [AfterRtn.RESEND, AfterRtn.GO_ON])
def test_both_ends_agree_on_what_was_confirmed(bench: Any, after_rtn: AfterRtn) -> None:
    """One burst is spoilt on the way."""
    spoilt = 0

    def fate(name: str, signal: Any, _now: float) -> list[Any]:
        nonlocal spoilt
        if name == "sender" and isinstance(signal, DataReceived) and signal.octets.strip(b"\0") and spoilt < 40:
            spoilt += 1
            octets = bytearray(signal.octets)
            octets[len(octets) // 2] ^= 0x5A
            return [replace(signal, octets=bytes(octets))]
        return [signal]

    pages = [bench.draw(300, seed=seed) for seed in (1, 2, 3)]
    pair = bench.pair(pages, send=T30Options(ecm=False, after_rtn=after_rtn), fate=fate).run()
    assert "RTN" in pair.said("receiver")
    confirmed = [[e.number for e in pair.of(name, PageConfirmed)] for name in ("sender", "receiver")]
    assert confirmed[0] == confirmed[1] == ([1, 2, 3] if after_rtn is AfterRtn.RESEND else [2, 3])
    assert pair.kept == {n: pages[n - 1][1] for n in confirmed[0]}
    causes = {pair.outcome(name).cause for name in ("sender", "receiver")}
    assert causes == {Cause.COMPLETE if after_rtn is AfterRtn.RESEND else Cause.PAGE_REFUSED}
