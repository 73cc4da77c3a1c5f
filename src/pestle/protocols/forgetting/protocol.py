"""Protocol `forgetting`: what a model still knows of the pretraining distribution (Fig. 10).

On labelled structures of that distribution, errors of foundation and candidate; without any, how
far the candidate's forces have moved from the foundation's own on structures made for it. Energies
are compared with the foundation's E0s: those of the candidate stand for another level of theory,
and a constant for each element is nothing that was forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pestle.errors import PestleError
from pestle.foundations.prediction import FramePrediction
from pestle.protocols.against_labels import error_table, shown_groups
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.distributions import QUANTITIES, distribution, violins
from pestle.protocols.forgetting.broad_set import (
    elements_to_generate,
    generated_structures,
    labelled_structures,
    labels_are_given,
    left_out,
    moderate,
)
from pestle.protocols.forgetting.deviations import (
    errors_and_shares,
    force_sizes,
    labelled_by,
    loss_of_forces,
    median_error,
)
from pestle.protocols.forgetting.findings import assess
from pestle.protocols.potential import Potential
from pestle.protocols.predictions import (
    calculate_predictions,
    not_finite,
    of_replay_head,
    read_predictions,
    reference_energies,
    with_reference_energies,
)
from pestle.protocols.raw import RawFolder
from pestle.protocols.results import Chart, Column, Series, Table
from pestle.records.wording import counted
from pestle.settings.probe import ForgettingSettings
from pestle.structures.frame import Frame

#: Groups of generated structures besides their kinds.
OF_DATA, OF_ALL = "elements of the data", "all elements"

#: What violins show where the foundation's own predictions are the reference.
_DEVIATIONS = {
    "forces": ("Deviation of the forces by structure", "RMS deviation of the forces (meV/Å)"),
    "energy": ("Deviation of the energy by structure", "deviation of the energy (meV/atom)"),
}


def check(inputs: Inputs, settings: ForgettingSettings, potentials: Sequence[Potential]) -> None:
    """Whether there is something to compare with.

    Raises:
        PestleError: neither labels nor a foundation, or no structure that can be used.
    """
    if not labels_are_given(inputs):
        if inputs.sets:
            raise PestleError("they hold no structure", where="--data", fix="Leave them out.")
        if inputs.baseline is None:
            raise PestleError(
                "there is neither a foundation nor labelled structures to compare with",
                where="forgetting",
                fix="Give the foundation with --against, or structures with --data.",
            )
        if not inputs.elements:
            raise PestleError(
                "no element is known", where="forgetting", fix="Give --elements or --data."
            )
        return
    frames = labelled_structures(inputs)
    if not frames:
        raise PestleError(
            f"no structure is left to compare on. {left_out(inputs)}",
            where="--data",
            fix="Give structures of elements that all models know, or leave --data out: structures "
            "are made then.",
        )
    if not any(f.energy is not None or f.forces is not None for f in frames):
        raise PestleError(
            "none of the structures has an energy or forces to compare with",
            where="--data",
            fix="Name them REF_energy and REF_forces, or leave --data out: structures are made "
            "then.",
        )


def structures(inputs: Inputs, settings: ForgettingSettings) -> list[Frame]:
    """What is predicted: those given, or those made; none where `check` will object."""
    if labels_are_given(inputs):
        return labelled_structures(inputs)
    if inputs.baseline is None or not inputs.elements:
        return []
    return generated_structures(inputs, settings.count)[0]


def elements(inputs: Inputs) -> list[int]:
    """Elements of generated structures; of labelled ones they show in the structures."""
    if labels_are_given(inputs):
        return []
    return sorted({z for half in elements_to_generate(inputs) for z in half})


def calculate(
    potential: Potential, inputs: Inputs, settings: ForgettingSettings, raw: RawFolder
) -> None:
    """Predictions of all structures; each potential those of the same."""
    frames = structures(inputs, settings)
    calculate_predictions(potential, frames, raw, f"predicting with {potential.name}")


def analyse(
    raws: Mapping[str, RawFolder], inputs: Inputs, settings: ForgettingSettings
) -> dict[str, Any]:
    """Errors against labels, and deviations from the foundation.

    Returns:
        `reference`: `labels` or `foundation`, which charts and the verdict rest on; `n_frames`;
        `forces_rms`: group → RMS of the reference's force components (meV/Å);
        `potentials`: name → `against_labels` and `against_foundation`, each group →
        `metrics.frame_errors` and `forces_share` (of the RMS force), `None` where there is nothing
        to compare with; `median`: force RMSE of the median structure against the reference
        (meV/Å); `moved` (`loss_of_forces`; `None` for the foundation); `not_finite` (`count` and
        `first`, or `None`); `distribution` (against the reference); `replay_head`: whether it is
        one. And `notes`. Groups are `all`, every config_type, and of generated structures the two
        halves.
    """
    frames = structures(inputs, settings)
    halves = _halves(inputs, settings)
    notes = [_origin(inputs, settings)]
    said = {name: read_predictions(raw, frames) for name, raw in raws.items()}
    if not labels_are_given(inputs):
        assert inputs.baseline is not None
        kept, note = moderate(said[inputs.baseline], settings.max_force)
        frames = [frames[k] for k in kept]
        halves = [halves[k] for k in kept]
        said = {name: [found[k] for k in kept] for name, found in said.items()}
        notes.append(note)
    compared, note = _on_one_level(raws, inputs, frames, said)
    notes.append(note)

    base = compared.get(inputs.baseline or "")
    moved = None if base is None else labelled_by(frames, base)
    labelled = frames if labels_are_given(inputs) else None
    reference = labelled or moved
    assert reference is not None
    found = {}
    for name, predictions in compared.items():
        against = moved if name != inputs.baseline else None
        lost = not_finite(frames, predictions)
        found[name] = {
            "against_labels": errors_and_shares(labelled, predictions, halves),
            "against_foundation": errors_and_shares(against, predictions, halves),
            "median": median_error(reference, predictions),
            "moved": None if against is None else loss_of_forces(against, predictions),
            "not_finite": lost,
            "distribution": distribution(reference, predictions),
            "replay_head": of_replay_head(raws[name]),
        }
    return {
        "reference": "labels" if labelled else "foundation",
        "n_frames": len(frames),
        "forces_rms": force_sizes(reference, halves),
        "potentials": found,
        "notes": [note for note in notes if note],
    }


def _origin(inputs: Inputs, settings: ForgettingSettings) -> str:
    if labels_are_given(inputs):
        return left_out(inputs)
    own, known = elements_to_generate(inputs)
    if own == known:
        of = counted(len(own), "element")
        return f"{settings.count} structures were made of the {of} of the data."
    half = settings.count - settings.count // 2
    return (
        f"{half} structures were made of the {counted(len(own), 'element')} of the data, "
        f"{settings.count - half} of all {len(known)} elements that every model knows."
    )


def _halves(inputs: Inputs, settings: ForgettingSettings) -> list[str]:
    """For each structure the half that it belongs to; empty where there are none."""
    own, known = elements_to_generate(inputs)
    if labels_are_given(inputs) or own == known:
        return [""] * len(structures(inputs, settings))
    return [
        OF_DATA if of_data else OF_ALL
        for of_data in generated_structures(inputs, settings.count)[1]
    ]


def _on_one_level(
    raws: Mapping[str, RawFolder],
    inputs: Inputs,
    frames: Sequence[Frame],
    said: Mapping[str, Sequence[FramePrediction]],
) -> tuple[dict[str, Sequence[FramePrediction]], str]:
    """Energies with the E0s of the pretraining level of theory: the foundation's, else those of a
    replay head, which has them from it. These two, and whoever has no E0s, stay as they are."""
    e0s = {name: reference_energies(raw) for name, raw in raws.items()}
    at_level = [name for name in raws if name == inputs.baseline or of_replay_head(raws[name])]
    source = min(
        (name for name in at_level if e0s[name] is not None),
        key=lambda name: name != inputs.baseline,
        default=None,
    )
    changed, result = [], dict(said)
    for name in raws:
        if source is None or e0s[name] is None or name in at_level:
            continue
        result[name] = with_reference_energies(frames, said[name], e0s[source] or {})
        changed.append(name)
    if not changed:
        return result, ""
    return result, f"Energies of {', '.join(changed)} are with the E0s of {source}."


def charts(metrics: Mapping[str, Any]) -> list[Chart]:
    """Bars of the force error by group (Fig. 10), and violins by structure."""
    by_labels = metrics["reference"] == "labels"
    key = "against_labels" if by_labels else "against_foundation"
    shown = {name: p[key] for name, p in metrics["potentials"].items() if p[key] is not None}
    found = []
    if any(e["forces_rmse"] is not None for groups in shown.values() for e in groups.values()):
        title = "Force error on the pretraining distribution"
        found.append(
            Chart(
                title if by_labels else "Deviation of the forces from the foundation",
                "group",
                "force RMSE (meV/Å)" if by_labels else "RMS deviation of the forces (meV/Å)",
                [
                    Series(name, list(groups), [e["forces_rmse"] for e in groups.values()])
                    for name, groups in shown.items()
                ],
                kind="bar",
                caption=" ".join(metrics["notes"]),
            )
        )
    spread = {name: metrics["potentials"][name]["distribution"] for name in shown}
    return [*found, *violins({"": spread}, QUANTITIES if by_labels else _DEVIATIONS)]


def tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Errors against labels, where there are any, and deviations from the foundation by group."""
    potentials = metrics["potentials"]
    note = " ".join(metrics["notes"])
    found = []
    labels = {n: p["against_labels"] for n, p in potentials.items() if p["against_labels"]}
    if labels:
        found.append(error_table("Errors on the pretraining distribution", labels, note))
    others = {n: p["against_foundation"] for n, p in potentials.items() if p["against_foundation"]}
    if others:
        found.append(_deviation_table(others, "" if labels else note))
    return found


def _deviation_table(others: Mapping[str, Mapping[str, Any]], note: str) -> Table:
    columns = [Column("group"), Column("model"), Column("structures", "", 8)]
    columns += [Column("forces RMS", "meV/Å", 4), Column("of the RMS force", "%", 3)]
    columns += [Column("energy RMS", "meV/atom", 4)]
    rows = []
    for group in shown_groups(others):
        for name, errors in others.items():
            e = errors[group]
            share = None if e["forces_share"] is None else 100 * e["forces_share"]
            rows.append([group, name, e["n_frames"], e["forces_rmse"], share, e["energy_rmse"]])
    return Table("Deviation from the foundation", columns, rows, note)


PROTOCOL: Protocol[Any] = Protocol(
    name="forgetting",
    question="Does the model still know what its foundation knew?",
    settings=ForgettingSettings,
    check=check,
    structures=structures,
    elements=elements,
    version=2,  # smaller pieces, whose ends are kept
    calculate=calculate,
    analyse=analyse,
    charts=charts,
    tables=tables,
    assess=assess,
    extent=lambda settings: f"{settings.count} generated structures, or all labelled ones",
    quick={"count": 100},
    analysis_settings=("max_force",),
    replay_head=True,
    packages=("pyxtal",),
)
