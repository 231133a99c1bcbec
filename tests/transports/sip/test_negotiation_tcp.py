"""Offer and answer of T.38 over TCP (RFC 4145)."""

import pytest

from vfax.transports.parameters import ErrorCorrection, RateManagement, T38Parameters, TcpMedia, Transport
from vfax.transports.sip.negotiation import Declined, MediaKind, MediaSession, T38Media, Unacceptable, Wanted, offers
from vfax.transports.sip.sdp import Description, Setup

PEER = "192.0.2.7"


def session(tcp: TcpMedia = TcpMedia.ACCEPT, host: str = "192.0.2.1") -> MediaSession:
    return MediaSession(host=host, port=20000, parameters=T38Parameters(max_datagram=400), session_id=1, tcp=tcp)


def sdp(*lines: str) -> bytes:
    head = ("v=0", "o=- 1 1 IN IP4 192.0.2.7", "s=-", f"c=IN IP4 {PEER}", "t=0 0")
    return "".join(f"{line}\r\n" for line in (*head, *lines)).encode()


def lines_of(octets: bytes) -> list[str]:
    return octets.decode().splitlines()


def agreed(media: object) -> T38Media:
    assert isinstance(media, T38Media), media
    assert media.parameters.transport is Transport.TCP
    return media


@pytest.mark.parametrize(
    ("setup", "answered", "connect", "port"),
    [
        ("a=setup:active", "passive", False, 20000),
        ("a=setup:passive", "active", True, 9),
        ("a=setup:actpass", "active", True, 9),
        ("a=setup:ACTPASS", "active", True, 9),
        ("a=x", "passive", False, 20000),
        ("a=setup:nonsense", "passive", False, 20000),
    ],
)
def test_answer_takes_the_other_role(setup: str, answered: str, connect: bool, port: int) -> None:
    answer = session().answer(sdp("m=image 5000 TCP t38", setup, "a=connection:new"), want=MediaKind.ANY)
    media = agreed(answer.media)
    assert (media.remote, media.connect) == ((PEER, 5000), connect)
    assert f"m=image {port} TCP t38" in lines_of(answer.sdp)
    assert f"a=setup:{answered}" in lines_of(answer.sdp)
    assert "a=connection:new" in lines_of(answer.sdp)


def test_stream_has_local_tcf_by_default_and_no_error_correction() -> None:
    answer = session().answer(sdp("m=image 5000 tcp t38", "a=T38FaxVersion:0"), want=MediaKind.T38)
    assert agreed(answer.media).parameters.rate_management is RateManagement.LOCAL_TCF
    text = answer.sdp.decode()
    assert "T38FaxRateManagement:localTCF" in text
    assert "UdpEC" not in text
    assert "MaxDatagram" not in text


def test_rate_management_of_the_offer_is_kept() -> None:
    offer = sdp("m=image 5000 tcp t38", "a=T38FaxRateManagement:transferredTCF")
    assert agreed(session().answer(offer, want=MediaKind.T38).media).parameters.rate_management is (
        RateManagement.TRANSFERRED_TCF
    )


@pytest.mark.parametrize("tcp", [TcpMedia.OFF, TcpMedia.ACCEPT])
def test_udptl_is_preferred_where_both_are_offered(tcp: TcpMedia) -> None:
    offer = sdp("m=image 5000 TCP t38", "a=setup:actpass", "m=image 6000 udptl t38")
    answer = session(tcp).answer(offer, want=MediaKind.ANY)
    assert isinstance(answer.media, T38Media)
    assert answer.media.parameters.transport is Transport.UDPTL
    assert "m=image 0 TCP t38" in lines_of(answer.sdp)


def test_tcp_is_refused_where_it_is_switched_off_or_on_hold() -> None:
    offer = sdp("m=image 5000 TCP t38", "a=setup:actpass")
    with pytest.raises(Unacceptable):
        session(TcpMedia.OFF).answer(offer, want=MediaKind.ANY)
    with pytest.raises(Unacceptable):
        session().answer(sdp("m=image 5000 TCP t38", "a=setup:holdconn"), want=MediaKind.ANY)
    assert offers(offer) is MediaKind.NONE
    assert offers(offer, wanted=Wanted(TcpMedia.ACCEPT)) is MediaKind.T38


def test_offer_leaves_the_roles_to_the_peer() -> None:
    one = session(TcpMedia.OFFER)
    text = lines_of(one.offer_t38())
    assert "m=image 20000 TCP t38" in text
    assert {"a=setup:actpass", "a=connection:new", "a=T38FaxRateManagement:localTCF"} <= set(text)
    assert one.offers_stream
    assert not session().offers_stream
    assert "m=image 20000 udptl t38" in lines_of(session().offer_t38())


@pytest.mark.parametrize(("setup", "connect"), [("active", False), ("passive", True), ("", True)])
def test_answer_says_who_connects(setup: str, connect: bool) -> None:
    one = session(TcpMedia.OFFER)
    one.offer_t38()
    media = agreed(one.read_answer(sdp("m=image 9 TCP t38", f"a=setup:{setup}")))
    assert media.connect is connect
    assert media.parameters.rate_management is RateManagement.LOCAL_TCF


def test_answer_with_another_transport_is_no_agreement() -> None:
    one = session(TcpMedia.OFFER)
    one.offer_t38()
    assert isinstance(one.read_answer(sdp("m=image 5000 udptl t38")), Declined)
    other = session()
    other.offer_t38()
    assert isinstance(other.read_answer(sdp("m=image 5000 TCP t38", "a=setup:active")), Declined)


def test_two_of_us_agree_and_one_connects() -> None:
    caller, called = session(TcpMedia.OFFER), session(host="192.0.2.7")
    answer = called.answer(caller.offer_t38(), want=MediaKind.ANY)
    ours, theirs = agreed(caller.read_answer(answer.sdp)), agreed(answer.media)
    assert (ours.connect, theirs.connect) == (False, True)
    assert theirs.remote == ("192.0.2.1", 20000)
    assert ours.parameters.error_correction is ErrorCorrection.REDUNDANCY  # the default; a stream has none to use


def test_refresh_keeps_the_connection() -> None:
    caller, called = session(TcpMedia.OFFER), session(host="192.0.2.7")
    caller.read_answer(called.answer(caller.offer_t38(), want=MediaKind.ANY).sdp)
    again = caller.refresh()
    assert "a=connection:existing" in lines_of(again)
    assert "a=connection:new" not in lines_of(again)
    answer = called.answer(again, want=MediaKind.T38)
    assert "a=connection:existing" in lines_of(answer.sdp)
    agreed(caller.read_answer(answer.sdp))
    assert caller.refresh() == again


def test_setup_is_read_in_any_case_and_nonsense_is_none() -> None:
    for text, setup in (("Passive", Setup.PASSIVE), ("holdconn", Setup.HOLDCONN), ("", None), ("both", None)):
        assert Description.decode(sdp("m=image 9 TCP t38", f"a=setup:{text}")).media[0].setup is setup


@pytest.mark.parametrize(
    ("first", "second"),
    [("m=image 5000 udptl t38", "m=image 5000 TCP t38"), ("m=image 5000 TCP t38", "m=image 5000 udptl t38")],
)
def test_fax_that_runs_does_not_change_its_road(first: str, second: str) -> None:
    one = session()
    before = one.answer(sdp(first), want=MediaKind.ANY)
    with pytest.raises(Unacceptable):
        one.answer(sdp(second), want=MediaKind.T38)
    assert one.media == before.media
    assert one.answer(sdp(first), want=MediaKind.T38).media == before.media
