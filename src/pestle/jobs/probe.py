"""`pestle probe`: one physical test of a model, beside others where asked."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from pydantic import BaseModel

from pestle.checksums import writing_with_sums
from pestle.errors import PestleError
from pestle.files import finite, replacing, write_json
from pestle.foundations import catalogue
from pestle.jobs.potentials import Contenders, contenders, file_name
from pestle.locks import locked_folder
from pestle.protocols import protocol
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.potential import Potential
from pestle.protocols.raw import TIMINGS, RawFolder, digest_of, structures_digest
from pestle.protocols.results import Flagged
from pestle.protocols.thresholds import read_thresholds
from pestle.records.folder import require_folder
from pestle.records.manifest import Manifest
from pestle.records.results import About, Measured, N
from pestle.records.verdict import Finding, worst
from pestle.settings.probe import ProbeSettings
from pestle.settings.run_file import build
from pestle.structures.frame import Frame, elements_of
from pestle.structures.reading import read_frames
from pestle.views import Shown, Table

#: What a protocol leaves for readers.
RESULTS = ("metrics.json", "charts.json", "tables.json", "flagged.xyz")


@dataclass(frozen=True, repr=False)
class Probed(Shown):
    """What came of one protocol.

    Attributes:
        protocol: that was run.
        measured: models and numbers.
        findings: on the candidate.
        folder: where the results lie.
    """

    protocol: Protocol[Any]
    measured: Measured[Any]
    findings: list[Finding]
    folder: Path

    def __repr__(self) -> str:
        return f"<Probed {self.lines()[0]}>"

    def lines(self) -> list[str]:
        """The protocol, its worst finding, and where the results lie."""
        level = worst([finding.level for finding in self.findings]).upper()
        judged = f"{level}, {len(self.findings)} findings" if self.findings else "nothing judged"
        return [f"{self.protocol.name}: {judged}", f"results: {self.folder}"]

    def tables(self) -> list[Table]:
        """The findings."""
        rows = [[f.level.upper(), f.sentence, f.limit] for f in self.findings]
        return [Table("findings", ["level", "finding", "threshold"], rows)]

    def to_json(self) -> dict[str, Any]:
        """What metrics.json holds, with `findings` and the folder `out`."""
        content = self.measured.to_json()
        findings = finite([asdict(finding) for finding in self.findings])
        return content | {"findings": findings, "out": str(self.folder)}


def probe(
    name: str,
    model: str,
    *,
    against: str | None = None,
    also: Sequence[str] = (),
    data: Sequence[str] = (),
    elements: Sequence[str] = (),
    head: str | None = None,
    trust: bool = False,
    dtype: str = "float64",
    device: str = "auto",
    settings: ProbeSettings | Mapping[str, Any] | None = None,
    thresholds: str | Path | None = None,
    out: str | Path | None = None,
) -> Probed:
    """Run one protocol.

    >>> pestle.probe("rss", "runs/mine", against="medium-mpa-0").findings

    Args:
        name: of the protocol.
        model: run folder, model folder, file, catalogue name, or `calculator:MODULE:NAME` (any ASE
            calculator; MODULE is imported, which runs its code).
        against: the foundation that the model is compared with.
        also: further models to compare.
        data: structures: files or globs, each a set of its own; `NAME=FILES` names it.
        elements: chemical symbols instead of those of the data; for a run folder those of its
            training data are known without.
        head: head of the model; by default the only one, or Default.
        trust: allow `.model` files.
        dtype: precision of the networks.
        device: where they predict.
        settings: `ProbeSettings`, or a table of dotted names.
        thresholds: file that changes thresholds of the findings.
        out: folder to write; by default `protocols/NAME` in the run folder, or the folder `probe`
            beside the model.

    Raises:
        PestleError: a mistake in names, settings, models or data, or another command writes to
            the folder.
    """
    chosen = protocol(name)
    folder = default_folder(name, model) if out is None else Path(out)
    require_folder(folder)
    with locked_folder(folder):
        if not isinstance(settings, ProbeSettings):
            settings = build({}, settings or {}, root=ProbeSettings)
        assert isinstance(settings, ProbeSettings)
        limits = read_thresholds(Path(thresholds) if thresholds is not None else None)
        loaded = contenders(
            model, against=against, also=also, head=head, trust=trust, dtype=dtype, device=device
        )
        sets = read_sets(data)
        inputs = Inputs(
            elements_for(elements, sets, model, loaded),
            sets,
            settings.seed,
            loaded.candidate.name,
            loaded.baseline.name if loaded.baseline else None,
        )
        own = settings.of(name)
        found = run_protocol(chosen, loaded, inputs, own, folder, dtype)
        return Probed(chosen, found, chosen.assess(found, limits[name]), folder)


def run_protocol(
    chosen: Protocol[N],
    loaded: Contenders,
    inputs: Inputs,
    settings: BaseModel,
    folder: Path,
    dtype: str,
) -> Measured[N]:
    """Calculate what is not there yet, analyse, and write what there is to see."""
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
    """Calculate what is not there yet, and analyse.

    Returns:
        What was measured, and name → raw results.
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
        # Results of other settings or data stay where they are.
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
    )
    return Measured.of(about, chosen.analyse(raws, inputs, settings)), raws


def write_results(
    chosen: Protocol[N], found: Measured[N], raws: Mapping[str, RawFolder], folder: Path
) -> None:
    """metrics.json, charts.json, tables.json, timings.json where times were taken, and, where a
    structure was found fault with, flagged.xyz; and SHA256SUMS of all but the times."""
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
    """What raw results depend on."""
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
    """Structures that were found fault with, extended XYZ; no file where there is none."""
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


def read_sets(data: Sequence[str]) -> dict[str, list[Frame]]:
    """Sets by name: `NAME=FILES`, or FILES, whose set is called as the file without its ending.

    Raises:
        PestleError: a file cannot be read, or two sets have one name.
    """
    sets: dict[str, list[Frame]] = {}
    for text in data:
        name, equals, pattern = text.partition("=")
        if not equals or "/" in name:
            name, pattern = Path(text).stem, text
        if name in sets:
            raise PestleError(
                f"two sets are called '{name}'", where=text, fix="Name one: --data NAME=FILES."
            )
        if not name:
            raise PestleError("a set without a name", where=text, fix="--data NAME=FILES.")
        sets[name] = list(read_frames([pattern]).frames)
        for frame in sets[name]:
            _require_finite(frame)
    return sets


def _require_finite(frame: Frame) -> None:
    """Raises a PestleError where a coordinate or a label is no number."""
    of_frame = {
        "the positions": frame.atoms.positions,
        "the cell": frame.atoms.cell.array,
        "the energy": frame.energy,
        "the forces": frame.forces,
        "the stress": frame.stress,
    }
    for name, value in of_frame.items():
        if value is not None and not np.isfinite(value).all():
            verb = "is" if name in ("the cell", "the energy", "the stress") else "are"
            raise PestleError(
                f"{name} {verb} not finite", where=frame.where, fix="Leave the frame out."
            )


def elements_for(
    asked: Sequence[str],
    sets: Mapping[str, Sequence[Frame]],
    model: str,
    loaded: Contenders,
) -> tuple[int, ...]:
    """Atomic numbers that the test is about.

    Raises:
        PestleError: a name is no element, or nothing says which elements are meant.
    """
    if asked:
        unknown = [symbol for symbol in asked if symbol not in atomic_numbers]
        if unknown:
            raise PestleError(f"'{unknown[0]}' is no element", where="elements")
        return tuple(sorted({atomic_numbers[symbol] for symbol in asked}))
    frames = [frame for found in sets.values() for frame in found]
    trained = Path(model) / "manifest.json"
    if trained.is_file():
        shifts = Manifest.of_run(trained).reference_energies.shift
        of_data = {atomic_numbers[symbol] for symbol in shifts}
        return tuple(sorted(of_data | set(elements_of(frames))))
    if frames:
        return tuple(sorted(elements_of(frames)))
    known = loaded.candidate.elements
    if known is not None and len(known) <= 8:
        return tuple(sorted(known))
    raise PestleError(
        "it is not known which elements the model is for",
        where="elements",
        fix="Give --elements H,C,O or --data FILES.",
    )


def _require_elements(
    potential: Potential, chosen: Protocol[Any], inputs: Inputs, structures: Sequence[Frame]
) -> None:
    known = potential.elements
    needed = {*chosen.elements(inputs), *elements_of(structures)}
    unknown = [z for z in sorted(needed) if known is not None and z not in known]
    if unknown:
        raise PestleError(
            f"{potential.name} does not know {', '.join(chemical_symbols[z] for z in unknown)}",
            where="elements",
            fix="Leave them out with --elements, or structures with them out of --data.",
        )


def default_folder(name: str, model: str) -> Path:
    """Where the results go by default."""
    path = Path(model)
    if (path / "run.yaml").is_file():
        return path / "protocols" / name
    if model.startswith("calculator:") or catalogue.find(model) is not None:
        return Path("probe") / name / file_name(model)
    return path.resolve().parent / "probe" / path.stem / name
