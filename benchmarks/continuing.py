"""What the weight of old frames does in a continued run: errors on old and new test frames.

    python benchmarks/continuing.py OUT [UPDATES]

A parent learns the 30 reactant complexes of the embedded data; its child gets 4 product complexes
besides, with old frames of several weights, or goes on from the parent's model without them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import ase.io

import pestle

DATA = Path(pestle.__file__).parent / "demo" / "data"


def part(out: Path, name: str, group: str, count: int | None = None) -> str:
    """Frames of one group as a file; isolated atoms stay with the reactants."""
    frames = ase.io.read(DATA / f"{name}.xyz", ":")
    kept = [a for a in frames if a.info["config_type"] == f"{group}_complex"][:count]
    if group == "reactant":
        kept += [a for a in frames if a.info["config_type"] == "IsolatedAtom"]
    path = out / f"{name}-{group}.xyz"
    ase.io.write(path, kept, format="extxyz")
    return str(path)


def main(out: Path, updates: int) -> None:
    out.mkdir(parents=True)
    data = {
        group: {
            f"data.{name}": [part(out, name, group, few if name == "train" else None)]
            for name in ("train", "valid", "test")
        }
        for group, few in (("reactant", None), ("product", 4))
    }
    length = {"train.updates": updates, "train.threads": 1}
    start = {"foundation": "pestle-seed1"}
    pestle.finetune(start | data["reactant"] | length, out / "parent")
    parent = str(out / "parent")
    runs = {"new frames alone": {"foundation": parent}}
    runs["chosen"] = {"parent.run": parent}
    runs |= {f"{w:g}": {"parent.run": parent, "parent.weight": w} for w in (0.1, 0.3, 1.0, 3.0)}
    old = part(out, "test", "reactant")
    rows = [("parent", out / "parent")]
    for k, (name, more) in enumerate(runs.items()):
        pestle.finetune(more | data["product"] | length, out / f"child-{k}")
        rows.append((name, out / f"child-{k}"))
    print("| weight of old frames | old test, meV/Å | meV/atom | new test, meV/Å | meV/atom |")
    print("|---|---|---|---|---|")
    for name, run in rows:
        cells = []
        for path in (old, data["product"]["data.test"][0]):
            errors = pestle.evaluate(str(run), [path])["all"]
            cells += [f"{errors.forces_rmse:.1f}", f"{errors.energy_rmse:.2f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 300)
