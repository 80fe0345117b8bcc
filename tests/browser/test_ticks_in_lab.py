"""Rows of the cohort browser are ticked in JupyterLab: by mouse, by keyboard, over pages and choices."""

import pytest

import dicomframe as dfr

COHORT = """
import dicomframe as dfr
client = dfr.connect("{url}", progress=False)
series = client.search_series(limit=60, fields=["PatientSex", "Manufacturer"]).to_frame()
browser = series.dicom.browse()
"""


@pytest.fixture(scope="module")
def cohort():
    with dfr.start_local(samples=True) as local:
        yield COHORT.format(url=local.url)


def test_rows_are_ticked_over_pages_and_choices(lab, page, screenshot, cohort):
    page.set_viewport_size({"width": 1180, "height": 1300})
    lab.open(page, cohort, "browser", "pass")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+b")
    page.locator("#jp-left-stack").wait_for(state="hidden")
    browser = page.locator(".jp-Notebook-cell").nth(1).locator(".jp-OutputArea-output").first

    def asked(code):
        return lab.run(page, f"print({code})")[0].strip()

    def box(row):
        return browser.get_by_role("checkbox", name=f"tick row {row}", exact=True)

    def says(text):
        browser.get_by_text(text, exact=True).wait_for()

    # The pictures come after the boxes: what was ticked and what has the focus stays.
    box(1).check()
    says("1 row ticked")
    browser.locator(".dicomframe-gallery img").nth(7).wait_for()
    assert box(1).is_checked()
    head = browser.get_by_role("checkbox", name="tick all rows listed here")
    assert head.evaluate("(box) => box.indeterminate")

    # The keyboard: Tab goes from box to box, space ticks, and JupyterLab takes neither.
    box(1).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    says("2 rows ticked")
    assert box(2).is_checked()
    assert box(2).evaluate("(box) => box === document.activeElement")
    assert asked("browser.ticked.index.tolist()") == "[1, 2]"

    # Over pages: what is ticked on one stays when others are shown.
    page.get_by_role("button", name="Later rows").click()
    says("rows 9 to 16 of 60")
    assert not head.is_checked()
    head.check()
    says("10 rows ticked")
    box(9).uncheck()
    says("9 rows ticked")
    page.get_by_role("button", name="Earlier rows").click()
    says("rows 1 to 8 of 60")
    assert box(2).is_checked()
    assert not box(3).is_checked()
    # Row 8 is on the page that was ticked whole, and row 9 was taken back.
    assert asked("browser.ticked.index.tolist()") == str([1, 2, 8, *range(10, 16)])

    # Over choices, and from Python.
    page.get_by_role("button", name="Untick all").click()
    says("0 rows ticked")
    asked("browser.tick([0, 1, 2])")
    says("3 rows ticked")
    kinds = asked("' '.join(browser.ticked.Modality)").split()
    asked(f"browser.choose(modality={kinds[0]!r})")
    left_out = sum(kind != kinds[0] for kind in kinds)
    says(f"3 rows ticked, {left_out} of them left out by the choice" if left_out else "3 rows ticked")
    browser.locator(".dicomframe-gallery img").nth(0).wait_for()
    screenshot("browser-ticked", browser, docs=True)
    page.get_by_role("button", name="Tick all that pass").click()
    ticked = int(asked("browser.count")) + left_out
    says(f"{ticked} rows ticked" + (f", {left_out} of them left out by the choice" if left_out else ""))
    assert asked("browser.ticked_count - browser.count") == str(left_out)
    assert asked("browser.ticked.dicom.level, len(browser.ticked.dicom.studies()) > 0") == "series True"


def test_two_views_of_a_browser_show_the_same_ticks(lab, page, cohort):
    lab.open(page, cohort, "browser", "browser", "pass")
    first, second = (
        page.locator(".jp-Notebook-cell").nth(at).get_by_role("checkbox", name="tick row 3", exact=True)
        for at in (1, 2)
    )
    first.check()
    page.get_by_text("1 row ticked", exact=True).nth(1).wait_for()
    assert second.is_checked()
    second.uncheck()
    page.get_by_text("0 rows ticked", exact=True).nth(1).wait_for()
    assert not first.is_checked()
