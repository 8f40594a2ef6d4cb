# SPDX-License-Identifier: Apache-2.0
"""Entrances under load: nobody waits for a refusal, nobody notices a rolling update."""
import os
import threading
import time

import pytest

import daemon
import hosts
from test_ipvs import Traffic, endpoint_slice, manifest, sh, sustainable_rate
from test_objects import entrance_service

pytestmark = pytest.mark.skipif(daemon.MODE != "ipvs", reason="these are about IPVS mode")
SOAK = os.environ.get("SOAK") == "1"
REFUSED_RATE, REFUSED_SEC, REFUSED_MS = 200, 10, 50


@pytest.mark.parametrize("addr, port", [("10.96.202.1", 80), ("192.0.2.1", 30601),
                                        ("198.18.204.1", 80)],
                         ids=["cluster IP", "node port", "external IP"])
def test_refused_under_load(vipd, addr, port):
    """200 connects a second from outside to a Service without endpoints: each refused within 50 ms."""
    one = vipd()
    one.apply("s", manifest(entrance_service("s", "10.96.202.1", node_port=30601,
                                             externalIPs=["198.18.204.1"]), endpoint_slice("s", [])))
    one.settle()
    result = Traffic("refused", "client", addr, port, REFUSED_RATE, REFUSED_SEC, REFUSED_MS).result()
    print(result)
    assert result["started"] >= REFUSED_RATE * REFUSED_SEC * 0.9, "this guest is too slow for the test"
    assert result["in_time"] == result["refused"] == result["started"], result


class Rollout:
    """Ten endpoints, on three ports of the pods, replaced one at a time and again: a new one gets
    ready, the old one terminates for a moment and goes."""

    def __init__(self, one, names, **spec):
        self.one, self.spec = one, spec
        every = [(name, port) for port in hosts.PORTS for name in names]
        self.running, self.spare, self.leaving = every[:10], every[10:], []
        self.steps = 0
        self.put()

    def put(self):
        documents = [entrance_service("s", "10.96.202.2", **self.spec)]
        for port in hosts.PORTS:
            one = endpoint_slice("s", [], port)
            one["metadata"]["name"] = f"s-{port}"
            for name, at in self.running + self.leaving:
                if at != port:
                    continue
                item = {"addresses": [hosts.ADDRS[name][0]],
                        "nodeName": "node" if name in hosts.LOCAL else "node2"}
                if (name, at) in self.leaving:
                    item["conditions"] = {"ready": False, "serving": True, "terminating": True}
                one["endpoints"].append(item)
            documents.append(one)
        self.one.apply("s", manifest(*documents))

    def step(self, pause):
        """One endpoint is replaced."""
        new, old = self.spare.pop(0), self.running.pop(0)
        self.running.append(new)
        self.leaving = [old]
        self.put()
        time.sleep(pause)
        self.leaving = []
        self.put()
        self.spare.append(old)
        time.sleep(pause)
        self.steps += 1

    def roll(self, over):
        while not over.is_set():
            self.step(0.15)


@pytest.mark.parametrize("policy", ["Cluster", "Local"])
def test_rolling_update_under_load(vipd, policy):
    """New connections through a node port and a load balancer's address while all endpoints are
    replaced, one by one: none fails, kept ones stay where they are."""
    sh("ip -n client route replace 10.244.0.0/16 via 198.51.100.1")
    rate = sustainable_rate()
    total = 100000 if SOAK else 5000  # of two policies
    one = vipd("--drain-timeout=1h")
    names = ["a", "b", "c"] if policy == "Local" else ["a", "b", "c", "d", "e"]
    rollout = Rollout(one, names, node_port=30602, lb=["198.19.204.1"], externalTrafficPolicy=policy)
    if policy == "Local":
        rollout.running, rollout.spare = rollout.running[:6], rollout.running[6:]
    one.settle()
    over = threading.Event()
    thread = threading.Thread(target=rollout.roll, args=(over,))
    loads = [Traffic("load", host, addr, port, rate / 2, 100, total / rate * 1.2 + 2)
             for host, addr, port in (("client", "192.0.2.1", 30602), ("client2", "198.19.204.1", 80))]
    thread.start()
    results = [load.result(total / rate + 120) for load in loads]
    over.set()
    thread.join()
    print(rate, rollout.steps, results)
    for result in results:
        assert result["answered"] == result["started"] >= total / 2, result
        assert result["kept_broken"] == 0 and result["kept_moved"] == 0, result
    assert rollout.steps >= 5
    assert len(results[0]["answers"]) == len(names)
