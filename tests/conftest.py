"""Shared fixtures. The default suite uses only what Pestle ships."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import pestle
from pestle.structures.frame import Frame

# From the package as it is installed: a wheel without its data must fail here.
DATA = Path(pestle.__file__).parent / "demo" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="also run tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run-slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow; run with --run-slow"))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


#: Matplotlib, which mace imports, looks for fonts for seconds where it finds no cache of its own.
_FONTS = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "matplotlib"


@pytest.fixture(autouse=True, scope="session")
def _no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that a test trusts or downloads reaches the cache of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        if _FONTS.is_dir():
            patch.setenv("MPLCONFIGDIR", os.environ.get("MPLCONFIGDIR", str(_FONTS)))
        yield


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A test begins with an empty cache: what another one trusted is not trusted here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def reference_data() -> Path:
    """Folder of the reference data set, which is not part of the project."""
    folder = os.environ.get("PESTLE_REFERENCE_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("PESTLE_REFERENCE_DATA does not name the folder of the reference data")
    return Path(folder)


@pytest.fixture(scope="session")
def seed0():
    """The embedded foundation in float64; never changed by a test."""
    from pestle.foundations import load_foundation

    return load_foundation("pestle-seed0", dtype=torch.float64)


@pytest.fixture(scope="session")
def demo_train() -> list[Frame]:
    """The embedded training frames, isolated atoms included."""
    from pestle.structures.reading import read_frames

    return read_frames([str(DATA / "train.xyz")]).frames


@pytest.fixture
def demo_files() -> dict[str, str]:
    """Paths of the embedded data."""
    return {name: str(DATA / f"{name}.xyz") for name in ("train", "valid", "test", "neb_mp2")}


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What a hostile file would touch."""
    return tmp_path / "sprung"


@pytest.fixture
def nothing_ran(marker: Path) -> Iterator[None]:
    """A test that uses this must not end with the marker touched."""
    yield
    assert not marker.exists()


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on no model can be unpickled."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("something was unpickled")

    return lambda: monkeypatch.setattr("pestle.foundations.mace.pickles.torch.load", refuse)
