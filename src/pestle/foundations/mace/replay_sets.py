"""List the replay sets that mace-torch downloads by name (its option `--pt_train_file`).

Names, addresses and cache are those of `mace.tools.multihead_tools.assemble_replay_data`; a test
compares them. Pestle downloads the files itself. mace-torch writes to the final name at once, so
that a file whose download was interrupted would be used as the set from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pestle.errors import PestleError
from pestle.foundations.catalogue import cache_folder
from pestle.foundations.download import download
from pestle.locks import locked_file
from pestle.progress import say

_RELEASES = "https://github.com/ACEsuit/mace-foundations/releases/download/"
_NOT_STATED = "not stated by its publishers"


@dataclass(frozen=True)
class ReplayEntry:
    """This record describes one published replay set.

    Attributes:
        name: name that users type.
        level_of_theory: functional and data set of its labels.
        licence: licence of the data.
        url: address of the file.
        note: what else is known about the set, as a clause.
    """

    name: str
    level_of_theory: str
    licence: str
    url: str
    note: str = ""

    @property
    def cache_file(self) -> Path:
        """Return where mace-torch keeps the file."""
        name = self.url.rsplit("/", 1)[-1]
        return cache_folder() / "".join(c for c in name if c.isalnum() or c == "_")

    @property
    def cached(self) -> bool:
        """Return whether the set can be read without a network."""
        return self.cache_file.is_file()


ENTRIES = (
    ReplayEntry(
        "mp",
        "PBE+U (MPtrj)",
        f"{_NOT_STATED}; Materials Project data are CC BY 4.0",
        f"{_RELEASES}mace_mp_0b/mp_traj_combined.xyz",
    ),
    ReplayEntry(
        "omat",
        "PBE+U (OMat24)",
        f"{_NOT_STATED}; Materials Project structures are CC BY 4.0",
        f"{_RELEASES}mace_omat_0/mp_traj_combined_omat.xyz",
        "structures of MPtrj",
    ),
    ReplayEntry(
        "matpes_pbe",
        "PBE (MatPES)",
        _NOT_STATED,
        f"{_RELEASES}mace_matpes_0/matpes-pbe-replay-data.xyz",
        "its users report that it holds no stress (mace-foundations issue 70)",
    ),
    ReplayEntry(
        "matpes_r2scan",
        "r2SCAN (MatPES)",
        _NOT_STATED,
        f"{_RELEASES}mace_matpes_0/matpes-r2scan-replay-data.extxyz",
    ),
)


def fetch(entry: ReplayEntry) -> Path:
    """Return the file of a set, and download it into mace-torch's cache if it is not there.

    Args:
        entry: the set.

    Raises:
        PestleError: the file could not be downloaded, or is not a file of structures.
    """
    path = entry.cache_file
    if path.is_file():
        return path
    say(f"downloading the replay set {entry.name} from {entry.url}")

    def check(temporary: Path, _: str) -> None:
        with temporary.open("rb") as stream:
            first = stream.readline(100).strip()
        if not first.isdigit():  # a login page, or an error in HTML
            raise PestleError(
                f"{entry.url} gave something that is not an extended XYZ file",
                where="replay.pool",
                fix=f"On a machine with network fetch it and put it here as {path}.",
            )

    with locked_file(path, waiting=f"downloads {entry.name}"):
        if not path.is_file():  # another command may have been faster
            download(entry.url, path, name=entry.name, where="replay.pool", check=check)
    return path
