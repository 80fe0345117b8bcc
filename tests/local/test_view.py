"""`df.dicom.view()` on a real (local) service: which series, which order, which planes. The page: tests/browser."""

import copy

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import generate_uid

import dicomframe as dfr
from dicomframe.errors import DecodeError, NotFoundError, QueryError, TableError
from dicomframe.images.windowing import Window, display
from dicomframe.samples import cohort, planned_study, treatment_plan


def read(name):
    return dcmread(get_testdata_file(name, download=False))


def stack(positions, **attributes):
    """Make a series of CT slices at these heights, each slice of its own values, numbered backwards."""
    base = read("CT_small.dcm")
    study, series = generate_uid(), generate_uid()
    made = []
    for number, position in enumerate(positions):
        ds = copy.deepcopy(base)
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = study, series, generate_uid()
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.ImageOrientationPatient, ds.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.5, 0.25]
        ds.ImagePositionPatient = [-10, -20, position]
        ds.InstanceNumber = 100 - number
        ds.PixelData = np.full((128, 128), number, np.int16).tobytes()
        for name, value in attributes.items():
            setattr(ds, name, value(number) if callable(value) else value)
        made.append(ds)
    return made


@pytest.fixture(scope="module")
def client():
    with dfr.start_local() as local:
        yield local.connect(progress=False)


@pytest.fixture
def opened(client):
    """Store datasets and open a viewer on them."""
    views = []

    def opening(datasets, **options):
        client.store(datasets)
        table = client.search_series(datasets[0].StudyInstanceUID).to_frame()
        view = table.dicom.view(**options)
        views.append(view)
        return view

    yield opening
    for view in views:
        view.close()


def values(view):
    """Give one value of each slice, in order."""
    return [float(view._source.slice(index).in_unit()[0, 0]) for index in range(view._source.count)]


def test_slices_are_ordered_by_their_places(opened):
    view = opened(stack([30, 10, 0, 20, 40]))
    intercept = -1024
    assert values(view) == [intercept + number for number in (2, 1, 3, 0, 4)]
    assert list(view._source.planes) == ["axial", "coronal", "sagittal"]
    np.testing.assert_allclose(
        view._source.affine, [[0, 0, 0.25, -10], [0, 0.5, 0, -20], [10, 0, 0, 0], [0, 0, 0, 1]]
    )
    assert (view.index, view.plane) == (2, "axial")
    view.cursor = [3, 1, 2]
    assert view.value() == intercept
    view.plane = "coronal"
    # Head up: the last slice is the top row.
    view.center, view.width, view.function = intercept + 2, 4, "LINEAR_EXACT"
    assert view.snapshot()[:, 0, 0].tolist() == [255, 0, 191, 64, 128]
    assert view._look.unit == "HU"


def test_one_slice_is_retrieved_before_it_is_shown(client, opened, monkeypatch):
    datasets = stack(range(8))
    asked = []
    retrieve = client.retrieve_instance
    monkeypatch.setattr(client, "retrieve_instance", lambda *uids: asked.append(uids[2]) or retrieve(*uids))
    view = opened(datasets, index=3)
    assert asked == [datasets[3].SOPInstanceUID]
    np.testing.assert_array_equal(view.snapshot()[..., 0], display(datasets[3]))
    assert asked == [datasets[3].SOPInstanceUID]


@pytest.mark.parametrize(
    ("positions", "attributes", "planes", "why"),
    [
        ([0, 10, 30], {}, ["axial"], "unevenly spaced"),
        ([0, 10, 10, 20], {}, ["axial"], "in one place"),
        ([0, 10, 20.2, 30], {}, ["axial"], "unevenly spaced"),
        ([0, 10, 20.1, 30], {}, ["axial", "coronal", "sagittal"], ""),
        ([5, 5], {}, ["axial"], "in one place"),
        ([5], {}, ["axial"], ""),
        (
            [0, 10],
            {"ImageOrientationPatient": lambda number: [1, 0, 0, 0, 1 - number, -number]},
            ["slices"],
            "not parallel",
        ),
        ([0, 10], {"ImagePositionPatient": None}, ["slices"], ""),
        (
            [0, 10, 20],
            {"PixelSpacing": lambda number: [0.5 + (number == 1), 0.5]},
            ["slices"],
            "differ in pixel spacing",
        ),
        (
            [0, 10],
            {"FrameOfReferenceUID": lambda number: f"1.2.{number}"},
            ["slices"],
            "several frames of reference",
        ),
        ([0, 10], {"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, ["slices"], "tiles of a mosaic"),
        (
            [0, 10, 0, 10],
            {"Modality": "MR", "EchoTime": lambda number: number // 2},
            ["axial"],
            "in one place",
        ),
    ],
)
def test_other_planes_only_of_a_grid(opened, positions, attributes, planes, why):
    view = opened(stack(positions, **attributes))
    assert list(view._source.planes) == planes
    assert why in view._look.note
    assert bool(why) == bool(view._look.note)
    assert sorted(values(view)) == [-1024 + number for number in range(len(positions))]
    if "sagittal" not in planes:
        with pytest.raises(QueryError, match="The planes of this viewer are"):
            view.plane = "sagittal"


def test_slices_of_two_sizes(opened):
    datasets = stack([0, 10])
    datasets[1].Rows = 64
    datasets[1].PixelData = np.zeros((64, 128), np.int16).tobytes()
    view = opened(datasets, index=0)
    assert view._look.note == "The slices differ in size."
    assert view.snapshot().shape == (128, 128, 3)
    view.index = 1
    assert view.snapshot().shape == (64, 128, 3)


def lut(vr, entries, explanation=""):
    """Make an item of a VOI LUT Sequence whose data are numbers in the metadata (US), or bulk (OW)."""
    made = Dataset()
    made.LUTDescriptor, made.LUTExplanation = [len(entries), 0, 16], explanation
    made.add_new("LUTData", vr, entries if vr == "US" else np.array(entries, "<u2").tobytes())
    return made


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"WindowCenter": 40, "WindowWidth": 400}, ""),
        ({"WindowCenter": [40, 50], "WindowWidth": [400, 100]}, ""),
        ({"WindowCenter": lambda number: 40 + number, "WindowWidth": 400}, "name different windows"),
        (
            {"WindowCenter": lambda number: [40, 40 + number], "WindowWidth": [400, 100]},
            "name different windows",
        ),
        ({"RescaleType": lambda number: ["HU", "MGML"][number % 2]}, "in different units"),
        (
            {"PhotometricInterpretation": lambda number: f"MONOCHROME{1 + number % 2}"},
            "Some slices are inverted",
        ),
        ({"VOILUTSequence": lambda _: [lut("US", [0, 9, 5])]}, ""),
        ({"VOILUTSequence": lambda number: [lut("US", [0, 9, 5], f"{number}")]}, ""),
        ({"VOILUTSequence": lambda number: [lut("US", [0, 9, number])]}, "name different VOI LUTs"),
        (
            {"VOILUTSequence": lambda number: [lut("US", [0, 9, 5])] * (number == 2)},
            "name different VOI LUTs",
        ),
        (
            {"VOILUTSequence": lambda number: [lut("OW", [0, 9, number])]},
            "Whether the slices' VOI LUTs differ is not known",
        ),
        ({"VOILUTSequence": lambda _: [Dataset()]}, "VOI LUT 1 of the image cannot be read"),
    ],
)
def test_what_slices_differ_in_is_told(opened, attributes, words):
    view = opened(stack([0, 10, 20], **attributes))
    assert list(view._source.planes) == ["axial", "coronal", "sagittal"]
    assert words in view._look.note
    assert bool(words) == bool(view._look.note)
    units = [view._source.slice(index).units for index in range(3)]
    mixed = "RescaleType" in attributes
    assert units == ([("HU",), ("mg/ml",), ("HU",)] if mixed else [("HU",)] * 3)
    view.plane = "coronal"
    assert view._picture("coronal", 0).units == (["HU", "mg/ml", "HU"] if mixed else ("HU",))


@pytest.mark.parametrize(("entries", "told"), [([5, 5], False), ([5, 6], True)])
def test_other_voi_luts_of_frames_are_told(opened, entries, told):
    ds = read("CT_small.dcm")
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = (generate_uid() for _ in range(3))
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.NumberOfFrames, ds.PixelData = 2, ds.PixelData * 2
    groups = []
    for entry in entries:
        own, group = Dataset(), Dataset()
        own.VOILUTSequence = [lut("OW", [0, 9, entry])]
        group.FrameVOILUTSequence = [own]
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = groups
    assert ("name different VOI LUTs" in opened([ds], index=0)._look.note) == told


@pytest.mark.parametrize("is_broken", [False, True])
def test_what_frames_differ_in_is_told(opened, is_broken):
    """A frame whose window is no number is for itself."""
    ds = read("CT_small.dcm")
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = (generate_uid() for _ in range(3))
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    del ds.RescaleSlope, ds.RescaleIntercept
    ds.NumberOfFrames, ds.PixelData = 3, ds.PixelData * 3
    groups = []
    for number in range(3):
        value, window, group = Dataset(), Dataset(), Dataset()
        value.RescaleSlope, value.RescaleIntercept, value.RescaleType = (
            1 + number,
            0,
            ["HU", "MGML", "HU"][number],
        )
        window.WindowCenter, window.WindowWidth = 40 + number, 400
        if is_broken and number == 2:
            window[0x00281050] = RawDataElement(Tag(0x00281050), "DS", 4, b"none", 0, False, True)
        group.PixelValueTransformationSequence, group.FrameVOILUTSequence = [value], [window]
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = groups
    view = opened([ds], index=0)
    assert "name different windows" in view._look.note
    assert "in different units" in view._look.note
    assert [view._source.slice(index).units for index in range(2)] == [("HU",), ("mg/ml",)]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("SC_rgb_rle_2frame.dcm", (2, 100, 100)),
        ("MR_small.dcm", (1, 64, 64)),
        ("emri_small.dcm", (10, 64, 64)),
        ("SC_rgb_jpeg_dcmd.dcm", (1, 256, 256)),
        ("JPEG2000.dcm", (1, 1024, 256)),
        ("OBXXXX1A_rle.dcm", (1, 600, 800)),
    ],
)
def test_single_and_multiple_frames(opened, name, shape):
    ds = read(name)
    view = opened([ds])
    plane = view._source.planes[view._source.acquired]
    assert (plane.count, plane.rows, plane.columns) == shape
    for frame in range(shape[0]):
        view.index = frame
        window = None if view.center is None else Window(view.center, view.width, view.function)
        expected = display(ds, frame, window)
        expected = expected if expected.ndim == 3 else np.repeat(expected[..., np.newaxis], 3, axis=2)
        np.testing.assert_array_equal(view.snapshot(), expected)


def test_instances_of_a_table(client, opened):
    datasets = stack([0, 10, 20, 30])
    view = opened(datasets)
    table = client.search_instances(datasets[0].StudyInstanceUID).to_frame()
    chosen = table[table["SOPInstanceUID"].isin([datasets[1].SOPInstanceUID, datasets[3].SOPInstanceUID])]
    view = chosen.dicom.view()
    assert values(view) == [-1023, -1021]
    view.close()


def test_a_pet_has_a_scale_of_its_own_for_each_slice(opened):
    view = opened(
        stack([0, 10, 20], Modality="PT", Units="BQML", RescaleIntercept=0, RescaleSlope=lambda n: n + 1)
    )
    assert values(view) == [0, 2, 6]
    assert view._look.unit == "Bq/ml"
    view.plane = "coronal"
    view.center, view.width, view.function = 3, 6, "LINEAR_EXACT"
    assert view.snapshot()[:, 5, 0].tolist() == [255, 85, 0]


def test_rows_of_no_one_series(client, opened):
    one, other = stack([0]), stack([0, 10])
    other[0].StudyInstanceUID = other[1].StudyInstanceUID = one[0].StudyInstanceUID
    client.store([*one, *other])
    series = client.search_series(one[0].StudyInstanceUID).to_frame()
    for table in (series, client.search_studies(StudyInstanceUID=one[0].StudyInstanceUID).to_frame()):
        with pytest.raises(
            TableError, match=r"shows one series, and these rows have 2. Choose one: df.dicom.series"
        ):
            table.dicom.view()
    with pytest.raises(TableError, match="has no rows"):
        series.iloc[:0].dicom.view()
    with pytest.raises(QueryError, match="index= is a whole number from 0 to 1"):
        opened(other[:0] + stack([0, 10]), index=2)
    ghost = series.iloc[[0]].assign(SeriesInstanceUID="1.2.3.404")
    ghost.attrs = series.attrs
    with pytest.raises(NotFoundError):
        ghost.dicom.view()


def test_no_pictures(opened):
    with pytest.raises(DecodeError, match="There are no pictures in this series"):
        opened([read("waveform_ecg.dcm")])


def test_the_title_names_no_patient(opened):
    texts = {"SpecificCharacterSet": "ISO_IR 192", "SeriesDescription": "CHEST\u202eAX"}
    view = opened(stack([0], PatientName="Doe^Hidden", PatientID="12345", **texts))
    assert view._look.title.splitlines()[-1] == "CHESTAX"
    assert "Hidden" not in view._look.title + repr(view)
    assert "12345" not in view._look.title + repr(view)


def test_overlays_of_a_table():
    study = planned_study()
    with dfr.start_local() as local:
        client = local.connect(progress=False)
        client.store([*cohort([study]), *treatment_plan()])
        series = client.search_series(study.uid).to_frame()
        ct, others = series[series["Modality"] == "CT"], series[series["Modality"] != "CT"]
        view = ct.dicom.view(overlays=others)
        assert view.problems["what"].tolist() == ["point"]
        kinds = [(overlay.kind, bool(overlay.contours)) for overlay in view._overlays]
        assert sorted(set(kinds)) == [("dose", False), ("mask", False), ("mask", True)]
        assert view.visible == [True] * len(kinds)
        shown = view.snapshot()
        view.visible = [False] * len(kinds)
        plain = view.snapshot()
        assert (shown != plain).any()
        assert (plain == plain[..., :1]).all()
        view.close()
        elsewhere = stack([0, 10])
        client.store(elsewhere)
        table = client.search_series(elsewhere[0].StudyInstanceUID).to_frame()
        with pytest.raises(QueryError, match="another frame of reference"):
            table.dicom.view(overlays=others)
