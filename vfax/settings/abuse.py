"""Settings against abuse: the section [abuse].

Owns      its fields. The explanation of a field is its comment in config/vfax.example.toml.
Not here  who may call at all ([sip] allow), caps of calls and transactions ([sip]), what the values do.
"""

from typing import Annotated

from pydantic import Field

from vfax.settings.section import Section
from vfax.settings.words import Count, Line, Seconds, Share

PerSecond = Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]


class AbuseSettings(Section):
    """How much of what comes in over UDP is looked at, and where nuisances are written down. Messages a second."""

    source_rate: PerSecond = Field(
        default=200.0, description="Messages outside calls that one source may send; more are dropped unread."
    )
    stranger_rate: PerSecond = Field(
        default=50.0, description="The same of a host outside the networks in `allow` that are yours, without proof."
    )
    strangers_rate: PerSecond = Field(
        default=200.0, description="The same of all sources together that have not proven that they hear us."
    )
    dialog_rate: PerSecond = Field(default=1_000.0, description="Messages inside calls that one host may send.")
    unproven_share: Share = Field(
        default=0.75,
        description="Share of the lines for callers who have not proven that they hear us, and whom no setting names.",
    )
    max_sources: Count = Field(default=4_096, description="Sources that are remembered; the oldest is forgotten first.")
    log: Line = Field(
        default="", description='File for nuisances, one line each, as fail2ban reads them. "": standard error.'
    )
    report_every: Seconds = Field(default=10.0, description="Seconds between two lines about one host for one reason.")
    max_reports: PerSecond = Field(default=5.0, description="Lines a second about all hosts together.")
