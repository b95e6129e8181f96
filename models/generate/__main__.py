"""Writes the cases: `python models/generate [OUT_DIR] [--only NAME] [--check] [--versions]`.

`--versions` is about the cases of other versions of the libraries instead: see `versions.py`.
OUT_DIR is the models folder itself unless given. `--check` writes into a temporary folder instead and compares it
byte for byte with OUT_DIR.
"""

import argparse
import os
import filecmp
import sys
import tempfile
from pathlib import Path

# numpy's vector code for exponentials differs from the C library, and from CPU to CPU.
os.environ["NPY_DISABLE_CPU_FEATURES"] = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"

import catboost_cases
import lightgbm_cases
import sklearn_cases
import treelite_cases
import versions
import xgboost_cases
from common import replace_case

MODELS = Path(__file__).resolve().parent.parent
PRODUCERS = {
    "xgboost": xgboost_cases.case,
    "lightgbm": lightgbm_cases.case,
    "treelite": treelite_cases.case,
    "catboost": catboost_cases.case,
    "sklearn": sklearn_cases.case,
}


def generate(out: Path, only: str | None) -> list[str]:
    """Writes the chosen cases and returns their folders, relative to `out`."""
    done = []
    for producer, cases in PRODUCERS.items():
        for name, (about, build) in cases.items():
            place = f"{producer}/{name}"
            if only not in (None, producer, name, place):
                continue
            replace_case(out, place, about, build())
            done.append(place)
    return done


def make(out: Path, only: str | None, other_versions: bool) -> list[str]:
    done = (versions.generate if other_versions else generate)(out, only)
    if not done:
        sys.exit(f"no case is called {only}")
    return done


def differences(fresh: Path, kept: Path, places: list[str]) -> list[str]:
    found = []
    for place in places:
        names = {file.name for root in (fresh, kept) if (root / place).is_dir() for file in (root / place).iterdir()}
        for name in sorted(names):
            a, b = fresh / place / name, kept / place / name
            if not (a.is_file() and b.is_file() and filecmp.cmp(a, b, shallow=False)):
                found.append(f"{place}/{name}")
    return found


def check(kept: Path, only: str | None, other_versions: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        places = make(fresh, only, other_versions)
        if only is None:  # also cases that are on disk but no longer made
            on_disk = (f"{p}/{d.name}" for p in PRODUCERS for d in sorted((kept / p).glob("*")) if d.is_dir())
            mine = (place for place in on_disk if bool(versions.PLACE.fullmatch(place)) == other_versions)
            places += [place for place in mine if place not in places]
        different = differences(fresh, kept, places)
    for path in different[:10]:
        print(f"differs or missing: {path}", file=sys.stderr)
    print(f"{len(places)} cases, {len(different)} files differ")
    return 1 if different else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python models/generate", description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=MODELS, help="the models folder")
    parser.add_argument("--only", metavar="NAME", help="one case or producer: breast_cancer, xgboost/breast_cancer, xgboost")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--versions", action="store_true", help="the cases of other versions")
    options = parser.parse_args()
    if options.check:
        return check(options.out, options.only, options.versions)
    make(options.out, options.only, options.versions)
    return 0


if __name__ == "__main__":
    sys.exit(main())
