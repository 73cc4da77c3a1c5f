"""Download files into the cache.

Files come over HTTPS only, and get their final name only after they were checked.
"""

from __future__ import annotations

import errno
import hashlib
import socket
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pestle.errors import PestleError
from pestle.files import replacing
from pestle.progress import progress

#: Number of bytes that are read at once.
CHUNK = 1 << 20
#: Seconds without data after which a download has failed. On nodes without a network there is often
#: no error, only silence.
TIMEOUT = 60.0


def download(
    url: str,
    path: Path,
    *,
    name: str,
    where: str,
    check: Callable[[Path, str], None],
    fix: str = "",
) -> str:
    """Download a file, complete and checked, or not at all.

    Args:
        url: the address; it and all addresses to which it redirects must be HTTPS.
        path: the file to write.
        name: what is downloaded, for errors.
        where: the setting that asks for it, for errors.
        check: function that is called with the temporary file and its SHA-256 before the file is
            renamed; it raises a `PestleError` if the file must not be kept.
        fix: further advice for a machine without a network, after that to put the file in place.

    Returns:
        SHA-256 of the file, hexadecimal.

    Raises:
        PestleError: the file could not be downloaded or failed the check; the error says which file
            to put where.
    """
    try:
        _require_https(url)
        opened = build_opener(_Secure).open(url, timeout=TIMEOUT)
        with opened as answer, replacing(path) as temporary:
            digest = _copy(answer, temporary, url)
            check(temporary, digest)
    except (OSError, HTTPException, ValueError) as error:
        raise PestleError(
            f"{name} is not cached and could not be downloaded: {_in_words(error, url)}",
            where=where,
            fix=f"On a machine with network fetch {url} and put it here as {path}{fix}.",
        ) from error
    return digest


#: Numbers of errors of the system where no computer of this name is reached.
_NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ETIMEDOUT}


def _in_words(error: Exception, url: str) -> str:
    """Say why a download failed; of a missing network only that there is none."""
    reason = error.reason if isinstance(error, URLError) else error
    unreached = (socket.gaierror, ConnectionError, TimeoutError)
    if isinstance(reason, unreached) or getattr(reason, "errno", None) in _NO_WAY:
        return f"no connection to {urlsplit(url).hostname}"
    return str(error)


class _Secure(HTTPRedirectHandler):
    """This handler follows redirects to HTTPS addresses only."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        _require_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_https(url: str) -> None:
    """Raise an `OSError` unless an address is HTTPS."""
    if not url.lower().startswith("https://"):
        raise OSError(f"{url} is no HTTPS address: anybody on the way could change the file")


def _copy(answer: Any, path: Path, url: str) -> str:
    """Write the answer to a file and return its SHA-256."""
    if "text/html" in (answer.headers.get("Content-Type") or ""):
        raise OSError("a web page came in place of the file")
    announced = int(answer.headers.get("Content-Length") or 0)
    came, digest = 0, hashlib.sha256()
    with path.open("wb") as stream, progress(f"downloading {url}", announced or 1) as bar:
        while chunk := answer.read(CHUNK):
            stream.write(chunk)
            digest.update(chunk)
            came += len(chunk)
            bar.to(came)
    if announced and came != announced:
        raise OSError(f"it broke off after {came:,} of {announced:,} bytes")
    return digest.hexdigest()
