"""Basic checks of labels: whether they exist, and whether the forces balance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pestle.checks.report import CheckFinding, count_of, finding
from pestle.checks.unread import options_for
from pestle.structures.frame import Frame
from pestle.wording import counted, figure

# Net force: forces of a converged calculation sum to zero but for grid noise. It counts when
# the error it means for each atom, |ΣF|/n, is above this many eV/Å (molecules, and periodic frames,
# where egg-box noise and drift are larger) …
NET_FORCE_PER_ATOM = {"molecule": 0.005, "crystal": 0.02}
# … and it is more than this share of what random forces of this size would sum to, √n · rms|F|.
NET_FORCE_SHARE = 0.05

# Fewer frames than this say little about a potential energy surface.
FEW_FRAMES = 20
# Fewer frames than this must not choose the kept model and the end of a run without a word.
FEW_HELD_OUT = 5


def label_findings(
    splits: Mapping[str, Sequence[Frame]], *, held_out: bool = False
) -> list[CheckFinding]:
    """Find missing and partial labels, net forces and sets of few frames.

    Args:
        splits: frames by split; every frame has atoms.
        held_out: whether `valid` was drawn from the files of `train`. Its labels are then looked at
            together with those of `train`.
    """
    findings = _few_frames(splits, held_out)
    files = dict(splits)
    if held_out:
        files["train"] = [*splits.get("train", ()), *files.pop("valid", ())]
    for split, frames in files.items():
        if not frames:
            continue
        where = "" if len(files) == 1 else f" of '{split}'"
        findings += _presence(split, where, frames)
        body = [f for f in frames if not f.is_isolated_atom]
        findings += _net_forces(where, body)
        no_use = [
            f
            for f in frames
            if not f.is_periodic
            # The reader drops such a stress and leaves a note.
            and (f.stress is not None or any(n.startswith("stress ignored") for n in f.notes))
        ]
        if no_use:
            findings.append(
                finding(
                    "warning",
                    "stress-not-periodic",
                    f"{count_of(no_use, len(frames))}{where} have a stress but are not periodic "
                    "in 3D: the stress is ignored",
                    no_use,
                    fix='If these are bulk cells, write pbc="T T T".',
                )
            )
    return findings


def _few_frames(splits: Mapping[str, Sequence[Frame]], held_out: bool) -> list[CheckFinding]:
    """Find sets that are too small for what they are used for."""
    n = {name: sum(not f.is_isolated_atom for f in frames) for name, frames in splits.items()}
    findings = []
    trained = n.get("train", n.get("data", 0))
    if 0 < trained < FEW_FRAMES:
        beside = (
            f" ({n['valid']} more held out for validation)" if held_out and "valid" in n else ""
        )
        findings.append(
            finding(
                "note",
                "few-frames",
                f"only {counted(trained, 'frame')} to train on{beside}, without isolated atoms: "
                "errors measured with them are uncertain",
                fix="A few tens of decorrelated frames are the least to fine-tune on.",
            )
        )
    if 0 < n.get("valid", 0) < FEW_HELD_OUT:
        findings.append(
            finding(
                "warning",
                "few-validation-frames",
                f"only {counted(n['valid'], 'validation frame')}: which model is kept, when the "
                "run ends and its validation errors depend on chance",
                fix="Give more frames, or a file of other frames with --valid.",
            )
        )
    return findings


def _presence(split: str, where: str, frames: Sequence[Frame]) -> list[CheckFinding]:
    body = [f for f in frames if not f.is_isolated_atom]
    findings: list[CheckFinding] = []
    bare = [f for f in frames if f.energy is None and f.forces is None and f.stress is None]
    instead, typed = options_for(bare)
    fix = typed or "The files hold no numbers that could be labels."
    if len(bare) == len(frames):
        fatal = split in ("train", "data")
        findings.append(
            finding(
                "error" if fatal else "warning",
                "no-labels",
                f"none of {counted(len(frames), 'frame')}{where} has an energy, forces or stress"
                + (f"; {instead}" if instead else ""),
                bare,
                fix=fix,
            )
        )
        return findings
    if bare:
        findings.append(
            finding(
                "warning",
                "frames-without-labels",
                f"{count_of(bare, len(frames))}{where} have no label at all and teach nothing",
                bare,
                fix=fix,
            )
        )
    # The force on a single atom is zero: forces can be missing only in frames of several atoms.
    # unread.py reports labels under another name.
    no_forces = [
        f
        for f in body
        if f.energy is not None and f.forces is None and len(f) > 1 and not _holds(f, "forces")
    ]
    no_energy = [
        f for f in body if f.energy is None and f.forces is not None and not _holds(f, "energy")
    ]
    if no_forces:
        findings.append(
            finding(
                "warning",
                "energy-only",
                f"{count_of(no_forces, len(body))}{where} have an energy but no forces",
                no_forces,
                fix="Forces carry most of the information: add them if they were calculated.",
            )
        )
    if no_energy:
        findings.append(
            finding(
                "warning",
                "forces-only",
                f"{count_of(no_energy, len(body))}{where} have forces but no energy",
                no_energy,
                fix="Without energies the zero of energy and reaction energies are not learned.",
            )
        )
    return findings


def _holds(frame: Frame, kind: str) -> bool:
    """Whether the file has a label of this kind for a frame, under a name that is not read."""
    return any(item.kind == kind and item.lacking for item in frame.unread)


def _kind(frame: Frame) -> str:
    return "crystal" if frame.atoms.pbc.any() else "molecule"


def net_force(frame: Frame) -> tuple[float, float]:
    """Return the net force of a frame with forces.

    Returns:
        |ΣF| in eV/Å, and |ΣF| divided by √n · rms|F|.
    """
    forces = np.asarray(frame.forces)
    net = float(np.linalg.norm(forces.sum(axis=0)))
    random = float(np.sqrt((forces**2).sum()))
    return net, net / random if random else 0.0


def _net_forces(where: str, frames: Sequence[Frame]) -> list[CheckFinding]:
    labelled = [f for f in frames if f.forces is not None and len(f) > 1]
    findings = []
    for kind, bound in NET_FORCE_PER_ATOM.items():
        concerned, worst = [], (0.0, 0.0, "")
        for frame in labelled:
            if _kind(frame) != kind:
                continue
            net, share = net_force(frame)
            if net > bound * len(frame) and share > NET_FORCE_SHARE:
                concerned.append(frame)
                worst = max(worst, (net / len(frame), net, frame.where))
        if concerned:
            word = "molecular" if kind == "molecule" else "periodic"
            total = sum(_kind(f) == kind for f in labelled)
            findings.append(
                finding(
                    "warning",
                    "net-force",
                    f"the forces of {len(concerned)} of {counted(total, f'{word} frame')}{where} "
                    f"do not sum to zero: more than {bound:g} eV/Å per atom; worst: |ΣF| = "
                    f"{figure(worst[1])} eV/Å ({figure(worst[0], 2)} per atom) in {worst[2]}",
                    concerned,
                    fix="Tighten the calculations, or look for constrained atoms and external "
                    "fields; the model cannot have a net force.",
                )
            )
    return findings
