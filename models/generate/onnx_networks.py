"""Writes the neural cases: `python models/generate/onnx_networks.py [OUT_DIR] [--only NAME]` (requirements-networks.txt).

Networks for tables as PyTorch exports them, a little trained. A case is `NAME.onnx` and `NAME.json`, as `onnx_cases.py`
writes them: rows as typed columns and what ONNX Runtime answers, one thread, row by row.
"""

import argparse
import json
import os
import sys
import warnings
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
warnings.filterwarnings("ignore")

import numpy as np
import onnxruntime as rt
import torch
from onnx import TensorProto, helper, save
from onnx.numpy_helper import from_array
from torch import nn

rt.set_default_logger_severity(4)
torch.set_num_threads(1)
MODELS = Path(__file__).resolve().parent.parent / "onnx_networks"
ROWS = 12

rng = np.random.RandomState(0)
N = 200
X = rng.randn(N, 6).astype(np.float32)
CODES = rng.randint(0, [3, 5], (N, 2)).astype(np.int64)
Y = (X[:, 0] * X[:, 1] + CODES[:, 0] - 1 + 0.1 * rng.randn(N)).astype(np.float32)
BINARY = (Y > 0).astype(np.float32)
MULTI = np.digitize(Y, [-0.7, 0.7]).astype(np.int64)


class Perceptron(nn.Module):
    """Layers with batch and layer normalisation, dropout and a leaky activation."""

    def __init__(self, n_outputs: int, head: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.LeakyReLU(0.1), nn.Dropout(0.2), nn.Linear(16, 8), nn.LayerNorm(8),
            nn.SiLU(), nn.Linear(8, n_outputs),
        )
        self.head = head

    def forward(self, x):
        return self.head(self.layers(x))


class Autoencoder(nn.Module):
    """A reconstruction and how far it is off: two outputs."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(6, 4), nn.ELU(), nn.Linear(4, 2))
        self.decode = nn.Sequential(nn.Linear(2, 4), nn.ELU(), nn.Linear(4, 6))

    def forward(self, x):
        found = self.decode(self.encode(x))
        return found, ((x - found) ** 2).mean(dim=1, keepdim=True)


class Transformer(nn.Module):
    """A token for each column, numbers and categories, and attention among them: an FT-Transformer in small."""

    def __init__(self, n_outputs: int, width: int = 8):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, width) * 0.3)
        self.bias = nn.Parameter(torch.randn(6, width) * 0.3)
        self.colours, self.shapes = nn.Embedding(3, width), nn.Embedding(5, width)
        self.first = nn.Parameter(torch.randn(1, 1, width) * 0.3)
        self.blocks = nn.ModuleList(Block(width) for _ in range(2))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, n_outputs)

    def forward(self, numbers, codes):
        tokens = numbers.unsqueeze(-1) * self.weight + self.bias
        names = torch.stack([self.colours(codes[:, 0]), self.shapes(codes[:, 1])], dim=1)
        first = self.first.expand(numbers.shape[0], -1, -1)
        x = torch.cat([first, tokens, names], dim=1)
        for block in self.blocks:
            x = block(x)
        return torch.softmax(self.out(self.norm(x[:, 0])), dim=-1)


class Block(nn.Module):
    def __init__(self, width: int, heads: int = 2):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        n, tokens, width = x.shape
        q, k, v = self.qkv(self.first(x)).reshape(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5, dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, tokens, width))
        return x + self.feed(self.second(x))


class Activations(nn.Module):
    """Layers of every activation that PyTorch has, side by side, behind both normalisations; `early` leaves out what opset 9
    has no operators for. Not LogSigmoid, of which it makes the logarithm of an approximation: its last digits show."""

    def __init__(self, early: bool = False):
        super().__init__()
        kinds = [
            nn.ReLU(), nn.LeakyReLU(0.2), nn.PReLU(4), nn.ELU(0.7), nn.SELU(), nn.SiLU(), nn.GELU(),
            nn.GELU(approximate="tanh"), nn.Softplus(), nn.Softsign(), nn.Sigmoid(), nn.Tanh(), nn.ReLU6(), nn.Hardtanh(-0.4, 0.6),
            nn.Softmax(dim=-1), nn.LogSoftmax(dim=-1), nn.Tanhshrink(),
        ]
        late = [nn.CELU(0.7), nn.Hardsigmoid(), nn.Hardswish(), nn.Mish()]
        self.first = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16, affine=False), nn.Linear(16, 16), nn.LayerNorm(16))
        self.branches = nn.ModuleList(nn.Sequential(nn.Linear(16, 4), kind) for kind in kinds + ([] if early else late))
        self.last = nn.Sequential(nn.LayerNorm(4 * len(self.branches), elementwise_affine=False), nn.Dropout(0.1))

    def forward(self, x):
        x = self.first(x)
        return self.last(torch.cat([branch(x) for branch in self.branches], dim=1))


class Convolution(nn.Module):
    """An operator that is none of tables: columns as a signal."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 1))

    def forward(self, x):
        return self.layers(x.unsqueeze(1))


def train(module, inputs, loss, steps: int = 60):
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    module.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss(module(*inputs)).backward()
        optimizer.step()
    return module.eval()


def made(build):
    torch.manual_seed(0)
    return build()


def cases():
    x, codes = torch.from_numpy(X), torch.from_numpy(CODES)
    y, binary, multi = torch.from_numpy(Y)[:, None], torch.from_numpy(BINARY)[:, None], torch.from_numpy(MULTI)
    mse, picked = nn.functional.mse_loss, lambda p: -torch.log(p[torch.arange(N), multi] + 1e-6).mean()
    of = lambda build, inputs, loss: (train(made(build), inputs, loss), inputs)
    return {
        "perceptron": lambda: of(lambda: Perceptron(1, nn.Identity()), [x], lambda p: mse(p, y)),
        "perceptron_binary": lambda: of(
            lambda: Perceptron(1, nn.Sigmoid()), [x], lambda p: nn.functional.binary_cross_entropy(p, binary)
        ),
        "autoencoder": lambda: of(Autoencoder, [x], lambda p: mse(p[0], x)),
        "transformer": lambda: of(lambda: Transformer(3), [x, codes], picked),
        "transformer_dynamo": lambda: of(lambda: Transformer(3), [x, codes], picked),
        "activations": lambda: of(Activations, [x], lambda p: mse(p[:, :1], y)),
        "activations_dynamo": lambda: of(Activations, [x], lambda p: mse(p[:, :1], y)),
        "activations_early": lambda: of(lambda: Activations(early=True), [x], lambda p: mse(p[:, :1], y)),
        "convolution": lambda: of(Convolution, [x], lambda p: mse(p, y)),
        "one_row": lambda: of(lambda: Perceptron(1, nn.Identity()), [x], lambda p: mse(p, y)),
    }


def export(name: str, module, inputs, path: Path):
    names = ["numbers", "codes"][: len(inputs)]
    outputs = ["reconstruction", "error"] if name == "autoencoder" else ["output"]
    sample = tuple(part[:1] for part in inputs) if name == "one_row" else tuple(part[:3] for part in inputs)
    if name.endswith("dynamo"):
        rows = torch.export.Dim("rows")
        torch.onnx.export(
            module, sample, str(path), input_names=names, output_names=outputs, dynamo=True, external_data=False,
            dynamic_shapes=tuple({0: rows} for _ in names), verbose=False,
        )
        return
    axes = {} if name == "one_row" else {each: {0: "rows"} for each in names + outputs}
    torch.onnx.export(
        module, sample, str(path), input_names=names, output_names=outputs, dynamic_axes=axes, dynamo=False,
        opset_version=9 if name.endswith("early") else 17,
    )


def operators(path: Path):
    """What PyTorch does not write, or writes otherwise: operators with their defaults, three dimensions, both ways of Gelu."""
    numbers = lambda *shape: np.round(np.random.RandomState(1).randn(*shape), 3).astype(np.float32)
    constants = {
        "shape": np.array([0, 2, 3], np.int64), "back": np.array([0, -1], np.int64), "slopes": numbers(2, 1),
        "factors": numbers(2), "offsets": numbers(2) + 1, "means": numbers(2), "variances": numbers(2) ** 2 + 1, "of_all": numbers(2, 3),
        "of_last": numbers(3), "hidden": numbers(6, 40), "shift": numbers(1, 40), "out": numbers(40, 5),
    }
    node, ends = helper.make_node, []
    def end(op, inputs=("numbers",), **attributes):
        ends.append(f"end_{len(ends)}")
        return node(op, list(inputs), [ends[-1]], **attributes)
    nodes = [
        node("Reshape", ["numbers", "shape"], ["cube"]),
        end("Elu"), end("Selu"), end("Celu"), end("LeakyRelu"), end("HardSigmoid"), end("HardSwish"), end("ThresholdedRelu"),
        end("Softplus"), end("Softsign"), end("Mish"), end("Erf"), end("Gelu"), end("Gelu", approximate="tanh"),
        node("PRelu", ["cube", "slopes"], ["rectified"]), end("Reshape", ["rectified", "back"]),
        node("BatchNormalization", ["cube", "factors", "offsets", "means", "variances"], ["by_channel"], epsilon=0.01),
        end("Reshape", ["by_channel", "back"]),
        node("LayerNormalization", ["cube", "of_all"], ["by_row"], axis=1), end("Reshape", ["by_row", "back"]),
        node("LayerNormalization", ["cube", "of_last", "of_last"], ["by_part"]), end("Reshape", ["by_part", "back"]),
        node("LogSoftmax", ["cube"], ["logs"], axis=1), end("Reshape", ["logs", "back"]),
        node("MatMul", ["numbers", "hidden"], ["product"]), node("Add", ["shift", "product"], ["shifted"]),
        node("Gelu", ["shifted"], ["active"]), end("Gemm", ["active", "out"], alpha=0.5),
        node("Concat", ends, ["output"], axis=1),
    ]
    of = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])
    graph = helper.make_graph(
        nodes, "operators", [of("numbers", 6)], [of("output", None)],
        [from_array(values, name) for name, values in constants.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def write(name: str, folder: Path):
    path = folder / f"{name}.onnx"
    if name == "operators":
        inputs = [torch.from_numpy(X)]
        operators(path)
    else:
        module, inputs = cases()[name]()
        export(name, module, inputs, path)
    options = rt.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = rt.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rows = [part.numpy()[:ROWS] for part in inputs]
    names = [each.name for each in session.get_inputs()]
    answers = [
        np.concatenate(parts)
        for parts in zip(*(session.run(None, {n: part[at : at + 1] for n, part in zip(names, rows)}) for at in range(ROWS)))
    ]
    column = lambda values: {"type": {"f": "f32", "i": "i64"}[values.dtype.kind], "values": values.tolist()}
    facts = {
        "inputs": [column(part[:, at]) for part in rows for at in range(part.shape[1])],
        "outputs": [
            {"name": each.name, "type": "f32", "columns": int(np.prod(values.shape[1:])), "values": values.ravel().tolist()}
            for each, values in zip(session.get_outputs(), answers)
        ],
        "sklearn": None,
    }
    (folder / f"{name}.json").write_text(json.dumps(facts) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=MODELS)
    parser.add_argument("--only")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in [*cases(), "operators"]:
        if arguments.only in (None, name):
            write(name, arguments.out)
            print(name, file=sys.stderr)


if __name__ == "__main__":
    main()
