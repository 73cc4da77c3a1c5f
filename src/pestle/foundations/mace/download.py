"""Fetching catalogue models with mace-torch's own download code."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

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


def download(entry: Entry) -> None:
    """Put the entry's file in mace-torch's cache.

    Raises:
        OSError, RuntimeError: it could not be downloaded.
    """
    with contextlib.redirect_stdout(sys.stderr):  # mace reports progress on stdout
        _downloaders()[entry.family](entry.key)
