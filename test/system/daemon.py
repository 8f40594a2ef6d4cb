# SPDX-License-Identifier: Apache-2.0
"""vipd in the tests: started on a folder, waited for, asked what it is missing."""
import os
import pathlib
import shutil
import signal
import subprocess
import time

import hosts

VIPD = os.environ.get("VIPD", "build/vipd")
MODE = os.environ.get("VIPD_TEST_MODE", "ipvs")  # ipvs, iptables-nft, iptables-legacy
# An emulated kernel beside other tests is slow.
READY_SEC = 40 if os.environ.get("SYSTEM_WHERE") == "stock" else 8


class Daemon:
    def __init__(self, work, *flags):
        self.work = pathlib.Path(work)
        self.manifests = self.work / "manifests"
        self.manifests.mkdir(parents=True, exist_ok=True)
        self.log_path = self.work / "vipd.log"
        self.flags = [f"--proxy-mode={MODE.split('-')[0]}", "--hostname-override=node",
                      f"--cluster-cidr={hosts.POD_NETS}", f"--run-dir={self.work}/run",
                      f"--service-cluster-ip-range={hosts.SERVICE_NETS}",
                      f"--state-dir={self.work}/state", *flags]
        self.environment = dict(os.environ)
        if MODE.startswith("iptables"):
            self.environment["PATH"] = f"{self._iptables()}:{os.environ['PATH']}"
        self.process = None

    def _iptables(self):
        """A folder in which `iptables` is the variant asked for."""
        folder = self.work / "bin"
        folder.mkdir(exist_ok=True)
        multi = shutil.which(f"xtables-{MODE.split('-')[1]}-multi")
        for name in ("iptables", "ip6tables"):
            for suffix in ("", "-save", "-restore"):
                (folder / (name + suffix)).unlink(missing_ok=True)
                (folder / (name + suffix)).symlink_to(multi)
        return folder

    def argv(self, *extra):
        return [VIPD, f"--manifests={self.manifests}", *self.flags, *extra]

    def start(self):
        assert not self.process or self.process.poll() is not None, "it runs already"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=self.environment)

    def run(self, *extra, check=True):
        """One pass or printer: (exit code, stdout, stderr)."""
        done = subprocess.run(self.argv(*extra), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, env=self.environment, timeout=120, check=False)
        if check and done.returncode not in (0, 3):
            raise AssertionError(f"vipd {extra}: exit code {done.returncode}\n{done.stderr}")
        return done.returncode, done.stdout, done.stderr

    def plan(self):
        return self.run("--print=plan")[1].strip()

    def settle(self, seconds=READY_SEC):
        """Until nothing is left to do between the manifests and the kernel."""
        end = time.monotonic() + seconds
        while True:
            if self.process and self.process.poll() is not None:
                raise AssertionError(f"vipd ended with {self.process.returncode}\n{self.tail()}")
            plan = "\n".join(line for line in self.plan().split("\n")
                             if not line.startswith("refused "))
            if not plan:
                return
            if time.monotonic() > end:
                raise AssertionError(f"not in the kernel after {seconds} s:\n{plan}\n{self.tail()}")
            time.sleep(0.02)

    def apply(self, name, text):
        """As an editor saves: beside it, then renamed over it."""
        temporary = self.manifests / f".{name}.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.rename(self.manifests / f"{name}.yaml")

    def remove(self, name):
        (self.manifests / f"{name}.yaml").unlink(missing_ok=True)

    def mark_log(self):
        """Where the log ends now, for wait_log."""
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def wait_log(self, text, since=0, seconds=30):
        """Until the log says that, behind `since`."""
        end = time.monotonic() + seconds
        while True:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                log.seek(since)
                if text in log.read():
                    return
            if time.monotonic() > end:
                raise AssertionError(f"not in the log after {seconds} s: {text}\n{self.tail()}")
            time.sleep(0.02)

    def tail(self, lines=25):
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.rstrip().split("\n")[-lines:])

    def counters(self):
        """What SIGUSR2 logs, as numbers."""
        before = self.log_path.stat().st_size
        self.process.send_signal(signal.SIGUSR2)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                log.seek(before)
                for line in log:
                    if 'msg="counters"' in line and line.endswith("\n"):
                        return {key: int(value) for key, value in
                                (pair.split("=") for pair in line.split()[3:])}
            time.sleep(0.01)
        raise AssertionError("no counters in the log\n" + self.tail())

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
