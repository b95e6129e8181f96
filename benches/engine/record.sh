#!/usr/bin/env bash
# Writes benches/record/DATE-engine.md: the machine, then what the benchmark prints. SAWMILL_BENCH_PREFIX names a command
# that keeps others quiet while the command it is given runs.
set -euo pipefail
record=benches/record/$(date +%F)-engine.md
measured=$(${SAWMILL_BENCH_PREFIX:-} "${CARGO_TARGET_DIR:-target}/release/sawmill-engine-bench" \
    models/xgboost/breast_cancer/model.json models/xgboost/many_trees/model.ubj "$@")
{
    echo "# $(date +%F): the engine beside a plain queue and amate 0.16"
    echo
    echo "* sawmill \`$(git rev-parse --short HEAD)\`, made by \`just engine-bench\`"
    echo "* $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) CPUs, $(uname -sr)"
    echo
    echo "$measured"
} >"$record"
echo "$record"
