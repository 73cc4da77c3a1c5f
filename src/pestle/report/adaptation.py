"""How the foundation was adapted, as rows: heads, the automatic choice, the replay set."""

from __future__ import annotations

from typing import Any

from pestle.report.models import HEADS
from pestle.report.run_folder import RunFolder, nested
from pestle.report.wording import MISSING, count, plain, setting_value


def choice(folder: RunFolder) -> dict[str, Any] | None:
    """The method that `auto` chose, with reasons and what would change it; else `None`."""
    chosen = folder.part("method", "choice")
    if not chosen:
        return None
    return {
        "method": plain(chosen.get("method")),
        "reasons": _lines(chosen.get("reasons")),
        "would_change": _lines(chosen.get("would_change")),
    }


def heads(folder: RunFolder) -> str:
    """The heads where there are several, with what each is for."""
    names = folder.part("method").get("heads") or []
    if len(names) < 2:
        return ""
    return ", ".join(f"{name} ({HEADS[name]})" if name in HEADS else str(name) for name in names)


def own_labels(folder: RunFolder) -> bool:
    """Whether the replay labels are the foundation's own predictions."""
    return folder.method is not None and folder.method.pseudolabels


def replay(folder: RunFolder) -> dict[str, Any] | None:
    """Facts and notes of the replay set; `None` for methods without replay."""
    found = nested(folder.manifest, "replay")
    if not found:
        return None
    rows = [
        ("Labels", plain(found.get("labels"))),
        ("Structures in training", count(found.get("n_train"))),
        ("Structures held out", count(found.get("n_valid"))),
        ("Replay structures per target frame", setting_value(folder.setting("replay.ratio"))),
    ]
    return {
        "rows": [(name, value) for name, value in rows if value != MISSING],
        "notes": _lines(found.get("notes")),
    }


def _lines(value: Any) -> list[str]:
    return [str(line) for line in value if line] if isinstance(value, list) else []
