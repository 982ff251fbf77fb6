"""Where everything lives: the only module that knows folders.

Content and labs are found beside the package in a checkout and inside it in a wheel. What the program writes
goes to the platform's own folders, each overridable by one environment variable (DIRECTORIES).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from kafkaprep.errors import KafkaprepError

_PACKAGE = Path(__file__).resolve().parent

# name -> (environment variable, what it holds)
DIRECTORIES = {
    "cache": ("KAFKAPREP_CACHE_DIR", "Kafka's jars and the class archive: safe to delete"),
    "state": ("KAFKAPREP_STATE_DIR", "the running cluster, its logs and journals"),
    "data": ("KAFKAPREP_DATA_DIR", "saved runs and your progress"),
}


@dataclass(frozen=True, slots=True)
class Directory:
    """One folder the program writes to, for `doctor`."""

    name: str
    variable: str
    holds: str
    path: Path


def _located(name: str) -> Path:
    variable, _ = DIRECTORIES[name]
    override = os.environ.get(variable)
    if override:
        return Path(override).expanduser().absolute()
    platform = platformdirs.PlatformDirs("kafkaprep", appauthor=False)
    return {
        "cache": platform.user_cache_path,
        "state": platform.user_state_path,
        "data": platform.user_data_path,
    }[name]


def directories() -> list[Directory]:
    """Every folder with its variable and purpose; none is created."""
    return [Directory(name, variable, holds, _located(name)) for name, (variable, holds) in DIRECTORIES.items()]


def writable(name: str, *parts: str) -> Path:
    """The folder `name`/`parts`, created with mode 0700.

    Raises KafkaprepError naming the environment variable when it cannot be created: there is no silent
    fall-back to a temporary folder.
    """
    path = _located(name).joinpath(*parts)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        variable, holds = DIRECTORIES[name]
        raise KafkaprepError(
            f"Cannot create {path} ({error.strerror}), the folder for {holds}.",
            f"Set {variable} to a folder you can write to.",
        ) from error
    return path


def _shipped(name: str) -> Path:
    in_wheel = _PACKAGE / "_data" / name
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / name


def labs() -> Path:
    """The folder of lab files."""
    return _shipped("labs")


def content() -> Path:
    """The folder of lessons, questions, quizzes and the settings table."""
    return _shipped("content")


def recordings() -> Path:
    """The folder of recorded runs that come with the package."""
    return _PACKAGE / "recordings"


def runs() -> Path:
    """The folder of saved runs, created on demand."""
    return writable("data", "runs")
