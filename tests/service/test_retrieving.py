"""GET of objects and metadata, fact by fact (azure-dicom-behaviour.md 16 to 27)."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from dicomframe.dicom.parts import iter_parts

INSTANCE = "studies/1.1/series/1.1.1/instances/1.1.1.1"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
EXPLICIT = "1.2.840.10008.1.2.1"
RELATED = 'multipart/related; type="application/dicom"'
NEVER = "1.2.840.10008.1.2.4.80"


def parts(reply):
    return [
        (part.content_type, part.read()) for part in iter_parts(reply.headers["content-type"], [reply.body])
    ]


@pytest.fixture
def two(http, dicom):
    """One instance in Explicit VR Little Endian, one that claims a syntax which nothing here can decode."""
    http.stored(dicom("1/1/1"), dicom("1/2/1", syntax=NEVER))
    return http


def test_objects_at_three_levels(anyhow, dicom):
    files = {f"1.1.{s}.{i}": dicom(f"1/{s}/{i}") for s, i in ((1, 1), (1, 2), (2, 1))}
    anyhow.stored(*files.values())
    for route, uids in (
        ("studies/1.1", list(files)),
        ("studies/1.1/series/1.1.1", ["1.1.1.1", "1.1.1.2"]),
        (INSTANCE, ["1.1.1.1"]),
    ):
        reply = anyhow.get(route, accept=f"{RELATED}; transfer-syntax=*")
        assert reply.status == 200
        assert int(reply.headers["content-length"]) == len(reply.body)
        assert reply.headers["content-type"].startswith(
            'multipart/related; type="application/dicom"; boundary='
        )
        assert parts(reply) == [
            (f"application/dicom; transfer-syntax={EXPLICIT}", bytes(128) + files[uid][128:]) for uid in uids
        ]


@pytest.mark.covers("fact 23")
def test_a_single_part(anyhow, dicom):
    anyhow.stored(dicom())
    for accept in (
        "application/dicom",
        "application/dicom; transfer-syntax=*",
        f"application/dicom; transfer-syntax={EXPLICIT}",
    ):
        reply = anyhow.get(INSTANCE, accept=accept)
        assert reply.status == 200
        assert reply.headers["content-type"] == f"application/dicom; transfer-syntax={EXPLICIT}"
        assert reply.body == bytes(128) + dicom()[128:]
    for route in ("studies/1.1", "studies/1.1/series/1.1.1"):
        refused = anyhow.get(route, accept="application/dicom; transfer-syntax=*")
        assert refused.status == 406
        assert "multipart/related" in refused.message


@pytest.mark.covers("fact 22")
def test_everything_means_multipart_as_stored(two):
    reply = two.get("studies/1.1")
    assert [kind for kind, _ in parts(reply)] == [
        f"application/dicom; transfer-syntax={EXPLICIT}", f"application/dicom; transfer-syntax={NEVER}",
    ]  # fmt: skip


@pytest.mark.covers("fact 19", "fact 20")
@pytest.mark.parametrize("route", ["studies/1.1", "studies/1.1/series/1.1.2"])
def test_an_absent_transfer_syntax_means_explicit(two, strict, dicom, route):
    refused = two.get(route, accept=RELATED)
    assert refused.status == 406
    assert "transfer-syntax=*" in refused.message
    assert two.get("studies/1.1/series/1.1.1", accept=RELATED).status == 200
    strict.stored(dicom())
    assert strict.get("studies/1.1", accept=RELATED).status == 406
    assert strict.get("studies/1.1", accept=f"{RELATED}; transfer-syntax=*").status == 200
    assert strict.get(INSTANCE, accept=RELATED).status == 200


@pytest.mark.covers("fact 19")
@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (f"application/dicom; transfer-syntax={NEVER}", 406),  # even the stored one
        ("application/dicom; transfer-syntax=1.2.840.10008.1.2", 406),
        ("application/dicom; transfer-syntax=*, application/dicom; transfer-syntax=1.2.3", 200),
        ('multipart/related; type="*/*"', 200),
        (f"*/*; transfer-syntax={EXPLICIT}", 406),
        ("image/jpeg", 406),
        ("application/dicom+json", 406),
        ('multipart/related; type="application/octet-stream"; transfer-syntax=*', 406),
        ('multipart/related; type="application/dicom"; transfer-syntax=*;q=0', 406),
        ("", 200),
        ("nonsense", 406),
        ("application/dicom;transfer-syntax=*;q=abc", 406),
        ("*/*", 200),
    ],
)
def test_what_is_accepted(two, accept, status):
    reply = two.get("studies/1.1/series/1.1.2/instances/1.1.2.1", accept=accept)
    assert reply.status == status
    assert status == 200 or "transfer-syntax" in reply.message


@pytest.mark.covers("fact 21")
def test_as_stored_wins_at_equal_quality(two):
    route = "studies/1.1/series/1.1.2/instances/1.1.2.1"
    accept = f"application/dicom; transfer-syntax={EXPLICIT}, application/dicom; transfer-syntax=*"
    assert two.get(route, accept=accept).headers["content-type"].endswith(NEVER)
    accept = f"application/dicom; transfer-syntax={EXPLICIT}, application/dicom; transfer-syntax=*; q=0.9"
    assert two.get(route, accept=accept).status == 406


@pytest.mark.covers("fact 16")
def test_no_accept_header(two, strict, dicom):
    assert [kind[-len(NEVER) :] for kind, _ in parts(two.get("studies/1.1", accept=None))][1] == NEVER
    strict.stored(dicom())
    by_default = two.get("studies/1.1/metadata", accept=None)
    for refused in (by_default, *(strict.get(route, accept=None) for route in ("studies/1.1", INSTANCE))):
        assert refused.status == 406
        assert "no Accept header" in refused.message


@pytest.mark.covers("fact 18")
@pytest.mark.parametrize(
    "route", ["studies/9", "studies/1.1/series/9", "studies/1.1/series/1.1.1/instances/9"]
)
def test_what_is_not_there(two, route):
    reply = two.get(route)
    assert reply.status == 404
    assert (
        reply.message
        == f"The specified {('study', 'series', 'instance')[route.count('/') // 2]} cannot be found."
    )
    assert two.get(f"{route}/metadata").status == 404
    assert two.get(route, accept="image/gif").status == 406
    assert two.get(f"{route}/metadata", accept="image/gif").status == 406


def test_an_instance_of_another_series_is_not_there(two):
    assert two.get("studies/1.1/series/1.1.2/instances/1.1.1.1").status == 404


@pytest.mark.parametrize(
    "name",
    ["MR_small_bigendian.dcm", "MR_small_implicit.dcm", "MR_small_jp2klossless.dcm", "MR_small_RLE.dcm"],
)
def test_transcoding_keeps_every_pixel(http, name):
    path = pydicom.data.get_testdata_file(name)
    http.stored(Path(path).read_bytes())
    original, plain = pydicom.dcmread(path), pydicom.dcmread(pydicom.data.get_testdata_file("MR_small.dcm"))
    uids = original.StudyInstanceUID, original.SeriesInstanceUID, original.SOPInstanceUID
    route = "studies/{}/series/{}/instances/{}".format(*uids)
    reply = http.get(route, accept="application/dicom")
    assert reply.headers["content-type"] == f"application/dicom; transfer-syntax={EXPLICIT}"
    sent = pydicom.dcmread(BytesIO(reply.body))
    assert sent.file_meta.TransferSyntaxUID == EXPLICIT
    assert sent.PixelData == plain.PixelData
    assert sent.SOPInstanceUID == original.SOPInstanceUID
    assert sent.file_meta.MediaStorageSOPInstanceUID == original.SOPInstanceUID
    study = http.get(f"studies/{uids[0]}", accept=RELATED)
    assert parts(study) == [(f"application/dicom; transfer-syntax={EXPLICIT}", reply.body)]


@pytest.mark.parametrize(
    "name", ["SC_rgb_expb_16bit_2frame", "SC_rgb_expb_32bit_2frame", "SC_rgb_expb", "liver_expb"]
)
def test_big_endian_words_are_turned_round(http, name):
    original = pydicom.dcmread(pydicom.data.get_testdata_file(f"{name}.dcm"))
    if "PatientID" not in original:
        original.PatientID = "1"
    out = BytesIO()
    original.save_as(out)
    http.stored(out.getvalue())
    (uids,) = [(row["0020000D"], row["0020000E"], row["00080018"]) for row in http.get("instances").json]
    route = "studies/{}/series/{}/instances/{}".format(*(uid["Value"][0] for uid in uids))
    sent = pydicom.dcmread(BytesIO(http.get(route, accept="application/dicom").body))
    assert sent.file_meta.TransferSyntaxUID == EXPLICIT
    assert (sent.pixel_array == original.pixel_array).all()


def test_32_bit_words_are_turned_round(http, dicom):
    big = dicom(syntax="1.2.840.10008.1.2.2")
    head = big[: big.index(b"\x08\x00\x05\x00")]
    elements = [
        ("00080016", b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"), ("00080018", b"UI", b"1.1.1.1\0"),
        ("00100020", b"LO", b"ID"),
        ("0020000D", b"UI", b"1.1\0"), ("0020000E", b"UI", b"1.1.1\0"), ("00280002", b"US", b"\0\1"),
        ("00280004", b"CS", b"MONOCHROME2 "), ("00280010", b"US", b"\0\1"), ("00280011", b"US", b"\0\2"),
        ("00280100", b"US", b"\0\x20"), ("00280101", b"US", b"\0\x20"), ("00280102", b"US", b"\0\x1f"),
        ("00280103", b"US", b"\0\0"),
    ]  # fmt: skip
    body = b"".join(
        struct.pack(">HH2sH", int(tag[:4], 16), int(tag[4:], 16), vr, len(value)) + value
        for tag, vr, value in elements
    )
    pixels = struct.pack(">LL", 0x01020304, 0xA0B0C0D0)
    http.stored(head + body + struct.pack(">HH2sHL", 0x7FE0, 0x0010, b"OW", 0, 8) + pixels)
    sent = pydicom.dcmread(BytesIO(http.get(INSTANCE, accept="application/dicom").body))
    assert sent.pixel_array.tolist() == [[0x01020304, 0xA0B0C0D0]]


def test_pixels_that_cannot_be_decoded(http, dicom):
    http.stored(dicom(syntax=JPEG_LOSSLESS))
    for route, accept in ((INSTANCE, "application/dicom"), ("studies/1.1", RELATED)):
        reply = http.get(route, accept=accept)
        assert reply.status == 406
        assert "cannot be decoded" in reply.message


def test_metadata_at_three_levels(anyhow, dicom):
    anyhow.stored(dicom("1/1/1"), dicom("1/1/2"), dicom("1/2/1"))
    for route, count in (("studies/1.1", 3), ("studies/1.1/series/1.1.1", 2), (INSTANCE, 1)):
        reply = anyhow.get(f"{route}/metadata")
        assert reply.headers["content-type"] == "application/dicom+json"
        assert len(reply.json) == count
    (row,) = reply.json
    assert "7FE00010" not in row
    assert list(row) == sorted(row)
    assert row["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Doe^John"}]}
    assert row["00280010"] == {"vr": "US", "Value": [2]}


def test_metadata_leaves_bulk_out(http, dicom):
    bulk = {f"0009{n:04X}": (vr, b"12345678") for n, vr in enumerate("OB OD OF OL OV OW UN".split(), 0x1001)}
    nested = {"00081140": ("SQ", [{"00081150": ("UI", "1.2"), "00091001": ("OB", b"12")}])}
    http.stored(dicom(raw=bulk | nested | {"00090010": ("LO", "MINE"), "00080000": ("UL", b"\0\0\0\0")}))
    (row,) = http.get("studies/1.1/metadata").json
    assert [tag for tag in row if tag.startswith("0009")] == ["00090010"]
    assert row["00081140"]["Value"] == [{"00081150": {"vr": "UI", "Value": ["1.2"]}}]
    assert "00080000" not in row


def test_metadata_of_a_big_study_is_whole(http, dicom):
    for start in range(0, 250, 50):
        http.stored(*[dicom(f"1/1/{n}") for n in range(start, start + 50)])
    rows = http.get("studies/1.1/metadata").json
    assert [row["00080018"]["Value"][0] for row in rows] == [f"1.1.1.{n}" for n in range(250)]


@pytest.mark.covers("fact 27")
def test_etags(http, dicom):
    http.stored(dicom("1/1/1"), dicom("1/1/2"))
    tags = [
        http.get(f"{route}/metadata").headers["etag"]
        for route in ("studies/1.1", "studies/1.1/series/1.1.1", INSTANCE)
    ]
    assert tags == ["2-2", "2-2", "1"]
    unchanged = http.get("studies/1.1/metadata", if_none_match="2-2")
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert "etag" not in unchanged.headers
    for given in ('"2-2"', 'W/"2-2"', "1-1, 2-2", "*"):
        assert http.get("studies/1.1/metadata", if_none_match=given).status == 304
    http.stored(dicom("1/1/3"))
    assert http.get("studies/1.1/metadata", if_none_match="2-2").headers["etag"] == "3-3"
    http("DELETE", "studies/1.1/series/1.1.1/instances/1.1.1.2")
    assert http.get("studies/1.1/metadata").headers["etag"] == "3-2"


@pytest.mark.covers("fact 27")
def test_files_have_the_etag_of_their_metadata(two):
    for route in ("studies/1.1", "studies/1.1/series/1.1.1", INSTANCE):
        tag = two.get(f"{route}/metadata").headers["etag"]
        assert two.get(route).headers["etag"] == tag
        unchanged = two.get(route, if_none_match=tag)
        assert (unchanged.status, unchanged.body) == (304, b"")
        assert "etag" not in unchanged.headers
        assert two.get(route, if_none_match="77").status == 200


@pytest.mark.covers("fact 26")
def test_query_parameters_are_ignored(two):
    assert two.get("studies/1.1?anything=goes").status == 200
    assert two.get("studies/1.1/metadata?foo=1&foo=2").status == 200


def test_bytes_that_are_gone_are_404_not_500(http, dicom):
    http.stored(dicom())
    http.service.blobs.remove([1])
    assert http.get(INSTANCE).status == 404
    assert http.get(INSTANCE, accept="application/dicom").status == 404


def test_numbers_keep_their_digits(http, dicom):
    values = {
        "00280030": ("DS", "0.4882812500\\+1.50\\.5"), "00180050": ("DS", "1e-7"), "00200013": ("IS", " 007 "),
        "00281052": ("DS", "-1024.0000000001"), "00189087": ("FD", b"\0\0\0\0\0\0\xf8\x7f"),
    }  # fmt: skip
    http.stored(dicom(raw=values))
    text = http.get("studies/1.1/metadata").body
    assert b'"00280030":{"vr":"DS","Value":[0.4882812500,1.5,0.5]}' in text
    assert b'"00180050":{"vr":"DS","Value":[1e-7]}' in text
    assert b'"00200013":{"vr":"IS","Value":[7]}' in text
    assert b'"00281052":{"vr":"DS","Value":[-1024.0000000001]}' in text
    assert b'"00189087":{"vr":"FD","Value":["nan"]}' in text
