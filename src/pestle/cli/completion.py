"""Values of options that Tab completes: names of foundations, methods and settings.

Only the shell's completion calls these functions, so each imports what it needs when it is called.
If a function returns nothing, the shell completes file names.
"""

from __future__ import annotations


def foundations(incomplete: str) -> list[str]:
    """Return the names in the catalogue that start with the typed text."""
    from pestle.foundations import catalogue

    return [name for name in catalogue.names() if name.startswith(incomplete)]


def methods(incomplete: str) -> list[str]:
    """Return the names of methods that start with the typed text."""
    from pestle.adaptation import AUTO, METHODS

    return [name for name in (*METHODS, AUTO) if name.startswith(incomplete)]


def scopes(incomplete: str) -> list[str]:
    """Return the scopes that start with the typed text."""
    return [name for name in ("narrow", "broad") if name.startswith(incomplete)]


def settings(incomplete: str) -> list[str]:
    """Return `NAME=` for the settings of a run that start with the typed text."""
    from pestle.settings.run import known_names

    return [f"{name}=" for name in known_names() if name.startswith(incomplete)]


def probe_settings(incomplete: str) -> list[str]:
    """Return `NAME=` for the settings of physical tests that start with the typed text."""
    from pestle.settings.probe import ProbeSettings
    from pestle.settings.run import known_names

    return [f"{name}=" for name in known_names(ProbeSettings) if name.startswith(incomplete)]
