"""Folders of finished runs for tests of comparisons: what is judged is planted, nothing trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pestle.metrics import FrameErrors
from pestle.records.data import DataFacts, SplitSummary
from pestle.records.manifest import Hardware, Manifest, Setting
from pestle.records.method import MethodFacts
from pestle.records.metrics import EvaluatedErrors, MetricsLine
from pestle.records.parts import AtomicEnergies, Convergence, File, FoundationFacts
from pestle.records.training import RateProbe, TrainingFacts
from pestle.records.verdict import Level
from report_folders import finding, verdict, write_protocol

#: What errors of the foundation are by default, and hashes of the frames.
BEFORE, FRAMES = 454.0, "5f2a"


def errors(forces: float, n_frames: int = 7) -> FrameErrors:
    """Energies a hundredth of the forces, MAE half of RMSE."""
    return FrameErrors(
        n_frames=n_frames,
        energy_rmse=forces / 100,
        energy_mae=forces / 200,
        forces_rmse=forces,
        forces_mae=forces / 2,
    )


def make_run(
    folder: Path,
    forces: float | None,
    *,
    seed: int = 0,
    method: str = "naive",
    settings: Mapping[str, Any] | None = None,
    frames: str | None = FRAMES,
    files: str = "abc",
    before: float = BEFORE,
    groups: Mapping[str, float] | None = None,
    level: Level | None = None,
    share: float = 0.2,
    device: str = "cpu",
    converged: bool = True,
    own_errors: float | None = None,
    probed: float | None = None,
    **training: Any,
) -> Path:
    """A run with settings, errors on test frames, a learning curve and perhaps a verdict.

    Args:
        folder: to make.
        forces: force RMSE on the test frames (meV/Å); `None` of a run that was stopped.
        seed: `train.seed`.
        method: its name.
        settings: others than the defaults, asked for.
        frames: hash of the test frames; `None` as earlier versions left it out.
        files: hash of the file of the test frames.
        before: force RMSE of the foundation.
        groups: config_type → force RMSE.
        level: of the finding on forgetting; without one there is no verdict.
        share: the figure of this finding.
        device: that it trained on.
        converged: whether it did.
        own_errors: force RMSE that the run itself found, where a later test found another.
        probed: learning rate that a probe found.
        training: of `TrainingFacts`.
    """
    folder.mkdir(parents=True)
    asked = {"train.seed": seed, "method": method, **(settings or {})}
    shown = {name: Setting(value=value, reason="asked for") for name, value in asked.items()}
    if probed is not None:
        shown["train.lr"] = Setting(value=probed, reason="below the largest that was safe")
    figure = own_errors if own_errors is not None else forces
    facts = {"best_epoch": 2, "best_metric": "loss", "epochs": 3, "steps": 600, "seconds": 60.0}
    Manifest(
        pestle="0.1.0",
        started="2025-03-02T14:05:11+00:00",
        status="finished" if forces is not None else "interrupted",
        data=DataFacts(
            files={
                "train": (File(path=f"{folder.parent}/train.xyz", sha256="t"),),
                "test": (File(path=f"{folder.parent}/test.xyz", sha256=files),),
            },
            summary={"train": SplitSummary(n_frames=25, n_isolated_atoms=5)},
        ),
        foundation=FoundationFacts(name="seed", fingerprint="f00d"),
        reference_energies=AtomicEnergies(method="isolated"),
        method=MethodFacts(name=method),
        settings=shown,
        hardware=Hardware(device=device),
        rate_probe=None
        if probed is None
        else RateProbe(rate=probed, updates=10, seconds=1.0, trials=()),
        training=None
        if forces is None
        else TrainingFacts.model_validate(
            facts
            | {
                "convergence": Convergence(
                    converged=converged, improvement=0.0, updates=100, best_update=500
                )
            }
            | training
        ),
        errors=None
        if figure is None
        else {"test": {"fine-tuned": {"all": errors(figure)}, "foundation": {"all": errors(1.0)}}},
    ).write(folder / "manifest.json", sealed=True)
    watched = [
        EvaluatedErrors(n_frames=7, forces_rmse=(forces or 90.0) * (3 - k)) for k in range(3)
    ]
    lines = [
        MetricsLine(epoch=k, step=k, seconds=k, lr=1e-3, valid=valid)
        for k, valid in enumerate(watched)
    ]
    (folder / "metrics.jsonl").write_text("".join(line.line + "\n" for line in lines))
    if forces is not None:
        judged = {"all": errors(forces)} | {n: errors(v, 3) for n, v in (groups or {}).items()}
        start = {"all": errors(before)} | {name: errors(before, 3) for name in groups or {}}
        sets = {"test": {"foundation": start, "fine-tuned": judged}}
        hashes = {} if frames is None else {"frames": {"test": frames}}
        names = {"candidate": "fine-tuned", "baseline": "foundation", "labels": {}}
        names["models"] = ("fine-tuned", "foundation")
        write_protocol(folder, "errors", sets=sets, numbers=hashes, **names)
    if level is not None:
        said = (
            finding("forgetting", level, share, unit="of the RMS force"),
            finding("md", "pass", 0.0),
        )
        verdict(verdict=level, findings=said, candidate="fine-tuned").write(folder / "verdict.json")
    return folder
