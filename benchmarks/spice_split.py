"""Training, validation and test files of the SPICE subsets, as docs/benchmarks.md uses them.

    python benchmarks/spice_split.py --data 'DATA/spice/*.xyz' --out WORK

Each subset is shuffled with seed 0; every fourth frame is a test frame, one in eight of all a
validation frame. `config_type` is the subset's name where a frame has none.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import ase.io
from ase import Atoms

from pestle.structures.reading import expand_paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    parts: dict[str, list[Atoms]] = {"train": [], "valid": [], "test": []}
    for name in expand_paths([options.data]):
        frames = ase.io.read(name, index=":")
        random.Random(0).shuffle(frames)
        for k, atoms in enumerate(frames):
            atoms.info.setdefault("config_type", name.stem)
            parts["test" if k % 4 == 0 else "valid" if k % 8 == 1 else "train"].append(atoms)
    options.out.mkdir(parents=True, exist_ok=True)
    for part, frames in parts.items():
        ase.io.write(options.out / f"spice_{part}.xyz", frames, format="extxyz")
        print(f"{part}: {len(frames)} frames")


if __name__ == "__main__":
    main()
