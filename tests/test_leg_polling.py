"""Polling over T.38: the media of two legs joined in virtual time, the document on its way from called to caller."""

import math
import random

import pytest

from vfax.codecs.dis import Coding, Resolution
from vfax.codecs.encode import encode_page
from vfax.leg_media import LegMedia
from vfax.leg_values import InternetAware, LegOptions
from vfax.outcome import Cause, Outcome
from vfax.t30.values import (
    Addressing,
    Ended,
    PageCoded,
    PageInfo,
    PageKept,
    PageNeeded,
    PageReceived,
    Poll,
    SendDocument,
)
from vfax.transports.parameters import T38Parameters
from vfax.transports.sip.negotiation import T38Media
from vfax.transports.sip.values import Address

CALLER: Address = ("192.0.2.1", 4000)
CALLED: Address = ("192.0.2.2", 4000)
TRANSIT = 0.02
ROWS = 60
PAGE = PageInfo(1728, ROWS, Resolution.FINE)


class Joined:
    """Two media and what passes between them."""

    def __init__(self, caller: LegMedia, called: LegMedia) -> None:
        self.media = {CALLER: caller, CALLED: called}
        self.outcomes: dict[Address, Outcome] = {}
        self.received: list[bytes] = []
        self.now = self.ended_at = 0.0
        self._wire: list[tuple[float, Address, bytes]] = []
        caller.fax(T38Media(CALLED, T38Parameters()), 0.0)
        called.fax(T38Media(CALLER, T38Parameters()), 0.0)

    def run(self) -> "Joined":
        while len(self.outcomes) < 2:
            for at, media in self.media.items():
                self._own(at, media)
                self._wire += [(self.now + TRANSIT, at, datagram) for datagram, _ in media.take_datagrams()]
            arrives = min((when for when, _, _ in self._wire), default=math.inf)
            due = min(media.next_timeout() for media in self.media.values())
            self.now = max(self.now, min(arrives, due))
            assert self.now < 300
            self._arrive()
            for media in self.media.values():
                if media.next_timeout() <= self.now:
                    media.handle_timeout(self.now)
        return self

    def _arrive(self) -> None:
        here = [each for each in self._wire if each[0] <= self.now]
        self._wire = [each for each in self._wire if each[0] > self.now]
        for _, source, datagram in here:
            self.media[CALLED if source == CALLER else CALLER].receive(datagram, source, self.now)

    def _own(self, at: Address, media: LegMedia) -> None:
        for event in media.take_events():
            match event:
                case PageNeeded(number, agreement):
                    data = encode_page(raster(number), 1728, ROWS, agreement.coding, k=4, ecm=agreement.ecm)
                    media.order(PageCoded(number, data), self.now)
                case PageReceived():
                    self.received.append(event.raster)
                    media.order(PageKept(event.number), self.now)
                case Ended(outcome):
                    self.outcomes[at] = outcome
                    self.ended_at = self.now


def raster(number: int) -> bytes:
    return random.Random(number).randbytes(216) * ROWS


def called_with(document: SendDocument | None, options: LegOptions) -> LegMedia:
    agent = "vfax/1"
    return LegMedia(options, called=True, document=document, seeds=(0, 0, 0), peer_agent=agent)


def calling(options: LegOptions, poll: Poll) -> LegMedia:
    return LegMedia(options, called=False, poll=poll, seeds=(0, 0, 0))


@pytest.mark.parametrize("aware", [InternetAware.ALWAYS, InternetAware.NEVER])
def test_a_polled_document_crosses_t38(aware: InternetAware) -> None:
    options = LegOptions(internet_aware=aware)
    kept_under = Addressing(poll_address="12", poll_password="34")
    called = called_with(SendDocument((PAGE, PAGE), addressing=kept_under), options)
    caller = calling(options, Poll(kept_under))
    assert (caller.sending, called.sending) == (False, False)
    joined = Joined(caller, called).run()
    for at in (CALLER, CALLED):
        assert (joined.outcomes[at].cause, joined.outcomes[at].pages_confirmed) == (Cause.COMPLETE, 2)
        assert joined.outcomes[at].coding == Coding.MMR.value
    assert joined.received == [raster(1), raster(2)]
    assert (caller.sending, called.sending) == (False, True)
    assert (joined.ended_at < 10) is (aware is InternetAware.ALWAYS)


@pytest.mark.parametrize(
    ("wish", "agent", "rushes"),
    [
        (InternetAware.AUTO, "vfax/1", True),
        (InternetAware.AUTO, "", True),
        (InternetAware.AUTO, "a gateway", False),
        (InternetAware.ALWAYS, "a gateway", True),
        (InternetAware.NEVER, "vfax/1", False),
    ],
)
def test_a_caller_takes_up_the_unpaced_transfer_with_one_of_us_unless_told_otherwise(
    wish: InternetAware, agent: str, rushes: bool
) -> None:
    """The bit in a DIS may be that of a machine behind a gateway. Who does not say what it is may be one of us."""
    caller = LegMedia(LegOptions(internet_aware=wish), called=False, document=SendDocument((PAGE,)), seeds=(0, 0, 0))
    caller.peer_agent = agent
    joined = Joined(caller, called_with(None, LegOptions(internet_aware=InternetAware.ALWAYS))).run()
    assert {outcome.cause for outcome in joined.outcomes.values()} == {Cause.COMPLETE}
    assert (joined.ended_at < 10) is rushes


def test_who_says_another_password_gets_nothing() -> None:
    kept_under = Addressing(poll_password="34")
    called = called_with(SendDocument((PAGE,), addressing=kept_under), LegOptions())
    joined = Joined(calling(LegOptions(), Poll(Addressing(poll_password="35"))), called).run()
    assert {outcome.cause for outcome in joined.outcomes.values()} == {Cause.REJECTED}
    assert joined.received == []


def test_a_called_side_without_a_document_has_nothing_to_poll() -> None:
    joined = Joined(calling(LegOptions(), Poll()), called_with(None, LegOptions())).run()
    assert joined.outcomes[CALLER].cause is Cause.INCOMPATIBLE
    assert "no document" in joined.outcomes[CALLER].sentence


def test_a_caller_with_a_fax_brings_it_although_there_is_a_document() -> None:
    called = called_with(SendDocument((PAGE, PAGE)), LegOptions())
    caller = LegMedia(LegOptions(), called=False, document=SendDocument((PAGE,)), seeds=(0, 0, 0))
    joined = Joined(caller, called).run()
    assert {outcome.cause for outcome in joined.outcomes.values()} == {Cause.COMPLETE}
    assert (joined.received, caller.sending, called.sending) == ([raster(1)], True, False)
