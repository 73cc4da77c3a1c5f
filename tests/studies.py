"""Studies for tests: files of them, and what came out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

import pestle

DATA = Path(pestle.__file__).parent / "demo" / "data"
#: A package called pestle whose runs take a fraction of a second.
TOYS = Path(__file__).parent / "toy_commands"

BASE: dict[str, Any] = {
    "foundation": "pestle-seed0",
    "train": {"updates": 2, "gate_frames": 2},
    "data": {name: [str(DATA / f"{name}.xyz")] for name in ("train", "valid", "test")},
}


def write_study(path: Path, **content: Any) -> Path:
    """A study file on the embedded data."""
    path.write_text(yaml.safe_dump({"base": BASE, **content}, sort_keys=False))
    return path


def outcomes(folder: Path) -> dict[str, Any]:
    """Run → what its toy command ended with."""
    return {
        path.parent.name: json.loads(path.read_text())
        for path in sorted((folder / "runs").glob("*/manifest.json"))
    }


if __name__ == "__main__":  # python studies.py STUDY: two workers, toy commands
    import os

    os.environ["PYTHONPATH"] = str(TOYS)
    pestle.run_study(sys.argv[1], workers=2)
