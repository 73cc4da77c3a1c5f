"""`pestle probe`: one physical test of a model, and of other models to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pestle.files import OneOrMore, each_of, finite
from pestle.jobs.potentials import contenders
from pestle.jobs.probe_inputs import default_folder, elements_for, read_sets
from pestle.jobs.protocol_run import run_protocol
from pestle.locks import locked_folder
from pestle.protocols import protocol
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.thresholds import read_thresholds
from pestle.records.folder import require_folder
from pestle.records.results import Measured
from pestle.records.verdict import Finding, worst
from pestle.settings.probe import ProbeSettings
from pestle.settings.run_file import build
from pestle.views import Shown, Table


@dataclass(frozen=True, repr=False)
class Probed(Shown):
    """The result of one protocol.

    Attributes:
        protocol: the protocol.
        measured: the models and their numbers.
        findings: findings on the candidate.
        folder: folder of the results.
    """

    protocol: Protocol[Any]
    measured: Measured[Any]
    findings: list[Finding]
    folder: Path

    def __repr__(self) -> str:
        return f"<Probed {self.lines()[0]}>"

    def lines(self) -> list[str]:
        """Return the protocol with its worst finding, and the folder of the results."""
        level = worst([finding.level for finding in self.findings]).upper()
        judged = f"{level}, {len(self.findings)} findings" if self.findings else "nothing judged"
        return [f"{self.protocol.name}: {judged}", f"results: {self.folder}"]

    def tables(self) -> list[Table]:
        """Return a table of the findings."""
        rows = [[f.level.upper(), f.sentence, f.limit] for f in self.findings]
        return [Table("findings", ["level", "finding", "threshold"], rows)]

    def to_json(self) -> dict[str, Any]:
        """Return the content of metrics.json, with `findings` and the folder `out`."""
        content = self.measured.to_json()
        findings = finite([asdict(finding) for finding in self.findings])
        return content | {"findings": findings, "out": str(self.folder)}


def probe(
    name: str,
    model: str | Path,
    *,
    against: str | None = None,
    also: OneOrMore = (),
    data: OneOrMore = (),
    elements: str | Sequence[str] = (),
    head: str | None = None,
    trust: bool = False,
    dtype: str = "float64",
    device: str = "auto",
    settings: ProbeSettings | Mapping[str, Any] | None = None,
    thresholds: str | Path | None = None,
    out: str | Path | None = None,
) -> Probed:
    """Run one protocol, a physical test of a model.

    >>> pestle.probe("rss", "runs/mine", against="medium-mpa-0").findings

    Args:
        name: name of the protocol.
        model: run folder, model folder, file, catalogue name, or `calculator:MODULE:NAME` (any ASE
            calculator; MODULE is imported, and this runs its code).
        against: the foundation with which the model is compared.
        also: further models to compare with.
        data: structures: file or glob, or several, each of them a set; `NAME=FILES` gives the set
            a name.
        elements: chemical symbols of the test; by default those of the data, or of the training
            data of a run folder.
        head: head of the model; by default the only one, or Default.
        trust: allow `.model` files.
        dtype: precision of the networks: float32 or float64.
        device: device for predictions: auto, cpu, cuda or cuda:N.
        settings: `ProbeSettings`, or dotted name → value.
        thresholds: file that changes thresholds of the findings.
        out: folder to write; by default `protocols/NAME` in the run folder, or the folder `probe`
            beside the model.

    Returns:
        The numbers and the findings.

    Raises:
        PestleError: there is a mistake in names, settings, models or data, or another command
            writes to the folder.
    """
    chosen, model = protocol(name), str(model)
    folder = default_folder(name, model) if out is None else Path(out)
    require_folder(folder)
    with locked_folder(folder):
        if not isinstance(settings, ProbeSettings):
            settings = build({}, settings or {}, root=ProbeSettings)
        assert isinstance(settings, ProbeSettings)
        limits = read_thresholds(Path(thresholds) if thresholds is not None else None)
        loaded = contenders(
            model,
            against=against,
            also=each_of(also),
            head=head,
            trust=trust,
            dtype=dtype,
            device=device,
        )
        sets = read_sets(each_of(data))
        inputs = Inputs(
            elements_for(each_of(elements), sets, model, loaded),
            sets,
            settings.seed,
            loaded.candidate.name,
            loaded.baseline.name if loaded.baseline else None,
        )
        own = settings.of(name)
        found = run_protocol(chosen, loaded, inputs, own, folder, dtype)
        return Probed(chosen, found, chosen.assess(found, limits[name]), folder)
