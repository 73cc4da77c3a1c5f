"""Run files: settings from YAML, dotted names and `--set`; how they are written; the template.

A wrong name or value gives one line, which suggests the right one.
"""

from __future__ import annotations

import contextlib
import hashlib
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pestle.errors import PestleError, near_name
from pestle.files import write_text
from pestle.settings.probe import ProbeSettings
from pestle.settings.run import RunSettings, known_names, walk

Settings = TypeVar("Settings", bound=BaseModel)

#: Name of a setting → each of its values with its meaning.
Choices = Mapping[str, Mapping[str, str]]

#: Settings that determine the length of a run; one of them is enough.
LENGTH = ("train.updates", "train.epochs")
#: Beginning of the last line of the run file that a run writes.
_OWN = "# SHA-256 of the lines above, as the run wrote them: "
#: Name of an option of mace_run_train → name of the setting here.
MACE_NAMES = {
    "E0s": "e0s",
    "foundation_model": "foundation",
    "foundation_head": "head",
    "train_file": "data.train",
    "valid_file": "data.valid",
    "test_file": "data.test",
    "valid_fraction": "data.valid_fraction",
    "energy_key": "data.energy_key",
    "forces_key": "data.forces_key",
    "stress_key": "data.stress_key",
    "virials_key": "data.virials_key",
    "lr": "train.lr",
    "batch_size": "train.batch_size",
    "max_num_epochs": "train.epochs",
    "epochs": "train.epochs",
    "ema_decay": "train.ema_decay",
    "ema": "train.ema_decay",
    "clip_grad": "train.clip",
    "weight_decay": "train.weight_decay",
    "amsgrad": "train.amsgrad",
    "scheduler": "train.schedule",
    "patience": "train.patience",
    "seed": "train.seed",
    "device": "train.device",
    "dtype": "train.dtype",
    "default_dtype": "train.dtype",
    "eval_interval": "train.eval_interval",
    "loss": "loss.kind",
    "energy_weight": "loss.energy",
    "forces_weight": "loss.forces",
    "stress_weight": "loss.stress",
    "huber_delta": "loss.huber_delta",
    "lora": "method (lora)",
    "lora_rank": "lora.rank",
    "lora_alpha": "lora.alpha",
    "freeze": "method (freeze-first, freeze-backbone, mace-5 or mace-6)",
    "multiheads_finetuning": "method (multihead or pseudolabel)",
    "pseudolabel_replay": "method (pseudolabel)",
    "pt_train_file": "replay.pool",
    "num_samples_pt": "replay.count",
    "real_pt_data_ratio_threshold": "replay.ratio",
    "lr_factor": "train.schedule_factor",
    "scheduler_patience": "train.schedule_patience",
    "subselect_pt": "replay.select",
    "filter_type_pt": "replay.filter",
    "wandb": "log.wandb",
    "name": "-o RUN_DIR",
}
#: Name in older run files that is not a setting any more → what to use instead.
NO_SETTINGS = {
    "trust": "Trust is typed in the command that needs it: --trust, or "
    "pestle.finetune(settings, out, trust=True).",
}


def unknown_name_error(name: str, root: type[BaseModel] = RunSettings) -> PestleError:
    """Return the error for a setting that does not exist.

    It suggests the nearest name, or the setting that has this name in mace-torch.

    Args:
        name: the unknown name.
        root: the settings whose name it is not.
    """
    names = known_names(root)
    if root is RunSettings and name in NO_SETTINGS:
        return PestleError("is no setting", where=name, fix=NO_SETTINGS[name])
    if root is RunSettings and name in MACE_NAMES:
        hint = f"mace_run_train's {name} is {MACE_NAMES[name]} here."
    else:
        leaf = {n.rsplit(".", 1)[-1]: n for n in names}
        last = name.rsplit(".", 1)[-1]
        # The group may be missing or another one: epoch, training.epochs.
        near = leaf.get(last) or near_name(name, names) or leaf.get(near_name(last, leaf))
        hint = f"Did you mean '{near}'?" if near else ""
    listed = "`pestle init` lists all settings."
    if root is not RunSettings:
        listed = f"The settings are {', '.join(names)}."
    return PestleError("no such setting", where=name, fix=hint or listed)


def _wants_list(name: str, root: type[BaseModel]) -> bool:
    annotation = dict(walk(root))[name].annotation
    return get_origin(annotation) is list or any(
        get_origin(a) is list for a in get_args(annotation)
    )


def parse_overrides(
    overrides: Iterable[str], root: type[BaseModel] = RunSettings
) -> dict[str, Any]:
    """Read overrides: `["train.lr=1e-4", …]` → `{"train.lr": 0.0001}`. Values are read as YAML.

    Args:
        overrides: texts NAME=VALUE.
        root: the settings with these names.

    Raises:
        PestleError: no `=`, or an unknown name.
    """
    values: dict[str, Any] = {}
    for text in overrides:
        name, separator, value = text.partition("=")
        if not separator:
            raise PestleError(f"'{text}' is not NAME=VALUE", where="--set")
        name = name.strip()
        if name not in known_names(root):
            raise unknown_name_error(name, root)
        if name == "e0s":  # YAML reads mace's {1:-1.1} as keys without values
            values[name] = value.strip()
            continue
        annotation = dict(walk(root))[name].annotation
        is_text = annotation is str or set(get_args(annotation)) == {str, type(None)}
        if is_text:  # a project called 2024 is no number
            values[name] = None if value.strip() in ("", "null", "None") else value.strip()
            continue
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise PestleError(f"cannot read the value '{value}'", where=name) from error
        # YAML 1.1 reads 1e-4 as text; every number a user types there is meant as a number.
        if isinstance(parsed, str):
            with contextlib.suppress(ValueError):
                parsed = float(parsed)
        if _wants_list(name, root) and not isinstance(parsed, list):
            parsed = [parsed]
        if _wants_list(name, root) and name in values:  # --set NAME=a --set NAME=b
            parsed = [*values[name], *parsed]
        values[name] = parsed
    return values


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, leaf = name.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[leaf] = value
    return tree


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict) and key != "e0s":
            _merge(base[key], value)
        else:
            base[key] = value
    return base


def build(
    tree: Mapping[str, Any],
    flat: Mapping[str, Any] | None = None,
    *,
    where: str = "settings",
    root: type[Settings] = RunSettings,  # type: ignore[assignment]
) -> Settings:
    """Make settings from a nested mapping (a run file) and dotted overrides.

    Args:
        tree: the nested mapping; names in `NO_SETTINGS` are ignored.
        flat: dotted name → value.
        where: the source of the mapping, for errors.
        root: class of the settings.

    Raises:
        PestleError: unknown field (with the nearest name) or a value out of range.
    """
    flat = dict(flat or {})
    if root is RunSettings:
        tree = {name: value for name, value in tree.items() if name not in NO_SETTINGS}
    if root is RunSettings and any(flat.get(name) is not None for name in LENGTH):
        # Each determines the length of a run: an override of one replaces the other of a run file.
        flat = dict.fromkeys(LENGTH) | flat
    merged = _merge(_plain(tree), _nested(flat))
    for name in (name for name in known_names(root) if "." in name and _wants_list(name, root)):
        group, leaf = name.split(".")
        entries = merged.get(group)
        if isinstance(entries, dict) and isinstance(entries.get(leaf), str):
            entries[leaf] = [entries[leaf]]
    try:
        return root.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(
            str(part)
            for part in first["loc"]
            if not str(part).startswith(("dict[", "constrained-"))
        )
        if first["type"] == "extra_forbidden":
            raise unknown_name_error(name, root) from None
        raise PestleError(in_words(first), where=f"{where}: {name}") from None


#: Kind of a mistake that pydantic found → what the value is not.
_NOT = {
    "float_parsing": "no number",
    "float_type": "no number",
    "int_parsing": "no whole number",
    "int_type": "no whole number",
    "int_from_float": "no whole number",
    "bool_parsing": "neither true nor false",
    "bool_type": "neither true nor false",
    "string_type": "no text",
    "list_type": "no list",
}


def in_words(mistake: ErrorDetails) -> str:
    """Return what is wrong with a value, in the words of a user.

    Args:
        mistake: an entry of `ValidationError.errors()`.
    """
    kind = _NOT.get(mistake["type"])
    if kind is not None:
        return f"{mistake['input']!r} is {kind}"
    return f"{mistake['msg'].lower()}, got {mistake['input']!r}"


def from_names(values: Mapping[str, Any]) -> RunSettings:
    """Make settings from dotted names, `{"train.lr": 1e-4, …}`.

    Raises:
        PestleError: an unknown name or a value out of range.
    """
    known = known_names()
    for name in values:
        if name not in known:
            raise unknown_name_error(name)
    return build({}, {name: _as_text(value) for name, value in values.items()})


def _as_text(value: Any) -> Any:
    """Paths as the text that a run file would hold, also in a list."""
    if isinstance(value, list | tuple):
        return [_as_text(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _plain(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _plain(v) if isinstance(v, Mapping) else v for k, v in tree.items()}


def read_run_file(path: Path) -> dict[str, Any]:
    """Read the nested mapping of a YAML run file.

    Raises:
        PestleError: the file is missing, not YAML, or not a mapping, or names something twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
        _require_single_names(yaml.compose(text, Loader=yaml.SafeLoader), path)
        tree = yaml.safe_load(text)
    except UnicodeDecodeError:
        raise PestleError("not a text file", where=str(path)) from None
    except OSError as error:
        raise PestleError(f"cannot be read ({error.strerror})", where=str(path)) from None
    except yaml.YAMLError as error:
        raise PestleError(f"not a YAML file: {error}", where=str(path)) from None
    if not isinstance(tree, dict):
        raise PestleError("a run file holds NAME: VALUE lines", where=str(path))
    return tree


def _require_single_names(root: yaml.Node | None, path: Path) -> None:
    """Refuse a name that stands twice in one mapping: YAML takes the last one without a word."""
    # Each node once: an alias (*NAME) may stand within itself, or multiply what it names.
    seen: set[int] = set()
    waiting = [(root, "")]
    while waiting:
        node, within = waiting.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(one, f"{within}{number}.") for number, one in enumerate(node.value)]
            continue
        lines: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                raise PestleError(
                    f"stands twice, in lines {lines[name]} and {line}",
                    where=f"{path}: {within}{name}",
                    fix="Remove one, or give it another name.",
                )
            lines[name] = line
            waiting.append((value, f"{within}{name}."))


def write_run_file(path: Path, settings: RunSettings) -> None:
    """Write the complete settings of a run.

    The last line is a hash, which shows `read_own_run_file` whether the file was changed.

    Args:
        path: the file.
        settings: settings of the run.
    """
    text = dump(settings)
    write_text(path, f"{text}{_OWN}{hashlib.sha256(text.encode()).hexdigest()}\n")


def read_own_run_file(path: Path) -> dict[str, Any]:
    """Read the nested mapping of the run file that a run wrote.

    Raises:
        PestleError: the file cannot be read, or was changed since the run wrote it.
    """
    tree = read_run_file(path)
    text, mark, digest = path.read_text(encoding="utf-8").rpartition(_OWN)
    if mark and digest.strip() != hashlib.sha256(text.encode()).hexdigest():
        raise PestleError(
            "is damaged or was changed since the run wrote it",
            where=str(path),
            fix="Change settings with --set; to go on with it as it is, remove its last line.",
        )
    return tree


def dump(settings: RunSettings) -> str:
    """Return the complete settings as the text of a YAML run file."""
    return yaml.safe_dump(settings.model_dump(), sort_keys=False, allow_unicode=True)


def template(settings: RunSettings, choices: Choices) -> str:
    """Return the text of a run file with meaning, unit and source of every setting as comments.

    Args:
        settings: the values.
        choices: values of settings that are declared elsewhere.
    """
    lines = [
        "# A Pestle run file: `pestle finetune THIS -o RUN_DIR`. null means: chosen for you.",
        "",
    ]
    group = ""
    for name, info in walk():
        *parents, leaf = name.split(".")
        if parents and parents[0] != group:
            group = parents[0]
            kind = RunSettings.model_fields[group].annotation
            doc = (getattr(kind, "__doc__", "") or "").strip()
            lines += [f"{group}:  # {doc}"]
        indent = "  " * len(parents)
        value: Any = settings
        for part in name.split("."):
            value = getattr(value, part)
        extra = info.json_schema_extra or {}
        notes = "; ".join(text for text in (extra.get("unit"), extra.get("source")) if text)
        comment = f"{info.description}{f' [{notes}]' if notes else ''}"
        lines += [f"{indent}# {row}" for row in textwrap.wrap(comment, 90)]
        for choice, words in choices.get(name, {}).items():
            rows = textwrap.wrap(f"{choice}: {words}", 88, subsequent_indent="  ")
            lines += [f"{indent}#   {row}" for row in rows]
        written = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
        lines += [f"{indent}{leaf}: {written.strip().removesuffix('...').strip()}", ""]
    return "\n".join(lines)


def settings_page(choices: Choices) -> str:
    """Return the documentation page of all settings, in Markdown.

    Args:
        choices: values of settings that are declared elsewhere.
    """
    lines = [
        "# Settings",
        "",
        "Every setting of a run file; on the command line `--set NAME=VALUE`. A default of `None`",
        "is chosen for the method, the data and the foundation, and the plan gives the reason.",
        "This page is made from the classes in `src/pestle/settings/` by",
        "`python recipes/settings_page.py`.",
        "",
        "Paths in a run file are relative to the folder of the file, those on the command line to",
        "where they are typed. A run writes its own `run.yaml` with absolute paths.",
    ]
    lines += _tables(RunSettings, "The run", choices)
    lines += ["", "# Settings of `pestle probe`"]
    lines += _tables(ProbeSettings, "Every protocol", {})
    return "\n".join(lines) + "\n"


def _tables(root: type[BaseModel], title: str, choices: Choices) -> list[str]:
    """Return a table for each group; settings without a group are first, under the title."""
    lines: list[str] = []
    group = None
    for name, info in walk(root):
        parent = name.split(".")[0] if "." in name else ""
        if parent != group:
            group = parent
            lines += ["", f"## {group or title}", "", "| name | default | meaning | source |"]
            lines += ["|---|---|---|---|"]
        extra = info.json_schema_extra or {}
        default = info.get_default(call_default_factory=True)
        unit = f" ({extra['unit']})" if extra.get("unit") else ""
        text = info.description + unit
        if name in choices:
            text += f" One of {', '.join(f'`{choice}`' for choice in choices[name])}."
        cells = [f"`{name}`", f"`{default}`", text, extra.get("source", "")]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines
