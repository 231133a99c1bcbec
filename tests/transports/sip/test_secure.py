"""UDPTL over DTLS in SDP: fingerprints, who begins, and one association a call.

Source    RFC 7345 appendix A: the SDP of its figures 4 to 7 and 9, with numeric addresses where it has names; RFC 8842,
          which has replaced its section 4, and RFC 8122 5.
"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.transports.parameters import Dtls, T38Parameters, TcpMedia, Transport
from vfax.transports.sip.choosing import Wanted, objection_to
from vfax.transports.sip.negotiation import Declined, MediaKind, MediaSession, T38Media, Unacceptable
from vfax.transports.sip.sdp import Description, Setup, setup_of
from vfax.transports.sip.secure import (
    DtlsMedia,
    DtlsSide,
    Fingerprint,
    fingerprints_of,
    matches,
    parse_fingerprint,
    preferred,
    tls_id_of,
)

UA1 = "4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB"
UA2 = "FF:FF:FF:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB"
SHA256 = "12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD"
CERTIFICATE = b"a certificate in DER"
OURS = Fingerprint.of(CERTIFICATE)
OUR_ID = "0123456789abcdef0123456789abcdef01234567"
THEIR_ID = "abc3de65cddef001be82"
PEER = ("192.0.2.1", 6056)


def said(text: str) -> str:
    """An SDP of an RFC as it is sent: without the folds of its lines, with numeric addresses where it has names."""
    for name, address in {"ua1.example.com": "192.0.2.1", "ua2.example.com": "192.0.2.2"}.items():
        text = text.replace(name, address)
    return re.sub(r"\\\n\s*", "", text.lstrip())


OFFER = said(rf"""
v=0
o=- 1181923068 1181923196 IN IP4 ua1.example.com
s=-
c=IN IP4 ua1.example.com
t=0 0
m=image 6056 UDP/TLS/UDPTL t38
a=setup:actpass
a=fingerprint: SHA-1 \
  {UA1}
a=T38FaxRateManagement:transferredTCF
""")
"""RFC 7345 figures 4 and 5: a fax that is offered in the INVITE; the blank behind the colon is the RFC's."""
ANSWER = said(rf"""
v=0
o=- 8965454521 2105372818 IN IP4 ua2.example.com
s=-
c=IN IP4 ua2.example.com
t=0 0
m=image 12000 UDP/TLS/UDPTL t38
a=setup:active
a=fingerprint: SHA-1 \
  {UA2}
a=T38FaxRateManagement:transferredTCF
""")
"""RFC 7345 figures 6 and 7: its answer."""
REPLACES_AUDIO = said(rf"""
v=0
o=- 2465353433 3524244442 IN IP4 ua1.example.com
s=-
c=IN IP4 ua1.example.com
t=0 0
m=audio 0 UDP/TLS/RTP/SAVP 0
m=image 46056 UDP/TLS/UDPTL t38
a=setup:actpass
a=fingerprint: SHA-1 \
  {UA1}
a=T38FaxRateManagement:transferredTCF
""")
"""RFC 7345 figure 9: the re-INVITE that replaces audio."""
OVER_TLS = said(rf"""
v=0
o=- 1 1 IN IP4 192.0.2.2
s=-
t=0 0
m=image 54111 TCP/TLS t38
c=IN IP4 192.0.2.2
a=tls-id:{THEIR_ID}
a=setup:passive
a=connection:new
a=fingerprint:SHA-256 \
   12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF: \
   3E:5D:49:6B:19:E5:7C:AB:4A:AD
a=fingerprint:SHA-1 \
   4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB
""").replace("DF: 3E", "DF:3E")
"""RFC 8842 7, which is RFC 8122 figure 1 with a tls-id: T.38 over TLS over TCP, of which we do nothing but read it."""


def session(policy: Dtls = Dtls.OPPORTUNISTIC, *, tcp: TcpMedia = TcpMedia.OFF, waits: bool = False) -> MediaSession:
    side = DtlsSide(policy=policy, fingerprints=(OURS,), tls_id=OUR_ID, waits=waits)
    return MediaSession(
        host="192.0.2.2",
        port=12000,
        parameters=T38Parameters(),
        session_id=1,
        tcp=tcp,
        dtls=None if policy is Dtls.OFF else side,
    )


def wire(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def image(*lines: str, port: int = 6056, host: str = "192.0.2.1", proto: str = "UDP/TLS/UDPTL") -> bytes:
    head = ["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", f"c=IN IP4 {host}", "t=0 0", f"m=image {port} {proto} t38"]
    return wire("\n".join([*head, *(f"a={line}" for line in lines)]) + "\n")


def attributes(sdp: bytes) -> list[str]:
    return [line[2:] for line in sdp.decode().splitlines() if line.startswith("a=") and not line.startswith("a=T38")]


def agreed(media: object) -> DtlsMedia:
    assert isinstance(media, T38Media), media
    assert media.parameters.transport is Transport.DTLS
    assert media.dtls is not None
    return media.dtls


# --- the examples --------------------------------------------------------------------------------


def test_the_offer_of_rfc_7345_is_answered_actively_and_without_a_tls_id() -> None:
    answer = session().answer(wire(OFFER), want=MediaKind.ANY)
    assert agreed(answer.media) == DtlsMedia(
        active=True, fingerprints=(Fingerprint("sha-1", bytes.fromhex(UA1.replace(":", ""))),)
    )
    assert isinstance(answer.media, T38Media)
    assert answer.media.remote == PEER
    assert b"\r\nm=image 12000 UDP/TLS/UDPTL t38\r\n" in answer.sdp
    assert attributes(answer.sdp) == ["setup:active", f"fingerprint:{OURS}"]  # RFC 8842 5.3: no tls-id for none


def test_the_answer_of_rfc_7345_lets_the_peer_begin() -> None:
    ours = session()
    offer = ours.offer_t38()
    assert attributes(offer) == ["setup:actpass", f"fingerprint:{OURS}", f"tls-id:{OUR_ID}"]
    media = ours.read_answer(wire(ANSWER))
    assert agreed(media) == DtlsMedia(
        active=False, fingerprints=(Fingerprint("sha-1", bytes.fromhex(UA2.replace(":", ""))),)
    )


def test_the_examples_of_rfc_7345_are_an_offer_and_its_answer() -> None:
    offer, answer = (Description.decode(wire(text)) for text in (OFFER, ANSWER))
    for sdp, setup, port, digest in ((offer, Setup.ACTPASS, 6056, UA1), (answer, Setup.ACTIVE, 12000, UA2)):
        (media,) = sdp.media
        assert (media.kind, media.port, media.proto, media.formats) == ("image", port, "UDP/TLS/UDPTL", ("t38",))
        assert (media.is_dtls_t38, setup_of(sdp, media), tls_id_of(media)) == (True, setup, "")
        assert [str(one) for one in fingerprints_of(sdp, media)] == [f"sha-1 {digest}"]


def test_names_where_we_want_addresses_are_refused_with_a_sentence() -> None:
    named = OFFER.replace("192.0.2.1", "ua1.example.com")  # as RFC 7345 has it
    with pytest.raises(Unacceptable, match=r"names no address that 192\.0\.2\.2 can reach"):
        session().answer(wire(named), want=MediaKind.ANY)


def test_we_never_say_a_connection_attribute() -> None:
    """RFC 7345 4.1 forbids it, unlike for T.38 over TCP."""
    ours = session(tcp=TcpMedia.OFFER)
    answer = session().answer(wire(OFFER.replace("a=setup", "a=connection:new\na=setup")), want=MediaKind.ANY)
    assert b"connection" not in ours.offer_t38() + answer.sdp
    assert agreed(answer.media).active  # and what a peer says of it means nothing


def test_the_re_invite_of_rfc_7345_that_replaces_audio_is_taken_up_slot_for_slot() -> None:
    in_audio = session()
    in_audio.answer(AUDIO, want=MediaKind.ANY)
    answer = in_audio.answer(wire(REPLACES_AUDIO), want=MediaKind.ANY)
    assert isinstance(answer.media, T38Media)
    assert answer.media.remote == (PEER[0], 46056)
    lines = [line for line in answer.sdp.decode().splitlines() if line.startswith("m=")]
    assert lines == ["m=audio 0 UDP/TLS/RTP/SAVP 0", "m=image 12000 UDP/TLS/UDPTL t38"]
    assert agreed(answer.media).active


def test_the_example_of_rfc_8842_has_a_name_and_two_fingerprints_of_which_one_counts() -> None:
    sdp = Description.decode(wire(OVER_TLS))
    (media,) = sdp.media
    assert (media.port, setup_of(sdp, media), media.is_dtls_t38) == (54111, Setup.PASSIVE, False)
    found = fingerprints_of(sdp, media)
    assert (tls_id_of(media), [one.name for one in found]) == (THEIR_ID, ["sha-256", "sha-1"])
    assert [str(one).upper() for one in preferred(found)] == [f"SHA-256 {SHA256}"]
    with pytest.raises(Unacceptable):  # TLS over TCP
        session(tcp=TcpMedia.ACCEPT).answer(wire(OVER_TLS), want=MediaKind.ANY)


# --- fingerprints --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sha-1", "sha-224", "sha-256", "sha-384", "sha-512"])
def test_fingerprints_are_written_as_they_are_read(name: str) -> None:
    one = Fingerprint.of(CERTIFICATE, name)
    assert parse_fingerprint(str(one)) == one
    assert parse_fingerprint(f"  {name.upper()}   {one.digest.hex(':')} ") == one  # in lower case, with blanks
    assert matches(CERTIFICATE, [one])
    assert not matches(b"another", [one])


@pytest.mark.parametrize(
    "value",
    [
        "",
        "sha-256",
        "sha-256 ",
        "md5 " + "AB:" * 15 + "AB",
        f"md2 {UA1}",
        f"sha-256 {UA1}",
        f"sha-1 {UA1}:00",
        f"sha-1 {UA1[:-1]}",
        f"sha-1 {UA1.replace(':', '')}",
        "sha-1 " + "A" * 10_000,
        f"token {UA1}",
        f"sha-1 {UA1.replace('4A', '4G')}",
    ],
)
def test_what_is_no_fingerprint_or_made_with_what_we_must_not_use_is_none(value: str) -> None:
    assert parse_fingerprint(value) is None


@given(st.text(max_size=400))
def test_reading_fingerprints_never_raises(value: str) -> None:
    assert parse_fingerprint(value) is None or isinstance(parse_fingerprint(value), Fingerprint)


def test_only_the_best_hash_function_counts_and_one_of_its_fingerprints_is_enough() -> None:
    weak = Fingerprint.of(CERTIFICATE, "sha-1")
    assert not matches(CERTIFICATE, [weak, Fingerprint.of(b"another", "sha-256")])  # RFC 8122 5.1
    assert matches(CERTIFICATE, [Fingerprint.of(b"another", "sha-256"), OURS, weak])
    assert not matches(CERTIFICATE, [])


def test_fingerprints_of_the_session_count_where_the_media_has_none() -> None:
    above = OFFER.replace(f"a=fingerprint: SHA-1 {UA1}\n", "").replace("m=image", f"a=fingerprint:SHA-1 {UA1}\nm=image")
    assert agreed(session().answer(wire(above), want=MediaKind.ANY).media).fingerprints[0].name == "sha-1"
    both = above.replace("a=setup:actpass", f"a=setup:actpass\na=fingerprint:SHA-1 {UA2}")
    assert agreed(session().answer(wire(both), want=MediaKind.ANY).media).fingerprints[0].digest[0] == 0xFF


def test_a_flood_of_fingerprints_is_cut() -> None:
    many = [f"fingerprint:{Fingerprint.of(bytes([n]))}" for n in range(60)]
    sdp = Description.decode(image("setup:actpass", *many))
    assert len(fingerprints_of(sdp, sdp.media[0])) == 32


# --- who begins, and which association -----------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "waits", "answered"),
    [
        ("actpass", False, Setup.ACTIVE),
        ("actpass", True, Setup.PASSIVE),  # behind NAT only they can begin
        ("ACTPASS", False, Setup.ACTIVE),
        ("active", False, Setup.PASSIVE),  # RFC 8842 5.3: older peers may say it
        ("passive", True, Setup.ACTIVE),
        ("", False, Setup.PASSIVE),  # RFC 4145 4: active is the default
    ],
)
def test_the_answer_says_who_begins(offered: str, waits: bool, answered: Setup) -> None:
    lines = [f"setup:{offered}"] if offered else []
    offer = image(*lines, f"fingerprint:SHA-1 {UA1}", f"tls-id:{THEIR_ID}")
    answer = session(waits=waits).answer(offer, want=MediaKind.ANY)
    assert attributes(answer.sdp) == [f"setup:{answered}", f"fingerprint:{OURS}", f"tls-id:{OUR_ID}"]
    assert agreed(answer.media).active is (answered is Setup.ACTIVE)
    assert agreed(answer.media).tls_id == THEIR_ID


@pytest.mark.parametrize(("said", "active"), [("passive", True), ("active", False), ("actpass", True), ("", True)])
def test_an_answer_that_does_not_say_who_begins_leaves_it_to_us(said: str, active: bool) -> None:
    ours = session()
    ours.offer_t38()
    lines = [f"setup:{said}"] if said else []
    assert agreed(ours.read_answer(image(*lines, f"fingerprint:SHA-1 {UA1}"))).active is active


@pytest.mark.parametrize("value", ["short", "x" * 256, "abc3de65cddef001be8 ", "abc3de65cddef001b!82"])
def test_a_tls_id_that_is_none_is_none(value: str) -> None:
    sdp = Description.decode(image(f"tls-id:{value}"))
    assert tls_id_of(sdp.media[0]) == ""


def running(offer: str = OFFER) -> MediaSession:
    ours = session()
    ours.answer(wire(offer), want=MediaKind.ANY)
    return ours


def test_a_refresh_is_an_offer_again_and_keeps_name_and_fingerprint() -> None:
    ours = session()
    ours.answer(image("setup:actpass", f"fingerprint:SHA-1 {UA1}", f"tls-id:{THEIR_ID}"), want=MediaKind.ANY)
    refresh = ours.refresh()
    assert attributes(refresh) == ["setup:actpass", f"fingerprint:{OURS}", f"tls-id:{OUR_ID}"]  # RFC 8842 5.5
    assert b"m=image 12000 UDP/TLS/UDPTL t38" in refresh
    media = ours.read_answer(image("setup:passive", f"fingerprint:SHA-1 {UA1}", f"tls-id:{THEIR_ID}"))
    assert agreed(media).active  # as before
    assert ours.refresh() == refresh


def test_their_refresh_keeps_the_association_and_its_roles() -> None:
    ours = running()
    again = ours.answer(wire(OFFER), want=MediaKind.T38)
    assert attributes(again.sdp)[0] == "setup:active"
    assert agreed(again.media).active


@pytest.mark.parametrize(
    "change",
    [
        ("a=setup:actpass", "a=setup:active"),  # the roles would change
        (UA1, UA2),
        ("6056", "7000"),
        (f"SHA-1 {UA1}", f"SHA-1 {UA1}\na=fingerprint:SHA-256 {SHA256}"),
        (THEIR_ID, THEIR_ID[::-1]),
    ],
)
def test_an_offer_for_another_association_is_refused_and_changes_nothing(change: tuple[str, str]) -> None:
    named = f"{OFFER}a=tls-id:{THEIR_ID}\n"
    ours = running(named)
    before = ours.media
    with pytest.raises(Unacceptable, match="the DTLS association that it began with"):
        ours.answer(wire(named.replace(*change)), want=MediaKind.T38)
    assert ours.media is before


def test_a_fax_does_not_change_between_plain_and_encrypted() -> None:
    with pytest.raises(Unacceptable):
        running().answer(image(proto="udptl"), want=MediaKind.T38)
    plain = session()
    plain.answer(image(proto="udptl"), want=MediaKind.ANY)
    with pytest.raises(Unacceptable):
        plain.answer(wire(OFFER), want=MediaKind.T38)


def test_on_hold_and_back_is_the_same_association() -> None:
    ours = running()
    held = ours.answer(wire(OFFER.replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0")), want=MediaKind.T38).media
    assert isinstance(held, T38Media)
    assert held.held
    again = ours.answer(wire(OFFER), want=MediaKind.T38).media
    assert isinstance(again, T38Media)
    assert (again.remote, again.held, agreed(again).active) == (PEER, False, True)


# --- off, opportunistic, required ----------------------------------------------------------------

PLAIN = image(proto="udptl")
AUDIO = wire("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 5000 RTP/AVP 0\n")


def test_of_an_offer_with_both_the_encrypted_line_is_taken_where_it_is_wanted() -> None:
    both = PLAIN + b"m=image 7000 UDP/TLS/UDPTL t38\r\na=setup:actpass\r\n" + f"a=fingerprint:SHA-1 {UA1}\r\n".encode()
    answer = session().answer(both, want=MediaKind.ANY)
    assert [line for line in answer.sdp.decode().splitlines() if line.startswith("m=")] == [
        "m=image 0 udptl t38",
        "m=image 12000 UDP/TLS/UDPTL t38",
    ]
    plain = session(Dtls.OFF).answer(both, want=MediaKind.ANY).media
    assert isinstance(plain, T38Media)
    assert (plain.dtls, plain.parameters.transport) == (None, Transport.UDPTL)


def test_opportunistic_takes_plain_too_and_required_takes_audio_but_no_plain_fax() -> None:
    assert isinstance(session().answer(PLAIN, want=MediaKind.ANY).media, T38Media)
    strict = session(Dtls.REQUIRED, tcp=TcpMedia.ACCEPT)
    for offer in (PLAIN, image(proto="TCP"), image(proto="RTP/AVP")):
        with pytest.raises(Unacceptable, match='without encryption, and dtls = "required" asks for DTLS') as refusal:
            strict.answer(offer, want=MediaKind.ANY)
        assert refusal.value.status == 488
    assert not isinstance(strict.answer(AUDIO, want=MediaKind.ANY).media, T38Media)


@pytest.mark.parametrize(
    ("offer", "wanted", "why"),
    [
        (wire(OFFER), Wanted(), 'over DTLS alone (UDP/TLS/UDPTL), and dtls = "off" declines that'),
        (PLAIN, Wanted(dtls=Dtls.REQUIRED), 'without encryption, and dtls = "required" asks for DTLS'),
        (
            image("setup:actpass"),
            Wanted(dtls=Dtls.OPPORTUNISTIC),
            "no fingerprint of its certificate that can be checked",
        ),
        (image("setup:holdconn", f"fingerprint:SHA-1 {UA1}"), Wanted(dtls=Dtls.REQUIRED), "a=setup:holdconn"),
        (b"", Wanted(dtls=Dtls.REQUIRED), ""),
        (AUDIO, Wanted(dtls=Dtls.REQUIRED), ""),
        (wire(OFFER), Wanted(dtls=Dtls.REQUIRED), ""),
    ],
)
def test_why_a_call_is_refused_before_it_rings(offer: bytes, wanted: Wanted, why: str) -> None:
    said = objection_to(offer, wanted)
    assert why in said if why else said == ""


def test_after_a_refusal_plain_is_offered_once_where_that_is_allowed() -> None:
    ours = session()
    assert (ours.offers_dtls, ours.needs_dtls) == (True, False)
    assert b"UDP/TLS/UDPTL" in ours.offer_t38()
    assert ours.give_way()
    plain = ours.offer_t38()
    assert (b"m=image 12000 udptl t38" in plain, attributes(plain)) == (True, [])
    assert not ours.give_way()
    strict = session(Dtls.REQUIRED)
    assert not strict.give_way()
    assert strict.offers_dtls


def test_tcp_is_offered_after_dtls() -> None:
    ours = session(tcp=TcpMedia.OFFER)
    assert not ours.offers_stream
    assert ours.give_way()
    assert ours.offers_stream


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (PLAIN, "answered T.38 (UDP/TLS/UDPTL) with udptl t38"),
        (image("setup:active"), "no fingerprint"),
        (image("setup:holdconn", f"fingerprint:SHA-1 {UA1}"), "holdconn"),
        (image("setup:active", f"fingerprint:SHA-1 {UA1}", port=0), "declined the T.38 stream"),
    ],
)
def test_an_answer_without_what_dtls_needs_is_a_refusal(answer: bytes, why: str) -> None:
    ours = session()
    ours.offer_t38()
    media = ours.read_answer(answer)
    assert isinstance(media, Declined)
    assert why in media.why


def test_a_session_without_dtls_says_nothing_of_it() -> None:
    offer = session(Dtls.OFF).offer_t38()
    assert (b"TLS" in offer, attributes(offer)) == (False, [])
