"""One whole call without SIP messages: a leg told any events of a dialog, any SDP, any datagrams.

Oracle    nothing raises; what a fax must hold (fuzz/fax.py); every SDP we say is SDP; media goes only where an SDP or a
          datagram came from; the call ends once, last of all, and within bounded time when the peer falls silent.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from fuzz import fax
from fuzz.mutate import record, split
from vfax import leg
from vfax.leg import Leg, LegOptions
from vfax.t30 import values as t30
from vfax.transports.parameters import T38Parameters
from vfax.transports.sip import values as sip
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.sdp import Description
from vfax.transports.sip.values import Address

RECORDS: Final = True
TOKENS: Final = (record(16, 0), record(17, 0), record(0, 255), record(9, 0, b"bye"))
PEER: Final[Address] = ("192.0.2.1", 20000)
STRANGER: Final[Address] = ("198.51.100.9", 20000)
CALL: Final = 1
TURNS: Final = 50_000

EVENTS: Final[dict[int, Callable[[bytes], sip.SipEvent]]] = {
    2: lambda octets: sip.Answered(CALL, octets),
    3: lambda octets: sip.Confirmed(CALL, octets),
    4: lambda octets: sip.Reoffered(CALL, octets),
    5: lambda octets: sip.OfferAccepted(CALL, octets),
    6: lambda octets: sip.OfferRefused(CALL, 300 + sum(octets) % 400, "no"),
    7: lambda octets: sip.Progress(CALL, 100 + sum(octets) % 100, "", octets),
    8: lambda octets: sip.Refused(CALL, 300 + sum(octets) % 400, "no"),
    9: lambda octets: sip.HungUp(CALL, ""),
    10: lambda octets: sip.Cancelled(CALL, ""),
    11: lambda octets: sip.DialogLost(CALL, "no ACK"),
    12: lambda octets: sip.Released(CALL),
}


def _session(host: str) -> MediaSession:
    return MediaSession(host=host, port=20000, parameters=T38Parameters(), session_id=7)


class Call:
    """A leg and its owner; `offer` is None for a leg that calls."""

    def __init__(self, head: int, offer: bytes | None) -> None:
        fax_options, road = fax.options(head)
        caller_offer = leg.CallerOffer.AUDIO if head & 8 else leg.CallerOffer.T38
        options = replace(LegOptions(), fax=fax_options, t38=road, caller_offer=caller_offer)
        self.now = 0.0
        self.finished = False
        self.owner = fax.Owner(sending=offer is None)
        self.sip: list[leg.SipOrder] = []
        self.datagrams: list[bytes] = []
        self.leg = Leg(
            options,
            _session("192.0.2.2"),
            incoming=None if offer is None else _incoming(offer),
            pages=fax.PAGES if offer is None else (),
            now=0.0,
        )
        self.do(leg.Dial() if offer is None else leg.Accept())

    def do(self, order: leg.LegOrder) -> None:
        """One order of the owner."""
        self.leg.command(order, self.now)
        self.settle()

    def settle(self) -> None:
        """Take all that the leg says, and check it."""
        for _ in range(fax.SPINS):
            events = self.leg.take_events()
            for event in events:
                self._take(event)
            for said in self.leg.take_sip():
                self.sip.append(said)
                sdp = getattr(said, "sdp", b"")
                assert not sdp or Description.decode(sdp).media
            for datagram, to in self.leg.take_datagrams():
                assert 0 < to[1] < 65536, f"media to {to}"
                self.datagrams.append(datagram)
            if not events:
                return
        raise AssertionError("the leg never comes to rest")

    def _take(self, event: leg.LegEvent) -> None:
        assert not self.finished, f"{event} after the end"
        if isinstance(event, leg.Finished):
            self.finished = True
            return
        order = self.owner.take(event)
        if isinstance(order, leg.LegOrder):
            self.leg.command(order, self.now)

    def wait_until(self, then: float) -> None:
        """Let time pass."""
        turns = 0
        while self.leg.next_timeout() <= then:
            turns += 1
            assert turns < TURNS, "time does not pass"
            self.now = max(self.now, self.leg.next_timeout())
            self.leg.handle_timeout(self.now)
            self.settle()
        self.now = max(self.now, then)


def _incoming(offer: bytes) -> sip.IncomingCall:
    return sip.IncomingCall(
        call=CALL,
        source=PEER,
        request_uri="sip:fax@192.0.2.2",
        dialled="fax",
        caller="x",
        caller_name="",
        call_id="c",
        offer=offer,
        user_agent="",
    )


def seeds() -> list[bytes]:
    """Calls in and out: with T.38 at once, after audio, with late offer, refused, aborted."""
    peer = _session("192.0.2.1")
    t38, audio = peer.offer_t38(), peer.offer_audio()
    called, calling = fax.dialogue(1)
    datagrams = [record(0, time, octets) for _, time, octets in split(called)[1:]]
    answers = [record(0, time, octets) for _, time, octets in split(calling)[1:]]
    heard, said = b"".join(datagrams), b"".join(answers)
    switch = record(3, 0) + record(5, 203, t38)
    return [
        record(1, 1, t38) + record(3, 5) + heard + record(9, 5),
        record(1, 1, audio) + switch + heard + record(9, 5),
        record(1, 1) + record(3, 5, audio) + record(4, 9, t38) + heard,
        record(1, 1, audio) + record(3, 0) + record(6, 203, b"\xbc") + record(4, 20, t38) + heard,
        record(1, 0) + record(7, 5, b"\x50") + record(2, 20, t38) + said,
        record(9, 0) + record(2, 20, audio) + record(4, 220, t38) + said,
        record(1, 0) + record(8, 3, b"\xbc") + record(2, 20, audio) + record(4, 220, t38) + said[:2000],
        record(1, 1, t38) + record(3, 5) + heard[:3000] + record(16, 5),
    ]


def run(data: bytes) -> None:
    """The first record: kind chooses the options, time whether the leg is called (1) with its octets as offer."""
    (head, called, offer), *records = split(data) or [(0, 0, b"")]
    call = Call(head, offer if called & 1 else None)
    for kind, time, octets in records:
        call.wait_until(call.now + fax.TIMES[time])
        if kind in EVENTS:
            call.leg.signal(EVENTS[kind](octets), call.now)
        elif kind == 16:
            call.do(t30.Abort())
        elif kind == 17:
            call.do(t30.LineDown())
        elif kind == 18:
            call.owner.keeps = not call.owner.keeps
        else:
            call.leg.receive(octets, STRANGER if kind == 1 else PEER, call.now)
        call.settle()
        if call.finished:
            break
    call.wait_until(call.now + 50_000)
    assert call.finished, "the call never ends"
    assert call.leg.next_timeout() == math.inf
