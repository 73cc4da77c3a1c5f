"""What a protocol is: calculate, analyse, chart. Each step reads what the one before wrote.

Raw results hold what is expensive, metrics the numbers that follow from them, charts what is drawn;
a threshold or a plot therefore changes without calculating again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from pestle.protocols.potential import Potential
from pestle.protocols.raw import RawFolder
from pestle.structures.frame import Frame


@dataclass(frozen=True)
class Inputs:
    """What a protocol is given besides the potentials.

    Attributes:
        elements: atomic numbers of the data that the model is for.
        frames: reference structures with labels, isolated atoms included.
        seed: of whatever is random.
    """

    elements: tuple[int, ...]
    frames: Sequence[Frame] = ()
    seed: int = 0


@dataclass(frozen=True)
class Series:
    """One line of a chart: values of a potential, or of the reference."""

    name: str
    x: list[float]
    y: list[float]


@dataclass(frozen=True)
class Chart:
    """What is drawn, without saying how.

    Attributes:
        title: what it shows.
        x_label, y_label: with units.
        series: by potential.
        y_range: where the interesting values lie; `None` for all.
    """

    title: str
    x_label: str
    y_label: str
    series: list[Series] = field(default_factory=list)
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Protocol:
    """One physical test.

    Attributes:
        name: as typed.
        question: that it answers.
        settings: its settings' class.
        structures: the structures that its raw results depend on, of those that the user gave.
        calculate: (potential, inputs, settings, raw folder): writes raw results; goes on from those
            that are there.
        analyse: (name → raw folder, inputs, settings): numbers by potential, and what was flagged.
        charts: of the numbers.
    """

    name: str
    question: str
    settings: type[BaseModel]
    structures: Callable[[Inputs], Sequence[Frame]]
    calculate: Callable[[Potential, Inputs, Any, RawFolder], None]
    analyse: Callable[[Mapping[str, RawFolder], Inputs, Any], dict[str, Any]]
    charts: Callable[[Mapping[str, Any]], list[Chart]]
