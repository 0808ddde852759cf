# SPDX-License-Identifier: Apache-2.0
"""Basic and Bearer logins, good and bad."""
import base64
import json
import urllib.parse

import pytest

SCOPE = "repository:x:pull"


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Tokens:
    """A registry that wants tokens (script) and a server that gives them (give). Tokens name their
    scopes."""

    def __init__(self, serve, image, context=None):
        self.image, self.valid, self.challenge_scope = image, set(), SCOPE
        self.server = serve(self.script, context)
        self.tokens = serve(self.give)
        self.realm = self.tokens.url + "/token"
        self.credentials = None
        self.count = 0
        self.challenge = None
        self.parameters = ""

    def script(self, request):
        given = request.header("Authorization") or ""
        if given.startswith("Bearer ") and given[7:] in self.valid:
            return self.image.serve(request)
        challenge = self.challenge or (f'Bearer realm="{self.realm}",service="the service",'
                                       f'scope="{self.challenge_scope}"{self.parameters}')
        request.json({"errors": [{"code": "UNAUTHORIZED"}]}, 401, [("WWW-Authenticate", challenge)])

    def token(self, scopes):
        self.count += 1
        token = f"{self.count}-" + base64.urlsafe_b64encode(" ".join(scopes).encode()).decode()
        self.valid.add(token)
        return token

    def give(self, request):
        if request.header("Authorization") != self.credentials:
            return request.json({"details": "no"}, 401)
        request.json({"token": self.token(request.query["scope"])})


@pytest.fixture
def tokens(serve, image):
    return Tokens(serve, image)


def test_basic(get, serve, image):
    def script(request):
        if request.header("Authorization") != basic("me", "pä:ss"):
            return request.fail(401, [("WWW-Authenticate", 'Basic realm="a registry"')])
        image.serve(request)
    server = serve(script)
    where = f"{server.host}/x:1"
    get(where, "all", "username=me", "password=pä:ss").fine()
    assert len(server.requests) == 4 and server.connections == 1   # one challenge
    assert not server.requests[0].header("Authorization")
    get(where, "auth=" + basic("me", "pä:ss")[6:]).fine()
    get(where, "username=me", "password=wrong").failed(
        "UNAUTHENTICATED", "credentials that were given are refused", server.host)
    get(where).failed("UNAUTHENTICATED", "no credentials were given")
    get(where, "auth=nonsense").failed("INVALID", "base64")
    get(where, "auth=" + base64.b64encode(b"nocolon").decode()).failed("INVALID", "user:password")


def test_anonymous_token(get, tokens):
    get(f"{tokens.server.host}/x:1", "all").fine()
    assert len(tokens.tokens.requests) == 1
    assert tokens.tokens.requests[0].query == {"service": ["the service"], "scope": [SCOPE]}
    assert not tokens.tokens.requests[0].header("Authorization")


def test_token_with_password(get, tokens):
    tokens.credentials = basic("me", "pass")
    where = f"{tokens.server.host}/x:1"
    get(where, "username=me", "password=pass").fine()
    assert tokens.tokens.requests[0].query["account"] == ["me"]
    assert not any((request.header("Authorization") or "").startswith("Basic")
                   for request in tokens.server.requests)
    get(where, "username=me", "password=no").failed(
        "UNAUTHENTICATED", f"token server {tokens.tokens.url}: gives no token (401)", "are refused")
    get(where).failed("UNAUTHENTICATED", "no credentials were given")


def test_password_by_post_where_get_is_unknown(get, tokens):
    def give(request):
        if request.command == "GET":
            return request.fail(405)
        assert request.form["grant_type"] == ["password"] and request.form["username"] == ["a&b"]
        assert request.form["password"] == ["p=?"] and request.form["scope"] == [SCOPE]
        assert request.form["service"] == ["the service"] and request.form["client_id"]
        request.json({"access_token": tokens.token([SCOPE])})
    tokens.tokens.script = give
    get(f"{tokens.server.host}/x:1", "username=a&b", "password=p=?").fine()


@pytest.mark.parametrize("given", [["identity-token=refresh me"],
                                   ["username=<token>", "password=refresh me"]])
def test_identity_token(get, tokens, given):
    def give(request):
        assert request.command == "POST" and not request.header("Authorization")
        assert request.form["grant_type"] == ["refresh_token"]
        assert request.form["refresh_token"] == ["refresh me"] and request.form["scope"] == [SCOPE]
        request.json({"access_token": tokens.token([SCOPE]), "expires_in": 60})
    tokens.tokens.script = give
    get(f"{tokens.server.host}/x:1", "all", *given).fine()
    assert len(tokens.tokens.requests) == 1


def test_registry_token(get, tokens):
    tokens.valid.add("mine")
    get(f"{tokens.server.host}/x:1", "all", "registry-token=mine").fine()
    get(f"{tokens.server.host}/x:1", "registry-token=other").failed(
        "UNAUTHENTICATED", "are refused")
    assert not tokens.tokens.requests
    get(f"{tokens.server.host}/x:1", "registry-token=a\r\nX: y").failed("INVALID", "control")


def test_token_that_ends_midway(get, tokens):
    def script(request):
        if len(tokens.server.requests) == 3:
            tokens.valid.clear()
        tokens.script(request)
    tokens.server.script = script
    get(f"{tokens.server.host}/x:1", "all").fine()
    assert len(tokens.tokens.requests) == 2


def test_scope_that_does_not_suffice(get, tokens, image):
    def script(request):
        given = request.header("Authorization") or ""
        if given.startswith("Bearer "):
            scopes = base64.urlsafe_b64decode(given[7:].split("-", 1)[1]).decode().split()
            if "repository:y:pull" in scopes:
                return image.serve(request)
            tokens.challenge_scope = "repository:y:pull"
            tokens.parameters = ',error="insufficient_scope"'
        tokens.valid.clear()
        tokens.script(request)
    tokens.server.script = script
    get(f"{tokens.server.host}/x:1").fine()
    assert tokens.tokens.requests[1].query["scope"] == [SCOPE, "repository:y:pull"]


def test_token_that_is_never_enough(get, tokens):
    tokens.token = lambda scopes: "useless"
    get(f"{tokens.server.host}/x:1").failed("UNAUTHENTICATED", "no such repository")
    assert len(tokens.tokens.requests) == 1 and len(tokens.server.requests) == 2


def test_scope_that_grows_for_ever(get, tokens):
    def script(request):
        tokens.challenge_scope = f"repository:y{len(tokens.server.requests)}:pull"
        tokens.valid.clear()
        tokens.script(request)
    tokens.server.script = script
    get(f"{tokens.server.host}/x:1").failed("UNAUTHENTICATED")
    assert len(tokens.tokens.requests) == 2


def test_server_address(get, tokens):
    tokens.credentials = basic("me", "pass")
    given = [f"{tokens.server.host}/x:1", "username=me", "password=pass"]
    get(*given, f"server-address={tokens.server.url}/v1/").fine()
    get(*given, f"server-address={tokens.server.host}").fine()
    get(*given, "server-address=https://other.example.com").failed(
        "UNAUTHENTICATED", "are for another server")
    assert not tokens.tokens.requests[-1].header("Authorization")


def test_server_address_keeps_mirrors_out(get, tokens, hosts):
    tokens.credentials = basic("me", "pass")
    given = [hosts(f'server = "{tokens.server.url}"\n'), "r.io/x:1", "username=me", "password=pass"]
    get(*given).fine()
    get(*given, "server-address=r.io").failed("UNAUTHENTICATED", "another server")


@pytest.mark.parametrize("answer", [
    "", "{", "[]", "null", "{}", '{"token":""}', '{"token":7}', '{"token":null}', '"token"',
    '{"token":"a\\r\\nX: y"}', '{"token":"' + "a" * 40_000 + '"}',
    '{"access_token":[]}', "x" * 300_000,
], ids=range(13))
def test_token_answers_of_garbage(get, tokens, answer):
    tokens.tokens.script = lambda r: r.ok(answer.encode(), "application/json")
    error = get(f"{tokens.server.host}/x:1").error
    assert error.startswith(("error UNAVAILABLE: ", "error TOO_LARGE: ")), error
    assert f"token server {tokens.tokens.url}" in error
    assert len(tokens.tokens.requests) == 1


def test_token_server_in_trouble(get, tokens):
    count = iter(range(100))
    tokens.tokens.script = lambda r: r.fail(503) if next(count) < 2 else tokens.give(r)
    get(f"{tokens.server.host}/x:1").fine()
    assert len(tokens.tokens.requests) == 3
    tokens.tokens.script = lambda r: r.fail(503)
    get(f"{tokens.server.host}/x:1").failed("UNAVAILABLE", "gives no token (503)")


def test_token_server_that_is_not_there(get, tokens, free_port):
    tokens.realm = f"http://127.0.0.1:{free_port}/"
    get(f"{tokens.server.host}/x:1").failed(
        "UNAVAILABLE", f"token server http://127.0.0.1:{free_port}: connection refused")


def test_token_server_with_a_query_and_a_redirect(get, tokens):
    def give(request):
        if request.url_path == "/token":
            query = urllib.parse.urlsplit(request.path).query
            return request.fail(307, [("Location", "/other?" + query)])
        tokens.give(request)
    tokens.tokens.script, tokens.realm = give, tokens.realm + "?a=b"
    get(f"{tokens.server.host}/x:1").fine()
    query = {"a": ["b"], "service": ["the service"], "scope": [SCOPE]}
    assert tokens.tokens.requests[1].query == query


@pytest.mark.parametrize("challenge,kind", [
    ("Bearer", "UNAVAILABLE"), ('Bearer realm=""', "UNAVAILABLE"),
    ('Bearer realm="ftp://a/"', "INVALID"),
    ('Bearer realm="file:///etc/passwd"', "INVALID"), ('Bearer realm="http://u:p@a/"', "INVALID"),
    ('Bearer realm="http://169.254.169.254/t"', "DENIED"), ('Bearer realm="x y"', "INVALID"),
    ('Bearer realm="http://127.0.0.1:9/', "UNAVAILABLE"), ("", "UNAUTHENTICATED"),
    (",,,=,\"", "UNAUTHENTICATED"), ("Negotiate", "UNAUTHENTICATED"),
    ("Digest realm=x", "UNAUTHENTICATED"),
    ("\x80\xff\x01", "UNAUTHENTICATED"), ("Bearer " + "a=b," * 5000, "UNAVAILABLE"),
], ids=range(14))
def test_challenges_of_garbage(get, tokens, challenge, kind):
    tokens.challenge = challenge
    get(f"{tokens.server.host}/x:1", "username=me", "password=pass").failed(kind)
    assert len(tokens.server.requests) == 1


def test_one_of_several_challenges(get, tokens):
    tokens.challenge = ('Negotiate abc==, Basic realm="a, b", '
                        f'bearer Realm={tokens.realm}, SCOPE="{SCOPE}"')
    get(f"{tokens.server.host}/x:1").fine()


def test_no_password_for_a_token_server_in_plain_http(get, serve, image, hosts, authority):
    tokens = Tokens(serve, image, authority.context())
    option = hosts(f'server = "{tokens.server.url}"\nca = "{authority.ca}"\n')
    get(option, "r.io/x:1", "username=me", "password=pass").failed("DENIED", "does not speak TLS")
    assert not tokens.tokens.requests
    get(option, "r.io/x:1").fine()                         # nothing to lose


def test_mirror_wants_a_login_and_the_next_does_not(get, tokens, serve, image, hosts):
    tokens.tokens.script = lambda r: r.fail(401)
    server = serve(image.serve)
    get(hosts(f'server = "{server.url}"\n[host."{tokens.server.url}"]\n'), "r.io/x:1").fine()


def test_threads_log_in_once_each_at_most(get, tokens):
    get(f"{tokens.server.host}/x:1", "all", "threads=4").fine()
    assert len(tokens.tokens.requests) == 1                # the manifest's


def test_secrets_are_not_in_messages(get, tokens):
    tokens.tokens.script = lambda r: r.json({"token": "topsecret\n"})
    text = get(f"{tokens.server.host}/x:1", "username=me", "password=hunter2").text
    assert "hunter2" not in text and "topsecret" not in text
    assert json.dumps(text)
