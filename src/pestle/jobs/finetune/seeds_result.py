"""What the members of several seeds came to: errors as mean and spread, and how they are loaded."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pestle.foundations import load
from pestle.foundations.committee import Committee
from pestle.records.folder import RunFolder
from pestle.records.manifest import Manifest
from pestle.views import Shown, Table
from pestle.wording import counted, figure


@dataclass(frozen=True)
class Spread:
    """A figure of several members.

    Attributes:
        values: of each.
        unit: of the values.
    """

    values: tuple[float, ...]
    unit: str

    @property
    def mean(self) -> float:
        """Mean over the members."""
        return statistics.fmean(self.values)

    @property
    def std(self) -> float | None:
        """Standard deviation of the sample (n − 1); `None` for one member."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def words(self) -> str:
        """`22.3 ± 0.9 meV/Å`."""
        spread = "" if self.std is None else f" ± {figure(self.std)}"
        return f"{figure(self.mean)}{spread} {self.unit}"


@dataclass(frozen=True)
class Members(Shown):
    """What `pestle.finetune_seeds` made.

    Attributes:
        folders: of the members that finished, by their seeds.
        failed: folder → why it did not finish.
        errors: set → energies, forces, stress → RMSE of the members, energies without isolated
            atoms.
    """

    folders: tuple[Path, ...]
    failed: Mapping[Path, str] = field(default_factory=dict)
    errors: Mapping[str, Mapping[str, Spread]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Members: {self.lines()[0]}>"

    def load(self) -> Committee:
        """The members as a committee.

        Raises:
            PestleError: fewer than two finished.
        """
        return load([str(folder) for folder in self.folders])

    @property
    def load_line(self) -> str:
        """How Python loads them as a committee."""
        return f"pestle.load({json.dumps([str(f) for f in self.folders], ensure_ascii=False)})"

    def lines(self) -> list[str]:
        """What the command says at its end: errors as mean and spread, and how to load them."""
        n = len(self.folders)
        found = [f"{counted(n, 'member')}; RMSE as mean ± standard deviation"]
        for name, by_quantity in self.errors.items():
            said = ", ".join(f"{q} {spread.words}" for q, spread in by_quantity.items())
            found.append(f"{name}: {said}")
        found += [f"{folder.name} failed: {why}" for folder, why in self.failed.items()]
        if n > 1:
            found.append(f"committee: {self.load_line}")
        return found

    def tables(self) -> list[Table]:
        """RMSE of every member, a row for each set and quantity."""
        rows = [
            [name, f"{quantity} ({spread.unit})", *map(figure, spread.values), spread.words]
            for name, by_quantity in self.errors.items()
            for quantity, spread in by_quantity.items()
        ]
        headings = ["set", "RMSE", *(folder.name for folder in self.folders), "mean ± std"]
        return [Table("members", headings, rows, figures=len(self.folders) + 1)]

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "members": [str(folder) for folder in self.folders],
            "failed": {str(folder): why for folder, why in self.failed.items()},
            "errors": {
                name: {
                    quantity: {
                        "mean": spread.mean,
                        "std": spread.std,
                        "values": list(spread.values),
                        "unit": spread.unit,
                    }
                    for quantity, spread in by_quantity.items()
                }
                for name, by_quantity in self.errors.items()
            },
        }


def summary_of(folders: Sequence[Path], failed: Mapping[Path, str]) -> Members:
    """Errors of finished members as mean and spread.

    Args:
        folders: their run folders.
        failed: folder → why it did not finish.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for folder in folders:
        manifest = Manifest.of_run(RunFolder(folder).manifest)
        for one in manifest.ending.sets if manifest.ending is not None else ():
            of_set = (manifest.errors or {}).get(one.name, {}).get("fine-tuned", {}).get("all")
            stress = None if of_set is None else of_set.stress_rmse
            values = {"forces": one.forces, "energies": one.energy, "stress": stress}
            for quantity, value in values.items():
                if value is not None:
                    found.setdefault(one.name, {}).setdefault(quantity, []).append(value)
    units = {"forces": "meV/Å", "energies": "meV/atom", "stress": "meV/Å³"}
    errors = {
        name: {q: Spread(tuple(values), units[q]) for q, values in by_quantity.items()}
        for name, by_quantity in found.items()
    }
    return Members(tuple(folders), dict(failed), errors)
