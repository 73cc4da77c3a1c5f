"""Results of a run, or of tests of a model: the records of the folder and the results of protocols.

Missing or broken files become messages, not errors.
"""

from __future__ import annotations

import json
import shlex
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
from pestle.wording import listed

#: Names of a run's models in its own errors.
FOUNDATION, FINE_TUNED = "foundation", "fine-tuned"
#: Name of the set of held-out replay structures. The foundation is judged there with its own E0s,
#: the model of the run with its replay head.
REPLAY_SET = "replay"

#: What to do about a damaged file, for messages.
_ANEW = "the command that wrote it (pestle probe, qualify or finetune --resume) writes it anew"

T = TypeVar("T")


class Forgotten(BaseModel):
    """Errors of a potential on broad structures; `None` if they were not measured.

    Attributes:
        against_labels: group → errors against labels.
        against_foundation: group → differences from the foundation.
    """

    against_labels: dict[str, GroupErrors] | None = None
    against_foundation: dict[str, GroupErrors] | None = None


@dataclass
class ProtocolResults:
    """Results of one protocol; each of them may be absent.

    Attributes:
        name: name of the protocol.
        about: its models and settings; `None` if metrics.json cannot be read.
        notes: notes for readers of the numbers.
        errors: errors by set, model and group; only of the protocol `errors`.
        frames: set → hash of its frames; only of the protocol `errors`, empty in old results.
        potentials: potential → what it forgot; only of the protocol `forgetting`.
        charts, tables: content of charts.json and tables.json.
        flagged: structures of flagged.xyz.
        digest: SHA-256 of metrics.json; a verdict contains the hash of the results it judged.
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
        """Title of the protocol."""
        return protocol_title(self.name)

    @property
    def labels(self) -> dict[str, str]:
        """Potential → its label for readers."""
        return {} if self.about is None else self.about.labels


@dataclass
class Results(FolderRecords):
    """Everything that is shown on the page of a run.

    Attributes:
        protocols: results by protocol, in the order of the page.
    """

    protocols: dict[str, ProtocolResults] = field(default_factory=dict)

    @property
    def method_name(self) -> str:
        """Name of the method of the run; empty if it is not known."""
        return "" if self.manifest is None else self.manifest.method.name

    @property
    def method(self) -> Method | None:
        """Declaration of the method; `None` if this version does not have it."""
        return METHODS.get(self.method_name)

    @property
    def method_in_words(self) -> str:
        """The method in words, such as `naive fine-tuning`."""
        return f"{self.method_name} fine-tuning" if self.method is None else self.method.in_words

    @property
    def from_scratch(self) -> bool:
        """Whether training started with random weights."""
        return self.method is not None and self.method.from_scratch

    @property
    def errors(self) -> SetsOfErrors:
        """Errors by set, model and group; empty if there are none.

        A qualification judges only held-out sets. Errors on other sets (training frames, replay
        structures) are those of the manifest, with the names of models in the qualification.
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
        """Return the value of a setting; `None` if it is not recorded."""
        return None if self.manifest is None else self.manifest.value(name)


def read_results(path: Path, *, drawn: bool = True) -> Results:
    """Read the results of a folder.

    Args:
        path: the folder.
        drawn: whether to read charts, tables and flagged structures of protocols; a comparison of
            many runs does not need them.

    Raises:
        PestleError: the folder does not exist.
    """
    found = Results(**vars(read_folder(path)))
    names = {metrics.parent.name for metrics in path.glob("protocols/*/metrics.json")}
    outdated: list[str] = []
    for name in sorted(names, key=protocol_place):
        results = _protocol(path / "protocols" / name, found.missing, drawn=drawn)
        tested = results.about.weights if results.about is not None else ""
        if found.is_run and tested not in ("", found.weights):
            outdated.append(name)
            continue
        found.protocols[name] = results
    if outdated:
        one = len(outdated) == 1
        command = f"pestle probe {outdated[0] if one else 'TEST'} {shlex.quote(str(path))}"
        found.missing.append(
            f"protocols/{outdated[0]} is of this model before it was trained further, and is not "
            f"shown; {command} tests the present one"
            if one
            else f"{len(outdated)} tests are of this model before it was trained further, and are "
            f"not shown: {listed(outdated)}; {command} tests the present one"
        )
    return found


def protocol_title(name: str) -> str:
    """Return the title of a protocol; if the protocol is not known, a title made of its name."""
    own = {declared.name: declared.title for declared in declarations()}
    return own.get(name) or (name.replace("_", "-").capitalize() if name else "Unnamed protocol")


def protocol_place(name: str) -> tuple[int, str]:
    """Return a key that sorts protocols as they are run; unknown ones follow by name."""
    known = [declared.name for declared in declarations()]
    return (known.index(name) if name in known else len(known), name)


class _Written(BaseModel):
    """Entries of metrics.json that pages show; other numbers are in charts and tables.

    Attributes:
        notes: notes of any protocol.
        sets: set → model → group → errors; of the protocol `errors`.
        frames: set → hash of its frames; of the protocol `errors`.
        potentials: potential → what it forgot; of the protocol `forgetting`.
    """

    notes: tuple[str, ...] = ()
    sets: SetsOfErrors = {}
    frames: dict[str, str] = {}
    potentials: dict[str, Forgotten] = {}


#: Protocol → entries that only this protocol has.
_OWN = {"errors": ("sets", "frames"), "forgetting": ("potentials",)}


def _protocol(folder: Path, missing: list[str], *, drawn: bool) -> ProtocolResults:
    """Read the results of one protocol; messages about files are added to `missing`."""
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
    """Whether a file exists and has the hash that was written, if one was written."""
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
    """Return the content of a JSON file, with `None` for NaN; `None` if it cannot be read."""
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
    """Return the charts or tables of a file; a message names entries that are broken."""
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
    """Return the first problem: `series.0.y: Input should be a valid list`."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _flagged(path: Path, name: str, missing: list[str]) -> list[Flagged]:
    """Return the flagged structures of a protocol."""
    if not _is_whole(path, name, missing):
        return []
    try:
        images = ase.io.read(path, index=":", format="extxyz")
    except Exception as error:
        # ASE's reader raises many kinds of errors.
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
