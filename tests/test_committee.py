"""Committees: means and spreads by hand and against mace-torch's own committee; forces that are the
gradient of the mean energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

import nequip_factory
import pestle
from foundation_factory import ELEMENTS, module
from pestle.errors import PestleError
from pestle.foundations.committee import Committee
from pestle.foundations.interface import Foundation, Provenance
from pestle.foundations.mace.foundation import MaceFoundation


def mace(seed: int) -> MaceFoundation:
    return MaceFoundation(
        module(seed=seed), provenance=Provenance(name=f"mace {seed}", level_of_theory="none")
    )


def members(kind: str) -> list[Foundation]:
    return {
        "mace": lambda: [mace(1), mace(2), mace(3)],
        "mixed": lambda: [mace(1), nequip_factory.foundation()],
    }[kind]()


def crystal() -> Atoms:
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    atoms.rattle(0.1, seed=4)
    return atoms


def water() -> Atoms:
    atoms = molecule("H2O")
    atoms.rattle(0.05, seed=5)
    return atoms


@pytest.mark.parametrize("kind", ["mace", "mixed"])
def test_mean_and_spread_by_hand(kind: str) -> None:
    models = members(kind)
    atoms = crystal()
    alone = []
    for model in models:
        atoms.calc = model.calculator()
        alone.append(
            (atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False))
        )
    energies, forces, stresses = (np.array(values) for values in zip(*alone, strict=True))
    shares = [m.calculator().get_potential_energies(atoms) for m in models]
    calc = Committee(models).calculator()
    atoms.calc = calc
    assert calc.num_models == len(models)
    assert atoms.get_potential_energy() == pytest.approx(energies.mean(), abs=1e-10)
    assert atoms.get_forces() == pytest.approx(forces.mean(axis=0), abs=1e-10)
    assert atoms.get_stress(voigt=False) == pytest.approx(stresses.mean(axis=0), abs=1e-12)
    found = calc.results
    assert found["energy_comm"] == pytest.approx(energies)
    assert found["forces_comm"] == pytest.approx(forces)
    assert found["energy_var"] == pytest.approx(((energies - energies.mean()) ** 2).mean())
    assert found["forces_var"] == pytest.approx(((forces - forces.mean(0)) ** 2).mean(0))
    assert found["energy_std"] == pytest.approx(np.std(energies))
    assert found["forces_std"] == pytest.approx(np.std(forces, axis=0))
    assert found["stress_std"] == pytest.approx(np.std(stresses, axis=0))
    assert found["energies"] == pytest.approx(np.mean(shares, axis=0))
    assert found["energies"].sum() == pytest.approx(found["energy"])
    assert calc.get_property("forces_var", atoms) is not None, "ASE gives it by its name"


@pytest.mark.parametrize("kind", ["mace", "mixed"])
def test_forces_are_the_gradient_of_the_mean_energy(kind: str) -> None:
    atoms, step = water(), 1e-5
    atoms.calc = Committee(members(kind)).calculator()
    forces = atoms.get_forces()
    for atom, axis in ((0, 2), (1, 1), (2, 0)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            moved.calc = atoms.calc
            energies.append(moved.get_potential_energy())
        slope = (energies[0] - energies[1]) / (2 * step)
        assert forces[atom, axis] == pytest.approx(-slope, abs=1e-6)


def test_names_and_values_are_those_of_mace() -> None:
    """mace-torch's own calculator on the same networks."""
    from mace.calculators import MACECalculator

    atoms, seeds = crystal(), (1, 2, 3)
    theirs = MACECalculator(models=[module(seed=s) for s in seeds], device="cpu")
    atoms.calc = theirs
    atoms.get_potential_energy()
    ours = Committee([mace(s) for s in seeds]).calculator()
    atoms.calc = ours
    atoms.get_potential_energy()
    names = {"energy_comm", "energy_var", "forces_comm", "stress_var", "forces_var", "stress_comm"}
    assert names <= set(theirs.results) and set(theirs.results) <= set(ours.results)
    for name in (*names, "energy", "free_energy", "forces", "stress"):
        assert np.shape(ours.results[name]) == np.shape(theirs.results[name]), name
        assert ours.results[name] == pytest.approx(theirs.results[name], abs=1e-7), name
    for name in ("energy_comm", "energy_var", "forces_comm", "stress_var"):
        assert name in theirs.implemented_properties and name in ours.implemented_properties


def test_a_molecule_has_no_stress_and_a_moved_atom_is_seen() -> None:
    atoms = water()
    atoms.calc = Committee(members("mace")).calculator()
    before = atoms.get_potential_energy()
    assert "stress" not in atoms.calc.results and "stress_var" not in atoms.calc.results
    atoms.positions[0, 0] += 0.1
    assert atoms.get_potential_energy() != before


def test_folders_are_loaded_as_a_committee(tmp_path: Path) -> None:
    places = []
    for seed in (1, 2):
        places.append(tmp_path / f"seed-{seed}")
        mace(seed).save(places[-1])
    found = pestle.load(places)
    assert isinstance(found, Committee) and len(found) == 2
    assert found.elements == ELEMENTS and str(places[0]) in repr(found)
    assert isinstance(pestle.load(places[0]), Foundation)
    single = pestle.load([str(p) for p in places], dtype=torch.float32)
    assert {m.dtype for m in single.members} == {torch.float32}


def cut(model: MaceFoundation) -> Sequence[Foundation]:
    return [model, mace(2).with_elements([1, 8])]


def two_heads(model: MaceFoundation) -> Sequence[Foundation]:
    return [model, mace(2).with_heads({"Default": "Default", "pt_head": "Default"})]


def dispersed(model: MaceFoundation) -> Sequence[Foundation]:
    other = mace(2)
    other.provenance = replace(other.provenance, dispersion="included")
    return [model, other]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (cut, "second.*elements: H O"),
        (two_heads, "second.*heads: Default, pt_head"),
        (dispersed, "second.*dispersion"),
        (lambda model: [model], "two members"),
    ],
)
def test_members_must_agree(make, message: str) -> None:
    models = make(mace(1))
    with pytest.raises(PestleError, match=message):
        Committee(models, ["first", "second"][: len(models)])
