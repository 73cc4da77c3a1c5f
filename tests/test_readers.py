"""Files of electronic-structure programs: what is read, what is left out, what is refused."""

from __future__ import annotations

import logging
import re
import warnings
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule

import program_files as made
from pestle.errors import PestleError
from pestle.jobs.check import check
from pestle.structures.frame import Frame
from pestle.structures.reading import LabelKeys, Reading, read_frames

HARTREE, BOHR, RYDBERG = 27.211386, 0.52917721, 13.605693


def reading(path: Path, text: str, keys: LabelKeys | None = None) -> Reading:
    path.write_text(text, encoding="utf-8")
    return read_frames([str(path)], keys)


def frames(path: Path, text: str) -> list[Frame]:
    return reading(path, text).frames


def refused(path: Path, text: str) -> str:
    with pytest.raises(PestleError) as caught:
        reading(path, text)
    assert "\n" not in caught.value.line and str(path) in caught.value.line
    return caught.value.line


def formulas(found: list[Frame]) -> list[str]:
    return [f.atoms.get_chemical_formula() for f in found]


# -- VASP ----------------------------------------------------------------------------------------
def test_outcar_with_van_der_waals(tmp_path: Path) -> None:
    """The energies without dispersion stand between the others in the same lines."""
    (frame,) = frames(tmp_path / "OUTCAR", made.outcar(made.outcar_step(-14.25, vdw=True)))
    assert frame.energy == -14.25
    assert frame.forces == pytest.approx(np.array(made.FORCES))
    # 10 kbar of pressure are −10 · 0.000624151 eV/Å³ of stress.
    assert frame.stress is not None and frame.stress[0, 0] == pytest.approx(-0.00624151, rel=1e-5)


@pytest.mark.parametrize(
    ("ending", "iterations"),
    [(None, 60), ("aborting loop EDIFF was not reached (unconverged)", 30)],
)
def test_unconverged_steps_of_an_outcar_are_left_out(
    tmp_path: Path, ending: str | None, iterations: int
) -> None:
    """NELM is 60; a step may also converge in the last iteration that it has."""
    good = made.outcar_step(-14.2, iterations=60)
    bad = made.outcar_step(-13.0, iterations=iterations, ending=ending)
    found = reading(tmp_path / "OUTCAR", made.outcar(good, bad, bad, good))
    assert [f.energy for f in found.frames] == [-14.2, -14.2]
    (line,) = found.notes.lines()
    assert re.search(r"did not converge .*\(2 in", line)
    assert "none" not in line and "did not converge" in refused(
        tmp_path / "OUTCAR", made.outcar(bad)
    )


def test_steps_of_the_force_field_are_no_labels(tmp_path: Path) -> None:
    """A predicted step that is calculated right afterwards is not lost, the others are counted."""
    ml, dft = made.force_field_step(-99.0), made.outcar_step(-14.2)
    found = reading(tmp_path / "OUTCAR", made.outcar(ml, dft, ml, ml, dft, ml))
    assert [f.energy for f in found.frames] == [-14.2, -14.2]
    assert re.search(r"force field .*\(2 in", found.notes.lines()[0])
    assert "predictions are no labels" in refused(tmp_path / "OUTCAR", made.outcar(ml, ml))


def test_joined_outcars_keep_their_own_species(tmp_path: Path) -> None:
    one = made.outcar(made.outcar_step(-14.2))
    two = made.outcar(made.outcar_step(-20.0), species=(("Ti", 1), ("O", 2)))
    found = reading(tmp_path / "OUTCAR", one + two)
    assert formulas(found.frames) == ["H2O", "O2Ti"]
    assert "2 in" in found.notes.lines()[0]
    # Without the first line of the second run only its counts tell.
    assert "joins runs" in refused(
        tmp_path / "OUTCAR",
        one + made.outcar(made.outcar_step(-20.0), species=(("H", 3),)).split("\n", 1)[1],
    )


def test_joined_runs_are_of_one_functional(tmp_path: Path) -> None:
    step, xml = made.outcar_step(-14.2), made.vasprun_step(-14.2)
    text = made.outcar(step) + made.outcar(step, hybrid=True)
    assert "LHFCALC is F and T" in refused(tmp_path / "OUTCAR", text)
    text = made.vasprun(xml) + made.vasprun(xml, hybrid=True)
    assert "LHFCALC is F and T" in refused(tmp_path / "vasprun.xml", text)
    found = reading(tmp_path / "OUTCAR", made.outcar(step) + made.outcar(step, cutoff=520.0))
    assert len(found.frames) == 2 and "ENCUT = 400.0, 520.0" in str(found.notes.doubts)
    assert [f.atoms.info["ENCUT"] for f in found.frames] == ["400", "520"]


def test_an_outcar_whose_table_is_longer_than_its_header_says(tmp_path: Path) -> None:
    text = made.outcar(made.outcar_step(-14.2), species=(("O", 1), ("H", 1)))
    assert re.search(r"\b3 atoms .*\b2\b", refused(tmp_path / "OUTCAR", text))


def test_steps_without_positions_are_counted(tmp_path: Path) -> None:
    """With NWRITE=0 an OUTCAR has those of the first and the last step only."""
    step = made.outcar_step(-14.2)
    bare = step[: step.index(" POSITION")] + step[step.index("  FREE ENERGIE") :]
    found = reading(tmp_path / "OUTCAR", made.outcar(step, bare, bare, step))
    assert len(found.frames) == 2
    assert "vasprun.xml does (2 in" in found.notes.lines()[0]


def test_a_running_outcar_gives_its_finished_steps(tmp_path: Path) -> None:
    text = made.outcar(made.outcar_step(-14.2), made.outcar_step(-14.3))
    found = reading(tmp_path / "OUTCAR", text[:-700])
    assert [f.energy for f in found.frames] == [-14.2]
    assert "not finished" in found.notes.lines()[0]
    assert "cut off" in refused(tmp_path / "OUTCAR", text[:1500])


def test_vasprun(tmp_path: Path) -> None:
    """NELM iterations are a failure only where the energy still changed."""
    text = made.vasprun(
        made.vasprun_step(-14.2),
        made.vasprun_step(-13.0, iterations=60, last_change=1e-3),
        made.vasprun_step(-14.3, iterations=60),
    )
    found = reading(tmp_path / "vasprun.xml", text)
    assert [f.energy for f in found.frames] == [-14.2, -14.3]
    assert found.frames[0].atoms.positions == pytest.approx(np.array(made.WATER), abs=1e-8)
    assert re.search(r"did not converge .*\(1 in", found.notes.lines()[0])
    joined = reading(tmp_path / "vasprun.xml", text + text)
    assert [f.energy for f in joined.frames] == [-14.2, -14.3] * 2
    cut = reading(tmp_path / "vasprun.xml", text[:-500])
    assert [f.energy for f in cut.frames] == [-14.2]
    assert any("not finished" in line for line in cut.notes.lines())


def test_vasprun_with_predicted_steps(tmp_path: Path) -> None:
    """They have no electronic iterations."""
    step = made.vasprun_step(-14.2)
    predicted = step[: step.index("<scstep>")] + step[step.rindex("</scstep>") + 9 :]
    found = reading(tmp_path / "vasprun.xml", made.vasprun(step, predicted, predicted))
    assert [f.energy for f in found.frames] == [-14.2]
    assert "predictions, not DFT (2 in" in found.notes.lines()[0]
    assert "no labels" in refused(tmp_path / "vasprun.xml", made.vasprun(predicted))


@pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml"])
def test_the_free_energy_goes_with_the_forces(tmp_path: Path, name: str) -> None:
    step = made.outcar_step if name == "OUTCAR" else made.vasprun_step
    file = made.outcar if name == "OUTCAR" else made.vasprun
    text = file(step(-14.25, -14.2))
    (frame,) = frames(tmp_path / name, text)
    assert (frame.energy, frame.energy_key) == (-14.25, "free_energy")
    assert frame.energy_gap == pytest.approx(0.05)
    (other,) = reading(tmp_path / name, text, LabelKeys(energy="energy")).frames
    assert other.energy == pytest.approx(-14.2)


# -- CP2K and other trajectories with hartree in the comment -------------------------------------
def test_cp2k_files_are_put_together(tmp_path: Path) -> None:
    """By the number of the step: the cell is written for other steps than the positions."""
    steps = [(0, -17.10), (5, -17.20), (10, -17.30)]
    (tmp_path / "w-frc-1.xyz").write_text(made.cp2k_xyz(steps[::-1], made.FORCES))
    (tmp_path / "w-1.cell").write_text(made.cp2k_cell(range(11)))
    found = frames(tmp_path / "w-pos-1.xyz", made.cp2k_xyz(steps))
    assert [f.energy for f in found] == pytest.approx([e * HARTREE for _, e in steps], rel=1e-7)
    assert found[1].forces == pytest.approx(np.array(made.FORCES) * HARTREE / BOHR, rel=1e-6)
    assert found[1].atoms.cell.lengths() == pytest.approx([9.85] * 3) and found[1].is_periodic
    assert "forces of CP2K, not positions" in refused(
        tmp_path / "w-frc-1.xyz", made.cp2k_xyz(steps, made.FORCES)
    )


def test_cp2k_positions_alone_say_what_is_missing(tmp_path: Path) -> None:
    found = reading(tmp_path / "w-pos-1.xyz", made.cp2k_xyz([(0, -17.1)]))
    assert found.frames[0].energy == pytest.approx(-17.1 * HARTREE, rel=1e-7)
    assert found.frames[0].forces is None and not found.frames[0].is_periodic
    text = " ".join(found.notes.lines())
    assert "w-1.cell" in text.replace("PROJECT", "w") and "frc-1.xyz" in text


@pytest.mark.parametrize(
    ("name", "comment"),
    [
        ("job_trj.xyz", "Coordinates from ORCA-job job E -76.325"),
        ("xtbopt.log", " energy: -76.325000 gnorm: 0.000352 xtb: 6.6.1"),
    ],
)
def test_trajectories_of_orca_and_xtb(tmp_path: Path, name: str, comment: str) -> None:
    (frame,) = frames(tmp_path / name, f"2\n{comment}\nO 0 0 0\nH 0 0 1\n")
    assert frame.energy == pytest.approx(-76.325 * HARTREE, rel=1e-7)


def test_logs_say_what_to_give_instead(tmp_path: Path) -> None:
    log = " DBCSR| Multiplication driver      XSMM\n\n CP2K| version string:   CP2K 2025.1\n"
    assert "-pos-1.xyz" in refused(tmp_path / "cp2k.out", log)
    assert "dumps" in refused(tmp_path / "log.lammps", "LAMMPS (2 Aug 2023)\nunits metal\n")
    assert "OUTCAR" in refused(
        tmp_path / "OSZICAR",
        "       N       E                     dE             d eps       ncg\n",
    )
    for name in ("notes", "words.out", "words.log"):
        assert "file type" in refused(tmp_path / name, "some words\n")


# -- Gaussian, ORCA, Quantum ESPRESSO ------------------------------------------------------------
def test_all_jobs_of_a_gaussian_log(tmp_path: Path) -> None:
    """In the orientation that the forces are printed in."""
    text = made.gaussian_job(-76.1, charge=1) + made.gaussian_job(-76.2, charge=1)
    found = frames(tmp_path / "water.log", text)
    assert [f.energy for f in found] == pytest.approx([-76.1 * HARTREE, -76.2 * HARTREE], rel=1e-7)
    assert found[1].forces == pytest.approx(np.array(made.FORCES) * HARTREE / BOHR, rel=1e-6)
    assert found[1].atoms.positions == pytest.approx(np.array(made.WATER), abs=1e-6)
    assert (found[1].charge, found[1].spin) == (1.0, 1.0)


def test_gaussian_logs_that_would_be_read_wrongly(tmp_path: Path) -> None:
    path = tmp_path / "water.log"
    good = made.gaussian_job(-76.1)
    assert "NoSymm" in refused(path, made.gaussian_job(-76.1, orientations=("Standard",)))
    assert "several methods" in refused(path, good + made.gaussian_job(-76.2, method="UHF"))
    assert "ONIOM" in refused(path, good + " ONIOM: extrapolated energy =  -80.0\n")
    found = reading(path, good + made.gaussian_job(-75.0, converged=False))
    assert [f.energy for f in found.frames] == pytest.approx([-76.1 * HARTREE], rel=1e-7)
    assert "did not converge" in found.notes.lines()[0]


def test_orca_outputs(tmp_path: Path) -> None:
    path = tmp_path / "water.out"
    bad = made.orca(-70.0, converged=False)
    found = reading(path, made.orca(-76.1) + bad)
    assert [f.energy for f in found.frames] == pytest.approx([-76.1 * HARTREE], rel=1e-7)
    assert found.frames[0].forces == pytest.approx(np.array(made.FORCES) * HARTREE / BOHR, rel=1e-6)
    assert (found.frames[0].charge, found.frames[0].spin) == (1.0, 2.0)
    assert re.search(r"did not converge .*\(1 in", found.notes.lines()[0])
    assert "did not end normally" in refused(path, made.orca(-76.1, finished=False))


def test_espresso_outputs(tmp_path: Path) -> None:
    path = tmp_path / "pw.out"
    found = reading(path, made.espresso(-34.1, None, -34.2))
    energies = [-34.1 * RYDBERG, -34.2 * RYDBERG]
    assert [f.energy for f in found.frames] == pytest.approx(energies, rel=1e-6)
    assert found.frames[0].forces == pytest.approx(np.array(made.FORCES) * RYDBERG / BOHR, rel=1e-6)
    assert re.search(r"did not converge .*\(1 in", found.notes.lines()[0])
    assert "hybrid" in refused(path, made.espresso(-34.1, hybrid=True))


# -- LAMMPS --------------------------------------------------------------------------------------
def test_a_dump_gives_structures_and_no_labels(tmp_path: Path) -> None:
    text = made.dump("id element x y z fx fy fz", ["2 D 0 0 0 1 0 0", "1 O 0 0 1 2 0 0"])
    found = reading(tmp_path / "run.lammpstrj", text)
    (frame,) = found.frames
    assert frame.energy is None and frame.forces is None
    assert frame.atoms.get_chemical_symbols() == ["O", "H"]  # by id
    assert frame.atoms.get_masses() == pytest.approx([15.999, 2.014], abs=1e-3)
    assert any("neither was read" in line for line in found.notes.lines())
    (error,) = check([str(tmp_path / "run.lammpstrj")]).errors
    assert error.code == "no-labels" and "LAMMPS" in error.fix
    (frame,) = reading(tmp_path / "run.lammpstrj", text, LabelKeys(forces="lammps_forces")).frames
    assert frame.forces is not None and frame.forces[:, 0].tolist() == [2.0, 1.0]


@pytest.mark.parametrize(
    ("columns", "row", "count", "why"),
    [
        ("id type x y z", "1 1 0 0 0", 1, "only types"),
        ("id mass x y z", "1 15.03 0 0 0", 1, r"frame 0: 15\.03 .*dump_modify"),
        ("id element x y z", "1 O 0 0 0", 2, "NUMBER OF ATOMS is 2.*cut off"),
        ("id element x y z", "1 OW 0 0 0", 1, "OW: no element"),
    ],
)
def test_dumps_that_are_refused(
    tmp_path: Path, columns: str, row: str, count: int, why: str
) -> None:
    path = tmp_path / "run.lammpstrj"
    path.write_text(made.dump(columns, [row], count))
    with pytest.raises(PestleError, match=why):
        read_frames([str(path)])


def test_a_data_file_of_lammps_needs_masses(tmp_path: Path) -> None:
    text = "LAMMPS data\n\n1 atoms\n1 atom types\n0 5 xlo xhi\n0 5 ylo yhi\n0 5 zlo zhi\n\n"
    atoms = "Atoms # atomic\n\n1 1 0.0 0.0 0.0\n"
    assert "types would be taken" in refused(tmp_path / "a.lammps-data", text + atoms)
    (frame,) = frames(tmp_path / "a.lammps-data", f"{text}Masses\n\n1 28.086\n\n{atoms}")
    assert frame.atoms.get_chemical_formula() == "Si"


# -- whatever ASE says ---------------------------------------------------------------------------
def test_nothing_of_ase_leaks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    step = made.outcar_step(-14.2)
    no_stress = step.replace("in kB      10.00000", "in kB      ********")
    no_force = step.replace(f"{-1.5:12.5f}", "*" * 12)
    with warnings.catch_warnings(), caplog.at_level(logging.DEBUG):
        warnings.simplefilter("error")
        found = reading(tmp_path / "OUTCAR", made.outcar(no_stress, no_force, step))
        assert [f.stress is None for f in found.frames] == [True, False]
        assert len(found.notes.lines()) == 2 and all("****" in x for x in found.notes.lines())
        unfinished = made.orca(-76.1) + "ORCA SCF GRADIENT CALCULATION\n"
        assert len(frames(tmp_path / "water.out", unfinished)) == 1
    assert not caplog.records and capsys.readouterr() == ("", "")


def test_what_a_reader_raises_becomes_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("garbage")
    with pytest.raises(PestleError, match=r"a\.db") as caught:
        read_frames([str(tmp_path / "a.db")])
    assert "cut off" not in caught.value.line
    with ase.io.Trajectory(tmp_path / "a.traj", "w") as trajectory:
        trajectory.write(molecule("H2O"))
    whole = (tmp_path / "a.traj").read_bytes()
    (tmp_path / "a.traj").write_bytes(whole[:-30])
    with pytest.raises(PestleError, match=r"a\.traj") as caught:
        read_frames([str(tmp_path / "a.traj")])
    assert "\n" not in caught.value.line
