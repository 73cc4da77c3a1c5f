"""ASE calculators for images that are predicted together in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from pestle.protocols.neb.reactions import frame_of
from pestle.protocols.potential import Potential


class BandError(Exception):
    """A reason, in words, why a band cannot be calculated on a potential; not a mistake of the
    user.
    """


def predict(potential: Potential, images: Sequence[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    """Predict all images in one batch.

    Args:
        potential: the potential.
        images: structures with the same number of atoms.

    Returns:
        Energies [n_images] eV and forces [n_images, n_atoms, 3] eV/Å; NaN where a prediction
        failed.
    """
    said = potential.predict([frame_of(image, "image", k) for k, image in enumerate(images)])
    energy = np.array([p.energy for p in said], dtype=float)
    return energy, np.stack([np.asarray(p.forces, dtype=float) for p in said])


class BatchCalculator(Calculator):
    """Energy and forces of one image of a group.

    When the calculator of one image is asked, it predicts all images of the group that have moved
    in one batch. For molecules this is several times as fast as one prediction for each image.

    Args:
        potential: makes the predictions.
        group: the images whose calculators belong together.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces"]

    def __init__(self, potential: Potential, group: Sequence[Atoms]) -> None:
        super().__init__()
        self.potential, self.group = potential, group

    @classmethod
    def attach(cls, potential: Potential, images: Sequence[Atoms]) -> None:
        """Give every image a calculator; all images form one group."""
        for image in images:
            image.calc = cls(potential, images)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties or ["energy"], system_changes)
        moved = [
            image
            for image in self.group
            if image.calc is not self and image.calc.calculation_required(image, ["forces"])
        ]
        images = [self.atoms, *moved]
        energy, forces = predict(self.potential, images)
        finite = np.isfinite(energy) & np.isfinite(forces).all(axis=(1, 2))
        if not finite.all():
            raise BandError("energy or forces are not finite")
        self.results = _results(energy[0], forces[0])
        for image, e, f in zip(moved, energy[1:], forces[1:], strict=True):
            image.calc.atoms, image.calc.results = image.copy(), _results(e, f)


def _results(energy: float, forces: np.ndarray) -> dict[str, Any]:
    return {"energy": float(energy), "free_energy": float(energy), "forces": forces}
