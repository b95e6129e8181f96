"""The XGBoost cases of other versions. Models are smaller than those of `xgboost_cases.py`, which says the rest."""

import json
import tempfile
from pathlib import Path

import numpy as np
import xgboost as xgb

from common import Case, VersionCases, random_rows, signal, sprinkle
from xgboost_cases import (LINEAR, SETTINGS, XgboostModel, category_rows, category_table, renumbered, three_targets)

case = VersionCases()

VERSION = tuple(int(part) for part in xgb.__version__.split("."))
SMALL = SETTINGS | {"max_bin": 16}
BOTH = ("json", "ubj")
CATEGORIES = {"feature_types": ["float", "c", "float", "c"]}


class OldModel(XgboostModel):
    """Before 1.6 a model is saved to files only, as JSON; before 1.4 rounds are counted from the start."""

    def __init__(self, booster: xgb.Booster):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.json"
            booster.save_model(str(path))
            self._files = {"model.json": path.read_bytes()}
            self.booster = xgb.Booster({"nthread": 1}, model_file=str(path))
        self.describe(json.loads(self._files["model.json"])["learner"])
        self.same_inplace = False

    def matrix(self, rows, missing):
        return xgb.DMatrix(rows, missing=missing, nthread=1)

    def rounds(self, span):
        assert span[0] == 0
        return {"ntree_limit": span[1]}


class NewModel(XgboostModel):
    def describe(self, model):
        super().describe(model)
        # Since 3.3 dropout trees are called gbtree too.
        text = json.dumps(model["gradient_booster"])
        self.same_inplace = self.same_inplace and "weight_drop" not in text


def boost(rows, target, rounds, matrix={}, **params) -> xgb.Booster:
    """`matrix` goes to the DMatrix, `params` go to the training."""
    settings = {name: value for name, value in (SMALL | params).items() if value is not None}
    if VERSION >= (1, 6):
        matrix = matrix | {"enable_categorical": True}
    data = xgb.DMatrix(rows, target, nthread=1, **matrix)
    return xgb.train(settings, data, rounds)


def train(rows, target, rounds, formats=("json",), **options) -> XgboostModel:
    booster = boost(rows, target, rounds, **options)
    return NewModel(booster, formats) if VERSION >= (1, 6) else OldModel(booster)


def binary(model: XgboostModel) -> XgboostModel:
    """The same model, also in the old binary format."""
    with tempfile.TemporaryDirectory() as folder:
        # Since 2.1 the name decides; older versions take any other than model.json.
        path = Path(folder) / "model.deprecated"
        model.booster.save_model(str(path))
        again = xgb.Booster({"nthread": 1}, model_file=str(path))
        model.replace_files(model.files() | {"model.bin": path.read_bytes()})
    rows = random_rows(1, 20, len(model.feature_names))
    # Linear models and trees alike: the file holds the same model.
    assert np.array_equal(again.predict(xgb.DMatrix(rows)), model.booster.predict(xgb.DMatrix(rows)))
    return model


def small(model, rows, spans=((0, 2),), **options) -> Case:
    return Case(model, rows, **({"natural": 40, "reach": 30, "spans": list(spans)} | options))


def classes(rows):
    return np.where(signal(rows) > 0.5, 2, np.where(signal(rows) > -0.5, 1, 0))


def holes(seed):
    return sprinkle(random_rows(seed, 300, 4), np.nan, 0.15, seed + 1)


# ---- base_score ----------------------------------------------------------------------------------------------------

@case(v1_0="The oldest JSON: base_score is written as 0.500000, categories and iteration_indptr are unknown. 1.0 adds "
           "base_score last; here it is 0 as a margin, so the order does not matter.",
      v1_3="base_score 0.2 of a logistic model, one number: no list (K7). No iteration_indptr, missing values.")
def logistic():
    rows = holes(200)
    base = 0.5 if VERSION < (1, 1) else 0.2
    model = binary(train(rows, signal(rows) > 0.0, 5, BOTH, objective="binary:logistic", base_score=base))
    if VERSION < (1, 1):
        snapshot = bytes(model.booster.__getstate__()["handle"])
        assert snapshot.startswith(b"CONFIG-offset:")
        model.replace_files(model.files() | {"snapshot.bin": snapshot})
    return small(model, rows)


@case(v1_7="Counts with base_score 2.5, a rate, which enters as its logarithm (K7). f32 input.",
      v3_0="Counts; base_score is estimated, a rate, and enters as its logarithm (K7). f32 input.")
def poisson():
    rows = random_rows(202, 300, 4)
    base = {"base_score": 2.5} if VERSION < (2,) else {}
    model = train(rows, np.floor(np.abs(signal(rows)) * 4.0), 5, BOTH, objective="count:poisson", **base)
    model = binary(model)
    return small(model, rows, dtype=np.float32)


@case(v1_7="base_score 1e-7 with logistic: versions before 3.2 do not clamp it before they take the logit (K7).",
      v3_1="base_score 1e-7 with logistic, as a list: versions before 3.2 do not clamp it (K7).")
def base_score_tiny():
    rows = random_rows(203, 200, 4)
    settings = {"objective": "binary:logistic", "base_score": 1e-7, "min_child_weight": 0}
    return small(train(rows, signal(rows) > 0.0, 3, BOTH, **settings), rows)


# ---- several outputs -----------------------------------------------------------------------------------------------

@case(v1_3="Three classes, two trees per class and round. The file has neither iteration_indptr nor num_parallel_tree: "
           "a round is taken to be as many trees as there are classes, by 1.3 and by later versions (K9).",
      v1_7="Three classes, two trees per class and round. Without iteration_indptr a round is num_parallel_tree trees "
           "for every class (K9).",
      v2_1="Three classes, two trees per class and round, with iteration_indptr (K9).")
def classes_parallel_trees():
    rows = holes(210)
    model = train(rows, classes(rows), 3, objective="multi:softprob", num_class=3, num_parallel_tree=2, subsample=0.7,
                  max_depth=2, max_bin=6)
    return small(binary(model), rows, reach=15)


@case(v1_7="Three targets, a tree each, and one base_score for all of them (K7).",
      v3_1="Three targets, a tree each, and the first version with a base_score for each (K7).")
def multi_target():
    rows = random_rows(212, 300, 4)
    model = train(rows, three_targets(rows), 3, BOTH, max_bin=8, max_depth=2)
    if VERSION < (3, 1):
        model = binary(model)
    return small(model, rows)


@case(v2_1="Three targets in one tree, the old layout: the vectors of leaves are in base_weights, by node (K12).",
      v3_0="Three targets in one tree, the old layout: the vectors of leaves are in base_weights, by node (K12).",
      v3_1="Three targets in one tree, the last version of the old layout: the vectors of leaves are in base_weights, "
           "by node (K12); base_score is a list (K7).",
      v3_4="Three targets in one tree, the new layout: leaf_weights, at the index in right_children (K12).")
def vector_leaves():
    rows = holes(214)
    model = train(rows, three_targets(np.nan_to_num(rows)), 4, BOTH, multi_strategy="multi_output_tree")
    return small(model, rows)


@case(v2_1="Three quantiles that cross: versions before 3.4 do not sort them.",
      v3_4="Three quantiles that cross: since 3.4 they are sorted, in the value but not in the margin.")
def quantiles():
    rows = random_rows(216, 60, 4)
    target = random_rows(217, 60, 1)[:, 0]
    model = train(rows, target, 3, BOTH, objective="reg:quantileerror", quantile_alpha=[0.4, 0.5, 0.6], eta=1.0,
                  max_bin=8, max_depth=2)
    margin = model.predict(rows, "margin")
    assert (np.diff(margin, axis=1) < 0).any()
    return small(model, rows)


@case(v3_3="Three expectiles, a sum of softplus steps; base_score has its own link.",
      v3_4="Three expectiles, a sum of softplus steps; base_score has its own link.")
def expectiles():
    rows = random_rows(218, 300, 4)
    model = train(rows, signal(rows), 3, BOTH, objective="reg:expectileerror", expectile_alpha=[0.1, 0.5, 0.9],
                  max_bin=8, max_depth=2)
    return small(model, rows)


# ---- other boosters ------------------------------------------------------------------------------------------------

@case(v1_3="Dropout trees: the model in `gbtree` with weight_drop beside it, as up to 3.2 (K8).",
      v3_3="Dropout trees: called gbtree, weight_drop beside the model. Only 3.3 writes this (K8).",
      v3_4="Dropout trees: called gbtree, weight_drop inside the model, as since 3.4 (K8).")
def dart():
    rows = random_rows(220, 300, 4)
    model = train(rows, signal(rows) > 0.0, 8, BOTH, objective="binary:logistic", booster="dart", rate_drop=0.5)
    if VERSION < (3, 1):
        model = binary(model)
    return small(model, rows, spans=[(0, 3)] if VERSION < (1, 4) else [(0, 3), (3, 8)])


@case(v1_7="Dropout trees with three classes (K8).", v3_4="Dropout trees with three classes (K8).")
def dart_classes():
    rows = random_rows(221, 300, 4)
    model = train(rows, classes(rows), 4, BOTH, objective="multi:softprob", num_class=3, booster="dart", rate_drop=0.5,
                  max_depth=2, max_bin=8)
    return small(model, rows)


@case(v1_3="gblinear with three classes.", v3_4="gblinear with three classes.")
def linear_classes():
    rows = holes(222)
    model = train(rows, classes(np.nan_to_num(rows)), 6, objective="multi:softprob", num_class=3, **LINEAR)
    if VERSION < (3, 1):
        model = binary(model)
    return small(model, rows, (), huge=False, reach=0)


@case(v1_3="rank:pairwise, with the base_score 0.5 that no one asked for.")
def ranking():
    rows = random_rows(223, 300, 4)
    settings = SMALL | {"objective": "rank:pairwise"}
    data = xgb.DMatrix(rows, np.clip(np.floor(signal(rows) + 2.0), 0.0, 4.0), nthread=1)
    data.set_group([20] * 15)
    return small(OldModel(xgb.train(settings, data, 4)), rows)


# ---- categories ----------------------------------------------------------------------------------------------------

@case(v1_7="Sets of categories and one category against the rest, as 1.7 writes them (K6).",
      v3_4="Sets of categories and one category against the rest, as 3.4 writes them (K6).")
def categories():
    rows, target = category_rows(230, 40)
    return small(train(rows, target, 5, BOTH, max_cat_to_onehot=6, matrix=CATEGORIES), rows)


@case(v3_1="Trained on a table with category names and numbers: the first version that stores them, in `cats`. It "
           "counts characters where it means bytes, so beside a word beyond ASCII the words are broken (K13). X.npy "
           "holds codes.",
      v3_4="Trained on a table with category names and numbers. X.npy holds codes; table.csv names, which a data frame "
           "that numbers them otherwise had, and which are recoded by value (K13).")
def category_names():
    rows, target = category_rows(233, 4)
    table = category_table(rows, ["red", "green", "blue", "grün"])
    return small(train(table, target, 4, BOTH), rows, table=renumbered(table) if VERSION >= (3, 4) else None)


# ---- memory snapshots ----------------------------------------------------------------------------------------------

@case(v1_3="A memory snapshot, the bytes in a pickled booster: the model and its training settings in one document, as "
           "JSON.",
      v1_7="A memory snapshot, the bytes in a pickled booster: the model and its training settings in one document.",
      v3_0="A memory snapshot, the bytes in a pickled booster: the model and its training settings in one document.",
      v3_4="A memory snapshot of dropout trees, the bytes in a pickled booster: the model and its training settings in "
           "one document.")
def snapshot():
    rows = holes(240)
    settings = {"booster": "dart", "rate_drop": 0.5} if VERSION >= (3, 4) else {}
    booster = boost(rows, signal(rows) > 0.0, 5, objective="binary:logistic", **settings)
    model = NewModel(booster) if VERSION >= (1, 6) else OldModel(booster)
    document = bytes(booster.__getstate__()["handle"])
    assert b"Config" in document and b"Model" in document
    model.replace_files({"model.ubj" if document.startswith(b"{L") else "model.json": document})
    return small(model, rows)
