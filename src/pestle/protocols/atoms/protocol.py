"""Protocol `atoms`: energies of single atoms against reference energies (paper, Tables 2, 3).

In some architectures the energy of a single atom is not the model's E0, because learned weights add
to it (paper 3.2.2). Dissociation and atomisation energies then depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase.data import chemical_symbols

from pestle.protocols.atoms import ADVICE, DECLARATION, advice
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.potential import Potential
from pestle.protocols.raw import RawFolder
from pestle.protocols.results import Chart, Column, Series, Table
from pestle.protocols.single_atoms import calculate_single_atoms, read_single_atoms
from pestle.protocols.thresholds import Threshold
from pestle.records.results import Measured, Numbers
from pestle.records.verdict import Finding
from pestle.settings.probe import AtomSettings
from pestle.structures.frame import split_isolated_atoms
from pestle.wording import counted, figure, fixed

#: Largest scatter of errors, as a fraction of their mean, that counts as one constant of the
#: network.
SAME = 0.05
#: Single atoms of two levels of theory may lie apart by more than this, eV; no fitted model is so
#: far off.
ANOTHER_LEVEL = 5.0


class PotentialNumbers(Numbers):
    """Results of one potential for single atoms.

    Attributes:
        energies: symbol → eV.
        errors: symbol → eV, for elements with a reference.
        rmse: RMSE over the elements, meV/atom; `None` without references.
        flags: problems, in words.
    """

    energies: dict[str, float | None]
    errors: dict[str, float | None]
    rmse: float | None
    flags: list[str]


class AtomsNumbers(Numbers):
    """Energies and errors of single atoms.

    Attributes:
        references: symbol → eV.
        potentials: name → its results.
    """

    references: dict[str, float]
    potentials: dict[str, PotentialNumbers]


def references(inputs: Inputs) -> dict[int, float]:
    """Return the lowest labelled energy of a single atom of each element: atomic number → eV."""
    found: dict[int, float] = {}
    for frame in split_isolated_atoms(inputs.frames)[1]:
        if frame.energy is not None:
            z = int(frame.numbers[0])
            found[z] = min(frame.energy, found.get(z, frame.energy))
    return found


def calculate(potential: Potential, inputs: Inputs, settings: AtomSettings, raw: RawFolder) -> None:
    """Calculate the energies of single atoms of the data's elements.

    Args:
        potential: the potential.
        inputs: gives the elements.
        settings: settings of the protocol.
        raw: folder for the energies.

    Raises:
        PestleError: no element is known.
    """
    calculate_single_atoms(potential, inputs.elements, raw, "atoms")
    raw.finish()


def analyse(raws: Mapping[str, RawFolder], inputs: Inputs, settings: AtomSettings) -> AtomsNumbers:
    """Return energies and errors of all potentials.

    Args:
        raws: potential → its energies.
        inputs: contain the reference atoms.
        settings: settings of the protocol.
    """
    known = references(inputs)
    found = {}
    for name, raw in raws.items():
        energies = read_single_atoms(raw)
        errors = {z: e - known[z] for z, e in energies.items() if z in known}
        lost = [chemical_symbols[z] for z, e in energies.items() if not np.isfinite(e)]
        values = np.array(list(errors.values()))
        found[name] = PotentialNumbers(
            energies={chemical_symbols[z]: e for z, e in energies.items()},
            errors={chemical_symbols[z]: e for z, e in errors.items()},
            rmse=float(1e3 * np.sqrt(np.mean(values**2))) if len(values) else None,
            flags=[f"not finite for {', '.join(lost)}"] if lost else [],
        )
    names = {chemical_symbols[z]: e for z, e in sorted(known.items())}
    return AtomsNumbers(references=names, potentials=found)


def charts(measured: Measured[AtomsNumbers]) -> list[Chart]:
    """Return a chart of errors by element; none without references."""
    symbols = list(measured.numbers.references)
    if not symbols:
        return []
    series = [
        Series(name, symbols, [p.errors.get(s) for s in symbols])
        for name, p in measured.numbers.potentials.items()
    ]
    about = measured.about
    base = measured.numbers.potentials.get(about.baseline or "")
    far = base is not None and any(abs(e or 0.0) > ANOTHER_LEVEL for e in base.errors.values())
    caption = ""
    if far:
        caption = (
            f"The atoms of {about.labels.get(about.baseline or '', about.baseline)} have the "
            "energies of its own level of theory. If one level counts all electrons and the other "
            "only valence electrons, they differ by thousands of eV. This is not a fault, and the "
            "E0s of a run correct it."
        )
    title = "Errors of single atoms"
    return [Chart(title, "element", "error (eV)", series, kind="bar", caption=caption)]


def tables(measured: Measured[AtomsNumbers]) -> list[Table]:
    """Return a table with a row for each element and potential."""
    columns = [Column("element"), Column("model"), Column("energy", "eV", 8)]
    columns += [Column("reference", "eV", 8), Column("error", "eV", 3)]
    known = measured.numbers.references
    rows = [
        [symbol, name, p.energies[symbol], known.get(symbol), p.errors.get(symbol)]
        for symbol in measured.about.elements
        for name, p in measured.numbers.potentials.items()
    ]
    return [Table("Single atoms", columns, rows)]


def assess(measured: Measured[AtomsNumbers], thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """Assess the errors of the atoms; without references only whether energies are finite.

    Args:
        measured: the results.
        thresholds: thresholds of this protocol.
    """
    found = measured.numbers.potentials[measured.about.candidate]
    limit = thresholds["rmse_mev"]
    if found.flags:
        text = f"The energy of a single atom is {found.flags[0]}."
        return [Finding("atoms", "fail", "atom energies", None, "meV", limit.words, text)]
    if found.rmse is None:
        return []
    level, count = limit.level(found.rmse), len(found.errors)
    text = f"Single atoms of {counted(count, 'element')} are off by {figure(found.rmse)} meV (RMS)."
    errors = np.array([error for error in found.errors.values() if error is not None])
    if level != "pass" and count > 1 and errors.std() < SAME * abs(errors.mean()):
        text += (
            f" All by nearly the same {fixed(float(errors.mean()), 2, sign=True)} eV: what the "
            "network adds to a lone atom, which no E0 changes. Energies of dissociation "
            "are off by it for every atom."
        )
    elif level != "pass":
        helps = ADVICE if measured.making is None else advice(measured.making)
        text += f" Energies of formation and dissociation will be off: {helps}."
    return [Finding("atoms", level, "atom energies", found.rmse, "meV", limit.words, text)]


PROTOCOL = Protocol(
    declaration=DECLARATION,
    settings=AtomSettings,
    numbers=AtomsNumbers,
    structures=lambda inputs, _: split_isolated_atoms(inputs.frames)[1],
    calculate=calculate,
    analyse=analyse,
    charts=charts,
    tables=tables,
    assess=assess,
    extent=lambda _inputs, _settings: "every element of the data",
    replay_head=True,
)
