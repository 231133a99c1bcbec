"""What all sections of the settings share. Owns the base class. Not here: any setting."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """What all sections share: frozen, strict about types, no unknown keys, defaults checked as well."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", validate_default=True)
