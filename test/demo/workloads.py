# SPDX-License-Identifier: Apache-2.0
"""What a folder of manifests would run: the Pods that its workloads would make, as stand-ins.

Reads Deployments, StatefulSets, DaemonSets, ReplicaSets (and ReplicationControllers), bare Pods,
EndpointSlices and Endpoints, and says which stand-ins must listen on which address and port so
that every Service has somebody who answers. Pure: touches no network, starts nothing.

It knows less than vipd on purpose: what is wrong in a manifest is vipd's to say, so whatever is
not understood here is left out.
"""
import dataclasses
import hashlib
import ipaddress
import json
import pathlib

import yaml

PROTOCOLS = ("TCP", "UDP", "SCTP")
PER_NODE = "DaemonSet"
WORKLOADS = ("Deployment", "StatefulSet", PER_NODE, "ReplicaSet", "ReplicationController")
STANDINS_MAX = 200  # a process and a few sockets each would be too much for a small guest
LABEL_SERVICE_NAME = "kubernetes.io/service-name"


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Kubernetes' reader takes a lone `=` for a string; PyYAML has no constructor for it."""


Loader.add_constructor("tag:yaml.org,2002:value", Loader.construct_yaml_str)
Loader.add_constructor("tag:yaml.org,2002:timestamp", Loader.construct_yaml_str)


@dataclasses.dataclass
class StandIn:
    """One who answers in the place of a Pod."""
    name: str
    ns: str
    labels: dict
    workload: str  # "Deployment shop/web"; where it came from
    containers: list  # as in the Pod's spec, with their ports
    addrs: list = dataclasses.field(default_factory=list)  # given by the manifest, else empty
    listed: bool = False  # the manifests hold it as a Pod or endpoint: nothing is to be added
    ports: set = dataclasses.field(default_factory=set)  # (protocol, port) to answer on

    @property
    def title(self):
        return f"{self.ns}/{self.name}"


@dataclasses.dataclass
class Workload:
    kind: str
    ns: str
    name: str
    replicas: int
    labels: dict
    containers: list

    @property
    def title(self):
        return f"{self.kind} {self.ns}/{self.name}"


@dataclasses.dataclass
class Service:
    ns: str
    name: str
    selector: dict
    ports: list  # dictionaries as in the manifest
    balanced: bool  # has, or gets, an address that a proxy serves

    @property
    def title(self):
        return f"{self.ns}/{self.name}"


@dataclasses.dataclass
class Application:
    services: list
    standins: list
    notes: list  # sentences for the person who runs the demo
    unreadable: list


# ---- reading ------------------------------------------------------------------------------------

def manifest_files(folder):
    """The files that vipd would read, in its order."""
    return sorted(path for path in pathlib.Path(folder).iterdir()
                  if path.suffix in (".yaml", ".yml", ".json") and path.is_file()
                  and not path.name.startswith("."))


def read_documents(path):
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json":
        return [json.loads(text)]
    return list(yaml.load_all(text, Loader=Loader))


def read_objects(folder):
    """(objects, files that could not be read): Lists taken apart, all else as it is."""
    objects, unreadable = [], []
    for path in manifest_files(folder):
        try:
            documents = read_documents(path)
        except (yaml.YAMLError, ValueError, OSError, RecursionError):
            unreadable.append(path.name)
            continue
        for document in documents:
            objects += flatten(document)
    return objects, unreadable


def flatten(document):
    if not isinstance(document, dict):
        return []
    items = document.get("items")
    kind = str(document.get("kind", ""))
    if not kind.endswith("List") or not isinstance(items, list):
        return [document]
    # The items of a PodList say no kind of their own.
    implied = {"kind": kind[:-len("List")]} if kind != "List" else {}
    return [one for item in items if isinstance(item, dict) for one in flatten(implied | item)]


def dig(tree, *path, kind=dict):
    """The value at the end of the path if it is of that kind, else an empty one."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, kind) else kind()


def dicts(tree, *path):
    """The dictionaries in the list at the end of the path."""
    return [one for one in dig(tree, *path, kind=list) if isinstance(one, dict)]


def ns_of(obj):
    return dig(obj, "metadata", "namespace", kind=str) or "default"


def name_of(obj):
    return dig(obj, "metadata", "name", kind=str)


def number(value):
    """A port or count as an integer, or None. Kubernetes takes no string for a number here."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def labels_of(tree):
    return {str(key): str(value) for key, value in dig(tree, "metadata", "labels").items()}


def listening_containers(spec):
    """Containers, and the init containers that stay (sidecars)."""
    sidecars = [one for one in dicts(spec, "initContainers") if one.get("restartPolicy") == "Always"]
    return dicts(spec, "containers") + sidecars


def read_workload(obj):
    template = dig(obj, "spec", "template")
    replicas = number(dig(obj, "spec").get("replicas"))
    if obj["kind"] == PER_NODE or replicas is None:
        replicas = 1
    return Workload(obj["kind"], ns_of(obj), name_of(obj), max(replicas, 0), labels_of(template),
                    listening_containers(dig(template, "spec")))


def read_service(obj):
    spec = dig(obj, "spec")
    headless = spec.get("clusterIP") == "None" or dig(spec, "clusterIPs", kind=list)[:1] == ["None"]
    return Service(ns_of(obj), name_of(obj),
                   {str(key): str(value) for key, value in dig(spec, "selector").items()},
                   dicts(spec, "ports"),
                   not headless and spec.get("type") != "ExternalName")


def read_pod(obj):
    """A Pod of the manifests: with addresses it is listed, without it is a workload of one."""
    status = dig(obj, "status")
    addrs = [dig(entry, "ip", kind=str) for entry in dicts(status, "podIPs")]
    addrs = [addr for addr in addrs or [dig(status, "podIP", kind=str)] if usable(addr)]
    title = f"Pod {ns_of(obj)}/{name_of(obj)}"
    return StandIn(name_of(obj), ns_of(obj), labels_of(obj), title,
                   listening_containers(dig(obj, "spec")), addrs, listed=bool(addrs))


def usable(text):
    try:
        addr = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (addr.is_loopback or addr.is_multicast or addr.is_link_local or addr.is_unspecified)


def owned(obj):
    """Made by another object that stands in the manifests or in a controller's care."""
    return bool(dig(obj, "metadata", "ownerReferences", kind=list))


# ---- who would run ------------------------------------------------------------------------------

def pod_names(workload):
    if workload.kind == "StatefulSet":
        return [f"{workload.name}-{i}" for i in range(workload.replicas)]
    if workload.kind == PER_NODE:
        return [f"{workload.name}-node"]
    return [f"{workload.name}-{i + 1}" for i in range(workload.replicas)]


def make_standins(workload):
    return [StandIn(name, workload.ns, workload.labels, workload.title, workload.containers)
            for name in pod_names(workload)]


def selects(selector, labels):
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def container_ports(containers):
    """(name, protocol, number) of every container port that is well formed."""
    found = []
    for container in containers:
        for port in dicts(container, "ports"):
            value = number(port.get("containerPort"))
            protocol = dig(port, "protocol", kind=str) or "TCP"
            if value and 0 < value < 65536 and protocol in PROTOCOLS:
                found.append((dig(port, "name", kind=str), protocol, value))
    return found


def wanted_ports(standin, services):
    """What it must answer on: its container ports, and the numbers that Services send to anyway
    (a container's port list is informational in Kubernetes)."""
    ports = {(protocol, value) for _, protocol, value in container_ports(standin.containers)}
    for service in services:
        if service.ns != standin.ns or not selects(service.selector, standin.labels):
            continue
        for port in service.ports:
            target = port.get("targetPort", port.get("port"))
            protocol = port.get("protocol") or "TCP"
            if number(target) and 0 < target < 65536 and protocol in PROTOCOLS:
                ports.add((protocol, target))
    return ports


def read_slice(obj):
    """Stand-ins for the addresses of an EndpointSlice."""
    service = labels_of(obj).get(LABEL_SERVICE_NAME, name_of(obj))
    addrs = [addr for one in dicts(obj, "endpoints") for addr in dig(one, "addresses", kind=list)[:1]]
    return endpoint_standins(obj, service, addrs, dicts(obj, "ports"))


def read_endpoints(obj):
    found = []
    for subset in dicts(obj, "subsets"):
        addrs = [dig(one, "ip", kind=str) for one in dicts(subset, "addresses")]
        found += endpoint_standins(obj, name_of(obj), addrs, dicts(subset, "ports"))
    return found


def endpoint_standins(obj, service, addrs, ports):
    numbers = {(port.get("protocol") or "TCP", number(port.get("port"))) for port in ports}
    return [StandIn(f"{service}@{addr}", ns_of(obj), {}, f"{obj['kind']} {ns_of(obj)}/{name_of(obj)}",
                    [], [addr], listed=True, ports={port for port in numbers if port[1]})
            for addr in addrs if isinstance(addr, str) and usable(addr)]


def merge_listed(standins):
    """One stand-in an address: a Pod and the slices that name its address are the same one."""
    merged, by_addr = [], {}
    for standin in standins:
        known = next((by_addr[addr] for addr in standin.addrs if addr in by_addr), None)
        if known:
            known.ports |= standin.ports
            known.addrs += [addr for addr in standin.addrs if addr not in known.addrs]
        else:
            known = standin
            merged.append(standin)
        for addr in known.addrs:
            by_addr[addr] = known
    return merged


def read_application(folder, standins_max=STANDINS_MAX):
    objects, unreadable = read_objects(folder)
    kinds = {}
    for obj in objects:
        if isinstance(obj.get("kind"), str) and name_of(obj):
            kinds.setdefault(obj["kind"], []).append(obj)
    services = [read_service(obj) for obj in kinds.get("Service", [])]
    pods = [read_pod(obj) for obj in kinds.get("Pod", [])]
    listed = [pod for pod in pods if pod.listed]
    workloads = [read_workload(obj) for kind in WORKLOADS for obj in kinds.get(kind, [])
                 if not owned(obj)]
    made, notes = [], []
    for workload in workloads:
        if any(pod.ns == workload.ns and selects(workload.labels, pod.labels) for pod in listed):
            continue  # a cluster's own listing: its Pods are there already
        made += make_standins(workload)
    for pod in pods:
        if not pod.listed:
            pod.name += "-standin"  # the manifest's own object keeps its name
            made.append(pod)
    if len(made) > standins_max:
        notes.append(f"{len(made)} Pods would run; stand-ins are started for {standins_max}")
        made = fair_share(made, standins_max)
    for standin in made + listed:
        standin.ports |= wanted_ports(standin, services)
    for obj in kinds.get("EndpointSlice", []):
        listed += read_slice(obj)
    for obj in kinds.get("Endpoints", []):
        listed += read_endpoints(obj)
    return Application(services, made + merge_listed(listed), notes, unreadable)


def fair_share(standins, count):
    """`count` of them, so that no workload goes without while another has two."""
    by_workload = {}
    for standin in standins:
        by_workload.setdefault(standin.workload, []).append(standin)
    chosen, turn = [], 0
    while len(chosen) < count:
        chosen += [group[turn] for group in by_workload.values() if turn < len(group)]
        turn += 1
    return chosen[:count]


# ---- what vipd is given -------------------------------------------------------------------------

def assign_addresses(standins, networks, taken=()):
    """An address of each network, none of `taken`, to everybody who has none; deterministic."""
    used = {addr for standin in standins for addr in standin.addrs} | set(taken)
    pools = [iter(ipaddress.ip_network(net).hosts()) for net in networks]
    for pool in pools:
        next(pool)  # the first is the node's
    for standin in standins:
        if not standin.addrs:
            standin.addrs = [next(str(addr) for addr in pool if str(addr) not in used)
                             for pool in pools]


def pod_manifest(standin, node):
    """The Pod object that a kubelet would have reported for this stand-in."""
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": standin.name, "namespace": standin.ns, "labels": standin.labels,
                     "uid": hashlib.sha1(standin.title.encode()).hexdigest()},
        "spec": {"nodeName": node,
                 "containers": [{"name": str(one.get("name", "standin")), "image": "standin",
                                 "ports": dicts(one, "ports")}
                                for one in standin.containers]},
        "status": {"phase": "Running", "podIP": standin.addrs[0],
                   "podIPs": [{"ip": addr} for addr in standin.addrs],
                   "conditions": [{"type": "Ready", "status": "True"}]},
    }


def pods_file(standins, node):
    """The manifest that makes vipd know the stand-ins which the user's files do not hold."""
    items = [pod_manifest(standin, node) for standin in standins if not standin.listed]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1) + "\n"
