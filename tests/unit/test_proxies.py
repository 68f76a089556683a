from __future__ import annotations

import pytest

from defender_devops.proxies import InvalidProxy, Proxy, check_proxy_variables, parse_proxy, proxy_for

VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy")
ARM = "https://management.azure.com/subscriptions"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def credentials(proxy: Proxy) -> tuple[str | None, str | None]:
    return proxy.username, proxy.password.get_secret_value() if proxy.password is not None else None


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("http://proxy.contoso.com:3128", "http://proxy.contoso.com:3128"),
        ("proxy.contoso.com:3128", "http://proxy.contoso.com:3128"),
        ("proxy", "http://proxy:80"),
        ("HTTP://proxy:8080/", "http://proxy:8080"),
        ("https://proxy.contoso.com", "https://proxy.contoso.com:443"),
        ("http://10.1.2.3:3128", "http://10.1.2.3:3128"),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ("http://[::1]", "http://[::1]:80"),
        ("http://proxy_1.contoso.com.:3128/?x", "http://proxy_1.contoso.com:3128"),
    ],
)
def test_an_address_needs_neither_scheme_nor_port(value: str, url: str) -> None:
    assert parse_proxy(value, "HTTPS_PROXY").url == url


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://user:password@proxy:3128", ("user", "password")),
        ("user:password@proxy:3128", ("user", "password")),
        ("http://user@proxy:3128", ("user", "")),
        (r"http://CORP\ada:p\w@proxy:3128", (r"CORP\ada", r"p\w")),
        ("http://ada@contoso.com:p@ss@proxy:3128", ("ada@contoso.com", "p@ss")),
        ("http://user:a#b?c/d:e@proxy:3128", ("user", "a#b?c/d:e")),
        ("http://user:a%23b%40@proxy:3128", ("user", "a#b@")),
        ("http://user:100%@proxy:3128", ("user", "100%")),
        ("http://user:pässwörd€@proxy:3128", ("user", "pässwörd€")),
    ],
)
def test_credentials_may_be_percent_encoded_or_raw(value: str, expected: tuple[str, str]) -> None:
    proxy = parse_proxy(value, "HTTPS_PROXY")
    assert credentials(proxy) == expected
    assert proxy.url == "http://proxy:3128"
    assert credentials(parse_proxy(proxy.url_with_credentials(), "HTTPS_PROXY")) == expected


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("http://user:hidden@", "host"),
        ("http://", "host"),
        ("http://user:hidden", "port"),
        ("http://user:hidden@proxy:port", "port"),
        ("http://user:hidden@proxy:0", "port"),
        ("http://user:hidden@proxy:70000", "port"),
        ("http://user:hidden@[fd00::1:3128", "host"),
        ("http://user:hidden@two words:3128", "host"),
        ("http://user:hidden@proxy..example:3128", "host"),
        (f"http://user:hidden@{'a' * 64}.example:3128", "host"),
        ("socks5://user:hidden@proxy:1080", "scheme socks5"),
        ("socks5h://user:hidden@proxy:1080", "scheme socks5h"),
        ("hidden://proxy", "unknown scheme"),
    ],
)
def test_an_invalid_address_is_reported_with_its_variable_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch, value: str, part: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    for use in (lambda: proxy_for(ARM), check_proxy_variables):
        with pytest.raises(InvalidProxy, match="HTTPS_PROXY") as invalid:
            use()
        assert part in invalid.value.message
        assert "hidden" not in str(invalid.value)
        assert "http://host:port" in invalid.value.message


def test_the_scheme_of_the_request_selects_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", " one:1 \n")
    monkeypatch.setenv("http_proxy", "two:2")
    assert [(proxy.host, proxy.port) for url in (ARM, "http://a.example") if (proxy := proxy_for(url))] == [
        ("one", 1),
        ("two", 2),
    ]


def test_an_empty_variable_is_none_and_lower_case_is_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "")
    assert proxy_for(ARM) is None
    monkeypatch.setenv("https_proxy", "proxy:3128")
    assert proxy_for(ARM) is not None


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_direct"),
    [
        ("", ARM, False),
        ("*", ARM, True),
        ("management.azure.com", ARM, True),
        ("MANAGEMENT.Azure.com.", ARM, True),
        ("azure.com", ARM, True),
        (".azure.com", ARM, True),
        ("*.azure.com", ARM, True),
        (".management.azure.com", ARM, False),
        ("zure.com", ARM, False),
        ("azure.com:443", ARM, True),
        ("azure.com:8443", ARM, False),
        ("a.example, azure.com", ARM, True),
        ("a.example azure.com", ARM, True),
        ("10.0.0.0/8", "https://10.20.30.40:6443/api", True),
        ("10.0.0.0/8", "https://11.20.30.40:6443/api", False),
        ("10.20.30.40", "https://10.20.30.40:6443/api", True),
        ("10.20.30.40:443", "https://10.20.30.40:6443/api", False),
        ("10.20.30.40:6443", "https://10.20.30.40:6443/api", True),
        ("fd00::/8", "https://[fd12::1]:6443/api", True),
        ("fd00::/8", "https://[fe12::1]:6443/api", False),
        ("[::1]", "https://[::1]:6443/api", True),
        ("::1", "https://[::1]:6443/api", True),
        ("[::1]:6443", "https://[::1]:6443/api", True),
        ("[::1]:443", "https://[::1]:6443/api", False),
        ("", "https://127.0.0.1:6443/api", False),
        ("", "http://169.254.169.254/metadata", True),
        ("", "http://[fe80::1]/metadata", True),
    ],
)
def test_no_proxy_is_evaluated_as_by_go(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str, is_direct: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy:3128")
    monkeypatch.setenv("HTTP_PROXY", "proxy:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(url) is None) == is_direct


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_a_loopback_address_is_direct_where_kubectl_would_be(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy:3128")
    assert proxy_for(f"https://{host}:6443", loopback_is_direct=True) is None
    assert proxy_for(f"https://{host}:6443") is not None


def test_a_password_is_not_part_of_any_text() -> None:
    assert "hidden" not in f"{parse_proxy('http://user:hidden@proxy:3128', 'HTTPS_PROXY')!r}"
