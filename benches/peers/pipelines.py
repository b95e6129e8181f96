"""Every ONNX case of models/onnx and models/onnx_networks beside ONNX Runtime, one thread, at batches of 1, 64 and 1,024 rows,
in one process that lets both take turns. Writes a record in Markdown.

    python pipelines.py [--rounds N] [--seconds S] [--record FILE]

`just pipelines-bench` does all of it. Environments and variables are those of run.py.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

from record import geometric_mean, table
from run import PROGRAM, ROOT, library, origin

CASES = [ROOT / "models" / "onnx", ROOT / "models" / "onnx_networks"]
BATCHES = (1, 64, 1024)


def measured(rounds, seconds):
    """By model and batch the medians over the rounds, or why there are none."""
    runtime = library("onnxruntime/capi/libonnxruntime.so.*")
    if runtime is None:
        sys.exit("ONNX Runtime is not in the main environment")
    prefix = shlex.split(os.environ.get("SAWMILL_PEERS_PREFIX", ""))
    found, skipped = {}, {}
    for cases in rounds * CASES:
        command = [*prefix, PROGRAM, "pipelines", runtime, cases, str(seconds)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        for line in map(json.loads, done.stdout.splitlines()):
            if "skipped" in line:
                skipped[line["model"]] = line["skipped"].splitlines()[0].replace(f"{ROOT}/", "")
            else:
                found.setdefault(line["model"], {}).setdefault(line["batch"], []).append(line)
    middle = lambda lines, key: statistics.median(line[key] for line in lines)
    times = {
        model: {batch: {key: middle(lines, key) for key in ("sawmill", "onnxruntime", "ratio")} for batch, lines in batches.items()}
        for model, batches in found.items()
    }
    return times, skipped


def render(results):
    about, times = results["machine"], results["times"]
    lines = [
        f"# Pipelines beside ONNX Runtime, {results['date']}",
        "",
        f"Commit {results['commit']}; {about['cpu']}, {about['system']}; ONNX Runtime {results['versions'].get('onnxruntime')} "
        "through its C interface. Every model of `models/onnx` and `models/onnx_networks`, one thread, batches of 1, 64 and 1,024 "
        f"rows (those of the case, repeated), in one process, taking turns. Microseconds a call, medians of {results['rounds']} rounds; the "
        "ratio says how many times as fast this crate is, so that below 1 it is the slower one.",
        "",
    ]
    slower = []
    for batch in BATCHES:
        # A graph of fixed size takes no batches.
        ratios = {model: found[batch]["ratio"] for model, found in times.items() if batch in found}
        kept = sum(ratio >= 1 for ratio in ratios.values())
        least = min(ratios, key=ratios.get)
        lines.append(
            f"* {batch:,} row{'s' if batch > 1 else ''}: {kept} of {len(ratios)} models not slower; median ratio "
            f"{statistics.median(ratios.values()):.2f}, geometric mean {geometric_mean(ratios.values()):.2f}, least "
            f"{ratios[least]:.2f} ({least})"
        )
        slower += [f"{model} {ratio:.2f} at {batch:,}" for model, ratio in sorted(ratios.items(), key=lambda one: one[1]) if ratio < 1]
    lines += ["", f"Slower than ONNX Runtime: {', '.join(slower)}." if slower else "Slower than ONNX Runtime: none.", ""]
    head = ["Model", *(f"{batch:,}: {what}" for batch in BATCHES for what in ("us", "ONNX Runtime", "ratio"))]
    rows = []
    for model, found in sorted(times.items()):
        figures = [found.get(batch) for batch in BATCHES]
        show = lambda one: (f"{one['sawmill'] / 1e3:.1f}", f"{one['onnxruntime'] / 1e3:.1f}", f"{one['ratio']:.2f}")
        shown = [show(one) if one else ("–", "–", "–") for one in figures]
        rows.append([model, *(figure for one in shown for figure in one)])
    lines += table(head, rows)
    if results["skipped"]:
        lines += ["Not measured:", "", *(f"* {model}: {why}" for model, why in sorted(results["skipped"].items())), ""]
    return "\n".join(lines).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs over all models")
    parser.add_argument("--seconds", type=float, default=0.005, help="for each library with a model and batch in a round")
    parser.add_argument("--record", type=Path, help="the file to write; by default named by the date")
    arguments = parser.parse_args()
    times, skipped = measured(arguments.rounds, arguments.seconds)
    results = origin(arguments.rounds) | {
        "times": times,
        "skipped": skipped,
    }
    record = arguments.record or ROOT / "benches" / "record" / f"{results['date']}-pipelines.md"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(render(results))
    print(record)


if __name__ == "__main__":
    main()
