"""A web for tests: what addresses give, below Pestle's own opener and above any socket."""

from __future__ import annotations

import io
import urllib.request
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.error import URLError
from urllib.response import addinfourl

import pytest


@dataclass
class Page:
    """What an address gives.

    Attributes:
        content: of the answer.
        announced: the length that it states; by default the right one.
        to: address that it leads on to.
        kind: its Content-Type.
    """

    content: bytes = b""
    announced: int | None = None
    to: str = ""
    kind: str = "application/octet-stream"


@dataclass
class Web:
    """The addresses there are; all others are without network."""

    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def open(self, _handler: Any, request: urllib.request.Request) -> Any:
        url = request.full_url
        self.asked.append(url)
        if url not in self.pages:
            raise URLError("no network")
        page, headers = self.pages[url], Message()
        headers["Content-Type"] = page.kind
        length = len(page.content) if page.announced is None else page.announced
        headers["Content-Length"] = str(length)
        if page.to:
            headers["Location"] = page.to
        answer = addinfourl(io.BytesIO(page.content), headers, url, 302 if page.to else 200)
        answer.msg = "Found" if page.to else "OK"
        return answer


def serve(monkeypatch: pytest.MonkeyPatch) -> Web:
    """An empty web instead of the real one."""
    web = Web()
    for handler, name in (("HTTPSHandler", "https_open"), ("HTTPHandler", "http_open")):
        opener = getattr(urllib.request, handler)
        monkeypatch.setattr(opener, name, lambda self, request: web.open(self, request))
    return web
