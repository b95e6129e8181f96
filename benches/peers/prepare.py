"""Converts a model for a peer that does not read it as it is. Run with the Python of the peer's own environment.

    python prepare.py onnxruntime|tl2cgen|lleaves CASE OUT

CASE is a folder with model.* and meta.json; OUT is the file to make: an ONNX file, or a shared library.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def onnxruntime(kind, model, n_features, out):
    if kind == "onnx":
        shutil.copy(model, out)
        return
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    types = [("x", FloatTensorType([None, n_features]))]
    if kind == "lgb":
        import lightgbm

        onnx = convert_lightgbm(lightgbm.Booster(model_file=model), initial_types=types, zipmap=False, target_opset=15)
    elif kind == "xgb":
        import xgboost

        booster = xgboost.Booster(model_file=model)
        # Splits are converted by number; the converter gives up on names.
        booster.feature_names = None
        onnx = convert_xgboost(booster, initial_types=types, target_opset=15)
    else:
        raise ValueError(f"no conversion from {kind}")
    out.write_bytes(onnx.SerializeToString())


def tl2cgen(kind, model, n_features, out):
    import tl2cgen
    import treelite

    if kind == "lgb":
        trees = treelite.frontend.load_lightgbm_model(model)
    elif kind == "xgb":
        trees = treelite.frontend.load_xgboost_model(model)
    elif kind == "tl":
        trees = treelite.Model.deserialize(model)
    else:
        raise ValueError(f"no conversion from {kind}")
    # Cut into 8 files: one would take the compiler far longer.
    tl2cgen.export_lib(trees, toolchain="gcc", libpath=str(out), params={"parallel_comp": 8}, nthread=1, verbose=False)


def lleaves(kind, model, n_features, out):
    import lleaves

    if kind != "lgb":
        raise ValueError("compiles LightGBM models only")
    with tempfile.TemporaryDirectory() as folder:
        # The cache is an object file.
        object_file = Path(folder) / "model.o"
        lleaves.Model(model_file=model).compile(cache=str(object_file))
        subprocess.run(["gcc", "-shared", "-o", str(out), str(object_file), "-lm"], check=True)


def main():
    peer, case, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    meta = json.loads((case / "meta.json").read_text())
    model = next(path for path in sorted(case.glob("model.*")) if path.suffix != ".pkl")
    part = out.with_name("part." + out.name)
    {"onnxruntime": onnxruntime, "tl2cgen": tl2cgen, "lleaves": lleaves}[peer](
        meta["kind"], str(model), meta["cols"], part
    )
    os.replace(part, out)


if __name__ == "__main__":
    main()
