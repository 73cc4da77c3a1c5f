"""The models and heads a page compares: order, words and colours, the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass

from pestle.report import colours
from pestle.report.run_folder import RunFolder, nested

FOUNDATION, FINE_TUNED = "foundation", "fine-tuned"
#: Heads as the files call them → how the page does.
TARGET_HEAD, REPLAY_HEAD = "Default", "pt_head"
HEADS = {TARGET_HEAD: "target head", REPLAY_HEAD: "replay head"}
HEAD_COLOURS = {TARGET_HEAD: colours.TUNED_COLOUR, REPLAY_HEAD: colours.REPLAY_COLOUR}
#: The set of held-out replay structures. Not the models of the other sets are judged on it: the
#: foundation has its own E0s there, this run's model its replay head.
REPLAY_SET = "replay"
_ON_REPLAY = {FOUNDATION: "foundation itself", FINE_TUNED: "fine-tuned, replay head"}

_OWN = {
    FOUNDATION: colours.FOUNDATION_COLOUR,
    FINE_TUNED: colours.TUNED_COLOUR,
    "scratch": colours.SCRATCH_COLOUR,
}


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

    def label(self, model: str, in_set: str) -> str:
        """How a model is called in a set."""
        spoken = self.labels[model]
        return _ON_REPLAY.get(model, spoken) if in_set == REPLAY_SET else spoken


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
    chosen = dict(_OWN)
    spare = 0
    for name in names:
        if name not in chosen:
            chosen[name] = colours.OTHER_COLOURS[spare % len(colours.OTHER_COLOURS)]
            spare += 1
    return Models({name: str(spoken.get(name) or name) for name in names}, chosen)
