# SPDX-License-Identifier: Apache-2.0
"""Who is a client in the cluster, by the flags that say so: whom endpoints see, and which endpoints
clients of a Service with externalTrafficPolicy: Local get."""
import pytest

import daemon
from test_differences import assert_case

pytestmark = pytest.mark.skipif(daemon.MODE != "ipvs", reason="iptables mode has cluster IPs alone so far")

def begin(vipd, *flags):
    """Without the pods' networks that all other tests name."""
    one = vipd(*flags, begin=False)
    one.flags = [flag for flag in one.flags if not flag.startswith("--cluster-cidr=")]
    one.start()
    return one


SERVICES = """
    services:
      - {name: s, ports: [{port: 80}], endpoints: [a, d]}
      - {name: t, type: LoadBalancer, etp: Local, ports: [{port: 80, node_port: 30801}], lb: ["LB(1)"], endpoints: [a, d]}
"""


def test_masquerade_all(vipd):
    """Pods are masqueraded at cluster IPs, too; outside clients of a local policy are not."""
    assert_case(vipd("--masquerade-all"), SERVICES + """
    asks:
      - {from: [c, client, node], to: s, answers: [a, d], sees: node}
      - {from: client, to: t, at: [NP, "LB(1)"], answers: [a], sees: own}
      - {from: c, to: t, at: "LB(1)", answers: [a, d]}
    """)


def test_nobody_is_known_to_be_in_the_cluster(vipd):
    """Nobody is masqueraded at cluster IPs but the node; pods get this node's endpoints like others."""
    assert_case(begin(vipd), """
    services:
      - {name: s, ports: [{port: 80}], endpoints: [a, b]}
      - {name: t, type: LoadBalancer, etp: Local, ports: [{port: 80, node_port: 30801}], lb: ["LB(1)"], endpoints: [a, d]}
    asks:
      - {from: [c, client], to: s, answers: [a, b], sees: own}
      - {from: node, to: s, answers: [a, b], sees: node}
      - {from: client, to: t, at: [NP, "LB(1)"], answers: [a], sees: own}
      - {from: c, to: t, at: [NP, "LB(1)"], answers: [a]}
      - {from: node, to: t, at: [NP, "LB(1)"], answers: [a, d], sees: node}
    """)


def test_pods_by_the_names_of_their_interfaces(vipd):
    assert_case(begin(vipd, "--detect-local-mode=InterfaceNamePrefix",
                      "--pod-interface-name-prefix=v-"), SERVICES + """
    asks:
      - {from: c, to: s, answers: [a, d], sees: own}
      - {from: [client, node], to: s, answers: [a, d], sees: node}
      - {from: c, to: t, at: "LB(1)", answers: [a, d], sees: own}
      - {from: c, to: t, at: NP, answers: [a, d], sees: node}
      - {from: client, to: t, at: [NP, "LB(1)"], answers: [a], sees: own}
      - {from: node, to: t, at: [NP, "LB(1)"], answers: [a, d], sees: node}
    """)


def test_pods_by_the_network_of_their_node(vipd):
    """Another node's pods are from elsewhere."""
    assert_case(begin(vipd, "--detect-local-mode=NodeCIDR"), """
    objects: |
      apiVersion: v1
      kind: Node
      metadata: {name: node}
      spec: {podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24, "fd00:244:1::/64"]}
    services:
      - {name: s, families: [4, 6], ports: [{port: 80}], endpoints: [a, b]}
      - {name: t, type: LoadBalancer, etp: Local, ports: [{port: 80, node_port: 30801}], lb: ["LB(1)"], endpoints: [a, e]}
    asks:
      - {from: c, to: s, answers: [a, b], sees: own}
      - {from: [d, client, node], to: s, answers: [a, b], sees: node}
      - {from: c, to: t, at: "LB(1)", answers: [a, e], sees: own}
      - {from: d, to: t, at: ["LB(1)", NP], answers: [a], sees: own}
    """)
