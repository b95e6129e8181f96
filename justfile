# The steps of CI, one by one. `just ci` runs them all.

set positional-arguments

# Feature sets that build without system libraries.
feature_sets := "'' cli full full,parquet"

default:
    @just --list

# Everything CI checks.
ci: format lint test doc examples

# Formatting.
format:
    cargo fmt --all --check

# Lints, on every feature set.
lint:
    for features in {{feature_sets}}; do cargo clippy --locked --all-targets --features "$features" -- -D warnings; done
    cargo clippy --locked --package sawmill-peers --package sawmill-engine-bench -- -D warnings

# All tests: the README's command, then those of bits again in an optimised build.
test:
    cargo test --features full
    cargo test --features full,parquet --test parquet --bin sawmill
    cargo test --features full,neural --test networks
    cargo test --release --locked --test models --test kernels --test invariance

# Tests on 64-bit ARM, emulated: all but those of the program (needs qemu-user and gcc-aarch64-linux-gnu).
arm *arguments:
    rustup target add aarch64-unknown-linux-gnu
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu" \
        cargo test --locked --target aarch64-unknown-linux-gnu {{arguments}}

# The engine's concurrency, in every order of events.
loom:
    RUSTFLAGS="--cfg loom" cargo test --release --locked --lib --target-dir target/loom models::

# A million requests of all kinds, with cancels, deadlines, panics, swaps and shutdowns.
soak:
    SAWMILL_SOAK=1000000 cargo test --release --locked --test soak -- --nocapture

# The engine beside a plain queue and another batcher; writes benches/record/DATE-engine.md.
engine-bench *arguments:
    cargo build --release --locked --package sawmill-engine-bench
    benches/engine/record.sh {{arguments}}

# Documentation; a broken link is an error.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --features full

# The examples run and check their own answers.
examples:
    for example in examples/*.rs; do cargo run --release --locked --features examples-http --example "$(basename "$example" .rs)"; done

# The public corpus, beside the golden models: a folder of cases (see tests/corpus.rs).
corpus folder:
    SAWMILL_CORPUS="{{folder}}" cargo test --release --locked --test corpus -- --nocapture

# Fuzzes a target of fuzz/ for so many seconds, from the golden models on (needs cargo-fuzz and a nightly toolchain).
fuzz target seconds="120":
    fuzz/seed.sh
    cargo +nightly fuzz run {{target}} -- -max_total_time={{seconds}}

# What has been compared with the source libraries: prints the table of models/README.md and writes it there.
fidelity:
    SAWMILL_FIDELITY=write cargo test --release --locked --test fidelity -- --nocapture

# Makes the golden models again, with the original libraries (Python 3.11).
models *arguments:
    python3 -m venv target/models-venv
    target/models-venv/bin/pip install --quiet --requirement models/generate/requirements.txt
    target/models-venv/bin/python models/generate {{arguments}}

# Whether the golden models are, byte for byte, what the generator makes.
models-check: (models "--check")

# The same for the models of other library versions; downloads each version's wheel.
models-check-versions: (models "--check" "--versions")

# Benchmarks of kernels and loading; of the cases in SAWMILL_BENCH_CASES too, if that names a folder.
bench *arguments:
    cargo bench {{arguments}}

# Loading beside the source libraries, every format, with what it takes of memory; writes benches/record/DATE-load.md.
load-bench *arguments:
    python3.11 -m venv target/peers/venv-main
    target/peers/venv-main/bin/pip install --quiet --requirement benches/peers/requirements-main.txt
    target/peers/venv-main/bin/python benches/models/generate.py --large target/peers/models
    cargo build --release --locked --package sawmill-peers
    target/peers/venv-main/bin/python benches/peers/loads.py {{arguments}}

# Pipelines beside ONNX Runtime; writes benches/record/DATE-pipelines.md.
pipelines-bench *arguments:
    python3.11 -m venv target/peers/venv-main
    target/peers/venv-main/bin/pip install --quiet --requirement benches/peers/requirements-main.txt
    cargo build --release --locked --package sawmill-peers
    target/peers/venv-main/bin/python benches/peers/pipelines.py {{arguments}}

# This crate beside its peers on the same models and rows; writes benches/record/DATE.md (see benches/peers/README.md).
peers *arguments:
    for name in main onedal lleaves; do python3.11 -m venv target/peers/venv-$name; done
    target/peers/venv-main/bin/pip install --quiet --requirement benches/peers/requirements-main.txt
    -target/peers/venv-onedal/bin/pip install --quiet --requirement benches/peers/requirements-onedal.txt
    -target/peers/venv-lleaves/bin/pip install --quiet --requirement benches/peers/requirements-lleaves.txt
    target/peers/venv-main/bin/python benches/models/generate.py --large target/peers/models
    cargo build --release --locked --package sawmill-peers
    target/peers/venv-main/bin/python benches/peers/run.py {{arguments}}
