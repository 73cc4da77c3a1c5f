"""A FIRE step for many crystals at once, on atoms and on the logarithm of the cell deformation.

torch-sim's own step (0.3) differentiates the matrix exponential in a Python loop, nine times for
every crystal. For small crystals this takes as long as the network. Here one matrix exponential is
calculated for all crystals. The state, its initial values and the steps equal torch-sim's up to
rounding: ASE's FIRE (Bitzek et al., DOI 10.1103/PhysRevLett.97.170201) on its FrechetCellFilter.
"""

from __future__ import annotations

import torch
from torch_sim.models.interface import ModelInterface
from torch_sim.optimizers import FrechetCellFIREState

#: Parameters of FIRE as in ASE and torch-sim: largest time step, downhill steps before it grows,
#: factors of growth and reduction, initial mixing, factor of its reduction, longest step (Å).
DT_MAX, N_MIN, F_INC, F_DEC, ALPHA, F_ALPHA, MAX_STEP = 1.0, 5, 1.1, 0.5, 0.1, 0.99, 0.2


def fire_step(model: ModelInterface, state: FrechetCellFIREState) -> FrechetCellFIREState:
    """Move atoms and cells by one step.

    Args:
        model: gives energies, forces and stresses.
        state: the initial state of `torch_sim.frechet_cell_fire`, or the state after an earlier
            step; without `hydrostatic_strain` and `constant_volume`. It is changed in place.

    Returns:
        The same state.
    """
    system, deformation = state.system_idx, state.deform_grad()
    forces, pull = _rows(state.forces, deformation, system), state.cell_forces

    def length(atoms: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        return _dot(atoms, atoms, cells, cells, system).sqrt()

    if bool(state.velocities.isnan().any()):  # nothing has moved yet
        velocities, stretch = torch.zeros_like(forces), torch.zeros_like(pull)
    else:
        velocities, stretch = state.velocities, state.cell_velocities
        downhill = _dot(forces, velocities, pull, stretch, system) > 0.0
        _adapt(state, downhill)
        share = state.alpha * length(velocities, stretch) / length(forces, pull).clamp(min=1e-12)
        kept = 1.0 - state.alpha
        velocities, stretch = (
            torch.where(to(downhill), to(kept) * old + to(share) * new, torch.zeros_like(old))
            for old, new, to in (
                (velocities, forces, lambda values: values[system, None]),
                (stretch, pull, lambda values: values[:, None, None]),
            )
        )
    dt = state.dt
    state.velocities = velocities + dt[system, None] * forces
    state.cell_velocities = stretch + dt[:, None, None] * pull
    moved, stretched = (
        dt[system, None] * state.velocities,
        dt[:, None, None] * state.cell_velocities,
    )
    shorter = MAX_STEP / length(moved, stretched).clamp(min=MAX_STEP)

    unstrained = torch.linalg.solve(deformation[system], state.positions[:, :, None])[:, :, 0]
    state.cell_positions = state.cell_positions + shorter[:, None, None] * stretched
    logarithm = state.cell_positions / state.cell_factor
    deformation = torch.matrix_exp(logarithm)
    state.row_vector_cell = state.reference_row_vector_cell @ deformation.mT
    unstrained = unstrained + shorter[system, None] * moved
    state.positions = _rows(unstrained, deformation.mT, system)

    said = model(state)
    state.energy, state.forces, state.stress = (said[k] for k in ("energy", "forces", "stress"))
    volume = torch.linalg.det(state.cell)[:, None, None]
    virial = -volume * (state.stress + state.pressure)
    state.cell_forces = exponential_gradient(logarithm, virial @ torch.linalg.inv(deformation.mT))
    state.cell_forces = state.cell_forces / state.cell_factor
    return state


def exponential_gradient(matrices: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """Return derivatives by the matrices A from derivatives by their exponentials exp(A).

    They are the upper right block of exp([[Aᵀ, G], [0, Aᵀ]]) (Al-Mohy and Higham,
    DOI 10.1137/080716426).

    Args:
        matrices: [n, 3, 3], A.
        gradients: [n, 3, 3], G, the derivatives by exp(A).

    Returns:
        [n, 3, 3].
    """
    turned = matrices.mT
    upper = torch.cat([turned, gradients], dim=2)
    lower = torch.cat([torch.zeros_like(turned), turned], dim=2)
    return torch.matrix_exp(torch.cat([upper, lower], dim=1))[:, :3, 3:]


def _adapt(state: FrechetCellFIREState, downhill: torch.Tensor) -> None:
    """Update time step and mixing of each crystal.

    Args:
        downhill: [n_systems] whether the crystal moved downhill in energy.
    """
    faster = downhill & (state.n_pos > N_MIN)
    slower = torch.full_like(state.alpha, ALPHA)
    dt = torch.where(faster, (state.dt * F_INC).clamp(max=DT_MAX), state.dt)
    alpha = torch.where(faster, state.alpha * F_ALPHA, state.alpha)
    state.dt = torch.where(downhill, dt, state.dt * F_DEC)
    state.alpha = torch.where(downhill, alpha, slower)
    state.n_pos = torch.where(downhill, state.n_pos + 1, torch.zeros_like(state.n_pos))


def _dot(
    a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, d: torch.Tensor, system: torch.Tensor
) -> torch.Tensor:
    """Return, for each crystal [n_systems], a·b over its atoms plus c·d over its cell."""
    return (c * d).sum(dim=(1, 2)).index_add(0, system, (a * b).sum(dim=1))


def _rows(vectors: torch.Tensor, matrices: torch.Tensor, system: torch.Tensor) -> torch.Tensor:
    """Multiply row vectors [n_atoms, 3] by the matrix of their crystal."""
    return (vectors[:, None, :] @ matrices[system])[:, 0, :]
