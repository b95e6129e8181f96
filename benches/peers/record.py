"""The record of a run as Markdown: tables by batch size, ratios, losses by name."""

import math

PEERS = ("native", "onnxruntime", "onedal", "lleaves", "tl2cgen")
TITLES = {
    "native": "source library",
    "onnxruntime": "ONNX Runtime",
    "onedal": "oneDAL",
    "lleaves": "lleaves",
    "tl2cgen": "TL2cgen",
}
# Peers further away than this from the source library are marked.
TOLERANCE = 1e-4


def table(head, rows):
    align = ["---"] + ["---:"] * (len(head) - 1)
    return ["| " + " | ".join(row) + " |" for row in (head, align, *rows)] + [""]


def number(value):
    """Three significant digits at least, thousands apart."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ratio(value):
    text = f"{value:.2f}×" if value < 10 else f"{value:.0f}×"
    return f"**{text} (loses)**" if value < 1 else text


def geometric_mean(values):
    return math.exp(sum(math.log(value) for value in values) / len(values))


def best_peer(times):
    """The fastest peer and its time, if any took part."""
    present = [(times[name]["p50"], name) for name in PEERS if name in times]
    return min(present, default=(None, None))


def by_batch(results):
    """The times of every model, by batch size."""
    regimes = {}
    for name, case in results["cases"].items():
        for batch, times in case["times"].items():
            regimes.setdefault(batch, {})[name] = times
    return regimes


def batch_table(results, cases):
    rows = []
    for name, times in cases.items():
        ours = times.get("sawmill", {}).get("p50")
        fastest, peer = best_peer(times)
        checks = results["cases"][name]["checks"]
        figures = []
        for other in PEERS:
            mark = "\\*" if checks.get(other, {}).get("difference", 0) > TOLERANCE else ""
            figures.append(number(times[other]["p50"]) + mark if other in times else "–")
        compared = ratio(fastest / ours) if ours and fastest else "–"
        rows.append([name, number(ours), *figures, TITLES.get(peer, "–"), compared])
    return table(["ns a row", "sawmill", *TITLES.values(), "best peer", "ratio"], rows)


def loads_of_both(results):
    loads = {name: case["loads"] for name, case in results["cases"].items()}
    return {name: times for name, times in loads.items() if {"sawmill", "native"} <= times.keys()}


def summary(results):
    rows, losses = [], []
    for batch, cases in by_batch(results).items():
        ratios = {}
        for name, times in cases.items():
            fastest, peer = best_peer(times)
            if fastest and "sawmill" in times:
                ratios[name] = fastest / times["sawmill"]["p50"]
                if ratios[name] < 1:
                    losses.append(f"* {name}, {batch}: {TITLES[peer]} is {1 / ratios[name]:.2f}× as fast.")
        if ratios:
            least = min(ratios, key=ratios.get)
            rows.append([batch, str(len(ratios)), ratio(geometric_mean(ratios.values())), ratio(ratios[least]), least])
    ratios = {name: loads["native"] / loads["sawmill"] for name, loads in loads_of_both(results).items()}
    if ratios:
        least = min(ratios, key=ratios.get)
        rows.append(["loading", str(len(ratios)), ratio(geometric_mean(ratios.values())), ratio(ratios[least]), least])
        losses += [f"* {name}, loading: the source library is {1 / r:.2f}× as fast." for name, r in ratios.items() if r < 1]
    lines = table(["batch", "models", "geometric mean", "least", "of model"], rows)
    return lines + (["Where sawmill loses:", "", *losses, ""] if losses else ["sawmill loses nowhere.", ""])


def tails(results):
    rows = []
    for name, case in results["cases"].items():
        times = case["times"].get("one row", {})
        share = lambda peer: f"{times[peer]['p99'] / times[peer]['p50']:.2f}" if peer in times else "–"
        if "sawmill" in times:
            rows.append([name, number(times["sawmill"]["p99"]), share("sawmill"), *map(share, PEERS)])
    head = ["one row", "sawmill p99, ns", "p99 / p50: sawmill", *TITLES.values()]
    return ["## Tail of the latency of one row", "", *table(head, rows)] if rows else []


def instruction_sets(results):
    """How much of its speed is left on lesser instruction sets."""
    others = sorted({peer for case in results["cases"].values() for times in case["times"].values() for peer in times})
    others = [peer for peer in others if peer.startswith("sawmill ")]
    rows = []
    for name, case in results["cases"].items():
        for batch in ("one row", "1024 rows"):
            times = case["times"].get(batch, {})
            if "sawmill" in times and any(other in times for other in others):
                best = times["sawmill"]["p50"]
                left = lambda other: f"{number(times[other]['p50'])} ({best / times[other]['p50']:.2f})" if other in times else "–"
                rows.append([name, batch, number(best), *map(left, others)])
    head = ["ns a row (share of the speed)", "batch", "best", *(other.removeprefix("sawmill ") for other in others)]
    return ["## Instruction sets", "", *table(head, rows)] if rows else []


def loading(results):
    rows = []
    for name, times in loads_of_both(results).items():
        ours, native, size = times["sawmill"], times["native"], results["cases"][name]["bytes"] / 1e6
        rows.append([name, f"{size:.1f}", number(ours), number(native), ratio(native / ours)])
    head = ["model", "MB", "sawmill, ms", "source library, ms", "ratio"]
    about = "From the file to a model that predicts; the source library's own load, one thread."
    return ["## Loading", "", about, "", *table(head, rows)] if rows else []


def answers(results):
    rows = []
    for name, case in results["cases"].items():
        shown = lambda peer: f"{case['checks'][peer]['difference']:.0e}" if peer in case["checks"] else "–"
        rows.append([name, *("0" if shown(peer) == "0e+00" else shown(peer) for peer in ("sawmill", *PEERS))])
    about = "Greatest difference from the answers of the source library, relative where those are above 1."
    return ["## Answers", "", about, "", *table(["model", "sawmill", *TITLES.values()], rows)]


def absences(results):
    reasons = {}
    for name, case in results["cases"].items():
        for peer, reason in case["absent"].items():
            if peer.startswith("sawmill "):
                # An instruction set has its own table, or is none of this machine's.
                continue
            reasons.setdefault((TITLES.get(peer, peer), reason), []).append(name)
    who = lambda names: "every model" if len(names) == len(results["cases"]) else ", ".join(names)
    lines = [f"* {peer}, {who(names)}: {reason}" for (peer, reason), names in sorted(reasons.items())]
    return ["## Who did not take part", "", *lines, ""] if lines else []


def render(results):
    machine, rounds, seconds = results["machine"], results["rounds"], results["seconds"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    lines = [
        f"# {results['date']}: sawmill beside its peers",
        "",
        f"* sawmill `{results['commit']}`, one thread",
        f"* {machine['cpu']}, {machine['cores']} cores, {machine['system']}",
        f"* {' '.join(machine['flags'])}",
        f"* {versions}",
        "",
        f"Nanoseconds a row: the median over {rounds} rounds of the median call of {seconds} s, every call with other rows"
        " than the one before. All take turns in every round. Ratio: the best peer's time by sawmill's. A dash: does not"
        f" take part (see the end). \\*: answers further than {TOLERANCE:g} from the source library's.",
        "",
        "## Summary",
        "",
        *summary(results),
    ]
    for batch, cases in by_batch(results).items():
        lines += [f"## {batch.capitalize()}", "", *batch_table(results, cases)]
    lines += tails(results) + instruction_sets(results) + loading(results) + answers(results) + absences(results)
    return "\n".join(lines).rstrip() + "\n"
