"""Labels that are none are errors; legitimate zeros and repetitions are not."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from pestle.checks import check_frames
from pestle.checks.placeholders import placeholder_findings
from pestle.checks.report import CheckFinding
from pestle.structures.frame import Frame


def frames(*atoms: Atoms, energy: float | None = None) -> list[Frame]:
    """Frames of a file with an energy of their own each, or one for all, and random forces."""
    rng = np.random.default_rng(0)
    found = []
    for k, each in enumerate(atoms):
        forces = rng.normal(size=(len(each), 3))
        stress = rng.normal(size=(3, 3)) if each.pbc.all() else None
        value = -10.0 * len(each) - 0.1 * k if energy is None else energy
        found.append(Frame(each, value, forces, stress, source="a.xyz", index=k))
    return found


def rattled(name: str, count: int, size: float = 0.1) -> list[Atoms]:
    found = []
    for k in range(count):
        atoms = bulk(name, cubic=True) if name in ("Cu", "Si") else molecule(name)
        atoms.rattle(size, seed=k)
        found.append(atoms)
    return found


def findings(given: list[Frame]) -> dict[str, CheckFinding]:
    return {f.code: f for f in placeholder_findings({"train": given})}


def test_energies_that_are_all_zero() -> None:
    zero = frames(*rattled("H2O", 10), energy=0.0)
    hit = findings(zero)["zero-energies"]
    assert hit.severity == "error" and hit.n_frames == 10 and hit.frames[3] == "a.xyz frame 3"
    assert {f.code for f in check_frames({"train": zero}).errors} >= {"zero-energies"}
    some = frames(*rattled("H2O", 10))
    some[2:5] = [replace(f, energy=0.0) for f in some[2:5]]
    assert findings(some)["zero-energies"].frames == [f"a.xyz frame {k}" for k in (2, 3, 4)]
    # The lowest conformer is where people put their zero.
    some = frames(*rattled("H2O", 10))
    some[2] = replace(some[2], energy=0.0)
    assert not findings(some) and not findings(zero[:1])


def test_one_energy_over_several_compositions() -> None:
    mixed = [*rattled("H2O", 2), *rattled("CH4", 2)]
    hit = findings(frames(*mixed, energy=-20.5))["alike-energies"]
    assert hit.severity == "error" and re.search("4 of 4 frames .*2 compositions", hit.message)
    some = frames(*mixed, *rattled("NH3", 20))
    for k in (0, 2, 3):
        some[k] = replace(some[k], energy=-20.5)
    assert findings(some)["alike-energies"].frames == [f"a.xyz frame {k}" for k in (0, 2, 3)]
    # Two of many can meet by chance where energies are rounded.
    some[3] = replace(some[3], energy=-21.0)
    assert not findings(some)


def test_one_energy_for_clearly_different_structures() -> None:
    hit = findings(frames(*rattled("H2O", 5), energy=-20.5))["alike-energies"]
    assert hit.severity == "error" and "different structures" in hit.message
    # Turned copies, and displacements of 0.01 Å with rounded energies, are honest.
    turned = [molecule("H2O") for _ in range(5)]
    for k, atoms in enumerate(turned):
        atoms.rotate(30 * k, (1, 2, 3))
    assert not findings(frames(*turned, energy=-20.5))
    assert not findings(frames(*rattled("Si", 5, size=0.005), energy=-43.2))


def test_zero_forces_are_honest_only_where_symmetry_makes_them_so() -> None:
    symmetric = [
        bulk("Cu"),
        bulk("Si", cubic=True) * (2, 1, 1),
        bulk("NaCl", "rocksalt", a=5.6) * (2, 2, 2),
        bulk("Mg"),
    ]
    given = frames(*symmetric)
    for frame in given:
        frame.forces = np.zeros((len(frame), 3))
    assert not findings(given)
    broken = frames(*rattled("Cu", 6), *rattled("H2O", 2))
    for frame in broken[4:7]:
        frame.forces = np.zeros((len(frame), 3))
    hit = findings(broken)["zero-forces"]
    assert hit.severity == "error" and hit.frames == [f"a.xyz frame {k}" for k in (4, 5, 6)]
    assert findings(broken[:5])["zero-forces"].severity == "warning"


def test_a_free_atom_has_no_forces() -> None:
    atoms = [Atoms("H"), Atoms("Cl", cell=np.eye(3) * 20, pbc=True)]
    given = frames(*atoms)
    for frame in given:
        frame.forces, frame.stress = np.zeros((1, 3)), None
    assert not findings(given)


@pytest.mark.parametrize("label", ["energy", "forces", "stress"])
def test_labels_without_weight_may_be_zero(label: str) -> None:
    """As data sets mark what was not calculated."""
    given = frames(*rattled("Cu", 4))
    for frame in given:
        value = 0.0 if label == "energy" else np.zeros_like(getattr(frame, label))
        setattr(frame, label, value)
    code = {"energy": "zero-energies", "forces": "zero-forces", "stress": "zero-stress"}[label]
    assert findings(given)[code].severity == "error"
    assert not findings([replace(f, **{f"{label}_weight": 0.0}) for f in given])
    assert not findings([replace(f, weight=0.0) for f in given])
