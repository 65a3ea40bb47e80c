"""The floors of the house: who may import whom, what may be heavy, and how long a module may be."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "edakit"

# Modules and packages directly in edakit/, lowest floor first; each imports only from its own floor or a lower one.
FLOORS = {
    "language": "errors checks clock distributions events codec trace table capabilities",
    "machinery": "transports brokers bus component delivery inbox replay interrupts loop workers server running faults faults_proxy app",
    "study": "measuring plots widgets",
    "apps": "shop classroom checkup cli lab worker __main__",
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names.split()} | {"__init__": "machinery"}
RANK = {floor: rank for rank, floor in enumerate(FLOORS)}

# Who imports these when it is imported itself; inside a function a module may, if it is listed under LAZILY.
HEAVY = {
    "IPython": {"widgets", "classroom"},
    "anywidget": {"widgets"},
    "confluent_kafka": {"transports"},
    "ipywidgets": {"widgets", "classroom"},
    "jupyterlab": set(),
    "kombu": {"transports", "server"},
    "matplotlib": {"plots", "widgets"},
    "nbclient": {"classroom"},
    "nbformat": {"classroom"},
    "numpy": {"measuring", "plots", "widgets"},
    "tqdm": {"measuring"},
}
LAZILY = {"jupyterlab": {"lab"}, "matplotlib": {"shop", "measuring"}, "numpy": {"trace", "shop", "classroom"}}

MODULE_LINES = 380
CORE_LINES = 2110  # of code, language and machinery without transports, proxy, tables and checks of arguments; an evening of reading (the design aims at 1,500)


@cache
def modules() -> dict[str, ast.Module]:
    """Return each module's dotted name with its syntax tree."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return found


def place(module: str) -> str:
    """Return what stands directly in edakit/: `edakit.shop.cart` is in `shop`."""
    return module.split(".")[1] if "." in module else "__init__"


def imports(name: str, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Yield the modules that the import statements among *nodes* of module *name* name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name.split(".")[: len(name.split(".")) - node.level + (name in packages())]
                base = ".".join([*package, base]).rstrip(".")
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules() else base


def packages() -> set[str]:
    return {name.rpartition(".")[0] for name in modules()}


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of *tree* that run when the module is imported: not the bodies of functions, not what only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from at_import(node)


def test_every_module_has_its_floor():
    unknown = {place(name) for name in modules()} - FLOOR_OF.keys()

    assert not unknown, f"give {sorted(unknown)} a floor in FLOORS"


def test_a_module_imports_only_from_its_own_floor_or_a_lower_one():
    def rank(name):
        return RANK[FLOOR_OF[place(name)]]

    ours = ((name, other) for name, tree in modules().items() for other in imports(name, ast.walk(tree)) if other.partition(".")[0] == "edakit")

    assert [f"{name} imports {other}" for name, other in ours if rank(other) > rank(name)] == []


def test_no_module_imports_itself_by_way_of_others():
    graph = {name: {other for other in imports(name, at_import(tree)) if other in modules() and other != name} for name, tree in modules().items()}
    left = dict(graph)
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]

    assert not left, f"these import each other in a circle: {sorted(left)}"


@pytest.mark.parametrize("library", HEAVY)
def test_a_heavy_library_is_imported_only_where_it_belongs(library):
    def users(nodes_of):
        return {place(name) for name, tree in modules().items() if library in {other.partition(".")[0] for other in imports(name, nodes_of(tree))}}

    assert users(at_import) <= HEAVY[library]
    assert users(ast.walk) <= HEAVY[library] | LAZILY.get(library, set())


def loaded_by(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_names_of_the_first_chapter_bring_nothing_heavy_with_them():
    loaded = loaded_by("from edakit import App, Component, Event")

    assert not loaded & {"numpy", "matplotlib", "ipywidgets", "anywidget", "IPython", "jupyterlab", "nbformat", "nbclient", "tqdm"}


def test_no_chapter_waits_for_what_only_reads_notebook_files():
    loaded = loaded_by("import edakit.classroom, edakit.measuring, edakit.plots, edakit.shop, edakit.widgets")

    assert not loaded & {"jupyterlab", "nbformat", "nbclient"}


def test_a_module_can_be_read_at_one_sitting():
    lengths = {path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}

    too_long = {name: length for name, length in lengths.items() if length > MODULE_LINES}

    assert too_long == {}


def lines_of_code(path: Path) -> int:
    """Count the lines of *path* that hold code: neither blank nor comment nor docstring."""
    source = path.read_text(encoding="utf-8")
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = {line for token in tokens if token.type not in skipped for line in range(token.start[0], token.end[0] + 1)}
    texts = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    return len(code - {line for node in texts for line in range(node.lineno, node.end_lineno + 1)})


def test_language_and_machinery_can_be_read_in_an_evening():
    # Transports speak to one broker each, whose address they read; brokers start other people's programs; the proxy cuts a network; checks name bad
    # arguments; a table prints itself.
    # Whoever learns how events flow needs none of it.
    names = set(f"{FLOORS['language']} {FLOORS['machinery']}".split()) - {"transports", "brokers", "faults_proxy", "checks", "table"}

    total = sum(lines_of_code(PACKAGE / f"{name}.py") for name in names)

    assert total < CORE_LINES
