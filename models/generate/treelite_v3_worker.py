"""Makes checkpoints with Treelite 3.9, which is first on the path: `treelite_v3_worker.py MODEL… OUT_FOLDER`.

Called by `treelite_versions.py`. The checkpoint of `model.json` or `model.txt` of folder `f` is `OUT_FOLDER/f`; one more,
`sklearn_forest`, is of a forest trained here.
"""

import sys
from pathlib import Path

import numpy as np
import treelite
from sklearn.ensemble import RandomForestClassifier

from common import random_rows, signal

*models, out = map(Path, sys.argv[1:])
assert treelite.__version__.startswith("3.9."), treelite.__version__
for model in models:
    kind = {".json": "xgboost_json", ".txt": "lightgbm"}[model.suffix]
    treelite.Model.load(str(model), model_format=kind).serialize(str(out / model.parent.name))
rows = random_rows(341, 200, 4)
target = np.clip(np.floor((signal(rows) + 1.5)), 0, 2).astype(int)
forest = RandomForestClassifier(n_estimators=5, max_depth=3, random_state=7, n_jobs=1).fit(rows, target)
treelite.sklearn.import_model(forest).serialize(str(out / "sklearn_forest"))
