"""How `pestle e0` shows reference energies."""

from __future__ import annotations

from collections.abc import Mapping

from ase.data import chemical_symbols
from rich.table import Table

from pestle.energies.reference_energies import (
    SINGLE_ATOM_TOLERANCE,
    EnergyProblem,
    ReferenceEnergies,
)


def e0_table(
    problem: EnergyProblem, result: ReferenceEnergies, compared: Mapping[str, ReferenceEnergies]
) -> Table:
    """One row per element of the data: the E0 chosen, its shift, every other method's, and what a
    single atom of the model really gives where that is not its E0."""
    table = Table(title="atomic reference energies (eV)", title_justify="left")
    table.add_column("element")
    table.add_column(f"E0 ({result.method})", justify="right")
    table.add_column("shift", justify="right")
    others = [name for name in compared if name != result.method]
    for name in others:
        table.add_column(name, justify="right")
    alone = result.single_atom_offset > SINGLE_ATOM_TOLERANCE
    if alone:
        table.add_column("single atom", justify="right")
    table.add_column("")
    for z in problem.elements:
        kept = "the foundation's" if z in result.kept else ""
        shift = f"{result.shift[z]:+.4f}" if z in result.shift else "—"
        row = [chemical_symbols[z], f"{result.e0s[z]:.6f}", shift]
        row += [f"{compared[n].e0s[z]:.6f}" if z in compared[n].e0s else "—" for n in others]
        if alone:
            row.append(f"{result.single_atoms[z]:.6f}" if z in result.single_atoms else "—")
        table.add_row(*row, kept)
    return table


def e0_lines(result: ReferenceEnergies, compared: Mapping[str, ReferenceEnergies]) -> list[str]:
    """Diagnostics as text."""
    lines = [
        f"method: {result.method} ({result.reason})",
        f"rank of the compositions: {result.rank} of {result.n_elements}; condition number "
        f"{result.condition_number:.3g}",
    ]
    if result.null_space_text:
        lines.append(f"not determined: {result.null_space_text}")
    if result.spread_before is not None and result.spread_after is not None:
        lines.append(
            f"spread of the foundation's energy error over frames: {result.spread_before:.1f} → "
            f"{result.spread_after:.1f} meV/atom"
        )
    errors = [
        f"{name} {other.zero_step_error:.1f}"
        for name, other in compared.items()
        if other.zero_step_error is not None
    ]
    if errors:
        lines.append(f"zero-step energy error (RMSE, meV/atom): {', '.join(errors)}")
    if result.single_atom_offset > SINGLE_ATOM_TOLERANCE:
        lines.append(
            f"a single atom of this model is up to {result.single_atom_offset:.3f} eV off its E0: "
            "its network adds to it (paper 3.2.2)"
        )
    lines += [f"warning: {text}" for text in result.warnings]
    return lines
