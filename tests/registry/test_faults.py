# SPDX-License-Identifier: Apache-2.0
"""Answers that are wrong, late, cut off or malicious."""
import threading
import time

import pytest

from fault_server import MANIFEST, Image, digest


def test_whole_image_over_one_connection(get, serve, image):
    server = serve(image.serve)
    result = get(f"{server.host}/x:1", "all").fine()
    assert result.lines[0] == f"manifest {digest(image.manifest)} {MANIFEST} {len(image.manifest)}"
    assert len(result.lines) == 3
    assert server.connections == 1
    assert server.requests[0].query == {}                  # ns= is for mirrors
    accept = ", ".join(server.requests[0].headers.get_all("Accept"))
    assert "vnd.oci.image.index.v1+json" in accept and "manifest.list.v2+json" in accept
    assert server.requests[0].header("User-Agent").startswith("tare/")
    assert not server.requests[1].header("Range")


def test_threads_share_a_registry(get, serve, image):
    server = serve(image.serve)
    result = get(f"{server.host}/x:1", "all", "threads=4").fine()
    assert len(result.lines) == 1 + 4 * 2
    assert server.connections <= 5


def test_refused(get, free_port):
    get(f"127.0.0.1:{free_port}/x:1").failed(
        "UNAVAILABLE", f"registry 127.0.0.1:{free_port}: connection refused: is it running? "
        f"(for 127.0.0.1:{free_port}/x:1)")


def test_name_that_does_not_resolve(get):
    get("registry.invalid/x:1").failed("UNAVAILABLE", "registry registry.invalid: ", "DNS")


@pytest.mark.parametrize("status,kind,tries,words", [
    (400, "INVALID", 1, "bad request"), (401, "UNAUTHENTICATED", 1, "no credentials were given"),
    (403, "DENIED", 1, "access denied"), (404, "NOT_FOUND", 1, "x:1: not found (asked http://"),
    (408, "UNAVAILABLE", 5, "timed out"), (410, "NOT_FOUND", 1, "not found"),
    (418, "UNAVAILABLE", 1, "unexpected answer (418)"),
    (429, "UNAVAILABLE", 5, "too many requests"),
    (500, "UNAVAILABLE", 5, "server error (500)"), (501, "UNAVAILABLE", 1, "501"),
    (503, "UNAVAILABLE", 5, "(5 tries)"), (204, "UNAVAILABLE", 1, "unexpected answer (204)"),
    (300, "UNAVAILABLE", 1, "unexpected answer (300)"),
])
def test_status(get, serve, status, kind, tries, words):
    server = serve(lambda request: request.fail(status))
    get(f"{server.host}/x:1").failed(kind, words)
    assert len(server.requests) == tries


def test_status_says_what_the_registry_said(get, serve):
    said = {"errors": [{"code": "DENIED", "message": "no\npull\x1b for you"}]}
    server = serve(lambda r: r.json(said, 403))
    error = get(f"{server.host}/x:1").failed("DENIED", "DENIED, no", "for you").error
    assert "\x1b" not in error


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"errors":{}}', b'{"errors":[]}',
                                  b'{"errors":[1]}',
                                  b'{"errors":[{"code":7}]}', b"\xff\xfe", b"x" * 200_000],
                         ids=range(8))
def test_error_body_of_garbage(get, serve, body):
    server = serve(lambda r: r.fail(404, body=body))
    get(f"{server.host}/x:1").failed("NOT_FOUND")


def failing_first(n, fault, then):
    count = iter(range(10**6))
    return lambda request: fault(request) if next(count) < n else then(request)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_trouble_that_passes(get, serve, image, status):
    server = serve(failing_first(3, lambda r: r.fail(status), image.serve))
    get(f"{server.host}/x:1").fine()
    assert len(server.requests) == 4


def test_retry_after_is_kept(get, serve, image):
    server = serve(failing_first(1, lambda r: r.fail(429, [("Retry-After", "1")]), image.serve))
    start = time.monotonic()
    get(f"{server.host}/x:1").fine()
    assert time.monotonic() - start >= 1


def test_retry_after_is_capped_and_told(get, serve):
    server = serve(lambda r: r.fail(429, [("Retry-After", "7200")]))
    start = time.monotonic()
    get(f"{server.host}/x:1", "tries=2").failed("UNAVAILABLE", "try again in 7200 s")
    assert 1.4 < time.monotonic() - start < 10


def test_deadline_cuts_the_wait_short(get, serve):
    server = serve(lambda r: r.fail(503, [("Retry-After", "8")]))
    start = time.monotonic()
    get(f"{server.host}/x:1", "deadline-ms=500").failed("UNAVAILABLE", "503")
    assert time.monotonic() - start < 6
    assert len(server.requests) == 1


def test_truncated_manifest_is_asked_for_again(get, serve, image):
    server = serve(failing_first(2, lambda r: r.cut(image.manifest, 100), image.serve))
    get(f"{server.host}/x:1").fine()
    assert len(server.requests) == 3 and not server.requests[2].header("Range")


def test_hang_up_without_a_word(get, serve, image):
    server = serve(failing_first(2, lambda r: r.hang_up(), image.serve))
    get(f"{server.host}/x:1").fine()
    server = serve(lambda r: r.hang_up())
    get(f"{server.host}/x:1").failed("UNAVAILABLE", "connection lost", "(5 tries)")


def cutting(image, pieces):
    """Sends the rest of the layer, but a piece at most."""
    def script(request):
        start = request.range_start()
        rest = image.layer[start:]
        if len(rest) <= pieces:
            return request.part(image.layer)
        where = [("Content-Range", f"bytes {start}-{len(image.layer) - 1}/{len(image.layer)}")]
        request.cut(rest, pieces, 206 if start else 200, where if start else None)
    return script


def test_blob_is_resumed(get, serve, image):
    server = serve(cutting(image, 25_000))                 # more breaks than tries in a row
    result = get(f"{server.host}/x:1", image.blob).fine()
    assert result.lines == [f"blob {digest(image.layer)} {len(image.layer)}"]
    assert len(server.requests) == 12
    starts = [request.range_start() for request in server.requests]
    assert starts == [25_000 * i for i in range(12)]


def test_tries_in_total_are_bounded(get, serve, image):
    server = serve(cutting(image, 1_000))
    get(f"{server.host}/x:1", image.blob, "tries-in-total=7").failed("UNAVAILABLE", "(7 tries)")
    assert len(server.requests) == 7


def test_breaks_without_progress_are_bounded(get, serve, image):
    server = serve(lambda r: r.cut(image.layer, 0 if r.header("Range") else 1000))
    get(f"{server.host}/x:1", image.blob).failed("UNAVAILABLE", "connection lost", "blob sha256:")
    assert len(server.requests) == 5


def test_resume_where_ranges_are_unknown(get, serve, image):
    server = serve(failing_first(1, lambda r: r.cut(image.layer, 150_000),
                                 lambda r: r.ok(image.layer)))
    result = get(f"{server.host}/x:1", image.blob).fine()
    assert result.lines[0].endswith(f" {len(image.layer)}")


def test_resume_with_an_earlier_part(get, serve, image):
    where = [("Content-Range", f"bytes 100-{len(image.layer) - 1}/{len(image.layer)}")]
    server = serve(failing_first(1, lambda r: r.cut(image.layer, 150_000),
                                 lambda r: r.ok(image.layer[100:], status=206, headers=where)))
    get(f"{server.host}/x:1", image.blob).fine()


@pytest.mark.parametrize("where", [[], [("Content-Range", "bytes 299000-299999/300000")],
                                   [("Content-Range", "nonsense")],
                                   [("Content-Range", "bytes */3")]])
def test_resume_with_another_part(get, serve, image, where):
    server = serve(failing_first(1, lambda r: r.cut(image.layer, 150_000),
                                 lambda r: r.ok(image.layer[-1000:], status=206, headers=where)))
    get(f"{server.host}/x:1", image.blob).failed("UNAVAILABLE", "another part")


def test_short_blob(get, serve, image):
    server = serve(lambda r: r.part(image.layer[:-5]))
    get(f"{server.host}/x:1", image.blob).failed("CORRUPT", "shorter")


@pytest.mark.parametrize("more", [1, 1_000_000])
def test_long_blob(get, serve, image, more):
    server = serve(lambda r: r.ok(image.layer + bytes(more)))
    get(f"{server.host}/x:1", image.blob).failed("CORRUPT", "more than the 300000 bytes")


def endless(request):
    request.begin(200, None, [("Transfer-Encoding", "chunked")])
    while True:
        request.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")


def test_endless_bodies(get, serve, image):
    server = serve(endless)
    get(f"{server.host}/x:1", image.blob).failed("CORRUPT", "more than")
    get(f"{server.host}/x:1").failed("TOO_LARGE", "manifest has more than 4194304 bytes")


def test_wrong_blob(get, serve, image):
    other = image.layer[:-1] + b"?"
    server = serve(lambda r: r.ok(other))
    get(f"{server.host}/x:1", image.blob).failed("CORRUPT", digest(image.layer), digest(other))
    assert len(server.requests) == 1


def test_wrong_manifest(get, serve, image):
    other = image.manifest + b" "
    server = serve(lambda r: r.ok(other))
    get(f"{server.host}/x@{digest(image.manifest)}").failed(
        "CORRUPT", digest(image.manifest), digest(other))
    said = [("Docker-Content-Digest", digest(image.manifest))]
    server = serve(lambda r: r.ok(other, headers=said))
    get(f"{server.host}/x:1").failed("CORRUPT", digest(image.manifest))


@pytest.mark.parametrize("size", [4 << 20, (4 << 20) + 1])
def test_manifest_at_the_limit(get, serve, size):
    server = serve(lambda r: r.ok(b" " * size))
    result = get(f"{server.host}/x:1")
    result.fine() if size == 4 << 20 else result.failed("TOO_LARGE")


def test_stalled_blob_is_resumed(get, serve, image):
    wake = threading.Event()

    def stall(request):
        request.begin(200, len(image.layer))
        request.wfile.write(image.layer[:1000])
        wake.wait(20)
        request.hang_up()
    server = serve(failing_first(1, stall, image.serve))
    get(f"{server.host}/x:1", image.blob, "stall-ms=400").fine()
    assert server.requests[1].header("Range") == "bytes=1000-"
    server = serve(stall)
    get(f"{server.host}/x:1", image.blob, "stall-ms=200", "tries=2").failed(
        "UNAVAILABLE", "nothing came for 0.2 s")
    wake.set()


def test_silence_before_the_headers(get, serve):
    wake = threading.Event()
    server = serve(lambda r: wake.wait(20))
    get(f"{server.host}/x:1", "stall-ms=200", "tries=1").failed("UNAVAILABLE", "nothing came")
    wake.set()


def test_drip_ends_at_the_deadline(get, serve, image):
    def drip(request):
        request.begin(200, len(image.layer))
        for i in range(200):
            request.wfile.write(image.layer[i:i + 1])
            time.sleep(0.05)
    server = serve(drip)
    start = time.monotonic()
    get(f"{server.host}/x:1", image.blob, "deadline-ms=700").failed("TIMEOUT", "is over")
    assert time.monotonic() - start < 4


def test_sink_that_fails_ends_it_all(get, serve, image, hosts):
    server, other = serve(image.serve), serve(image.serve)
    option = hosts(f'server = "{other.url}"\n[host."{server.url}"]\n')
    get(option, "r.io/x:1", image.blob, "stop-after=1000").failed("NO_SPACE", "the sink is full")
    assert len(server.requests) == 1 and not other.requests


def raw(data):
    def script(request):
        request.wfile.write(data)
        request.hang_up()
    return script


@pytest.mark.parametrize("data,kind", [
    (b"SSH-2.0-OpenSSH\r\n", "UNAVAILABLE"),
    (b"\x15\x03\x01\x00\x02\x02\x16", "UNAVAILABLE"),
    (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20000 + b"\r\n", "TOO_LARGE"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 90000 + b"\r\n\r\n", None),
    (b"HTTP/1.1 banana\r\n\r\n", "UNAVAILABLE"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", None),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n{}", "CORRUPT"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", None),
    (b"HTTP/9.9 200 OK\r\n\r\n", None),
    (b"HTTP/1.1 100 Continue\r\n\r\n" * 100, None),
    (b"", "UNAVAILABLE"),
], ids=["ssh", "tls-alert", "many-headers", "long-header", "no-status", "negative", "overflow",
        "bad-chunk", "version", "continue", "nothing"])
def test_garbage_instead_of_http(get, serve, image, data, kind):
    server = serve(raw(data))
    error = get(f"{server.host}/x@{digest(image.manifest)}", "tries=2").error
    assert error and (kind is None or error.startswith(f"error {kind}: ")), error


def test_references_are_checked(get, serve, image):
    server = serve(image.serve)
    get(f"{server.host}/x:1", "blob=sha256:../../../etc:10").failed("INVALID", "no digest")
    assert not server.requests


def test_empty_blob_is_not_asked_for(get, serve):
    server = serve(lambda r: r.fail(500))
    get(f"{server.host}/x:1", f"blob={digest(b'')}:0").fine()
    get(f"{server.host}/x:1", f"blob={digest(b'x')}:0").failed("CORRUPT")
    assert not server.requests


def test_large_blob(get, serve):
    large = Image(40_000_000)
    server = serve(large.serve)
    get(f"{server.host}/x:1", "all").fine()
