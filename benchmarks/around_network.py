"""Where the CPU time of one `pestle finetune` goes: a table of seconds by stage.

    python benchmarks/around_network.py --foundation seed0.model --train train.xyz \\
        [--valid valid.xyz] [--test test.xyz] --epochs 10 [--batch-size 5] [--out RUN_DIR]

Naive fine-tuning on one thread with the elements of the data, as in versus_mace.py. The functions
of a stage are wrapped from outside; a wrapped function that another one calls is counted once, in
its own stage. Seconds are those of user and system together, the system's share stands beside.
"""

from __future__ import annotations

import argparse
import builtins
import functools
import gc
import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Stage → functions whose time it gets, `module:name` or `module:class.name`. A module that took a
#: function in by name is wrapped there.
STAGES: dict[str, list[str]] = {
    "imports": [],
    "reading and checks": [
        "pestle.jobs.finetune.preparation:read_data",
        "pestle.jobs.finetune.preparation:preflight",
        "pestle.jobs.finetune.job:run_identity",
    ],
    "loading the foundation": ["pestle.jobs.finetune.preparation:load_foundation"],
    "E0s": ["pestle.jobs.finetune.preparation:reference_energies"],
    "method": [
        "pestle.jobs.finetune.preparation:make_start",
        "pestle.adaptation.methods.naive:adapt",
        "pestle.jobs.finetune.preparation:single_atoms_learnable",
    ],
    "other preparation": ["pestle.jobs.finetune.job:prepare"],
    "training graphs": ["pestle.jobs.finetune.job:training_data"],
    "gate": ["pestle.jobs.finetune.job:pass_gate"],
    "trial step": ["pestle.jobs.finetune.job:step_plan"],
    "steps: network, loss": [
        "pestle.training.loop:Trainer.compute_loss",
        "torch.autograd:backward",
    ],
    "steps: batches": ["pestle.training.batches:collate"],
    "steps: update": ["pestle.training.loop:Trainer.step"],
    "evaluations": ["pestle.training.evaluation:Evaluator.evaluate"],
    "saving the best": ["pestle.jobs.finetune.train_and_judge:write_model_folder"],
    "checkpoints": ["pestle.training.loop:Trainer._save"],
    "loop": ["pestle.training.loop:Trainer.run"],
    "reading the best back": ["pestle.jobs.finetune.train_and_judge:load_foundation"],
    "judging": ["pestle.jobs.finetune.train_and_judge:judge"],
    "exports": ["pestle.jobs.finetune.train_and_judge:write_exports"],
    "report": ["pestle.jobs.finetune.train_and_judge:write_report"],
}
REST = "rest"
#: What these call is theirs: an evaluation's own collate is no training step's.
CLOSED = ("imports", "trial step", "gate", "evaluations", "saving the best", "report")


class Times:
    """CPU seconds by stage, each second counted in the innermost stage that is open."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {name: [0.0, 0.0] for name in (*STAGES, REST)}
        self.open = [REST]
        self.last = (0.0, 0.0)

    def _charge(self) -> None:
        user, system = os.times()[:2]
        spent = self.seconds[self.open[-1]]
        spent[0] += user - self.last[0]
        spent[1] += system - self.last[1]
        self.last = (user, system)

    def wrapped(self, stage: str, function: Callable) -> Callable:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self.open[-1] in CLOSED:
                return function(*args, **kwargs)
            self._charge()
            self.open.append(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self._charge()
                self.open.pop()

        return timed

    def table(self) -> str:
        self._charge()
        rows = [(name, sum(s), s[1]) for name, s in self.seconds.items()]
        rows.append(("all", sum(r[1] for r in rows), sum(r[2] for r in rows)))
        lines = [f"{'':<24}{'CPU s':>8}{'system s':>10}"]
        return "\n".join([*lines, *(f"{n:<24}{t:8.2f}{s:10.2f}" for n, t, s in rows)])


def wrap_stages(times: Times) -> None:
    """Wrap every function of STAGES in the module or class that holds it."""
    builtins.__import__ = times.wrapped("imports", builtins.__import__)
    importlib.import_module = times.wrapped("imports", importlib.import_module)
    for stage, names in STAGES.items():
        for name in names:
            module, _, path = name.partition(":")
            holder: Any = importlib.import_module(module)
            *parents, last = path.split(".")
            for parent in parents:
                holder = getattr(holder, parent)
            setattr(holder, last, times.wrapped(stage, getattr(holder, last)))
    # The table of methods holds the functions themselves.
    methods = importlib.import_module("pestle.adaptation").METHODS
    naive = importlib.import_module("pestle.adaptation.methods.naive")
    object.__setattr__(methods["naive"], "adapt", naive.adapt)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--foundation", "--train"):
        parser.add_argument(name, required=True)
    for name in ("--valid", "--test"):
        parser.add_argument(name)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="run folder; by default one that is gone after")
    options = parser.parse_args()
    times = Times()
    # The program sets these before it imports what is heavy.
    gc.set_threshold(*importlib.import_module("pestle.cli").GARBAGE_THRESHOLDS)
    wrap_stages(times)
    from pestle.cli import main as pestle

    settings = {
        "elements": "data", "train.epochs": options.epochs, "train.patience": options.epochs,
        "recipe": "paper", "train.eval_interval": 1,
        "train.batch_size": options.batch_size, "train.seed": options.seed, "train.threads": 1,
        "train.device": "cpu",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary) / "run"
        sys.argv = ["pestle", "finetune", "--foundation", options.foundation, "--trust"]
        sys.argv += ["--data", options.train, "-o", str(out)]
        for name in ("valid", "test"):
            if getattr(options, name):
                sys.argv += [f"--{name}", getattr(options, name)]
        for key, value in settings.items():
            sys.argv += ["--set", f"{key}={value}"]
        try:
            pestle()
        except SystemExit as end:
            if end.code:
                raise
    print(times.table())


if __name__ == "__main__":
    main()
