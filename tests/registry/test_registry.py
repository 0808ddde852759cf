# SPDX-License-Identifier: Apache-2.0
"""Against docker-registry, with and without logins and TLS."""
import os
import shutil
import subprocess
import sys

import pytest

TESTBED = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "testbed")
sys.path.insert(0, TESTBED)
import images  # noqa: E402

NAME, USER, PASSWORD = "testbed/unpack", "tester", "secret"
GIVEN = [f"username={USER}", f"password={PASSWORD}"]


class Registry:
    def __init__(self, folder, auth, tls):
        self.folder = folder
        environment = dict(os.environ, PORT="0", TOKEN_PORT="0", AUTH=auth, TLS=tls,
                           REGISTRY_USER=USER, REGISTRY_PASSWORD=PASSWORD)
        subprocess.run([f"{TESTBED}/registry.sh", "start", folder], env=environment, check=True,
                       stdout=subprocess.DEVNULL)
        with open(f"{folder}/url") as file:
            self.url = file.read().strip()
        self.host = self.url.split("//")[1]
        self.ca = f"{folder}/ca.pem" if tls == "yes" else None
        client = images.Registry(self.url, USER if auth != "none" else None, PASSWORD, self.ca)
        self.images = {"gzip": images.Image(images.unpack_cases()),
                       "index": images.Image(images.unpack_cases(), flavor="docker", index=True)}
        for repository in (NAME, "private/unpack"):
            for tag, image in self.images.items():
                client.push(f"{repository}:{tag}", image)

    def access_log(self):
        with open(f"{self.folder}/registry.log") as file:
            return [line for line in file if '"GET /v2/' in line and "tare/" in line]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed")
    running = {}

    def get(auth, tls="no"):
        if (auth, tls) not in running:
            folder = str(tmp_path_factory.mktemp("registry"))
            try:
                running[auth, tls] = Registry(folder, auth, tls)
            except BaseException:
                subprocess.run([f"{TESTBED}/registry.sh", "stop", folder], check=False)
                raise
        return running[auth, tls]
    yield get
    for registry in running.values():
        subprocess.run([f"{TESTBED}/registry.sh", "stop", registry.folder], check=True)


def check_image(registry, result, tag="gzip"):
    result.fine()
    image = registry.images[tag]
    assert result.lines[0] == f"manifest {image.digest} {image.media_type} {len(image.top)}"
    got = {line.split()[1]: int(line.split()[2]) for line in result.lines[1:]}
    assert got == {name: len(blob) for name, blob in image.blobs.items()}


def test_open(get, start):
    registry = start("none")
    check_image(registry, get(f"{registry.host}/{NAME}:gzip", "all"))
    image = registry.images["index"]
    assert get(f"{registry.host}/{NAME}:index").fine().lines[0].startswith(
        f"manifest {image.digest} application/vnd.docker.distribution.manifest.list.v2+json ")
    get(f"{registry.host}/{NAME}@{image.digest}").fine()
    get(f"{registry.host}/{NAME}:nothing").failed(
        "NOT_FOUND", f"{registry.host}/{NAME}:nothing: not found (asked {registry.url})")
    get(f"{registry.host}/nobody:1").failed("NOT_FOUND")
    get(f"{registry.host}/{NAME}:gzip", "blob=sha256:" + 64 * "0" + ":5").failed(
        "NOT_FOUND", "blob sha256:" + 64 * "0")


def test_open_as_a_mirror(get, start, hosts):
    registry = start("none")
    option = hosts(f'server = "https://registry.k8s.io"\n[host."{registry.url}"]\n'
                   'capabilities = ["pull", "resolve"]\n')
    check_image(registry, get(option, f"registry.k8s.io/{NAME}:gzip", "all"))
    assert "ns=registry.k8s.io" in registry.access_log()[-1]


def test_basic(get, start):
    registry = start("basic")
    reference = f"{registry.host}/{NAME}:gzip"
    check_image(registry, get(reference, "all", *GIVEN))
    get(reference).failed("UNAUTHENTICATED", "no credentials were given")
    get(reference, f"username={USER}", "password=no").failed("UNAUTHENTICATED", "are refused")


def test_token(get, start):
    registry = start("token")
    check_image(registry, get(f"{registry.host}/{NAME}:gzip", "all"))
    check_image(registry, get(f"{registry.host}/{NAME}:gzip", "all", "threads=1", *GIVEN))
    private = f"{registry.host}/private/unpack:gzip"
    check_image(registry, get(private, "all", *GIVEN))
    check_image(registry, get(private, "all", f"identity-token=refresh-{USER}:{PASSWORD}"))
    get(private).failed("UNAUTHENTICATED", "no credentials were given; or there is no such rep")
    get(private, f"username={USER}", "password=no").failed("UNAUTHENTICATED", "are refused")


@pytest.mark.parametrize("auth", ["none", "basic", "token"])
def test_tls(get, start, hosts, auth):
    registry = start(auth, "yes")
    option = hosts(f'server = "{registry.url}"\nca = "{registry.ca}"\n')
    check_image(registry, get(option, f"example.com/{NAME}:gzip", "all", *GIVEN))
    option = hosts(f'server = "{registry.url}"\nskip_verify = true\n')
    check_image(registry, get(option, f"example.com/{NAME}:gzip", "all", *GIVEN))
    option = hosts(f'server = "{registry.url}"\n')
    get(option, f"example.com/{NAME}:gzip", *GIVEN).failed("UNAVAILABLE", "TLS: ", "(ca)")


def test_tls_registry_asked_in_plain_http(get, start):
    registry = start("none", "yes")
    get(f"{registry.host}/{NAME}:gzip").failed(
        "UNAVAILABLE", "it speaks TLS: name it with https://")
