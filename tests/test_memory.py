"""Memory that the process keeps: numbers stay, and pages are not taken from the system anew."""

import json
import subprocess
import sys

import pytest

from pestle.foundations.memory import keep_freed_memory

# A process of its own: the setting cannot be taken back.
CODE = """
import json, resource
import numpy as np, torch
from ase.build import molecule
from pestle.foundations import load_foundation
from pestle.foundations.memory import keep_freed_memory
from pestle.structures.frame import Frame
from pestle.structures.graphs import collate, make_graphs

def faults():
    start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**23)  # 32 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start

def predicted():
    atoms = [molecule(name) for name in ("H2O", "CH3Cl", "C6H6")]
    for a in atoms:
        a.rattle(0.1, seed=1)
    graphs = collate(make_graphs([Frame(a) for a in atoms], model.cutoff))
    said = model.predict(graphs, training=True)
    (gradient,) = torch.autograd.grad(said.forces.square().sum(), next(model.parameters()))
    return [said.energy.tolist(), said.forces.tolist(), gradient.tolist()]

model = load_foundation("pestle-seed0", dtype=torch.float64)
numbers, taken = predicted(), faults()
keep_freed_memory()
faults()  # takes its pages for the last time
print(json.dumps({"same": predicted() == numbers, "before": taken, "after": faults()}))
"""


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc")
def test_kept_memory_changes_no_number_and_is_not_asked_for_again() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["same"]
    # Ten tensors; one of them may still need new pages where the kept ones lie in pieces.
    assert found["before"] > 0 and found["after"] < found["before"] / 4


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(_name: object) -> None:
        raise AssertionError("asked for the C library")

    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    monkeypatch.setattr("ctypes.CDLL", no_library)
    assert keep_freed_memory.__wrapped__() is False
