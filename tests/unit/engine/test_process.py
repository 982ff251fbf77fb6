"""Children die with their owner, however it dies; nothing that is not ours is ever signalled or deleted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from ours import LONG_S, is_alive, processes_naming, seconds_until, soon

from kafkaprep.engine import process
from kafkaprep.engine.process import MARKER_FILE, Child, Guardian, Swept, started_at, sweep, sweep_journal
from kafkaprep.errors import ClusterError

SLEEP = "import time; time.sleep(600)"
ECHO = "import sys\nfor line in sys.stdin: print('heard', line.strip(), flush=True)"
WITHIN_S = 2.0  # the promise; the tests allow a busy machine LONG_S and then look at the time that was needed

OWNER = """
import json, signal, sys, time
from pathlib import Path
from kafkaprep.engine.process import Guardian
from kafkaprep.engine.waiting import wait_until
import threading
folder, marker, *doomed = sys.argv[1:]
folder = Path(folder)
guardian = Guardian(marker, folder / "journal.json", log=folder / "log", folders=[Path(each) for each in doomed])
sleep = [sys.executable, "-c", "import time; time.sleep(600)", marker]
children = [guardian.spawn(f"child {n}", sleep, cwd=folder, stderr=folder / "log", pipes=n == 2) for n in range(3)]
children[1].signal(signal.SIGSTOP)
wait_until(lambda: children[1].paused, 60, threading.Event(), "not stopped")
print(json.dumps({"guardian": guardian.pid, "children": [child.pid for child in children]}), flush=True)
time.sleep(600)
"""


class Family:
    """A guardian whose children are Python one-liners that carry its marker."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.marker = uuid.uuid4().hex
        self.journal = folder / "journals" / f"{self.marker}.json"
        self.journal.parent.mkdir(exist_ok=True)
        self.log = folder / "log"
        self.guardian = Guardian(self.marker, self.journal, log=self.log, **options)

    def spawn(self, code: str = SLEEP, *arguments: str, **options: Any) -> Child:
        argv = [sys.executable, "-c", code, self.marker, *arguments]
        return self.guardian.spawn("child", argv, cwd=self.folder, stderr=self.log, **options)

    def listed(self) -> list[int]:
        return [child["pid"] for child in json.loads(self.journal.read_text())["children"]]


@pytest.fixture
def families(short_folder: Path) -> Iterator[Callable[..., Family]]:
    made: list[Family] = []

    def make(**options: Any) -> Family:
        made.append(Family(short_folder, **options))
        return made[-1]

    yield make
    for each in made:
        each.guardian.close()


@pytest.fixture
def family(families: Callable[..., Family]) -> Family:
    return families()


@pytest.fixture
def stranger() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts processes that no guardian knows, each the leader of its own group."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-c", SLEEP, *arguments]
        started.append(subprocess.Popen(argv, start_new_session=True))
        # The command line can be read only a moment after exec() has closed the pipe that Popen waits on.
        soon(lambda: psutil.Process(started[-1].pid).cmdline() == argv, "not started")
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.wait(LONG_S)


def marked_folder(parent: Path, name: str, marker: str) -> Path:
    folder = parent / name
    folder.mkdir()
    (folder / MARKER_FILE).write_text(f"{marker}\n")
    (folder / "data").write_text("data")
    return folder


def ended(pid: int) -> bool:
    """Whether `pid`, which is no child of this process, has gone."""
    return not is_alive(pid)


def stop(pid: int) -> None:
    """SIGSTOP, and wait for it: of two pending signals the lower number is delivered first."""
    os.kill(pid, signal.SIGSTOP)
    soon(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, "not stopped")


# Life of a child


def test_the_journal_names_a_child_before_spawn_returns(family: Family) -> None:
    child = family.spawn()
    assert family.listed() == [child.pid]
    assert child.alive
    assert child.returncode is None
    assert child.wait(0) is None
    assert os.getpgid(child.pid) == child.pid
    assert os.getsid(child.pid) == child.pid
    assert psutil.Process(child.pid).ppid() == family.guardian.pid


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("", 0),
        ("raise SystemExit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_the_exit_code_is_told(families: Callable[..., Family], code: str, expected: int) -> None:
    told: list[Child] = []
    family = families(on_exit=told.append)
    child = family.spawn(code)
    assert child.wait(LONG_S) == expected
    assert child.returncode == expected
    assert not child.alive
    soon(lambda: family.listed() == [], "the journal still lists the child")
    # A child that ended before spawn() returned has told its end already.
    assert told in ([child], [])


def test_an_exit_is_told_to_the_listener(families: Callable[..., Family]) -> None:
    told: list[tuple[Child, int | None]] = []
    family = families(on_exit=lambda child: told.append((child, child.returncode)))
    child = family.spawn()
    child.signal(signal.SIGTERM)
    soon(lambda: bool(told), "no end was told")
    assert told == [(child, -signal.SIGTERM)]


def test_pipes_belong_to_one_child_and_to_us_alone(family: Family) -> None:
    first, second = family.spawn(ECHO, pipes=True), family.spawn(ECHO, pipes=True)
    for child, word in ((first, b"one"), (second, b"two")):
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(word + b"\n")
        assert child.stdout.readline() == b"heard " + word + b"\n"
    assert first.stdin is not None and first.stdout is not None
    first.stdin.close()
    # If the guardian or the second child held the other end, the first would never see the end of its input.
    assert first.wait(LONG_S) == 0
    assert first.stdout.read() == b""
    first.stdout.close()
    assert second.alive
    assert second.stdin is not None and second.stdout is not None
    second.stdin.close()
    assert second.wait(LONG_S) == 0
    second.stdout.close()


def test_without_pipes_input_is_empty_and_output_goes_to_the_files(family: Family) -> None:
    out, errors = family.folder / "out", family.folder / "errors"
    code = "import sys; print(repr(sys.stdin.read())); print('oh', file=sys.stderr)"
    argv = [sys.executable, "-c", code]
    assert family.guardian.spawn("both", argv, cwd=family.folder, stdout=out, stderr=errors).wait(LONG_S) == 0
    assert (out.read_text(), errors.read_text()) == ("''\n", "oh\n")
    assert family.guardian.spawn("joined", argv, cwd=family.folder, stderr=errors).wait(LONG_S) == 0
    assert sorted(errors.read_text().split()) == ["''", "oh", "oh"]


def test_a_request_larger_than_a_socket_buffer_arrives_whole(family: Family) -> None:
    environment = {f"LARGE_{number}": "x" * 100_000 for number in range(8)}
    code = "import os, sys; sys.stdout.write(str(sum(len(v) for k, v in os.environ.items() if k.startswith('LARGE_'))))"
    child = family.spawn(code, pipes=True, env={**os.environ, **environment})
    assert child.stdin is not None and child.stdout is not None
    with child.stdin, child.stdout:
        assert child.stdout.read() == b"800000"
    assert child.wait(LONG_S) == 0


def test_many_threads_may_ask_at_once(family: Family) -> None:
    codes: list[int | None] = []

    def one(number: int) -> None:
        codes.append(family.spawn(f"raise SystemExit({number})").wait(LONG_S))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    assert sorted(str(code) for code in codes) == [str(number) for number in range(8)]


@pytest.mark.parametrize("pipes", [False, True])
def test_what_cannot_start_is_an_error_with_the_reason(family: Family, pipes: bool) -> None:
    with pytest.raises(ClusterError, match=r"thing could not be started: .*No such file"):
        family.guardian.spawn("thing", ["/nowhere/thing"], cwd=family.folder, stderr=family.log, pipes=pipes)
    with pytest.raises(ClusterError, match="could not be started"):
        family.guardian.spawn("thing", ["true"], cwd=family.folder / "absent", stderr=family.log, pipes=pipes)
    assert family.listed() == []
    assert family.spawn("").wait(LONG_S) == 0


def test_signals_reach_the_whole_group(family: Family) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)', sys.argv[1]])"
    child = family.spawn(code)
    soon(lambda: len(processes_naming(family.marker)) == 3, "no grandchild")  # guardian, child, grandchild
    assert child.signal(signal.SIGKILL)
    assert child.wait(LONG_S) == -signal.SIGKILL
    soon(lambda: len(processes_naming(family.marker)) == 1, "the grandchild lives")


def test_a_child_can_be_paused_and_goes_on(family: Family) -> None:
    child = family.spawn()
    assert not child.paused
    assert child.signal(signal.SIGSTOP)
    soon(lambda: child.paused, "not paused")
    assert child.alive
    assert child.signal(signal.SIGCONT)
    soon(lambda: not child.paused, "still paused")
    assert child.signal(signal.SIGKILL)
    assert child.wait(LONG_S) == -signal.SIGKILL
    assert not child.paused
    assert child.signal(signal.SIGTERM) is False


# The owner ends


def test_close_kills_everything_and_may_come_twice(families: Callable[..., Family], short_folder: Path) -> None:
    family = families()
    child, stopped = family.spawn(), family.spawn()
    stop(stopped.pid)
    guardian = family.guardian
    guardian.close()
    assert ended(child.pid) and ended(stopped.pid) and ended(guardian.pid)
    assert (child.returncode, stopped.returncode) == (-signal.SIGKILL, -signal.SIGKILL)
    assert not family.journal.exists()
    guardian.close()
    assert child.signal(signal.SIGKILL) is False
    with pytest.raises(ClusterError):
        family.spawn()


def test_close_closes_our_ends_of_the_input(families: Callable[..., Family]) -> None:
    family = families()
    child = family.spawn(ECHO, pipes=True)
    family.guardian.close()
    assert child.stdin is not None and child.stdin.closed
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.read() == b""


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_owner_takes_its_children_and_only_its_own_folders_along(
    short_folder: Path, signum: signal.Signals
) -> None:
    marker = uuid.uuid4().hex
    ours = marked_folder(short_folder, "ours", marker)
    foreign = marked_folder(short_folder, "foreign", "another nonce")
    plain = short_folder / "plain"
    plain.mkdir()
    target = marked_folder(short_folder, "target", marker)
    link = short_folder / "link"
    link.symlink_to(target)
    linked_marker = short_folder / "linked marker"
    linked_marker.mkdir()
    (linked_marker / MARKER_FILE).symlink_to(target / MARKER_FILE)
    doomed = [str(each) for each in (ours, foreign, plain, link, linked_marker, short_folder / "absent")]
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(short_folder), marker, *doomed], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        told = json.loads(owner.stdout.readline())
        pids = [told["guardian"], *told["children"]]
        assert all(is_alive(pid) for pid in pids)
        owner.send_signal(signum)
        took_s = seconds_until(lambda: all(ended(pid) for pid in pids), "a child outlived its owner")
    assert took_s < WITHIN_S
    assert not processes_naming(marker)
    assert not ours.exists()
    assert not (short_folder / "journal.json").exists()
    assert foreign.exists() and plain.exists() and link.is_symlink() and linked_marker.exists()
    assert (target / "data").read_text() == "data"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_guardian_outlives_a_polite_signal_and_its_children_do_not_inherit_that(
    family: Family, signum: signal.Signals
) -> None:
    before = family.spawn()
    os.kill(family.guardian.pid, signum)
    child = family.spawn()
    assert before.alive
    assert not family.guardian.lost
    ignored = int(process_status(child.pid, "SigIgn"), 16) if sys.platform == "linux" else 0
    assert not ignored & 1 << (signum - 1)
    for each in (before, child):
        assert each.signal(signal.SIGTERM)
        assert each.wait(LONG_S) == -signal.SIGTERM


def process_status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:"))


def test_a_killed_guardian_takes_its_children_along_and_is_noticed(
    families: Callable[..., Family], short_folder: Path
) -> None:
    lost = threading.Event()
    data = short_folder / "data"
    family = families(folders=[data], on_lost=lost.set)
    marked_folder(short_folder, "data", family.marker)
    child, stopped = family.spawn(), family.spawn()
    stop(stopped.pid)
    os.kill(family.guardian.pid, signal.SIGKILL)
    took_s = seconds_until(lambda: ended(child.pid) and ended(stopped.pid), "a child outlived the guardian")
    assert took_s < WITHIN_S
    assert lost.wait(LONG_S)
    assert family.guardian.lost
    assert (child.wait(LONG_S), stopped.wait(LONG_S)) == (-signal.SIGKILL, -signal.SIGKILL)
    assert not family.journal.exists()
    assert not data.exists()
    with pytest.raises(ClusterError, match="was killed"):
        family.spawn()
    assert child.signal(signal.SIGTERM) is False


def test_closing_is_not_losing(families: Callable[..., Family]) -> None:
    lost = threading.Event()
    families(on_lost=lost.set).guardian.close()
    assert not lost.is_set()


# The next start sweeps


def write_journal(
    path: Path, marker: str, children: list[tuple[int, float]], *, guardian: int = 0, folders: list[Path] | None = None
) -> Path:
    """A journal whose guardian, unless `guardian` lives, has gone."""
    record = {
        "marker": marker,
        "guardian": {"pid": guardian or 2**22 + 1, "created": started_at(guardian) if guardian else 1.0},
        "children": [{"pid": pid, "name": "child", "created": created} for pid, created in children],
        "folders": [str(folder) for folder in folders or []],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record))
    return path


def test_a_sweep_kills_where_pid_start_time_and_marker_agree_and_nothing_else(
    stranger: Callable[..., subprocess.Popen[bytes]], short_folder: Path
) -> None:
    marker = uuid.uuid4().hex
    left = stranger(f"-Dkafkaprep.cluster={marker}")
    younger = stranger(f"-Dkafkaprep.cluster={marker}")
    unmarked = stranger(f"-Dkafkaprep.cluster={uuid.uuid4().hex}")
    unlisted = stranger(f"-Dkafkaprep.cluster={marker}")
    ours = marked_folder(short_folder, "ours", marker)
    journal = write_journal(
        short_folder / "journals" / "one.json",
        marker,
        [
            (left.pid, started_at(left.pid)),
            (younger.pid, started_at(younger.pid) - 60),
            (unmarked.pid, started_at(unmarked.pid)),
            (2**22 + 2, 1.0),
        ],
        folders=[ours],
    )
    assert sweep(journal.parent) == Swept(processes=1, folders=1)
    assert ended(left.pid)
    assert younger.poll() is None
    assert unmarked.poll() is None
    assert unlisted.poll() is None
    assert not ours.exists()
    assert not journal.exists()
    assert sweep(journal.parent) == Swept(0, 0)


def test_a_sweep_kills_a_stopped_process_and_its_group(
    stranger: Callable[..., subprocess.Popen[bytes]], short_folder: Path
) -> None:
    marker = uuid.uuid4().hex
    stopped = stranger(marker)
    stop(stopped.pid)
    write_journal(short_folder / "one.json", marker, [(stopped.pid, started_at(stopped.pid))])
    assert sweep(short_folder).processes == 1
    assert ended(stopped.pid)


def test_what_a_living_guardian_looks_after_is_left_alone(family: Family) -> None:
    child = family.spawn()
    assert sweep(family.journal.parent) == Swept(0, 0)
    assert child.alive and is_alive(child.pid)
    assert family.journal.exists()


@pytest.mark.parametrize("how", ["torn", "empty", "no list", "no object", "no numbers"])
def test_a_damaged_journal_signals_nobody(
    stranger: Callable[..., subprocess.Popen[bytes]], short_folder: Path, how: str
) -> None:
    marker = uuid.uuid4().hex
    spared = stranger(marker)
    folder = marked_folder(short_folder, "ours", marker)
    journal = write_journal(short_folder / "one.json", marker, [(spared.pid, started_at(spared.pid))], folders=[folder])
    text = journal.read_text()
    damaged = {
        "torn": text[: text.index('"folders"')],
        "empty": "",
        "no list": json.dumps({**json.loads(text), "children": None}),
        "no object": "[]",
        "no numbers": json.dumps({**json.loads(text), "guardian": {"pid": "x", "created": None}}),
    }[how]
    journal.write_text(damaged)
    assert sweep(short_folder) == Swept(0, 0)
    assert spared.poll() is None
    assert folder.exists()


def test_there_may_be_no_journal(short_folder: Path) -> None:
    assert sweep_journal(short_folder / "absent.json") == Swept(0, 0)
    assert sweep(short_folder / "absent") == Swept(0, 0)


# Without a guardian


def test_run_briefly_returns_what_was_said(short_folder: Path) -> None:
    code = "import os, sys; print(os.getcwd()); print('oh\\xff', file=sys.stderr); sys.exit(3)"
    done = process.run_briefly([sys.executable, "-c", code], timeout_s=LONG_S, cwd=short_folder)
    assert (done.returncode, done.stdout) == (3, f"{short_folder}\n")
    assert done.stderr.startswith("oh")


def test_run_briefly_ends_what_takes_too_long() -> None:
    with pytest.raises(ClusterError, match=r"did not finish within 0\.2 s"):
        process.run_briefly([sys.executable, "-c", SLEEP], timeout_s=0.2)
    with pytest.raises(ClusterError, match="could not be started: No such file"):
        process.run_briefly(["/nowhere/java"], timeout_s=1)


def test_a_detached_process_has_its_own_session_and_can_be_asked_to_end(short_folder: Path) -> None:
    log = short_folder / "log"
    code = "import time; print('hello', flush=True); time.sleep(600)"
    pid = process.start_detached([sys.executable, "-c", code], cwd=short_folder, log=log)
    created = started_at(pid)
    assert os.getsid(pid) == pid
    assert process.is_running(pid, created)
    assert not process.is_running(pid, created - 60)
    soon(lambda: log.read_text() == "hello\n", "nothing was said")
    assert process.ask_to_end(pid, created - 60, 0.1)  # another process: it counts as gone, and is not signalled
    assert process.is_running(pid, created)
    assert process.ask_to_end(pid, created, LONG_S)
    soon(lambda: not process.is_running(pid, created), "a zombie counts as running")


def test_a_process_that_ignores_sigterm_is_reported_as_living(
    stranger: Callable[..., subprocess.Popen[bytes]], short_folder: Path
) -> None:
    stopped = stranger()
    stop(stopped.pid)
    assert process.ask_to_end(stopped.pid, started_at(stopped.pid), 0.2) is False


def test_children_do_not_inherit_what_would_change_kafka(monkeypatch: pytest.MonkeyPatch, family: Family) -> None:
    dangerous = ("KAFKA_OPTS", "KAFKA_HEAP_OPTS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH", "LOG_DIR")
    for name in dangerous:
        monkeypatch.setenv(name, "-javaagent:evil.jar")
    monkeypatch.setenv("HARMLESS", "kept")
    assert set(dangerous) <= set(process.scrubbed_variables())
    code = "import json, os, sys; sys.stdout.write(json.dumps(dict(os.environ)))"
    child = family.spawn(code, pipes=True)
    assert child.stdin is not None and child.stdout is not None
    with child.stdin, child.stdout:
        seen = json.loads(child.stdout.read())
    assert child.wait(LONG_S) == 0
    assert not set(dangerous) & seen.keys()
    assert seen["HARMLESS"] == "kept"


@pytest.mark.parametrize("name", ["folder", "marker"])
def test_only_a_real_folder_with_our_marker_is_deleted(short_folder: Path, name: str) -> None:
    target = marked_folder(short_folder, "target", "nonce")
    assert not process.remove_if_ours(target, "another")
    assert not process.remove_if_ours(short_folder / "absent", "nonce")
    link = short_folder / "link"
    if name == "folder":
        link.symlink_to(target)
    else:
        link.mkdir()
        (link / MARKER_FILE).symlink_to(target / MARKER_FILE)
    assert not process.remove_if_ours(link, "nonce")
    assert link.exists()
    outside = marked_folder(short_folder, "outside", "other")
    (target / "inner link").symlink_to(outside)
    assert process.remove_if_ours(target, "nonce")
    assert not target.exists()
    assert (outside / "data").exists()
