"""Several potential-energy surfaces in one set, according to the files.

The energy of the same atoms depends on functional, charge, spin and k-point grid. A model that is
not told which of them applies learns none of them. Names of groups (`bulk`, `surface`, `train`)
contain no such information and are not an error.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from pestle.checks.report import CheckFinding, finding
from pestle.errors import PestleError
from pestle.structures.frame import Frame, is_labelled
from pestle.structures.selection import ABSENT, ALL, same_word, word_of

#: Words for a level of theory, wherever they stand in a name: pbe_slabs, bulk-r2scan.
LEVELS = frozenset({
    "pbe", "pbe0", "pbesol", "revpbe", "rpbe", "pw91", "blyp", "b3lyp", "bp86", "r2scan", "rscan",
    "tpss", "tpssh", "hse", "hse03", "hse06", "mp2", "rimp2", "mp3", "mp4", "ccsd", "ccsdt",
    "qcisd", "casscf", "caspt2", "dlpno", "rpa", "wb97", "wb97x", "wb97xd", "wb97xd3", "wb97m",
    "wb97mv", "camb3lyp", "m06", "m062x", "m06l", "optb88", "optpbe", "beef", "b2plyp", "revdsd",
    "lda", "vdwdf", "vdwdf2",
})  # fmt: skip
#: Words that also mean something else (a torsion scan, hydrogen fluoride, the program that made the
#: structures): a level only where they are the whole name.
WHOLE_LEVELS = frozenset({
    "scan", "hf", "dft", "xtb", "gfn1xtb", "gfn2xtb", "gfnff", "dftb", "uff", "pm6", "pm7", "am1",
})  # fmt: skip
#: What a level can have beside it: another surface than the level alone.
DISPERSION = frozenset({"d2", "d3", "d3bj", "d3zero", "d4", "mbd", "ts", "vdw"})
#: Levels that hold it by themselves.
WITH_DISPERSION = frozenset({"wb97xd", "wb97xd3", "wb97mv", "vdwdf", "vdwdf2", "optb88", "optpbe"})
#: Entries of the comment line that name the level of theory as such.
THEORY_KEYS = (
    "functional", "xc", "xc_functional", "dft_functional", "level_of_theory", "theory_level",
    "basis", "basis_set", "gga", "metagga", "GGA", "METAGGA", "dispersion", "vdw", "ivdw", "IVDW",
    "encut", "ENCUT", "ecut", "ecutwfc", "kspacing", "KSPACING",
)  # fmt: skip
#: Entries that may name it, or something else: two of `LEVELS` convict them.
DOUBTFUL_KEYS = ("method", "level", "theory", "calculator", "calc", "dataset", "source", "label")
#: Grids of k-points follow the cell: only frames of one composition, whose cells' lengths agree
#: within this share, must have the same.
GRID_KEYS = ("kpts", "kpoints", "k_points", "kgrid", "kpoint_grid", "KPOINTS")
SAME_CELL = 0.1


def surface_findings(
    frames: Sequence[Frame], *, embeds: Collection[str] = (), asked: bool = False
) -> list[CheckFinding]:
    """An error for everything by which the files say that their frames are of several surfaces.

    Args:
        frames: of every split.
        embeds: what the model is told of a frame and may differ: `charge`, `spin`.
        asked: whether the user said that all frames are one surface: then a note.
    """
    labelled = [f for f in frames if is_labelled(f)]
    body = [f for f in labelled if not f.is_isolated_atom]
    heads = [f for f in labelled if f.head or not f.is_isolated_atom]
    found = [
        _split("head", heads, "heads are levels of theory"),
        _levels("config_type", body),
        None if "charge" in embeds else _split("charge", body, _STATE.format("charge")),
        None if "spin" in embeds else _spins(body),
    ]
    for key in THEORY_KEYS:
        having = [f for f in labelled if word_of(f, key) != ABSENT]
        found.append(_split(key, having, "the level of theory is not one"))
    found += [_levels(key, labelled) for key in DOUBTFUL_KEYS]
    found += [_grids(key, body) for key in GRID_KEYS]
    findings = [one for one in found if one is not None]
    if asked:
        for one in findings:
            one.severity, one.fix = "note", f"Taken as one surface, as asked (select={ALL})."
    return findings


def require_one_surface(
    frames: Sequence[Frame], *, embeds: Collection[str] = (), asked: bool = False
) -> None:
    """Frames must be of one surface; the arguments are those of `surface_findings`.

    Raises:
        PestleError: they are of several by the word of their files.
    """
    for one in surface_findings(frames, embeds=embeds, asked=asked):
        if one.severity == "error":
            raise PestleError(one.message, where=f"{one.frames[0]} and others", fix=one.fix)


_STATE = "another total {} is another surface, and this model is not told which"


def _finding(
    key: str, frames: Sequence[Frame], words: Sequence[str], why: str, choice: str = ""
) -> CheckFinding:
    """The error; frames of all but the most common word are named, or of all but the `choice`."""
    counts = Counter(words)
    chosen = choice or counts.most_common(1)[0][0]
    listed = ", ".join(f"{word} ({n})" for word, n in counts.most_common(6))
    more = f" and {len(counts) - 6} more" if len(counts) > 6 else ""
    others = [f for f, w in zip(frames, words, strict=True) if w not in chosen.split(",")]
    told = ", or take a foundation that is told charge and spin (mace_omol)"
    return finding(
        "error",
        "several-surfaces",
        f"the frames have {len(counts)} values of {key}, {listed}{more}: {why}",
        others,
        fix=f"Choose one: --select {key}={shlex.quote(chosen)} (in a run file data.select)"
        + (told if key in ("charge", "spin") else "")
        + f"; or say --select {ALL} if they are one surface nevertheless.",
    )


def _merged(words: Sequence[str]) -> list[str]:
    """The same with one spelling for words that mean the same (0 and 0.0, PBE and pbe)."""
    known: list[str] = []
    merged = []
    for word in words:
        same = next((k for k in known if same_word(k, word)), None)
        if same is None:
            known.append(word)
        merged.append(same or word)
    return merged


def _split(key: str, frames: Sequence[Frame], why: str) -> CheckFinding | None:
    """Frames with several words under a key."""
    words = _merged([word_of(f, key) for f in frames])
    return _finding(key, frames, words, why) if len(set(words)) > 1 else None


def _spins(frames: Sequence[Frame]) -> CheckFinding | None:
    """Several spins of the same atoms and charge. Molecules differ in spin as their electrons do;
    each has one surface then."""
    known: dict[tuple[bytes, str], set[str]] = {}
    guilty: list[Frame] = []
    for frame in frames:
        if (spin := word_of(frame, "spin")) != ABSENT:
            state = (np.sort(frame.numbers).tobytes(), word_of(frame, "charge"))
            known.setdefault(state, set()).add(spin)
    for frame in frames:
        state = (np.sort(frame.numbers).tobytes(), word_of(frame, "charge"))
        if len(set(_merged(sorted(known.get(state, ()))))) > 1 and word_of(frame, "spin") != ABSENT:
            guilty.append(frame)
    return _split("spin", guilty, _STATE.format("spin"))


def level_in(name: str) -> str:
    """Return the level of theory that a name contains; empty if there is none."""
    word = name.lower().replace("ω", "w")
    if (whole := _letters(word)) in LEVELS:
        return whole
    parts = re.split(r"[^a-z0-9]+", word.replace("(t)", "t").replace("d3(bj)", "d3bj"))
    if not LEVELS.intersection(parts):
        return ""
    return "+".join(dict.fromkeys(p for p in parts if p in LEVELS | DISPERSION))


def holds_dispersion(name: str) -> bool:
    """Whether the name of a level of theory includes dispersion."""
    level = level_in(name)
    return level in WITH_DISPERSION or bool(DISPERSION.intersection(level.split("+")))


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _levels(key: str, frames: Sequence[Frame]) -> CheckFinding | None:
    """Frames whose names for a group hold several levels of theory."""
    names = [word_of(f, key) for f in frames]
    levels = {name: level_in(name) for name in dict.fromkeys(names)}
    if all(level or _letters(name) in WHOLE_LEVELS for name, level in levels.items()):
        levels = {name: level or _letters(name) for name, level in levels.items()}
    if len(set(filter(None, levels.values()))) < 2:
        return None
    having = [(f, name) for f, name in zip(frames, names, strict=True) if levels[name]]
    words = _merged([name for _, name in having])
    # Several groups can be of one level: the choice holds them all.
    most = Counter(levels[word] for word in words).most_common(1)[0][0]
    choice = ",".join(word for word in dict.fromkeys(words) if levels[word] == most)
    why = "these are names of levels of theory"
    return _finding(key, [f for f, _ in having], words, why, choice)


def _grids(key: str, frames: Sequence[Frame]) -> CheckFinding | None:
    """Frames of one composition and nearly one cell with several grids of k-points."""
    cells: list[tuple[bytes, np.ndarray, set[str]]] = []
    for frame in frames:
        word = word_of(frame, key)
        if word == ABSENT:
            continue
        composition = np.sort(frame.numbers).tobytes()
        lengths = frame.atoms.cell.lengths()
        for known, shape, words in cells:
            if known == composition and np.allclose(shape, lengths, rtol=SAME_CELL, atol=1e-3):
                words.add(word)
                break
        else:
            cells.append((composition, lengths, {word}))
    if all(len(set(_merged(sorted(words)))) == 1 for *_, words in cells):
        return None
    having = [f for f in frames if word_of(f, key) != ABSENT]
    return _split(key, having, "cells alike have another grid of k-points")
