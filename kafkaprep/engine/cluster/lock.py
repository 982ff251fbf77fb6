"""Makes kafka.lock and the bootstrap checkpoint anew: a developer's command.

    python -m kafkaprep.engine.cluster.lock

jgo resolves the pinned Kafka and the log4j that Kafka's own distribution adds, everything is downloaded and hashed.
Where Maven is installed it resolves and downloads the same independently, and any difference is an error: jgo passes
over a POM that it cannot read, and its children would silently be missing.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import escape

from kafkaprep.engine.cluster.install import START_FLAGS, Jar, sha256_of
from kafkaprep.engine.cluster.java import find_java
from kafkaprep.engine.cluster.storage import SHIPPED_FOR, format_bootstrap
from kafkaprep.engine.process import run_briefly
from kafkaprep.errors import InstallError, KafkaprepError

KAFKA_VERSION = SHIPPED_FOR
LOG4J_VERSION = "2.25.5"  # the one in Kafka's distribution; no POM of Kafka names it
COORDINATES = (
    ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
    ("org.apache.logging.log4j", "log4j-api", LOG4J_VERSION),
    ("org.apache.logging.log4j", "log4j-core", LOG4J_VERSION),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J_VERSION),
)
_RUNTIME = (None, "compile", "runtime")
_MAVEN_TIMEOUT_S = 600.0
_HERE = Path(__file__).parent


def resolve(cache: Path) -> dict[Path, Jar]:
    """Every jar that is needed at run time, resolved and downloaded by jgo into `cache`."""
    from jgo.maven import MavenContext, PythonResolver

    context = MavenContext(resolver=PythonResolver(), repo_cache=cache, timeout=30)
    # Raw ("!"): otherwise each POM is imported as a BOM, and log4j's would override Kafka's own choices.
    asked = [context.create_dependency(f"{':'.join(coordinate)}!") for coordinate in COORDINATES]
    inputs, rest = context.resolver.resolve(asked)
    found: dict[Path, Jar] = {}
    for dependency in (*inputs, *rest):
        if dependency.scope in _RUNTIME:
            artifact = dependency.artifact
            path = Path(artifact.resolve())
            found[path] = Jar(
                artifact.groupId,
                artifact.artifactId,
                artifact.version,
                artifact.classifier or "",
                sha256_of(path),
                path.stat().st_size,
            )
    return found


def maven_sums(folder: Path, maven: str) -> dict[str, str]:
    """The SHA-256 of every jar Maven thinks is needed, by file name."""
    dependencies = "".join(
        f"<dependency><groupId>{escape(group)}</groupId><artifactId>{escape(artifact)}</artifactId>"
        f"<version>{escape(version)}</version></dependency>"
        for group, artifact, version in COORDINATES
    )
    (folder / "pom.xml").write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>kafkaprep</groupId><artifactId>lock</artifactId>"
        f"<version>1</version><dependencies>{dependencies}</dependencies></project>\n"
    )
    done = run_briefly(
        [
            maven,
            *("-B", "-q", "dependency:copy-dependencies"),
            *("-DincludeScope=runtime", f"-DoutputDirectory={folder / 'jars'}"),
        ],
        timeout_s=_MAVEN_TIMEOUT_S,
        cwd=folder,
    )
    if done.returncode != 0:
        raise InstallError(f"Maven could not resolve Kafka: {done.stdout[-500:]}")
    return {jar.name: sha256_of(jar) for jar in (folder / "jars").glob("*.jar")}


def lock_text(jars: list[Jar]) -> str:
    """The text of kafka.lock: one row a line, in an order that does not depend on the resolver."""
    rows = sorted(jars, key=lambda jar: (jar.group, jar.artifact, jar.classifier))
    names = [jar.file_name for jar in rows]
    if len(set(names)) < len(names):
        raise InstallError("Two jars share a file name, and the install folder is flat.")
    lines = ",\n".join(
        "  "
        + json.dumps(
            {
                "group": jar.group,
                "artifact": jar.artifact,
                "version": jar.version,
                "classifier": jar.classifier,
                "sha256": jar.sha256,
                "size": jar.size,
            }
        )
        for jar in rows
    )
    return f'{{"kafka": {json.dumps(KAFKA_VERSION)}, "jars": [\n{lines}\n]}}\n'


def main() -> int:
    """Resolve, compare with Maven, write both files. The exit code."""
    with TemporaryDirectory(prefix="kafkaprep-lock-") as scratch:
        found = resolve(Path(scratch) / "jgo")
        jars = list(found.values())
        print(f"jgo: {len(jars)} jars, {sum(jar.size for jar in jars):,} bytes")
        maven = shutil.which("mvn")
        if maven is None:
            print("Maven is not installed: nothing to compare with.")
        else:
            ours = {(jar.file_name, jar.sha256) for jar in jars}
            theirs = set(maven_sums(Path(scratch), maven).items())
            for name, digest in sorted(ours ^ theirs):
                print(f"only {'jgo' if (name, digest) in ours else 'Maven'}: {name} {digest}")
            if ours != theirs:
                return 1
            print("Maven agrees on every name and every byte.")
        class_path = ":".join(str(path) for path in found)
        bootstrap = format_bootstrap([str(find_java().path), *START_FLAGS, "-cp", class_path])
        (_HERE / "kafka.lock").write_text(lock_text(jars), encoding="utf-8")
        (_HERE / "bootstrap.checkpoint").write_bytes(bootstrap.content)
        print(f"Wrote kafka.lock and bootstrap.checkpoint ({bootstrap.file}).")
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KafkaprepError as error:
        sys.exit(f"{type(error).__name__}: {error}")
