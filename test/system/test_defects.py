# SPDX-License-Identifier: Apache-2.0
"""Where kube-proxy's IPVS mode hurts and vipd does not, continued from test_differences.py: what the way
of programming the kernel decides. The numbers are those of github.com/kubernetes/kubernetes/issues."""
import pathlib
import re
import socket
import subprocess
import time

import pytest

import behaviour
import daemon
import hosts
from test_ipvs import endpoint_slice, manifest, service, sh, simple, virtual_servers, wait_for

pytestmark = pytest.mark.skipif(daemon.MODE != "ipvs", reason="these are about IPVS mode")
RUNNING = ["--audit-period=1h"]  # flags of the daemon of these tests


@pytest.fixture
def clean(running):
    """Without what the tests before it left in the folder."""
    yield running
    for path in running.manifests.glob("*.yaml"):
        path.unlink()
    running.settle()


def who(host, addr, port, seconds=2):
    try:
        return behaviour.request(host, addr, port, "TCP", seconds)[0]
    except behaviour.Reply as reply:
        return str(reply)


def entrances(name, addr, ends, **spec):
    one = service(name, addr)
    one["spec"].update({"type": "NodePort", **spec})
    return manifest(one, endpoint_slice(name, [hosts.ADDRS[end][0] for end in ends]))


def test_refusal_comes_at_the_rate_of_icmp_errors(clean):
    """The suite's node sends as many ICMP errors as it likes, this one a second, as every kernel does."""
    clean.apply("s", entrances("s", "10.96.230.1", [], externalIPs=["198.18.230.1"]))
    clean.settle()
    hosts.sysctl("node", "net.ipv4.icmp_ratelimit=1000")
    try:
        for host in ("client", "c", "node"):
            for addr in ("10.96.230.1", "198.18.230.1"):
                start = time.monotonic()
                got = [who(host, addr, 80, 0.5) for _ in range(20)]
                assert got == ["refused"] * 20, (host, addr, got)
                assert time.monotonic() - start < 2, (host, addr)
    finally:
        hosts.sysctl("node", "net.ipv4.icmp_ratelimit=0")


def forks():
    return int(re.search(r"^processes (\d+)", pathlib.Path("/proc/stat").read_text("ascii"), re.M)[1])


def test_sets_are_filled_by_a_program_for_each_entry(clean):
    """None is run, however many entries come: and none in each round of a daemon that is idle."""
    clean.apply("warm", entrances("warm", "10.96.230.2", ["a"]))
    clean.settle()
    clean.counters()  # nothing of before is on its way
    since = forks()
    clean.apply("s", "---\n".join(entrances(f"s{i}", f"10.96.231.{i + 1}", ["a", "d"],
                                            externalIPs=[f"198.18.231.{i + 1}"]) for i in range(100)))
    wait_for(lambda: "198.18.231.100" in pathlib.Path("/proc/net/fib_trie").read_text("ascii"), 10)
    time.sleep(1)
    assert forks() - since <= 1, "threads count, too: the reading one may start"


def test_66103_a_pods_host_port_takes_the_ports_of_services(clean):
    """The rule of the CNI plugin portmap: whatever is the node's own address, on that port, to the Pod."""
    rule = "-t nat -{} {} -p tcp --dport 80 -m addrtype --dst-type LOCAL -j DNAT --to-destination 10.244.1.4:9090"
    clean.apply("s", entrances("s", "10.96.230.3", ["a"], externalIPs=["198.18.230.3"]))
    clean.settle()
    for variant in ("legacy", "nft"):
        for chain in ("PREROUTING", "OUTPUT"):
            sh(f"xtables-{variant}-multi iptables " + rule.format("A", chain))
        try:
            assert who("client", "192.0.2.1", 80) == "c", "the Pod's host port"
            for host in ("client", "b", "node"):
                for addr in ("10.96.230.3", "198.18.230.3"):
                    assert who(host, addr, 80) == "a", (variant, host, addr)
        finally:
            for chain in ("PREROUTING", "OUTPUT"):
                sh(f"xtables-{variant}-multi iptables " + rule.format("D", chain))


def test_77265_a_set_of_an_older_version_has_another_type(clean):
    """What stands under our table's name is in the way, of whatever type it is: when vipd starts, and
    when somebody loads it beside a running one."""
    clean.apply("s", simple("s", "10.96.230.4", ["a"]))
    clean.settle()
    other = ("add table ip vipd\ndelete table ip vipd\nadd table ip vipd\n"
             "add set ip vipd services { type ipv4_addr; }\n"
             "add map ip vipd nodeports { type inet_service : ipv4_addr; }\n")
    clean.stop()
    subprocess.run(["nft", "-f", "-"], input=other, text=True, check=True)
    clean.start()
    clean.settle()
    assert who("client", "10.96.230.4", 80) == "a"
    subprocess.run(["nft", "-f", "-"], input=other, text=True, check=True)
    clean.settle()
    assert who("client", "10.96.230.4", 80) == "a"
    assert "a helper table of another kind stands, replaced" in clean.log_path.read_text()


def test_a_failed_update_deletes_what_it_could_not_change(clean):
    """It is refused by the kernel (somebody removed the virtual server), made good at once, and no
    other pays for it."""
    for name, addr in (("s", "10.96.230.5"), ("t", "10.96.230.6")):
        clean.apply(name, simple(name, addr, ["a"]))
    clean.settle()
    sh("ipvsadm -D -t 10.96.230.5:80")
    clean.apply("s", simple("s", "10.96.230.5", ["a", "b"]))
    assert wait_for(lambda: {who("client", "10.96.230.5", 80, 0.2) for _ in range(4)} == {"a", "b"}, 5) < 2
    assert {"10.96.230.5:80", "10.96.230.6:80"} <= virtual_servers()
    assert who("client", "10.96.230.6", 80) == "a"


def test_129389_sets_are_full_at_65536_entries(clean):
    """None of ours has a size, and nft knows no other limit."""
    clean.apply("s", entrances("s", "10.96.230.8", ["a"]))
    clean.settle()
    text = sh("nft list table ip vipd")
    sets = re.findall(r"^\t(?:set|map) (\w+) {", text, re.M)
    assert len(sets) >= 15 and {"services", "entrances", "nodeports", "allowed_tcp"} <= set(sets)
    assert not re.search(r"^\t\tsize ", text, re.M), text


def test_139276_masqueraded_flows_get_the_number_of_a_node_port(clean):
    """The ports that masquerading may choose from leave the node ports out, in every rule."""
    clean.apply("s", entrances("s", "10.96.230.9", ["a"]))
    clean.settle()
    rules = re.findall(r"masquerade.*", sh("nft list chain ip vipd postrouting"))
    ranges = {tuple(map(int, found)) for rule in rules
              for found in re.findall(r"to :(\d+)-(\d+)", rule)}
    assert ranges and all(high < 30000 or low > 32767 for low, high in ranges), rules


def test_cost_of_what_comes_in_by_an_entrance_the_first_packet_is_counted(clean):
    """docs/differences.md says so; a change to the better should change it."""
    one = service("s", "10.96.230.10")
    one["spec"].update({"type": "NodePort"})
    one["spec"]["ports"][0]["nodePort"] = 30720
    clean.apply("s", manifest(one, endpoint_slice("s", [hosts.ADDRS["a"][0]])))
    clean.settle()

    def packets():
        found = re.search(r"10\.96\.230\.10:80 +(\d+) +(\d+) +(\d+)", sh("ipvsadm -Ln --stats --exact"))
        return tuple(map(int, found.groups()))
    with hosts.inside("client"):
        sock = socket.create_connection(("192.0.2.1", 30720))
    with sock:
        for _ in range(20):
            sock.send(b"who\n")
            assert sock.recv(100).split()[0] == b"a"
        wait_for(lambda: packets()[2] >= 20, 5, 0.2)  # the kernel adds up every two seconds
        assert packets()[:2] == (1, 1)
        assert "ESTABLISHED 198.51.100.2" in sh("ipvsadm -Lnc")
