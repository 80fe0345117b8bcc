"""Where requests may go, and how queries are written."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomframe.client.urls import ServiceAddress, encode_query
from dicomframe.errors import QueryError, UnexpectedAnswerError


@pytest.mark.parametrize(
    ("url", "options", "base"),
    [
        ("https://ws.dicom.azurehealthcareapis.com", {}, "https://ws.dicom.azurehealthcareapis.com/v2"),
        ("https://host/", {"api_version": "v1"}, "https://host/v1"),
        ("https://host", {"partition": "a-b_c.1"}, "https://host/v2/partitions/a-b_c.1"),
        ("http://127.0.0.1:8042/dicom-web/", {}, "http://127.0.0.1:8042/dicom-web"),
        ("https://host/v1", {"partition": "p"}, "https://host/v1/partitions/p"),
        ("https://host/v2/partitions/q", {"partition": "p"}, "https://host/v2/partitions/q"),
        ("HTTPS://Host:443/", {}, "https://host/v2"),
        ("http://[::1]:9000", {}, "http://[::1]:9000/v2"),
        (" https://host ", {}, "https://host/v2"),
    ],
)
def test_base_url(url, options, base):
    assert ServiceAddress.parse(url, **options).base == base


@pytest.mark.parametrize(
    "url",
    ["", "host", "ftp://host", "https://", "https://u:p@host", "https://host?x=1", "https://host#f", "https://h:0",
     "https://h:99999", "https://[::1", "file:///etc/passwd"],
)  # fmt: skip
def test_urls_that_are_refused_are_not_quoted(url):
    with pytest.raises(QueryError) as caught:
        ServiceAddress.parse(url)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (8080, "is text like https://<workspace>.*, not int"),
        ("https://<workspace>-<service>.dicom.azurehealthcareapis.com", "Service URL"),
        ("http://ws-d.dicom.azurehealthcareapis.com", "https only"),
        ("https://host/v2/studies", "ends before '/studies'"),
        ("https://host/v2/studies/1.2.3/metadata/", "ends before '/studies'"),
        ("https://host/dicom-web/changefeed/latest", "ends before '/changefeed'"),
    ],
)
def test_what_is_copied_wrongly_says_what_to_do(url, says):
    with pytest.raises(QueryError, match=says) as caught:
        ServiceAddress.parse(url)
    assert "1.2.3" not in str(caught.value)


def test_a_partition_may_be_called_as_a_resource_is():
    assert (
        ServiceAddress.parse("https://host/v2/partitions/studies").base
        == "https://host/v2/partitions/studies"
    )


@pytest.mark.parametrize("options", [{"api_version": "v3"}, {"partition": "a/b"}, {"partition": ""}])
def test_version_and_partition_are_checked(options):
    with pytest.raises(QueryError):
        ServiceAddress.parse("https://host", **options)


@pytest.mark.parametrize(
    ("url", "loopback", "azure", "secret"),
    [
        ("http://localhost:1", True, False, True),
        ("http://127.8.9.1", True, False, True),
        ("http://[::1]", True, False, True),
        ("http://10.0.0.1", False, False, False),
        ("https://ws.dicom.azurehealthcareapis.com", False, True, True),
        ("https://azurehealthcareapis.com.evil.example", False, False, True),
        ("http://localhost.evil.example", False, False, False),
        ("http://a.localhost", False, False, False),
    ],
)
def test_who_may_see_a_token(url, loopback, azure, secret):
    address = ServiceAddress.parse(url)
    assert (address.is_loopback, address.is_azure, address.keeps_secrets) == (loopback, azure, secret)


@pytest.mark.parametrize(
    ("link", "route"),
    [
        ("https://host/v2/studies/1.2", "studies/1.2"),
        ("/v2/operations/abc", "operations/abc"),
        ("http://inside:8080/v2/studies/1.2/metadata", "studies/1.2/metadata"),
        ("http://inside/dicom/studies/1.2?x=1", "studies/1.2?x=1"),
        ("https://host/v1/operations/7", "operations/7"),
        ("operations/7", "operations/7"),
    ],
)
def test_links_are_followed_at_our_own_address(link, route):
    assert ServiceAddress.parse("https://host").local_route(link) == route


@pytest.mark.parametrize(
    "link", ["https://evil.example/", "https://host/v2/../admin/studies/1", "/v2/%2e%2e/x/studies", "", "http://[",
             "https://host/v2/studies/1 2", "javascript:studies"],
)  # fmt: skip
def test_links_elsewhere_are_refused(link):
    with pytest.raises(UnexpectedAnswerError):
        ServiceAddress.parse("https://host").local_route(link)


@given(st.text(min_size=1), st.text())
def test_any_text_survives_the_query(name, value):
    encoded = encode_query([(name, value)])
    assert all(character in "^*,?~=%-._" or character.isalnum() for character in encoded)
    assert encoded.isascii()
    left, right = encoded.split("=", 1)
    assert (unquote(left), unquote(right)) == (name, value)


def test_what_orthanc_does_not_decode_is_literal():
    assert encode_query([("PatientName", "Smith^J?hn*,x y")]) == "PatientName=Smith^J?hn*,x%20y"
