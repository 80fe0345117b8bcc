"""The figure of a cohort's flow says what the table says."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

import dicomframe as dfr


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def test_each_step_and_each_loss_is_in_it(cohort_client):
    cohort = (
        dfr.cohort(cohort_client)
        .step("everyone", fields=["PatientAge"])
        .step("adults $x$", PatientAge=(18, None))
        .step("series", level="series")
    )
    said = texts(cohort.plot())
    flow = cohort.flow()
    assert said[0] == "everyone"
    assert r"adults \$x\$" in said
    assert f"{flow['removed'][1]} studies removed" in said
    assert any("PatientAge does not match" in line for line in said)
    assert any(f"{flow['rows'][2]:,} series" in line for line in said)


def test_it_fits_and_no_text_leaves_its_box(cohort_client):
    cohort = dfr.cohort(cohort_client).step("a name that is long " * 5).step("b" * 180, PatientID="nobody")
    figure = cohort.plot()
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    for text in figure.axes[0].texts:
        if text.get_text():
            box = text.get_window_extent()
            assert box.x0 >= 0
            assert box.x1 <= width
            assert box.y0 >= 0
            assert box.y1 <= height


def test_a_search_that_was_cut_short_is_marked():
    from dicomframe.images.plots.flow import draw_flow

    with dfr.start_local() as local:
        flow = dfr.cohort(local.connect(progress=False)).step("all").flow()
    flow["completeness"] = "truncated"
    assert "(search truncated: there may be more)" in texts(draw_flow(flow, [{}]))


@pytest.mark.skipif(
    not os.environ.get("DICOMFRAME_DOCS_IMAGES"), reason="DICOMFRAME_DOCS_IMAGES=1 draws the docs"
)
def test_picture_of_the_docs(cohort_client):
    cohort = (
        dfr.cohort(cohort_client)
        .step("Studies since 2023", StudyDate=("2023-01-01", None), fields=["PatientAge", "PatientSex"])
        .step("Adults", PatientAge=(18, None))
        .step("First study of each patient", first="StudyDate")
        .step("Their CT and MR series", level="series", Modality=["CT", "MR"])
    )
    buffer = io.BytesIO()
    cohort.plot().savefig(buffer, dpi=96)
    file = Path(__file__).parents[2] / "docs" / "images" / "cohort-flow.png"
    Image.open(buffer).convert("RGB").quantize(256).save(file, optimize=True)
    assert file.stat().st_size < 150_000
