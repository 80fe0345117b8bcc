"""WADO-URI (PS3.18 section 9): one instance by query parameters."""

from __future__ import annotations

from io import BytesIO
from urllib.parse import urlencode

import numpy as np
import pydicom
import pytest
from PIL import Image

from dicomframe.service.service import Service

EXPLICIT = "1.2.840.10008.1.2.1"
NAMED = {"requestType": "WADO", "studyUID": "1.1", "seriesUID": "1.1.1", "objectUID": "1.1.1.1"}
RAMP = np.arange(1600, dtype="<u2").reshape(40, 40)


def ask(http, prefix="/v2", accept="*/*", **more):
    given = {name: value for name, value in (NAMED | more).items() if value is not None}
    return http.get(f"{prefix}/wado?{urlencode(given)}", accept=accept)


@pytest.fixture
def images(http, image, dicom):
    """A picture, three frames, and an object without pixels."""
    http.stored(
        image(RAMP),
        image(np.stack([RAMP, RAMP * 2, RAMP.T]), uids="1/1/2"),
        dicom("1/1/3", raw={"7FE00010": None}),
    )
    return http


def test_a_picture_is_jpeg_by_default(images):
    for accept in ("*/*", None, "image/png"):  # contentType decides, not the header
        reply = ask(images, accept=accept)
        assert (reply.status, reply.headers["content-type"]) == (200, "image/jpeg")
    assert (
        reply.body
        == images.get("studies/1.1/series/1.1.1/instances/1.1.1.1/rendered", accept="image/jpeg").body
    )


@pytest.mark.parametrize(
    ("instance", "kind"), [("1.1.1.1", "image/jpeg"), ("1.1.1.2", None), ("1.1.1.3", None)]
)
def test_other_objects_are_dicom_by_default(images, instance, kind):
    reply = ask(images, objectUID=instance)
    assert reply.headers["content-type"] == (kind or f"application/dicom; transfer-syntax={EXPLICIT}")
    if kind is None:
        assert pydicom.dcmread(BytesIO(reply.body)).SOPInstanceUID == instance


@pytest.mark.parametrize(
    ("content_type", "sent"),
    [
        ("image/png", "image/png"),
        ("image/jpeg", "image/jpeg"),
        ("image/gif,image/png", "image/png"),
        ("image/jpeg;q=0.5,image/png", "image/png"),
        ("application/dicom", f"application/dicom; transfer-syntax={EXPLICIT}"),
        ("image/gif", None),
        ("", None),
        ("*", None),
    ],
)
def test_content_type(images, content_type, sent):
    reply = ask(images, contentType=content_type)
    if sent is None:
        assert reply.status == 406
    else:
        assert (reply.status, reply.headers["content-type"]) == (200, sent)


def test_transfer_syntaxes(images, stored_at):
    j2k = "1.2.840.10008.1.2.4.90"
    for syntax, sent in ((EXPLICIT, EXPLICIT), (j2k, j2k), ("*", EXPLICIT)):
        reply = ask(images, contentType="application/dicom", transferSyntax=syntax)
        assert reply.headers["content-type"] == f"application/dicom; transfer-syntax={sent}"
        assert np.array_equal(pydicom.dcmread(BytesIO(reply.body)).pixel_array, RAMP)
    assert ask(images, transferSyntax=EXPLICIT).headers["content-type"].startswith("application/dicom")
    assert ask(images, contentType="application/dicom", transferSyntax="1.2.3").status == 406
    assert ask(images, contentType="application/dicom", transferSyntax="JPEG").status == 400
    assert ask(images, contentType="image/png", transferSyntax=EXPLICIT).status == 400


def picture(reply):
    assert reply.status == 200, reply.body
    return np.asarray(Image.open(BytesIO(reply.body)))


def test_frames_windows_and_sizes(images):
    png = {"contentType": "image/png"}
    rendered = "studies/1.1/series/1.1.1/instances/1.1.1.{}rendered{}"
    for given, route in (
        ({"objectUID": "1.1.1.2", "frameNumber": "3"}, rendered.format("2/frames/3/", "")),
        ({"windowCenter": "800", "windowWidth": "100.5"}, rendered.format("1/", "?window=800,100.5")),
        ({"rows": "20", "columns": "10"}, rendered.format("1/", "?viewport=10,20")),
    ):
        assert np.array_equal(
            picture(ask(images, **png, **given)), picture(images.get(route, accept="image/png"))
        )
    assert picture(ask(images, **png, rows="10")).shape == (10, 10)
    assert picture(ask(images, **png, columns="80")).shape == (80, 80)
    assert ask(images, objectUID="1.1.1.2", frameNumber="2").headers["content-type"] == "image/jpeg"
    sizes = [len(ask(images, imageQuality=quality).body) for quality in (5, 90, 100)]
    assert sizes == sorted(set(sizes))
    assert len(ask(images).body) == sizes[1]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"requestType": None}, "requestType"),
        ({"requestType": "wado"}, "requestType"),
        ({"requestType": ""}, "requestType"),
        ({"studyUID": None}, "studyUID"),
        ({"seriesUID": ""}, "seriesUID"),
        ({"objectUID": None, "studyUID": None}, "objectUID"),
        ({"objectUID": "abc"}, "malformed"),
        ({"objectUID": "1" * 65}, "malformed"),
        ({"frameNumber": "0"}, "frameNumber"),
        ({"frameNumber": "-1"}, "frameNumber"),
        ({"frameNumber": "x"}, "frameNumber"),
        ({"windowCenter": "1"}, "window"),
        ({"windowWidth": "1"}, "window"),
        ({"windowCenter": "a", "windowWidth": "1"}, "window"),
        ({"rows": "0"}, "viewport"),
        ({"columns": "x"}, "viewport"),
        ({"imageQuality": "101"}, "quality"),
        ({"contentType": "application/dicom", "rows": "5"}, "rows"),
        ({"contentType": "application/dicom", "frameNumber": "1"}, "frameNumber"),
        ({"anonymize": "yes"}, "anonymize"),
        ({"annotation": "patient"}, "annotation"),
        ({"region": "0,0,1,1"}, "region"),
        ({"presentationUID": "1.2"}, "presentationUID"),
    ],
)
def test_bad_queries(images, change, word):
    reply = ask(images, **change)
    assert reply.status == 400
    assert word in reply.message


def test_a_parameter_twice(images):
    query = urlencode([*NAMED.items(), ("objectUID", "1.1.1.2")])
    assert images.get(f"/v2/wado?{query}").status == 400


@pytest.mark.covers("fact 26")
def test_unknown_parameters_are_ignored(images):
    assert ask(images, charset="UTF-8", anything="goes").status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"studyUID": "9"},
        {"seriesUID": "1.1.2"},
        {"objectUID": "9"},
        {"objectUID": "1.1.1.3", "contentType": "image/jpeg"},
        {"objectUID": "1.1.1.2", "frameNumber": "4"},
        {"objectUID": "9", "contentType": "application/dicom"},
    ],
)
def test_what_is_not_there(images, change):
    assert ask(images, **change).status == 404


def test_both_versions_strict_and_partitions(images, strict, image, tmp_path, http_for, multipart):
    assert ask(images, prefix="/v1").status == 200
    strict.stored(image(RAMP))
    assert ask(strict).status == 404
    with Service.open(tmp_path / "partitions", partitions=True) as service:
        http = http_for(service)
        headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=test'}
        assert http("POST", "partitions/one/studies", headers, multipart(image(RAMP))).status == 200
        assert ask(http, prefix="/v2/partitions/one").status == 200
        assert ask(http).status == 400
