"""The demo does its whole job; here with the part of the cohort that its questions are about."""

from itertools import chain

import matplotlib.image

from dicomframe import demo, samples


def test_the_demo_stores_asks_and_draws(tmp_path, monkeypatch, capsys):
    chosen = [study for study in samples.studies() if study.patient.name.startswith("Smith")]
    others = {study.modality: study for study in samples.studies()}.values()
    whole = samples.cohort
    monkeypatch.setattr(samples, "cohort", lambda: whole(list(chain(chosen, others))))
    picture = demo.run(tmp_path / "out")
    said = capsys.readouterr().out
    assert picture == tmp_path / "out" / "montage.png"
    pixels = matplotlib.image.imread(picture)
    assert min(pixels.shape[:2]) > 500
    assert pixels.std() > 0.05
    for words in (
        "stored",
        "Smith^",
        "complete",
        "datetime64[s]",
        "patients with the follow-up",
        str(picture),
    ):
        assert words in said
    assert "Error" not in said
