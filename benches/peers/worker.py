"""The Python counterpart of `sawmill-peers`: one library with one model and its rows, timed on request. `src/main.rs` has
the commands.

    python worker.py onedal|sklearn MODEL ROWS.npy
"""

import json
import math
import sys
import time
from pathlib import Path

import numpy as np

COMPARED_ROWS = 200
WARM_UP = 0.1


def onedal(model):
    """oneDAL through daal4py. A classifier gives probabilities."""
    import daal4py
    from daal4py.mb import convert_model

    daal4py.daalinit(1)
    if model.suffix == ".json":
        import xgboost

        source = xgboost.Booster(model_file=model)
    else:
        import lightgbm

        source = lightgbm.Booster(model_file=model)
    trees = convert_model(source)
    return trees.predict if trees.is_regressor_ else trees.predict_proba


def sklearn(model):
    """scikit-learn itself, from a pickle beside the model."""
    import pickle

    forest = pickle.loads(model.with_suffix(".pkl").read_bytes())
    forest.n_jobs = 1
    return forest.predict_proba


def as_table(predictions):
    predictions = np.asarray(predictions, dtype=np.float64)
    return predictions.reshape(len(predictions), -1)


def answers(predict, X, path):
    whole = as_table(predict(X))
    for row in range(min(COMPARED_ROWS, len(X))):
        single = as_table(predict(X[row : row + 1]))
        if not np.allclose(single, whole[row : row + 1], rtol=1e-6, atol=1e-6, equal_nan=True):
            raise ValueError(f"row {row} differs when it is alone")
    np.save(path, whole)
    return {}


def windows(n_rows, batch):
    start = lap = 0
    while True:
        if start + batch > n_rows:
            lap = (lap + 1) % min(n_rows - batch + 1, batch)
            start = lap
        yield slice(start, start + batch)
        start += batch


def measure(predict, X, batch, seconds):
    rows = windows(len(X), batch)
    begin = time.perf_counter()
    while True:
        predict(X[next(rows)])
        if time.perf_counter() - begin >= seconds * WARM_UP:
            break
    times = []
    begin = time.perf_counter()
    while not times or time.perf_counter() - begin < seconds:
        piece = X[next(rows)]
        start = time.perf_counter_ns()
        predict(piece)
        times.append(time.perf_counter_ns() - start)
    times.sort()
    quantile = lambda q: times[max(math.ceil(len(times) * q), 1) - 1] / batch
    return {"calls": len(times), "min": quantile(0), "p50": quantile(0.5), "p99": quantile(0.99)}


def run(say):
    peer, model, rows = sys.argv[1:]
    X = np.ascontiguousarray(np.load(rows))
    predict = {"onedal": onedal, "sklearn": sklearn}[peer](Path(model))
    say({"peer": peer, "about": ""})
    for line in sys.stdin:
        match line.split():
            case ["answers", path]:
                say(answers(predict, X, path))
            case ["time", batch, seconds]:
                say(measure(predict, X, int(batch), float(seconds)))
            case _:
                raise ValueError(f"no command {line!r}")


def main():
    # Libraries print to stdout too.
    out, sys.stdout = sys.stdout, sys.stderr
    say = lambda answer: print(json.dumps(answer), file=out, flush=True)
    try:
        run(say)
    except Exception as error:
        say({"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)


if __name__ == "__main__":
    main()
