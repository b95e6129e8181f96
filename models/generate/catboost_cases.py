"""The CatBoost cases. See `common.py` for what a case is.

The answers are the trained model's own; CatBoost's reader of its JSON rounds some numbers another way. Values of
classes and counts go through `exp`: for two classes CatBoost calls the C library's, for others one of its own that
differs from CPU to CPU in the last bit, and there `value.npy` is its formula with the C library's `exp`.
"""

import json
import math
import tempfile
from pathlib import Path

import catboost
import numpy as np
import scipy.sparse
from sklearn import datasets

from common import Case, Cases, Split, random_rows, signal, sprinkle
from treelite_cases import classes

case = Cases()

SETTINGS = {"verbose": 0, "thread_count": 1, "allow_writing_files": False, "random_seed": 7, "depth": 3,
            "learning_rate": 0.3, "border_count": 31}


class CatboostModel:
    producer = "catboost"
    version = catboost.__version__

    def __init__(self, model: catboost.CatBoost, categories=(), scale=None):
        if scale is not None:
            model.set_scale_and_bias(*scale)
        self.model = model
        self._categories = list(categories)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.json")
            model.save_model(str(path), format="json")
            self._json = json.loads(path.read_text())
            # Numbers the leaves of nested trees as they stand in the file, which the trained model does not.
            self._reloaded = catboost.CatBoost().load_model(str(path), format="json")
        # What differs from run to run, and what nobody needs.
        for key in ("model_guid", "train_finish_time", "training", "output_options"):
            self._json["model_info"].pop(key, None)
        for tree in self._json.get("oblivious_trees", []):
            tree.pop("leaf_weights")
        self._file = json.dumps(self._json, separators=(",", ":")).encode()
        self.objective = self._json["model_info"]["params"]["loss_function"]["type"]
        self.outputs = len(self._json["scale_and_bias"][1])
        self.trees = self.rounds_trained = model.tree_count_
        self.profile = {"input": "f32", "comparison": "le", "sum": "f64", "base": "last"}
        self.feature_names = model.feature_names_

    def files(self):
        return {"model.json": self._file}

    def splits(self):
        info = self._json["features_info"]
        column = {feature["feature_index"]: feature["flat_feature_index"] for feature in info["float_features"]}
        categories = {feature["feature_index"]: feature["flat_feature_index"]
                      for feature in info.get("categorical_features", [])}
        found = []

        def add(number, split, leaves):
            if split["split_type"] == "FloatFeature":
                found.append(Split(number, column[split["float_feature_index"]], split["border"], [], leaves))
            else:
                found.append(Split(number, categories[split["cat_feature_index"]], None, list(range(12)), leaves))

        def visit(number, node, leaf):
            if "split" not in node:
                return [leaf]
            left = visit(number, node["left"], leaf)
            right = visit(number, node["right"], leaf + len(left))
            add(number, node["split"], left + right)
            return left + right

        for number, tree in enumerate(self._json.get("oblivious_trees", [])):
            for split in tree["splits"] or []:
                add(number, split, list(range(2 ** len(tree["splits"]))))
        for number, tree in enumerate(self._json.get("trees", [])):
            visit(number, tree, 0)
        return found

    def pool(self, rows):
        """CatBoost takes numbers as f32 and categories as whole numbers; others are in no category."""
        if scipy.sparse.issparse(rows):
            return rows.astype(np.float32)
        with np.errstate(over="ignore"):
            narrow = rows.astype(np.float32)
        if not self._categories:
            return narrow
        table = np.array(narrow, dtype=object)
        for column in self._categories:
            whole = [value if value == np.floor(value) and 0 <= value < 2**32 else -1.0 for value in rows[:, column]]
            table[:, column] = [int(value) for value in whole]
        return table

    def predict(self, rows, kind, span=None):
        if kind == "leaf":
            return self._reloaded.calc_leaf_indexes(self.pool(rows), thread_count=1)
        start, stop = span or (0, 0)
        options = {"ntree_start": start, "ntree_end": stop, "thread_count": 1}
        margin = self.model.predict(self.pool(rows), prediction_type="RawFormulaVal", **options)
        if kind == "margin":
            return margin
        self._rows = rows
        if self.objective in ("Logloss", "CrossEntropy"):
            return self.model.predict(self.pool(rows), prediction_type="Probability", **options)[:, 1]
        if self.objective in ("Poisson", "Tweedie"):
            value = np.array([math.exp(x) for x in margin])
            own = self.model.predict(self.pool(rows), prediction_type="Exponent", **options)
        elif self.objective == "MultiClass":
            value = np.array([softmax(row) for row in margin])
            own = self.model.predict(self.pool(rows), prediction_type="Probability", **options)
        elif self.objective in ("MultiClassOneVsAll", "MultiLogloss"):
            value = np.array([[1.0 / (1.0 + math.exp(-x)) for x in row] for row in margin])
            own = self.model.predict(self.pool(rows), prediction_type="Probability", **options)
            assert np.array_equal(value, own)
        else:
            return margin
        np.testing.assert_allclose(value, own, rtol=3e-15)
        return value

    def label(self, value):
        # By the margins, which are not told here: those of the rows last predicted.
        if self.objective in ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll"):
            chosen = self.model.predict(self.pool(self._rows), prediction_type="Class").reshape(-1)
            names = list(self.model.classes_) or [0, 1]
            return np.array([names.index(type(names[0])(name)) for name in chosen])
        return None


def softmax(row):
    greatest = max(row)
    powers = [math.exp(x - greatest) for x in row]
    total = 0.0
    for power in powers:
        total += power
    return [power / total for power in powers]


def train(rows, target, rounds, loss, categories=(), group=None, scale=None, **params) -> CatboostModel:
    table = np.array(rows, dtype=object)
    for column in categories:
        table[:, column] = rows[:, column].astype(int)
    pool = catboost.Pool(table if categories else rows.astype(np.float32), target, cat_features=list(categories),
                         group_id=group, thread_count=1)
    model = catboost.CatBoost(SETTINGS | {"loss_function": loss, "iterations": rounds} | params)
    return CatboostModel(model.fit(pool), categories, scale)


@case
def breast_cancer():
    """Two classes on the Wisconsin breast cancer data, with feature names. Values are rounded to f32 and compared with f32
    borders, `>` goes right (K2); the class is told by the margin, above 0."""
    data = datasets.load_breast_cancer()
    names = [str(name) for name in data.feature_names]
    pool = catboost.Pool(data.data.astype(np.float32), data.target, feature_names=names, thread_count=1)
    model = catboost.CatBoost(SETTINGS | {"loss_function": "Logloss", "iterations": 12}).fit(pool)
    return Case(CatboostModel(model), data.data, natural=100, reach=100, csv=True, spans=[(0, 5), (5, 12)])


@case
def diabetes():
    """Squared error: the mean as bias, added last; not for rounds that do not begin with the first."""
    data = datasets.load_diabetes(scaled=False)
    return Case(train(data.data, data.target, 15, "RMSE"), data.data, natural=100, reach=150, spans=[(0, 4), (3, 15)])


@case
def many_trees():
    """Trees by the hundred, which CatBoost adds by fours: the order of the sum. Deeper than a byte of leaf numbers."""
    rows = random_rows(401, 300, 4)
    return Case(train(rows, signal(rows), 101, "RMSE", depth=2), rows, natural=100, reach=100)


@case
def deep_trees():
    """A thousand leaves a tree."""
    rows = random_rows(402, 300, 5)
    return Case(train(rows, signal(rows), 2, "RMSE", depth=10), rows, natural=100, reach=60)


@case
def wine():
    """Three classes, a value for each in every leaf, softmax; the class is the first greatest margin (K22, K27)."""
    data = datasets.load_wine()
    return Case(train(data.data, data.target, 8, "MultiClass"), data.data, natural=100, reach=100, spans=[(0, 3), (2, 8)])


@case
def one_versus_all():
    """Three classes, a sigmoid for each."""
    rows = random_rows(403, 250, 4)
    return Case(train(rows, classes(rows, 3), 6, "MultiClassOneVsAll"), rows, natural=80, reach=100)


@case
def cross_entropy():
    """Probabilities as targets: a sigmoid."""
    rows = random_rows(404, 250, 4)
    return Case(train(rows, np.clip(signal(rows) / 4.0 + 0.5, 0.0, 1.0), 8, "CrossEntropy"), rows, natural=80, reach=100)


@case
def multi_label():
    """Two yes-or-no questions: a sigmoid for each, no class."""
    rows = random_rows(405, 250, 4)
    target = np.stack([rows[:, 0] > 0.1, rows[:, 1] > -0.2], 1).astype(int)
    return Case(train(rows, target, 6, "MultiLogloss"), rows, natural=80, reach=100)


@case
def poisson():
    """Counts: the exponential of the margin."""
    rows = random_rows(406, 250, 4)
    return Case(train(rows, np.floor(np.abs(signal(rows)) * 4.0), 8, "Poisson"), rows, natural=80, reach=100)


@case
def multi_regression():
    """Three numbers at once, a bias for each."""
    rows = random_rows(407, 250, 4)
    target = np.stack([signal(rows), rows[:, 1], rows[:, 2]], 1)
    return Case(train(rows, target, 6, "MultiRMSE"), rows, natural=80, reach=100)


@case
def ranking():
    """Ranks within groups: the margin."""
    rows = random_rows(408, 240, 4)
    group = np.arange(240) // 12
    return Case(train(rows, np.clip(np.floor(signal(rows) + 2.0), 0, 4), 6, "QueryRMSE", group=group), rows, natural=80,
                reach=100)


@case
def depth_wise():
    """Grown depth-wise: trees of their own splits at every node, written as nodes within nodes."""
    rows = sprinkle(random_rows(409, 250, 4), np.nan, 0.1, 410)
    return Case(train(rows, signal(rows), 6, "RMSE", grow_policy="Depthwise", depth=4), rows, natural=100, reach=150)


@case
def leaf_wise_classes():
    """Grown leaf by leaf, with a value for each of three classes in every leaf."""
    rows = random_rows(411, 250, 4)
    model = train(rows, classes(rows, 3), 4, "MultiClass", grow_policy="Lossguide", max_leaves=9, depth=6)
    return Case(model, rows, natural=100, reach=100)


@case
def missing_below():
    """NaN counts as below all borders (AsFalse), and where none was seen (AsIs) too (K3). Absent entries of a sparse
    matrix are zeros (K26)."""
    rows = sprinkle(random_rows(412, 250, 4), np.nan, 0.1, 413)
    rows[:, 3] = random_rows(414, 250, 1)[:, 0]
    return Case(train(rows, signal(rows), 8, "RMSE"), rows, natural=100, reach=150, csr=True)


@case
def missing_above():
    """NaN counts as above all borders: nan_mode Max (K3)."""
    rows = sprinkle(random_rows(415, 250, 4), np.nan, 0.15, 416)
    return Case(train(rows, signal(rows), 8, "RMSE", nan_mode="Max"), rows, natural=100, reach=150)


@case
def category_one_hot():
    """Categories known by hashes of their digits; others, fractions and missing ones are none of them (K6)."""
    rows = random_rows(417, 300, 4)
    rows[:, 0] = np.floor((rows[:, 0] + 1.0) * 5.0)
    rows[:, 2] = np.floor((rows[:, 2] + 1.0) * 2.0) * 54321.0 + 7.0
    target = np.where(np.isin(rows[:, 0], (1, 4, 7)), 1.0, -1.0) + np.where(rows[:, 2] > 60000.0, 0.7, 0.0) + rows[:, 1]
    model = train(rows, target, 10, "RMSE", categories=(0, 2), one_hot_max_size=20)
    return Case(model, rows, natural=100, reach=60)


@case
def category_depth_wise():
    """Categories in trees that are not oblivious."""
    rows = random_rows(418, 300, 3)
    rows[:, 1] = np.floor((rows[:, 1] + 1.0) * 4.0)
    target = np.where(np.isin(rows[:, 1], (2, 5)), 1.0, -1.0) + rows[:, 0]
    model = train(rows, target, 5, "RMSE", categories=(1,), one_hot_max_size=20, grow_policy="Depthwise")
    return Case(model, rows, natural=100, reach=60)


@case
def scaled():
    """A scale and a bias set after the training: the sum is multiplied first."""
    rows = random_rows(419, 200, 4)
    return Case(train(rows, signal(rows), 6, "RMSE", scale=(0.3, 1.7)), rows, natural=80, reach=100)
