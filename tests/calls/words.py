"""Frames in words: `DCS v29/9600 mmr ecm fine`, `PPS-EOP page=0 block=0 frames=4`, `PPR 1-3,7`, `TSI +1 555 1234`.

Owns      words to octets (what a scripted peer says) and words against octets (what it expects to hear).
Not here  when they are said (player.py), what they mean (vfax/t30).
Source    T.30 (09/2005) 5.3 and Table 2; the words of docs: tests/calls/README.md.
"""

from dataclasses import replace
from typing import Final

from vfax.codecs.dis import (
    FALL_BACK,
    Agreement,
    Capabilities,
    Coding,
    Resolution,
    decode_ctc,
    decode_dcs,
    encode_ctc,
    encode_dcs,
)
from vfax.codecs.frames import (
    IDENTITIES,
    MAX_BLOCK,
    Fcf,
    Frame,
    PartialPage,
    decode_identity,
    decode_request,
    decode_rest,
    encode_identity,
    encode_request,
    encode_rest,
)
from vfax.errors import DecodeError
from vfax.signals import Modem


class ScriptError(AssertionError):
    """The script and what happened do not agree, or the script cannot be read."""


def family(modem: Modem) -> str:
    """`v17`, `v29`, `v27` or `v21`."""
    return modem.family.lower().replace(".", "").removesuffix("ter")


MODEMS: Final = {f"{family(modem)}/{modem.rate_bps}": modem for modem in Modem}
FAMILIES: Final = {family(modem) for modem in FALL_BACK}
RESOLUTIONS: Final = {one.title.lower().replace(" ", "-"): one for one in Resolution}
CODINGS: Final = {one.value.lower(): one for one in Coding}
PAPERS: Final = {"a4": 1728, "b4": 2048, "a3": 2432}

BASE: Final = Agreement(
    modem=Modem.V17_14400,
    coding=Coding.MH,
    ecm=False,
    frame_octets=0,
    resolution=Resolution.STANDARD,
    width_px=1728,
    min_scan_ms=0,
)
WHOLE: Final = Capabilities(
    modems=frozenset(FALL_BACK),
    resolutions=frozenset({Resolution.STANDARD, Resolution.FINE}),
    codings=frozenset(Coding),
    ecm=True,
    max_width_px=2432,
    max_length_mm=0,
    min_scan_ms=(0, 0),
)
"""What `DIS` without words says."""


def numbers(text: str) -> list[int]:
    """`0-3,7` as [0, 1, 2, 3, 7]; `none` as []."""
    found: list[int] = []
    for part in text.split(",") if text != "none" else ():
        first, dash, last = part.strip().partition("-")
        found += range(int(first), int(last if dash else first) + 1)
    return found


def split(text: str) -> tuple[Fcf, Fcf | None, bool, list[str], str]:
    """Name, FCF2, whether there is one, the other words and they as one text."""
    name, _, rest = text.strip().partition(" ")
    for length in (len(name), *(at for at, char in enumerate(name) if char == "-")):
        head, tail = name[:length].replace("-", "_"), name[length + 1 :].replace("-", "_")
        if head in Fcf.__members__ and (not tail or tail == "NULL" or tail in Fcf.__members__):
            post = None if tail in ("", "NULL") else Fcf[tail]
            return Fcf[head], post, bool(tail), rest.split(), rest.strip()
    raise ScriptError(f"no frame is called {name!r}")


# --- words to octets -----------------------------------------------------------------------------


def frame(text: str, *, final: bool, x: bool, page: int = 0, block: int = 0, frames: int = 0) -> bytes:
    """Octets of a frame said in words. `page`, `block`, `frames` fill in what a PPS or PPR leaves unsaid."""
    if text.startswith("hex "):
        return bytes.fromhex(text[4:])
    fcf, post, _, words, rest = split(text)
    raw = next((word for word in words if word.startswith("0x")), None)
    if raw is not None:
        info = bytes.fromhex(raw[2:])
    elif fcf in IDENTITIES:
        info = encode_identity(rest)
    elif fcf in (Fcf.DIS, Fcf.DTC):
        info = with_bits(capabilities(words).encode(), words)
    elif fcf is Fcf.DCS:
        info = with_bits(encode_dcs(agreement(words)), words)
    elif fcf is Fcf.CTC:
        info = encode_ctc(MODEMS[words[0]])
    elif fcf is Fcf.PPR:
        info = encode_request(numbers(rest) if rest != "all" else range(MAX_BLOCK), frames)
    elif fcf is Fcf.PPS:
        facts = {"page": page, "block": block, "frames": frames} | _facts(words)
        info = PartialPage(post, facts["page"], facts["block"], facts["frames"]).encode()
    elif fcf is Fcf.EOR:
        info = encode_rest(post)
    else:
        info = b""
    return Frame(fcf, info, final=final, x=x).encode()


def _facts(words: list[str]) -> dict[str, int]:
    return {name: int(value) for name, _, value in (word.partition("=") for word in words)}


def capabilities(words: list[str]) -> Capabilities:
    """A DIS: without words all that counts; with words just what they say."""
    plain = [word for word in words if word[0] not in "+-"]
    if not plain:
        return WHOLE
    families = {word for word in plain if word in FAMILIES} or FAMILIES
    caps = Capabilities(
        modems=frozenset(modem for modem in FALL_BACK if family(modem) in families),
        resolutions=frozenset({Resolution.STANDARD, *(RESOLUTIONS[word] for word in plain if word in RESOLUTIONS)}),
        codings=frozenset({Coding.MH, *(CODINGS[word] for word in plain if word in CODINGS)}),
        ecm="ecm" in plain,
        max_width_px=next((PAPERS[word] for word in plain if word in PAPERS), 1728),
        max_length_mm=0,
        min_scan_ms=_scan(plain),
    )
    for word in plain:
        if word == "small":
            caps = replace(caps, small_frames=True)
        elif word == "v27/2400":
            caps = replace(caps, modems=frozenset({Modem.V27TER_2400}))
        elif word == "deaf":
            caps = replace(caps, receives=False)
        elif word == "document":
            caps = replace(caps, has_document=True)
        elif word == "sub":
            caps = replace(caps, subaddress=True)
        elif word == "password":
            caps = replace(caps, password=True)
        elif word == "sep":
            caps = replace(caps, selective_polling=True)
        elif word == "iaf":
            caps = replace(caps, internet_aware=True)
        else:
            _expect_known(word)
    return caps


def _scan(words: list[str]) -> tuple[int, int]:
    said = next((word[5:] for word in words if word.startswith("scan=")), "0/0")
    low, _, high = said.partition("/")
    return int(low), int(high or low)


def _expect_known(word: str) -> None:
    known = word in MODEMS or word in FAMILIES or word in RESOLUTIONS or word in CODINGS or word in PAPERS
    if not known and word not in ("ecm", "any") and not word.startswith("scan="):
        raise ScriptError(f"unknown word {word!r}")


def agreement(words: list[str]) -> Agreement:
    """What a DCS chooses; unsaid are V.17 14400, MH, standard, A4, no ECM."""
    agreed = BASE
    paper = "a4"
    for word in words:
        if word in MODEMS:
            agreed = replace(agreed, modem=MODEMS[word])
        elif word in CODINGS:
            agreed = replace(agreed, coding=CODINGS[word])
        elif word in RESOLUTIONS:
            agreed = replace(agreed, resolution=RESOLUTIONS[word])
        elif word in PAPERS:
            paper = word
        elif word == "ecm":
            agreed = replace(agreed, ecm=True, frame_octets=agreed.frame_octets or 256)
        elif word in ("64", "256"):
            agreed = replace(agreed, frame_octets=int(word))
        elif word == "iaf":
            agreed = replace(agreed, internet_aware=True)
        elif word.startswith("scan="):
            agreed = replace(agreed, min_scan_ms=int(word[5:]))
        elif word[0] not in "+-":
            raise ScriptError(f"unknown word {word!r} in a DCS")
    return replace(agreed, width_px=agreed.resolution.widths_px[list(PAPERS).index(paper)])


def with_bits(info: bytes, words: list[str]) -> bytes:
    """Set `+78`, clear `-27`: bits as T.30 Table 2 numbers them, extension bits included."""
    bits = {int(word[1:]): word[0] == "+" for word in words if word[0] in "+-" and word[1:].isdigit()}
    octets = bytearray(info.ljust(-(-max(bits, default=0) // 8), b"\0"))
    for bit, on in bits.items():
        at, mask = (bit - 1) // 8, 0x80 >> (bit - 1) % 8
        octets[at] = octets[at] | mask if on else octets[at] & ~mask
        if on:
            for octet in range(2, at):
                octets[octet] |= 1
    return bytes(octets)


# --- words against octets ------------------------------------------------------------------------


def mismatch(text: str, octets: bytes) -> str:
    """Why the frame is not what the words say; empty when it is. Words that are not said are not asked for."""
    try:
        heard = Frame.decode(octets)
    except DecodeError as why:
        return f"{octets.hex()} is no frame: {why}"
    fcf, post, has_post, words, rest = split(text)
    if heard.fcf is not fcf:
        return f"{heard.fcf.title} came"
    try:
        return _detail(heard, fcf, post, has_post, words, rest)
    except DecodeError as why:
        return f"{fcf.title} cannot be read: {why}"


def _detail(heard: Frame, fcf: Fcf, post: Fcf | None, has_post: bool, words: list[str], rest: str) -> str:
    if fcf is Fcf.PPS:
        pps = PartialPage.decode(heard.info)
        facts = {"page": pps.page, "block": pps.block, "frames": pps.frames}
        wrong = [f"{name} is {facts[name]}" for name, value in _facts(words).items() if facts[name] != value]
        return _differs(not has_post or pps.post is post, f"PPS-{pps.post and pps.post.title} came") or ", ".join(wrong)
    if fcf is Fcf.EOR:
        return _differs(not has_post or decode_rest(heard.info) is post, "EOR has another FCF2")
    if fcf in IDENTITIES:
        text = decode_identity(heard.info)
        return _differs(not rest or text == rest, f"it says {text!r}")
    if fcf is Fcf.PPR and words:
        frames = decode_request(heard.info, int(words[1]) if len(words) > 1 else MAX_BLOCK)
        wanted = list(range(MAX_BLOCK)) if words[0] == "all" else numbers(words[0])
        return _differs(frames == wanted, f"it asks for {frames}")
    if fcf is Fcf.CTC and words:
        return _differs(decode_ctc(heard.info) is MODEMS[words[0]], f"its rate is {decode_ctc(heard.info)}")
    if fcf is Fcf.DCS:
        return _bits(heard.info, words) or _unlike_agreement(decode_dcs(heard.info), words)
    if fcf in (Fcf.DIS, Fcf.DTC):
        return _bits(heard.info, words) or _unlike_capabilities(Capabilities.decode(heard.info), words)
    return ""


def _differs(same: bool, why: str) -> str:
    return "" if same else why


def _bits(info: bytes, words: list[str]) -> str:
    for word in words:
        if word[0] in "+-" and word[1:].isdigit():
            bit = int(word[1:])
            octet = info[(bit - 1) // 8] if (bit - 1) // 8 < len(info) else 0
            if bool(octet & 0x80 >> (bit - 1) % 8) is not (word[0] == "+"):
                return f"bit {bit} is {'clear' if word[0] == '+' else 'set'}"
    return ""


def _unlike_agreement(agreed: Agreement, words: list[str]) -> str:
    facts = {
        next(word for word, modem in MODEMS.items() if modem is agreed.modem),
        agreed.coding.value.lower(),
        agreed.resolution.title.lower().replace(" ", "-"),
        "ecm" if agreed.ecm else "no-ecm",
        str(agreed.frame_octets),
        f"scan={agreed.min_scan_ms}",
        f"width={agreed.width_px}",
        list(PAPERS)[agreed.resolution.widths_px.index(agreed.width_px)],
        "iaf" if agreed.internet_aware else "no-iaf",
    }
    missing = [word for word in words if word not in facts and not (word[0] in "+-" and word[1:].isdigit())]
    return f"{missing} not in {sorted(facts)}" if missing else ""


def _unlike_capabilities(caps: Capabilities, words: list[str]) -> str:
    facts = {
        *(family(modem) for modem in caps.modems),
        *(coding.value.lower() for coding in caps.codings),
        *(one.title.lower().replace(" ", "-") for one in caps.resolutions),
        "ecm" if caps.ecm else "no-ecm",
        "document" if caps.has_document else "no-document",
        *(paper for paper, width in PAPERS.items() if width <= caps.max_width_px),
        *(word for word, said in _flags(caps).items() if said),
    }
    missing = [word for word in words if word not in facts and not (word[0] in "+-" and word[1:].isdigit())]
    return f"{missing} not in {sorted(facts)}" if missing else ""


def _flags(caps: Capabilities) -> dict[str, bool]:
    return {
        "sub": caps.subaddress,
        "password": caps.password,
        "sep": caps.selective_polling,
        "iaf": caps.internet_aware,
        "small": caps.small_frames,
    }
