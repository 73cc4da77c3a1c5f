"""All methods on one task: what each learns, what it forgets, what it costs, over seeds.

Each case is a `pestle finetune` run at its defaults (no length is given, so that a run ends where
it has converged, and the table says if it did not), then errors of

- the target head on the test frames,
- every head on a broad set (`--broad`): forces against its labels and against the foundation's own
  predictions (energies of the target head have the E0s of other data),
- with `--path`, the target head along a labelled reaction path.

    python benchmarks/methods.py --foundation pestle-seed0 --train train.xyz --valid valid.xyz \\
        --test test.xyz --pool replay.xyz --broad broad.xyz --seeds 0 1 2 --work WORK \\
        --cases naive lora lora@lora.rank=16 pseudolabel pseudolabel@replay.pool=generated \\
        --plot methods.html

A case is METHOD or METHOD@SETTING=VALUE@SETTING=VALUE. One thread; a run whose folder is complete
is not repeated. `--thin N` trains on N frames, evenly taken. Prints a Markdown table: mean ±
standard deviation over the seeds; CPU time is that of the whole process, also as a multiple of the
first case's. `--plot` draws target error against forgetting, markers as large as the CPU time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
import torch

from pestle.adaptation import METHODS
from pestle.foundations import load_foundation
from pestle.foundations.devices import DTYPES
from pestle.foundations.interface import TARGET_HEAD, Foundation
from pestle.foundations.prediction import FramePrediction, predict_frames
from pestle.protocols.neb.analysis import profile
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.reading import read_frames

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass
class Result:
    """One run: errors in meV/atom and meV/Å, CPU time in seconds."""

    updates: int
    converged: bool
    cpu: float
    energy: float
    forces: float
    #: Head → force RMSE on the broad set against labels and against the foundation.
    broad: dict[str, tuple[float, float]]
    path: list[float]


def run(case: str, seed: int, options: argparse.Namespace, train: Path) -> Path:
    """The run folder of a case, made unless it is there."""
    method, *changed = case.split("@")
    name = case.replace("=", "-").replace("/", "-").replace("@", "-")
    folder = options.work / f"{name}-{seed}"
    if (folder / "report.html").exists():
        return folder
    settings = ["train.threads=1", f"train.seed={seed}", "train.device=cpu"]
    if METHODS[method].replay_labels is not None and options.pool:
        settings += [f"replay.pool={options.pool}", "replay.filter=none"]
    command = [sys.executable, "-m", "pestle", "finetune", "--method", method]
    command += ["--foundation", options.foundation, "--data", str(train)]
    command += ["--valid", str(options.valid), "--test", str(options.test), "-o", str(folder)]
    for setting in settings + options.set + changed:
        command += ["--set", setting]
    log = options.work / f"{folder.name}.log"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("w") as stream:
        done = subprocess.run(command, stdout=stream, stderr=stream, env=ONE_THREAD, check=False)
    if done.returncode:
        sys.exit(f"{case}, seed {seed}, failed; see {log}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    (options.work / f"{folder.name}.cpu").write_text(f"{spent:.1f}\n")
    return folder


def rmse(values: list[np.ndarray]) -> float:
    """Root mean square of all entries, in thousandths."""
    return float(1e3 * np.sqrt(np.mean(np.concatenate([v.ravel() for v in values]) ** 2)))


def forgetting(
    model: Foundation, broad: list[Frame], reference: list[FramePrediction]
) -> dict[str, tuple[float, float]]:
    """Head → force RMSE against labels and against the foundation, meV/Å."""
    found = {}
    for head in model.heads:
        now = predict_frames(model, broad, head=head)
        labels = [p.forces - f.forces for p, f in zip(now, broad, strict=True)]
        moved = [p.forces - q.forces for p, q in zip(now, reference, strict=True)]
        found[head] = (rmse(labels), rmse(moved))
    return found


def barrier(model: Foundation | None, images: list[Frame]) -> list[float]:
    """Barrier (eV) and RMSE along the path (meV) of a model, or of the labels."""
    labels = np.array([image.energy for image in images])
    energy = labels
    if model is not None:
        energy = np.array([said.energy for said in predict_frames(model, images)])
    numbers = profile(energy - energy[0], labels - labels[0])
    return [numbers.barrier, numbers.rmse_mev]


def result_of(
    folder: Path, broad: list[Frame], reference: list[FramePrediction], images: list[Frame]
) -> Result:
    """What a run came to."""
    manifest = json.loads((folder / "manifest.json").read_text())
    training, test = manifest["training"], manifest["errors"]["test"]["fine-tuned"]["all"]
    model = load_foundation(folder)
    return Result(
        updates=training["steps"],
        converged=training["convergence"]["converged"],
        cpu=float(folder.with_name(f"{folder.name}.cpu").read_text()),
        energy=test["energy_rmse"],
        forces=test["forces_rmse"],
        broad=forgetting(model, broad, reference),
        path=barrier(model, images) if images else [],
    )


def spread(values: list[float], digits: int = 1) -> str:
    """Mean ± standard deviation over the seeds; one value as it is."""
    mean = f"{np.mean(values):.{digits}f}"
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else mean


def row(case: str, results: list[Result], first_cpu: float) -> str:
    """A line of the table; `first_cpu`: seconds that the first case took."""
    cpu = [r.cpu for r in results]

    def heads(place: int) -> str:
        return " / ".join(
            spread([r.broad[head][place] for r in results], 0)
            for head in sorted(results[0].broad, key=lambda head: head != TARGET_HEAD)
        )

    converged = sum(r.converged for r in results)
    cells = [
        case,
        spread([r.updates for r in results], 0),
        "yes" if converged == len(results) else f"{converged} of {len(results)}",
        f"{spread(cpu, 0)} ({np.mean(cpu) / first_cpu:.1f})",
        spread([r.energy for r in results], 2),
        spread([r.forces for r in results]),
        heads(0),
        heads(1),
    ]
    if results[0].path:
        cells += [spread([r.path[0] for r in results], 3), spread([r.path[1] for r in results], 0)]
    return f"| {' | '.join(cells)} |"


def draw(found: dict[str, list[Result]], path: Path, title: str) -> None:
    """Target error against forgetting, every run a marker as large as its CPU time."""
    import plotly.graph_objects as go

    figure = go.Figure()
    largest = max(r.cpu for results in found.values() for r in results)
    for case, results in found.items():
        figure.add_scatter(
            x=[r.forces for r in results],
            y=[r.broad[TARGET_HEAD][1] for r in results],
            name=case,
            mode="markers",
            marker={"size": [8 + 30 * (r.cpu / largest) ** 0.5 for r in results]},
            text=[f"{r.updates} updates, {r.cpu:.0f} CPU-s" for r in results],
        )
    figure.update_layout(title=title, template="plotly_white")
    figure.update_xaxes(title="force RMSE on test frames (meV/Å)", type="log")
    figure.update_yaxes(title="target head against the foundation, broad set (meV/Å)", type="log")
    figure.write_html(path, include_plotlyjs="cdn")


def thinned(path: Path, count: int, out: Path) -> Path:
    """A file of `count` frames, evenly taken, and the isolated atoms."""
    frames = ase.io.read(path, index=":")
    body = [a for a in frames if a.info.get("config_type") != "IsolatedAtom"]
    atoms = [a for a in frames if a.info.get("config_type") == "IsolatedAtom"]
    chosen = np.linspace(0, len(body) - 1, count).round().astype(int)
    ase.io.write(out, [body[k] for k in chosen] + atoms, format="extxyz")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--foundation", default="pestle-seed0")
    for name in ("--train", "--valid", "--test", "--broad", "--work"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--pool", type=Path, help="replay structures; without, Pestle's default")
    parser.add_argument("--path", type=Path, help="images of a reaction path with energies")
    parser.add_argument("--thin", type=int, help="training frames to keep, isolated atoms apart")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", nargs="+", default=[], help="SETTING=VALUE of every case")
    parser.add_argument("--cases", nargs="+", required=True)
    parser.add_argument("--plot", type=Path, help="HTML file to draw to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)

    train = options.train
    if options.thin:
        train = thinned(train, options.thin, options.work / "train.xyz")
    broad, _ = split_isolated_atoms(read_frames([str(options.broad)]).frames)
    dtype = "float32" if "train.dtype=float32" in options.set else "float64"
    foundation = load_foundation(options.foundation, dtype=DTYPES[dtype])
    reference = predict_frames(foundation, broad)
    labels = rmse([p.forces - f.forces for p, f in zip(reference, broad, strict=True)])
    print(
        f"broad set: {len(broad)} structures; the foundation against the labels {labels:.0f} meV/Å"
    )
    columns = ["case", "updates", "converged", "CPU s (× first)", "test meV/atom", "test meV/Å"]
    columns += ["broad set against labels meV/Å: target / replay head"]
    columns += ["against the foundation meV/Å"]
    images = read_frames([str(options.path)]).frames if options.path else []
    if images:
        columns += ["barrier eV", "along the path meV"]
        for name, model in (("labels", None), ("the foundation", foundation)):
            height, error = barrier(model, images)
            print(f"path, {name}: barrier {height:.3f} eV, RMSE {error:.0f} meV")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    found: dict[str, list[Result]] = {}
    for case in options.cases:
        found[case] = [
            result_of(run(case, seed, options, train), broad, reference, images)
            for seed in options.seeds
        ]
        first = found[options.cases[0]]
        print(row(case, found[case], float(np.mean([r.cpu for r in first]))), flush=True)
    if options.plot:
        draw(found, options.plot, f"{options.foundation}, {train.parent.name}/{train.name}")


if __name__ == "__main__":
    main()
