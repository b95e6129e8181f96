"""Trains the benchmark models with the original libraries. The same versions and machine type give the same models.

    python generate.py FOLDER [--only NAME] [--large]

Each model becomes a folder: model.txt | model.json | model.onnx, X.npy (float32 rows), native.npy (the source library's
own answer) and meta.json. A folder that is complete is not made again. `--large` makes the two models of millions of nodes
that loading is measured with, too.
"""

import argparse
import json
import pickle
from pathlib import Path

import lightgbm
import numpy as np
import xgboost
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import RandomForestClassifier

TRAIN_ROWS = 60_000
KEPT_ROWS = 20_000
THREADS = 2


def classes(seed, features, informative, rows=TRAIN_ROWS, **options):
    X, y = make_classification(rows, features, n_informative=informative, random_state=seed, **options)
    return X.astype(np.float32), y


def binary():
    """As many features as the HIGGS data, two classes, a tenth of the labels wrong."""
    return classes(1, 28, 20, n_redundant=4, flip_y=0.1)


def with_missing():
    """A regression over 40 features, one value in twenty missing."""
    X, y = make_regression(TRAIN_ROWS, 40, n_informative=30, noise=5.0, random_state=2)
    X = X.astype(np.float32)
    X[np.random.default_rng(7).random(X.shape) < 0.05] = np.nan
    return X, y


def categories():
    """Eight categorical features of 7 to 300 codes, each code with an effect of its own, and eight numbers."""
    random = np.random.default_rng(7)
    sizes = (7, 12, 24, 31, 300, 300, 22, 60)
    codes = np.column_stack([random.integers(0, size, TRAIN_ROWS) for size in sizes])
    numbers = random.normal(size=(TRAIN_ROWS, 8))
    effects = sum(random.normal(size=size)[codes[:, at]] for at, size in enumerate(sizes))
    y = effects + numbers.sum(axis=1) + random.normal(size=TRAIN_ROWS) > 0
    return np.column_stack([codes, numbers]).astype(np.float32), y.astype(int)


def noise():
    """Labels that nothing explains: trees grow as large as they may."""
    random = np.random.default_rng(9)
    return random.normal(size=(TRAIN_ROWS, 28)).astype(np.float32), random.normal(size=TRAIN_ROWS)


def train_lightgbm(folder, data, rounds, leaves, categorical=(), **parameters):
    X, y = data
    parameters = {
        "num_leaves": leaves,
        "learning_rate": 0.05,
        "verbose": -1,
        "num_threads": THREADS,
        "seed": 1,
        "deterministic": True,
        **parameters,
    }
    rows = lightgbm.Dataset(X, y, categorical_feature=list(categorical))
    booster = lightgbm.train(parameters, rows, rounds)
    booster.save_model(folder / "model.txt")
    return X, lambda rows: booster.predict(rows)


def train_xgboost(folder, data, rounds, **parameters):
    X, y = data
    parameters = {"tree_method": "hist", "nthread": THREADS, "eta": 0.1, "seed": 1, **parameters}
    booster = xgboost.train(parameters, xgboost.DMatrix(X, y), rounds)
    booster.save_model(folder / "model.json")
    return X, lambda rows: booster.predict(xgboost.DMatrix(rows))


def train_forest(folder, data, trees):
    from skl2onnx import to_onnx

    X, y = data
    forest = RandomForestClassifier(trees, n_jobs=THREADS, random_state=5, min_samples_leaf=2).fit(X[:30_000], y[:30_000])
    # Probabilities as an array of [rows, classes], not as dictionaries.
    onnx = to_onnx(forest, X[:1], options={"zipmap": False})
    (folder / "model.onnx").write_bytes(onnx.SerializeToString())
    (folder / "model.pkl").write_bytes(pickle.dumps(forest))
    return X, forest.predict_proba


LOGISTIC = {"objective": "binary:logistic"}

MODELS = {
    "lgb_binary_500x31": lambda to: train_lightgbm(to, binary(), 500, 31, objective="binary"),
    "lgb_missing_1000x63": lambda to: train_lightgbm(to, with_missing(), 1000, 63, objective="regression"),
    "lgb_categories_300x63": lambda to: train_lightgbm(
        to, categories(), 300, 63, range(8), objective="binary", min_data_per_group=20, max_cat_to_onehot=4
    ),
    "xgb_binary_500d6": lambda to: train_xgboost(to, binary(), 500, max_depth=6, **LOGISTIC),
    "xgb_classes_7x100d8": lambda to: train_xgboost(
        to,
        classes(3, 54, 30, n_classes=7, n_clusters_per_class=2),
        100,
        max_depth=8,
        objective="multi:softprob",
        num_class=7,
    ),
    "xgb_wide_200d6": lambda to: train_xgboost(to, classes(4, 1000, 200, rows=8000), 200, max_depth=6, **LOGISTIC),
    "xgb_tiny_50d3": lambda to: train_xgboost(
        to, (binary()[0][:, :10], binary()[1]), 50, max_depth=3, **LOGISTIC | {"eta": 0.2}
    ),
    "skl_forest_200": lambda to: train_forest(to, binary(), 200),
}

LARGE = {
    "lgb_large": lambda to: train_lightgbm(
        to, noise(), 200, 7500, objective="regression", min_data_in_leaf=1, min_sum_hessian_in_leaf=0.0
    ),
    "xgb_large": lambda to: train_xgboost(
        to, noise(), 200, max_depth=14, max_bin=32, min_child_weight=0, reg_lambda=0.0, objective="reg:squarederror"
    ),
}

KINDS = {"model.txt": "lgb", "model.json": "xgb", "model.onnx": "onnx"}


def make(folder, train):
    folder.mkdir(parents=True, exist_ok=True)
    X, predict = train(folder)
    X = np.ascontiguousarray(X[:KEPT_ROWS], dtype=np.float32)
    np.save(folder / "X.npy", X)
    np.save(folder / "native.npy", predict(X))
    kind = next(kind for name, kind in KINDS.items() if (folder / name).exists())
    meta = {"kind": kind, "rows": X.shape[0], "cols": X.shape[1], "large": folder.name in LARGE}
    # Written last: it marks the folder as complete.
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", metavar="NAME", choices=[*MODELS, *LARGE])
    parser.add_argument("--large", action="store_true")
    arguments = parser.parse_args()
    models = MODELS | (LARGE if arguments.large or arguments.only in LARGE else {})
    for name, train in models.items():
        folder = arguments.folder / name
        if arguments.only in (None, name) and not (folder / "meta.json").exists():
            print(name, flush=True)
            make(folder, train)


if __name__ == "__main__":
    main()
