"""What all models of scenarios have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Settings(BaseModel):
    """The base of all scenario models: they are frozen and refuse unknown keys; the text under a field describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `true` for 1 and `"2"` for 2: such a value is a mistake that the user should see."""
        field = cls.model_fields[info.field_name or ""]
        if field.annotation in (int, float) and isinstance(value, bool | str):
            raise ValueError(f"should be a number. Found {value!r}")
        return value
