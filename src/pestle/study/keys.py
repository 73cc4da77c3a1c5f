"""Keys: hashes of what is asked. Imports nothing heavy: the status of a study needs no more."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pestle import __version__
from pestle.files import sha256
from pestle.study.study_file import Study


def digest(content: Any) -> str:
    """SHA-256 of plain data, whatever the order of its entries."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def asked_digest(study: Study) -> str:
    """Hash of what the user asked for, with variables filled in."""
    asked = study.asked.model_dump(mode="json")
    return digest([asked, study.overrides, sha256(study.path), __version__])
