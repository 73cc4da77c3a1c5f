"""Hyperparameters of a method, and defaults that depend on the case.

The values are in the file of each method. `resolve` replaces each `None` in a `RunSettings` by a
value and gives the reason, which the plan, the manifest and the report show.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Literal

from pestle.errors import PestleError

if TYPE_CHECKING:
    from pestle.settings.run import RunSettings


@dataclass(frozen=True)
class ReplayRecipe:
    """How replay contributes to an update; the fields are those of `ReplaySettings`."""

    energy: float = 1.0
    forces: float = 10.0
    stress: float = 1.0
    target_share: float = 0.0
    edge_ratio: float | Literal["unbounded"] = "unbounded"
    why: str = "as the paper's runs (Eq. 3 and 4, section 3.3)"


@dataclass(frozen=True)
class Recipe:
    """Optimiser settings and length of a run for one method, each with source and reason."""

    lr: float
    ema_decay: float
    clip: float
    why_lr: str
    why_ema: str
    why_clip: str
    schedule: str = "constant"
    schedule_patience: int = 5
    why_schedule: str = "the paper gives one rate for each method and averages the weights"
    epochs: int | None = 200
    why_epochs: str = "the paper names no number of epochs for its comparisons"
    replay: ReplayRecipe | None = None


def until_plateau(recipe: Recipe, patience: int = 5) -> Recipe:
    """Add a measured criterion for the end of a run to a recipe of Table 7, which gives none.

    Args:
        recipe: recipe of the paper.
        patience: number of evaluations in which the validation figure must improve.

    Returns:
        The recipe with a plateau schedule.
    """
    return replace(
        recipe,
        schedule="plateau",
        schedule_patience=patience,
        why_schedule="ends where nothing more is learned, whatever the method; measured on one "
        "target and one foundation (docs/benchmarks.md)",
        epochs=None,
    )


#: Architectures for which learning rates were measured; others get `train.lr: auto`.
MEASURED_BACKENDS = ("mace",)
#: Repeats of isolated atoms for models whose single-atom energy is learned (paper, Table 3: with
#: explicit E0s 10 bring the isolated-atom error from 15 to 1.1 meV, more gain nothing; reestimated
#: ones go from 253 to 2.7, and at 40 to 0.6).
ISOLATED_ATOM_REPEATS = 10


def resolve(
    settings: RunSettings,
    recipe: Recipe,
    *,
    atoms_learnable: bool,
    has_isolated_atoms: bool,
    backend: str = "mace",
) -> tuple[RunSettings, dict[str, str]]:
    """Choose the values that the user left open.

    Args:
        settings: the requested settings; not changed.
        recipe: recipe of the method.
        atoms_learnable: whether any weight of the starting model changes its single-atom energies.
        has_isolated_atoms: whether the training data contain IsolatedAtom frames.
        backend: architecture of the foundation.

    Returns:
        The complete settings, and dotted name → reason for each value that was chosen here.

    Raises:
        PestleError: both updates and epochs were given, or other settings exclude each other.
    """
    settings = settings.model_copy(deep=True)
    require_consistent(settings)
    reasons: dict[str, str] = {}
    train = settings.train
    # A run file contains the values of the recipe; they keep their reasons.
    fits = settings.recipe == "paper" or backend in MEASURED_BACKENDS
    if train.lr is None and not fits:
        train.lr = "auto"  # the probe gives the reason
    elif train.lr is None or (fits and train.lr == recipe.lr):
        train.lr, reasons["train.lr"] = recipe.lr, recipe.why_lr
    if train.ema_decay in (None, recipe.ema_decay):
        train.ema_decay, reasons["train.ema_decay"] = recipe.ema_decay, recipe.why_ema
    if train.clip in (None, recipe.clip):
        train.clip, reasons["train.clip"] = recipe.clip, recipe.why_clip

    if train.schedule_patience in (None, recipe.schedule_patience):
        train.schedule_patience = recipe.schedule_patience
        reasons["train.schedule_patience"] = recipe.why_schedule
    if settings.data.no_validation and train.schedule is None and recipe.schedule == "plateau":
        train.schedule = "cosine"
        reasons["train.schedule"] = (
            "without validation frames no plateau can be seen; the rate falls to 1 %, so that the "
            "last model, which is kept, is a settled one"
        )
    elif train.schedule in (None, recipe.schedule):
        train.schedule = recipe.schedule  # type: ignore[assignment]
        reasons["train.schedule"] = recipe.why_schedule
    lengths = (None, recipe.epochs)
    if recipe.epochs is not None and train.updates is None and train.epochs in lengths:
        train.epochs, reasons["train.epochs"] = recipe.epochs, recipe.why_epochs

    if recipe.replay is not None:
        _resolve_replay(settings, recipe.replay if fits else _unmeasured(recipe.replay), reasons)

    name = "data.isolated_atom_repeats"
    if settings.data.isolated_atom_repeats is None:
        if not has_isolated_atoms:
            repeats, reason = 0, "the training data hold no isolated atoms"
        elif not atoms_learnable:
            repeats, reason = 0, "no weight of this model moves its single-atom energies"
        else:
            repeats = ISOLATED_ATOM_REPEATS
            reason = (
                "weights of this model move its single-atom energies away from the E0s, so the "
                "atoms must be trained on (paper 3.2.2, Table 3)"
            )
        settings.data.isolated_atom_repeats, reasons[name] = repeats, reason
    return settings, reasons


def _unmeasured(recipe: ReplayRecipe) -> ReplayRecipe:
    """Return the replay recipe for an architecture without measurements: the paper's weights."""
    table = ReplayRecipe()
    return replace(
        recipe,
        energy=table.energy,
        forces=table.forces,
        stress=table.stress,
        why="weights as the paper's (Eq. 4), since others were measured on MACE only; shares and "
        "edges as measured there (docs/benchmarks.md)",
    )


def _resolve_replay(settings: RunSettings, recipe: ReplayRecipe, reasons: dict[str, str]) -> None:
    """Choose how replay contributes to an update."""
    replay = settings.replay
    if replay.ratio == "size":
        recipe = replace(recipe, target_share=0.0, edge_ratio="unbounded")
    for field in fields(recipe):
        if field.name == "why":
            continue
        value = getattr(recipe, field.name)
        if getattr(replay, field.name) in (None, value):
            setattr(replay, field.name, value)
            reasons[f"replay.{field.name}"] = recipe.why


def require_consistent(settings: RunSettings) -> None:
    """Check that no settings exclude each other.

    Raises:
        PestleError: some do; names them.
    """
    train, replay = settings.train, settings.replay
    if train.updates is not None and train.epochs is not None:
        raise PestleError(
            f"train.updates={train.updates} and train.epochs={train.epochs} both say how long the "
            "run is",
            where="train.updates",
            fix="Give one of them (null for the other).",
        )
    # The run file of a run with ratio=size contains these values; like None they do not conflict.
    neutral = {"every": 1, "edge_ratio": "unbounded", "target_share": 0.0}
    changed = [
        f"replay.{name}"
        for name, value in neutral.items()
        if getattr(replay, name) not in (None, value)
    ]
    if replay.ratio == "size" and changed:
        raise PestleError(
            "replay.ratio=size draws target and replay structures together: it has no use for "
            f"{' and '.join(changed)}",
            where="replay.ratio",
            fix="Leave them out, or give a number as replay.ratio.",
        )
