# SPDX-License-Identifier: Apache-2.0
"""The demo's hosts: the node (the namespace that this runs in), a client outside, and one for every
stand-in, made as the system tests make theirs.

Expects to be in a network and mount namespace of its own (`unshare`, or the guest), which ends with
the demo: so nothing has to be taken down.
"""
import pathlib
import subprocess
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "system"))
import daemon  # noqa: E402,F401 pylint: disable=wrong-import-position
import hosts  # noqa: E402 pylint: disable=wrong-import-position

NODE = "node"
CLIENT = "client"
POD_NETWORKS = tuple(hosts.POD_NETS.split(","))
GATEWAYS = ("10.244.0.1", "fd00:244::1")
NODE_ADDRS = ("192.0.2.1", "2001:db8::1")
FORWARDING = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
# A small kernel's connection table would be full of closed connections after some thousand.
TRACKING = ("net.netfilter.nf_conntrack_tcp_timeout_time_wait=5",
            "net.netfilter.nf_conntrack_tcp_timeout_close=5")


class Lab:
    def __init__(self):
        self.pods = 0
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        hosts.ip(["link set lo up"])
        hosts.sysctl(NODE, *FORWARDING)
        hosts.link(CLIENT, "to-client", ["192.0.2.1/24", "2001:db8::1/64"],
                   ["192.0.2.2/24", "2001:db8::2/64"])
        hosts.ip([f"route add default via {addr}" for addr in NODE_ADDRS], CLIENT)

    @staticmethod
    def forget_closed_connections():
        """Once connections are tracked at all, which is vipd's rules' doing."""
        hosts.sysctl(NODE, *TRACKING)

    def add_pod(self, addrs):
        """A host with these addresses, wherever they come from; its name."""
        self.pods += 1
        name = f"pod{self.pods}"
        hosts.pod(name, None, GATEWAYS, addrs)
        return name
