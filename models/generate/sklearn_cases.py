"""The scikit-learn cases, written by `python/export_sklearn.py`. See `common.py` for what a case is.

The answers are the estimators' own: `decision_function` or `predict` as margins, `predict_proba` or `predict` as values
(of two classes the second), `apply` as leaves, `predict` as labels. They go through `exp` and powers of numpy, whose last
bit depends on the CPU unless its vector code is switched off: `__main__.py` does that.
"""

import json
import sys
from pathlib import Path

import numpy as np
import sklearn
from sklearn import datasets, ensemble, tree

from common import Case, Cases, Split, random_rows, signal, sprinkle
from treelite_cases import classes

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
import export_sklearn

case = Cases()


class SklearnModel:
    producer = "sklearn"
    version = sklearn.__version__

    def __init__(self, estimator):
        self.estimator = estimator
        self._file = export_sklearn.dumps(estimator).encode()
        self._model = json.loads(self._file)
        self.objective = type(estimator).__name__
        self.outputs = self._model["n_outputs"]
        self.trees = len(self._model["trees"])
        self.rounds_trained = self.trees // self._model["trees_per_iteration"]
        self.profile = {"input": self._model["input"], "comparison": "le", "sum": "f64", "base": "first"}
        self.feature_names = self._model["feature_names"] or [f"x{i}" for i in range(self._model["n_features"])]

    def files(self):
        return {"model.json": self._file}

    def splits(self):
        found = []
        for number, tree_ in enumerate(self._model["trees"]):
            starts = np.cumsum([0] + tree_["category_counts"])
            sets = {node: tree_["categories"][a:b]
                    for node, a, b in zip(tree_["category_nodes"], starts, starts[1:])}

            def visit(node):
                if tree_["left"][node] == -1:
                    return [node]
                leaves = visit(tree_["left"][node]) + visit(tree_["right"][node])
                cut = None if node in sets else tree_["threshold"][node]
                codes = sets.get(node, []) or ([0] if node in sets else [])
                found.append(Split(number, tree_["feature"][node], cut, codes, leaves))
                return leaves

            visit(0)
        return found

    def leaves(self, rows):
        """Leaves by node number, found by walking what was exported: histograms have no `apply`."""
        if self._model["input"] == "f32":
            with np.errstate(over="ignore"):
                rows = rows.astype(np.float32)
        out = np.empty((len(rows), self.trees), dtype=np.int64)
        for number, tree_ in enumerate(self._model["trees"]):
            starts = np.cumsum([0] + tree_["category_counts"])
            sets = {node: set(tree_["categories"][a:b])
                    for node, a, b in zip(tree_["category_nodes"], starts, starts[1:])}
            for index, row in enumerate(rows):
                node = 0
                while tree_["left"][node] != -1:
                    value = float(row[tree_["feature"][node]])
                    if np.isnan(value):
                        goes_left = bool(tree_["missing_left"][node])
                    elif node in sets:
                        goes_left = float(value) in sets[node]
                    else:
                        goes_left = value <= tree_["threshold"][node]
                    node = tree_["left" if goes_left else "right"][node]
                out[index, number] = node
        if hasattr(self.estimator, "apply"):
            own = np.asarray(self.estimator.apply(rows)).reshape(len(rows), -1)
            assert np.array_equal(out, own)
        return out

    def predict(self, rows, kind, span=None, base=None):
        if kind == "leaf":
            return self.leaves(rows)
        estimator, is_outlier = self.estimator, self._model["task"] == "outlier"
        if kind == "margin":
            if is_outlier:
                depths = np.zeros(len(rows))
                leaves = self.leaves(rows)
                for number in range(self.trees):
                    depths += (estimator._decision_path_lengths[number][leaves[:, number]]
                               + estimator._average_path_length_per_tree[number][leaves[:, number]] - 1.0)
                return depths
            if hasattr(estimator, "decision_function"):
                return estimator.decision_function(rows)
            if hasattr(estimator, "_baseline_prediction"):
                return estimator._raw_predict(rows)
        self._rows = rows
        if hasattr(estimator, "predict_proba"):
            value = estimator.predict_proba(rows)
            return value[:, 1] if self.outputs == 1 else value
        return estimator.decision_function(rows) if is_outlier else estimator.predict(rows)

    def label(self, value):
        chosen = None
        if self._model["labels"] != "none":
            chosen = self.estimator.predict(self._rows)
        if self._model["task"] == "outlier" or chosen is None:
            return chosen
        return np.searchsorted(self.estimator.classes_, chosen)


def made(estimator, rows, target, **options) -> Case:
    histogram = hasattr(estimator, "max_bins")
    small = {"natural": 80, "reach": 100, "huge": False, "nan": histogram or bool(np.isnan(rows).any())} | options
    return Case(SklearnModel(estimator.fit(rows, target)), rows, **small)


@case
def random_forest():
    """Shares of three classes, averaged: f32 input under f64 thresholds (K1), NaN where it was learned to go (K24)."""
    data = datasets.load_iris()
    rows = sprinkle(data.data, np.nan, 0.1, 501)
    return made(ensemble.RandomForestClassifier(n_estimators=9, max_depth=4, random_state=7), rows, data.target)


@case
def random_forest_tie():
    """Two classes and an even number of pure trees: ties at 0.5 are the first class (K22)."""
    rows = random_rows(502, 200, 3)
    forest = ensemble.RandomForestClassifier(n_estimators=4, max_features=1, random_state=7)
    return made(forest, rows, rows[:, 0] + rows[:, 1] > 0.1, natural=150)


@case
def random_forest_numbers():
    """Two numbers at once, each the mean of the trees."""
    rows = random_rows(503, 200, 4)
    target = np.stack([signal(rows), rows[:, 1]], 1)
    return made(ensemble.RandomForestRegressor(n_estimators=6, max_depth=4, random_state=7), rows, target)


@case
def extra_trees():
    """Extra trees: thresholds drawn at random, of all 53 bits."""
    rows = random_rows(504, 200, 4)
    return made(ensemble.ExtraTreesRegressor(n_estimators=6, max_depth=5, random_state=7), rows, signal(rows))


@case
def decision_tree():
    """A tree alone: no mean."""
    rows = random_rows(505, 200, 4)
    return made(tree.DecisionTreeClassifier(max_depth=5, random_state=7), rows, classes(rows, 3))


@case
def boosting_binary():
    """Gradient boosting: learning rate times leaf, rounded, then added; the class is 1 from a margin of 0 on."""
    data = datasets.load_breast_cancer()
    return made(ensemble.GradientBoostingClassifier(n_estimators=8, random_state=7), data.data, data.target)


@case
def boosting_exponential():
    """The exponential loss: a sigmoid of twice the margin."""
    rows = random_rows(506, 200, 4)
    boosting = ensemble.GradientBoostingClassifier(n_estimators=6, loss="exponential", random_state=7)
    return made(boosting, rows, signal(rows) > 0.2)


@case
def boosting_classes():
    """Three classes, softmax in f64 (K27)."""
    rows = random_rows(507, 200, 4)
    return made(ensemble.GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=7), rows, classes(rows, 3))


@case
def boosting_numbers():
    """A regression that starts from the median."""
    rows = random_rows(508, 200, 4)
    boosting = ensemble.GradientBoostingRegressor(n_estimators=8, loss="absolute_error", random_state=7)
    return made(boosting, rows, signal(rows))


@case
def histogram_binary():
    """Histogram gradient boosting: f64 values, NaN, the class is 1 above a margin of 0."""
    rows = sprinkle(random_rows(509, 250, 4), np.nan, 0.1, 510)
    return made(ensemble.HistGradientBoostingClassifier(max_iter=8, max_leaf_nodes=6, random_state=7), rows,
                signal(rows) > 0.2)


@case
def histogram_classes():
    """Histogram gradient boosting of three classes."""
    rows = random_rows(511, 250, 4)
    return made(ensemble.HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=5, random_state=7), rows,
                classes(rows, 3))


@case
def histogram_poisson():
    """Histogram gradient boosting of counts: exponential."""
    rows = random_rows(512, 250, 4)
    boosting = ensemble.HistGradientBoostingRegressor(max_iter=8, max_leaf_nodes=6, loss="poisson", random_state=7)
    return made(boosting, rows, np.floor(np.abs(signal(rows)) * 4.0))


@case
def histogram_categories():
    """Categories in columns 1 and 3, which the trees number first; codes with gaps, missing and unknown ones, fractions
    (K6, K24)."""
    rows = random_rows(513, 400, 4)
    rows[:, 1] = np.floor((rows[:, 1] + 1.0) * 6.0) * 3.0
    rows[:, 3] = np.floor((rows[:, 3] + 1.0) * 4.0) + 40.0
    target = np.where(rows[:, 1] % 2 == 0, 1.0, -1.0) + np.where(rows[:, 3] > 43, 0.6, 0.0) + rows[:, 0]
    rows[:, 1:] = sprinkle(rows[:, 1:], np.nan, 0.08, 514)
    boosting = ensemble.HistGradientBoostingRegressor(max_iter=8, max_leaf_nodes=8, categorical_features=[1, 3],
                                                      min_samples_leaf=5, random_state=7)
    return made(boosting, rows, target)


@case
def isolation_forest():
    """Depths under subsets of the features; -1 where the decision function is below 0."""
    rows = random_rows(515, 200, 5)
    forest = ensemble.IsolationForest(n_estimators=8, max_samples=40, max_features=3, contamination=0.2, random_state=7)
    forest.fit(rows)
    return Case(SklearnModel(forest), rows, natural=80, reach=100, huge=False)
