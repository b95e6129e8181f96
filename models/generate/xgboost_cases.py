"""The XGBoost cases. See `common.py` for what a case is.

Predictions come from `Booster.predict(DMatrix)`, the reference for XGBoost: f32 input, `x < threshold`, f32 sum that
starts with base_score. A DMatrix refuses infinities unless `missing` is one, and then that one counts as missing, so
rows with +inf are predicted with missing=-inf and all others with missing=+inf. NaN is missing either way. Where
`inplace_predict` is defined to give the same, `predict` checks that it does.
"""

import json

import numpy as np
import pandas as pd
import scipy.sparse
import xgboost as xgb
from sklearn import datasets

from common import Case, Cases, Split, random_rows, signal, sprinkle

case = Cases()

SETTINGS = {"nthread": 1, "seed": 7, "verbosity": 0, "tree_method": "hist", "max_bin": 32, "max_depth": 3, "eta": 0.3}


class XgboostModel:
    producer = "xgboost"
    version = xgb.__version__

    def __init__(self, booster: xgb.Booster, formats: tuple[str, ...] = ("json",), edit=lambda json: json):
        self._files = {f"model.{name}": edit(bytes(booster.save_raw(name))) for name in formats}
        # Predict with what is written, not with what was trained; all files must load to the same model.
        loaded = [xgb.Booster({"nthread": 1}, model_file=bytearray(file)) for file in self._files.values()]
        self.booster = loaded[0]
        assert len({bytes(booster.save_raw("ubj")) for booster in loaded}) == 1
        self.describe(json.loads(self._files.get("model.json", booster.save_raw("json")))["learner"])

    def describe(self, model: dict):
        types = model.get("feature_types", [])
        self._types = types if "c" in types else None
        self.objective = model["objective"]["name"]
        shape = model["learner_model_param"]
        self.outputs = max(int(shape["num_class"]), int(shape.get("num_target", 1)), 1)
        boosted = model["gradient_booster"]
        # inplace_predict gives the same. Not for dropout trees, whose weights stand beside the trees.
        self.same_inplace = boosted["name"] == "gbtree"
        self._trees = boosted.get("gbtree", boosted).get("model", {}).get("trees", [])
        self.trees = len(self._trees)
        self.rounds_trained = self.booster.num_boosted_rounds() if hasattr(self.booster, "num_boosted_rounds") else 0
        self.profile = {"input": "f32", "comparison": "lt", "sum": "f32", "base": "first"}
        self.feature_names = model.get("feature_names") or [f"f{i}" for i in range(int(shape["num_feature"]))]

    def files(self):
        return self._files

    def replace_files(self, files: dict[str, bytes]):
        """Writes other files than were loaded, which must hold the same model."""
        self._files = files

    def splits(self):
        found = []
        for number, tree in enumerate(self._trees):
            sets = {}
            segments = (tree.get(f"categories_{part}", []) for part in ("nodes", "segments", "sizes"))
            for node, start, size in zip(*segments):
                sets[node] = tree["categories"][start:start + size]
            below = {}

            def visit(node):
                left, right = tree["left_children"][node], tree["right_children"][node]
                if left == -1:
                    return [node]
                below[node] = visit(left) + visit(right)
                return below[node]

            visit(0)
            for node, leaves in below.items():
                cut = None if node in sets else float(np.float32(tree["split_conditions"][node]))
                found.append(Split(number, tree["split_indices"][node], cut, sets.get(node, []), leaves))
        return found

    def matrix(self, rows, missing: float) -> xgb.DMatrix:
        categories = self._types is not None
        return xgb.DMatrix(rows, missing=missing, nthread=1, feature_types=self._types, enable_categorical=categories)

    def rounds(self, span: tuple[int, int]) -> dict:
        return {"iteration_range": span}

    def predict(self, rows, kind, span=None, base=None):
        options = {"margin": {"output_margin": True}, "value": {}, "leaf": {"pred_leaf": True}}[kind]
        if span:
            options |= self.rounds(span)
        with np.errstate(over="ignore"):
            if scipy.sparse.issparse(rows):
                positive = np.zeros(rows.shape[0], dtype=bool)
                positive[rows.tocoo().row[np.isposinf(rows.data.astype(np.float32))]] = True
            else:
                positive = np.isposinf(rows.astype(np.float32)).any(axis=1)
        out = None
        for chosen, missing in ((~positive, np.inf), (positive, -np.inf)):
            if not chosen.any():
                continue
            matrix = self.matrix(rows[chosen], missing)
            if base is not None:
                matrix.set_base_margin(base[chosen])
            part = self.booster.predict(matrix, validate_features=False, **options)
            if kind == "leaf":
                part = part.reshape(len(part), self.trees)
            if out is None:
                out = np.empty((rows.shape[0],) + part.shape[1:], part.dtype)
            out[chosen] = part
        if self.same_inplace and kind != "leaf":
            options = {"iteration_range": span or (0, 0), "predict_type": kind, "validate_features": False,
                       "base_margin": base}
            again = self.booster.inplace_predict(rows, **options)
            assert np.array_equal(out.reshape(len(out), -1), again.reshape(len(out), -1), equal_nan=True)
        return out

    def predict_table(self, table):
        """The answer for a data frame."""
        return self.booster.predict(xgb.DMatrix(table, nthread=1, enable_categorical=True))

    def inplace(self, rows, kind):
        """The answer of inplace_predict, which rounds dropout trees differently."""
        with np.errstate(over="ignore"):
            return self.booster.inplace_predict(rows, predict_type=kind)

    def wrapper_value(self, rows):
        """The probability of class 1 that the scikit-learn wrapper gives."""
        wrapper = xgb.XGBClassifier(n_jobs=1)
        wrapper.load_model(bytearray(next(iter(self._files.values()))))
        with np.errstate(over="ignore"):
            return wrapper.predict_proba(rows)[:, 1]

    def label(self, value):
        if self.objective.startswith("binary:") and value.ndim == 1:
            return value > 0.5
        if self.objective == "multi:softmax":
            return value
        if self.objective == "multi:softprob":
            return np.argmax(value, axis=1)
        return None


def boost(rows, target, rounds, matrix={}, start=None, **params) -> xgb.Booster:
    """`matrix` goes to the DMatrix, `start` is a booster to continue, `params` go to the training."""
    data = xgb.DMatrix(rows, target, nthread=1, enable_categorical=True, **matrix)
    return xgb.train(SETTINGS | params, data, rounds, xgb_model=start)


def train(rows, target, rounds, formats=("json",), **options) -> XgboostModel:
    return XgboostModel(boost(rows, target, rounds, **options), formats)


# ---- real data -----------------------------------------------------------------------------------------------------

@case
def breast_cancer():
    """Binary classification on the Wisconsin breast cancer data; the README's example. JSON and UBJ hold the same
    booster. f64 input one step beside each threshold must be rounded to f32 before the compare (K2)."""
    data = datasets.load_breast_cancer()
    names = {"feature_names": [str(name) for name in data.feature_names]}
    model = train(data.data, data.target, 20, ("json", "ubj"), objective="binary:logistic", matrix=names)
    return Case(model, data.data, csv=True, spans=[(0, 5), (5, 20)])


@case
def iris():
    """Multi-class probabilities. The softmax subtracts the maximum, sums the f32 exponentials in f64 and divides in
    f32 (K27)."""
    data = datasets.load_iris()
    names = {"feature_names": ["sepal length", "sepal width", "petal length", "petal width"]}
    model = train(data.data, data.target, 10, ("json", "ubj"), objective="multi:softprob", num_class=3, matrix=names)
    return Case(model, data.data, csv=True, spans=[(0, 3), (2, 7)], by_tree=True, staged=True, base=True)


@case
def wine_parallel_trees():
    """Two trees per class and round: the class of a tree is in tree_info, not its number modulo the classes (K9).
    multi:softmax predicts the class itself."""
    data = datasets.load_wine()
    model = train(data.data, data.target, 5, objective="multi:softmax", num_class=3, num_parallel_tree=2,
                  subsample=0.7, max_depth=2)
    return Case(model, data.data, spans=[(0, 3), (2, 5), (4, 5)], staged=True)


@case
def diabetes():
    """Squared error; base_score was estimated from the data and is added first. Fortran-order input."""
    data = datasets.load_diabetes(scaled=False)
    model = train(data.data, data.target, 20, ("json", "ubj"), objective="reg:squarederror",
                  matrix={"feature_names": data.feature_names})
    return Case(model, data.data, order="F", spans=[(0, 1), (3, 20)])


# ---- missing values ------------------------------------------------------------------------------------------------

@case
def missing_both_ways():
    """Missing values that go left at some splits and right at others; zeros that are values in a dense matrix and
    missing in a sparse one (K26). Empty fields in rows.csv."""
    rows = sprinkle(sprinkle(random_rows(1, 400, 6), 0.0, 0.3, 2), np.nan, 0.2, 3)
    target = np.where(np.isnan(rows[:, 1]), 0.7, signal(rows)) - np.where(rows[:, 0] == 0.0, 0.6, 0.0)
    names = {"feature_names": ["a", "b", "c", "d", "e", "f"]}
    model = train(rows, target > 0.1, 15, ("json", "ubj"), objective="binary:logistic", max_depth=4, matrix=names)
    return Case(model, rows, csr=True, csv=True)


@case
def sparse_counts():
    """Trained on a sparse matrix, where absent means missing: zeros of a dense row take the other branch (K26).
    f32 input."""
    rng = np.random.default_rng(4)
    counts = rng.integers(1, 9, (400, 12)) * (rng.random((400, 12)) < 0.25)
    target = counts[:, 0] * 2.0 - counts[:, 3] + np.where(counts[:, 5] > 3, 4.0, 0.0)
    model = train(scipy.sparse.csr_matrix(counts.astype(np.float64)), target, 12)
    return Case(model, counts, dtype=np.float32, csr=True)


# ---- objectives ----------------------------------------------------------------------------------------------------

@case
def absolute_error():
    """Absolute error: leaves are refitted to medians, the margin is the value."""
    rows = random_rows(20, 300, 5)
    return Case(train(rows, signal(rows), 8, objective="reg:absoluteerror"), rows)


@case
def pseudo_huber():
    """Pseudo-Huber error. f32 input."""
    rows = random_rows(21, 300, 5)
    return Case(train(rows, signal(rows) * 9.0, 8, objective="reg:pseudohubererror"), rows, dtype=np.float32)


@case
def poisson():
    """Counts: base_score is stored as a rate and enters the margin as its logarithm (K7)."""
    rows = random_rows(22, 300, 5)
    target = np.floor(np.abs(signal(rows)) * 4.0)
    return Case(train(rows, target, 10, objective="count:poisson"), rows, spans=[(4, 10)], base=True)


@case
def gamma():
    """Gamma regression: exponential of the margin."""
    rows = random_rows(23, 300, 5)
    return Case(train(rows, np.abs(signal(rows)) + 0.1, 10, objective="reg:gamma"), rows)


@case
def tweedie():
    """Tweedie regression with power 1.3 and an explicit base_score of 2.5 (K7)."""
    rows = random_rows(24, 300, 5)
    target = np.maximum(signal(rows), 0.0)
    model = train(rows, target, 10, objective="reg:tweedie", tweedie_variance_power=1.3, base_score=2.5)
    return Case(model, rows)


@case
def logistic_regression():
    """reg:logistic: probabilities in and out, but no class label."""
    rows = random_rows(25, 300, 5)
    target = np.clip(signal(rows) * 0.2 + 0.5, 0.0, 1.0)
    return Case(train(rows, target, 10, objective="reg:logistic"), rows)


@case
def logit_raw():
    """binary:logitraw predicts the margin; the label still compares that margin with 0.5."""
    rows = random_rows(26, 300, 5)
    return Case(train(rows, signal(rows) > 0.0, 10, objective="binary:logitraw"), rows)


@case
def hinge():
    """binary:hinge predicts 0 or 1."""
    rows = random_rows(27, 300, 5)
    return Case(train(rows, signal(rows) > 0.0, 10, objective="binary:hinge"), rows)


@case
def ranking():
    """rank:ndcg: the margin is the score."""
    rows = random_rows(28, 300, 5)
    grade = np.clip(np.floor(signal(rows) + 2.0), 0.0, 4.0)
    model = train(rows, grade, 8, objective="rank:ndcg", matrix={"qid": np.arange(300) // 20})
    return Case(model, rows)


@case
def ranking_map():
    """rank:map, of two grades: the margin is the score."""
    rows = random_rows(33, 200, 4)
    model = train(rows, signal(rows) > 0.0, 5, objective="rank:map", max_depth=2, matrix={"qid": np.arange(200) // 20})
    return Case(model, rows, natural=60, reach=20)


@case
def squared_log_error():
    """reg:squaredlogerror: the margin is the value."""
    rows = random_rows(34, 200, 4)
    model = train(rows, np.abs(signal(rows)), 5, objective="reg:squaredlogerror", max_depth=2)
    return Case(model, rows, natural=60, reach=20)


@case
def survival_cox():
    """survival:cox: exponential of the margin. Negative times were censored."""
    rows = random_rows(29, 300, 5)
    time = np.abs(signal(rows)) + 0.5
    return Case(train(rows, np.where(rows[:, 4] > 0.5, -time, time), 8, objective="survival:cox"), rows)


@case
def survival_aft():
    """survival:aft: exponential of the margin, learned from intervals."""
    rows = random_rows(30, 300, 5)
    time = np.abs(signal(rows)) + 0.5
    bounds = {"label_lower_bound": time, "label_upper_bound": np.where(rows[:, 4] > 0.5, np.inf, time)}
    return Case(train(rows, None, 8, objective="survival:aft", aft_loss_distribution="normal", matrix=bounds), rows)


@case
def quantiles():
    """Three quantiles at once, each with its own base_score (K7). XGBoost 3.2 does not sort them."""
    rows = random_rows(31, 300, 5)
    model = train(rows, signal(rows), 8, objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9])
    return Case(model, rows, spans=[(0, 3), (3, 8)])


# ---- base_score ----------------------------------------------------------------------------------------------------

@case
def base_score_tiny():
    """base_score 1e-7 with logistic: 3.2 clamps it to 1e-6 before it takes the logit, older versions do not (K7)."""
    rows = random_rows(40, 200, 4)
    model = train(rows, signal(rows) > 0.0, 5, objective="binary:logistic", base_score=1e-7, min_child_weight=0)
    return Case(model, rows)


@case
def base_score_near_one():
    """base_score 0.9999999 with logistic: clamped to 1 - 1e-6, in f32 (K7)."""
    rows = random_rows(41, 200, 4)
    model = train(rows, signal(rows) > 0.0, 5, objective="binary:logistic", base_score=0.9999999, min_child_weight=0)
    return Case(model, rows)


def with_base_score(model: bytes, score: str) -> bytes:
    document = json.loads(model)
    document["learner"]["learner_model_param"]["base_score"] = score
    return json.dumps(document, separators=(",", ":")).encode()


@case
def base_score_zero():
    """Edited by hand after training: base_score 0 with logistic, clamped to 1e-6 (K7)."""
    rows = random_rows(42, 200, 4)
    booster = boost(rows, signal(rows) > 0.0, 5, objective="binary:logistic")
    return Case(XgboostModel(booster, edit=lambda model: with_base_score(model, "[0E0]")), rows)


@case
def base_score_one():
    """Edited by hand after training: base_score 1 with logistic, clamped to 1 - 1e-6, in the spelling with round
    brackets (K7)."""
    rows = random_rows(43, 200, 4)
    booster = boost(rows, signal(rows) > 0.0, 5, objective="binary:logistic")
    return Case(XgboostModel(booster, edit=lambda model: with_base_score(model, "(1E0)")), rows)


# ---- categories ----------------------------------------------------------------------------------------------------

def category_rows(seed: int, codes: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns 1 and 3 hold category codes, 5 of them in column 3. Some of everything is missing."""
    rows = random_rows(seed, 500, 4)
    rng = np.random.default_rng(seed + 1)
    rows[:, 1] = rng.integers(0, codes, 500)
    rows[:, 3] = rng.integers(0, 5, 500)
    target = rows[:, 0] + (rows[:, 1] * 7 % 5 < 2) * 1.5 - (rows[:, 3] == 2) * rows[:, 2]
    return sprinkle(rows, np.nan, 0.05, seed + 2), target


@case
def category_sets():
    """Sets of categories; the stored set goes right. Odd codes: -0.5 and -1 are in no set and go left, -0.0 and 0.5
    are category 0, 1.9 is category 1, codes beyond the set, 2^24, 2^31 and infinity go left, NaN takes the default
    (K6). XGBoost checks none of this when it predicts."""
    rows, target = category_rows(50, 80)
    types = {"feature_types": ["float", "c", "float", "c"]}
    model = train(rows, target, 10, ("json", "ubj"), max_cat_to_onehot=1, max_depth=4, matrix=types)
    return Case(model, rows)


@case
def category_one_hot():
    """One category against the rest: that one goes right, everything unknown goes left (K6)."""
    rows, target = category_rows(53, 12)
    types = {"feature_types": ["float", "c", "float", "c"]}
    model = train(rows, target, 10, ("json", "ubj"), max_cat_to_onehot=100, max_depth=4, matrix=types)
    return Case(model, rows, csr=True)


COLOURS, ZONES = ["red", "green", "blue", "grey", 'a "b"', "black"], [10, 20, -3, 40, 7]


def category_table(rows: np.ndarray, colours: list[str]) -> pd.DataFrame:
    """The rows with categories by name: the codes of column 1 are places in `colours`, of column 3 in ZONES."""
    table = pd.DataFrame({"size": rows[:, 0], "colour": rows[:, 1], "weight": rows[:, 2], "zone": rows[:, 3]})
    for name, words in (("colour", colours), ("zone", ZONES)):
        codes = np.where(np.isnan(table[name]), -1, table[name]).astype(int)
        table[name] = pd.Categorical.from_codes(codes, categories=words)
    return table


def renumbered(table: pd.DataFrame) -> pd.DataFrame:
    """Some rows of the table, whose categories have other codes."""
    table = table.iloc[::12].copy()
    for name in ("colour", "zone"):
        table[name] = table[name].cat.reorder_categories(list(reversed(table[name].cat.categories)))
    return table


@case
def category_names():
    """Trained on a table with category names and numbers; the model carries the names (`cats`), and plain codes pass
    through unchanged (K13). X.npy holds codes; table.csv names, which a data frame that numbers them otherwise had, and
    which are recoded by value."""
    rows, target = category_rows(56, 6)
    table = category_table(rows, COLOURS)
    return Case(train(table, target, 8, ("json", "ubj")), rows, table=renumbered(table))


# ---- shapes of trees -----------------------------------------------------------------------------------------------

@case
def many_trees():
    """500 small trees. f32 input."""
    rows = random_rows(60, 500, 8)
    target = signal(rows) + rows[:, 4] * rows[:, 5] > 0.0
    model = train(rows, target, 500, ("ubj",), objective="binary:logistic", eta=0.1, max_bin=64, min_child_weight=0.1)
    return Case(model, rows, dtype=np.float32, natural=100, reach=0, spans=[(0, 100), (450, 500)])


@case
def deep_trees():
    """Trees of depth 10 with more than 255 nodes, from the exact tree method."""
    rows = random_rows(61, 1200, 5)
    target = signal(rows) + random_rows(62, 1200, 1)[:, 0]
    model = train(rows, target, 3, ("ubj",), tree_method="exact", max_depth=10, min_child_weight=3)
    return Case(model, rows, natural=100, reach=200, dtype=np.float32)


@case
def pruned_trees():
    """Pruning leaves deleted nodes behind: they are still in the arrays, unreachable, with feature 2147483647 (K11)."""
    rows = random_rows(63, 300, 4)
    target = signal(rows) + random_rows(64, 300, 1)[:, 0] * 0.5
    model = train(rows, target, 6, ("json", "ubj"), tree_method="exact", max_depth=6, gamma=1.0)
    assert b'"num_deleted":"0"' not in model.files()["model.json"]
    return Case(model, rows)


@case
def leaf_only_start():
    """The first two trees are single leaves (no split paid off), the rest have splits (K17)."""
    rows = random_rows(65, 300, 4)
    leaves = boost(rows, signal(rows), 2, gamma=1e9, base_score=0.5)
    return Case(train(rows, signal(rows), 6, start=leaves, gamma=0.0, base_score=0.5), rows, spans=[(0, 2), (1, 6)])


@case
def leaf_only():
    """No tree has a split: the same value for every row (K17)."""
    rows = random_rows(66, 50, 4)
    return Case(train(rows, signal(rows), 3, gamma=1e9, base_score=0.25), rows)


@case
def tie():
    """The probability is exactly 0.5 for every row: the label is 0 (K22)."""
    rows = random_rows(72, 50, 4)
    return Case(train(rows, np.arange(50) % 2, 2, objective="binary:logistic", gamma=1e9, base_score=0.5), rows)


@case
def early_stopped():
    """Training stopped early and the best round is in the attributes. Booster.predict still uses every tree; the
    scikit-learn wrapper uses the rounds given here under iterations (K10)."""
    rows = random_rows(67, 400, 5)
    target = signal(rows) + random_rows(68, 400, 1)[:, 0] > 0.0
    fit, hold = (xgb.DMatrix(rows[part], target[part], nthread=1) for part in (slice(0, 250), slice(250, 400)))
    booster = xgb.train(SETTINGS | {"objective": "binary:logistic", "eval_metric": "error"}, fit, 60,
                        evals=[(hold, "hold")], early_stopping_rounds=4, verbose_eval=False)
    best = booster.best_iteration + 1
    assert 1 < best < booster.num_boosted_rounds()
    return Case(XgboostModel(booster), rows, spans=[(0, best)], wrapper=True)


@case
def odd_numbers():
    """Edited by hand after training: the bare words Infinity, -Infinity (thresholds) and NaN (a weight no prediction
    reads), which are no JSON but which XGBoost reads and writes."""
    rows = random_rows(69, 200, 4)
    booster = boost(rows, signal(rows), 3, max_depth=2)
    fields = iter([(b"split_conditions", b"Infinity"), (b"split_conditions", b"-Infinity"), (b"base_weights", b"NaN")])

    def edit(model):
        head, *trees = model.split(b'{"base_weights":[')
        for index, (field, word) in enumerate(fields):
            before, numbers = (b'{"base_weights":[' + trees[index]).split(b'"' + field + b'":[')
            trees[index] = before + b'"' + field + b'":[' + word + numbers[numbers.index(b","):]
            trees[index] = trees[index].removeprefix(b'{"base_weights":[')
        return b'{"base_weights":['.join([head, *trees])

    return Case(XgboostModel(booster, edit=edit), rows)


# ---- several outputs -----------------------------------------------------------------------------------------------

def three_targets(rows):
    return np.stack([signal(rows), rows[:, 1] * 3.0 + 5.0, rows[:, 2] - 7.0], axis=1)


@case
def multi_target():
    """Three targets, one tree per target and round, each with its own base_score (K7)."""
    rows = random_rows(70, 300, 5)
    return Case(train(rows, three_targets(rows), 6), rows, spans=[(0, 2), (2, 6)])


@case
def multi_label():
    """Three independent yes/no targets: a base_score and a logistic function each (K7)."""
    rows = random_rows(73, 300, 5)
    target = three_targets(rows) > np.array([0.0, 4.0, -6.5])
    return Case(train(rows, target, 6, objective="binary:logistic"), rows, spans=[(2, 6)])


@case
def vector_leaves():
    """Three targets in one tree (multi_output_tree). Since 3.2 the leaf's vector is in leaf_weights, at the index
    stored as the leaf's right child; a leaf is a node without a left child (K12)."""
    rows = sprinkle(random_rows(71, 300, 5), np.nan, 0.1, 72)
    model = train(rows, three_targets(np.nan_to_num(rows)), 6, ("json", "ubj"), multi_strategy="multi_output_tree")
    return Case(model, rows, spans=[(0, 2), (2, 6)], by_tree=True, staged=True, base=True)


# ---- other boosters ------------------------------------------------------------------------------------------------

@case
def dart():
    """Dropout trees, in the 3.2 layout (weights beside the trees): sum += leaf * weight, multiplied first. As
    Booster.predict(DMatrix) does it; inplace_predict differs in the last bits (K8)."""
    rows = random_rows(80, 300, 5)
    model = train(rows, signal(rows) > 0.0, 20, ("json", "ubj"), objective="binary:logistic", booster="dart",
                  rate_drop=0.3)
    return Case(model, rows, spans=[(0, 7), (7, 20)], inplace=True)


@case
def dart_high_base():
    """Dropout trees with base_score 100, beside which leaves lose digits in inplace_predict (K8)."""
    rows = random_rows(86, 200, 4)
    model = train(rows, signal(rows) + 100.0, 8, booster="dart", rate_drop=0.3, max_depth=2, base_score=100.0)
    case = Case(model, rows, natural=60, reach=20, inplace=True)
    assert not np.array_equal(model.inplace(rows, "margin"), model.predict(rows, "margin"))
    return case


@case
def dart_classes():
    """Dropout trees with three classes."""
    rows = random_rows(81, 300, 5)
    kind = np.where(signal(rows) > 0.5, 2, np.where(signal(rows) > -0.5, 1, 0))
    model = train(rows, kind, 8, objective="multi:softprob", num_class=3, booster="dart", rate_drop=0.3, max_depth=2)
    return Case(model, rows, by_tree=True, staged=True, inplace=True)


LINEAR = {"booster": "gblinear", "updater": "coord_descent", "tree_method": None, "max_bin": None, "max_depth": None}


@case
def linear():
    """gblinear: bias, then x * weight in feature order, missing values skipped. No trees, no leaves."""
    rows = sprinkle(random_rows(82, 300, 5), np.nan, 0.1, 83)
    return Case(train(rows, signal(rows) + 3.0, 10, ("json", "ubj"), **LINEAR), rows, huge=False, reach=0)


@case
def linear_targets():
    """gblinear with three targets: XGBoost adds the first base_score to every output, and so must we (K14)."""
    rows = random_rows(84, 300, 5)
    return Case(train(rows, three_targets(rows), 10, **LINEAR), rows, huge=False, reach=0, base=True)


@case
def linear_classes():
    """gblinear with three classes and softmax."""
    rows = random_rows(85, 300, 5)
    kind = np.where(signal(rows) > 0.5, 2, np.where(signal(rows) > -0.5, 1, 0))
    return Case(train(rows, kind, 10, objective="multi:softprob", num_class=3, **LINEAR), rows, huge=False, reach=0)
