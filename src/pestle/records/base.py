"""What every record has in common: typed, never changed, without fields that nobody knows, and
with a number for the format of its file."""

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

#: A number that may be unknown. What is not finite stands as null in a file, which knows no NaN.
Figure = float | None


class Part(BaseModel):
    """A part of a record: never changed, and without fields that nobody knows."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, protected_namespaces=()
    )

    #: Entries that are not written where they are `None`.
    LEFT_OUT: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        return {k: v for k, v in content.items() if v is not None or k not in self.LEFT_OUT}

    def to_json(self) -> dict[str, Any]:
        """The same as plain data, with the names that stand in a file."""
        return self.model_dump(mode="json", by_alias=True)


class Record(Part):
    """A file, or a line of one.

    A file without a number is of format 1, the first. The default of `format` is what this Pestle
    writes; `upgrade` makes it of older ones.

    Attributes:
        format: number of the file's format.
    """

    #: Said after the error of a file that cannot be read.
    FIX: ClassVar[str] = ""

    format: int = 1

    @classmethod
    def present_format(cls) -> int:
        """The format that this Pestle writes."""
        number: int = cls.model_fields["format"].default
        return number

    @classmethod
    def upgrade(cls, content: dict[str, Any]) -> dict[str, Any]:
        """What an older format says, in the present one.

        Args:
            content: of a file, with its `format`, which is older than the present one; may be
                changed.
        """
        return content

    @classmethod
    def _in_present_format(cls, content: Mapping[str, Any], where: str) -> dict[str, Any]:
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
        # Whatever wrote the file: what is not finite is unknown.
        upgraded: dict[str, Any] = finite(dict(content))
        if number < present:
            upgraded = cls.upgrade(upgraded)
        return upgraded | {"format": present}

    @classmethod
    def of(cls, content: Mapping[str, Any], where: str) -> Self:
        """The record in plain data, whichever version of Pestle wrote it.

        Args:
            content: as a file holds it, without the entry `sha256`.
            where: names the file in an error.

        Raises:
            Damaged: it is no such record.
            PestleError: a newer Pestle wrote it.
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
        """As `of`, but parts that cannot be read are left out where the record can do without them.

        Returns:
            The record, `None` where nothing can be made of it, and a line for each thing that is
            wrong.
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
        """The record of a file.

        Raises:
            Damaged: it is not what was written.
            PestleError: a newer Pestle wrote it.
        """
        try:
            content = read_json(path)
        except Damaged as error:
            raise Damaged(error.what, where=error.where, fix=cls.FIX or error.fix) from error
        return cls.of(content, str(path))

    def write(self, path: Path, *, sealed: bool = False) -> None:
        """Write the file whole.

        Args:
            path: the file.
            sealed: with a hash of the content, which is checked when it is read.
        """
        write_json(path, self.to_json(), sealed=sealed)

    def in_file(self) -> dict[str, Any]:
        """What the file holds: plain data, with null for what is not finite."""
        content: dict[str, Any] = finite(self.to_json())
        return content


def _problems(error: ValidationError) -> list[str]:
    """`training.seconds: Input should be a valid number`, the first few."""
    found = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors()]
    return [f"{where or 'the record'}: {what}" for where, what in found[:3]]
