"""The base class of the groups of keys."""

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic.fields import FieldInfo


class Section(BaseModel):
    """A frozen group of keys that rejects unknown ones."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False, serialize_by_alias=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_absent(cls, value: object, info: ValidationInfo) -> object:
        """Treat an empty text as null where null is the default; an environment variable has no other null."""
        field = cls.model_fields[str(info.field_name)]
        return None if value == "" and field.default is None else value

    @classmethod
    def keys(cls) -> dict[str, FieldInfo]:
        """Return the keys as they are written."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}
