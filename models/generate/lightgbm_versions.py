"""The LightGBM cases of other versions. Models are smaller than those of `lightgbm_cases.py`, which says the rest."""

import numpy as np
import lightgbm as lgb

from common import Case, VersionCases, random_rows, signal, sprinkle
from lightgbm_cases import FOREST, LightgbmModel, category_rows, classes, holes_matter, rows_with_holes
from lightgbm_cases import boost as boost_large

case = VersionCases()

VERSION = tuple(int(part) for part in lgb.__version__.split("."))
SMALL = {"num_leaves": 6, "max_bin": 15}


class VersionModel(LightgbmModel):
    def rounds(self, span):
        if VERSION >= (3,):
            return super().rounds(span)
        assert span[0] == 0
        return {"num_iteration": span[1]}


def boost(rows, target, rounds, **options) -> str:
    return boost_large(rows, target, rounds, **SMALL | options)


def train(rows, target, rounds, dump=False, **options) -> VersionModel:
    return VersionModel(boost(rows, target, rounds, **options), dump=dump)


def small(model, rows, spans=((0, 2),), **options) -> Case:
    return Case(model, rows, **({"natural": 40, "reach": 30, "spans": list(spans)} | options))


@case(v2_3="Binary with sigmoid 2 (K15), and missing values as NaN (K3).",
      v4_0="Binary with sigmoid 2 (K15), and missing values as NaN (K3).")
def binary():
    rows = rows_with_holes(300)
    return small(train(rows, holes_matter(rows) > 0.0, 5, objective="binary", sigmoid=2.0), rows, csr=True)


@case(v2_3="Three classes, softmax in f64 (K27).")
def multiclass():
    rows = random_rows(310, 300, 4)
    model = train(rows, classes(rows), 3, objective="multiclass", num_class=3, num_leaves=4, max_bin=8)
    return small(model, rows)


@case(v2_3="Sets of categories over 40 codes (K6).", v3_3="Sets of categories over 40 codes (K6).",
      v4_0="Sets of categories over 40 codes (K6).")
def categories():
    rows, target = category_rows(311, 40)
    model = train(rows, target, 5, categories=[1, 3], max_cat_to_onehot=1, objective="regression", dump=True)
    return small(model, rows)


@case(v2_3="zero_as_missing: missing type Zero (K3, K4).")
def zero_as_missing():
    # Not as a sparse matrix: there 2.3 does not take exactly -1e-35 for a zero, later versions do.
    rows = rows_with_holes(320)
    return small(train(rows, holes_matter(rows), 5, objective="regression", zero_as_missing=True), rows)


@case(v2_3="A random forest: the value is an average, the raw score a sum (K15).")
def forest():
    rows = random_rows(321, 300, 4)
    return small(train(rows, signal(rows), 5, objective="regression", **FOREST), rows)


@case(v3_3="A random forest with three classes: average, then softmax (K15).")
def forest_classes():
    rows = random_rows(322, 300, 4)
    model = train(rows, classes(rows), 4, objective="multiclass", num_class=3, max_bin=8, **FOREST | {"num_leaves": 4})
    return small(model, rows)


@case(v3_3="Linear leaves; missing values take the plain leaf value (K15).",
      v4_0="Linear leaves; missing values take the plain leaf value (K15).")
def linear_leaves():
    rows = random_rows(324, 300, 4)
    model = train(rows, signal(rows), 4, objective="regression", linear_tree=True, dump=True)
    return small(model, sprinkle(rows, np.nan, 0.1, 325), huge=False)


@case(v3_3="Lines that end in CR LF, as after a transfer as text. The answers are those of the file as written.")
def carriage_returns():
    rows = random_rows(327, 300, 4)
    text = boost(rows, classes(rows), 2, objective="multiclass", num_class=3, num_leaves=4, max_bin=8)
    return small(VersionModel(text, edit=lambda text: text.replace("\n", "\r\n")), rows)


def lie(text: str) -> str:
    """The file with the wrong tree_sizes."""
    head, _, tail = text.partition("\ntree_sizes=")
    sizes, _, tail = tail.partition("\n")
    return f"{head}\ntree_sizes={' '.join(str(int(size) + 7) for size in sizes.split())}\n{tail}"


@case(v4_0="Every number in tree_sizes is wrong, as after an edit. LightGBM aborts on such a file: the answers are "
           "those of the file as written.")
def wrong_tree_sizes():
    rows = random_rows(328, 300, 4)
    return small(VersionModel(boost(rows, signal(rows), 4, objective="regression"), edit=lie), rows)
