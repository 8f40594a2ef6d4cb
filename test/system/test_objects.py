# SPDX-License-Identifier: Apache-2.0
"""Which objects stand in the kernel for entrances in IPVS mode, and what becomes of them when nodes,
people and kills get in the way. What packets make of them is the behaviour suite's."""
import json
import os
import random
import re
import subprocess
import time

import pytest

import behaviour
import daemon
import hosts
import test_health
from test_ipvs import endpoint_slice, manifest, service, sh, virtual_servers, wait_for

pytestmark = pytest.mark.skipif(daemon.MODE != "ipvs", reason="these are about IPVS mode")
SOAK = os.environ.get("SOAK") == "1"


def entrance_service(name, addr, node_port=0, **spec):
    """A Service of one port with `spec` on top; lb=[...] are its load balancer's addresses."""
    one = service(name, addr)
    if node_port:
        one["spec"]["ports"][0]["nodePort"] = node_port
    ingress = [{"ip": ip} for ip in spec.pop("lb", [])]
    one["spec"].update(type="LoadBalancer" if ingress else "NodePort" if node_port else "ClusterIP",
                       **spec)
    if ingress:
        one["status"] = {"loadBalancer": {"ingress": ingress}}
    return one


def local_slice(name, names):
    """Endpoints that say on which node they are."""
    one = endpoint_slice(name, [hosts.ADDRS[n][0] for n in names])
    for item, host in zip(one["endpoints"], names):
        item["nodeName"] = "node" if host in hosts.LOCAL else "node2"
    return one


def elements(name, family="ip"):
    """A set's or map's elements, as nft prints them, without whitespace."""
    text = sh(f"nft list {'map' if name.startswith(('entr', 'nodeports')) and 'masq' not in name and 'local' not in name else 'set'}"
              f" {family} vipd {name}")
    found = re.search(r"elements = \{(.*?)\}", text, re.S)
    return {re.sub(r"\s", "", item) for item in found[1].split(",")} if found else set()


def bound():
    return set(re.findall(r"^local (\S+)", sh("ip route show table local proto 118; "
                                              "ip -6 route show table local proto 118"), re.M))


def answers(host, addr, port, proto="TCP"):
    """Who answers, or how it ended."""
    try:
        return behaviour.request(host, addr, port, proto, 0.5)[0]
    except behaviour.Reply as reply:
        return str(reply)


FIVE = [f"198.18.201.{n}" for n in range(1, 6)]


def test_one_virtual_server_whatever_the_number_of_entrances(vipd):
    """Five external IPs and a node port on every node address are map elements; the pool is one."""
    one = vipd()
    spec = {"node_port": 30501, "externalIPs": FIVE}
    one.apply("s", manifest(entrance_service("s", "10.96.201.1", **spec), local_slice("s", ["a", "d"])))
    one.settle()
    assert virtual_servers() == {"10.96.201.1:80"}
    assert elements("entrances") == {f"{ip}.tcp.80:10.96.201.1.80" for ip in FIVE}
    assert elements("nodeports") == {"tcp.30501:10.96.201.1.80"}
    assert bound() == {"10.96.201.1", *FIVE}
    spec["externalTrafficPolicy"] = "Local"
    one.apply("s", manifest(entrance_service("s", "10.96.201.1", **spec), local_slice("s", ["a", "d"])))
    one.settle()
    assert virtual_servers() == {"10.96.201.1:80", "10.96.201.1:49313"}
    assert elements("entrances") == {f"{ip}.tcp.80:10.96.201.1.49313" for ip in FIVE}
    assert elements("entrances_cluster") == {f"{ip}.tcp.80:10.96.201.1.80" for ip in FIVE}
    one.remove("s")
    one.settle()
    assert virtual_servers() == set() and bound() == set()
    for name in ("entrances", "entrances_cluster", "nodeports", "nodeports_cluster", "vips", "inner",
                 "services", "masq", "nodeports_masq", "nodeports_local", "dropped", "refused", "hairpin"):
        assert elements(name) == set(), name


def cost_of_an_endpoint(one, name, addr, **spec):
    """Messages to the kernel for one endpoint more."""
    one.apply(name, manifest(entrance_service(name, addr, **spec), local_slice(name, ["a"])))
    one.settle()
    before = one.counters()["kernel_writes"]
    one.apply(name, manifest(entrance_service(name, addr, **spec), local_slice(name, ["a", "b"])))
    one.settle()
    return one.counters()["kernel_writes"] - before


def test_an_endpoint_costs_the_same_however_many_entrances(vipd):
    one = vipd("--audit-period=1h")
    cost_of_an_endpoint(one, "first", "10.96.201.20")  # hairpin elements are there from here on
    plain = cost_of_an_endpoint(one, "plain", "10.96.201.2")
    many = cost_of_an_endpoint(one, "many", "10.96.201.3", node_port=30502,
                               externalIPs=[f"198.18.202.{n}" for n in range(1, 60)])
    policy = cost_of_an_endpoint(one, "policy", "10.96.201.4", node_port=30503,
                                 externalTrafficPolicy="Local",
                                 externalIPs=[f"198.18.203.{n}" for n in range(1, 60)])
    assert 0 < many == plain, (plain, many)
    assert policy <= plain + 1, (plain, policy)  # one destination in each of two virtual servers


def test_addresses_of_the_node_are_never_bound(vipd):
    """An external IP that is the node's own: reached, but neither bound, guarded nor taken away."""
    one = vipd()
    one.apply("s", manifest(entrance_service("s", "10.96.201.5", externalIPs=["192.0.2.1", "198.51.100.1"]),
                            local_slice("s", ["a"])))
    one.settle()
    assert bound() == {"10.96.201.5"} and elements("vips") == {"10.96.201.5"}
    assert answers("client", "192.0.2.1", 80) == "a"
    assert answers("client", "192.0.2.1", hosts.HOST_PORT) == "node"
    one.remove("s")
    one.settle()
    assert answers("client", "192.0.2.1", hosts.HOST_PORT) == "node"
    assert "192.0.2.1/24" in sh("ip addr show dev to-node2")


def test_an_address_becomes_the_nodes_own_and_ceases_to_be(vipd):
    """What was bound for a Service is let go when the node gets it, and bound again afterwards."""
    one = vipd("--audit-period=1h")
    one.apply("s", manifest(entrance_service("s", "10.96.201.6", externalIPs=["198.18.201.9"]),
                            local_slice("s", ["a"])))
    one.settle()
    assert "198.18.201.9" in bound()
    sh("ip addr add 198.18.201.9/32 dev to-client2")
    try:
        took = wait_for(lambda: "198.18.201.9" not in bound() and
                        "198.18.201.9" not in elements("vips"), 3)
        assert answers("client", "198.18.201.9", 80) == "a"
        assert answers("client", "198.18.201.9", hosts.HOST_PORT) == "node"
    finally:
        sh("ip addr del 198.18.201.9/32 dev to-client2")
    again = wait_for(lambda: "198.18.201.9" in bound() and "198.18.201.9" in elements("vips"), 3)
    assert answers("client", "198.18.201.9", 80) == "a"
    assert answers("client", "198.18.201.9", hosts.HOST_PORT) == "refused"
    assert took < 1 and again < 1, (took, again)


@pytest.mark.parametrize("addr, length, family", [("198.51.100.77", 24, "ip"),
                                                  ("2001:db8:100::77", 64, "ip6")])
def test_node_addresses_are_followed(vipd, addr, length, family):
    """Node ports answer at a new address within a second, and no more at one that went."""
    one = vipd("--audit-period=1h")
    cluster_ip = "10.96.201.7" if family == "ip" else "fd00:96::2:7"
    ends = local_slice("s", ["a"])
    if family == "ip6":
        ends["addressType"] = "IPv6"
        ends["endpoints"][0]["addresses"] = [hosts.ADDRS["a"][1]]
    one.apply("s", manifest(entrance_service("s", cluster_ip, node_port=30504), ends))
    one.settle()
    assert addr not in elements("node_addrs", family)
    nodad = " nodad" if family == "ip6" else ""
    sh(f"ip addr add {addr}/{length} dev to-client{nodad}")
    try:
        came = wait_for(lambda: answers("client", addr, 30504) == "a", 3)
        assert addr in elements("node_addrs", family)
    finally:
        sh(f"ip addr del {addr}/{length} dev to-client")
    went = wait_for(lambda: addr not in elements("node_addrs", family), 3)
    assert came < 1 and went < 1, (came, went)
    assert one.counters()["audits"] <= 1, "an audit found it, not the event"


def test_many_addresses_at_once(vipd):
    """200 addresses come and go in one go: none is forgotten, none is left."""
    one = vipd("--audit-period=1h")
    one.apply("s", manifest(entrance_service("s", "10.96.201.8", node_port=30505), local_slice("s", ["a"])))
    one.settle()
    before = elements("node_addrs")
    addrs = [f"203.0.113.{n}" for n in range(20, 220)]
    hosts.ip([f"addr add {addr}/24 dev to-client2" for addr in addrs])
    wait_for(lambda: elements("node_addrs") == before | set(addrs), 3)
    hosts.ip([f"addr del {addr}/24 dev to-client2" for addr in addrs])
    wait_for(lambda: elements("node_addrs") == before, 3)


def test_a_link_goes_and_comes(vipd):
    """Addresses go with their link; those of a link that is down are still the node's."""
    one = vipd("--audit-period=1h")
    one.apply("s", manifest(entrance_service("s", "10.96.201.18", node_port=30506), local_slice("s", ["a"])))
    one.settle()
    hosts.ip(["link add extra type veth peer name extra-peer", "addr add 203.0.114.1/24 dev extra",
              "link set extra up", "link set extra-peer up"])
    wait_for(lambda: "203.0.114.1" in elements("node_addrs"), 1)
    hosts.ip(["link del extra"])
    wait_for(lambda: "203.0.114.1" not in elements("node_addrs"), 1)


def test_inner_ports_are_closed(vipd):
    """They answer whoever came by an entrance, and nobody who asks them."""
    one = vipd()
    one.apply("s", manifest(entrance_service("s", "10.96.201.9", node_port=30507, lb=["198.19.201.1"],
                                             externalTrafficPolicy="Local", internalTrafficPolicy="Local"),
                            local_slice("s", ["a", "d"])))
    one.settle()
    assert virtual_servers() == {"10.96.201.9:80", "10.96.201.9:49312", "10.96.201.9:49313"}
    assert elements("inner") == {"10.96.201.9.tcp.49312", "10.96.201.9.tcp.49313"}
    for host in ("client", "c", "node"):
        for port in (49312, 49313):
            assert answers(host, "10.96.201.9", port) == "refused", (host, port)
    assert answers("client", "198.19.201.1", 80) == "a"
    assert answers("client", "192.0.2.1", 30507) == "a"


def whole_state():
    """All that stands in the kernel but counters and handles."""
    state = {"ipvs": sorted(re.sub(r"\d+ +\d+ *$", "", line) for line in sh("ipvsadm -Ln").split("\n")),
             "bound": bound()}
    for family in ("ip", "ip6"):
        for item in json.loads(sh(f"nft -j list table {family} vipd", check=False) or "{}").get("nftables", []):
            for kind in ("set", "map"):
                if kind in item:
                    state[family, item[kind]["name"]] = sorted(map(json.dumps, item[kind].get("elem", [])))
    return state


def everything(chosen, count, removed=0):
    """That many Services with entrances of every kind, some of them gone."""
    documents = []
    for i in range(count):
        spec = {}
        if chosen.random() < 0.5:
            spec["externalIPs"] = [f"198.18.{210 + chosen.randint(0, 3)}.{chosen.randint(1, 60)}"
                                   for _ in range(chosen.randint(1, 3))]
        if chosen.random() < 0.5:
            spec["lb"] = [f"198.19.{210 + i // 200}.{i % 200 + 1}"]
            if chosen.random() < 0.7:
                spec["loadBalancerSourceRanges"] = chosen.sample(
                    ["198.51.100.0/24", "198.51.0.0/16", "203.0.113.2/32", "0.0.0.0/0", "10.244.0.0/16"],
                    chosen.randint(1, 3))
        if chosen.random() < 0.4:
            spec["externalTrafficPolicy"] = "Local"
        if chosen.random() < 0.2:
            spec["internalTrafficPolicy"] = "Local"
        if i >= removed:
            documents += [entrance_service(f"e{i}", f"10.96.{210 + i // 200}.{i % 200 + 1}",
                                           chosen.choice((0, 31000 + i)), **spec),
                          local_slice(f"e{i}", chosen.sample(["a", "b", "c", "d", "e"], chosen.randint(0, 3)))]
    return manifest(*documents)


def test_restart_writes_nothing(vipd):
    one = vipd("--audit-period=1h")
    one.apply("all", everything(random.Random(4), 150))
    one.settle(60)
    before = whole_state()
    for stop in (one.stop, one.kill):
        stop()
        since = one.mark_log()
        one.start()
        one.wait_log('msg="in the kernel"', since)
        assert one.counters()["kernel_writes"] == 0
    assert whole_state() == before


def test_killed_while_entrances_change(vipd):
    """kill -9 in the middle of changes of every kind; what is left is finished by the next one."""
    one = vipd("--drain-timeout=0", begin=False)
    chosen = random.Random(5)
    for i in range(100 if SOAK else 12):
        one.apply("all", everything(random.Random(i), 100 + 5 * (i % 10), removed=i % 40))
        since = one.mark_log()
        one.start()
        one.wait_log('msg="manifests read"', since)
        time.sleep(chosen.uniform(0.0, 0.15))
        one.kill()
    one.apply("all", everything(random.Random(999), 20))
    one.start()
    one.settle(60)
    kept = whole_state()
    one.kill()
    one.run("--cleanup")
    one.start()
    one.settle(60)
    assert kept == whole_state(), "it is not as if it had been made from nothing"


FOREIGN = [  # what somebody adds, where it shows
    ("nodeports", "{ tcp . 31999 : 10.96.201.10 . 80 }"),
    ("entrances", "{ 198.18.250.1 . tcp . 80 : 10.96.201.10 . 80 }"),
    ("allowed_tcp", "{ 198.19.201.2 . 80 . 203.0.113.0/24 }"),
    ("masq", "{ 198.18.250.1 . tcp . 80 }"),
    ("restricted", "{ 198.18.201.11 . tcp . 80 }"),
    ("node_addrs", "{ 198.18.250.1 }"),
    ("refused", "{ 10.96.201.10 . tcp . 80 }"),
    ("dropped", "{ 10.96.201.10 . tcp . 80 }"),
    ("inner", "{ 10.96.201.10 . tcp . 80 }"),
    ("nodeports_local", "{ tcp . 30508 }"),
]
LOST = [  # what somebody removes or changes, where it shows
    ("nodeports", "delete element ip vipd nodeports { tcp . 30508 }"),
    ("entrances", "delete element ip vipd entrances { 198.18.201.11 . tcp . 80 }"),
    ("allowed_tcp", "delete element ip vipd allowed_tcp { 198.19.201.2 . 80 . 198.51.100.0/24 }"),
    ("restricted", "delete element ip vipd restricted { 198.19.201.2 . tcp . 80 }"),
    ("nodeports_masq", "delete element ip vipd nodeports_masq { tcp . 30508 }"),
    ("node_addrs", "delete element ip vipd node_addrs { 192.0.2.1 }"),
    ("nodeports", "delete element ip vipd nodeports { tcp . 30508 }\n"
                  "add element ip vipd nodeports { tcp . 30508 : 10.96.201.10 . 81 }"),
    ("entrances", "delete element ip vipd entrances { 198.18.201.11 . tcp . 80 }\n"
                  "add element ip vipd entrances { 198.18.201.11 . tcp . 80 : 10.96.99.1 . 80 }"),
    ("nodeports", "flush map ip vipd nodeports"),
    ("entrances", "flush map ip vipd entrances"),
    ("allowed_tcp", "flush set ip vipd allowed_tcp"),
    ("node_addrs", "flush set ip vipd node_addrs"),
]


def put_tampered(one):
    one.apply("s", manifest(entrance_service("s", "10.96.201.10", node_port=30508, lb=["198.19.201.2"],
                                             externalIPs=["198.18.201.11"],
                                             loadBalancerSourceRanges=["198.51.100.0/24"]),
                            local_slice("s", ["a"])))
    one.settle()


def tamper(commands):
    """Does each; what was not as before a second later, by command."""
    wrong = {}
    for name, command in commands:
        want = elements(name)
        subprocess.run(["nft", "-f", "-"], input=command, text=True, check=True)
        end = time.monotonic() + 1
        while elements(name) != want and time.monotonic() < end:
            time.sleep(0.01)
        if elements(name) != want:
            wrong[command] = elements(name) ^ want
    return wrong


def assert_tampered_answers():
    assert answers("client", "198.18.201.11", 80) == "a"
    assert answers("client", "192.0.2.1", 30508) == "a"
    assert answers("client", "198.19.201.2", 80) == "a"
    assert answers("client2", "198.19.201.2", 80) == "dropped"


def test_elements_of_others_go(vipd):
    """The next audit finds what somebody put between ours."""
    one = vipd("--audit-period=100ms")
    put_tampered(one)
    assert not tamper([(name, f"add element ip vipd {name} {elem}") for name, elem in FOREIGN])
    one.settle()
    assert_tampered_answers()


def test_elements_removed_or_changed_are_back(vipd):
    """Told by the kernel, not found by an audit."""
    one = vipd("--audit-period=1h")
    put_tampered(one)
    before = whole_state()
    assert not tamper(LOST)
    one.settle()
    assert whole_state() == before
    assert_tampered_answers()


def test_elements_changed_while_it_was_down(vipd):
    one = vipd()
    one.apply("s", manifest(entrance_service("s", "10.96.201.11", node_port=30509, lb=["198.19.201.3"],
                                             loadBalancerSourceRanges=["198.51.100.0/24", "203.0.113.0/25"]),
                            local_slice("s", ["a"])))
    one.settle()
    before = whole_state()
    one.kill()
    subprocess.run(["nft", "-f", "-"], text=True, check=True, input="""
        add element ip vipd nodeports { tcp . 31998 : 10.96.201.11 . 80 }
        delete element ip vipd nodeports { tcp . 30509 }
        add element ip vipd nodeports { tcp . 30509 : 10.96.99.9 . 1 }
        delete element ip vipd allowed_tcp { 198.19.201.3 . 80 . 203.0.113.0/25 }
        add element ip vipd allowed_tcp { 198.19.201.3 . 80 . 203.0.113.0/24 }
        add element ip vipd dropped { 10.96.201.11 . tcp . 80 }
        flush set ip vipd vips
        """)
    sh("ip route del local 198.19.201.3 dev lo table local proto 118")
    one.start()
    one.settle()
    assert whole_state() == before


def test_a_cluster_ip_that_changes_hands_takes_its_entrances_along(vipd):
    """No map element leads to another Service's virtual server."""
    one = vipd()
    young = entrance_service("young", "10.96.201.12", node_port=30510, externalIPs=["198.18.201.12"])
    young["metadata"]["creationTimestamp"] = "2025-01-01T00:00:00Z"
    old = service("old", "10.96.201.12")
    old["metadata"]["creationTimestamp"] = "2024-01-01T00:00:00Z"
    one.apply("young", manifest(young, local_slice("young", ["a"])))
    one.settle()
    assert elements("nodeports") == {"tcp.30510:10.96.201.12.80"}
    one.apply("old", manifest(old, local_slice("old", ["b"])))
    one.settle()
    assert elements("nodeports") == set() and elements("entrances") == set()
    one.remove("old")
    one.settle()
    assert elements("nodeports") == {"tcp.30510:10.96.201.12.80"}
    assert elements("entrances") == {"198.18.201.12.tcp.80:10.96.201.12.80"}
    assert "nowhere to lead to" in one.log_path.read_text()


def test_health_checks_are_where_node_ports_are(vipd):
    """--nodeport-addresses holds for health-check node ports; an address that comes later counts."""
    one = vipd("--nodeport-addresses=192.0.2.0/24")
    one.apply("web", test_health.manifest(test_health.load_balancer(),
                                          test_health.endpoints("a", local="a")))
    test_health.until(lambda: test_health.status(addr="192.0.2.1") == 200)
    assert test_health.refuses(test_health.HEALTH_PORT, addr="198.51.100.1")
    sh("ip addr add 192.0.2.77/32 dev to-client")
    try:
        test_health.until(lambda: test_health.status(addr="192.0.2.77") == 200)
    finally:
        sh("ip addr del 192.0.2.77/32 dev to-client")
    assert test_health.status(addr="192.0.2.1") == 200
