"""What Tab offers for values of options: names of foundations, methods and settings.

Each function is called by the shell's completion alone, and imports only then what it needs. Where
nothing is offered the shell completes names of files.
"""

from __future__ import annotations


def foundations(incomplete: str) -> list[str]:
    """Names of the catalogue that begin so."""
    from pestle.foundations import catalogue

    return [name for name in catalogue.names() if name.startswith(incomplete)]


def methods(incomplete: str) -> list[str]:
    """Names of methods that begin so."""
    from pestle.adaptation import AUTO, METHODS

    return [name for name in (*METHODS, AUTO) if name.startswith(incomplete)]


def scopes(incomplete: str) -> list[str]:
    """Scopes that begin so."""
    return [name for name in ("narrow", "broad") if name.startswith(incomplete)]


def settings(incomplete: str) -> list[str]:
    """`NAME=` of the settings of a run that begin so."""
    from pestle.settings.run import known_names

    return [f"{name}=" for name in known_names() if name.startswith(incomplete)]


def probe_settings(incomplete: str) -> list[str]:
    """`NAME=` of the settings of physical tests that begin so."""
    from pestle.settings.probe import ProbeSettings
    from pestle.settings.run import known_names

    return [f"{name}=" for name in known_names(ProbeSettings) if name.startswith(incomplete)]
