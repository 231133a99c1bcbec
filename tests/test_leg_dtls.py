"""A leg whose T.38 is to run over DTLS: what may happen between its agreement and its association; no socket."""

import pytest

from tests.test_leg import KEY, NO_SIGNAL, ONE_PAGE, OURS, STRANGER, THEIRS, World, ring
from vfax.leg import (
    Accept,
    AcceptOffer,
    Answer,
    CallerOffer,
    Dial,
    DtlsAgreed,
    DtlsFailed,
    DtlsOffered,
    DtlsRefused,
    DtlsUp,
    HangUp,
    Invite,
    Leg,
    LegOptions,
    Offer,
    RefuseOffer,
    StreamLost,
    Switched,
)
from vfax.outcome import Cause, Phase
from vfax.t30 import values as t30
from vfax.transports.parameters import Dtls, DtlsTrouble, T38Parameters
from vfax.transports.sip import values as sip
from vfax.transports.sip.negotiation import MediaKind, MediaSession
from vfax.transports.sip.secure import DtlsSide, Fingerprint
from vfax.transports.sip.values import Address

MAY = LegOptions(dtls=Dtls.OPPORTUNISTIC)
MUST = LegOptions(dtls=Dtls.REQUIRED)
UP = DtlsUp(THEIRS, "DTLSv1.2", "a cipher", "sha-256 AB")
CERTIFICATE = b"theirs"


def side(policy: Dtls, certificate: bytes) -> DtlsSide:
    fingerprints = (Fingerprint.of(certificate),)
    return DtlsSide(policy=policy, fingerprints=fingerprints, tls_id=certificate.hex().ljust(20, "0"))


def session(address: Address, number: int, policy: Dtls, certificate: bytes) -> MediaSession:
    dtls = None if policy is Dtls.OFF else side(policy, certificate)
    return MediaSession(host=address[0], port=address[1], parameters=T38Parameters(), session_id=number, dtls=dtls)


class Secure(World):
    """A leg that knows DTLS, and another side that may know it too."""

    def __init__(self, options: LegOptions = MAY, *, theirs: Dtls = Dtls.OPPORTUNISTIC, calling: bool = False) -> None:
        self.now = 100.0
        self.theirs = session(THEIRS, 2, theirs, CERTIFICATE)
        self.sip, self.events, self.media = [], [], []
        incoming = None if calling else ring(self.theirs.offer_t38())
        ours = session(OURS, 1, options.dtls, b"ours")
        pages = ONE_PAGE if calling else ()
        self.leg = Leg(options, ours, incoming=incoming, pages=pages, now=self.now)
        self.leg.command(Dial() if calling else Accept(), self.now)
        self.take()
        for answer in self.said(Answer):
            self.theirs.read_answer(answer.sdp)

    def secure(self, order: DtlsUp | DtlsFailed | StreamLost = UP) -> None:
        self.leg.command(order, self.now)
        self.take()

    def answered(self) -> None:
        (invite,) = self.said(Invite)
        self.signal(sip.Answered(KEY, self.theirs.answer(invite.sdp, want=MediaKind.ANY).sdp))

    @property
    def runs(self) -> bool:
        return bool(self.told(Switched))


@pytest.fixture(params=["called", "calling"])
def securing(request: pytest.FixtureRequest) -> Secure:
    """T.38 over DTLS is agreed, its association is not made."""
    world = Secure(calling=request.param == "calling")
    if request.param == "calling":
        world.answered()
    (agreed,) = world.told(DtlsAgreed)
    assert agreed.remote == THEIRS
    assert agreed.dtls.fingerprints == (Fingerprint.of(CERTIFICATE),)
    assert agreed.dtls.active is (request.param == "called")
    return world


def test_nothing_is_sent_and_nothing_heard_before_the_association(securing: Secure) -> None:
    securing.hear(NO_SIGNAL)
    securing.wait(20.0)
    assert (securing.media, securing.runs, securing.leg.line, securing.going_on) == ([], False, None, True)


def test_t38_begins_with_the_association_and_hears_whom_it_was_made_with_alone(securing: Secure) -> None:
    far = ("203.0.113.5", 4000)
    securing.wait(3.0)
    securing.secure(DtlsUp(far, "DTLSv1.2", "a cipher", "sha-256 AB"))
    assert securing.runs
    assert {to for _, to in securing.media} == {far}
    assert securing.leg.heard_from == far
    securing.hear(NO_SIGNAL, THEIRS)
    securing.hear(NO_SIGNAL, STRANGER)
    assert securing.leg.strangers == 2
    securing.secure(UP)  # said twice
    assert len(securing.told(Switched)) == 1


@pytest.mark.parametrize("trouble", list(DtlsTrouble))
def test_without_an_association_the_call_ends_and_says_why(securing: Secure, trouble: DtlsTrouble) -> None:
    securing.secure(DtlsFailed(trouble, "what was seen"))
    outcome = securing.outcome
    assert (outcome.cause, outcome.phase, outcome.encrypted) == (Cause.ENCRYPTION, Phase.CALL, False)
    assert "(what was seen)" in outcome.sentence
    (bye,) = securing.said(HangUp)
    assert "what was seen" in bye.reason


def test_an_association_that_is_lost_in_the_fax_ends_it_as_a_lost_road(securing: Secure) -> None:
    securing.secure()
    securing.secure(StreamLost("the peer ended the DTLS association"))
    assert (securing.outcome.cause, securing.outcome.encrypted) == (Cause.NETWORK, True)
    assert "the peer ended the DTLS association" in securing.outcome.sentence


def test_an_abort_meanwhile_is_immediate(securing: Secure) -> None:
    securing.order(t30.Abort())
    assert securing.outcome.cause is Cause.ABORTED
    assert securing.said(HangUp)


def test_a_bye_meanwhile_is_theirs(securing: Secure) -> None:
    securing.signal(sip.HungUp(KEY, ""))
    assert (securing.outcome.cause, securing.outcome.phase) == (Cause.PEER_HUNG_UP, Phase.CALL)


def test_a_refresh_meanwhile_is_answered_and_changes_nothing(securing: Secure) -> None:
    securing.signal(sip.Reoffered(KEY, securing.theirs.refresh()))
    assert len(securing.said(AcceptOffer)) == 1
    assert len(securing.told(DtlsAgreed)) == 1
    securing.secure()
    assert securing.runs


def test_what_is_not_encrypted_is_refused_meanwhile_and_afterwards(securing: Secure) -> None:
    plain = session(THEIRS, 3, Dtls.OFF, b"")
    for _ in range(2):
        securing.signal(sip.Reoffered(KEY, plain.offer_t38()))
        securing.secure()
    assert [order.status for order in securing.said(RefuseOffer)] == [488, 488]
    assert securing.runs


def on_hold() -> tuple[Secure, MediaSession]:
    """T.38 over DTLS is agreed with a peer that has put it on hold at once."""
    theirs = session(THEIRS, 2, Dtls.OPPORTUNISTIC, CERTIFICATE)
    offer = theirs.offer_t38().replace(b"c=IN IP4 192.0.2.9", b"c=IN IP4 0.0.0.0")
    world = Secure.__new__(Secure)
    world.now, world.sip, world.events, world.media = 100.0, [], [], []
    world.leg = Leg(MAY, session(OURS, 1, Dtls.OPPORTUNISTIC, b"ours"), incoming=ring(offer), now=100.0)
    world.leg.command(Accept(), 100.0)
    world.take()
    assert world.told(DtlsAgreed) == []
    world.signal(sip.Confirmed(KEY, b""))
    return world, theirs


def test_on_hold_the_association_does_not_wait_for_ever() -> None:
    world, _ = on_hold()
    world.wait(MAY.audio_limit + 1.0)
    assert world.outcome.cause is Cause.ENCRYPTION
    assert "put on hold" in world.outcome.sentence
    assert world.said(HangUp)


def test_on_hold_the_association_waits() -> None:
    world, theirs = on_hold()
    world.signal(sip.Reoffered(KEY, theirs.offer_t38()))
    world.signal(sip.Confirmed(KEY, b""))
    (agreed,) = world.told(DtlsAgreed)
    assert agreed.remote == THEIRS


# --- with a peer that does not know it -----------------------------------------------------------


@pytest.mark.parametrize("status", [415, 488, 606])
def test_a_refused_invite_is_repeated_without_dtls_and_only_then_with_audio(status: int) -> None:
    world = Secure(calling=True)
    for _ in range(2):
        world.signal(sip.Refused(KEY, status, "", heard=True))
    encrypted, plain, audio = (order.sdp for order in world.said(Invite))
    assert b"UDP/TLS/UDPTL" in encrypted
    assert b"m=image 20000 udptl t38" in plain
    assert b"m=audio 20000" in audio
    assert world.told(DtlsOffered) == [DtlsOffered(required=False)]
    assert world.told(DtlsRefused) == [DtlsRefused(status, "")]


@pytest.mark.parametrize("status", [404, 486, 503])
def test_other_refusals_have_nothing_to_do_with_it(status: int) -> None:
    world = Secure(calling=True)
    world.signal(sip.Refused(KEY, status, "", heard=True))
    assert len(world.said(Invite)) == 1
    assert not world.going_on


def test_a_line_that_is_declined_in_the_answer_is_offered_again_in_the_dialog() -> None:
    world = Secure(calling=True)
    (invite,) = world.said(Invite)
    world.signal(sip.Answered(KEY, world.theirs.answer(invite.sdp, want=MediaKind.ANY).sdp.replace(b"30000", b"0")))
    world.wait(0.1)
    (offer,) = world.said(Offer)
    assert b"m=image 20000 udptl t38" in offer.sdp
    plain = session(THEIRS, 2, Dtls.OFF, b"")
    world.signal(sip.OfferAccepted(KEY, plain.answer(offer.sdp, want=MediaKind.ANY).sdp))
    assert world.runs
    assert world.told(DtlsAgreed) == []


@pytest.mark.parametrize("refusal", [488, 415, 606, 0])
def test_a_refused_switch_is_repeated_without_dtls(refusal: int) -> None:
    world = Secure(LegOptions(dtls=Dtls.OPPORTUNISTIC, caller_offer=CallerOffer.AUDIO), calling=True)
    world.answered()
    world.wait(10.0)
    (offer,) = world.said(Offer)
    assert b"UDP/TLS/UDPTL" in offer.sdp
    if refusal:
        world.signal(sip.OfferRefused(KEY, refusal, "Not Acceptable Here"))
    else:
        declined = world.theirs.answer(offer.sdp, want=MediaKind.ANY).sdp.replace(b"m=image 30000", b"m=image 0")
        world.signal(sip.OfferAccepted(KEY, declined))
    world.wait(0.1)
    assert b"m=image 20000 udptl t38" in world.said(Offer)[1].sdp
    world.signal(sip.OfferRefused(KEY, 488, "Not Acceptable Here"))
    world.wait(60.0)
    assert len(world.said(Offer)) == 2
    assert world.outcome.cause is Cause.T38_REFUSED


def test_who_must_offers_nothing_else() -> None:
    world = Secure(MUST, calling=True)
    world.signal(sip.Refused(KEY, 488, "", heard=True))
    world.signal(sip.Refused(KEY, 488, "", heard=True))
    assert [b"UDP/TLS/UDPTL" in order.sdp for order in world.said(Invite)] == [True, False]  # the second is audio
    assert b"udptl" not in world.said(Invite)[1].sdp
    assert not world.going_on
