"""What all models of scenarios have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


@dataclass(frozen=True)
class Derived:
    """Stands beside a key that the model fills in from other keys where a file leaves it out, and says how."""

    default: str


class Settings(BaseModel):
    """The base of all scenario models: they are frozen and refuse unknown keys; the text under a field describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `true` for 1 and `"2"` for 2: such a value is a mistake that the user should see."""
        wanted = cls.model_fields[info.field_name or ""].annotation
        listed = get_origin(wanted) is tuple
        for one in value if listed and isinstance(value, list | tuple) else (value,):
            if isinstance(one, bool | str) and _single(get_args(wanted)[0] if listed else wanted) in (int, float):
                raise ValueError(f"should be a number. Found {one!r}")
        return value


def _single(annotation: Any) -> Any:
    """The type behind limits, and beside None: `Annotated[int, Ge(0)] | None` -> int."""
    options = [option for option in get_args(annotation) if option is not type(None)]
    single = get_origin(annotation) is Annotated or len(options) == 1
    return _single(options[0]) if single else annotation
