"""Writes the ONNX cases: `python models/generate/onnx_cases.py [OUT_DIR] [--only NAME]` (requirements-onnx.txt).

Every estimator that skl2onnx converts, and pipelines as people export them. A case is `NAME.onnx`, the exported
model, and `NAME.json`: rows as typed columns, what ONNX Runtime answers to them (one thread, row by row) and what
scikit-learn does. What cannot be exported, or not loaded by ONNX Runtime, is noted in `not_exported.json`.
"""

import argparse
import json
import os
import sys
import warnings
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
warnings.filterwarnings("ignore")

import lightgbm as lgb
import numpy as np
import onnxruntime as rt
import pandas as pd
import xgboost as xgb
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloats
from skl2onnx import to_onnx
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common.data_types import (
    BooleanTensorType, DictionaryType, DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType,
)
from sklearn.base import is_classifier, is_regressor
from sklearn.calibration import *
from sklearn.compose import *
from sklearn.decomposition import *
from sklearn.discriminant_analysis import *
from sklearn.ensemble import *
from sklearn.feature_extraction.text import *
from sklearn.feature_selection import *
from sklearn.gaussian_process import *
from sklearn.impute import *
from sklearn.linear_model import *
from sklearn.naive_bayes import *
from sklearn.neighbors import *
from sklearn.neural_network import *
from sklearn.pipeline import *
from sklearn.preprocessing import *
from sklearn.svm import *
from sklearn.tree import *

import onnx_trees

rt.set_default_logger_severity(4)
MODELS = Path(__file__).resolve().parent.parent / "onnx"
ROWS = 12

# ---- data ---------------------------------------------------------------------------------------------------------

rng = np.random.RandomState(0)
N = 60
X = rng.randn(N, 4).astype(np.float32)
POSITIVE = np.abs(X) + np.float32(0.1)
BINARY = (X[:, 0] + 0.3 * rng.randn(N) > 0).astype(int)
MULTI = rng.randint(0, 3, N)
REAL = (X @ [1, 2, 0, -1] + 0.1 * rng.randn(N)).astype(np.float32)
CODES = rng.randint(0, 4, (N, 3)).astype(np.int64)
TEXTS = np.array([f"Some words, abc d{i % 5} and d{i % 3}!" for i in range(N)])
HOLES = X.copy()
HOLES[rng.rand(*X.shape) < 0.15] = np.nan
NAMES = np.array(["blue", "green", "red"])[MULTI]
PASSENGERS = pd.DataFrame({
    "age": HOLES[:, 0] * 10 + 30,
    "fare": POSITIVE[:, 1].astype(np.float64) * 20,
    "parents": rng.randint(0, 5, N).astype(np.int64),
    "sex": rng.choice(["f", "m"], N),
    "port": rng.choice(["C", "Q", "S"], N),
    "alone": rng.rand(N) < 0.5,
})
COLUMNS = {
    "age": FloatTensorType([None, 1]), "fare": DoubleTensorType([None, 1]), "parents": Int64TensorType([None, 1]),
    "sex": StringTensorType([None, 1]), "port": StringTensorType([None, 1]), "alone": BooleanTensorType([None, 1]),
}

# ---- estimators ---------------------------------------------------------------------------------------------------

SETTINGS = {
    "AdaBoostClassifier": dict(n_estimators=3), "AdaBoostRegressor": dict(n_estimators=3),
    "BaggingClassifier": dict(n_estimators=3), "BaggingRegressor": dict(n_estimators=3),
    "ExtraTreesClassifier": dict(n_estimators=3), "ExtraTreesRegressor": dict(n_estimators=3),
    "RandomForestClassifier": dict(n_estimators=3), "RandomForestRegressor": dict(n_estimators=3),
    "GradientBoostingClassifier": dict(n_estimators=3), "GradientBoostingRegressor": dict(n_estimators=3),
    "HistGradientBoostingClassifier": dict(max_iter=3), "HistGradientBoostingRegressor": dict(max_iter=3),
    "IsolationForest": dict(n_estimators=3), "RandomTreesEmbedding": dict(n_estimators=3, sparse_output=False),
    "KMeans": dict(n_clusters=3, n_init=1), "MiniBatchKMeans": dict(n_clusters=3, n_init=1),
    "MLPClassifier": dict(max_iter=3, hidden_layer_sizes=(4,)), "MLPRegressor": dict(max_iter=3, hidden_layer_sizes=(4,)),
    "SVC": dict(probability=True), "NuSVC": dict(probability=True), "QuantileTransformer": dict(n_quantiles=10),
    "LocalOutlierFactor": dict(novelty=True), "GaussianRandomProjection": dict(n_components=2),
    "TruncatedSVD": dict(n_components=2), "KernelPCA": dict(n_components=2),
    "RadiusNeighborsClassifier": dict(radius=5.0), "RadiusNeighborsRegressor": dict(radius=5.0),
    "SelectKBest": dict(k=2), "KBinsDiscretizer": dict(n_bins=3, encode="onehot-dense"), "PLSRegression": dict(n_components=2),
    "GenericUnivariateSelect": dict(mode="k_best", param=2), "SelectFdr": dict(alpha=0.9), "SelectFpr": dict(alpha=0.9),
    "SelectFwe": dict(alpha=0.9), "SelectPercentile": dict(percentile=60), "VarianceThreshold": dict(threshold=0.5),
    "NearestNeighbors": dict(n_neighbors=3, radius=None), "FeatureHasher": dict(n_features=8, input_type="string"),
}
BOTH = {
    "LogisticRegression", "RandomForestClassifier", "GradientBoostingClassifier", "HistGradientBoostingClassifier", "SVC",
    "LinearSVC", "SGDClassifier", "AdaBoostClassifier", "DecisionTreeClassifier", "ExtraTreesClassifier", "GaussianNB",
    "KNeighborsClassifier", "MLPClassifier", "LinearDiscriminantAnalysis", "BaggingClassifier", "RidgeClassifier",
}
SEVERAL_TARGETS = {
    "MultiOutputRegressor", "MultiTaskLasso", "MultiTaskElasticNet", "MultiTaskLassoCV", "MultiTaskElasticNetCV",
    "PLSRegression",
}


def seeded(estimator):
    parameters = estimator.get_params(deep=False)
    return estimator.set_params(random_state=0) if "random_state" in parameters else estimator


def made(name: str, of: type):
    """An estimator of a class with what it must be given."""
    logistic, linear = LogisticRegression(), LinearRegression()
    tree, regression_tree = DecisionTreeClassifier(max_depth=2, random_state=0), DecisionTreeRegressor(max_depth=2, random_state=0)
    parts = {
        "CalibratedClassifierCV": lambda: of(logistic, cv=2), "OneVsRestClassifier": lambda: of(logistic),
        "OneVsOneClassifier": lambda: of(logistic), "OutputCodeClassifier": lambda: of(logistic),
        "MultiOutputClassifier": lambda: of(logistic), "MultiOutputRegressor": lambda: of(linear),
        "StackingClassifier": lambda: of([("a", logistic), ("b", tree)]),
        "StackingRegressor": lambda: of([("a", linear), ("b", regression_tree)]),
        "VotingClassifier": lambda: of([("a", logistic), ("b", tree)], voting="soft", flatten_transform=False),
        "VotingRegressor": lambda: of([("a", linear), ("b", regression_tree)]),
        "GridSearchCV": lambda: of(logistic, {"C": [0.1, 1]}, cv=2), "TunedThresholdClassifierCV": lambda: of(logistic, cv=2),
        "RFE": lambda: of(logistic, n_features_to_select=2), "RFECV": lambda: of(logistic),
        "SelectFromModel": lambda: of(LogisticRegression(C=0.1)), "Pipeline": lambda: of([("s", StandardScaler()), ("l", logistic)]),
        "FeatureUnion": lambda: of([("s", StandardScaler()), ("l", MinMaxScaler())]),
        "ColumnTransformer": lambda: of([("s", StandardScaler(), [0, 1]), ("l", MinMaxScaler(), [2])], remainder="passthrough"),
        "RANSACRegressor": lambda: of(linear), "CastRegressor": lambda: of(linear),
    }
    return seeded(parts[name]() if name in parts else of(**SETTINGS.get(name, {})))


def rows_for(name: str):
    """Rows and initial types."""
    floats = [("X", FloatTensorType([None, 4]))]
    integers = [("X", Int64TensorType([None, 3]))]
    if name in ("MultinomialNB", "ComplementNB"):
        return POSITIVE, floats
    if name in ("CategoricalNB", "OneHotEncoder", "OrdinalEncoder", "TargetEncoder"):
        return CODES, integers
    if name in ("CountVectorizer", "TfidfVectorizer"):
        return TEXTS, [("X", StringTensorType([None, 1]))]
    if name == "FeatureHasher":
        return TEXTS.reshape(-1, 1), [("X", StringTensorType([None, 1]))]
    if name == "TfidfTransformer":
        return np.abs(np.round(X * 3)), floats
    if name == "LabelEncoder":
        return MULTI.astype(np.int64), [("X", Int64TensorType([None]))]
    if name == "LabelBinarizer":
        return MULTI.astype(np.int64), [("X", Int64TensorType([None, 1]))]
    if name == "DictVectorizer":
        rows = [{"a": float(i % 7), "b": 2.0 * (i % 3)} for i in range(N)]
        return rows, [("X", DictionaryType(StringTensorType([1]), FloatTensorType([1])))]
    if name == "KernelCenterer":
        return (X @ X.T).astype(np.float32), [("X", FloatTensorType([None, N]))]
    if name in ("KNNImputer", "SimpleImputer", "HistGradientBoostingClassifier", "HistGradientBoostingRegressor"):
        return HOLES, floats
    return X, floats


def target_for(name: str, estimator, multi: bool):
    if name == "MultiOutputClassifier":
        return np.c_[BINARY, MULTI]
    if name in SEVERAL_TARGETS:
        return np.c_[REAL, REAL * 2 + X[:, 0]]
    if name in ("PoissonRegressor", "GammaRegressor", "TweedieRegressor"):
        return np.abs(REAL) + 0.1
    if name == "TargetEncoder" or is_regressor(estimator) or name == "CastRegressor":
        return REAL
    return MULTI if multi else BINARY


def estimators() -> dict:
    """Every class that skl2onnx converts; some for two classes and for three."""
    found = {}
    for of in sklearn_operator_name_map:
        name = getattr(of, "__name__", str(of))
        for multi in (False, True) if name in BOTH else (False,):
            found[name + ("_multi" if multi else "")] = lambda name=name, of=of, multi=multi: one(name, of, multi)
    return found


def one(name: str, of: type, multi: bool):
    estimator = made(name, of)
    rows, types = rows_for(name)
    target = target_for(name, estimator, multi)
    if name == "_ConstantPredictor":
        estimator.fit(X, np.ones(N))
    else:
        try:
            estimator.fit(rows, target)
        except TypeError:
            estimator.fit(rows)
    plain = is_classifier(estimator) and name not in ("MultiOutputClassifier", "LinearSVC", "RFE", "RFECV")
    if "Vectorizer" in name and name != "DictVectorizer":
        return estimator, rows, types, {type(estimator): {"locale": "C"}}
    return estimator, rows, types, {id(estimator): {"zipmap": False}} if plain else None


# ---- pipelines ----------------------------------------------------------------------------------------------------

FLOATS = [("X", FloatTensorType([None, 4]))]
DOUBLES = [("X", DoubleTensorType([None, 4]))]


def mixed(last, target, options=None, columns=("age", "fare", "parents", "sex", "port"), imputed=False):
    """Columns of several types into `last`."""
    text = [c for c in columns if c in ("sex", "port")]
    encoder = OneHotEncoder(handle_unknown="ignore")
    if imputed:
        encoder = make_pipeline(SimpleImputer(strategy="most_frequent"), encoder)
    steps = [("numbers", make_pipeline(SimpleImputer(), StandardScaler()), [c for c in columns if c in ("age", "fare")])]
    steps += [("texts", encoder, text)] if text else []
    steps += [("ordinal", OrdinalEncoder(), ["parents"])] if "parents" in columns else []
    pipeline = Pipeline([("columns", ColumnTransformer(steps)), ("last", last)])
    rows = PASSENGERS[list(columns)]
    pipeline.fit(rows, target)
    types = [(c, FloatTensorType([None, 1]) if c == "fare" else COLUMNS[c]) for c in columns]
    return pipeline, rows.assign(fare=rows["fare"].astype(np.float32)), types, options and {id(last): options}


def plain(estimator, rows, target, types=FLOATS, options=None):
    estimator.fit(rows, target)
    by_type = options and any(isinstance(key, type) for key in options)
    return estimator, rows, types, options if by_type or not options else {id(estimator): options}


def converted(convert, estimator, target) -> tuple:
    """A model of another library, as OnnxMLTools has it."""
    model = convert(estimator.fit(X, target), initial_types=[("X", ToolsFloats([None, X.shape[1]]))])
    return model.SerializeToString(), X


def early(estimator, rows, target) -> tuple:
    """A model of the first operators that skl2onnx wrote: attributes of theirs became inputs later."""
    model = to_onnx(estimator.fit(rows, target), initial_types=FLOATS, target_opset={"": 9, "ai.onnx.ml": 1})
    return model.SerializeToString(), rows


def layers() -> tuple:
    """A perceptron as PyTorch writes one: its matrices have a row for each output."""
    random = np.random.RandomState(0)
    matrix = lambda name, *shape: from_array((random.randn(*shape) / 2).astype(np.float32), name)
    weights = [matrix("a", 20, 4), matrix("b", 20), matrix("c", 3, 20), matrix("d", 3)]
    nodes = [
        helper.make_node("Gemm", ["X", "a", "b"], ["e"], transB=1), helper.make_node("Relu", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "c", "d"], ["g"], transB=1, alpha=0.5), helper.make_node("Softmax", ["g"], ["Y"], axis=-1),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, size]) for name, size in (("X", 4), ("Y", 3))]
    graph = helper.make_graph(nodes, "layers", ends[:1], ends[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return made.SerializeToString(), X


def pipelines() -> dict:
    forest = lambda **k: RandomForestClassifier(n_estimators=4, max_depth=3, random_state=0, **k)
    boosted = lambda **k: GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=0, **k)
    off, columns, raw = {"zipmap": False}, {"zipmap": "columns"}, {"zipmap": False, "raw_scores": True}
    doubles = X.astype(np.float64)
    locale = {TfidfVectorizer: {"locale": "C"}}
    return {
        "k24_forest_with_holes": lambda: plain(forest(), HOLES, BINARY, options=off),
        "k24_regressor_with_holes": lambda: plain(RandomForestRegressor(3, random_state=0), HOLES, REAL),
        "forest_of_targets": lambda: plain(forest(), X, np.c_[MULTI, MULTI[::-1]], options=off),
        "mixed_logistic": lambda: mixed(LogisticRegression(), BINARY),
        "mixed_logistic_multi": lambda: mixed(LogisticRegression(), MULTI, off),
        "mixed_logistic_names": lambda: mixed(LogisticRegression(), NAMES),
        "mixed_forest": lambda: mixed(forest(), BINARY),
        "mixed_forest_names": lambda: mixed(forest(), NAMES, off),
        "mixed_boosted": lambda: mixed(boosted(), BINARY, off),
        "mixed_boosted_regressor": lambda: mixed(GradientBoostingRegressor(n_estimators=4, random_state=0), REAL),
        "mixed_ridge": lambda: mixed(Ridge(), REAL),
        "mixed_neural": lambda: mixed(MLPClassifier((4,), max_iter=5, random_state=0), BINARY, off),
        "mixed_imputed_texts": lambda: mixed(LogisticRegression(), BINARY, off, imputed=True),
        "mixed_support_vectors": lambda: mixed(SVC(probability=True, random_state=0), BINARY, off),
        "numbers_only": lambda: mixed(LogisticRegression(), BINARY, off, columns=("age", "fare")),
        "zipmap_on_logistic": lambda: plain(LogisticRegression(), X, BINARY),
        "zipmap_on_names": lambda: plain(LogisticRegression(), X, NAMES),
        "zipmap_columns": lambda: plain(LogisticRegression(), X, MULTI, options=columns),
        "zipmap_on_forest": lambda: plain(forest(), X, BINARY),
        "zipmap_on_forest_names": lambda: plain(forest(), X, NAMES),
        "zipmap_on_boosted_multi": lambda: plain(boosted(), X, MULTI),
        "raw_scores_boosted": lambda: plain(boosted(), X, BINARY, options=raw),
        "raw_scores_logistic": lambda: plain(LogisticRegression(), X, MULTI, options=raw),
        "boolean_labels": lambda: plain(forest(), X, BINARY > 0, options=off),
        "float_labels": lambda: plain(boosted(), X, BINARY.astype(float), options=off),
        "labels_7_and_9": lambda: plain(forest(), X, BINARY * 2 + 7, options=off),
        "deep_forest": lambda: plain(RandomForestRegressor(n_estimators=20, random_state=0), X, REAL),
        "forest_two_targets": lambda: plain(RandomForestRegressor(n_estimators=3, random_state=0), X, np.c_[REAL, -REAL]),
        "hist_with_holes": lambda: plain(HistGradientBoostingClassifier(max_iter=5), HOLES, BINARY, options=off),
        "double_logistic": lambda: plain(LogisticRegression(), doubles, BINARY, DOUBLES, off),
        "double_linear": lambda: plain(LinearRegression(), doubles, REAL, DOUBLES),
        "double_scaler": lambda: plain(make_pipeline(StandardScaler(), PCA(2)), doubles, None, DOUBLES),
        "double_ridge": lambda: plain(make_pipeline(StandardScaler(), Ridge()), doubles, REAL, DOUBLES),
        "integers_forest": lambda: plain(forest(), CODES, BINARY, [("X", Int64TensorType([None, 3]))], off),
        "scaled_forest": lambda: plain(make_pipeline(StandardScaler(), forest()), X, BINARY),
        "scaled_forest_regressor": lambda: plain(
            make_pipeline(MinMaxScaler(), ExtraTreesRegressor(4, random_state=0)), X, REAL),
        "imputed_forest": lambda: plain(make_pipeline(SimpleImputer(strategy="median"), forest()), HOLES, BINARY),
        "imputed_with_indicator": lambda: plain(make_pipeline(SimpleImputer(add_indicator=False), Ridge()), HOLES, REAL),
        "selected_forest": lambda: plain(make_pipeline(SelectKBest(k=2), forest()), X, BINARY),
        "polynomial_ridge": lambda: plain(make_pipeline(PolynomialFeatures(2), Ridge()), X, REAL),
        "pca_support_vectors": lambda: plain(make_pipeline(PCA(2), SVC(random_state=0)), X, MULTI),
        "union_logistic": lambda: plain(
            make_pipeline(FeatureUnion([("a", StandardScaler()), ("b", PCA(2))]), LogisticRegression()), X, BINARY),
        "binned_logistic": lambda: plain(
            make_pipeline(KBinsDiscretizer(3, encode="onehot-dense"), LogisticRegression()), X, BINARY),
        "voting_of_forests": lambda: plain(
            VotingClassifier([("a", forest()), ("b", boosted())], voting="soft", flatten_transform=False), X, BINARY, options=off),
        "voting_hard": lambda: plain(
            VotingClassifier([("a", forest()), ("b", LogisticRegression())], voting="hard", flatten_transform=False), X, MULTI, options=off),
        "stacked_forests": lambda: plain(
            StackingRegressor([("a", RandomForestRegressor(3, random_state=0)), ("b", Ridge())]), X, REAL),
        "calibrated_forest": lambda: plain(CalibratedClassifierCV(forest(), cv=2, method="isotonic"), X, BINARY, options=off),
        "words_logistic": lambda: plain(
            make_pipeline(TfidfVectorizer(), LogisticRegression()), TEXTS, BINARY, [("X", StringTensorType([None, 1]))],
            locale),
        "converted_lightgbm": lambda: converted(
            convert_lightgbm, lgb.LGBMRegressor(n_estimators=3, min_child_samples=5, n_jobs=1, verbose=-1), REAL),
        "converted_xgboost": lambda: converted(
            convert_xgboost, xgb.XGBClassifier(n_estimators=2, max_depth=2, num_parallel_tree=2, n_jobs=1), MULTI),
        "early_neighbours": lambda: early(KNeighborsRegressor(3), X, REAL),
        "layers": layers,
        "classes_beside_scores": lambda: plain(
            LogisticRegression(), X, NAMES, options={"zipmap": False, "output_class_labels": True}),
        "neighbours_weighted": lambda: plain(KNeighborsRegressor(3, weights="distance"), X, REAL),
        "ordinal_unknown": lambda: plain(
            make_pipeline(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), Ridge()),
            PASSENGERS[["sex", "port"]], REAL, [("sex", COLUMNS["sex"]), ("port", COLUMNS["port"])]),
    }


# ---- files --------------------------------------------------------------------------------------------------------

def as_rows(rows, types, count: int):
    """The first rows, as ONNX Runtime takes them, one dictionary of inputs a row."""
    feeds = []
    for at in range(count):
        if len(types) > 1:
            row = {name: np.array([[rows[name].iloc[at]]]) for name, _ in types}
        elif isinstance(rows, list):
            row = {types[0][0]: rows[at]}
        else:
            kept = rows.iloc[at:at + 1].to_numpy() if isinstance(rows, pd.DataFrame) else rows[at:at + 1]
            row = {types[0][0]: kept.reshape(-1, 1) if kept.ndim == 1 and len(types[0][1].shape) == 2 else kept}
        for name, kind in types:
            if isinstance(kind, StringTensorType):
                row[name] = row[name].astype(object)
        feeds.append(row)
    return feeds


def columns_of(feeds, types) -> list:
    """The rows as typed columns."""
    columns = []
    for name, kind in types:
        if isinstance(feeds[0][name], dict):
            for key in sorted(feeds[0][name]):
                columns.append({"type": "f32", "values": [numbers(row[name][key]) for row in feeds]})
            continue
        whole = np.concatenate([row[name] for row in feeds])
        whole = whole.reshape(len(feeds), -1)
        short = {
            FloatTensorType: "f32", DoubleTensorType: "f64", Int64TensorType: "i64", BooleanTensorType: "bool",
            StringTensorType: "text",
        }[type(kind)]
        columns += [{"type": short, "values": [plain_value(v) for v in whole[:, at]]} for at in range(whole.shape[1])]
    return columns


def plain_value(value):
    if isinstance(value, (str, bool, np.bool_)):
        return bool(value) if not isinstance(value, str) else value
    return int(value) if isinstance(value, (int, np.integer)) else numbers(value)


def numbers(value) -> float | str:
    """JSON has no NaN and no infinities."""
    value = float(value)
    return value if np.isfinite(value) else str(value)


def answer(name: str, parts: list, count: int) -> dict:
    """An output of all rows as a matrix; maps and sequences become columns."""
    classes = None
    if isinstance(parts[0], list) and parts[0] and isinstance(parts[0][0], dict):
        classes = [plain_value(key) for key in parts[0][0]]
        whole = np.array([[row[0][key] for key in row[0]] for row in parts], dtype=np.float32)
    elif isinstance(parts[0], list):
        whole = np.array([np.concatenate([np.ravel(p) for p in row]) for row in parts])
    else:
        whole = np.concatenate(parts) if parts[0].ndim else np.array(parts)
    whole = whole.reshape(count, -1)
    short = {"float32": "f32", "float64": "f64", "int64": "i64", "bool": "bool", "int32": "i32"}.get(str(whole.dtype), "text")
    found = {"name": name, "type": short, "columns": whole.shape[1], "values": [plain_value(v) for v in whole.ravel()]}
    if classes is not None:
        found["classes"] = classes
    return found


def add_batch(outputs: list, session, feeds: list) -> None:
    """Where ONNX Runtime answers otherwise to all rows at once, that answer too: its own rounding is no better known."""
    if any(isinstance(value, dict) for value in feeds[0].values()):
        return
    names = [output["name"] for output in outputs]
    whole = session.run(names, {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]})
    for output, found in zip(outputs, whole):
        if not isinstance(found, np.ndarray) or found.dtype.kind != "f" or found.size != len(output["values"]):
            continue
        if found.ndim == 3 and found.shape[0] != len(feeds):  # probabilities of several targets: rows come second
            found = found.swapaxes(0, 1)
        values = [numbers(value) for value in found.ravel()]
        if values != output["values"]:
            output["batch"] = values


def of_sklearn(estimator, rows, count: int) -> dict:
    """What scikit-learn itself answers: its last word (probabilities, a transform, values)."""
    rows = rows[:count]
    for method in ("predict_proba", "transform", "predict"):
        if hasattr(estimator, method):
            try:
                found = getattr(estimator, method)(rows)
            except (AttributeError, ValueError, TypeError, NotImplementedError):
                continue
            found = found.toarray() if hasattr(found, "toarray") else found
            if isinstance(found, list):
                found = np.concatenate(found, axis=1)
            found = np.asarray(found).reshape(count, -1)
            if found.dtype.kind in "fiub":
                return {"method": method, "columns": found.shape[1], "values": [numbers(v) for v in found.ravel()]}
    return {}


def write(out: Path, name: str, build) -> str | None:
    """Writes a case, or returns why it cannot be made."""
    try:
        built = build()
        if isinstance(built[0], bytes):
            model, rows = built
            kind = DoubleTensorType if rows.dtype == np.float64 else FloatTensorType
            return write_model(out, name, model, rows, [("X", kind([None, rows.shape[1]]))], None)
        estimator, rows, types, options = built
        # The newest versions whose operators ONNX Runtime has.
        versions = {"": 18, "ai.onnx.ml": 3}
        model = to_onnx(estimator, initial_types=types, options=options, target_opset=versions).SerializeToString()
    except Exception as error:  # whatever the converter fails with is the finding
        return f"not exported: {type(error).__name__}: {str(error).splitlines()[0][:120]}"
    return write_model(out, name, model, rows, types, estimator)


def write_model(out: Path, name: str, model: bytes, rows, types, estimator) -> str | None:
    """Writes a model with ONNX Runtime's answers and, if it has an estimator, scikit-learn's."""
    settings = rt.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    feeds = as_rows(rows, types, ROWS)
    try:
        session = rt.InferenceSession(model, settings)
        answers = [session.run(None, feed) for feed in feeds]
    except Exception as error:
        return f"refused by ONNX Runtime: {str(error).splitlines()[0][:120]}"
    # A list for one row is the same for every row.
    is_rows = lambda value: not isinstance(value, np.ndarray) or value.ndim != 1 or value.size == 1
    outputs = [
        answer(o.name, [a[at] for a in answers], ROWS) for at, o in enumerate(session.get_outputs()) if is_rows(answers[0][at])
    ]
    add_batch(outputs, session, feeds)
    case = {"inputs": columns_of(feeds, types), "outputs": outputs, "sklearn": {}}
    if estimator is not None:
        case["sklearn"] = of_sklearn(estimator, rows, ROWS)
    (out / f"{name}.onnx").write_bytes(model)
    (out / f"{name}.json").write_text(json.dumps(case, separators=(",", ":")) + "\n", encoding="utf-8")
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=MODELS)
    parser.add_argument("--only")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    failures = {}
    by_hand = {name: lambda case=case: case for name, case in onnx_trees.cases().items()}
    for name, build in {**estimators(), **pipelines(), **by_hand}.items():
        if arguments.only in (None, name):
            np.random.seed(0)
            if failure := write(arguments.out, name, build):
                failures[name] = failure
                print(f"{name}: {failure}", file=sys.stderr)
    if arguments.only is None:
        text = json.dumps(failures, indent=1, sort_keys=True) + "\n"
        (arguments.out / "not_exported.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
