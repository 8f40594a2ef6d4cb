# SPDX-License-Identifier: Apache-2.0
"""Namespaces and daemons for the measurements; see bench.py. Runs in the guest, as root."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

BUILD = os.environ.get("BUILD", "build")
VIPD = f"{BUILD}/vipd"
KERNEL = f"{BUILD}/test/bench/bench_kernel"
RECORD = f"{BUILD}/test/bench/bench_record"
PATIENCE_SEC = 120


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, capture_output=True, **options).stdout


def wait_idle(seconds=0.4):
    """Until the machine has nothing to do: what a namespace held goes in the background."""
    def busy():
        fields = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n")[0]
                  .split()[1:9]]
        return sum(fields) - fields[3] - fields[4]
    for _ in range(200):
        before = busy()
        time.sleep(seconds)
        if busy() - before <= 2:
            return


class Namespace:
    """A node: an empty kernel, with an address and a way to its backends; `more` addresses of it."""

    def __init__(self, name, more=0):
        self.name = name
        self.inside = ("ip", "netns", "exec", name)
        run("ip", "-batch", "-", input=f"netns add {name}\n")
        run("ip", "-n", name, "-batch", "-", input="\n".join([
            "link set lo up", "link add eth0 type dummy", "addr add 192.0.2.1/24 dev eth0",
            *[f"addr add 10.200.0.{n + 1}/32 dev eth0" for n in range(more)],
            "link set eth0 up", ""]))

    def close(self):
        run("ip", "netns", "del", self.name)
        wait_idle()


class Daemon:
    """vipd in a namespace, on a folder. `times` are what its log says, in microseconds."""

    def __init__(self, ns, folder, *flags, before=()):
        self.work = pathlib.Path(f"/tmp/daemon-{ns.name}")
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        self.log_path = self.work / "log"
        self.argv = [*ns.inside, *before, VIPD, "-v", "2", f"--manifests={folder}",
                     "--hostname-override=node-7", "--cluster-cidr=10.127.0.0/8",
                     f"--run-dir={self.work}/run", f"--state-dir={self.work}/state", *flags]
        self.started_sec = time.time()
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def line(self, message, since=0):
        """The first line with this message, as a dictionary; waits for it."""
        end = time.monotonic() + PATIENCE_SEC
        while time.monotonic() < end:
            for line in self.log()[since:].split("\n")[:-1]:
                if f'msg="{message}"' in line:
                    return dict(re.findall(r'(\w+)=([^ "]+)', line))
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"vipd does not say: {message}\n{self.log()[-2000:]}")

    def counters(self):
        since = len(self.log())
        self.process.send_signal(signal.SIGUSR2)
        words = self.line("counters", since)
        return {key: int(value) for key, value in words.items() if value.isdigit()}

    def memory_kb(self, field):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.search(rf"^{field}:\s+(\d+) kB", text, re.M)[1])

    def cpu_sec(self):
        """Of all its threads. Its resolution may be the kernel's tick."""
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        if self.process.wait(30) != 0:
            raise RuntimeError(f"vipd ended with {self.process.returncode}\n{self.log()[-2000:]}")
