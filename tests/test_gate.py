"""The zero-step gate passes the foundation and names the part that broke anything else."""

from __future__ import annotations

import pytest
import torch

from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.settings.training import TrainSettings
from pestle.structures.frame import Frame
from pestle.training.gate import Stage, zero_step_gate

E0S = {1: -13.6, 6: -1027.6, 9: -2711.1, 17: -12510.4}


def stages_of(foundation: Foundation) -> list[Stage]:
    shifted = foundation.with_reference_energies("Default", E0S)
    cut = shifted.with_elements([1, 6, 9, 17])
    return [
        Stage("the foundation", foundation, "Default"),
        Stage("setting the reference energies", shifted, "Default"),
        Stage("cutting down the elements", cut, "Default"),
    ]


def broken(model: Foundation, part: str) -> Foundation:
    """A copy with one weight of a part moved by a ten-thousandth of itself."""
    model = model.copy()
    name = model.parameter_groups()[part][0]
    with torch.no_grad():
        dict(model.named_parameters())[name].mul_(1.0001)
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_passes_whatever_must_not_change(
    seed0: Foundation, demo_train: list[Frame], dtype: str
) -> None:
    model = seed0.with_dtype(getattr(torch, dtype))
    result = zero_step_gate(
        demo_train, stages_of(model), TrainSettings(dtype=dtype, gate_frames=20)
    )
    assert result.n_frames == 20
    assert result.forces < 1e-3 and result.energy < 1e-4


@pytest.mark.parametrize("part", ["embedding", "interaction 1", "product 2", "readout 2"])
def test_names_the_stage_that_moved_a_weight(
    seed0: Foundation, demo_train: list[Frame], part: str
) -> None:
    stages = stages_of(seed0)
    stages.append(Stage("the method naive", broken(stages[-1].model, part), "Default"))
    with pytest.raises(PestleError, match=r"the method naive changed .*forces by"):
        zero_step_gate(demo_train, stages, TrainSettings(dtype="float64", gate_frames=200))


def test_names_the_first_of_several_stages(seed0: Foundation, demo_train: list[Frame]) -> None:
    stages = stages_of(seed0)
    wrong = broken(stages[1].model, "readout 1")
    stages[1] = Stage(stages[1].part, wrong, "Default")
    stages[2] = Stage(stages[2].part, wrong.with_elements([1, 6, 9, 17]), "Default")
    with pytest.raises(PestleError, match="reference energies changed"):
        zero_step_gate(demo_train, stages, TrainSettings(dtype="float64", gate_frames=5))
