"""Loading, from the file to a model that predicts, beside the source library's own load: every format of every model that
run.py measures, one thread, taking turns; and what it takes of memory. Writes a record in Markdown.

    python loads.py [--only NAME,..] [--rounds N] [--record FILE]

`just load-bench` does all of it. Models, environments and variables are those of run.py.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from record import geometric_mean, number, ratio, table
from run import PROGRAM, ROOT, WORK, Unavailable, Worker, cases, library, middle, origin, python, turns

# What the source libraries write a model as, by kind: the name of the format, and how the file is made.
OTHER_FORMATS = {
    "xgb": {"model.ubj": "import sys, xgboost; xgboost.Booster(model_file=sys.argv[1]).save_model(sys.argv[2])"},
    "lgb": {
        "model.json": "import json, sys, lightgbm; "
        "json.dump(lightgbm.Booster(model_file=sys.argv[1]).dump_model(), open(sys.argv[2], 'w'))"
    },
}
TITLES = {
    ("xgb", ".json"): "XGBoost JSON",
    ("xgb", ".ubj"): "XGBoost UBJSON",
    ("lgb", ".txt"): "LightGBM text",
    ("lgb", ".json"): "LightGBM JSON",
}


def files(case, folder):
    """The model in every format, with the name of the format, whether the source library reads it, and its memory."""
    made = [case.model]
    for name, program in OTHER_FORMATS[case.kind].items():
        path = folder / name
        # LightGBM's dump of a large model would be a gigabyte.
        if (case.kind, case.meta.get("large")) != ("lgb", True):
            subprocess.run([python("main"), "-c", program, case.model, path], check=True, capture_output=True)
            made.append(path)
    compiled = folder / "model.saw"
    for path in made:
        # LightGBM does not read its JSON.
        reads = (case.kind, path.suffix) != ("lgb", ".json")
        yield path, TITLES[case.kind, path.suffix], reads, memory(path, compiled)
    yield compiled, "compiled (.saw)", False, memory(compiled)


def memory(path, *save):
    done = subprocess.run([PROGRAM, "memory", path, *save], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def native(case, path):
    name, pattern = {
        "lgb": ("lightgbm", "lightgbm/lib/lib_lightgbm.so"),
        "xgb": ("xgboost", "xgboost/lib/libxgboost.so"),
    }[case.kind]
    return [PROGRAM, name, library(pattern), path, case.rows]


def measure(case, rounds):
    found = []
    with tempfile.TemporaryDirectory() as folder, open(WORK / "workers.log", "a") as log:
        for path, title, reads, used in files(case, Path(folder)):
            workers = {}
            try:
                workers["sawmill"] = Worker([PROGRAM, "sawmill", "best", path, case.rows], log)
                if reads:
                    workers["native"] = Worker(native(case, path), log)
                times = {name: middle(given, "ms") for name, given in turns(workers, ("load",), rounds).items()}
            finally:
                for worker in workers.values():
                    worker.close()
            found.append({"format": title, "times": times, "bytes": path.stat().st_size, **used})
            print(f"  {title}: {times}", flush=True)
    return found


def render(results):
    about = results["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in results["versions"].items() if name in ("lightgbm", "xgboost"))
    lines = [
        f"# Loading, {results['date']}",
        "",
        f"Commit {results['commit']}; {about['cpu']}, {about['system']}; {packages}. One thread; medians of "
        f"{results['rounds']} loads of a file that the system has in memory, in turns with the source library.",
        "",
        "A load ends with a model that predicts: for sawmill trees are laid out for its kernels by then. Peak is what the "
        "process's memory grew by during the first load, the file's bytes included; the model is what stays. The aim is at most 3.",
        "",
    ]
    ratios = {}
    rows = []
    for name, found in results["cases"].items():
        for file in found:
            ours, other = file["times"]["sawmill"], file["times"].get("native")
            if other:
                ratios[name, file["format"]] = other / ours
            mapped = file["format"].startswith("compiled")
            rows.append([
                name,
                file["format"],
                f"{file['nodes'] / 1e3:,.0f}",
                f"{file['bytes'] / 1e6:.1f}",
                number(ours),
                number(other),
                ratio(other / ours) if other else "–",
                f"{file['peak'] / 1e6:.1f}",
                f"{file['model'] / 1e6:.1f}",
                "–" if mapped else f"{max(file['peak'] - file['bytes'], 0) / file['model']:.1f}",
            ])
    if ratios:
        least = min(ratios, key=ratios.get)
        lost = [f"{name} ({title}) {1 / r:.2f}×" for (name, title), r in ratios.items() if r < 1]
        lines += [
            f"Geometric mean of {len(ratios)} ratios: {ratio(geometric_mean(ratios.values()))}; the least is "
            f"{ratio(ratios[least])}, of {least[0]}, {least[1]}.",
            "",
            f"The source library is faster on: {', '.join(lost)}." if lost else "The source library is faster on none.",
            "",
        ]
    head = ["model", "format", "1,000 nodes", "MB", "sawmill, ms", "source library, ms", "ratio", "peak, MB", "model, MB", "(peak − file) / model"]
    return "\n".join(lines + table(head, rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="NAME,..", help="cases to run")
    parser.add_argument("--rounds", type=int, default=7, help="loads of each file by each library")
    parser.add_argument("--record", type=Path, help="the file to write; by default named by the date")
    arguments = parser.parse_args()
    results = origin(arguments.rounds) | {
        "cases": {},
    }
    record = arguments.record or ROOT / "benches" / "record" / f"{results['date']}-load.md"
    for case in cases(arguments.only):
        if case.kind not in OTHER_FORMATS:
            continue
        print(case.name, flush=True)
        try:
            results["cases"][case.name] = measure(case, arguments.rounds)
        except Unavailable as reason:
            sys.exit(f"{case.name}: {reason}")
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(render(results))
    print(record)


if __name__ == "__main__":
    main()
