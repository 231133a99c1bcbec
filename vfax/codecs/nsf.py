"""Who made the other machine: the first octets of NSF, NSC and NSS, as far as they are published.

Owns      countries and makers by their T.35 codes, both bit orders of the country.
Not here  what makers put behind their code: vfax records it and never acts on it.
Source    T.35 for country codes; makers' codes as fax software has listed them for two decades (SpanDSP's and HylaFAX's
          lists, which agree on those below). Codes that only one list has, or calls unknown, are left out.
"""

from dataclasses import dataclass
from typing import Final

COUNTRIES: Final[dict[int, str]] = {
    0x00: "Japan",
    0x04: "Germany",
    0x26: "China",
    0x3D: "France",
    0x61: "Korea",
    0xB4: "United Kingdom",
    0xB5: "United States",
}
"""By country code, least significant bit first on the line."""

MAKERS: Final[dict[tuple[int, int, int], str]] = {
    (0x00, 0x00, 0x01): "Anritsu",
    (0x00, 0x00, 0x02): "Nippon Telephone",
    (0x00, 0x00, 0x09): "Xerox or Toshiba",
    (0x00, 0x00, 0x0A): "Kokusai",
    (0x00, 0x00, 0x0E): "Panasonic",
    (0x00, 0x00, 0x11): "Canon",
    (0x00, 0x00, 0x19): "Xerox",
    (0x00, 0x00, 0x21): "OKI or Lanier",
    (0x00, 0x00, 0x25): "Ricoh",
    (0x00, 0x00, 0x26): "Konica",
    (0x00, 0x00, 0x2D): "Sony",
    (0x00, 0x00, 0x31): "Sharp or Olivetti",
    (0x00, 0x00, 0x39): "Panasonic",
    (0x00, 0x00, 0x3D): "IBM Japan",
    (0x00, 0x00, 0x45): "Muratec",
    (0x00, 0x00, 0x48): "Muratec",
    (0x00, 0x00, 0x51): "Sanyo",
    (0x00, 0x00, 0x56): "Brother",
    (0x00, 0x00, 0x59): "Fujitsu",
    (0x00, 0x00, 0x61): "Casio",
    (0x00, 0x00, 0x66): "Utax or Mita",
    (0x00, 0x00, 0x79): "Panasonic",
    (0x00, 0x00, 0x7D): "Seiko",
    (0x00, 0x10, 0x00): "Funai",
    (0x00, 0x70, 0x00): "Kyocera",
    (0x00, 0xB0, 0x00): "Minolta",
    (0xB5, 0x00, 0x20): "Conexant",
    (0xB5, 0x00, 0x2E): "Delrina",
    (0xB5, 0x00, 0x30): "Dialogic",
    (0xB5, 0x00, 0x36): "Genoa",
    (0xB5, 0x00, 0x3A): "IBM",
    (0xB5, 0x00, 0x48): "Hayes",
    (0xB5, 0x00, 0x4A): "Lucent",
    (0xB5, 0x00, 0x60): "Commetrex",
    (0xB5, 0x00, 0x62): "Brooktrout",
    (0xB5, 0x00, 0x64): "GammaLink",
    (0xB5, 0x00, 0x66): "Castelle",
    (0xB5, 0x00, 0x6A): "Omnifax",
    (0xB5, 0x00, 0x6C): "HP",
    (0xB5, 0x00, 0x6E): "Microsoft",
    (0xB5, 0x00, 0x7A): "Pitney Bowes",
    (0xB5, 0x00, 0x8C): "AT&T",
    (0xB5, 0x00, 0x98): "Xerox",
    (0xB5, 0x00, 0x9A): "Fujitsu",
    (0xB5, 0x00, 0xA2): "Murata",
    (0xB5, 0x00, 0xA4): "Lanier",
    (0xB5, 0x00, 0xAA): "HylaFAX",
    # countries that their makers write the other way round
    (0x86, 0x00, 0x8C): "Samsung",
    (0xAD, 0x00, 0x00): "Pitney Bowes",
    (0xAD, 0x00, 0x36): "HP",
    (0xAD, 0x00, 0x42): "FaxTalk",
}
"""By country and the two octets of the maker, all of them least significant bit first on the line."""


@dataclass(frozen=True, slots=True)
class Maker:
    """Whose machine it is; empty for what is not known."""

    country: str = ""
    name: str = ""

    def __str__(self) -> str:
        if self.name:
            return f"{self.name} ({self.country})" if self.country else self.name
        return f"an unlisted maker ({self.country})" if self.country else "an unlisted maker"


def maker_of(octets: bytes) -> Maker:
    """The maker that an NSF, NSC or NSS names: its first octets, of any number, least significant bit first.

    Never raises.
    """
    if not octets:
        return Maker()
    country = octets[0]
    # Quirk: makers disagree about the bit order of the country; a code that is none is read the other way round.
    where = COUNTRIES.get(country) or COUNTRIES.get(int(f"{country:08b}"[::-1], 2), "")
    return Maker(where, MAKERS.get((country, octets[1], octets[2]), "") if len(octets) > 2 else "")
