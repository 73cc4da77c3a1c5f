"""Name the parts of a NequIP-type network, as freezing and low-rank adaptation need them.

`embedding` is the element embedding. `interaction k` computes the messages of layer k (linear
layers and radial network). `product k` updates the atoms with these messages (skip connection and
norm). Both together are layer k. The only readout is `readout 1`.
"""

from __future__ import annotations

from pestle.foundations.capabilities import LinearBlock, LinearLayer
from pestle.foundations.nequip.layers import Linear, Radial
from pestle.foundations.nequip.network import Network

#: Name of the irrep of each degree, with parity (-1)^l.
_IRREPS = ("0e", "1o", "2e", "3o", "4e", "5o", "6e")


def parameter_groups(network: Network, prefix: str = "") -> dict[str, list[str]]:
    """Return the names of the parameters by part, in the order of the forward pass.

    Args:
        network: the network.
        prefix: text that is put before every name.
    """
    groups: dict[str, list[str]] = {"embedding": [f"{prefix}embedding.weight"]}
    for k, layer in enumerate(network.stack):
        names = [f"{prefix}layers.{k}.{name}" for name, _ in layer.named_parameters()]
        update = (f"{prefix}layers.{k}.skip.", f"{prefix}layers.{k}.norm.")
        groups[f"interaction {k + 1}"] = [n for n in names if not n.startswith(update)]
        groups[f"product {k + 1}"] = [n for n in names if n.startswith(update)]
    groups["readout 1"] = [f"{prefix}readout.weight"]
    return groups


def linear_layers(network: Network, prefix: str = "") -> list[LinearLayer]:
    """List every linear layer with its irrep blocks.

    The matrices of the radial network are scalar layers.

    Args:
        network: the network.
        prefix: text that is put before every name.
    """
    found = []
    for name, module in network.named_modules():
        if isinstance(module, Linear):
            found.append(_equivariant(f"{prefix}{name}.weight", module))
        elif isinstance(module, Radial):
            found += [
                LinearLayer(
                    f"{prefix}{name}.weights.{k}",
                    "scalar",
                    (LinearBlock("0e", weight.shape[0], weight.shape[1], 0, 1.0),),
                )
                for k, weight in enumerate(module.weights)
            ]
    return found


def _equivariant(parameter: str, linear: Linear) -> LinearLayer:
    """Describe a `Linear` by its blocks."""
    blocks, offset = [], 0
    for degree, ((n_in, n_out), factor) in enumerate(
        zip(linear.shapes, linear.path_weights, strict=True)
    ):
        blocks.append(LinearBlock(_IRREPS[degree], n_in, n_out, offset, factor))
        offset += n_in * n_out
    kind = "scalar" if len(blocks) == 1 else "equivariant"
    return LinearLayer(parameter, kind, tuple(blocks))
