"""The run file: every setting once, with type, default, unit, meaning and source.

Validation, `--set a.b=c`, `pestle init` and the docs page (run_file.py) all come from these
classes. A default of
`None` means "chosen for this method, these data and this foundation"; `recipes.resolve` fills it in
and gives the reason, and the run folder's run.yaml holds the value that was used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, field_validator

from pestle.settings.e0_table import symbols_of
from pestle.settings.scope import Scope


def setting(default: Any, text: str, *, unit: str = "", source: str = "", **limits: Any) -> Any:
    """A documented field: default, meaning, unit, and the equation or table it comes from."""
    extra: dict[str, Any] = {"unit": unit, "source": source}
    if isinstance(default, (list, dict, BaseModel)) or callable(default):
        factory = default if callable(default) else (lambda: default)
        return Field(default_factory=factory, description=text, json_schema_extra=extra, **limits)
    return Field(default, description=text, json_schema_extra=extra, **limits)


class Group(BaseModel):
    """Settings that belong together; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


Paths = Annotated[list[str], Field()]


class DataSettings(Group):
    """Where the labelled structures are and how their labels are called."""

    train: Paths = setting(
        list, "Training files: paths or globs; extended XYZ, ASE databases, anything ASE reads."
    )
    valid: Paths = setting(
        list, "Validation files. Empty: a seeded fraction of the training frames."
    )
    test: Paths = setting(list, "Test files: never seen by training, reported by config_type.")
    valid_fraction: float = setting(
        0.1,
        "Fraction of the training frames held out where no validation file is given; isolated "
        "atoms always stay in training. 0: none; the last model is kept, and nothing ends the run early.",
        ge=0,
        lt=1,
    )
    split_seed: int = setting(
        0,
        "Seed of that fraction, apart from train.seed, so that runs of several seeds are judged on the same "
        "frames.",
        ge=0,
    )
    train_fraction: float | None = setting(
        None,
        "Fraction of the training frames that is used, drawn at random after the validation frames were held out; "
        "isolated atoms always stay. Smaller fractions lie in larger ones. None: all.",
        gt=0,
        le=1,
    )
    train_count: int | None = setting(
        None,
        "The same as a number of frames. Not with data.train_fraction. None: all.",
        ge=1,
    )
    subset_seed: int = setting(
        0,
        "Seed of that draw, apart from train.seed and data.split_seed.",
        ge=0,
    )
    select: Annotated[list[str], Field()] = setting(
        list,
        "Frames to use, KEY=VALUE or KEY=VALUE,VALUE each, where the files hold several levels of theory, charges or "
        "spins: head=pbe. Keys are head, config_type, charge, spin and the entries of the comment lines. all: every "
        "frame is of one surface, whatever the files say. Empty: every frame; frames of several surfaces stop the run.",
    )
    energy_key: str | None = setting(
        None,
        "Key of the total energy. None: REF_energy, else free_energy or energy of ASE's calculator.",
        unit="eV",
    )
    forces_key: str | None = setting(
        None,
        "Key of the forces. None: the column REF_forces, else ASE's calculator.",
        unit="eV/Å",
    )
    stress_key: str | None = setting(
        None,
        "Key of the stress (3×3, 9 or 6 numbers, ASE's sign). None: REF_stress, else ASE's calculator.",
        unit="eV/Å³",
    )
    virials_key: str | None = setting(
        None,
        "Key of the virials, turned into a stress by −virials/volume. None: REF_virials.",
        unit="eV",
    )
    dispersion: Literal["included", "none", "unknown"] = setting(
        "unknown",
        "Whether the energies of the files hold dispersion (D3, D4, VV10, a van der Waals functional). Kept in the model "
        "card, so that nobody adds a D3 correction twice or forgets it.",
    )
    subtract_dispersion: str | None = setting(
        None,
        "Functional whose two-body D3 correction is taken from energies, forces and stress of all files before training: "
        "pbe (damping bj), pbe-d3(zero). Needs the extra 'dispersion'. None: labels stay as they are.",
        source="doi:10.1063/1.3382344, doi:10.1002/jcc.21759",
    )
    isolated_atom_repeats: int | None = setting(
        None,
        "How many times each IsolatedAtom frame enters an epoch as a training point. None: 10 where the model's "
        "weights move its single-atom energies, else 0.",
        source="paper 3.2.2, Table 3",
        ge=0,
    )
    isolated_atom_weight: float = setting(
        1.0,
        "Weight of those training points in the loss.",
        source="paper, appendix B (1000 with mse)",
        gt=0,
    )

    @property
    def dispersion_left(self) -> str:
        """Whether dispersion is in the energies that are trained on."""
        return "none" if self.subtract_dispersion is not None else self.dispersion

    @property
    def takes_subset(self) -> bool:
        """Whether the run trains on a part of the training frames."""
        return self.train_fraction is not None or self.train_count is not None

    @property
    def no_validation(self) -> bool:
        """Whether the user asked for a run without validation frames."""
        return not self.valid and self.valid_fraction == 0


class LossSettings(Group):
    """What the training minimises."""

    kind: Literal["universal", "huber", "mse"] = setting(
        "universal",
        "universal: mace's Huber on per-atom energies and force components with narrower "
        "bands at large forces (the Universal/Huber of Table 3, appendix B); huber: Eq. 7–11 as printed; mse: weighted "
        'squares, the paper\'s "stress loss".',
        source="Eq. 7–11, appendix B",
    )
    energy: float = setting(10.0, "Weight λ_E.", source="paper 3.3", ge=0)
    forces: float = setting(10.0, "Weight λ_F.", source="paper 3.3", ge=0)
    stress: float = setting(1.0, "Weight λ_S, where stress is known.", source="appendix A.1", ge=0)
    huber_delta: float = setting(
        0.01, "Width of the quadratic part (eV/atom, eV/Å, eV/Å³).", source="appendix A.1", gt=0
    )
    stage_two_epoch: int | None = setting(
        None,
        "Epoch (from 1) at which the second-stage weights take over at the latest; before, where the first stage "
        "learns nothing more. Off by default: with a foundation "
        "model it destabilises training.",
        source="paper 3.3, appendix C",
        ge=1,
    )
    stage_two_energy: float = setting(
        100.0, "λ_E in the second stage.", source="ours; appendix C names none", ge=0
    )
    stage_two_forces: float = setting(
        10.0, "λ_F in the second stage.", source="ours; appendix C names none", ge=0
    )
    stage_two_stress: float = setting(
        1.0, "λ_S in the second stage.", source="ours; appendix C names none", ge=0
    )
    stage_two_lr: float | None = setting(
        None, "Learning rate of the second stage. None: unchanged.", source="appendix C", gt=0
    )


class TrainSettings(Group):
    """The optimisation."""

    updates: int | None = setting(
        None,
        "Updates at most. None: those of train.epochs, or where that is not given either, 20000 or 200 epochs, the "
        "longer.",
        ge=1,
    )
    epochs: int | None = setting(
        None, "Epochs at most, in the place of train.updates. None: not counted in epochs.", ge=1
    )
    epoch_covers: Literal["target", "all"] = setting(
        "target",
        "What an epoch is. target: as many updates as pass over the training frames once; all: as many as "
        "pass over replay structures, too, as mace-torch counts. Without replay the same.",
    )
    lr: PositiveFloat | Literal["auto"] | None = setting(
        None,
        "Learning rate of AdamW. auto: the largest that does not raise the loss in the first updates, tried on "
        "the starting weights before training. None: the recipe's where it was measured for the architecture, else auto.",
        source="Table 7",
    )
    ema_decay: float | None = setting(
        None,
        "Decay of the exponential moving average, warmed up as min(d, (1+n)/(10+n)). None: the method's.",
        source="Table 7",
        ge=0,
        lt=1,
    )
    clip: float | None = setting(
        None, "Largest gradient norm. None: the method's.", source="Table 7", gt=0
    )
    weight_decay: float = setting(
        0.0,
        "AdamW weight decay; pulls weights to zero, away from the foundation.",
        source="paper 3.3",
        ge=0,
    )
    amsgrad: bool = setting(
        True,
        "AMSGrad variant of AdamW: steps never grow again once gradients were large. The paper (A.4) names AdamW alone.",
        source="mace_run_train's default",
    )
    schedule: Literal["constant", "cosine", "exponential", "plateau"] | None = setting(
        None,
        "Learning rate over time. plateau: lowered each time the validation figure stalls, and training ends "
        "when it would fall below schedule_floor; cosine: ends at 1 % of the rate. None: the recipe's.",
    )
    schedule_factor: float = setting(
        0.3,
        "exponential: decay per epoch is factor^(1/patience); plateau: factor at each plateau.",
        gt=0,
        lt=1,
    )
    schedule_patience: int | None = setting(
        None,
        "plateau: evaluations that together improve by less than min_improvement before the rate is "
        "lowered; exponential: epochs per step down. None: the recipe's.",
        ge=1,
    )
    schedule_floor: float = setting(
        0.1, "plateau: share of the first rate below which training ends.", gt=0, lt=1
    )
    min_improvement: float = setting(
        0.05,
        "Relative improvement of the validation figure over schedule_patience evaluations below which it "
        "has stalled; a run that ends while it still improves by more is reported as not converged.",
        gt=0,
        lt=1,
    )
    warmup_steps: int = setting(0, "Steps over which the learning rate rises linearly.", ge=0)
    batch_size: int = setting(
        5, "Frames in a batch at most. Small sets need many updates per epoch.", ge=1
    )
    max_edges: int | None = setting(
        None,
        "Edges in a batch at most, so that memory is bounded whatever the cell sizes; with replay, in each of the two batches that a step joins. None: no bound.",
        ge=1,
    )
    eval_batch_edges: int | None = setting(
        None,
        "Edges in an evaluation batch at most; by default as the architecture needs memory "
        "(MACE 100000, NequIP 25000), on a CPU 10000 at most.",
        ge=1,
    )
    patience: int = setting(50, "Evaluations without improvement after which training stops.", ge=1)
    best_metric: Literal[
        "loss", "energy_rmse", "energy_mae", "forces_rmse", "forces_mae", "stress_rmse"
    ] = setting("loss", "Validation figure that chooses the model to keep.")
    best_head: Literal["Default", "pt_head"] = setting(
        "Default",
        "Head whose validation figure that is: Default is the target's, pt_head the replay's.",
    )
    max_drift: float | None = setting(
        None,
        "Forgetting budget: the model to keep may be at most so far from the foundation's own forces "
        "on the structures of drift.structures. None: no budget.",
        unit="meV/Å",
        gt=0,
    )
    eval_interval: int | None = setting(
        None,
        "Epochs between evaluations. None: as many whole epochs as make 50 updates, fewer where a run "
        "would have less than ten evaluations.",
        ge=1,
    )
    seed: int = setting(
        0,
        "Seed of the order of frames, of replay structures and of initial weights; a run repeats exactly "
        "on one machine.",
        ge=0,
    )
    dtype: Literal["float32", "float64"] = setting(
        "float64",
        "Precision of the network. float64: mace's default for training; float32 is up to twice as fast.",
    )
    device: str = setting("auto", "auto, cpu, cuda or cuda:N.")
    kernels: Literal["auto", "pestle", "mace", "cuequivariance"] = setting(
        "auto",
        "Arithmetic of the network: Pestle's own, mace's modules, or NVIDIA's cuEquivariance (MACE models; needs its packages). auto: Pestle's, which were measured faster than mace's on a CPU. Weights and files are the same.",
        source="docs/benchmarks.md",
    )
    threads: int | None = setting(
        None,
        "CPU threads of torch. None: torch's choice, all cores. Alone on two idle cores 2 threads took 0.8 to 0.9 of the time of 1; beside another program 2 to 3 times as long. Give 1 to each of several runs on one machine.",
        source="docs/benchmarks.md",
        ge=1,
    )
    checkpoint_seconds: float = setting(
        60.0,
        "Time between two checkpoints: what a run loses at most where its machine stops or it is killed. Ctrl-C and "
        "SIGTERM lose nothing. 0: a checkpoint after every update.",
        unit="s",
        ge=0,
    )
    gate_frames: int = setting(
        200, "Training frames that the zero-step gate predicts before the first update.", ge=1
    )

    @property
    def plateau(self) -> int:
        """`schedule_patience` of complete settings."""
        assert self.schedule_patience is not None
        return self.schedule_patience

    @property
    def rate(self) -> float:
        """The learning rate of complete settings."""
        assert isinstance(self.lr, float)
        return self.lr


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


class LogSettings(Group):
    """Where else the metrics go; metrics.jsonl is always written."""

    tensorboard: bool = setting(
        False,
        "Also write TensorBoard events under RUN_DIR/tensorboard (needs the extra 'tensorboard').",
    )
    wandb: str | None = setting(
        None, "Also log to this Weights & Biases project (needs the extra 'wandb')."
    )


class RunSettings(Group):
    """One fine-tuning run."""

    foundation: str = setting(
        "",
        "Catalogue name (see `pestle models`), a Pestle model or run folder, a .nqx file, or a .model file with --trust.",
    )
    recipe: Literal["measured", "paper"] = setting(
        "measured",
        "Where the values come from that are left open. measured: docs/methods.md says on what; paper: "
        "Table 7 to the letter, a constant rate and 200 epochs.",
        source="Table 7",
    )
    head: str | None = setting(
        None, "Head of the foundation to start from; must be named where there are several."
    )
    method: str = setting(
        "naive",
        "How the foundation is adapted; auto chooses from scope and data and says why.",
        source="paper 2.2–2.5",
    )
    scope: Scope | None = setting(
        None,
        "What the model is for. narrow: configurations like those of the data; broad: also others, "
        "where the foundation's breadth must survive. auto needs it.",
        source="paper 5",
    )
    elements: Literal["all", "data"] = setting(
        "all",
        "all: keep every element of the foundation; data: cut down to the elements of the data.",
    )
    e0s: str | dict[str, float] = setting(
        "auto",
        "Atomic reference energies: auto, isolated, reestimate, average, foundation; or a table with symbols or atomic numbers for keys, {H: -13.6, O: -2043.9} or as mace writes it, {1:-13.6,8:-2043.9}; or a file of JSON or YAML that holds one.",
        unit="eV",
        source="paper 2.6, Eq. 5–6",
    )
    data: DataSettings = setting(DataSettings, "Data")
    loss: LossSettings = setting(LossSettings, "Loss")
    train: TrainSettings = setting(TrainSettings, "Training")
    lora: LoraSettings = setting(LoraSettings, "LoRA")
    replay: ReplaySettings = setting(ReplaySettings, "Replay")
    drift: DriftSettings = setting(DriftSettings, "Drift")
    keep: KeepSettings = setting(KeepSettings, "Keepers of breadth")
    log: LogSettings = setting(LogSettings, "Logging")

    @field_validator("e0s", mode="before")
    @classmethod
    def _table(cls, value: Any) -> Any:
        """A table however it is written."""
        return symbols_of(value)


# -- every field by its dotted name -----------------------------------------------------------------
def walk(model: type[BaseModel] = RunSettings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, pydantic field) of every setting, in order."""
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from walk(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, info


def known_names(model: type[BaseModel] = RunSettings) -> list[str]:
    """Dotted names of all settings."""
    return [name for name, _ in walk(model)]
