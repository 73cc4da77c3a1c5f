"""How long a study of many cells takes to plan and to report on.

    python benchmarks/study_planning.py [CELLS]

plans a study of 10,000 cells (two data sets, seeds, rates) with `pestle study --dry-run`, gives
every cell the record that a finished one has, and asks `pestle study status`. Both are timed as a
user meets them, with the start of Python; beside that stands the processor time, which does not
depend on what else the machine does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pestle
from pestle.records.study import CellRecord, CellStep
from pestle.study.plan import plan
from pestle.study.study_file import read_study

DATA = Path(pestle.__file__).parent / "demo" / "data"

STUDY = """
base:
  foundation: pestle-seed0
  data: {{valid: ["{data}/valid.xyz"]}}
matrix:
  data:
    train: {{data.train: ["{data}/train.xyz"]}}
    test: {{data.train: ["{data}/test.xyz"]}}
  method: [naive, lora, freeze-first, pseudolabel, scratch]
  data.train_fraction: [0.1, 0.3, 0.5, 0.7, 1.0]
  train.lr: [1e-5, 1e-4, 1e-3, 1e-2]
  train.seed: [{seeds}]
qualify: {{scope: narrow, with: [md], set: {{md.time: 10}}}}
"""


def timed(*command: str) -> str:
    """Time that a command takes: on the clock, and of the processor (s)."""
    started, before = time.monotonic(), os.times()
    subprocess.run([sys.executable, "-m", "pestle", *command], check=True, capture_output=True)
    after = os.times()
    spent = after.children_user + after.children_system
    spent -= before.children_user + before.children_system
    return f"{time.monotonic() - started:.1f} s ({spent:.1f} s of the processor)"


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "study.yaml"
        seeds = ", ".join(map(str, range(wanted // 200)))
        file.write_text(STUDY.format(data=DATA, seeds=seeds))
        planned = timed("study", str(file), "--dry-run")
        study = read_study(file)
        found = plan(study)
        for cell in found.record.cells:
            (study.folder / "runs" / cell.name).mkdir(parents=True)
            steps = {
                name: CellStep(key=key, status="finished", code=0, seconds=100.0)
                for name, key in cell.steps.items()
            }
            record = CellRecord(name=cell.name, axes=cell.axes, host="node", steps=steps)
            record.write(study.folder / "cells" / f"{cell.name}.json")
        found.record.write(study.folder / "plan.json")
        reported = timed("study", "status", str(file))
        print(f"{len(found.cells):,} cells: planned in {planned}, status in {reported}")


if __name__ == "__main__":
    main()
