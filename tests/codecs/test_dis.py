"""DIS and DCS: bits to capabilities, extension chain, and the mode two ends have in common."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.codecs.dis import (
    FALL_BACK,
    Agreement,
    Capabilities,
    Coding,
    Preferences,
    Resolution,
    agree,
    decode_ctc,
    decode_dcs,
    describe_dcs,
    encode_ctc,
    encode_dcs,
    foreign_modes,
    usable_modems,
)
from vfax.errors import DecodeError
from vfax.signals import Modem

V27 = frozenset({Modem.V27TER_4800, Modem.V27TER_2400})
V29 = frozenset({Modem.V29_9600, Modem.V29_7200})
V17 = frozenset(FALL_BACK) - V27 - V29
EVERYTHING = Capabilities(
    modems=frozenset(FALL_BACK),
    codings=frozenset(Coding),
    ecm=True,
    resolutions=frozenset(Resolution),
    max_width_px=2432,
    max_length_mm=0,
    min_scan_ms=(0, 0),
)


def bits(*numbers: int, octets: int = 16) -> bytes:
    value = sum(1 << (octets * 8 - number) for number in numbers)
    return value.to_bytes(octets, "big")


@st.composite
def capabilities(draw: st.DrawFn) -> Capabilities:
    ecm = draw(st.booleans())
    codings = {Coding.MH} | draw(st.sets(st.sampled_from([Coding.MR] + [Coding.MMR] * ecm)))
    return Capabilities(
        receives=draw(st.booleans()),
        has_document=draw(st.booleans()),
        modems=draw(st.sampled_from([V27 | V29 | V17, V27 | V29, V29, V27, frozenset({Modem.V27TER_2400})])),
        resolutions=frozenset({Resolution.STANDARD} | draw(st.sets(st.sampled_from(list(Resolution))))),
        codings=frozenset(codings),
        ecm=ecm,
        small_frames=ecm and draw(st.booleans()),
        max_width_px=draw(st.sampled_from([1728, 2048, 2432])),
        max_length_mm=draw(st.sampled_from([297, 364, 0])),
        min_scan_ms=draw(st.sampled_from([(20, 20), (40, 40), (10, 10), (5, 5), (10, 5), (20, 10), (40, 20), (0, 0)])),
        halved_scan=draw(st.booleans()),
        subaddress=draw(st.booleans()),
        password=draw(st.booleans()),
        internet_aware=draw(st.booleans()),
    )


@st.composite
def agreements(draw: st.DrawFn) -> Agreement:
    ecm = draw(st.booleans())
    resolution = draw(st.sampled_from(list(Resolution)))
    limited = draw(st.booleans())
    return Agreement(
        modem=draw(st.sampled_from(FALL_BACK)),
        coding=draw(st.sampled_from(list(Coding) if ecm else [Coding.MH, Coding.MR])),
        ecm=ecm,
        frame_octets=draw(st.sampled_from([64, 256])) if ecm else 0,
        resolution=resolution,
        width_px=draw(st.sampled_from([1728, 2048, 2432])),
        min_scan_ms=0 if ecm else draw(st.sampled_from([0, 5, 10, 20, 40])),
        max_rows=297 * resolution.rows_per_100_mm // 100 if limited else 0,
    )


@given(capabilities())
def test_capabilities_go_there_and_back(said: Capabilities) -> None:
    assert Capabilities.decode(said.encode()) == said


@given(agreements())
def test_agreements_go_there_and_back(agreed: Agreement) -> None:
    assert decode_dcs(encode_dcs(agreed)) == agreed
    assert agreed.modem.family in describe_dcs(encode_dcs(agreed))


@given(st.binary(max_size=40))
def test_any_field_decodes_or_raises_decode_error(fif: bytes) -> None:
    for decode in (Capabilities.decode, decode_dcs, decode_ctc):
        try:
            decode(fif)
        except DecodeError:
            continue
    assert isinstance(foreign_modes(fif), list)


# --- the extension chain -------------------------------------------------------------------------


def test_octets_behind_a_clear_extension_bit_are_ignored() -> None:
    said = Capabilities.decode(bits(10, 27, 31))
    assert not said.ecm
    assert said.codings == {Coding.MH}
    assert Capabilities.decode(bits(10, 24, 27, 31)).codings == {Coding.MH, Coding.MMR}


def test_a_set_extension_bit_without_an_octet_reads_as_zero() -> None:
    assert Capabilities.decode(bits(10, 12, 24, octets=3)).ecm is False


def test_a_short_field_reads_missing_octets_as_zero() -> None:
    said = Capabilities.decode(bits(10, 12, octets=2))
    assert (said.modems, said.max_width_px, said.min_scan_ms) == (V27, 1728, (20, 20))


@pytest.mark.parametrize("decode", [Capabilities.decode, decode_dcs, decode_ctc])
def test_a_field_without_rate_bits_is_refused(decode: object) -> None:
    for fif in (b"", b"\x00"):
        with pytest.raises(DecodeError):
            decode(fif)  # type: ignore[operator]


def test_trailing_zero_octets_are_not_sent() -> None:
    assert len(Capabilities().encode()) == 3
    assert len(replace(EVERYTHING, resolutions=frozenset({Resolution.FINE, Resolution.STANDARD})).encode()) == 4


def test_every_octet_but_the_last_says_that_another_follows() -> None:
    fif = replace(EVERYTHING, internet_aware=True).encode()
    assert len(fif) == 16
    assert [octet & 1 for octet in fif[2:]] == [1] * 13 + [0]


# --- odd bits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "modems"),
    [
        ((), {Modem.V27TER_2400}),
        ((12,), V27),
        ((11,), V29),
        ((11, 12), V27 | V29),
        ((11, 12, 14), V27 | V29 | V17),
        ((11, 12, 13), V27 | V29),
        ((11, 12, 13, 14), V27 | V29 | V17),
        ((13,), V27),
        ((14,), V27),
        ((11, 14), V29),
    ],
)
def test_rate_bits_of_a_dis_read_as_the_largest_known_set(pattern: tuple[int, ...], modems: set[Modem]) -> None:
    assert Capabilities.decode(bits(10, *pattern)).modems == modems


def test_mmr_counts_only_with_ecm() -> None:
    assert Coding.MMR not in Capabilities.decode(bits(10, 24, 31)).codings


def test_an_invalid_width_reads_as_the_largest() -> None:
    assert Capabilities.decode(bits(10, 17, 18)).max_width_px == 2432
    assert decode_dcs(bits(14, 17, 18)).width_px == 2432


def test_a_dcs_with_mmr_and_no_ecm_is_taken_as_ecm() -> None:
    assert decode_dcs(bits(14, 24, 31)).ecm is True


@pytest.mark.parametrize("pattern", [(13,), (12, 13), (11, 12, 13), (11, 12, 13, 14)])
def test_a_rate_that_is_not_g3_is_refused(pattern: tuple[int, ...]) -> None:
    with pytest.raises(DecodeError, match="rate"):
        decode_dcs(bits(*pattern))


@pytest.mark.parametrize(("bit", "name"), [(42, "300x300"), (43, "R16"), (68, "JPEG"), (78, "JBIG"), (105, "600x600")])
def test_a_mode_never_offered_is_named(bit: int, name: str) -> None:
    chain = [extension for extension in range(24, 121, 8) if extension < bit]
    with pytest.raises(DecodeError, match=name):
        decode_dcs(bits(14, *chain, bit))


@pytest.mark.parametrize(
    ("said", "halved", "times"),
    [
        ((20, 20), True, (20, 20, 10)),
        ((10, 5), False, (10, 5, 5)),
        ((10, 5), True, (10, 5, 5)),
        ((40, 20), True, (40, 20, 10)),
    ],
)
def test_scan_times_follow_the_resolution(said: tuple[int, int], halved: bool, times: tuple[int, int, int]) -> None:
    peer = replace(EVERYTHING, min_scan_ms=said, halved_scan=halved)
    assert tuple(peer.scan_ms(resolution) for resolution in Resolution) == times


@pytest.mark.parametrize("modem", FALL_BACK)
def test_ctc_names_the_rate(modem: Modem) -> None:
    assert len(encode_ctc(modem)) == 2
    assert decode_ctc(encode_ctc(modem)) is modem


# --- negotiation ---------------------------------------------------------------------------------


def mode(
    peer: Capabilities, ours: Preferences, *, width_px: int = 1728, resolution: Resolution = Resolution.FINE
) -> Agreement:
    agreed = agree(peer, ours, width_px=width_px, resolution=resolution)
    assert agreed is not None
    return agreed


def test_the_best_common_mode_is_chosen() -> None:
    agreed = mode(EVERYTHING, Preferences())
    assert (agreed.modem, agreed.coding, agreed.ecm, agreed.frame_octets) == (Modem.V17_14400, Coding.MMR, True, 256)


@pytest.mark.parametrize(
    ("codings", "ecm", "chosen"),
    [
        ({Coding.MH, Coding.MR, Coding.MMR}, True, Coding.MMR),
        ({Coding.MH, Coding.MR}, True, Coding.MR),
        ({Coding.MH}, True, Coding.MH),
        ({Coding.MH, Coding.MR, Coding.MMR}, False, Coding.MR),
        ({Coding.MH}, False, Coding.MH),
    ],
)
def test_codings_are_tried_best_first(codings: set[Coding], ecm: bool, chosen: Coding) -> None:
    assert mode(replace(EVERYTHING, codings=frozenset(codings), ecm=ecm), Preferences()).coding is chosen


def test_a_peer_without_ecm_gets_its_scan_time() -> None:
    peer = replace(EVERYTHING, ecm=False, min_scan_ms=(20, 10))
    assert mode(peer, Preferences()).min_scan_ms == 10
    assert mode(peer, Preferences(), resolution=Resolution.STANDARD).min_scan_ms == 20
    assert mode(EVERYTHING, Preferences()).min_scan_ms == 0


@pytest.mark.parametrize(("cap", "rate_bps"), [(14400, 14400), (12000, 12000), (9600, 9600), (7000, 4800), (1, 2400)])
def test_the_rate_is_capped(cap: int, rate_bps: int) -> None:
    assert mode(EVERYTHING, Preferences(max_rate_bps=cap)).modem.rate_bps == rate_bps


def test_a_page_too_fine_or_too_wide_for_the_peer_takes_the_next_smaller() -> None:
    peer = replace(EVERYTHING, resolutions=frozenset({Resolution.STANDARD}), max_width_px=2048)
    agreed = mode(peer, Preferences(), width_px=2432)
    assert (agreed.resolution, agreed.width_px) == (Resolution.STANDARD, 2048)


def test_a_narrow_page_takes_the_next_wider_paper() -> None:
    assert mode(EVERYTHING, Preferences(), width_px=1000).width_px == 1728
    assert mode(EVERYTHING, Preferences(), width_px=1800).width_px == 2048


def test_no_common_modem_or_no_receiver_is_no_agreement() -> None:
    only_v29 = replace(EVERYTHING, modems=V29)
    ours = Preferences(modems=V17)
    assert usable_modems(only_v29, ours) == ()
    assert agree(only_v29, ours, width_px=1728, resolution=Resolution.FINE) is None
    assert agree(replace(EVERYTHING, receives=False), Preferences(), width_px=1728, resolution=Resolution.FINE) is None


@given(capabilities(), st.sampled_from([1728, 2048, 2432]), st.sampled_from(list(Resolution)))
def test_what_is_agreed_can_be_said_and_was_offered(peer: Capabilities, width_px: int, resolution: Resolution) -> None:
    agreed = agree(peer, Preferences(resolutions=frozenset(Resolution)), width_px=width_px, resolution=resolution)
    if agreed is None:
        assert not peer.receives
        return
    assert agreed.modem in peer.modems
    assert agreed.coding in peer.codings
    assert agreed.resolution in peer.resolutions
    assert agreed.width_px <= peer.max_width_px
    said = decode_dcs(encode_dcs(agreed))
    assert replace(said, max_rows=0) == replace(agreed, max_rows=0)
    assert (said.max_rows == 0) == (agreed.max_rows == 0)
