"""What a physicist asks of any potential: derivatives, symmetries, sums, the limit of distance."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch
from ase import Atoms
from scipy.spatial.transform import Rotation

from pestle.foundations.capabilities import parts_of
from pestle.structures.frame import Frame
from pestle.structures.graphs import collate, make_graphs
from pestle.testing.structures import Case, moved, require_close, require_true

#: Displacement (Å) and strain of finite differences.
STEP = 1e-4
#: What finite differences may be off by, eV/Å or eV/Å³.
DERIVATIVE = 1e-6
#: Rounding in float64.
ROUNDING = 1e-8


def forces(case: Case) -> None:
    """Forces are −dE/dx, by finite differences of two coordinates of every structure."""
    found = case.predict().forces
    first = 0
    for frame in case.frames:
        for atom, axis in {(0, 0), (len(frame) - 1, 2)}:
            energies = []
            for step in (STEP, -STEP):

                def shift(atoms: Atoms, step: float = step, a: int = atom, x: int = axis) -> None:
                    atoms.positions[a, x] += step

                energies.append(case.energy(moved(frame, shift)))
            slope = -(energies[0] - energies[1]) / (2 * STEP)
            what = f"force on atom {atom}, {frame.where}, against −ΔE/Δx"
            require_close(float(found[first + atom, axis]), slope, DERIVATIVE, what)
        first += len(frame)
    require_true(bool(found.abs().max() > 1e-6), "no structure has any force")


def stress(case: Case) -> None:
    """Stress is dE/dε over the volume in ASE's sign, symmetric, zero without a volume."""
    prediction = case.predict()
    assert prediction.stress is not None
    for row, frame in enumerate(case.frames):
        found = prediction.stress[row]
        if not frame.is_periodic:
            require_close(found, torch.zeros(3, 3), 0.0, f"stress of {frame.where}, not periodic")
            continue
        require_close(found, found.T, ROUNDING, f"stress of {frame.where} against its transpose")
        for a, b in ((0, 0), (2, 2), (0, 1), (1, 2)):
            energies = []
            for step in (STEP, -STEP):
                strain = np.zeros((3, 3))
                strain[a, b] += step / 2
                strain[b, a] += step / 2

                def deform(atoms: Atoms, strain: np.ndarray = strain) -> None:
                    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)

                energies.append(case.energy(moved(frame, deform)))
            slope = (energies[0] - energies[1]) / (2 * STEP) / frame.atoms.get_volume()
            what = f"stress {a}{b} of {frame.where} against ΔE/Δε/V"
            require_close(float(found[a, b]), slope, DERIVATIVE, what)


def training_gradients(case: Case) -> None:
    """Gradients of a loss on energy, forces and stress by two weights of every part."""
    model, graphs = case.model.copy().requires_grad_(True), case.batch()
    named = dict(model.named_parameters())

    def loss(training: bool) -> torch.Tensor:
        said = model.predict(graphs, training=training, stress=True)
        assert said.stress is not None
        return (
            said.forces.square().sum()
            + 10.0 * said.stress.square().sum()
            + 1e-3 * said.interaction_energy.square().sum()
        )

    loss(True).backward()
    moves = False
    for part, names in parts_of(model).items():
        for name in dict.fromkeys((names[0], names[-1])):
            weight = named[name]
            if weight.grad is None:
                continue
            place = int(weight.grad.abs().argmax())
            gradient = float(weight.grad.reshape(-1)[place])
            flat, values = weight.detach().view(-1), []
            kept = float(flat[place])
            for step in (STEP, -STEP):
                flat[place] = kept + step
                values.append(float(loss(False)))
            flat[place] = kept
            slope = (values[0] - values[1]) / (2 * STEP)
            allowed = 1e-4 * max(1e-3, abs(slope))
            require_true(
                abs(gradient - slope) <= allowed,
                f"gradient of a loss on forces by {name} ({part}): {gradient:.6g}, by differences "
                f"{slope:.6g}",
            )
            moves = moves or gradient != 0
    require_true(moves, "no weight has a gradient of a loss on forces")


def cutoff(case: Case) -> None:
    """Energy and forces of a pair go to nothing at the cutoff without a jump."""
    model = case.model
    numbers = [model.elements[0], model.elements[-1]]

    def pair(distance: float) -> Frame:
        return Frame(Atoms(numbers, positions=[[0, 0, 0], [0, 0, distance * model.cutoff]]))

    apart, just, near = (case.predict([pair(x)]) for x in (1.00001, 0.99999, 0.5))
    size = max(1.0, float(near.forces.abs().max()))
    jump = abs(float(just.energy - apart.energy))
    require_true(jump < 1e-6 * size, f"the energy of a pair jumps by {jump:.2g} eV at the cutoff")
    force = float(just.forces.abs().max())
    require_true(force < 1e-3 * size, f"the force of a pair is {force:.2g} eV/Å at the cutoff")


def rotation(case: Case) -> None:
    """Energies do not see a rotation or inversion of space; forces and stress turn with it."""
    turn = Rotation.from_euler("xyz", [0.3, 1.1, -0.7]).as_matrix()
    before = case.predict()
    for kind, matrix in (("rotation", turn), ("inversion", -np.eye(3))):

        def rotate(atoms: Atoms, matrix: np.ndarray = matrix) -> None:
            atoms.set_cell(atoms.cell.array @ matrix.T)
            atoms.positions = atoms.positions @ matrix.T

        after = case.predict([moved(f, rotate) for f in case.frames])
        m = torch.tensor(matrix, dtype=torch.float64, device=before.forces.device)
        assert before.stress is not None and after.stress is not None
        require_close(after.energy, before.energy, ROUNDING, f"energies after a {kind}")
        shares = "energies of atoms after a " + kind
        require_close(after.node_energies, before.node_energies, ROUNDING, shares)
        require_close(after.forces, before.forces @ m.T, ROUNDING, f"forces after a {kind}")
        require_close(after.stress, m @ before.stress @ m.T, ROUNDING, f"stress after a {kind}")


def translation(case: Case) -> None:
    """Where a structure lies, and which cell describes a crystal, changes nothing."""

    def shift(atoms: Atoms) -> None:
        atoms.positions += (1.3, -20.0, 7.1)
        if atoms.pbc.all():
            atoms.positions[0] += 2 * atoms.cell[0] - atoms.cell[2]
            atoms.set_cell(np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]]) @ atoms.cell.array)

    before, after = case.predict(), case.predict([moved(f, shift) for f in case.frames])
    for name in ("energy", "node_energies", "forces", "stress"):
        what = f"{name} after a translation and another choice of the cell"
        require_close(getattr(after, name), getattr(before, name), ROUNDING, what)


def permutation(case: Case) -> None:
    """The order of the atoms does not matter."""
    order = np.random.default_rng(0).permutation(len(case.molecule))
    before = case.predict([case.molecule])
    after = case.predict([Frame(case.molecule.atoms[order])])
    require_close(after.energy, before.energy, ROUNDING, "energy of permuted atoms")
    require_close(after.forces, before.forces[order], ROUNDING, "forces on permuted atoms")
    shares = before.node_energies[order]
    require_close(after.node_energies, shares, ROUNDING, "energies of permuted atoms")


def extensivity(case: Case) -> None:
    """A supercell is so many cells, and two copies out of each other's reach are twice one."""
    one = case.predict([case.crystal])
    many = case.predict([Frame(case.crystal.atoms.repeat(2))])
    assert one.stress is not None and many.stress is not None
    require_close(many.energy, 8 * one.energy, ROUNDING, "energy of a 2×2×2 supercell")
    require_close(many.forces, one.forces.repeat(8, 1), ROUNDING, "forces in a 2×2×2 supercell")
    require_close(many.stress, one.stress, ROUNDING, "stress of a 2×2×2 supercell")
    atoms = case.molecule.atoms.copy()
    away = atoms.copy()
    away.positions[:, 0] += np.ptp(atoms.positions[:, 0]) + 2 * case.model.cutoff
    alone, both = case.predict([case.molecule]), case.predict([Frame(atoms + away)])
    require_close(both.energy, 2 * alone.energy, ROUNDING, "energy of two distant copies")
    require_close(both.forces, alone.forces.repeat(2, 1), ROUNDING, "forces on distant copies")


def batches(case: Case) -> None:
    """A batch gives what its structures give alone; atoms' energies add up; nothing is changed."""
    graphs = case.batch()
    state = torch.random.get_rng_state()
    together = case.model.predict(graphs, stress=True)
    untouched = torch.equal(state, torch.random.get_rng_state())
    require_true(untouched, "a prediction changes torch's random state")
    alone = [case.predict([f]) for f in case.frames]
    for item in fields(together):
        joined = torch.cat([getattr(p, item.name) for p in alone])
        what = f"{item.name} in a batch, against each structure alone"
        require_close(getattr(together, item.name), joined, ROUNDING, what)
    sums = together.node_energies.new_zeros(graphs.n_graphs)
    sums.index_add_(0, graphs.batch, together.node_energies)
    what = "interaction energies, against the sums over atoms"
    require_close(together.interaction_energy, sums, ROUNDING, what)
    values = [getattr(together, item.name) for item in fields(together)]
    kept = any(value.requires_grad for value in values)
    require_true(not kept, "a prediction outside training carries a graph of operations")
    fresh = case.batch()
    for item in fields(graphs):
        same = torch.equal(getattr(graphs, item.name), getattr(fresh, item.name))
        require_true(same, f"a prediction changes the batch: {item.name}")
    plain = case.model.predict(graphs)
    require_true(plain.stress is None, "a stress is given that nobody asked for")


def lone_atoms(case: Case) -> None:
    """A batch without an edge: energies add up; forces and stress are zero and can be trained."""
    model = case.model.copy().requires_grad_(True)
    a, b = model.elements[0], model.elements[-1]
    far = Atoms([a, b], positions=[[0, 0, 0], [0, 0, 2 * model.cutoff]])
    box = Atoms([a], cell=[3 * model.cutoff] * 3, pbc=True)
    frames = [Frame(Atoms([a])), Frame(Atoms([b])), Frame(far), Frame(box)]
    said = model.predict(case.batch(frames), training=True, stress=True)
    assert said.stress is not None
    require_close(said.energy[2], said.energy[0] + said.energy[1], ROUNDING, "two distant atoms")
    require_close(said.forces, torch.zeros(5, 3), 0.0, "forces on atoms without neighbours")
    require_close(said.stress, torch.zeros(4, 3, 3), 0.0, "stress of atoms without neighbours")
    try:
        (said.forces.square().sum() + said.stress.square().sum()).backward()
    except RuntimeError as error:
        raise AssertionError(
            f"a loss on forces of atoms without neighbours cannot be differentiated ({error})"
        ) from error
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    finite = all(bool(torch.isfinite(g).all()) for g in gradients)
    require_true(finite, "a loss on atoms without neighbours has gradients that are no numbers")


def heads_in_one_pass(case: Case) -> None:
    """Every graph of a batch is predicted by its own head."""
    model, frame = case.model, case.molecule
    graphs = make_graphs([frame] * len(model.heads), model.cutoff, dtype=model.dtype)
    alone = [model.predict(g.with_head(k).to(model.device)) for k, g in enumerate(graphs)]
    mixed = collate([g.with_head(k) for k, g in enumerate(graphs)]).to(model.device)
    together = model.predict(mixed)
    for name in ("energy", "interaction_energy", "reference_energy", "forces"):
        joined = torch.cat([getattr(p, name) for p in alone])
        what = f"{name} of several heads in one pass, against each alone"
        require_close(getattr(together, name), joined, ROUNDING, what)
