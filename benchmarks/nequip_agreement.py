"""A Nequix model in Pestle against labels that its authors' own program made.

    python benchmarks/nequip_agreement.py --model nequix-omat-1.nqx --labels frames.xyz \\
        [--count 500]

Single precision, as the labels. Prints the largest deviations of energy (eV/atom) and stress
(eV/Å³), and of forces in units of 5e-4 eV/Å + 1e-4 of the force; evenly taken frames with --count.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from pestle.foundations import load_foundation
from pestle.foundations.prediction import predict_frames
from pestle.structures.reading import read_frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--labels", required=True)
    parser.add_argument("--count", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)

    frames = read_frames([options.labels]).frames
    if options.count:
        chosen = np.linspace(0, len(frames) - 1, options.count).round().astype(int)
        frames = [frames[k] for k in chosen]
    said = predict_frames(load_foundation(options.model), frames)
    energy, forces, stress = [], [], []
    for frame, one in zip(frames, said, strict=True):
        energy.append(abs(one.energy - frame.energy) / len(frame))
        allowed = 5e-4 + 1e-4 * np.abs(frame.forces)
        forces.append(float((np.abs(one.forces - frame.forces) / allowed).max()))
        if one.stress is not None and frame.stress is not None:
            stress.append(float(np.abs(one.stress - frame.stress).max()))
    print(
        f"{len(frames)} frames: energy {max(energy):.1e} eV/atom, forces {max(forces):.3f} of what "
        f"is allowed, stress {max(stress):.1e} eV/Å³ ({len(stress)} frames)"
    )


if __name__ == "__main__":
    main()
