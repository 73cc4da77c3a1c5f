"""What all settings are made of: documented fields in groups."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


def setting(default: Any, text: str, *, unit: str = "", source: str = "", **limits: Any) -> Any:
    """Return a documented field.

    Args:
        default: default value, or a function that makes it.
        text: meaning of the setting.
        unit: unit of the value.
        source: equation, table or publication that the default comes from.
        limits: limits of the value, as for pydantic's `Field`.
    """
    extra: dict[str, Any] = {"unit": unit, "source": source}
    if isinstance(default, (list, dict, BaseModel)) or callable(default):
        factory = default if callable(default) else (lambda: default)
        return Field(default_factory=factory, description=text, json_schema_extra=extra, **limits)
    return Field(default, description=text, json_schema_extra=extra, **limits)


class Group(BaseModel):
    """Settings that belong together; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


Paths = Annotated[list[str], Field()]
