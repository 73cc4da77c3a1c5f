"""`pestle e0`: atomic reference energies (E0s) of a data set, by all methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ase.data import chemical_symbols

from pestle.checks.surfaces import require_one_surface
from pestle.energies.methods import compare
from pestle.energies.problem import EnergyProblem
from pestle.energies.reference_energies import SINGLE_ATOM_TOLERANCE, ReferenceEnergies
from pestle.energies.setting import from_setting
from pestle.files import OneOrMore, each_of
from pestle.structures.reading import LabelKeys, read_frames
from pestle.structures.selection import Selection
from pestle.views import Shown, Table
from pestle.wording import figure, fixed


@dataclass(frozen=True, repr=False)
class E0Result(Shown):
    """Atomic reference energies.

    Attributes:
        problem: the elements and energies from which they are found.
        chosen: E0s by the method that was asked for, eV.
        compared: method → E0s in eV, for every method that the data permit.
    """

    problem: EnergyProblem
    chosen: ReferenceEnergies
    compared: dict[str, ReferenceEnergies]

    def __repr__(self) -> str:
        energies = ", ".join(
            f"{chemical_symbols[z]} {self.chosen.e0s[z]:.4f}" for z in self.problem.elements
        )
        return f"<E0Result, {self.chosen.method}: {energies} (eV)>"

    def tables(self) -> list[Table]:
        """Return one row per element: its E0, the shift, and the E0s of other methods, in eV.

        The energy of a single atom has a column of its own if the model does not give the E0 there.
        """
        result = self.chosen
        others = {n: found for n, found in self.compared.items() if n != result.method}
        alone = result.single_atom_offset > SINGLE_ATOM_TOLERANCE
        headings = ["element", f"E0 ({result.method})", "shift", *others]
        headings += ["single atom"] * alone
        rows = []
        for z in self.problem.elements:
            shift = fixed(result.shift.get(z), 4, sign=True)
            if z in result.kept:
                shift = "0, the foundation's"
            row = [chemical_symbols[z], f"{result.e0s[z]:.6f}", shift]
            row += [f"{o.e0s[z]:.6f}" if z in o.e0s else "—" for o in others.values()]
            if alone:
                row.append(f"{result.single_atoms[z]:.6f}" if z in result.single_atoms else "—")
            rows.append(row)
        figures = len(headings) - 1
        return [Table("atomic reference energies (eV)", headings, rows, figures)]

    def lines(self) -> list[str]:
        """Return diagnostics and warnings as text."""
        result = self.chosen
        lines = [
            f"method: {result.method} ({result.reason})",
            f"rank of the compositions: {result.rank} of {result.n_elements}; condition number "
            f"{figure(result.condition_number)}",
        ]
        if result.null_space_text:
            lines.append(f"not determined: {result.null_space_text}")
        if result.spread_before is not None and result.spread_after is not None:
            lines.append(
                f"spread of the foundation's energy error over frames: "
                f"{result.spread_before:.1f} → {result.spread_after:.1f} meV/atom"
            )
        errors = [
            f"{name} {other.zero_step_error:.1f}"
            for name, other in self.compared.items()
            if other.zero_step_error is not None
        ]
        if errors:
            lines.append(f"zero-step energy error (RMSE, meV/atom): {', '.join(errors)}")
        if result.single_atom_offset > SINGLE_ATOM_TOLERANCE:
            lines.append(
                f"a single atom of this model is up to {result.single_atom_offset:.3f} eV off its "
                "E0, because the network adds energy to it (paper 3.2.2)"
            )
        lines += [f"warning: {text}" for text in result.warnings]
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return the chosen E0s with their diagnostics; `compared` has the same for each method."""
        others = {name: other.to_json() for name, other in self.compared.items()}
        return {**self.chosen.to_json(), "compared": others}


def e0(
    data: OneOrMore,
    *,
    foundation: str | None = None,
    method: str | Mapping[str, float] = "auto",
    head: str | None = None,
    trust: bool = False,
    keys: LabelKeys | None = None,
    select: str | Sequence[str] = (),
) -> E0Result:
    """Find the atomic reference energies of labelled structures.

    >>> pestle.e0(["frames.xyz"], foundation="medium-mpa-0").chosen.e0s  # atomic number → eV

    Args:
        data: structure file or glob, or several.
        foundation: model for the method reestimate, and to compare with.
        method: auto, isolated, reestimate, average, foundation, a table symbol → eV (also as
            text, `{1:-13.6,8:-2043.9}`), or a JSON or YAML file with such a table.
        head: head of the foundation.
        trust: allow a `.model` file.
        keys: label keys.
        select: `KEY=VALUE` of the frames to use, as the setting `data.select`.

    Returns:
        The E0s by this method and by all others, with diagnostics.

    Raises:
        PestleError: the data do not permit the method, a file cannot be read, or the files say that
            their frames are of several potential-energy surfaces.
    """
    selection = Selection.of(each_of(select))
    frames = read_frames(each_of(data), keys).frames
    selection.require(frames)
    frames = selection.keep(frames)
    model = None
    if foundation is not None:
        from pestle.foundations import load_foundation
        from pestle.foundations.devices import find_device

        model = load_foundation(foundation, trust=trust).to(find_device("auto"))
    embeds = model.embeds if model is not None else ()
    require_one_surface(frames, embeds=embeds, asked=selection.mixed)
    problem = EnergyProblem.of(frames, model, head)
    return E0Result(problem, from_setting(problem, method), compare(problem))
