"""Gallery and cohort browser in JupyterLab: what a person sees and clicks, and that no text of a file runs."""

import pytest

COHORT = """
import dicomframe as dfr
client = dfr.connect(progress=False)
series = client.search_series(limit=60, fields=["PatientSex", "PatientAge", "Manufacturer"]).to_frame()
"""

HOSTILE = r'''
import warnings
import dicomframe as dfr
from pydicom import dcmread, examples
warnings.simplefilter("ignore")
text = """<script>window.hostile = 1</script><img src=x onerror="window.hostile = 1">' onload='alert(1)"""
local = dfr.start_local()
client = local.connect(progress=True)
for number, each in enumerate([text[:64], text[35:99], '"><svg onload=alert(1)>', "\u202eevil", "$x$ **b**", "<b>"]):
    ds = dcmread(examples.get_path("ct"))
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"2.25.{number + 1}"
    ds.SeriesInstanceUID, ds.StudyInstanceUID = f"2.25.{number + 50}", f"2.25.{number + 90}"
    ds.PatientName = ds.StudyDescription = ds.SeriesDescription = ds.ManufacturerModelName = each
    ds.PatientID = each
    client.store([ds])
series = client.search_series(fields=["SeriesDescription"]).to_frame()
series["Modality"] = [f"{each}{number}" for number, each in enumerate(series["StudyDescription"])]
len(series)
'''


@pytest.fixture(scope="module", autouse=True)
def service():
    """Run a service with the sample cohort, which the kernels connect to."""
    import dicomframe as dfr

    with dfr.start_local(samples=True) as local, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DICOMFRAME_URL", local.url)
        yield local


@pytest.fixture(scope="module")
def lab(service, tmp_path_factory):
    """Run a JupyterLab of this module's own, whose kernels find the service."""
    from lab_server import running

    with running(tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("jupyter")) as lab:
        yield lab


def test_a_gallery_shows_pictures(lab, page, screenshot):
    lab.open(page, COHORT, "series.dicom.gallery(most=5)")
    gallery = page.locator(".dicomframe-gallery")
    assert gallery.locator("img").count() == 5
    widths = gallery.locator("img").evaluate_all("(all) => all.map((each) => each.naturalWidth)")
    assert all(width > 0 for width in widths)
    assert gallery.locator("tbody th[scope=row]").all_inner_texts() == list("01234")
    screenshot("gallery", page.locator(".jp-Notebook-cell").nth(1), docs=True)


def test_facets_are_clicked(lab, page, screenshot):
    lab.open(page, COHORT, "browser = series.dicom.browse()\nbrowser", "pass")
    modality = page.locator(".jp-OutputArea select").first
    modality.wait_for()
    offered = modality.locator("option").all_inner_texts()
    chosen = next(each for each in offered if each.replace("\xa0", " ").startswith("CT "))
    modality.select_option(label=chosen)
    page.get_by_text("Modality: CT", exact=True).wait_for()
    page.locator("input[placeholder='words, then Enter']").fill("head contrast")
    page.keyboard.press("Enter")
    page.get_by_text("Description: head contrast", exact=True).wait_for()
    said = lab.run(
        page,
        "table = browser.selected\nprint(set(table.Modality), len(table), browser.count, table.dicom.level)",
    )
    kind, rows, count, level = said[0].split()
    assert (kind, level) == ("{'CT'}", "series")
    assert rows == count
    assert 0 < int(rows) < int(chosen.replace("\xa0", " ").split("(")[1].rstrip(")"))
    page.locator(".dicomframe-gallery img").first.wait_for()
    # The keyboard alone takes the choice back.
    modality.focus()
    page.keyboard.press("Control+ArrowDown")
    page.get_by_role("button", name="All rows").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Modality: CT", exact=True).wait_for(state="detached")
    page.locator(".dicomframe-gallery img").nth(7).wait_for()
    modality.select_option(label=modality.locator("option").nth(1).inner_text())
    page.locator(".dicomframe-gallery img").nth(3).wait_for()
    screenshot("browser", page.locator(".jp-Notebook-cell").nth(1), docs=True)


def test_pages_are_turned(lab, page):
    lab.open(page, COHORT, "browser = series.dicom.browse()\nbrowser", "pass")
    status = page.locator("[role=status]").first
    status.wait_for()
    assert status.inner_text() == "rows 1 to 8 of 60"
    page.get_by_role("button", name="Later rows").click()
    page.get_by_text("rows 9 to 16 of 60").wait_for()
    page.get_by_role("button", name="Earlier rows").click()
    page.get_by_text("rows 1 to 8 of 60").wait_for()


def test_no_text_of_a_file_runs(lab, page, screenshot):
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    shown = "['PatientName', 'PatientID', 'StudyDescription', 'ManufacturerModelName', 'Modality']"
    lab.open(
        page,
        HOSTILE,
        f"series.dicom.gallery({shown})",
        f"browser = series.dicom.browse({shown})\nbrowser.choose(modality=series.Modality[0])\nbrowser",
        "series.iloc[[0]].dicom.view()",
        "series.dicom.plot()",
        "client.search_series(PatientName='<img src=x onerror=alert(1)>')",
        "pass",
    )
    page.locator(".dicomframe-gallery").nth(1).wait_for()
    page.wait_for_timeout(500)
    assert page.evaluate("window.hostile") is None
    assert dialogs == []
    inside = page.locator(".dicomframe-gallery")
    assert inside.locator("script, svg").count() == 0
    assert all(
        each.startswith("data:image/jpeg;base64,")
        for each in inside.locator("img").evaluate_all("(all) => all.map((each) => each.src)")
    )
    assert page.locator(".jp-OutputArea img[onerror]").count() == 0
    screenshot("hostile")


def test_dark_theme(lab, page, screenshot):
    lab.open(page, COHORT, "series.dicom.gallery(most=3)", "series.dicom.browse()")
    page.locator(".jp-OutputArea select").first.wait_for()
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.get_by_text("Theme", exact=True).hover()
    page.get_by_text("JupyterLab Dark", exact=True).click()
    page.wait_for_function("() => document.body.dataset.jpThemeName === 'JupyterLab Dark'")
    page.locator(".dicomframe-gallery img").nth(8).wait_for()
    colour = page.locator(".dicomframe-gallery th").first.evaluate("(cell) => getComputedStyle(cell).color")
    assert min(int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]) > 150
    screenshot("gallery-dark")
