"""Execute the notebooks and keep their outputs, without what changes from run to run.

    pip install -e ".[test]"
    python notebooks/execute.py                  # all of them
    python notebooks/execute.py quick-start.ipynb

Each runs from its first cell on, in a kernel and an empty folder of its own. Where its outputs are
deterministic, a second run gives the same bytes.
"""

import base64
import io
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).parent
# What TensorFlow and JAX tell of the machine as they are imported.
ABOUT_THE_MACHINE = re.compile(r"^(WARNING: All log messages before absl|[IWE]\d{4} ).*\n?", re.M)
WHERE = re.compile(r"^\S*ipykernel_\d+\S*:(\d+): ", re.M)  # of a warning, in a file of the kernel
WIDGET = "application/vnd.jupyter.widget-view+json"


def run(notebook: nbformat.NotebookNode, folder: str | os.PathLike[str]) -> nbformat.NotebookNode:
    """Execute a notebook in place, in a fresh kernel, and return it with clean outputs.

    Raises `nbclient.exceptions.CellExecutionError` if a cell raises.

    Args:
        notebook: all of its cells; outputs that it has are dropped.
        folder: where the kernel works, and keeps all that it would write elsewhere.
    """
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        coalesce_streams=True,
        store_widget_state=False,
        ipython_hist_file=":memory:",
    )
    # Sockets in the folder: kernels of several processes cannot take each other's port.
    client.create_kernel_manager()
    client.km.transport, client.km.ip = "ipc", str(Path(folder, "kernel"))
    environment = os.environ | {"IPYTHONDIR": str(Path(folder, ".ipython"))}
    environment.pop("MPLBACKEND", None)  # the notebook's own shows pictures
    client.execute(env=environment)
    notebook.metadata.language_info = {"name": "python"}  # and not of which version
    for number, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), start=1):
        cell.metadata, cell.execution_count = nbformat.NotebookNode(), number
        cell.outputs = [clean for output in cell.outputs if (clean := _clean(output, number))]
    return notebook


def _clean(output: nbformat.NotebookNode, number: int) -> nbformat.NotebookNode | None:
    """Return an output as it is kept; None for one that is not."""
    if output.output_type == "stream":
        if output.name == "stderr":
            output.text = WHERE.sub(r"line \1: ", ABOUT_THE_MACHINE.sub("", output.text))
        return output if output.text.strip() else None
    if "execution_count" in output:
        output.execution_count = number
    data: Mapping[str, Any] = output.get("data", {})
    if WIDGET in data:  # it lives as long as its kernel
        return None
    if "image/png" in data:
        output.data["image/png"] = _smaller(data["image/png"])
    return output


def _smaller(png: str) -> str:
    """Return a picture in 64 colours, which is what a diagram has, and without the versions."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    into = io.BytesIO()
    picture.quantize(64, dither=Image.Dither.NONE).save(into, "PNG", optimize=True)
    return base64.b64encode(into.getvalue()).decode()


def main(names: list[str]) -> None:
    """Execute those named, or all, and write them back."""
    for path in [HERE / name for name in names] or sorted(HERE.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            notebook = run(nbformat.read(path, as_version=4), folder)
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
