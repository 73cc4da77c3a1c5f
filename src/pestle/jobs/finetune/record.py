"""What the manifest and the model card say of a run, and the hash that a resumed run must share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from pestle.files import sha256
from pestle.foundations.capabilities import arithmetic_of
from pestle.foundations.dispersion import dispersion_of
from pestle.jobs.finetune.plan import explained_settings, trainable_blocks
from pestle.jobs.finetune.preparation import Prepared
from pestle.records.folder import now, versions
from pestle.settings.run import DataSettings
from pestle.structures.frame import Frame
from pestle.structures.reading import expand_paths


def describe(prepared: Prepared, command: str) -> dict[str, Any]:
    """The manifest before training."""
    foundation, adaptation = prepared.foundation, prepared.adaptation
    model = adaptation.model
    blocks = trainable_blocks(model, adaptation.trainable)
    data, checked = prepared.settings.data, prepared.check.to_json()
    return {
        "pestle": versions()["pestle"],
        "command": command,
        "started": now(),
        "finished": None,
        "status": "planned",
        "status_detail": "",
        "versions": versions(),
        "data": {
            "files": {
                name: [{"path": str(p), "sha256": sha256(p)} for p in expand_paths(patterns)]
                for name, patterns in data_files(data)
            },
            "held_out": prepared.splits.held_out,
            "keys": prepared.splits.keys,
            "dispersion": model.provenance.dispersion,
            "dispersion_removed": model.provenance.dispersion_removed,
            "summary": checked["summary"]["splits"],
            "findings": checked["findings"],
        },
        "foundation": {
            "name": foundation.provenance.name,
            "licence": foundation.provenance.licence,
            "level_of_theory": foundation.level_of_theory,
            "dispersion": dispersion_of(foundation, prepared.foundation_head),
            "fingerprint": prepared.fingerprint,
            "elements": [chemical_symbols[z] for z in foundation.elements],
            "heads": list(foundation.heads),
            "head": prepared.foundation_head,
            "n_parameters": sum(p.numel() for p in foundation.parameters()),
            "cutoff": foundation.cutoff,
            "dtype": prepared.settings.train.dtype,
            "arithmetic": arithmetic_of(model),
        },
        "reference_energies": prepared.e0s.to_json(),
        "reference_energies_compared": {k: v.to_json() for k, v in prepared.compared.items()},
        "method": {
            "name": prepared.settings.method,
            "notes": [*adaptation.notes, *_element_note(prepared)],
            "blocks": blocks,
            "n_trainable": sum(b["trainable"] for b in blocks.values()),
            "n_parameters": sum(b["total"] for b in blocks.values()),
            "heads": list(model.heads),
            "choice": asdict(prepared.choice) if prepared.choice else None,
        },
        "replay": _replay(prepared),
        "drift": {"n_frames": len(prepared.drift)} if prepared.drift else None,
        "interpolation": None,
        "settings": explained_settings(prepared.settings, prepared.reasons),
        "warnings": prepared.warnings,
        "changes": [],
    }


def _replay(prepared: Prepared) -> dict[str, Any] | None:
    """The replay set of a run."""
    replay = prepared.replay
    if replay is None:
        return None
    return {
        "labels": replay.labels,
        "n_train": len(replay.train),
        "n_valid": len(replay.valid),
        "notes": replay.notes,
        "files": [{"path": str(p), "sha256": sha256(p)} for p in replay.files],
    }


def _element_note(prepared: Prepared) -> list[str]:
    kept, all_of_them = len(prepared.start.elements), len(prepared.foundation.elements)
    if kept == all_of_them:
        return []
    return [f"cut down to the {kept} elements of the data; the other {all_of_them - kept} are lost"]


def data_files(data: DataSettings) -> list[tuple[str, Sequence[str]]]:
    """(split, patterns) of the splits that are given as files."""
    return [
        (n, p) for n, p in (("train", data.train), ("valid", data.valid), ("test", data.test)) if p
    ]


def card_of(prepared: Prepared, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the model card takes from the manifest."""
    return {
        "foundation": manifest["foundation"],
        "method": prepared.settings.method,
        "data": manifest["data"]["files"],
        "reference_energies": manifest["reference_energies"],
        "settings": {name: entry["value"] for name, entry in manifest["settings"].items()},
        "warnings": manifest["warnings"],
        "interpolation": manifest["interpolation"],
    }


def run_identity(prepared: Prepared) -> str:
    """Hash of what a resumed run must share: settings, data, E0s and foundation by their content,
    whatever the names of their files."""
    settings = prepared.settings
    data = [[sha256(p) for p in expand_paths(files)] for _, files in data_files(settings.data)]
    # Where it runs, what it logs to, and how long it trains may change when a run is resumed.
    fields = settings.model_dump(
        exclude={
            "foundation": True,
            "e0s": True,
            "data": {"train", "valid", "test"},
            "train": {
                "device",
                "threads",
                "updates",
                "epochs",
                "eval_interval",
                "patience",
                "lr",
            },
            "log": True,
            "replay": {"pool"},
            "drift": {"structures"},
        }
    )
    e0s = sorted(prepared.e0s.e0s.items())
    replay = prepared.replay
    broad = [
        frames_digest(frames)
        for frames in (replay.train if replay else [], replay.valid if replay else [])
    ]
    broad += [frames_digest(prepared.drift), frames_digest(prepared.ewc)]
    text = json.dumps([fields, data, e0s, prepared.fingerprint, broad], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def frames_digest(frames: Sequence[Frame]) -> str:
    """Hash of structures and labels, in their order."""
    digest = hashlib.sha256()
    for f in frames:
        atoms = f.atoms
        for array in (
            atoms.numbers,
            atoms.positions,
            atoms.cell.array,
            atoms.pbc,
            f.forces,
            f.stress,
        ):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        digest.update(repr((f.energy, f.charge, f.spin, f.weight)).encode())
    return digest.hexdigest()
