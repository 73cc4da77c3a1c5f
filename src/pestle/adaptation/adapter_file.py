"""The file `adapter.safetensors`: a LoRA model without its foundation.

The file contains A and B of every layer and the weights that were trained in full. Its header says
how to make the rest from the foundation: precision, heads, elements, E0s. With its foundation the
file gives the same model bit for bit; with another foundation it is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from pestle.adaptation.low_rank import LowRankModel
from pestle.errors import PestleError
from pestle.files import replacing
from pestle.foundations.capabilities import ElementSelection, Heads, require
from pestle.foundations.devices import DTYPES
from pestle.foundations.interface import Foundation, Provenance

FORMAT = "pestle adapter 1"


@dataclass(frozen=True)
class AdapterHeader:
    """The content of the file's header, stored as JSON.

    Attributes:
        foundation: name of the foundation.
        fingerprint: fingerprint of the foundation as it is loaded from its file.
        dtype: precision of the network.
        heads: new head → head of the foundation.
        elements: atomic numbers of the model, in its order.
        e0s: head → atomic number → E0 in eV; JSON keeps every bit of a float64.
        rank, alpha, init_std, seed, exclude: arguments of `LowRankModel`.
        base_fingerprint: fingerprint of the model without the updates, to check that it was rebuilt
            exactly.
        provenance: provenance of the model.
    """

    foundation: str
    fingerprint: str
    dtype: str
    heads: dict[str, str]
    elements: list[int]
    e0s: dict[str, dict[str, float]]
    rank: int
    alpha: float | None
    init_std: float
    seed: int
    exclude: list[str]
    base_fingerprint: str
    provenance: dict[str, Any]


def save_adapter(
    path: Path,
    model: LowRankModel,
    *,
    foundation_fingerprint: str,
    heads: Mapping[str, str],
) -> None:
    """Write the adapter of a model, completely or not at all.

    Args:
        path: the file.
        model: the model to save. Weights of its base that are trained (that require gradients) are
            stored in full.
        foundation_fingerprint: fingerprint of the foundation as it was loaded, before any change.
        heads: head of the model → head of the foundation from which it was copied.
    """
    named = dict(model.named_parameters())
    kept = [name for names in model.adapter_parameters().values() for name in names]
    kept += [f"base.{name}" for name, p in model.base.named_parameters() if p.requires_grad]
    # safetensors refuses tensors that share memory or are not contiguous.
    tensors = {name: named[name].detach().cpu().contiguous().clone() for name in kept}
    header = AdapterHeader(
        foundation=model.base.provenance.name,
        fingerprint=foundation_fingerprint,
        dtype=str(model.dtype).removeprefix("torch."),
        heads={head: heads[head] for head in model.heads},
        elements=list(model.elements),
        e0s={
            head: {str(z): e for z, e in table.items()}
            for head, table in model.reference_energies.items()
        },
        rank=model.rank,
        alpha=model.alpha,
        init_std=model.init_std,
        seed=model.seed,
        exclude=list(model.exclude),
        base_fingerprint=model.base.fingerprint(),
        provenance=asdict(model.provenance),
    )
    text = json.dumps(asdict(header), allow_nan=False)
    metadata = {"format": FORMAT, "header": text, "sha256": _digest(text, tensors)}
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(save(tensors, metadata=metadata))


def load_adapter(path: Path, foundation: Foundation) -> LowRankModel:
    """Read the model that `save_adapter` wrote.

    Args:
        path: the file.
        foundation: the foundation as it is loaded from its file, in the file's precision; not
            changed.

    Returns:
        The model, on the foundation's device.

    Raises:
        PestleError: the file is unreadable, damaged, or was made with another foundation.
    """
    header, tensors = _read(Path(path))
    found = foundation.fingerprint()
    if found != header.fingerprint:
        raise PestleError(
            f"this adapter belongs to {header.foundation} ({header.fingerprint}), and the "
            f"foundation given is {foundation.provenance.name} ({found})",
            where=str(path),
            fix=f"Give {header.foundation} as it is loaded, before any change.",
        )
    model = LowRankModel(
        _base(foundation, header), header.rank, alpha=header.alpha, init_std=header.init_std,
        seed=header.seed, exclude=header.exclude,
    )  # fmt: skip
    named = dict(model.named_parameters())
    missing = {name for names in model.adapter_parameters().values() for name in names}
    if not missing <= tensors.keys() <= named.keys() or any(
        named[name].shape != tensor.shape for name, tensor in tensors.items()
    ):
        raise PestleError("its tensors do not fit the layers of its foundation", where=str(path))
    with torch.no_grad():
        for name, tensor in tensors.items():
            named[name].copy_(tensor)
    if model.base.fingerprint() != header.base_fingerprint:
        raise PestleError(
            "the foundation's weights, made ready as the header says, are not those it was saved "
            "with",
            where=str(path),
            fix="Use the version of Pestle that wrote it.",
        )
    entry = header.provenance
    model.provenance = Provenance(**{**entry, "notes": tuple(entry["notes"])})
    return model


def read_header(path: Path) -> AdapterHeader:
    """Read the header of an adapter file.

    Raises:
        PestleError: the file is unreadable or damaged.
    """
    return _read(Path(path))[0]


def _base(foundation: Foundation, header: AdapterHeader) -> Foundation:
    """Prepare the foundation in the same order as a run does, so that rounding is the same."""
    base = foundation.with_dtype(DTYPES[header.dtype])
    if header.heads != {head: head for head in base.heads}:
        base = require(base, Heads, where="adapter").with_heads(header.heads)
    if header.elements != list(base.elements):
        base = require(base, ElementSelection, where="adapter").with_elements(header.elements)
    for head, table in header.e0s.items():
        base = base.with_reference_energies(head, {int(z): e for z, e in table.items()})
    return base


def _read(path: Path) -> tuple[AdapterHeader, dict[str, torch.Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise PestleError(f"it cannot be read ({error})", where=str(path)) from error
    if metadata.get("format") != FORMAT:
        raise PestleError(
            f"it is not an adapter that this version of Pestle reads ('{FORMAT}')", where=str(path)
        )
    text = metadata.get("header", "")
    if metadata.get("sha256") != _digest(text, tensors):
        raise PestleError("it is damaged: its content does not match its hash", where=str(path))
    header = AdapterHeader(**json.loads(text))
    if header.dtype not in DTYPES:
        raise PestleError(f"it names the precision '{header.dtype}'", where=str(path))
    return header, tensors


def _digest(header: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of header, names and numbers."""
    digest = hashlib.sha256(header.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
