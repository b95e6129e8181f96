"""Checkpoints written by Treelite 3.9, answered by today's Treelite, which reads them as well.

3.9's own evaluator rounded all to f32. What a checkpoint means is what Treelite 4 reads in it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from common import Case, random_rows, replace_case
from treelite_cases import TreeliteModel

MODELS = Path(__file__).resolve().parent.parent

# Name of the case, the model file it is made from, and what it guards.
CASES = {
    "v3_9_xgboost_binary": ("xgboost/v1_7_base_score_tiny/model.json",
                            "A 3.9 checkpoint: nodes as structures of 48 bytes, one base score (K7)."),
    "v3_9_xgboost_categories": ("xgboost/v1_7_categories/model.json",
                                "A 3.9 checkpoint: categories under one list of offsets, listed ones go right (K6)."),
    "v3_9_lightgbm_classes": ("lightgbm/wine/model.txt",
                              "A 3.9 checkpoint: f64 nodes of 56 bytes, classes by the number of the tree."),
    "v3_9_lightgbm_forest": ("lightgbm/forest_classes/model.txt",
                             "A 3.9 checkpoint: the mean of each class's trees (K15)."),
    "v3_9_sklearn_forest": (None, "A 3.9 checkpoint: vector leaves of class shares, read as they are, in f64."),
}


class OldTreeliteModel(TreeliteModel):
    def __init__(self, file: bytes):
        self._file = file
        self.read()
        # A 3.9 file has one base score for all classes; Treelite 4 reads the others from behind the end of its list.
        head = self.model.get_header_accessor()
        head.set_field("base_scores", np.repeat(head.get_field("base_scores")[:1], self.outputs))


def generate(out: Path, only: str | None, path: list[Path]) -> list[str]:
    """Writes the chosen cases and returns their folders; `path` is where Treelite 3.9 and its friends are."""
    chosen = {name: case for name, case in CASES.items() if only in (None, "treelite", name, f"treelite/{name}")}
    if not chosen:
        return []
    sources = {MODELS / source for source, _ in chosen.values() if source}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, MODELS / "generate" / "treelite_v3_worker.py", *sorted(sources), folder]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONWARNINGS": "ignore"}
        subprocess.run(command, env=env, check=True)
        for name, (source, about) in chosen.items():
            if source:
                rows = np.load(MODELS / Path(source).parent / "X.npy")[:120]
                file = Path(folder, Path(source).parent.name)
            else:
                rows, file = random_rows(341, 200, 4), Path(folder, "sklearn_forest")
            case = Case(OldTreeliteModel(file.read_bytes()), rows, natural=80, reach=120)
            replace_case(out, f"treelite/{name}", about, case)
    return [f"treelite/{name}" for name in chosen]
