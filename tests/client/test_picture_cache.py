"""Pictures that are kept: made once, and never shown for an instance that has changed."""

import threading

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.client.picturecache import PictureCache
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import NotFoundError, UnavailableError
from dicomframe.images.picture import Picture

PATH = ResourcePath("1.2", "1.2.3", "1.2.3.4")


@pytest.fixture(scope="module")
def local():
    with dfr.start_local() as local:
        yield local


@pytest.fixture
def ct():
    return dcmread(get_testdata_file("CT_small.dcm", download=False))


@pytest.fixture
def asked(local):
    """Give a client, and the routes that it asks for."""
    client = local.connect(progress=False)
    seen = []
    request = client.session.request

    def watched(method, route, **more):
        seen.append(route.rpartition("/")[2])
        return request(method, route, **more)

    client.session.request = watched
    return client, seen


def test_made_once_and_given_as_a_copy(asked, ct):
    client, seen = asked
    client.store([ct])
    table = client.search_instances(ct.StudyInstanceUID).to_frame()
    first = table.dicom.use(client).dicom.thumbnails(viewport=(64, 64))["picture"][0]
    del seen[:]
    again = table.dicom.thumbnails(viewport=(64, 64))
    assert seen == ["metadata"]
    np.testing.assert_array_equal(again["picture"][0], first)
    kept = again["picture"][0]
    assert (kept.source, kept.media_type, kept.reason) == (first.source, first.media_type, first.reason)
    again["picture"][0][:] = 7
    np.testing.assert_array_equal(table.dicom.thumbnails(viewport=(64, 64))["picture"][0], first)
    # Another look is another picture.
    del seen[:]
    assert table.dicom.thumbnails(viewport=(32, 32))["picture"][0].shape == (32, 32)
    assert table.dicom.rendered(viewport=(64, 64), window="bone")["picture"][0].shape == (64, 64)
    assert seen.count("rendered") + seen.count("thumbnail") >= 2


def test_a_changed_instance_is_drawn_anew(asked, ct):
    client, seen = asked
    client.store([ct])
    table = client.search_instances(ct.StudyInstanceUID).to_frame()
    before = table.dicom.rendered()["picture"][0]
    # The same UIDs, other pixels, every attribute that a search shows the same.
    client.delete(ct.StudyInstanceUID)
    values = np.frombuffer(ct.PixelData, np.int16).reshape(128, 128)
    ct.PixelData = np.ascontiguousarray(values[::-1]).tobytes()
    client.store([ct])
    after = table.dicom.rendered()["picture"][0]
    assert np.abs(after.astype(int) - before[::-1]).mean() < 2
    assert np.abs(after.astype(int) - before).mean() > 20
    # A bulk update makes another version, too.
    del seen[:]
    client.update_studies([ct.StudyInstanceUID], PatientName="New^Name").wait()
    table.dicom.rendered()
    assert "rendered" in seen
    client.delete(ct.StudyInstanceUID)
    gone = table.dicom.rendered()
    assert (gone["status"][0], "picture" in gone) == ("failed", True)
    assert gone["picture"].isna().all()


class Says:
    """A session whose metadata has an ETag, or an error."""

    def __init__(self, answer):
        self.answer, self.known = answer, []

    def request(self, method, route, *, headers, accept_status):
        self.known.append(headers.get("If-None-Match"))
        if isinstance(self.answer, Exception):
            raise self.answer
        status = 304 if self.answer and self.answer == headers.get("If-None-Match") else 200
        return type("Answer", (), {"status": status, "headers": {"ETag": self.answer} if self.answer else {}})


def pictures(cache, count=2, look=""):
    made = []

    def make():
        made.append(Picture(np.full((10, 10), len(made), np.uint8), "server"))
        return made[-1]

    given = [cache.picture(PATH, look, make) for _ in range(count)]
    return len(made), [int(each[0, 0]) for each in given]


@pytest.mark.parametrize("tag", ["", '"12"', 'W/"12"', '"a1b2"', "a1b2", "12-original"])
def test_an_etag_that_may_be_of_the_json_alone_keeps_nothing(tag):
    session = Says(tag)
    assert pictures(PictureCache(session)) == (2, [0, 1])
    # It is not asked for again either.
    assert session.known == [None]


def test_the_version_is_asked_for_each_time():
    session = Says("12")
    cache = PictureCache(session)
    assert pictures(cache, 3) == (1, [0, 0, 0])
    assert session.known == [None, "12", "12"]
    session.answer = "13"
    assert pictures(cache) == (1, [0, 0])


def test_a_service_that_fails_is_heard_and_one_that_refuses_is_asked_for_the_picture():
    cache = PictureCache(Says(NotFoundError(404, "GET metadata", "", "gone", {})))
    assert pictures(cache) == (2, [0, 1])
    cache = PictureCache(Says(UnavailableError(503, "GET metadata", "", "busy", {})))
    with pytest.raises(UnavailableError):
        pictures(cache)


def test_no_more_is_kept_than_allowed():
    cache = PictureCache(Says("1"), most_bytes=450)
    for look in "abcd":
        assert pictures(cache, 2, look)[0] == 1
    pictures(cache, 1, "a")  # is used last now
    assert pictures(cache, 1, "e")[0] == 1
    assert pictures(cache, 1, "b")[0] == 1, "the least recently used is gone"
    assert pictures(cache, 1, "a")[0] == 0
    assert cache._bytes == sum(each.nbytes for _, each in cache._kept.values()) <= 450
    large = PictureCache(Says("1"), most_bytes=200)
    assert pictures(large)[0] == 2


def test_many_threads():
    cache = PictureCache(Says("1"), most_bytes=450)
    threads = [
        threading.Thread(target=lambda at=at: [pictures(cache, 1, (at + step) % 9) for step in range(200)])
        for at in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache._bytes == sum(each.nbytes for _, each in cache._kept.values()) <= 450
