# SPDX-License-Identifier: Apache-2.0
"""Which hosts are asked, in what order, with what; redirects; TLS; proxies."""
import contextlib
import socket
import time

import pytest

from fault_server import digest


def refuse_all(status):
    return lambda request: request.fail(status)


def test_mirror_is_told_the_registry(get, serve, hosts, image):
    server = serve(image.serve)
    get(hosts(f'server = "{server.url}"\n'), "registry.k8s.io/x:1", "all").fine()
    assert all(request.query == {"ns": ["registry.k8s.io"]} for request in server.requests)
    assert server.paths()[0] == "/v2/x/manifests/1"


def test_docker_hub_is_docker_io(get, serve, hosts, image):
    server = serve(image.serve)
    get(hosts(f'server = "{server.url}"\n', "docker.io"), "x:1").fine()
    assert server.paths()[0] == "/v2/library/x/manifests/1"
    assert server.requests[0].query == {"ns": ["docker.io"]}


def test_folder_names(get, serve, hosts, image):
    first, second, third = serve(image.serve), serve(image.serve), serve(image.serve)
    hosts(f'server = "{third.url}"\n')
    option = hosts(f'server = "{second.url}"\n', "r.io:5000")
    get(option, "r.io:5000/x:1").fine()
    hosts(f'server = "{first.url}"\n', "r.io_5000_")
    get(option, "r.io:5000/x:1").fine()
    get(option, "r.io/x:1").fine()
    assert [len(s.requests) for s in (first, second, third)] == [1, 1, 1]


def test_missing_hosts_dir(get, serve, image, tmp_path):
    server = serve(image.serve)
    get(f"hosts-dir={tmp_path}/none", f"{server.host}/x:1").fine()


def test_bad_hosts_toml_names_file_and_line(get, hosts):
    get(hosts('server = "http://a"\n[host."http://b"]\ncapabilities = 3\n'), "r.io/x:1").failed(
        "INVALID", "/_default/hosts.toml:3: capabilities")
    get(hosts('server = "ftp://a"\n'), "r.io/x:1").failed("INVALID", "hosts.toml:1:")
    get(hosts('ca = "missing.pem"\n'), "r.io/x:1").failed("NOT_FOUND", "hosts.toml:1: missing.pem")


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_mirrors_in_order(get, serve, hosts, image, status):
    bad, good, unused = serve(refuse_all(status)), serve(image.serve), serve(image.serve)
    option = hosts(f'server = "{unused.url}"\n[host."{bad.url}"]\n[host."{good.url}"]\n')
    get(option, "r.io/x:1", "all", "tries=1").fine()
    assert len(bad.requests) == 3 and len(good.requests) == 3 and not unused.requests


def test_all_hosts_fail(get, serve, hosts, free_port):
    bad, last = serve(refuse_all(404)), serve(refuse_all(500))
    option = hosts(f'server = "{last.url}"\n[host."{bad.url}"]\n'
                   f'[host."http://127.0.0.1:{free_port}"]\n')
    get(option, "r.io/x:1", "tries=1").failed(
        "UNAVAILABLE", f"registry {last.host}: server error (500) (for r.io/x:1; asked before: "
        f"{bad.url}, http://127.0.0.1:{free_port}: connection refused: is it running?)")


def test_not_found_anywhere(get, serve, hosts, free_port):
    last = serve(refuse_all(404))
    option = hosts(f'server = "{last.url}"\n[host."http://127.0.0.1:{free_port}"]\n')
    get(option, "r.io/x:1").failed(
        "NOT_FOUND", f"r.io/x:1: not found (asked http://127.0.0.1:{free_port}: connection "
        f"refused: is it running?, {last.url})")


def test_mirror_that_is_down_is_asked_last(get, serve, hosts, image):
    server = serve(image.serve)
    blackhole = "http://127.0.0.1:9"                       # nobody listens on discard
    option = hosts(f'server = "{server.url}"\n[host."{blackhole}"]\n')
    get(option, "r.io/x:1", "all").fine()
    assert len(server.requests) == 3


def test_blob_goes_on_at_the_next_mirror(get, serve, hosts, image):
    first = serve(lambda r: r.cut(image.layer, 100_000) if not r.header("Range") else r.fail(404))
    second = serve(image.serve)
    option = hosts(f'server = "{second.url}"\n[host."{first.url}"]\n')
    get(option, "r.io/x:1", image.blob).fine()
    assert second.requests[0].header("Range") == "bytes=100000-"


def test_corrupt_manifest_at_a_mirror(get, serve, hosts, image):
    first, second = serve(lambda r: r.ok(b"{}")), serve(image.serve)
    option = hosts(f'server = "{second.url}"\n[host."{first.url}"]\n')
    get(option, f"r.io/x@{digest(image.manifest)}").fine()


def test_capabilities(get, serve, hosts, image):
    pulls, resolves = serve(image.serve), serve(image.serve)
    option = hosts(f'server = "{resolves.url}"\ncapabilities = ["resolve"]\n'
                   f'[host."{pulls.url}"]\ncapabilities = ["pull", "referrers"]\n')
    get(option, "r.io/x:1", "all").fine()
    assert resolves.paths() == ["/v2/x/manifests/1"]
    assert len(pulls.requests) == 2
    get(option, f"r.io/x@{digest(image.manifest)}").fine()
    assert len(pulls.requests) == 3
    option = hosts(f'server = "{resolves.url}"\ncapabilities = ["push"]\n')
    get(option, "r.io/x:1").failed("UNAVAILABLE", 'no host in hosts.toml has the capability "res')


@pytest.mark.parametrize("address,override,expected", [
    ("", "false", "/v2/x/manifests/1"), ("/", "false", "/v2/x/manifests/1"),
    ("/v2/", "false", "/v2/x/manifests/1"), ("/mirror", "false", "/mirror/v2/x/manifests/1"),
    ("/mirror/v2", "false", "/mirror/v2/x/manifests/1"),
    ("/v2/mirror", "true", "/v2/mirror/x/manifests/1"),
    ("/api/", "true", "/api/x/manifests/1"), ("", "true", "/x/manifests/1"),
])
def test_paths(get, serve, hosts, image, address, override, expected):
    server = serve(image.serve)
    option = hosts(f'server = "http://127.0.0.1:1"\n[host."{server.url}{address}"]\n'
                   f'override_path = {override}\n')
    get(option, "r.io/x:1").fine()
    assert server.paths() == [expected]


def test_headers_of_a_host(get, serve, hosts, image):
    server, plain = serve(image.serve), serve(image.serve)
    option = hosts(f'server = "{plain.url}"\n[host."{server.url}"]\n[host."{server.url}".header]\n'
                   'X-Team = ["a", "b"]\nAuthorization = "Basic c2VjcmV0"\nX-Empty = ""\n')
    get(option, "r.io/x:1").fine()
    headers = server.requests[0].headers
    assert headers.get_all("X-Team") == ["a", "b"] and headers["Authorization"] == "Basic c2VjcmV0"
    assert headers["X-Empty"] == ""
    option = hosts('[host."http://a".header]\nX = "a\\r\\nY: b"\n')
    get(option, "r.io/x:1").failed("INVALID", "header")


# --- redirects ------------------------------------------------------------------------------------

def with_basic(request, then):
    if request.header("Authorization") != "Basic dTpw":
        return request.fail(401, [("WWW-Authenticate", 'Basic realm="x"')])
    return then(request)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_leaks_nothing(get, serve, hosts, image, status):
    store = serve(image.serve)
    server = serve(lambda r: with_basic(r, lambda r: r.fail(
        status, [("Location", store.url + "/blob/" + r.name + "?sign=%2Fa")])))
    option = hosts(f'server = "{server.url}"\n[header]\nX-Secret = "s"\n')
    get(option, "r.io/x:1", image.blob, "username=u", "password=p").fine()
    assert store.requests[0].path == f"/blob/{digest(image.layer)}?sign=%2Fa"
    for name in ("Authorization", "X-Secret"):
        assert not store.requests[0].header(name) and server.requests[-1].header(name)


def test_redirect_on_the_same_host(get, serve, image):
    def script(request):
        if request.url_path.startswith("/v2/"):
            return request.fail(307, [("Location", "/elsewhere/" + request.name)])
        image.serve(request)
    server = serve(lambda r: with_basic(r, script))
    get(f"{server.host}/x:1", image.blob, "username=u", "password=p").fine()
    assert server.requests[-1].header("Authorization")


def test_login_of_another_host_is_not_answered(get, serve, image):
    store = serve(lambda r: r.fail(401, [("WWW-Authenticate", 'Basic realm="x"')]))
    server = serve(lambda r: r.fail(307, [("Location", store.url + "/b")]))
    get(f"{server.host}/x:1", "username=u", "password=p", "tries=1").failed(
        "UNAVAILABLE", f"by {store.url}, to which it points")
    assert len(store.requests) == 1


def test_signed_address_that_ran_out_is_asked_for_again(get, serve, image):
    store = serve(lambda r: r.fail(403) if "old" in r.path else image.serve(r))

    def script(request):
        sign = "old" if len(server.requests) < 2 else "new"
        request.fail(307, [("Location", f"{store.url}/b/{request.name}?{sign}")])
    server = serve(script)
    get(f"{server.host}/x:1", image.blob).fine()
    assert len(server.requests) == 2


@pytest.mark.parametrize("location,kind,words", [
    (None, "UNAVAILABLE", "redirect to nowhere"), ("file:///etc/passwd", "INVALID", "redirect"),
    ("ftp://127.0.0.1/x", "INVALID", "redirect"),
    ("http://u:p@127.0.0.1/x", "INVALID", "user name"),
    ("http://169.254.169.254/latest", "DENIED", "link-local"),
    ("http://[fe80::1]/x", "DENIED", "link-local"),
    ("http://[::ffff:169.254.169.254]/x", "DENIED", "link-local"),
    ("http://127.0.0.1:9/x", "UNAVAILABLE", "it points to http://127.0.0.1:9: connection refused"),
    ("http://" + "a" * 20000, "TOO_LARGE", "redirect"),
    ("http://127.0.0.1:99999/", "INVALID", "redirect"),
], ids=range(10))
def test_bad_redirects(get, serve, location, kind, words):
    server = serve(lambda r: r.fail(307, [("Location", location)] if location else None))
    get(f"{server.host}/x:1").failed(kind, words)
    assert len(server.requests) == 1


def test_redirect_in_a_circle(get, serve):
    server = serve(lambda r: r.fail(307, [("Location", "/again")]))
    get(f"{server.host}/x:1").failed("UNAVAILABLE", "more than 10 redirects")
    assert len(server.requests) == 11


# --- TLS ------------------------------------------------------------------------------------------

def test_tls_with_an_authority(get, serve, hosts, image, authority):
    server = serve(image.serve, authority.context())
    option = hosts(f'server = "{server.url}"\nca = "{authority.ca}"\n')
    get(option, "r.io/x:1", "all").fine()
    assert server.connections == 1
    option = hosts(f'server = "{server.url}"\nca = ["{authority.ca}"]\n')
    get(option, "r.io/x:1").fine()


def test_tls_without_the_authority(get, serve, hosts, image, authority):
    server = serve(image.serve, authority.context())
    get(hosts(f'server = "{server.url}"\n'), "r.io/x:1").failed(
        "UNAVAILABLE", "TLS: ", "hosts.toml (ca)")
    assert not server.requests
    get(hosts(f'server = "{server.url}"\nskip_verify = true\n'), "r.io/x:1").fine()


def test_skip_verify_is_the_one_hosts(get, serve, hosts, image, authority):
    first = serve(refuse_all(404), authority.context())
    second = serve(image.serve, authority.context())
    option = hosts(f'server = "{second.url}"\n[host."{first.url}"]\nskip_verify = true\n')
    get(option, "r.io/x:1").failed("UNAVAILABLE", "TLS: ")
    assert len(first.requests) == 1 and not second.requests


def test_tls_name_must_match(get, serve, hosts, image, authority):
    server = serve(image.serve, authority.context())
    option = hosts(f'server = "https://other.localhost:{server.port}"\nca = "{authority.ca}"\n')
    get(option, "r.io/x:1").failed("UNAVAILABLE", "TLS: ")


@pytest.mark.parametrize("form", ['[["client.pem", "client-key.pem"]]', '["both.pem"]',
                                  '"both.pem"'])
def test_client_certificate(get, serve, hosts, image, authority, tmp_path, form):
    server = serve(image.serve, authority.context(ask_client=True))
    start = f'server = "{server.url}"\nca = "{authority.ca}"\n'
    get(hosts(start), "r.io/x:1", "tries=1").failed("UNAUTHENTICATED", "client certificate")
    option = hosts(start + f"client = {form}\n")
    folder = tmp_path / "hosts" / "_default"
    texts = [open(f"{authority.folder}/{name}.pem").read() for name in ("client", "client-key")]
    for name, text in zip(("client.pem", "client-key.pem", "both.pem"), texts + ["".join(texts)]):
        (folder / name).write_text(text)
    get(option, "r.io/x:1").fine()


def test_docker_layout_of_certificates(get, serve, image, authority, tmp_path):
    server = serve(image.serve, authority.context(ask_client=True))
    folder = tmp_path / f"localhost:{server.port}"
    folder.mkdir()
    (folder / "a.crt").write_text(open(authority.ca).read())
    for name, source in (("c.cert", "client.pem"), ("c.key", "client-key.pem")):
        (folder / name).write_text(open(f"{authority.folder}/{source}").read())
    # without a hosts.toml, loopback is plain HTTP: the client certificate alone does not change it
    get(f"hosts-dir={tmp_path}", f"localhost:{server.port}/x:1", "tries=1").failed("UNAVAILABLE")
    (folder / "hosts.toml").write_text(f'server = "https://localhost:{server.port}"\nca = "a.crt"\n'
                                       'client = [["c.cert", "c.key"]]\n')
    get(f"hosts-dir={tmp_path}", f"localhost:{server.port}/x:1").fine()


def test_tls_to_a_plain_port(get, serve, hosts, image):
    server = serve(image.serve)
    get(hosts(f'server = "https://{server.host}"\n'), "r.io/x:1").failed(
        "UNAVAILABLE", "does not speak TLS")


def test_authority_counts_for_redirects(get, serve, hosts, image, authority):
    store = serve(image.serve, authority.context())
    server = serve(lambda r: r.fail(307, [("Location", store.url + "/b/" + r.name)]),
                   authority.context())
    get(hosts(f'server = "{server.url}"\nca = "{authority.ca}"\n'), "r.io/x:1", image.blob).fine()


# --- proxies --------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_proxy_of_the_environment(get, serve, hosts, image, name):
    proxy = serve(image.serve)
    get(hosts('server = "http://registry.test"\n'), "r.io/x:1", env={name: proxy.url}).fine()
    assert proxy.requests[0].path.startswith("http://registry.test/v2/x/manifests/1")


def test_no_proxy(get, serve, hosts, image):
    proxy, server = serve(image.serve), serve(image.serve)
    get(hosts(f'server = "{server.url}"\n'), "r.io/x:1", env={"http_proxy": proxy.url}).fine()
    assert not proxy.requests                              # loopback never goes through one
    get(hosts('server = "http://registry.invalid"\n'), "r.io/x:1",
        env={"http_proxy": proxy.url, "NO_PROXY": ".invalid"}).failed("UNAVAILABLE", "resolved")
    assert not proxy.requests


def test_proxy_that_is_down(get, hosts, free_port):
    get(hosts('server = "http://registry.test"\n'), "r.io/x:1",
        env={"http_proxy": f"http://127.0.0.1:{free_port}"}).failed(
            "UNAVAILABLE", "registry registry.test: no connection to its proxy")


def test_proxy_that_refuses(get, serve, hosts):
    proxy = serve(lambda r: r.fail(407))
    get(hosts('server = "http://registry.test"\n'), "r.io/x:1",
        env={"http_proxy": proxy.url}).failed("UNAVAILABLE", "the proxy asks for a login (407)")


# --- time -----------------------------------------------------------------------------------------

def test_connection_that_is_not_taken(get, hosts):
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):                                 # more than the queue holds
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        url = "http://127.0.0.1:%d" % listener.getsockname()[1]
        start = time.monotonic()
        get(hosts(f'server = "{url}"\ndial_timeout = "400ms"\n'), "r.io/x:1").failed("UNAVAILABLE")
        get(hosts(f'server = "{url}"\n'), "r.io/x:1", "connect-ms=400").failed("UNAVAILABLE")
        get(hosts(f'server = "{url}"\n'), "r.io/x:1", "deadline-ms=400").failed("TIMEOUT")
        assert time.monotonic() - start < 5
