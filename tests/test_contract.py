"""`pestle.testing`: sound models pass, and every check fails where its fact is broken."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

import foundation_factory
from backends import density
from pestle.errors import PestleError
from pestle.foundations import backends, load_foundation
from pestle.foundations.calculator import FoundationCalculator
from pestle.foundations.capabilities import Adapters, Heads, capabilities_of, require
from pestle.foundations.interface import Foundation, Prediction
from pestle.foundations.mace.foundation import MaceFoundation
from pestle.foundations.network_foundation import edge_vectors
from pestle.structures.graphs import GraphBatch
from pestle.testing import CHECKS, check_foundation, checks_of, example_frames, prepared

Density = density.DensityFoundation
ELEMENTS = (1, 6, 8)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's backend, in this test only."""
    monkeypatch.setattr(backends, "_further", {})
    backends.register(density.BACKEND)


def small(heads: tuple[str, ...] = ("Default",)) -> Foundation:
    """The example's model with E0s and, if asked for, several heads that differ in them."""
    model = density.untrained(ELEMENTS)
    generator = torch.Generator().manual_seed(0)
    e0s = -10 * torch.rand(len(heads), len(ELEMENTS), generator=generator, dtype=torch.float64)
    return Density(
        model.network, elements=ELEMENTS, heads=heads, e0s=e0s, provenance=model.provenance
    )


def test_a_model_with_the_contract_alone_passes() -> None:
    assert capabilities_of(small()) == ()
    checked = check_foundation(small().with_dtype(torch.float32))
    assert set(checked) == {name for name, check in CHECKS.items() if check.of is Foundation}
    check_foundation(small(("pbe", "Default")))


def test_a_model_with_every_capability_is_checked_for_all(model: Foundation) -> None:
    assert checks_of(model) == tuple(CHECKS)


@pytest.fixture(scope="module")
def model() -> Foundation:
    return foundation_factory.foundation("residual")


# -- each check, broken ---------------------------------------------------------------------------
Method = Callable[..., Any]


@dataclass(frozen=True)
class Fault:
    """A fact that is broken.

    Attributes:
        check: that must notice.
        of: class that the method belongs to; its model is tried.
        method: name of the method.
        broken: makes the broken method of the sound one.
        says: what the message must name.
    """

    check: str
    of: type
    method: str
    broken: Callable[[Method], Any]
    says: str = ""


def predicts(change: Callable[[Foundation, GraphBatch, Prediction, bool], None]) -> Any:
    """A `predict` whose result is changed."""

    def broken(sound: Method) -> Method:
        def predict(
            self: Any, graphs: GraphBatch, *, training: bool = False, stress: bool = False
        ) -> Prediction:
            said = sound(self, graphs, training=training, stress=stress)
            change(self, graphs, said, training)
            return said

        return predict

    return broken


def adds(energy: Callable[[GraphBatch, torch.Tensor, torch.Tensor, torch.Tensor], Any]) -> Any:
    """An `interaction` with a further energy of atoms; of it all derivatives are right."""

    def broken(sound: Method) -> Method:
        def interaction(
            self: Any,
            graphs: GraphBatch,
            columns: torch.Tensor,
            positions: torch.Tensor,
            cell: torch.Tensor,
            *,
            training: bool,
        ) -> Any:
            _, atoms = sound(self, graphs, columns, positions, cell, training=training)
            atoms = atoms + energy(graphs, atoms, positions, cell)
            return atoms.new_zeros(graphs.n_graphs).index_add(0, graphs.batch, atoms), atoms

        return interaction

    return broken


def scaled(name: str, factor: float) -> Any:
    def change(_m: Any, _g: Any, said: Prediction, _t: bool) -> None:
        value = getattr(said, name)
        setattr(said, name, None if value is None else value * factor)

    return predicts(change)


def _loses_the_graph(_m: Any, _g: Any, said: Prediction, training: bool) -> None:
    if training:
        said.forces = said.forces.detach() + 0.0 * said.interaction_energy.sum()


def _no_graph_without_edges(_m: Any, graphs: GraphBatch, said: Prediction, _t: bool) -> None:
    if not graphs.n_edges:
        said.forces = said.forces.detach()
        said.stress = None if said.stress is None else said.stress.detach()


def _along_x(
    graphs: GraphBatch, atoms: torch.Tensor, positions: torch.Tensor, cell: torch.Tensor
) -> torch.Tensor:
    x = edge_vectors(graphs, positions, cell)[:, 0]
    return torch.zeros_like(atoms).index_add(0, graphs.edge_index[1], 0.01 * x.square())


def _constant_edge(
    graphs: GraphBatch, atoms: torch.Tensor, _p: torch.Tensor, _c: torch.Tensor
) -> torch.Tensor:
    ones = torch.ones(graphs.n_edges, dtype=atoms.dtype)
    return torch.zeros_like(atoms).index_add(0, graphs.edge_index[1], 0.1 * ones)


def _shallow(_sound: Method) -> Method:
    def copy(self: Any) -> Any:
        return Density(
            self.network, elements=self.elements, heads=self.heads, e0s=self.e0s.clone(),
            provenance=self.provenance,
        )  # fmt: skip

    return copy


def _first_layer_only(sound: Method) -> Method:
    def layers(self: Any) -> Any:
        found = sound(self)
        block = found[0].blocks[0]
        return [replace(found[0], blocks=(replace(block, n_out=block.n_out + 1),)), *found[1:]]

    return layers


FAULTS = [
    Fault("forces are the derivative of the energy", Density, "predict", scaled("forces", 1.001)),
    Fault("stress is the derivative of the energy", Density, "predict", scaled("stress", -1.0)),
    Fault("gradients for training are right", Density, "predict", predicts(_loses_the_graph)),
    Fault("nothing jumps at the cutoff", Density, "interaction", adds(_constant_edge), "jumps"),
    Fault("rotation and inversion", Density, "interaction", adds(_along_x), "rotation"),
    Fault(
        "translation and choice of the cell", Density, "interaction",
        adds(lambda g, a, x, c: 1e-3 * x[:, 2]),
    ),
    Fault(
        "order of the atoms", Density, "interaction",
        adds(lambda g, a, x, c: 1e-3 * a * torch.arange(len(a))),
    ),
    Fault(
        "size of the system", Density, "interaction",
        adds(lambda g, a, x, c: -a / g.n_atoms[g.batch].sqrt()), "supercell",
    ),
    Fault(
        "batches give what single structures give", Density, "interaction",
        adds(lambda g, a, x, c: -a.mean().expand_as(a)), "alone",
    ),
    Fault("atoms without neighbours", Density, "predict", predicts(_no_graph_without_edges)),
    Fault(
        "several heads in one pass", Density, "_reference_sums",
        lambda sound: lambda self, g, columns: sound(self, g.with_head(int(g.head[0])), columns),
    ),
    Fault(
        "unknown elements are refused", Density, "columns",
        lambda sound: lambda self, g: self._column[g.numbers].clamp(min=0),
    ),
    Fault(
        "reference energies", Density, "with_reference_energies",
        lambda sound: lambda self, head, e0s: sound(
            self, head, {z: float(torch.tensor(e, dtype=torch.float32)) for z, e in e0s.items()}
        ),
    ),
    Fault(
        "single atoms", Density, "isolated_atom_energies",
        lambda sound: lambda self, head=None: {z: e + 0.01 for z, e in sound(self, head).items()},
    ),
    Fault("copies are independent", Density, "copy", _shallow, "shares memory"),
    Fault(
        "single and double precision", Density, "predict",
        predicts(lambda m, g, said, t: setattr(said, "forces", said.forces.double())),
    ),
    Fault(
        "saved and loaded", Density, "state",
        lambda sound: lambda self: replace(
            sound(self), e0s=[[round(e, 3) for e in row] for row in sound(self).e0s]
        ),
        "E0s",
    ),
    Fault(
        "ASE calculator", Density, "calculator",
        lambda sound: lambda self, head=None, dispersion=None: FoundationCalculator(
            self, head=self.heads[0]
        ),
    ),
    Fault(
        "new heads", MaceFoundation, "with_heads",
        lambda sound: lambda self, heads: sound(self, heads or {"Default": "Default"}),
        "no error",
    ),
    Fault(
        "fewer elements", MaceFoundation, "with_elements",
        lambda sound: lambda self, elements: sound(self, elements[:-1]),
    ),
    Fault(
        "random weights", MaceFoundation, "with_random_weights",
        lambda sound: lambda self, seed, **sizes: sound(self, 0, **sizes), "another seed",
    ),
    Fault(
        "parts of the network", MaceFoundation, "parameter_groups",
        lambda sound: lambda self: dict(list(sound(self).items())[1:]), "every parameter",
    ),
    Fault("low-rank updates", MaceFoundation, "linear_layers", _first_layer_only, "cover"),
    Fault(
        "descriptors", MaceFoundation, "descriptors",
        lambda sound: lambda self, graphs: sound(self, graphs) + graphs.positions[:, :1],
        "rotation",
    ),
    Fault(
        "file of its own programs", MaceFoundation, "export_obstacle",
        lambda sound: lambda self, head=None: "it is too heavy", "too heavy",
    ),
    Fault("files for LAMMPS", MaceFoundation, "lammps_formats", lambda sound: {}),
    Fault(
        "kernels", MaceFoundation, "use_kernels",
        lambda sound: lambda self, name: sound(self, "auto"),
    ),
]  # fmt: skip


def test_every_check_has_a_fault() -> None:
    assert [fault.check for fault in FAULTS] == list(CHECKS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.check)
def test_a_fault_is_found(fault: Fault, model: Foundation, monkeypatch: pytest.MonkeyPatch) -> None:
    of_density = fault.of is Density
    tried = small(("pbe", "Default")) if of_density else foundation_factory.fresh("residual")
    case = prepared(tried, None if of_density else foundation_factory.frames())
    CHECKS[fault.check].run(case)
    sound = getattr(fault.of, fault.method)
    monkeypatch.setattr(fault.of, fault.method, fault.broken(sound))
    with pytest.raises(AssertionError, match=fault.says or None):
        CHECKS[fault.check].run(case)


def test_all_that_is_wrong_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Density.predict
    monkeypatch.setattr(Density, "predict", scaled("forces", 1.01)(sound))
    with pytest.raises(AssertionError) as caught:
        check_foundation(small())
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("density does not keep ")
    assert any(re.match("forces .*derivative of the energy: ", line) for line in lines)


def test_a_crystal_and_a_molecule_are_needed() -> None:
    crystal = [frame for frame in example_frames(ELEMENTS) if frame.is_periodic]
    with pytest.raises(PestleError, match=r"crystal.*molecule"):
        check_foundation(small(), crystal)


# -- capabilities ---------------------------------------------------------------------------------
def test_what_is_lacking_is_one_line(model: Foundation) -> None:
    assert require(model, Adapters) is model
    with pytest.raises(PestleError) as caught:
        require(small(), Adapters)
    assert re.search(r"'density'.*LoRA.*--method naive", caught.value.line)
    with pytest.raises(PestleError, match=r"^--head: .*Leave it out"):
        require(small(), Heads, where="--head", instead="Leave it out.")


# -- registration ---------------------------------------------------------------------------------
class Entry:
    """An entry point as an installed package makes it."""

    dist = None

    def __init__(self, name: str, found: Any) -> None:
        self.name, self.value, self.found = name, "package:BACKEND", found
        self.loaded = 0

    def load(self) -> Any:
        self.loaded += 1
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def installed(monkeypatch: pytest.MonkeyPatch, *entries: Entry) -> None:
    monkeypatch.setattr(backends, "_further", {})
    monkeypatch.setattr(backends, "entry_points", lambda group: list(entries))


def test_a_package_is_imported_only_for_its_own_models(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    entry, other = Entry("density", density.BACKEND), Entry("other", ImportError("no such thing"))
    installed(monkeypatch, other, entry)
    foundation_factory.foundation("one").save(tmp_path / "mace")
    backends.backend("mace")
    assert (entry.loaded, other.loaded) == (0, 0)
    small().save(tmp_path / "model")
    found = load_foundation(tmp_path / "model")
    assert found.fingerprint() == small().fingerprint()
    assert (entry.loaded, other.loaded) == (1, 0)
    with pytest.raises(PestleError, match="no such thing") as caught:
        backends.backend("other")
    assert "backend other" in caught.value.line


def test_files_of_further_backends_are_known_by_their_ending(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    def read(path: Any, *, provenance: Any) -> Foundation:
        found = small()
        found.provenance = provenance
        return found

    installed(
        monkeypatch,
        Entry("density", replace(density.BACKEND, suffixes=(".dens",), from_file=read)),
    )
    (tmp_path / "mine.dens").write_text("anything")
    assert load_foundation(tmp_path / "mine.dens").provenance.name == "mine"
    with pytest.raises(PestleError, match=r"mine\.txt: .*\.dens"):
        backends.backend_of_file(tmp_path / "mine.txt")


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"name": "mace"}, "backend mace: 'mace'"),
        ({"suffixes": (".nqx",), "from_file": "a:b"}, r"'\.nqx' .*backend nequip"),
        ({"suffixes": (".dens",)}, r"backend density: .*\(from_file\)"),
    ],
)
def test_what_cannot_be_registered(changed: dict[str, Any], match: str) -> None:
    with pytest.raises(PestleError, match=match):
        backends.register(replace(density.BACKEND, **changed))


def test_an_entry_point_must_name_its_own_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, Entry("dense", density.BACKEND))
    with pytest.raises(PestleError, match="dense = package:BACKEND"):
        backends.backend("dense")
    with pytest.raises(PestleError, match="nor an installed package") as caught:
        backends.backend("else")
    assert "dense" in caught.value.line
