"""Whole faxes with UDPTL over DTLS between two endpoints of ours, over loopback, in virtual time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from trio.testing import MockClock

from vfax import call
from vfax.leg import CallerOffer, LegOptions
from vfax.outcome import Cause, Outcome
from vfax.transports.parameters import Dtls

MAY = LegOptions(dtls=Dtls.OPPORTUNISTIC)
MUST = LegOptions(dtls=Dtls.REQUIRED)
OFF = LegOptions()
AUDIO = CallerOffer.AUDIO


async def send(caller: call.Network, receiver: Any, document: Path) -> Outcome:
    outcome = await caller.outbound().send(receiver.request(document), publish=lambda event: None)
    await receiver.done.wait()
    return outcome


def pixels(path: Path) -> list[bytes]:
    found = []
    with Image.open(path) as document:
        for index in range(getattr(document, "n_frames", 1)):
            document.seek(index)
            found.append(document.convert("1").tobytes())
    return found


@pytest.mark.parametrize("first", list(CallerOffer))
async def test_three_pages_arrive_encrypted(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock, first: CallerOffer
) -> None:
    document = make_document(pages=3, rows=300)
    async with fax_pair(MAY, replace(MAY, caller_offer=first)) as (receiver, caller):
        sent = await send(caller, receiver, document)
    (received,) = receiver.outcomes
    assert (sent.cause, received.cause) == (Cause.COMPLETE, Cause.COMPLETE), (sent.sentence, received.sentence)
    assert (sent.encrypted, received.encrypted) == (True, True)
    assert pixels(receiver.files[0]) == pixels(document)
