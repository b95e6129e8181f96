"""Writes a fitted scikit-learn tree ensemble as JSON for sawmill: `export_sklearn.py MODEL.pkl model.json`.

From Python: `export_sklearn.export(estimator, "model.json")`. The file holds the trees with scikit-learn's own numbers,
and the arithmetic around them; sawmill loads it and gives the same bits. Needs scikit-learn (1.3 or newer; checked with
1.9) and numpy, nothing else. What is not exported is refused with a `ValueError` that names it.

Supported: DecisionTree*, RandomForest*, ExtraTrees*, GradientBoosting* and HistGradientBoosting* (classifiers and
regressors), IsolationForest.

The format, version 1, one JSON object:

    sawmill-sklearn     1, the version of the format; the first key
    library, estimator  who trained it, for people
    task                regression, binary, multiclass or outlier
    n_features, feature_names ([] if there are none), category_features (columns of categories)
    input               f32 or f64: what a value is rounded to before it is compared
    n_outputs, base     margins of a row, and what each starts from
    mean                true if sums are divided by the number of trees
    link                identity, sigmoid, softmax, exp or isolation: how margins become values
    link_parameters     sigmoid: [factor of the margin]; isolation: [divisor of the depth, offset]; else []
    labels              none, argmax (of values), argmax-margin, positive-margin, nonnegative-margin or inlier
    classes             the classes in the order of their numbers, as text
    trees_per_iteration trees of a boosting round
    trees               a list of objects:
        output          the margin the tree adds to; -1 if its leaves have a value for each
        left, right     children by node number; -1 for a leaf. Node 0 is the root
        feature, threshold   of a split; value <= threshold goes left. Any number at a leaf
        missing_left    1 if NaN goes left, else 0
        category_nodes, category_counts, categories   the splits of categories: which nodes, how many categories each,
                        and these, one after another; they go left, and any other value right
        values          the values of all leaves in the order of their nodes

Numbers may be NaN and Infinity, as Python writes them.
"""

import json
import sys

import numpy as np
import sklearn
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (ExtraTreesClassifier, ExtraTreesRegressor, GradientBoostingClassifier,
                              GradientBoostingRegressor, HistGradientBoostingClassifier, HistGradientBoostingRegressor,
                              IsolationForest, RandomForestClassifier, RandomForestRegressor)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor
from sklearn.utils.validation import check_is_fitted

FORMAT_VERSION = 1
# Categories are compared as whole numbers of 32 bits.
MAX_CATEGORY = 2**32


def export(estimator, path) -> None:
    """Writes `estimator` to the file `path`."""
    text = dumps(estimator)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def dumps(estimator) -> str:
    """The JSON text of `estimator`."""
    check_is_fitted(estimator)
    kind = type(estimator)
    exporters = {
        DecisionTreeClassifier: trees_classifier, ExtraTreeClassifier: trees_classifier,
        RandomForestClassifier: trees_classifier, ExtraTreesClassifier: trees_classifier,
        DecisionTreeRegressor: trees_regressor, ExtraTreeRegressor: trees_regressor,
        RandomForestRegressor: trees_regressor, ExtraTreesRegressor: trees_regressor,
        GradientBoostingClassifier: boosting, GradientBoostingRegressor: boosting,
        HistGradientBoostingClassifier: histogram_boosting, HistGradientBoostingRegressor: histogram_boosting,
        IsolationForest: isolation_forest,
    }
    if kind not in exporters:
        known = ", ".join(sorted(known.__name__ for known in exporters))
        raise ValueError(f"{kind.__name__} is not supported; supported are: {known}")
    head = {
        "sawmill-sklearn": FORMAT_VERSION,
        "library": f"scikit-learn {sklearn.__version__}",
        "estimator": kind.__name__,
        "n_features": int(estimator.n_features_in_),
        "feature_names": [str(name) for name in getattr(estimator, "feature_names_in_", [])],
        "category_features": [],
        "mean": False,
        "link": "identity",
        "link_parameters": [],
        "labels": "none",
        "classes": [],
        "trees_per_iteration": 1,
    }
    model = head | exporters[kind](estimator)
    return json.dumps(model, ensure_ascii=False, separators=(",", ":")) + "\n"


# ---- trees of sklearn.tree -----------------------------------------------------------------------------------------

def plain_tree(tree, output: int, values: np.ndarray, columns=None) -> dict:
    """A `sklearn.tree._tree.Tree` whose node `i` has `values[i]`; `columns` are those of the features it was given."""
    leaf = tree.children_left == -1
    feature = np.where(leaf, 0, tree.feature)
    if columns is not None:
        feature = np.asarray(columns)[feature]
    missing = np.asarray(getattr(tree, "missing_go_to_left", np.zeros(tree.node_count)))
    return {
        "output": output,
        "left": tree.children_left.tolist(),
        "right": np.where(leaf, -1, tree.children_right).tolist(),
        "feature": feature.tolist(),
        "threshold": np.where(leaf, 0.0, tree.threshold).tolist(),
        "missing_left": np.where(leaf, 0, missing).astype(int).tolist(),
        "category_nodes": [], "category_counts": [], "categories": [],
        "values": np.asarray(values, dtype=np.float64)[leaf].reshape(-1).tolist(),
    }


def members(estimator):
    """The trees of a forest; a tree alone is a forest of one."""
    return [tree.tree_ for tree in getattr(estimator, "estimators_", [estimator])]


def names(classes) -> list[str]:
    return [str(name) for name in classes]


def trees_classifier(estimator) -> dict:
    if estimator.n_outputs_ != 1:
        raise ValueError(f"a classifier of {estimator.n_outputs_} outputs is not supported")
    n_classes = int(estimator.n_classes_)
    trees = []
    for tree in members(estimator):
        values = tree.value[:, 0, :n_classes]
        if not np.allclose(values.sum(axis=1), 1.0):
            raise ValueError("leaves hold counts, not shares: the model was trained by scikit-learn before 1.3")
        trees.append(plain_tree(tree, -1 if n_classes > 1 else 0, values))
    return {
        "task": "binary" if n_classes == 2 else "multiclass",
        "input": "f32", "n_outputs": n_classes, "base": [0.0] * n_classes,
        "mean": hasattr(estimator, "estimators_"),
        "labels": "argmax", "classes": names(estimator.classes_), "trees": trees,
    }


def trees_regressor(estimator) -> dict:
    n_outputs = int(estimator.n_outputs_)
    output = 0 if n_outputs == 1 else -1
    return {
        "task": "regression", "input": "f32", "n_outputs": n_outputs, "base": [0.0] * n_outputs,
        "mean": hasattr(estimator, "estimators_"),
        "trees": [plain_tree(tree, output, tree.value[:, :, 0]) for tree in members(estimator)],
    }


def boosting(estimator) -> dict:
    """GradientBoosting*: every leaf times the learning rate, rounded, is added to the first prediction."""
    init = estimator.init_
    if not (init == "zero" if isinstance(init, str) else type(init) in (DummyClassifier, DummyRegressor)):
        raise ValueError(f"init={init!r} is not supported: only constants are")
    base = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), dtype=np.float32))[0]
    trees = [
        plain_tree(member.tree_, output, estimator.learning_rate * member.tree_.value[:, 0, 0])
        for stage in estimator.estimators_ for output, member in enumerate(stage)
    ]
    model = {"input": "f32", "n_outputs": len(base), "base": base.tolist(), "trees_per_iteration": len(base),
             "trees": trees}
    if not hasattr(estimator, "classes_"):
        return model | {"task": "regression"}
    model["classes"] = names(estimator.classes_)
    if len(base) > 1:
        return model | {"task": "multiclass", "link": "softmax", "labels": "argmax-margin"}
    scale = {"log_loss": 1.0, "exponential": 2.0}[estimator.loss]
    return model | {"task": "binary", "link": "sigmoid", "link_parameters": [scale], "labels": "nonnegative-margin"}


# ---- histogram gradient boosting -----------------------------------------------------------------------------------

def histogram_boosting(estimator) -> dict:
    columns, categories = feature_map(estimator)
    base = np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(-1)
    trees = [
        histogram_tree(predictor, output, columns, categories)
        for stage in estimator._predictors for output, predictor in enumerate(stage)
    ]
    model = {"input": "f64", "n_outputs": len(base), "base": base.tolist(), "trees_per_iteration": len(base),
             "category_features": sorted(categories), "trees": trees}
    if not hasattr(estimator, "classes_"):
        if estimator.loss not in ("squared_error", "absolute_error", "quantile", "poisson", "gamma"):
            raise ValueError(f"loss={estimator.loss!r} is not supported")
        link = "exp" if estimator.loss in ("poisson", "gamma") else "identity"
        return model | {"task": "regression", "link": link}
    model["classes"] = names(estimator.classes_)
    if len(base) > 1:
        return model | {"task": "multiclass", "link": "softmax", "labels": "argmax-margin"}
    return model | {"task": "binary", "link": "sigmoid", "link_parameters": [1.0], "labels": "positive-margin"}


def feature_map(estimator) -> tuple[list[int], dict[int, list[int]]]:
    """For every feature of the trees its column of the rows, and for every category column its categories by code.

    Inside, columns of categories come first and hold the position of a value in the sorted list of those known.
    """
    n_features = estimator.n_features_in_
    if estimator._preprocessor is None:
        return list(range(n_features)), {}
    is_category = np.asarray(estimator.is_categorical_)
    first = np.flatnonzero(is_category).tolist()
    categories = {}
    for column, known in zip(first, estimator._preprocessor.named_transformers_["encoder"].categories_):
        try:
            values = np.asarray(known, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"column {column} has categories that are no numbers; train on whole numbers") from None
        values = values[~np.isnan(values)]
        if not np.all((values >= 0) & (values < MAX_CATEGORY) & (values == np.floor(values))):
            raise ValueError(f"column {column} has categories that are no whole numbers from 0 up; train on such")
        categories[column] = values.astype(int).tolist()
    return first + np.flatnonzero(~is_category).tolist(), categories


def histogram_tree(predictor, output: int, columns: list[int], categories: dict[int, list[int]]) -> dict:
    nodes = predictor.nodes
    tree = {
        "output": output, "left": [], "right": [], "feature": [], "threshold": [], "missing_left": [],
        "category_nodes": [], "category_counts": [], "categories": [], "values": [],
    }
    for number, node in enumerate(nodes):
        left, right, feature, threshold, missing = -1, -1, 0, 0.0, 0
        if node["is_leaf"]:
            tree["values"].append(float(node["value"]))
        else:
            left, right = int(node["left"]), int(node["right"])
            feature = columns[int(node["feature_idx"])]
            missing = int(node["missing_go_to_left"])
            if node["is_categorical"]:
                words = predictor.raw_left_cat_bitsets[int(node["bitset_idx"])]
                goes_left = [bool(words[code // 32] >> (code % 32) & 1) for code in range(len(categories[feature]))]
                # Unknown values go where missing ones go, so the set is of known values that go the other way.
                listed = [value for value, is_left in zip(categories[feature], goes_left) if is_left != bool(missing)]
                if missing:
                    left, right, missing = right, left, 0
                tree["category_nodes"].append(number)
                tree["category_counts"].append(len(listed))
                tree["categories"] += listed
            else:
                threshold = float(node["num_threshold"])
        for key, value in (("left", left), ("right", right), ("feature", feature), ("threshold", threshold),
                           ("missing_left", missing)):
            tree[key].append(value)
    return tree


# ---- isolation forest ----------------------------------------------------------------------------------------------

def isolation_forest(estimator) -> dict:
    """Depths are summed; `decision_function` is -2^(-(sum / divisor)) - offset."""
    from sklearn.ensemble._iforest import _average_path_length
    trees = []
    for number, (member, columns) in enumerate(zip(estimator.estimators_, estimator.estimators_features_)):
        depth = estimator._decision_path_lengths[number] + estimator._average_path_length_per_tree[number] - 1.0
        trees.append(plain_tree(member.tree_, 0, depth, columns))
    divisor = float(len(trees) * _average_path_length([estimator._max_samples])[0])
    if divisor == 0.0:
        raise ValueError("trees of one sample each are not supported")
    return {
        "task": "outlier", "input": "f32", "n_outputs": 1, "base": [0.0], "link": "isolation",
        "link_parameters": [divisor, float(estimator.offset_)], "labels": "inlier", "classes": ["-1", "1"],
        "trees": trees,
    }


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    import pickle
    with open(sys.argv[1], "rb") as file:
        export(pickle.load(file), sys.argv[2])
    return 0


if __name__ == "__main__":
    sys.exit(main())
