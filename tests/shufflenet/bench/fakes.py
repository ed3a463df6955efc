"""Runtimes that fail in every way that one can."""

from __future__ import annotations

from pathlib import Path
from time import sleep

RUNTIMES = """
import os, signal, time
from shufflenet.runtimes import Runtime, eager

def crash(module, shape, threads, folder):
    return lambda image: os.kill(os.getpid(), signal.SIGSEGV)

def refuse(module, shape, threads, folder):
    raise NotImplementedError("no such layer")

def off(module, shape, threads, folder):
    call = eager.load(module, shape, threads, folder)
    return lambda image: call(image) + 1

def cut(module, shape, threads, folder):
    call = eager.load(module, shape, threads, folder)
    return lambda image: call(image)[:, 1:]

def hang(module, shape, threads, folder):
    with open(f"{os.getpid()}.hangs", "w") as stream:
        stream.write(folder)
    time.sleep(600)

def hang_later(module, shape, threads, folder):
    call, seen = eager.load(module, shape, threads, folder), []
    def called(image):
        seen.append(1)
        if len(seen) > 1:
            time.sleep(600)
        return call(image)
    return called

def loud(module, shape, threads, folder):
    os.write(1, b"{}\\n")
    print("loading...", flush=True)
    assert os.listdir(folder) == [] and threads == 1
    return eager.load(module, shape, threads, folder)

def present():
    return ""

def absent():
    return "fakes is not installed (pip install fakes)"

CRASHES = Runtime("crashes", "", present, crash, 0.0)
REFUSES = Runtime("refuses", "", present, refuse, 0.0)
WRONG = Runtime("wrong", "", present, off, 1e-3)
CUT = Runtime("cut", "", present, cut, 1e-3)
ENDLESS = Runtime("endless", "", present, hang, 1e-3)
HANGS = Runtime("hangs", "", present, hang_later, 1e-3)
LOUD = Runtime("loud", "", present, loud, 0.0)
ABSENT = Runtime("absent", "", absent, refuse, 0.0)
"""


def ends(pid: str) -> bool:
    status = Path(f"/proc/{pid}/stat")
    for _ in range(100):
        # one that nobody has waited for yet is a zombie
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] in "ZX":
            return True
        sleep(0.1)
    return False


def fakes(folder: Path) -> Path:
    (folder / "fakes.py").write_text(RUNTIMES)
    return folder
