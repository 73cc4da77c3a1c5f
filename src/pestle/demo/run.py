"""`pestle demo`: the paper's SN2 benchmark in small, on embedded data and foundation.

F⁻ + CH₃Cl → CH₃F + Cl⁻ at MP2/6-31+G(d): 60 frames of the two ion–dipole complexes for training,
none of the transition state. Compared are the foundation, training from scratch and naive
fine-tuning, on test frames and along the MP2 path they have never seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pestle.foundations import load_foundation
from pestle.foundations.interface import TARGET_HEAD
from pestle.jobs.finetune import finetune
from pestle.progress import say
from pestle.protocols.errors import ErrorResults, add_model
from pestle.protocols.path import path_profile, write_profile
from pestle.report import write_report
from pestle.run_folder import Manifest, RunFolder
from pestle.structures.reading import read_frames

FOUNDATION = "pestle-seed0"
DATA = Path(__file__).parent / "data"

#: Epochs of each method: about a minute on one core.
EPOCHS = 60


def run_demo(out: Path) -> dict[str, Any]:
    """Run the demo.

    Args:
        out: folder to write; must be new.

    Returns:
        `errors` (set → model → group → errors), `path` (profiles) and `report` (its file).

    Raises:
        PestleError: the folder holds something already.
    """
    RunFolder(out).require_new()
    folders = {}
    for method in ("scratch", "naive"):
        say(f"\n=== {method}: {EPOCHS} epochs ===")
        asked = {
            "foundation": FOUNDATION,
            "method": method,
            "data.train": [str(DATA / "train.xyz")],
            "data.valid": [str(DATA / "valid.xyz")],
            "data.test": [str(DATA / "test.xyz")],
            "train.epochs": EPOCHS,
            "train.eval_interval": 2,
            # The demo's frames are so small that a second thread costs more than it brings.
            "train.threads": 1,
        }
        folders[method] = RunFolder(out / method)
        finetune(asked, folders[method].path, command="pestle demo")
    return compare(folders)


def compare(folders: dict[str, RunFolder]) -> dict[str, Any]:
    """Put foundation, scratch and naive side by side in the naive run's folder and report."""
    naive = folders["naive"]
    manifest = Manifest.read(naive.manifest)
    foundation = load_foundation(FOUNDATION)
    # "fine-tuned" is what every report calls the model it is about.
    models = {
        "scratch": load_foundation(folders["scratch"].path),
        "fine-tuned": load_foundation(naive.path),
    }
    tuned = models["fine-tuned"]
    e0s = tuned.reference_energies[TARGET_HEAD]
    start = foundation.with_dtype(tuned.dtype).with_reference_energies(foundation.heads[0], e0s)

    sets = {name: read_frames([str(DATA / f"{name}.xyz")]).frames for name in ("test", "valid")}
    results = ErrorResults()
    add_model(results, "foundation", start, sets, label="foundation (with the E0s of this run)")
    for name, model in models.items():
        add_model(results, name, model, sets, head=TARGET_HEAD)
    results.write(naive.protocol("errors"))

    path = read_frames([str(DATA / "neb_mp2.xyz")]).frames
    profile = path_profile(
        path,
        {"foundation": start, **models},
        reference="MP2",
        title="F⁻ + CH₃Cl → CH₃F + Cl⁻ along the MP2 path (no transition state trained on)",
    )
    write_profile(profile, naive.protocol("path"))
    manifest.update(errors=results.sets)
    report = write_report(naive.path)
    return {"errors": results.sets, "path": profile, "report": str(report)}
