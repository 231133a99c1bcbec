"""Settings of what calls teach: the section [learning].

Owns      its fields. The explanation of a field is its comment in config/vfax.example.toml.
Not here  what they become (reaching.py), what is learned (vfax/learning.py), where it is kept (wiring.py).
"""

from typing import Annotated

from pydantic import Field

from vfax.settings.section import Section

Days = Annotated[float, Field(gt=0, le=3_650, allow_inf_nan=False)]


class LearningSettings(Section):
    """Learning from calls how to call again: T.38 at once or encrypted, who switches, rate, ECM, datagrams."""

    enabled: bool = Field(
        default=True, description="Remember it, in learned.json in the spool, and heed it; vfax peers shows it."
    )
    days: Days = Field(default=30.0, description="Days after which the settings are tried again as they are.")
    trouble_days: Days = Field(
        default=7.0, description="The same of rates that failed, of ECM, datagrams and encryption."
    )
    entries: int = Field(
        default=1_000, ge=1, le=1_000, description="Numbers that are remembered; the oldest lessons go first."
    )
    agree: int = Field(
        default=3, ge=2, le=100, description="So many numbers of a trunk have to agree before others are called alike."
    )
