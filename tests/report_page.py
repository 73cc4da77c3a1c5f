"""A page of the report read back: rows, texts and plots by section."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any


class Page(HTMLParser):
    """Rows of cells by section, text without scripts, and every element's attributes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.section, self.group, self.table = "head", "", ""
        self.rows: list[dict[str, Any]] = []
        self.texts: dict[str, list[str]] = {}
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.data: dict[str, Any] = {}
        self._raw = ""
        self._plot = ""
        self._cell: dict[str, Any] | None = None
        self.feed(text)

    def drawn(self, of: str) -> list[Any]:
        """The plots whose names begin so, in the order of the page."""
        return [plot for name, plot in self.data.items() if name.startswith(f"{of}-")]

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        found = {k: v or "" for k, v in attrs}
        self.tags.append((tag, found))
        self._raw = tag if tag in ("script", "style") else self._raw
        self._plot = found.get("data-plot", "") if tag == "script" else self._plot
        if tag in ("section", "header"):
            self.section = found.get("id", "head")
        if tag == "table":
            self.table = found.get("data-set") or found.get("id", "")
        if tag == "tbody":
            self.group = found.get("data-group", "")
        if tag == "tr":
            place = {"section": self.section, "table": self.table, "group": self.group}
            self.rows.append({**place, "model": found.get("data-model"), "cells": []})
        if tag in ("td", "th"):
            sort = found.get("data-sort")
            self._cell = {"text": "", "class": found.get("class", "").split(), "sort": sort}
            self.rows[-1]["cells"].append(self._cell)

    def handle_endtag(self, tag: str) -> None:
        self._raw = "" if tag == self._raw else self._raw
        if tag in ("td", "th") and self._cell is not None:
            self._cell["text"] = " ".join(self._cell["text"].split())
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._raw:
            if self._plot and data.strip():
                self.data[self._plot] = json.loads(data)
            return
        self.texts.setdefault(self.section, []).append(data)
        if self._cell is not None:
            self._cell["text"] += data

    def text(self, section: str | None = None) -> str:
        parts = (
            self.texts.get(section, [])
            if section
            else [t for texts in self.texts.values() for t in texts]
        )
        return " ".join(" ".join(parts).split())

    def cells(self, table: str, first: str) -> list[str]:
        """Texts of the row of a table that begins so."""
        for row in self.rows:
            if row["table"] == table and row["cells"][0]["text"].startswith(first):
                return [c["text"] for c in row["cells"]]
        raise AssertionError(f"no row {first!r} in {table!r}")
