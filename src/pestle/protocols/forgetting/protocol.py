"""Protocol `forgetting`: what a model still knows of the pretraining distribution (Fig. 10).

With labelled structures of that distribution, it compares the errors of foundation and candidate.
Without labels, it measures on generated structures how far the candidate's forces have moved from
the foundation's forces. Energies are compared with the foundation's E0s: the candidate's E0s belong
to another level of theory, and a constant for each element does not mean that something was
forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pestle.errors import PestleError
from pestle.foundations.prediction import FramePrediction
from pestle.protocols.against_labels import error_table, shown_groups
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.distributions import ERRORS, Violin, distribution, violins
from pestle.protocols.forgetting import DECLARATION
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
from pestle.protocols.forgetting.numbers import (
    ForgettingNumbers,
    GroupErrors,
    PotentialNumbers,
)
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
from pestle.records.results import Measured
from pestle.settings.probe import ForgettingSettings
from pestle.structures.frame import Frame
from pestle.wording import counted

#: Groups of generated structures besides their kinds.
OF_DATA, OF_ALL = "elements of the data", "all elements"

#: Quantity of the violins if the foundation's predictions are the reference.
_DEVIATIONS = (
    Violin(
        "Deviation of the forces by structure",
        "RMS deviation of the forces (meV/Å)",
        lambda found: found.forces,
    ),
    Violin(
        "Deviation of the energy by structure",
        "deviation of the energy (meV/atom)",
        lambda found: found.energy,
    ),
)


def check(inputs: Inputs, settings: ForgettingSettings, potentials: Sequence[Potential]) -> None:
    """Check that there is something to compare with.

    Raises:
        PestleError: there are neither labels nor a foundation, or no structure can be used.
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
    """Return the given or generated structures; none if `check` will raise an error."""
    if labels_are_given(inputs):
        return labelled_structures(inputs)
    if inputs.baseline is None or not inputs.elements:
        return []
    return generated_structures(inputs, settings.count)[0]


def elements(inputs: Inputs) -> list[int]:
    """Return the elements of generated structures; empty for given structures, which show their
    own.
    """
    if labels_are_given(inputs):
        return []
    return sorted({z for half in elements_to_generate(inputs) for z in half})


def calculate(
    potential: Potential, inputs: Inputs, settings: ForgettingSettings, raw: RawFolder
) -> None:
    """Predict all structures; every potential predicts the same ones.

    Args:
        potential: the potential.
        inputs: gives the structures, or elements and seed to generate them.
        settings: settings of the protocol.
        raw: folder for the predictions.
    """
    frames = structures(inputs, settings)
    calculate_predictions(potential, frames, raw, f"predicting with {potential.name}")


def analyse(
    raws: Mapping[str, RawFolder], inputs: Inputs, settings: ForgettingSettings
) -> ForgettingNumbers:
    """Calculate errors against labels and deviations from the foundation.

    Args:
        raws: name of the potential → its predictions.
        inputs: gives the structures, or elements and seed to generate them.
        settings: settings of the protocol.
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
        found[name] = PotentialNumbers(
            against_labels=errors_and_shares(labelled, predictions, halves),
            against_foundation=errors_and_shares(against, predictions, halves),
            median=median_error(reference, predictions),
            moved=None if against is None else loss_of_forces(against, predictions),
            not_finite=not_finite(frames, predictions),
            distribution=distribution(reference, predictions),
            replay_head=of_replay_head(raws[name]),
        )
    return ForgettingNumbers(
        reference="labels" if labelled else "foundation",
        n_frames=len(frames),
        forces_rms=force_sizes(reference, halves),
        potentials=found,
        notes=[note for note in notes if note],
    )


def _origin(inputs: Inputs, settings: ForgettingSettings) -> str:
    if labels_are_given(inputs):
        return left_out(inputs)
    own, known = elements_to_generate(inputs)
    if own == known:
        of = counted(len(own), "element")
        return f"{counted(settings.count, 'structure')} made of the {of} of the data."
    half = settings.count - settings.count // 2
    return (
        f"{counted(half, 'structure')} made of the {counted(len(own), 'element')} of the data, "
        f"{settings.count - half} of all {len(known)} elements that every model knows."
    )


def _halves(inputs: Inputs, settings: ForgettingSettings) -> list[str]:
    """Return for each structure the half that it belongs to; empty if there are no halves."""
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
    """Convert energies to the E0s of the pretraining level of theory.

    These E0s are the foundation's. If there is no foundation, they are those of a replay head,
    which has the foundation's E0s. The foundation, the replay head and potentials without E0s are
    unchanged.
    """
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


def charts(measured: Measured[ForgettingNumbers]) -> list[Chart]:
    """Draw bars of the force error by group (Fig. 10), and violins by structure."""
    numbers = measured.numbers
    by_labels = numbers.reference == "labels"
    shown = {
        name: groups
        for name, p in numbers.potentials.items()
        if (groups := p.against_labels if by_labels else p.against_foundation) is not None
    }
    found = []
    if any(e.forces_rmse is not None for groups in shown.values() for e in groups.values()):
        title = "Force error on the pretraining distribution"
        found.append(
            Chart(
                title if by_labels else "Deviation of the forces from the foundation",
                "group",
                "force RMSE (meV/Å)" if by_labels else "RMS deviation of the forces (meV/Å)",
                [
                    Series(name, list(groups), [e.forces_rmse for e in groups.values()])
                    for name, groups in shown.items()
                ],
                kind="bar",
                caption=" ".join(numbers.notes),
            )
        )
    spread = {name: numbers.potentials[name].distribution for name in shown}
    return [*found, *violins({"": spread}, ERRORS if by_labels else _DEVIATIONS)]


def tables(measured: Measured[ForgettingNumbers]) -> list[Table]:
    """Make tables of errors against labels, if there are any, and of deviations from the
    foundation.
    """
    potentials = measured.numbers.potentials
    note = " ".join(measured.numbers.notes)
    found = []
    labels = {n: p.against_labels for n, p in potentials.items() if p.against_labels}
    if labels:
        found.append(error_table("Errors on the pretraining distribution", labels, note))
    others = {n: p.against_foundation for n, p in potentials.items() if p.against_foundation}
    if others:
        found.append(_deviation_table(others, "" if labels else note))
    return found


def _deviation_table(others: Mapping[str, Mapping[str, GroupErrors]], note: str) -> Table:
    columns = [Column("group"), Column("model"), Column("structures", "", 8)]
    columns += [Column("forces RMS", "meV/Å", 4), Column("of the RMS force", "%", 3)]
    columns += [Column("energy RMS", "meV/atom", 4)]
    rows = []
    for group in shown_groups(others):
        for name, errors in others.items():
            e = errors[group]
            share = None if e.forces_share is None else 100 * e.forces_share
            rows.append([group, name, e.n_frames, e.forces_rmse, share, e.energy_rmse])
    return Table("Deviation from the foundation", columns, rows, note)


PROTOCOL = Protocol(
    declaration=DECLARATION,
    settings=ForgettingSettings,
    numbers=ForgettingNumbers,
    check=check,
    structures=structures,
    elements=elements,
    version=2,  # smaller pieces, whose ends are kept
    calculate=calculate,
    analyse=analyse,
    charts=charts,
    tables=tables,
    assess=assess,
    extent=lambda _inputs, settings: f"{settings.count} generated structures, or all labelled ones",
    quick={"count": 100},
    analysis_settings=("max_force",),
    replay_head=True,
    packages=("pyxtal",),
)
