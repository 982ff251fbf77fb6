"""Only engine/process.py starts or signals processes; the rest asks it to."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import module_list
import pytest

ALLOWED = "engine/process.py"
GUARDIAN = "engine/cluster/guardian.py"
STARTING_MODULES = {"multiprocessing", "pty", "subprocess"}
FORBIDDEN_ATTRIBUTES = {
    "asyncio": {"create_subprocess_exec", "create_subprocess_shell"},
    "os": {
        *("abort", "fork", "forkpty", "kill", "killpg", "popen", "posix_spawn", "posix_spawnp", "startfile", "system"),
        *("execl", "execle", "execlp", "execlpe", "execv", "execve", "execvp", "execvpe"),
        *("spawnl", "spawnle", "spawnlp", "spawnlpe", "spawnv", "spawnve", "spawnvp", "spawnvpe"),
    },
    "psutil": {"Popen", "Process", "process_iter"},
    "signal": {"pidfd_send_signal", "pthread_kill", "raise_signal"},
}
# What process.py offers to its guardian alone: everything else goes through a Guardian and its children.
GUARDIANS_OWN = {"die_with_parent", "reap", "signal_group", "start_group"}

MODULES = {module.relative_to(module_list.PACKAGE).as_posix(): module for module in module_list.modules()}


def running_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node of the module that runs: what stands under `if TYPE_CHECKING` does not."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from running_nodes(child)


def violations(source: str) -> list[str]:
    found: list[str] = []
    for node in running_nodes(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                imported = [(alias.name.partition(".")[0], "") for alias in names]
            case ast.ImportFrom(module=str(module), names=names, level=0):
                imported = [(module.partition(".")[0], alias.name) for alias in names]
            case ast.Attribute(value=ast.Name(id=owner), attr=attribute):
                imported = [(owner, attribute)] if attribute in FORBIDDEN_ATTRIBUTES.get(owner, set()) else []
            case _:
                continue
        for module, name in imported:
            if module in STARTING_MODULES or name in FORBIDDEN_ATTRIBUTES.get(module, set()):
                found.append(f"{module}.{name}".rstrip("."))
    return found


@pytest.mark.parametrize("name", sorted(set(MODULES) - {ALLOWED}))
def test_no_other_module_starts_or_signals_a_process(name: str) -> None:
    assert violations(MODULES[name].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", sorted(set(MODULES) - {ALLOWED, GUARDIAN}))
def test_only_the_guardian_has_the_guardians_means(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported & GUARDIANS_OWN == set()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import subprocess", ["subprocess"]),
        ("def f():\n    from subprocess import run", ["subprocess.run"]),
        ("import os\nos.killpg(1, 9)", ["os.killpg"]),
        ("from os import fork", ["os.fork"]),
        ("import psutil\npsutil.Process(1).kill()", ["psutil.Process"]),
        ("if TYPE_CHECKING:\n    from subprocess import Popen", []),
        ("import signal\nsignal.signal(signal.SIGTERM, print)", []),
    ],
)
def test_the_scan_sees_what_it_looks_for(source: str, expected: list[str]) -> None:
    assert violations(source) == expected


def test_the_scan_would_see_process_py() -> None:
    assert violations(Path(MODULES[ALLOWED]).read_text(encoding="utf-8"))
