# SPDX-License-Identifier: Apache-2.0
"""What Services ask for by annotation, in IPVS mode; docs/annotations.md."""
import collections
import contextlib
import re
import socket

import pytest

import behaviour
import daemon
import hosts
from test_ipvs import endpoint_slice, manifest, service, sh, wait_for

pytestmark = pytest.mark.skipif(daemon.MODE != "ipvs", reason="these are about IPVS mode")
VIP = "10.96.230.1"


def annotated(annotations, names, port=8080, proto="TCP"):
    one = service("s", VIP, port, proto)
    one["metadata"]["annotations"] = {f"vipd.dev/{key}": value for key, value in annotations.items()}
    slices = endpoint_slice("s", [hosts.ADDRS[n][0] for n in names], 8080, proto)
    for endpoint, name in zip(slices["endpoints"], names):
        endpoint["nodeName"] = "node" if name in hosts.LOCAL else "node2"
    return manifest(one, slices)


def spread(host, times, port=8080):
    return dict(collections.Counter(behaviour.request(host, VIP, port, "TCP", 2)[0]
                                    for _ in range(times)))


def servers():
    return sh(f"ipvsadm -Ln -t {VIP}:8080")


def test_weights(vipd):
    one = vipd()
    one.apply("s", annotated({"weights": f"{hosts.ADDRS['a'][0]}=3, node2=2"}, ["a", "b", "d"]))
    one.settle()
    assert spread("c", 12) == {"a": 6, "b": 2, "d": 4}
    assert " wrr" in servers()
    one.apply("s", annotated({"weights": f"{hosts.ADDRS['a'][0]}=0"}, ["a", "b", "d"]))
    one.settle()
    assert spread("c", 12) == {"b": 6, "d": 6}


def test_fallback(vipd):
    """Another Service helps out while there is no endpoint, and its changes are followed."""
    one = vipd("--drain-timeout=1s")
    sorry = service("sorry", "10.96.230.2", 9999)

    def helped_by(names):
        return manifest(sorry, endpoint_slice("sorry", [hosts.ADDRS[n][0] for n in names]))
    one.apply("s", annotated({"fallback": "sorry"}, []))
    one.settle()
    assert "there is no such Service" in one.log_path.read_text()
    with pytest.raises(behaviour.Reply, match="refused"):
        spread("c", 1)
    one.apply("sorry", helped_by(["b"]))
    one.settle()
    assert spread("c", 4) == {"b": 4}
    one.apply("sorry", helped_by(["d"]))
    one.settle()
    assert spread("c", 4) == {"d": 4}
    one.apply("s", annotated({"fallback": "sorry"}, ["a"]))
    one.settle()
    assert spread("c", 4) == {"a": 4}


def test_connection_limits(vipd):
    one = vipd()
    one.apply("s", annotated({"connections-max": "2", "connections-min": "1"}, ["a"]))
    one.settle()
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            with hosts.inside("c"):
                sock = stack.enter_context(socket.socket())
            sock.settimeout(2)
            sock.connect((VIP, 8080))
            sock.send(b"who\n")
            assert sock.recv(100).startswith(b"a ")
        with pytest.raises(behaviour.Reply):
            spread("c", 1)
    one.apply("s", annotated({}, ["a"]))
    one.settle()
    assert spread("c", 4) == {"a": 4}
    assert re.search(r"8080\s+0\s+0\s", sh(f"ipvsadm -Ln --thresholds -t {VIP}:8080"))


def test_slow_start(vipd):
    """One that comes to others begins with little; the first ones do not."""
    one = vipd()
    one.apply("s", annotated({"slow-start": "4s"}, ["a", "b"]))
    one.settle()

    def weights():
        return {addr: int(weight) for addr, weight in
                re.findall(r"(10\.244\.\S+):8080\s+Masq\s+(\d+)", servers())}
    a, b, d = (hosts.ADDRS[name][0] for name in "abd")
    assert weights() == {a: 10, b: 10}
    one.apply("s", annotated({"slow-start": "4s"}, ["a", "b", "d"]))
    wait_for(lambda: d in weights(), 2)
    assert weights()[d] <= 2
    seen = set()

    def grown():
        seen.add(weights()[d])
        return weights()[d] == 10
    assert 2 < wait_for(grown, 8) < 7
    assert len(seen) >= 3 and weights() == {a: 10, b: 10, d: 10}
    assert spread("c", 12) == {"a": 4, "b": 4, "d": 4}


def test_one_packet(vipd):
    one = vipd()
    one.apply("s", annotated({"one-packet": "true"}, ["a", "b"], 53, "UDP"))
    one.settle()
    with hosts.inside("c"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(1)
        got = collections.Counter()
        for _ in range(10):
            sock.sendto(b"who\n", (VIP, 53))
            got[sock.recv(100).split()[0]] += 1
    assert got == {b"a": 5, b"b": 5}


def test_scheduler_flags(vipd):
    one = vipd()
    one.apply("s", annotated({"scheduler": "sh", "scheduler-flags": "sh-port"}, ["a", "b"]))
    one.settle()
    assert "sh (sh-fallback,sh-port)" in servers()
    one.apply("s", annotated({"scheduler": "sh", "scheduler-flags": "mh-port, fast"}, ["a", "b"]))
    one.settle()
    assert "sh (sh-fallback)" in servers()
    log = one.log_path.read_text()
    assert "mh-port is for scheduler mh" in log and '\\"fast\\" is no flag' in log


@contextlib.contextmanager
def way_past_the_node(name):
    """The pod has the VIP, and a link of its own to the client."""
    sh(f"ip link add dr0 netns {name} type veth peer name dr0 netns client")
    sh(f"ip -n {name} addr add {VIP}/32 dev lo; ip -n {name} addr add 10.9.9.2/24 dev dr0; "
       f"ip -n {name} link set dr0 up; ip -n client addr add 10.9.9.1/24 dev dr0; "
       f"ip -n client link set dr0 up; ip -n {name} route add 198.51.100.2/32 via 10.9.9.1")
    yield
    sh(f"ip -n client link del dr0; ip -n {name} addr del {VIP}/32 dev lo", check=False)


def test_direct_routing(vipd):
    one = vipd()
    one.apply("s", annotated({"forwarding": "direct"}, ["a"]))
    with way_past_the_node("a"):
        one.settle()
        assert re.search(r"10\.244\.1\.2:8080\s+Route", servers())
        for _ in range(4):
            assert behaviour.request("client", VIP, 8080, "TCP", 2) == ("a", hosts.ADDRS["client"][0])
    one.apply("s", annotated({}, ["a"]))
    one.settle()
    assert re.search(r"10\.244\.1\.2:8080\s+Masq", servers())
    assert spread("client", 4) == {"a": 4}


def test_tunnel(vipd):
    one = vipd()
    one.apply("s", annotated({"forwarding": "tunnel", "tunnel": "ipip"}, ["a"]))
    with way_past_the_node("a"):
        sh("ip -n a link add ipip0 type ipip local 10.244.1.2 remote any; ip -n a link set ipip0 up; "
           "ip netns exec a sysctl -qw net.ipv4.conf.ipip0.rp_filter=0 net.ipv4.conf.all.rp_filter=0")
        one.settle()
        assert re.search(r"10\.244\.1\.2:8080\s+Tunnel", servers())
        for _ in range(4):
            assert behaviour.request("client", VIP, 8080, "TCP", 2) == ("a", hosts.ADDRS["client"][0])
        sh("ip -n a link del ipip0")


def test_forwarding_that_cannot_be(vipd):
    """Another port than the endpoint's needs masquerading: said, and done."""
    one = vipd()
    one.apply("s", annotated({"forwarding": "direct"}, ["a"], 80))
    one.settle()
    assert spread("c", 2, 80) == {"a": 2}
    wait_for(lambda: "only masqueraded endpoints can have" in one.log_path.read_text(), 1)
