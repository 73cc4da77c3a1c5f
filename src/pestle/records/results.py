"""metrics.json: which models a protocol was run on, and the numbers that its analysis gave.

On disk both stand side by side in one object; in the program `About` and the protocol's own
`Numbers` are apart, so that nobody looks a number up by its name in a dictionary.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from pestle.files import finite

#: Of metrics.json; raised when a field of `About` or of a protocol's numbers changes its meaning.
FORMAT = 1


class Numbers(BaseModel):
    """What the analysis of a protocol gives: a subclass of each protocol's own, and its parts.

    A number that is not finite is `None` once it has been written and read; fields that can be so
    are `float | None`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


N = TypeVar("N", bound=Numbers)


class About(BaseModel):
    """What every protocol's results begin with.

    Attributes:
        protocol: its name.
        question: that it answers.
        settings: of the protocol, by name.
        models: names of the potentials, in the order in which they are shown.
        candidate: name of the potential that is judged.
        baseline: name of its foundation; `None` without one.
        labels: name → what a reader is told.
        elements: chemical symbols of the data that the model is for.
        format: of metrics.json.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: str
    question: str
    settings: dict[str, Any]
    models: tuple[str, ...]
    candidate: str
    baseline: str | None
    labels: dict[str, str]
    elements: tuple[str, ...]
    format: int = FORMAT


@dataclass(frozen=True)
class Measured(Generic[N]):
    """Results of one protocol.

    Attributes:
        about: models, settings and names.
        numbers: what the protocol's analysis gave, as it is read back from a file.
        raws: name of a potential → folder of its raw results, which findings name; empty where
            results are read from a file.
    """

    about: About
    numbers: N
    raws: Mapping[str, Path] = field(default_factory=dict, compare=False)

    def typed(self, potential: str, name: str) -> str:
        """A file of a potential's raw results, or several with `*`, as it would be typed."""
        folder = self.raws.get(potential)
        return name if folder is None else f"{shlex.quote(str(folder))}/{name}"

    @classmethod
    def of(cls, about: About, numbers: N) -> Measured[N]:
        """Fresh results; numbers that are not finite become `None`, as in the file."""
        return cls(about, type(numbers).model_validate(finite(numbers.model_dump())))

    @classmethod
    def from_json(cls, content: Mapping[str, Any], numbers: type[N]) -> Measured[N]:
        """Results as metrics.json holds them.

        Raises:
            pydantic.ValidationError: they are not results of this protocol.
        """
        fields = About.model_fields
        return cls(
            About.model_validate({k: v for k, v in content.items() if k in fields}),
            numbers.model_validate({k: v for k, v in content.items() if k not in fields}),
        )

    def to_json(self) -> dict[str, Any]:
        """What metrics.json holds."""
        return self.about.model_dump(mode="json") | self.numbers.model_dump(mode="json")
