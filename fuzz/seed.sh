#!/usr/bin/env bash
# Fills fuzz/corpus with the small golden models, as starting points: mutations of a real file get further.
set -euo pipefail
cd "$(dirname "$0")"

seed() { # target, then the model files it starts from
    mkdir -p "corpus/$1"
    for file in "${@:2}"; do
        if [ "$(stat -c %s "$file")" -lt 12000 ]; then
            cp "$file" "corpus/$1/$(basename "$(dirname "$file")")-$(basename "$file")"
        fi
    done
    echo "$1: $(find "corpus/$1" -type f | wc -l) files"
}

seed xgboost_json ../models/xgboost/*/model.json
seed xgboost_ubjson ../models/xgboost/*/model.ubj
seed xgboost_binary ../models/xgboost/*/*.bin
seed lightgbm_text ../models/lightgbm/*/model.txt
seed lightgbm_json ../models/lightgbm/*/model.json
seed treelite ../models/treelite/*/model.*
seed onnx ../models/onnx/*.onnx
seed catboost_json ../models/catboost/*/model.json
seed sklearn_json ../models/sklearn/*/model.json

mkdir -p corpus/saw
for file in ../models/{xgboost,lightgbm}/{tie,category_names,vector_leaves,linear_leaves}/model.{json,txt}; do
    [ ! -f "$file" ] || cargo run --quiet --manifest-path ../Cargo.toml --features cli -- \
        compile "$file" -o "corpus/saw/$(basename "$(dirname "$file")").saw"
done
seed any_format ../models/{xgboost,lightgbm}/{tie,leaf_only,linear}*/model.*

mkdir -p corpus/kernel_vs_reference
for size in 50 200 800; do
    for number in 1 2 3 4 5 6 7 8; do
        head -c "$size" /dev/urandom >"corpus/kernel_vs_reference/$size-$number"
    done
done
