"""What a random structure search finds: crystals that imploded, and those still moving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import beta, fisher_exact

from pestle.protocols.thresholds import Threshold
from pestle.records.verdict import LEVELS, Finding, Level
from pestle.records.wording import listed, percent

Found = Mapping[str, Any]

#: Probability below which a difference of counts is no chance, and a share is excluded.
CHANCE = 0.05
#: Share of crystals out of steps from which on a finding says so, below the threshold too.
MANY = 0.2


def assess(metrics: Found, thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """Crystals that imploded beyond the foundation's share, and crystals still moving."""
    found = [_imploded(metrics, thresholds)]
    moving = _moving(metrics, thresholds["still_moving"])
    found += [moving] if moving is not None else []
    return sorted(found, key=lambda finding: -LEVELS.index(finding.level))


def _imploded(metrics: Found, thresholds: Mapping[str, Threshold]) -> Finding:
    """At the pressure where that is worst.

    Without a foundation one on which no crystal implodes stands in.
    """
    limit, searches = thresholds["flagged_change"], _searches(metrics)
    base = metrics["potentials"].get(metrics["baseline"], {"pressures": []})["pressures"]
    old = [search["imploded"] for search in base] or [0] * len(searches)
    judged = [
        _judged(search["imploded"], before, search["n"], limit)
        for search, before in zip(searches, old, strict=True)
    ]

    def badness(k: int) -> tuple[int, float, int]:
        level, _, change = judged[k]
        return LEVELS.index(level), change, searches[k]["imploded"]

    k = max(range(len(searches)), key=badness)
    level, chance, change = judged[k]
    number, n, where = searches[k]["imploded"], searches[k]["n"], searches[k : k + 1]
    if number:
        text = f"{number} of {n} random crystals imploded"
    else:
        text = f"None of {n} random crystals imploded"
        if not any(search["imploded"] for search in searches):
            where = searches
    text += f" at {_at(where)} GPa"
    if base:
        own = old if len(where) > 1 and len(set(old)) > 1 else old[k : k + 1]
        text += f", the foundation {listed([str(before) for before in own])}"
    if chance:
        text += ": that may be chance; raise rss.structures"
    elif level != "pass":
        text += ": not for structure search"
        text += "; replay would keep the wall" if base else ""
    else:
        most = upper_bound(number, n)
        text += ": no worse than the foundation" if base and number else ""
        text += f"; shares up to {percent(most)} are not excluded"
        text += " (raise rss.structures)" if limit.level(most) == "fail" else ""
    moving = max(search["out_of_steps"] / search["n"] for search in searches)
    if moving >= MANY and thresholds["still_moving"].level(moving) == "pass":
        steps = metrics["settings"]["max_steps"]
        text += f". Up to {percent(moving)} were still moving after {steps} steps (rss.max_steps)"
    return Finding("rss", level, "imploded crystals", change, limit.unit, limit.words, text + ".")


def _judged(number: int, before: int, n: int, limit: Threshold) -> tuple[Level, bool, float]:
    """Level of a number of crystals out of n against the foundation's, whether that may be chance,
    and the change of the share.

    What Fisher's exact test, one-sided, does not tell from chance is a concern at most.
    """
    change = (number - before) / n
    level = limit.level(change)
    if level == "pass":
        return level, False, change
    table = [[number, n - number], [before, n - before]]
    chance = fisher_exact(table, alternative="greater").pvalue >= CHANCE
    return "concern" if chance else level, bool(chance), change


def upper_bound(number: int, n: int) -> float:
    """Largest share of crystals that so many of n do not exclude: Clopper and Pearson's one-sided
    bound at 95 % (Biometrika 26, 404, 1934; DOI 10.1093/biomet/26.4.404); of none about 3 / n."""
    return float(beta.ppf(1 - CHANCE, number + 1, n - number)) if number < n else 1.0


def _moving(metrics: Found, limit: Threshold) -> Finding | None:
    """Crystals that ran out of steps in their last relaxation; `None` where they are few."""
    search = max(_searches(metrics), key=lambda search: search["out_of_steps"] / search["n"])
    number, n = search["out_of_steps"], search["n"]
    level = limit.level(number / n)
    if level == "pass":
        return None
    text = (
        f"{number} of {n} random crystals were still moving after "
        f"{metrics['settings']['max_steps']} steps at {search['pressure']:g} GPa: whether they "
        "implode is not known; raise rss.max_steps."
    )
    quantity = "crystals still moving"
    return Finding("rss", level, quantity, number / n, limit.unit, limit.words, text)


def _at(searches: Sequence[Found]) -> str:
    """Their pressures: `0.1 and 50`."""
    return listed([f"{search['pressure']:g}" for search in searches])


def _searches(metrics: Found) -> Sequence[Found]:
    """Of the candidate, by pressure."""
    searches: Sequence[Found] = metrics["potentials"][metrics["candidate"]]["pressures"]
    return searches
