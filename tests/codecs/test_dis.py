"""DIS and DCS: bits to capabilities, extension chain, and the mode two ends have in common."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.codecs.common_mode import Preferences, agree, usable_modems
from vfax.codecs.dis import (
    FALL_BACK,
    Agreement,
    Capabilities,
    Coding,
    Resolution,
    decode_ctc,
    decode_dcs,
    describe_dcs,
    encode_ctc,
    encode_dcs,
    foreign_modes,
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
METRIC = (Resolution.STANDARD, Resolution.FINE, Resolution.SUPERFINE)
INCH = (Resolution.INCH_200X100, Resolution.INCH_200X200, Resolution.INCH_200X400)


def bits(*numbers: int, octets: int = 16) -> bytes:
    value = sum(1 << (octets * 8 - number) for number in numbers)
    return value.to_bytes(octets, "big")


@st.composite
def resolutions(draw: st.DrawFn) -> frozenset[Resolution]:
    """Sets that a DIS can say: where it names inches at all, every step it has is there in inches."""
    named = draw(st.sets(st.sampled_from([(2, 2), (2, 4), (3, 3), (4, 4), (6, 6)])))
    metric, inch = draw(st.sampled_from([(True, False), (True, True), (False, True)]))
    both = metric and inch and bool(named & {(2, 2), (2, 4), (4, 4)})
    said = {
        one for one in Resolution if one.grid in named and (inch if one.inch_based else metric and (both or not inch))
    }
    said |= {one for one in Resolution if one.grid in named and one.grid in ((3, 3), (6, 6))}
    return frozenset(said | {Resolution.STANDARD} | ({Resolution.INCH_200X100} if inch else set()))


@st.composite
def capabilities(draw: st.DrawFn) -> Capabilities:
    ecm = draw(st.booleans())
    codings = {Coding.MH} | draw(st.sets(st.sampled_from([Coding.MR] + [Coding.MMR] * ecm)))
    return Capabilities(
        receives=draw(st.booleans()),
        has_document=draw(st.booleans()),
        modems=draw(st.sampled_from([V27 | V29 | V17, V27 | V29, V29, V27, frozenset({Modem.V27TER_2400})])),
        resolutions=draw(resolutions()),
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
    length_mm = draw(st.sampled_from([0, 297, 364]))
    return Agreement(
        modem=draw(st.sampled_from(FALL_BACK)),
        coding=draw(st.sampled_from(list(Coding) if ecm else [Coding.MH, Coding.MR])),
        ecm=ecm,
        frame_octets=draw(st.sampled_from([64, 256])) if ecm else 0,
        resolution=resolution,
        width_px=draw(st.sampled_from(resolution.widths_px)),
        min_scan_ms=0 if ecm else draw(st.sampled_from([0, 5, 10, 20, 40])),
        max_rows=length_mm * resolution.rows_per_100_mm // 100,
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


@pytest.mark.parametrize(
    ("bit", "name"), [(68, "JPEG"), (69, "colour"), (78, "JBIG"), (79, "JBIG"), (106, "1200x1200")]
)
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
    for metric, inch, time in zip(METRIC, INCH, times, strict=True):
        assert (peer.scan_ms(metric), peer.scan_ms(inch)) == (time, time)
    assert (peer.scan_ms(Resolution.R16), peer.scan_ms(Resolution.INCH_400X400)) == (times[2], times[2])
    assert (peer.scan_ms(Resolution.INCH_300X300), peer.scan_ms(Resolution.INCH_600X600)) == (times[1], times[1])


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


# --- resolutions -----------------------------------------------------------------------------------

WIDTHS = {
    Resolution.STANDARD: (1728, 2048, 2432),
    Resolution.FINE: (1728, 2048, 2432),
    Resolution.SUPERFINE: (1728, 2048, 2432),
    Resolution.R16: (3456, 4096, 4864),
    Resolution.INCH_200X100: (1728, 2048, 2432),
    Resolution.INCH_200X200: (1728, 2048, 2432),
    Resolution.INCH_200X400: (1728, 2048, 2432),
    Resolution.INCH_300X300: (2592, 3072, 3648),
    Resolution.INCH_400X400: (3456, 4096, 4864),
    Resolution.INCH_600X600: (5184, 6144, 7296),
}


@pytest.mark.parametrize("resolution", Resolution)
def test_every_resolution_has_the_widths_of_its_papers(resolution: Resolution) -> None:
    assert resolution.widths_px == WIDTHS[resolution]


@pytest.mark.parametrize(
    ("numbers", "resolution"),
    [
        ((), Resolution.STANDARD),
        ((44,), Resolution.INCH_200X100),
        ((15,), Resolution.FINE),
        ((15, 44), Resolution.INCH_200X200),
        ((41,), Resolution.SUPERFINE),
        ((41, 44), Resolution.INCH_200X400),
        ((42, 44), Resolution.INCH_300X300),
        ((43,), Resolution.R16),
        ((43, 44), Resolution.INCH_400X400),
        ((105, 44), Resolution.INCH_600X600),
    ],
)
def test_a_dcs_says_its_resolution_in_these_bits(numbers: tuple[int, ...], resolution: Resolution) -> None:
    chain = [extension for extension in range(24, 105, 8) if extension < max(numbers, default=0)]
    agreed = decode_dcs(bits(14, *chain, *numbers))
    assert agreed.resolution is resolution
    assert decode_dcs(encode_dcs(agreed)) == agreed
    said = int.from_bytes(encode_dcs(agreed).ljust(16, b"\0"), "big")
    assert {bit for bit in (15, 41, 42, 43, 44, 45, 105) if said >> (128 - bit) & 1} == set(numbers)


@pytest.mark.parametrize(
    ("numbers", "resolution"),
    [((42,), Resolution.INCH_300X300), ((105,), Resolution.INCH_600X600), ((15, 41), Resolution.SUPERFINE)],
)
def test_a_dcs_that_mixes_metric_and_inch_up_reads_as_the_same_grid(
    numbers: tuple[int, ...], resolution: Resolution
) -> None:
    chain = range(24, 105, 8)
    assert decode_dcs(bits(14, *chain, *numbers)).resolution is resolution
    assert decode_dcs(bits(14, *chain, *numbers, 44)).resolution.grid == resolution.grid


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        ((15,), {Resolution.STANDARD, Resolution.FINE}),
        ((15, 45), {Resolution.STANDARD, Resolution.FINE}),
        ((15, 44), {Resolution.STANDARD, Resolution.INCH_200X100, Resolution.INCH_200X200}),
        (
            (43, 44, 45),
            {Resolution.STANDARD, Resolution.INCH_200X100, Resolution.R16, Resolution.INCH_400X400},
        ),
        ((42,), {Resolution.STANDARD, Resolution.INCH_300X300}),
    ],
)
def test_a_dis_names_metric_resolutions_unless_it_prefers_inches_alone(
    numbers: tuple[int, ...], named: set[Resolution]
) -> None:
    assert Capabilities.decode(bits(10, 24, 32, 40, *numbers)).resolutions == named


def test_all_resolutions_fit_into_one_dis() -> None:
    said = Capabilities(resolutions=frozenset(Resolution)).encode()
    assert len(said) == 14
    assert Capabilities.decode(said).resolutions == set(Resolution)


@pytest.mark.parametrize(
    ("wanted", "there", "chosen"),
    [
        (Resolution.INCH_200X200, {Resolution.FINE}, Resolution.FINE),
        (Resolution.FINE, {Resolution.INCH_200X200}, Resolution.INCH_200X200),
        (Resolution.INCH_200X100, {Resolution.FINE}, Resolution.STANDARD),
        (Resolution.INCH_300X300, {Resolution.FINE, Resolution.SUPERFINE}, Resolution.FINE),
        (Resolution.INCH_300X300, {Resolution.FINE, Resolution.INCH_200X200}, Resolution.INCH_200X200),
        (Resolution.INCH_600X600, {Resolution.FINE, Resolution.INCH_300X300}, Resolution.INCH_300X300),
        (Resolution.INCH_600X600, {Resolution.R16, Resolution.INCH_300X300}, Resolution.R16),
        (Resolution.R16, {Resolution.SUPERFINE, Resolution.FINE}, Resolution.SUPERFINE),
        (Resolution.SUPERFINE, {Resolution.R16, Resolution.INCH_300X300, Resolution.FINE}, Resolution.FINE),
        (Resolution.INCH_400X400, set(), Resolution.STANDARD),
    ],
)
def test_the_best_smaller_resolution_is_chosen(wanted: Resolution, there: set[Resolution], chosen: Resolution) -> None:
    peer = replace(EVERYTHING, resolutions=frozenset(there | {Resolution.STANDARD}))
    assert mode(peer, Preferences(), resolution=wanted).resolution is chosen


@pytest.mark.parametrize("wanted", Resolution)
@pytest.mark.parametrize("paper", [0, 1, 2])
@pytest.mark.parametrize("widest", [0, 1, 2])
def test_a_page_goes_on_its_own_paper_or_the_widest_there_is(wanted: Resolution, paper: int, widest: int) -> None:
    peer = replace(EVERYTHING, max_width_px=(1728, 2048, 2432)[widest], resolutions=frozenset({Resolution.STANDARD}))
    agreed = mode(peer, Preferences(), resolution=wanted, width_px=wanted.widths_px[paper])
    assert agreed.width_px == (1728, 2048, 2432)[min(paper, widest)]


@given(capabilities(), st.sampled_from(list(Resolution)), st.integers(0, 2))
def test_what_is_agreed_can_be_said_and_was_offered(peer: Capabilities, resolution: Resolution, paper: int) -> None:
    width_px = resolution.widths_px[paper]
    agreed = agree(peer, Preferences(resolutions=frozenset(Resolution)), width_px=width_px, resolution=resolution)
    if agreed is None:
        assert not peer.receives
        return
    assert agreed.modem in peer.modems
    assert agreed.coding in peer.codings
    assert agreed.resolution in peer.resolutions
    assert agreed.width_px * 2 <= peer.max_width_px * agreed.resolution.grid[0]
    assert agreed.resolution.grid[0] <= resolution.grid[0]
    assert agreed.resolution.grid[1] <= resolution.grid[1]
    said = decode_dcs(encode_dcs(agreed))
    assert replace(said, max_rows=0) == replace(agreed, max_rows=0)
    assert (said.max_rows == 0) == (agreed.max_rows == 0)
