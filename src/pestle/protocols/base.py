"""What a protocol is: calculate, analyse, show, assess. Each step reads what the one before wrote.

Raw results hold what is expensive, metrics the numbers that follow from them, charts and tables
what is shown, findings what thresholds make of the numbers; a threshold or a plot therefore changes
without calculating again.
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
    """What a protocol is given besides the potentials.

    Attributes:
        elements: atomic numbers of the data that the model is for.
        sets: name of a file or set → its structures with labels, isolated atoms included.
        seed: of whatever is random.
        candidate: name of the potential that is judged.
        baseline: name of its foundation, which it is compared with; `None` without one.
        known: atomic numbers that every potential of the test knows; `None` where one does not say.
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
    """For protocols whose raw results depend on no given structure."""
    return ()


def all_structures(inputs: Inputs, _settings: Any) -> Sequence[Frame]:
    """For protocols whose raw results depend on all given structures."""
    return inputs.frames


def data_elements(inputs: Inputs) -> Sequence[int]:
    """For protocols about the elements of the data."""
    return inputs.elements


def no_reference(_sets: Sets, _settings: Any) -> bool:
    """For protocols that are no observable."""
    return False


def never(_settings: Any) -> bool:
    """For protocols whose settings neither ask for them nor give their structures."""
    return False


def nothing_to_check(_inputs: Inputs, _settings: Any, _potentials: Sequence[Potential]) -> None:
    """For protocols whose mistakes show at once."""


def nothing_flagged(_raws: Mapping[str, RawFolder], _measured: Any) -> list[Flagged]:
    """For protocols that find fault with no structure."""
    return []


@dataclass(frozen=True)
class Protocol(Generic[N]):
    """One physical test.

    Attributes:
        declaration: what it says of itself.
        settings: its settings' class.
        structures: (inputs, settings): the structures that its raw results depend on.
        elements: atomic numbers that its raw results depend on; each potential must know them and
            those of the structures.
        calculate: (potential, inputs, settings, raw folder): writes raw results; goes on from those
            that are there, so that a run that was killed and started again ends with the same
            numbers as one that was not.
        numbers: class of what its analysis gives, by which metrics.json is read again.
        analyse: (name → raw folder, inputs, settings): the numbers of all potentials.
        charts: of what was measured.
        tables: of what was measured.
        assess: (measured, thresholds of this protocol): findings on the candidate, the worst first.
        extent: how much is calculated with these settings, in a few words.
        quick: leaf names of settings → smaller values, for a first look in minutes.
        flagged: (name → raw folder, measured): structures that it found fault with.
        analysis_settings: settings that only `analyse` reads, so that changing them keeps the raw
            results.
        replay_head: whether the replay head of a model that has one is tested too.
        version: of the calculation; raised when it is changed so that raw results change.
        packages: whose versions its raw results depend on, because they make its structures.
        check: (inputs, settings, potentials): raises a PestleError for a mistake before anything is
            calculated or written.
        has_reference: (sets, settings): whether they hold the reference of an observable.
        asked_by: (settings): whether they ask for it, also where no scope needs it.
        given_by: (settings): whether they say where its structures are, so that none are lacking.
    """

    declaration: Declaration
    settings: type[BaseModel]
    numbers: type[N]
    calculate: Callable[[Potential, Inputs, Any, RawFolder], None]
    analyse: Callable[[Mapping[str, RawFolder], Inputs, Any], N]
    charts: Callable[[Measured[N]], list[Chart]]
    tables: Callable[[Measured[N]], list[Table]]
    assess: Callable[[Measured[N], Mapping[str, Threshold]], list[Finding]]
    extent: Callable[[Any], str]
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
        """As typed."""
        return self.declaration.name

    @property
    def question(self) -> str:
        """That it answers."""
        return self.declaration.question
