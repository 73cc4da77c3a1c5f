"""XYZ files as people have them: each oddity is read as it is meant, or refused with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pestle.errors import PestleError
from pestle.structures.reading import Reading, read_frames

COLUMNS = "Properties=species:S:1:pos:R:3:REF_forces:R:3"
COMMENT = f'Lattice="5 0 0 0 6 0 0 0 7" {COLUMNS} REF_energy=-1.5'
ROWS = ("O 0 0 0 0 0 0.25", "H 0 0 1 0 0 -0.25")


def frame(*rows: str, comment: str = COMMENT, count: int | None = None) -> str:
    return f"{len(rows) if count is None else count}\n{comment}\n" + "".join(f"{r}\n" for r in rows)


def reading(tmp_path: Path, content: str | bytes, name: str = "a.xyz") -> Reading:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_frames([str(path)])


def symbols(found: Reading) -> list[str]:
    return found.frames[0].atoms.get_chemical_symbols()


@pytest.mark.parametrize(
    "content",
    [
        frame(*ROWS).encode("utf-8-sig"),
        frame(*ROWS).encode("utf-16"),
        frame(*ROWS, comment=f'{COMMENT} name="Größe"').encode("latin-1"),
        # 0x85 is a line end to some; here it stands inside a line.
        frame(*ROWS, comment=f'{COMMENT} name="a\x85b"').encode("latin-1"),
        frame(*ROWS).replace("\n", "\r\n").encode(),
        frame(*ROWS, comment=COMMENT.replace("P", "p", 1).replace("L", "l", 1)).encode(),
    ],
    ids=["utf-8 mark", "utf-16", "latin-1", "next line", "windows", "lower case"],
)
def test_encodings_and_line_ends(tmp_path: Path, content: bytes) -> None:
    (found,) = reading(tmp_path, content).frames
    assert found.energy == -1.5 and found.atoms.cell.lengths().tolist() == [5.0, 6.0, 7.0]
    assert found.forces is not None and found.forces[0].tolist() == [0.0, 0.0, 0.25]
    assert found.atoms.info.get("name", "Größe") in ("Größe", "a\x85b")


def test_exponents_of_fortran(tmp_path: Path) -> None:
    rows = ("O 0.0D+00 0 0 0 0 2.5D-01", "H 0 0 1.D0 0 0 -0.25-102")
    text = frame(*rows, comment=COMMENT.replace("-1.5", "-0.15d+01 config_type=2D1"))
    (found,) = reading(tmp_path, text).frames
    assert found.energy == -1.5 and found.config_type == "2D1"
    assert found.forces == pytest.approx(np.array([[0, 0, 0.25], [0, 0, -0.25e-102]]), abs=0)


def test_frames_after_an_empty_line_are_not_lost(tmp_path: Path) -> None:
    assert len(reading(tmp_path, frame(*ROWS) + "\n\n" + frame(*ROWS) + "\n").frames) == 2


# -- elements ------------------------------------------------------------------------------------
def test_deuterium_and_tritium_are_heavy_hydrogen(tmp_path: Path) -> None:
    found = reading(tmp_path, frame("D 0 0 0 0 0 0", "T 0 0 1 0 0 0", "H 0 1 1 0 0 0"))
    assert symbols(found) == ["H", "H", "H"]
    masses = found.frames[0].atoms.get_masses()
    assert masses == pytest.approx([2.0141, 3.0160, 1.008], abs=1e-3)
    assert "D as H of mass 2.014" in found.notes.lines()[0]


@pytest.mark.parametrize(
    ("names", "elements"),
    [
        (["CL", "NA"], ["Cl", "Na"]),
        (["C", "CL", "BR"], ["C", "Cl", "Br"]),
        (["CA", "O"], ["Ca", "O"]),
        (["O0", "H1", "H2"], ["O", "H", "H"]),
        (["Fe1", "Fe2", "O2-", "C_3"], ["Fe", "Fe", "O", "C"]),
        (["fe", "o"], ["Fe", "O"]),
        (["Cl1A", "O1W"], ["Cl", "O"]),
        (["8", "1"], ["O", "H"]),
    ],
)
def test_names_of_atoms_that_mean_one_element(
    tmp_path: Path, names: list[str], elements: list[str]
) -> None:
    rows = [f"{name} 0 0 {2 * k} 0 0 0.1" for k, name in enumerate(names)]
    found = reading(tmp_path, frame(*rows))
    assert symbols(found) == elements and "read as elements" in found.notes.lines()[0]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["CA", "C", "N"], r"frame 0: 'CA' .*Ca or C\."),
        (["HG", "H"], r"frame 0: 'HG' .*Hg or H\."),
        (["CD1", "C", "H1"], r"frame 0: 'CD1' .*Cd or C\."),
        (["CB", "O"], "CB: no element"),
        (["HW", "OW"], "HW, OW: no element"),
        (["1", "2"], "written as 1, 2: .*Z:I:1"),
        (["8", "200"], "200 is no atomic number"),
    ],
)
def test_names_of_atoms_that_mean_none_or_two(tmp_path: Path, names: list[str], why: str) -> None:
    rows = [f"{name} 0 0 {2 * k} 0 0 0.1" for k, name in enumerate(names)]
    with pytest.raises(PestleError, match=why):
        reading(tmp_path, frame(*rows))


@pytest.mark.parametrize("column", ["Z:I:1", "species:I:1", "atomic_numbers:I:1"])
def test_columns_of_atomic_numbers(tmp_path: Path, column: str) -> None:
    rows = [row.replace("O", "8").replace("H", "1") for row in ROWS]
    comment = COMMENT.replace("species:S:1", column)
    found = reading(tmp_path, frame(*rows, comment=comment))
    assert symbols(found) == ["O", "H"] and found.frames[0].forces is not None
    comment = COMMENT.replace("species:S:1", "element:S:1")
    assert symbols(reading(tmp_path, frame(*ROWS, comment=comment))) == ["O", "H"]


def test_columns_that_contradict_each_other(tmp_path: Path) -> None:
    comment = COMMENT.replace("species:S:1", "species:S:1:Z:I:1")
    rows = [row.replace("O ", "O 8 ").replace("H ", "H 6 ") for row in ROWS]
    with pytest.raises(PestleError, match=r"species .*H .*Z .*6"):
        reading(tmp_path, frame(*rows, comment=comment))
    with pytest.raises(PestleError, match="no column 'species'"):
        reading(tmp_path, frame("0 0 0", comment="Properties=pos:R:3 REF_energy=1"))


# -- incomplete frames ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "why", "cut"),
    [
        (frame(*ROWS) + frame(ROWS[0], count=2), "frame 1: the file ends after 1 of the 2", True),
        (frame(*ROWS)[:-6], "line 4 has too few columns, 6 where Properties names 7", True),
        (frame(*ROWS, count=3) + frame(*ROWS), "frame 0: line 5 has too few columns, 1 ", False),
        (frame(*ROWS, count=1), "line 4 is 'H 0 0 1.*frame 0 has more lines", False),
        (frame(ROWS[0], "H 0 0 1 0") + frame(*ROWS), "line 4 has too few columns, 5 ", False),
        (frame("O 0 0 x 0 0 0"), r"frame 0: .*\bx\b", False),
        ("words\nmore\n", "first line is 'words'", False),
        (b"2\n\0\1\2", "is not text", False),
    ],
)
def test_only_a_file_that_ends_early_is_called_cut_off(
    tmp_path: Path, text: str | bytes, why: str, cut: bool
) -> None:
    with pytest.raises(PestleError, match=why) as caught:
        reading(tmp_path, text)
    assert ("cut off" in caught.value.line) == cut
    assert str(tmp_path / "a.xyz") in caught.value.line and "\n" not in caught.value.line


# -- what stands there and is not read -----------------------------------------------------------
def test_columns_and_numbers_without_a_name_are_said(tmp_path: Path) -> None:
    found = reading(tmp_path, frame(*ROWS, comment="energy=-1.5"))
    assert found.frames[0].forces is None
    assert "3 more columns than species, pos" in found.notes.lines()[0]
    found = reading(tmp_path, frame("O 0 0 0", comment="  -76.43 converged"))
    assert "numbers without keys" in found.notes.lines()[0]
    text = frame(*ROWS) + frame(*ROWS, comment='Lattice="1 0 0 0 1 0 0 0 1" REF_energy=2.5')
    assert "(1 in" in reading(tmp_path, text).notes.lines()[0]


def test_a_stress_of_six_numbers_needs_its_own_key(tmp_path: Path) -> None:
    text = frame(*ROWS, comment=f'{COMMENT} stress="1 2 3 4 5 6"')
    with pytest.raises(PestleError, match=r"REF_stress .*xx yy zz yz xz xy"):
        reading(tmp_path, text)
    voigt = reading(tmp_path, text.replace(" stress", " REF_stress")).frames[0].stress
    assert voigt is not None and voigt[1, 2] == 4.0 and voigt[0, 1] == 6.0
