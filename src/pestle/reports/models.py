"""Names, order and styles of the potentials and heads on a page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pestle.reports import figures
from pestle.reports.reading import FINE_TUNED, FOUNDATION, REPLAY_SET, Results

SCRATCH, REFERENCE = "scratch", "reference"
#: Names of heads in the files → names on the page.
TARGET_HEAD, REPLAY_HEAD = "Default", "pt_head"
HEADS = {TARGET_HEAD: "target head", REPLAY_HEAD: "replay head"}
HEAD_COLOURS = {TARGET_HEAD: figures.TUNED_COLOUR, REPLAY_HEAD: figures.REPLAY_COLOUR}
_ON_REPLAY = {FOUNDATION: "foundation itself", FINE_TUNED: "fine-tuned, replay head"}


@dataclass(frozen=True)
class Style:
    """How a potential is drawn; styles differ by more than their colour.

    Attributes:
        colour: colour on white paper.
        dash: dashes of its lines.
        symbol: symbol of its points.
        pattern: hatching of its bars; empty for none.
    """

    colour: str
    dash: str = "solid"
    symbol: str = "circle"
    pattern: str = ""

    @property
    def hollow(self) -> bool:
        """Whether its points are rings."""
        return self.symbol.endswith("-open")


CANDIDATE_STYLE = Style(figures.TUNED_COLOUR)
BASELINE_STYLE = Style(figures.FOUNDATION_COLOUR, "dash", "circle-open", "/")
SCRATCH_STYLE = Style(figures.SCRATCH_COLOUR, "dashdot", "square", "x")
REFERENCE_STYLE = Style(figures.REFERENCE_COLOUR, "solid", "diamond-open", ".")
REPLAY_STYLE = Style(figures.REPLAY_COLOUR, "dash", "triangle-down", "\\")
_DASHES = ("dot", "longdash", "longdashdot", "dashdot", "dash")
_SYMBOLS = ("triangle-up", "diamond", "cross", "star", "hexagon", "pentagon", "x")
_PATTERNS = ("\\", "-", "+", "|", ".")


def other_style(place: int) -> Style:
    """Return the style of a further potential.

    Args:
        place: 0 for the first further potential, 1 for the second, and so on.
    """
    return Style(
        figures.OTHER_COLOURS[place % len(figures.OTHER_COLOURS)],
        _DASHES[place % len(_DASHES)],
        _SYMBOLS[place % len(_SYMBOLS)],
        _PATTERNS[place % len(_PATTERNS)],
    )


@dataclass(frozen=True)
class Models:
    """Potentials of a page in order, with labels and styles.

    Attributes:
        labels: name → label for readers.
        styles: name → how it is drawn.
        tuned: name of the model that the errors are about.
        base: name of its foundation in the errors.
    """

    labels: dict[str, str]
    styles: dict[str, Style]
    tuned: str = FINE_TUNED
    base: str = FOUNDATION

    @property
    def names(self) -> list[str]:
        """Names of the potentials, in order."""
        return list(self.labels)

    @property
    def colours(self) -> dict[str, str]:
        """Name → colour on white paper."""
        return {name: style.colour for name, style in self.styles.items()}

    def style(self, name: str) -> Style:
        """Return how a potential or the reference is drawn."""
        return self.styles.get(name, REFERENCE_STYLE)

    def label(self, model: str, in_set: str = "") -> str:
        """Return the label of a model.

        Args:
            model: name of the model.
            in_set: set of the errors; on replay structures the labels differ.
        """
        spoken = self.labels.get(model, model)
        return _ON_REPLAY.get(model, spoken) if in_set == REPLAY_SET else spoken


def models_of(folder: Results) -> Models:
    """Return all potentials that the results name: the foundation first, then the candidate.

    Args:
        folder: results of the run.
    """
    abouts = [p.about for p in folder.protocols.values() if p.about is not None]
    candidates = [about.candidate for about in abouts]
    baselines = [about.baseline for about in abouts if about.baseline is not None]
    if folder.verdict is not None:
        candidates = [folder.verdict.candidate, *candidates]
        baselines = [folder.verdict.baseline or FOUNDATION, *baselines]
    found = dict.fromkeys(_all_names(folder))
    found.pop(REFERENCE, None)
    first = [FOUNDATION, *baselines, FINE_TUNED, *candidates]
    names = [name for name in dict.fromkeys(first) if name in found]
    names += [name for name in found if name not in names]
    replay_heads = {f"{name}, replay head" for name in (FINE_TUNED, *candidates)}
    styles = {REFERENCE: REFERENCE_STYLE}
    spare = 0
    for name in names:
        if name in (FINE_TUNED, *candidates):
            styles[name] = CANDIDATE_STYLE
        elif name in (FOUNDATION, *baselines):
            styles[name] = BASELINE_STYLE
        elif name == SCRATCH:
            styles[name] = SCRATCH_STYLE
        elif name in replay_heads:
            styles[name] = REPLAY_STYLE
        else:
            styles[name] = other_style(spare)
            spare += 1
    spoken = dict(folder.verdict.labels) if folder.verdict is not None else {}
    for results in reversed(folder.protocols.values()):
        spoken |= {name: label for name, label in results.labels.items() if label}
    labels = {name: spoken.get(name) or name for name in names}
    errors = folder.protocols.get("errors")
    if errors is None or errors.about is None:
        return Models(labels, styles)
    return Models(labels, styles, errors.about.candidate, errors.about.baseline or FOUNDATION)


def _all_names(folder: Results) -> Iterable[str]:
    """Give all names of potentials in the results; names may occur more than once."""
    for by_model in folder.errors.values():
        yield from by_model
    for results in folder.protocols.values():
        yield from results.about.models if results.about is not None else ()
        yield from (series.name for chart in results.charts for series in chart.series)
        yield from (found.potential for found in results.flagged)
