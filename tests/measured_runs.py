"""Results of protocols in run folders, with planted numbers, as the protocols write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pestle.protocols.dimers.protocol import Curve, DimersNumbers
from pestle.protocols.dimers.protocol import PotentialNumbers as Dimers
from pestle.protocols.distributions import Distribution
from pestle.protocols.errors.numbers import ErrorsNumbers
from pestle.protocols.rdf.numbers import (
    ComparedFunction,
    Function,
    RdfNumbers,
    ReferenceNumbers,
)
from pestle.protocols.rdf.numbers import PotentialNumbers as Rdf
from pestle.protocols.torsion.numbers import (
    GivenScan,
    ScanNumbers,
    TorsionNumbers,
)
from pestle.protocols.torsion.numbers import PotentialNumbers as Torsion
from pestle.records.results import Measured, Numbers
from report_folders import about

#: Angles (degrees) and labels (kcal/mol) of the scan `butane`; distances (Å) of the others.
ANGLES, LABELS = [0.0, 90.0, 180.0], [5.0, 3.0, 0.0]
DISTANCES = [1.0, 2.0, 3.0]


def write_measured(run: Path, protocol: str, numbers: Numbers, models: Sequence[str]) -> None:
    """metrics.json of a protocol: the first model is judged, the second its foundation."""
    names = {"models": tuple(models), "candidate": models[0], "baseline": models[1], "labels": {}}
    place = run / "protocols" / protocol
    place.mkdir(parents=True, exist_ok=True)
    content = Measured.of(about(protocol, **names), numbers).to_json()
    (place / "metrics.json").write_text(json.dumps(content))


def write_torsion(run: Path, models: Mapping[str, float]) -> None:
    """A scan; each model's energies are the labels and its number."""
    given = GivenScan(
        x=ANGLES, x_label="dihedral angle (°)", frames=3, reference=LABELS, barrier=5.0
    )
    potentials = {
        name: Torsion(
            scans={"butane": ScanNumbers(energy=[label + off for label in LABELS], rmse=off)},
            rmse=off,
        )
        for name, off in models.items()
    }
    numbers = TorsionNumbers(scans={"butane": given}, unlabelled="", potentials=potentials)
    write_measured(run, "torsion", numbers, list(models))


def write_dimers(run: Path, models: Mapping[str, float]) -> None:
    """Two curves of each model, flat at its number (eV)."""
    potentials = {
        name: Dimers(
            pairs={
                pair: Curve(distance=DISTANCES, energy=[depth] * 3, flags=[])
                for pair in ("H-H", "H-Cl")
            },
            n_pairs=2,
            n_flagged=0,
        )
        for name, depth in models.items()
    }
    write_measured(run, "dimers", DimersNumbers(potentials=potentials), list(models))


def write_frame_errors(run: Path, models: Mapping[str, list[float]], *, maes: bool = True) -> None:
    """Force errors (meV/Å) of single frames of the set `others`."""
    distribution = {
        name: Distribution(
            group=["all"] * len(errors),
            forces=[2 * error for error in errors],
            energy=[None] * len(errors),
            forces_mae=errors if maes else [],
        )
        for name, errors in models.items()
    }
    empty = ("sets", "energy_rmse", "forces_rms", "not_finite", "parity")
    plain: dict[str, Any] = {name: {} for name in empty}
    numbers = ErrorsNumbers(
        distribution={"others": distribution}, held_out=["others"], notes=[], **plain
    )
    write_measured(run, "errors", numbers, list(models))


def write_rdf(run: Path, models: Mapping[str, float]) -> None:
    """The function of one pair, flat at 1 in the reference and at its number of each model."""
    plain = {"r": DISTANCES, "error": None, "coordination": None, "first_peak": None}
    compared = {"emd": 0.1, "emd_error": None, "emd_interval": None, "emd_noise": None}
    potentials = {
        name: Rdf(
            source="a run",
            n_frames=3,
            n_runs=1,
            unstable=[],
            pairs={"Cl-O": ComparedFunction(g=[height] * 3, judged=True, **plain, **compared)},
        )
        for name, height in models.items()
    }
    reference = ReferenceNumbers(
        text="a table", stands_in=False, pairs={"Cl-O": Function(g=[1.0] * 3, **plain)}
    )
    numbers = RdfNumbers(
        pairs=["Cl-O"], r_max=3.0, notices=[], reference=reference, potentials=potentials
    )
    write_measured(run, "rdf", numbers, list(models))
