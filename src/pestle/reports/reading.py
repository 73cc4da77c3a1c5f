"""What a run, or tests of a model, left behind: the records of its folder and the results of its
protocols, read so that an absent or broken file stops nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import ase.io
from pydantic import BaseModel, TypeAdapter, ValidationError

from pestle.adaptation import METHODS, Method
from pestle.checksums import SUMS, require_sum
from pestle.files import Damaged, finite, sha256
from pestle.protocols import declarations
from pestle.protocols.forgetting.numbers import GroupErrors
from pestle.protocols.results import Chart, Flagged, Table
from pestle.records.manifest import SetsOfErrors
from pestle.records.reading import FolderRecords, read_folder
from pestle.records.results import About

#: Names of a run's models in its own errors.
FOUNDATION, FINE_TUNED = "foundation", "fine-tuned"
#: The set of held-out replay structures. On it the foundation has its own E0s, and the run's model
#: its replay head.
REPLAY_SET = "replay"

#: What to do about a damaged file.
_ANEW = "the command that wrote it (pestle probe, qualify or finetune --resume) writes it anew"

T = TypeVar("T")


class Forgotten(BaseModel):
    """What a potential says on broad structures: errors by group, where they were measured.

    Attributes:
        against_labels: against labels.
        against_foundation: against the foundation.
    """

    against_labels: dict[str, GroupErrors] | None = None
    against_foundation: dict[str, GroupErrors] | None = None


@dataclass
class ProtocolResults:
    """What one protocol left; everything may be absent.

    Attributes:
        name: of the protocol.
        about: its models and settings; `None` where metrics.json cannot be read.
        notes: what a reader of the numbers must know.
        errors: of the errors protocol alone.
        frames: of the errors protocol alone: set → hash of its frames; empty in earlier results.
        potentials: of the forgetting protocol alone: potential → what it forgot.
        charts, tables: of charts.json and tables.json.
        flagged: structures of flagged.xyz.
        digest: SHA-256 of metrics.json, by which a verdict knows what it judged.
    """

    name: str
    about: About | None = None
    notes: tuple[str, ...] = ()
    errors: SetsOfErrors = field(default_factory=dict)
    frames: dict[str, str] = field(default_factory=dict)
    potentials: dict[str, Forgotten] = field(default_factory=dict)
    charts: list[Chart] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    flagged: list[Flagged] = field(default_factory=list)
    digest: str = ""

    @property
    def title(self) -> str:
        """The protocol in words."""
        return protocol_title(self.name)

    @property
    def labels(self) -> dict[str, str]:
        """Potential → what a reader is told."""
        return {} if self.about is None else self.about.labels


@dataclass
class Results(FolderRecords):
    """Everything that a page is made of.

    Attributes:
        protocols: results by protocol, in the order of the page.
    """

    protocols: dict[str, ProtocolResults] = field(default_factory=dict)

    @property
    def method_name(self) -> str:
        """What the run's method is called; empty where that is not known."""
        return "" if self.manifest is None else self.manifest.method.name

    @property
    def method(self) -> Method | None:
        """What that method declares; `None` for one that this program does not have."""
        return METHODS.get(self.method_name)

    @property
    def method_in_words(self) -> str:
        """`naive fine-tuning`."""
        return f"{self.method_name} fine-tuning" if self.method is None else self.method.in_words

    @property
    def from_scratch(self) -> bool:
        """Whether the run began with random weights."""
        return self.method is not None and self.method.from_scratch

    @property
    def errors(self) -> SetsOfErrors:
        """Errors by set, model and group; empty where there are none.

        A qualification judges held-out sets only: those that the run itself was judged on besides
        (training frames, the replay head) are taken from its manifest, under the names that the
        qualification gives to the models.
        """
        found = self.protocols.get("errors")
        if found is None or not found.errors:
            return {}
        own = (self.manifest.errors if self.manifest is not None else None) or {}
        names: dict[str, str | None] = {}
        if found.about is not None:
            names = {FINE_TUNED: found.about.candidate, FOUNDATION: found.about.baseline}
        return found.errors | {
            name: models
            if name == REPLAY_SET
            else {names.get(model) or model: errors for model, errors in models.items()}
            for name, models in own.items()
            if name not in found.errors
        }

    def setting(self, name: str) -> Any:
        """The value of a setting; `None` where it is not recorded."""
        return None if self.manifest is None else self.manifest.value(name)


def read_results(path: Path, *, drawn: bool = True) -> Results:
    """Read what is there.

    Args:
        path: of the folder.
        drawn: whether charts, tables and flagged structures of protocols are read, which a
            comparison of many runs does without.

    Raises:
        PestleError: there is no such folder.
    """
    found = Results(**vars(read_folder(path)))
    names = {metrics.parent.name for metrics in path.glob("protocols/*/metrics.json")}
    for name in sorted(names, key=protocol_place):
        found.protocols[name] = _protocol(path / "protocols" / name, found.missing, drawn=drawn)
    return found


def protocol_title(name: str) -> str:
    """A protocol in words: its own, or the name of one that is not known."""
    own = {declared.name: declared.title for declared in declarations()}
    return own.get(name) or (name.replace("_", "-").capitalize() if name else "Unnamed protocol")


def protocol_place(name: str) -> tuple[int, str]:
    """Sorts protocols as they are run; others follow by name."""
    known = [declared.name for declared in declarations()]
    return (known.index(name) if name in known else len(known), name)


class _Written(BaseModel):
    """The numbers of metrics.json that the pages themselves show, beside what charts and tables
    hold.

    Attributes:
        notes: of any protocol.
        sets: of the errors protocol: set → model → group → errors.
        frames: of the errors protocol: set → hash of its frames.
        potentials: of the forgetting protocol: potential → what it forgot.
    """

    notes: tuple[str, ...] = ()
    sets: SetsOfErrors = {}
    frames: dict[str, str] = {}
    potentials: dict[str, Forgotten] = {}


#: Protocol → the numbers that are its own.
_OWN = {"errors": ("sets", "frames"), "forgetting": ("potentials",)}


def _protocol(folder: Path, missing: list[str], *, drawn: bool) -> ProtocolResults:
    """Results of one protocol; what cannot be read is added to `missing`."""
    found = ProtocolResults(folder.name, digest=sha256(folder / "metrics.json"))
    where = f"protocols/{folder.name}"
    content = _content(folder / "metrics.json", f"{where}/metrics.json", missing)
    if isinstance(content, dict):
        fields = {name: content[name] for name in About.model_fields if name in content}
        shown = ("notes", *_OWN.get(folder.name, ()))
        try:
            found.about = About.model_validate(fields)
            written = _Written.model_validate({k: content[k] for k in shown if k in content})
            found.notes, found.errors, found.frames = written.notes, written.sets, written.frames
            found.potentials = written.potentials
        except ValidationError as error:
            missing.append(f"{where}/metrics.json cannot be shown ({_problem(error)})")
    elif content is not None:
        missing.append(f"{where}/metrics.json does not hold an object")
    if not drawn:
        return found
    found.charts = _entries(Chart, folder / "charts.json", f"{where}/charts.json", missing)
    found.tables = _entries(Table, folder / "tables.json", f"{where}/tables.json", missing)
    found.flagged = _flagged(folder / "flagged.xyz", f"{where}/flagged.xyz", missing)
    return found


def _is_whole(path: Path, name: str, missing: list[str]) -> bool:
    """Whether a file is there, and is the one that was written as far as its hash is kept."""
    try:
        require_sum(path, path.with_name(SUMS))
    except Damaged as error:
        about_sums = error.where == str(path.with_name(SUMS))
        named = f"{name.rpartition('/')[0]}/{SUMS}" if about_sums else name
        line = f"{named} {error.what}; {_ANEW}"
        if line not in missing:
            missing.append(line)
        return about_sums and path.is_file()
    return path.is_file()


def _content(path: Path, name: str, missing: list[str]) -> Any:
    """What a file holds, without NaN; `None` where there is none."""
    if not _is_whole(path, name, missing):
        return None
    try:
        return finite(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        missing.append(f"{name} cannot be read ({error})")
    except ValueError as error:
        missing.append(f"{name} is not JSON ({error})")
    return None


def _entries(kind: type[T], path: Path, name: str, missing: list[str]) -> list[T]:
    """The charts or tables of a file; entries that are none are named."""
    content = _content(path, name, missing)
    if content is None:
        return []
    if not isinstance(content, list):
        missing.append(f"{name} does not hold a list")
        return []
    adapter, good, problems = TypeAdapter(kind), [], []
    for k, entry in enumerate(content):
        try:
            good.append(adapter.validate_python(entry))
        except ValidationError as error:
            problems.append(f"{k}: {_problem(error)}")
    if problems:
        missing.append(f"{name}: {len(problems)} entries cannot be shown ({'; '.join(problems)})")
    return good


def _problem(error: ValidationError) -> str:
    """The first thing that is wrong: `series.0.y: Input should be a valid list`."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _flagged(path: Path, name: str, missing: list[str]) -> list[Flagged]:
    if not _is_whole(path, name, missing):
        return []
    try:
        images = ase.io.read(path, index=":", format="extxyz")
    except Exception as error:
        # ASE's reader raises whatever its parser came across.
        missing.append(f"{name} cannot be read ({' '.join(str(error).split())})")
        return []
    assert isinstance(images, list)
    return [
        Flagged(
            potential=str(atoms.info.get("potential", "")),
            title=str(atoms.info.get("title", "")),
            reason=str(atoms.info.get("reason", "")),
            atoms=atoms,
        )
        for atoms in images
    ]
