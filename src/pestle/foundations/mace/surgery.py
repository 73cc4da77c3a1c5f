"""Reduce a MACE network to fewer elements or give it other heads.

Its predictions stay the same. The network is rebuilt from a changed description, and its weights
are carried over: entries with an element or head axis by the rules below, all others unchanged. An
entry whose shape changed without a rule is an error. e3nn's path weights depend on the number of
inputs. They are read from the old and the new network, and their ratio makes up for the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch

from pestle.foundations.mace import architecture
from pestle.foundations.mace.runtime import Network, blocks, o3

#: A function that selects rows and columns of a matrix [n_in, n_out] of a linear layer.
Selection = Callable[[torch.Tensor], torch.Tensor]
#: Linear layers that read the one-hot element vector.
_ONE_HOT_READERS = ("source_embedding", "target_embedding")


def _linear(old: o3.Linear, new: o3.Linear, weights: Selection) -> torch.Tensor:
    """Return the flat weight of `new` with which it acts as the selected part of `old`."""
    flat, offset = [], 0
    old_paths = [i for i in old.instructions if i.i_in >= 0]
    new_paths = [i for i in new.instructions if i.i_in >= 0]
    for before, after in zip(old_paths, new_paths, strict=True):
        size = prod(before.path_shape)
        block = old.weight.detach()[offset : offset + size].view(before.path_shape)
        offset += size
        flat.append(weights(block).reshape(-1) * (before.path_weight / after.path_weight))
    return torch.cat(flat)


def _tensor_product(
    old: o3.TensorProduct, new: o3.TensorProduct, columns: Sequence[int]
) -> torch.Tensor:
    """Return the flat weight of a product of features and one-hot elements.

    Only the elements at the indices `columns` are kept.
    """
    flat, offset = [], 0
    for before, after in zip(old.instructions, new.instructions, strict=True):
        size = prod(before.path_shape)
        block = old.weight.detach()[offset : offset + size].view(before.path_shape)
        offset += size
        flat.append(block[:, columns].reshape(-1) * (before.path_weight / after.path_weight))
    return torch.cat(flat)


def _finish(old: Network, new: Network, mapped: dict[str, torch.Tensor]) -> Network:
    """Load the changed entries, and all others unchanged, into the new network."""
    mapped["atomic_energies_fn.atomic_energies"] = new.atomic_energies_fn.atomic_energies
    mapped["atomic_numbers"] = new.atomic_numbers
    state = {k: mapped.get(k, v) for k, v in old.state_dict().items()}
    # Output masks depend on the shape of a layer, so those of the new network are kept.
    fresh = new.state_dict()
    state |= {k: fresh[k] for k in state if k.endswith("output_mask")}
    architecture.load_tensors(new, {k: v.cpu() for k, v in state.items()})
    return new


def select_elements(network: Network, columns: Sequence[int]) -> Network:
    """Return the same network for some of its elements.

    Args:
        network: the network; not changed.
        columns: indices of the elements to keep.
    """
    description = architecture.describe(network)
    numbers = description["atomic_numbers"]
    description["atomic_numbers"] = [numbers[k] for k in columns]
    new = architecture.build(description)
    columns = list(columns)
    mapped: dict[str, torch.Tensor] = {}
    twins = dict(new.named_modules())
    for name, module in network.named_modules():
        last = name.rsplit(".", 1)[-1]
        if isinstance(module, o3.Linear) and (
            last in _ONE_HOT_READERS or name == "node_embedding.linear"
        ):
            mapped[f"{name}.weight"] = _linear(module, twins[name], lambda w: w[columns])
        elif isinstance(module, o3.TensorProduct) and last == "skip_tp":
            mapped[f"{name}.weight"] = _tensor_product(module, twins[name], columns)
    if not description["use_agnostic_product"]:
        for name, parameter in network.named_parameters():
            if ".symmetric_contractions." in name:  # [n_elements, n_paths, n_channels]
                mapped[name] = parameter.detach()[columns]
    return _finish(network, new, mapped)


def _map_readout(
    mapped: dict[str, torch.Tensor],
    name: str,
    old: Network,
    new: Network,
    rows: Sequence[int],
    n_heads: int,
) -> None:
    """Add the entries of one readout to `mapped`.

    The outputs of a readout are the heads. Its hidden units are n_heads blocks of equal width, one
    per head.
    """
    rows = list(rows)
    if isinstance(old, blocks.LinearReadoutBlock):
        mapped[f"{name}.linear.weight"] = _linear(old.linear, new.linear, lambda w: w[:, rows])
        return
    if not isinstance(old, blocks.NonLinearReadoutBlock | blocks.NonLinearBiasReadoutBlock):
        raise architecture.unsupported(f"no rule for the heads of {type(old).__name__}")
    width = o3.Irreps(str(old.hidden_irreps)).num_irreps // n_heads
    hidden = [row * width + k for row in rows for k in range(width)]
    selections: dict[str, tuple[Selection, list[int]]] = {
        "linear_1": (lambda w: w[:, hidden], hidden),
        "linear_mid": (lambda w: w[hidden][:, hidden], hidden),
        "linear_2": (lambda w: w[hidden][:, rows], rows),
    }
    for layer, (weights, outputs) in selections.items():
        if not hasattr(old, layer):
            continue
        before, after = getattr(old, layer), getattr(new, layer)
        mapped[f"{name}.{layer}.weight"] = _linear(before, after, weights)
        if before.bias.numel():
            mapped[f"{name}.{layer}.bias"] = before.bias.detach()[outputs]


def select_heads(network: Network, names: Sequence[str], rows: Sequence[int]) -> Network:
    """Return the same body with heads that are copies of old ones.

    Args:
        network: the network; not changed.
        names: names of the new heads.
        rows: for each new head the index of the old head to copy.
    """
    description = architecture.describe(network)
    n_heads = len(description["heads"])
    description["heads"] = list(names)
    mapped: dict[str, torch.Tensor] = {}
    if hasattr(network, "scale_shift"):
        for key in ("scale", "shift"):
            old = torch.atleast_1d(getattr(network.scale_shift, key).detach())
            # The old network may have one value for all its heads; the new one gets one per head.
            values = old[list(rows)] if old.numel() == n_heads else old.expand(len(rows))
            description[key] = values.double().tolist()
            mapped[f"scale_shift.{key}"] = values
    new = architecture.build(description)
    for container in ("readouts", "les_readouts"):
        for k, readout in enumerate(getattr(network, container, ())):
            twin = getattr(new, container)[k]
            _map_readout(mapped, f"{container}.{k}", readout, twin, rows, n_heads)
    if hasattr(network, "embedding_readout"):
        _map_readout(
            mapped, "embedding_readout", network.embedding_readout, new.embedding_readout, rows,
            n_heads,
        )  # fmt: skip
    return _finish(network, new, mapped)
