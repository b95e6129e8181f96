"""The cases of other versions: `python models/generate --versions`. Each version runs in its own process.

A version is unpacked into `xgboost-<version>` or `lightgbm-<version>` below `target/wheels` of the repository, or
below the folder that SAWMILL_WHEELS names, or `treelite-<version>`; what is there already is used. Old versions do not run with today's numpy
and friends: those they run with are in the folder `old` beside them.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import treelite_versions

HERE = Path(__file__).resolve().parent
PLACE = re.compile(r"(xgboost|lightgbm|treelite)/v\d+_\d+_\w+")


def pins() -> list[tuple[str, str]]:
    lines = (HERE / "requirements-versions.txt").read_text().splitlines()
    return [tuple(line.split("==")) for line in lines if "==" in line]


def needs_old(library: str, version: str) -> bool:
    major, minor = (int(part) for part in version.split(".")[:2])
    return library != "xgboost" or (major, minor) < (3, 2)


def unpack(folder: Path, *what: str) -> Path:
    if not folder.exists():
        # Some versions claim to need another Python, but run.
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--ignore-requires-python"]
        try:
            subprocess.run([*pip, "--only-binary", ":all:", "--target", folder, *what], check=True)
        except subprocess.CalledProcessError:
            sys.exit(f"cannot install {' '.join(what)}")
    return folder


def generate(out: Path, only: str | None) -> list[str]:
    """Writes the chosen cases and returns their folders, relative to `out`."""
    wheels = Path(os.environ.get("SAWMILL_WHEELS", HERE.parent.parent / "target" / "wheels"))
    done = []
    for library, version in pins():
        prefix = f"{library}/v{'_'.join(version.split('.')[:2])}_"
        if only not in (None, library) and not f"{library}/{only.removeprefix(library + '/')}".startswith(prefix):
            continue
        packages = [f"{library}=={version}"] + ([f"treelite_runtime=={version}"] if library == "treelite" else [])
        path = [unpack(wheels / f"{library}-{version}", *packages)]
        if needs_old(library, version):
            path.append(unpack(wheels / "old", "-r", str(HERE / "requirements-old.txt")))
        if library == "treelite":
            done += treelite_versions.generate(out, only, path)
            continue
        command = [sys.executable, HERE / "version_worker.py", library, version, out]
        command += [] if only in (None, library) else [only]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONWARNINGS": "ignore"}
        run = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
        if run.returncode:
            sys.exit(f"{library} {version} failed")
        lines = [line for line in run.stdout.splitlines() if PLACE.match(line)]  # LightGBM prints there too
        print("".join(line + "\n" for line in lines), end="", flush=True)
        done += [line.split()[0] for line in lines]
    return done
