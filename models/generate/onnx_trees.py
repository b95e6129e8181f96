"""Tree ensembles written by hand: what ONNX Runtime does where the specification is silent or says otherwise.

The names begin with the number of the known mistake they guard against (`tests/onnx.rs`).
"""

import numpy as np
from onnx import TensorProto, helper

NAN = float("nan")
STUMP = dict(
    nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0], nodes_truenodeids=[1, 0, 0],
    nodes_falsenodeids=[2, 0, 0],
)
COLUMN = np.array([[0.0], [0.5], [1.0], [NAN], [-0.0], [0.25], [-1.0], [2.0], [np.inf], [-np.inf], [40.0], [1.2]], np.float32)


def model(node, outputs: list, columns: int = 1, ml: int = 3, of: int = TensorProto.FLOAT) -> bytes:
    rows = helper.make_tensor_value_info("X", of, [None, columns])
    kinds = {"label": TensorProto.INT64, "names": TensorProto.STRING}
    results = [helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), None) for name in outputs]
    graph = helper.make_graph([node], "trees", [rows], results)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", ml)]
    made = helper.make_model(graph, opset_imports=opsets, producer_name="sawmill-tests")
    made.ir_version = 9
    return made.SerializeToString()


def classifier(weights, transform="NONE", ids=(0,), base=None, labels=(0, 1), mode="BRANCH_LEQ", tracks=0, names=False):
    """A stump; `weights` of its true and its false leaf, one for each of `ids`."""
    given = dict(
        STUMP, nodes_modes=[mode, "LEAF", "LEAF"], nodes_values=[0.5, 0.0, 0.0],
        nodes_missing_value_tracks_true=[tracks, 0, 0], class_treeids=[0] * (2 * len(ids)),
        class_nodeids=[1] * len(ids) + [2] * len(ids), class_ids=list(ids) * 2,
        class_weights=[float(w) for leaf in weights for w in leaf], post_transform=transform,
    )
    given["classlabels_strings" if names else "classlabels_int64s"] = list(labels)
    if base is not None:
        given["base_values"] = list(base)
    label = "names" if names else "label"
    node = helper.make_node("TreeEnsembleClassifier", ["X"], [label, "scores"], domain="ai.onnx.ml", **given)
    return model(node, [label, "scores"]), COLUMN


def regressor(transform="NONE", aggregate="SUM", base=None, weights=(1.0, 2.0, 3.0, 5.0), modes=("BRANCH_LEQ", "BRANCH_LEQ")):
    """Two stumps of one target."""
    given = dict(
        nodes_treeids=[0, 0, 0, 1, 1, 1], nodes_nodeids=[0, 1, 2] * 2, nodes_featureids=[0] * 6,
        nodes_modes=[modes[0], "LEAF", "LEAF", modes[1], "LEAF", "LEAF"], nodes_values=[0.5, 0, 0] * 2,
        nodes_truenodeids=[1, 0, 0] * 2, nodes_falsenodeids=[2, 0, 0] * 2, target_treeids=[0, 0, 1, 1],
        target_nodeids=[1, 2, 1, 2], target_ids=[0] * 4, target_weights=list(weights), post_transform=transform,
        aggregate_function=aggregate, n_targets=1,
    )
    if base is not None:
        given["base_values"] = list(base)
    return model(helper.make_node("TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", **given), ["Y"]), COLUMN


def leaf_only():
    given = dict(
        nodes_treeids=[0, 1, 1, 1], nodes_nodeids=[0, 0, 1, 2], nodes_featureids=[0] * 4,
        nodes_modes=["LEAF", "BRANCH_LT", "LEAF", "LEAF"], nodes_values=[0.0, 0.5, 0.0, 0.0], nodes_truenodeids=[0, 1, 0, 0],
        nodes_falsenodeids=[0, 2, 0, 0], class_treeids=[0, 1, 1], class_nodeids=[0, 1, 2], class_ids=[0, 0, 0],
        class_weights=[0.25, 0.125, 0.5], classlabels_int64s=[3, 4], post_transform="NONE",
    )
    node = helper.make_node("TreeEnsembleClassifier", ["X"], ["label", "scores"], domain="ai.onnx.ml", **given)
    return model(node, ["label", "scores"]), COLUMN


def chain(values):
    """Equal to one of `values`, as converters write category sets."""
    k = len(values)
    given = dict(
        nodes_treeids=[0] * (k + 2), nodes_nodeids=list(range(k + 2)), nodes_featureids=[0] * (k + 2),
        nodes_modes=["BRANCH_EQ"] * k + ["LEAF", "LEAF"], nodes_values=[float(v) for v in values] + [0.0, 0.0],
        nodes_truenodeids=[k] * k + [0, 0], nodes_falsenodeids=list(range(1, k)) + [k + 1] + [0, 0], target_treeids=[0, 0],
        target_nodeids=[k, k + 1], target_ids=[0, 0], target_weights=[1.0, 2.0], n_targets=1,
    )
    return model(helper.make_node("TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", **given), ["Y"]), around(values)


def around(values):
    rows = [step for value in values for step in (value, value + 0.25, value - 0.25, value + 1)] + [NAN, -0.0]
    return np.array((rows * 12)[:12], np.float32).reshape(-1, 1)


def member(values, tracks=None):
    """`TreeEnsemble` of version 5: one split that asks for membership."""
    return members([values], None if tracks is None else [tracks])


def members(lists, tracks=None):
    """`TreeEnsemble` of version 5: splits that ask for membership one after another, with one leaf for all members."""
    tensor = lambda name, of, items: helper.make_tensor(name, of, [len(items)], items)
    k = len(lists)
    given = dict(
        nodes_modes=tensor("m", TensorProto.UINT8, [6] * k), nodes_splits=tensor("s", TensorProto.FLOAT, [0.0] * k),
        membership_values=tensor("v", TensorProto.FLOAT, [value for values in lists for value in [*values, NAN]]),
        nodes_featureids=[0] * k, nodes_truenodeids=[0] * k, nodes_trueleafs=[1] * k,
        nodes_falsenodeids=[*range(1, k), 1], nodes_falseleafs=[0] * (k - 1) + [1],
        leaf_weights=tensor("w", TensorProto.FLOAT, [1.0, 2.0]), leaf_targetids=[0, 0], tree_roots=[0], n_targets=1,
        post_transform=0, aggregate_function=1,
    )
    if tracks is not None:
        given["nodes_missing_value_tracks_true"] = tracks
    node = helper.make_node("TreeEnsemble", ["X"], ["Y"], domain="ai.onnx.ml", **given)
    return model(node, ["Y"], ml=5), around([value for values in lists for value in values])


def equalities(depth: int, trees: int = 3):
    """Trees of three columns whose splits ask for (in)equality and for order in turn, every branch `depth` splits long."""
    random = np.random.RandomState(depth)
    asked = [-2.0, 0.5, 3.0, 7.0, 100000.0, -0.0, float("inf"), float("-inf"), 0.1]
    inner, nodes = 2**depth - 1, 2 ** (depth + 1) - 1
    given = dict(
        nodes_treeids=np.repeat(range(trees), nodes).tolist(), nodes_nodeids=list(range(nodes)) * trees,
        nodes_featureids=random.randint(0, 3, nodes * trees).tolist(),
        nodes_modes=[
            "LEAF" if node >= inner else str(random.choice(["BRANCH_EQ", "BRANCH_NEQ", "BRANCH_LEQ", "BRANCH_GT"]))
            for _ in range(trees) for node in range(nodes)
        ],
        nodes_values=[0.0 if node >= inner else float(random.choice(asked)) for _ in range(trees) for node in range(nodes)],
        nodes_truenodeids=[0 if node >= inner else 2 * node + 1 for node in range(nodes)] * trees,
        nodes_falsenodeids=[0 if node >= inner else 2 * node + 2 for node in range(nodes)] * trees,
        nodes_missing_value_tracks_true=random.randint(0, 2, nodes * trees).tolist(),
        target_treeids=np.repeat(range(trees), nodes - inner).tolist(), target_nodeids=list(range(inner, nodes)) * trees,
        target_ids=[0] * (trees * (nodes - inner)), n_targets=1,
        target_weights=random.randn(trees * (nodes - inner)).astype(np.float32).tolist(),
    )
    node = helper.make_node("TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", **given)
    rows = random.choice([*asked, NAN, 0.25, 2.75, -1.75], (12, 3)).astype(np.float32)
    return model(node, ["Y"], columns=3), rows


def doubles():
    """Thresholds in double precision, met at and beside the threshold."""
    given = dict(
        STUMP, nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_values_as_tensor=helper.make_tensor("a", TensorProto.DOUBLE, [3], [0.1, 0.0, 0.0]), target_treeids=[0, 0],
        target_nodeids=[1, 2], target_ids=[0, 0], n_targets=1,
        target_weights_as_tensor=helper.make_tensor("b", TensorProto.DOUBLE, [2], [1.0, 2.0]),
    )
    near = [0.1, np.nextafter(0.1, 1), np.nextafter(0.1, 0), float(np.float32(0.1)), NAN, 0.0]
    rows = np.array(near * 2, np.float64).reshape(-1, 1)
    node = helper.make_node("TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", **given)
    return model(node, ["Y"], of=TensorProto.DOUBLE), rows


def cases() -> dict:
    positive, mixed, three = [[0.2], [0.7]], [[-0.2], [0.7]], [[0.4, 0, 1], [0.9, 0.1, 0]]
    found = {
        "k17_votes": classifier(positive), "k17_votes_logistic": classifier(positive, "LOGISTIC"),
        "k17_mixed": classifier(mixed), "k17_mixed_logistic": classifier(mixed, "LOGISTIC"),
        "k17_base": classifier(positive, "LOGISTIC", base=[-0.5]), "k17_second_id": classifier(positive, ids=[1]),
        "k17_second_id_logistic": classifier(mixed, "LOGISTIC", ids=[1]), "k17_leaf_only": leaf_only(),
        "k17_softmax": classifier(mixed, "SOFTMAX"), "k18_two_ids": classifier([[0.4, 0.6], [0.9, 0.1]], ids=[0, 1]),
        "k18_two_ids_labels": classifier([[0.4, -0.6], [0.9, 0.1]], ids=[0, 1], labels=[10, 20]),
        "k18_two_ids_softmax": classifier([[0.4, -0.6], [0.9, 0.1]], "SOFTMAX", ids=[0, 1]),
        "k18_two_ids_base": classifier([[0.4, 0.6], [0.9, 0.1]], ids=[0, 1], base=[0.25]),
        "k19_mixed_modes": regressor(modes=("BRANCH_GTE", "BRANCH_NEQ")), "k21_logistic": regressor("LOGISTIC"),
        "k21_softmax": regressor("SOFTMAX"), "k21_probit": regressor("PROBIT", weights=(0.1, 0.2, 0.3, 0.5)),
        "k21_average": regressor(aggregate="AVERAGE", base=[10.0]), "k21_least": regressor(aggregate="MIN"),
        "k21_greatest": regressor(aggregate="MAX", base=[10.0]), "k22_tie": classifier([[0.5], [0.25]]),
        "k27_three_softmax": classifier(three, "SOFTMAX", ids=[0, 1, 2], labels=[10, 20, 30]),
        "k27_three_softmax_zero": classifier(three, "SOFTMAX_ZERO", ids=[0, 1, 2], labels=[10, 20, 30]),
        "k27_three_tie": classifier([[0.4, 0.4, 0.2], [0.1, 0.45, 0.45]], ids=[0, 1, 2], labels=["a", "b", "c"], names=True),
        "k27_three_two_ids": classifier([[-0.4, -0.5], [-0.1, -0.45]], ids=[1, 2], labels=[10, 20, 30]),
        "k27_three_two_ids_base": classifier([[-0.4, 0], [-0.9, 0.1]], ids=[1, 2], labels=[10, 20, 30], base=[0.0, -5.0, 0.0]),
        "k27_three_logistic": classifier(three, "LOGISTIC", ids=[0, 1, 2], labels=[10, 20, 30]),
        "double_thresholds": doubles(), "k20_chain": chain([1, 40]), "k20_chain_fractions": chain([0.5, -2]),
        "k19_equalities": equalities(3), "k19_equalities_deep": equalities(7),
        "k20_member_chain": members([[1, 40], [-2, 5], [41, 42, -3]]), "k20_member_chain_missing": members([[1, 3], [2.5], [7]], [0, 1, 0]),
    }
    for mode in ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ"):
        for tracks in (0, 1):
            found[f"k19_{mode.lower()}_{tracks}"] = classifier([[-1.0], [1.0]], mode=f"BRANCH_{mode}", tracks=tracks)
    for name, values in {"mask": [1, 3], "single": [0], "wide": [1, 40], "negative": [-2, 5], "far": [1, 100000], "half": [2.5]}.items():
        found[f"k20_member_{name}"] = member(values)
    found["k20_member_missing"] = member([1, 3], 1)
    return found
