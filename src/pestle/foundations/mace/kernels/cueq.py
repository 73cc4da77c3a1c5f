"""A mace network run by NVIDIA's cuEquivariance, through mace's own conversion.

mace converts a network to one of the same class with other modules and its weights in another
arrangement. Here the weights stay those of the network itself: they are put into the converted
arrangement at every pass, differentiably, by the rule that mace converts with. So training, LoRA,
freezing and files know nothing of it.
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
    """cuEquivariance.

    Args:
        network: mace's; referred to, not changed. Converted at the first pass on a device.

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
        """The converted network on the device and in the dtype of the positions.

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
            except Exception as error:  # whatever mace's script stumbles over
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
        """Raises a ValueError where a weight would stay behind."""
        for name, _ in self.network.named_parameters():
            if name not in arranged and ".symmetric_contractions." not in name:
                raise ValueError(f"{name} has no place in the converted network")

    def _arranged(self, converted: Network) -> dict[str, torch.Tensor]:
        """The network's weights as the converted one takes them, differentiable."""
        from mace.cli.convert_e3nn_cueq import transfer_symmetric_contractions

        own = dict(self.network.named_buffers()) | dict(self.network.named_parameters())
        config, found = self._config, {}
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
            found[name] = found.get(name, own.get(name)).reshape(parameter.shape)
        return found


class _Forward(torch.nn.Module):
    """The pass that `functional_call` can call."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, data: dict[str, torch.Tensor], *, training: bool) -> dict[str, torch.Tensor]:
        return forward(self.network, data, training=training)
