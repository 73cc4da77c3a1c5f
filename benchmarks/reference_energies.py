"""E0s by averaging and by reestimation against explicit ones, without training (paper, Table 2).

    python benchmarks/reference_energies.py --foundation pestle-seed0 --truth spice \\
        --data 'spice/*.xyz'
    python benchmarks/reference_energies.py --foundation pestle-seed0 --truth isolated_atoms.xyz \\
        --data reactions_rp.xyz

`--truth spice` takes the explicit values printed in Table 2; anything else is a file of isolated
atoms. Prints a row per element and the mean absolute errors over the elements of the data.
"""

from __future__ import annotations

import argparse

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

import pestle
from pestle.energies.methods import estimate
from pestle.structures.reading import read_frames

#: Explicit SPICE isolated-atom energies (eV), ωB97M-D3(BJ)/def2-TZVPPD: paper, Table 2.
TABLE_2 = {
    "H": -13.572,
    "C": -1030.567,
    "N": -1486.375,
    "O": -2043.934,
    "F": -2715.319,
    "P": -9287.407,
    "S": -10834.485,
    "Cl": -12522.649,
    "Br": -70045.284,
    "I": -8102.525,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--foundation", required=True)
    parser.add_argument("--truth", required=True)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--trust", action="store_true")
    options = parser.parse_args()
    if options.truth == "spice":
        truth = {atomic_numbers[s]: e for s, e in TABLE_2.items()}
    else:
        atoms = read_frames([options.truth]).frames
        truth = {int(f.numbers[0]): float(f.energy) for f in atoms if f.energy is not None}
    result = pestle.e0(
        options.data, foundation=options.foundation, method="reestimate", trust=options.trust
    )
    problem, methods = result.problem, ("average", "reestimate")
    found = {m: estimate(problem, m) for m in methods}
    elements = [z for z in problem.elements if z in truth]
    print(f"{len(problem.frames)} frames, rank {found['reestimate'].rank} of {len(elements)}")
    print(f"{'':<4}{'explicit':>14}" + "".join(f"{m:>14}{'error':>10}" for m in methods))
    for z in elements:
        row = "".join(f"{found[m].e0s[z]:14.3f}{found[m].e0s[z] - truth[z]:10.3f}" for m in methods)
        print(f"{chemical_symbols[z]:<4}{truth[z]:14.3f}{row}")
    for m in methods:
        errors = [abs(found[m].e0s[z] - truth[z]) for z in elements]
        print(f"mean absolute error, {m}: {np.mean(errors):.2f} eV")


if __name__ == "__main__":
    main()
