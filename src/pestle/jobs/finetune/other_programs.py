"""Files for other programs that the model of a run will not give, known before training."""

from __future__ import annotations

from pestle.adaptation.low_rank import LowRankModel
from pestle.foundations.capabilities import LammpsFiles, OwnFile
from pestle.foundations.interface import TARGET_HEAD, Foundation


def files_not_given(model: Foundation) -> str:
    """Say which files for other programs a model cannot be written as, why, and what to do.

    Args:
        model: the adapted model, with the E0s of the run.

    Returns:
        One line; empty if `pestle export` can write all of them.
    """
    written = model.base if isinstance(model, LowRankModel) else model
    why = f"a '{written.backend}' model has none"
    lacks = []
    if not isinstance(written, OwnFile):
        lacks.append(f"for ASE ({why})")
    elif obstacle := written.export_obstacle(head=TARGET_HEAD):
        lacks.append(f"for ASE ({obstacle})")
    if not isinstance(written, LammpsFiles):
        lacks.append(f"for LAMMPS ({why})")
    if not lacks:
        return ""
    return (
        f"`pestle export` cannot write the result {' or '.join(lacks)}: use it by "
        "pestle.load(RUN).calculator(), or choose another foundation"
    )
