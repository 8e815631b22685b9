"""The machine and what is installed on it; nothing else is imported, so that this works where packages are broken."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def installed(package: str) -> str:
    """The installed version of a distribution, or `not installed`."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def commit() -> str:
    """The commit of the checkout that this package runs from, with a note if files were changed; empty without one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # installed from a wheel, or in a folder of somebody else's repository
        return ""
    try:
        found, changes = (
            subprocess.run(["git", "-C", str(root), *asked], capture_output=True, text=True, timeout=20, check=True)
            for asked in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{found.stdout.strip()[:12]}{' with changes' if changes.stdout.strip() else ''}"


def processor_name() -> str:
    """The name that the operating system gives to the model of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
