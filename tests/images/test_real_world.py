"""Real World Value Mappings: told where they are not applied, and good for a unit where they are the rescale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

import dicomframe as dfr
from dicomframe.images.assembly import volume_of
from dicomframe.images.real_world import mappings_of, not_applied
from dicomframe.images.units import unit_of
from dicomframe.widgets.sources import look_of, slice_of
from tests.images.series import image, item, numbered, put, series

WHAT = "Real World Value Mapping"


def mapping(code: str | None = "10*-3.mm2/s", scheme: str = "UCUM", **attributes: Any) -> Dataset:
    """Make a mapping of all values of 16 bits without a sign, as they are."""
    ends = {"RealWorldValueFirstValueMapped": 0, "RealWorldValueLastValueMapped": 65535}
    made = item(RealWorldValueSlope=1.0, RealWorldValueIntercept=0.0, LUTLabel="MAP")
    for keyword, value in ends.items():
        made.add_new(keyword, "US", value)
    if code is not None:
        made.MeasurementUnitsCodeSequence = [
            item(CodeValue=code, CodingSchemeDesignator=scheme, CodeMeaning="unit")
        ]
    for keyword, value in attributes.items():
        vr = "SS" if isinstance(value, int) and value < 0 else "US"
        if keyword in ends:
            made.add_new(keyword, vr, value)
        else:
            put(made, **{keyword: value})
    return made


def mr(*mappings: Dataset, **attributes: Any) -> Dataset:
    return image(
        np.arange(100, 112, dtype=np.uint16).reshape(3, 4),
        **{"Modality": "MR", "RealWorldValueMappingSequence": list(mappings), **attributes},
    )


@pytest.mark.parametrize(
    ("ds", "unit", "told"),
    [
        (mr(), "", []),
        (mr(mapping()), "10*-3.mm2/s", []),
        (mr(mapping("[hnsf'U]")), "HU", []),
        (mr(mapping("1")), "", []),
        (mr(mapping(scheme="99X")), "", []),
        (mr(mapping(None)), "", []),
        # Rescale and mapping are the same line, in decimals and in binary.
        (
            mr(
                mapping(RealWorldValueSlope=0.1 + 1e-12, RealWorldValueIntercept=-3.0),
                RescaleSlope="0.1",
                RescaleIntercept="-3",
            ),
            "10*-3.mm2/s",
            [],
        ),
        (mr(mapping(), RescaleSlope="1", RescaleIntercept="0", RescaleType="US"), "10*-3.mm2/s", []),
        # What Rescale Type and Units name stays.
        (mr(mapping(), RescaleSlope="1", RescaleIntercept="0", RescaleType="MGML"), "mg/ml", []),
        (mr(mapping("Bq/ml"), Modality="PT", Units="BQML"), "Bq/ml", []),
        (mr(mapping(RealWorldValueSlope=2.0)), "", ["10*-3.mm2/s"]),
        (mr(mapping(RealWorldValueIntercept=0.001)), "", ["10*-3.mm2/s"]),
        (mr(mapping(None, RealWorldValueSlope=2.0)), "", ["MAP"]),
        (mr(mapping(None, RealWorldValueSlope=2.0, LUTLabel=None)), "", ["without a unit"]),
        # A rescale without an intercept is none, here as everywhere.
        (mr(mapping(RealWorldValueSlope=2.0), RescaleSlope="2"), "", ["10*-3.mm2/s"]),
        # Two mappings: neither is the unit, and the other one is told.
        (mr(mapping("Bq/ml"), mapping("g/ml{SUVbw}", RealWorldValueSlope=0.01)), "", ["g/ml{SUVbw}"]),
        (mr(mapping(RealWorldValueLUTData=[0.0, 1.0])), "", ["10*-3.mm2/s"]),
        (
            mr(mapping(), ModalityLUTSequence=[item(LUTDescriptor=[1, 0, 16], LUTData=[5])]),
            "",
            ["10*-3.mm2/s"],
        ),
        (mr(item()), "", ["without a unit"]),
        (mr(mapping(RealWorldValueSlope=[1.0, 2.0])), "", ["one that cannot be read"]),
    ],
)
def test_a_mapping_gives_the_unit_or_is_told(ds: Dataset, unit: str, told: list[str]) -> None:
    assert unit_of(ds) == unit
    assert not_applied(ds) == told


@pytest.mark.parametrize(
    ("first", "last", "signed", "possible", "there"),
    [
        (0, 65535, False, True, True),
        (0, -1, False, True, True),  # written as SS
        (100, 111, False, False, True),
        (101, 111, False, False, False),
        (100, 110, False, False, False),
        (-32768, 32767, True, True, True),
        (32768, 32767, True, True, True),  # written as US
        (0, 32767, True, False, True),
        (None, 111, False, False, False),
    ],
)
def test_a_mapping_holds_for_the_values_that_it_covers(
    first: int | None, last: int, signed: bool, possible: bool, there: bool
) -> None:
    ends = {"RealWorldValueFirstValueMapped": first, "RealWorldValueLastValueMapped": last}
    made = mapping(**{keyword: value for keyword, value in ends.items() if value is not None})
    if first is None:
        del made.RealWorldValueFirstValueMapped
    ds = mr(made, PixelRepresentation=int(signed))
    stored = np.arange(100, 112)
    for covered, values in ((possible, None), (there, stored)):
        assert bool(unit_of(ds, stored=values)) == covered
        assert bool(not_applied(ds, stored=values)) != covered
    with_padding = put(ds, PixelPaddingValue=100)
    assert bool(unit_of(with_padding, stored=stored)) == (there or first == 101)


def test_a_volume_takes_the_unit_of_its_mapping() -> None:
    first = mapping(RealWorldValueFirstValueMapped=0, RealWorldValueLastValueMapped=4095)
    stored = numbered(3).astype(np.uint16)
    datasets = series(stored, Modality="MR", RealWorldValueMappingSequence=[first], BitsStored=12, HighBit=11)
    volume = volume_of(datasets)
    assert (volume.unit, volume.problems.empty) == ("10*-3.mm2/s", True)
    assert np.array_equal(volume.array, numbered(3))


def test_a_volume_tells_what_is_not_applied_and_changes_no_value() -> None:
    datasets = series(numbered(3), Modality="MR")
    for number, ds in enumerate(datasets[:2]):
        ds.RealWorldValueMappingSequence = [mapping("g/ml", RealWorldValueSlope=2.0 + number)]
    volume = volume_of(datasets)
    assert volume.problems["what"].tolist() == [WHAT]
    assert volume.problems["detail"].tolist() == [
        "2 of 3 slices: Real World Value Mappings are not applied: g/ml."
    ]
    assert volume.unit == ""
    assert np.array_equal(volume.array, numbered(3))


@pytest.mark.parametrize("shared", [True, False])
def test_mappings_of_functional_groups(shared: bool) -> None:
    """A parametric map of floats, whose mapping covers the values that are there."""
    values = np.linspace(0.25, 2.0, 24, dtype=np.float32).reshape(2, 3, 4)
    values[0, 0, 0] = np.nan
    made = mapping("um2/s", LUTLabel="ADC")
    del made.RealWorldValueFirstValueMapped, made.RealWorldValueLastValueMapped
    made.DoubleFloatRealWorldValueFirstValueMapped = float(np.nanmin(values))
    made.DoubleFloatRealWorldValueLastValueMapped = float(np.nanmax(values))
    ds = image(np.nan_to_num(values).astype(np.int16), Modality="MR", PixelRepresentation=None)
    del ds.PixelData
    ds.FloatPixelData, ds.BitsAllocated = values.tobytes(), 32
    own = item(RealWorldValueMappingSequence=[made])
    ds.SharedFunctionalGroupsSequence = [own if shared else item()]
    ds.PerFrameFunctionalGroupsSequence = [item() if shared else own, item()]
    assert [unit_of(ds, frame) for frame in range(2)] == ["um2/s", "um2/s" if shared else ""]
    assert [len(mappings_of(ds, frame)) for frame in range(2)] == [1, int(shared)]
    made.DoubleFloatRealWorldValueLastValueMapped = 1.5
    assert unit_of(ds, 1) == ""
    covered = "um2/s (as the values are, but of stored values 0.326087 to 1.5 only)"
    assert not_applied(ds, 1) == ([covered] if shared else [])


def test_the_viewer_and_a_table_of_pixels_tell_it() -> None:
    told = "Real World Value Mappings are not applied: g/ml{SUVbw}."
    ds = mr(mapping("g/ml{SUVbw}", RealWorldValueSlope=2.0))
    made = slice_of(ds)
    assert look_of(ds, 0, made).note == told
    plain = mr(mapping(), SOPInstanceUID=f"{ds.SOPInstanceUID}.2")
    look = look_of(plain, 0, slice_of(plain))
    assert (look.unit, look.note) == ("10*-3.mm2/s", "")
    with dfr.start_local() as local:
        client = local.connect()
        client.store([ds, plain])
        table = client.search_instances().to_frame()
        pixels = table.dicom.pixels(modality_lut=True).set_index("SOPInstanceUID")
        assert pixels.loc[ds.SOPInstanceUID, "reason"] == told
        assert pixels["unit"].fillna("").to_dict() == {
            ds.SOPInstanceUID: "",
            plain.SOPInstanceUID: "10*-3.mm2/s",
        }
        assert pixels["reason"].count() == 1
        assert pixels.loc[ds.SOPInstanceUID, "pixels"][0, 0, 0] == 100
        assert table.dicom.pixels()["reason"].isna().all()


def test_uptake_values_that_a_mapping_gives_too_are_not_told() -> None:
    ds = mr(
        mapping("g/ml{SUVbw}", RealWorldValueSlope=0.5),
        mapping("Bq/ml"),
        mapping("g/ml{SUVlbm}", RealWorldValueSlope=0.4),
    )
    assert not_applied(ds, factor=0.5) == ["g/ml{SUVlbm}"]
    assert not_applied(ds) == ["g/ml{SUVbw}", "g/ml{SUVlbm}"]
