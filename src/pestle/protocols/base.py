"""The contract of a protocol, and what its functions receive.

A protocol has four steps: calculate, analyse, show, assess. Each step reads what the step before it
wrote. Raw results hold the expensive calculations. Metrics hold the numbers that follow from them.
Charts and tables show the metrics, and findings compare them with thresholds. A threshold or a plot
can therefore be changed without a new calculation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from pydantic import BaseModel

from pestle.protocols.declaration import Declaration
from pestle.protocols.potential import Potential
from pestle.protocols.raw import RawFolder
from pestle.protocols.results import Chart, Flagged, Table
from pestle.protocols.thresholds import Threshold
from pestle.records.results import Measured, N
from pestle.records.verdict import Finding
from pestle.structures.frame import Frame

#: Name of a file or set → its structures with labels.
Sets = Mapping[str, Sequence[Frame]]


@dataclass(frozen=True)
class Inputs:
    """The data that a protocol receives in addition to the potentials.

    Attributes:
        elements: atomic numbers of the elements in the data that the model is made for.
        sets: name of a file or set → its structures with labels, including isolated atoms.
        seed: seed of all random numbers.
        candidate: name of the potential that is judged.
        baseline: name of its foundation, which it is compared with; `None` if there is no
            foundation.
        known: atomic numbers that every potential of the test knows; `None` if one of the
            potentials does not declare its elements.
    """

    elements: tuple[int, ...]
    sets: Sets = field(default_factory=dict)
    seed: int = 0
    candidate: str = ""
    baseline: str | None = None
    known: tuple[int, ...] | None = None

    @property
    def frames(self) -> list[Frame]:
        """The structures of all sets."""
        return [frame for frames in self.sets.values() for frame in frames]


def no_structures(_inputs: Inputs, _settings: Any) -> Sequence[Frame]:
    """Return no structures: the default for protocols that use none of the given structures."""
    return ()


def all_structures(inputs: Inputs, _settings: Any) -> Sequence[Frame]:
    """Return all given structures, for protocols whose raw results depend on all of them."""
    return inputs.frames


def data_elements(inputs: Inputs) -> Sequence[int]:
    """Return the elements of the data, for protocols that test these elements."""
    return inputs.elements


def no_reference(_sets: Sets, _settings: Any) -> bool:
    """Return False: the default for protocols that do not measure an observable."""
    return False


def never(_settings: Any) -> bool:
    """Return False, for protocols whose settings neither request them nor name their structures."""
    return False


def nothing_to_check(_inputs: Inputs, _settings: Any, _potentials: Sequence[Potential]) -> None:
    """Check nothing, for protocols that report mistakes early during the calculation."""


def nothing_flagged(_raws: Mapping[str, RawFolder], _measured: Any) -> list[Flagged]:
    """Return no structures, for protocols that do not flag single structures."""
    return []


@dataclass(frozen=True)
class Protocol(Generic[N]):
    """One physical test.

    Attributes:
        declaration: name, question, inputs and thresholds of the protocol.
        settings: the class of its settings.
        structures: (inputs, settings) → the structures that the raw results depend on.
        elements: (inputs) → atomic numbers that the raw results depend on. Each potential must know
            these elements and those of the structures.
        calculate: (potential, inputs, settings, raw folder): writes raw results. It continues from
            existing raw results, so that a run that was killed and restarted gives the same numbers
            as a run without interruption.
        numbers: the class that `analyse` returns; metrics.json is read into this class.
        analyse: (name → raw folder, inputs, settings) → the numbers of all potentials.
        charts: (measured) → the charts.
        tables: (measured) → the tables.
        assess: (measured, thresholds of this protocol) → findings on the candidate, worst first.
        extent: (inputs, settings) → a few words on how much is calculated.
        quick: last part of a setting's name → smaller value, for a first result within minutes.
        flagged: (name → raw folder, measured) → structures with conspicuous results.
        analysis_settings: settings that only `analyse` reads. A change of these keeps the raw
            results.
        replay_head: whether the replay head of a model is tested too, if the model has one.
        version: version of the calculation. It is raised when a change of the code changes the raw
            results.
        packages: packages that make the structures; the raw results depend on their versions.
        check: (inputs, settings, potentials): raises a PestleError for a mistake before anything is
            calculated or written.
        has_reference: (sets, settings) → whether they contain the reference of an observable.
        asked_by: (settings) → whether they request the protocol, even if no scope needs it.
        given_by: (settings) → whether they name the structures, so that no structures are missing.
    """

    declaration: Declaration
    settings: type[BaseModel]
    numbers: type[N]
    calculate: Callable[[Potential, Inputs, Any, RawFolder], None]
    analyse: Callable[[Mapping[str, RawFolder], Inputs, Any], N]
    charts: Callable[[Measured[N]], list[Chart]]
    tables: Callable[[Measured[N]], list[Table]]
    assess: Callable[[Measured[N], Mapping[str, Threshold]], list[Finding]]
    extent: Callable[[Inputs, Any], str]
    structures: Callable[[Inputs, Any], Sequence[Frame]] = no_structures
    elements: Callable[[Inputs], Sequence[int]] = data_elements
    quick: Mapping[str, Any] = field(default_factory=dict)
    flagged: Callable[[Mapping[str, RawFolder], Measured[N]], list[Flagged]] = nothing_flagged
    analysis_settings: tuple[str, ...] = ()
    replay_head: bool = False
    version: int = 1
    packages: tuple[str, ...] = ()
    check: Callable[[Inputs, Any, Sequence[Potential]], None] = nothing_to_check
    has_reference: Callable[[Sets, Any], bool] = no_reference
    asked_by: Callable[[Any], bool] = never
    given_by: Callable[[Any], bool] = never

    @property
    def name(self) -> str:
        """The name that a user types."""
        return self.declaration.name

    @property
    def question(self) -> str:
        """The question that the protocol answers."""
        return self.declaration.question
