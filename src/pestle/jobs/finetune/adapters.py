"""The adapter file of a run with LoRA."""

from __future__ import annotations

from pathlib import Path

from pestle.adaptation.adapter_file import save_adapter
from pestle.adaptation.low_rank import LowRankModel
from pestle.jobs.finetune.preparation import Prepared
from pestle.records.model_folder import ADAPTER_NAME


def write_adapter(folder: Path, model: LowRankModel, prepared: Prepared) -> None:
    """Write adapter.safetensors: with the foundation it gives the whole model back."""
    save_adapter(
        folder / ADAPTER_NAME,
        model,
        foundation_fingerprint=prepared.fingerprint,
        # Every head of the model began as the foundation's one.
        heads=dict.fromkeys(model.heads, prepared.foundation_head),
    )
