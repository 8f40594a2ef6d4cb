# SPDX-License-Identifier: Apache-2.0
"""Runs behaviour/*.yaml, every case against one daemon that follows its folder all the time."""
import copy
import pathlib
import socket

import pytest
import yaml

import behaviour
import daemon

FILES = sorted(pathlib.Path(__file__).parent.glob("behaviour/*.yaml"))
RUNNING = ["--drain-timeout=2s"]  # flags of the daemon of these tests


def kernel_has_sctp():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


def load():
    """The cases of this mode; what another cannot do by right says so under `modes`."""
    mode, cases = daemon.MODE.split("-", maxsplit=1)[0], []
    for path in FILES:
        for case in yaml.safe_load(path.read_text(encoding="utf-8")):
            if mode not in case.get("modes", {"modes": [mode]})["modes"]:
                continue
            if case.get("needs") == "SCTP" and not kernel_has_sctp():
                continue  # in the guest it has
            cases.append(pytest.param(len(cases), case, id=f"{path.stem}: {case['case']}"))
    return cases


@pytest.mark.parametrize("number, case", load())
def test_case(running, number, case):
    run = behaviour.Case(running, number, copy.deepcopy(case))
    try:
        failures = run.run()
        assert not failures, "\n".join(failures)
    finally:
        run.clean()
