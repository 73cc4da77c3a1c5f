"""The package as others install it: the wheel in an environment of its own, and its extras."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
#: Types for mypy, which nobody imports.
STUBS = ("types-",)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """The wheel that CI has built, or one that is built here without a network."""
    if given := os.environ.get("PESTLE_WHEEL"):
        return Path(given)
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("no wheel in PESTLE_WHEEL, and hatchling, which builds one, is not installed")
    command = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([sys.executable, "-m", "pip", *command, "-w", tmp_path, ROOT], check=True)
    (found,) = tmp_path.glob("pestle-*.whl")
    return found


def test_the_wheel_alone_brings_the_command_and_its_files(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    command = ["--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([sys.executable, "-m", "pip", *command, wheel], check=True)
    (place,) = home.glob("lib/python*/site-packages")
    # What Pestle needs is taken from here. A .pth file of a folder that another one names is not
    # read, so that an editable install of Pestle is not found.
    (place / "present.pth").write_text(sysconfig.get_paths()["purelib"])
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def said(*typed: str) -> str:
        done = subprocess.run(
            typed, cwd=tmp_path, env=plain, check=True, capture_output=True, text=True
        )
        return done.stdout

    assert said(str(home / "bin" / "pestle"), "--version").split()[-1] == PROJECT["version"]
    file = said(str(python), "-c", "import pestle; print(pestle.__file__)").strip()
    assert Path(file).is_relative_to(place)
    data = place / "pestle" / "demo" / "data"
    assert (data / "train.xyz").is_file()
    templates = place / "pestle" / "reports" / "templates"
    own = ROOT / "src" / "pestle" / "reports" / "templates"
    assert {path.name for path in templates.iterdir()} == {path.name for path in own.iterdir()}


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_an_extra_names_can_be_imported(extra: str) -> None:
    missing = []
    for text in EXTRAS[extra]:
        needed = Requirement(text)
        if needed.name == "pestle":
            assert needed.extras <= set(EXTRAS), text
            continue
        try:
            found = distribution(needed.name)
        except PackageNotFoundError:
            missing.append(needed.name)
            continue
        assert needed.specifier.contains(found.version, prereleases=True), text
        if not needed.name.startswith(STUBS):
            modules = modules_of(found.metadata["Name"])
            assert any(importlib.util.find_spec(name) for name in modules), text
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)}")


def modules_of(name: str) -> list[str]:
    """Modules that a distribution brings."""
    return [
        module
        for module, owners in packages_distributions().items()
        if name in owners and module.isidentifier()
    ]
