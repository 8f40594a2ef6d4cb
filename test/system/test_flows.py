# SPDX-License-Identifier: Apache-2.0
"""Flows that began before something changed: they move, or end, and do not hang on what is gone."""
import re
import socket
import time

import pytest

import behaviour
import daemon
import hosts
from test_ipvs import Traffic, endpoint_slice, manifest, service, sh, wait_for

pytestmark = pytest.mark.skipif(daemon.MODE != "ipvs", reason="these are about IPVS mode")
EXTERNAL = "198.18.200.1"
NODE_PORT = 30200


def open_service(name, addr, names, proto):
    """With a node port and an external IP."""
    one = service(name, addr, 53, proto)
    one["spec"].update({"type": "NodePort", "externalIPs": [EXTERNAL]})
    one["spec"]["ports"][0]["nodePort"] = NODE_PORT
    slices = [endpoint_slice(name, [hosts.ADDRS[n][0] for n in names], 8080, proto)]
    return manifest(one, *slices)


PLACES = [("node", "192.0.2.1", NODE_PORT), ("external", EXTERNAL, 53), ("cluster", "10.96.220.1", 53)]


@pytest.mark.parametrize("addr, port", [place[1:] for place in PLACES], ids=[p[0] for p in PLACES])
def test_datagrams_follow_the_endpoints(vipd, addr, port):
    one = vipd()
    one.apply("s", open_service("s", "10.96.220.1", ["a"], "UDP"))
    one.settle()
    asker = hosts.Asker("client", addr, port)
    assert asker.who() == "a"
    one.apply("s", open_service("s", "10.96.220.1", ["b"], "UDP"))
    assert wait_for(lambda: asker.who() == "b", 3) < 1.0
    one.apply("s", open_service("s", "10.96.220.1", [], "UDP"))
    wait_for(lambda: asker.who() == "", 1)
    one.apply("s", open_service("s", "10.96.220.1", ["d"], "UDP"))
    assert wait_for(lambda: asker.who() == "d", 3) < 1.0


@pytest.mark.parametrize("addr, port", [place[1:] for place in PLACES], ids=[p[0] for p in PLACES])
def test_datagrams_sent_before_the_service_was(vipd, addr, port):
    one = vipd()
    one.settle()
    asker = hosts.Asker("client", addr, port)
    for _ in range(5):
        assert asker.who() == ""
    one.apply("s", open_service("s", "10.96.220.1", ["a"], "UDP"))
    assert wait_for(lambda: asker.who() == "a", 3) < 1.0
    one.remove("s")
    wait_for(lambda: asker.who() == "", 1)
    one.apply("s", open_service("s", "10.96.220.2", ["b"], "UDP"))
    if addr != "10.96.220.1":
        assert wait_for(lambda: asker.who() == "b", 3) < 1.0


def test_flows_to_others_are_left_alone(vipd):
    """A flow of a Service that does not change keeps its entry, and so do those that are no Service's."""
    one = vipd()
    one.apply("s", open_service("s", "10.96.220.1", ["a"], "UDP"))
    one.settle()
    kept = [hosts.Asker("client", "10.96.220.1", 53), hosts.Asker("client", "192.0.2.1", NODE_PORT),
            hosts.Asker("client", hosts.ADDRS["b"][0], 8080), hosts.Asker("node", hosts.ADDRS["d"][0], 8080)]
    assert [asker.who() for asker in kept] == ["a", "a", "b", "d"]

    def ids():
        return set(re.findall(r"\bid=(\d+)", sh("conntrack -L -p udp -o id 2>/dev/null")))
    before = ids()
    one.apply("t", manifest(service("t", "10.96.220.3", 54, "UDP"),
                            endpoint_slice("t", [hosts.ADDRS["b"][0]], 8080, "UDP")))
    one.settle()
    one.apply("t", manifest(service("t", "10.96.220.3", 54, "UDP"),
                            endpoint_slice("t", [hosts.ADDRS["c"][0]], 8080, "UDP")))
    one.settle()
    wait_for(lambda: one.counters()["flow_passes"] >= 2, 5)
    assert len(before) >= 4 and before <= ids()


@pytest.mark.parametrize("addr, port", [place[1:] for place in PLACES], ids=[p[0] for p in PLACES])
def test_connections_end_at_the_deadline(vipd, addr, port):
    one = vipd("--drain-timeout=3s")
    one.apply("s", open_service("s", "10.96.220.1", ["a", "b"], "TCP"))
    one.settle()
    kept = Traffic("load", "client", addr, port, 0, 20, 9)
    time.sleep(1.5)
    one.apply("s", open_service("s", "10.96.220.1", ["b"], "TCP"))
    result = kept.result()
    assert result["kept_on"] == {"a": 10, "b": 10}, result
    assert result["broken_on"] == {"a": 10}, result


def test_node_port_at_which_a_program_waits(vipd):
    """It stays the program's, the log says why, and the Service's other addresses work."""
    with socket.socket() as listener:
        listener.bind(("", NODE_PORT))
        listener.listen()
        one = vipd()
        one.apply("s", open_service("s", "10.96.220.1", ["a"], "TCP"))
        one.settle()
        wait_for(lambda: "a program of this node waits at this port" in one.log_path.read_text(), 2)
        with socket.create_connection(("192.0.2.1", NODE_PORT), 2):
            listener.settimeout(2)
            listener.accept()[0].close()
        assert behaviour.request("client", EXTERNAL, 53, "TCP", 2)[0] == "a"
        one.kill()
    one.start()
    one.settle()
    assert behaviour.request("client", "192.0.2.1", NODE_PORT, "TCP", 2)[0] == "a"
