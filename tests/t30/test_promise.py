"""MCF and RTP are promises: whatever a sender does, they are said of pages that the store has kept, and of no other."""

import random
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from vfax.codecs.dis import Agreement, Coding, Resolution, encode_ctc, encode_dcs
from vfax.codecs.encode import encode_page
from vfax.codecs.frames import RCP, Fcf, Frame, PartialPage, decode_request, encode_block, encode_rest
from vfax.outcome import Cause
from vfax.signals import DataMissing, DataReceived, FrameReceived, Modem, SendFrames, SignalEnded, SignalStarted
from vfax.t30.tables import S, Timer
from vfax.t30.values import LineDown, PageConfirmed, PageKept, PageReceived, PageRepeated

MODEM = Modem.V29_9600
PLAIN = Agreement(
    modem=MODEM,
    coding=Coding.MH,
    ecm=False,
    frame_octets=0,
    resolution=Resolution.FINE,
    width_px=1728,
    min_scan_ms=0,
)
ECM = replace(PLAIN, coding=Coding.MMR, ecm=True, frame_octets=256)
ROWS = 40


@cache
def raster(seed: int) -> bytes:
    return bytes(random.Random(seed).choices([0, 0, 0, 0, 0xFF, 0x0F], k=ROWS * 216))


@cache
def plain(seed: int) -> bytes:
    return encode_page(raster(seed), 1728, ROWS, Coding.MH)


@cache
def frames(seed: int) -> list[bytes]:
    return encode_block(encode_page(raster(seed), 1728, ROWS, Coding.MMR), 256)


def pps(post: Fcf | None, count: int, *, page: int = 0, block: int = 0) -> bytes:
    return PartialPage(post, page, block, count).encode()


def page(script: Any, data: bytes) -> Any:
    return script.burst(MODEM, *(DataReceived(MODEM, data[at : at + 40]) for at in range(0, len(data), 40)))


# --- an answer is said again only when nothing new came ------------------------------------------


@pytest.mark.parametrize("asks", [Fcf.CRP, Fcf.RR])
@pytest.mark.parametrize("data", [plain(2), b""])
def test_the_answer_to_one_page_is_not_said_again_once_the_next_has_begun(bench: Any, asks: Fcf, data: bytes) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script, plain(1)).says(Fcf.MPS).keeps().left()
    page(script, data).says(asks)
    assert script.said.count("MCF") == 1
    page(script, plain(2)).says(Fcf.EOP).keeps(2)
    assert (script.said.count("MCF"), len(script.of(PageReceived))) == (2, 2)


def test_crp_after_a_request_for_frames_brings_it_again(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *frames(1)[1:])
    script.says(Fcf.PPS, pps(Fcf.EOP, len(frames(1)))).left().says(Fcf.CRP)
    assert script.said[-2:] == ["PPR", "PPR"]


def test_crp_while_a_page_is_being_stored_says_nothing(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script, plain(1)).says(Fcf.EOP).says(Fcf.CRP)
    assert "MCF" not in script.said
    script.keeps()
    assert script.said[-1] == "MCF"


def test_a_page_is_not_kept_before_it_was_handed_over(bench: Any) -> None:
    """Its rows are still being decoded when the store speaks of it."""
    long = encode_page(raster(1) * 12, 1728, ROWS * 12, Coding.MMR)
    coded = encode_block(long, 256)
    script = bench.script(sending=False).left().trains(ECM).hear(SignalStarted(MODEM))
    script.hear(*(FrameReceived(MODEM, frame) for frame in coded[1:]), FrameReceived(MODEM, coded[0]))
    said = Frame(Fcf.PPS, pps(Fcf.EOP, len(coded)), x=True).encode()
    script.hear(SignalStarted(Modem.V21), FrameReceived(Modem.V21, said), SignalEnded(Modem.V21))
    assert (script.engine.state, script.of(PageReceived)) == (S.HOLDING, [])
    script.order(PageKept(1)).wait(0.0)
    assert "MCF" not in script.said
    assert [event.rows for event in script.of(PageReceived)] == [ROWS * 12]
    assert script.keeps().said[-1] == "MCF"


# --- a sender that goes on without its answer -----------------------------------------------------


@pytest.mark.parametrize("after", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("trains", [True, False])
def test_a_page_kept_late_is_not_confirmed_to_a_sender_that_has_gone_on(bench: Any, trains: bool, after: float) -> None:
    """The next page came while the first was being stored: an MCF now would be heard as one for that page."""
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script, plain(1)).says(Fcf.MPS)
    if trains:
        script.trains(PLAIN)
    page(script, plain(2)).says(Fcf.EOP).wait(after).keeps().left().says(Fcf.EOP).left().says(Fcf.EOP)
    assert "MCF" not in script.said
    assert (len(script.of(PageReceived)), script.of(PageConfirmed)) == (1, [])
    script.says(Fcf.DCN)
    assert (script.outcome.pages_confirmed, script.outcome.pages_partial) == (0, 1)


def test_a_page_that_came_while_another_was_stored_is_asked_for_again_with_ecm(bench: Any) -> None:
    """RNR, RR: the page that is kept meanwhile is not what the sender asks about."""
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *frames(1))
    script.says(Fcf.PPS, pps(Fcf.MPS, len(frames(1)))).wait(2.0).left()
    assert script.said[-1] == "RNR"
    last = pps(Fcf.EOP, len(frames(2)), page=1)
    script.fast(ECM, *frames(2)).says(Fcf.PPS, last).left().keeps().says(Fcf.RR).wait(1.0).says(Fcf.PPS, last).left()
    assert "MCF" not in script.said
    assert script.said[-1] == "PPR"
    script.fast(ECM, *frames(2)).says(Fcf.PPS, last).keeps(2)
    assert script.said[-1] == "MCF"
    assert script.of(PageConfirmed) == [PageConfirmed(2)]
    assert [event.raster for event in script.of(PageReceived)] == [raster(1), raster(2)]


@pytest.mark.parametrize("post", [Fcf.EOP, Fcf.EOM])
def test_a_page_behind_the_last_one_has_not_the_answer_of_that(bench: Any, post: Fcf) -> None:
    """Nobody listened to it: the sender was to say DCN, or to wait for DIS."""
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script, plain(1)).says(post).keeps().left().wait(1.0 if post is Fcf.EOP else 8.0)
    page(script.left(), plain(2)).says(post)
    assert script.said.count("MCF") == 1


def test_an_ecm_page_behind_the_last_one_has_not_the_answer_of_that(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *frames(1))
    script.says(Fcf.PPS, pps(Fcf.EOP, len(frames(1)))).keeps().left()
    script.fast(ECM, *frames(2)).says(Fcf.PPS, pps(Fcf.EOP, len(frames(2))))
    assert script.said.count("MCF") == 1


def test_an_empty_page_has_not_the_answer_of_the_one_before(bench: Any) -> None:
    """EOFB and nothing else: no row. The same PPS again is about that page still."""
    nothing = encode_block(b"\x00\x10\x01", 256)
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *frames(1))
    script.says(Fcf.PPS, pps(Fcf.MPS, len(frames(1)))).keeps().left()
    assert script.said[-1] == "MCF"
    said = len(script.said)
    for _ in range(3):
        script.fast(ECM, *nothing).says(Fcf.PPS, pps(Fcf.MPS, 1)).left()
        script.says(Fcf.PPS, pps(Fcf.MPS, 1)).left()
    assert "MCF" not in script.said[said:]


@pytest.mark.parametrize(("packets", "answers"), [(31, 2), (32, 1)])
@pytest.mark.parametrize("asks", [Fcf.CRP, Fcf.RR])
def test_an_answer_is_not_said_again_after_an_outage_as_long_as_a_page(
    bench: Any, asks: Fcf, packets: int, answers: int
) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script, plain(1)).says(Fcf.MPS).keeps().left().wait(3.0)
    script.hear(DataMissing(packets)).says(asks)
    assert script.said.count("MCF") == answers


@pytest.mark.parametrize(("packets", "answer"), [(31, "MCF"), (32, "PPR")])
def test_the_same_pps_after_an_outage_as_long_as_a_page_brings_the_block_again(
    bench: Any, packets: int, answer: str
) -> None:
    """Quirk: a sender that does not count its pages says the same of the next."""
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *frames(1))
    script.says(Fcf.PPS, pps(Fcf.MPS, len(frames(1)))).keeps().left().wait(3.0)
    script.hear(DataMissing(packets)).says(Fcf.PPS, pps(Fcf.MPS, len(frames(1)))).left()
    assert script.said[-1] == answer
    if answer == "PPR":
        script.fast(ECM, *frames(1)).says(Fcf.PPS, pps(Fcf.MPS, len(frames(1))))
        assert (script.said[-1], len(script.of(PageReceived))) == ("MCF", 1)


def test_a_page_kept_within_t5_waits_for_the_sender_beyond_it(bench: Any) -> None:
    """T5 is about the store: what is kept is not given up because it took long."""
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *frames(1))
    script.says(Fcf.PPS, pps(Fcf.EOP, len(frames(1)))).wait(1.6).left()
    while script.now < script.engine._terminal._due[Timer.T5] - 4.0:
        script.says(Fcf.RR).left()
    script.wait(script.engine._terminal._due[Timer.T5] - script.now - 0.1).keeps().wait(1.0).says(Fcf.RR)
    assert script.said[-1] == "MCF"


# --- the same command about another page ---------------------------------------------------------


def test_a_page_given_up_like_the_one_before_is_answered_for_itself(bench: Any) -> None:
    """The second EOR has the octets of the first, and PPR was our last word."""
    script = bench.script(sending=False).left().trains(replace(ECM, coding=Coding.MH))
    for number in (1, 2):
        coded = encode_block(plain(number), 256)
        script.fast(ECM, *coded[:-1]).says(Fcf.PPS, pps(Fcf.MPS, len(coded), page=number - 1)).left()
        assert script.said[-1] == "PPR"
        script.says(Fcf.EOR, encode_rest(Fcf.MPS)).keeps(number).left()
        assert script.said[-1] == "ERR"
    assert len(script.of(PageReceived)) == 2


def test_part_of_the_confirmed_block_again_is_not_the_whole_of_it(bench: Any) -> None:
    """Quirk: a sender that never counts pages may have sent another page that begins alike."""
    first = frames(1)
    second = [first[0], *encode_block(bytes(256) + encode_page(raster(2), 1728, ROWS, Coding.MMR), 256)[1:]]
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *first)
    script.says(Fcf.PPS, pps(Fcf.MPS, len(first))).keeps().left()
    script.fast(ECM, second[0]).says(Fcf.PPS, pps(Fcf.MPS, len(first)))
    assert script.said[-1] == "PPR"
    assert decode_request(script.last_frame.info, len(first)) == list(range(1, len(first)))


def test_a_burst_of_which_nothing_came_is_not_the_confirmed_block_again(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *frames(1))
    script.says(Fcf.PPS, pps(Fcf.MPS, len(frames(1)))).keeps().left()
    script.fast(ECM, RCP).says(Fcf.PPS, pps(Fcf.MPS, len(frames(1)))).left()
    script.says(Fcf.PPS, pps(Fcf.MPS, len(frames(1))))
    assert script.said[-2:] == ["PPR", "PPR"]


def test_a_resent_frame_of_the_confirmed_block_is_not_a_page_of_one_frame(bench: Any) -> None:
    """Quirk: a PPS counts the frames of its own burst only."""
    first = frames(1)
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *first)
    script.says(Fcf.PPS, pps(Fcf.MPS, len(first))).keeps().left()
    script.fast(ECM, first[0]).says(Fcf.PPS, pps(Fcf.MPS, 1))
    assert script.said[-1] == "PPR"
    assert decode_request(script.last_frame.info, len(first)) == list(range(1, len(first)))


def test_part_of_the_confirmed_block_again_has_its_answer_again_from_a_sender_that_counts(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM)
    for number in (1, 2):
        script.fast(ECM, *frames(number)).says(Fcf.PPS, pps(Fcf.MPS, len(frames(number)), page=number - 1))
        script.keeps(number).left()
    for part in (frames(2)[3:5], [RCP]):
        script.fast(ECM, *part).says(Fcf.PPS, pps(Fcf.MPS, 2, page=1)).left()
    assert script.said[-4:] == ["MCF"] * 4
    assert len(script.of(PageReceived)) == 2


@pytest.mark.parametrize("named", [True, False])
def test_what_comes_again_of_the_confirmed_page_is_no_part_of_the_next(bench: Any, named: bool) -> None:
    """A late request had part of page 0 sent again; then page 1 came, and lost just those frames."""
    old, new = frames(1), frames(2)
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *old)
    script.says(Fcf.PPS, pps(Fcf.MPS, len(old))).keeps().left()
    script.fast(ECM, *old[2:4])
    if named:
        script.says(Fcf.PPS, pps(Fcf.MPS, 2)).left()
    script.fast(ECM, *new[:2], *new[4:]).says(Fcf.PPS, pps(Fcf.EOP, len(new), page=1)).left()
    assert script.said[-1] == "PPR"
    assert decode_request(script.last_frame.info, len(new)) == [2, 3]
    script.fast(ECM, *new[2:4]).says(Fcf.PPS, pps(Fcf.EOP, 2, page=1)).keeps(2)
    assert script.said[-1] == "MCF"
    assert [page.raster for page in script.of(PageReceived)] == [raster(1), raster(2)]


def test_a_page_like_the_one_before_need_not_come_in_one_burst(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *frames(1))
    script.says(Fcf.PPS, pps(Fcf.MPS, len(frames(1)))).keeps().left()
    script.fast(ECM, *frames(1)[:4]).says(Fcf.PPS, pps(Fcf.EOP, len(frames(1)), page=1)).left()
    script.fast(ECM, *frames(1)[4:]).says(Fcf.PPS, pps(Fcf.EOP, len(frames(1)) - 4, page=1)).keeps(2)
    assert script.said[-2:] == ["PPR", "MCF"]
    assert [page.raster for page in script.of(PageReceived)] == [raster(1)] * 2


def test_the_confirmed_block_again_with_holes_is_confirmed_once_they_are_filled(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *frames(1))
    script.says(Fcf.PPS, pps(Fcf.MPS, len(frames(1)))).keeps().left()
    script.fast(ECM, *frames(1)[1:]).says(Fcf.PPS, pps(Fcf.MPS, len(frames(1)))).left()
    assert script.said[-2:] == ["MCF", "PPR"]
    script.fast(ECM, frames(1)[0]).says(Fcf.PPS, pps(Fcf.MPS, 1)).left()
    assert (script.said[-1], len(script.of(PageReceived))) == ("MCF", 1)


def test_the_confirmed_block_cut_off_in_its_repetition_is_no_new_page(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *frames(1))
    script.says(Fcf.PPS, pps(Fcf.MPS, len(frames(1)))).keeps().left()
    script.fast(ECM, *frames(1)[:5]).order(LineDown()).wait(0.1)
    assert [event.number for event in script.of(PageReceived)] == [1]
    assert script.outcome.pages_partial == 0


@pytest.mark.parametrize(("packets", "answers"), [(31, 2), (32, 1)])
def test_the_same_command_after_an_outage_as_long_as_a_page_is_not_answered(
    bench: Any, packets: int, answers: int
) -> None:
    """Between the two MPS a short page may have come and gone unheard: only silence confirms nothing."""
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script, plain(1)).says(Fcf.MPS).keeps().left().wait(3.0)
    script.hear(DataMissing(packets)).says(Fcf.MPS)
    assert script.said.count("MCF") == answers


def test_what_was_lost_before_the_answer_counts_no_more(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN).hear(DataMissing(500))
    page(script, plain(1)).says(Fcf.MPS).keeps().left().says(Fcf.MPS)
    assert script.said[-2:] == ["MCF", "MCF"]


# --- damage --------------------------------------------------------------------------------------


def test_a_page_whose_beginning_is_lost_is_refused(bench: Any) -> None:
    """The rest of it is without a fault: only the line knows what is missing."""
    script = bench.script(sending=False).left().trains(PLAIN)
    half = len(plain(1)) // 2
    script.burst(MODEM, DataMissing(half // 40), DataReceived(MODEM, plain(1)[half:])).says(Fcf.EOP)
    assert (script.said[-1], script.of(PageReceived)) == ("RTN", [])


def test_a_page_whose_beginning_and_announcement_are_lost_is_refused(bench: Any) -> None:
    """The training never ended for the line: what goes on in the same modem after an outage is the page's rest."""
    script = bench.script(sending=False).left().trains(PLAIN)
    half = len(plain(1)) // 2
    script.hear(DataMissing(half // 40)).hear(DataReceived(MODEM, plain(1)[half:])).hear(SignalEnded(MODEM))
    script.says(Fcf.EOP)
    assert (script.said[-1], script.of(PageReceived)) == ("RTN", [])


@pytest.mark.parametrize(("lost", "answer"), [(1, "MCF"), (4, "RTP"), (8, "RTN")])
def test_packets_lost_count_for_the_rows_they_held(bench: Any, lost: int, answer: str) -> None:
    """White rows are coded in three octets: of forty packets each that is lost holds a fortieth of the page."""
    white = encode_page(bytes(216 * 1000), 1728, 1000, Coding.MH, ecm=False)
    size = -(-len(white) // 40)
    parts: list[Any] = [DataReceived(MODEM, white[at : at + size]) for at in range(0, len(white), size)]
    parts[9 : 9 + lost] = [DataMissing(lost)]
    script = bench.script(sending=False).left().trains(PLAIN).burst(MODEM, *parts).says(Fcf.EOP).keeps()
    assert script.said[-1] == answer


@pytest.mark.parametrize("refused", [True, False])
def test_no_page_has_more_bad_rows_than_rows(bench: Any, refused: bool) -> None:
    """More packets are lost than rows came: judged by what is lost, told as what is there."""
    part = [DataReceived(MODEM, plain(1)[at : at + 40]) for at in range(0, len(plain(1)) // 4, 40)]
    script = bench.script(sending=False, rtn_from=0.15 if refused else 10.0, rtp_from=0.0).left().trains(PLAIN)
    script.burst(MODEM, *part, DataMissing(2 * ROWS)).says(Fcf.EOP).wait(0.0)
    if refused:
        (repeated,) = script.of(PageRepeated)
        came = int(repeated.why.split()[0])
        assert repeated.why == f"{came} of {came} rows are bad"
        script.says(Fcf.DCN)
    (told,) = script.of(PageReceived)
    assert (told.bad_rows, told.complete) == (told.rows, not refused)
    assert told.longest_bad_run <= told.rows
    script.keeps().says(Fcf.DCN)
    assert script.outcome.bad_rows == told.rows


@pytest.mark.parametrize("rtn_from", [0.15, 1.0, 10.0])
def test_a_plain_page_without_a_row_is_refused_whatever_is_borne(bench: Any, rtn_from: float) -> None:
    script = bench.script(sending=False, rtn_from=rtn_from).left().trains(PLAIN)
    page(script, bytes(400)).says(Fcf.EOP).wait(0.0)
    assert (script.said[-1], script.of(PageReceived)) == ("RTN", [])
    assert [event.why for event in script.of(PageRepeated)] == ["no row can be read"]


def test_what_was_lost_of_the_training_is_not_missing_from_the_page(bench: Any) -> None:
    script = bench.script(sending=False).left().says(Fcf.DCS, encode_dcs(PLAIN))
    script.burst(MODEM, DataMissing(9), DataReceived(MODEM, bytes(1800))).left()
    page(script, plain(1)).says(Fcf.EOP).keeps()
    assert (script.said[-1], script.of(PageReceived)[0].bad_rows) == ("MCF", 0)


def test_what_is_left_of_a_burst_that_failed_as_training_is_no_page(bench: Any) -> None:
    """The sender took a late CFR for its own and began the page; its end would be stored as the whole of it."""
    chunks = [DataReceived(MODEM, plain(1)[at : at + 40]) for at in range(0, len(plain(1)), 40)]
    script = bench.script(sending=False).left().says(Fcf.DCS, encode_dcs(PLAIN)).hear(SignalStarted(MODEM))
    script.hear(*chunks[:9]).wait(9.0).left().hear(*chunks[9:], SignalEnded(MODEM)).says(Fcf.MPS)
    assert script.said[-1] == "FTT"
    assert not script.of(PageReceived)
    page(script, plain(1)).says(Fcf.MPS)
    assert [page.raster for page in script.of(PageReceived)] == [raster(1)]


def test_a_page_of_which_no_row_can_be_read_is_never_confirmed(bench: Any) -> None:
    """Its first block is given up, without its first frame; the second one is whole and cannot be decoded."""
    coded = frames(1)
    script = bench.script(sending=False).left().trains(ECM)
    script.fast(ECM, *coded[1:4]).says(Fcf.EOR, encode_rest(None)).left()
    assert script.said[-1] == "ERR"
    rest = encode_block(b"".join(frame[4:] for frame in coded[4:]), 256)
    script.fast(ECM, *rest).says(Fcf.PPS, pps(Fcf.EOP, len(rest), block=1)).left().wait(2.0)
    assert "MCF" not in script.said
    assert script.outcome.cause is Cause.PAGE_REFUSED
    assert "no row" in script.outcome.sentence


def test_zeros_left_over_from_training_do_not_make_an_ecm_page_a_plain_one(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).burst(MODEM, DataReceived(MODEM, bytes(36)))
    script.fast(ECM, *frames(1)).says(Fcf.PPS, pps(Fcf.EOP, len(frames(1)))).keeps()
    assert (script.said[-1], script.of(PageReceived)[0].raster) == ("MCF", raster(1))


# --- storms of plausible senders -----------------------------------------------------------------


class Storm:
    """A sender that says anything at any time, and a strict witness of every confirmation."""

    def __init__(self, script: Any, seed: int) -> None:
        self.script = script
        self.dice = random.Random(seed)
        self.agreement = PLAIN
        self.unkept: list[int] = []  # told by the engine, not yet answered by the store
        self.kept: set[int] = set()
        self.heard = 0  # pieces of page data since the last answer
        self.news = 0  # those among them that no confirmed block had
        self.behind = 0  # pieces since a page was told whole
        self.confirmed: list[bytes] = []  # frames of the last confirmed block
        self.last_pps = b""
        self.confirmed_pps = b""
        self.command: Fcf | None = None

    def step(self) -> None:
        self.dice.choice([self.train, self.burst, self.burst, self.post, self.post, self.post, self.store, self.rest])()
        self.witness()

    def train(self) -> None:
        self.agreement = self.dice.choice([PLAIN, ECM, replace(ECM, coding=Coding.MH)])
        self.script.trains(self.agreement)
        self.heard = self.news = 0

    def burst(self) -> None:
        self.script.hear(SignalStarted(MODEM))
        if self.agreement.ecm and self.dice.random() < 0.9:
            self.fast()
        else:
            data = plain(self.dice.randrange(4))
            for at in range(0, len(data), 200):
                if self.dice.random() < 0.02:
                    self.script.hear(DataMissing(1))
                else:
                    self.hear(DataReceived(MODEM, data[at : at + 200]), new=True)
        if self.dice.random() < 0.9:
            self.script.hear(SignalEnded(MODEM))

    def fast(self) -> None:
        again = self.confirmed if self.dice.random() < 0.3 else []
        for frame in again or frames(self.dice.randrange(4)):
            if self.dice.random() < 0.9:
                self.hear(FrameReceived(MODEM, frame), new=frame not in self.confirmed)

    def hear(self, signal: Any, *, new: bool) -> None:
        in_training = self.script.engine.state in (S.AWAIT_TCF, S.IN_TCF)
        self.script.hear(signal)
        if not in_training:
            self.heard += 1
            self.news += new
            self.behind += 1

    def post(self) -> None:
        self.command = self.dice.choice([*[Fcf.PPS] * 4, Fcf.MPS, Fcf.EOP, Fcf.EOM, Fcf.EOR, Fcf.CTC, Fcf.CRP, Fcf.RR])
        follows = self.dice.choice([None, Fcf.MPS, Fcf.MPS, Fcf.EOM, Fcf.EOP])
        count = len(frames(0)) if self.dice.random() < 0.8 else self.dice.randrange(1, 257)
        counted = pps(follows, count, page=self.dice.randrange(2), block=self.dice.randrange(2))
        info = {Fcf.PPS: counted, Fcf.EOR: encode_rest(follows), Fcf.CTC: encode_ctc(MODEM)}.get(self.command, b"")
        self.last_pps = info if self.command is Fcf.PPS else b""
        self.script.says(self.command, info)

    def store(self) -> None:
        number = self.dice.randrange(1, 5)
        if self.unkept and self.dice.random() < 0.8:
            number = self.unkept[-1]
        self.script.order(PageKept(number))
        if number in self.unkept:
            self.kept.add(number)

    def rest(self) -> None:
        self.script.wait(self.dice.choice([0.1, 0.5, 2.0]))
        if self.dice.random() < 0.7:
            self.script.left()

    def witness(self) -> None:
        """Look at everything said since the last step, in order."""
        events, self.script.events = self.script.events, []
        confirmations = [event.number for event in events if isinstance(event, PageConfirmed)]
        assert set(confirmations) <= self.kept
        assert not confirmations or not self.behind
        if any(isinstance(event, PageReceived) for event in events):
            self.behind = 0
        self.unkept += [event.number for event in events if isinstance(event, PageReceived)]
        said, self.script.output = self.script.output, []
        for each in said:
            if isinstance(each, SendFrames):
                self.judge(Frame.decode(each.frames[-1]), bool(confirmations))

    def judge(self, frame: Frame, confirms: bool) -> None:
        if frame.fcf in (Fcf.MCF, Fcf.RTP) and not confirms:
            null = self.last_pps and self.last_pps[0] == 0
            again = self.last_pps[:3] == self.confirmed_pps[:3]
            assert null or not self.heard or (again and not self.news), f"{frame.fcf} to {self.command}"
        if frame.fcf in (Fcf.MCF, Fcf.RTP, Fcf.ERR, Fcf.RTN):
            self.heard = self.news = 0
            if self.last_pps:
                self.confirmed_pps = self.last_pps

    @property
    def over(self) -> bool:
        return self.script.engine.state in (S.CLOSING, S.ENDED)


@pytest.mark.parametrize("seed", range(60))
def test_every_confirmation_in_a_storm_is_of_a_kept_page_or_an_older_one_again(bench: Any, seed: int) -> None:
    for round_ in range(4):
        storm = Storm(bench.script(sending=False, ced=False).left(), seed * 100 + round_)
        for _ in range(60):
            if storm.over:
                break
            storm.step()


def test_the_storms_reach_confirmations(bench: Any) -> None:
    """The witness above has something to look at."""
    kept = 0
    for seed in range(30):
        storm = Storm(bench.script(sending=False, ced=False).left(), seed)
        for _ in range(60):
            if storm.over:
                break
            storm.step()
        kept += len(storm.kept)
    assert kept > 10
