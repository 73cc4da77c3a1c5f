"""Potentials and heads that a page compares: order, words, colours and shapes, all over it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pestle.report import figures
from pestle.report.run_folder import RunFolder, nested

FOUNDATION, FINE_TUNED = "foundation", "fine-tuned"
SCRATCH, REFERENCE = "scratch", "reference"
#: Heads as the files call them → how the page does.
TARGET_HEAD, REPLAY_HEAD = "Default", "pt_head"
HEADS = {TARGET_HEAD: "target head", REPLAY_HEAD: "replay head"}
HEAD_COLOURS = {TARGET_HEAD: figures.TUNED_COLOUR, REPLAY_HEAD: figures.REPLAY_COLOUR}
#: The set of held-out replay structures. Not the models of the other sets are judged on it: the
#: foundation has its own E0s there, this run's model its replay head.
REPLAY_SET = "replay"
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


def models_of(folder: RunFolder) -> Models:
    """Every potential that the results name: foundation first, then the candidate."""
    candidates, baselines = _named(folder, "candidate"), _named(folder, "baseline")
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
    spoken = _labels(folder)
    labels = {name: spoken.get(name) or name for name in names}
    return Models(labels, styles, *_of_errors(folder))


def _named(folder: RunFolder, role: str) -> list[str]:
    """Names that verdict and protocols give to the candidate or the baseline."""
    said = [folder.verdict.get(role), *(p.role(role) for p in folder.protocols.values())]
    return list(dict.fromkeys(name for name in said if isinstance(name, str) and name))


def _all_names(folder: RunFolder) -> Iterable[str]:
    for by_model in nested(folder.errors, "sets").values():
        yield from by_model if isinstance(by_model, dict) else ()
    for results in folder.protocols.values():
        models = results.metrics.get("models")
        yield from (str(name) for name in models) if isinstance(models, list) else ()
        yield from (series.name for chart in results.charts for series in chart.series)
        yield from (found.potential for found in results.flagged)


def _labels(folder: RunFolder) -> dict[str, str]:
    labels: dict[str, str] = {}
    for results in reversed(folder.protocols.values()):
        labels |= results.labels
    given = {k: str(v) for k, v in nested(folder.verdict, "labels").items() if v}
    return given | labels


def _of_errors(folder: RunFolder) -> tuple[str, str]:
    """The model that the errors are about, and its foundation."""
    results = folder.protocols.get("errors")
    present = {name for models in nested(folder.errors, "sets").values() for name in models or ()}
    base = results.role("baseline") if results is not None else None
    tuned = results.role("candidate") if results is not None else None
    if tuned is None:
        others = [name for name in present if name != FOUNDATION]
        tuned = FINE_TUNED if FINE_TUNED in present or not others else sorted(others)[0]
    return tuned, base or FOUNDATION
