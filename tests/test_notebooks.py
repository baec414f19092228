"""The notebooks in docs/notebooks run, on a tiny film, and show pictures and a player."""

import shutil
from pathlib import Path

import pytest

from tests.films import make_film

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

TOP = Path(__file__).parents[1]
NOTEBOOKS = sorted((TOP / "docs" / "notebooks").glob("*.ipynb"))
SHOWS = {
    "first-film": ["data:image/png", "data:video/mp4", 'type="range"'],
    "photographs-and-color-references": ["data:image/jpeg", 'type="range"', "data:video/mp4"],
    "slow-motion": ["data:video/mp4", "data:image/gif", 'type="range"'],
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_its_results(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(TOP))
    make_film(tmp_path / "sample.mp4", frames=24, size=(64, 64))
    copy = tmp_path / "notebooks" / path.name
    copy.parent.mkdir()
    shutil.copy(path, copy)
    notebook = nbformat.read(copy, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": copy.parent}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
    for piece in SHOWS[path.stem]:
        assert piece in shown
