"""What a qualification runs: scope, observables, protocols and their settings; what is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from pestle.errors import PestleError
from pestle.jobs.qualify_inputs import Given, OfRun
from pestle.protocols import NAMES, protocol
from pestle.protocols.base import Protocol
from pestle.protocols.neb import reactions as neb
from pestle.protocols.torsion import scans
from pestle.protocols.verdict import OBSERVABLES
from pestle.records.verdict import NotTested, Scope
from pestle.settings.probe import ProbeSettings
from pestle.settings.run_file import build

#: Run wherever its references are there, although no scope needs it: it costs nothing.
WHERE_POSSIBLE = ("atoms",)


def scope_of(asked: str | None, run: OfRun | None) -> Scope:
    """What the model is for: as asked, else as the run was asked.

    Raises:
        PestleError: neither says it, or there is no such scope.
    """
    scope = asked or (run.settings.scope if run is not None else None)
    if scope not in get_args(Scope):
        raise PestleError(
            f"unknown scope '{scope}'" if scope else "it is not known what the model is for",
            where="scope",
            fix="Give --scope narrow (configurations like those of the data) or --scope broad.",
        )
    return cast(Scope, scope)


def observables_of(given: Given, settings: ProbeSettings) -> list[str]:
    """Observables that the user gave a reference for: they can be judged, and count."""
    there = {
        "rdf": bool(settings.rdf.reference),
        "neb": neb.has_reference(given.paths),
        "torsion": scans.has_reference(given.torsions),
    }
    return [name for name in OBSERVABLES if there[name]]


def settings_for(asked: Mapping[str, Any], *, full: bool) -> ProbeSettings:
    """The settings of all protocols: full ones, or those of a first look; what was asked for goes
    before both.

    Raises:
        PestleError: an unknown setting or a wrong value.
    """
    quick: dict[str, Any] = {}
    if not full:
        for name in NAMES:
            quick |= {f"{name}.{leaf}": value for leaf, value in protocol(name).quick.items()}
    built = build({}, quick | dict(asked), root=ProbeSettings)
    assert isinstance(built, ProbeSettings)
    return built


def protocols_to_run(
    needed: Sequence[str],
    given: Given,
    settings: ProbeSettings,
    run_too: Sequence[str],
    leave_out: Sequence[str],
) -> set[str]:
    """Names of the protocols to run: needed ones, those that were asked for, and those that files
    were given for.

    Raises:
        PestleError: there is no such protocol, or one shall be run and left out.
    """
    for name in (*run_too, *leave_out):
        protocol(name)  # an unknown one is an error
    both = set(run_too) & set(leave_out)
    if both:
        raise PestleError(
            f"{', '.join(sorted(both))} shall be run and left out", where="--with and --without"
        )
    wanted = {*needed, *WHERE_POSSIBLE, *run_too}
    wanted |= {"neb"} if given.paths else set()
    wanted |= {"torsion"} if given.torsions else set()
    wanted |= {"forgetting"} if given.broad else set()
    wanted |= {"rdf"} if settings.rdf.reference or settings.rdf.trajectory else set()
    return wanted - set(leave_out)


def left_out(name: str, *, needed: bool, on_purpose: bool) -> NotTested:
    """Why a protocol is not run, and how it would be."""
    if on_purpose:
        return NotTested(name, needed, "it was left out", f"leave out --without {name}")
    if name in OBSERVABLES:
        how = {
            "rdf": "--set rdf.reference=FILE",
            "neb": "--path FILE",
            "torsion": "--torsions FILES",
        }[name]
        return NotTested(name, needed, "no reference for it was given", how)
    return NotTested(name, needed, "the scope does not need it", f"--with {name}")


def extents(
    test: Protocol, own: Any, asked: Mapping[str, Any], *, full: bool
) -> dict[str, str | None]:
    """How much was calculated, and how much the full settings would."""
    extent = test.extent(own)
    whole = None if full else test.extent(getattr(settings_for(asked, full=True), test.name))
    return {"extent": extent, "full_extent": None if whole == extent else whole}
