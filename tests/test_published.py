"""Models by name: what is downloaded, what is found in the cache, and what is refused."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import hostile
from foundation_factory import module
from pestle.errors import PestleError
from pestle.foundations import catalogue, load_foundation, trusted
from web import Page, Web, serve

pytestmark = pytest.mark.usefixtures("nothing_ran")

#: A pickle whose hash the catalogue does not state.
NAME = "medium-omat-0"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Web:
    return serve(monkeypatch)


def content(tmp_path: Path) -> bytes:
    """A model file; every call gives one with other bytes."""
    torch.save(module("density", dtype=torch.float32), tmp_path / "served.model")
    return (tmp_path / "served.model").read_bytes()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(name: str, data: bytes) -> Path:
    """A file that somebody has put into the cache."""
    path = catalogue.entry(name).cache_file
    assert path is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def known(monkeypatch: pytest.MonkeyPatch, digest: str) -> catalogue.Entry:
    """The entry, as if the catalogue stated its hash."""
    entry = replace(catalogue.entry(NAME), sha256=digest)
    monkeypatch.setitem(catalogue._BY_NAME, NAME, entry)
    return entry


def test_a_download_is_taken_on_first_use_and_remembered(web, tmp_path, capsys, sealed):
    entry, data = catalogue.entry(NAME), content(tmp_path)
    web.pages[entry.url] = Page(data)
    first = load_foundation(NAME)
    said = " ".join(capsys.readouterr().err.split())
    assert f"SHA-256 {sha(data)}" in said and entry.url in said and "first use" in said
    assert first.provenance.licence == catalogue.ASL
    assert first.level_of_theory == entry.level_of_theory
    sealed()
    again = load_foundation(NAME)
    assert again.fingerprint() == first.fingerprint() and again.provenance == first.provenance
    assert web.asked == [entry.url] and trusted.hash_of(NAME) == sha(data)
    assert [p.name for p in entry.cache_file.parent.iterdir()] == [entry.cache_file.name]


@pytest.mark.parametrize("trust", [False, True])
def test_a_file_that_takes_the_place_of_a_remembered_one_is_refused(web, tmp_path, marker, trust):
    entry, data = catalogue.entry(NAME), content(tmp_path)
    web.pages[entry.url] = Page(data)
    load_foundation(NAME)
    path = put(NAME, hostile.write_model(tmp_path / "x.model", marker).read_bytes())
    with pytest.raises(PestleError, match="Delete the file") as error:
        load_foundation(NAME, trust=trust)
    assert sha(data) in error.value.line and str(path) in error.value.line
    path.unlink()
    load_foundation(NAME)
    assert web.asked == [entry.url] * 2


def test_another_file_at_the_address_is_not_kept(web, tmp_path):
    entry = catalogue.entry(NAME)
    web.pages[entry.url] = Page(content(tmp_path))
    load_foundation(NAME)
    entry.cache_file.unlink()
    web.pages[entry.url] = Page(content(tmp_path))
    folder = trusted.store() / trusted.hash_of(NAME)
    for trust in (False, True):
        with pytest.raises(PestleError, match=f"delete {folder}"):
            load_foundation(NAME, trust=trust)
        assert not list(entry.cache_file.parent.glob("*"))
    for part in folder.iterdir():
        part.unlink()
    load_foundation(NAME)


def test_two_at_once_download_once(web, tmp_path, capfd):
    """The second waits until the first has remembered the hash, and loads what came."""
    entry, data, asked = catalogue.entry(NAME), content(tmp_path), tmp_path / "asked"
    web.pages[entry.url] = Page(data)
    answer = web.open

    def slowly(handler, request):
        with asked.open("a") as stream:
            stream.write("once\n")
        time.sleep(1)
        return answer(handler, request)

    web.open = slowly
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                load_foundation(NAME)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0, 0] and asked.read_text() == "once\n"
    said = " ".join(capfd.readouterr().err.split())
    assert said.count(f"another command downloads {NAME}") == 1
    assert [p.name for p in entry.cache_file.parent.iterdir()] == [entry.cache_file.name]


def test_a_file_found_in_the_cache_needs_trust(web, tmp_path, marker, sealed):
    path = put(NAME, hostile.write_model(tmp_path / "x.model", marker).read_bytes())
    with pytest.raises(PestleError, match=r"Delete the file.*say --trust") as error:
        load_foundation(NAME)
    assert str(path) in error.value.line and sha(path.read_bytes()) in error.value.line
    put(NAME, content(tmp_path))
    with pytest.raises(PestleError, match="say --trust"):
        load_foundation(NAME)
    first = load_foundation(NAME, trust=True)
    sealed()
    assert load_foundation(NAME).fingerprint() == first.fingerprint()
    assert first.provenance.licence == catalogue.ASL and web.asked == []


def test_a_hash_in_the_catalogue_needs_no_trust(web, monkeypatch, tmp_path, marker):
    data = content(tmp_path)
    entry = known(monkeypatch, sha(data))
    put(NAME, data)
    load_foundation(NAME)
    path = put(NAME, hostile.write_model(tmp_path / "x.model", marker).read_bytes())
    for trust in (False, True):
        with pytest.raises(PestleError, match=f"that of {NAME} is {sha(data)}"):
            load_foundation(NAME, trust=trust)
    path.unlink()
    web.pages[entry.url] = Page(hostile.write_model(tmp_path / "x.model", marker).read_bytes())
    with pytest.raises(PestleError, match="it was not kept"):
        load_foundation(NAME, trust=True)
    assert not entry.cached


def test_hashes_of_the_catalogue_are_hashes():
    stated = [e for e in catalogue.ENTRIES if e.sha256]
    assert {e.name for e in stated} == set(catalogue._SHA256) and len(stated) == 17
    assert all(len(e.sha256) == 64 and set(e.sha256) <= set("0123456789abcdef") for e in stated)


def test_addresses_lead_on_to_https_only(web, tmp_path, marker):
    entry = catalogue.entry(NAME)
    bad = "http://example.org/x.model"
    web.pages[bad] = Page(hostile.write_model(tmp_path / "x.model", marker).read_bytes())
    web.pages[entry.url] = Page(to=bad)
    with pytest.raises(PestleError, match="no HTTPS address"):
        load_foundation(NAME)
    assert web.asked == [entry.url] and not entry.cached
    good = "https://example.org/y.model"
    web.pages |= {entry.url: Page(to=good), good: Page(content(tmp_path))}
    load_foundation(NAME)
    assert web.asked[1:] == [entry.url, good]


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (Page(b"PK", announced=3), "broke off after 2 of 3 bytes"),
        (Page(b"<html>", kind="text/html; charset=utf-8"), "a web page came"),
    ],
)
def test_half_a_file_and_a_web_page_are_not_kept(web, page, why):
    entry = catalogue.entry(NAME)
    web.pages[entry.url] = page
    with pytest.raises(PestleError, match=why) as error:
        load_foundation(NAME)
    assert entry.url in error.value.line and "say --trust" in error.value.line
    assert not list(entry.cache_file.parent.glob("*"))


def test_a_download_that_is_no_model_is_not_remembered(web):
    entry = catalogue.entry(NAME)
    web.pages[entry.url] = Page(b"no zip")
    with pytest.raises(PestleError, match="Delete the file"):
        load_foundation(NAME)
    assert trusted.hash_of(NAME) == ""


@pytest.mark.data
def test_the_published_file_at_hand_has_the_hash_of_the_catalogue(reference_data):
    data = (reference_data / "foundations" / "nequix-mp-1.nqx").read_bytes()
    assert sha(data) == catalogue.entry("nequix-mp-1").sha256
    put("nequix-mp-1", data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(PestleError, match="that of nequix-mp-1"):
        load_foundation("nequix-mp-1")
