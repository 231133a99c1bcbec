"""Whole faxes with UDPTL over DTLS between two endpoints of ours, over loopback, in virtual time."""

import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from PIL import Image
from trio.testing import MockClock

from tests.conftest import Receiver
from vfax import call
from vfax.capture import CaptureOptions, Pcap
from vfax.captures import read_capture, recording_of
from vfax.course import course_of
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import LinkError
from vfax.journal import read_journal
from vfax.leg import CallerOffer, InternetAware, LegOptions
from vfax.outcome import Cause, Outcome, Retry
from vfax.pcap import DECRYPTED
from vfax.recordings import read_recording
from vfax.redact import redact_capture
from vfax.replay import replay
from vfax.t30.options import T30Options
from vfax.timeline import timeline
from vfax.transports.dtls import DtlsOptions, SecureSocket
from vfax.transports.dtls_identity import DtlsIdentity
from vfax.transports.parameters import Dtls, TcpMedia
from vfax.transports.sip.secure import DtlsSide, Fingerprint
from vfax.transports.sip.values import Address
from vfax.verdict import judge
from vfax.verdict_table import V

OFF = LegOptions()
MAY = LegOptions(dtls=Dtls.OPPORTUNISTIC)
MUST = LegOptions(dtls=Dtls.REQUIRED)
LOCAL = ("127.0.0.1", 0)


async def send(caller: call.Network, receiver: Any, document: Path) -> Outcome:
    outcome = await caller.outbound().send(receiver.request(document), publish=lambda event: None)
    if outcome.ok:
        await receiver.done.wait()
    return outcome


def pixels(path: Path) -> list[bytes]:
    found = []
    with Image.open(path) as document:
        for index in range(getattr(document, "n_frames", 1)):
            document.seek(index)
            found.append(document.convert("1").tobytes())
    return found


def lines(journal: Path, kind: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    return [line for line in found if line["kind"] == kind]


def whats(journal: Path) -> list[str]:
    """What the journal tells of DTLS, in order."""
    return [line["what"] for line in lines(journal, "dtls")]


def transport(journal: Path) -> str:
    return str(lines(journal, "t38")[0]["transport"])


# --- it works as without -------------------------------------------------------------------------


@pytest.mark.parametrize("first", list(CallerOffer))
@pytest.mark.parametrize("ecm", [True, False])
async def test_three_pages_arrive_encrypted(
    fax_pair: Callable[..., Any],
    make_document: Callable[..., Path],
    fax_clock: MockClock,
    first: CallerOffer,
    ecm: bool,
) -> None:
    document = make_document(pages=3, rows=300)
    fax = T30Options(ecm=ecm)
    async with fax_pair(replace(MAY, fax=fax), replace(MAY, caller_offer=first, fax=fax)) as (receiver, caller):
        sent = await send(caller, receiver, document)
    (received,) = receiver.outcomes
    assert (sent.cause, received.cause) == (Cause.COMPLETE, Cause.COMPLETE), (sent.sentence, received.sentence)
    assert (sent.encrypted, received.encrypted) == (True, True)
    assert pixels(receiver.files[0]) == pixels(document)
    assert transport(receiver.journals[0]) == "UDP/TLS/UDPTL"
    offered = ["offered"] if first is CallerOffer.AUDIO else []  # whoever sends the re-INVITE
    assert whats(receiver.journals[0]) == [*offered, "agreed", "encrypted"]
    assert lines(receiver.journals[0], "counters")[0]["strangers"] == 0


@pytest.mark.parametrize("aware", [InternetAware.ALWAYS, InternetAware.NEVER])
async def test_unpaced_pages_too(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock, aware: InternetAware
) -> None:
    document = make_document(pages=2, rows=1100, fine=True)
    options = replace(MUST, internet_aware=aware)
    async with fax_pair(options, options) as (receiver, caller):
        sent = await send(caller, receiver, document)
    assert sent.cause is Cause.COMPLETE, sent.sentence
    assert pixels(receiver.files[0]) == pixels(document)
    assert lines(receiver.journals[0], "counters")[0]["unsent"] == 0


@pytest.mark.parametrize("who", ["calling", "called", "both"])
async def test_behind_nat_the_peer_begins(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock, who: str
) -> None:
    """With learn_source an answer to actpass is passive."""
    near = replace(MUST, learn_source=True)
    called, calling = (near if who != "calling" else MUST), (near if who != "called" else MUST)
    async with fax_pair(called, calling) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200))
    assert sent.encrypted
    begins = lines(receiver.journals[0], "dtls")[0]["begins"]
    assert begins == ("us" if who == "calling" else "the peer")


# --- off, opportunistic, required ----------------------------------------------------------------


@pytest.mark.parametrize("first", list(CallerOffer))
@pytest.mark.parametrize("switch_after", [0.5, 30.0])  # our re-INVITE, or theirs
async def test_who_may_falls_back_to_plain_with_a_peer_that_does_not_know_it(
    fax_pair: Callable[..., Any],
    make_document: Callable[..., Path],
    fax_clock: MockClock,
    first: CallerOffer,
    switch_after: float,
) -> None:
    calling = replace(MAY, caller_offer=first, caller_switch_after=switch_after)
    called = replace(OFF, called_switch_after=60.0 if switch_after < 1 else 1.5)
    async with fax_pair(called, calling) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200))
    assert sent.cause is Cause.COMPLETE, sent.sentence
    assert (sent.encrypted, receiver.outcomes[0].encrypted) == (False, False)
    assert transport(receiver.journals[-1]) == "udptl"


async def test_who_is_called_falls_back_too(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    calling = replace(OFF, caller_offer=CallerOffer.AUDIO, caller_switch_after=30.0)
    async with fax_pair(MAY, calling) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200))
    assert sent.cause is Cause.COMPLETE, sent.sentence
    assert whats(receiver.journals[0]) == ["offered", "refused"]
    said = [row.text for row in timeline(read_journal(receiver.journals[0]))]
    assert any(text.startswith("T.38 over DTLS was refused: 488") for text in said)


async def test_who_may_takes_a_plain_offer(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    async with fax_pair(MAY, OFF) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200))
    assert sent.cause is Cause.COMPLETE, sent.sentence
    assert not sent.encrypted


async def test_who_must_sends_nothing_to_a_peer_without_it(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path
) -> None:
    async with fax_pair(OFF, replace(MUST, caller_retries_audio=False)) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200))
        await trio.sleep(60.0)
    assert (sent.cause, sent.verdict) == (Cause.T38_REFUSED, V.DTLS_REFUSED)
    assert 'dtls = "opportunistic" sends such faxes without encryption' in sent.sentence
    theirs = [judge(read_journal(path)) for path in (tmp_path / "journal").glob("*.jsonl")]
    (refusal,) = [one.sentence for one in theirs if one.name == V.OFFER_UNUSABLE]
    assert 'T.38 is offered over DTLS alone (UDP/TLS/UDPTL), and dtls = "off" declines that' in refusal


async def test_who_must_sends_nothing_either_after_audio(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    async with fax_pair(OFF, MUST) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200))
        await trio.sleep(60.0)
    assert (sent.ok, sent.encrypted, sent.pages_confirmed) == (False, False, 0)
    assert lines(receiver.journals[-1], "t38") == []


async def test_who_must_refuses_a_plain_call_with_a_sentence(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path
) -> None:
    async with fax_pair(MUST, replace(OFF, caller_retries_audio=False)) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200))
        await trio.sleep(60.0)
    assert sent.cause is Cause.T38_REFUSED
    theirs = [judge(read_journal(path)) for path in (tmp_path / "journal").glob("*.jsonl")]
    (refusal,) = [one.sentence for one in theirs if one.name == V.OFFER_UNUSABLE]
    assert 'T.38 is offered without encryption, and dtls = "required" asks for DTLS' in refusal


@pytest.mark.parametrize("first", list(CallerOffer))
async def test_who_was_refused_offers_plain_at_once_next_time(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock, first: CallerOffer
) -> None:
    document = make_document(rows=200)
    calling = replace(MAY, caller_offer=first, caller_switch_after=0.5)
    async with fax_pair(replace(OFF, called_switch_after=60.0), calling) as (receiver, caller):
        for _ in range(2):
            receiver.done = trio.Event()
            sent = await send(caller, receiver, document)
            assert sent.cause is Cause.COMPLETE, sent.sentence
    ours = [
        path for path in receiver.journals[0].parent.glob("*.jsonl") if lines(path, "call")[0]["direction"] == "out"
    ]
    told = {tuple(line["what"] for line in lines(path, "learned")): whats(path) for path in ours}
    why = "It offers T.38 without encryption. T.38 over DTLS was refused with 488."
    assert told.pop(next(said for said in told if why in said)) == []
    assert told == {(): ["offered", "refused"]}


async def test_who_must_is_never_advised_to_offer_plain(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    async with fax_pair(OFF, MUST) as (receiver, caller):
        for _ in range(2):
            sent = await send(caller, receiver, make_document(rows=200))
            assert (sent.ok, sent.verdict) == (False, V.DTLS_REFUSED)
    assert all(lines(path, "t38") == [] for path in receiver.journals[0].parent.glob("*.jsonl"))


async def test_who_accepts_offers_plain_and_takes_encrypted(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    """The peer needs encryption: it takes no plain T.38, answers audio, and offers its own."""
    calling = replace(OFF, dtls=Dtls.ACCEPT, caller_switch_after=30.0)
    async with fax_pair(MUST, calling) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200))
    assert (sent.cause, sent.encrypted) == (Cause.COMPLETE, True), sent.sentence


async def test_tcp_comes_after_it(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    async with fax_pair(OFF, replace(MAY, tcp=TcpMedia.OFFER)) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200))
    assert sent.cause is Cause.COMPLETE, sent.sentence
    assert transport(receiver.journals[-1]) == "tcp"


# --- what is written down ------------------------------------------------------------------------


@asynccontextmanager
async def captured(folder: Path) -> AsyncIterator[tuple[Receiver, Endpoint]]:
    """Two endpoints that capture and record all."""
    journals = folder / "journal"
    journals.mkdir()
    options = EndpointOptions(listen=LOCAL, journal=journals, capture=CaptureOptions(pcap=Pcap.ALL), leg=MAY)
    caller = Endpoint(options)
    async with Receiver(folder, Endpoint(options)).running() as receiver, trio.open_nursery() as nursery:
        await nursery.start(caller.run, lambda arrived: arrived.refuse(486))
        yield receiver, caller
        nursery.cancel_scope.cancel()


async def test_journal_timeline_verdict_and_replay_tell_of_it(
    tmp_path: Path, make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    async with captured(tmp_path) as (receiver, caller):
        sent = await send(caller, receiver, make_document(pages=2, rows=300))
        await trio.sleep(40.0)
    assert sent.encrypted
    journal = receiver.journals[0]
    entries = read_journal(journal)
    encrypted = next(line for line in lines(journal, "dtls") if line["what"] == "encrypted")
    assert (encrypted["version"], encrypted["fingerprint"][:8]) == ("DTLSv1.2", "sha-256 ")
    assert lines(journal, "outcome")[0]["encrypted"] is True
    said = [row.text for row in timeline(entries)]
    assert any(text.startswith("encrypted from here on, with 127.0.0.1:") for text in said)
    assert any("over UDPTL over DTLS (t38UDPRedundancy)" in text for text in said)
    verdict = judge(entries)
    assert (verdict.outcome.encrypted, verdict.name) == (True, V.RECEIVED)
    assert any(text.startswith("encrypted, DTLSv1.2 ") for text in verdict.evidence)
    assert course_of(entries).encryption.startswith("DTLSv1.2 ")
    again = replay(read_recording(journal))
    assert again.outcome is not None
    assert (again.outcome.cause, again.outcome.pages_confirmed) == (Cause.COMPLETE, 2)


async def test_the_capture_is_decrypted_and_says_so_and_can_be_replayed(
    tmp_path: Path, make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    async with captured(tmp_path) as (receiver, caller):
        await send(caller, receiver, make_document(rows=300))
        await trio.sleep(40.0)
    path = receiver.journals[0].with_suffix(".pcap")
    assert DECRYPTED in path.read_bytes()
    assert lines(receiver.journals[0], "capture")[0]["decrypted"] is True
    (one,), _ = read_capture(path)
    assert one.datagrams
    heard = replay(recording_of(one, called=True, options=LegOptions()))
    assert heard.outcome is not None
    assert heard.outcome.pages_confirmed == 1
    redacted = tmp_path / "redacted.pcap"
    redact_capture(path, redacted)
    assert DECRYPTED in redacted.read_bytes()


async def test_tshark_reads_the_capture(
    tmp_path: Path, make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    """What was decrypted is T.38 to somebody else, too, when told where it is."""
    async with captured(tmp_path) as (receiver, caller):
        await send(caller, receiver, make_document(rows=300))
        await trio.sleep(40.0)
    path = receiver.journals[0].with_suffix(".pcap")
    port = lines(receiver.journals[0], "media")[0]["port"]
    tshark = shutil.which("tshark")
    assert tshark, "tshark is missing"
    asked = [tshark, "-r", str(path), "-d", f"udp.port=={port},t38", "-Y", "t38", "-T", "fields", "-e", "t38.t30_data"]
    printed = await trio.run_process(asked, capture_stdout=True, stderr=subprocess.DEVNULL)
    assert printed.stdout.count(b"\n") > 100


# --- what goes wrong -----------------------------------------------------------------------------


async def test_a_certificate_that_cannot_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    files = DtlsOptions(certificate=tmp_path / "own.pem", key=tmp_path / "own.key")
    for leg in (MAY, MUST):
        with pytest.raises(LinkError, match=r"\[dtls\] cannot read .*own.pem: No such file"):
            await Endpoint(EndpointOptions(listen=LOCAL, leg=leg, dtls=files)).run(lambda arrived: None)
    with trio.move_on_after(0.1):
        await Endpoint(EndpointOptions(listen=LOCAL, dtls=files)).run(lambda arrived: None)  # nobody wants it


def lying(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Fingerprint:
    """SDP of this endpoint names a certificate that is not its own."""
    securing, wrong = endpoint._securing, Fingerprint("sha-256", bytes(range(32)))
    honest = securing.side

    def side(leg: LegOptions) -> DtlsSide | None:
        made = honest(leg)
        return None if made is None else replace(made, fingerprints=(wrong,))

    monkeypatch.setattr(securing, "side", side)
    return wrong


@pytest.mark.parametrize("liar", ["caller", "called"])
async def test_a_wrong_certificate_ends_the_call_before_anything_is_sent(
    fax_pair: Callable[..., Any],
    make_document: Callable[..., Path],
    fax_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    liar: str,
) -> None:
    async with fax_pair(MAY, MAY) as (receiver, caller):
        wrong = lying(caller if liar == "caller" else receiver.endpoint, monkeypatch)
        sent = await send(caller, receiver, make_document(rows=200))
        await receiver.done.wait()
    (received,) = receiver.outcomes
    judge_, other = (received, sent) if liar == "caller" else (sent, received)
    assert (judge_.cause, judge_.verdict, judge_.retry) == (Cause.ENCRYPTION, V.DTLS_WRONG_CERTIFICATE, Retry.NEVER)
    assert "showed a certificate with sha-256 " in judge_.sentence
    assert f"and its SDP names {wrong.short}".rstrip(".") in judge_.sentence
    assert "Somebody on the way may be listening" in judge_.sentence
    assert (sent.pages_confirmed, sent.encrypted, other.ok) == (0, False, False)


class Deaf(SecureSocket):
    """A peer that agrees to DTLS and does not do it."""

    def _divert(self, datagram: bytes, source: Address) -> bool:
        return True


def deaf_socket(host: str, ports: Iterable[int]) -> Deaf:
    socket = Deaf.bind_even(host, ports)
    socket.arm(DtlsIdentity.make(), DtlsOptions(handshake=90.0))
    return socket


@pytest.mark.parametrize("deaf", ["caller", "called"])
async def test_a_peer_that_agrees_and_does_not_do_it_is_given_up(
    fax_pair: Callable[..., Any],
    make_document: Callable[..., Path],
    fax_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    deaf: str,
) -> None:
    async with fax_pair(MAY, MAY) as (receiver, caller):
        securing = (caller if deaf == "caller" else receiver.endpoint)._securing
        monkeypatch.setattr(securing, "open", lambda host, ports, side: deaf_socket(host, ports))
        start = trio.current_time()
        sent = await send(caller, receiver, make_document(rows=200))
        await receiver.done.wait()
        assert trio.current_time() - start < DtlsOptions().handshake + 5.0
    judge_ = sent if deaf == "called" else receiver.outcomes[0]
    assert judge_.cause is Cause.ENCRYPTION
    if deaf == "called":  # it begins, and hears no answer
        assert judge_.verdict == V.DTLS_FAILED
        assert "was not finished within 15 s" in judge_.sentence
    else:
        assert judge_.verdict == V.DTLS_SILENT
        assert "no DTLS came from 127.0.0.1:" in judge_.sentence
    assert 'set dtls = "off" for' in judge_.sentence


async def test_an_abort_in_the_handshake_is_immediate(
    fax_pair: Callable[..., Any],
    make_document: Callable[..., Path],
    fax_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fax_pair(MAY, MAY) as (receiver, caller), trio.open_nursery() as nursery:
        monkeypatch.setattr(receiver.endpoint._securing, "open", lambda host, ports, side: deaf_socket(host, ports))
        outbound = caller.outbound()
        outcomes = []

        async def sending() -> None:
            request = receiver.request(make_document(rows=200))
            outcomes.append(await outbound.send(request, publish=lambda event: None))

        nursery.start_soon(sending)
        await trio.sleep(4.0)
        outbound.abort()
        with trio.fail_after(1.0):
            await receiver.done.wait()
    assert outcomes[0].cause is Cause.ABORTED


@pytest.mark.realtime
async def test_two_nodes_in_real_time(fax_pair: Callable[..., Any], make_document: Callable[..., Path]) -> None:
    document = make_document(pages=3, rows=300)
    options = replace(MUST, internet_aware=InternetAware.ALWAYS)
    async with fax_pair(options, options) as (receiver, caller):
        with trio.fail_after(60.0):
            sent = await send(caller, receiver, document)
    assert (sent.cause, sent.encrypted) == (Cause.COMPLETE, True), sent.sentence
    assert pixels(receiver.files[0]) == pixels(document)
