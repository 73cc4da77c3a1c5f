"""Labelled structures that a replay pool does not hold, to measure forgetting on.

    python benchmarks/unseen_structures.py --labelled dft_mptrj_alexandria.xyz \
        --pool omat_teacher_train.xyz --count 150 --out dft150.xyz

A structure is known by where it comes from: `config_type` and `source_index` of the labelled ones,
`source` (without what follows a colon) and `source_index` of the pool's. Seed 0.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import ase.io


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--labelled", "--pool", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    seen = {
        (a.info["source"].split(":")[0], int(a.info.get("source_index", -1)))
        for a in ase.io.read(options.pool, index=":")
    }
    unseen = [
        a
        for a in ase.io.read(options.labelled, index=":")
        if (a.info["config_type"], int(a.info["source_index"])) not in seen
    ]
    random.Random(0).shuffle(unseen)
    ase.io.write(options.out, unseen[: options.count], format="extxyz")
    print(f"{min(options.count, len(unseen))} of {len(unseen)} structures that the pool lacks")


if __name__ == "__main__":
    main()
