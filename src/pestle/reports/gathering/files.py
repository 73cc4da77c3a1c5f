"""The table as CSV, for data frames and spreadsheets, and as LaTeX, for papers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from pestle import __version__
from pestle.records.gathered import Column, Gathered, Row
from pestle.reports.gathering.shown import Block, blocks_of, text_of
from pestle.wording import setting_value

#: Beginnings of these files; only a file that begins so is replaced without a question.
CSV_BEGINS, LATEX_BEGINS = "row,kind,runs,seeds,", "% Written by Pestle"


def csv_of(gathered: Gathered) -> str:
    """Return the table as CSV with all digits: mean, standard deviation and number of values.

    The headings contain the units: `test.all.forces_rmse (meV/Å)`, followed by `… sd` and `… n`.

    Args:
        gathered: the table.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    sets = dict.fromkeys(column.frames for column in gathered.columns if column.frames)
    head = ["row", "kind", "runs", "seeds", "n_runs"]
    head += [f"{name} {what}" for name in sets for what in ("frames", "n_frames")]
    for column in gathered.columns:
        unit = f" ({column.unit})" if column.unit else ""
        head += [f"{column.key}{unit}"]
        head += [f"{column.key} sd{unit}", f"{column.key} n"] * (column.kind != "text")
    writer.writerow(head)
    for row in gathered.rows:
        runs = () if row.kind == "foundation" else row.runs
        line: list[object] = [row.name, row.kind]
        line += [";".join(run.path for run in runs), ";".join(map(str, row.seeds)), len(runs)]
        for name in sets:
            judged = row.judged_on.get(name)
            line += [judged.frames or "", judged.n_frames] if judged is not None else ["", ""]
        for column in gathered.columns:
            line += _plain(row, column)
        writer.writerow(["" if value is None else value for value in line])
    return out.getvalue()


def _plain(row: Row, column: Column) -> list[object]:
    """Return mean, standard deviation and number of values of a cell, or its text."""
    if column.about == "settings":
        value = row.settings.get(column.key)
        return [setting_value(value) if value is not None else ""]
    cell = row.cells.get(column.key)
    if column.kind == "text":
        return [cell.text if cell is not None else ""]
    if cell is None or cell.n == 0:
        return [cell.level if cell is not None else None, None, None]
    return [cell.mean, cell.deviation, cell.n]


#: Characters that are commands in LaTeX, or that its usual fonts do not have → LaTeX.
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "Å": r"\AA{}",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "±": r"$\pm$",
    "−": r"$-$",
    "→": r"$\rightarrow$",
    "–": "--",
    "—": "---",
    "’": "'",
    "°": r"$^{\circ}$",
    "µ": r"$\mu$",
    "σ": r"$\sigma$",
    "Δ": r"$\Delta$",
}
_SUPERSCRIPTS = dict(zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))


def escaped(text: str) -> str:
    """Return LaTeX that prints a text as it is; line breaks become spaces.

    Args:
        text: any text.
    """
    found = "".join(_ESCAPES.get(letter, letter) for letter in " ".join(text.split()))
    found = re.sub(f"[{''.join(_SUPERSCRIPTS)}]+", lambda m: f"$^{{{_digits(m[0])}}}$", found)
    return re.sub(f"[{''.join(_SUBSCRIPTS)}]+", lambda m: f"$_{{{_digits(m[0])}}}$", found)


def _digits(raised: str) -> str:
    """Return superscripts and subscripts as plain digits."""
    return "".join((_SUPERSCRIPTS | _SUBSCRIPTS)[letter] for letter in raised)


#: A number in a table, also with its spread: `1,235`, `−0.5`, `40.75 ± 0.15`, `3.10×10⁻⁵`.
_NUMBER = re.compile(r"\(?−?\d[\d,]*(\.\d+)?( ± [\d,]+(\.\d+)?)?\)?(×10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?")


def _figure(text: str, *, best: bool) -> str:
    """Return a cell as LaTeX; numbers are in math mode, for correct minus signs and ±."""
    found = _NUMBER.match(text)
    if found is None or text[found.end() :][:1] not in ("", " "):  # a name that begins so
        return escaped(text)
    numeric, rest = text[: found.end()], text[found.end() :]
    numeric, _, power = numeric.partition("×10")
    inside = numeric.replace("−", "-").replace(",", "{,}").replace("±", r"\pm")
    if power:
        inside += rf" \times 10^{{{_digits(power)}}}"
    shown = rf"$\mathbf{{{inside}}}$" if best else f"${inside}$"
    return f"{shown} {escaped(rest)}" if rest else shown


def latex_of(gathered: Gathered) -> str:
    """Return the table as LaTeX, one table for each block; needs `\\usepackage{booktabs}`.

    Args:
        gathered: the table.
    """
    parts = [
        f"{LATEX_BEGINS} {__version__}. In the preamble: \\usepackage{{booktabs}}",
        *(_table(block, gathered.notes) for block in blocks_of(gathered) if block.columns),
    ]
    return "\n".join(parts)


def _table(block: Block, notes: Sequence[str]) -> str:
    """Return one block as a LaTeX table."""
    text = ["l" if column.kind == "text" else "r" for column in block.columns]
    form = "".join(["l", *("r" for _ in block.lead), *text])
    heads = ["", *map(escaped, (*block.lead, *block.headings))]
    units = ["" for _ in heads[: -len(block.columns)]]
    units += [f"({escaped(column.unit)})" if column.unit else "" for column in block.columns]
    body = []
    for k, row in enumerate(block.rows):
        cells = [escaped(row.name)]
        cells += [_figure(texts[k], best=False) for texts in block.lead.values()]
        for column in block.columns:
            cell = row.cells.get(column.key)
            cells.append(_figure(text_of(row, column), best=cell is not None and cell.best))
        body.append("    " + " & ".join(cells) + r" \\")
    of_seeds = [note for note in notes if note.startswith(("±", "Best"))]
    said = " ".join(of_seeds) if block.key.startswith("errors") else ""
    caption = escaped(f"{block.whole_title}. {said}".strip())
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{caption}}}",
            rf"  \label{{tab:{re.sub(r'[^a-zA-Z0-9-]', '-', block.key)}}}",
            rf"  \begin{{tabular}}{{{form}}}",
            r"    \toprule",
            "    " + " & ".join(heads) + r" \\",
            *(["    " + " & ".join(units) + r" \\"] if any(units) else []),
            r"    \midrule",
            *body,
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )
