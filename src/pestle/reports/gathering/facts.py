"""Settings, errors, findings and cost of one run folder, for a comparison."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from pestle.metrics import FrameErrors
from pestle.records.gathered import GatheredRun
from pestle.records.manifest import Manifest
from pestle.records.verdict import CountedFinding
from pestle.reports.drift import kept_drift
from pestle.reports.gathering.frames import Identity, identity_of
from pestle.reports.models import models_of
from pestle.reports.reading import Forgotten, Results
from pestle.settings.run import walk

#: Settings that do not change the result: seed, threads, loggers. Of the device only the kind
#: counts, which is added below.
_ASIDE = ("train.seed", "train.threads", "train.device", "log.")
#: Setting that names the files of a split → the split.
_SPLITS = {"data.train": "train", "data.valid": "valid", "data.test": "test"}

#: Group → errors of one model on one set.
ByGroup = dict[str, FrameErrors]


@dataclass(frozen=True)
class RunFacts:
    """Content of a run folder that a comparison needs; everything may be absent.

    Attributes:
        results: results of the folder.
        run: name, path, seed and status.
        settings: setting → plain data, which is equal if the setting is; files are given by hash.
        spoken: setting → value for readers.
        asked: settings that the user gave.
        errors: set → group → errors of the model.
        foundation_errors: set → group → errors of the foundation.
        identities: set → identity of its frames.
        forgotten: results of the protocol `forgetting` for the model; empty without it.
        foundation_forgotten: the same for the foundation.
    """

    results: Results
    run: GatheredRun
    settings: dict[str, Any] = field(default_factory=dict)
    spoken: dict[str, Any] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    errors: dict[str, ByGroup] = field(default_factory=dict)
    foundation_errors: dict[str, ByGroup] = field(default_factory=dict)
    identities: dict[str, Identity] = field(default_factory=dict)
    forgotten: Forgotten = field(default_factory=Forgotten)
    foundation_forgotten: Forgotten = field(default_factory=Forgotten)

    @property
    def manifest(self) -> Manifest | None:
        """Manifest of the run; `None` without one."""
        return self.results.manifest

    @property
    def foundation(self) -> str:
        """Foundation of the run, or the model that a tested model is compared with."""
        if self.manifest is not None:
            return self.manifest.foundation.name
        found = self.results.verdict
        return (found.baseline or "") if found is not None else ""

    @property
    def findings(self) -> tuple[CountedFinding, ...]:
        """Findings of the verdict; empty without one."""
        found = self.results.verdict
        return found.findings if found is not None else ()

    @property
    def n_trained_on(self) -> int | None:
        """Number of training frames, without isolated atoms and replay structures."""
        if self.manifest is None or "train" not in self.manifest.data.summary:
            return None
        split = self.manifest.data.summary["train"]
        return split.n_frames - split.n_isolated_atoms

    @property
    def drift(self) -> float | None:
        """RMS difference of forces from the foundation's on broad structures (meV/Å)."""
        return kept_drift(self.results)

    @property
    def gpu_seconds(self) -> float | None:
        """Time of the training on a GPU (s); `None` for a run on a CPU."""
        manifest = self.manifest
        if manifest is None or manifest.training is None or device_of(manifest) != "cuda":
            return None
        return manifest.training.seconds


def facts_of(results: Results, name: str) -> RunFacts:
    """Return the content of a run folder that a comparison needs.

    Args:
        results: results of the folder.
        name: unique name of the run.
    """
    manifest, models = results.manifest, models_of(results)
    seed = results.setting("train.seed")
    run = GatheredRun(
        name=name,
        path=str(results.path),
        seed=seed if isinstance(seed, int) else None,
        status=manifest.status if manifest is not None else "",
    )
    return RunFacts(
        results=results,
        run=run,
        errors=_errors(results, models.tuned),
        foundation_errors=_errors(results, models.base),
        identities={
            of_set: identity_of(results, of_set, models.tuned) for of_set in results.errors
        },
        forgotten=_forgotten(results, "candidate"),
        foundation_forgotten=_forgotten(results, "baseline"),
        **(_settings(manifest) if manifest is not None else {}),
    )


def _forgotten(results: Results, of: Literal["candidate", "baseline"]) -> Forgotten:
    """Return the results of the protocol `forgetting` for the model or its foundation."""
    found = results.protocols.get("forgetting")
    if found is None or found.about is None:
        return Forgotten()
    name = found.about.candidate if of == "candidate" else found.about.baseline
    return found.potentials.get(name or "", Forgotten())


def _errors(results: Results, model: str) -> dict[str, ByGroup]:
    """Return set → group → errors of a model."""
    return {
        name: dict(by_model[model])
        for name, by_model in results.errors.items()
        if model in by_model
    }


def _settings(manifest: Manifest) -> dict[str, Any]:
    """Return `settings`, `spoken` and `asked` of a run."""
    found = {name: default for name, default in _defaults().items() if not name.startswith(_ASIDE)}
    found |= {
        name: setting.value
        for name, setting in manifest.settings.items()
        if not name.startswith(_ASIDE)
    }
    # With "auto" each seed gets its own rate from the probe; the setting itself is the same.
    if manifest.rate_probe is not None:
        found["train.lr"] = "auto"
    spoken = dict(found)
    asked = {n for n, setting in manifest.settings.items() if setting.reason == "asked for"}
    found["foundation"] = [manifest.foundation.name, manifest.foundation.fingerprint]
    spoken["foundation"] = manifest.foundation.name
    found["method"] = spoken["method"] = manifest.method.name
    found["device"] = spoken["device"] = device_of(manifest)
    for name, split in _SPLITS.items():
        if split in manifest.data.files:
            found[name] = [file.sha256 for file in manifest.data.files[split]]
            spoken[name] = [file.path for file in manifest.data.files[split]]
    if manifest.replay is not None and manifest.replay.files:
        found["replay.pool"] = [file.sha256 for file in manifest.replay.files]
        spoken["replay.pool"] = [file.path for file in manifest.replay.files]
    plain = {name: json.loads(json.dumps(value)) for name, value in found.items()}
    return {"settings": plain, "spoken": spoken, "asked": frozenset(asked)}


@cache
def _defaults() -> dict[str, Any]:
    """Return the defaults of all settings, for settings that an older version did not have."""
    return {name: info.get_default(call_default_factory=True) for name, info in walk()}


def device_of(manifest: Manifest) -> str:
    """Return the kind of device of the training: `cpu` or `cuda`; empty if it is not known."""
    name = manifest.hardware.device if manifest.hardware is not None else ""
    return name.partition(":")[0]
