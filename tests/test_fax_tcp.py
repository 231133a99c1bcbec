"""Whole faxes with T.38 over TCP between two endpoints of ours, over loopback, in virtual time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from trio.testing import MockClock

from vfax import call
from vfax.leg import CallerOffer, InternetAware, LegOptions
from vfax.outcome import Cause, Outcome
from vfax.t30.options import T30Options
from vfax.transports.parameters import TcpMedia

OFFER = LegOptions(tcp=TcpMedia.OFFER)


def pixels(path: Path) -> list[bytes]:
    found = []
    with Image.open(path) as document:
        for index in range(getattr(document, "n_frames", 1)):
            document.seek(index)
            found.append(document.convert("1").tobytes())
    return found


async def send(caller: call.Network, receiver: Any, document: Path) -> Outcome:
    outcome = await caller.outbound().send(receiver.request(document), publish=lambda event: None)
    await receiver.done.wait()
    return outcome


def agreed_transport(journal: Path) -> bool:
    return '"transport":"tcp"' in journal.read_text("utf-8").replace(" ", "")


@pytest.mark.parametrize("ecm", [True, False])
@pytest.mark.parametrize("aware", [InternetAware.AUTO, InternetAware.NEVER])
async def test_pages_arrive_over_tcp(
    fax_pair: Callable[..., Any],
    make_document: Callable[..., Path],
    fax_clock: MockClock,
    ecm: bool,
    aware: InternetAware,
) -> None:
    document = make_document(pages=2, rows=300)
    options = replace(OFFER, fax=T30Options(ecm=ecm), internet_aware=aware)
    async with fax_pair(options, options) as (receiver, caller):
        sent = await send(caller, receiver, document)
    (received,) = receiver.outcomes
    assert (sent.cause, received.cause) == (Cause.COMPLETE, Cause.COMPLETE), (sent.sentence, received.sentence)
    assert pixels(receiver.files[0]) == pixels(document)
    assert agreed_transport(receiver.journals[0])


async def test_tcp_is_accepted_by_default_and_never_offered(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    async with fax_pair(LegOptions(), OFFER) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200))
    assert sent.cause is Cause.COMPLETE, sent.sentence
    assert agreed_transport(receiver.journals[0])
    async with fax_pair(OFFER, LegOptions()) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200))
    assert sent.cause is Cause.COMPLETE, sent.sentence
    assert not agreed_transport(receiver.journals[-1])


async def test_peer_without_tcp_gets_the_fax_over_udp(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    async with fax_pair(LegOptions(tcp=TcpMedia.OFF), OFFER) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200))
    assert sent.cause is Cause.COMPLETE, sent.sentence
    assert not agreed_transport(receiver.journals[-1])


async def test_switch_over_from_audio_goes_to_tcp_too(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    calling = LegOptions(caller_offer=CallerOffer.AUDIO)
    async with fax_pair(OFFER, calling) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200))
    assert sent.cause is Cause.COMPLETE, sent.sentence
    assert agreed_transport(receiver.journals[0])
