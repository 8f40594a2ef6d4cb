# SPDX-License-Identifier: Apache-2.0
"""The behaviour suite's language: cases are data (behaviour/*.yaml), this file gives them a meaning.

A case names no kernel object. It says which Services and endpoints there are, who asks whom, and
which packets must come back:

    - case: two endpoints over TCP
      services:
        - {name: s, ports: [{port: 80, target: 8080}], families: [4, 6], endpoints: [a, d]}
      asks:
        - {from: c, to: s, answers: [a, d], spread: even, sees: own}
        - {from: client, to: s, sees: node}
      steps:
        - {endpoints: {s: [a]}, asks: [{from: c, to: s, answers: [a]}]}

ask:  from HOST  to SERVICE[:PORTNAME]  proto, port (of the address)  family 4 or 6 (default: all)
      answers: exactly these hosts, in `times` requests (default: twice as many as hosts)
      spread: even, or {a: 3, d: 1}     sticky: one host all the time
      sees: own (the asker's address), node (one of the node's), any
      refused: at once   dropped: no answer at all
      at: another address of the Service: EXT(n), LB(n), or one of a host, as in "node" or
      node:client (the node's address that this host knows); with `node_port: true` its node port
      mode: ipvs or iptables, where the modes differ by nature (a VIP is no address of the node in
      iptables mode: what no Service takes goes on to the node's router)
service: name, namespace, ports [{port, target, name, proto, service_target, node_port}], families,
      endpoints, affinity (seconds), scheduler, created, selector, type, headless, ip {4: ..., 6: ...}
      external [ADDR], lb [ADDR or {ip, mode}], ranges [CIDR], etp Local, itp Local; EXT(n) and
      LB(n) stand for an address of this case's own, in the Service's first family, EXT6(n) in IPv6
endpoint: HOST or {host, ready, serving, terminating, node, zones [..], nodes [..]}
step: endpoints {service: [...]}, delete [service], services [...], objects TEXT, wait SECONDS, asks
needs: SCTP where the kernel must have it (this machine's own has none)
objects: manifests as they are, ADDR4(host), ADDR6(host), VIP4(service), VIP6(service) replaced
"""
import collections
import re
import socket
import time

import yaml

import daemon
import hosts

PROTOS = {"TCP": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
          "UDP": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
          "SCTP": (socket.SOCK_STREAM, socket.IPPROTO_SCTP)}
ANSWER_SEC = 3
REFUSAL_SEC = 0.5
SILENCE_SEC = 0.7


def vip(case_number, service, family):
    if service.get("ip"):
        return service["ip"].get(family)
    index = service["index"] + 1
    if family == 4:
        return f"10.96.{100 + index}.{case_number + 1}"
    return f"fd00:96::{case_number + 1:x}:{index:x}"


def families_of(service):
    return service.get("families", [4])


def own_address(case_number, text):
    """EXT(n), EXT6(n), LB(n), LB6(n): an address that no other case has; others as they are."""
    match = re.fullmatch(r"(EXT|LB)(6?)\((\d+)\)", text)
    if not match:
        return text
    kind, six, n = match.groups()
    if six:
        return f"2001:db8:{'e' if kind == 'EXT' else 'f'}::{case_number + 1:x}:{int(n):x}"
    return f"198.{18 if kind == 'EXT' else 19}.{int(n)}.{case_number + 1}"


def host_address(name, family):
    """A host's; node:HOST is the node's on the link to that host."""
    name, _, seen_by = name.partition(":")
    if not seen_by:
        return hosts.ADDRS[name][family == 6]
    return hosts.near_node(seen_by)[family == 6]


def service_manifest(service, case_number):
    addresses = [vip(case_number, service, family) for family in families_of(service)]
    ports = []
    for port in service["ports"]:
        item = {"port": port["port"], "protocol": port.get("proto", "TCP")}
        if port.get("name"):
            item["name"] = port["name"]
        item["targetPort"] = port.get("service_target", port.get("target", 8080))
        if port.get("node_port"):
            item["nodePort"] = port["node_port"]
        ports.append(item)
    spec = {"ports": ports, "type": service.get("type", "ClusterIP")}
    if service.get("headless"):
        spec["clusterIP"] = "None"
    elif not service.get("allocate"):
        spec["clusterIP"] = addresses[0]
        spec["clusterIPs"] = addresses
    if service.get("affinity"):
        spec["sessionAffinity"] = "ClientIP"
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": service["affinity"]}}
    if service.get("external"):
        spec["externalIPs"] = [own_address(case_number, ip) for ip in service["external"]]
    if service.get("ranges"):
        spec["loadBalancerSourceRanges"] = service["ranges"]
    for policy in ("etp", "itp"):
        if service.get(policy):
            name = {"etp": "externalTrafficPolicy", "itp": "internalTrafficPolicy"}[policy]
            spec[name] = service[policy]
    if service.get("distribution"):
        spec["trafficDistribution"] = service["distribution"]
    if service.get("selector"):
        spec["selector"] = service["selector"]
    metadata = {"name": service["name"], "namespace": service.get("namespace", "default"),
                "labels": service.get("labels", {}), "annotations": service.get("annotations", {})}
    if service.get("created"):
        metadata["creationTimestamp"] = service["created"]
    result = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    if service.get("lb"):
        ingress = []
        for item in service["lb"]:
            item = {"ip": item} if isinstance(item, str) else item
            entry = {"ip": own_address(case_number, item["ip"])}
            if item.get("mode"):
                entry["ipMode"] = item["mode"]
            ingress.append(entry)
        result["status"] = {"loadBalancer": {"ingress": ingress}}
    return result


def slice_manifests(service, endpoints):
    result = []
    for family in families_of(service):
        items = []
        for endpoint in endpoints:
            if isinstance(endpoint, str):
                endpoint = {"host": endpoint}
            host = endpoint["host"]
            item = {"addresses": [hosts.ADDRS[host][family == 6]],
                    "conditions": {key: endpoint[key] for key in ("ready", "serving", "terminating")
                                   if key in endpoint},
                    "nodeName": endpoint.get("node", "node" if host in hosts.LOCAL else "node2")}
            hints = {hint: [{"name": name} for name in endpoint[key]]
                     for key, hint in (("zones", "forZones"), ("nodes", "forNodes"))
                     if key in endpoint}
            if hints:
                item["hints"] = hints
            items.append(item)
        ports = [{"name": port.get("name", ""), "protocol": port.get("proto", "TCP"),
                  "port": port.get("target", 8080)} for port in service["ports"]]
        result.append({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": f"{service['name']}-{family}",
                         "namespace": service.get("namespace", "default"),
                         "labels": {"kubernetes.io/service-name": service["name"]}},
            "addressType": f"IPv{family}", "ports": ports, "endpoints": items})
    return result


class Reply(Exception):
    """How a request ended if not with an answer: refused, dropped."""


def request(host, addr, port, proto, seconds):
    """(who answered, whom it saw); Reply("refused"), Reply("dropped")."""
    kind, number = PROTOS[proto]
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    with hosts.inside(host):
        sock = socket.socket(family, kind, number)
    with sock:
        sock.settimeout(seconds)
        try:
            sock.connect((addr, port))
            sock.send(b"who\n")
            text = sock.recv(200).decode()
        except TimeoutError:
            raise Reply("dropped") from None
        except (ConnectionRefusedError, ConnectionResetError):
            raise Reply("refused") from None
        except OSError as error:
            raise Reply(f"failed: {error}") from None
    if not text:
        raise Reply("closed")
    who, saw = text.split()
    return who, saw


class Case:
    """A case on a running daemon; every failed expectation is collected and told together."""

    def __init__(self, daemon, number, data):
        self.daemon, self.number, self.data = daemon, number, data
        self.services = {}
        self.endpoints = {}
        self.name = f"case{number}"
        self.failures = []

    def add_services(self, services):
        for service in services:
            if service["name"] not in self.services:
                service["index"] = len(self.services)
            else:
                service["index"] = self.services[service["name"]]["index"]
            self.services[service["name"]] = service
            if "endpoints" in service:
                self.endpoints[service["name"]] = service["endpoints"]

    def manifests(self, objects):
        documents = []
        for name, service in self.services.items():
            documents.append(service_manifest(service, self.number))
            if name in self.endpoints:
                documents += slice_manifests(service, self.endpoints[name])
        text = "---\n".join(yaml.safe_dump(document) for document in documents)
        return text + ("\n---\n" + self.expand(objects) if objects else "")

    def expand(self, text):
        def address(match):
            kind, family, name = match.groups()
            if kind == "ADDR":
                return hosts.ADDRS[name][family == "6"]
            return vip(self.number, self.services[name], int(family))
        return re.sub(r"(ADDR|VIP)([46])\((\w+)\)", address, text)

    def apply(self, step):
        self.add_services(step.get("services", []))
        self.endpoints.update(step.get("endpoints", {}))
        for name in step.get("delete", []):
            self.services.pop(name, None)
            self.endpoints.pop(name, None)
        self.daemon.apply(self.name, self.manifests(step.get("objects", "")))
        self.daemon.settle()
        time.sleep(step.get("wait", 0))

    def run(self):
        for step in [self.data, *self.data.get("steps", [])]:
            self.apply(step)
            for ask in step.get("asks", []):
                self.ask(ask)
        return self.failures

    def clean(self):
        self.daemon.remove(self.name)
        self.daemon.settle()

    # ---- asking ----

    def ask(self, ask):
        if ask.get("mode") and not daemon.MODE.startswith(ask["mode"]):
            return
        target, _, port_name = ask["to"].partition(":")
        service = self.services.get(target)
        families = [ask["family"]] if "family" in ask else families_of(service) if service else [4]
        for family in families:
            addr = vip(self.number, service, family) if service else hosts.ADDRS[target][family == 6]
            ports = service["ports"] if service else []
            chosen = next((p for p in ports if p.get("name", "") == port_name), None) or \
                (ports[0] if ports else {})
            port = ask.get("port", chosen.get("node_port" if ask.get("node_port") else "port"))
            if ask.get("at"):
                addr = self.address_at(ask["at"], family)
            proto = ask.get("proto", chosen.get("proto", "TCP"))
            what = f"{ask['from']} -> {ask['to']} ({addr} {port}/{proto})"
            for failure in self.check(ask, addr, port, proto, family):
                self.failures.append(f"{what}: {failure}")

    def address_at(self, place, family):
        own = own_address(self.number, place)
        return host_address(place, family) if own == place else own

    def check(self, ask, addr, port, proto, family):
        if ask.get("refused") or ask.get("dropped"):
            return self.check_refusal(ask, addr, port, proto)
        wanted = ask.get("answers", [])
        times = ask.get("times", max(2 * len(wanted), 4))
        got, seen, bad = collections.Counter(), set(), []
        for _ in range(times):
            try:
                who, saw = request(ask["from"], addr, port, proto, ANSWER_SEC)
                got[who] += 1
                seen.add(saw)
            except Reply as reply:
                bad.append(str(reply))
        return self.judge(ask, family, got, seen, bad, times)

    @staticmethod
    def judge(ask, family, got, seen, bad, times):
        wanted = ask.get("answers")
        if bad:
            yield f"{len(bad)} of {times} requests: {collections.Counter(bad)}"
        if wanted and ask.get("sticky"):
            if len(got) > 1 or not set(got) <= set(wanted):
                yield f"answered by {dict(got)}, want one of {wanted} all the time"
        elif wanted and set(got) != set(wanted):
            yield f"answered by {dict(got)}, want {wanted}"
        spread = ask.get("spread")
        if spread == "even" and len(set(got.values())) > 1:
            yield f"spread {dict(got)}, want it even"
        elif isinstance(spread, dict) and dict(got) != spread:
            yield f"spread {dict(got)}, want {spread}"
        own = hosts.ADDRS[ask["from"]][family == 6]
        if ask.get("sees") == "own" and seen != {own}:
            yield f"the endpoint saw {seen}, want {own}"
        if ask.get("sees") == "node" and not seen <= hosts.NODE_ADDRS:
            yield f"the endpoint saw {seen}, want an address of the node"

    @staticmethod
    def check_refusal(ask, addr, port, proto):
        seconds = REFUSAL_SEC if ask.get("refused") else SILENCE_SEC
        # the kernel limits its ICMP errors, all there is for datagrams: one must be refused
        times = ask.get("times", 10 if proto == "TCP" and ask.get("refused") else 1)
        replies = collections.Counter()
        for _ in range(times):
            try:
                who, _ = request(ask["from"], addr, port, proto, seconds)
                replies[f"answered by {who}"] += 1
            except Reply as reply:
                replies[str(reply)] += 1
        want = "refused" if ask.get("refused") else "dropped"
        if set(replies) != {want}:
            yield f"{dict(replies)}, want {want} all {times} times"
