"""Files of a run as anybody reads them, without Pestle's models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def evaluations(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl."""
    return [json.loads(line) for line in path.read_text().splitlines()]
