# SPDX-License-Identifier: Apache-2.0
"""What vipd promises in IPVS mode while things change, break and are done by others."""
import collections
import json
import os
import random
import re
import signal
import subprocess
import time

import pytest
import yaml

import behaviour
import daemon
import hosts

pytestmark = pytest.mark.skipif(daemon.MODE != "ipvs", reason="these are about IPVS mode")
TRAFFIC = os.environ.get("TRAFFIC", "build/test/system/traffic")
SOAK = os.environ.get("SOAK") == "1"


def sh(command, check=True):
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def service(name, addr, port=80, proto="TCP"):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"clusterIP": addr, "ports": [{"port": port, "protocol": proto}]}}


def endpoint_slice(name, addrs, port=8080, proto="TCP"):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "ports": [{"port": port, "protocol": proto}],
            "endpoints": [{"addresses": [addr]} for addr in addrs]}


def manifest(*documents):
    return "---\n".join(yaml.safe_dump(document) for document in documents)


def simple(name, addr, names, port=80, proto="TCP"):
    return manifest(service(name, addr, port, proto),
                    endpoint_slice(name, [hosts.ADDRS[n][0] for n in names], 8080, proto))


def many(count):
    """That many Services beside those under test, three endpoints each."""
    documents = []
    for i in range(count):
        name = f"many-{i}"
        documents += [service(name, f"10.96.{i // 250}.{i % 250 + 1}"),
                      endpoint_slice(name, [f"10.244.3.{i % 250 + 1}", f"10.244.4.{i % 250 + 1}",
                                            f"10.244.5.{i % 250 + 1}"])]
    return manifest(*documents)


class Traffic:
    """traffic load or pace, in the background; its JSON when it is over."""

    def __init__(self, *args):
        self.process = subprocess.Popen([TRAFFIC, *map(str, args)], stdout=subprocess.PIPE,
                                        text=True)

    def running(self):
        return self.process.poll() is None

    def result(self, seconds=120):
        out, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0
        return json.loads(out)


def wait_for(what, seconds=5.0, pause=0.01):
    """Seconds until what() is true."""
    start = time.monotonic()
    while not what():
        assert time.monotonic() - start < seconds, f"not after {seconds} s: {what}"
        time.sleep(pause)
    return time.monotonic() - start


def virtual_servers():
    return set(re.findall(r"^(?:TCP|UDP|SCTP)\s+(\S+)", sh("ipvsadm -Ln"), re.M))


def sustainable_rate():
    """The most new connections a second that this guest bears without vipd, at most 300: straight to
    a pod, as many as are answered in time."""
    for rate in (300, 200, 120, 60):
        result = Traffic("load", "client", hosts.ADDRS["a"][0], 8080, rate, 0, 2).result()
        if result["answered"] == result["started"] >= rate * 1.8:
            return rate
    raise AssertionError(f"this guest bears no load: {result}")


def test_scale_under_load(vipd):
    """New connections fail never, kept ones only where their endpoint went and the deadline passed."""
    sh("ip -n client route replace 10.244.0.0/16 via 198.51.100.1")
    rate = sustainable_rate()
    total = 100000 if SOAK else 10000
    seconds = total / rate * 1.2 + 2  # a busy machine starts them late
    one = vipd("--drain-timeout=1h")
    one.apply("s", simple("s", "10.96.200.1", ["a", "b", "d"]))
    one.settle()
    load = Traffic("load", "client", "10.96.200.1", 80, rate, 200, seconds)
    chosen = random.Random(1)
    changes = 0
    while load.running():
        names = chosen.sample(["a", "b", "c", "d", "e"], chosen.randint(1, 5))
        one.apply("s", simple("s", "10.96.200.1", names))
        changes += 1
        time.sleep(1)
    result = load.result()
    print(rate, changes, result)
    assert result["answered"] == result["started"] >= total, result
    assert result["kept_broken"] == 0 and result["kept_moved"] == 0, result
    assert changes >= seconds * 0.6


def test_drain_deadline(vipd):
    """A removed endpoint's connections live until the deadline and end then; others live on."""
    one = vipd("--drain-timeout=3s")
    one.apply("s", simple("s", "10.96.200.2", ["a", "b"]))
    one.settle()
    kept = Traffic("load", "client", "10.96.200.2", 80, 0, 20, 9)
    time.sleep(1.5)
    one.apply("s", simple("s", "10.96.200.2", ["b"]))
    time.sleep(1.5)
    lines = sh("ipvsadm -Ln -t 10.96.200.2:80")
    assert re.search(r"10\.244\.1\.2:8080\s+Masq\s+0\s+10", lines), lines
    result = kept.result()
    assert result["broken_on"] == {"a": 10}, result
    assert result["kept_on"] == {"a": 10, "b": 10}, result
    assert "10.244.1.2:8080" not in sh("ipvsadm -Ln -t 10.96.200.2:80")


def test_idle_endpoint_goes_at_once(vipd):
    one = vipd("--drain-timeout=1h")
    one.apply("s", simple("s", "10.96.200.3", ["a", "b"]))
    one.settle()
    one.apply("s", simple("s", "10.96.200.3", ["b"]))
    wait_for(lambda: "10.244.1.2:8080" not in sh("ipvsadm -Ln"), 1)


def test_whole_service_drains(vipd):
    """A deleted Service refuses new connections at once and keeps the old ones until the deadline."""
    one = vipd("--drain-timeout=3s")
    one.apply("s", simple("s", "10.96.200.4", ["a"]))
    one.settle()
    kept = Traffic("load", "client", "10.96.200.4", 80, 0, 5, 7)
    time.sleep(1)
    one.remove("s")
    time.sleep(0.5)
    with pytest.raises(behaviour.Reply, match="refused"):
        behaviour.request("client", "10.96.200.4", 80, "TCP", 1)
    assert "10.96.200.4:80" in virtual_servers()
    result = kept.result()
    assert result["broken_on"] == {"a": 5}, result
    wait_for(lambda: "10.96.200.4:80" not in virtual_servers(), 3)
    assert "10.96.200.4" not in sh("ip route show table local proto 118")


def test_udp_moves_within_a_second(vipd):
    one = vipd()
    one.apply("s", simple("s", "10.96.200.5", ["a"], 53, "UDP"))
    one.settle()
    asker = hosts.Asker("client", "10.96.200.5", 53)
    assert asker.who() == "a"
    one.apply("s", simple("s", "10.96.200.5", ["b"], 53, "UDP"))
    assert wait_for(lambda: asker.who() == "b", 3) < 1.0


class Untouched:
    """Numbered datagrams to a Service that nobody changes, until the block ends."""

    def __init__(self, rate):
        self.traffic = Traffic("pace", "client", "10.96.210.1", 53, rate, 3600)
        self.result = None

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.traffic.process.send_signal(signal.SIGTERM)
        self.result = self.traffic.result(30)
        print(self.result)


KILLS = 100 if SOAK else 30
KILLS_EACH_BATCH = 10 if SOAK else 5  # of so many kills one is in the middle of a change


def test_kill_and_restart_under_load(vipd):
    """kill -9 and restart: an untouched Service loses no datagram that a run without vipd keeps, and
    when nothing changed nothing is written."""
    rate = 2000
    one = vipd()
    one.apply("many", many(1000))
    one.apply("untouched", simple("untouched", "10.96.210.1", ["a"], 53, "UDP"))
    one.settle(60)
    one.stop()
    with Untouched(rate) as alone:
        time.sleep(10)
    chosen = random.Random(2)
    writes = collections.Counter()
    with Untouched(rate) as restarted:
        for i in range(KILLS):
            since = one.mark_log()
            if i % KILLS_EACH_BATCH == 0:  # killed while 300 Services come or go
                one.apply("many", many(1300 if i % (2 * KILLS_EACH_BATCH) == 0 else 1000))
                one.start()
                one.wait_log('msg="manifests read"', since)
                time.sleep(chosen.uniform(0.01, 0.3))
            else:
                one.start()
                one.wait_log('msg="in the kernel"', since)
                if i % KILLS_EACH_BATCH == 1:  # it finishes what the killed one began
                    one.settle(30)
                else:
                    writes[one.counters()["kernel_writes"]] += 1
            one.kill()
    print(writes)
    assert set(writes) == {0}
    assert restarted.result["sent"] > alone.result["sent"]
    assert restarted.result["gaps"] <= alone.result["gaps"]
    one.start()
    one.settle(60)


def test_killed_in_the_middle_converges(vipd):
    one = vipd(begin=False)
    for i in range(10):
        one.apply("many", many(200 + 50 * i))
        one.start()
        time.sleep(0.05 + 0.03 * i)
        one.kill()
    one.start()
    one.settle(60)
    assert len(virtual_servers()) == 650
    assert sh("ip route show table local proto 118").count("\n") == 650


def test_foreign_virtual_servers_are_left_alone(vipd):
    """Another program adds, changes and deletes its own all the time; none of it is touched."""
    one = vipd("--audit-period=50ms")
    one.apply("s", simple("s", "10.96.200.6", ["a", "b"]))
    one.settle()
    audits = 1000
    first = one.counters()["audits"]
    mine = {}
    chosen = random.Random(3)
    end = time.monotonic() + 200
    while one.counters()["audits"] - first < audits and time.monotonic() < end:
        for _ in range(5):
            key = f"10.97.0.{chosen.randint(1, 20)}:{chosen.choice((80, 81))}"
            if key not in mine:
                sh(f"ipvsadm -A -t {key} -s rr")
                mine[key] = "rr"
            elif chosen.random() < 0.5:
                mine[key] = chosen.choice(("wlc", "lc", "rr"))
                sh(f"ipvsadm -E -t {key} -s {mine[key]}")
            else:
                sh(f"ipvsadm -D -t {key}")
                del mine[key]
        have = dict(re.findall(r"^TCP\s+(10\.97\.\S+) (\w+)", sh("ipvsadm -Ln"), re.M))
        assert have == mine
    assert one.counters()["audits"] - first >= audits
    sh("ipvsadm -D -t 10.96.200.6:80")
    wait_for(lambda: "10.96.200.6:80" in virtual_servers(), 2)
    assert 'msg="virtual server removed by somebody else, restored" frontend="10.96.200.6:80/TCP"' \
        in one.log_path.read_text()
    assert behaviour.request("c", "10.96.200.6", 80, "TCP", 2)[0] in ("a", "b")
    for key in mine:
        sh(f"ipvsadm -D -t {key}")


def test_foreign_server_in_the_way(vipd):
    """A virtual server of somebody else where a Service wants to be: refused out loud, then revived."""
    sh("ipvsadm -A -t 10.96.200.7:80 -s wlc; ipvsadm -a -t 10.96.200.7:80 -r 10.244.9.9:80 -m")
    one = vipd("--audit-period=200ms")
    one.apply("s", simple("s", "10.96.200.7", ["a"]))
    wait_for(lambda: "is not vipd's stands at 10.96.200.7:80" in one.log_path.read_text())
    assert "10.244.9.9:80" in sh("ipvsadm -Ln -t 10.96.200.7:80")
    assert "10.244.1.2" not in sh("ipvsadm -Ln -t 10.96.200.7:80")
    sh("ipvsadm -D -t 10.96.200.7:80")
    wait_for(lambda: "10.244.1.2:8080" in sh("ipvsadm -Ln"), 3)


@pytest.mark.parametrize("command, probe", [
    ("nft flush ruleset", "nft list table ip vipd 2>/dev/null | grep -q 10.96.200.8"),
    ("nft delete table ip vipd", "nft list table ip vipd 2>/dev/null | grep -q 10.96.200.8"),
    ("nft flush set ip vipd vips", "nft list set ip vipd vips | grep -q 10.96.200.8"),
    ("nft flush chain ip vipd input", "nft list chain ip vipd input | grep -q refused"),
    ("ip route flush table local proto 118", "ip route show table local | grep -q 'local 10.96.200.8'"),
])
def test_removed_by_hand_is_back(vipd, command, probe):
    """Helper rules and bindings are back within 100 ms, and the log says what was lost."""
    one = vipd("--audit-period=1h")
    one.apply("s", simple("s", "10.96.200.8", ["a"]))
    one.settle()
    sh(command)
    start = time.monotonic()
    slowest = 0.0
    while subprocess.run(probe, shell=True, check=False).returncode:
        slowest = time.monotonic() - start
        assert slowest < 5, one.tail()
    one.settle()
    look = time.monotonic()
    sh(probe)
    cost = time.monotonic() - look  # what one look costs here
    print(f"back after {slowest * 1000:.0f} ms, a look costs {cost * 1000:.0f} ms")
    assert slowest - 2 * cost < 0.1
    assert "by somebody else, restored" in one.log_path.read_text()
    assert behaviour.request("c", "10.96.200.8", 80, "TCP", 2)[0] == "a"


def test_cleanup_leaves_what_is_not_ours(vipd):
    sh("ipvsadm -A -t 10.97.1.1:80; nft add table ip other; ip route add local 10.97.1.2 dev lo proto 99 table local")
    one = vipd()
    one.apply("s", simple("s", "10.96.200.9", ["a"]))
    one.settle()
    one.kill()
    one.run("--cleanup")
    assert virtual_servers() == {"10.97.1.1:80"}
    assert sh("nft list tables").split() == ["table", "ip", "other"]
    assert sh("ip route show table local proto 118") == ""
    assert "10.97.1.2" in sh("ip route show table local proto 99")
    sh("ipvsadm -D -t 10.97.1.1:80; nft delete table ip other; ip route del local 10.97.1.2 table local")


def test_once(vipd):
    one = vipd("--drain-timeout=0", begin=False)
    one.apply("s", simple("s", "10.96.200.10", ["a"]))
    assert one.run("--dry-run")[1].count("\n") > 3
    assert virtual_servers() == set(), "a dry run wrote"
    code, _, _ = one.run("--once")
    assert code == 0
    assert behaviour.request("c", "10.96.200.10", 80, "TCP", 2)[0] == "a"
    assert one.run("--dry-run")[1] == ""
    assert "service 10.96.200.10:80/TCP rr" in one.run("--print=actual")[1]
    one.apply("t", simple("t", "10.96.200.10", ["b"]))
    code, _, log = one.run("--once")
    assert code == 3 and "the older Service" in log
    one.remove("t")
    one.remove("s")
    assert one.run("--once")[0] == 0
    assert virtual_servers() == set()


def test_one_change_costs_what_changed(vipd):
    """One endpoint more: as many system calls at 1,000 Services as at 100."""
    calls = {}
    for count in (100, 1000):
        one = vipd()
        one.apply("many", many(count))
        one.apply("s", simple("s", "10.96.200.11", ["a"]))
        one.settle(60)
        time.sleep(1)
        before = one.counters()
        one.apply("s", simple("s", "10.96.200.11", ["a", "b"]))
        one.settle()
        after = one.counters()
        calls[count] = after["kernel_writes"] - before["kernel_writes"]
        one.kill()
        one.run("--cleanup", check=False)
    assert calls[100] == calls[1000] <= 4, calls


def test_second_vipd_is_refused(vipd):
    one = vipd()
    one.settle()
    code, _, log = one.run("--once", check=False)
    assert code == 1 and "another vipd" in log


WRONG = {
    "not yaml": ("a: [b", "not YAML"),
    "a quoted port": ("apiVersion: v1\nkind: Service\nmetadata: {name: w}\nspec: {clusterIP: 10.96.9.1, ports: [{port: \"80\"}]}\n",
                      r"w.yaml:1: Service default/w: spec.ports\[0\].port: must be an integer|w.yaml:4"),
    "a bad address": ("apiVersion: v1\nkind: Service\nmetadata: {name: w}\nspec: {clusterIP: 10.96.9, ports: [{port: 80}]}\n",
                      "spec.clusterIP: must be an IP address"),
    "a port too large": ("apiVersion: v1\nkind: Service\nmetadata: {name: w}\nspec: {clusterIP: 10.96.9.1, ports: [{port: 65536}]}\n",
                         "must be an integer from 1 to 65535"),
    "a missing port name": ("apiVersion: v1\nkind: Service\nmetadata: {name: w}\nspec: {clusterIP: 10.96.9.1, ports: [{port: 80, name: a}, {port: 81}]}\n",
                            "name is missing"),
    "too deep": ("[" * 10000, "nested too deep"),
    "no name": ("apiVersion: v1\nkind: Service\nspec: {ports: [{port: 80}]}\n", "name is missing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input(vipd, name):
    """A message that names the file and the field, exit code 3, and nothing else is lost."""
    text, message = WRONG[name]
    one = vipd(begin=False)
    one.apply("s", simple("s", "10.96.200.12", ["a"]))
    one.apply("w", text)
    code, _, log = one.run("--once")
    assert code == 3
    assert re.search(message, log), log
    assert "w.yaml" in log
    assert behaviour.request("c", "10.96.200.12", 80, "TCP", 2)[0] == "a"


def test_broken_file_keeps_the_last_good_objects(vipd):
    one = vipd()
    one.apply("s", simple("s", "10.96.200.13", ["a"]))
    one.settle()
    one.apply("s", "a: [b")
    wait_for(lambda: "not YAML" in one.log_path.read_text())
    assert behaviour.request("c", "10.96.200.13", 80, "TCP", 2)[0] == "a"
    one.apply("s", simple("s", "10.96.200.13", ["b"]))
    one.settle()
    assert behaviour.request("c", "10.96.200.13", 80, "TCP", 2)[0] == "b"
    assert 'msg="in order again"' in one.log_path.read_text()


def test_no_root(vipd):
    one = vipd(begin=False)
    one.apply("s", simple("s", "10.96.200.14", ["a"]))
    for folder in [one.manifests, *list(one.manifests.parents)[:-2]]:
        folder.chmod(folder.stat().st_mode | 0o055)
    (one.manifests / "s.yaml").chmod(0o644)
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                           *one.argv("--print=plan")], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "root" in done.stderr, done.stderr
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                           *one.argv("--print=model")], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "10.96.200.14:80/TCP" in done.stdout, done.stderr


def test_no_folder(vipd):
    one = vipd(begin=False)
    one.manifests.rmdir()
    code, _, log = one.run("--once", check=False)
    assert code == 1 and "No such file or directory" in log


def test_folder_gone_is_unknown_not_empty(vipd):
    """A folder that is moved away takes no Service with it; when it is back it is followed again."""
    one = vipd()
    one.apply("s", simple("s", "10.96.200.15", ["a"]))
    one.settle()
    away = one.manifests.rename(one.work / "away")
    wait_for(lambda: "cannot be read" in one.log_path.read_text(), 15)
    assert behaviour.request("c", "10.96.200.15", 80, "TCP", 2)[0] == "a"
    away.rename(one.manifests)
    one.apply("s", simple("s", "10.96.200.15", ["b"]))
    wait_for(lambda: behaviour.request("c", "10.96.200.15", 80, "TCP", 2)[0] == "b", 15, 0.2)


def test_allocated_addresses_are_stable(vipd):
    one = vipd(begin=False)
    documents = [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"s{i}"},
                  "spec": {"ports": [{"port": 80}]}} for i in range(20)]
    one.apply("all", manifest(*documents))

    def addresses():
        text = one.run("--print=model")[1]
        return dict((owner, addr) for addr, owner in
                    re.findall(r"frontend (\S+):80/TCP owner=(\S+)", text))
    assert one.run("--once")[0] == 0
    first = addresses()
    assert len(set(first.values())) == 20
    one.apply("all", manifest(*documents[10:]))
    assert one.run("--once")[0] == 0
    assert addresses() == {f"default/s{i}": first[f"default/s{i}"] for i in range(10, 20)}
    one.apply("new", manifest(*[{**documents[0], "metadata": {"name": f"n{i}"}} for i in range(50)]))
    assert one.run("--once")[0] == 0
    now = addresses()
    assert all(now[f"default/s{i}"] == first[f"default/s{i}"] for i in range(10, 20))


def node_ports(one, protocol="TCP"):
    """The node port of each Service port, as the model has them."""
    found = re.findall(rf"frontend node:(\d+)/{protocol} owner=(\S+)", one.run("--print=model")[1])
    return {owner: int(port) for port, owner in found}


def test_node_ports_are_given_and_kept(vipd):
    """A NodePort Service that names no number answers on the one it is given, the same over a kill,
    a lost state file and fifty newcomers."""
    def node_port_service(name, **spec):
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
                "spec": {"type": "NodePort", "ports": [{"port": 80}], **spec}}
    one = vipd()
    one.apply("web", manifest(node_port_service("web"),
                              endpoint_slice("web", [hosts.ADDRS["a"][0]])))
    dns = node_port_service("dns", ports=[{"name": "udp", "port": 53, "protocol": "UDP"},
                                          {"name": "tcp", "port": 53, "protocol": "TCP"}])
    one.apply("dns", manifest(dns))
    one.settle()
    first = node_ports(one)
    assert 30000 <= first["default/web"] <= 32767
    assert node_ports(one, "UDP") == {"default/dns:udp": first["default/dns:tcp"]}

    def answers():
        return behaviour.request("client", near, first["default/web"], "TCP", 2)[0]
    near = hosts.near_node("client")[0]
    assert answers() == "a"
    assert f'msg="node port given" service=default/web port=80/TCP nodeport={first["default/web"]}' \
        in one.log_path.read_text()
    one.kill()
    one.apply("own", manifest(node_port_service("own", ports=[{"port": 80, "nodePort": 8088}])))
    one.start()
    one.settle()
    assert answers() == "a"
    assert node_ports(one) == {**first, "default/own": 8088}
    one.kill()
    (one.work / "state" / "manifests.json").unlink()
    one.apply("new", manifest(*[node_port_service(f"new-{i}") for i in range(50)]))
    one.start()
    one.settle()
    now = node_ports(one)
    assert len(set(now.values())) == len(now) == 53
    assert {owner: now[owner] for owner in first} == first
    assert answers() == "a"
    one.remove("new")
    one.settle()
    assert answers() == "a"


def test_settled_daemon_is_quiet(vipd):
    """No netlink write and no virtual server read twice while nothing changes."""
    one = vipd("--audit-period=1h")
    one.apply("many", many(100))
    one.settle()
    before = one.counters()["kernel_writes"]
    time.sleep(3)
    assert one.counters()["kernel_writes"] == before


