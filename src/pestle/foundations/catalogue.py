"""Foundation models by name: licence, level of theory, elements, size, whether cached.

Stated from mace-torch's own tables, Nequix's and the models' publications; a test compares the
addresses with mace-torch's. Imports neither torch nor any backend, so that listing is quick.
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


@dataclass(frozen=True)
class Entry:
    """One foundation model that can be named.

    Attributes:
        name: what users type.
        licence: licence of the weights.
        level_of_theory: functional and data set it was trained on.
        elements: how many elements, or which.
        size: number of parameters, "?" where it is not published.
        heads: names of the heads where there are several and they are known.
        backend: name of the backend that reads it.
        family: which of mace-torch's functions downloads it; empty for other models.
        key: its name in that function.
        url: where it is downloaded from.
        folder: model folder of an embedded model.
        dispersion: whether the energies it was trained on hold dispersion (D3, VV10) beyond a
            semilocal functional: included, none or unknown.
        head_dispersion: (head, the same) where heads differ.
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
    folder: Path | None = None
    dispersion: str = "none"
    head_dispersion: tuple[tuple[str, str], ...] = ()

    @property
    def commercial_use(self) -> bool:
        """Whether the licence permits commercial use."""
        return self.licence != ASL

    @property
    def cache_file(self) -> Path | None:
        """Where the file is kept, for MACE models where mace-torch looks for it; `None` for
        embedded models."""
        if not self.url:
            return None
        name = self.url.rsplit("/", 1)[-1]
        if self.family in ("mp", "polar"):  # these names are cleaned, the others kept
            name = "".join(c for c in name if c.isalnum() or c == "_")
        bundled = _bundled(self)
        return bundled if bundled is not None else cache_folder() / name

    @property
    def cached(self) -> bool:
        """Whether it can be loaded without network."""
        return self.cache_file is None or self.cache_file.is_file()


def cache_folder() -> Path:
    """Folder of downloaded models: mace-torch's."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mace"


def _bundled(entry: Entry) -> Path | None:
    """mace-torch may carry the file of its default model inside its package."""
    if entry.name != "medium-mpa-0":
        return None
    spec = importlib.util.find_spec("mace")  # finds without importing
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / "calculators/foundations_models/mace-mpa-0-medium.model"
        if path.is_file():
            return path
    return None


def _mp(name: str, path: str, theory: str, licence: str = MIT, **more: Any) -> Entry:
    base = _FOUNDATIONS if path.startswith(("mace_matpes", "mace_mh")) else _RELEASES
    return Entry(
        name, licence, theory, "89", family="mp", key=name, url=f"{base}{path}.model", **more
    )


def _nequix(name: str, commit: str, theory: str) -> Entry:
    url = f"https://github.com/atomicarchitects/nequix/raw/{commit}/models/{name}.nqx"
    return Entry(name, MIT, theory, "89", size="0.71M", backend="nequip", url=url)


_MPTRJ, _OMAT = "PBE+U (MPtrj)", "PBE+U (OMat24)"
_MH = "several: PBE(+U), r2SCAN, ωB97M (OMat24, OMol25, MatPES, OC20, MP, SPICE)"
#: SPICE's ωB97M has D3(BJ), OMol25's VV10; the others' functionals are bare.
_MH_DISPERSION = tuple(
    (head, "included" if head in ("spice_wB97M", "omol") else "none") for head in _MH_HEADS
)
_POLAR, _OMOL = "ωB97M-V (OMol25), with long-range electrostatics", "ωB97M-V (OMol25)"

ENTRIES: tuple[Entry, ...] = (
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
    """Every name of the catalogue."""
    return tuple(_BY_NAME)


def find(name: str) -> Entry | None:
    """The entry of this name, if there is one."""
    return _BY_NAME.get(name)


def entry(name: str) -> Entry:
    """The entry of this name.

    Raises:
        PestleError: there is none.
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
    """The catalogue as plain data, one dictionary per model."""
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
        }
        for e in ENTRIES
        if select(e)
    ]
