"""Base classes of records: typed, immutable, with a format number per file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from pestle.errors import PestleError
from pestle.files import Damaged, finite, read_json, write_json

#: A number that may be unknown. In files, numbers that are not finite are null.
Figure = float | None


class Part(BaseModel):
    """A part of a record. It is immutable and has no unknown fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, protected_namespaces=()
    )

    #: Entries that are not written if they are `None`.
    LEFT_OUT: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the entries of `LEFT_OUT` that are `None`."""
        content: dict[str, Any] = handler(self)
        return {k: v for k, v in content.items() if v is not None or k not in self.LEFT_OUT}

    def to_json(self) -> dict[str, Any]:
        """Return the content as plain data, with the names used in files."""
        return self.model_dump(mode="json", by_alias=True)


class Record(Part):
    """A file, or a line of a file.

    A file without a number has format 1, the first one. The default of `format` is the format that
    this version writes; `upgrade` converts older ones.

    Attributes:
        format: number of the format of the file.
    """

    #: Advice after the error of a file that cannot be read.
    FIX: ClassVar[str] = ""

    format: int = 1

    @classmethod
    def present_format(cls) -> int:
        """Return the format that this version writes."""
        number: int = cls.model_fields["format"].default
        return number

    @classmethod
    def upgrade(cls, content: dict[str, Any]) -> dict[str, Any]:
        """Convert the content of an older format to the present one.

        Args:
            content: content of a file with an older `format`; may be changed.

        Returns:
            The converted content.
        """
        return content

    @classmethod
    def _in_present_format(cls, content: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return the content in the present format.

        Raises:
            Damaged: the format is not a number.
            PestleError: a newer version wrote it.
        """
        number, present = content.get("format", 1), cls.present_format()
        if not isinstance(number, int) or number < 1:
            raise Damaged(f"its format is {number!r}, which is no number of one", where=where)
        if number > present:
            raise PestleError(
                f"was written by a newer Pestle: its format is {number}, and this one reads up to "
                f"{present}",
                where=where,
                fix="Update Pestle.",
            )
        # Numbers that are not finite are unknown, whichever program wrote the file.
        upgraded: dict[str, Any] = finite(dict(content))
        if number < present:
            upgraded = cls.upgrade(upgraded)
        return upgraded | {"format": present}

    @classmethod
    def of(cls, content: Mapping[str, Any], where: str) -> Self:
        """Make the record from plain data written by any version.

        Args:
            content: content of a file without the entry `sha256`.
            where: name of the file, for errors.

        Raises:
            Damaged: the content is not such a record.
            PestleError: a newer version wrote it.
        """
        try:
            return cls.model_validate(cls._in_present_format(content, where))
        except ValidationError as error:
            text = "; ".join(_problems(error))
            raise Damaged(f"is damaged: {text}", where=where, fix=cls.FIX or None) from None

    @classmethod
    def without_broken_parts(
        cls, content: Mapping[str, Any], where: str
    ) -> tuple[Self | None, list[str]]:
        """Make the record without parts that cannot be read, if it is valid without them.

        Args:
            content: content of a file without the entry `sha256`.
            where: name of the file, for errors.

        Returns:
            The record, or `None` if it cannot be made, and one line for each problem.
        """
        try:
            upgraded = cls._in_present_format(content, where)
        except PestleError as error:
            return None, [error.line]
        try:
            return cls.model_validate(upgraded), []
        except ValidationError as error:
            problems = [f"{where}: {text}" for text in _problems(error)]
            broken = {str(one["loc"][0]) for one in error.errors() if one["loc"]}
        rest = {name: value for name, value in upgraded.items() if name not in broken}
        try:
            return cls.model_validate(rest), problems
        except ValidationError:
            return None, problems

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the record from a file.

        Raises:
            Damaged: the file is missing, or its content has changed.
            PestleError: a newer version wrote it.
        """
        try:
            content = read_json(path)
        except Damaged as error:
            raise Damaged(error.what, where=error.where, fix=cls.FIX or error.fix) from error
        return cls.of(content, str(path))

    def write(self, path: Path, *, sealed: bool = False) -> None:
        """Write the file completely.

        Args:
            path: the file.
            sealed: whether to add a hash of the content, which is checked when the file is read.
        """
        write_json(path, self.to_json(), sealed=sealed)

    def in_file(self) -> dict[str, Any]:
        """Return the content of the file: plain data, with null for numbers that are not finite."""
        content: dict[str, Any] = finite(self.to_json())
        return content


def _problems(error: ValidationError) -> list[str]:
    """Return the first problems as text: `training.seconds: Input should be a valid number`."""
    found = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors()]
    return [f"{where or 'the record'}: {what}" for where, what in found[:3]]
