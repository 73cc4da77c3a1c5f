"""The plan of a qualification: scope, observables, protocols, their settings, and what is left
out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from pestle.errors import PestleError
from pestle.jobs.qualify_inputs import Given, OfRun
from pestle.protocols import declarations, names, protocol
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.declaration import Declaration
from pestle.records.verdict import NotTested
from pestle.settings.probe import ProbeSettings
from pestle.settings.run_file import build
from pestle.settings.scope import Scope


def scope_of(asked: str | None, run: OfRun | None) -> Scope:
    """Return the scope: the requested one, or else that of the run.

    Args:
        asked: the scope that the user named.
        run: the run that made the model; `None` if no run made it.

    Raises:
        PestleError: neither is given, or the scope does not exist.
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
    """Return the observables with a reference from the user: they can be judged and must be.

    Args:
        given: the structures.
        settings: settings of all protocols.
    """
    return [
        declared.name
        for declared in declarations()
        if declared.reference
        and protocol(declared.name).has_reference(given.of(declared), settings.of(declared.name))
    ]


def settings_for(asked: Mapping[str, Any], *, full: bool) -> ProbeSettings:
    """Return the settings of all protocols.

    Args:
        asked: dotted name → value that the user requested; it replaces the default.
        full: whether the defaults are the full settings instead of the quick ones.

    Raises:
        PestleError: a setting is unknown or has a wrong value.
    """
    quick: dict[str, Any] = {}
    if not full:
        for name in names():
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
    """Return the names of the protocols to run.

    These are the needed ones, those that the user requested by name, files or settings, and those
    that run whenever possible.

    Args:
        needed: protocols that the scope needs.
        given: the structures.
        settings: settings of all protocols.
        run_too: protocols that the user adds.
        leave_out: protocols that the user leaves out.

    Raises:
        PestleError: a protocol does not exist, or the user both adds it and leaves it out.
    """
    for name in (*run_too, *leave_out):
        protocol(name)  # an unknown one is an error
    both = set(run_too) & set(leave_out)
    if both:
        raise PestleError(
            f"{', '.join(sorted(both))} shall be run and left out", where="--with and --without"
        )
    wanted = {*needed, *run_too}
    for name in names():
        test = protocol(name)
        taken = test.declaration.takes
        asked = taken is not None and taken.asks and taken.name in given.typed
        if asked or test.declaration.where_possible or test.asked_by(settings.of(name)):
            wanted.add(name)
    return wanted - set(leave_out)


def left_out(declared: Declaration, *, needed: bool, on_purpose: bool) -> NotTested:
    """Explain why a protocol is not run, and how to run it.

    Args:
        declared: the protocol.
        needed: whether the scope needs it.
        on_purpose: whether the user left it out.
    """
    name = declared.name
    if on_purpose:
        return NotTested(name, needed, "it was left out", f"leave out --without {name}")
    if declared.reference:
        return NotTested(name, needed, "no reference for it was given", declared.reference)
    return NotTested(name, needed, "the scope does not need it", f"--with {name}")


def extents(
    test: Protocol[Any], inputs: Inputs, own: Any, asked: Mapping[str, Any], *, full: bool
) -> dict[str, str | bool | None]:
    """Describe how much was calculated, and how much the full settings would calculate.

    Args:
        test: the protocol.
        inputs: structures and elements.
        own: settings of the protocol.
        asked: dotted name → value that the user requested.
        full: whether the settings are the full ones.
    """
    extent = test.extent(inputs, own)
    whole = None if full else test.extent(inputs, settings_for(asked, full=True).of(test.name))
    return {
        "extent": extent,
        "full_extent": None if whole == extent else whole,
        "first_look": _is_first_look(test, inputs, own),
    }


def _is_first_look(test: Protocol[Any], inputs: Inputs, own: Any) -> bool:
    """Return whether a test calculates less than its full settings would, whoever chose that.

    That is so if a setting that the quick settings change, and that the extent names, lies on their
    side of its default.
    """
    default = test.settings()
    for leaf, quick in test.quick.items():
        mine, full = getattr(own, leaf), getattr(default, leaf)
        longer = own.model_copy(update={leaf: full})
        nearer = (mine - full) * (quick - full) > 0
        if nearer and test.extent(inputs, longer) != test.extent(inputs, own):
            return True
    return False
