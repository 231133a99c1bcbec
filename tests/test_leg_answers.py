"""What a leg makes of answers to its offer that agree to less than it asked for."""

from typing import Final

import pytest

from vfax.codecs.dis import Resolution
from vfax.leg import CallerOffer, Dial, Finished, HangUp, Invite, Leg, LegOptions, Offer
from vfax.outcome import Cause
from vfax.t30.values import PageInfo
from vfax.transports.parameters import T38Parameters
from vfax.transports.sip import values as sip
from vfax.transports.sip.negotiation import MediaKind, MediaSession

KEY: Final = 1
OPTIONS: Final = LegOptions(caller_offer=CallerOffer.AUDIO, caller_switch_after=2.0)
NOTHING: Final = (
    b"v=0\r\no=- 2 3 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
    b"m=audio 0 RTP/AVP 0\r\nm=image 0 udptl t38\r\n"
)
AUDIO_ONLY: Final = NOTHING.replace(b"m=audio 0", b"m=audio 30000")


def session(host: str, port: int) -> MediaSession:
    return MediaSession(host=host, port=port, parameters=T38Parameters(), session_id=port)


@pytest.mark.parametrize("answer", [AUDIO_ONLY, NOTHING], ids=["audio only", "nothing"])
def test_t38_offer_that_is_accepted_without_t38_is_a_refusal(answer: bytes) -> None:
    theirs = session("192.0.2.9", 30000)
    leg = Leg(OPTIONS, session("192.0.2.1", 20000), pages=(PageInfo(1728, 100, Resolution.STANDARD),), now=0.0)
    leg.command(Dial(), 0.0)
    (invite,) = leg.take_sip()
    assert isinstance(invite, Invite)
    leg.signal(sip.Answered(KEY, theirs.answer(invite.sdp, want=MediaKind.ANY).sdp), 0.0)
    orders, now = leg.take_sip(), 0.0
    while not any(isinstance(order, Offer) for order in orders):
        now = leg.next_timeout()
        leg.handle_timeout(now)
        orders += leg.take_sip()
    leg.signal(sip.OfferAccepted(KEY, answer), now)
    while leg.next_timeout() < 100.0:
        leg.handle_timeout(leg.next_timeout())
    assert [type(order) for order in leg.take_sip()] == [HangUp]
    finished = leg.take_events()[-1]
    assert isinstance(finished, Finished)
    assert finished.outcome.cause is Cause.T38_REFUSED
    assert finished.outcome.sentence.endswith(".")
