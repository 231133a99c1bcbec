from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.errors import DecodeError, MisuseError
from vfax.transports.parameters import ErrorCorrection, RateManagement, T38Parameters
from vfax.transports.sip.merging import merge
from vfax.transports.sip.negotiation import (
    AudioMedia,
    Declined,
    MediaKind,
    MediaSession,
    T38Media,
    Unacceptable,
    offers,
)
from vfax.transports.sip.sdp import Description, Media

OURS = T38Parameters(max_buffer=1800, max_datagram=400)
HEAD = "v=0\r\no=peer 7 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
AUDIO = "m=audio 5000 RTP/AVP 8 0 101\r\n"
IMAGE = "m=image 5002 udptl t38\r\na=T38FaxVersion:0\r\na=T38FaxMaxDatagram:316\r\n"
REMOTE = ("192.0.2.9", 5002)


def session(parameters: T38Parameters = OURS, *, host: str = "198.51.100.1", port: int = 4000) -> MediaSession:
    return MediaSession(host=host, port=port, parameters=parameters, session_id=42)


def sdp(*media: str, head: str = HEAD) -> bytes:
    return (head + "".join(media)).encode()


def m_lines(octets: bytes) -> list[str]:
    return [media.lines[0][1] for media in Description.decode(octets).media]


def version(octets: bytes) -> int:
    origin = next(value for kind, value in Description.decode(octets).session if kind == "o")
    return int(origin.split()[2])


def attribute_lines(media: Media) -> list[str]:
    return [value for kind, value in media.lines if kind == "a"]


def in_audio() -> MediaSession:
    """A called side that has answered an audio offer."""
    ours = session()
    ours.answer(sdp(AUDIO), want=MediaKind.ANY)
    return ours


# --- offers of ours ------------------------------------------------------------------------------


def test_the_first_t38_offer_has_the_image_line_alone() -> None:
    octets = session().offer_t38()
    assert octets.decode().split("\r\n") == [
        "v=0",
        "o=vfax 42 1 IN IP4 198.51.100.1",
        "s=-",
        "c=IN IP4 198.51.100.1",
        "t=0 0",
        "m=image 4000 udptl t38",
        "a=T38FaxVersion:0",
        "a=T38MaxBitRate:14400",
        "a=T38FaxRateManagement:transferredTCF",
        "a=T38FaxMaxBuffer:1800",
        "a=T38FaxMaxDatagram:400",
        "a=T38FaxUdpEC:t38UDPRedundancy",
        "",
    ]


def test_an_audio_offer_names_both_laws_and_no_silence_suppression() -> None:
    (media,) = Description.decode(session().offer_audio()).media
    assert media.lines[0] == ("m", "audio 4000 RTP/AVP 0 8")
    assert {"rtpmap:0 PCMU/8000", "rtpmap:8 PCMA/8000", "silenceSupp:off - - - -"} <= set(attribute_lines(media))


def test_the_switch_over_keeps_the_audio_slot_with_port_0_and_the_same_local_port() -> None:
    ours = in_audio()
    assert m_lines(ours.offer_t38()) == ["audio 0 RTP/AVP 8", "image 4000 udptl t38"]


def test_going_back_to_audio_uses_both_slots_again_in_their_places() -> None:
    ours = in_audio()
    ours.offer_t38()
    ours.read_answer(sdp("m=audio 0 RTP/AVP 8\r\n", IMAGE))
    assert m_lines(ours.offer_audio()) == ["audio 4000 RTP/AVP 0 8", "image 0 udptl t38"]


def test_audio_after_direct_t38_is_appended_behind_the_image_slot() -> None:
    ours = session()
    ours.answer(sdp(IMAGE), want=MediaKind.T38)
    assert m_lines(ours.offer_audio()) == ["image 0 udptl t38", "audio 4000 RTP/AVP 0 8"]


def test_each_new_sdp_has_the_next_version_and_a_refresh_has_the_same_octets() -> None:
    ours = in_audio()
    first = ours.refresh()
    second = ours.offer_t38()
    ours.read_answer(sdp("m=audio 0 RTP/AVP 8\r\n", IMAGE))
    assert (version(first), version(second)) == (1, 2)
    assert ours.refresh() == second
    assert b"o=vfax 42 2 " in second


def test_a_refresh_before_any_session_offers_audio() -> None:
    assert m_lines(session().refresh()) == ["audio 4000 RTP/AVP 0 8"]


def test_a_refused_offer_restores_the_session_and_never_reuses_its_version() -> None:
    ours = in_audio()
    before, agreed = ours.refresh(), ours.media
    refused = ours.offer_t38()
    ours.revert()
    assert (ours.refresh(), ours.media) == (before, agreed)
    again = ours.offer_t38()
    assert version(again) == version(refused) + 1
    assert m_lines(again) == m_lines(refused)


def test_after_a_refused_offer_the_peers_offer_gets_a_whole_answer() -> None:
    ours = in_audio()
    ours.offer_t38()
    ours.revert()
    answer = ours.answer(sdp("m=audio 5008 RTP/AVP 0\r\n"), want=MediaKind.ANY)
    assert m_lines(answer.sdp) == ["audio 4000 RTP/AVP 0"]
    assert answer.media == AudioMedia(("192.0.2.9", 5008), 0)


def test_a_refused_first_offer_leaves_a_fresh_session_for_audio() -> None:
    ours = session()
    ours.offer_t38()
    ours.revert()
    assert m_lines(ours.offer_audio()) == ["audio 4000 RTP/AVP 0 8"]


def test_a_second_offer_replaces_an_open_one() -> None:
    ours = session()
    ours.offer_t38()
    assert m_lines(ours.offer_audio()) == ["audio 4000 RTP/AVP 0 8"]
    assert isinstance(ours.read_answer(sdp(AUDIO)), AudioMedia)


def test_a_revert_without_an_open_offer_changes_nothing() -> None:
    ours = in_audio()
    ours.offer_t38()
    agreed = ours.read_answer(sdp("m=audio 0 RTP/AVP 8\r\n", IMAGE))
    ours.revert()
    assert ours.media == agreed
    assert isinstance(agreed, T38Media)


def test_a_refused_refresh_leaves_t38_running() -> None:
    ours = session()
    ours.offer_t38()
    ours.read_answer(sdp(IMAGE))
    current = ours.refresh()
    ours.revert()
    assert ours.refresh() == current
    assert isinstance(ours.media, T38Media)


# --- answers of ours -----------------------------------------------------------------------------

T38_AGREED = T38Media(REMOTE, T38Parameters(max_datagram=316))
AUDIO_AGREED = AudioMedia(("192.0.2.9", 5000), 8)
ACCEPTED: dict[str, tuple[list[str], MediaKind, list[str], T38Media | AudioMedia]] = {
    "direct T.38": ([IMAGE], MediaKind.ANY, ["image 4000 udptl t38"], T38_AGREED),
    "upper case": (
        [IMAGE.replace("udptl t38", "UDPTL T38 ")],
        MediaKind.T38,
        ["image 4000 UDPTL T38"],
        T38_AGREED,
    ),
    "format missing": ([IMAGE.replace(" t38", "")], MediaKind.T38, ["image 4000 udptl t38"], T38_AGREED),
    "switch-over": (
        ["m=audio 0 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n", IMAGE],
        MediaKind.ANY,
        ["audio 0 RTP/AVP 0", "image 4000 udptl t38"],
        T38_AGREED,
    ),
    "switch-over, the old line last": (
        [IMAGE, "m=audio 0 RTP/AVP 0 101\r\n"],
        MediaKind.ANY,
        ["image 4000 udptl t38", "audio 0 RTP/AVP 0"],
        T38_AGREED,
    ),
    "switch-over between lines that are off": (
        ["m=image 0 udptl t38\r\n", "m=video 0 RTP/AVP 31\r\n", IMAGE, "m=audio 0 RTP/AVP 0\r\n"],
        MediaKind.ANY,
        ["image 0 udptl t38", "video 0 RTP/AVP 31", "image 4000 udptl t38", "audio 0 RTP/AVP 0"],
        T38_AGREED,
    ),
    "audio behind an image line that is off": (
        ["m=image 0 udptl t38\r\n", AUDIO],
        MediaKind.ANY,
        ["image 0 udptl t38", "audio 4000 RTP/AVP 8"],
        AUDIO_AGREED,
    ),
    "both live, T.38 wanted": (
        [AUDIO, IMAGE],
        MediaKind.ANY,
        ["audio 0 RTP/AVP 8", "image 4000 udptl t38"],
        T38_AGREED,
    ),
    "both live, audio wanted": (
        [AUDIO, IMAGE],
        MediaKind.AUDIO,
        ["audio 4000 RTP/AVP 8", "image 0 udptl t38"],
        AUDIO_AGREED,
    ),
    "audio alone": ([AUDIO], MediaKind.ANY, ["audio 4000 RTP/AVP 8"], AUDIO_AGREED),
    "audio behind unknown media": (
        ["m=video 6000 RTP/AVP 31\r\n", "m=x-new 7/2 foo/bar *\r\n", AUDIO],
        MediaKind.ANY,
        ["video 0 RTP/AVP 31", "x-new 0 foo/bar *", "audio 4000 RTP/AVP 8"],
        AUDIO_AGREED,
    ),
    "TCP first, UDPTL second": (
        ["m=image 5010 tcp t38\r\na=setup:actpass\r\n", IMAGE],
        MediaKind.T38,
        ["image 0 tcp t38", "image 4000 udptl t38"],
        T38_AGREED,
    ),
    "odd line alone": (
        [IMAGE.replace("udptl", "RTP/AVP")],
        MediaKind.T38,
        ["image 4000 RTP/AVP t38"],
        T38_AGREED,
    ),
    "odd line beside a proper one": (
        ["m=application 5012 udptl t38\r\n", IMAGE],
        MediaKind.T38,
        ["application 0 udptl t38", "image 4000 udptl t38"],
        T38_AGREED,
    ),
    "two image lines": (
        [IMAGE, "m=image 5020 udptl t38\r\n"],
        MediaKind.ANY,
        ["image 4000 udptl t38", "image 0 udptl t38"],
        T38_AGREED,
    ),
    "one bad port spoils only its line": (
        ["m=video 70000 RTP/AVP\r\n", IMAGE],
        MediaKind.ANY,
        ["video 0 RTP/AVP 0", "image 4000 udptl t38"],
        T38_AGREED,
    ),
    "address at the media": (
        ["m=image 5002 udptl t38\r\nc=IN IP4 203.0.113.5\r\na=T38FaxMaxDatagram:316\r\na=inactive\r\n"],
        MediaKind.ANY,
        ["image 4000 udptl t38"],
        T38Media(("203.0.113.5", 5002), T38Parameters(max_datagram=316)),
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_an_offer_gets_one_stream_and_as_many_lines_as_it_has(case: str) -> None:
    media, want, lines, agreed = ACCEPTED[case]
    answer = session().answer(sdp(*media), want=want)
    assert (m_lines(answer.sdp), answer.media) == (lines, agreed)


REFUSED: dict[str, tuple[list[str], MediaKind, str]] = {
    "audio where T.38 is wanted": ([AUDIO], MediaKind.T38, "no T.38"),
    "T.38 where audio is wanted": ([IMAGE], MediaKind.AUDIO, "no audio"),
    "no media": ([], MediaKind.ANY, "no media"),
    "T.38 over TCP": (["m=image 5 tcp t38\r\n"], MediaKind.ANY, "neither"),
    "T.38 over DTLS": (["m=image 5 UDP/TLS/UDPTL t38\r\n"], MediaKind.ANY, 'dtls = "off" declines that'),
    "SRTP": (["m=audio 5 RTP/SAVP 0\r\n"], MediaKind.ANY, "neither"),
    "no G.711": (["m=audio 5 RTP/AVP 18 3\r\n"], MediaKind.ANY, "neither"),
    "everything off at the beginning": (["m=image 0 udptl t38\r\n"], MediaKind.ANY, "neither"),
    "multicast": (["m=image 5 udptl t38\r\nc=IN IP4 224.0.0.1\r\n"], MediaKind.ANY, "no address"),
    "other address family": (["m=image 5 udptl t38\r\nc=IN IP6 2001:db8::1\r\n"], MediaKind.ANY, "no address"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_offer_where_nothing_fits_is_refused_with_a_reason(case: str) -> None:
    media, want, why = REFUSED[case]
    with pytest.raises(Unacceptable, match=why) as refusal:
        session().answer(sdp(*media), want=want)
    assert refusal.value.status == 488


def test_a_refused_offer_of_the_peer_leaves_the_session_and_our_open_offer_alone() -> None:
    ours = in_audio()
    offer = ours.offer_t38()
    with pytest.raises(Unacceptable):
        ours.answer(sdp("m=video 5 RTP/AVP 31\r\n"), want=MediaKind.ANY)
    assert isinstance(ours.read_answer(sdp("m=audio 0 RTP/AVP 8\r\n", IMAGE)), T38Media)
    assert ours.refresh() == offer


def test_the_peers_offer_takes_the_place_of_our_open_one() -> None:
    ours = in_audio()
    ours.offer_t38()
    answer = ours.answer(sdp("m=audio 0 RTP/AVP 8\r\n", IMAGE), want=MediaKind.ANY)
    assert m_lines(answer.sdp) == ["audio 0 RTP/AVP 8", "image 4000 udptl t38"]
    assert ours.refresh() == answer.sdp


def test_a_repeated_t38_offer_gets_the_same_octets_and_a_moved_one_the_new_address() -> None:
    ours = session()
    first = ours.answer(sdp(IMAGE), want=MediaKind.ANY)
    assert ours.answer(sdp(IMAGE), want=MediaKind.T38) == first
    moved = ours.answer(sdp(IMAGE.replace("5002", "5004")), want=MediaKind.T38)
    assert (moved.sdp, moved.media) == (first.sdp, replace(T38_AGREED, remote=("192.0.2.9", 5004)))


def test_a_peer_that_replaces_the_audio_slot_by_image_is_followed() -> None:
    ours = in_audio()
    answer = ours.answer(sdp(IMAGE), want=MediaKind.ANY)
    assert m_lines(answer.sdp) == ["image 4000 udptl t38"]
    assert m_lines(ours.refresh()) == ["image 4000 udptl t38"]


def test_hold_by_address_is_accepted_but_nothing_may_be_sent() -> None:
    held = sdp(AUDIO, head=HEAD.replace("c=IN IP4 192.0.2.9", "c=IN IP4 0.0.0.0"))
    answer = in_audio().answer(held, want=MediaKind.ANY)
    assert answer.media == AudioMedia(("0.0.0.0", 0), 8, held=True)


@pytest.mark.parametrize(
    ("offered", "answered", "held"),
    [
        ("sendonly", "recvonly", True),
        ("inactive", "inactive", True),
        ("recvonly", "sendonly", False),
        ("sendrecv", "sendrecv", False),
    ],
)
def test_hold_by_direction_is_mirrored(offered: str, answered: str, held: bool) -> None:
    answer = in_audio().answer(sdp(AUDIO, f"a={offered}\r\n"), want=MediaKind.ANY)
    assert attribute_lines(Description.decode(answer.sdp).media[0])[-1] == answered
    assert isinstance(answer.media, AudioMedia)
    assert answer.media.held is held


def test_hold_by_port_0_inside_a_dialog_is_answered_alike() -> None:
    ours = in_audio()
    answer = ours.answer(sdp("m=audio 0 RTP/AVP 8 0\r\n"), want=MediaKind.ANY)
    assert m_lines(answer.sdp) == ["audio 0 RTP/AVP 8"]
    assert isinstance(answer.media, Declined)
    assert isinstance(ours.answer(sdp(AUDIO), want=MediaKind.ANY).media, AudioMedia)


def test_ipv6_ends_meet() -> None:
    ours = session(host="2001:db8::1")
    answer = ours.answer(sdp(IMAGE, "c=IN IP6 2001:DB8::9\r\n"), want=MediaKind.T38)
    assert b"c=IN IP6 2001:db8::1\r\n" in answer.sdp
    assert isinstance(answer.media, T38Media)
    assert answer.media.remote == ("2001:db8::9", 5002)


# --- answers of the peer -------------------------------------------------------------------------


def offering_t38() -> MediaSession:
    ours = in_audio()
    ours.offer_t38()
    return ours


def offering_audio() -> MediaSession:
    ours = session()
    ours.offer_audio()
    return ours


OFF = "m=audio 0 RTP/AVP 8\r\n"
READ: dict[str, tuple[Callable[[], MediaSession], list[str], type]] = {
    "as offered": (offering_t38, [OFF, IMAGE], T38Media),
    "audio line missing": (offering_t38, [IMAGE], T38Media),
    "surplus lines": (offering_t38, [OFF, IMAGE, IMAGE, "m=video 5 RTP/AVP 31\r\n"], T38Media),
    "lines swapped": (offering_t38, [IMAGE, OFF], T38Media),
    "no lines at all": (offering_t38, [], Declined),
    "image declined": (offering_t38, [OFF, "m=image 0 udptl t38\r\n"], Declined),
    "image declined, audio kept": (offering_t38, [AUDIO, "m=image 0 udptl t38\r\n"], Declined),
    "image line missing": (offering_t38, [AUDIO], Declined),
    "TCP instead": (offering_t38, [OFF, "m=image 5 tcp t38\r\n"], Declined),
    "odd kind in its place": (offering_t38, [OFF, "m=application 5002 udptl t38\r\n"], T38Media),
    "unreachable address": (offering_t38, [OFF, IMAGE, "c=IN IP6 2001:db8::1\r\n"], Declined),
    "audio": (offering_audio, [AUDIO], AudioMedia),
    "audio behind a surplus line": (offering_audio, ["m=video 0 RTP/AVP 31\r\n", AUDIO], AudioMedia),
    "audio without G.711": (offering_audio, ["m=audio 5 RTP/AVP 18\r\n"], Declined),
    "audio declined": (offering_audio, ["m=audio 0 RTP/AVP 0\r\n"], Declined),
}


@pytest.mark.parametrize("case", READ)
def test_an_answer_is_read_by_slot_then_by_kind(case: str) -> None:
    start, media, kind = READ[case]
    ours = start()
    agreed = ours.read_answer(sdp(*media))
    assert type(agreed) is kind
    assert ours.media == agreed
    assert agreed.why if isinstance(agreed, Declined) else agreed.remote[0] == "192.0.2.9"


def test_a_declined_switch_over_can_go_back_to_audio_in_the_same_slots() -> None:
    ours = offering_t38()
    ours.read_answer(sdp(OFF, "m=image 0 udptl t38\r\n"))
    assert m_lines(ours.offer_audio()) == ["audio 4000 RTP/AVP 0 8", "image 0 udptl t38"]


def test_after_a_declined_switch_over_a_late_offer_is_audio_again() -> None:
    ours = offering_t38()
    ours.read_answer(sdp(OFF, "m=image 0 udptl t38\r\n"))
    assert m_lines(ours.refresh()) == ["audio 4000 RTP/AVP 0 8", "image 0 udptl t38"]


def test_a_late_offer_takes_t38_off_hold() -> None:
    ours = offering_t38()
    ours.read_answer(sdp(OFF, IMAGE))
    ours.answer(sdp(OFF, "m=image 0 udptl t38\r\n"), want=MediaKind.T38)
    assert m_lines(ours.refresh()) == ["audio 0 RTP/AVP 8", "image 4000 udptl t38"]


def test_a_stale_answer_to_a_refresh_does_not_end_t38() -> None:
    ours = offering_t38()
    agreed = ours.read_answer(sdp(OFF, IMAGE))
    ours.refresh()
    assert isinstance(ours.read_answer(sdp(AUDIO, "m=image 0 udptl t38\r\n")), Declined)
    assert ours.media == agreed


def test_an_answer_that_is_no_sdp_leaves_the_offer_open() -> None:
    ours = offering_t38()
    with pytest.raises(DecodeError):
        ours.read_answer(b"rubbish")
    assert isinstance(ours.media, AudioMedia)
    assert isinstance(ours.read_answer(sdp(OFF, IMAGE)), T38Media)


def test_reading_an_answer_before_any_offer_is_misuse() -> None:
    with pytest.raises(MisuseError):
        session().read_answer(sdp(AUDIO))


@pytest.mark.parametrize(("host", "port"), [("fax.example.net", 4000), ("192.0.2.1", 0), ("224.0.0.1", 4000)])
def test_our_own_address_must_be_numeric_and_unicast(host: str, port: int) -> None:
    with pytest.raises(MisuseError):
        session(host=host, port=port)


# --- merging -------------------------------------------------------------------------------------

N, R, F = ErrorCorrection.NONE, ErrorCorrection.REDUNDANCY, ErrorCorrection.FEC


@pytest.mark.parametrize(
    ("offered", "own", "agreed"),
    [(N, N, N), (N, R, N), (N, F, N), (R, N, N), (R, R, R), (R, F, R), (F, N, N), (F, R, R), (F, F, F)],
)
def test_error_correction_goes_down_but_never_up(
    offered: ErrorCorrection, own: ErrorCorrection, agreed: ErrorCorrection
) -> None:
    answer = session(T38Parameters(error_correction=own)).answer(
        sdp(IMAGE, f"a=T38FaxUdpEC:{offered}\r\n"), want=MediaKind.T38
    )
    assert f"a=T38FaxUdpEC:{agreed}\r\n".encode() in answer.sdp
    assert isinstance(answer.media, T38Media)
    assert answer.media.parameters.error_correction is agreed


@pytest.mark.parametrize(("offered", "own", "agreed"), [(0, 0, 0), (3, 0, 0), (0, 3, 0), (2, 3, 2), (9, 3, 3)])
def test_the_version_is_the_lower_one(offered: int, own: int, agreed: int) -> None:
    offer = sdp(f"m=image 5002 udptl t38\r\na=T38FaxVersion:{offered}\r\n")
    answer = session(T38Parameters(version=own)).answer(offer, want=MediaKind.T38)
    assert f"a=T38FaxVersion:{agreed}\r\n".encode() in answer.sdp


def test_an_answer_above_our_offer_is_read_as_our_offer() -> None:
    ours = session(T38Parameters(version=0, error_correction=N))
    ours.offer_t38()
    agreed = ours.read_answer(
        sdp(IMAGE.replace("Version:0", "Version:3"), "a=T38FaxUdpEC:t38UDPFEC\r\na=T38FaxRateManagement:localTCF\r\n")
    )
    assert isinstance(agreed, T38Media)
    assert agreed.parameters == T38Parameters(max_datagram=316, error_correction=N)


def test_our_answer_repeats_the_rate_management_but_never_the_peers_limits() -> None:
    offer = sdp(
        "m=image 5002 udptl t38\r\na=T38FaxRateManagement:localTCF\r\na=T38MaxBitRate:9600\r\n"
        "a=T38FaxMaxBuffer:72\r\na=T38FaxMaxDatagram:160\r\na=T38FaxTranscodingMMR\r\na=T38FaxFillBitRemoval:1\r\n"
    )
    answer = session().answer(offer, want=MediaKind.T38)
    assert attribute_lines(Description.decode(answer.sdp).media[0]) == [
        "T38FaxVersion:0",
        "T38MaxBitRate:14400",
        "T38FaxRateManagement:localTCF",
        "T38FaxMaxBuffer:1800",
        "T38FaxMaxDatagram:400",
        "T38FaxUdpEC:t38UDPRedundancy",
    ]
    assert answer.media == T38Media(
        REMOTE,
        T38Parameters(max_bit_rate_bps=9600, rate_management=RateManagement.LOCAL_TCF, max_buffer=72, max_datagram=160),
    )


PARAMETERS = st.builds(
    T38Parameters,
    version=st.integers(0, 3),
    max_bit_rate_bps=st.sampled_from([2400, 9600, 14400, 33600]),
    rate_management=st.sampled_from(RateManagement),
    fill_bit_removal=st.booleans(),
    transcoding_mmr=st.booleans(),
    transcoding_jbig=st.booleans(),
    max_buffer=st.none() | st.integers(1, 65535),
    max_datagram=st.none() | st.integers(1, 1400),
    error_correction=st.sampled_from(ErrorCorrection),
)


@given(PARAMETERS, PARAMETERS, st.booleans())
def test_both_ends_agree_on_the_same_stream(one: T38Parameters, two: T38Parameters, audio_first: bool) -> None:
    caller, called = session(one), session(two, host="192.0.2.9", port=5002)
    if audio_first:
        caller.read_answer(called.answer(caller.offer_audio(), want=MediaKind.ANY).sdp)
    answer = called.answer(caller.offer_t38(), want=MediaKind.ANY)
    here, there = caller.read_answer(answer.sdp), answer.media
    assert isinstance(here, T38Media)
    assert isinstance(there, T38Media)
    assert (here.remote, there.remote) == (REMOTE, ("198.51.100.1", 4000))
    assert here.parameters == replace(there.parameters, max_buffer=two.max_buffer, max_datagram=two.max_datagram)
    assert (there.parameters.max_buffer, there.parameters.max_datagram) == (one.max_buffer, one.max_datagram)


@given(PARAMETERS, PARAMETERS)
def test_merging_is_symmetrical_but_for_whose_limits_are_whose(one: T38Parameters, two: T38Parameters) -> None:
    here, there = merge(one, two, offered_by_us=True), merge(two, one, offered_by_us=False)
    assert replace(here, max_buffer=None, max_datagram=None) == replace(there, max_buffer=None, max_datagram=None)


# --- any peer ------------------------------------------------------------------------------------

WORDS = ["audio", "image", "video", "application", "0", "8", "t38", "udptl", "UDPTL", "RTP/AVP", "5000", "70000", "x"]
M_LINE = st.lists(st.sampled_from(WORDS), min_size=3, max_size=6).map(lambda words: f"m={' '.join(words)}\r\n")
LIKELY = st.sampled_from(
    [AUDIO, IMAGE, OFF, "m=image 0 udptl t38\r\n", "c=IN IP4 0.0.0.0\r\n", "c=IN IP6 ::1\r\n", "a=inactive\r\n"]
)
PEER_SDP = st.lists(LIKELY | M_LINE, max_size=6).map(lambda parts: sdp(*parts)) | st.binary(max_size=120)
STEPS = st.lists(
    st.sampled_from(["offer_t38", "offer_audio", "refresh", "revert", "read"]) | st.sampled_from(list(MediaKind)),
    max_size=8,
)


@given(STEPS, st.data())
def test_no_peer_and_no_order_of_steps_raises_anything_else(steps: list[str | MediaKind], data: st.DataObject) -> None:
    ours = session()
    offered = False
    for step in steps:
        try:
            if isinstance(step, MediaKind):
                offer = data.draw(PEER_SDP)
                answer = ours.answer(offer, want=step)
                assert len(m_lines(answer.sdp)) == len(m_lines(offer))
                assert sum(" 4000 " in line for line in m_lines(answer.sdp)) == isinstance(
                    answer.media, T38Media | AudioMedia
                )
            elif step != "read":
                offered = getattr(ours, step)() is not None or offered
            elif offered:
                ours.read_answer(data.draw(PEER_SDP))
        except (DecodeError, Unacceptable):
            continue
        except MisuseError:
            assert step == "read"


# --- a quick look --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "kind"),
    [
        (b"", MediaKind.NONE),
        (sdp(), MediaKind.NONE),
        (sdp(AUDIO), MediaKind.AUDIO),
        (sdp(OFF, IMAGE), MediaKind.T38),
        (sdp(AUDIO, IMAGE), MediaKind.ANY),
        (sdp("m=audio 5 RTP/AVP 18\r\n", "m=image 5 tcp t38\r\n"), MediaKind.NONE),
    ],
)
def test_a_quick_look_says_what_an_sdp_offers(octets: bytes, kind: MediaKind) -> None:
    assert offers(octets) is kind


def test_a_quick_look_at_rubbish_is_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        offers(b"rubbish")
