"""List the foundation models that can be named: licence, level of theory, elements, size, address.

The entries follow mace-torch's own tables, those of Nequix, and the publications of the models; a
test compares the addresses with mace-torch's. This file imports neither torch nor any backend, so
that `pestle models` is quick.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pestle.errors import PestleError, nearest

MIT = "MIT"
ASL = "Academic Software Licence (non-commercial)"
_RELEASES = "https://github.com/ACEsuit/mace-mp/releases/download/"
_FOUNDATIONS = "https://github.com/ACEsuit/mace-foundations/releases/download/"
_OFF = "https://raw.githubusercontent.com/ACEsuit/mace-off/main/mace_off23/"
_ORGANIC = "H, C, N, O, F, P, S, Cl, Br, I"
_MH_HEADS = (
    "matpes_r2scan",
    "mp_pbe_refit_add",
    "spice_wB97M",
    "oc20_usemppbe",
    "omol",
    "omat_pbe",
)
#: SHA-256 of published files. Their publishers state none. Each one given here was recorded by at
#: least two independent projects for the file of this name and release. A model for which fewer
#: projects agree is left out (for mh-1 two different files are in circulation).
_SHA256 = {
    "small": "2ddb079cee0e131eaaf6912ba581b394551ead283e95c99cfe78c605d10b5736",
    "medium": "01bfe22100139f424713cf921144e5509cbe353d67aa9fa1be9c6e1e0ed35845",
    "large": "f80e992b65ab8f88fdf26964511357c022e92704e4d9bcd086652635a8495b32",
    "small-0b": "7e3a0abcaf41e03a80e69f778e1b11b29de1cca704783dc25917a736392f8cf0",
    "medium-0b": "ab8baff639a8f295f3eccad3d3ccf574efb6fb63220bd52cd88664211569e521",
    "small-0b2": "d5773bf9440e96d6eb8c598f84bd0e6369fcfa432f626a87f890e07da3c651c9",
    "medium-0b2": "a90be07c8aa6623c390fcc4653d3e319c4a356f8b4a53d323f96b2012d375caf",
    "large-0b2": "348390e758e1c90011c7675e864850f8e9c5b3e7c217f79a2b4bad1baaa657ad",
    "medium-0b3": "2f2be696351ac9e94fbe01cdfb6f017679acdbd2db7645209ef55fec9826b012",
    "medium-mpa-0": "75428afe3a1d7d8062e19bcaabd5c433623cabf308242ec9fb493e38604fb638",
    "small-omat-0": "0abfde07862cf1e93b8b4d03cb702f29ce9c344ff2fc4de2ec0d7166d6c113a5",
    "mace-matpes-pbe-0": "e618ad582b84239905b9c3b77ce6e9ce111b0ecd1533223a1a6aac7a696b8aa0",
    "mace-matpes-r2scan-0": "8f147ecffa1d06a696e5648b13b81abda9c96fda9d0fb3faba3cd3fb27d9bba9",
    "small_off": "165cce4cfec5a34b9c64d4ebf95de15d71106bb584b7291c8470f0749977c46f",
    "medium_off": "4842c52ad210d6e1f84d6cf1ffa70fae25a7e0d755ed55cf223f43913f587db7",
    "large_off": "a29e397dbf3e7a24ac50a9b0dfc919bd5a62efa346f5895a6237b0950c1d76f4",
    "nequix-mp-1": "1647af8e627e1afa11e2bfadeab0797326513a521afd7dd01606a96f56783eee",
}


@dataclass(frozen=True)
class Entry:
    """This record describes one foundation model that can be named.

    Attributes:
        name: name that users type.
        licence: licence of the weights.
        level_of_theory: functional and data set that the model was trained on.
        elements: number of elements, or their symbols.
        size: number of parameters; "?" if it is not published.
        heads: names of the heads if there are several and their names are known.
        backend: name of the backend that reads the model.
        family: which of mace-torch's functions downloads the model; empty for other models.
        key: name of the model in that function.
        url: address of the file.
        sha256: SHA-256 of the file at that address; empty if it is not known (see `_SHA256`).
        folder: model folder of a model that comes with Pestle; `None` for others.
        dispersion: whether the training energies contain dispersion (D3, VV10) beyond a semilocal
            functional: `included`, `none` or `unknown`.
        head_dispersion: pairs of a head's name and its `dispersion`, if heads differ.
    """

    name: str
    licence: str
    level_of_theory: str
    elements: str
    size: str = "?"
    heads: tuple[str, ...] = ()
    backend: str = "mace"
    family: str = ""
    key: str = ""
    url: str = ""
    sha256: str = ""
    folder: Path | None = None
    dispersion: str = "none"
    head_dispersion: tuple[tuple[str, str], ...] = ()

    @property
    def commercial_use(self) -> bool:
        """Return whether the licence permits commercial use."""
        return self.licence != ASL

    @property
    def cache_file(self) -> Path | None:
        """Return where the file of the model is kept; `None` for models that come with Pestle.

        MACE models are kept where mace-torch looks for them.
        """
        if not self.url:
            return None
        name = self.url.rsplit("/", 1)[-1]
        if self.family in ("mp", "polar"):  # mace-torch removes other characters
            name = "".join(c for c in name if c.isalnum() or c == "_")
        bundled = _bundled(self)
        return bundled if bundled is not None else cache_folder() / name

    @property
    def cached(self) -> bool:
        """Return whether the model can be loaded without a network."""
        return self.cache_file is None or self.cache_file.is_file()


def cache_home() -> Path:
    """Return the folder in which the programs of this user keep their caches."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))


def cache_folder() -> Path:
    """Return the folder of downloaded models, which is mace-torch's own."""
    return cache_home() / "mace"


def _bundled(entry: Entry) -> Path | None:
    """Find the file of mace-torch's default model inside its package, which may carry it."""
    if entry.name != "medium-mpa-0":
        return None
    spec = importlib.util.find_spec("mace")  # finds without importing
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / "calculators/foundations_models/mace-mpa-0-medium.model"
        if path.is_file():
            return path
    return None


def _mp(name: str, path: str, theory: str, licence: str = MIT, **more: Any) -> Entry:
    """Make the entry of a model that mace-torch's function `mace_mp` downloads.

    Args:
        name: name that users type, also in that function.
        path: address of the file below the releases on GitHub, without `.model`.
        theory: functional and data set.
        licence: licence of the weights.
        more: other fields of `Entry`.
    """
    base = _FOUNDATIONS if path.startswith(("mace_matpes", "mace_mh")) else _RELEASES
    return Entry(
        name,
        licence,
        theory,
        "89",
        family="mp",
        key=name,
        url=f"{base}{path}.model",
        sha256=_SHA256.get(name, ""),
        **more,
    )


def _nequix(name: str, commit: str, theory: str) -> Entry:
    """Make the entry of a Nequix model.

    Args:
        name: name that users type, also that of the file.
        commit: commit of the Nequix repository that holds the file.
        theory: functional and data set.
    """
    url = f"https://github.com/atomicarchitects/nequix/raw/{commit}/models/{name}.nqx"
    return Entry(
        name,
        MIT,
        theory,
        "89",
        size="0.71M",
        backend="nequip",
        url=url,
        sha256=_SHA256.get(name, ""),
    )


_MPTRJ, _OMAT = "PBE+U (MPtrj)", "PBE+U (OMat24)"
_MH = "several: PBE(+U), r2SCAN, ωB97M (OMat24, OMol25, MatPES, OC20, MP, SPICE)"
#: ωB97M of SPICE contains D3(BJ) and that of OMol25 VV10; the other functionals have no dispersion.
_MH_DISPERSION = tuple(
    (head, "included" if head in ("spice_wB97M", "omol") else "none") for head in _MH_HEADS
)
_POLAR, _OMOL = "ωB97M-V (OMol25), with long-range electrostatics", "ωB97M-V (OMol25)"

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "pestle-seed1",
        MIT,
        "PBE(+U), OMat24 (labels by nequix-omat-1)",
        "82",
        size="0.52M",
        folder=Path(__file__).parents[1] / "demo" / "seed1",
    ),
    Entry(
        "pestle-seed0",
        MIT,
        "PBE(+U), OMat24 (labels by nequix-omat-1)",
        "82",
        size="0.52M",
        folder=Path(__file__).parents[1] / "demo" / "seed0",
    ),
    _mp("small", "mace_mp_0/2023-12-10-mace-128-L0_energy_epoch-249", _MPTRJ),
    _mp("medium", "mace_mp_0/2023-12-03-mace-128-L1_epoch-199", _MPTRJ, size="4.7M"),
    _mp("large", "mace_mp_0/MACE_MPtrj_2022.9", _MPTRJ),
    _mp("small-0b", "mace_mp_0b/mace_agnesi_small", _MPTRJ),
    _mp("medium-0b", "mace_mp_0b/mace_agnesi_medium", _MPTRJ),
    _mp("small-0b2", "mace_mp_0b2/mace-small-density-agnesi-stress", _MPTRJ),
    _mp("medium-0b2", "mace_mp_0b2/mace-medium-density-agnesi-stress", _MPTRJ),
    _mp("large-0b2", "mace_mp_0b2/mace-large-density-agnesi-stress", _MPTRJ),
    _mp("medium-0b3", "mace_mp_0b3/mace-mp-0b3-medium", _MPTRJ),
    _mp("medium-mpa-0", "mace_mpa_0/mace-mpa-0-medium", "PBE+U (MPtrj + sAlex)"),
    _mp("small-omat-0", "mace_omat_0/mace-omat-0-small", _OMAT, ASL, size="8.2M"),
    _mp("medium-omat-0", "mace_omat_0/mace-omat-0-medium", _OMAT, ASL, size="9.1M"),
    _mp("mace-matpes-pbe-0", "mace_matpes_0/MACE-matpes-pbe-omat-ft", "PBE (MatPES)", ASL),
    _mp("mace-matpes-r2scan-0", "mace_matpes_0/MACE-matpes-r2scan-omat-ft", "r2SCAN (MatPES)", ASL),
    _mp(
        "mh-0",
        "mace_mh_1/mace-mh-0",
        _MH,
        ASL,
        dispersion="unknown",
        head_dispersion=_MH_DISPERSION,
    ),
    _mp(
        "mh-1",
        "mace_mh_1/mace-mh-1",
        _MH,
        ASL,
        size="6.4M",
        heads=_MH_HEADS,
        dispersion="unknown",
        head_dispersion=_MH_DISPERSION,
    ),
    *(
        Entry(
            f"{size}_off",
            ASL,
            "ωB97M-D3(BJ)/def2-TZVPPD (SPICE)",
            _ORGANIC,
            family="off",
            key=size,
            url=f"{_OFF}MACE-OFF23_{size}.model",
            sha256=_SHA256[f"{size}_off"],
            dispersion="included",
        )
        for size in ("small", "medium", "large")
    ),
    Entry(
        "mace_omol",
        ASL,
        _OMOL,
        "89",
        family="omol",
        key="extra_large",
        url=f"{_FOUNDATIONS}mace_omol_0/MACE-omol-0-extra-large-1024.model",
        dispersion="included",
    ),
    *(
        Entry(
            f"polar-1-{size.lower()}",
            ASL,
            _POLAR,
            "?",
            family="polar",
            key=f"polar-1-{size.lower()}",
            url=f"{_FOUNDATIONS}mace_polar_1/MACE-POLAR-1-{size}.model",
            dispersion="included",
        )
        for size in ("S", "M", "L")
    ),
    _nequix("nequix-mp-1", "7c2854de8e754b1a60274c7d9d2e014989ed632e", _MPTRJ),
    _nequix("nequix-omat-1", "9c852a9c4cce69ae5e75bc5a2cf670be21ff8c28", _OMAT),
    _nequix(
        "nequix-oam-1",
        "9c852a9c4cce69ae5e75bc5a2cf670be21ff8c28",
        "PBE+U (OMat24, then sAlex + MPtrj)",
    ),
)
_BY_NAME = {entry.name: entry for entry in ENTRIES}


def names() -> tuple[str, ...]:
    """Return every name of the catalogue."""
    return tuple(_BY_NAME)


def find(name: str) -> Entry | None:
    """Return the entry of this name, or `None` if there is none."""
    return _BY_NAME.get(name)


def entry(name: str) -> Entry:
    """Return the entry of this name.

    Args:
        name: name that a user typed.

    Raises:
        PestleError: there is no such entry; the error suggests the nearest name.
    """
    found = find(name)
    if found is None:
        raise PestleError(
            f"there is no foundation called '{name}'",
            where="foundation",
            fix=f"{nearest(name, names())} `pestle models` lists the names.".lstrip(),
        )
    return found


def rows(select: Callable[[Entry], bool] = lambda _: True) -> list[dict[str, Any]]:
    """Return the catalogue as plain data, one dictionary per model.

    Args:
        select: function that says of an entry whether to list it; by default all are listed.
    """
    return [
        {
            "name": e.name,
            "architecture": e.backend,
            "licence": e.licence,
            "commercial_use": e.commercial_use,
            "level_of_theory": e.level_of_theory,
            "dispersion": e.dispersion,
            "elements": e.elements,
            "parameters": e.size,
            "heads": list(e.heads),
            "cached": e.cached,
            "url": e.url or None,
            "sha256": e.sha256 or None,
        }
        for e in ENTRIES
        if select(e)
    ]
