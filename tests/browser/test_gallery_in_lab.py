"""Gallery and cohort browser in JupyterLab: what a person sees and clicks, and that no text of a file runs."""

import pytest
from lab_server import until

import dicomframe as dfr

COHORT = """
import pandas as pd
import dicomframe as dfr
client = dfr.connect("{url}", progress=False)
series = client.search_series(limit=60, fields=["PatientSex", "PatientAge", "Manufacturer"]).to_frame()
series.loc[series.index[:4], ["PatientAge", "PatientSex"]] = pd.NA
"""

HOSTILE = r"""
import warnings
import dicomframe as dfr
from pydicom import dcmread, examples
warnings.simplefilter("ignore")
local = dfr.start_local()
client = local.connect(progress=True)
texts = [
    "<script>window.hostile = 1</script>",
    "<img src=hostile.png onerror='window.hostile = 1'>",
    "\"><svg onload=alert(1)>' onmouseover='alert(1)",
    "\u202eevil\u202c \u2066turned",
    "$\\href{javascript:alert(1)}{x}$ **b** [a](javascript:alert(1))",
    "</td></table></div></style><b>bold",
]
for number, text in enumerate(texts):
    ds = dcmread(examples.get_path("ct"))
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"2.25.{number + 1}"
    ds.SeriesInstanceUID, ds.StudyInstanceUID = f"2.25.{number + 50}", f"2.25.{number + 90}"
    ds.PatientName = ds.StudyDescription = ds.SeriesDescription = ds.ManufacturerModelName = ds.PatientID = text[:64]
    client.store([ds])
series = client.search_series(fields=["SeriesDescription", "ManufacturerModelName"]).to_frame()
series["Modality"] = [f"{text}\x1b[31m" for text in series["StudyDescription"]]  # not from a service: more than a CS
series["UID"] = texts
hostile = dfr.from_json([{"0020000D": {"vr": "UI", "Value": [text]}} for text in texts], level="study")
hostile.attrs["dicom"] = dict(series.attrs["dicom"])


def attempt(work):
    try:
        return work()
    except dfr.errors.DicomFrameError as error:
        return error
"""

SHOWN = "['PatientName', 'PatientID', 'StudyDescription', 'ManufacturerModelName', 'Modality', 'UID']"
HOSTILE_CELLS = [
    f"series.dicom.gallery({SHOWN})",
    f"browser = series.dicom.browse({SHOWN})\nbrowser.choose(modality=list(series.Modality))\nbrowser",
    "attempt(lambda: hostile.dicom.gallery(['StudyInstanceUID']))",
    "hostile.dicom.browse(['StudyInstanceUID'])",
    "series.set_index('PatientName').dicom.gallery(['Modality'])",
    "series.iloc[[1]].dicom.view()",
    "series.dicom.plot()",
    "display(client.search_series(PatientName=texts[1]), series, series.dicom.thumbnails(), client)",
    "import tempfile\nseries.dicom.download(tempfile.mkdtemp(), progress=True)",
]


@pytest.fixture(scope="module")
def cohort():
    """Run a service with the sample cohort, and give the cell that searches it."""
    with dfr.start_local(samples=True) as local:
        yield COHORT.format(url=local.url)


@pytest.fixture
def page(page):
    """Give a page that is high enough for a whole browser, without the list of files."""
    page.set_viewport_size({"width": 1180, "height": 1300})
    return page


def output(page, number):
    return page.locator(".jp-Notebook-cell").nth(number).locator(".jp-OutputArea-output").first


def use_theme(page, name):
    if page.evaluate("document.body.dataset.jpThemeName") != name:
        page.get_by_role("menuitem", name="Settings", exact=True).click()
        page.get_by_text(
            "Theme", exact=True
        ).click()  # resting on it opens it only if the menu is there by then
        page.get_by_text(name, exact=True).click()
        page.wait_for_function("(name) => document.body.dataset.jpThemeName === name", arg=name)


def hide_files(page):
    page.keyboard.press("Escape")
    page.keyboard.press("Control+b")
    page.locator("#jp-left-stack").wait_for(state="hidden")


def light(colour):
    return min(int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3])


def test_a_gallery_shows_pictures_in_both_themes(lab, page, screenshot, cohort):
    lab.open(page, cohort, "series.dicom.gallery(most=5)", "series.dicom.browse()")
    use_theme(page, "JupyterLab Light")
    hide_files(page)
    gallery = page.locator(".dicomframe-gallery").first
    images = gallery.locator("img")
    widths = "(all) => all.map((each) => each.naturalWidth)"
    until(page, lambda: images.evaluate_all(widths) == [96] * 5)
    assert gallery.locator("tbody th[scope=row]").all_inner_texts() == list("01234")
    screenshot("gallery", output(page, 1), docs=True)

    page.locator(".dicomframe-gallery img").nth(12).wait_for()
    use_theme(page, "JupyterLab Dark")
    cell = gallery.locator("td").last
    assert light(cell.evaluate("(cell) => getComputedStyle(cell).color")) > 150
    screenshot("gallery-dark", output(page, 1))
    screenshot("browser-dark", output(page, 2), docs=True)
    use_theme(page, "JupyterLab Light")


def test_facets_are_clicked_and_pages_turned(lab, page, screenshot, cohort):
    lab.open(page, cohort, "browser = series.dicom.browse()\nbrowser", "pass")
    use_theme(page, "JupyterLab Light")
    hide_files(page)
    browser = output(page, 1)
    browser.locator("select").nth(2).wait_for()
    modality, sex, scanner = browser.locator("select").all()
    browser.locator("[role=status]", has_text="rows 1 to 8 of 60").wait_for()
    page.get_by_role("button", name="Later rows").click()
    page.get_by_text("rows 9 to 16 of 60").wait_for()
    page.get_by_role("button", name="Earlier rows").click()
    page.get_by_text("rows 1 to 8 of 60").wait_for()

    def labels(select):
        return {
            text.rpartition(" (")[0].strip(): int(text.rpartition(" (")[2][:-1])
            for text in (each.replace("\xa0", " ") for each in select.locator("option").all_inner_texts())
        }

    def asked(code):
        return lab.run(page, f"print({code})")[0].strip()

    all_of = labels(modality)
    assert labels(sex)["(missing)"] == 4
    # The mouse, with Ctrl for a second value.
    modality.locator("option", has_text="CT").click()
    browser.get_by_text("Modality: CT", exact=True).wait_for()
    modality.locator("option", has_text="MR").click(modifiers=["Control"])
    browser.get_by_text("Modality: CT or MR", exact=True).wait_for()
    assert asked("browser.count") == str(all_of["CT"] + all_of["MR"])
    both = all_of["CT"] + all_of["MR"]
    until(page, lambda: sum(labels(sex).values()) == sum(labels(scanner).values()) == both)
    assert labels(modality) == all_of, "a facet's own choice does not change its counts"

    # Rows without an age pass until their box is cleared.
    age_to = browser.locator("input[placeholder='86']")
    age_to.fill("70")
    age_to.press("Enter")
    browser.get_by_text("Age, years: … to 70 or missing", exact=True).wait_for()
    count, without = map(int, asked("browser.count, browser.selected.PatientAge.isna().sum()").split())
    assert 0 < without < count
    screenshot("browser", browser, docs=True)
    browser.get_by_text("and rows without one (2)").click()
    browser.get_by_text("Age, years: … to 70", exact=True).wait_for()
    assert (
        asked("browser.count, browser.selected.PatientAge.dicom.years.max() < 71")
        == f"{count - without} True"
    )

    # Words as they are typed; then a day.
    browser.locator("input[placeholder='words, in any order']").press_sequentially("HEAD ct", delay=20)
    browser.get_by_text("Description: HEAD ct", exact=True).wait_for()
    browser.locator("input[type=date]").first.fill("2025-01-01")
    browser.get_by_text("Study date: 2025-01-01 to …", exact=True).wait_for()
    kind, level, known = asked(
        "*set(browser.selected.Modality), browser.selected.dicom.level, "
        "len(browser.selected.dicom.studies()) > 0"
    ).split()
    assert (kind, level, known) == ("CT", "series", "True")
    assert (
        asked(
            "(browser.selected.StudyDate >= '2025-01-01').all(), browser.attrition.rows.iloc[-1] == browser.count"
        )
        == "True True"
    )

    # The keyboard alone takes all back, and chooses.
    page.get_by_role("button", name="All rows").focus()
    page.keyboard.press("Enter")
    browser.get_by_text("Modality: CT or MR", exact=True).wait_for(state="detached")
    assert asked("browser.count") == "60"
    modality.focus()
    page.keyboard.press("End")
    browser.get_by_text(f"Modality: {list(all_of)[-1]}", exact=True).wait_for()
    browser.locator(".dicomframe-gallery img").first.wait_for()


def test_no_text_of_a_file_runs(lab, page, screenshot):
    dialogs, requests = [], []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    lab.open(page, HOSTILE, *HOSTILE_CELLS, "pass")
    page.locator(".dicomframe-gallery").nth(3).wait_for()
    page.locator(".dfv").wait_for()
    for each in page.locator(".dicomframe-gallery td").all()[:12]:
        each.hover()
    page.wait_for_timeout(300)
    assert page.evaluate("window.hostile") is None
    assert dialogs == []
    assert [url for url in requests if "hostile.png" in url] == []
    outputs = page.locator(".jp-OutputArea-output")
    assert outputs.locator("script, svg[onload], [onerror], [onmouseover], a[href^=javascript]").count() == 0
    inside = page.locator(".dicomframe-gallery")
    sources = inside.locator("img").evaluate_all("(all) => all.map((each) => each.src)")
    assert len(sources) >= 12
    assert all(each.startswith("data:image/jpeg;base64,") for each in sources)
    # Each text is there as it is, and not as mathematics; what turns the writing is spelled out.
    shown = inside.first.inner_text()
    assert "<script>window.hostile = 1</script>" in shown
    assert r"$\href{javascript:alert(1)}{x}$ **b**" in shown
    assert r"\u202eevil\u202c" in shown
    # pandas' own table of the same texts has mathematics, so there would have been some.
    assert outputs.locator(".dataframe mjx-container").count() > 0
    assert outputs.locator("mjx-container").count() == outputs.locator(".dataframe mjx-container").count()
    assert all(
        letter.isprintable() or letter in "\n\t"
        for letter in page.locator(".dicomframe-gallery").nth(1).inner_text()
    )
    screenshot("hostile", output(page, 2))
