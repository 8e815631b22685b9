"""Scenario files that tests write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.suite.files import Write


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(text)` -> the path of a scenario file that holds it."""

    def written(content: str | bytes, name: str = "suite.yaml") -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return written
