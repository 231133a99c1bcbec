"""What all sections of the settings share. Owns the base class and `same_names`. Not here: any setting."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Section(BaseModel):
    """What all sections share: frozen, strict about types, no unknown keys, defaults checked as well."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", validate_default=True)


def same_names(options: "type[DataclassInstance]", section: Section) -> dict[str, Any]:
    """The section's values for the fields that both have."""
    return {field.name: getattr(section, field.name) for field in fields(options) if hasattr(section, field.name)}
