"""Protocol `errors`: predictions against labels, by set and config_type (Table 4, Fig. 3, 7 and 8).

The foundation is compared with the candidate's E0s in place of its own: those stand for the level
of theory of the labels, and a constant for each element is not what a model is good or bad at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pestle.errors import PestleError
from pestle.foundations.prediction import FramePrediction
from pestle.metrics import errors_by_group, frame_errors
from pestle.protocols.against_labels import error_table, forces_rms
from pestle.protocols.base import Inputs, Protocol, all_structures
from pestle.protocols.distributions import distribution, violins
from pestle.protocols.errors.findings import assess
from pestle.protocols.errors.parity import parity_charts, parity_points
from pestle.protocols.potential import Potential
from pestle.protocols.predictions import (
    calculate_predictions,
    not_finite,
    read_predictions,
    reference_energies,
    with_reference_energies,
)
from pestle.protocols.raw import RawFolder
from pestle.protocols.results import Chart, Table
from pestle.settings.probe import ErrorSettings
from pestle.structures.frame import Frame, is_labelled

#: What `analyse` says of each set, by set.
BY_SET = ("sets", "energy_rmse", "forces_rms", "not_finite", "distribution", "parity")


def check(inputs: Inputs, settings: ErrorSettings, potentials: Sequence[Potential]) -> None:
    """Whether there is something to compare with.

    Raises:
        PestleError: there is no set, or one without structures or without any label.
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
    """Predictions of all structures."""
    calculate_predictions(potential, inputs.frames, raw, f"evaluating {potential.name}")


def analyse(
    raws: Mapping[str, RawFolder], inputs: Inputs, settings: ErrorSettings
) -> dict[str, Any]:
    """Errors of every potential on every set.

    Returns:
        set by set, `sets`: potential → `all` and every config_type → `metrics.frame_errors`, the
        baseline first and the candidate last; `energy_rmse`: potential → that of all frames but
        isolated atoms (meV/atom); `forces_rms`: the same groups → RMS of the labelled force
        components (meV/Å); `not_finite`: potential → `count` and `first`, only where it is not;
        `distribution`: potential → `distributions.distribution`; `parity`: potential →
        `parity.parity_points`. Besides, `held_out`: names of the sets that the candidate is judged
        on; `notes`: what a reader of the numbers must know.
    """
    frames, said = inputs.frames, {}
    notes = []
    e0s = reference_energies(raws[inputs.candidate])
    for name in _in_order(raws, inputs):
        said[name] = read_predictions(raws[name], frames)
        own = reference_energies(raws[name])
        if name == inputs.baseline and e0s is not None and own is not None:
            said[name] = with_reference_energies(frames, said[name], e0s)
            notes.append(
                f"Energies of {name} are with the E0s of {inputs.candidate} in place of its own."
            )
    found: dict[str, Any] = {key: {} for key in BY_SET}
    start = 0
    for set_name, members in inputs.sets.items():
        part = slice(start, start + len(members))
        start = part.stop
        compared = {name: predictions[part] for name, predictions in said.items()}
        for key, value in _of_set(members, compared).items():
            found[key][set_name] = value
    return found | {"held_out": list(inputs.sets), "notes": notes}


def _in_order(raws: Mapping[str, RawFolder], inputs: Inputs) -> list[str]:
    """From what fine-tuning started from to what came of it."""
    others = [name for name in raws if name not in (inputs.candidate, inputs.baseline)]
    first = [inputs.baseline] if inputs.baseline is not None else []
    return [*first, *others, inputs.candidate]


def _of_set(
    frames: Sequence[Frame], compared: Mapping[str, Sequence[FramePrediction]]
) -> dict[str, dict[str, Any]]:
    """What is found on one set."""
    lost = {name: not_finite(frames, said) for name, said in compared.items()}
    return {
        "sets": {name: errors_by_group(frames, said) for name, said in compared.items()},
        "energy_rmse": {name: _energy_rmse(frames, said) for name, said in compared.items()},
        "forces_rms": forces_rms(frames),
        "not_finite": {name: entry for name, entry in lost.items() if entry is not None},
        "distribution": {name: distribution(frames, said) for name, said in compared.items()},
        "parity": {name: parity_points(frames, said) for name, said in compared.items()},
    }


def _energy_rmse(frames: Sequence[Frame], predictions: Sequence[FramePrediction]) -> float | None:
    """meV/atom. What single atoms are off by is a matter of the E0s, on which whole structures do
    not depend as long as their sums fit."""
    pairs = [(f, p) for f, p in zip(frames, predictions, strict=True) if not f.is_isolated_atom]
    error: float | None = frame_errors([f for f, _ in pairs], [p for _, p in pairs])["energy_rmse"]
    return error


def charts(metrics: Mapping[str, Any]) -> list[Chart]:
    """Violins over the held-out sets, then two parity plots for each set."""
    shown = {name: metrics["distribution"][name] for name in metrics["held_out"]}
    found = violins(shown)
    for name, by_model in metrics["parity"].items():
        found += parity_charts(name, by_model, metrics["sets"][name], metrics["labels"])
    return found


def tables(metrics: Mapping[str, Any]) -> list[Table]:
    """One table for each set: a row for each group and potential."""
    return [
        error_table(name, by_model, " ".join(metrics["notes"]))
        for name, by_model in metrics["sets"].items()
    ]


PROTOCOL: Protocol[Any] = Protocol(
    name="errors",
    question="How far are energies, forces and stresses from the labels?",
    settings=ErrorSettings,
    structures=all_structures,
    check=check,
    version=2,  # smaller pieces, whose ends are kept
    calculate=calculate,
    analyse=analyse,
    charts=charts,
    tables=tables,
    assess=assess,
    extent=lambda _settings: "every frame of every set",
)
