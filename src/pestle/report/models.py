"""The models a page compares: their order, their words and their colours, the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass

from pestle.report.run_folder import RunFolder, nested

FOUNDATION, FINE_TUNED = "foundation", "fine-tuned"

#: Told apart by people who are colour-blind and in grey print; contrast ≥ 4.5 on white for text.
_OWN = {FOUNDATION: "#7a6a58", FINE_TUNED: "#0b5cad", "scratch": "#c2410c"}
_OTHERS = ("#0f766e", "#86198f", "#a16207", "#be123c", "#4d7c0f", "#475569")
REFERENCE_COLOUR = "#18181b"


@dataclass(frozen=True)
class Models:
    """Names of models in order, with label and colour each."""

    labels: dict[str, str]
    colours: dict[str, str]

    @property
    def names(self) -> list[str]:
        return list(self.labels)

    @property
    def tuned(self) -> str:
        """The model this run made."""
        others = [name for name in self.labels if name != FOUNDATION]
        return FINE_TUNED if FINE_TUNED in self.labels or not others else others[0]


def models_of(folder: RunFolder) -> Models:
    """Every model that the error or path protocol names: foundation first, this run's second."""
    found: dict[str, None] = {}
    for source in (folder.errors or {}).get("sets"), folder.parity:
        for by_model in (source or {}).values():
            found.update(dict.fromkeys(by_model if isinstance(by_model, dict) else ()))
    found.update(dict.fromkeys(nested(folder.path, "curves")))
    found.pop((folder.path or {}).get("reference") or "", None)
    first = [name for name in (FOUNDATION, FINE_TUNED) if name in found]
    names = [*first, *(name for name in found if name not in first)]
    spoken = nested(folder.errors, "labels")
    colours = dict(_OWN)
    spare = 0
    for name in names:
        if name not in colours:
            colours[name] = _OTHERS[spare % len(_OTHERS)]
            spare += 1
    return Models({name: str(spoken.get(name) or name) for name in names}, colours)
