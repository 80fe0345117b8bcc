"""The doctor: each check against a service that has just that ailment; never an exception, never a secret."""

import base64
import json
import subprocess
import sys
import time
from email.utils import formatdate

import pandas as pd
import pytest

import dicomframe as dfr
from dicomframe.cli import main
from dicomframe.client.client import Client
from dicomframe.client.doctor import COLUMNS, as_text
from dicomframe.client.session import InProcessAdapter
from dicomframe.errors import QueryError
from dicomframe.service.inprocess import handler
from dicomframe.service.service import Service

CHECKS = [
    "url", "name", "connection", "TLS", "token", "audience", "expiry", "roles", "reading", "versions", "clock",
    "change feed", "query tags",
]  # fmt: skip
AUDIENCE = "https://dicom.healthcareapis.azure.com"


def jwt(**claims):
    parts = ({"alg": "none"}, claims)
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
        + "."
    )


def examined(client):
    table = client.doctor()
    assert table.columns.tolist() == list(COLUMNS)
    assert set(table.dtypes.astype(str)) == {"string"}
    assert table["check"].tolist() == CHECKS
    assert set(table["status"]) <= {"ok", "warning", "failed", "skipped"}
    # Whatever failed says what to do, or whose word it is.
    assert table["found"].notna().all()
    return table.fillna("").set_index("check")


def test_a_healthy_service(serve, connect, reply):
    """All there is to like: JWT, versions, time, feed and tags."""
    token = jwt(exp=int(time.time()) + 3600, aud=AUDIENCE, roles=["DICOM.Read"])

    def answer(asked):
        assert asked.headers["Authorization"] == f"Bearer {token}"
        return reply(200, b"[]", {"api-supported-versions": "v1, v2", "Date": formatdate(usegmt=True)})

    site = serve(answer)
    table = examined(connect(site.url, token))
    assert set(table["status"].drop(["name", "TLS"])) == {"ok"}
    assert table.loc["expiry", "found"].startswith(("59 minutes", "60 minutes"))
    assert table.loc["roles", "found"] == "DICOM.Read"
    assert table.loc["reading", "found"].endswith("there is none")
    assert (table["advice"] == "").all()
    assert token not in table.to_csv()
    assert [(asked.method, asked.target) for asked in site.asked] == [
        ("GET", "/v2/studies?limit=1"),
        ("GET", "/v2/changefeed/latest"),
        ("GET", "/v2/extendedquerytags"),
    ]


def test_the_local_service_with_and_without_its_token():
    with dfr.start_local(token="own", read_only_token="read") as local:
        reader = examined(local.connect(credential="read"))
        assert reader.loc[["token", "reading", "versions"], "status"].tolist() == ["ok", "ok", "ok"]
        assert reader.loc["audience", "status"] == "skipped"
        nobody = examined(dfr.connect(local.url))
        assert nobody.loc["reading", "status"] == "failed"
        assert nobody.loc["reading", "found"].startswith("401 Unauthorized")
        assert "az login" in nobody.loc["reading", "advice"]
        assert nobody.loc["versions", "status"] == "ok"


def test_in_process_there_is_no_way_to_look_at(tmp_path):
    with Service.open(tmp_path) as service:
        client = Client("http://127.0.0.1:80", adapter=InProcessAdapter(handler(service.app)))
        table = examined(client)
    assert table.loc[["name", "connection", "TLS"], "status"].tolist() == ["skipped"] * 3
    assert table.loc["reading", "status"] == "ok"


def test_a_stopped_server(connect, serve, reply):
    local = dfr.start_local()
    client = local.connect()
    local.stop()
    table = examined(client)
    assert table.loc["connection", "status"] == "failed"
    assert "Connection refused" in table.loc["connection", "found"]
    assert table.loc["connection", "advice"]
    assert set(table.loc["reading":, "status"]) == {"skipped"}


def test_an_unknown_name(connect):
    table = examined(connect("https://no-such-host.invalid"))
    assert table.loc["name", "status"] == "failed"
    assert "no-such-host.invalid" in table.loc["name", "found"]
    assert table.loc["connection", "status"] == table.loc["TLS", "status"] == "skipped"


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://hospital.invalid", "warning"),
        ("https://ws-fhir.fhir.azurehealthcareapis.com", "failed"),
        ("https://ws-d.dicom.azurehealthcareapis.com/v2/more", "warning"),
        ("https://ws-d.dicom.azurehealthcareapis.com", "ok"),
    ],
)
def test_the_form_of_the_url(monkeypatch, url, status):
    """Only this row is looked at: the hosts are not asked."""
    from dicomframe.client import doctor

    monkeypatch.setattr(doctor, "_way", lambda _: iter([doctor.Finding("name", "failed", "not asked")]))
    credential = "opaque" if "azure" in url else None
    first = next(iter(doctor.examine(Client(url, credential).session)))
    assert (first.status, bool(first.advice)) == (status, status != "ok")


# -- TLS -------------------------------------------------------------------------------------------------------------


def test_a_trusted_certificate(serve, connect, reply, certificate):
    bundle, tls = certificate
    table = examined(connect(serve(reply(204), tls).url, verify=str(bundle)))
    assert table.loc["TLS", "status"] == "ok"
    assert "good for 30 days" in table.loc["TLS", "found"]
    assert table.loc["reading", "status"] == "ok"


def test_a_certificate_that_ends_soon_or_has_ended(serve, connect, reply, certificate_for, tmp_path):
    bundle, tls = certificate_for(tmp_path, days=3)
    assert examined(connect(serve(reply(204), tls).url, verify=str(bundle))).loc["TLS", "status"] == "warning"
    bundle, tls = certificate_for(tmp_path, days=-2)
    table = examined(connect(serve(reply(204), tls).url, verify=str(bundle)))
    assert (table.loc["TLS", "status"], table.loc["reading", "status"]) == ("failed", "skipped")
    assert "expired" in table.loc["TLS", "found"]


def test_a_certificate_that_nobody_knows(serve, connect, reply, certificate):
    site = serve(reply(204), certificate[1])
    table = examined(connect(site.url))
    assert table.loc["TLS", "status"] == "failed"
    assert "self-signed" in table.loc["TLS", "found"]
    assert "verify=" in table.loc["TLS", "advice"]
    assert site.asked == []


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_certificates_that_are_not_checked(serve, connect, reply, certificate):
    table = examined(connect(serve(reply(204), certificate[1]).url, verify=False))
    assert table.loc[["TLS", "reading"], "status"].tolist() == ["warning", "ok"]


def test_https_where_http_is_spoken(serve, connect, reply):
    site = serve(reply(204))
    table = examined(connect(site.url.replace("http:", "https:")))
    assert table.loc["TLS", "status"] == "failed"
    assert "http" in table.loc["TLS", "advice"]


# -- the token -------------------------------------------------------------------------------------------------------


def test_a_credential_that_gives_none(serve, connect, reply):
    def fail():
        raise RuntimeError("the vault\nis closed " + "x" * 1000)

    site = serve(reply(204))
    table = examined(connect(site.url, fail))
    assert table.loc["token", "status"] == "failed"
    assert "the vault is closed" in table.loc["token", "found"]
    assert "az login" in table.loc["token", "advice"]
    assert len(table.loc["token", "found"]) < 500
    assert table.loc["reading", "status"] == "skipped"
    assert site.asked == []


@pytest.mark.parametrize(
    ("claims", "check", "status", "word"),
    [
        ({"aud": "https://management.azure.com"}, "audience", "warning", "management"),
        ({"aud": [AUDIENCE + "/"]}, "audience", "ok", "dicom"),
        ({"aud": 5}, "audience", "skipped", "none"),
        ({"exp": 1_705_329_000}, "expiry", "failed", "ended at 2024-01-15 14:30 UTC"),
        ({"exp": -1e30}, "expiry", "failed", "impossible"),
        ({"exp": "soon"}, "expiry", "skipped", "does not say"),
        ({"scp": "user_impersonation"}, "roles", "ok", "user_impersonation"),
        ({"sub": "x"}, "roles", "skipped", "role assignments"),
    ],
)
def test_what_a_token_says_of_itself(serve, connect, reply, claims, check, status, word):
    table = examined(connect(serve(reply(204)).url, jwt(**claims)))
    assert table.loc[check, "status"] == status
    assert word in table.loc[check, "found"]


def test_a_token_that_ends_soon(serve, connect, reply):
    table = examined(connect(serve(reply(204)).url, jwt(exp=time.time() + 100)))
    assert table.loc["expiry", "status"] == "warning"


# -- the service -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        (401, b"", "401"),
        (403, b"", "DICOM Data Reader"),
        (503, b"", "503"),
        (200, b"<html><title>Sign in</title></html>", "Sign in"),
    ],
)
def test_a_service_that_lets_nobody_read(serve, connect, reply, status, body, word):
    kind = "text/html" if body else "text/plain"
    site = serve(reply(status, body, {"Content-Type": kind}))
    table = examined(connect(site.url, "opaque"))
    assert table.loc["reading", "status"] == "failed"
    assert word in table.loc["reading", "found"] + table.loc["reading", "advice"]
    # Each is asked once: a doctor does not wait.
    assert len(site.asked) == 3


def test_garbage_for_http(serve, connect, reply):
    table = examined(connect(serve(reply(raw=b"SSH-2.0-OpenSSH\r\n")).url))
    assert table.loc["reading", "status"] == "failed"
    assert "does not speak HTTP" in table.loc["reading", "found"]


@pytest.mark.parametrize(
    ("headers", "check", "status"),
    [
        ({"api-supported-versions": "1, 1-prerelease"}, "versions", "failed"),
        ({"api-supported-versions": "V2"}, "versions", "ok"),
        ({}, "versions", "skipped"),
        ({"Date": formatdate(time.time() - 900, usegmt=True)}, "clock", "warning"),
        ({"Date": "yesterday"}, "clock", "skipped"),
    ],
)
def test_what_the_answers_headers_tell(serve, connect, reply, headers, check, status):
    def answer(asked):
        # The small server sends no Date of its own over one that is given.
        return reply(204, b"", headers)

    site = serve(answer)
    site._server.RequestHandlerClass = _without_date(site._server.RequestHandlerClass)
    table = examined(connect(site.url))
    assert table.loc[check, "status"] == status


def _without_date(handler_class):
    class Handler(handler_class):
        def send_response(self, code, message=None):
            self.send_response_only(code, message)

    return Handler


def test_a_server_without_feed_and_tags_is_no_failure(serve, connect, reply):
    site = serve(lambda asked: reply(204) if asked.path.endswith("studies") else reply(404))
    table = examined(connect(site.url))
    assert table.loc[["change feed", "query tags"], "status"].tolist() == ["skipped", "skipped"]
    site = serve(lambda asked: reply(204) if asked.path.endswith("studies") else reply(403))
    table = examined(connect(site.url))
    assert table.loc[["change feed", "query tags"], "status"].tolist() == ["failed", "failed"]


# -- the command line ------------------------------------------------------------------------------------------------


def test_the_command_line(capsys, monkeypatch):
    with dfr.start_local(token="own") as local:
        monkeypatch.setenv("A_TOKEN", "own")
        assert main(["doctor", local.url, "--token-variable", "A_TOKEN"]) == 0
        said = capsys.readouterr().out
        assert [line.split()[0] for line in said.splitlines()[:10]] == (
            ["ok", "skipped", "ok", "skipped", "ok"] + ["skipped"] * 3 + ["ok", "ok"]
        )
        assert len(said.splitlines()) == len(CHECKS)
        assert "own" not in said.split()
        assert main(["doctor", local.url]) == 1
        said = capsys.readouterr().out
        assert "failed   reading" in said
        assert "-> No token was sent" in said
    assert main(["doctor", local.url]) == 1
    assert main(["doctor", "no url"]) == 1
    assert main(["doctor", "http://127.0.0.1:1", "--token-variable", "NOT_SET"]) == 1
    assert "--token-variable names is not set" in capsys.readouterr().err


def test_the_command_line_as_a_process_uses_the_url_variable(monkeypatch):
    with dfr.start_local() as local:
        monkeypatch.setenv("DICOMFRAME_URL", local.url)
        done = subprocess.run(
            [sys.executable, "-m", "dicomframe", "doctor", "--api-version", "v1"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{local.url}/v1" in done.stdout
    assert "v1 of v1, v2" in done.stdout


def test_long_words_are_wrapped():
    row = {"check": "token", "status": "failed", "found": "word " * 60, "advice": pd.NA}
    assert max(map(len, as_text(pd.DataFrame([row])).splitlines())) <= 100


def test_it_is_no_place_for_a_malformed_url():
    with pytest.raises(QueryError):
        dfr.connect("ftp://host").doctor()
