"""Pestle: PES Tuning, Learning and Evaluation.

>>> import pestle
>>> pestle.check(["frames.xyz"], foundation="medium-mpa-0")  # what is in the data, what is wrong
>>> run = pestle.finetune({"foundation": "medium-mpa-0", "data.train": ["frames.xyz"]}, "runs/mine")
>>> pestle.qualify("runs/mine", scope="narrow")  # is it fit for its use?
>>> atoms.calc = pestle.load("runs/mine").calculator()

Commands are functions of the same name; `study` is `run_study`. Their results have a short `repr`,
a view for notebooks and `to_json()`. Everything is imported when first used, so that
`import pestle` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from pestle.errors import PestleError
    from pestle.foundations import load
    from pestle.foundations.torch_sim import torch_sim_model
    from pestle.jobs.catalogue import models
    from pestle.jobs.check import check
    from pestle.jobs.e0 import e0
    from pestle.jobs.evaluate import evaluate
    from pestle.jobs.export import export
    from pestle.jobs.finetune.job import finetune
    from pestle.jobs.finetune.result import Run
    from pestle.jobs.finetune.seeds import finetune_seeds
    from pestle.jobs.label import label
    from pestle.jobs.probe import probe
    from pestle.jobs.qualify import qualify
    from pestle.jobs.replay import replay
    from pestle.jobs.report import gather, report, write_figures
    from pestle.jobs.trust import trust
    from pestle.study.job import run_study

__all__ = [
    "PestleError",
    "Run",
    "check",
    "e0",
    "evaluate",
    "export",
    "finetune",
    "finetune_seeds",
    "gather",
    "label",
    "load",
    "models",
    "probe",
    "qualify",
    "replay",
    "report",
    "run_study",
    "torch_sim_model",
    "trust",
    "write_figures",
]

_HOMES = {
    "PestleError": ("pestle.errors", "PestleError"),
    "Run": ("pestle.jobs.finetune.result", "Run"),
    "check": ("pestle.jobs.check", "check"),
    "e0": ("pestle.jobs.e0", "e0"),
    "evaluate": ("pestle.jobs.evaluate", "evaluate"),
    "export": ("pestle.jobs.export", "export"),
    "finetune": ("pestle.jobs.finetune.job", "finetune"),
    "finetune_seeds": ("pestle.jobs.finetune.seeds", "finetune_seeds"),
    "gather": ("pestle.jobs.report", "gather"),
    "label": ("pestle.jobs.label", "label"),
    "load": ("pestle.foundations", "load"),
    "models": ("pestle.jobs.catalogue", "models"),
    "probe": ("pestle.jobs.probe", "probe"),
    "qualify": ("pestle.jobs.qualify", "qualify"),
    "report": ("pestle.jobs.report", "report"),
    "replay": ("pestle.jobs.replay", "replay"),
    "run_study": ("pestle.study.job", "run_study"),
    "torch_sim_model": ("pestle.foundations.torch_sim", "torch_sim_model"),
    "trust": ("pestle.jobs.trust", "trust"),
    "write_figures": ("pestle.jobs.report", "write_figures"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pestle' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    """What Tab shows: the functions, not the folders of the source."""
    return [*__all__, "__version__"]
