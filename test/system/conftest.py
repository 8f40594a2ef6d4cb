# SPDX-License-Identifier: Apache-2.0
"""One set of hosts and servers for all tests of a run; run inside the guest (test/system/run)."""
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import daemon  # noqa: E402
import hosts  # noqa: E402

TRAFFIC = os.environ.get("TRAFFIC", "build/test/system/traffic")


@pytest.fixture(scope="session")
def lab():
    hosts.build()
    servers = hosts.Servers(TRAFFIC)
    yield servers
    servers.stop()


@pytest.fixture(scope="module")
def running(request, lab, tmp_path_factory):
    """One daemon for all tests of a file, with the flags in its RUNNING."""
    del lab
    one = daemon.Daemon(tmp_path_factory.mktemp("running"), *request.module.RUNNING)
    one.start()
    one.settle()
    yield one
    assert one.process.poll() is None, one.tail()
    one.stop()
    one.run("--cleanup", check=False)


@pytest.fixture
def vipd(lab, tmp_path):
    """A daemon of its own for one test; nothing of it stays."""
    del lab
    running = []

    def start(*flags, begin=True):
        one = daemon.Daemon(tmp_path / f"d{len(running)}", *flags)
        running.append(one)
        if begin:
            one.start()
        return one

    yield start
    for one in running:
        one.kill()
        code, _, log = one.run("--cleanup", check=False)
        assert code == 0, log


def kernel_state():
    """What stands in the kernel, for the report of a failed test."""
    texts = []
    for command in ("ipvsadm -Ln", "nft list ruleset", "ip route show table local proto 118",
                    "iptables-save"):
        done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
        texts.append(f"$ {command}\n{done.stdout[-1500:]}")
    return "\n".join(texts)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        report.sections.append(("kernel", kernel_state()))
        for folder in pathlib.Path("/tmp").glob("pytest-*/**/vipd.log"):
            text = folder.read_text(encoding="utf-8", errors="replace")
            report.sections.append((str(folder), "\n".join(text.split("\n")[-30:])))
