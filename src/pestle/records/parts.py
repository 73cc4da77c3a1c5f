"""Parts that occur both in the manifest of a run and in the card of its model."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pestle.records.base import Figure, Part
from pestle.wording import counted, percent


class File(Part):
    """A file that a run read.

    Attributes:
        path: path of the file.
        sha256: hash of its content.
    """

    path: str
    sha256: str


class FoundationFacts(Part):
    """The foundation of a run.

    Attributes:
        name: name of its weights.
        licence: licence of its weights.
        level_of_theory: level of theory of the labels for its weights.
        dispersion: whether its training energies include dispersion: included, none, unknown.
        fingerprint: hash of the model as it was loaded.
        elements: chemical symbols that it knows.
        heads: names of its heads.
        head: name of the head that was fine-tuned.
        n_parameters: number of parameters.
        cutoff: neighbour cutoff (Å).
        dtype: precision of the training.
        arithmetic: how its layers are calculated, in words.
    """

    name: str
    licence: str = "unknown"
    level_of_theory: str = "unknown"
    dispersion: str = "unknown"
    fingerprint: str = ""
    elements: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    head: str = ""
    n_parameters: int = 0
    cutoff: float = 0.0
    dtype: str = ""
    arithmetic: str = ""


class Ancestor(Part):
    """A model that another one was made from.

    Attributes:
        name: name of its weights.
        fingerprint: hash of the model as it was loaded; empty if it is not recorded.
        run_id: identifier of the run that made it; empty for a published foundation, or if it is
            not recorded.
    """

    name: str
    fingerprint: str = ""
    run_id: str = ""

    @property
    def words(self) -> str:
        """`pestle-seed0-naive (1f2e…, run 3c4d…)`."""
        marks = [self.fingerprint, f"run {self.run_id}" if self.run_id else ""]
        known = ", ".join(mark for mark in marks if mark)
        return f"{self.name} ({known})" if known else self.name


class LabelLevel(Part):
    """What a model's E0s say of the level of theory of its labels. A run that goes on from the
    model compares its own labels with it.

    Attributes:
        elements: chemical symbols of the training data, whose E0s belong to that level.
        isolated_atoms: symbol → energy of the isolated atom in the training data (eV).
    """

    elements: tuple[str, ...] = ()
    isolated_atoms: dict[str, float] = Field(default_factory=dict)


class AtomicEnergies(Part):
    """Atomic reference energies (E0s) from one method, with diagnostics.

    Attributes:
        method: isolated, reestimate, average, foundation, or given.
        reason: why this method was chosen.
        e0s: symbol → E0 (eV).
        shift: symbol → E0 minus the foundation's (eV), for the elements of the data.
        kept_from_foundation: elements that keep the foundation's E0.
        elements: all elements with an E0.
        rank: rank of the composition matrix.
        n_elements: number of its columns; if the rank is equal, the energies determine every E0.
        condition_number: condition number of the composition matrix on its row space; null without
            energies.
        null_space: combinations of E0s (symbol → coefficient) that the energies do not determine.
        null_space_text: the same in words; empty at full rank.
        spread_before_mev_per_atom, spread_after_mev_per_atom: standard deviation over frames of the
            foundation's energy error, with its own E0s and with these (meV/atom).
        zero_step_error_mev_per_atom: RMSE of the foundation's energies with these E0s (meV/atom).
        single_atoms: symbol → energy of a single atom of the model with these E0s (eV).
        warnings: warnings for the user.
    """

    method: str
    reason: str = ""
    e0s: dict[str, float] = Field(default_factory=dict)
    shift: dict[str, float] = Field(default_factory=dict)
    kept_from_foundation: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    rank: int = 0
    n_elements: int = 0
    condition_number: Figure = None
    null_space: tuple[dict[str, float], ...] = ()
    null_space_text: str = ""
    spread_before_mev_per_atom: Figure = None
    spread_after_mev_per_atom: Figure = None
    zero_step_error_mev_per_atom: Figure = None
    single_atoms: dict[str, float] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Convergence(Part):
    """Whether the model still improved when training ended.

    Attributes:
        converged: whether the figure that chooses the model had stopped improving.
        improvement: fraction by which it decreased over the last `updates` updates.
        updates: number of these updates.
        best_update: update after which the best model was found.
    """

    converged: bool
    improvement: float
    updates: int
    best_update: int

    @property
    def pace(self) -> str:
        """The improvement in words, such as `still fell by 7 % over the last 500 updates`."""
        last = "update" if self.updates == 1 else counted(self.updates, "update")
        return f"still fell by {percent(self.improvement)} over the last {last}"


class CurvePoint(Part):
    """The model at one point between the starting model and the trained one.

    Attributes:
        coefficient: 0 is the starting model, 1 the trained one.
        loss: loss on the validation frames; no unit.
        energy_rmse: energy RMSE on the validation frames (meV/atom).
        forces_rmse: force RMSE on the validation frames (meV/Å).
        drift: RMS difference of forces from the foundation's on broad structures (meV/Å); null if
            it is not measured.
    """

    coefficient: float
    loss: Figure = None
    energy_rmse: Figure = None
    forces_rmse: Figure = None
    drift: Figure = None


class InterpolationFacts(Part):
    """Point between the starting model and the trained one at which the kept model lies.

    Attributes:
        coefficient: coefficient of the kept model; 0 is the starting model, 1 the trained one.
        chosen: whether `auto` chose it.
        drift: drift of the kept model (meV/Å); null if it is not measured.
        curve: points that were tried.
    """

    coefficient: float
    chosen: bool
    drift: Figure = None
    curve: tuple[CurvePoint, ...] = ()


#: A value of a setting: plain data.
Value = Any
