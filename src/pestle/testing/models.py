"""What the rest of Pestle relies on: E0s, single atoms, copies, precision, files, calculator."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from ase import Atoms
from ase.data import chemical_symbols

from pestle.errors import PestleError
from pestle.foundations import load_foundation
from pestle.foundations.capabilities import ElementSelection, Heads, RandomWeights
from pestle.foundations.interface import Foundation
from pestle.structures.frame import Frame
from pestle.testing.structures import Case, require_close, require_same, require_true

ROUNDING = 1e-8
#: What float32 may cost: eV, eV/Å, relative to the largest value.
SINGLE = 1e-3


def unknown_elements(case: Case) -> None:
    """An element that the model does not know is an error that names it and the frame."""
    others = [z for z in range(1, 119) if z not in case.model.elements]
    if not others:
        return
    symbol = chemical_symbols[others[0]]
    frames = [*case.frames, Frame(Atoms([others[0]]), index=len(case.frames))]
    try:
        case.predict(frames)
    except PestleError as error:
        named = f"frame {len(case.frames)}" in error.line and symbol in error.line
        require_true(named, f"the error for {symbol} does not name frame and element: {error.line}")
        return
    raise AssertionError(f"{symbol} is predicted, and the model's elements do not hold it")


def reference_energies(case: Case) -> None:
    """E0s shift total energies and nothing else, in float64 also where the network is float32."""
    model, head = case.model, case.model.heads[-1]
    before, z = model.reference_energies[head], model.elements[0]
    for start in (model, model.with_dtype(torch.float32)):
        changed = start.with_reference_energies(head, {z: -12_345.678901234567})
        table = changed.reference_energies[head]
        wanted = {**before, z: -12_345.678901234567}
        require_true(table == wanted, "E0s that were set are not those that are given back")
        counts = torch.tensor([float((f.numbers == z).sum()) for f in case.frames])
        one, other = case.predict(model=start), case.predict(model=changed)
        expected = one.energy.cpu() + counts.double() * (-12_345.678901234567 - before[z])
        require_close(other.energy, expected, 1e-12, "total energies after other E0s")
        require_true(other.energy.dtype == torch.float64, "total energies are not float64")
        for name in ("interaction_energy", "node_energies", "forces", "stress"):
            what = f"{name} after other E0s"
            require_close(getattr(other, name), getattr(one, name), 0.0, what)
    require_true(model.reference_energies[head] == before, "the model itself got the other E0s")


def single_atoms(case: Case) -> None:
    """`isolated_atom_energies` is what a single atom gives, head by head."""
    model = case.model
    for row, head in enumerate(model.heads):
        said = model.isolated_atom_energies(head)
        require_true(tuple(said) == model.elements, "single atoms are not those of the elements")
        frames = [Frame(Atoms([z], positions=[[3.0, 1.0, 2.0]])) for z in model.elements]
        found = model.predict(case.batch(frames).with_head(row)).energy
        wanted = torch.tensor([said[z] for z in model.elements], dtype=torch.float64)
        require_close(wanted, found, ROUNDING, f"isolated_atom_energies of head {head}")


def copies(case: Case) -> None:
    """Models made from one share no memory with it and remember where it comes from."""
    model = case.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected, state = case.predict(), torch.random.get_rng_state()
    z = model.elements[0]
    made: dict[str, Foundation] = {
        "copy": model.copy(),
        "with_dtype": model.with_dtype(torch.float64),
        "with_reference_energies": model.with_reference_energies(
            model.heads[-1], {z: model.reference_energies[model.heads[-1]][z]}
        ),
    }
    if isinstance(model, Heads):
        made["with_heads"] = model.with_heads({name: name for name in model.heads})
    if isinstance(model, ElementSelection):
        made["with_elements"] = model.with_elements(model.elements)
    scratch: dict[str, Foundation] = {}
    if isinstance(model, RandomWeights):
        weights = model.with_random_weights(0, mean_neighbours=10.0, scale=1.0)
        scratch["with_random_weights"] = weights
    unmoved = torch.equal(state, torch.random.get_rng_state())
    require_true(unmoved, "making a model changes torch's random state")
    for name, other in (made | scratch).items():
        require_true(type(other) is type(model), f"{name} gives another class")
        require_true(other.provenance == model.provenance, f"{name} forgets the provenance")
        if name in made:
            require_same(case.predict(model=other), expected, ROUNDING, name)
        with torch.no_grad():
            for tensor in (*other.state_dict().values(), *other.buffers()):
                tensor.zero_()
        kept = all(torch.equal(before[k], v) for k, v in model.state_dict().items())
        require_true(kept, f"what {name} gives shares memory with the model")
    require_same(case.predict(), expected, 0.0, "the model after its copies were changed")


def precision(case: Case) -> None:
    """float32 is close, its totals stay float64, and torch's default dtype does not matter."""
    single = case.model.with_dtype(torch.float32)
    require_true(single.dtype == torch.float32, "with_dtype(float32) gives another dtype")
    one, other = case.predict(), case.predict(model=single)
    require_true(other.forces.dtype == torch.float32, "forces of a float32 model are not float32")
    require_true(other.energy.dtype == torch.float64, "total energies are not float64")
    for name in ("energy", "forces", "stress"):
        require_close(getattr(other, name), getattr(one, name), SINGLE, f"{name} in float32")
    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64 if default == torch.float32 else torch.float32)
        require_same(case.predict(), one, 0.0, "under another default dtype of torch")
        copied = case.predict(model=case.model.copy())
        require_same(copied, one, 0.0, "a copy made under another default dtype of torch")
    finally:
        torch.set_default_dtype(default)


def files(case: Case) -> None:
    """A model folder gives back every bit, and the fingerprint tells models apart."""
    model = case.model
    with tempfile.TemporaryDirectory() as folder:
        for made in (model, model.with_dtype(torch.float32)):
            path = Path(folder) / str(made.dtype)
            made.save(path)
            state = torch.random.get_rng_state()
            found = load_foundation(path)
            unmoved = torch.equal(state, torch.random.get_rng_state())
            require_true(unmoved, "loading a model changes torch's random state")
            require_true(type(found) is type(model), "another class is loaded than was saved")
            for name in ("dtype", "elements", "heads", "cutoff", "provenance"):
                one, other = getattr(made, name), getattr(found, name)
                require_true(one == other, f"{name} was {one}, and {other} is loaded")
            same = found.reference_energies == made.reference_energies
            require_true(same, "other E0s are loaded than were saved")
            same = found.fingerprint() == made.fingerprint()
            require_true(same, "another fingerprint is loaded than was saved")
            found = found.to(model.device)
            said = case.predict(model=found)
            require_same(said, case.predict(model=made), 0.0, "what was saved and loaded")
    prints = {model.fingerprint(), model.with_dtype(torch.float32).fingerprint()}
    e0s = {model.elements[0]: -1.2345}
    prints.add(model.with_reference_energies(model.heads[0], e0s).fingerprint())
    require_true(model.copy().fingerprint() in prints, "a copy has another fingerprint")
    changed = model.copy()
    with torch.no_grad():
        next(changed.parameters()).view(-1)[0] += 1e-9
    prints.add(changed.fingerprint())
    require_true(len(prints) == 4, "models that differ have one fingerprint")


def calculator(case: Case) -> None:
    """The ASE calculator of every head gives what `predict` gives."""
    model = case.model
    for row, head in enumerate(model.heads):
        for frame in (case.crystal, case.molecule):
            said = model.predict(case.batch([frame]).with_head(row), stress=True)
            atoms = frame.atoms.copy()
            atoms.calc = model.calculator(head=head)
            what = f"the ASE calculator of head {head}"
            require_close(atoms.get_potential_energy(), said.energy[0], ROUNDING, what)
            require_close(torch.tensor(atoms.get_forces()), said.forces, ROUNDING, what)
            if frame.is_periodic:
                assert said.stress is not None
                found = torch.tensor(atoms.get_stress(voigt=False))
                require_close(found, said.stress[0], ROUNDING, what)
