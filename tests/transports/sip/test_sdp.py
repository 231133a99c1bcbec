from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.errors import DecodeError, MisuseError
from vfax.transports.parameters import ErrorCorrection, RateManagement, T38Parameters
from vfax.transports.sip.sdp import Description, Media, SdpLimits, attributes, format_t38, number, parse_t38

DATA = Path(__file__).parents[2] / "data"
HEAD = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
SWITCH_OVER = HEAD + (
    b"m=audio 0 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
    b"m=image 4000 udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n"
    b"a=T38FaxRateManagement:transferredTCF\r\na=T38FaxMaxBuffer:1800\r\n"
    b"a=T38FaxMaxDatagram:400\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n"
)
DEFAULTS = T38Parameters()


def t38(*lines: str) -> T38Parameters:
    return parse_t38([("a", line) for line in lines])


def media(line: str, *, session: str = "c=IN IP4 192.0.2.1", more: str = "") -> tuple[Description, Media]:
    text = f"v=0\r\n{session}\r\nm={line}\r\n{more}"
    description = Description.decode(text.encode())
    return description, description.media[0]


def body(name: str) -> bytes:
    message = (DATA / name).read_bytes()
    return message[message.index(b"v=0") :]


# --- lines ---------------------------------------------------------------------------------------


def test_a_description_comes_back_octet_for_octet() -> None:
    strange = (
        SWITCH_OVER + b"a=x:\xff\xfe caf\xc3\xa9 \r\nk=prompt\r\nz=1 2\r\nm=x-new 7/3 foo/bar * \t 9\r\nb=AS:64\r\n"
    )
    assert Description.decode(strange).encode() == strange


def test_bare_line_feeds_empty_lines_and_a_missing_last_line_end_are_tolerated() -> None:
    ragged = SWITCH_OVER.replace(b"\r\n", b"\n").rstrip(b"\n").replace(b"m=image", b"\nm=image")
    assert Description.decode(ragged).encode() == SWITCH_OVER


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\r\n\r\n",
        b"o=- 1 1 IN IP4 192.0.2.1\r\n",
        HEAD + b"nonsense\r\n",
        HEAD + b"=x\r\n",
        HEAD + b"1=x\r\n",
        HEAD + b"m=image 4000\r\n",
        HEAD + b"m=\r\n",
        HEAD + b"a=one\rv=two\r\n",
        HEAD + b"a=nul\x00\r\n",
    ],
)
def test_what_is_no_sdp_is_a_decode_error(octets: bytes) -> None:
    with pytest.raises(DecodeError):
        Description.decode(octets)


@pytest.mark.parametrize(
    ("limits", "fits"),
    [
        (SdpLimits(octets=len(SWITCH_OVER)), True),
        (SdpLimits(octets=len(SWITCH_OVER) - 1), False),
        (SdpLimits(lines=14), True),
        (SdpLimits(lines=13), False),
        (SdpLimits(media=2), True),
        (SdpLimits(media=1), False),
    ],
)
def test_limits_refuse_at_their_number_and_not_before(limits: SdpLimits, fits: bool) -> None:
    if fits:
        assert len(Description.decode(SWITCH_OVER, limits).media) == 2
    else:
        with pytest.raises(DecodeError):
            Description.decode(SWITCH_OVER, limits)


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda tail: HEAD + b"m=image 4 udptl t38\r\n" + tail))
def test_any_octets_decode_or_raise_decode_error(octets: bytes) -> None:
    try:
        description = Description.decode(octets)
    except DecodeError:
        return
    assert Description.decode(description.encode()) == description
    for one in description.media:
        description.host(one)
        description.direction(one)
        description.t38(one)


def test_a_value_that_would_break_out_of_its_line_is_not_written() -> None:
    with pytest.raises(MisuseError):
        Description((("v", "0"), ("s", "x\r\nm=image 1 udptl t38")), ()).encode()


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        ("rfc4475/sdp01.dat", ["192.0.2.5", "192.0.2.5"]),
        ("rfc5118/ipv6-in-sdp.dat", ["2001:db8::20", "2001:db8::20"]),
        ("rfc5118/mult-ip-in-sdp.dat", ["192.0.2.1", "2001:db8::1"]),
    ],
)
def test_torture_messages_yield_the_address_of_each_media(name: str, hosts: list[str]) -> None:
    description = Description.decode(body(name))
    assert [description.host(one) for one in description.media] == hosts


# --- m= and c= -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "is_udptl", "is_odd", "is_audio"),
    [
        ("image 4000 udptl t38", True, False, False),
        ("image 4000 UDPTL t38 ", True, False, False),
        ("IMAGE 4000  Udptl\tT38", True, False, False),
        ("image 4000 udptl", True, False, False),
        ("image 4000 udptl jpeg", False, False, False),
        ("image 4000 RTP/AVP t38", False, True, False),
        ("application 4000 udptl t38", False, True, False),
        ("image 4000 tcp t38", False, False, False),
        ("image 4000 UDP/TLS/UDPTL t38", False, False, False),
        ("audio 4000 RTP/AVP 0 8 101", False, False, True),
        ("audio 4000 rtp/avpf 0", False, False, True),
        ("audio 4000 RTP/SAVP 0", False, False, False),
        ("video 4000 RTP/AVP 31", False, False, False),
    ],
)
def test_media_lines_of_every_form_are_told_apart(line: str, is_udptl: bool, is_odd: bool, is_audio: bool) -> None:
    _, found = media(line)
    assert (found.is_udptl, found.is_odd_t38, found.is_audio) == (is_udptl, is_odd, is_audio)


@pytest.mark.parametrize(
    ("text", "port", "count"),
    [
        ("4000", 4000, 1),
        ("4000/2", 4000, 2),
        ("0", 0, 1),
        ("65536", 0, 1),
        ("-1", 0, 1),
        ("x", 0, 1),
        ("4000/x", 4000, 1),
    ],
)
def test_a_port_may_have_a_count_and_an_unreadable_one_only_spoils_its_line(text: str, port: int, count: int) -> None:
    _, found = media(f"image {text} udptl t38")
    assert (found.port, found.count) == (port, count)


@pytest.mark.parametrize(
    ("session", "more", "host"),
    [
        ("c=IN IP4 192.0.2.1", "", "192.0.2.1"),
        ("c=IN IP4 192.0.2.1", "c=IN IP4 198.51.100.7\r\n", "198.51.100.7"),
        ("s=-", "c=in ip6 2001:DB8:0::1\r\n", "2001:db8::1"),
        ("s=-", "c=IN IP6 [2001:db8::1]\r\n", "2001:db8::1"),
        ("c=IN IP6 ::ffff:192.0.2.9", "", "192.0.2.9"),
        ("c=IN IP4 0.0.0.0", "", "0.0.0.0"),
        ("c=IN IP6 ::", "", "::"),
        ("c=IN IP4 192.0.2.1/127", "", "192.0.2.1"),
        ("c=IN IP4 224.2.1.1/127", "", None),
        ("c=IN IP6 ff02::1", "", None),
        ("c=IN IP6 ::ffff:224.2.1.1", "", None),
        ("c=IN IP6 fe80::1%eth0", "", None),
        ("c=IN IP4 255.255.255.255", "", None),
        ("c=IN IP4 fax.example.net", "", None),
        ("c=IN IP4 192.0.2.1", "c=IN IP4 nowhere\r\n", None),
        ("c=IN IP4", "", None),
        ("c=ATM NSAP 47", "", None),
        ("s=-", "", None),
    ],
)
def test_the_address_comes_from_the_media_or_else_the_session(session: str, more: str, host: str | None) -> None:
    description, found = media("image 4000 udptl t38", session=session, more=more)
    assert description.host(found) == host


def test_the_direction_of_the_media_overrides_the_sessions() -> None:
    description, found = media("audio 4 RTP/AVP 0", session="a=inactive", more="a=rtpmap:0 x\r\na=SendOnly\r\n")
    assert description.direction(found) == "sendonly"
    description, found = media("audio 4 RTP/AVP 0", session="a=inactive")
    assert description.direction(found) == "inactive"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("400", 400),
        (" 400 ", 400),
        ("0", 0),
        ("0000000400", 400),
        ("65535", 65535),
        ("65536", None),
        ("9" * 5000, None),
        ("-1", None),
        ("+1", None),
        ("4e2", None),
        ("²", None),
        ("٤٠٠", None),
        ("", None),
    ],
)
def test_only_plain_numbers_up_to_65535_are_numbers(text: str, value: int | None) -> None:
    assert number(text) == value


# --- T.38 attributes -----------------------------------------------------------------------------

WILD: list[tuple[list[str], T38Parameters]] = [
    ([], DEFAULTS),
    (["T38FaxVersion:3"], T38Parameters(version=3)),
    (["t38faxversion: 2 "], T38Parameters(version=2)),
    (["T38FaxVersion :1"], T38Parameters(version=1)),
    (["T38FaxVersion:-1"], DEFAULTS),
    (["T38FaxVersion"], DEFAULTS),
    (["T38MaxBitRate:9600"], T38Parameters(max_bit_rate_bps=9600)),
    (["T38maxBitRate:9600"], T38Parameters(max_bit_rate_bps=9600)),
    (["T38FaxMaxRate:9600"], T38Parameters(max_bit_rate_bps=9600)),
    (["T38FaxMaxBitRate:9600"], T38Parameters(max_bit_rate_bps=9600)),
    (["T38MaxBitRate:33600"], T38Parameters(max_bit_rate_bps=33600)),
    (["T38MaxBitRate:64000"], T38Parameters(max_bit_rate_bps=33600)),
    (["T38MaxBitRate:14399"], T38Parameters(max_bit_rate_bps=12000)),
    (["T38MaxBitRate:300"], T38Parameters(max_bit_rate_bps=2400)),
    (["T38MaxBitRate:0"], DEFAULTS),
    (["T38MaxBitRate:fast"], DEFAULTS),
    (["T38MaxBitRate:4294967296"], DEFAULTS),
    (["T38FaxRateManagement:localTCF"], T38Parameters(rate_management=RateManagement.LOCAL_TCF)),
    (["T38FaxRateManagement: LOCALTCF"], T38Parameters(rate_management=RateManagement.LOCAL_TCF)),
    (["T38FaxRateManagement:localTFC"], T38Parameters(rate_management=RateManagement.LOCAL_TCF)),
    (["T38FaxRateManagement:transferredTCF"], DEFAULTS),
    (["T38FaxRateManagement:sometimes"], DEFAULTS),
    (["T38FaxFillBitRemoval"], T38Parameters(fill_bit_removal=True)),
    (["T38FaxFillBitRemoval:1"], T38Parameters(fill_bit_removal=True)),
    (["T38FaxFillBitRemoval:"], T38Parameters(fill_bit_removal=True)),
    (["T38FaxFillBitRemoval:0"], DEFAULTS),
    (["t38faxfillbitremoval: 0"], DEFAULTS),
    (["T38FaxTranscodingMMR"], T38Parameters(transcoding_mmr=True)),
    (["T38FaxTranscodingMMR:0"], DEFAULTS),
    (["T38FaxTranscodingJBIG:1"], T38Parameters(transcoding_jbig=True)),
    (["T38FaxTranscodingJBIG:0"], DEFAULTS),
    (["T38FaxMaxBuffer:1800"], T38Parameters(max_buffer=1800)),
    (["T38FaxMaxBuffer:0"], DEFAULTS),
    (["T38FaxMaxBuffer:-5"], DEFAULTS),
    (["T38FaxMaxDatagram:72"], T38Parameters(max_datagram=72)),
    (["T38FaxMaxDataGram:400"], T38Parameters(max_datagram=400)),
    (["T38MaxDatagram:400"], T38Parameters(max_datagram=400)),
    (["T38FaxMaxDatagram:1400"], T38Parameters(max_datagram=1400)),
    (["T38FaxMaxDatagram:1440"], DEFAULTS),
    (["T38FaxMaxDatagram:0"], DEFAULTS),
    (["T38FaxMaxDatagram:99999999999"], DEFAULTS),
    (["T38FaxMaxDatagram:"], DEFAULTS),
    (["T38FaxMaxDatagram:0", "T38FaxMaxDatagram:316"], DEFAULTS),
    (["T38FaxMaxDatagram:none", "T38FaxMaxDatagram:316"], T38Parameters(max_datagram=316)),
    (["T38FaxUdpEC:t38UDPFEC"], T38Parameters(error_correction=ErrorCorrection.FEC)),
    (["T38FaxUdpEC:t38UDPNoEC"], T38Parameters(error_correction=ErrorCorrection.NONE)),
    (["T38FaxUdpEC: T38udpfec "], T38Parameters(error_correction=ErrorCorrection.FEC)),
    (["T38FaxUdpEC:t38UDPFEC", "T38FaxUdpEC:t38UDPRedundancy"], T38Parameters(error_correction=ErrorCorrection.FEC)),
    (["T38FaxUdpEC:magic", "T38FaxUdpEC:t38UDPFEC"], T38Parameters(error_correction=ErrorCorrection.FEC)),
    (["T38FaxUdpEC:magic"], DEFAULTS),
    (["T38FaxMaxIFP:40", "T38FaxUdpECDepth:1 2", "T38ModemType:t38G3FaxOnly", "T38VendorInfo:0 0 0", "x"], DEFAULTS),
]


@pytest.mark.parametrize(("lines", "expected"), WILD, ids=[" + ".join(lines)[:60] for lines, _ in WILD])
def test_every_wild_spelling_of_an_attribute_is_understood(lines: list[str], expected: T38Parameters) -> None:
    assert t38(*lines) == expected


def test_the_recommended_offer_is_written_as_recommended() -> None:
    lines = format_t38(T38Parameters(max_buffer=1800, max_datagram=400))
    assert [f"{kind}={value}" for kind, value in lines] == [
        "a=T38FaxVersion:0",
        "a=T38MaxBitRate:14400",
        "a=T38FaxRateManagement:transferredTCF",
        "a=T38FaxMaxBuffer:1800",
        "a=T38FaxMaxDatagram:400",
        "a=T38FaxUdpEC:t38UDPRedundancy",
    ]


def test_flags_that_are_on_have_no_value_unless_the_peer_insists() -> None:
    parameters = T38Parameters(fill_bit_removal=True)
    assert ("a", "T38FaxFillBitRemoval") in format_t38(parameters)
    explicit = format_t38(parameters, explicit_flags=True)
    assert ("a", "T38FaxFillBitRemoval:1") in explicit
    assert ("a", "T38FaxTranscodingMMR:0") in explicit


PARAMETERS = st.builds(
    T38Parameters,
    version=st.integers(0, 3),
    max_bit_rate_bps=st.sampled_from([2400, 4800, 7200, 9600, 12000, 14400, 33600]),
    rate_management=st.sampled_from(RateManagement),
    fill_bit_removal=st.booleans(),
    transcoding_mmr=st.booleans(),
    transcoding_jbig=st.booleans(),
    max_buffer=st.none() | st.integers(1, 65535),
    max_datagram=st.none() | st.integers(1, 1400),
    error_correction=st.sampled_from(ErrorCorrection),
)


@given(PARAMETERS, st.booleans())
def test_parameters_written_are_read_back(parameters: T38Parameters, explicit: bool) -> None:
    assert parse_t38(format_t38(parameters, explicit_flags=explicit)) == parameters


def test_t38_attributes_at_session_level_count_where_the_media_is_silent() -> None:
    description, found = media(
        "image 4000 udptl t38",
        session="a=T38FaxVersion:2\r\na=T38FaxMaxDatagram:200",
        more="a=T38FaxMaxDatagram:316\r\n",
    )
    assert description.t38(found) == T38Parameters(version=2, max_datagram=316)


def test_attributes_are_named_in_lower_case_and_trimmed() -> None:
    found = list(attributes([("a", "Fmtp : 101 0-15 "), ("b", "AS:64"), ("a", "SendRecv")]))
    assert found == [("fmtp", "101 0-15"), ("sendrecv", None)]


def test_only_the_first_formats_of_a_line_are_looked_at_but_all_are_kept() -> None:
    description, found = media(f"image 4000 udptl {'x ' * 1000}t38")
    assert len(found.formats) == 32
    assert not found.is_udptl
    assert description.encode().endswith(b"x t38\r\n")


def test_of_several_addresses_at_one_level_the_first_counts() -> None:
    description, found = media("image 4000 udptl t38", more="c=IN IP4 192.0.2.3\r\nc=IN IP4 192.0.2.4\r\n")
    assert description.host(found) == "192.0.2.3"
