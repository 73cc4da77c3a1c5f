"""metrics.json of a protocol: its models, and the numbers of its analysis.

On disk both are entries of one object. In the program they are separate, as `About` and the
protocol's own `Numbers`, so that no number is looked up by name in a dictionary.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from pestle.files import finite

#: Format of metrics.json; raised if the meaning of a field in `About` or in a protocol's numbers
#: changes.
FORMAT = 1


class Numbers(BaseModel):
    """Base class for the results of a protocol's analysis and their parts.

    A number that is not finite is `None` after it was written and read. Fields with such numbers
    have the type `float | None`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


N = TypeVar("N", bound=Numbers)


class About(BaseModel):
    """The common beginning of all protocols' results.

    Attributes:
        protocol: name of the protocol.
        question: question that it answers.
        settings: settings of the protocol, by name.
        models: names of the potentials, in the order in which they are shown.
        candidate: name of the potential that is judged.
        weights: SHA-256 of its weights if it is the model of a run; empty otherwise, and in results
            of older versions.
        baseline: name of its foundation; `None` without one.
        labels: name → label for readers.
        elements: chemical symbols of the data that the model is for.
        format: format of metrics.json.
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
    weights: str = ""
    format: int = FORMAT


@dataclass(frozen=True)
class Making:
    """How a run made the candidate, as far as advice depends on it.

    Attributes:
        from_scratch: whether training began with random weights.
        replays: whether it replayed the foundation's data.
        e0s_are_isolated: whether its E0s are the labelled energies of isolated atoms.
        atom_repeats: how many times an epoch trained on each isolated atom.
    """

    from_scratch: bool = False
    replays: bool = False
    e0s_are_isolated: bool = False
    atom_repeats: int = 0


@dataclass(frozen=True)
class Measured(Generic[N]):
    """Results of one protocol.

    Attributes:
        about: models, settings and names.
        numbers: result of the analysis, as it is read from a file.
        raws: name of a potential → folder of its raw results, which findings name. Empty if the
            results are read from a file.
        making: how a run made the candidate; `None` if no run made it, or if that is not known.
    """

    about: About
    numbers: N
    raws: Mapping[str, Path] = field(default_factory=dict, compare=False)
    making: Making | None = field(default=None, compare=False)

    def typed(self, potential: str, name: str) -> str:
        """Return the path of a file of a potential's raw results, as it is typed on a command line.

        Args:
            potential: name of the potential.
            name: name of the file; `*` for several.
        """
        folder = self.raws.get(potential)
        return name if folder is None else f"{shlex.quote(str(folder))}/{name}"

    @classmethod
    def of(cls, about: About, numbers: N) -> Measured[N]:
        """Make results from an analysis; numbers that are not finite become `None`, as in the file.

        Args:
            about: models, settings and names.
            numbers: result of the analysis.
        """
        return cls(about, type(numbers).model_validate(finite(numbers.model_dump())))

    @classmethod
    def from_json(cls, content: Mapping[str, Any], numbers: type[N]) -> Measured[N]:
        """Make results from the content of metrics.json.

        Args:
            content: content of the file.
            numbers: class of the protocol's numbers.

        Raises:
            pydantic.ValidationError: the content is not a result of this protocol.
        """
        fields = About.model_fields
        return cls(
            About.model_validate({k: v for k, v in content.items() if k in fields}),
            numbers.model_validate({k: v for k, v in content.items() if k not in fields}),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the content of metrics.json."""
        return self.about.model_dump(mode="json") | self.numbers.model_dump(mode="json")
