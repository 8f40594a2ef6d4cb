# SPDX-License-Identifier: Apache-2.0
"""The hosts of the system tests, as network namespaces around the one this runs in, the node.

        a b c   pods on the node, each on a point-to-point link (10.244.1.x, fd00:244:1::x)
        d e     pods on another node, node2 (10.244.2.x, fd00:244:2::x)
        client, client2   hosts outside the cluster; only the node has a way to them

A pod's answer to a client outside finds its way back only through the node, or not at all: node2
does not know the clients. Every pod answers on the ports in PORTS over TCP, UDP and SCTP.
"""
import ctypes
import contextlib
import os
import socket
import subprocess
import sys
import time

PORTS = (8080, 8081, 9090)
HOST_PORT = 2222  # where the nodes themselves listen, on every address
LOCAL = {"a": 2, "b": 3, "c": 4}
REMOTE = {"d": 2, "e": 3}
CLIENTS = {"client": "198.51.100", "client2": "203.0.113"}
POD_NETS = "10.244.0.0/16,fd00:244::/32"
SERVICE_NETS = "10.96.0.0/16,fd00:96::/108"
EXTERNAL_NETS = ("198.18.0.0/15", "2001:db8:e::/48", "2001:db8:f::/48")  # external, load balancer IPs

ADDRS = {  # by host, IPv4 and IPv6
    **{name: (f"10.244.1.{n}", f"fd00:244:1::{n}") for name, n in LOCAL.items()},
    **{name: (f"10.244.2.{n}", f"fd00:244:2::{n}") for name, n in REMOTE.items()},
    "client": ("198.51.100.2", "2001:db8:100::2"),
    "client2": ("203.0.113.2", "2001:db8:113::2"),
    "node2": ("192.0.2.2", "2001:db8::2"),
    "node": ("192.0.2.1", "2001:db8::1"),
}
NODE_ADDRS = {"192.0.2.1", "2001:db8::1", "198.51.100.1", "2001:db8:100::1", "203.0.113.1",
              "2001:db8:113::1", "10.244.1.1", "fd00:244:1::1"}

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def inside(host):
    """This thread in the host's namespace; the node is where it is anyway."""
    if host == "node":
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{host}", os.O_RDONLY)
    try:
        if _libc.setns(there, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        _libc.setns(home, CLONE_NEWNET)
        os.close(home)
        os.close(there)


class Asker:
    """A client that asks over UDP again and again from one port, who it is that answers."""

    def __init__(self, host, addr, port):
        with inside(host):
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.settimeout(0.1)
        self.sock.connect((addr, port))

    def who(self):
        try:
            self.sock.send(b"who\n")
            return self.sock.recv(100).split()[0].decode()
        except OSError:
            return ""


def near_node(host):
    """The node's addresses on the link to this host."""
    if host in CLIENTS:
        return f"{CLIENTS[host]}.1", ADDRS[host][1].rsplit("::", 1)[0] + "::1"
    if host in LOCAL:
        return "10.244.1.1", "fd00:244:1::1"
    return ADDRS["node"]


def ip(commands, host=None, family=None):
    where = [*(["-n", host] if host else []), *([f"-{family}"] if family else [])]
    done = subprocess.run(["ip", *where, "-batch", "-"], input="\n".join(commands) + "\n",
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {host}: {done.stderr}\n" + "\n".join(commands))


def length(addr):
    return 128 if ":" in addr else 32


def link(host, device, near, far):
    """A link from the node to a host: `near` and `far` are addresses with their lengths."""
    ip([f"netns add {host}", f"link add {device} type veth peer name eth0 netns {host}",
        *[f"addr add {addr} dev {device} nodad" if ":" in addr else f"addr add {addr} dev {device}"
          for addr in near], f"link set {device} up"])
    ip(["link set lo up",
        *[f"addr add {addr} dev eth0 nodad" if ":" in addr else f"addr add {addr} dev eth0"
          for addr in far], "link set eth0 up"], host)


def pod(name, host, gateways, addrs):
    """A pod on `host` (None: the node), on a link of its own, as the CNI plugin ptp makes it."""
    device = f"v-{name}"
    ip([f"netns add {name}"])
    ip([f"link add {device} type veth peer name eth0 netns {name}",
        *[f"addr add {addr}/{length(addr)} dev {device}" + (" nodad" if ":" in addr else "")
          for addr in gateways], f"link set {device} up",
        *[f"route add {addr}/{length(addr)} dev {device}" for addr in addrs]], host)
    ip(["link set lo up",
        *[f"addr add {addr}/{length(addr)} dev eth0" + (" nodad" if ":" in addr else "")
          for addr in addrs], "link set eth0 up",
        *[f"route add {addr}/{length(addr)} dev eth0" for addr in gateways],
        *[f"route add default via {addr}" for addr in gateways]], name)


def sysctl(host, *settings):
    with inside(host):
        for setting in settings:
            name, value = setting.split("=")
            with open(f"/proc/sys/{name.replace('.', '/')}", "w", encoding="ascii") as out:
                out.write(value)


def build():
    """All hosts and their links; the node's forwarding of IPv6, which every cluster has on."""
    # the kernel limits its ICMP errors a destination; each test wants to see its own
    forward = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
               "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
    link("node2", "to-node2", ["192.0.2.1/24", "2001:db8::1/64"], ["192.0.2.2/24", "2001:db8::2/64"])
    for number, (name, net) in enumerate(CLIENTS.items()):
        v6 = ADDRS[name][1].rsplit("::", 1)[0]
        link(name, f"to-{name}", [f"{net}.1/24", f"{v6}::1/64"], [f"{net}.2/24", f"{v6}::2/64"])
        ip([f"route add default via {net}.1", f"route add default via {v6}::1"], name)
        del number
    for name in LOCAL:
        pod(name, None, ("10.244.1.1", "fd00:244:1::1"), ADDRS[name])
    sysctl("node", *forward)
    sysctl("node2", *forward)
    for name in REMOTE:
        pod(name, "node2", ("10.244.2.1", "fd00:244:2::1"), ADDRS[name])
    ip(["route add 10.244.2.0/24 via 192.0.2.2", "route add fd00:244:2::/64 via 2001:db8::2",
        "route add default via 192.0.2.2", "route add default via 2001:db8::2"])
    ip(["route add 10.244.1.0/24 via 192.0.2.1", "route add fd00:244:1::/64 via 2001:db8::1"], "node2")
    route_remote_pods()


def route_remote_pods():
    """What node2's pods ask of a Service goes to the node; node2's own routes know none of it, so that
    what the node sends on is not sent back."""
    nets = [*SERVICE_NETS.split(","), *EXTERNAL_NETS]
    ip([f"route add {net} via {ADDRS['node'][':' in net]} table 100" for net in nets], "node2")
    for family in (4, 6):
        ip([f"rule add iif v-{name} table 100" for name in REMOTE], "node2", family)


def wait_answer(host, addr, port, seconds=10):
    """Until a connection from `host` is accepted there."""
    end = time.monotonic() + seconds
    while True:
        with inside(host):
            sock = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET)
        with sock:
            sock.settimeout(1)
            try:
                sock.connect((addr, port))
                return
            except OSError as error:
                if time.monotonic() > end:
                    raise RuntimeError(f"{host} does not reach {addr}: {error}") from error
        time.sleep(0.05)


class Servers:
    """The pods' programs, all in one process (servers.py), which ends with this one's pipe."""

    def __init__(self, program):
        names = [*LOCAL, *REMOTE]
        self.process = subprocess.Popen(
            [program, "serve", f"--ports={','.join(map(str, PORTS))}", *names,
             f"node:{HOST_PORT}", f"node2:{HOST_PORT}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if line != "ready\n":
            raise RuntimeError(f"the pods' servers did not start: {line}")
        for family in (0, 1):  # links and neighbours need a moment after they were made
            for name in names:
                wait_answer("node", ADDRS[name][family], PORTS[0])
            for name in CLIENTS:
                wait_answer(name, ADDRS["node"][family], HOST_PORT)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(5)


if __name__ == "__main__":
    build()
    sys.exit(0)
