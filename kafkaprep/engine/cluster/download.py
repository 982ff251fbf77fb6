"""Fetches one jar so that its final name exists only with the right bytes.

jgo knows repositories and coordinates, but it writes straight to the final path, checks a remote SHA-1 and only warns
when that differs. So its download is replaced: the bytes go to a .part file, a cut transfer resumes where it broke,
and the file gets its name only after its size and our SHA-256 agree. Importing this module imports jgo.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from jgo.maven import MavenContext, PythonResolver
from jgo.util import http

from kafkaprep.engine.cluster.install import Jar, sha256_of
from kafkaprep.errors import InstallError, RunStopped

if TYPE_CHECKING:
    from jgo.maven import Artifact

REPOSITORY_VARIABLE = "KAFKAPREP_MAVEN_REPOSITORY"
_TIMEOUT_S = 30
_CHUNK = 64 * 1024
_TRIES = 4  # of a transfer that is cut; it resumes each time
_WRONG_CHECKSUMS = 2


class _WrongBytes(Exception):
    """A whole file arrived, and it is not the one of the lock."""


class _Cut(Exception):
    """The transfer ended early; what came is kept."""


class Download:
    """Fetches jars into `folder` (flat). `way_out` is asked for the text of what to do where nothing can be fetched."""

    def __init__(self, folder: Path, *, way_out: Callable[[], str]) -> None:
        mirror = os.environ.get(REPOSITORY_VARIABLE, "").rstrip("/")
        self._resolver = _GuardedResolver()
        self._way_out = way_out
        self._folder = folder
        self._context = MavenContext(
            resolver=self._resolver,
            repo_cache=folder,
            remote_repos={"mirror": mirror} if mirror else None,
            timeout=_TIMEOUT_S,
        )

    def fetch(self, jar: Jar, have: Callable[[int], None], stop: threading.Event) -> Path:
        """The jar's path, its bytes verified. `have` is told how many of its bytes are here.

        Raises InstallError or RunStopped.
        """
        target = self._folder / jar.file_name
        artifact = (
            self._context.project(jar.group, jar.artifact).at_version(jar.version).artifact(jar.classifier, "jar")
        )
        cut = wrong = 0
        while True:
            self._resolver.aim(jar, target, have, stop)
            try:
                self._resolver.download(artifact)
                return target
            except _WrongBytes as error:
                wrong += 1
                if wrong == _WRONG_CHECKSUMS:
                    raise InstallError(
                        f"{jar.file_name} arrived {wrong} times with the wrong content ({error}).",
                        "Something between here and the repository alters it: try another network. " + self._way_out(),
                    ) from error
            except _Cut as error:
                cut += 1
                if cut == _TRIES:
                    raise InstallError(
                        f"{jar.file_name} could not be fetched: the transfer was cut {cut} times ({error}).",
                        f"What came is kept. {self._way_out()}",
                    ) from error
            except OSError as error:  # the disk, or a requests.RequestException: no connection, no answer
                if isinstance(error, requests.RequestException):
                    raise InstallError(
                        f"{jar.file_name} could not be fetched: the repository does not answer "
                        f"({type(error).__name__}).",
                        self._way_out(),
                    ) from error
                raise InstallError(
                    f"{jar.file_name} could not be written to {self._folder}: {error.strerror}.",
                    "Free some space or set KAFKAPREP_CACHE_DIR to another folder.",
                ) from error


class _GuardedResolver(PythonResolver):
    """jgo's resolver with a download that verifies. `aim` says which jar comes next and where it goes."""

    def aim(self, jar: Jar, target: Path, have: Callable[[int], None], stop: threading.Event) -> None:
        self._jar, self._target, self._have, self._stop = jar, target, have, stop

    def download(self, artifact: Artifact) -> Path:
        (repository,) = artifact.context.remote_repos.values()
        url = f"{repository}/{artifact.component.path_prefix.as_posix()}/{artifact.filename}"
        part = self._target.with_name(f"{self._target.name}.part")
        if not part.exists() or part.stat().st_size < self._jar.size:
            self._transfer(url, part, artifact.context.timeout)
        self._verify(part)
        part.replace(self._target)
        return self._target

    def _transfer(self, url: str, part: Path, timeout_s: int) -> None:
        """Append to `part` what it lacks of the jar."""
        begin = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begin}-"} if begin else {})
        try:
            answer = http.get(url, stream=True, timeout=timeout_s, headers=headers)
        except requests.RequestException:
            raise
        except ValueError as error:  # jgo reads Retry-After as a number, and it may be a date
            raise _Cut("the repository asks to come back later") from error
        with answer as response:
            if response.status_code == 416:
                part.unlink()
                raise _Cut("the repository would not resume it")
            if response.status_code not in (200, 206):
                raise InstallError(
                    f"{self._jar.file_name} could not be fetched: the repository answered {response.status_code}.",
                    f"Try again later. {REPOSITORY_VARIABLE} can name another Maven repository.",
                )
            resumed = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
                f"bytes {begin}-"
            )
            size = begin if resumed else 0
            try:
                with part.open("ab" if resumed else "wb") as file:
                    for chunk in response.iter_content(_CHUNK):
                        if self._stop.is_set():
                            raise RunStopped()
                        file.write(chunk)
                        size += len(chunk)
                        self._have(min(size, self._jar.size))
                        if size > self._jar.size:
                            break
            except requests.RequestException as error:
                raise _Cut(f"after {size} of {self._jar.size} bytes") from error
        if size < self._jar.size:
            raise _Cut(f"after {size} of {self._jar.size} bytes")

    def _verify(self, part: Path) -> None:
        """Raises _WrongBytes, having deleted the file, unless it is the jar of the lock."""
        size, digest = part.stat().st_size, sha256_of(part)
        if (size, digest) != (self._jar.size, self._jar.sha256):
            part.unlink()
            raise _WrongBytes(f"{size} bytes, SHA-256 {digest[:12]}… instead of {self._jar.sha256[:12]}…")
