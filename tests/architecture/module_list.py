"""The list of modules in ARCHITECTURE.md: each module's first docstring line, in the order of the tree.

`python -m tests.architecture.module_list --write` renews it; without `--write` it is printed.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "kafkaprep"
DOCUMENT = ROOT / "ARCHITECTURE.md"
BEGIN = "<!-- modules: made by `make modules` -->"
END = "<!-- end of modules -->"
_COLUMN = 28


def modules() -> list[Path]:
    """Every module: a folder's own files first, then its folders, by name."""
    return _modules_of(PACKAGE)


def _modules_of(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.py"), key=lambda path: (path.name != "__init__.py", path.name))
    folders = sorted(path.parent for path in folder.glob("*/__init__.py"))
    return files + [module for each in folders for module in _modules_of(each)]


def first_line(module: Path) -> str:
    """The first line of the module's docstring; empty if it has none."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    return docstring.splitlines()[0] if docstring else ""


def listing() -> str:
    """The list as it stands in ARCHITECTURE.md."""
    lines: list[str] = []
    for module in modules():
        within = module.relative_to(ROOT)
        is_package = module.name == "__init__.py"
        indent = "  " * (len(within.parts) - (2 if is_package else 1))
        name = f"{module.parent.name}/" if is_package else module.name
        lines.append(f"{indent + name:<{_COLUMN}}{first_line(module)}".rstrip())
    return "\n".join([BEGIN, "```", *lines, "```", END])


def listed() -> str:
    """What ARCHITECTURE.md has between the two marks, marks included. Raises ValueError if they are not there."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return text[text.index(BEGIN) : text.index(END) + len(END)]


def main() -> None:
    if "--write" not in sys.argv[1:]:
        print(listing())
        return
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(text.replace(listed(), listing()), encoding="utf-8")


if __name__ == "__main__":
    main()
