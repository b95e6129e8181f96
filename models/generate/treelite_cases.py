"""The Treelite cases. See `common.py` for what a case is.

The answers are those of GTIL, Treelite's reference evaluator: sums in the type of the leaves from zero, in tree order;
then means; then base scores, in f64; softmax in f32 whatever the type. What the source library itself would say differs
in the last bits, so models of other libraries are only the raw material here.
"""

import json

import numpy as np
import scipy.sparse
import treelite
from sklearn import datasets, ensemble

import lightgbm_cases
import xgboost_cases
from common import Case, Cases, Split, random_rows, signal, sprinkle

case = Cases()


class TreeliteModel:
    producer = "treelite"

    def __init__(self, model: treelite.Model, input_cast: str | None = None):
        self._file = model.serialize_bytes()
        self.read(input_cast)

    def read(self, input_cast: str | None = None):
        # Predict with what is written, not with what was imported.
        self.model = treelite.Model.deserialize_bytes(self._file)
        self.options = {"input_cast": input_cast} if input_cast else {}
        self._dump = json.loads(self.model.dump_as_json().replace('"threshold": ,', '"threshold": null,'))  # infinite
        self.version = ".".join(str(int(part)) for part in np.frombuffer(self._file[:12], "<i4"))
        self.objective = self._dump["postprocessor"]
        self._classes = self._dump["num_class"]
        self.outputs = len(self._classes) * max(self._classes)
        self.trees = self.rounds_trained = len(self._dump["trees"])
        number = {"float32": "f32", "float64": "f64"}[self.model.input_type]
        operators = [node["comparison_op"] for tree in self._dump["trees"] for node in tree["nodes"]
                     if "comparison_op" in node]
        comparison = "lt" if operators and operators[0] in ("<", ">=") else "le"
        self.profile = {"input": input_cast or number, "comparison": comparison, "sum": number, "base": "last"}
        self.feature_names = [f"f{i}" for i in range(self._dump["num_feature"])]

    def files(self):
        return {"model.tl": self._file}

    def splits(self):
        found = []
        for number, tree in enumerate(self._dump["trees"]):
            nodes = {node["node_id"]: node for node in tree["nodes"]}
            thresholds = self.model.get_tree_accessor(number).get_field("threshold")

            def visit(node_id):
                node = nodes[node_id]
                if "split_feature_id" not in node:
                    return [node_id]
                below = visit(node["left_child"]) + visit(node["right_child"])
                codes = node.get("category_list", [])
                cut = None if node["node_type"] == "categorical_test_node" else float(thresholds[node_id])
                found.append(Split(number, node["split_feature_id"], cut, codes, below))
                return below

            visit(0)
        return found

    def predict(self, rows, kind, span=None):
        if self.options.get("input_cast") == "f32":
            with np.errstate(over="ignore"):
                rows = rows.astype(np.float32).astype(np.float64)
        if not scipy.sparse.issparse(rows):
            with np.errstate(over="ignore"):
                rows = rows.astype(self.model.input_type)
        if kind == "leaf":
            return treelite.gtil.predict_leaf(self.model, rows, nthread=1)
        out = treelite.gtil.predict(self.model, rows, nthread=1, pred_margin=kind == "margin")
        return out.reshape(len(out), self.outputs)

    def label(self, value):
        if self._classes == [1] and self._dump["task_type"] == "kBinaryClf" and self.objective in ("sigmoid", "hinge"):
            return value[:, 0] > 0.5
        if len(self._classes) == 1 and self._classes[0] > 1:
            return np.argmax(value, axis=1)
        return None


def of_xgboost(rows, target, rounds, **options) -> TreeliteModel:
    return TreeliteModel(treelite.frontend.from_xgboost(xgboost_cases.boost(rows, target, rounds, **options)))


def of_lightgbm(rows, target, rounds, edit=lambda text: text, **options) -> TreeliteModel:
    text = edit(lightgbm_cases.boost(rows, target, rounds, **options))
    return TreeliteModel(treelite.frontend.from_lightgbm(lightgbm_cases.lgb.Booster(model_str=text)))


def of_sklearn(estimator, rows, target, input_cast="f32") -> TreeliteModel:
    return TreeliteModel(treelite.sklearn.import_model(estimator.fit(rows, target)), input_cast)


def classes(rows, count) -> np.ndarray:
    """`count` classes of some sense."""
    return np.clip(np.floor((signal(rows) + 1.5) * count / 3.0), 0, count - 1).astype(int)


# ---- models of XGBoost: f32, `<` -----------------------------------------------------------------------------------

@case
def xgboost_binary():
    """From XGBoost: sigmoid; the base score, a logit in f64 that no f32 holds, is added last and in f64 (K7). Sparse
    rows: absent is missing."""
    rows = sprinkle(random_rows(301, 250, 5), np.nan, 0.1, 302)
    return Case(of_xgboost(rows, signal(rows) > 0.2, 12, objective="binary:logistic"), rows, csr=True)


@case
def xgboost_classes():
    """From XGBoost: several trees per class and round (K9), softmax (K27)."""
    rows = random_rows(303, 250, 4)
    model = of_xgboost(rows, classes(rows, 3), 4, objective="multi:softprob", num_class=3, num_parallel_tree=2)
    return Case(model, rows, natural=100, reach=150)


@case
def xgboost_categories():
    """From XGBoost: listed categories go right; -0.5 is none, 2^24 is one (K6)."""
    rows = random_rows(304, 300, 4)
    rows[:, 0] = np.floor((rows[:, 0] + 1.0) * 6.0)
    target = np.where(np.isin(rows[:, 0], (1, 4, 5, 9)), 1.0, -1.0) + rows[:, 1]
    matrix = {"feature_types": ["c", "q", "q", "q"]}
    return Case(of_xgboost(rows, target, 6, matrix=matrix, max_cat_to_onehot=1), rows, natural=100)


@case
def xgboost_targets():
    """From XGBoost: two targets, a tree for each."""
    rows = random_rows(305, 200, 4)
    return Case(of_xgboost(rows, np.stack([signal(rows), rows[:, 1]], 1), 5), rows, natural=80, reach=120)


@case
def xgboost_vector_leaves():
    """From XGBoost: leaves with a value for each target (K12)."""
    rows = random_rows(306, 200, 4)
    target = np.stack([signal(rows), rows[:, 1], rows[:, 2]], 1)
    return Case(of_xgboost(rows, target, 5, multi_strategy="multi_output_tree"), rows, natural=80, reach=120)


@case
def xgboost_poisson():
    """From XGBoost: counts, the exponential of the score."""
    rows = random_rows(307, 200, 4)
    return Case(of_xgboost(rows, np.floor(np.abs(signal(rows)) * 4.0), 6, objective="count:poisson"), rows,
                natural=80, reach=120)


@case
def xgboost_hinge():
    """From XGBoost: hinge, 0 or 1."""
    rows = random_rows(308, 200, 4)
    return Case(of_xgboost(rows, signal(rows) > 0.0, 4, objective="binary:hinge"), rows, natural=60, reach=60)


# ---- models of LightGBM: f64, `<=` ---------------------------------------------------------------------------------

@case
def lightgbm_binary():
    """From LightGBM: a sigmoid with another slope, kept as f32 (K15)."""
    rows = sprinkle(random_rows(311, 250, 5), np.nan, 0.1, 312)
    return Case(of_lightgbm(rows, signal(rows) > 0.2, 10, objective="binary", sigmoid=0.7), rows, csr=True)


@case
def lightgbm_classes():
    """From LightGBM: f64 sums under a softmax whose maximum, exponentials and total are f32 (K27)."""
    rows = random_rows(313, 250, 4)
    return Case(of_lightgbm(rows, classes(rows, 3), 5, objective="multiclass", num_class=3), rows, natural=100,
                reach=150)


@case
def lightgbm_one_versus_all():
    """From LightGBM: a sigmoid for each class (K15)."""
    rows = random_rows(314, 250, 4)
    return Case(of_lightgbm(rows, classes(rows, 3), 4, objective="multiclassova", num_class=3), rows, natural=80,
                reach=120)


@case
def lightgbm_forest():
    """From LightGBM: a random forest; the margin is the mean, which LightGBM's own raw score is not (K15)."""
    rows = random_rows(315, 250, 4)
    forest = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}
    return Case(of_lightgbm(rows, signal(rows) > 0.2, 7, objective="binary", **forest), rows, natural=80)


@case
def lightgbm_square_root():
    """From LightGBM: reg_sqrt, the square with the sign of the score (K15)."""
    rows = random_rows(316, 200, 4)
    return Case(of_lightgbm(rows, signal(rows), 5, objective="regression", reg_sqrt=True), rows, natural=80, reach=120)


@case
def lightgbm_cross_entropy_lambda():
    """From LightGBM: log1p of the exponential (K15)."""
    rows = random_rows(317, 200, 4)
    return Case(of_lightgbm(rows, signal(rows) > 0.2, 5, objective="cross_entropy_lambda"), rows, natural=80,
                reach=120)


@case
def lightgbm_categories():
    """From LightGBM: listed categories go left, up to 2^32 - 1; -0.5 is none, as it is to Treelite alone (K6)."""
    rows = random_rows(318, 300, 4)
    rows[:, 0] = np.floor((rows[:, 0] + 1.0) * 20.0)
    target = np.where(rows[:, 0] % 3 == 0, 1.0, -1.0) + rows[:, 1]
    return Case(of_lightgbm(rows, target, 6, categories=[0], objective="regression", max_cat_to_onehot=1), rows,
                natural=100)


# ---- models of scikit-learn: f64, `<=`, input rounded to f32 or not ------------------------------------------------

@case
def sklearn_random_forest():
    """From scikit-learn: a mean of class shares in vector leaves. Its trees round their input to f32 and compare it with
    f64 thresholds, which the checkpoint does not say and the option has to (K1); NaN goes where it was learned to go
    (K24). The leaves are those that scikit-learn itself finds."""
    data = datasets.load_iris()
    rows = sprinkle(data.data, np.nan, 0.1, 321)
    forest = ensemble.RandomForestClassifier(n_estimators=9, max_depth=4, random_state=7, n_jobs=1)
    model = of_sklearn(forest, rows, data.target)
    assert np.array_equal(model.predict(rows, "leaf"), forest.apply(rows))
    return Case(model, rows)


@case
def sklearn_random_forest_as_is():
    """The same without the option: f64 values under the same thresholds, as Treelite itself does it."""
    rows = random_rows(322, 250, 4)
    forest = ensemble.RandomForestRegressor(n_estimators=6, max_depth=4, random_state=7, n_jobs=1)
    return Case(of_sklearn(forest, rows, signal(rows), input_cast=None), rows, natural=100)


@case
def sklearn_outputs():
    """From scikit-learn: a regression of three outputs, a value for each in every leaf."""
    rows = random_rows(323, 200, 4)
    forest = ensemble.ExtraTreesRegressor(n_estimators=5, max_depth=4, random_state=7, n_jobs=1)
    target = np.stack([signal(rows), rows[:, 1], rows[:, 2]], 1)
    return Case(of_sklearn(forest, rows, target), rows, natural=80, reach=120)


@case
def sklearn_uneven_targets():
    """From scikit-learn: two targets of two and three classes, in room for three each; the room left over stays 0."""
    rows = random_rows(324, 200, 4)
    forest = ensemble.RandomForestClassifier(n_estimators=5, max_depth=3, random_state=7, n_jobs=1)
    target = np.stack([rows[:, 0] > 0.1, classes(rows, 3)], 1)
    return Case(of_sklearn(forest, rows, target), rows, natural=80, reach=120)


@case
def sklearn_boosting():
    """From scikit-learn: gradient boosting, three classes, base scores last."""
    rows = random_rows(325, 250, 4)
    boosting = ensemble.GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=7)
    return Case(of_sklearn(boosting, rows, classes(rows, 3)), rows, natural=80, reach=120)


@case
def sklearn_histogram_boosting():
    """From scikit-learn: histogram gradient boosting, whose values stay f64; with missing values."""
    rows = sprinkle(random_rows(326, 250, 4), np.nan, 0.1, 327)
    boosting = ensemble.HistGradientBoostingClassifier(max_iter=6, max_leaf_nodes=6, random_state=7)
    return Case(of_sklearn(boosting, rows, signal(rows) > 0.2, input_cast=None), rows, natural=100)


@case
def sklearn_isolation_forest():
    """From scikit-learn: the anomaly score 2^(-mean path / c), with c rounded to f32."""
    rows = random_rows(328, 200, 4)
    forest = ensemble.IsolationForest(n_estimators=8, max_samples=32, random_state=7)
    forest.fit(rows)
    return Case(TreeliteModel(treelite.sklearn.import_model(forest), "f32"), rows, natural=80, reach=120)


# ---- models made by hand -------------------------------------------------------------------------------------------

def by_hand(tests, number="float64", postprocessor="identity", base=0.0) -> treelite.Model:
    """A tree for each (operator, threshold, default_left), of two leaves, all on feature 0 and 1 in turn."""
    from treelite.model_builder import Metadata, ModelBuilder, PostProcessorFunc, TreeAnnotation
    builder = ModelBuilder(
        threshold_type=number, leaf_output_type=number,
        metadata=Metadata(num_feature=2, task_type="kRegressor", average_tree_output=False, num_target=1,
                          num_class=[1], leaf_vector_shape=(1, 1)),
        tree_annotation=TreeAnnotation(num_tree=len(tests), target_id=[0] * len(tests), class_id=[0] * len(tests)),
        postprocessor=PostProcessorFunc(name=postprocessor), base_scores=[base])
    for index, (operator, threshold, default_left) in enumerate(tests):
        builder.start_tree()
        builder.start_node(0)
        builder.numerical_test(feature_id=index % 2, threshold=threshold, default_left=default_left, opname=operator,
                               left_child_key=1, right_child_key=2)
        builder.end_node()
        for key, value in ((1, 1.0), (2, 2.0)):
            builder.start_node(key)
            builder.leaf(value * 3.0 ** index)
            builder.end_node()
        builder.end_tree()
    return builder.commit()


TESTS = [("<=", 0.3, True), ("<", 0.3, False), (">", 0.3, True), (">=", 0.3, False), ("<", 0.0, True),
         ("<=", -0.0, False), (">", -0.25, False), (">=", -0.25, True)]
EXTREMES = [("<", -np.inf, True), ("<=", -np.inf, False), ("<", np.inf, True), ("<=", np.inf, False),
            (">", np.inf, True), (">=", np.inf, False), (">", -np.inf, True), (">=", -np.inf, False)]


@case
def operators():
    """Made by hand: each of the four comparisons, mixed in one model, with NaN either way; also 0.0 and -0.0."""
    rows = random_rows(331, 60, 2)
    return Case(TreeliteModel(by_hand(TESTS)), rows)


@case
def operators_less_first():
    """The same in f32 and led by <, under which the others are read; a base score that no f32 holds."""
    rows = random_rows(332, 60, 2)
    return Case(TreeliteModel(by_hand(TESTS[1:], "float32", base=0.1)), rows)


@case
def infinite_thresholds():
    """Made by hand: infinite thresholds under <=, where < has nothing left of it (K16)."""
    rows = random_rows(333, 40, 2)
    return Case(TreeliteModel(by_hand(EXTREMES[1:] + EXTREMES[:1])), rows)


@case
def infinite_thresholds_less_first():
    """The same under <, where <= has everything left of it, in f32 (K16)."""
    rows = random_rows(334, 40, 2)
    return Case(TreeliteModel(by_hand(EXTREMES, "float32")), rows)
