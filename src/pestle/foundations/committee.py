"""Several models as one potential: the mean of what they say, and how far they are apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from pestle.errors import PestleError
from pestle.foundations.calculator import FoundationCalculator
from pestle.foundations.interface import Foundation
from pestle.progress import warn


class Committee:
    """Models that are used together, whatever their architectures: members of several seeds, say.

    `pestle.load([RUN, RUN, …])` makes one.

    Attributes:
        members: the models, in the order in which they were named.
        names: what each is called in an error.
    """

    def __init__(self, members: Sequence[Foundation], names: Sequence[str] | None = None) -> None:
        """Join models.

        Args:
            members: two or more; not copied.
            names: what each is called in an error; by default its own name.

        Raises:
            PestleError: there are fewer than two, or they differ in what must be equal: elements,
                heads, whether they are told charge and spin, dispersion.
        """
        self.members = tuple(members)
        self.names = tuple(names) if names else tuple(m.provenance.name for m in members)
        if len(self.members) < 2:
            raise PestleError(
                f"a committee has two members at least, and {len(self.members)} was given",
                where=self.names[0] if self.names else "committee",
                fix="Name more models, or load the one by its name alone.",
            )
        self._require_equal("elements", _symbols)
        self._require_equal("heads", lambda m: ", ".join(sorted(m.heads)))
        self._require_equal("input besides atoms", lambda m: ", ".join(m.embeds) or "none")
        self._require_equal("dispersion in its labels", _dispersion)
        levels = dict.fromkeys(m.level_of_theory for m in self.members)
        if len(levels) > 1:
            warn(
                f"the members were trained at {' and at '.join(levels)}: if these are "
                "different levels of theory, their mean is of none"
            )

    def __repr__(self) -> str:
        return f"Committee of {len(self.members)}: {', '.join(self.names)}"

    def __len__(self) -> int:
        return len(self.members)

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that the members know, ascending."""
        return tuple(sorted(self.members[0].elements))

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the members' heads."""
        return self.members[0].heads

    @property
    def cutoff(self) -> float:
        """The largest neighbour cutoff of a member, Å."""
        return max(m.cutoff for m in self.members)

    def to(self, device: torch.device | str) -> Self:
        """Move every member to a device."""
        for member in self.members:
            member.to(device)
        return self

    def calculator(
        self, *, head: str | None = None, dispersion: str | None = None
    ) -> CommitteeCalculator:
        """ASE calculator of the mean, with spreads under the names of mace-torch's committees.

        Args:
            head: name of the head, needed where there are several.
            dispersion: functional whose D3 correction is added (`pbe`, `pbe-d3(zero)`), or
                `removed`: what was taken from the labels that the models were trained on.

        Raises:
            PestleError: the head or functional is unknown, or the models hold dispersion already.
        """
        return CommitteeCalculator(self.members, head=head, dispersion=dispersion)

    def _require_equal(self, what: str, of: Callable[[Foundation], str]) -> None:
        first, *others = map(of, self.members)
        for name, said in zip(self.names[1:], others, strict=True):
            if said != first:
                raise PestleError(
                    f"its {what}: {said}; those of {self.names[0]}: {first}. The members of a "
                    "committee must agree",
                    where=name,
                    fix="Leave it out, or train it like the others.",
                )


def _symbols(model: Foundation) -> str:
    return " ".join(chemical_symbols[z] for z in sorted(model.elements))


def _dispersion(model: Foundation) -> str:
    removed = model.provenance.dispersion_removed
    return model.provenance.dispersion + (f", {removed} removed" if removed else "")


class CommitteeCalculator(Calculator):
    """Mean energy, forces and, where it is defined, stress of several models.

    The forces are minus the gradient of the mean energy. Beside them `results` holds, named and
    shaped as mace-torch's `MACECalculator` has them for a committee (variances are over the
    members, divided by their number):

    - `energy_comm` [n], `forces_comm` [n, n_atoms, 3], `stress_comm` [n, 3, 3]: each member;
    - `energy_var`, `forces_var` [n_atoms, 3], `stress_var` [3, 3]: variances;
    - `energies` [n_atoms], `node_energy` [n_atoms]: mean shares of the atoms, with and without E0s
      (none with a D3 correction, which has no shares).

    `energy_std`, `forces_std` and `stress_std` are the square roots of the variances, in the units
    of the values (eV, eV/Å, eV/Å³).

    Args:
        members: the models; not copied.
        head: name of the head, needed where there are several.
        dispersion: as for the calculator of one model.
    """

    implemented_properties: ClassVar[list[str]] = [
        "energy",
        "free_energy",
        "energies",
        "node_energy",
        "forces",
        "stress",
        *(
            f"{name}_{kind}"
            for name in ("energy", "forces", "stress")
            for kind in ("comm", "var", "std")
        ),
    ]

    def __init__(
        self,
        members: Sequence[Foundation],
        *,
        head: str | None = None,
        dispersion: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._calculators = [
            FoundationCalculator(member, head=head, dispersion=dispersion) for member in members
        ]

    @property
    def num_models(self) -> int:
        """How many members there are; mace-torch's name."""
        return len(self._calculators)

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """What the models read and is no longer as it was at the last prediction."""
        return self._calculators[0].check_state(atoms, tol)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties or ["energy"], system_changes)
        for one in self._calculators:
            one.calculate(self.atoms, ["energy", "forces"], system_changes)
        said = [one.results for one in self._calculators]
        members = {"energy": np.array([one["energy"] for one in said])}
        members["forces"] = np.stack([one["forces"] for one in said])
        if "stress" in said[0]:
            members["stress"] = np.stack(
                [voigt_6_to_full_3x3_stress(one["stress"]) for one in said]
            )
        self.results = {}
        for name, values in members.items():
            variance = values.var(axis=0)
            self.results[name] = values.mean(axis=0)
            self.results[f"{name}_comm"] = values
            self.results[f"{name}_var"] = variance
            self.results[f"{name}_std"] = np.sqrt(variance)
        for name in ("energy", "energy_var", "energy_std"):
            self.results[name] = float(self.results[name])
        self.results["free_energy"] = self.results["energy"]
        if "stress" in self.results:
            self.results["stress"] = full_3x3_to_voigt_6_stress(self.results["stress"])
        if "energies" in said[0]:
            shares = np.stack([one["energies"] for one in said])
            e0s = np.stack([one.e0s_of(self.atoms) for one in self._calculators])
            self.results["energies"] = shares.mean(axis=0)
            self.results["node_energy"] = (shares - e0s).mean(axis=0)
