"""A run as one small file: packed to be shared, unpacked with suspicion.

A recording is a zip archive (LZMA) of the files that judging needs, and of nothing else. It carries no verdict: whoever
opens it judges the ledgers again. The ones that come with kafkaprep lie in `kafkaprep/recordings`, named after the lab
and the choice of settings: `acks-zero.start.kprun`.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kafkaprep.engine.saved_run import SavedRun, open_run
from kafkaprep.errors import UsageError
from kafkaprep.model.history import EventName

SUFFIX = ".kprun"
_WANTED = re.compile(
    r"plan\.json|history\.jsonl|bounds\.json|effects\.sqlite|(sends|handled)-\d{1,3}\.ledger|log\.ledger"
)
_LARGEST_BYTES = 256 * 1024 * 1024  # a million messages take about 130 MB
_MOST_FILES = 600


@dataclass(frozen=True, slots=True)
class Label:
    """What every replay says of itself: when and on what it was recorded."""

    began: str
    kafkaprep: str
    kafka: str
    client: str

    def __str__(self) -> str:
        return f"RECORDED {self.began} on Kafka {self.kafka} with {self.client} (kafkaprep {self.kafkaprep})"

    def as_dict(self) -> dict[str, str]:
        return {"began": self.began, "kafkaprep": self.kafkaprep, "kafka": self.kafka, "client": self.client}


def label(saved: SavedRun) -> Label:
    started = saved.last(EventName.RUN_STARTED)
    cluster, client = started.get("cluster") or {}, started.get("client") or {}
    return Label(
        began=str(started.get("began", "at an unknown time")),
        kafkaprep=str(started.get("kafkaprep", "?")),
        kafka=str(cluster.get("version", "?")),
        client=f"{client.get('name', '?')} {client.get('version', '?')}",
    )


def pack(folder: Path, file: Path) -> int:
    """Write the run in `folder` to `file` and return its size in bytes. Raises UsageError when that is no run."""
    open_run(folder)
    draft = file.with_suffix(".part")
    with zipfile.ZipFile(draft, "w", compression=zipfile.ZIP_LZMA) as archive:
        for path in sorted(folder.iterdir()):
            if _WANTED.fullmatch(path.name):
                # A fixed date: the same run packs to the same bytes.
                entry = zipfile.ZipInfo(path.name, date_time=(2000, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_LZMA
                archive.writestr(entry, path.read_bytes())
    draft.replace(file)
    return file.stat().st_size


@contextmanager
def opened(file: Path) -> Iterator[SavedRun]:
    """The judged run in the recording `file`. Raises UsageError when it is none, or one that is not to be trusted.

    Its files live in a temporary folder until the context ends.
    """
    with TemporaryDirectory(prefix="kafkaprep-replay-") as scratch:
        folder = Path(scratch)
        try:
            with zipfile.ZipFile(file) as archive:
                _unpack(archive, folder)
        except FileNotFoundError:
            raise UsageError(f"There is no recording at {file}.") from None
        except (OSError, zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
            raise UsageError(f"{file} is no recording, or a damaged one ({error}).") from error
        yield open_run(folder)


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    entries = archive.infolist()
    strangers = [entry.filename for entry in entries if not _WANTED.fullmatch(entry.filename)]
    if strangers or len(entries) > _MOST_FILES:
        raise UsageError("The file holds what no recording has.", "It was not made by kafkaprep.")
    left = _LARGEST_BYTES
    for entry in entries:
        # Read in bounds: the size that an archive states proves nothing.
        with archive.open(entry) as packed:
            content = packed.read(left + 1)
        left -= len(content)
        if left < 0:
            raise UsageError("The recording is too large to be one of kafkaprep's.")
        (folder / entry.filename).write_bytes(content)
