"""`pestle probe`: one physical test of a model, beside others where asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ase.data import atomic_numbers, chemical_symbols

from pestle.devices import DTYPES, find_device
from pestle.errors import PestleError
from pestle.files import write_json
from pestle.foundations import catalogue
from pestle.foundations.interface import TARGET_HEAD
from pestle.jobs.models import load_model
from pestle.protocols import protocol
from pestle.protocols.base import Inputs
from pestle.protocols.potential import CalculatorPotential, ModelPotential, Potential
from pestle.protocols.raw import RawFolder, structures_digest
from pestle.run_file import build
from pestle.run_folder import Manifest
from pestle.settings import ProbeSettings
from pestle.structures.frame import elements_of
from pestle.structures.reading import read_frames


def probe(
    name: str,
    model: str,
    *,
    against: Sequence[str] = (),
    data: Sequence[str] = (),
    elements: Sequence[str] = (),
    head: str | None = None,
    trust: bool = False,
    dtype: str = "float64",
    device: str = "auto",
    settings: ProbeSettings | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Run one protocol.

    Args:
        name: of the protocol.
        model: run folder, model folder, file, catalogue name, or `calculator:MODULE:NAME` (any ASE
            calculator; MODULE is imported, which runs its code).
        against: models to compare it with, such as its foundation.
        data: reference structures; for a run folder by default its training data's elements are
            known without.
        elements: chemical symbols instead of those of the data.
        head: head of the model; by default the only one, or Default.
        trust: allow `.model` files.
        dtype: precision of the networks.
        device: where they predict.
        settings: `ProbeSettings`, or a table of dotted names.
        out: folder to write; by default `protocols/NAME` in the run folder, or the folder `probe`
            beside the model.

    Returns:
        What `metrics.json` holds: protocol, question, settings, models, and the protocol's numbers.

    Raises:
        PestleError: a mistake in names, settings, models or data.
    """
    chosen = protocol(name)
    if not isinstance(settings, ProbeSettings):
        settings = build({}, settings or {}, root=ProbeSettings)
    assert isinstance(settings, ProbeSettings)
    if dtype not in DTYPES:
        raise PestleError(f"unknown dtype '{dtype}'", where="dtype", fix="float32 or float64.")
    potentials = _potentials([model, *against], head, trust, dtype, device)
    frames = read_frames(list(data)).frames if data else []
    inputs = Inputs(_elements(elements, frames, model, potentials), frames, settings.seed)
    own = getattr(settings, name)
    folder = _folder(name, model) if out is None else Path(out)
    for potential in potentials:
        _require_elements(potential, inputs.elements)
    raws = {}
    for potential in potentials:
        key = {
            "protocol": name,
            "potential": potential.fingerprint,
            "dtype": dtype,
            "settings": own.model_dump(),
            "elements": list(inputs.elements),
            "structures": structures_digest(chosen.structures(inputs)),
            "seed": inputs.seed,
        }
        raw = RawFolder(folder / "raw" / _file_name(potential.name), key)
        if not raw.finished:
            chosen.calculate(potential, inputs, own, raw)
        raws[potential.name] = raw
    metrics = {
        "protocol": name,
        "question": chosen.question,
        "settings": own.model_dump(),
        "models": [potential.name for potential in potentials],
        "elements": [chemical_symbols[z] for z in inputs.elements],
        **chosen.analyse(raws, inputs, own),
    }
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "charts.json", [asdict(chart) for chart in chosen.charts(metrics)])
    return metrics | {"out": str(folder)}


def _potentials(
    names: Sequence[str], head: str | None, trust: bool, dtype: str, device: str
) -> list[Potential]:
    """The models under test, the candidate first; `head` is the candidate's."""
    place = find_device(device)
    found: list[Potential] = []
    for k, name in enumerate(names):
        if name.startswith("calculator:"):
            found.append(_calculator(name))
            continue
        model = load_model(name, trust=trust, dtype=DTYPES[dtype]).to(place)
        wanted = head if k == 0 else (TARGET_HEAD if TARGET_HEAD in model.heads else None)
        found.append(ModelPotential(_title(name, [p.name for p in found]), model, wanted))
    return found


def _calculator(name: str) -> Potential:
    from pestle.foundations.calculator_labels import CalculatorLabeller, current_folder_importable

    with current_folder_importable():
        labeller = CalculatorLabeller(name.partition(":")[2])
    return CalculatorPotential(
        name.rpartition(":")[2], lambda: labeller.calculator, fingerprint=labeller.id
    )


def _title(name: str, taken: Sequence[str]) -> str:
    """What tables call a model: its folder's or file's name."""
    path = Path(name)
    title = name if catalogue.find(name) is not None else (path.resolve().stem or name)
    if title == "model" and path.resolve().parent.name:
        title = path.resolve().parent.name
    count = 2
    unique = title
    while unique in taken:
        unique, count = f"{title} {count}", count + 1
    return unique


def _elements(
    asked: Sequence[str], frames: Sequence[Any], model: str, potentials: Sequence[Potential]
) -> tuple[int, ...]:
    """Atomic numbers that the test is about."""
    if asked:
        unknown = [symbol for symbol in asked if symbol not in atomic_numbers]
        if unknown:
            raise PestleError(f"'{unknown[0]}' is no element", where="elements")
        return tuple(sorted({atomic_numbers[symbol] for symbol in asked}))
    if frames:
        return tuple(sorted(elements_of(frames)))
    trained = Path(model) / "manifest.json"
    if trained.is_file():
        shifts = Manifest.read(trained).content["reference_energies"]["shift"]
        return tuple(sorted(atomic_numbers[symbol] for symbol in shifts))
    known = potentials[0].elements
    if known is not None and len(known) <= 8:
        return tuple(sorted(known))
    raise PestleError(
        "it is not known which elements the model is for",
        where="elements",
        fix="Give --elements H,C,O or --data FILES.",
    )


def _require_elements(potential: Potential, elements: Sequence[int]) -> None:
    known = potential.elements
    unknown = [z for z in elements if known is not None and z not in known]
    if unknown:
        raise PestleError(
            f"{potential.name} does not know {', '.join(chemical_symbols[z] for z in unknown)}",
            where="elements",
            fix="Leave them out with --elements.",
        )


def _folder(name: str, model: str) -> Path:
    """Where the results go by default."""
    path = Path(model)
    if (path / "run.yaml").is_file():
        return path / "protocols" / name
    if model.startswith("calculator:") or catalogue.find(model) is not None:
        return Path("probe") / name / _file_name(model)
    return path.resolve().parent / "probe" / path.stem / name


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", name)
