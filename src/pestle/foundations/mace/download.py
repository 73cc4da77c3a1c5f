"""Fetching catalogue models with mace-torch's own download code."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from pestle.errors import PestleError
from pestle.foundations.catalogue import Entry


def _downloaders() -> dict[str, Callable[[str], object]]:
    """mace-torch's function for each family, called with the entry's key."""
    # Importing mace's calculators sets TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD, which they rely on.
    from mace.calculators import foundations_models as official

    from pestle.foundations.mace import runtime  # noqa: F401  (mace before e3nn)

    return {
        "mp": official.download_mace_mp_checkpoint,
        "polar": official.download_mace_polar_checkpoint,
        "off": lambda key: official.mace_off(key, device="cpu", return_raw_model=True),
        "omol": lambda key: official.mace_omol(key, device="cpu", return_raw_model=True),
    }


def fetch(entry: Entry) -> Path:
    """The entry's file in mace-torch's cache, downloaded if it is not there yet.

    Raises:
        PestleError: it could not be downloaded; says which file to put where.
    """
    path = entry.cache_file
    if path is None:
        raise PestleError(f"{entry.name} is embedded in Pestle and not downloaded")
    if path.is_file():
        return path
    try:
        with contextlib.redirect_stdout(sys.stderr):  # mace reports progress on stdout
            _downloaders()[entry.family](entry.key)
    except (OSError, RuntimeError) as error:
        reason = error.__cause__ or error
        raise PestleError(
            f"{entry.name} is not cached and could not be downloaded ({reason})",
            where="foundation",
            fix=f"On a machine with network fetch {entry.url} and put it here as {path}.",
        ) from error
    if not path.is_file():
        raise PestleError(
            f"mace-torch reported success but did not write {path}",
            where="foundation",
            fix=f"Fetch {entry.url} and put it there.",
        )
    return path
