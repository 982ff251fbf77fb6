"""Has every jar of Kafka on disk, checked by our own SHA-256, or says why not.

kafka.lock names the jars. They are fetched once into a folder of ours, hashed, and recorded with their size and
time; later starts compare those and need neither network nor hashing. The record is written only after every hash
agreed, so a size alone is never trusted. With KAFKA_HOME set, the jars of that distribution are used instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import filelock

from kafkaprep import paths
from kafkaprep.engine.cluster.java import Java, find_java
from kafkaprep.engine.process import MARKER_FILE, remove_if_ours
from kafkaprep.errors import InstallError, RunStopped

_LOCK_FILE = Path(__file__).with_name("kafka.lock")
_MARKER = "kafkaprep kafka"
_RECORD = "verified.json"
_ARCHIVE_BYTES = 250_000_000  # what training may write for a moment; it leaves a third of that
_KEPT_ARCHIVES = 2
_HOME_JAR = re.compile(r"kafka_2\.13-(?P<version>\d+\.\d+\.\d+[^/]*)\.jar")
_OLDEST_MAJOR = 4

# The measurements behind these are in docs/decisions/0002-broker-start.md.
START_FLAGS = (
    "-Xms64m",
    "-Xss512k",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:MetaspaceSize=64m",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
)


@dataclass(frozen=True, slots=True)
class Jar:
    """One row of kafka.lock."""

    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{classifier}.jar"


@dataclass(frozen=True, slots=True)
class Lock:
    """kafka.lock: the Kafka version and every jar it needs, in class path order."""

    kafka_version: str
    jars: tuple[Jar, ...]

    @property
    def total_bytes(self) -> int:
        return sum(jar.size for jar in self.jars)


@dataclass(frozen=True, slots=True)
class InstallProgress:
    """How far an install is. `name` is the jar or the thing at hand; `note` is a line worth keeping on screen."""

    doing: Literal["waiting", "fetching", "verifying", "training"]
    name: str
    done_bytes: int
    total_bytes: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Installation:
    """A Kafka that can be started: `java.path`, `jvm_flags`, `-cp class_path`. `origin` says where it is from."""

    kafka_version: str
    java: Java
    classpath: tuple[Path, ...]
    jvm_flags: tuple[str, ...]
    origin: Literal["downloaded", "KAFKA_HOME"]
    archive: Path | None = None

    @property
    def class_path(self) -> str:
        return os.pathsep.join(str(jar) for jar in self.classpath)

    def as_dict(self) -> dict[str, Any]:
        """This installation in JSON's types, for another process."""
        return {
            **{name: getattr(self, name) for name in ("kafka_version", "jvm_flags", "origin")},
            "java": {**asdict(self.java), "path": str(self.java.path)},
            "classpath": [str(jar) for jar in self.classpath],
            "archive": None if self.archive is None else str(self.archive),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Installation:
        """The installation that `as_dict` described."""
        java = content["java"]
        return cls(
            kafka_version=content["kafka_version"],
            java=Java(**{**java, "path": Path(java["path"])}),
            classpath=tuple(Path(jar) for jar in content["classpath"]),
            jvm_flags=tuple(content["jvm_flags"]),
            origin=content["origin"],
            archive=None if content["archive"] is None else Path(content["archive"]),
        )


@cache
def lock() -> Lock:
    """The rows of kafka.lock."""
    content = json.loads(_LOCK_FILE.read_text(encoding="utf-8"))
    return Lock(content["kafka"], tuple(Jar(**row) for row in content["jars"]))


def needed_bytes() -> int:
    """How many bytes an install would fetch now; 0 if none."""
    if os.environ.get("KAFKA_HOME"):
        return 0
    folder = _jars_folder()
    return sum(jar.size for jar in lock().jars if not _has_size(folder / jar.file_name, jar.size))


def installation() -> Installation | None:
    """What is there already, or None if `install` has to run first. Cheap: nothing is hashed or fetched.

    Raises InstallError when no install could help: no Java, or a KAFKA_HOME that cannot be used.
    """
    home = os.environ.get("KAFKA_HOME")
    if home:
        version, jars = _distribution(Path(home).expanduser())
        return _installation(version, find_java(), jars, "KAFKA_HOME")
    if not _recorded(_jars_folder()):
        return None
    return _installation(lock().kafka_version, find_java(), _locked_jars(), "downloaded")


def install(progress: Callable[[InstallProgress], None], stop: threading.Event, *, train: bool = True) -> Installation:
    """Fetch what is missing, verify everything, train the class archive; returns what can be started.

    Raises InstallError (what went wrong and the way out) or RunStopped. Fetched jars, and the part of one that was
    cut, stay for the next try. Without an archive (it could not be made) Kafka starts, only slower.
    """
    find_java()  # first: without one, nothing needs to be fetched
    try:
        folder = _our_folder()
        with _only_us(folder, progress, stop):
            if not os.environ.get("KAFKA_HOME"):
                _fetch_and_verify(progress, stop)
            there = installation()
            if there is None:
                raise InstallError(
                    f"The files under {folder} changed while they were being checked.", "Run the command again."
                )
            if train and there.archive is None:
                _train(there, progress, stop)
                there = _installation(there.kafka_version, there.java, there.classpath, there.origin)
            return there
    except OSError as error:
        raise InstallError(
            f"Kafka could not be installed: {error.filename or 'a file'}: {error.strerror}.",
            "Free some space, or set KAFKAPREP_CACHE_DIR to a folder you can write to.",
        ) from error


def uninstall() -> bool:
    """Delete our folder of jars and archives, and nothing else; False if there was none of ours."""
    folder = paths.writable("cache") / "kafka"
    return remove_if_ours(folder, _MARKER)


def archive_path(kafka_version: str, java: Java, classpath: tuple[Path, ...]) -> Path:
    """Where the class archive of this Java and these jars is kept; another of either has another name."""
    files = "\n".join(f"{jar}:{_stamp(jar)}" for jar in classpath)
    key = hashlib.sha256(f"{java.path.resolve()}\n{java.build}\n{files}".encode(errors="replace")).hexdigest()
    suffix = "aot" if uses_aot(java) else "jsa"
    return paths.writable("cache") / "kafka" / f"classes-{kafka_version}-java-{java.version}-{key[:12]}.{suffix}"


def uses_aot(java: Java) -> bool:
    """Whether this Java keeps its archive as an AOT cache (JEP 514, Java 25), which needs no base archive."""
    return java.major >= 25


def archive_flags(archive: Path) -> tuple[str, ...]:
    """The JVM flags that use `archive`."""
    return (f"-XX:AOTCache={archive}",) if archive.suffix == ".aot" else (f"-XX:SharedArchiveFile={archive}",)


def _installation(
    version: str, java: Java, jars: tuple[Path, ...], origin: Literal["downloaded", "KAFKA_HOME"]
) -> Installation:
    archive = archive_path(version, java, jars)
    if not archive.is_file():
        return Installation(version, java, jars, START_FLAGS, origin)
    return Installation(version, java, jars, (*START_FLAGS, *archive_flags(archive)), origin, archive)


def _train(there: Installation, progress: Callable[[InstallProgress], None], stop: threading.Event) -> None:
    from kafkaprep.engine.cluster.archive import TrainingFailed, train

    total = lock().total_bytes if there.origin == "downloaded" else 0

    def report(note: str = "") -> None:
        progress(InstallProgress("training", "class archive", total, total, note))

    folder = str(there.classpath[0].parent)
    if not uses_aot(there.java) and (" " in folder or not folder.isascii()):
        # Java writes an archive then, without the classes of those jars, so it saves nothing (measured on 17).
        report(
            f"No class archive: Java {there.java.major} cannot use one under {folder}, whose path is not plain "
            "ASCII without spaces. Kafka works, its start takes about twice as long; Java 25 or a "
            "KAFKAPREP_CACHE_DIR elsewhere cures it."
        )
        return
    report()
    archive = archive_path(there.kafka_version, there.java, there.classpath)
    try:
        train(there, archive, stop)
    except TrainingFailed as error:
        report(f"No class archive ({error}): Kafka works, its start takes about twice as long.")
        return
    # Two Javas may take turns; what is older is of a Java or Kafka that has gone, and tens of megabytes.
    made = sorted(archive.parent.glob("classes-*"), key=lambda path: path.stat().st_mtime_ns)
    for old in made[:-_KEPT_ARCHIVES]:
        old.unlink(missing_ok=True)


def _our_folder() -> Path:
    folder = paths.writable("cache", "kafka")
    marker = folder / MARKER_FILE
    if not marker.exists():
        marker.write_text(f"{_MARKER}\n")
    return folder


def _jars_folder() -> Path:
    return paths.writable("cache") / "kafka" / lock().kafka_version


def _locked_jars() -> tuple[Path, ...]:
    folder = _jars_folder()
    return tuple(folder / jar.file_name for jar in lock().jars)


@contextmanager
def _only_us(folder: Path, progress: Callable[[InstallProgress], None], stop: threading.Event) -> Iterator[None]:
    """Hold the install lock, which lies beside the folder and is never deleted."""
    held = filelock.FileLock(folder.with_name("kafka.install.lock"))
    told = False
    while True:
        try:
            held.acquire(timeout=0.2)
            break
        except filelock.Timeout:
            if stop.is_set():
                raise RunStopped() from None
            if not told:
                progress(InstallProgress("waiting", "another install", 0, 0))
                told = True
    try:
        yield
    finally:
        held.release()


def _fetch_and_verify(progress: Callable[[InstallProgress], None], stop: threading.Event) -> None:
    from kafkaprep.engine.cluster.download import Download

    folder = _jars_folder()
    if _recorded(folder):
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    total = lock().total_bytes
    done = total - needed_bytes()
    progress(InstallProgress("fetching", "Kafka", done, total))
    _check_space(folder, total - done)
    done = 0
    download: Download | None = None
    for jar in lock().jars:
        if stop.is_set():
            raise RunStopped()
        path = folder / jar.file_name
        if path.exists():
            progress(InstallProgress("verifying", jar.file_name, done, total))
        if not (_has_size(path, jar.size) and sha256_of(path) == jar.sha256):
            path.unlink(missing_ok=True)
            if download is None:
                download = Download(folder, way_out=_by_hand)
            before = done
            download.fetch(
                jar,
                lambda have, jar=jar, before=before: progress(  # type: ignore[misc]
                    InstallProgress("fetching", jar.file_name, before + have, total)
                ),
                stop,
            )
        done += jar.size
    _write_record(folder)
    progress(InstallProgress("verifying", "Kafka", total, total))


def _by_hand() -> str:
    """The way out where nothing can be fetched: what to place where."""
    folder = _jars_folder()
    missing = [jar.file_name for jar in lock().jars if not _has_size(folder / jar.file_name, jar.size)]
    return (
        "Run it again with a network, or set KAFKA_HOME to an unpacked Kafka 4.x, or place the "
        f"{len(missing)} missing jars from any Maven repository in {folder} ({_LOCK_FILE} lists them)."
    )


def _check_space(folder: Path, to_fetch: int) -> None:
    needed = to_fetch + _ARCHIVE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InstallError(
            f"Too little space for Kafka: {needed / 1e6:.0f} MB are needed under {folder} and "
            f"{free / 1e6:.0f} MB are free.",
            "Free some, or set KAFKAPREP_CACHE_DIR to a folder on another disk.",
        )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _stamp(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}"


def _record_now(folder: Path) -> dict[str, list[str]]:
    """What the record must say if the files are those that were hashed: per jar, its hash, size and time."""
    return {jar.file_name: [jar.sha256, _stamp(folder / jar.file_name)] for jar in lock().jars}


def _recorded(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / _RECORD).read_text()) == _record_now(folder))
    except (OSError, ValueError):
        return False


def _write_record(folder: Path) -> None:
    draft = folder / f"{_RECORD}.part"
    draft.write_text(json.dumps(_record_now(folder)))
    draft.replace(folder / _RECORD)


def _distribution(home: Path) -> tuple[str, tuple[Path, ...]]:
    """Version and jars of an unpacked Kafka distribution. Raises InstallError if it is not one of 4.x."""
    way_out = "Set KAFKA_HOME to the folder of an unpacked Kafka 4.x, or unset it to let Kafka be fetched."
    jars = tuple(sorted(home.absolute().glob("libs/*.jar")))
    if not jars:
        raise InstallError(f"KAFKA_HOME is {home}, where there is no libs folder with jars.", way_out)
    versions = [match["version"] for jar in jars if (match := _HOME_JAR.fullmatch(jar.name))]
    if len(versions) != 1:
        found = " and ".join(versions) or "no kafka_2.13 jar"
        raise InstallError(f"KAFKA_HOME is {home}, whose libs hold {found}, not one Kafka 4.x.", way_out)
    if int(versions[0].partition(".")[0]) != _OLDEST_MAJOR:
        raise InstallError(f"KAFKA_HOME is {home}, which holds Kafka {versions[0]}.", way_out)
    return versions[0], jars
