"""The player can fail: a script that is wrong anywhere does not pass."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.calls.player import play
from tests.calls.script import from_table, read
from tests.calls.speech import F, Fields, Manner, Numbering, encode
from tests.calls.words import ScriptError, frame, mismatch
from vfax.codecs.ifp import DataType
from vfax.transports.udptl import Packet

RECEIVED: Final = """
title = "A page received"
source = "T.30 (09/2005)"
steps = [
  { hear = "DIS" },
  { say = ["TSI 123", "DCS v29/9600 mmr ecm"] },
  { train = 1.5 },
  { hear = "CFR" },
  { ecm = 1 },
  { say = "PPS-EOP" },
  { hear = "MCF", between = [0.0, 1.0] },
  { say = "DCN" },
]
[expect]
cause = "complete"
pages = 1
kept = [1]
counters = { lost = 0 }
"""

SENT: Final = """
title = "A page sent"
source = "T.30 (09/2005)"
side = "caller"
steps = [
  { say = "DIS" },
  { hear = "DCS v17/14400 mmr ecm" },
  { hear-tcf = "v17/14400" },
  { say = "CFR" },
  { hear-page = 1, frames = "0-1" },
  { hear = "PPS-EOP page=0 block=0 frames=2" },
  { say = "MCF" },
  { hear = "DCN" },
]
[expect]
cause = "complete"
delivered = [1]
"""


@pytest.mark.parametrize("text", [RECEIVED, SENT], ids=["received", "sent"])
def test_scripts_as_they_stand_pass(text: str) -> None:
    play(from_table(tomllib.loads(text)))


@pytest.mark.parametrize(
    ("wrong", "text", "right"),
    [
        # unknown words
        ("colour = 1\nside", SENT, "side"),
        ("{ hear = 'DIS', loudly = true }", RECEIVED, '{ hear = "DIS" }'),
        ("{ listen = 'DIS' }", RECEIVED, '{ hear = "DIS" }'),
        ("[expect]\nluck = 1", RECEIVED, "[expect]"),
        ("[ours.fax]\ntemper = 1\n[expect]", RECEIVED, "[expect]"),
        ("[ours.fax]\necm = 'yes'\n[expect]", RECEIVED, "[expect]"),
        ("[peer]\nend = 'abrupt'\n[expect]", RECEIVED, "[expect]"),
        ("DCS v29/9600 purple", RECEIVED, "DCS v29/9600"),
        ("DCQ", RECEIVED, "DCS"),
        # what does not come, or comes otherwise
        ("{ hear = 'RTN' }", RECEIVED, '{ hear = "CFR" }'),
        ("{ hear = ['CSI', 'DIS'] }", RECEIVED, '{ hear = "DIS" }'),
        ("{ hear = 'DIS -27' }", RECEIVED, '{ hear = "DIS" }'),
        ("{ hear = 'DIS +78' }", RECEIVED, '{ hear = "DIS" }'),
        ("between = [2.0, 3.0]", RECEIVED, "between = [0.0, 1.0]"),
        ("{ train = 0.1 }", RECEIVED, "{ train = 1.5 }"),
        ("v17/12000 mmr", SENT, "v17/14400 mmr"),
        ("{ hear-tcf = 'v17/12000' }", SENT, '{ hear-tcf = "v17/14400" }'),
        ("{ hear-page = 2,", SENT, "{ hear-page = 1,"),
        ("frames = '0-2'", SENT, 'frames = "0-1"'),
        ("frames=3", SENT, "frames=2"),
        ("page=1", SENT, "page=0"),
        ("PPS-MPS page", SENT, "PPS-EOP page"),
        # what nobody asked for
        ("", SENT, '  { hear = "DCN" },\n'),
        ("", RECEIVED, '  { hear = "CFR" },\n'),
        ("", RECEIVED, '  { hear = "MCF", between = [0.0, 1.0] },\n'),
        # the end
        ("cause = 'going-on'", RECEIVED, 'cause = "complete"'),
        ("cause = 'aborted'", RECEIVED, 'cause = "complete"'),
        ("pages = 2", RECEIVED, "pages = 1"),
        ("kept = [2]", RECEIVED, "kept = [1]"),
        ("kept = []", RECEIVED, "kept = [1]"),
        ("kept = [1, 1]", RECEIVED, "kept = [1]"),
        ("counters = { lost = 1 }", RECEIVED, "counters = { lost = 0 }"),
        ("counters = { luck = 0 }", RECEIVED, "counters = { lost = 0 }"),
        ("delivered = []", SENT, "delivered = [1]"),
        ("datagram_max = 60", SENT, "delivered = [1]"),
        ("ifp_max = 30", SENT, "delivered = [1]"),
        ("sentence = 'luck'", SENT, "delivered = [1]"),
        ("retry = 'now'", SENT, "delivered = [1]"),
    ],
)
def test_a_wrong_script_fails(text: str, right: str, wrong: str) -> None:
    assert text.count(right) >= 1
    with pytest.raises(ScriptError):
        play(from_table(tomllib.loads(text.replace(right, wrong, 1))))


def test_a_slip_in_the_toml_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "99-slip.toml"
    path.write_text("steps = [", "utf-8")
    with pytest.raises(ScriptError, match="99-slip"):
        read(path)


@pytest.mark.parametrize(
    ("version", "fields", "strict", "aligned"),
    [
        (0, ((F.HDLC_SIG_END, b""), (F.HDLC_SIG_END, b"")), "c00211", "c0021010"),
        (0, ((F.HDLC_FCS_OK, b""), (F.HDLC_DATA, b"\xff\xc0")), "c002280001ffc0", "c00220800001ffc0"),
        (1, ((F.HDLC_SIG_END, b""), (F.HDLC_SIG_END, b"")), "c0020840", "c0020808"),
        (1, ((F.HDLC_FCS_OK, b""), (F.HDLC_DATA, b"\xff\xc0")), "c00214000001ffc0", "c00210800001ffc0"),
    ],
)
def test_the_peer_speaks_both_dialects_of_fields(version: int, fields: Fields, strict: str, aligned: str) -> None:
    for manner, octets in ((Manner(version=version), strict), (Manner(version=version, aligned=True), aligned)):
        assert encode(DataType.V21, fields, manner).hex() == octets


def test_parity_of_the_peer_is_as_deployed() -> None:
    manner = Manner(fec=(3, 3))
    peer = Numbering(manner)
    packets = [bytes([number + 1] * (number % 3 + 1)) for number in range(10)]
    datagrams = [Packet.decode(peer.datagram(packet, manner)) for packet in packets]
    fec = datagrams[9].fec
    assert fec is not None
    padded = [packet.ljust(3, b"\0") for packet in packets]
    for row, members in enumerate([(6, 3, 0), (7, 4, 1), (8, 5, 2)]):
        parity = bytes(a ^ b ^ c for a, b, c in zip(*(padded[number] for number in members), strict=True))
        assert fec.rows[row].ljust(3, b"\0") == parity


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("MCF", "ffc8b1"),
        ("PPS-MPS page=1 block=2 frames=10", "ffc8fdf2804090"),
        ("EOR-EOP", "ffc8f3f4"),
        ("hex ffc8df", "ffc8df"),
        ("TSI +1 555 123 4567", "ffc8c2ec6cac2c04cc4c8c04acacac048cd4" + "04" * 5),
        ("CTC v29/9600", "ffc8c80020"),
    ],
)
def test_frames_in_words_are_the_octets_of_the_recommendation(text: str, octets: str) -> None:
    said = frame(text, final=True, x=True)
    assert said.hex() == octets
    if not text.startswith("hex"):
        assert mismatch(text, said) == ""


@pytest.mark.parametrize("make", [lambda: frame("DIS", final=True, x=False), lambda: b"\xff\xc8", lambda: b"\0\0\0"])
def test_a_frame_that_is_not_the_one_in_words_is_told(make: Callable[[], bytes]) -> None:
    assert mismatch("MCF", make())


def test_bits_are_set_by_the_numbers_of_table_2() -> None:
    said = frame("DIS +123", final=True, x=False)
    assert mismatch("DIS +123 iaf", said) == ""
    assert all(said[3 + octet] & 1 for octet in range(2, 15))


def _table() -> dict[str, Any]:
    return tomllib.loads(RECEIVED)


def test_polling_needs_a_line_without_a_call() -> None:
    with pytest.raises(ScriptError, match="line"):
        from_table({**_table(), "side": "polling"})
