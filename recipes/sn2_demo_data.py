"""Make the data of ``pestle demo``: F- + CH3Cl -> CH3F + Cl- at MP2/6-31+G(d).

Level of theory: frozen-core RHF-MP2, Pople's 6-31+G(d) with its six Cartesian d functions, gas
phase, total charge -1, analytic gradients (PySCF). The isolated atoms are neutral UMP2 ground
states with the same basis and the same frozen cores (1s of C and F, 1s2s2p of Cl, none of H).

What is written to ``--out`` (extended XYZ; eV, Angstrom, eV/Angstrom):

``train.xyz``    30 reactant complexes F-...CH3Cl, 30 product complexes FCH3...Cl-, isolated atoms
``valid.xyz``    15 + 15 complexes
``test.xyz``     30 + 30 complexes
``neb_mp2.xyz``  11 images of the minimum-energy path, both relaxed complexes included

Sampling. Each complex is relaxed, its Hessian is taken from central differences of the MP2
forces, and independent frames are drawn from the classical harmonic distribution of its twelve
vibrations at 400 K: warmer than the 300 K of common molecular dynamics, so a model trained here
has some margin there, and still with a mean energy (6 kT, 0.2 eV) that belongs to the wells.
The methyl halide is turned as a rigid body where a mode turns it (see ``displace``).

No transition state. With d = r(C-Cl) - r(C-F) in Angstrom (-0.78 in the relaxed reactant complex,
+1.82 in the product complex, near +0.1 at the transition state) a reactant frame needs
d <= -0.35 and a product frame d >= +0.90. Frames over 0.6 eV above their minimum are rejected too,
and so are duplicates: sets of interatomic distances that agree within 0.02 A (RMS).

Path. ASE NEB, improved tangent, climbing image, all atoms free, BFGS. It starts from C3v
structures along which the bond orders exp(-(r - r0) / 0.65) of C-F and C-Cl change linearly.

Every MP2 result is kept in ``--work``, keyed by its geometry, so an interrupted run, started again
with the same seed, goes through the same steps and computes only what is missing.

    pip install pyscf ase
    OMP_NUM_THREADS=1 python recipes/sn2_demo_data.py --out src/pestle/demo/data
"""

import argparse
import hashlib
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.io import write
from ase.mep import NEB
from ase.optimize import BFGS
from pyscf import gto, mp, scf
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

BASIS = "6-31+g*"
SYMBOLS = ["C", "H", "H", "H", "F", "Cl"]
CARBON, FLUORINE, CHLORINE = 0, 4, 5
ATOM_SPIN = {"H": 1, "C": 2, "F": 1, "Cl": 1}  # unpaired electrons
TEMPERATURE = 400.0  # K
D_REACTANT, D_PRODUCT = -0.35, 0.90  # A, limits of r(C-Cl) - r(C-F); see above
MAX_ENERGY = 0.60  # eV above the minimum
MIN_DIFFERENCE = 0.02  # A, root mean square over the interatomic distances
SPLITS = {"train": 30, "valid": 15, "test": 30}  # frames of each complex
GUESSES = {  # r(C-F), r(C-Cl), r(C-H), height of H over C along F -> Cl; Angstrom
    "reactant_complex": (2.55, 1.85, 1.08, -0.32),
    "product_complex": (1.43, 3.20, 1.09, 0.35),
}


def mp2(positions):
    """Return the frozen-core MP2 energy (eV) and forces (eV/A) of the anion at positions (A)."""
    atom = list(zip(SYMBOLS, positions, strict=True))
    mol = gto.M(atom=atom, basis=BASIS, charge=-1, cart=True, verbose=0, unit="A")
    mf = scf.RHF(mol).run(conv_tol=1e-11)
    if not mf.converged:
        raise RuntimeError("SCF did not converge")
    pt = mp.MP2(mf).set_frozen().run()
    gradient = pt.nuc_grad_method().kernel()
    return float(pt.e_tot * units.Hartree), -gradient * units.Hartree / units.Bohr


def isolated_atoms():
    """Return the neutral ground-state atoms as one-atom frames with REF_energy (eV), UMP2."""
    frames = []
    for symbol, spin in ATOM_SPIN.items():
        mol = gto.M(atom=symbol, basis=BASIS, spin=spin, cart=True, verbose=0)
        result = scf.UHF(mol).run(conv_tol=1e-11)
        if symbol != "H":  # one electron: nothing to correlate
            result = mp.UMP2(result).set_frozen().run()
        frame = Atoms(symbol, pbc=False)
        energy = float(result.e_tot * units.Hartree)
        frame.info.update(config_type="IsolatedAtom", REF_energy=energy)
        frames.append(frame)
        say(f"isolated {symbol}: {energy:.6f} eV")
    return frames


class CachedMP2(Calculator):
    """ASE calculator around ``mp2`` that appends every result to a JSON-lines file.

    Positions are rounded to 1e-8 A, the resolution of the written files, before anything is
    computed: the labels belong to exactly the coordinates in the file.
    """

    implemented_properties = ("energy", "forces")

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.known = {}
        path.touch()
        for line in path.read_text().splitlines():
            with suppress(json.JSONDecodeError):  # a line cut short by an interruption
                entry = json.loads(line)
                self.known[entry["key"]] = entry

    def label(self, positions):
        """Return energy (eV) and forces (eV/A) at positions (A), from the cache if possible."""
        positions = np.round(positions, 8) + 0.0  # + 0.0 turns -0.0 into 0.0
        key = hashlib.sha1(positions.tobytes()).hexdigest()
        if key not in self.known:
            energy, forces = mp2(positions)
            self.known[key] = {"key": key, "energy": energy, "forces": forces.tolist()}
            with self.path.open("a") as file:
                file.write("\n" + json.dumps(self.known[key]))
        return self.known[key]["energy"], np.array(self.known[key]["forces"])

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Fill ``results`` for ASE's optimisers."""
        super().calculate(atoms, properties, system_changes)
        self.results["energy"], self.results["forces"] = self.label(atoms.positions)


def c3v(r_cf, r_ccl, r_ch, z_h):
    """Return the anion with F, C, Cl on the z axis; lengths in A, z_h is the height of H over C."""
    radius, angle = np.sqrt(r_ch**2 - z_h**2), 2 * np.pi * np.arange(3) / 3
    hydrogens = np.c_[radius * np.cos(angle), radius * np.sin(angle), np.full(3, z_h)]
    return Atoms(SYMBOLS, np.vstack([np.zeros(3), hydrogens, [0, 0, -r_cf], [0, 0, r_ccl]]))


def bond_difference(positions):
    """Return d = r(C-Cl) - r(C-F) in A."""
    r = np.linalg.norm(positions - positions[CARBON], axis=1)
    return r[CHLORINE] - r[FLUORINE]


def relax(name, calc):
    """Return the relaxed complex (fmax 0.002 eV/A)."""
    atoms = c3v(*GUESSES[name])
    atoms.calc = calc
    BFGS(atoms, logfile=None).run(fmax=0.002, steps=100)
    fmax = np.linalg.norm(atoms.get_forces(), axis=1).max()
    energy, d = atoms.get_potential_energy(), bond_difference(atoms.positions)
    say(f"{name}: relaxed, E = {energy:.6f} eV, fmax = {fmax:.4f} eV/A, d = {d:.3f} A")
    return atoms


def thermal_root(name, minimum, calc, step=0.01):
    """Return the (18, 18) matrix that turns normal random numbers into displacements (A).

    It is M^-1/2 sqrt(kT) H^-1/2 without the six rigid motions: its products have the classical
    harmonic distribution. A matrix root, unlike a list of modes, does not depend on how the
    eigensolver orients degenerate pairs. The mass-weighted Hessian H comes from central
    differences (step in A) of the MP2 forces.
    """
    x0, size = minimum.positions, 3 * len(minimum)
    hessian = np.empty((size, size))
    for i in range(size):
        shift = step * np.eye(size)[i].reshape(-1, 3)
        hessian[i] = (calc.label(x0 - shift)[1] - calc.label(x0 + shift)[1]).ravel() / (2 * step)
    root_mass = np.sqrt(np.repeat(minimum.get_masses(), 3))
    hessian = (hessian + hessian.T) / 2 / np.outer(root_mass, root_mass)
    centred = x0 - minimum.get_center_of_mass()
    rigid = [np.tile(axis, len(minimum)) for axis in np.eye(3)]
    rigid += [np.cross(axis, centred).ravel() for axis in np.eye(3)]
    q, _ = np.linalg.qr((np.array(rigid) * root_mass).T)
    vibration = np.eye(size) - q @ q.T
    # The rigid motions get a large eigenvalue, which puts them after the twelve vibrations.
    squares, modes = np.linalg.eigh(vibration @ hessian @ vibration + 1e3 * q @ q.T)
    squares, modes = squares[:-6], modes[:, :-6]
    if squares[0] <= 0:
        raise RuntimeError(f"{name} is not a minimum")
    wavenumbers = np.sqrt(squares) * units._hbar * units.s / units._e / units.invcm
    say(f"{name}: vibrations " + " ".join(f"{w:.0f}" for w in wavenumbers) + " 1/cm")
    root = (modes / np.sqrt(squares)) @ modes.T
    return np.sqrt(units.kB * TEMPERATURE) * root / root_mass[:, None]


def displace(minimum, shift, anion):
    """Return positions (A) of minimum moved by shift (A), the methyl halide turning rigidly.

    The soft modes turn the methyl halide against the anion by tens of degrees. Along straight
    lines that would stretch its bonds and raise the energy by electronvolts; so the part of shift
    that is a rotation of these five atoms is applied as a finite rotation.
    """
    rest = [i for i in range(len(minimum)) if i != anion]
    mass = minimum.get_masses()[rest]
    centre = mass @ minimum.positions[rest] / mass.sum()
    r, u = minimum.positions[rest] - centre, shift[rest]
    inertia = sum(m * (x @ x * np.eye(3) - np.outer(x, x)) for m, x in zip(mass, r, strict=True))
    angle = np.linalg.solve(inertia, mass @ np.cross(r, u))
    move = mass @ u / mass.sum()
    inner = u - move - np.cross(angle, r)
    positions = minimum.positions + shift
    positions[rest] = centre + move + Rotation.from_rotvec(angle).apply(r + inner)
    return positions


def sample(name, minimum, calc, rng, count):
    """Return count accepted frames, labelled and in random orientations."""
    root = thermal_root(name, minimum, calc)
    e_min = calc.label(minimum.positions)[0]
    reactant = name == "reactant_complex"
    frames, known, rejected = [], [], Counter()
    while len(frames) < count:
        shift = (root @ rng.normal(size=len(root))).reshape(-1, 3)
        positions = displace(minimum, shift, FLUORINE if reactant else CHLORINE)
        atoms = Atoms(SYMBOLS, Rotation.random(rng=rng).apply(positions))
        d = bond_difference(atoms.positions)
        pairs = pdist(atoms.positions)
        if d > D_REACTANT if reactant else d < D_PRODUCT:
            rejected["near the transition state"] += 1
            continue
        if any(np.sqrt(np.mean((pairs - other) ** 2)) < MIN_DIFFERENCE for other in known):
            rejected["duplicate"] += 1
            continue
        energy, forces = calc.label(atoms.positions)
        if energy - e_min > MAX_ENERGY:
            rejected["energy"] += 1
            continue
        frames.append(labelled(atoms, energy, forces, name))
        known.append(pairs)
        say(f"{name}: frame {len(frames)}/{count}, E - Emin = {energy - e_min:.3f} eV, d = {d:.2f}")
    say(f"{name}: rejected {dict(rejected)}")
    return frames


def bond_order_path(first, last, images):
    """Return positions (A) of C3v structures from first to last, evenly spaced in Cartesians."""

    def internals(atoms):
        """Bond orders of C-F and C-Cl; r(C-H) and height of H over C in A."""
        r = np.linalg.norm(atoms.positions - atoms.positions[CARBON], axis=1)
        axis = atoms.positions[CHLORINE] - atoms.positions[FLUORINE]
        z_h = (atoms.positions[1] - atoms.positions[CARBON]) @ axis / np.linalg.norm(axis)
        return np.array([np.exp(-(r[4] - 1.40) / 0.65), np.exp(-(r[5] - 1.78) / 0.65), r[1], z_h])

    start, end = internals(first), internals(last)
    dense = []
    for x in np.linspace(0, 1, 401):
        n_f, n_cl, r_ch, z_h = start + x * (end - start)
        atoms = c3v(1.40 - 0.65 * np.log(n_f), 1.78 - 0.65 * np.log(n_cl), r_ch, z_h)
        dense.append(atoms.positions - atoms.positions.mean(axis=0))
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=(1, 2)))]
    picks = np.abs(length[:, None] - np.linspace(0, length[-1], images)).argmin(axis=0)
    return [dense[i] for i in picks]


def relaxed_path(first, last, calc, fmax, steps, images=11):
    """Return the images of the minimum-energy path with their true energies and forces."""
    chain = [Atoms(SYMBOLS, x) for x in bond_order_path(first, last, images)]
    for atoms in chain:
        atoms.calc = calc
    neb = NEB(chain, k=1.0, method="improvedtangent", allow_shared_calculator=True)

    def report():
        residual = np.linalg.norm(neb.get_forces(), axis=1).max()
        barrier = neb.energies.max() - neb.energies[0]
        say(f"neb: climb {neb.climb}, fmax {residual:.3f} eV/A, barrier {barrier:.4f} eV")

    for climb in (False, True):  # the highest image climbs once the path is settled
        neb.climb = climb
        optimiser = BFGS(neb, logfile=None, maxstep=0.1)
        optimiser.attach(report)
        if not optimiser.run(fmax=fmax, steps=steps):
            say(f"neb: NOT converged to {fmax} eV/A after {steps} steps")
    frames = [labelled(x, *calc.label(x.positions), "neb_mp2") for x in chain]
    for index, frame in enumerate(frames):
        frame.info["image"] = index
    return frames


def labelled(atoms, energy, forces, config_type):
    """Return a copy of atoms that carries energy (eV) and forces (eV/A) under the REF_ keys."""
    frame = Atoms(atoms.symbols, np.round(atoms.positions, 8) + 0.0, pbc=False)
    frame.info.update(config_type=config_type, total_charge=-1, REF_energy=energy)
    frame.arrays["REF_forces"] = forces
    return frame


def save(path, frames):
    """Write frames through a temporary name, so that a half-written file is never found."""
    temporary = path.with_name(path.name + ".part")
    write(temporary, frames, format="extxyz")
    temporary.replace(path)
    say(f"wrote {path.name}: {len(frames)} frames, {path.stat().st_size / 1000:.0f} kB")


def say(text):
    """Print a progress line at once."""
    print(text, flush=True)


def main():
    """Make the four files."""
    parser = argparse.ArgumentParser(description="Make the MP2 data of `pestle demo`.")
    here = Path(__file__).resolve().parent
    parser.add_argument("--out", type=Path, default=here.parent / "src/pestle/demo/data")
    parser.add_argument("--work", type=Path, default=here / "work", help="cache of MP2 results")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--fmax", type=float, default=0.05, help="NEB convergence, eV/A")
    parser.add_argument("--neb-steps", type=int, default=60)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.work.mkdir(parents=True, exist_ok=True)

    calc = CachedMP2(args.work / "sn2_mp2.jsonl")
    rng = np.random.default_rng(args.seed)
    minima = {name: relax(name, calc) for name in GUESSES}
    files = {split: [] for split in SPLITS}
    for name, minimum in minima.items():
        frames = sample(name, minimum, calc, rng, sum(SPLITS.values()))
        for split, count in SPLITS.items():  # frames are independent draws: any cut is random
            files[split] += frames[:count]
            frames = frames[count:]
    files["train"] = isolated_atoms() + files["train"]
    for split, frames in files.items():
        save(args.out / f"{split}.xyz", frames)
    save(args.out / "neb_mp2.xyz", relaxed_path(*minima.values(), calc, args.fmax, args.neb_steps))


if __name__ == "__main__":
    main()
