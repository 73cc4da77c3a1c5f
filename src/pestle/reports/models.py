"""Potentials and heads that a page compares: order, words, colours and shapes, all over it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pestle.reports import figures
from pestle.reports.reading import FINE_TUNED, FOUNDATION, REPLAY_SET, Results

SCRATCH, REFERENCE = "scratch", "reference"
#: Heads as the files call them → how the page does.
TARGET_HEAD, REPLAY_HEAD = "Default", "pt_head"
HEADS = {TARGET_HEAD: "target head", REPLAY_HEAD: "replay head"}
HEAD_COLOURS = {TARGET_HEAD: figures.TUNED_COLOUR, REPLAY_HEAD: figures.REPLAY_COLOUR}
_ON_REPLAY = {FOUNDATION: "foundation itself", FINE_TUNED: "fine-tuned, replay head"}


@dataclass(frozen=True)
class Style:
    """How a potential is drawn: told apart by more than its colour.

    Attributes:
        colour: on paper.
        dash: of its lines.
        symbol: of its points.
        pattern: of its bars.
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
    """Style of a further potential, by the order in which it is met."""
    return Style(
        figures.OTHER_COLOURS[place % len(figures.OTHER_COLOURS)],
        _DASHES[place % len(_DASHES)],
        _SYMBOLS[place % len(_SYMBOLS)],
        _PATTERNS[place % len(_PATTERNS)],
    )


@dataclass(frozen=True)
class Models:
    """Names of potentials in order, with label and style each.

    Attributes:
        labels: name → what a reader is told.
        styles: name → how it is drawn.
        tuned: the model that the errors are about.
        base: its foundation, as the errors call it.
    """

    labels: dict[str, str]
    styles: dict[str, Style]
    tuned: str = FINE_TUNED
    base: str = FOUNDATION

    @property
    def names(self) -> list[str]:
        return list(self.labels)

    @property
    def colours(self) -> dict[str, str]:
        """Name → colour on paper."""
        return {name: style.colour for name, style in self.styles.items()}

    def style(self, name: str) -> Style:
        """How a potential or the reference is drawn."""
        return self.styles.get(name, REFERENCE_STYLE)

    def label(self, model: str, in_set: str = "") -> str:
        """How a model is called, in a set where that matters."""
        spoken = self.labels.get(model, model)
        return _ON_REPLAY.get(model, spoken) if in_set == REPLAY_SET else spoken


def models_of(folder: Results) -> Models:
    """Every potential that the results name: foundation first, then the candidate."""
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
    for by_model in folder.errors.values():
        yield from by_model
    for results in folder.protocols.values():
        yield from results.about.models if results.about is not None else ()
        yield from (series.name for chart in results.charts for series in chart.series)
        yield from (found.potential for found in results.flagged)
