"""What all settings are made of: documented fields in groups."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


def setting(default: Any, text: str, *, unit: str = "", source: str = "", **limits: Any) -> Any:
    """A documented field: default, meaning, unit, and the equation or table it comes from."""
    extra: dict[str, Any] = {"unit": unit, "source": source}
    if isinstance(default, (list, dict, BaseModel)) or callable(default):
        factory = default if callable(default) else (lambda: default)
        return Field(default_factory=factory, description=text, json_schema_extra=extra, **limits)
    return Field(default, description=text, json_schema_extra=extra, **limits)


class Group(BaseModel):
    """Settings that belong together; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


Paths = Annotated[list[str], Field()]
