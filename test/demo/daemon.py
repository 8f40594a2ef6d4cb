# SPDX-License-Identifier: Apache-2.0
"""vipd as the demo uses it: started on a folder, asked for what it wants and what is missing."""
import dataclasses
import os
import pathlib
import re
import subprocess
import time

import lab

CLUSTER_RANGES = "10.96.0.0/16,fd00:96::/108"
READY_SEC = 30
END_SEC = 5
LOG_LINES_MAX = 15
INCOMPLETE = 3  # vipd's exit code when something is not in order, which its log names

FRONTEND = re.compile(r"frontend (\S+):(\d+)/(\S+) owner=(\S+) verdict=(\S+)(.*)")
ENDPOINT = re.compile(r"  endpoint (\S+):(\d+) weight=(\d+)(.*)")


class DaemonError(Exception):
    """vipd did not do what it should: says what it said."""


@dataclasses.dataclass
class Frontend:
    """A line of `--print=model` with its endpoints."""
    addr: str
    port: int
    protocol: str
    owner: str  # namespace/name:port
    verdict: str
    affinity: bool
    endpoints: list = dataclasses.field(default_factory=list)  # addresses that take requests


def parse_model(text):
    frontends = []
    for line in text.split("\n"):
        if match := FRONTEND.match(line):
            addr, port, protocol, owner, verdict, rest = match.groups()
            frontends.append(Frontend(addr.strip("[]"), int(port), protocol, owner, verdict,
                                      " affinity=" in rest))
        elif (match := ENDPOINT.match(line)) and " drain" not in match[4] and match[3] != "0":
            frontends[-1].endpoints.append(match[1].strip("[]"))
    return frontends


class Daemon:
    def __init__(self, program, folder, work):
        self.log_path = pathlib.Path(work) / "vipd.log"
        self.argv = [program, f"--manifests={folder}", f"--hostname-override={lab.NODE}",
                     f"--cluster-cidr={','.join(lab.POD_NETWORKS)}",
                     f"--service-cluster-ip-range={CLUSTER_RANGES}",
                     f"--state-dir={work}/state", f"--run-dir={work}/run"]
        for name in ("state", "run"):
            os.makedirs(f"{work}/{name}", exist_ok=True)
        self.process = None

    def start(self):
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stderr=log,
                                            stdout=log)

    def print_stage(self, stage):
        done = subprocess.run([*self.argv, f"--print={stage}"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        if done.returncode not in (0, INCOMPLETE):
            raise DaemonError(f"vipd --print={stage} failed: {done.stderr.strip()}")
        return done.stdout

    def wait_until_programmed(self):
        """Until there is nothing left to do between the manifests and the kernel; seconds."""
        start = time.monotonic()
        while True:
            if self.process.poll() is not None:
                raise DaemonError(f"vipd ended with exit code {self.process.returncode}\n{self.log()}")
            plan = self.print_stage("plan").strip()
            if not plan:
                return time.monotonic() - start
            if time.monotonic() - start > READY_SEC:
                raise DaemonError(f"after {READY_SEC} s this is not in the kernel:\n{plan}\n{self.log()}")
            time.sleep(0.05)

    def frontends(self):
        return parse_model(self.print_stage("model"))

    def log(self):
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").rstrip().split("\n")
        return "\n".join(lines[-LOG_LINES_MAX:])

    def complaints(self):
        """What is not in order, in vipd's own words."""
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").split("\n")
        return [line.split('msg="not in order" ', 1)[1] for line in lines if "not in order" in line]

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(END_SEC)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
