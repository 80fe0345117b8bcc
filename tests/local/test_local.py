"""``connect()``, ``start_local()``, the cache of the samples, and the command line."""

import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe import home
from dicomframe.cli import main
from dicomframe.errors import DicomFrameError, PermissionDeniedError, QueryError
from dicomframe.local import serve

PYTHON = Path(sys.executable)


def wait_for_url(process):
    line = process.stdout.readline().strip()
    assert line.startswith("http://127.0.0.1:"), process.stderr.read()
    return line


def run(code, **environment):
    return subprocess.run(
        [PYTHON, "-c", code],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ | environment,
    )


def test_connect_with_nothing_configured_has_the_cohort_and_does_not_make_it_again(cohort_service):
    code = (
        "import dicomframe as dfr, dicomframe.samples\n"
        "dicomframe.samples.cohort = None\n"
        "client = dfr.connect()\n"
        "print(len(client.search_studies().to_frame()), client.url)\n"
    )
    found = run(code)
    assert found.returncode == 0, found.stderr
    count, url = found.stdout.split()
    assert int(count) >= 160
    assert url.startswith("http://127.0.0.1:")


def test_the_url_variable_comes_first(cohort_service, monkeypatch):
    monkeypatch.setenv("DICOMFRAME_URL", cohort_service.url)
    assert dfr.connect().url.startswith(cohort_service.url)


def test_what_a_process_changes_is_its_own(cohort_service):
    with dfr.start_local(samples=True) as other:
        client = other.connect()
        before = len(client.search_studies().to_frame())
        victim = client.search_studies(limit=1).to_frame()
        victim.dicom.delete()
        assert len(client.search_studies().to_frame()) == before - 1
    assert len(cohort_service.connect().search_studies().to_frame()) == before


def test_copies_of_killed_processes_are_swept(cohort_service):
    code = (
        "import os, signal, dicomframe.local as local\n"
        "print(local.LocalService(samples=True)._home._folder, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = run(code)
    assert killed.returncode == -signal.SIGKILL
    left = Path(killed.stdout.strip())
    in_use = cohort_service._home._folder
    assert left.parent == in_use.parent
    with dfr.start_local(samples=True):
        assert not left.exists()
        assert in_use.exists()


def test_two_processes_make_the_cache_once(tmp_path, monkeypatch):
    # A small cohort in a cache of its own, so that the race is quick.
    code = (
        "import itertools, dicomframe.samples as s, dicomframe as dfr\n"
        "whole = s.cohort_files\n"
        "def few():\n"
        "    print('made', flush=True)\n"
        "    return itertools.islice(whole(), 3)\n"
        "s.cohort_files = few\n"
        "print(len(dfr.connect().search_instances().to_frame()), flush=True)\n"
    )
    started = [
        subprocess.Popen(
            [PYTHON, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"DICOMFRAME_CACHE": str(tmp_path)},
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=600)[0].split() for process in started]
    assert sorted(map(len, said)) == [1, 2], said
    assert [words[-1] for words in said] == ["3", "3"]


def test_a_folder_of_the_users_own_is_kept(tmp_path):
    with dfr.start_local(tmp_path / "mine", samples=True) as local:
        count = len(local.connect().search_studies().to_frame())
        local.connect().search_studies(limit=1).to_frame().dicom.delete()
    with dfr.start_local(tmp_path / "mine", samples=True) as local:
        assert len(local.connect().search_studies().to_frame()) == count - 1


def test_a_folder_that_became_a_service_meanwhile_keeps_what_is_in_it(tmp_path, cohort_service):
    # Two processes start on a new folder at once: the second finds none there, and waits while the first one copies.
    mine = tmp_path / "mine"
    with dfr.start_local(mine, samples=True) as local:
        client = local.connect()
        count = len(client.search_studies().to_frame())
        client.search_studies(limit=1).to_frame().dicom.delete()
        home.copy_samples(mine)
        assert len(client.search_studies().to_frame()) == count - 1
    with dfr.start_local(mine, samples=True) as local:
        assert len(local.connect().search_studies().to_frame()) == count - 1
    assert sorted(path.name for path in mine.iterdir()) == ["blobs", "index.sqlite"]


@pytest.mark.parametrize(
    "killed_at",
    [
        "home._link = lambda file, place: end() if '/000/001/' in place else link(file, place)",
        "home._link = lambda file, place: end() if place.endswith('index.sqlite') else link(file, place)",
        "Path.rename = lambda path, place: end()",
        "Path.rename = lambda path, place: end() if path.name == 'index.sqlite' else rename(path, place)",
    ],
    ids=["bytes", "index", "first move", "last move"],
)
def test_samples_that_came_half_come_whole_the_next_time(killed_at, tmp_path, cohort_service):
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from dicomframe import home\n"
        "link, rename = home._link, Path.rename\n"
        "def end(): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"{killed_at}\n"
        f"home.Home({str(tmp_path / 'mine')!r}, samples=True)\n"
    )
    killed = run(code)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    count = len(cohort_service.connect().search_instances().to_frame())
    with dfr.start_local(tmp_path / "mine", samples=True) as local:
        client = local.connect()
        rows = client.search_instances().to_frame()
        assert len(rows) == count
        for row in (rows.iloc[0], rows.iloc[-1]):
            assert client.retrieve_instance(
                row["StudyInstanceUID"], row["SeriesInstanceUID"], row["SOPInstanceUID"]
            )
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["blobs", "index.sqlite"]


def test_a_service_that_does_not_start_leaves_no_folder(tmp_path, monkeypatch, cohort_service):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for options in ({"port": int(cohort_service.url.rpartition(":")[2])}, {"token": ""}):
        with pytest.raises(DicomFrameError):
            dfr.start_local(**options)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_that_ends_leaves_the_service_alone():
    code = (
        "import os, sys, dicomframe as dfr\n"
        "local = dfr.start_local()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    sys.exit()\n"
        "os.waitpid(child, 0)\n"
        "print(local._home._folder.exists())\n"
        "local.stop()\n"
        "print(local._home._folder.exists())\n"
    )
    ended = run(code)
    assert ended.stdout.split() == ["True", "False"], ended.stderr


def test_stop_frees_port_and_folder():
    local = dfr.start_local()
    folder = local._home._folder
    assert folder.exists()
    local.stop()
    local.stop()
    assert not folder.exists()


def test_serve_prints_its_url_and_ends_when_told(tmp_path):
    with subprocess.Popen(
        [
            PYTHON,
            "-m",
            "dicomframe",
            "serve",
            "--port",
            "0",
            "--data",
            str(tmp_path),
            "--token",
            "t0k",
            "--read-only-token",
            "r0k",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        url = wait_for_url(process)
        assert dfr.connect(url, "t0k").search_studies().to_frame().empty
        reader = dfr.connect(url, "r0k")
        assert reader.search_studies().to_frame().empty
        with pytest.raises(PermissionDeniedError, match="DICOM Data Owner"):
            reader.delete("1.2.3")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["serve", "--port", "70000"], "0 to 65535"), (["nonsense"], "invalid choice"), ([], "COMMAND")],
)
def test_bad_command_lines_are_explained(arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "--faults", "nothing.json"], "argument --faults: there is no file .*nothing.json"),
        (["serve", "--faults", "."], "argument --faults: .* is no file"),
        (["serve", "--data", "file"], "argument --data: .*file is a file, where a folder is needed"),
        (["serve", "--export-root", "file"], "argument --export-root: .*file is a file"),
        (["demo", "--out", "file"], "argument --out: .*file is a file, .* give another path"),
        (["demo", "--out", "file/below"], "argument --out: .*file is a file"),
        (["lab", "file"], "DIR: .*file is a file"),
    ],
)
def test_paths_that_cannot_be_used_are_explained(arguments, words, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SystemExit) as caught:
        main([*arguments[:-1], str(tmp_path / arguments[-1])])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert re.search(words, said)
    assert "Errno" not in said


def test_what_the_system_says_comes_without_its_number(tmp_path, capsys, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr("dicomframe.demo.run", refuse)
    assert main(["demo", "--out", str(tmp_path / "new")]) == 1
    assert capsys.readouterr().err == f"dicomframe: {tmp_path}: Permission denied\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"port": "a"}, "port= is a whole number from 0"),
        ({"port": None}, "port= is"),
        ({"samples": "x"}, "samples= is True or False, not str"),
        ({"partitions": 1}, "partitions= is True or False"),
        ({"strict": None}, "strict= is"),
        ({"path": 5}, "path= is a folder, text or pathlib.Path, not int"),
        ({"export_root": 5}, "export_root= is a folder"),
        ({"operation_polls": "x"}, "operation_polls= is a whole number from 0 on"),
        ({"operation_polls": -1}, "operation_polls= is"),
    ],
)
@pytest.mark.parametrize("start", [dfr.start_local, serve], ids=["start_local", "serve"])
def test_a_service_does_not_start_with_arguments_of_the_wrong_kind(start, arguments, words):
    with pytest.raises(QueryError, match=words):
        start(**arguments)


def test_a_taken_port_is_one_line_on_standard_error(cohort_service, capsys):
    port = cohort_service.url.rpartition(":")[2]
    assert main(["serve", "--port", port]) == 1
    assert "taken" in capsys.readouterr().err


def test_importing_loads_nothing_heavy():
    heavy = (
        "pandas numpy requests pydicom azure.identity matplotlib ipywidgets starlette uvicorn pyarrow.json"
    )
    heavy = heavy.split()
    found = run(f"import sys, dicomframe; print([name for name in {heavy} if name in sys.modules])")
    assert found.stdout.strip() == "[]", found.stdout + found.stderr


def test_without_pandas_it_is_pandas_that_is_missing():
    found = run(
        "import dicomframe, sys; sys.path[:] = []\ntry: import pandas\nexcept ImportError as error: print(error)"
    )
    assert found.stdout.strip() == "No module named 'pandas'", found.stdout + found.stderr


def test_every_public_name_is_there_and_documented():
    for name in dfr.__all__:
        assert getattr(dfr, name).__doc__, name
    assert set(dfr.__all__) <= set(dir(dfr))
    assert not {"Any", "TYPE_CHECKING", "annotations", "import_module"} & set(dir(dfr))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = dfr.nonsense


@pytest.mark.parametrize(
    ("options", "words"),
    [({"path": __file__}, "keep its data"), ({"port": 99999}, "Port 99999"), ({"port": -1}, "Port -1")],
)
def test_places_and_ports_that_cannot_be_are_named(options, words):
    with pytest.raises(DicomFrameError, match=words):
        dfr.start_local(**options)


def test_a_file_whose_name_is_no_text_has_its_row(tmp_path):
    name = os.fsencode(tmp_path) + b"/ct-\xff.dcm"
    with open(name, "wb") as file, open(get_testdata_file("CT_small.dcm", download=False), "rb") as source:  # noqa: PTH123
        file.write(source.read())
    with dfr.start_local() as local:
        outcome = local.connect().store(tmp_path)
    assert outcome["status"].tolist() == ["stored"]
    assert "ct-" in outcome["path"][0]
