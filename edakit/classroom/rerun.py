"""`edakit rerun`: run the solved chapters and save their outputs, the same on every machine.

A file stays as it is when neither its code nor its text outputs have changed: pictures hold versions and machine in their footer, and
would differ each time.
"""

# ruff: noqa: T201
# A command line prints.

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import edakit
from edakit.classroom.copies import chapters
from edakit.classroom.execute import CellFailedError, NotebookStuckError, execute
from edakit.classroom.files import notebook_text, read_notebook
from edakit.errors import InvalidValueError
from edakit.lab import find_course

__all__ = ["add_arguments", "alt_text", "code_digest", "rerun", "run", "tidy"]

VIEW: Final = "application/vnd.jupyter.widget-view+json"
KERNEL: Final = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE: Final = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python", "pygments_lexer": "ipython3"}
_FOLDER = re.compile(r"(?:[A-Za-z]:)?[^\s\"'(),:;=<>]*[\\/](?=(?:edakit|notebooks|site-packages|lib[\\/]python[\d.]+|ipykernel_\d+)[\\/])")


def rerun(path: Path, *, always: bool = False) -> bool:
    """Run the chapter at *path* and save it; return whether the file has changed.

    Args:
        path: A solved chapter.
        always: Whether to save it even if neither code nor text outputs changed, for its pictures' sake.

    Raises:
        CellFailedError, NotebookStuckError: as for `execute`; the file stays as it was.
    """
    saved = read_notebook(path)
    with tempfile.TemporaryDirectory() as empty:
        done = tidy(execute(saved, path, variables={"EDAKIT_PREDICTIONS": str(Path(empty) / "none.json"), "EDAKIT_PROGRESS": "0"}))
    if _comparable(done) == _comparable(saved) and not always:
        return False
    path.write_text(notebook_text(done), encoding="utf-8", newline="\n")
    return True


def tidy(notebook: Any) -> Any:
    """Take out of *notebook*, in place, what depends on machine and time; give pictures their alternative text; return it."""
    for key in ("widgets", "toc", "signature"):
        notebook.metadata.pop(key, None)
    notebook.metadata["kernelspec"], notebook.metadata["language_info"] = dict(KERNEL), dict(LANGUAGE)
    notebook.metadata["edakit"] = {"code": code_digest(notebook), "version": edakit.__version__}
    for cell in notebook.cells:
        for key in ("execution", "collapsed", "scrolled", "ExecuteTime"):
            cell.metadata.pop(key, None)
        for output in cell.get("outputs", []):
            _tidy_output(output)
        _describe_pictures(cell)
    return notebook


def code_digest(notebook: Any) -> str:
    """Return a short digest of all code cells: outputs saved beside another digest are outputs of another code."""
    digest = hashlib.sha256()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            digest.update(cell.source.encode() + b"\0")
    return digest.hexdigest()[:16]


def alt_text(cell: Any) -> str:
    """Return the sentences for the pictures of *cell*: the last line of each table that it displays or returns; "" where there is none."""
    texts = [output.data["text/plain"].strip().splitlines() for output in cell.outputs if "text/plain" in output.get("data", {})]
    return " ".join(lines[-1].strip() for lines in texts if len(lines) > 1)


def _describe_pictures(cell: Any) -> None:
    for output in cell.get("outputs", []):
        if "image/png" in output.get("data", {}):
            about = output.metadata.setdefault("image/png", {})
            if not about.get("alt"):
                about["alt"] = alt_text(cell)
            output.data["image/png"] = output.data["image/png"].strip() + "\n"


def _tidy_output(output: Any) -> None:
    # The view of a widget refers to a kernel that is gone; without it, Lab shows the text.
    output.get("data", {}).pop(VIEW, None)
    if output.output_type == "error":
        output.traceback = [_FOLDER.sub("", line) for line in output.traceback]


def _comparable(notebook: Any) -> list[Any]:
    """Return what counts: the digest of the code, and each cell's text with its text outputs."""
    digest = notebook.metadata.get("edakit", {})
    return [digest, *((cell.cell_type, cell.source, dict(cell.metadata), cell.get("execution_count"), list(_outputs(cell))) for cell in notebook.cells)]


def _outputs(cell: Any) -> Iterator[Any]:
    if "nbval-ignore-output" in cell.metadata.get("tags", []):
        return
    for output in cell.get("outputs", []):
        data = {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}
        yield output.output_type, output.get("text"), data, output.get("metadata"), output.get("ename"), output.get("evalue")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edakit rerun`."""
    parser.add_argument("files", nargs="*", type=Path, help="which chapters (all in notebooks/)")
    parser.add_argument("--all", action="store_true", dest="always", help="save also those whose code and text outputs did not change: their pictures are new")


def run(arguments: argparse.Namespace) -> int:
    """Run the chapters one after the other, and say of each what became of it; 1 if one failed."""
    files = arguments.files or chapters(find_course() / "notebooks")
    if missing := [path.name for path in files if not path.is_file()]:
        raise InvalidValueError("files", missing, "notebooks that exist")
    failed = False
    for path in files:
        try:
            print(f"{path.name}: {'saved' if rerun(path, always=arguments.always) else 'unchanged'}", flush=True)
        except (CellFailedError, NotebookStuckError) as error:
            failed = True
            print(f"{path.name}: not saved. {error}", file=sys.stderr, flush=True)
    return int(failed)
