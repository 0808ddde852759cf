# SPDX-License-Identifier: Apache-2.0
"""Runs one variant through one runtime: what it shows, as {field: value}."""
import array
import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import time

from bundle import Bundle
from normal import Normal, flat, own_namespaces

TIMEOUT = 20  # seconds, of one call of a runtime
ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "XDG_RUNTIME_DIR": "/run"}


class Done:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


class Runtime:
    def __init__(self, name, path, folder):
        self.name, self.path, self.folder = name, str(path), folder

    def call(self, *words):
        command = [self.path, "--root", os.path.join(self.folder, f"state-{self.name}"),
                   *map(str, words)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENV,
                              stderr=subprocess.PIPE) as child:
            try:
                out, err = child.communicate(timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                child.kill()
                out, err = child.communicate()
                err += b"(over its time)"
        return Done(child.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


class Terminal:
    """A socket that gets the master of a container's terminal, and reads all that comes."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(1)
        self.socket.settimeout(TIMEOUT)

    def read(self):
        peer, _ = self.socket.accept()
        with peer:
            peer.settimeout(TIMEOUT)
            _, ancillary, _, _ = peer.recvmsg(4096, socket.CMSG_LEN(4))
        master = array.array("i", ancillary[0][2][:4])[0]
        text = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the other side any more
            while piece := os.read(master, 65536):
                text += piece
        os.close(master)
        return text.decode(errors="replace")

    def close(self):
        self.socket.close()
        os.unlink(self.path)


def tree_of(rootfs):
    """What is in the root file system now; what was made there by the runtime is to be seen."""
    found = {}
    for folder, folders, files in os.walk(rootfs):
        for name in folders + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            size = f" {st.st_size}" if stat.S_ISREG(st.st_mode) and name != "probe" else ""
            found["/" + os.path.relpath(path, rootfs)] = \
                f"{st.st_mode:o} {st.st_uid}:{st.st_gid}{size}"
    return found


class Run:
    """One variant with one runtime."""

    def __init__(self, runtime, variant, place):
        self.runtime, self.variant = runtime, variant
        self.id = f"{variant.slug}-{runtime.name}"
        self.folder = os.path.join(place.folder, self.id)
        os.mkdir(self.folder, 0o755)
        self.bundle = Bundle(self.folder, place.probe, f"{place.cgroup}/{self.id}", place.holders)
        for change in variant.changes:
            change(self.bundle)
        self.bundle.save()
        names = own_namespaces()
        for name, pid in place.holders.items():
            for link, _ in own_namespaces(pid).items():
                names.setdefault(link, f"of {name}")
        self.normal = Normal([(self.folder, "<bundle>"), (self.bundle.cgroup, "<cgroup>"),
                              (self.id, "<id>"), (place.folder, "<place>")], names)

    def observe(self):
        try:
            found = getattr(self, f"_{self.variant.how}")()
        finally:
            self.runtime.call("delete", "--force", self.id)
        found.update(self._hooks())
        found.update(flat({"rootfs": self.normal.text(tree_of(self.bundle.rootfs))}))
        shutil.rmtree(self.folder, ignore_errors=True)
        return found

    def _outcome(self, code, out, err):
        """Of a program that was to report."""
        found = {"exit": code}
        start = out.find("{\"hostname\"")
        try:
            report = json.loads(out[start:], strict=False) if start >= 0 else None
        except ValueError:
            report = None
        found["reported"] = report is not None
        if report:
            found.update(self.normal.report(report))
        if self.variant.names and report is None:
            found["says"] = self.variant.names in self.normal.text(err)
        found["(stderr)"] = self.normal.text(err)
        return found

    def _run(self):
        done = self.runtime.call("run", "--bundle", self.folder, self.id)
        return self._outcome(done.code, done.out, done.err)

    def _terminal(self):
        terminal = Terminal(os.path.join(self.folder, "tty"))
        try:
            done = self.runtime.call("run", "--detach", "--console-socket", terminal.path,
                                     "--bundle", self.folder, self.id)
            out = terminal.read() if done.code == 0 else ""
        finally:
            terminal.close()
        return self._outcome(done.code, out, done.err)

    def _up(self):
        """A container whose program waits; the first call that failed, or None."""
        self.bundle.process["args"] = ["/bin/probe", "wait"]
        self.bundle.save()
        with open(os.path.join(self.folder, "output"), "wb") as out:
            command = [self.runtime.path, "--root",
                       os.path.join(self.runtime.folder, f"state-{self.runtime.name}")]
            code = subprocess.run([*command, "create", "--bundle", self.folder, self.id], env=ENV,
                                  input=b"", stdout=out, stderr=out, check=False,
                                  timeout=TIMEOUT).returncode
        if code != 0:
            with open(os.path.join(self.folder, "output"), encoding="utf-8") as text:
                return Done(code, "", text.read())
        return None

    def _start(self):
        done = self.runtime.call("start", self.id)
        end = time.monotonic() + TIMEOUT
        while done.code == 0 and time.monotonic() < end:
            with open(os.path.join(self.folder, "output"), encoding="utf-8") as text:
                if "ready" in text.read():
                    break
            time.sleep(0.002)
        return done

    def _exec(self):
        failed = self._up()
        failed = failed or next((done for done in [self._start()] if done.code != 0), None)
        if failed:
            return self._outcome(failed.code, failed.out, failed.err)
        words = list(self.variant.exec_options)
        process = {**self.bundle.config["process"], "args": ["/bin/probe", "report"],
                   **self.variant.exec_process}
        if not words:
            path = os.path.join(self.folder, "process.json")
            with open(path, "w", encoding="utf-8") as out:
                json.dump(process, out)
            words = ["--process", path]
            command = [self.id]
        else:
            command = [self.id, *process["args"]]
        if process["terminal"] or "--tty" in words:
            terminal = Terminal(os.path.join(self.folder, "tty"))
            try:
                done = self.runtime.call("exec", "--detach", "--console-socket", terminal.path,
                                         *words, *command)
                out = terminal.read() if done.code == 0 else ""
            finally:
                terminal.close()
            return self._outcome(done.code, out, done.err)
        done = self.runtime.call("exec", *words, *command)
        return self._outcome(done.code, done.out, done.err)

    def _lifecycle(self):
        """The answers of state, and the exit codes of calls that do not fit the state."""
        failed = self._up()
        if failed:
            return self._outcome(failed.code, failed.out, failed.err)
        found = {}

        def step(name, *words):
            done = self.runtime.call(*words)
            found[f"{name}.exit"] = done.code
            found[f"{name}.(stderr)"] = self.normal.text(done.err)
            return done

        def state(name):
            done = step(f"{name}.state", "state", self.id)
            if done.code == 0:
                answer = self.normal.text(json.loads(done.out))
                answer["pid"] = "some" if answer.get("pid") else answer.get("pid")
                answer["created"] = "a time" if "created" in answer else None
                found.update(flat({name: answer}))

        state("created")
        step("created.exec", "exec", self.id, "/bin/probe", "exit", "3")
        step("created.create-again", "create", "--bundle", self.folder, self.id)
        found["start.exit"] = self._start().code
        state("running")
        step("running.start-again", "start", self.id)
        step("running.delete", "delete", self.id)
        step("running.exec", "exec", self.id, "/bin/probe", "exit", "3")
        step("running.pause", "pause", self.id)
        state("paused")
        step("paused.resume", "resume", self.id)
        step("running.kill", "kill", self.id, "TERM")
        self._wait_stopped()
        state("stopped")
        step("stopped.kill", "kill", self.id, "TERM")
        step("stopped.start", "start", self.id)
        step("stopped.exec", "exec", self.id, "/bin/probe", "exit", "3")
        step("stopped.delete", "delete", self.id)
        step("deleted.state", "state", self.id)
        step("deleted.delete", "delete", self.id)
        step("deleted.delete-force", "delete", "--force", self.id)
        step("deleted.kill", "kill", self.id, "TERM")
        return found

    def _wait_stopped(self):
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            done = self.runtime.call("state", self.id)
            if done.code != 0 or json.loads(done.out)["status"] == "stopped":
                return
            time.sleep(0.01)

    def _hooks(self):
        """What the hooks wrote: state on a line, then pid and environment."""
        found = {}
        for folder in (self.bundle.path, self.bundle.rootfs / "tmp"):
            for path in folder.glob("hook.*"):
                state, _, rest = path.read_text(errors="replace").partition("\n")
                answer = self.normal.text(json.loads(state))
                answer["pid"] = "some" if answer.get("pid") else answer.get("pid")
                found.update(flat({path.name: answer}))
                found[f"{path.name}.(env)"] = sorted(rest.split()[1:])
                if folder != self.bundle.path:
                    path.unlink()
        return found
