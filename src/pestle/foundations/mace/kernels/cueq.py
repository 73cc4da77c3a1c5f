"""Run a mace network with NVIDIA's cuEquivariance, through mace's own conversion.

mace converts a network to one of the same class with other modules and with its weights in another
arrangement. Here the weights stay in the original network. At every pass they are put into the new
arrangement by mace's own rule, in a way that can be differentiated. Therefore training, LoRA,
freezing and files need not know about it.
"""

from __future__ import annotations

import importlib.util
import logging
from typing import Any

import torch
from torch.func import functional_call

from pestle.errors import PestleError
from pestle.foundations.mace.kernels import Kernels, forward
from pestle.foundations.mace.runtime import Network, default_dtype

PACKAGE = "cuequivariance_torch"


class CueqKernels(Kernels):
    """These kernels are cuEquivariance.

    Args:
        network: mace's network; it is used itself and not changed. It is converted at the first
            pass on a device.

    Raises:
        PestleError: the package is not installed.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        if importlib.util.find_spec(PACKAGE) is None:
            raise PestleError(
                f"cuEquivariance was asked for, and the package {PACKAGE} is not installed",
                where="train.kernels",
                fix="pip install cuequivariance-torch, and for a GPU cuequivariance-ops-torch-cu12 "
                "or -cu13; or use train.kernels=auto.",
            )
        self._converted: dict[tuple[torch.device, torch.dtype], Network] = {}
        self._config: dict[str, Any] = {}

    @property
    def description(self) -> str:
        return "cuEquivariance"

    def run(
        self, data: dict[str, torch.Tensor], columns: torch.Tensor, *, training: bool
    ) -> dict[str, torch.Tensor]:
        converted = self._network_for(data["positions"])
        module = _Forward(converted)
        weights = {f"network.{name}": w for name, w in self._arranged(converted).items()}
        return functional_call(module, weights, (data,), {"training": training})

    def _network_for(self, positions: torch.Tensor) -> Network:
        """Return the converted network on the device and in the dtype of the positions.

        Raises:
            PestleError: mace cannot convert it.
        """
        key = (positions.device, positions.dtype)
        if key not in self._converted:
            from mace.cli.convert_e3nn_cueq import run
            from mace.tools.scripts_utils import extract_config_mace_model

            try:
                with default_dtype(positions.dtype):
                    self._config = extract_config_mace_model(self.network)
                    made = run(self.network, return_model=True, device=positions.device.type)
                    made = made.to(*key).requires_grad_(False)
                self._require_all(self._arranged(made))
            except Exception as error:  # mace's script may raise any error
                logging.getLogger("pestle").debug("conversion failed", exc_info=True)
                raise PestleError(
                    "mace cannot convert this model for cuEquivariance "
                    f"({type(error).__name__}: {error})",
                    where="train.kernels",
                    fix="Use train.kernels=auto.",
                ) from error
            self._converted[key] = made
        return self._converted[key]

    def _require_all(self, arranged: dict[str, torch.Tensor]) -> None:
        """Raise a `ValueError` if a weight has no place in the converted network."""
        for name, _ in self.network.named_parameters():
            if name not in arranged and ".symmetric_contractions." not in name:
                raise ValueError(f"{name} has no place in the converted network")

    def _arranged(self, converted: Network) -> dict[str, torch.Tensor]:
        """Return the network's weights in the arrangement of the converted network.

        They can be differentiated.
        """
        from mace.cli.convert_e3nn_cueq import transfer_symmetric_contractions

        own = dict(self.network.named_buffers()) | dict(self.network.named_parameters())
        config = self._config
        found: dict[str, torch.Tensor] = {}
        transfer_symmetric_contractions(
            own,
            found,
            len(config["hidden_irreps"].slices()) - 1,
            self.network.products,
            config["correlation"],
            int(config["num_interactions"]),
            config.get("use_reduced_cg", True),
            config.get("keep_last_layer_irreps", False),
        )
        for name, parameter in converted.named_parameters():
            found[name] = (found[name] if name in found else own[name]).reshape(parameter.shape)
        return found


class _Forward(torch.nn.Module):
    """This module wraps `forward`, because `functional_call` can only call modules."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, data: dict[str, torch.Tensor], *, training: bool) -> dict[str, torch.Tensor]:
        return forward(self.network, data, training=training)
