# SPDX-License-Identifier: Apache-2.0
"""The demo's hosts, as network namespaces: the node (the namespace that this runs in), a client
outside, and one for every stand-in, on the node's bridge.

Expects to be in a network and mount namespace of its own (`unshare`, or the guest), which ends with
the demo: so nothing has to be taken down.
"""
import subprocess

NODE = "node"
CLIENT = "client"
BRIDGE = "pods"
POD_NETWORKS = ("10.244.0.0/16", "fd00:244::/64")
GATEWAYS = ("10.244.0.1", "fd00:244::1")
NODE_ADDRS = ("192.0.2.1", "2001:db8::1")
CLIENT_ADDRS = ("192.0.2.2", "2001:db8::2")
# A small kernel's connection table would be full of closed connections after some thousand.
TRACKING = ("net.netfilter.nf_conntrack_tcp_timeout_time_wait=5",
            "net.netfilter.nf_conntrack_tcp_timeout_close=5")
SYSCTLS = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")


class LabError(Exception):
    """The hosts cannot be made here: says why."""


def run(argv, text=None):
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def ip_batch(commands, netns=None):
    where = ["-n", netns] if netns else []
    run(["ip", *where, "-batch", "-"], "\n".join(commands) + "\n")


def length(addr):
    return 128 if ":" in addr else 32


class Lab:
    def __init__(self):
        self.pods = 0
        run(["mount", "-t", "tmpfs", "tmpfs", "/run"])
        run(["sysctl", "-q", *SYSCTLS])
        ip_batch([
            "link set lo up",
            f"link add {BRIDGE} type bridge",
            f"link set {BRIDGE} up",
            *[f"addr add {addr}/{length(addr)} dev {BRIDGE} nodad" for addr in GATEWAYS],
            f"netns add {CLIENT}",
            f"link add to-client type veth peer name eth0 netns {CLIENT}",
            "link set to-client up",
            f"addr add {NODE_ADDRS[0]}/24 dev to-client",
            f"addr add {NODE_ADDRS[1]}/64 dev to-client nodad",
        ])
        ip_batch([
            "link set lo up", "link set eth0 up",
            f"addr add {CLIENT_ADDRS[0]}/24 dev eth0",
            f"addr add {CLIENT_ADDRS[1]}/64 dev eth0 nodad",
            *[f"route add default via {addr}" for addr in NODE_ADDRS],
        ], CLIENT)

    @staticmethod
    def forget_closed_connections():
        """Once connections are tracked at all, which is vipd's rules' doing."""
        run(["sysctl", "-q", *TRACKING])

    def add_pod(self, addrs):
        """A host on the bridge with these addresses, wherever they come from; its name."""
        self.pods += 1
        name = f"pod{self.pods}"
        ip_batch([
            f"netns add {name}",
            f"link add {name} type veth peer name eth0 netns {name}",
            f"link set {name} master {BRIDGE} up",
            f"link set {name} type bridge_slave hairpin on",
            *[f"route add {addr}/{length(addr)} dev {BRIDGE}" for addr in addrs],
        ])
        gateways = [GATEWAYS[":" in addr] for addr in addrs]
        ip_batch([
            "link set lo up", "link set eth0 up",
            *[f"addr add {addr}/{length(addr)} dev eth0 nodad" for addr in addrs],
            *[f"route add {addr}/{length(addr)} dev eth0" for addr in dict.fromkeys(gateways)],
            *[f"route add default via {addr}" for addr in dict.fromkeys(gateways)],
        ], name)
        return name
