"""What each file that the run leaves for later use is good for."""

from __future__ import annotations

from pestle.report.run_folder import RunFolder

#: File of the run folder → what it is for.
PURPOSES = {
    "model/weights.safetensors": (
        "the weights of the model, all heads; LoRA is merged into them. With architecture.json it "
        "is what Pestle loads when it is given this folder. No code in it"
    ),
    "model/architecture.json": "the shape of the model: elements, heads, layers. No code in it",
    "model/card.json": "what is known of the model: foundation, licence, data, E0s, errors",
    "model/pestle.model": (
        "the target head alone, for MACECalculator and programs like it. A pickle: load it only "
        "where you trust its source"
    ),
    "model/pestle-heads.model": (
        "all heads, for MACECalculator(head=…); without a name it takes Default, the last. A "
        "pickle as well"
    ),
    "model/pestle.nqx": "the target head alone, for Nequix's own calculator. No code in it",
    "model/adapter.safetensors": (
        "the LoRA update alone: on the foundation with the same fingerprint it gives this model"
    ),
    "replay/train.xyz": "the replay structures that were trained on, with the labels used",
    "replay/valid.xyz": "the replay structures that were held out, with the labels used",
}


def model_files(folder: RunFolder) -> list[tuple[str, str]]:
    """File and purpose of those that are there."""
    return [(name, text) for name, text in PURPOSES.items() if name in folder.files]
