"""Install the tools that the conventions are pinned to, each into a folder of its own.

    python benchmarks/peers/install.py FOLDER [TOOL ...]

Two of them share an import name, and none needs more than a few pure dependencies beside torch and
NumPy, so each gets ``FOLDER/TOOL`` and nothing else there. `run.py` runs one; the variable
SHUFFLECOST_PEERS=FOLDER lets ``tests/benchmarks/test_peers.py`` compare with all of them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

#: What pip installs for each tool: the version that the convention reproduces, and its imports.
PEERS = {
    "fvcore": (
        "fvcore==0.1.5.post20221221",
        "iopath",
        "portalocker",
        "pyyaml",
        "tabulate",
        "termcolor",
        "tqdm",
        "yacs",
    ),
    "ptflops": ("ptflops==0.7.5",),
    "thop": ("thop==0.1.1.post2209072238",),
    "thop-ultralytics": ("ultralytics-thop==2.2.3",),
    "torchinfo": ("torchinfo==1.8.0",),
    "torchprofile": ("torchprofile==0.1.0",),
    "calflops": ("calflops==0.3.2",),
    "deepspeed": (
        "deepspeed==0.19.8",
        "annotated-types",
        "einops",
        "hjson",
        "msgpack",
        "psutil",
        "py-cpuinfo",
        "pydantic",
        "pydantic-core",
        "tqdm",
        "typing-inspection",
    ),
    "torch-pruning": ("torch-pruning==1.6.1",),
}


def install(folder: Path, tool: str) -> None:
    """Install one tool into its folder. Raises CalledProcessError where pip fails."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if tool == "deepspeed":
        # Its build asks for torch to compile kernels, which a count needs none of.
        command.append("--no-build-isolation")
    command += ["--no-deps", "--upgrade", "--target", str(folder / tool), *PEERS[tool]]
    subprocess.run(command, check=True)


def main() -> int:
    """Install what is asked for; 1 where a tool did not install, the others notwithstanding."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("tools", nargs="*", help=", ".join(PEERS))
    given = parser.parse_args()
    unknown = sorted(set(given.tools) - set(PEERS))
    if unknown:
        parser.error(f"{', '.join(unknown)}: no such tool; there are {', '.join(PEERS)}")
    failed = []
    for tool in given.tools or PEERS:
        try:
            install(given.folder, tool)
        except subprocess.CalledProcessError:
            failed.append(tool)
        print(f"{tool:<18} {'FAILED' if tool in failed else 'installed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
