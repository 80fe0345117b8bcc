"""The Python blocks of README, quickstart and guides run as they stand, in order."""

import re
from pathlib import Path

import matplotlib as mpl
import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if "```python\n" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("document", DOCUMENTS)
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
        for name, said in re.findall(r"^print\((\w+)\)  # (<.+>)$", block, re.MULTILINE):
            assert str(names[name]) == said
