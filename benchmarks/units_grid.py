"""Does `pestle check` name the unit of labels? Every unit × every reference set, as a table.

    python benchmarks/units_grid.py DATA [--foundation NAME] [--sets sn2,ice] [--frames 40]

DATA holds the reference sets in folders (see CONTRIBUTING). Each set is thinned, its labels are
converted to each case below, and the findings about units are compared with the truth:

- right: every property that was converted is named with its factor, and nothing else is claimed;
- part: some are named rightly, nothing is claimed wrongly;
- silent: nothing is claimed (right for the case `as they are`);
- wrong: a factor is claimed that is not the truth, or two lines contradict.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pestle.checks import CheckReport, check_frames
from pestle.checks.against_foundation import check_with_foundation
from pestle.foundations import load_foundation
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import KnownPredictions
from pestle.structures.frame import Frame
from pestle.structures.reading import read_frames

HA, BOHR, KCAL, KJ, GPA = (
    27.211386245988,
    0.529177210903,
    0.0433641153,
    0.0103642697,
    1 / 160.2176634,
)
PER_ATOM = "n"


@dataclass(frozen=True)
class Case:
    """Factors that turn what is written into eV, eV/Å, eV/Å³; 'n' is the number of atoms."""

    name: str
    energy: float = 1.0
    forces: float = 1.0
    stress: float | str = 1.0
    per_atom: bool = False

    def written(self, frame: Frame) -> Frame:
        """The frame as a file of this kind would hold it."""
        size = len(frame) if self.per_atom and len(frame) > 1 else 1
        factor = (
            -1 / frame.atoms.get_volume()
            if self.stress == "virial" and frame.stress is not None
            else self.stress
        )
        return replace(
            frame,
            energy=None if frame.energy is None else frame.energy / self.energy / size,
            forces=None if frame.forces is None else frame.forces / self.forces,
            stress=None if frame.stress is None else frame.stress / factor,
        )

    def truth(self, frames: list[Frame]) -> dict[str, tuple]:
        """Property → (factor, whether per atom) for those that are not in Pestle's units."""
        told = {}
        if any(f.energy is not None for f in frames) and (self.energy != 1 or self.per_atom):
            told["energy"] = (self.energy, self.per_atom)
        if any(f.forces is not None for f in frames) and self.forces != 1:
            told["force"] = (self.forces, False)
        if any(f.stress is not None for f in frames) and self.stress != 1:
            told["stress"] = (self.stress, False)
        return told


CASES = (
    Case("as they are"),
    Case("Ha, Ha/Bohr", HA, HA / BOHR),
    Case("Ry, Ry/Bohr", HA / 2, HA / BOHR / 2),
    Case("kcal/mol, kcal/mol/Å", KCAL, KCAL),
    Case("kJ/mol, kJ/mol/Å", KJ, KJ),
    Case("kJ/mol, kJ/mol/nm", KJ, KJ / 10),
    Case("Ha, eV/Å", HA),
    Case("Ry, eV/Å", HA / 2),
    Case("kcal/mol, eV/Å", KCAL),
    Case("eV, Ha/Bohr", 1.0, HA / BOHR),
    Case("Ha, Ha/Å", HA, HA),
    Case("eV per atom", per_atom=True),
    Case("Ha per atom, Ha/Bohr", HA, HA / BOHR, per_atom=True),
    Case("kcal/mol per atom, kcal/mol/Å", KCAL, KCAL, per_atom=True),
    Case("−eV/Å", forces=-1.0),
    Case("Ha, −Ha/Bohr", HA, -HA / BOHR),
    Case("GPa", stress=GPA),
    Case("kbar", stress=GPA / 10),
    Case("−eV/Å³", stress=-1.0),
    Case("−GPa", stress=-GPA),
    Case("−kbar (VASP)", stress=-GPA / 10),
    Case("virial in eV", stress="virial"),
)
SETS = {
    "sn2": ["sn2/train.xyz"],
    "reactions": ["sn2/reactions_rp.xyz", "sn2/reactions_ts.xyz", "sn2/isolated_atoms.xyz"],
    "ice": ["ice/Ih_train.xyz", "ice/II_train.xyz"],
    "lithium": ["lithium/lpsc_train.xyz"],
    "electrolytes": ["lithium/other_electrolytes.xyz"],
    "nacl": ["nacl/train.xyz"],
    "spice": ["spice/*.xyz"],
    "acac": ["acac/train.xyz"],
    "3bpa": ["3bpa/train.xyz"],
    "uio66": ["uio66/uio66.xyz"],
    "dft": ["replay/dft_mptrj_alexandria.xyz"],
    "teacher": ["replay/omat_teacher_valid.xyz"],
}
# Atoms that are predicted in all for one set.
_ATOMS_PREDICTED = 2500


def read_set(data: Path, files: list[str], count: int) -> list[Frame]:
    """The first frames of each file, so that neighbours of a trajectory stay; all single atoms."""
    paths = [path for pattern in files for path in sorted(data.glob(pattern))]
    chosen: list[Frame] = []
    for path in paths:
        frames = read_frames([str(path)]).frames
        body = [f for f in frames if len(f) > 1]
        if "replay" in path.parts or "reactions" in path.name or "other" in path.name:
            body = body[:: max(1, len(body) // count)]
        chosen += body[: max(8, count // len(paths))] + [f for f in frames if len(f) == 1]
    return chosen


_FACTOR = re.compile(r"(Multiply|Divide) (?:them|it|the \w+) by ([−-]?[0-9.e+-]*[0-9])")


def claims(report: CheckReport) -> tuple[dict[str, set], bool]:
    """(property → {(factor, per atom)}, whether energies and forces are said not to match)."""
    factors: dict[str, set] = {}
    signs: dict[str, float] = {}
    for item in report.warnings:
        name, _, kind = item.code.partition("-")
        if name not in ("energy", "force", "stress") or kind not in ("units", "sign"):
            continue
        hit = _FACTOR.search(item.fix)
        if hit is None and "number of atoms" not in item.fix:
            continue  # the unit is doubted, and none is named
        value = float(hit[2].replace("−", "-")) if hit else 1.0
        value = 1 / value if hit and hit[1] == "Divide" else value
        if kind == "sign":
            signs[name] = -1.0
        elif "volume" in item.fix:
            factors.setdefault(name, set()).add(("virial", False))
        else:
            factors.setdefault(name, set()).add(
                (float(f"{value:.3g}"), "number of atoms" in item.fix)
            )
    for name, sign in signs.items():
        told = factors.get(name, {(1.0, False)})
        factors[name] = {(sign * f if isinstance(f, float) else f, per) for f, per in told}
    return factors, any(f.code == "energy-force-mismatch" for f in report.warnings)


def outcome(truth: dict[str, tuple], claimed: dict[str, set], mismatch: bool) -> str:
    """right, part, silent or wrong (see above)."""
    good = 0
    for name, told in claimed.items():
        expected = truth.get(name)
        if len(told) != 1 or expected is None:
            return "wrong"
        (factor, per_atom) = next(iter(told))
        if per_atom != expected[1] or isinstance(factor, str) != isinstance(expected[0], str):
            return "wrong"
        if isinstance(factor, float) and abs(factor / expected[0] - 1) > 0.01:
            return "wrong"
        good += 1
    if mismatch and not ({"energy", "force"} & set(truth)):
        return "wrong"
    return "right" if good == len(truth) and good else "part" if good else "silent"


def grid(
    sets: dict[str, list[Frame]], foundation: Foundation | None, show: Callable[[str], None]
) -> dict[str, Counter]:
    """Case → how often each outcome; cases that a set has no label for are left out."""
    table: dict[str, Counter] = {case.name: Counter() for case in CASES}
    for name, frames in sets.items():
        known = KnownPredictions()
        size = float(np.median([len(f) for f in frames if len(f) > 1]))
        options = {"max_frames": int(np.clip(_ATOMS_PREDICTED / size, 8, 60)), "known": known}
        for case in CASES:
            written = [case.written(f) for f in frames]
            truth = case.truth(frames)
            if not truth and case.name != "as they are":
                continue
            if foundation is None:
                report = check_frames({"train": written})
            else:
                told = [k for k, f in enumerate(frames) if not known.unknown([f])]
                known.add([written[k] for k in told], known.of([frames[k] for k in told]))
                report = check_with_foundation({"train": written}, foundation, head=None, **options)
                if not told:
                    for k, f in enumerate(written):
                        if not known.unknown([f]):
                            known.add([frames[k]], known.of([f]))
            said, mismatch = claims(report)
            result = outcome(truth, said, mismatch)
            table[case.name][result] += 1
            expected = "silent" if not truth else "right"
            if result != expected:
                show(f"  {name}, {case.name}: {result}; claimed {said}{' mismatch' * mismatch}")
    return table


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--foundation", default="pestle-seed0")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--without", action="store_true", help="only without a foundation")
    arguments = parser.parse_args()
    sets = {
        n: read_set(arguments.data, SETS[n], arguments.frames) for n in arguments.sets.split(",")
    }
    kinds = {"without a foundation": None}
    if not arguments.without:
        kinds[f"with {arguments.foundation}"] = load_foundation(arguments.foundation)
    for title, foundation in kinds.items():
        start = time.process_time()
        table = grid(sets, foundation, print)
        print(f"\n| {title} | right | part | silent | wrong |\n|---|---|---|---|---|")
        total: Counter = Counter()
        for name, row in table.items():
            print(
                f"| {name} | "
                + " | ".join(str(row[k]) for k in ("right", "part", "silent", "wrong"))
                + " |"
            )
            total += row if name != "as they are" else Counter()
        print(
            "| all but the first | "
            + " | ".join(str(total[k]) for k in ("right", "part", "silent", "wrong"))
            + " |"
        )
        print(f"\n{time.process_time() - start:.0f} s of CPU\n")


if __name__ == "__main__":
    main()
