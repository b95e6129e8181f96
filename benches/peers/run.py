"""sawmill and its peers on the same models and rows, one thread, taking turns; writes a record in Markdown.

    python run.py [--only NAME,..] [--peers NAME,..] [--rounds N] [--seconds S] [--record FILE]

`just peers` does all of it: environments, models, the program, this. See README.md beside this file for how it measures.

Environment variables:
  SAWMILL_BENCH_CASES    a folder of more cases (model.*, X.npy, native.npy, meta.json), beside the made ones
  SAWMILL_PEERS_PREFIX   a command in front of every round of measuring, such as one that keeps a shared machine quiet:
                         it gets a command to run, and the round lasts as long as that
  SAWMILL_PEERS_FOLDER   where models, conversions and results are kept; target/peers if not given
  SAWMILL_PEERS_MAIN, SAWMILL_PEERS_ONEDAL, SAWMILL_PEERS_LLEAVES
                         virtual environments made elsewhere
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from record import render

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
WORK = Path(os.environ.get("SAWMILL_PEERS_FOLDER", ROOT / "target" / "peers"))
PROGRAM = TARGET / "release" / "sawmill-peers"

BATCHES = {"one row": 1, "64 rows": 64, "1024 rows": 1024, "all rows": 10_000}
CONVERT_SECONDS = 900
# Peers compute in other precisions and orders; further away than this is another answer.
TOLERANCE = 1e-4

ISAS = ("avx2", "portable")


def environment(name):
    return Path(os.environ.get(f"SAWMILL_PEERS_{name.upper()}", WORK / f"venv-{name}"))


def python(name):
    return environment(name) / "bin" / "python"


def packages(name):
    """The folder of an environment's packages."""
    return next(environment(name).glob("lib/python3*/site-packages"), environment(name))


def library(pattern):
    """A library inside a wheel of the main environment."""
    return next(packages("main").glob(pattern), None)


class Unavailable(Exception):
    """Why a peer takes no part."""


class Case:
    def __init__(self, folder):
        self.folder = folder
        self.name = folder.name
        self.meta = json.loads((folder / "meta.json").read_text())
        self.kind = self.meta["kind"]
        self.model = next(path for path in sorted(folder.glob("model.*")) if path.suffix != ".pkl")
        self.rows = folder / "X.npy"
        self.n_rows = len(np.load(self.rows, mmap_mode="r"))

    def expected(self):
        """The source library's answers, [rows, outputs]: the first array that holds numbers, not names of classes."""
        for path in sorted(self.folder.glob("native*.npy")):
            with contextlib.suppress(ValueError):
                return np.load(path).astype(np.float64).reshape(self.n_rows, -1)
        raise Unavailable("no answers to compare with")


def cases(only):
    folders = [WORK / "models"]
    if named := os.environ.get("SAWMILL_BENCH_CASES"):
        folders.append(Path(named))
    found = [path.parent for folder in folders for path in sorted(folder.glob("*/meta.json"))]
    return [Case(folder) for folder in found if not only or folder.name in only]


def prepared(peer, venv, case, suffix):
    """A file made from the model by prepare.py, kept for the next time; so is the reason why there is none."""
    out = WORK / "prepared" / f"{case.name}.{peer}.{suffix}"
    failure = out.with_suffix(".failed")
    if not out.exists() and not failure.exists():
        if not python(venv).exists():
            raise Unavailable("not installed")
        out.parent.mkdir(parents=True, exist_ok=True)
        print(f"  {peer}: converting {case.name}", flush=True)
        command = [python(venv), HERE / "prepare.py", peer, case.folder, out]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=CONVERT_SECONDS)
            reason = done.stderr.strip().splitlines()[-1:] if done.returncode else []
        except subprocess.TimeoutExpired:
            reason = [f"not compiled within {CONVERT_SECONDS} s"]
        if not out.exists():
            failure.write_text((reason or ["no file"])[0])
    if failure.exists():
        raise Unavailable(failure.read_text().strip())
    return out


def require(path):
    if path is None or not Path(path).exists():
        raise Unavailable("not installed")
    return path


def sawmill_command(isa):
    return lambda case: [PROGRAM, "sawmill", isa, case.model, case.rows]


def native_command(case):
    if case.kind == "lgb":
        return [PROGRAM, "lightgbm", require(library("lightgbm/lib/lib_lightgbm.so")), case.model, case.rows]
    if case.kind == "xgb":
        return [PROGRAM, "xgboost", require(library("xgboost/lib/libxgboost.so")), case.model, case.rows]
    if case.model.with_suffix(".pkl").exists():
        return [require(python("main")), HERE / "worker.py", "sklearn", case.model, case.rows]
    raise Unavailable("its own library is none of these")


def onnxruntime_command(case):
    onnx = prepared("onnxruntime", "main", case, "onnx")
    return [PROGRAM, "onnxruntime", require(library("onnxruntime/capi/libonnxruntime.so.*")), onnx, case.rows]


def onedal_command(case):
    if case.kind not in ("lgb", "xgb"):
        raise Unavailable("reads XGBoost and LightGBM only")
    return [require(python("onedal")), HERE / "worker.py", "onedal", case.model, case.rows]


def lleaves_command(case):
    if case.kind != "lgb":
        raise Unavailable("reads LightGBM only")
    return [PROGRAM, "lleaves", prepared("lleaves", "lleaves", case, "so"), case.model, case.rows]


def tl2cgen_command(case):
    if case.kind == "onnx":
        raise Unavailable("does not read ONNX")
    return [PROGRAM, "tl2cgen", prepared("tl2cgen", "main", case, "so"), case.model, case.rows]


PEERS = {
    "sawmill": sawmill_command("best"),
    "native": native_command,
    "onnxruntime": onnxruntime_command,
    "onedal": onedal_command,
    "lleaves": lleaves_command,
    "tl2cgen": tl2cgen_command,
} | {f"sawmill {isa}": sawmill_command(isa) for isa in ISAS}


class Worker:
    """A process that keeps a library, a model and its rows."""

    def __init__(self, command, log):
        self.log = log
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | threads,
        )
        self.about = self.answer()["about"]

    def answer(self):
        for line in self.process.stdout:
            # Some libraries greet on stdout.
            if line.startswith("{"):
                answer = json.loads(line)
                if "error" in answer:
                    raise Unavailable(answer["error"])
                return answer
        raise Unavailable(f"ended with code {self.process.wait()}")

    def ask(self, *words):
        try:
            print(*words, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass
        return self.answer()

    def close(self):
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def quiet():
    """Runs the body while SAWMILL_PEERS_PREFIX runs a command that waits for its end."""
    prefix = shlex.split(os.environ.get("SAWMILL_PEERS_PREFIX", ""))
    if not prefix:
        yield
        return
    wait = [*prefix, "sh", "-c", "echo go; read line"]
    with subprocess.Popen(wait, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        try:
            yield
        finally:
            process.stdin.close()


def distance(case, worker, folder):
    """Greatest difference from the source library's answers, relative above 1, and whether there is none at all."""
    path = Path(folder) / "answers.npy"
    worker.ask("answers", path)
    answers, expected = np.load(path), case.expected()
    if answers.shape[1] == 2 and expected.shape[1] == 1:
        # Probabilities of both classes.
        answers = answers[:, 1:]
    if answers.shape != expected.shape:
        raise Unavailable(f"answers of shape {answers.shape}, not {expected.shape}")
    both_nan = np.isnan(answers) & np.isnan(expected)
    difference = np.where(both_nan, 0, np.abs(answers - expected) / np.maximum(1, np.abs(expected)))
    return {"difference": float(difference.max()), "share": float((difference > TOLERANCE).mean())}


def start(case, names, log, folder):
    """Workers that read the model and answer; for the others, why not."""
    workers, absent, checks = {}, {}, {}
    for name in names:
        worker = None
        try:
            worker = Worker(PEERS[name](case), log)
            checks[name] = distance(case, worker, folder)
            workers[name] = worker
        except Unavailable as reason:
            absent[name] = str(reason).replace(f"{case.folder}{os.sep}", "")
            if worker:
                worker.close()
    return workers, absent, checks


def turns(workers, command, rounds):
    """Asks everyone `rounds` times, each round beginning with another; the answers by name."""
    answers = {name: [] for name in workers}
    names = list(workers)
    for turn in range(rounds):
        with quiet():
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                answers[name].append(workers[name].ask(*command))
    return answers


def middle(answers, key):
    return statistics.median(answer[key] for answer in answers)


def measure(case, arguments):
    """All figures of one case; of a large one only how long it takes to load."""
    large = case.meta.get("large")
    names = [name for name in arguments.peers if not large or name in ("sawmill", "native")]
    with tempfile.TemporaryDirectory() as folder, open(WORK / "workers.log", "a") as log:
        workers, absent, checks = start(case, names, log, folder)
        for name, reason in absent.items():
            print(f"  {name}: {reason}", flush=True)
        times = {}
        try:
            for batch, size in BATCHES.items() if workers and not large else ():
                answers = turns(workers, ("time", min(size, case.n_rows), arguments.seconds), arguments.rounds)
                times[batch] = {
                    name: {key: middle(given, key) for key in ("min", "p50", "p99")} for name, given in answers.items()
                }
                figures = "  ".join(f"{name} {figure['p50']:.0f}" for name, figure in times[batch].items())
                print(f"  {batch}: {figures}", flush=True)
            loaders = {name: workers[name] for name in ("sawmill", "native") if name in workers}
            loads = {}
            if "sawmill" in loaders and case.kind in ("lgb", "xgb"):
                answers = turns(loaders, ("load",), arguments.rounds)
                loads = {name: middle(given, "ms") for name, given in answers.items()}
        finally:
            for worker in workers.values():
                worker.close()
    plan = workers["sawmill"].about if "sawmill" in workers else ""
    bytes_ = case.model.stat().st_size
    return {"times": times, "loads": loads, "absent": absent, "checks": checks, "plan": plan, "bytes": bytes_}


def output_of(*command, cwd=None):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine():
    cpu, flags = platform.processor() or platform.machine(), []
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                cpu = value.strip()
            if key.strip() == "flags":
                flags = [flag for flag in value.split() if flag.startswith(("avx", "fma", "bmi", "sse4_2", "gfni"))]
    return {"cpu": cpu, "cores": os.cpu_count(), "flags": sorted(set(flags)), "system": platform.platform()}


def versions():
    """Versions of the packages measured."""
    found = {}
    for venv, names in {
        "main": ("lightgbm", "xgboost", "onnxruntime", "tl2cgen", "scikit-learn"),
        "onedal": ("daal", "scikit-learn-intelex"),
        "lleaves": ("lleaves", "llvmlite"),
    }.items():
        listed = output_of(str(python(venv)), "-m", "pip", "list", "--format=json") or "[]"
        by_name = {package["name"].lower(): package["version"] for package in json.loads(listed)}
        found |= {name: by_name[name] for name in names if name in by_name}
    return found


def origin(rounds):
    """What a record says of where its figures come from."""
    return {
        "date": datetime.date.today().isoformat(),
        "commit": output_of("git", "describe", "--always", "--dirty", cwd=ROOT),
        "machine": machine(),
        "versions": versions(),
        "rounds": rounds,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = lambda text: text.split(",")
    parser.add_argument("--only", type=names, metavar="NAME,..", help="cases to run")
    parser.add_argument("--peers", type=names, metavar="NAME,..", default=list(PEERS), help="who takes part")
    parser.add_argument("--rounds", type=int, default=5, help="turns each peer gets for each batch size")
    parser.add_argument("--seconds", type=float, default=0.15, help="length of a turn")
    parser.add_argument("--record", type=Path, help="the file to write; by default named by the date")
    parser.add_argument("--resume", action="store_true", help="keep what target/peers/results.json has for other cases")
    arguments = parser.parse_args()
    if unknown := set(arguments.peers) - set(PEERS):
        sys.exit(f"no peer {', '.join(unknown)}; there are {', '.join(PEERS)}")
    results = origin(arguments.rounds) | {
        "seconds": arguments.seconds,
        "cases": {},
    }
    kept = WORK / "results.json"
    if arguments.resume and kept.exists():
        results["cases"] = json.loads(kept.read_text())["cases"]
    record = arguments.record or ROOT / "benches" / "record" / f"{results['date']}.md"
    for case in cases(arguments.only):
        if arguments.resume and not arguments.only and case.name in results["cases"]:
            continue
        print(case.name, flush=True)
        results["cases"][case.name] = measure(case, arguments)
        kept.write_text(json.dumps(results, indent=1))
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(render(results))
    print(record)


if __name__ == "__main__":
    main()
