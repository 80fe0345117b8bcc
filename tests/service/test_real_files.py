"""The files of pydicom and pydicom-data: stored, found and given back byte for byte; refused ones say why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from pydicom.data import get_charset_files, get_testdata_files

from dicomframe.dicom.parts import iter_parts

FILES = sorted(path for path in map(Path, [*get_testdata_files(), *get_charset_files()]) if path.is_file())


@pytest.fixture
def outcome(http):
    """What became of each file: bytes, status, item of the answer."""
    results = []
    for path in FILES:
        data = path.read_bytes()
        reply = http("POST", "studies", {"Content-Type": "application/dicom"}, data)
        assert reply.status in {200, 202, 409}
        sequence = "00081198" if reply.status == 409 else "00081199"
        results.append((path.name, data, reply.status, reply.json[sequence]["Value"][0]))
    return results


def test_real_files(http, outcome):
    kept = {}
    reasons = Counter()
    for name, data, status, item in outcome:
        if status == 409:
            reason = item["00081197"]["Value"][0]
            reasons[reason] += 1
            if reason == 45070:
                assert item["00081155"]["Value"][0] in {uid for _, uid in kept}
            else:
                assert reason in {272, 43264}
                text = item["00741048"]["Value"][0]["00000902"]["Value"][0]
                assert text.startswith("DICOM100: "), name
        else:
            url = item["00081190"]["Value"][0]
            kept[url, item["00081155"]["Value"][0]] = data
    assert len(outcome) == len(FILES) > 250
    assert len(kept) > 130
    assert sum(reasons.values()) + len(kept) == len(FILES)
    for (url, uid), data in kept.items():
        path = "/" + url.split("/", 3)[3]
        original = bytes(128) + data[128:] if data[128:132] == b"DICM" else bytes(128) + b"DICM" + data
        assert http.get(path, accept="application/dicom; transfer-syntax=*").body == original
        (row,) = http.get(f"{path}/metadata").json
        assert row["00080018"]["Value"] == [uid]
        assert http.search("instances", SOPInstanceUID=uid).json
    series = {url.rsplit("/instances/", 1)[0] for url, _ in kept}
    for url in series:
        reply = http.get("/" + url.split("/", 3)[3])
        bodies = {part.read() for part in iter_parts(reply.headers["content-type"], [reply.body])}
        assert bodies == {
            bytes(128) + data[128:] if data[128:132] == b"DICM" else bytes(128) + b"DICM" + data
            for (each, _), data in kept.items()
            if each.startswith(f"{url}/")
        }
    assert len(http.get("instances?limit=200").json) == min(len(kept), 200)
    studies = {url.split("/")[5] for url, _ in kept}
    assert set(http.get("studies?limit=200").values("0020000D")) == studies
