"""The automatic choice of a method follows the paper's section 5 and A.2."""

from __future__ import annotations

from dataclasses import replace

import pytest

import pestle
from pestle.adaptation import METHODS
from pestle.adaptation.choice import Circumstances, choose, suited
from pestle.errors import PestleError
from pestle.foundations.prediction import predict_frames
from pestle.labels.labelling import label_frames
from pestle.structures.frame import split_isolated_atoms
from pestle.structures.writing import write_frames

ONE_SYSTEM = Circumstances("narrow", n_frames=60, n_elements=4, n_groups=1)


@pytest.mark.parametrize(
    ("scope", "frames", "method"),
    [
        ("narrow", 60, "naive"),
        ("narrow", 5, "lora"),
        ("broad", 60, "pseudolabel"),
        ("broad", 5, "pseudolabel-lora"),
    ],
)
def test_method_by_scope_and_size(scope, frames, method):
    choice = choose(Circumstances(scope, frames, n_elements=4, n_groups=1))
    assert choice.method == method
    assert choice.reasons and choice.would_change


@pytest.mark.parametrize(
    ("frames", "method"), [(60, "multihead"), (5, "multihead-lora")], ids=["many", "few"]
)
@pytest.mark.parametrize("labels", ["none", "pseudo", "misfit", "fit"])
def test_original_labels_are_used_where_they_are_those_of_the_foundation(frames, method, labels):
    case = Circumstances("broad", frames, 4, 1, pool=("mine.xyz",), labels=labels)
    expected = method if labels == "fit" else method.replace("multihead", "pseudolabel")
    choice = choose(case)
    assert choice.method == expected
    assert any("mine.xyz" in reason for reason in choice.reasons)


def test_reasons_say_that_structures_are_generated():
    assert any(
        "generated" in reason for reason in choose(replace(ONE_SYSTEM, scope="broad")).reasons
    )


@pytest.mark.parametrize("many", [{"n_elements": 10}, {"n_groups": 7}], ids=["elements", "groups"])
def test_few_frames_of_a_diverse_family_get_low_rank_updates(many):
    family = replace(ONE_SYSTEM, n_frames=200, **many)
    assert choose(replace(ONE_SYSTEM, n_frames=200)).method == "naive"
    assert (choose(family).method, choose(family).rank) == ("lora", 16)
    # SPICE at one frame a molecule: naive does as well as any method there (Fig. 8).
    assert choose(replace(family, n_frames=19_687)).method == "naive"
    kinds = "10 elements" if "n_elements" in many else "7 configuration groups"
    assert kinds in choose(family).reasons[0]
    assert choose(replace(family, scope="broad")).method == "pseudolabel"


def test_the_rank_that_the_user_names_wins(demo_train, tmp_path):
    """Demo frames given seven groups."""
    frames = split_isolated_atoms(demo_train)[0][:20]
    named = [replace(f, config_type=f"group{k % 7}") for k, f in enumerate(frames)]
    write_frames(tmp_path / "train.xyz", named)
    settings = {
        "foundation": "pestle-seed0",
        "method": "auto",
        "scope": "narrow",
        "data.train": str(tmp_path / "train.xyz"),
    }
    ranks = []
    for asked in ({}, {"lora.rank": 2}):
        manifest = pestle.finetune(settings | asked, tmp_path / "run", dry_run=True).to_json()
        assert manifest["method"]["name"] == "lora"
        ranks.append(manifest["settings"]["lora.rank"]["value"])
    assert ranks == [16, 2]


def test_one_method_for_each_situation():
    """Each declares what it is chosen for; two for one situation would be an accident."""
    narrow = [suited("narrow", amount) for amount in ("ample", "scarce", "diverse")]
    broad = [
        suited("broad", amount, labels)
        for amount in ("ample", "scarce")
        for labels in ("original", "foundation")
    ]
    assert {(m.name, u) for m, u in narrow + broad} == {
        (m.name, u) for m in METHODS.values() for u in m.suited
    }


def test_without_scope_nothing_is_chosen():
    with pytest.raises(PestleError, match="scope"):
        choose(replace(ONE_SYSTEM, scope=None))


def test_labels_at_hand_are_compared_with_the_foundation(seed0, demo_train, tmp_path):
    """A pool with the foundation's kind of labels is replayed as it is; energies an eV per atom
    away, or none, or a model's, are not."""
    frames = split_isolated_atoms(demo_train)[0][:12]
    write_frames(tmp_path / "train.xyz", frames)
    said = predict_frames(seed0, frames)
    own = [replace(f, energy=p.energy, forces=p.forces) for f, p in zip(frames, said, strict=True)]
    pools = {
        "multihead": own,
        "misfit": [replace(f, energy=f.energy + 1.0 * len(f)) for f in own],
        "none": [replace(f, forces=None) for f in own],
        "pseudo": label_frames(frames, seed0, fingerprint="x").frames,
    }
    for kind, structures in pools.items():
        write_frames(tmp_path / f"{kind}.xyz", structures)
        settings = {
            "foundation": "pestle-seed0",
            "method": "auto",
            "scope": "broad",
            "data.train": str(tmp_path / "train.xyz"),
            "replay.pool": str(tmp_path / f"{kind}.xyz"),
            "train.dtype": "float64",
        }
        manifest = pestle.finetune(settings, tmp_path / "run", dry_run=True).to_json()
        expected = "multihead" if kind == "multihead" else "pseudolabel"
        assert manifest["method"]["name"] == expected, kind
        assert manifest["replay"]["n_train"] + manifest["replay"]["n_valid"] == len(frames)
        assert f"{kind}.xyz" in " ".join(manifest["method"]["choice"]["reasons"])
