"""Writes the cases of one version, which is first on the path: `version_worker.py LIBRARY VERSION OUT [ONLY]`.

Called by `versions.py`.
"""

import sys
from pathlib import Path

from common import replace_case

library, version, out, *only = sys.argv[1:]
if library == "xgboost":
    from xgboost_versions import case, xgb as module
else:
    from lightgbm_versions import case, lgb as module
assert module.__version__ == version, f"{module.__file__} is {module.__version__}"
for name, (about, build) in case.of(version).items():
    place = f"{library}/{name}"
    if not only or only[0] in (name, place):
        replace_case(Path(out), place, about, build())
