"""Settings: one name for each thing, hints for every other, and a run file that repeats the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pestle.adaptation import IN_WORDS, METHODS, recipe_of
from pestle.adaptation.recipes import resolve as resolve_with
from pestle.errors import PestleError
from pestle.settings.run import RunSettings, known_names, walk
from pestle.settings.run_file import (
    MACE_NAMES,
    build,
    dump,
    from_names,
    parse_overrides,
    read_run_file,
    settings_page,
    template,
)

#: Names that DESIGN.md promises to other programs.
PROMISED = [
    "foundation",
    "head",
    "data.train",
    "data.valid",
    "data.test",
    "data.valid_fraction",
    "method",
    "e0s",
    "train.epochs",
    "train.lr",
    "train.batch_size",
    "train.max_edges",
    "train.ema_decay",
    "train.clip",
    "train.seed",
    "train.dtype",
    "train.device",
    "train.threads",
    "loss.kind",
    "loss.energy",
    "loss.forces",
    "loss.stress",
    "data.isolated_atom_repeats",
    "elements",
]


def test_promised_names_exist() -> None:
    assert set(PROMISED) <= set(known_names())


def test_every_setting_says_what_it_means() -> None:
    for name, info in walk():
        assert info.description, name


def test_overrides_are_typed() -> None:
    asked = parse_overrides(["train.lr=1e-4", "data.train=a.xyz", "e0s={H: -13.6}"])
    settings = build({}, asked)
    assert settings.train.lr == 1e-4
    assert settings.data.train == ["a.xyz"]
    assert settings.e0s == {"H": -13.6}


@pytest.mark.parametrize("name", sorted(MACE_NAMES))
def test_names_of_mace_run_train_are_translated(name: str) -> None:
    target = MACE_NAMES[name]
    if name in known_names():
        return
    with pytest.raises(PestleError) as caught:
        parse_overrides([f"{name}=1"])
    assert target in caught.value.line
    assert target.startswith("-o") or target.split()[0] in known_names()


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("train.learning_rate=1", "train."),
        ("train.epoch=3", "train.epochs"),
        ("seed=1", "train.seed"),
        ("data.trian=a", "data.train"),
    ],
)
def test_unknown_names_suggest_the_nearest(override: str, hint: str) -> None:
    with pytest.raises(PestleError, match=hint):
        parse_overrides([override])


def test_trust_is_no_setting_and_old_run_files_can_be_read() -> None:
    for given in (lambda: parse_overrides(["trust=true"]), lambda: from_names({"trust": True})):
        with pytest.raises(PestleError, match=r"--trust.*trust=True"):
            given()
    assert build({"trust": True, "foundation": "a.model"}) == build({"foundation": "a.model"})


def test_unknown_field_of_a_run_file() -> None:
    with pytest.raises(PestleError, match=r"train\.lrr.*train\.lr"):
        build({"train": {"lrr": 1}})


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.lr=abc", "train.lr: 'abc' is no number"),
        ("train.updates=many", "train.updates: 'many' is no whole number"),
        ("train.batch_size=1.5", "train.batch_size: 1.5 is no whole number"),
    ],
)
def test_a_value_of_another_kind_is_named_in_plain_words(override: str, words: str) -> None:
    with pytest.raises(PestleError, match=words):
        build({}, parse_overrides([override]))


@pytest.mark.parametrize("override", ["train.lr=-1", "train.epochs=0", "train.dtype=float16"])
def test_values_out_of_range(override: str) -> None:
    with pytest.raises(PestleError, match=override.split("=")[0]):
        build({}, parse_overrides([override]))


def test_run_file_round_trip(tmp_path: Path) -> None:
    settings = build({}, {"train.lr": 3e-4, "data.train": ["a.xyz"], "e0s": {"H": -13.6}})
    path = tmp_path / "run.yaml"
    path.write_text(dump(settings))
    assert build(read_run_file(path)) == settings


def test_template_is_a_run_file_with_every_setting(tmp_path: Path) -> None:
    settings = build({}, {"foundation": "pestle-seed0", "data.train": ["a b.xyz"]})
    path = tmp_path / "run.yaml"
    path.write_text(template(settings, {"method": IN_WORDS}))
    assert build(read_run_file(path)) == settings
    tree = yaml.safe_load(path.read_text())
    assert set(tree) == {name.split(".")[0] for name in known_names()}


def resolve(settings: RunSettings, **about: Any) -> tuple[RunSettings, dict[str, str]]:
    return resolve_with(settings, recipe_of(settings), **about)


#: Learning rate, EMA decay and clipping as the paper prints them, for the methods that it has.
NAIVE, REPLAY, REPLAY_LORA = (1e-3, 0.999, 1.0), (1e-4, 0.9999, 1.0), (1e-3, 0.999, 10.0)
TABLE_7 = {
    "scratch": (1e-2, 0.99, 10.0),
    "naive": NAIVE,
    **dict.fromkeys(("freeze-first", "freeze-backbone", "mace-5", "mace-6"), NAIVE),
    "lora": (1e-2, 0.99, 10.0),
    **dict.fromkeys(("multihead", "pseudolabel"), REPLAY),
    **dict.fromkeys(("multihead-lora", "pseudolabel-lora"), REPLAY_LORA),
}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_recipes_are_table_7(method: str) -> None:
    """At a constant rate; a method that the paper does not have says so."""
    asked = build({}, {"method": method, "recipe": "paper"})
    if method not in TABLE_7:
        with pytest.raises(PestleError, match="Table 7"):
            recipe_of(asked)
        return
    settings, reasons = resolve(asked, atoms_learnable=False, has_isolated_atoms=True)
    train = settings.train
    assert (train.lr, train.ema_decay, train.clip) == TABLE_7[method]
    assert (train.schedule, train.epochs, train.updates) == ("constant", 200, None)
    assert train.weight_decay == 0
    assert all("Table 7" in reasons[f"train.{n}"] for n in ("lr", "ema_decay", "clip"))


#: Learning rate, EMA decay, clipping and patience of the measured recipes, and the share of replay
#: structures in the target head.
FASTER = (1e-3, 0.999, 1.0, 7)
MEASURED = {
    "scratch": (1e-2, 0.99, 10.0, 5, None),
    **dict.fromkeys(
        ("naive", "freeze-first", "freeze-backbone", "mace-5", "mace-6"), (*NAIVE, 5, None)
    ),
    "lora": (1e-2, 0.99, 10.0, 5, None),
    # Labels of another level of theory never train the target head.
    "multihead": (*FASTER, 0.0),
    "pseudolabel": (*FASTER, 0.5),
    "multihead-lora": (*REPLAY_LORA, 7, 0.0),
    "pseudolabel-lora": (*REPLAY_LORA, 7, 0.5),
}


@pytest.mark.parametrize("backend", ["mace", "nequip"])
@pytest.mark.parametrize("recipe", ["paper", "measured"])
@pytest.mark.parametrize("method", sorted(MEASURED))
def test_defaults_of_each_method(method: str, recipe: str, backend: str) -> None:
    """Where the rates and the weights of replay were not measured, the rate is probed and the
    weights are the paper's."""
    asked = build({}, {"method": method, "recipe": recipe})
    train, replay = (
        (
            s := resolve(asked, atoms_learnable=False, has_isolated_atoms=True, backend=backend)[0]
        ).train,
        s.replay,
    )
    paper, known = recipe == "paper", backend == "mace"
    *optimiser, patience, share = MEASURED[method]
    rate, decay, clip = TABLE_7[method] if paper else optimiser
    ending = ("constant", 5, 200) if paper else ("plateau", patience, None)
    assert (train.lr, train.ema_decay, train.clip) == (
        rate if paper or known else "auto",
        decay,
        clip,
    )
    assert (train.schedule, train.schedule_patience, train.epochs) == ending
    weights = (0.3, 3.0, 0.3) if known and not paper else (1.0, 10.0, 1.0)
    mixing = (*weights, *((0.0, "unbounded") if paper else (share, 1.0)))
    found = (replay.energy, replay.forces, replay.stress, replay.target_share, replay.edge_ratio)
    assert found == ((None,) * 5 if share is None else mixing)


def test_a_length_that_is_asked_for_replaces_that_of_a_run_file() -> None:
    longer = build({"train": {"updates": 20_000}}, {"train.epochs": 5}).train
    assert (longer.epochs, longer.updates) == (5, None)
    kept = build({"train": {"updates": 20_000}}, {"train.lr": 1e-3}).train
    assert (kept.epochs, kept.updates) == (None, 20_000)


def test_a_length_in_epochs_replaces_the_guard() -> None:
    settings, reasons = resolve(
        build({}, {"train.epochs": 7}), atoms_learnable=False, has_isolated_atoms=True
    )
    assert (settings.train.epochs, settings.train.updates) == (7, None)
    assert not {"train.epochs", "train.updates"} & set(reasons)


def test_isolated_atoms_are_trained_on_only_where_that_helps() -> None:
    for learnable, atoms, repeats in ((True, True, 10), (False, True, 0), (True, False, 0)):
        settings, reasons = resolve(build({}), atoms_learnable=learnable, has_isolated_atoms=atoms)
        assert settings.data.isolated_atom_repeats == repeats
        assert reasons["data.isolated_atom_repeats"]


def test_asked_values_stay() -> None:
    settings, reasons = resolve(
        build({}, {"train.lr": 5e-4}), atoms_learnable=False, has_isolated_atoms=False
    )
    assert settings.train.lr == 5e-4 and "train.lr" not in reasons


def test_docs_page_is_up_to_date() -> None:
    """docs/settings.md is made from the settings, not written beside them."""
    page = Path(__file__).parents[1] / "docs" / "settings.md"
    assert page.read_text() == settings_page({"method": IN_WORDS}), (
        "python recipes/settings_page.py > docs/settings.md"
    )


def test_text_stays_text() -> None:
    settings = build({}, parse_overrides(["log.wandb=2024", "head=1", "data.energy_key=null"]))
    assert (settings.log.wandb, settings.head, settings.data.energy_key) == ("2024", "1", None)


def test_lists_may_be_one_text_or_given_repeatedly() -> None:
    assert build({"replay": {"pool": "generated"}}).replay.pool == ["generated"]
    names = parse_overrides(["replay.pool=a.xyz", "replay.pool=generated"])
    assert build({}, names).replay.pool == ["a.xyz", "generated"]


@pytest.mark.parametrize("ratio", [1.0, "size"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_run_file_of_complete_settings_gives_them_again(method: str, ratio: Any) -> None:
    """What a run writes down can be read, resolved and resumed from."""
    more = {"replay.ratio": ratio} if METHODS[method].replays else {}
    asked = build({}, {"method": method, **more})
    first, _ = resolve(asked, atoms_learnable=False, has_isolated_atoms=True)
    again, _ = resolve(
        build(yaml.safe_load(dump(first))), atoms_learnable=False, has_isolated_atoms=True
    )
    assert again == first
