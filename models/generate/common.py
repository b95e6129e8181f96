"""What every case shares: the data, the edge rows, and the files that are written.

A case is a function in `<producer>_cases.py` marked with `@case`. Its name is the folder name,
its docstring becomes `about` in `case.toml`, and it returns a `Case`. All the rest happens here.

Only `+ - * /`, comparisons and the random generator's integers and uniform numbers make data: the last bit of
`numpy.exp` and friends (and of long sums) depends on the CPU, and the files must not.
"""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Callable, NamedTuple, Protocol

import numpy as np
import scipy.sparse

F32_MAX = float(np.finfo(np.float32).max)
# LightGBM calls anything up to this size zero.
ZERO = float(np.float32(1e-35))
# Values every numeric feature takes at least once. Those that are infinite as f32 are in OVERFLOW.
SPECIAL = [np.nan, 0.0, -0.0, 1e-36, -1e-36, 1e-40, -1e-40, ZERO, -ZERO,
           float(np.nextafter(ZERO, 1)), float(np.nextafter(-ZERO, -1)), F32_MAX, -F32_MAX]
# Values every category feature takes, besides its own codes.
ODD_CODES = [-1.0, -0.5, -0.0, 0.0, 0.5, 2.0**24, 2.0**31, 1e9, np.nan]
OVERFLOW = [np.inf, 1e39, 1e300, -np.inf, -1e39]


class Split(NamedTuple):
    """One inner node of a tree that can be reached from the root."""

    tree: int
    feature: int
    cut: float | None       # None: a category split
    codes: list[int]        # of a category split
    leaves: list[int]       # below it, numbered as the library's leaf prediction numbers them


class Model(Protocol):
    """A trained model as its own library sees it."""

    producer: str
    version: str
    objective: str
    outputs: int
    trees: int
    profile: dict[str, str]
    feature_names: list[str]

    def files(self) -> dict[str, bytes]:
        """The model files by name. Several files hold the same model."""

    def splits(self) -> list[Split]:
        """Every split of every tree."""

    rounds_trained: int

    def predict(self, rows, kind: str, span: tuple[int, int] | None = None, base=None) -> np.ndarray:
        """`kind` is margin, value or leaf. `span` = rounds [start, stop). `base` = margins to start from."""

    def label(self, value: np.ndarray) -> np.ndarray | None:
        """The class the library's scikit-learn wrapper would name, or None."""


@dataclass
class Case:
    model: Model
    rows: np.ndarray                        # natural rows, usually the training data
    natural: int = 150                      # how many of them to keep
    dtype: type = np.float64                # of X.npy
    order: str = "C"                        # of X.npy; "F" = Fortran
    spans: list[tuple[int, int]] = field(default_factory=list)  # also predict with these rounds only
    csr: bool = False                       # also predict the rows as a sparse matrix
    csv: bool = False                       # also write rows.csv
    by_tree: bool = False                   # also what each tree adds; a tree for every round (and output)
    staged: bool = False                    # also predict after every round
    base: bool = False                      # also predict from margins other than base_score
    wrapper: bool = False                   # also predict as the scikit-learn wrapper does
    inplace: bool = False                   # also predict as inplace_predict does
    table: object = None                    # a data frame with categories by name, also to predict
    reach: int = 300                        # how many splits get rows that meet them at the threshold
    nan: bool = True                        # off where the library refuses missing values
    huge: bool = True                       # infinities and the like; off where they would only give NaN


class Cases(dict):
    """Folder name -> (about, function). Use as a decorator."""

    def __call__(self, build: Callable[[], Case]) -> Callable[[], Case]:
        self[build.__name__] = (" ".join(build.__doc__.split()), build)
        return build


class VersionCases(list):
    """The same for the cases of other versions: `@case(v1_3="What it guards", v1_7="…")` names the folders' starts."""

    def __call__(self, **versions: str) -> Callable:
        def keep(build: Callable[[], Case]) -> Callable[[], Case]:
            self.extend((start, build, about) for start, about in versions.items())
            return build
        return keep

    def of(self, version: str) -> dict[str, tuple[str, Callable[[], Case]]]:
        start = "v" + "_".join(version.split(".")[:2])
        return {f"{start}_{build.__name__}": (about, build) for name, build, about in self if name == start}


# ---- data ---------------------------------------------------------------------------------------------------------

def random_rows(seed: int, rows: int, features: int) -> np.ndarray:
    """Uniform in [-1, 1). f64 with all 53 bits in use, so that rounding to f32 matters."""
    return np.random.default_rng(seed).random((rows, features)) * 2.0 - 1.0


def sprinkle(rows: np.ndarray, value: float, share: float, seed: int) -> np.ndarray:
    """A copy in which `share` of the fields are `value`."""
    rows = rows.copy()
    rows[np.random.default_rng(seed).random(rows.shape) < share] = value
    return rows


def signal(rows: np.ndarray) -> np.ndarray:
    """Something for trees to learn from the first four columns; missing counts as 0."""
    a, b, c, d = (np.where(np.isnan(column), 0.0, column) for column in rows.T[:4])
    return a * 2.0 + b * c + np.where(d > 0.25, 0.5, -0.5) * a * a


# ---- rows ---------------------------------------------------------------------------------------------------------

def threshold_probes(cut: float, dtype: type) -> list[float]:
    """The threshold, its neighbours in both precisions, and the f64 halfway to the f32 below (a rounding tie)."""
    wide = [cut, float(np.nextafter(cut, -np.inf)), float(np.nextafter(cut, np.inf))]
    if abs(cut) >= F32_MAX:
        return wide
    near = np.float32(cut)
    below, above = (float(np.nextafter(near, np.float32(to))) for to in (-np.inf, np.inf))
    probes = [float(near), below, above]
    if dtype is np.float64:
        probes += wide + [(below + float(near)) / 2.0]
    return list(dict.fromkeys(probes))


def code_probes(codes: list[int]) -> list[float]:
    known = range(max(codes) + 1)
    return [code + part for code in known for part in (0.0, 0.9)] + ODD_CODES + [max(codes) + 1.0]


def edge_rows(splits: list[Split], natural: np.ndarray, dtype: type, huge: bool) -> np.ndarray:
    """Each row carries a different probe of every feature at once; a feature that runs out keeps natural values."""
    cuts = [set() for _ in range(natural.shape[1])]
    codes = [set() for _ in range(natural.shape[1])]
    for split in splits:
        codes[split.feature].update(split.codes)
        if split.cut is not None and np.isfinite(split.cut):
            cuts[split.feature].add(split.cut)
    probes = []
    for feature in range(natural.shape[1]):
        if codes[feature]:
            probes.append(code_probes(codes[feature]))
        else:
            near = [p for cut in sorted(cuts[feature]) for p in threshold_probes(cut, dtype)]
            probes.append(near + SPECIAL)
    if not huge:
        probes = [[p for p in values if not abs(p) > 1e30] for values in probes]
    rng = np.random.default_rng(11)
    rows = natural[rng.integers(0, len(natural), max(map(len, probes)))]
    for feature, values in enumerate(probes):
        # Shuffled, so that features do not walk through their probes side by side.
        rows[rng.permutation(len(rows))[:len(values)], feature] = values
    return rows


def reach_rows(model: Model, splits: list[Split], natural: np.ndarray, dtype: type, limit: int) -> np.ndarray:
    """Natural rows that arrive at a split, changed to meet it with exactly its threshold, and with the f64 below.

    The threshold lies between those above it on the path, so the changed row still arrives.
    """
    numeric = [split for split in splits if split.cut is not None]
    numeric = numeric[::-(-len(numeric) // limit) or 1]
    if not numeric:
        return natural[:0]
    leaf = model.predict(natural, "leaf")
    rows = []
    for split in numeric:
        arrives = np.flatnonzero(np.isin(leaf[:, split.tree], split.leaves))
        if len(arrives):
            for value in (split.cut, np.nextafter(split.cut, -np.inf))[:2 if dtype is np.float64 else 1]:
                row = natural[arrives[len(rows) % len(arrives)]].copy()
                row[split.feature] = value
                rows.append(row)
    return np.array(rows).reshape(-1, natural.shape[1])


def overflow_rows(natural: np.ndarray) -> np.ndarray:
    """Infinities and numbers that become infinite as f32; never both signs in one row."""
    rng = np.random.default_rng(12)
    rows = natural[rng.integers(0, len(natural), 4 * len(OVERFLOW))]
    for row, value in zip(rows, OVERFLOW * 4):
        hit = rng.random(len(row)) < 0.4
        hit[rng.integers(0, len(row))] = True
        row[hit] = value
    return rows


def all_rows(case: Case) -> np.ndarray:
    step = max(1, len(case.rows) // case.natural)
    natural = np.array(case.rows[::step][:case.natural], dtype=np.float64)
    splits = case.model.splits()
    parts = [natural, edge_rows(splits, natural, case.dtype, case.huge)]
    if case.reach:
        parts.append(reach_rows(case.model, splits, natural, case.dtype, case.reach))
    if case.huge:
        parts.append(overflow_rows(natural))
    with np.errstate(over="ignore"):
        rows = np.array(np.concatenate(parts), dtype=case.dtype, order=case.order)
    if not case.nan:
        rows[np.isnan(rows)] = 0.0
    return rows


# ---- files --------------------------------------------------------------------------------------------------------

def smallest_int(leaf: np.ndarray) -> np.ndarray:
    fits = [t for t in (np.uint8, np.uint16, np.int32) if leaf.max(initial=0) <= np.iinfo(t).max]
    exact = leaf.astype(fits[0])
    assert np.array_equal(exact, leaf)
    return exact


MOST = ["circuit", "row", "tops", "values", "walk"]
LEVELS = ["circuit", "row", "tops", "levels", "values", "walk"]  # each level of a tree asks one thing

# The kernels that can evaluate every tree of a case, by producer and name; most of them otherwise.
KERNELS = {
    "lightgbm/deep_trees": ["row", "tops", "values", "walk"],  # more leaves than a byte numbers
    "lightgbm/missing_nan": ["circuit", "row", "tops", "walk"],  # infinite thresholds, which missing values alone are beyond
    "lightgbm/v2_3_binary": ["circuit", "row", "tops", "walk"],
    "lightgbm/v4_0_binary": ["circuit", "row", "tops", "walk"],
    "treelite/sklearn_random_forest": ["circuit", "row", "tops", "walk"],
    "treelite/infinite_thresholds": ["circuit", "row", "tops", "levels", "walk"],
    "catboost/*depth_wise": MOST,
    "catboost/leaf_wise_classes": MOST,
    "*/leaf_only": LEVELS,
    "*/tie": LEVELS,
    "treelite/operators*": LEVELS,
    "xgboost/*linear*": ["walk"],  # linear models
    "lightgbm/*linear_leaves": ["walk"],
    "xgboost/odd_numbers": ["walk"],  # a split that nothing goes left of
    "treelite/infinite_thresholds_less_first": ["walk"],
    "catboost/*": LEVELS,
}


def kernels(folder: Path) -> list[str]:
    """What the model of a case is expected to fit."""
    case = f"{folder.parent.name}/{folder.name}"
    return next((fit for cases, fit in KERNELS.items() if fnmatch(case, cases)), MOST)


def case_toml(folder: Path, about: str, case: Case) -> str:
    model = case.model
    fields = {
        "producer": model.producer,
        "version": model.version,
        "objective": model.objective,
        "about": about,
        "models": list(model.files()),
        "features": case.rows.shape[1],
        "outputs": model.outputs,
        "trees": model.trees,
        "kernels": kernels(folder),
    }
    fields |= getattr(model, "options", {})
    if case.spans:
        fields["iterations"] = [list(span) for span in case.spans]

    def lines(table: dict) -> str:  # strings, numbers and lists look the same in JSON and TOML
        return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in table.items())

    return lines(fields) + "\n[profile]\n" + lines(model.profile)


def write_csv(folder: Path, case: Case) -> None:
    """20 natural rows, and what the library predicts for exactly the numbers in the file."""
    step = max(1, len(case.rows) // 20)
    lines = [",".join(case.model.feature_names)]
    lines += [",".join("" if np.isnan(v) else repr(float(v)) for v in row) for row in case.rows[::step][:20]]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    parsed = [[float(text) if text else np.nan for text in line.split(",")] for line in lines[1:]]
    np.save(folder / "rows_value.npy", case.model.predict(np.array(parsed), "value"))


def write_table(folder: Path, case: Case) -> None:
    """The data frame as text, and what the library predicts for the data frame."""
    with open(folder / "table.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(case.table.columns)
        for row in case.table.itertuples(index=False):
            rows.writerow(["" if value != value else value for value in row])
    np.save(folder / "table_value.npy", case.model.predict_table(case.table))


# The rows of X.npy that the bulky arrays are for: every tenth.
STRIDE = 10


def write_by_round(folder: Path, case: Case, rows: np.ndarray) -> None:
    """The arrays that show the model round by round, or from other margins than its own."""
    model = case.model
    rounds = [(i, i + 1) for i in range(model.rounds_trained)]
    zero = np.zeros((len(rows), model.outputs), np.float32) if model.producer == "xgboost" else None
    if case.by_tree:
        trees = [model.predict(rows, "margin", span, zero).reshape(len(rows), -1) for span in rounds]
        np.save(folder / "tree_value.npy", np.concatenate(trees, axis=1))
    if case.staged:
        for kind in ("margin", "value"):
            stages = [model.predict(rows, kind, (0, stop)).reshape(len(rows), -1) for _, stop in rounds]
            np.save(folder / f"staged_{kind}.npy", np.concatenate(stages, axis=1))
    if case.base:
        base = (random_rows(13, len(rows), model.outputs) * 3.0).astype(np.float32)
        np.save(folder / "base_margin.npy", base)
        for kind in ("margin", "value"):
            np.save(folder / f"from_base_{kind}.npy", model.predict(rows, kind, None, base))


def write_case(folder: Path, about: str, case: Case) -> None:
    model = case.model
    folder.mkdir(parents=True)
    for name, data in model.files().items():
        (folder / name).write_bytes(data)
    (folder / "case.toml").write_text(case_toml(folder, about, case), encoding="utf-8")

    rows = all_rows(case)
    value = model.predict(rows, "value")
    np.save(folder / "X.npy", rows)
    np.save(folder / "margin.npy", model.predict(rows, "margin"))
    np.save(folder / "value.npy", value)
    if model.trees:
        np.save(folder / "leaf.npy", smallest_int(model.predict(rows, "leaf")))
    label = model.label(value)
    if label is not None:
        np.save(folder / "label.npy", label.astype(np.int32))
    if case.csr:
        np.save(folder / "csr_margin.npy", model.predict(scipy.sparse.csr_matrix(rows), "margin"))
    for start, stop in case.spans:
        for kind in ("margin", "value"):
            np.save(folder / f"{kind}_{start}_{stop}.npy", model.predict(rows, kind, (start, stop)))
    if case.table is not None:
        write_table(folder, case)
    if case.inplace:
        for kind in ("margin", "value"):
            np.save(folder / f"inplace_{kind}.npy", model.inplace(rows[::STRIDE], kind))
    if case.wrapper:
        np.save(folder / "wrapper_value.npy", model.wrapper_value(rows))
    write_by_round(folder, case, rows[::STRIDE])
    if case.csv:
        write_csv(folder, case)


def replace_case(out: Path, place: str, about: str, case: Case) -> None:
    shutil.rmtree(out / place, ignore_errors=True)
    write_case(out / place, about, case)
    size = sum(file.stat().st_size for file in (out / place).iterdir())
    print(f"{place:44} {size / 1024:7.1f} KiB", flush=True)
