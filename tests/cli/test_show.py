"""`vfax show`: what people see of a call, on a terminal and in a pipe; no journal makes it stumble."""

import base64
import io
import json
import zlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from trio.testing import MockClock
from typer.testing import CliRunner

from vfax.cli import app
from vfax.cli.show import show
from vfax.codecs.ifp import Data, DataType, Field, FieldType, Indication, Indicator, encode, wrap_tpkt
from vfax.journal import Entry, JsonValue, pack_packet, pack_packets
from vfax.timeline import MAX_PACKETS, Row, timeline
from vfax.transports.udptl import Packet

T38 = Entry("", 0.0, "t38", {"version": 0})


def packets(*datagrams: tuple[float, bytes], direction: str = "in") -> Entry:
    """A line of recorded datagrams."""
    records = b"".join(pack_packet(round(at * 1e6), datagram) for at, datagram in datagrams)
    facts: dict[str, JsonValue] = {
        "direction": direction,
        "count": len(datagrams),
        "since": 0.0,
        "data": pack_packets(records),
    }
    return Entry("", 9.0, "packets", facts)


def udptl(sequence: int, value: Data | Indication, *earlier: bytes) -> bytes:
    return Packet(sequence, encode(value, 0), earlier).encode()


def page_data(octets: int = 54) -> Data:
    return Data(DataType.V17_14400, (Field(FieldType.T4_NON_ECM_DATA, b"\x5a" * octets),))


def written(tmp_path: Path, *lines: dict[str, Any]) -> Path:
    path = tmp_path / "call.jsonl"
    path.write_text("".join(json.dumps({"at": "", "t": 0.5} | line) + "\n" for line in lines), encoding="utf-8")
    return path


# --- the rows ------------------------------------------------------------------------------------


def test_page_data_is_one_row_with_what_was_lost_and_repaired() -> None:
    ifp = encode(page_data(), 0)
    stream = [(0.0, udptl(0, Indication(Indicator.V17_14400_LONG_TRAINING)))]
    stream += [(1 + n * 0.03, udptl(n + 1, page_data())) for n in range(10)]
    stream += [(1.4, udptl(13, page_data(), ifp)), (1.5, udptl(14, Indication(Indicator.NO_SIGNAL)))]
    rows = timeline([T38, packets(*stream)])
    assert [row.text for row in rows if row.lane == "T.38"] == [
        "v17-14400-long-training",
        "v17-14400: 11 packets of page data, 594 octets, 1 repaired, 1 lost, 0.4 s",
        "no-signal",
    ]
    assert [row.loud for row in rows if row.lane == "T.38"] == [False, True, False]


def test_every_packet_has_a_row_when_asked_for() -> None:
    stream = [(0.1 * n, udptl(n, page_data())) for n in range(5)]
    rows = timeline([T38, packets(*stream, stream[4])], packets=True)
    assert [row.text for row in rows if row.lane == "T.38"] == [
        *(f"#{n} v17-14400: t4-non-ecm-data 54" for n in range(5)),
        "#4 v17-14400: t4-non-ecm-data 54 (seen before)",
    ]
    assert rows[1].octets == stream[0][1]


def test_t38_over_tcp_is_read_as_the_stream_it_is() -> None:
    parts: list[Data | Indication] = [Indication(Indicator.V17_14400_LONG_TRAINING), *[page_data()] * 4]
    parts.append(Indication(Indicator.NO_SIGNAL))
    octets = b"".join(wrap_tpkt(encode(part, 0)) for part in parts)
    pieces = [(0.1 * n, octets[n * 50 : n * 50 + 50]) for n in range(len(octets) // 50 + 1)]
    over_tcp = Entry("", 0.0, "t38", {"version": 0, "peer": "192.0.2.1:5", "transport": "tcp", "max_datagram": 72})
    rows = timeline([over_tcp, packets(*pieces)])
    assert [row.text for row in rows] == [
        "T.38 runs with 192.0.2.1:5 over TCP, version 0",
        "v17-14400-long-training",
        "v17-14400: 4 packets of page data, 216 octets, 0.4 s",
        "no-signal",
    ]
    rows = timeline([over_tcp, packets(*pieces)], packets=True)
    assert [row.text for row in rows[1:3]] == [
        "TPKT v17-14400-long-training",
        "TPKT v17-14400: t4-non-ecm-data 54",
    ]


def test_a_stream_that_is_none_is_counted() -> None:
    over_tcp = Entry("", 0.0, "t38", {"version": 0, "transport": "tcp"})
    rows = timeline([over_tcp, packets((0.0, b"GET / HTTP/1.1"), (1.0, wrap_tpkt(b"\xff" * 9)))])
    assert rows[-1].text == "2 pieces that cannot be read as T.38"


def test_both_directions_and_all_lanes_stand_in_the_order_of_time() -> None:
    entries = [
        Entry("", 0.0, "call", {"direction": "in", "caller": "2"}),
        Entry("", 0.1, "sip", {"direction": "out", "summary": "200 OK to INVITE"}),
        T38,
        Entry("", 2.0, "frame", {"direction": "out", "name": "CFR", "words": "trained", "hex": "ffc821"}),
        packets((1.0, udptl(0, Indication(Indicator.CNG)))),
        packets((1.5, udptl(0, Indication(Indicator.CED))), direction="out"),
        Entry("", 3.0, "page", {"number": 1, "what": "received", "rows": 100, "bad_rows": 2}),
    ]
    rows = timeline(entries)
    assert [row.t for row in rows] == sorted(row.t for row in rows)
    assert [(row.lane, row.direction) for row in rows] == [
        ("call", "in"),
        ("call", ""),
        ("SIP", "out"),
        ("T.38", "in"),
        ("T.38", "out"),
        ("T.30", "out"),
        ("page", ""),
    ]
    assert rows[5] == Row(2.0, "T.30", "out", "CFR trained", b"\xff\xc8\x21")
    assert rows[6].text == "page 1 received: 100 rows, 2 damaged or missing"


def test_octets_that_are_no_t38_are_counted_in_one_row() -> None:
    rows = timeline([T38, packets((0.0, b"x"), (1.0, b"\xff" * 9))])
    assert [row.text for row in rows[1:]] == ["2 datagrams that cannot be read as T.38"]


def test_rows_without_end_are_cut_with_a_word() -> None:
    page = Entry("", 0.0, "page", {"number": 1, "what": "started"})
    rows = timeline([page] * 15, limit=10)
    assert (len(rows), rows[-1].text) == (11, "5 further rows are not shown")


def test_a_pipe_that_knows_ascii_only_gets_ascii(tmp_path: Path) -> None:
    path = written(tmp_path, {"kind": "sip", "direction": "in", "summary": "INVITE sip:m\u00fcller"}, {"kind": "call"})
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show(path, as_json=False, packets=False, console=Console(file=pipe))
    pipe.seek(0)
    assert "SIP  < INVITE sip:m?ller" in pipe.read()


def test_a_hostile_number_of_packets_is_cut_short() -> None:
    many = pack_packets(b"".join(pack_packet(0, b"") for _ in range(100_000)))
    entry = Entry("", 1.0, "packets", {"direction": "in", "since": 0.0, "data": many})
    rows = timeline([T38, *[entry] * 8])
    assert rows[1].text == f"{MAX_PACKETS:,} datagrams that cannot be read as T.38"
    assert rows[-1].text == "further packets are recorded and not shown"


ANY_FACT = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("in")
NAMES = st.sampled_from(
    [
        *("direction", "summary", "name", "words", "hex", "number", "what", "rows", "bad_rows", "frames", "why", "ok"),
        *("version", "since"),
    ]
)
KINDS = st.sampled_from(
    [
        *("call", "sip", "t38", "packets", "frame", "dis", "page", "training", "agreed", "counters", "outcome"),
        *("lost", "t38-first", "x"),
    ]
)
ANY_DATA = st.binary(max_size=60).map(lambda octets: base64.b64encode(zlib.compress(octets)).decode())


@given(
    st.lists(
        st.builds(
            lambda t, kind, facts, data: Entry("", t, kind, facts | {"data": data}),
            st.floats(0, 1e6),
            KINDS,
            st.dictionaries(NAMES, ANY_FACT),
            ANY_DATA,
        ),
        max_size=10,
    ),
    st.booleans(),
)
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
def test_no_journal_makes_the_timeline_raise(entries: list[Entry], single: bool) -> None:
    timeline(entries, packets=single)


# --- what is printed -----------------------------------------------------------------------------


def test_what_a_peer_wrote_cannot_command_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b[2J[red]x\x07\u202e"
    path = written(
        tmp_path,
        {"kind": "call", "direction": "in", "caller": evil},
        {"kind": "sip", "direction": "in", "summary": evil},
        {"kind": "frame", "direction": "in", "name": evil, "words": evil},
        {"kind": "fault", "what": evil},
        {"kind": "outcome", "cause": "rejected", "phase": "call", "evidence": evil},
    )
    printed = CliRunner().invoke(app, ["show", str(path)]).stdout
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)
    assert "[red]x" in printed


@pytest.mark.parametrize("width", [30, 60, 100, 200])
def test_lines_keep_within_the_terminal(width: int, tmp_path: Path) -> None:
    text = io.StringIO()
    terminal = Console(file=text, force_terminal=True, width=width, no_color=True, legacy_windows=False)
    path = written(
        tmp_path,
        {"kind": "call", "direction": "in", "caller": "+49 30 123456", "user_agent": "a b c " * 20},
        {"kind": "dis", "direction": "out", "name": "DIS", "words": "receives, V.17 " + "x" * 90, "hex": "ff" * 40},
    )
    show(path, as_json=False, packets=False, console=terminal)
    lines = [Console(width=500).render_str(line).plain for line in _plain(text.getvalue()).splitlines()]
    assert max(len(line) for line in lines) <= max(width, 18 + 20)  # narrower than that nothing can be read


def _plain(text: str) -> str:
    """Without the terminal's own codes."""
    return "".join(part.split("m", 1)[-1] if number else part for number, part in enumerate(text.split("\x1b[")))


@pytest.mark.parametrize("octets", [b"", b"nonsense\n", b"\x89PNG\r\n\x1a\n", b'{"at":"","t":0,"kind":"x"}\n'])
def test_what_is_no_journal_is_refused_in_one_line(octets: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(octets)
    result = CliRunner().invoke(app, ["show", str(path)])
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    assert "journal" in result.stderr


def test_a_file_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["show", str(tmp_path / "none")])
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)


async def test_a_real_call_is_shown_from_invite_to_bye(
    make_document: Callable[..., Path],
    fax_pair: Callable[..., AbstractAsyncContextManager[Any]],
    fax_clock: MockClock,
) -> None:
    document = make_document(pages=2)
    async with fax_pair() as (receiver, caller):
        outbound = caller.outbound()
        outcome = await outbound.send(receiver.request(document), publish=lambda event: None)
        await receiver.done.wait()
    assert outcome.ok, outcome.sentence
    for path in (receiver.journals[0], outbound.journal_path):
        shown = CliRunner().invoke(app, ["show", str(path)]).stdout
        for word in (
            "INVITE",
            "200 OK",
            "BYE",
            "T.38 runs",
            "DIS ",
            "DCS ",
            "CFR",
            "MCF",
            "packets of page data",
            "page 2",
        ):
            assert word in shown, word
        assert "both pages" in shown
        answer = json.loads(CliRunner().invoke(app, ["show", str(path), "--json", "--packets"]).stdout)
        assert answer["ok"] is True
        assert {row["lane"] for row in answer["timeline"]} == {"call", "SIP", "T.38", "T.30", "page"}
