"""`pestle demo`: the paper's SN2 benchmark in small, on embedded data and foundation.

F⁻ + CH₃Cl → CH₃F + Cl⁻ at MP2/6-31+G(d): 60 frames of the two ion–dipole complexes for training,
none of the transition state. Training from scratch and naive fine-tuning are compared with the
foundation on test frames, along the MP2 path that they have never seen, and in the physical tests
of `pestle qualify`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pestle.jobs.finetune.job import finetune
from pestle.jobs.qualify import Qualification, qualify
from pestle.locks import locked_folder
from pestle.progress import briefly, say
from pestle.records.folder import RunFolder

FOUNDATION, COMMAND = "pestle-seed1", "pestle demo"
DATA = Path(__file__).parent / "data"

#: Epochs of each method: about twenty seconds.
EPOCHS = 20
#: Tests that the narrow scope of this data does not need, run to show what they show.
SHOWN_TOO = ("forgetting", "dimers", "rss")
#: Smaller than the first look of `pestle qualify`: the whole demo should take two minutes. Crystals
#: of one composition are relaxed side by side, which costs little more than one of them.
LOOK: dict[str, Any] = {
    "forgetting.count": 30,
    "rss.n_compositions": 1,
    "rss.structures": 10,
    "rss.cycles": 1,
    "md.time": 0.075,
    "md.ramp_time": 0.05,
}


def run_demo(out: Path) -> Qualification:
    """Run the demo.

    Args:
        out: folder to write; must be new.

    Returns:
        The verdict on the fine-tuned model.

    Raises:
        PestleError: the folder holds something already.
    """
    RunFolder(out).require_new()
    with locked_folder(out):
        asked = {
            "foundation": FOUNDATION,
            "scope": "narrow",
            "data.train": [str(DATA / "train.xyz")],
            "data.valid": [str(DATA / "valid.xyz")],
            "data.test": [str(DATA / "test.xyz")],
            "train.epochs": EPOCHS,
            "train.eval_interval": 5,
            # The demo's frames are so small that a second thread costs more than it brings.
            "train.threads": 1,
        }
        say(f"1 of 3  training from scratch, {EPOCHS} epochs: too few to converge, to compare with")
        with briefly():
            scratch = finetune(asked | {"method": "scratch"}, out / "scratch", command=COMMAND)
        if scratch.ending is not None:
            say(f"learned: {scratch.ending.learned}")
        say(f"2 of 3  fine-tuning the foundation, {EPOCHS} epochs of the same frames")
        naive = asked | {"method": "naive"}
        finetune(naive, out / "naive", command=COMMAND, qualify_follows=True)
        say("3 of 3  testing the fine-tuned model, its breadth, too, beside the others")
        return qualify(
            str(out / "naive"),
            also=[str(out / "scratch")],
            path=[f"SN2 reaction={DATA / 'neb_mp2.xyz'}"],
            run_too=SHOWN_TOO,
            settings=LOOK,
            command=COMMAND,
        )
