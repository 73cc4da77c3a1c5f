"""Settings of the methods of adaptation: low-rank updates, replay, and what keeps breadth."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from pestle.settings.base import Group, Paths, setting


class LoraSettings(Group):
    """Low-rank adaptation (methods lora, multihead-lora, pseudolabel-lora)."""

    rank: int = setting(
        4,
        "Rank r of every update, the same for every irrep block; less where a block is smaller.",
        source="paper 2.4, Table 7",
        ge=1,
    )
    alpha: float | None = setting(
        None,
        "mace's scale: the update is alpha/r · BA. None: BA alone, as the paper writes it.",
        source="Eq. 1–2",
        gt=0,
    )
    init_std: float = setting(
        1e-3,
        "Standard deviation of the random A, in units of the layer's true weight; B starts at zero. "
        "mace's value for its scalar layers.",
        source="paper 2.4",
        gt=0,
    )


class ReplaySettings(Group):
    """Replay of broad structures (methods multihead, pseudolabel and both with LoRA)."""

    pool: Paths = setting(
        list,
        "Where replay structures come from: files or globs, names of mace-torch's published sets, "
        "and `generated`; several are joined. Empty: `generated` for pseudolabels, an error for multihead.",
        source="appendix E",
    )
    count: int | None = setting(
        None,
        "Replay structures to select. None: 1000, or all of a smaller pool; of `generated` 10 for each element, at least 300.",
        source="appendix A.3",
        ge=1,
    )
    filter: Literal["element", "none", "combinations", "exclusive", "inclusive"] | None = setting(
        None,
        "Which pool structures match the data's elements. element: none but the data's (the paper's matching; mace "
        "calls it combinations); exclusive: exactly the data's; inclusive: all of the data's and maybe others; none: "
        "every structure. None: none where scope is broad and the model keeps all elements, else element.",
        source="paper 2.5",
    )
    select: Literal["random", "fps", "fps-per-edge", "element-balanced", "all"] = setting(
        "random",
        "How `count` are chosen among those: at random, by farthest points in the foundation's descriptors, the same "
        "for each edge of a structure's graph (small cells are preferred where they are as new), evenly over the "
        "elements, or all of them.",
        source="appendix E",
    )
    ratio: PositiveFloat | Literal["size"] = setting(
        1.0,
        "Replay structures per target frame in an update, rounded to whole structures, at least one. size: as "
        "mace-torch mixes, batches of batch_size are drawn from all frames together, target frames repeated "
        "until they are a tenth of the replay structures or more.",
        source="Eq. 3",
    )
    every: int = setting(1, "Replay joins every so-many-th update only. Not with ratio=size.", ge=1)
    target_share: float | None = setting(
        None,
        "Share of the replay structures that pass through the target head in the place of their own, for their "
        "forces and stress: the replay head alone leaves the target head free to drift. Not with ratio=size. None: "
        "the recipe's.",
        ge=0,
        le=1,
    )
    edge_ratio: PositiveFloat | Literal["unbounded"] | None = setting(
        None,
        "Edges of the replay structures of an update at most, per edge of its target frames (one structure at "
        "least): an update costs what its edges cost, whatever the cells of the pool are. Not with ratio=size. "
        "None: the recipe's.",
    )
    energy: float | None = setting(
        None, "λ_E of the replay head. None: the recipe's.", source="Eq. 4", ge=0
    )
    forces: float | None = setting(
        None, "λ_F of the replay head. None: the recipe's.", source="Eq. 4", ge=0
    )
    stress: float | None = setting(
        None,
        "λ_S of the replay head, where stress is known. None: the recipe's.",
        source="Eq. 4",
        ge=0,
    )
    valid_fraction: float = setting(
        0.1,
        "Fraction of the replay set that is held out to watch the replay head, at most 100 structures.",
        gt=0,
        lt=1,
    )
    max_force: float = setting(
        50.0,
        "Pseudolabelled structures with a force above this are left out: there the foundation itself extrapolates.",
        unit="eV/Å",
        gt=0,
    )


class DriftSettings(Group):
    """How far the model moves from the foundation's own predictions while it trains."""

    structures: Paths = setting(
        list,
        "Structures to watch: files or globs, and `generated`; no labels needed. Empty: not watched, or "
        "`generated` where train.max_drift is given.",
    )
    count: int = setting(64, "Structures watched at most.", ge=1)


class KeepSettings(Group):
    """Keepers of breadth: what holds the model near the foundation, with any method."""

    l2sp: float | None = setting(
        None,
        "L2-SP: coefficient c of the penalty c/2 · Σ (w − w⁰)² on the distance of the trained weights from their "
        "start. None: off.",
        source="arXiv:1802.01483",
        gt=0,
    )
    ewc: float | None = setting(
        None,
        "Elastic weight consolidation: coefficient c of c/2 · Σ F (w − w⁰)², F the diagonal Fisher information of the "
        "foundation on broad structures. 1 weighs about as much as a replay loss with the target's λ. None: off.",
        source="doi:10.1073/pnas.1611835114, arXiv:2506.15223",
        gt=0,
    )
    ewc_structures: int = setting(
        100,
        "Structures on which F is measured at most: of the replay set where the method has one, else generated ones "
        "of the data's elements.",
        ge=1,
    )
    interpolate: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] | None = setting(
        None,
        "Weight interpolation after training: the model is (1 − a) · start + a · child on the trained weights. A number "
        "is a; auto: the smallest of 0, 0.1, … 1 whose validation loss is within keep.interpolate_tolerance of the "
        "lowest (and whose drift is within train.max_drift, if given). None: off.",
        source="arXiv:2109.01903",
    )
    interpolate_tolerance: float = setting(
        0.1,
        "How much larger than the lowest of the line the validation loss may be, as a fraction, for keep.interpolate: auto.",
        ge=0,
    )
    distil: float | None = setting(
        None,
        "Distillation (methods with replay): coefficient of the mean square between the atoms' energies of model and "
        "foundation on replay structures. None: off.",
        unit="1/eV²",
        source="arXiv:1503.02531, arXiv:2502.05379",
        gt=0,
    )
    sparse: float | None = setting(
        None,
        "Sparse updates: fraction of the trained weights that may move, those with the largest mean |gradient| of the "
        "target's loss at the start. Not with LoRA. None: all.",
        source="arXiv:2312.11875",
        gt=0,
        lt=1,
    )
