"""Pictures: from servers that render, ignore, refuse or lie; and made here where they do."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from dicomframe.client.client import Client
from dicomframe.client.session import InProcessAdapter
from dicomframe.errors import (
    ConnectionFailed,
    DecodeError,
    NotFoundError,
    QueryError,
    UnavailableError,
    UnexpectedAnswerError,
)
from dicomframe.images.picture import Picture, fit
from dicomframe.images.windowing import PRESETS, Window, display


def read(name):
    return dcmread(get_testdata_file(name, download=False))


@pytest.fixture(scope="module")
def ct():
    return read("CT_small.dcm")


@pytest.fixture(scope="module")
def wide():
    """An image that is not square, in two frames of colour."""
    ds = read("SC_rgb_rle_2frame.dcm")
    ds.decompress()
    halves = [frame[:50] for frame in np.frombuffer(ds.PixelData, np.uint8).reshape(2, 100, 100, 3)]
    ds.PixelData, ds.Rows = b"".join(half.tobytes() for half in halves), 50
    return ds


def uids(ds):
    return ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID


def image_file(array, kind="PNG"):
    out = io.BytesIO()
    Image.fromarray(np.asarray(array)).save(out, kind)
    return out.getvalue()


def route_of(asked):
    last = asked.path.rpartition("/")[2]
    return last if last in {"rendered", "thumbnail"} else None


def routes(site):
    return [route_of(asked) for asked in site.asked if route_of(asked)]


def objects(site):
    return [asked for asked in site.asked if asked.path.rpartition("/")[0].endswith("/instances")]


@pytest.fixture
def rendering(archive, reply):
    """Give what starts a server of one image that renders as a function does."""

    def start(ds, answer):
        return archive(ds, spoil=lambda asked: answer(asked) if route_of(asked) else None)

    return start


def faithful(reply, ds):
    """Give a server's rendering that honours everything, and writes windows as the service does."""

    def answer(asked):
        window = asked.params.get("window")
        pair = tuple(map(float, window.split(","))) if window else None
        picture = display(ds, window=pair)
        if "viewport" in asked.params:
            picture = fit(picture, *map(int, asked.params["viewport"].split(",")))
        return reply(200, image_file(picture), {"Content-Type": "image/png"})

    return answer


# -- what a server renders -------------------------------------------------------------------------------------------


def test_a_picture_of_the_server(rendering, connect, reply, ct):
    site = rendering(ct, faithful(reply, ct))
    picture = connect(site.url).retrieve_rendered(*uids(ct), media_type="image/png")
    np.testing.assert_array_equal(picture, display(ct))
    assert (picture.source, picture.media_type, picture.reason) == ("server", "image/png", "")
    [asked] = site.asked
    assert asked.headers["Accept"] == "image/png"
    assert asked.query == ""


def test_what_is_sent(rendering, connect, reply, ct):
    site = rendering(ct, faithful(reply, ct))
    connect(site.url).retrieve_rendered(*uids(ct), frame=1, window=(40, 400.5), viewport=(64, 32), quality=70)
    first = site.asked[0]
    assert first.path.endswith(f"/instances/{ct.SOPInstanceUID}/frames/1/rendered")
    assert first.query == "window=40,400.5&viewport=64,32&quality=70"
    assert first.headers["Accept"] == "image/jpeg"


def test_a_window_with_a_function_is_written_out(rendering, connect, reply, ct):
    site = rendering(ct, lambda _: reply(400))
    window = Window(40, 400, "LINEAR_EXACT")
    picture = connect(site.url).retrieve_rendered(*uids(ct), window=window)
    np.testing.assert_array_equal(picture, display(ct, window=window))
    assert [asked.query for asked in site.asked if route_of(asked)] == ["window=40,400,linear-exact"]


def test_the_way_to_write_a_window_is_remembered(rendering, connect, reply, ct):
    """As Orthanc: two numbers are refused."""

    def answer(asked):
        window = asked.params.get("window", "")
        if window and not window.endswith(",linear"):
            return reply(400)
        pair = tuple(map(float, window.split(",")[:2])) if window else None
        return reply(200, image_file(display(ct, window=pair)))

    site = rendering(ct, answer)
    client = connect(site.url)
    for window in ((40, 400), (50, 350)):
        picture = client.retrieve_rendered(*uids(ct), window=window)
        np.testing.assert_array_equal(picture, display(ct, window=window))
        assert picture.source == "server"
    queries = [asked.query for asked in site.asked]
    assert queries == ["window=40,400", "window=40,400,linear", "", "window=50,350,linear"]


@pytest.mark.parametrize(
    ("mode", "shape"), [("L", ()), ("RGB", (3,)), ("P", (3,)), ("LA", ()), ("RGBA", (3,)), ("1", ())]
)
def test_images_of_all_kinds(rendering, connect, reply, ct, mode, shape):
    out = io.BytesIO()
    Image.new(mode, (7, 5)).save(out, "PNG")
    picture = connect(rendering(ct, lambda _: reply(200, out.getvalue())).url).retrieve_rendered(*uids(ct))
    assert (picture.shape, picture.dtype) == ((5, 7, *shape), np.uint8)


def test_sixteen_bits_become_eight(rendering, connect, reply, ct):
    values = np.array([[0, 255, 256, 65535]], np.uint16)
    site = rendering(ct, lambda _: reply(200, image_file(values)))
    assert connect(site.url).retrieve_rendered(*uids(ct)).tolist() == [[0, 0, 1, 255]]


# -- what a server ignores -------------------------------------------------------------------------------------------


def test_a_server_that_ignores_the_window(rendering, connect, reply, ct):
    site = rendering(ct, lambda _: reply(200, image_file(display(ct))))
    picture = connect(site.url).retrieve_rendered(*uids(ct), window="bone")
    np.testing.assert_array_equal(picture, display(ct, window=PRESETS["bone"]))
    assert picture.source == "local"
    assert "same with and without window" in picture.reason


def test_a_server_that_honours_it_is_asked_twice_only_once(rendering, connect, reply, ct):
    site = rendering(ct, faithful(reply, ct))
    client = connect(site.url)
    for window in ((40, 400), (0, 2000), (300, 100)):
        assert client.retrieve_rendered(*uids(ct), window=window).source == "server"
    assert [asked.query for asked in site.asked] == ["window=40,400", "", "window=0,2000", "window=300,100"]


def test_colour_has_no_window(rendering, connect, reply, wide):
    site = rendering(wide, lambda _: reply(200, image_file(display(wide))))
    assert connect(site.url).retrieve_rendered(*uids(wide), window=(40, 400)).source == "server"


def test_a_server_that_ignores_the_viewport(rendering, connect, reply, wide):
    site = rendering(wide, lambda _: reply(200, image_file(display(wide))))
    picture = connect(site.url).retrieve_rendered(*uids(wide), viewport=(40, 40))
    assert picture.shape == (20, 40, 3)
    assert (picture.source, picture.reason) == ("local", "the server ignores viewport=")


@pytest.mark.covers("fact 26")
def test_the_cloud_service_is_not_asked_for_what_it_ignores(ct):
    """Unknown query parameters are ignored on retrieval."""
    asked = []
    stored = io.BytesIO()
    ct.save_as(stored)

    def service(method, target, headers, body):
        asked.append(target)
        target = target.partition("?")[0]
        if target.endswith("/rendered"):
            return 200, {"Content-Type": "image/png"}, iter([image_file(display(ct))])
        if target.endswith("/thumbnail"):
            return 404, {}, iter([b""])
        return 200, {"Content-Type": "application/dicom"}, iter([stored.getvalue()])

    url = "https://ws-name.dicom.azurehealthcareapis.com"
    with Client(url, "token", progress=False, adapter=InProcessAdapter(service)) as client:
        assert client.retrieve_rendered(*uids(ct)).source == "server"
        for options in ({"window": "brain"}, {"viewport": (64, 64)}):
            picture = client.retrieve_rendered(*uids(ct), **options)
            assert picture.source == "local"
            assert "ignores" in picture.reason
        assert len([target for target in asked if "rendered" in target]) == 1
        small = client.retrieve_thumbnail(*uids(ct), viewport=(30, 30))
        assert (small.source, small.shape) == ("server", (30, 30))


# -- what a server refuses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 405, 406, 415, 500, 501])
def test_a_server_that_does_not_render(rendering, connect, reply, ct, status):
    site = rendering(ct, lambda _: reply(status, b"no"))
    picture = connect(site.url).retrieve_rendered(*uids(ct), viewport=(64, 64))
    np.testing.assert_array_equal(picture, fit(display(ct), 64, 64))
    assert (picture.source, picture.media_type) == ("local", "")
    assert str(status) in picture.reason


def test_a_route_that_is_not_there_is_not_asked_for_again(rendering, connect, reply, ct):
    site = rendering(ct, lambda _: reply(404))
    client = connect(site.url)
    for _ in range(3):
        assert client.retrieve_thumbnail(*uids(ct)).source == "local"
    assert routes(site) == ["thumbnail", "rendered"]


def test_a_refusal_of_one_picture_is_not_held_against_the_server(rendering, connect, reply, ct):
    site = rendering(ct, lambda _: reply(400))
    client = connect(site.url)
    client.retrieve_rendered(*uids(ct))
    client.retrieve_rendered(*uids(ct))
    assert routes(site) == ["rendered", "rendered"]


def test_what_is_not_there_is_not_there(archive, connect, wide):
    site = archive(wide)
    client = connect(site.url)
    for verb in (client.retrieve_rendered, client.retrieve_thumbnail):
        with pytest.raises(NotFoundError):
            verb("1.2", "1.3", "1.4")
        with pytest.raises(NotFoundError, match="2 frames; there is no frame 3"):
            verb(*uids(wide), frame=3)
    picture = client.retrieve_rendered(*uids(wide), frame=2)
    np.testing.assert_array_equal(picture, display(wide, 1))


def test_no_pixels(archive, connect):
    plan = read("rtplan.dcm")
    client = connect(archive(plan).url)
    for verb in (client.retrieve_rendered, client.retrieve_thumbnail):
        with pytest.raises(DecodeError, match="no pixel data"):
            verb(*uids(plan))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((503, b"busy"), UnavailableError),
        ((200, b"no image"), DecodeError),
        ((200, b""), DecodeError),
        ((200, b"<html>", {"Content-Type": "text/html"}), UnexpectedAnswerError),
    ],
)
def test_answers_of_no_use(rendering, connect, reply, ct, answer, error):
    site = rendering(ct, lambda _: reply(*answer))
    for verb in ("retrieve_rendered", "retrieve_thumbnail"):
        with pytest.raises(error):
            getattr(connect(site.url), verb)(*uids(ct))
    assert not objects(site)


def test_an_image_that_is_cut_off(rendering, connect, reply, ct):
    whole = image_file(display(ct), "JPEG")
    site = rendering(ct, lambda _: reply(200, whole[: len(whole) // 2]))
    with pytest.raises(DecodeError, match="picture"):
        connect(site.url).retrieve_rendered(*uids(ct))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frame": 0}, "first frame is 1"),
        ({"frame": True}, "first frame is 1"),
        ({"frame": "2"}, "first frame is 1"),
        ({"frame": [1]}, "first frame is 1"),
        ({"window": "brian"}, "brain, liver, lung"),
        ({"window": (40, 0)}, "width"),
        ({"window": (40,)}, "center, width"),
        ({"window": 40}, "center, width"),
        ({"window": "40,wide"}, "center, width"),
        ({"window": (float("nan"), 1)}, "finite"),
        ({"viewport": (0, 10)}, "viewport"),
        ({"viewport": 100}, "viewport"),
        ({"viewport": (10.5, 10)}, "viewport"),
        ({"viewport": "512,512"}, "viewport"),
        ({"viewport": (10, 10, 0, 0)}, "viewport"),
        ({"viewport": (10**6, 10)}, "viewport"),
        ({"quality": 0}, "1 to 100"),
        ({"quality": 101}, "1 to 100"),
        ({"quality": True}, "1 to 100"),
        ({"quality": 90, "media_type": "image/png"}, "no losses"),
        ({"media_type": "image/gif"}, "image/jpeg"),
        ({"media_type": None}, "image/jpeg"),
    ],
)
def test_what_is_refused_before_it_is_sent(connect, options, words):
    with pytest.raises(QueryError, match=words):
        connect("http://127.0.0.1:9").retrieve_rendered("1.2", "1.3", "1.4", **options)


def test_other_bad_input(connect):
    client = connect("http://127.0.0.1:9")
    for verb in (client.retrieve_rendered, client.retrieve_thumbnail):
        with pytest.raises(QueryError, match="SOPInstanceUID"):
            verb("1.2", "1.3", "a/b")
        with pytest.raises(ConnectionFailed):
            verb("1.2", "1.3", "1.4")


# -- thumbnails ------------------------------------------------------------------------------------------------------


def test_a_thumbnail_of_the_server(rendering, connect, reply, ct):
    site = rendering(ct, lambda _: reply(200, image_file(np.zeros((20, 20), np.uint8))))
    picture = connect(site.url).retrieve_thumbnail(*uids(ct))
    assert (picture.shape, picture.source, routes(site)) == ((20, 20), "server", ["thumbnail"])


def test_a_server_without_thumbnails_renders_them(rendering, connect, reply):
    ds = read("CT_small.dcm")
    large = np.zeros((500, 1000), np.uint8)
    site = rendering(
        ds, lambda asked: reply(404) if route_of(asked) == "thumbnail" else reply(200, image_file(large))
    )
    client = connect(site.url)
    picture = client.retrieve_thumbnail(*uids(ds))
    assert (picture.shape, picture.source) == ((100, 200), "server")
    assert picture.reason == "scaled here: the server answered 404 to thumbnail"
    assert client.retrieve_thumbnail(*uids(ds), viewport=(50, 50)).shape == (25, 50)
    assert routes(site) == ["thumbnail", "rendered", "rendered"]
    assert not objects(site)


def test_a_study_is_shown_by_its_middle_instance(archive, connect, ct):
    several = []
    for number in (3, 1, 2):
        one = read("CT_small.dcm")
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        one.InstanceNumber = number
        one.PixelData = bytes(len(one.PixelData) - 2) + number.to_bytes(2, "little")
        several.append(one)
    site = archive(*several)
    client = connect(site.url)
    for address in (uids(ct)[:1], uids(ct)[:2]):
        picture = client.retrieve_thumbnail(*address)
        np.testing.assert_array_equal(picture, display(several[2]))
    assert all(asked.path.endswith("1.2.3.2") for asked in objects(site))


def test_a_server_that_lists_instances_below_a_series_only(archive, connect, reply, as_json, ct):
    """As tiny-pacs."""

    def spoil(asked):
        if asked.path.endswith(f"/studies/{ct.StudyInstanceUID}/instances"):
            return reply(404, b"no such route")
        if asked.path.endswith("/series"):
            return as_json(
                [{"0020000E": {"vr": "UI", "Value": [str(ct.SeriesInstanceUID)]}}][
                    int(asked.params["offset"]) :
                ]
            )
        return None

    client = connect(archive(ct, spoil=spoil).url)
    np.testing.assert_array_equal(client.retrieve_thumbnail(ct.StudyInstanceUID), display(ct))
    with pytest.raises(NotFoundError, match="no such route"):
        connect(archive(ct, spoil=lambda asked: reply(404, b"no such route")).url).retrieve_thumbnail("1.2")


# -- the picture itself ----------------------------------------------------------------------------------------------


def test_a_voi_lut_that_cannot_be_read_is_told(rendering, connect, reply):
    ds = read("CT_small.dcm")
    ds.VOILUTSequence = [Dataset()]
    told = "VOI LUT 1 of the image cannot be read."
    headers = {"Content-Type": "image/png", "Warning": f'299 127.0.0.1:80: "{told}"'}
    client = connect(rendering(ds, lambda _: reply(200, image_file(display(ds)), headers)).url)
    picture = client.retrieve_rendered(*uids(ds), media_type="image/png")
    assert (picture.source, picture.reason) == ("server", told)
    client = connect(rendering(ds, lambda _: reply(406)).url)
    here = client.retrieve_rendered(*uids(ds))
    assert (here.source, here.reason) == ("local", f"the server answered 406 to rendered; {told}")
    assert told not in client.retrieve_rendered(*uids(ds), window="lung").reason
    assert np.array_equal(here, picture)


def test_a_picture_is_an_array():
    picture = Picture(np.arange(12, dtype=np.uint8).reshape(3, 4), "local", reason="because")
    assert isinstance(picture, np.ndarray)
    assert picture[1:].reason == picture.copy().reason == "because"
    assert type(picture.max()) is np.uint8
    assert type(picture + 1) is np.ndarray
    assert pickle.loads(pickle.dumps(picture)).tolist() == picture.tolist()  # noqa: S301 - our own
    assert picture.source == "local"


def test_a_picture_shows_itself():
    picture = Picture(np.arange(12, dtype=np.uint8).reshape(3, 4), "local")
    shown = np.asarray(Image.open(io.BytesIO(picture._repr_png_())))
    np.testing.assert_array_equal(shown, picture)
    for none in (picture[0], picture[:0], picture.astype(float), picture.reshape(3, 2, 2)):
        assert none._repr_png_() is None
