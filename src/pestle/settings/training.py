"""Settings of the training: its loss and its optimisation."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat

from pestle.settings.base import Group, setting


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
        """The value of `schedule_patience` in complete settings."""
        assert self.schedule_patience is not None
        return self.schedule_patience

    @property
    def rate(self) -> float:
        """The learning rate in complete settings."""
        assert isinstance(self.lr, float)
        return self.lr
