"""What a model promises that has a capability."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from ase import Atoms
from scipy.spatial.transform import Rotation

from pestle.adaptation.low_rank import LowRankModel
from pestle.errors import PestleError
from pestle.foundations.capabilities import (
    Adapters,
    Descriptors,
    ElementSelection,
    Heads,
    Kernels,
    LammpsFiles,
    OwnFile,
    Parts,
    RandomWeights,
    require,
)
from pestle.structures.frame import Frame
from pestle.testing.physics import heads_in_one_pass
from pestle.testing.structures import Case, moved, require_close, require_same, require_true

ROUNDING = 1e-8


def heads(case: Case) -> None:
    """New heads are copies of the old one, each with its own E0s, served by one pass; training one
    does not move what the other reads out."""
    model = require(case.model, Heads)
    old, z = model.heads[-1], model.elements[0]
    two = model.with_heads({"one": old, "two": old})
    require_true(two.heads == ("one", "two"), f"the heads are {two.heads}, not one and two")
    require_true(two.provenance == model.provenance, "with_heads forgets the provenance")
    expected = case.predict()
    for row in (0, 1):
        said = two.predict(case.batch(model=two).with_head(row), stress=True)
        require_same(said, expected, ROUNDING, "a copied head")
    two = two.with_reference_energies("one", {z: -50.0})
    same = two.reference_energies["two"] == model.reference_energies[old]
    require_true(same, "the E0s of one head change with the other's")
    heads_in_one_pass(Case(two, case.frames))
    if isinstance(two, Parts):
        two = two.copy().requires_grad_(True)
        graphs = case.batch(model=two)
        before = [two.predict(graphs.with_head(row)).energy for row in (0, 1)]
        two.predict(graphs.with_head(1), training=True).interaction_energy.sum().backward()
        named = dict(two.named_parameters())
        with torch.no_grad():
            for part, names in two.parameter_groups().items():
                for name in names if part.startswith("readout") else ():
                    gradient = named[name].grad
                    if gradient is not None:
                        named[name].sub_(0.1 * gradient)
        after = [two.predict(graphs.with_head(row)).energy for row in (0, 1)]
        require_close(after[0], before[0], 0.0, "a head after the other's readout was trained")
        moves = bool((after[1] - before[1]).abs().max() > 0)
        require_true(moves, "the readouts of a head do not move its energies")
    refused: tuple[dict[str, str], ...] = ({}, {"new": "nowhere"})
    for wrong in refused:
        try:
            model.with_heads(wrong)
        except PestleError:
            continue
        raise AssertionError(f"with_heads({wrong}) is no error")


def element_selection(case: Case) -> None:
    """Fewer elements predict the same, with the same E0s and single atoms."""
    model = require(case.model, ElementSelection)
    wanted = [z for z in model.elements if any(z in f.numbers for f in case.frames)]
    small = model.with_elements(wanted[::-1])
    require_true(small.elements == tuple(wanted), "the elements are not those asked for, in order")
    require_same(case.predict(model=small), case.predict(), ROUNDING, "a model of fewer elements")
    for head in model.heads:
        tables = {
            "E0s": (model.reference_energies[head], small.reference_energies[head]),
            "single atoms": (
                model.isolated_atom_energies(head),
                small.isolated_atom_energies(head),
            ),
        }
        for name, (table, own) in tables.items():
            one = torch.tensor([table[z] for z in wanted], dtype=torch.float64)
            other = torch.tensor([own[z] for z in wanted], dtype=torch.float64)
            require_close(other, one, ROUNDING, f"{name} of a model of fewer elements")
    missing = next(z for z in range(1, 119) if z not in model.elements)
    for wrong in ([], [missing]):
        try:
            model.with_elements(wrong)
        except PestleError:
            continue
        raise AssertionError(f"with_elements({wrong}) is no error")


def random_weights(case: Case) -> None:
    """Random weights follow their seed, keep the shape and the E0s, and scale as asked."""
    model = require(case.model, RandomWeights)
    state = torch.random.get_rng_state()
    one, same, other, double = (
        model.with_random_weights(seed, mean_neighbours=12.0, scale=scale)
        for seed, scale in ((7, 0.8), (7, 0.8), (8, 0.8), (7, 1.6))
    )
    unmoved = torch.equal(state, torch.random.get_rng_state())
    require_true(unmoved, "drawing weights changes torch's random state")
    kept = one.reference_energies == model.reference_energies and one.heads == model.heads
    require_true(kept, "the model from scratch has other E0s or heads")
    first = case.predict(model=one)
    require_same(case.predict(model=same), first, 0.0, "the same seed again")
    moves = (case.predict(model=other).forces - first.forces).abs().max() > 1e-6
    require_true(bool(moves), "another seed gives the same forces")
    twice = case.predict(model=double)
    require_close(twice.forces, 2.0 * first.forces, ROUNDING, "forces at twice the scale")


def parts(case: Case) -> None:
    """The parts hold every parameter once and are named as freezing names them; where the model
    describes atoms, readouts do not change what they read."""
    model = require(case.model, Parts)
    groups = model.parameter_groups()
    listed = sorted(name for names in groups.values() for name in names)
    every = sorted(name for name, _ in model.named_parameters())
    require_true(listed == every, "the parts do not hold every parameter once")
    require_true(all(groups.values()), "a part is empty")
    readouts = [part for part in groups if part.startswith("readout ")]
    require_true(bool(readouts), f"no part is a readout: {', '.join(groups)}")
    if not isinstance(model, Descriptors):
        return
    changed = model.copy()
    named = dict(changed.named_parameters())
    with torch.no_grad():
        for part in readouts:
            for name in groups[part]:
                named[name].mul_(1.5)
    before, after = model.descriptors(case.batch()), changed.descriptors(case.batch())
    require_close(after, before, 0.0, "descriptors after a change of the readouts")


def adapters(case: Case) -> None:
    """The blocks cover each weight, and low-rank updates begin at the model, keep its symmetry, and
    are the same merged into the weights."""
    model = require(case.model, Adapters)
    named = dict(model.named_parameters())
    for layer in model.linear_layers():
        start = 0
        for block in layer.blocks:
            good = block.offset == start and block.path_weight > 0
            require_true(good, f"the blocks of {layer.parameter} do not cover it in order")
            start += block.n_in * block.n_out
        full = start == named[layer.parameter].numel()
        require_true(full, f"the blocks of {layer.parameter} do not cover it")
    adapted = LowRankModel(model.copy(), 2)
    expected = case.predict()
    require_same(case.predict(model=adapted), expected, ROUNDING, "updates before training")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in adapted.adapters.named_parameters():
            if ".B." in name:
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.add_(0.1 * noise.to(parameter))
            else:
                parameter.mul_(300.0)
    merged = adapted.merged()
    said = case.predict(model=adapted)
    moves = bool((said.forces - expected.forces).abs().max() > 1e-6)
    require_true(moves, "updates of the linear layers do not change the forces")
    require_same(case.predict(model=merged), said, ROUNDING, "updates merged into the weights")
    turn = Rotation.from_euler("xyz", [0.3, 1.1, -0.7]).as_matrix()

    def rotate(atoms: Atoms) -> None:
        atoms.positions = atoms.positions @ turn.T

    one = case.predict([case.molecule], merged).forces
    other = case.predict([moved(case.molecule, rotate)], merged).forces
    matrix = torch.tensor(turn.T, device=one.device)
    require_close(other, one @ matrix, ROUNDING, "forces with updates after a rotation")


def descriptors(case: Case) -> None:
    """A row for each atom that sees the neighbours and no rotation, translation or copy."""
    model = require(case.model, Descriptors)
    graphs = case.batch()
    found = model.descriptors(graphs)
    require_true(found.shape[0] == int(graphs.ptr[-1]), "there is not one row for each atom")
    require_true(not found.requires_grad, "descriptors carry a graph of operations")
    turn = Rotation.from_euler("xyz", [0.3, 1.1, -0.7]).as_matrix()

    def rotate(atoms: Atoms) -> None:
        atoms.set_cell(atoms.cell.array @ turn.T)
        atoms.positions = atoms.positions @ turn.T + (1.0, 2.0, -3.0)

    turned = model.descriptors(case.batch([moved(f, rotate) for f in case.frames]))
    require_close(turned, found, ROUNDING, "descriptors after a rotation and translation")
    crystal = case.crystal
    one = model.descriptors(case.batch([crystal]))
    many = model.descriptors(case.batch([Frame(crystal.atoms.repeat(2))]))
    require_close(many, one.repeat(8, 1), ROUNDING, "descriptors in a 2×2×2 supercell")

    def widen(atoms: Atoms) -> None:
        atoms.set_cell(1.03 * atoms.cell.array, scale_atoms=True)

    wider = model.descriptors(case.batch([moved(crystal, widen)]))
    sees = bool((wider - one).abs().max() > 1e-8)
    require_true(sees, "descriptors do not see that the neighbours are further away")


def own_file(case: Case) -> None:
    """The file of its own programs is written whole, or refused with the obstacle and not begun."""
    model = require(case.model, OwnFile)
    obstacle = model.export_obstacle(head=model.heads[-1])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{model.own_format}"
        try:
            model.export(path, head=model.heads[-1])
        except PestleError as error:
            told = bool(obstacle) and obstacle in error.line
            require_true(told, f"export_obstacle does not say what export does: {error.line}")
        else:
            require_true(not obstacle, f"it is written in spite of the obstacle: {obstacle}")
        there = sorted(found.name for found in Path(folder).iterdir())
        wanted = [] if obstacle else [path.name, f"{path.name}.sha256"]
        require_true(there == wanted, f"files are {there}, and {wanted} are expected")


def lammps_files(case: Case) -> None:
    """Every format has a name and an ending (the files themselves are checked as they are made)."""
    formats = require(case.model, LammpsFiles).lammps_formats
    require_true(bool(formats) and all(formats.values()), f"formats without an ending: {formats}")


def kernels(case: Case) -> None:
    """`auto` is always there, what is not named is refused, and a change is passed on to copies."""
    model = require(case.model.copy(), Kernels)
    expected = case.predict()
    for name in model.kernel_names:
        try:
            model.use_kernels(name)
        except PestleError:  # a package that is not installed
            continue
        said = case.predict(model=model)
        require_same(said, expected, ROUNDING, f"the kernels {name}")
        passed = require(model.copy(), Kernels).kernels == name
        require_true(passed, f"a copy does not run with the kernels {name}")
    model.use_kernels("auto")
    try:
        model.use_kernels("no such kernels")
    except PestleError:
        return
    raise AssertionError("kernels that do not exist are no error")
