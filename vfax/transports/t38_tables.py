"""How modems and tones are called in T.38, and how long modems train.

Owns      the table of carriers: data type, training indicators, training times.
Not here  when they are sent (t38_voice.py), what is made of them (t38_ear.py).
Source    T.38 (09/2010) Annex A for the numbers; training times as deployed.
"""

from dataclasses import dataclass
from typing import Final

from vfax.codecs.ifp import DataType, Indicator
from vfax.signals import Modem, Tone


@dataclass(frozen=True, slots=True)
class Carrier:
    """One modem at one rate. `training` is the wait in seconds between the indicator and the first data.

    V.21 does not train: its indicator is the preamble, whose length is an option.
    """

    modem: Modem
    data: DataType
    indicator: Indicator
    training: float
    short_indicator: Indicator | None = None
    short_training: float = 0.0

    def start(self, *, short: bool) -> tuple[Indicator, float]:
        """Indicator and wait, of the short training where this modem has one and `short` asks for it."""
        if short and self.short_indicator is not None:
            return self.short_indicator, self.short_training
        return self.indicator, self.training


CARRIERS: Final = (
    Carrier(Modem.V21, DataType.V21, Indicator.V21_PREAMBLE, 0.0),
    Carrier(Modem.V27TER_2400, DataType.V27_2400, Indicator.V27_2400_TRAINING, 0.943),
    Carrier(Modem.V27TER_4800, DataType.V27_4800, Indicator.V27_4800_TRAINING, 0.708),
    Carrier(Modem.V29_7200, DataType.V29_7200, Indicator.V29_7200_TRAINING, 0.234),
    Carrier(Modem.V29_9600, DataType.V29_9600, Indicator.V29_9600_TRAINING, 0.234),
    Carrier(
        Modem.V17_7200,
        DataType.V17_7200,
        Indicator.V17_7200_LONG_TRAINING,
        1.393,
        Indicator.V17_7200_SHORT_TRAINING,
        0.142,
    ),
    Carrier(
        Modem.V17_9600,
        DataType.V17_9600,
        Indicator.V17_9600_LONG_TRAINING,
        1.393,
        Indicator.V17_9600_SHORT_TRAINING,
        0.142,
    ),
    Carrier(
        Modem.V17_12000,
        DataType.V17_12000,
        Indicator.V17_12000_LONG_TRAINING,
        1.393,
        Indicator.V17_12000_SHORT_TRAINING,
        0.142,
    ),
    Carrier(
        Modem.V17_14400,
        DataType.V17_14400,
        Indicator.V17_14400_LONG_TRAINING,
        1.393,
        Indicator.V17_14400_SHORT_TRAINING,
        0.142,
    ),
)
"""In the order of t30-data, so that the number is the index."""

CARRIER_OF: Final = {carrier.modem: carrier for carrier in CARRIERS}

MODEMS: Final = tuple(carrier.modem for carrier in CARRIERS)
"""By number of t30-data: what the packet path looks up."""

ANNOUNCED: Final = {
    int(indicator): carrier.modem
    for carrier in CARRIERS
    for indicator in (carrier.indicator, carrier.short_indicator)
    if indicator is not None
}
"""The modem that an indicator announces."""

TONES: Final = {
    int(Indicator.CNG): Tone.CNG,
    int(Indicator.CED): Tone.CED,
    int(Indicator.V8_ANSAM): Tone.CED,  # a CED that also invites to V.34, which we decline by saying nothing about it
}
"""The tone that an indicator stands for."""
