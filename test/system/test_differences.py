# SPDX-License-Identifier: Apache-2.0
"""Where kube-proxy's IPVS mode hurts and vipd does not: a test for each, named after the defect. The
numbers are those of github.com/kubernetes/kubernetes/issues."""
import json
import re
import socket
import time

import pytest
import yaml

import behaviour
import daemon
import hosts
from test_ipvs import (Traffic, endpoint_slice, manifest, service, sh, simple, virtual_servers,
                       wait_for)
from test_objects import answers, bound, elements, entrance_service, local_slice

pytestmark = pytest.mark.skipif(daemon.MODE != "ipvs", reason="these are about IPVS mode")
CASE = 240  # addresses that no case of the suite has


def assert_case(one, text):
    failures = behaviour.Case(one, CASE, yaml.safe_load(text)).run()
    assert not failures, "\n".join(failures)


def test_72236_host_ports_are_reachable_through_service_addresses(vipd):
    assert_case(vipd(), """
        services:
          - {name: s, type: LoadBalancer, families: [4, 6], ports: [{port: 80, node_port: 30701}], external: ["EXT(1)", "EXT6(1)"],
             lb: ["LB(1)"], endpoints: [a]}
        asks:
          - {from: [client, c, node], to: s, at: [CLUSTER, "EXT(1)", "EXT6(1)", "LB(1)"], port: 2222, refused: true, times: 2}
          - {from: [client, c], to: s, at: [CLUSTER, "EXT(1)", "LB(1)"], port: 2222, proto: UDP, refused: true}
          - {from: client, to: node, port: 2222, answers: [node]}
        """)


def test_72236_the_guard_stands_before_the_address_does(vipd):
    """No moment in which an address is bound and its host ports are open."""
    one = vipd(begin=False)
    one.apply("s", manifest(*[document for i in range(100) for document in (
        service(f"s{i}", f"10.96.203.{i + 1}"), local_slice(f"s{i}", ["a"]))]))
    one.start()
    seen = set()
    end = time.monotonic() + 8
    while len(seen) < 3 and time.monotonic() < end:  # from a program on the node: nothing is faster
        addr = f"10.96.203.{1 + len(seen)}"
        try:
            behaviour.request("node", addr, hosts.HOST_PORT, "TCP", 0.3)
            raise AssertionError(f"a host port answers at {addr}")
        except behaviour.Reply:
            pass
        if addr in bound():
            seen.add(addr)
    assert len(seen) == 3


def test_119656_source_ranges_do_not_hold_for_the_node(vipd):
    assert_case(vipd(), """
        services:
          - {name: s, type: LoadBalancer, ports: [{port: 80}], lb: ["LB(1)"], ranges: [198.51.100.0/24], endpoints: [a, d]}
        asks:
          - {from: client, to: s, at: "LB(1)", answers: [a, d]}
          - {from: [node, c, client2], to: s, at: "LB(1)", dropped: true}
        """)


def test_71596_a_local_policy_without_local_endpoints_sends_elsewhere(vipd):
    assert_case(vipd(), """
        services:
          - {name: s, type: LoadBalancer, etp: Local, ports: [{port: 80, node_port: 30702}], external: ["EXT(1)"], lb: ["LB(1)"], endpoints: [d, e]}
          - {name: t, type: NodePort, itp: Local, ports: [{port: 80, node_port: 30703}], endpoints: [d, e]}
        asks:
          - {from: client, to: s, at: [NP, "EXT(1)", "LB(1)"], dropped: true}
          - {from: [c, node], to: t, refused: true, times: 2}
        """)


def test_93456_clients_in_the_cluster_get_local_endpoints_of_a_local_policy(vipd):
    assert_case(vipd(), """
        services:
          - {name: s, type: LoadBalancer, etp: Local, ports: [{port: 80, node_port: 30704}], external: ["EXT(1)"], lb: ["LB(1)"], endpoints: [a, d]}
        asks:
          - {from: [c, node], to: s, at: [NP, "EXT(1)", "LB(1)"], answers: [a, d]}
          - {from: client, to: s, at: [NP, "EXT(1)", "LB(1)"], answers: [a], sees: own}
        steps:
          - {endpoints: {s: [d]}, asks: [{from: [c, node], to: s, at: [NP, "EXT(1)", "LB(1)"], answers: [d]}]}
        """)


def test_129147_node_addresses_are_looked_up_when_something_else_changes(vipd):
    one = vipd("--audit-period=1h")
    one.apply("s", manifest(entrance_service("s", "10.96.204.1", node_port=30705), local_slice("s", ["a"])))
    one.settle()
    sh("ip addr add 203.0.113.99/24 dev to-client2")
    try:
        assert wait_for(lambda: answers("client2", "203.0.113.99", 30705) == "a", 3) < 1
    finally:
        sh("ip addr del 203.0.113.99/24 dev to-client2")


def ask_from_port(host, source_port, addr, port, linger=False):
    """(who answers, seconds): a connection from that port, which is used again and again."""
    with hosts.inside(host):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if linger:  # a reset at the end: the port is free at once
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.bind((hosts.ADDRS[host][0], source_port))
        sock.settimeout(5)
        start = time.monotonic()
        sock.connect((addr, port))
        sock.send(b"who\n")
        return sock.recv(100).split()[0].decode(), time.monotonic() - start


def test_81775_a_reused_source_port_sticks_to_a_leaving_endpoint_or_waits_a_second(vipd):
    """The port is used again while IPVS remembers it: by then its endpoint takes no new flows."""
    one = vipd("--drain-timeout=1h")
    one.apply("s", simple("s", "10.96.204.2", ["a", "b"]))
    one.settle()
    kept = Traffic("load", "client2", "10.96.204.2", 80, 0, 4, 20)  # so that both stay, draining
    try:
        time.sleep(0.5)
        first = {port: ask_from_port("client", port, "10.96.204.2", 80, linger=True)[0]
                 for port in range(20000, 20010)}  # which nobody is given by chance
        assert set(first.values()) == {"a", "b"}
        one.apply("s", simple("s", "10.96.204.2", ["b"]))
        wait_for(lambda: re.search(r"10\.244\.1\.2:8080\s+Masq\s+0 ", sh("ipvsadm -Ln")), 2)
        for port in first:
            who, seconds = ask_from_port("client", port, "10.96.204.2", 80, linger=True)
            assert who == "b" and seconds < 0.9, (port, first[port], who, seconds)
    finally:
        kept.process.kill()


def test_81775_a_busy_client_keeps_an_endpoint_that_went(vipd):
    """Past the deadline it is gone, however often it is asked."""
    one = vipd("--drain-timeout=2s")
    one.apply("s", simple("s", "10.96.204.3", ["a", "b"]))
    one.settle()
    busy = Traffic("load", "client", "10.96.204.3", 80, 20, 10, 7)
    time.sleep(1)
    one.apply("s", simple("s", "10.96.204.3", ["b"]))
    time.sleep(3.5)
    assert "10.244.1.2:8080" not in sh("ipvsadm -Ln -t 10.96.204.3:80")
    result = busy.result()
    assert result["answered"] == result["started"], result
    assert set(result["broken_on"]) == {"a"}, result


def test_71514_datagrams_go_to_an_endpoint_that_went(vipd):
    """A client that keeps its port, as a resolver does, by a node port."""
    one = vipd()
    spec = {"node_port": 30706}
    ports = entrance_service("s", "10.96.204.4", **spec)
    ports["spec"]["ports"][0]["protocol"] = "UDP"

    def put(name):
        one.apply("s", manifest(ports, endpoint_slice("s", [hosts.ADDRS[name][0]], 8080, "UDP")))
    put("a")
    one.settle()
    asker = hosts.Asker("client", "192.0.2.1", 30706)
    assert asker.who() == "a"
    put("b")
    assert wait_for(lambda: asker.who() == "b", 3) < 1


def test_71895_a_deleted_service_ends_its_connections_at_once(vipd):
    one = vipd("--drain-timeout=1h")
    one.apply("s", manifest(entrance_service("s", "10.96.204.5", node_port=30707, externalIPs=["198.18.205.1"]),
                            local_slice("s", ["a"])))
    one.settle()
    loads = [Traffic("load", "client", addr, port, 0, 5, 4)
             for addr, port in (("192.0.2.1", 30707), ("198.18.205.1", 80), ("10.96.204.5", 80))]
    time.sleep(1)
    one.remove("s")
    time.sleep(0.5)
    assert answers("client", "198.18.205.1", 80) != "a"
    assert answers("client", "192.0.2.1", 30707) == "refused"
    for load in loads:
        result = load.result()
        assert result["kept_broken"] == 0 and result["kept_on"] == {"a": 5}, result


def test_a_source_range_of_everybody_is_refused_by_the_set(vipd):
    assert_case(vipd(), """
        services:
          - {name: s, type: LoadBalancer, families: [4, 6], ports: [{port: 80}], lb: ["LB(1)", "LB6(1)"], ranges: [0.0.0.0/0, "::/0"], endpoints: [a]}
        asks: [{from: [client, client2, c, node], to: s, at: ["LB(1)", "LB6(1)"], answers: [a]}]
        """)


def test_virtual_servers_of_others_are_deleted(vipd):
    sh("ipvsadm -A -t 10.97.2.1:80 -s wlc; ipvsadm -a -t 10.97.2.1:80 -r 10.244.9.1:80 -m; ipvsadm -A -f 77 -s rr")
    try:
        one = vipd("--audit-period=100ms")
        one.apply("s", simple("s", "10.96.204.6", ["a"]))
        one.settle()
        one.remove("s")
        one.settle()
        time.sleep(0.5)
        assert "10.244.9.1:80" in sh("ipvsadm -Ln -t 10.97.2.1:80")
        assert "FWM  77 rr" in sh("ipvsadm -Ln")
    finally:
        sh("ipvsadm -D -t 10.97.2.1:80; ipvsadm -D -f 77")


def test_thousands_of_addresses_on_an_interface(vipd):
    """No interface is made, none gets an address."""
    before = [link["ifname"] for link in json.loads(sh("ip -j link"))]
    addrs = sh("ip -br addr")
    one = vipd()
    one.apply("s", manifest(*[document for i in range(200) for document in (
        entrance_service(f"s{i}", f"10.96.205.{i + 1}", externalIPs=[f"198.18.206.{i + 1}"]),
        local_slice(f"s{i}", ["a"]))]))
    one.settle(30)
    assert len(bound()) == 400
    assert [link["ifname"] for link in json.loads(sh("ip -j link"))] == before
    assert sh("ip -br addr") == addrs
    assert answers("client", "198.18.206.77", 80) == "a"


def test_71834_affinity_is_lost_between_the_addresses_of_a_service(vipd):
    assert_case(vipd(), """
        services:
          - {name: s, type: LoadBalancer, affinity: 100, ports: [{port: 80, node_port: 30708}], external: ["EXT(1)"], lb: ["LB(1)"],
             endpoints: [a, b, d]}
        asks:
          - {from: client, to: s, answers: [a, b, d], sticky: true}
          - {from: client, to: s, at: [NP, "EXT(1)", "LB(1)", CLUSTER], answers: [a, b, d], sticky: true, keeps: true}
        """)


def test_every_node_begins_with_the_same_endpoint(vipd):
    """The order of destinations, which decides who gets the first connection, differs by Service."""
    one = vipd()
    one.apply("s", manifest(*[document for i in range(20) for document in (
        service(f"s{i}", f"10.96.204.{100 + i}"), local_slice(f"s{i}", ["a", "b", "c", "d", "e"]))]))
    one.settle()
    first = {answers("client", f"10.96.204.{100 + i}", 80) for i in range(20)}
    assert len(first) >= 3, first


def test_cleanup_leaves_what_is_of_ipv6(vipd):
    one = vipd()
    six = entrance_service("s", "fd00:96::3:1", node_port=30709, externalIPs=["2001:db8:e::77"])
    ends = local_slice("s", ["a"])
    ends["addressType"], ends["endpoints"][0]["addresses"] = "IPv6", [hosts.ADDRS["a"][1]]
    one.apply("s", manifest(six, ends))
    one.settle()
    assert "[fd00:96::3:1]:80" in virtual_servers() and "2001:db8:e::77" in bound()
    one.kill()
    one.run("--cleanup")
    assert virtual_servers() == set() and bound() == set()
    assert "vipd" not in sh("nft list tables")


def test_icmp_errors_about_what_was_translated_are_lost(vipd):
    """A smaller MTU behind the node: who asks hears of it, by a cluster IP and by a node port."""
    one = vipd()
    one.apply("s", manifest(entrance_service("s", "10.96.204.7", node_port=30710), local_slice("s", ["a"])))
    one.settle()
    sh("ip link set v-a mtu 1280")
    try:
        for addr, port in (("10.96.204.7", 80), ("192.0.2.1", 30710)):
            with hosts.inside("client"):
                sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            with sock:
                sock.settimeout(3)
                sock.connect((addr, port))
                sock.send(b"x" * 1400 + b"\n")  # one segment, too large for the pod's link
                assert sock.recv(100).split()[0] == b"a", addr
    finally:
        sh("ip link set v-a mtu 1500")


def test_an_external_ip_takes_the_nodes_own_address(vipd):
    """It is neither bound for the Service nor taken from the node with it."""
    one = vipd()
    one.apply("s", manifest(entrance_service("s", "10.96.204.8", externalIPs=["192.0.2.1"]),
                            local_slice("s", ["a"])))
    one.settle()
    assert "192.0.2.1" not in bound() | elements("vips")
    one.remove("s")
    one.settle()
    assert answers("client", "192.0.2.1", hosts.HOST_PORT) == "node"
