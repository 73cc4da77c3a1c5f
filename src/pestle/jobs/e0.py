"""`pestle e0`: atomic reference energies of a data set, by one method and by all others."""

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
from pestle.structures.reading import LabelKeys, read_frames
from pestle.structures.selection import Selection
from pestle.views import Shown, Table


@dataclass(frozen=True, repr=False)
class E0Result(Shown):
    """Atomic reference energies.

    Attributes:
        problem: the elements and energies that they are found from.
        chosen: by the method that was asked for.
        compared: method → E0s, of every method that is possible.
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
        """One row per element of the data: the E0 chosen, its shift, every other method's, and what
        a single atom of the model really gives where that is not its E0."""
        result = self.chosen
        others = {n: found for n, found in self.compared.items() if n != result.method}
        alone = result.single_atom_offset > SINGLE_ATOM_TOLERANCE
        headings = ["element", "", f"E0 ({result.method})", "shift", *others]
        headings += ["single atom"] * alone
        rows = []
        for z in self.problem.elements:
            kept = "the foundation's" if z in result.kept else ""
            shift = f"{result.shift[z]:+.4f}" if z in result.shift else "—"
            row = [chemical_symbols[z], kept, f"{result.e0s[z]:.6f}", shift]
            row += [f"{o.e0s[z]:.6f}" if z in o.e0s else "—" for o in others.values()]
            if alone:
                row.append(f"{result.single_atoms[z]:.6f}" if z in result.single_atoms else "—")
            rows.append(row)
        figures = len(headings) - 2
        return [Table("atomic reference energies (eV)", headings, rows, figures)]

    def lines(self) -> list[str]:
        """Diagnostics as text."""
        result = self.chosen
        lines = [
            f"method: {result.method} ({result.reason})",
            f"rank of the compositions: {result.rank} of {result.n_elements}; condition number "
            f"{result.condition_number:.3g}",
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
                "E0: its network adds to it (paper 3.2.2)"
            )
        lines += [f"warning: {text}" for text in result.warnings]
        return lines

    def to_json(self) -> dict[str, Any]:
        """The chosen E0s with their diagnostics, and `compared`: the same of every method."""
        others = {name: other.to_json() for name, other in self.compared.items()}
        return {**self.chosen.to_json(), "compared": others}


def e0(
    data: Sequence[str],
    *,
    foundation: str | None = None,
    method: str | Mapping[str, float] = "auto",
    head: str | None = None,
    trust: bool = False,
    keys: LabelKeys | None = None,
    select: Sequence[str] = (),
) -> E0Result:
    """Reference energies of labelled structures.

    >>> pestle.e0(["frames.xyz"], foundation="medium-mpa-0").chosen.e0s  # atomic number → eV

    Args:
        data: structure files or globs.
        foundation: model to reestimate with and to compare.
        method: auto, isolated, reestimate, average, foundation, a table symbol → eV (also as
            text, `{1:-13.6,8:-2043.9}`), or a file of JSON or YAML that holds one.
        head: head of the foundation.
        trust: allow a `.model` file.
        keys: label keys.
        select: `KEY=VALUE` of the frames to use, as the setting `data.select`.

    Raises:
        PestleError: the data do not permit the method, a file cannot be read, or the frames are of
            several potential-energy surfaces by their own word.
    """
    selection = Selection.of(select)
    frames = read_frames(data, keys).frames
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
