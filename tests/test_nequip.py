"""NequIP-type networks against plain e3nn, their files, their names."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.io import iread

import nequip_factory
import nequip_reference
import pestle
from foundation_factory import ELEMENTS, frames
from pestle.errors import PestleError
from pestle.foundations import catalogue, load_foundation
from pestle.foundations.nequip.foundation import NequipFoundation
from pestle.foundations.nequip.layers import Linear, Radial
from pestle.foundations.prediction import predict_frames
from pestle.structures.frame import Frame
from web import Page, serve

NAMES = ("nequix-mp-1", "nequix-omat-1", "nequix-oam-1")

# -- a file made by hand --------------------------------------------------------------------------
SETTINGS: dict[str, Any] = {
    "cutoff": 4.5,
    "atomic_numbers": [1, 8, 14],
    "atom_energies": {"1": -1.5, "8": -2.25, "14": -0.8154321098765},
    "avg_n_neighbors": 11.5,
    "scale": 0.75,
    "shift": -0.25,
    "hidden_irreps": "6x0e + 3x1o + 2x2e",
    "lmax": 3,
    "n_layers": 3,
    "radial_basis_size": 4,
    "radial_mlp_size": 7,
    "radial_mlp_layers": 2,
    "radial_polynomial_p": 6.0,
    "mlp_init_scale": 4.0,
    "index_weights": False,
    "layer_norm": True,
    "optimizer": "muon",
}
#: Shapes of the arrays after the E0s, counted by hand: paths of a layer as (l1, l2 → l3).
FIRST = [  # 3 species; 3 paths, 0 0→0, 0 1→1, 0 2→2
    (4, 7), (7, 7), (7, 9), (3, 3), (3, 11), (3, 3), (3, 2), (3, 11), (11,), (3,), (2,),
]  # fmt: skip
SECOND = [
    # to 0: 00, 11, 22 (6+3+2 = 11); to 1: 01, 10, 12, 21, 23 (6+3+3+2+2 = 16);
    # to 2: 02, 11, 13, 20, 22 (6+3+3+2+2 = 16)
    (4, 7), (7, 7), (7, 43), (6, 6), (3, 3), (2, 2), (11, 11), (16, 3), (16, 2),
    (6, 11), (3, 3), (2, 2), (11,), (3,), (2,),
]  # fmt: skip
LAST = [  # to 0 alone
    (4, 7), (7, 7), (7, 11), (6, 6), (3, 3), (2, 2), (11, 6), (6, 6), (6,),
]  # fmt: skip
SHAPES = [*FIRST, *SECOND, *LAST, (6, 1)]


def arrays(seed: int = 0) -> list[np.ndarray]:
    """E0s and random weights."""
    generator = np.random.default_rng(seed)
    e0s = np.array(list(SETTINGS["atom_energies"].values()), dtype=np.float32)
    return [e0s, *(generator.normal(size=s).astype(np.float32) for s in SHAPES)]


def written(
    path: Path, settings: Any = SETTINGS, content: list[np.ndarray] | None = None, tail: bytes = b""
) -> Path:
    """A file from its description."""
    with path.open("wb") as stream:
        stream.write(json.dumps(settings).encode() + b"\n")
        for array in arrays() if content is None else content:
            np.save(stream, array)
        stream.write(tail)
    return path


def silica() -> list[Atoms]:
    """A crystal, a molecule and a single atom, disturbed."""
    crystal = bulk("SiO", "zincblende", a=4.4)
    water = Atoms("SiOH3", positions=[[0, 0, 0], [1.6, 0, 0], [2, 1, 0], [-1, 1, 0.5], [0, -1, 1]])
    generator = np.random.default_rng(1)
    found = [crystal, crystal.repeat((2, 1, 1)), water, Atoms("O")]
    for atoms in found:
        atoms.positions += generator.normal(scale=0.1, size=atoms.positions.shape)
    return found


def assert_agree(path: Path, structures: list[Atoms]) -> None:
    """The loaded model and plain e3nn, energies and forces, in float64."""
    model = load_foundation(path, dtype=torch.float64)
    reference = nequip_reference.Reference(path)
    found = predict_frames(model, [Frame(atoms) for atoms in structures])
    for atoms, mine in zip(structures, found, strict=True):
        energy, forces = reference.energy_and_forces(atoms)
        assert mine.energy == pytest.approx(energy, abs=1e-9)
        np.testing.assert_allclose(mine.forces, forces, atol=1e-9)
    assert max(np.abs(p.forces).max() for p in found) > 1e-2


@pytest.mark.parametrize("layer_norm", [True, False], ids=["norm", "no norm"])
def test_plain_e3nn_gives_the_same(tmp_path: Path, layer_norm: bool) -> None:
    """A file written by hand; the reference reads it by itself."""
    settings = {**SETTINGS, "layer_norm": layer_norm}
    norms = {1 + k for k, shape in enumerate(SHAPES) if len(shape) == 1}
    content = [a for k, a in enumerate(arrays()) if layer_norm or k not in norms]
    assert_agree(written(tmp_path / "a.nqx", settings, content), silica())


def test_plain_e3nn_gives_the_same_for_what_is_written_here(tmp_path: Path) -> None:
    path = tmp_path / "a.nqx"
    nequip_factory.foundation().export(path)
    assert_agree(path, [frame.atoms for frame in frames()])


def test_the_file_is_what_its_settings_say(tmp_path: Path) -> None:
    model = load_foundation(written(tmp_path / "a.nqx"))
    assert isinstance(model, NequipFoundation)
    assert (model.elements, model.heads) == ((1, 8, 14), ("Default",))
    assert (model.cutoff, model.dtype) == (4.5, torch.float32)
    assert model.reference_energies["Default"][14] == -0.8154321098765
    assert sum(p.numel() for p in model.parameters()) == sum(a.size for a in arrays()[1:])


@pytest.mark.parametrize("tail", ["newline", "scalars"])
def test_what_follows_the_weights_is_passed_over(tmp_path: Path, tail: str) -> None:
    """A newline in nequix-mp-1, the optimiser's numbers in nequix-oam-1."""
    expected = load_foundation(written(tmp_path / "a.nqx")).fingerprint()
    if tail == "newline":
        path = written(tmp_path / "b.nqx", tail=b"\n")
    else:
        path = written(tmp_path / "b.nqx", content=[*arrays(), *map(np.asarray, (1.0, 2, 0.5))])
    assert load_foundation(path).fingerprint() == expected


def test_an_exported_file_is_byte_for_byte_what_was_read(tmp_path: Path) -> None:
    """Its arrays, and the settings that fix the network."""
    path = written(tmp_path / "a.nqx")
    load_foundation(path).export(tmp_path / "b.nqx")
    (settings, before), (kept, after) = map(nequip_reference.read, (path, tmp_path / "b.nqx"))
    assert [a.dtype for a in after] == [np.float32] * len(before)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert {k: v for k, v in settings.items() if k != "optimizer"} == kept


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (open, (str(self.path), "w"))


def test_pickles_are_refused_and_not_run(tmp_path: Path) -> None:
    content, sprung = arrays(), tmp_path / "sprung"
    content[3] = np.array([Trap(sprung)], dtype=object)
    path = written(tmp_path / "a.nqx", content=content)
    with pytest.raises(PestleError, match="Object arrays") as caught:
        load_foundation(path, trust=True)
    assert str(path) in caught.value.line
    assert not sprung.exists()


def broken(place: int, array: np.ndarray) -> list[np.ndarray]:
    content = arrays()
    content[place] = array
    return content


def _nan() -> np.ndarray:
    array = arrays()[5].copy()
    array[0, 0] = math.nan
    return array


CONTENT = {
    "NaN weight": (broken(5, _nan()), "a weight is not finite"),
    "wrong shape": (broken(4, np.ones((3, 4), np.float32)), r"\(3, 4\) where \(3, 3\) belongs"),
    "transposed": (broken(5, np.ones((11, 3), np.float32)), r"\(11, 3\) where \(3, 11\) belongs"),
    "one too few": (arrays()[:-1], "EOF"),
    "one left out": (arrays()[:7] + arrays()[8:], "belongs"),
    "no E0s": (arrays()[1:], r"\(4, 7\) where \(3,\) belongs"),
    "other E0s": (broken(0, arrays()[0] + 0.1), "E0s differ"),
    "text": (broken(1, np.full((4, 7), "x")), "numbers"),
    "complex": (broken(1, np.full((4, 7), 1j)), "numbers"),
    "nothing": ([], "a network of at least"),
    "one too many": ([*arrays(), np.ones((2, 2), np.float32)], "more weights"),
}


@pytest.mark.parametrize("case", CONTENT)
def test_wrong_content_is_one_clear_error(tmp_path: Path, case: str) -> None:
    content, message = CONTENT[case]
    path = written(tmp_path / "a.nqx", content=content)
    with pytest.raises(PestleError, match=message) as caught:
        load_foundation(path)
    assert str(path) in caught.value.line


HEADERS = {
    "huge": ({"radial_mlp_size": 10**9}, "radial_width is 1000000000"),
    "endless": ({"n_layers": 10**9}, "layers is 1000000000"),
    "big number": ({"cutoff": 10**400}, "too large"),
    "index weights": ({"index_weights": True}, "index_weights"),
    "parity": ({"hidden_irreps": "6x0e + 3x1e + 2x2e"}, "hidden_irreps"),
    "order": ({"hidden_irreps": "3x1o + 6x0e + 2x2e"}, "hidden_irreps"),
    "no scalars": ({"hidden_irreps": "3x1o"}, "hidden_irreps"),
    "no channels": ({"hidden_irreps": "6x0e + 0x1o + 2x2e"}, "hidden_irreps"),
    "irreps": ({"hidden_irreps": "six"}, "hidden_irreps are six"),
    "irreps number": ({"hidden_irreps": 6}, "hidden_irreps are 6"),
    "reach": ({"lmax": 1}, "lmax"),
    "no layers": ({"n_layers": 0}, "n_layers"),
    "negative": ({"radial_mlp_size": -7}, "radial_mlp_size"),
    "degree": ({"lmax": 40}, "lmax"),
    "cutoff": ({"cutoff": 0.0}, "cutoff"),
    "neighbours": ({"avg_n_neighbors": 0.0}, "avg_n_neighbors"),
    "scale": ({"scale": math.nan}, "scale"),
    "shift": ({"shift": None}, "shift"),
    "E0": ({"atom_energies": {**SETTINGS["atom_energies"], "8": math.nan}}, "8 is nan"),
    "E0 missing": ({"atom_energies": {"1": -1.5, "8": -2.25}}, "14"),
    "E0s list": ({"atom_energies": [-1.5, -2.25, -0.8]}, "atom_energies"),
    "element": ({"atomic_numbers": [1, 8, 140]}, "140"),
    "twice": ({"atomic_numbers": [1, 8, 8]}, "atomic_numbers"),
    "no elements": ({"atomic_numbers": []}, "atomic_numbers"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_wrong_settings_are_one_clear_error(tmp_path: Path, case: str) -> None:
    changes, message = HEADERS[case]
    path = written(tmp_path / "a.nqx", {**SETTINGS, **changes})
    with pytest.raises(PestleError, match=message) as caught:
        load_foundation(path)
    assert str(path) in caught.value.line


@pytest.mark.parametrize("name", sorted(set(SETTINGS) - {"index_weights", "optimizer"}))
def test_a_setting_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "a.nqx", {k: v for k, v in SETTINGS.items() if k != name})
    with pytest.raises(PestleError, match=name) as caught:
        load_foundation(path)
    assert str(path) in caught.value.line


@pytest.mark.parametrize("first", [b"", b"\n", b"[]\n", b"3\n", b"{\n", b"\x80\x02\xff\n", b"{}"])
def test_what_is_no_such_file_is_one_clear_error(tmp_path: Path, first: bytes) -> None:
    path = tmp_path / "a.nqx"
    path.write_bytes(first)
    with pytest.raises(PestleError, match="Nequix") as caught:
        load_foundation(path)
    assert str(path) in caught.value.line


def test_truncated_files_are_one_clear_error(tmp_path: Path) -> None:
    """Cut anywhere: in the settings, between arrays, in the head or the numbers of one."""
    content = written(tmp_path / "a.nqx").read_bytes()
    path = tmp_path / "b.nqx"
    for size in {*np.linspace(0, len(content) - 1, 60).astype(int).tolist(), len(content) - 1}:
        path.write_bytes(content[:size])
        with pytest.raises(PestleError, match="Nequix") as caught:
            load_foundation(path)
        assert str(path) in caught.value.line


# -- parts ----------------------------------------------------------------------------------------
def matrices(model: NequipFoundation) -> dict[str, list[torch.Tensor]]:
    """Parameter → [n_in, n_out] of its blocks, as `linear_layers` describes them."""
    named = dict(model.named_parameters())
    found = {}
    for layer in model.linear_layers():
        flat = named[layer.parameter].detach().reshape(-1)
        found[layer.parameter] = [
            b.path_weight * flat[b.offset : b.offset + b.n_in * b.n_out].view(b.n_in, b.n_out)
            for b in layer.blocks
        ]
    return found


def test_linear_layers_are_the_matrices_that_act() -> None:
    """Random features through every equivariant layer, and through the radial networks."""
    model = nequip_factory.foundation()
    found = matrices(model)
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    seen = set()
    for name, module in model.named_modules():
        if isinstance(module, Linear):
            blocks = found[f"{name}.weight"]
            features = [random(5, 2 * k + 1, len(matrix)) for k, matrix in enumerate(blocks)]
            for x, matrix, out in zip(features, blocks, module(features), strict=True):
                assert torch.allclose(out, x @ matrix, atol=1e-12), name
            seen.add(f"{name}.weight")
        elif isinstance(module, Radial):
            names = [f"{name}.weights.{k}" for k in range(len(module.weights))]
            ((first,), *others) = [found[n] for n in names]
            basis = random(5, len(first))
            hidden = basis @ first
            for (matrix,) in others:
                hidden = torch.nn.functional.silu(hidden) @ matrix
            assert torch.allclose(module.hidden(basis) @ module.weights[-1], hidden, atol=1e-12), (
                name
            )
            seen |= set(names)
    assert seen == found.keys()
    irreps = [[b.irrep for b in layer.blocks] for layer in model.linear_layers()]
    assert ["0e", "1o", "2e"] in irreps


def test_a_deep_header_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a.nqx").write_bytes(b"[" * 100_000 + b"\n")
    with pytest.raises(PestleError, match="recursion"):
        load_foundation(tmp_path / "a.nqx")


def test_a_model_folder_with_a_wrong_size_is_refused(tmp_path: Path) -> None:
    """The weights alone would not tell."""
    nequip_factory.foundation().save(tmp_path)
    path = tmp_path / "architecture.json"
    document = json.loads(path.read_text())
    del document["sha256"]
    for name, value in (("cutoff", -3.0), ("mean_neighbours", 0.0), ("lmax", 2.5)):
        changed = document | {"architecture": document["architecture"] | {name: value}}
        path.write_text(json.dumps(changed))
        with pytest.raises(PestleError, match=f"{name} is {value}"):
            load_foundation(tmp_path)


def test_a_nequix_file_under_another_name_is_not_taken_for_a_pickle(tmp_path: Path) -> None:
    with pytest.raises(PestleError, match="no pickle"):
        load_foundation(written(tmp_path / "a.model"), trust=True)


# -- files that Pestle writes ---------------------------------------------------------------------
def test_why_a_model_cannot_be_written_as_nqx() -> None:
    model = nequip_factory.foundation()
    assert model.export_obstacle() == ""
    assert "2 of its 5 elements" in model.with_elements([1, 8]).export_obstacle()
    two = model.with_heads({"a": "Default", "b": "Default"})
    assert "one head" in two.export_obstacle() and two.export_obstacle(head="a") == ""
    heavy = model.with_reference_energies("Default", {17: -12_510.4})
    assert "float32" in heavy.export_obstacle()
    assert model.with_elements(ELEMENTS).export_obstacle() == ""


def test_export_says_the_precision_that_the_file_has(tmp_path: Path) -> None:
    nequip_factory.foundation().save(tmp_path / "model")
    with pytest.raises(PestleError, match="are read in float32"):
        pestle.export(str(tmp_path / "model"), to="ase", dtype="float64", out=tmp_path)
    result = pestle.export(str(tmp_path / "model"), to="ase", out=tmp_path)
    assert result.dtype == "float32" and "written in float32" in result.notes[0]
    assert load_foundation(result.files["ase"]).dtype == torch.float32


def test_one_head_of_several_is_written_alone(tmp_path: Path) -> None:
    two = nequip_factory.foundation().with_heads({"a": "Default", "Default": "Default"})
    two = two.with_reference_energies("a", {17: -3.0})
    with torch.no_grad():
        two.network.readout.weight.mul_(torch.tensor([1.5, 1.0]).repeat(8))  # heads that differ
    frame = frames()[0]
    for head in two.heads:
        path = tmp_path / f"{head}.nqx"
        two.export(path, head=head)
        found = load_foundation(path, dtype=torch.float64)
        assert found.heads == ("Default",)
        assert found.reference_energies["Default"] == two.reference_energies[head]
        (one,), (other,) = (
            predict_frames(m, [frame], head=h) for m, h in ((found, None), (two, head))
        )
        assert one.energy == pytest.approx(other.energy, abs=1e-5)
        np.testing.assert_allclose(one.forces, other.forces, atol=1e-6)
    energies = [predict_frames(two, [frame], head=h)[0].interaction_energy for h in two.heads]
    assert abs(energies[0] - energies[1]) > 1e-2


# -- the catalogue --------------------------------------------------------------------------------
def test_the_names_are_known_with_licence_and_theory() -> None:
    rows = {row["name"]: row for row in catalogue.rows()}
    theories = {"nequix-mp-1": "MPtrj", "nequix-omat-1": "OMat24", "nequix-oam-1": "sAlex"}
    for name in NAMES:
        row = rows[name]
        assert row["licence"] == "MIT" and row["commercial_use"]
        assert theories[name] in row["level_of_theory"]
        assert (row["elements"], row["parameters"]) == ("89", "0.71M")
        assert row["url"].startswith("https://") and row["url"].endswith(f"/{name}.nqx")


@pytest.mark.parametrize("name", NAMES)
def test_without_network_the_file_and_its_place_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture, name: str
) -> None:
    serve(monkeypatch)
    entry = catalogue.entry(name)
    assert not entry.cached
    with pytest.raises(PestleError, match="no network") as error:
        load_foundation(name)
    assert entry.url in error.value.line and str(entry.cache_file) in error.value.line
    assert capsys.readouterr().out == ""


def test_a_download_that_breaks_off_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = written(tmp_path / "served.nqx").read_bytes()
    entry = catalogue.entry("nequix-omat-1")
    web = serve(monkeypatch)
    web.pages[entry.url] = Page(content[:-9], announced=len(content))
    with pytest.raises(PestleError, match="broke off after"):
        load_foundation("nequix-omat-1")
    assert not entry.cached and entry.cache_file is not None
    assert list(entry.cache_file.parent.glob("*")) == []
    # A damaged file that was put there by hand says what to do.
    entry.cache_file.parent.mkdir(parents=True)
    entry.cache_file.write_bytes(content[:-9])
    with pytest.raises(PestleError, match="Delete the file"):
        load_foundation("nequix-omat-1")


def test_a_download_goes_to_the_cache_and_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Loaded by name with the provenance of the catalogue; the second time without network."""
    web = serve(monkeypatch)
    entry = catalogue.entry("nequix-omat-1")
    web.pages[entry.url] = Page(written(tmp_path / "served.nqx").read_bytes())
    for _ in range(2):
        model = load_foundation("nequix-omat-1")
    assert web.asked == [entry.url] and entry.cached
    assert entry.cache_file is not None
    assert model.provenance.name == "nequix-omat-1" and model.provenance.licence == "MIT"
    assert model.level_of_theory == entry.level_of_theory
    assert any(entry.url in note for note in model.provenance.notes)
    assert load_foundation(entry.cache_file).provenance.licence == "unknown"


# -- the published models -------------------------------------------------------------------------
@pytest.mark.data
def test_the_labels_of_the_upstream_code_are_met(reference_data: Path) -> None:
    """`omat_teacher_valid.xyz` was labelled by nequix-omat-1 with its authors' float32 code."""
    model = load_foundation(reference_data / "foundations" / "nequix-omat-1.nqx")
    path = reference_data / "replay" / "omat_teacher_valid.xyz"
    chosen = [atoms for k, atoms in enumerate(iread(path)) if k % 16 == 0]
    assert len(chosen) == 20
    assert len(model.elements) == 89
    for atoms in chosen:
        label, forces = atoms.info["REF_energy"], atoms.arrays["REF_forces"]
        found = predict_frames(model, [Frame(atoms)])[0]
        assert found.energy / len(atoms) == pytest.approx(label / len(atoms), abs=5e-5)
        limit = 5e-4 + 1e-4 * np.linalg.norm(forces, axis=1)
        assert (np.linalg.norm(found.forces - forces, axis=1) < limit).all()


@pytest.mark.data
@pytest.mark.parametrize("name", NAMES)
def test_plain_e3nn_gives_the_same_for_the_published_models(
    reference_data: Path, name: str
) -> None:
    assert_agree(reference_data / "foundations" / f"{name}.nqx", [frames()[0].atoms])
