"""Write and read a model folder: `architecture.json` and `weights.safetensors`, without code.

Backends turn their models into a `SafeModel` and back. This file is independent of the
architectures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols
from safetensors import SafetensorError
from safetensors.torch import load, save

from pestle.errors import PestleError
from pestle.files import Damaged, read_json, write_bytes, write_json
from pestle.foundations.interface import Provenance
from pestle.progress import say

FORMAT = 1
ARCHITECTURE, WEIGHTS = "architecture.json", "weights.safetensors"
#: The card describes a model for people; it is not needed to rebuild the model.
CARD = "card.json"


@dataclass(frozen=True)
class SafeModel:
    """This class holds a model as plain data and tensors.

    Attributes:
        backend: name of the backend that can rebuild the model.
        architecture: description of the network, as data that JSON can hold.
        elements: atomic numbers in the model's order.
        heads: names of the heads.
        e0s: [n_heads][n_elements] eV.
        provenance: where the model comes from.
        tensors: weights and buffers by name.
    """

    backend: str
    architecture: dict[str, Any]
    elements: tuple[int, ...]
    heads: tuple[str, ...]
    e0s: list[list[float]]
    provenance: Provenance
    tensors: dict[str, torch.Tensor]


def fingerprint(model: SafeModel) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of architecture, weights and E0s."""
    digest = hashlib.sha256()
    plain = [model.backend, model.architecture, model.elements, model.heads, model.e0s]
    digest.update(json.dumps(plain, sort_keys=True, allow_nan=False).encode())
    for name, tensor in sorted(model.tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def write(folder: Path, model: SafeModel) -> None:
    """Write the two files of a model; other files in the folder stay as they are.

    `architecture.json` holds the hash of the weights, which connects the two files: if writing was
    interrupted between them, reading notices it.

    Args:
        folder: folder to write to; it is made if it does not exist.
        model: the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # safetensors refuses tensors that share memory or are not contiguous.
    weights = save({k: v.detach().cpu().contiguous().clone() for k, v in model.tensors.items()})
    document = {
        "format": FORMAT,
        "backend": model.backend,
        "elements": list(model.elements),
        "heads": list(model.heads),
        "E0s_eV": {
            head: {str(z): e for z, e in zip(model.elements, row, strict=True)}
            for head, row in zip(model.heads, model.e0s, strict=True)
        },
        "provenance": asdict(model.provenance),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "architecture": model.architecture,
    }
    write_bytes(folder / WEIGHTS, weights)
    write_json(folder / ARCHITECTURE, document, sealed=True)


def _document(path: Path) -> dict[str, Any]:
    """Read `architecture.json` and check its format number."""
    document = read_json(path)
    if "format" not in document:
        raise PestleError("it is not the architecture file of a Pestle model", where=str(path))
    if document["format"] != FORMAT:
        raise PestleError(
            f"it has format {document['format']}, and this version of Pestle reads {FORMAT}",
            where=str(path),
            fix="Update Pestle.",
        )
    return document


def _provenance(entry: Mapping[str, Any]) -> Provenance:
    """Make the provenance of its entry in `architecture.json`."""
    known = {k: entry[k] for k in ("name", "licence", "level_of_theory")}
    # Files of older versions lack these entries.
    known |= {k: entry[k] for k in ("dispersion", "dispersion_removed") if k in entry}
    return Provenance(**known, notes=tuple(entry.get("notes", ())))


def require_finite(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Check that all weights of a model are finite numbers.

    Args:
        tensors: weights and buffers by name.
        path: the file that holds them, for the error.

    Raises:
        PestleError: a number is not finite; the error names its tensor.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise PestleError(
                f"its tensor {name} holds a number that is not finite: the model is damaged, or "
                "its training went astray",
                where=str(path),
            )


def check_card(folder: Path) -> None:
    """Warn the user if the card of a model is damaged.

    This is no error: the model does not need the card, and its own files have hashes of their own.
    """
    if not (folder / CARD).is_file():
        return
    try:
        read_json(folder / CARD)
    except Damaged as error:
        run = folder.parent
        anew = f"; pestle finetune --resume -o {run} writes it anew"
        say(
            f"warning: {error.where}: {error.what}; the model is whole"
            f"{anew if (run / 'run.yaml').is_file() else ''}"
        )


def read(folder: Path) -> SafeModel:
    """Read a model folder; this runs no code from it.

    Args:
        folder: the folder that holds `architecture.json` and `weights.safetensors`.

    Raises:
        PestleError: a file is missing or damaged, the two files do not belong together, or a weight
            is not finite.
    """
    document = _document(folder / ARCHITECTURE)
    weights_path = folder / WEIGHTS
    try:
        content = weights_path.read_bytes()
    except OSError as error:
        raise PestleError(f"it cannot be read ({error})", where=str(weights_path)) from error
    if hashlib.sha256(content).hexdigest() != document.get("weights_sha256"):
        raise PestleError(
            f"it does not belong to {ARCHITECTURE} beside it, or is damaged or cut short",
            where=str(weights_path),
        )
    try:
        elements, heads = tuple(document["elements"]), tuple(document["heads"])
        table = document["E0s_eV"]
        if not isinstance(document["architecture"], dict):
            raise TypeError("architecture is no table")
        if not all(isinstance(z, int) and 0 < z < len(chemical_symbols) for z in elements):
            raise ValueError("elements are not atomic numbers")
        if len(set(elements)) < len(elements) or len(set(heads)) < len(heads):
            raise ValueError("an element or a head stands twice")
        tensors = load(content)
        require_finite(tensors, weights_path)
        return SafeModel(
            backend=document["backend"],
            architecture=document["architecture"],
            elements=elements,
            heads=heads,
            e0s=[[float(table[head][str(z)]) for z in elements] for head in heads],
            provenance=_provenance(document["provenance"]),
            tensors=tensors,
        )
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise PestleError(
            f"an entry is missing or wrong: {error!r}", where=str(folder / ARCHITECTURE)
        ) from error
