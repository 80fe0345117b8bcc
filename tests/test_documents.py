"""The Python blocks of README and quickstart run as they stand, in order."""

import re
from pathlib import Path

import matplotlib as mpl
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("document", ["README.md", "docs/quickstart.md", "docs/faults.md"])
def test_the_blocks_run(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DICOMFRAME_URL", raising=False)
    mpl.use("agg")
    names = {}
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert blocks
    for block in blocks:
        exec(compile(block, document, "exec"), names)  # noqa: S102 - our own documents
