"""Files from the network into the cache folder: with progress, checked, and whole or not at all."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

TIMEOUT_S = 30.0


class Remote(NamedTuple):
    """A file that can be downloaded: its name, its size in bytes and the SHA-256 of its content."""

    name: str
    size: int
    sha256: str


def cache_folder(name: str) -> Path:
    """Where the data set ``name`` is kept: ``$NNCORE_HOME/datasets/<name>``, by default under ``~/.cache/nncore``."""
    home = os.environ.get("NNCORE_HOME") or "~/.cache/nncore"
    return Path(home).expanduser() / "datasets" / name


def download(remote: Remote, mirrors: Iterable[str], folder: Path) -> None:
    """Puts ``remote`` into ``folder``, from the first of the ``mirrors`` (URLs of folders) that has it intact.

    The file appears under its name only when whole and verified; an interruption or an error leaves nothing behind.
    Raises ``OSError`` that lists what went wrong with each mirror.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{remote.name}.{os.getpid()}.part"
    failures = []
    try:
        for mirror in mirrors:
            failure = _fetch(mirror + remote.name, remote, part)
            if not failure:
                part.replace(folder / remote.name)
                return
            failures.append(failure)
    finally:
        part.unlink(missing_ok=True)
    raise OSError("\n".join(failures))


def _fetch(url: str, remote: Remote, part: Path) -> str:
    """Downloads ``url`` into ``part`` and says what went wrong, or nothing."""
    import http.client  # slow to import, and seldom needed
    import urllib.request

    digest = hashlib.sha256()
    progress = _Progress(remote)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response, part.open("wb") as file:
            while progress.done <= remote.size and (chunk := response.read(1 << 16)):
                file.write(chunk)
                digest.update(chunk)
                progress.advance(len(chunk))
    except (OSError, http.client.HTTPException) as error:
        return f"{url}: {error}"
    finally:
        progress.close()
    if progress.done != remote.size:
        received = f"{progress.done:,}" if progress.done < remote.size else "more"
        return f"{url}: it must have {remote.size:,} bytes. Received: {received}"
    if digest.hexdigest() != remote.sha256:
        return f"{url}: its SHA-256 must be {remote.sha256}. Received: {digest.hexdigest()}"
    return ""


class _Progress:
    """Counts bytes and shows them on the error stream: in place on a terminal (10 times a second), else in one line."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.done = 0
        self.live = sys.stderr.isatty()
        self.shown_at = -1.0
        if not self.live:
            print(f"Downloading {remote.name} ({_megabytes(remote.size)} MB)", file=sys.stderr)

    def advance(self, count: int) -> None:
        self.done += count
        if self.live and (time.monotonic() - self.shown_at > 0.1 or self.done >= self.remote.size):
            self.shown_at = time.monotonic()
            of = f"{_megabytes(self.done)} of {_megabytes(self.remote.size)} MB"
            print(f"\rDownloading {self.remote.name}: {of}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.live and self.done:
            print(file=sys.stderr)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f}" if count >= 50_000 else f"{count / 1e6:.3f}"
