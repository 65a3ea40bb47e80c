"""Notebook files: read, and written the same on every machine."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import nbformat

from edakit.errors import EdakitError

__all__ = ["NotebookFileError", "notebook_text", "read_notebook"]


class NotebookFileError(EdakitError):
    """A file is no notebook."""

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(name, problem)

    def __str__(self) -> str:
        return f"{self.name} cannot be read as a notebook ({self.problem}); give an .ipynb file that Jupyter has saved"


def read_notebook(path: Path) -> Any:
    """Return the notebook in the file at *path*, in format 4.

    Raises:
        NotebookFileError: there is no such file, or it holds something else.
    """
    try:
        with warnings.catch_warnings():
            # Cells that were copied by hand may share an id, or have none: nbformat mends it and warns.
            warnings.simplefilter("ignore")
            notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
            nbformat.validate(notebook)
    except FileNotFoundError:
        raise NotebookFileError(path.name, "there is no such file") from None
    except IsADirectoryError:
        raise NotebookFileError(path.name, "it is a folder, with no notebook in it") from None
    except Exception as error:  # noqa: BLE001 (nbformat raises whatever it stumbles over in a file that is none)
        raise NotebookFileError(path.name, str(error).strip().partition("\n")[0][:200]) from None
    return notebook


def notebook_text(notebook: Any) -> str:
    """Return *notebook* as the text of a file."""
    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    return text.rstrip("\n") + "\n"
