"""Keepers of breadth in a run: which ones it can use, and how the plan describes them."""

from __future__ import annotations

from pestle.adaptation import method_of
from pestle.errors import PestleError
from pestle.settings.adaptation import KeepSettings
from pestle.settings.run import RunSettings
from pestle.wording import percent

#: Settings that turn a keeper on.
KEEPERS = ("l2sp", "ewc", "interpolate", "distil", "sparse")


def keepers_on(keep: KeepSettings) -> list[str]:
    """Return the names of the keepers that the user turned on."""
    return [name for name in KEEPERS if getattr(keep, name) is not None]


def require_keepers(settings: RunSettings) -> None:
    """Check that the method can use every keeper that is turned on.

    Args:
        settings: settings of the run.

    Raises:
        PestleError: it cannot use a keeper; the error names it.
    """
    keep, method = settings.keep, method_of(settings)
    asked = keepers_on(keep)
    if asked and method.from_scratch:
        raise PestleError(
            "a model from scratch starts from random weights: there is nothing to keep",
            where=f"keep.{asked[0]}",
            fix="Leave it out, or choose another method.",
        )
    if keep.distil is not None and not method.replays:
        raise PestleError(
            f"the method {method.name} draws no replay structures whose atomic energies could be "
            "kept",
            where="keep.distil",
            fix="Choose a method with replay, e.g. --method pseudolabel, or keep.ewc.",
        )
    if keep.sparse is not None and method.low_rank:
        raise PestleError(
            "with low-rank updates half of the trained weights have no gradient at the start, by "
            "which a few could be chosen",
            where="keep.sparse",
            fix="Choose a lower lora.rank, or a method without LoRA.",
        )
    if keep.sparse is not None and settings.train.weight_decay > 0:
        raise PestleError(
            "weight decay moves every weight, also those that must stay",
            where="keep.sparse",
            fix="Leave train.weight_decay at 0.",
        )


def unused_keepers(settings: RunSettings) -> list[str]:
    """Return the dotted names of changed settings whose keeper is turned off.

    Args:
        settings: settings of the run.
    """
    keep, default = settings.keep, KeepSettings()
    belongs = {
        "ewc_structures": keep.ewc is not None,
        "interpolate_tolerance": keep.interpolate == "auto",
    }
    return [
        f"keep.{name}"
        for name, used in belongs.items()
        if not used and getattr(keep, name) != getattr(default, name)
    ]


def keeper_notes(settings: RunSettings, n_broad: int) -> list[str]:
    """Return one line for every keeper that is turned on.

    Args:
        settings: settings of the run.
        n_broad: number of structures that `keep.ewc` uses.
    """
    keep, notes = settings.keep, []
    if keep.l2sp is not None:
        notes.append(f"L2-SP {keep.l2sp:g}: the trained weights are held to their start")
    if keep.ewc is not None:
        source = "replay" if method_of(settings).replays else "generated"
        notes.append(
            f"EWC {keep.ewc:g}: weights are held that the foundation needs on {n_broad} {source} "
            "structures"
        )
    if keep.distil is not None:
        notes.append(
            f"distillation {keep.distil:g} /eV²: the foundation's energy of every atom of the "
            "replay structures is kept"
        )
    if keep.sparse is not None:
        notes.append(
            f"sparse: {percent(keep.sparse)} of the weights below may move, those with the largest "
            "gradients at the start"
        )
    if keep.interpolate == "auto":
        notes.append(
            "interpolation after training: as near to the start as a validation loss at most "
            f"{percent(keep.interpolate_tolerance)} above the lowest allows"
        )
    elif keep.interpolate is not None:
        notes.append(
            f"interpolation after training: {keep.interpolate:g} of the way from the start to "
            "what was trained"
        )
    return notes
