"""Findings of a random structure search: imploded crystals and unfinished relaxations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scipy.stats import beta, fisher_exact

from pestle.protocols.rss.numbers import PressureNumbers, RssNumbers
from pestle.protocols.thresholds import Threshold
from pestle.records.results import Measured
from pestle.records.verdict import LEVELS, Finding, Level, limited
from pestle.settings.probe import RssSettings
from pestle.wording import listed, percent

#: A difference of counts, or a share, is significant if its probability is below this value.
CHANCE = 0.05
#: From this share of crystals out of steps, a finding reports them, even below the threshold.
MANY = 0.2


def assess(measured: Measured[RssNumbers], thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """Judge imploded crystals against the foundation, and crystals that still move at the end.

    Args:
        measured: the results.
        thresholds: thresholds of this protocol.
    """
    found = [_imploded(measured, thresholds)]
    moving = _moving(measured, thresholds["still_moving"])
    found += [moving] if moving is not None else []
    return sorted(found, key=lambda finding: -LEVELS.index(finding.level))


def _imploded(measured: Measured[RssNumbers], thresholds: Mapping[str, Threshold]) -> Finding:
    """Judge the pressure with the worst result.

    Without a foundation, the comparison is with a potential on which no crystal implodes.
    """
    limit, searches = thresholds["flagged_change"], _searches(measured)
    foundation = measured.numbers.potentials.get(measured.about.baseline or "")
    base = foundation.pressures if foundation else []
    old = [search.imploded for search in base] or [0] * len(searches)
    judged = [
        _judged(search.imploded, before, search.n, limit)
        for search, before in zip(searches, old, strict=True)
    ]

    def badness(k: int) -> tuple[int, float, int]:
        level, _, change = judged[k]
        return LEVELS.index(level), change, searches[k].imploded

    k = max(range(len(searches)), key=badness)
    level, chance, change = judged[k]
    fails = limit.level(change) == "fail"
    number, n, where = searches[k].imploded, searches[k].n, searches[k : k + 1]
    if number:
        text = f"{number} of {n} random crystals imploded"
    else:
        text = f"None of {n} random crystals imploded"
        if not any(search.imploded for search in searches):
            where = searches
    text += f" at {listed([f'{search.pressure:g}' for search in where])} GPa"
    if base:
        own = old if len(where) > 1 and len(set(old)) > 1 else old[k : k + 1]
        text += f", the foundation {listed([str(before) for before in own])}"
    if chance:
        few = f"{number} of {n} are too few to fail on" if fails else f"{number} of {n} are few"
        text += f": that may be chance, {few}; raise rss.structures"
    elif level != "pass":
        text += f": {limited(level, 'structure search')}"
        text += "; replay would keep the repulsion" if base else ""
    else:
        most = upper_bound(number, n)
        text += ": no worse than the foundation" if base and number else ""
        text += f"; shares up to {percent(most)} are not excluded"
        text += " (raise rss.structures)" if limit.level(most) == "fail" else ""
    moving = max(search.out_of_steps / search.n for search in searches)
    if moving >= MANY and thresholds["still_moving"].level(moving) == "pass":
        steps = RssSettings.model_validate(measured.about.settings).max_steps
        text += f". Up to {percent(moving)} were still moving after {steps} steps (rss.max_steps)"
    words = limit.words_for(level, change, "it is no chance (Fisher's exact test, 5 %)")
    return Finding("rss", level, "imploded crystals", change, limit.unit, words, text + ".")


def _judged(number: int, before: int, n: int, limit: Threshold) -> tuple[Level, bool, float]:
    """Judge a number of crystals out of n against the number of the foundation.

    A difference that Fisher's one-sided exact test cannot distinguish from chance is at most a
    concern.

    Returns:
        The level, whether the difference may be chance, and the difference of the shares.
    """
    change = (number - before) / n
    level = limit.level(change)
    if level == "pass":
        return level, False, change
    table = [[number, n - number], [before, n - before]]
    chance = fisher_exact(table, alternative="greater").pvalue >= CHANCE
    return "concern" if chance else level, bool(chance), change


def upper_bound(number: int, n: int) -> float:
    """Return the largest share of crystals that is compatible with a count, at 95 % confidence.

    This is the one-sided bound of Clopper and Pearson (Biometrika 26, 404, 1934; DOI
    10.1093/biomet/26.4.404). For a count of 0 it is about 3 / n.

    Args:
        number: the count.
        n: number of crystals.
    """
    return float(beta.ppf(1 - CHANCE, number + 1, n - number)) if number < n else 1.0


def _moving(measured: Measured[RssNumbers], limit: Threshold) -> Finding | None:
    """Report crystals that reached the step limit in their last relaxation; `None` if they are
    few.
    """
    search = max(_searches(measured), key=lambda search: search.out_of_steps / search.n)
    number, n = search.out_of_steps, search.n
    level = limit.level(number / n)
    if level == "pass":
        return None
    steps = RssSettings.model_validate(measured.about.settings).max_steps
    text = (
        f"{number} of {n} random crystals were still moving after {steps} steps at "
        f"{search.pressure:g} GPa: whether they implode is not known; raise rss.max_steps."
    )
    quantity = "crystals still moving"
    return Finding("rss", level, quantity, number / n, limit.unit, limit.words, text)


def _searches(measured: Measured[RssNumbers]) -> Sequence[PressureNumbers]:
    """Return the numbers of the candidate at each pressure."""
    return measured.numbers.potentials[measured.about.candidate].pressures
