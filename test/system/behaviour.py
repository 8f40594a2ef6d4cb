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
      answers: exactly these hosts, in `times` requests (default: as many as must find them all)
      spread: even, or {a: 3, d: 1}     sticky: one host all the time
      keeps: the host that answered the ask before
      sees: own (the asker's address), node (one of the node's), any
      refused: at once   dropped: no answer at all
      at: another address of the Service: EXT(n), LB(n), an address as it is, or one of a host, as in
      "node" or node:client (the node's address that this host knows); with `node_port: true` its
      node port. NP and NP:client are short for the latter, CLUSTER is the cluster IP
      `from` and `at` may be lists: each asks at each
      mode: ipvs or iptables, where the modes differ by nature (a VIP is no address of the node in
      iptables mode: what no Service takes goes on to the node's router)
service: name, namespace, ports [{port, target, name, proto, service_target, node_port}], families,
      endpoints, affinity (seconds), distribution, created, selector, publish (not ready ones), type, headless, ip {4: ..., 6: ...}
      external [ADDR], lb [ADDR or {ip, mode}], ranges [CIDR], etp Local, itp Local; EXT(n) and
      LB(n) stand for an address of this case's own, in the Service's first family, EXT6(n) in IPv6
endpoint: HOST or {host, ready, serving, terminating, node, zones [..], nodes [..]}
step: endpoints {service: [...]}, delete [service], services [...], objects TEXT, wait SECONDS, asks;
      node_zone ZONE: the label of a v1/Node of this node's name, for this step
needs: SCTP where the kernel must have it (this machine's own has none)
objects: manifests as they are, ADDR4(host), ADDR6(host), VIP4(service), VIP6(service) replaced
"""
import collections
import concurrent.futures
import errno
import ipaddress
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


def ipv4_of_case(net, n, case_number):
    """The n-th (1 to 15, from some base) of a case in a /16; cases up to 2,000 find room."""
    return f"{net}.{n + 16 * (case_number // 250)}.{case_number % 250 + 1}"


def vip(case_number, service, family):
    if service.get("ip"):
        return service["ip"].get(family)
    index = service["index"] + 1
    if family == 4:
        return ipv4_of_case("10.96", 100 + index, case_number)
    number = case_number * 16 + index
    return f"fd00:96::{number >> 16:x}:{number & 0xffff:x}"


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
    return ipv4_of_case("198.18" if kind == "EXT" else "198.19", int(n), case_number)


def literal_family(text):
    """4 or 6 if it is an address, else None."""
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return None


def as_list(value):
    return value if isinstance(value, list) else [value]


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
    if service.get("publish"):
        spec["publishNotReadyAddresses"] = True
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
    """How a request ended if not with an answer: refused, dropped, denied (by sendto itself)."""


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
            # SCTP keeps an ICMP error that came while the socket was busy, and goes on
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            raise Reply("refused" if error == errno.ECONNREFUSED else "dropped") from None
        except (ConnectionRefusedError, ConnectionResetError):
            raise Reply("refused") from None
        except PermissionError:
            raise Reply("denied") from None
        except OSError as error:
            raise Reply(f"failed: {error}") from None
    if not text:
        raise Reply("closed")
    who, saw = text.split()
    return who, saw


def enough(hosts_wanted):
    """Requests that find that many hosts: in turn, or at random (missing one: under 1 in 10^6)."""
    if daemon.MODE == "ipvs" or hosts_wanted < 2:
        return max(2 * hosts_wanted, 4)
    return 16 * hosts_wanted


class Case:
    """A case on a running daemon; every failed expectation is collected and told together."""

    def __init__(self, daemon, number, data):
        self.daemon, self.number, self.data = daemon, number, data
        self.services = {}
        self.endpoints = {}
        self.name = f"case{number}"
        self.failures = []
        self.last_host = None

    def add_services(self, services):
        for service in services:
            if service["name"] not in self.services:
                service["index"] = len(self.services)
            else:
                service["index"] = self.services[service["name"]]["index"]
            self.services[service["name"]] = service
            if "endpoints" in service:
                self.endpoints[service["name"]] = service["endpoints"]

    def manifests(self, objects, node_zone):
        documents = []
        if node_zone is not None:
            documents.append({"apiVersion": "v1", "kind": "Node", "metadata": {
                "name": "node", "labels": {"topology.kubernetes.io/zone": node_zone}}})
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
        self.daemon.apply(self.name, self.manifests(step.get("objects", ""),
                                                    step.get("node_zone")))
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
        asks = [({**ask, "from": asker}, place) for asker in as_list(ask["from"])
                for place in as_list(ask.get("at", "CLUSTER"))]
        # silence takes its time: all listen for it at once
        with concurrent.futures.ThreadPoolExecutor(8 if ask.get("dropped") else 1) as pool:
            list(pool.map(lambda one: self.ask_at(*one), asks))

    def ask_at(self, ask, place):
        target, _, port_name = ask["to"].partition(":")
        service = self.services.get(target)
        ports = service["ports"] if service else []
        chosen = next((p for p in ports if p.get("name", "") == port_name), None) or \
            (ports[0] if ports else {})
        node_port = ask.get("node_port") or place.partition(":")[0] == "NP"
        port = ask.get("port", chosen.get("node_port" if node_port else "port"))
        proto = ask.get("proto", chosen.get("proto", "TCP"))
        place = own_address(self.number, re.sub(r"^NP\b", "node", place))
        families = [literal_family(place)]
        if not families[0]:
            families = [ask["family"]] if "family" in ask else \
                families_of(service) if service else [4]
        for family in families:
            addr = self.address_at(target, place, family)
            what = f"{ask['from']} -> {ask['to']} ({addr} {port}/{proto})"
            for failure in self.check(ask, addr, port, proto, family):
                self.failures.append(f"{what}: {failure}")

    def address_at(self, target, place, family):
        if literal_family(place):
            return place
        if place != "CLUSTER":
            return host_address(place, family)
        service = self.services.get(target)
        return vip(self.number, service, family) if service else hosts.ADDRS[target][family == 6]

    def check(self, ask, addr, port, proto, family):
        if ask.get("refused") or ask.get("dropped"):
            return self.check_refusal(ask, addr, port, proto)
        wanted = ask.get("answers", [])
        times = ask.get("times", enough(len(wanted)))
        got, seen, bad = collections.Counter(), set(), []
        for _ in range(times):
            try:
                who, saw = request(ask["from"], addr, port, proto, ANSWER_SEC)
                got[who] += 1
                seen.add(saw)
            except Reply as reply:
                bad.append(str(reply))
        return self.judge(ask, family, got, seen, bad, times)

    def judge(self, ask, family, got, seen, bad, times):
        wanted = ask.get("answers")
        if bad:
            yield f"{len(bad)} of {times} requests: {collections.Counter(bad)}"
        if wanted and ask.get("sticky"):
            if len(got) > 1 or not set(got) <= set(wanted):
                yield f"answered by {dict(got)}, want one of {wanted} all the time"
        elif wanted and set(got) != set(wanted):
            yield f"answered by {dict(got)}, want {wanted}"
        if ask.get("keeps") and set(got) != {self.last_host}:
            yield f"answered by {dict(got)}, want {self.last_host} as before"
        self.last_host = min(got, default=None)
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
        if proto == "UDP" and set(replies) == {"denied"}:
            return  # all that the node's own programs see of a datagram that goes no further
        if set(replies) != {want}:
            yield f"{dict(replies)}, want {want} all {times} times"
