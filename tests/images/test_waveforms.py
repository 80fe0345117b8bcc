"""Waveforms against pydicom's own reader and numbers reckoned by hand, and what is drawn of them."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import replace

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.filebase import DicomBytesIO
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomframe.errors import DecodeError, QueryError
from dicomframe.images.plots.waves import draw_waveform, lead
from dicomframe.images.waveforms import Waveform, waveforms


@pytest.fixture
def ecg():
    return dcmread(get_testdata_file("waveform_ecg.dcm", download=False))


def made(data, bits, interpretation, channels=1, padding=None, **channel):
    group = Dataset()
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = bits, interpretation
    group.NumberOfWaveformChannels = channels
    group.NumberOfWaveformSamples = len(data) // (bits // 8) // channels
    group.SamplingFrequency = 500
    definitions = []
    for _ in range(channels):
        definition = Dataset()
        for keyword, value in channel.items():
            setattr(definition, keyword, value)
        definitions.append(definition)
    group.ChannelDefinitionSequence = definitions
    group.add_new("WaveformData", "OB" if bits == 8 else "OW", data)
    if padding is not None:
        group.add_new("WaveformPaddingValue", "OB" if bits == 8 else "OW", padding)
    ds = Dataset()
    ds.WaveformSequence = [group]
    return ds


def unit(code):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "UCUM", code
    return [item]


def test_a_real_one_is_read_as_pydicom_reads_it(ecg):
    found = waveforms(ecg)
    assert [wave.label for wave in found] == ["RHYTHM", "MEDIAN BEAT"]
    for number, wave in enumerate(found):
        np.testing.assert_array_equal(wave.samples, ecg.waveform_array(number))
        assert wave.units == ("uV",) * 12
        assert wave.frequency == 1000
        assert "channels" in repr(wave)
    assert found[0].to_frame().shape == (10000, 12)
    assert found[0].to_frame().index[-1] == pytest.approx(9.999)


@pytest.mark.parametrize(
    ("bits", "interpretation", "code"),
    [
        (8, "SB", "b"),
        (8, "UB", "B"),
        (16, "SS", "h"),
        (16, "US", "H"),
        (32, "SL", "i"),
        (32, "UL", "I"),
        (64, "SV", "q"),
        (64, "UV", "Q"),
    ],
)
def test_each_kind_of_sample(bits, interpretation, code):
    numbers = [0, 1, 100, 7] if code.isupper() else [0, -1, 100, -7]
    ds = made(struct.pack(f"<4{code}", *numbers), bits, interpretation, channels=2)
    [wave] = waveforms(ds)
    assert wave.samples.tolist() == [numbers[:2], numbers[2:]]
    assert wave.units == ("", "")
    assert wave.channels == ("channel 1", "channel 2")


@pytest.mark.filterwarnings("ignore:.*audioop.*:DeprecationWarning")
@pytest.mark.parametrize(("interpretation", "law"), [("MB", "ulaw2lin"), ("AB", "alaw2lin")])
def test_companded_sound_is_expanded(interpretation, law):
    audioop = pytest.importorskip("audioop")
    every = bytes(range(256))
    [wave] = waveforms(made(every, 8, interpretation))
    assert wave.samples[:, 0].tolist() == np.frombuffer(getattr(audioop, law)(every, 2), "<i2").tolist()


def test_sensitivity_correction_and_baseline():
    data = struct.pack("<3h", 10, -20, -32768)
    ds = made(
        data,
        16,
        "SS",
        padding=struct.pack("<h", -32768),
        ChannelSensitivity="2.5",
        ChannelSensitivityUnitsSequence=unit("uV"),
        ChannelSensitivityCorrectionFactor="2",
        ChannelBaseline="1",
        ChannelLabel="Lead II",
        ChannelTimeSkew="0.001",
        ChannelSampleSkew="1",
    )
    ds.WaveformSequence[0].MultiplexGroupTimeOffset = "250"
    [wave] = waveforms(ds)
    np.testing.assert_array_equal(wave.samples[:, 0], [10 * 2.5 * 2 + 1, -20 * 2.5 * 2 + 1, np.nan])
    assert wave.channels == ("Lead II",)
    assert wave.start == 0.25
    assert wave.skew == (0.001 + 1 / 500,)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_any_byte_order(syntax):
    big = syntax == ExplicitVRBigEndian
    ds = made(struct.pack(">3h" if big else "<3h", 1, 258, -2), 16, "SS")
    buffer = DicomBytesIO()
    ds.save_as(buffer, implicit_vr=syntax.is_implicit_VR, little_endian=not big)
    from pydicom.filereader import read_dataset

    buffer.seek(0)
    again = read_dataset(buffer, syntax.is_implicit_VR, not big)
    assert waveforms(again)[0].samples[:, 0].tolist() == [1, 258, -2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda ds: delattr(ds, "WaveformSequence"), "no waveforms"),
        (lambda ds: delattr(ds.WaveformSequence[0], "WaveformData"), "group 1 .*lacks WaveformData"),
        (lambda ds: setattr(ds.WaveformSequence[0], "WaveformData", b"12"), "cut off: 2 bytes of 8"),
        (lambda ds: setattr(ds.WaveformSequence[0], "WaveformSampleInterpretation", "XX"), "unknown"),
        (lambda ds: setattr(ds.WaveformSequence[0], "ChannelDefinitionSequence", []), "0 are described"),
        (lambda ds: setattr(ds.WaveformSequence[0], "SamplingFrequency", "0"), "frequency of 0 Hz"),
    ],
)
def test_what_cannot_be_read_says_why(change, reason):
    ds = made(struct.pack("<4h", 1, 2, 3, 4), 16, "SS")
    change(ds)
    with pytest.raises(DecodeError, match=reason):
        waveforms(ds)


# -- drawn


def traces(figure, length):
    return [line.get_xydata() for line in figure.axes[0].lines if len(line.get_xdata()) == length]


def test_an_electrocardiogram_is_drawn_in_true_size(ecg):
    rhythm = waveforms(ecg)[0]
    figure = draw_waveform(rhythm)
    [axes] = figure.axes
    box = axes.get_position()
    width, height = figure.get_size_inches() * 25.4
    # The axes' units are millimetres of the page.
    assert box.width * width == pytest.approx(np.ptp(axes.get_xlim()))
    assert box.height * height == pytest.approx(np.ptp(axes.get_ylim()))
    drawn = traces(figure, 5000)
    assert len(drawn) == 12
    for number, trace in enumerate(drawn):
        expected = rhythm.samples[:5000, number] if number < 6 else rhythm.samples[5000:, number]
        np.testing.assert_allclose(np.diff(trace[:, 1]), np.diff(expected) / 1000 * 10, atol=1e-9)
        np.testing.assert_allclose(np.diff(trace[:, 0]), 25 / 1000)
    assert drawn[6][0, 0] - drawn[0][0, 0] == pytest.approx(5 * 25)
    names = [text.get_text() for text in axes.texts]
    assert names == ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    assert "25 mm/s   10 mm/mV" in axes.get_xlabel()


def test_a_part_is_drawn_and_said(ecg):
    figure = draw_waveform(waveforms(ecg)[0], start=2, seconds=2)
    assert len(traces(figure, 2000)) == 12
    assert [text.get_text() for text in figure.texts] == ["2 s to 4 s of 10 s are drawn."]
    assert figure.axes[0].get_xticklabels()[0].get_text() == "2"


def test_a_short_one_is_whole_in_both_columns(ecg):
    beat = waveforms(ecg)[1]
    assert len(traces(draw_waveform(beat), 1200)) == 12


def test_other_waveforms_have_a_strip_and_a_unit_each():
    samples = np.stack([np.arange(100.0), np.arange(100.0) ** 2, np.full(100, np.nan)], axis=1)
    wave = Waveform(samples, ("$pressure$", "a\u202eb", "Lead I"), ("mm[Hg]", "", "uV"), 50.0, start=1.0)
    figure = draw_waveform(wave)
    assert [axes.get_ylabel() for axes in figure.axes] == ["mm[Hg]", "stored value", "uV"]
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), samples[:, 1])
    assert figure.axes[0].lines[0].get_xdata()[0] == 1.0
    assert figure.axes[-1].get_xlabel() == "time, s"
    assert figure.axes[0].get_title(loc="left") == r"\$pressure\$"
    assert figure.axes[1].get_title(loc="left") == "a·b"
    figure.savefig(io.BytesIO())


def test_many_channels_are_told():
    wave = Waveform(np.zeros((10, 40)), ("x",) * 40, ("",) * 40, 10.0)
    figure = draw_waveform(wave)
    assert len(figure.axes) == 16
    assert any("24 further channels" in text.get_text() for text in figure.texts)


@pytest.mark.parametrize(
    "part", [{"start": -1}, {"seconds": 0}, {"seconds": 61}, {"start": 11}, {"start": np.nan}]
)
def test_a_part_that_is_not_there_is_refused(part, ecg):
    with pytest.raises(QueryError):
        draw_waveform(waveforms(ecg)[0], **part)


def test_an_empty_trace_is_drawn(ecg):
    rhythm = waveforms(ecg)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_waveform(replace(rhythm, samples=np.full_like(rhythm.samples, np.nan))).savefig(io.BytesIO())


@pytest.mark.parametrize(
    ("name", "short"),
    [("Lead V3R", "V3R"), ("III", "III"), ("Voltage", "Voltage"), ("lead avr", "avr")],
)
def test_leads(name, short):
    assert lead(name) == short
