# SPDX-License-Identifier: Apache-2.0
"""A virtual server at every address, or maps that lead to one: what each costs, in the guest.

    entrances.py servers|maps [--services N] [--endpoints N]      run by test/bench/entrances

servers: for each Service one at its cluster IP, its external IP and its node port at 8 node addresses,
as kube-proxy has them, sent in batches. maps: the same Services by vipd. A boot each,
 since the kernel's table of virtual servers is one for all network namespaces.

Prints words: program_ms, kernel_kb (slab and per-CPU memory that came), grow_us (one endpoint added
raw; vipd's are in bench.py), and for each way to the last Service p50 and p99 of a TCP connect in us."""
import argparse
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import bench  # noqa: E402
import lab  # noqa: E402
import manifests  # noqa: E402

TOOL = f"{lab.BUILD}/test/bench/bench_entrances"
ADDRS = 8
SERVER = """
import socket
server = socket.create_server(("0.0.0.0", 8080), backlog=4096)
print("ready", flush=True)
while True:
    server.accept()[0].close()
"""


def kernel_kb():
    text = pathlib.Path("/proc/meminfo").read_text(encoding="ascii")
    return sum(int(value) for value in re.findall(r"^(?:Slab|Percpu):\s+(\d+)", text, re.M))


def tool(ns, *args):
    return dict(word.split("=") for word in lab.run(*ns, TOOL, *map(str, args)).split())


class Lab:
    """The node, a client on a link to it, and the endpoints of the last Service, which answer."""

    def __init__(self, services, endpoints):
        self.node = lab.Namespace("node", ADDRS)
        lab.run("ip", "netns", "add", "client")
        last = [manifests.quad((10 << 24 | 128 << 16) + (services - 1) * endpoints + e + 1)
                for e in range(endpoints)]
        lab.run("ip", "-n", "node", "-batch", "-", input="\n".join([
            "link add to-client type veth peer name eth0 netns client",
            "addr add 198.51.100.1/24 dev to-client", "link set to-client up",
            *[f"addr add {addr}/32 dev lo" for addr in last], ""]))
        lab.run("ip", "-n", "client", "-batch", "-", input="\n".join([
            "link set lo up", "addr add 198.51.100.2/24 dev eth0", "link set eth0 up",
            "route add default via 198.51.100.1", ""]))
        lab.run(*self.node.inside, "sysctl", "-q", "-w", "net.ipv4.vs.conntrack=1",
                "net.ipv4.ip_forward=1", "net.netfilter.nf_conntrack_max=1000000")
        self.server = subprocess.Popen([*self.node.inside, sys.executable, "-c", SERVER],
                                       stdout=subprocess.PIPE, text=True)
        self.server.stdout.readline()
        self.client = ("ip", "netns", "exec", "client")

    def ask(self, where, addr, port, rounds=3, count=2000):
        """The least of some rounds."""
        best = [tool(self.client, "connect", addr, port, count) for _ in range(rounds)]
        for name in ("p50", "p99"):
            print(f"{where}_{name}_us={min(float(words[name]) for words in best):.0f}", flush=True)


def program_servers(one, options):
    lab.run("ip", "-n", "node", "route", "add", "local", "10.96.0.0/16", "dev", "lo")
    lab.run("ip", "-n", "node", "route", "add", "local", "198.18.0.0/16", "dev", "lo")
    words = tool(one.node.inside, "servers", options.services, ADDRS, options.endpoints)
    print(f"program_ms={float(words['us']) / 1000:.0f}")


def program_maps(one, options):
    """By a raw replay of what vipd sends, then by vipd itself."""
    folder = "/tmp/manifests"
    manifests.write(folder, options.services, options.endpoints, entrances="plain")
    rules = bench.record(folder, "/tmp/replay", ADDRS)
    took = min(bench.replay("/tmp/replay", rules) for _ in range(3))
    print(f"program_ms={took:.0f}")
    lab.wait_idle()
    before = kernel_kb()
    daemon = lab.Daemon(one.node, folder, "--audit-period=1h")
    there = daemon.line("in the kernel")
    if int(there["frontends"]) != 3 * options.services + 2:
        raise RuntimeError(f"not all is in the kernel: {there}")
    for _ in range(100):
        if not daemon.counters()["not_in_order"]:
            break
        time.sleep(0.2)
    else:
        raise RuntimeError("not all is in the kernel: " + daemon.log()[-1000:])
    print(f"vipd_kernel_ms={daemon.counters()['kernel_us'] / 1000:.0f}")
    daemon.stop()
    return before


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("servers", "maps"))
    parser.add_argument("--services", type=int, default=5000)
    parser.add_argument("--endpoints", type=int, default=10)
    options = parser.parse_args()
    lab.wait_idle()
    one = Lab(options.services, options.endpoints)
    lab.wait_idle()
    before = kernel_kb()
    if options.what == "servers":
        program_servers(one, options)
    else:
        before = program_maps(one, options)
    lab.wait_idle()
    print(f"kernel_kb={kernel_kb() - before}")
    last = options.services - 1
    one.ask("cluster_ip", manifests.vip_of(last), 80)
    one.ask("external_ip", manifests.quad((198 << 24 | 18 << 16) + 256 + last), 80)
    one.ask("node_port", f"10.200.0.{ADDRS}", 20000 + last)
    if options.what == "servers":
        words = tool(one.node.inside, "grow", 0, ADDRS, 50)
        print(f"grow_us={words['us']}")
    one.server.kill()
    time.sleep(0.1)


if __name__ == "__main__":
    main()
