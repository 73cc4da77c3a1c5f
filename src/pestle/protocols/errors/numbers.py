"""Errors on held-out sets, as stored in metrics.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from pestle.metrics import FrameErrors
from pestle.protocols.distributions import Distribution
from pestle.protocols.predictions import NotFinite
from pestle.records.results import Numbers


class ParityPoints(Numbers):
    """Labels and predictions in the same order; energies without the prediction's E0s.

    Attributes:
        energy_ref, energy_pred: interaction energies, eV/atom.
        energy_group: config_type of each energy.
        energy_offset: part of each error that a constant for each element explains, eV/atom; the
            constants are fitted to the errors of these frames. Empty if there are too few frames.
        forces_ref, forces_pred: force components, eV/Å.
    """

    energy_ref: list[float]
    energy_pred: list[float]
    energy_group: list[str]
    energy_offset: tuple[float, ...] = ()
    forces_ref: list[float]
    forces_pred: list[float]

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out empty offsets, as earlier versions did."""
        content: dict[str, Any] = handler(self)
        return content if self.energy_offset else _without(content, "energy_offset")


class ErrorsNumbers(Numbers):
    """Errors of every potential on every set.

    Potentials are in order from the baseline to the candidate. Groups are `all` and every
    config_type.

    Attributes:
        sets: set → potential → group → errors.
        energy_rmse: set → potential → energy RMSE without isolated atoms, meV/atom.
        forces_rms: set → group → RMS of the labelled force components, meV/Å.
        not_finite: set → potential → frames on which a prediction is not finite; potentials without
            such frames are left out.
        distribution: set → potential → errors of single frames.
        parity: set → potential → points of parity plots.
        held_out: names of the sets that the candidate is judged on.
        notes: sentences that readers of the numbers must know.
        frames: set → hash of its frames and labels, which shows whether errors of several models
            are on the same frames; earlier versions left it out.
    """

    sets: dict[str, dict[str, dict[str, FrameErrors]]]
    energy_rmse: dict[str, dict[str, float | None]]
    forces_rms: dict[str, dict[str, float | None]]
    not_finite: dict[str, dict[str, NotFinite]]
    distribution: dict[str, dict[str, Distribution]]
    parity: dict[str, dict[str, ParityPoints]]
    held_out: list[str]
    notes: list[str]
    frames: dict[str, str] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write results of earlier versions as they were read, without `frames`."""
        content: dict[str, Any] = handler(self)
        return content if self.frames else _without(content, "frames")

    def judged_on(self, held_out: Sequence[str], beside: ErrorsNumbers | None) -> ErrorsNumbers:
        """Return the same numbers with other held-out sets, and with the sets of another analysis.

        Args:
            held_out: names of the sets that the candidate is judged on, from all sets of the
                result.
            beside: an analysis of other sets. Its potentials may be other heads of the same models.
                Its sets are added at the end; its notes are about those heads and are left out.
        """
        if beside is None:
            return self.model_copy(update={"held_out": list(held_out)})
        return ErrorsNumbers(
            sets=self.sets | beside.sets,
            energy_rmse=self.energy_rmse | beside.energy_rmse,
            forces_rms=self.forces_rms | beside.forces_rms,
            not_finite=self.not_finite | beside.not_finite,
            distribution=self.distribution | beside.distribution,
            parity=self.parity | beside.parity,
            held_out=list(held_out),
            notes=self.notes,
            frames=self.frames | beside.frames,
        )


def _without(content: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != name}
