"""Shared fixtures. The default suite uses only what Pestle ships."""

from __future__ import annotations

import os
from pathlib import Path

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
