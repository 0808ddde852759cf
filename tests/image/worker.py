# SPDX-License-Identifier: Apache-2.0
"""Runs tare-image on folders of a test."""

import json
import os
import subprocess


class Result:
    """What a run said. Events by kind; of "error" and "image" there is at most one."""

    def __init__(self, status, output, log):
        self.status, self.log = status, log
        self.events = [json.loads(line) for line in output.splitlines()]
        self.layers = self.kind("layer")
        self.error = next(iter(self.kind("error")), None)
        self.image = next(iter(self.kind("image")), None)

    def kind(self, name):
        return [event for event in self.events if event["event"] == name]


class Worker:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        with open(program, "rb") as file:
            self.sanitized = b"__asan_init" in file.read()  # such a build has no seccomp filter
        self.count = 0
        self.started = []

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def new_ingest(self):
        self.count += 1
        path = self.path(f"ingest-{self.count}")
        os.mkdir(path, 0o700)
        return path

    def start(self, verb, request, **options):
        """The process, with the request on its way."""
        text = request if isinstance(request, bytes) else json.dumps(request).encode()
        process = subprocess.Popen(
            [self.program, verb],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )
        self.started.append(process)
        try:
            process.stdin.write(text)
            process.stdin.close()
        except BrokenPipeError:
            pass
        process.stdin = None
        return process

    def run(self, verb, request, **options):
        process = self.start(verb, request, **options)
        output, log = process.communicate(timeout=120)
        return Result(process.returncode, output.decode(), log.decode())

    def transfer(self, verb, request, **options):
        """Fails the test unless the worker succeeds; adds .ingest and .roots (lowest first)."""
        request = {"ingest": self.new_ingest(), **request}
        result = self.run(verb, request, **options)
        assert result.status == 0, f"{result.error} {result.log}"
        result.ingest = request["ingest"]
        result.roots = [self.find_layer(request, chain) for chain in result.image["chain_ids"]]
        return result

    def do_import(self, path, **more):
        return self.transfer("import", {"path": path, **more})

    def fail_import(self, path, **more):
        """The error of an import that must fail, and leave no layer."""
        request = {"ingest": self.new_ingest(), "path": path, **more}
        result = self.run("import", request)
        assert (
            result.status == 1 and result.error and not result.image
        ), f"{result.events} {result.log}"
        told = {event["chain_id"][7:] for event in result.layers}
        left = set(os.listdir(os.path.join(request["ingest"], "layers")))
        assert left == told, "only layers that were told may stay"
        return result.error

    def find_layer(self, request, chain):
        for base in (
            os.path.join(request["ingest"], "layers"),
            request.get("layers_dir", "/nonexistent"),
        ):
            path = os.path.join(base, chain[7:], "fs")
            if os.path.isdir(path):
                return path
        raise AssertionError(f"layer {chain} is nowhere")

    def end(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
            for stream in (process.stdout, process.stderr):
                stream.close()
