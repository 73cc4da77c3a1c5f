"""Protocol `errors`: predictions against labels, by set and config_type (Table 4, Fig. 3, 7 and 8).

The foundation is compared with the candidate's E0s in place of its own. E0s belong to the level of
theory of the labels, and a constant for each element says nothing about the quality of a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pestle.errors import PestleError
from pestle.foundations.prediction import FramePrediction
from pestle.metrics import errors_by_group
from pestle.protocols.against_labels import error_table, forces_rms
from pestle.protocols.base import Inputs, Protocol, all_structures
from pestle.protocols.distributions import distribution, violins
from pestle.protocols.errors import DECLARATION
from pestle.protocols.errors.findings import assess
from pestle.protocols.errors.numbers import ErrorsNumbers
from pestle.protocols.errors.offset import energy_rmse_without
from pestle.protocols.errors.parity import e0_sums, parity_charts, parity_points
from pestle.protocols.potential import Potential
from pestle.protocols.predictions import (
    calculate_predictions,
    not_finite,
    read_predictions,
    reference_energies,
    with_reference_energies,
)
from pestle.protocols.raw import RawFolder, set_digest
from pestle.protocols.results import Chart, Table
from pestle.records.results import Measured
from pestle.settings.probe import ErrorSettings
from pestle.structures.frame import is_labelled


def check(inputs: Inputs, settings: ErrorSettings, potentials: Sequence[Potential]) -> None:
    """Check that there are labels to compare with.

    Raises:
        PestleError: there is no set, or a set has no structures or no labels.
    """
    if not inputs.sets:
        raise PestleError("no labelled structures were given", where="errors", fix="Give --data.")
    for name, frames in inputs.sets.items():
        if not frames:
            raise PestleError("it holds no structure", where=name, fix="Leave it out of --data.")
        if not any(is_labelled(frame) for frame in frames):
            raise PestleError(
                "none of its structures has an energy, forces or a stress to compare with",
                where=name,
                fix="Name its labels REF_energy, REF_forces and REF_stress, or give "
                "`pestle evaluate` their names.",
            )


def calculate(
    potential: Potential, inputs: Inputs, settings: ErrorSettings, raw: RawFolder
) -> None:
    """Predict all structures.

    Args:
        potential: the potential.
        inputs: its sets give the structures.
        settings: settings of the protocol.
        raw: folder for the predictions.
    """
    calculate_predictions(potential, inputs.frames, raw, f"evaluating {potential.name}")


def analyse(
    raws: Mapping[str, RawFolder], inputs: Inputs, settings: ErrorSettings
) -> ErrorsNumbers:
    """Calculate the errors of every potential on every set; the candidate is judged on all sets.

    Args:
        raws: name of the potential → its predictions.
        inputs: its sets give the labels.
        settings: settings of the protocol.
    """
    frames, said = inputs.frames, {}
    notes = []
    e0s = reference_energies(raws[inputs.candidate])
    first = [inputs.baseline] if inputs.baseline is not None else []
    others = [name for name in raws if name not in (inputs.candidate, inputs.baseline)]
    for name in [*first, *others, inputs.candidate]:
        said[name] = read_predictions(raws[name], frames)
        own = reference_energies(raws[name])
        if name == inputs.baseline and e0s is not None and own is not None:
            said[name] = with_reference_energies(frames, said[name], e0s)
            notes.append(
                f"Energies of {name} are with the E0s of {inputs.candidate} in place of its own."
            )
    parts, start = {}, 0
    for title, members in inputs.sets.items():
        part = slice(start, start + len(members))
        start = part.stop
        parts[title] = (members, {name: predictions[part] for name, predictions in said.items()})
    return ErrorsNumbers(
        sets={
            title: {name: errors_by_group(members, of_set) for name, of_set in compared.items()}
            for title, (members, compared) in parts.items()
        },
        energy_rmse={
            title: {
                name: energy_rmse_without({}, members, of_set) for name, of_set in compared.items()
            }
            for title, (members, compared) in parts.items()
        },
        forces_rms={title: forces_rms(members) for title, (members, _) in parts.items()},
        not_finite={
            title: {
                name: lost
                for name, of_set in compared.items()
                if (lost := not_finite(members, of_set)) is not None
            }
            for title, (members, compared) in parts.items()
        },
        distribution={
            title: {name: distribution(members, of_set) for name, of_set in compared.items()}
            for title, (members, compared) in parts.items()
        },
        parity={
            title: {
                name: parity_points(members, of_set, levels) for name, of_set in compared.items()
            }
            for title, (members, compared) in parts.items()
            for levels in [_common_levels(compared)]
        },
        held_out=list(inputs.sets),
        notes=notes,
        frames={title: set_digest(members) for title, members in inputs.sets.items()},
    )


def _common_levels(compared: Mapping[str, Sequence[FramePrediction]]) -> list[float]:
    """Sum of the E0s of each frame, eV: those of the candidate, which is the last; of another
    potential where the candidate has none or its prediction is not finite."""
    sums = np.array([e0_sums(said) for said in [*compared.values()][::-1]])
    known = np.isfinite(sums) & (sums != 0.0)
    first = known.argmax(axis=0)[None]
    found: list[float] = np.take_along_axis(sums, first, axis=0)[0].tolist()
    return found


def charts(measured: Measured[ErrorsNumbers]) -> list[Chart]:
    """Draw violins over the held-out sets, then two parity plots for each set."""
    numbers = measured.numbers
    found = violins({name: numbers.distribution[name] for name in numbers.held_out})
    for name, by_model in numbers.parity.items():
        found += parity_charts(name, by_model, numbers.sets[name], measured.about.labels)
    return found


def tables(measured: Measured[ErrorsNumbers]) -> list[Table]:
    """Make one table for each set, with a row for each group and potential."""
    note = " ".join(measured.numbers.notes)
    return [error_table(name, by_model, note) for name, by_model in measured.numbers.sets.items()]


PROTOCOL = Protocol(
    declaration=DECLARATION,
    settings=ErrorSettings,
    numbers=ErrorsNumbers,
    structures=all_structures,
    check=check,
    version=2,  # smaller pieces, whose ends are kept
    calculate=calculate,
    analyse=analyse,
    charts=charts,
    tables=tables,
    assess=assess,
    extent=lambda _inputs, _settings: "every frame of every set",
)
