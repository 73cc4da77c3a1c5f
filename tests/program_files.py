"""Small files as programs write them, cut to the lines that readers look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Vectors = Sequence[Sequence[float]]
WATER = [[0.0, 0.0, 0.1193], [0.0, 0.7632, -0.4770], [0.0, -0.7632, -0.4770]]
FORCES = [[0.0, 0.0, -1.5], [0.0, 0.25, 0.75], [0.0, -0.25, 0.75]]
CELL = [[8.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 10.0]]


# -- VASP ----------------------------------------------------------------------------------------
def outcar(
    *steps: str,
    species: Sequence[tuple[str, int]] = (("O", 1), ("H", 2)),
    nelm: int = 60,
    hybrid: bool = False,
    cutoff: float = 400.0,
) -> str:
    """An OUTCAR of these steps (`outcar_step`, `force_field_step`)."""
    potcars = [f" POTCAR:    PAW_PBE {name} 08Apr2002" for name, _ in species]
    lines = [
        " vasp.6.3.0 20Jan22 (build May 08 2022 00:08:36) complex",
        " INCAR:",
        *potcars,
        *(
            line
            for potcar, (name, _) in zip(potcars, species, strict=True)
            for line in (potcar, f"   VRHFIN ={name}: s2p4")
        ),
        "   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1"
        "   number of bands    NBANDS=      8",
        "   number of dos      NEDOS =    301   number of ions     NIONS ="
        f" {sum(n for _, n in species):6d}",
        f"   ions per type =     {' '.join(str(n) for _, n in species)}",
        "   ISPIN  =      1    spin polarized calculation?",
        f"   ENCUT  = {cutoff:6.1f} eV  29.40 Ry    5.42 a.u.",
        f"   LHFCALC =     {'T' if hybrid else 'F'}    Hartree Fock is set to",
        f"   NELM   = {nelm:6d};   NELMIN=  4; NELMDL= -5     # of ELM steps",
        "   k-points in reciprocal lattice and weights: Gamma",
        "   0.00000000  0.00000000  0.00000000       1.000",
        "",
    ]
    return "\n".join([*lines, *steps, ""])


def _table(positions: Vectors, forces: Vectors, heading: str = "", extra: str = "") -> list[str]:
    rows = [
        " " + " ".join(f"{x:12.5f}" for x in [*r, *f]) + extra
        for r, f in zip(positions, forces, strict=True)
    ]
    head = f" POSITION                                       TOTAL-FORCE (eV/Angst){heading}"
    return [head, " " + "-" * 83, *rows, " " + "-" * 83, "    total drift:   0.0 0.0 0.0"]


def _cell_lines() -> list[str]:
    rows = ["  ".join(f"{x:12.9f}" for x in [*row, 0.1, 0.0, 0.0]) for row in CELL]
    return ["      direct lattice vectors                 reciprocal lattice vectors", *rows]


def outcar_step(
    free: float,
    zero: float | None = None,
    *,
    positions: Vectors = WATER,
    forces: Vectors = FORCES,
    iterations: int = 12,
    ending: str | None = "aborting loop because EDIFF is reached",
    vdw: bool = False,
) -> str:
    """A step with its free energy, and the energy extrapolated to σ → 0, in eV."""
    zero = free if zero is None else zero
    without = " eV    w/o vdW =       -99.00000000" if vdw else ""
    lines = [f"--------- Iteration      1({k:4d})  ---------" for k in range(1, iterations + 1)]
    lines += [f"----- {ending} -----"] if ending else []
    lines += [
        "  in kB      10.00000    20.00000    30.00000     1.00000     2.00000     3.00000",
        *_cell_lines(),
        *_table(positions, forces, ",  FORCE-w/o vdW" * vdw, " 0.1 NaN 0.1" * vdw),
        "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)",
        "  ---------------------------------------------------",
        f"  free  energy   TOTEN  = {free:18.8f} eV{without[3:] if vdw else ''}",
        "",
        f"  energy  without entropy= {free:18.8f}{without}  energy(sigma->0) = {zero:18.8f}"
        f"{without}",
    ]
    return "\n".join(lines)


def force_field_step(energy: float, *, positions: Vectors = WATER) -> str:
    """A step of VASP's own machine-learned force field."""
    lines = [
        "  in kB       0.00000     0.00000     0.00000     0.00000     0.00000     0.00000",
        *_cell_lines(),
        *_table(positions, FORCES, " (ML)"),
        "  ML FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)",
        "  ---------------------------------------------------",
        f"  free  energy ML TOTEN  = {energy:18.8f} eV",
        "",
        f"  ML energy  without entropy= {energy:18.8f}  ML energy(sigma->0) = {energy:18.8f}",
    ]
    return "\n".join(lines)


def vasprun(
    *steps: str, species: Sequence[str] = ("O", "H", "H"), nelm: int = 60, hybrid: bool = False
) -> str:
    """A vasprun.xml of these steps (`vasprun_step`)."""
    atoms = "".join(f"<rc><c>{name} </c><c>   1</c></rc>" for name in species)
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n'
        f'<incar><i type="int" name="NELM">{nelm:6d}</i>'
        '<i name="EDIFF">      0.00001000</i>'
        f'<i type="logical" name="LHFCALC"> {"T" if hybrid else "F"}  </i></incar>\n'
        '<kpoints><varray name="kpointlist"><v>0.0 0.0 0.0</v></varray>'
        '<varray name="weights"><v>1.0</v></varray></kpoints>\n'
        f"<atominfo><atoms> {len(species):6d} </atoms>"
        f'<array name="atoms"><set>{atoms}</set></array></atominfo>\n'
        f'<structure name="initialpos">{_xml_structure(WATER)}</structure>\n'
        + "\n".join(steps)
        + "\n</modeling>\n"
    )


def _xml_structure(positions: Vectors) -> str:
    scaled = np.linalg.solve(np.array(CELL).T, np.array(positions).T).T
    return (
        f'<crystal><varray name="basis" >{_xml_rows(CELL)}</varray></crystal>'
        f'<varray name="positions" >{_xml_rows(scaled)}</varray>'
    )


def _xml_rows(rows: Vectors | np.ndarray) -> str:
    return "".join(f"<v>{' '.join(f'{x:.10f}' for x in row)}</v>" for row in rows)


def vasprun_step(
    free: float, zero: float | None = None, *, iterations: int = 12, last_change: float = 1e-7
) -> str:
    """A step; `last_change` is that of the energy in the last electronic iteration."""
    zero = free if zero is None else zero
    scf = []
    for k in range(iterations):
        value = free + last_change * (iterations - 1 - k)
        scf.append(
            f'<scstep><energy><i name="e_fr_energy"> {value:.8f} </i>'
            f'<i name="e_0_energy"> {value + zero - free:.8f} </i></energy></scstep>'
        )
    return (
        f"<calculation>\n{''.join(scf)}\n<structure>{_xml_structure(WATER)}</structure>\n"
        f'<varray name="forces" >{_xml_rows(FORCES)}</varray>\n'
        '<varray name="stress" ><v>10. 0. 0.</v><v>0. 20. 0.</v><v>0. 0. 30.</v></varray>\n'
        f'<energy><i name="e_fr_energy"> {free:.8f} </i><i name="e_0_energy"> {zero:.8f} </i>'
        "</energy>\n</calculation>"
    )


# -- CP2K ----------------------------------------------------------------------------------------
def cp2k_xyz(steps: Sequence[tuple[int, float]], rows: Vectors = WATER) -> str:
    """PROJECT-pos-1.xyz, or -frc-1.xyz with forces for positions; (step, energy in hartree)."""
    text = ""
    for step, energy in steps:
        text += f"     3\n i = {step:8d}, time = {0.5 * step:12.3f}, E = {energy:20.10f}\n"
        for name, row in zip(("O", "H", "H"), rows, strict=True):
            text += f"  {name} " + " ".join(f"{x:19.10f}" for x in row) + "\n"
    return text


def cp2k_cell(steps: Sequence[int], length: float = 9.85) -> str:
    """PROJECT-1.cell of a cubic box in Å."""
    lines = ["#   Step   Time [fs]       Ax [Angstrom] ... Volume [Angstrom^3]"]
    for step in steps:
        box = np.diag([length] * 3).ravel()
        lines.append(f"{step:8d} {0.5 * step:12.3f} " + " ".join(f"{x:.10f}" for x in box) + " 1.0")
    return "\n".join(lines) + "\n"


# -- Gaussian, ORCA, Quantum ESPRESSO ------------------------------------------------------------
def gaussian_job(
    energy: float,
    *,
    method: str = "RB3LYP",
    orientations: Sequence[str] = ("Input", "Standard"),
    converged: bool = True,
    charge: int = 0,
) -> str:
    """A job of a Gaussian log with forces; the energy in hartree."""
    text = " Entering Gaussian System, Link 0=g16\n"
    text += f" Charge = {charge:2d} Multiplicity = 1\n"
    for k, orientation in enumerate(orientations):
        text += f"                          {orientation} orientation:\n" + " -----\n" * 2
        text += " Number     Number       Type             X           Y           Z\n -----\n"
        for i, (z, row) in enumerate(zip((8, 1, 1), WATER, strict=True), 1):
            shifted = [row[0], row[1], row[2] + 0.01 * k]
            text += f" {i:6d} {z:10d} {0:11d}    " + " ".join(f"{x:11.6f}" for x in shifted) + "\n"
        text += " -----\n"
    if not converged:
        text += " >>>>>>>>>> Convergence criterion not met.\n"
    text += f" SCF Done:  E({method}) =  {energy:.9f}     A.U. after   10 cycles\n"
    if not converged:
        return text + " Convergence failure -- run terminated.\n Error termination via Lnk1e\n"
    text += " Center     Atomic                   Forces (Hartrees/Bohr)\n"
    text += " Number     Number              X              Y              Z\n -----\n"
    for i, (z, row) in enumerate(zip((8, 1, 1), FORCES, strict=True), 1):
        text += f" {i:6d} {z:8d}    " + " ".join(f"{x:14.9f}" for x in row) + "\n"
    text += " -----\n 1\\1\\GINC-NODE\\Force\\RB3LYP\\6-31G\\H2O1\\\n"
    return text + " Normal termination of Gaussian 16 at Mon Jan  1 00:00:00 2024.\n"


def orca(energy: float | None, *, finished: bool = True, converged: bool = True) -> str:
    """An ORCA output of one geometry with its gradient; the energy in hartree."""
    text = "                                 * O   R   C   A *\n"
    text += " Total Charge           Charge          ....    1\n"
    text += " Multiplicity           Mult            ....    2\n"
    text += "Number of atoms                             ...      3\n"
    text += "CARTESIAN COORDINATES (ANGSTROEM)\n---------------------------------\n"
    for name, row in zip(("O", "H", "H"), WATER, strict=True):
        text += f"  {name} " + " ".join(f"{x:12.6f}" for x in row) + "\n"
    if energy is not None:
        word = "" if converged else "(Wavefunction not fully converged!)"
        text += f"\nFINAL SINGLE POINT ENERGY{word}      {energy:.12f}\n"
    text += "\nCARTESIAN GRADIENT\n------------------\n\n"
    for i, (name, row) in enumerate(zip(("O", "H", "H"), FORCES, strict=True), 1):
        text += f"   {i}   {name}   :  " + " ".join(f"{-x:12.9f}" for x in row) + "\n"
    return text + ("\n                 ****ORCA TERMINATED NORMALLY****\n" if finished else "")


def espresso(*energies: float | None, hybrid: bool = False) -> str:
    """An output of pw.x: one step per energy in rydberg, `None` for an unconverged one."""
    text = "     Program PWSCF v.7.0 starts\n"
    text += "     number of atoms/cell      =            3\n"
    text += "     celldm(1)=  18.897261  celldm(2)=   0.000000  celldm(3)=   0.000000\n"
    text += "     crystal axes: (cart. coord. in units of alat)\n"
    for k, row in enumerate(np.eye(3)):
        text += f"               a({k + 1}) = (   " + "   ".join(f"{x:.6f}" for x in row) + " )\n"
    text += "     site n.     atom                  positions (alat units)\n"
    for k, (name, row) in enumerate(zip(("O", "H", "H"), WATER, strict=True)):
        scaled = "  ".join(f"{x / 10:12.9f}" for x in row)
        text += f"         {k + 1}           {name}   tau(   {k + 1}) = ( {scaled}  )\n"
    text = text.replace("positions (alat units)", "positions (alat units)", 1)
    for k, energy in enumerate(energies):
        if k:
            text += "ATOMIC_POSITIONS (angstrom)\n"
            for name, row in zip(("O", "H", "H"), WATER, strict=True):
                text += f"{name} " + " ".join(f"{x:14.9f}" for x in row) + "\n"
            text += "\n"
        if energy is None:
            text += "     convergence NOT achieved after 100 iterations: stopping\n"
        else:
            text += f"!    total energy              = {energy:15.8f} Ry\n"
        text += "!!   total energy              =     -99.0 Ry\n" * hybrid
        text += "     Forces acting on atoms (cartesian axes, Ry/au):\n\n"
        for i, row in enumerate(FORCES, 1):
            values = "".join(f"{x:14.8f}" for x in row)
            text += f"     atom {i:4d} type  1   force = {values}\n"
        text += "\n"
    return text


# -- LAMMPS --------------------------------------------------------------------------------------
def dump(columns: str, rows: Sequence[str], count: int | None = None) -> str:
    """One step of a LAMMPS dump."""
    return (
        f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{len(rows) if count is None else count}\n"
        f"ITEM: BOX BOUNDS pp pp pp\n0 10.0\n0 10.0\n0 10.0\nITEM: ATOMS {columns}\n"
        + "".join(f"{row}\n" for row in rows)
    )
