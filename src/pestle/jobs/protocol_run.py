"""One run of a protocol: calculate, analyse, and write the results."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import ase.io
from ase.data import chemical_symbols
from pydantic import BaseModel

from pestle.checksums import writing_with_sums
from pestle.errors import PestleError
from pestle.files import finite, replacing, write_json
from pestle.jobs.potentials import Contenders, file_name
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.potential import Potential
from pestle.protocols.raw import TIMINGS, RawFolder, digest_of, structures_digest
from pestle.protocols.results import Flagged
from pestle.records.results import About, Measured, N
from pestle.structures.frame import Frame, elements_of

#: Files that a protocol writes for readers.
RESULTS = ("metrics.json", "charts.json", "tables.json", "flagged.xyz")


def run_protocol(
    chosen: Protocol[N],
    loaded: Contenders,
    inputs: Inputs,
    settings: BaseModel,
    folder: Path,
    dtype: str,
) -> Measured[N]:
    """Calculate the missing raw results, analyse all, and write the results.

    Args:
        chosen: the protocol.
        loaded: the potentials.
        inputs: structures and elements.
        settings: settings of the protocol.
        folder: folder of the results.
        dtype: precision of the networks.

    Raises:
        PestleError: the protocol cannot run with these potentials or structures.
    """
    found, raws = measured(chosen, loaded, inputs, settings, folder, dtype)
    write_results(chosen, found, raws, folder)
    return found


def measured(
    chosen: Protocol[N],
    loaded: Contenders,
    inputs: Inputs,
    settings: BaseModel,
    folder: Path,
    dtype: str,
) -> tuple[Measured[N], dict[str, RawFolder]]:
    """Calculate the missing raw results and analyse all.

    Args:
        chosen: the protocol.
        loaded: the potentials.
        inputs: structures and elements.
        settings: settings of the protocol.
        folder: folder of the results; raw results are in its folder `raw`.
        dtype: precision of the networks.

    Returns:
        The numbers, and name of the potential → raw results.

    Raises:
        PestleError: the protocol cannot run with these potentials or structures.
    """
    potentials = loaded.all(replay_heads=chosen.replay_head)
    inputs = replace(inputs, known=loaded.known)
    structures = chosen.structures(inputs, settings)
    for potential in potentials:
        _require_elements(potential, chosen, inputs, structures)
    chosen.check(inputs, settings, potentials)
    raws = {}
    for potential in potentials:
        key = _key(chosen, potential, inputs, settings, structures, dtype)
        # Every key has a folder of its own, so results of other settings or data are kept.
        raw = RawFolder(folder / "raw" / file_name(potential.name) / digest_of(key), key)
        if not raw.finished:
            chosen.calculate(potential, inputs, settings, raw)
        raws[potential.name] = raw
    about = About(
        protocol=chosen.name,
        question=chosen.question,
        settings=finite(settings.model_dump()),
        models=tuple(potential.name for potential in potentials),
        candidate=inputs.candidate,
        baseline=inputs.baseline,
        labels=dict(loaded.labels),
        elements=tuple(chemical_symbols[z] for z in inputs.elements),
        weights=loaded.weights,
    )
    found = Measured.of(about, chosen.analyse(raws, inputs, settings))
    return replace(found, raws={name: raw.path for name, raw in raws.items()}), raws


def write_results(
    chosen: Protocol[N], found: Measured[N], raws: Mapping[str, RawFolder], folder: Path
) -> None:
    """Write metrics.json, charts.json and tables.json, with SHA256SUMS.

    If structures were flagged, flagged.xyz is written, too; if times were measured, timings.json,
    which is not in SHA256SUMS.

    Args:
        chosen: the protocol.
        found: its numbers.
        raws: name of the potential → raw results.
        folder: folder of the results.
    """
    with writing_with_sums(folder, RESULTS):
        write_json(folder / "metrics.json", found.to_json())
        write_json(folder / "charts.json", [asdict(chart) for chart in chosen.charts(found)])
        write_json(folder / "tables.json", [asdict(table) for table in chosen.tables(found)])
        write_flagged(folder / "flagged.xyz", chosen.flagged(raws, found))
    timed = {name: round(raw.seconds, 3) for name, raw in raws.items() if raw.seconds}
    if timed:
        write_json(folder / TIMINGS, {"seconds": timed})


def _key(
    chosen: Protocol[Any],
    potential: Potential,
    inputs: Inputs,
    settings: BaseModel,
    structures: Sequence[Frame],
    dtype: str,
) -> dict[str, Any]:
    """Return everything on which raw results depend."""
    return {
        "protocol": chosen.name,
        "version": chosen.version,
        "packages": {name: importlib.metadata.version(name) for name in chosen.packages},
        "potential": potential.fingerprint,
        "dtype": dtype,
        "device": potential.device,
        "settings": settings.model_dump(exclude=set(chosen.analysis_settings)),
        "elements": list(chosen.elements(inputs)),
        "structures": structures_digest(structures),
        "seed": inputs.seed,
    }


def write_flagged(path: Path, flagged: Sequence[Flagged]) -> None:
    """Write flagged structures as extended XYZ; without any, the file is removed.

    Args:
        path: file to write.
        flagged: the structures, with the potential and the reason.
    """
    if not flagged:
        path.unlink(missing_ok=True)
        return
    images = []
    for found in flagged:
        atoms = found.atoms.copy()
        atoms.info = {"potential": found.potential, "title": found.title, "reason": found.reason}
        images.append(atoms)
    with replacing(path) as temporary:
        ase.io.write(temporary, images, format="extxyz")


def _require_elements(
    potential: Potential, chosen: Protocol[Any], inputs: Inputs, structures: Sequence[Frame]
) -> None:
    """Check that a potential knows all elements of the test.

    Raises:
        PestleError: an element is unknown to it.
    """
    known = potential.elements
    needed = {*chosen.elements(inputs), *elements_of(structures)}
    unknown = [z for z in sorted(needed) if known is not None and z not in known]
    if unknown:
        raise PestleError(
            f"{potential.name} does not know {', '.join(chemical_symbols[z] for z in unknown)}",
            where="elements",
            fix="Leave them out with --elements, or structures with them out of --data.",
        )
