"""The LightGBM cases. See `common.py` for what a case is.

The rules they pin down: f64 input, `x <= threshold`, f64 sum that starts at zero. LightGBM flushes dense rows first
(|x| <= 1e-35f becomes 0) but not sparse ones, so the two differ where x is exactly -1e-35f: trained models have
thresholds there.
"""

import json

import numpy as np
import lightgbm as lgb
import pandas as pd
from sklearn import datasets

from common import Case, Cases, Split, random_rows, signal, sprinkle

case = Cases()

SETTINGS = {
    "num_threads": 1, "seed": 7, "deterministic": True, "force_row_wise": True, "verbosity": -1, "num_leaves": 8,
    "max_bin": 31, "min_data_in_leaf": 5, "learning_rate": 0.2,
    # Small data: let every category have a say.
    "min_data_per_group": 1, "cat_smooth": 0.0, "cat_l2": 0.0,
}


def parse_trees(text: str) -> list[dict[str, list[str]]]:
    """The `Tree=` sections of a model file as key -> words."""
    trees = []
    for line in text.split("end of trees")[0].splitlines():
        key, _, words = line.partition("=")
        if key == "Tree":
            trees.append({})
        elif trees:
            trees[-1][key] = words.split()
    return trees


class LightgbmModel:
    producer = "lightgbm"
    version = lgb.__version__

    def __init__(self, text: str, edit=lambda text: text, dump=False):
        self._text = text
        self._file = edit(text).encode()
        self._dump = dump
        # Predict with what is written, not with what was trained.
        self.booster = lgb.Booster(model_str=text)
        header = dict(line.partition("=")[::2] for line in text.split("Tree=")[0].splitlines())
        self.objective = header.get("objective", "custom").split(" ")[0]
        self.outputs = self.booster.num_model_per_iteration()
        self.trees = self.booster.num_trees()
        self.rounds_trained = self.booster.current_iteration()
        self.profile = {"input": "f64", "comparison": "le", "sum": "f64", "base": "none"}
        self.feature_names = self.booster.feature_name()

    def files(self):
        dump = {"model.json": json.dumps(self.booster.dump_model()).encode()} if self._dump else {}
        return {"model.txt": self._file} | dump

    def predict_table(self, table):
        """The answer for a data frame."""
        return self.booster.predict(table, num_threads=1)

    def splits(self):
        found = []
        for number, tree in enumerate(parse_trees(self._text)):
            if tree["num_leaves"] == ["1"]:
                continue

            def leaves(child):
                if child < 0:
                    return [~child]
                return leaves(int(tree["left_child"][child])) + leaves(int(tree["right_child"][child]))

            for node, feature in enumerate(tree["split_feature"]):
                cut, codes = float(tree["threshold"][node]), []
                if int(tree["decision_type"][node]) & 1:
                    start, stop = (int(tree["cat_boundaries"][int(cut) + i]) for i in (0, 1))
                    words = [int(word) for word in tree["cat_threshold"][start:stop]]
                    cut, codes = None, [code for code in range(32 * len(words)) if words[code // 32] >> code % 32 & 1]
                found.append(Split(number, int(feature), cut, codes, leaves(node)))
        return found

    def rounds(self, span: tuple[int, int]) -> dict:
        return {"start_iteration": span[0], "num_iteration": span[1] - span[0]}

    def predict(self, rows, kind, span=None, base=None):
        assert base is None, "init_score is no part of predict"
        options = {"margin": {"raw_score": True}, "value": {}, "leaf": {"pred_leaf": True}}[kind]
        if span:
            options |= self.rounds(span)
        out = self.booster.predict(rows, num_threads=1, **options)
        return out.reshape(len(out), self.trees) if kind == "leaf" else out

    def label(self, value):
        if self.objective == "binary":
            return np.argmax(np.stack([1.0 - value, value], axis=1), axis=1)
        return np.argmax(value, axis=1) if self.objective.startswith("multiclass") else None


def boost(rows, target, rounds, names="auto", categories="auto", group=None, **params) -> str:
    """The text of the trained model."""
    settings = SETTINGS | params
    data = lgb.Dataset(rows, target, feature_name=names, categorical_feature=categories, group=group, params=settings)
    return lgb.train(settings, data, rounds).model_to_string()


def train(rows, target, rounds, dump=False, **options) -> LightgbmModel:
    """With `dump` also the JSON of the model is written."""
    return LightgbmModel(boost(rows, target, rounds, **options), dump=dump)


# ---- real data -----------------------------------------------------------------------------------------------------

@case
def breast_cancer():
    """Binary classification on the Wisconsin breast cancer data; the README's example. Neighbours of each threshold
    in both precisions: rounding the f64 threshold to f32 takes the wrong branch (K1)."""
    data = datasets.load_breast_cancer()
    names = [str(name).replace(" ", "_") for name in data.feature_names]
    return Case(train(data.data, data.target, 20, names=names, objective="binary"), data.data, csv=True,
                spans=[(0, 5), (5, 20)])


@case
def diabetes():
    """Squared error on the diabetes data."""
    data = datasets.load_diabetes(scaled=False)
    model = train(data.data, data.target, 20, names=data.feature_names, objective="regression")
    return Case(model, data.data, csv=True, spans=[(0, 1), (3, 20)])


@case
def wine():
    """Multi-class: one tree per class and round, softmax in f64 (K27)."""
    data = datasets.load_wine()
    model = train(data.data, data.target, 6, names=data.feature_names, objective="multiclass", num_class=3,
                  num_leaves=5)
    return Case(model, data.data, csv=True, spans=[(0, 3), (2, 6)], staged=True)


# ---- objectives ----------------------------------------------------------------------------------------------------

def classes(rows: np.ndarray) -> np.ndarray:
    """Three classes for the objectives that need them."""
    return np.where(signal(rows) > 0.5, 2, np.where(signal(rows) > -0.5, 1, 0))


@case
def one_versus_all():
    """multiclassova with sigmoid 0.7: a logistic function per class, no softmax, the sum is not 1 (K15)."""
    rows = random_rows(101, 300, 5)
    model = train(rows, classes(rows), 6, objective="multiclassova", num_class=3, sigmoid=0.7, num_leaves=6, dump=True)
    return Case(model, rows, spans=[(0, 3), (2, 6)])


@case
def binary_sigmoid():
    """Binary with sigmoid 2: the score is multiplied by it before the logistic function (K15). Fortran-order input."""
    rows = random_rows(102, 300, 5)
    return Case(train(rows, signal(rows) > 0.0, 10, objective="binary", sigmoid=2.0), rows, order="F")


@case
def poisson():
    """Counts: exponential of the score."""
    rows = random_rows(103, 300, 5)
    return Case(train(rows, np.floor(np.abs(signal(rows)) * 4.0), 10, objective="poisson"), rows)


@case
def gamma():
    """Gamma regression: exponential of the score. f32 input: at a rounded f64 threshold the branch follows the f64
    threshold (K1)."""
    rows = random_rows(104, 300, 5)
    return Case(train(rows, np.abs(signal(rows)) + 0.1, 10, objective="gamma"), rows, dtype=np.float32)


@case
def tweedie():
    """Tweedie regression with power 1.3."""
    rows = random_rows(105, 300, 5)
    model = train(rows, np.maximum(signal(rows), 0.0), 10, objective="tweedie", tweedie_variance_power=1.3)
    return Case(model, rows)


@case
def cross_entropy():
    """Labels are probabilities; logistic function of the score, no class label."""
    rows = random_rows(106, 300, 5)
    target = np.clip(signal(rows) * 0.2 + 0.5, 0.0, 1.0)
    return Case(train(rows, target, 10, objective="cross_entropy"), rows)


@case
def cross_entropy_lambda():
    """The value is log1p(exp(score)), not a probability (K15)."""
    rows = random_rows(107, 300, 5)
    target = np.clip(signal(rows) * 0.2 + 0.5, 0.0, 1.0)
    return Case(train(rows, target, 10, objective="cross_entropy_lambda"), rows)


@case
def square_root():
    """reg_sqrt: trained on the square root, the value is sign(score) * score * score (K15)."""
    rows = random_rows(108, 300, 5)
    return Case(train(rows, signal(rows) * 9.0, 10, objective="regression", reg_sqrt=True), rows)


@case
def ranking():
    """lambdarank: the score is the value."""
    rows = random_rows(109, 300, 5)
    grade = np.clip(np.floor(signal(rows) + 2.0), 0.0, 4.0)
    return Case(train(rows, grade, 8, objective="lambdarank", group=[20] * 15), rows)


@case
def ranking_xendcg():
    """rank_xendcg: the score is the value."""
    rows = random_rows(116, 200, 4)
    grade = np.clip(np.floor(signal(rows) + 2.0), 0.0, 4.0)
    model = train(rows, grade, 5, objective="rank_xendcg", group=[20] * 10, num_leaves=4)
    return Case(model, rows, natural=60, reach=20)


@case
def absolute_error():
    """regression_l1: leaves are refitted to medians."""
    rows = random_rows(110, 300, 5)
    return Case(train(rows, signal(rows), 8, objective="regression_l1"), rows)


@case
def quantile():
    """The 0.8 quantile."""
    rows = random_rows(111, 300, 5)
    return Case(train(rows, signal(rows), 8, objective="quantile", alpha=0.8), rows)


@case
def huber():
    """Huber loss."""
    rows = random_rows(112, 300, 5)
    return Case(train(rows, signal(rows), 8, objective="huber"), rows)


@case
def fair():
    """Fair loss."""
    rows = random_rows(113, 300, 5)
    return Case(train(rows, signal(rows), 8, objective="fair"), rows)


@case
def mape():
    """Mean absolute percentage error. f32 input (K1)."""
    rows = random_rows(114, 300, 5)
    return Case(train(rows, signal(rows) * 5.0 + 20.0, 8, objective="mape"), rows, dtype=np.float32)


@case
def custom_objective():
    """Trained with the caller's own loss: the file names no objective, the score is the value."""
    rows = random_rows(115, 300, 5)

    def squared(score, data):
        return score - data.get_label(), np.ones_like(score)

    text = boost(rows, signal(rows), 8, objective=squared)
    assert "\nobjective=" not in text.split("Tree=0")[0]
    return Case(LightgbmModel(text, dump=True), rows)


# ---- missing values ------------------------------------------------------------------------------------------------

def rows_with_holes(seed: int) -> np.ndarray:
    """Zeros, missing values, and numbers so small that LightGBM takes them for zero."""
    rows = sprinkle(random_rows(seed, 400, 5), 0.0, 0.25, seed + 1)
    return sprinkle(sprinkle(sprinkle(rows, np.nan, 0.15, seed + 2), 1e-36, 0.03, seed + 3), -1e-36, 0.03, seed + 4)


def holes_matter(rows: np.ndarray) -> np.ndarray:
    """A target that depends on which fields are missing and which are zero."""
    return np.where(np.isnan(rows[:, 0]), 0.7, signal(rows)) + np.where(np.abs(rows[:, 1]) < 1e-35, -0.8, 0.0) \
        + np.where(np.isnan(rows[:, 2]), -0.9, 0.0)


@case
def missing_nan():
    """Missing type NaN, default left and right. An absent entry of a sparse matrix is 0.0, not missing (K26). Empty
    fields in rows.csv."""
    rows = rows_with_holes(120)
    return Case(train(rows, holes_matter(rows) > 0.0, 10, objective="binary"), rows, csr=True, csv=True)


@case
def zero_as_missing():
    """zero_as_missing: zeros, NaN and anything up to 1e-35 in size take the default branch (K3, K4)."""
    rows = rows_with_holes(130)
    model = train(rows, holes_matter(rows), 10, objective="regression", zero_as_missing=True, dump=True)
    return Case(model, rows, csr=True)


@case
def no_missing():
    """use_missing=false: NaN is read as 0.0 and compared, default_left does not matter (K3)."""
    rows = rows_with_holes(140)
    return Case(train(rows, holes_matter(rows), 10, objective="regression", use_missing=False), rows, csr=True)


@case
def no_missing_seen():
    """No NaN in training: missing type None, and NaN is read as 0.0 on either side of the threshold (K3)."""
    rows = random_rows(150, 300, 5)
    return Case(train(rows, signal(rows), 10, objective="regression"), sprinkle(rows, np.nan, 0.2, 151))


# ---- categories ----------------------------------------------------------------------------------------------------

def category_rows(seed: int, codes: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns 1 and 3 hold category codes, 5 of them in column 3. Some of everything is missing."""
    rows = random_rows(seed, 600, 4)
    rng = np.random.default_rng(seed + 1)
    rows[:, 1] = rng.integers(0, codes, 600)
    rows[:, 3] = rng.integers(0, 5, 600)
    target = rows[:, 0] + (rows[:, 1] * 7 % 5 < 2) * 1.5 - (rows[:, 3] == 2) * rows[:, 2]
    return sprinkle(rows, np.nan, 0.05, seed + 2), target


@case
def category_sets():
    """Sets over 90 codes, three words each; the stored set goes left. -0.5 is category 0, 1.9 is category 1; -1, NaN,
    codes beyond the set, 2^31, 1e300 and infinity go right (K6)."""
    rows, target = category_rows(160, 90)
    return Case(train(rows, target, 10, categories=[1, 3], max_cat_to_onehot=1, max_cat_threshold=64), rows, csr=True)


@case
def category_one_hot():
    """One category against the rest (K6). Nothing was missing in training, yet NaN still goes right."""
    rows, target = category_rows(163, 12)
    rows = np.nan_to_num(rows)
    return Case(train(rows, target, 10, categories=[1, 3], max_cat_to_onehot=100), rows)


COLOURS, ZONES = ["red", "green", "blue", "grün", 'a "b"', "black"], [10, 20, -3, 40, 7]


@case
def category_names():
    """Trained on a table with category names and numbers: the file ends with pandas_categorical. X.npy holds codes;
    table.csv names, which are recoded by value, and one that training did not see, which counts as missing (K13)."""
    rows, target = category_rows(166, 6)
    table = pd.DataFrame({"size": rows[:, 0], "colour": rows[:, 1], "weight": rows[:, 2], "zone": rows[:, 3]})
    for name, words in (("colour", COLOURS), ("zone", ZONES)):
        codes = np.where(np.isnan(table[name]), -1, table[name]).astype(int)
        table[name] = pd.Categorical.from_codes(codes, categories=words)
    model = train(table, target, 8, objective="regression", dump=True)
    again = table.iloc[::12].copy()
    for name, unseen in (("colour", "pink"), ("zone", 11)):
        again[name] = again[name].cat.reorder_categories(list(reversed(again[name].cat.categories)))
        again[name] = again[name].cat.add_categories([unseen])
        again.iloc[3, again.columns.get_loc(name)] = unseen
    return Case(model, rows, table=again)


# ---- boosting ------------------------------------------------------------------------------------------------------

FOREST = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}


@case
def forest_regression():
    """Random forest: the value is the score divided by the number of rounds used, the raw score is not (K15)."""
    rows = random_rows(170, 300, 5)
    return Case(train(rows, signal(rows), 10, objective="regression", **FOREST), rows, spans=[(0, 3), (2, 7)])


@case
def forest_binary():
    """Random forest of a binary objective: average first, then the logistic function (K15)."""
    rows = random_rows(171, 300, 5)
    return Case(train(rows, signal(rows) > 0.0, 10, objective="binary", **FOREST), rows, spans=[(0, 3), (2, 7)])


@case
def forest_classes():
    """Random forest with three classes: average, then softmax (K15)."""
    rows = random_rows(172, 300, 5)
    model = train(rows, classes(rows), 6, objective="multiclass", num_class=3, num_leaves=5, **FOREST, dump=True)
    return Case(model, rows, spans=[(0, 3), (2, 6)], by_tree=True, staged=True)


@case
def dart():
    """Dropout trees: the weights are already in the leaves."""
    rows = random_rows(173, 300, 5)
    model = train(rows, signal(rows) > 0.0, 20, objective="binary", boosting="dart", drop_rate=0.3)
    return Case(model, rows, spans=[(0, 7), (7, 20)])


@case
def linear_leaves():
    """linear_tree: a leaf is a constant plus coefficients times features, in the listed order and without fused
    multiply-add; if one of its features is missing, the plain leaf value counts (K15)."""
    rows = random_rows(174, 400, 5)
    model = train(rows, signal(rows), 8, objective="regression", linear_tree=True, dump=True)
    return Case(model, sprinkle(rows, np.nan, 0.1, 175), huge=False, spans=[(0, 1), (1, 8)], by_tree=True)


# ---- shapes of trees -----------------------------------------------------------------------------------------------

@case
def many_trees():
    """500 small trees. f32 input (K1)."""
    rows = random_rows(180, 500, 8)
    target = signal(rows) + rows[:, 4] * rows[:, 5] > 0.0
    model = train(rows, target, 500, objective="binary", num_leaves=6, learning_rate=0.1, max_bin=63)
    return Case(model, rows, dtype=np.float32, natural=100, reach=0, spans=[(0, 100), (450, 500)])


@case
def deep_trees():
    """Trees with 300 leaves, grown leaf by leaf and far from balanced."""
    rows = random_rows(181, 1500, 5)
    target = signal(rows) + random_rows(182, 1500, 1)[:, 0]
    model = train(rows, target, 3, objective="regression", num_leaves=300, min_data_in_leaf=2, max_bin=255)
    return Case(model, rows, natural=100, reach=200, dtype=np.float32)


@case
def leaf_only():
    """Every label is 3.5: one tree with a single leaf (K17)."""
    rows = random_rows(183, 60, 4)
    return Case(train(rows, np.full(60, 3.5), 3, objective="regression", dump=True), rows)


@case
def tie():
    """The probability is exactly 0.5 for every row: the label is 0 (K22)."""
    rows = random_rows(189, 60, 4)
    return Case(train(rows, np.arange(60) % 2, 2, objective="binary", min_gain_to_split=1e9), rows)


@case
def class_never_seen():
    """Four classes, one of which no row has: its trees are single leaves among trees with splits (K17)."""
    rows = random_rows(184, 300, 5)
    model = train(rows, classes(rows) + (classes(rows) > 1), 5, objective="multiclass", num_class=4, num_leaves=5,
                  dump=True)
    return Case(model, rows)


def edit_thresholds(text: str, new: dict[int, str]) -> str:
    """The model with the root threshold of some trees replaced (tree number -> threshold)."""
    head, *trees = text.split("\nthreshold=")
    for tree, threshold in new.items():
        trees[tree] = threshold + trees[tree][trees[tree].index(" "):]
    lines = "\nthreshold=".join([head, *trees]).split("\n")
    return "\n".join(line for line in lines if not line.startswith("tree_sizes="))  # they no longer hold


@case
def tiny_threshold():
    """Edited by hand after training: thresholds 5e-37 and -5e-37. A dense 1e-36 is flushed to zero and goes left at
    the first, in a sparse matrix it stays and goes right (K5). The file has no tree_sizes."""
    rows = sprinkle(sprinkle(random_rows(185, 200, 4), 1e-36, 0.2, 186), -1e-36, 0.2, 187)
    text = boost(rows, signal(rows), 4, objective="regression", num_leaves=4)
    return Case(LightgbmModel(edit_thresholds(text, {0: "5e-37", 2: "-5e-37"})), rows, csr=True)


@case
def huge_thresholds():
    """Edited by hand after training: thresholds inf, -inf and 1e300, which real files contain (K16)."""
    rows = random_rows(188, 200, 4)
    text = boost(rows, signal(rows), 4, objective="regression", num_leaves=4)
    model = LightgbmModel(edit_thresholds(text, {0: "inf", 1: "-inf", 3: "1.0000000000000001e+300"}))
    return Case(model, rows)


@case
def odd_leaves():
    """Edited by hand after training: leaves nan, -nan, inf, -inf and 1e300, which broken training leaves behind (K16)."""
    rows = random_rows(190, 200, 4)
    head, *trees = boost(rows, signal(rows), 6, objective="regression", num_leaves=4).split("\nleaf_value=")
    for tree, value in enumerate(["nan", "-nan", "inf", "-inf", "1.0000000000000001e+300"]):
        trees[tree] = value + trees[tree][trees[tree].index(" "):]
    lines = "\nleaf_value=".join([head, *trees]).split("\n")
    model = LightgbmModel("\n".join(line for line in lines if not line.startswith("tree_sizes=")))
    return Case(model, rows)
