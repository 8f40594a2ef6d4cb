#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a folder of manifests: manifests.py SERVICES ENDPOINTS DIR

Service i is default/svc-i at 10.96.0.0 + 256 + i with endpoints of 10.128.0.0/9, as `kubectl get -o
yaml` prints them (a thousand Services a file, so that a change of one file is a change of few). The
API server's and the DNS Service are in cluster.yaml.

With `entrances` each is of type LoadBalancer: node port 20000 + i, an external IP (198.18.1.0 + i), a load
balancer IP (198.19.1.0 + i) that two source ranges may ask for; with "plain" the first two alone."""
import os
import sys

SERVICE = """---
apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: {ns}
  labels:
    app: {name}
  creationTimestamp: "2026-01-01T00:00:00Z"
  resourceVersion: "{number}"
spec:
  clusterIP: {vip}
  clusterIPs:
  - {vip}
  ipFamilies:
  - IPv4
  ipFamilyPolicy: SingleStack
  ports:
  - name: main
    port: {port}
    protocol: {proto}
    targetPort: 8080
  selector:
    app: {name}
  sessionAffinity: None
  type: ClusterIP
"""

ENTRANCES = """  externalIPs:
  - {external}
  loadBalancerSourceRanges:
  - 198.51.100.0/24
  - 203.0.113.0/24
status:
  loadBalancer:
    ingress:
    - ip: {lb}
"""

SLICE = """---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-abcde
  namespace: {ns}
  labels:
    kubernetes.io/service-name: {name}
addressType: IPv4
ports:
- name: main
  port: 8080
  protocol: {proto}
endpoints:
"""

ENDPOINT = """- addresses:
  - {addr}
  conditions:
    ready: true
    serving: true
    terminating: false
  nodeName: node-{node}
"""


def quad(number):
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def vip_of(i):
    return quad((10 << 24 | 96 << 16) + 256 + i)


def with_entrances(text, i, plain):
    """A Service's text, with all there is that leads to it; `plain`: node port and external IP."""
    text = text.replace("    targetPort: 8080\n", f"    targetPort: 8080\n    nodePort: {20000 + i}\n")
    text = text.replace("  type: ClusterIP\n", "  type: LoadBalancer\n")
    if plain:
        text = text.replace("  type: LoadBalancer\n", "  type: NodePort\n")
        return text + f"  externalIPs:\n  - {quad((198 << 24 | 18 << 16) + 256 + i)}\n"
    return text + ENTRANCES.format(external=quad((198 << 24 | 18 << 16) + 256 + i),
                                   lb=quad((198 << 24 | 19 << 16) + 256 + i))


def service(name, ns, vip, port, proto, addrs, number=1, entrances=False):
    text = SERVICE.format(name=name, ns=ns, vip=vip, port=port, proto=proto, number=number)
    if entrances:
        text = with_entrances(text, number, entrances == "plain")
    text += SLICE.format(name=name, ns=ns, proto=proto)
    return text + "".join(ENDPOINT.format(addr=addr, node=i % 100) for i, addr in enumerate(addrs))


def extra_addr(number):
    return quad((10 << 24 | 127 << 16) + number)


def own_file(i):
    return f"own-{i:05}.yaml"


def numbered(i, endpoints, extra=0, entrances=False):
    """Service i with so many endpoints, and `extra` more."""
    first = (10 << 24 | 128 << 16) + i * endpoints
    addrs = [quad(first + e + 1) for e in range(endpoints)]
    addrs += [extra_addr(e + 1) for e in range(extra)]
    return service(f"svc-{i}", "default", vip_of(i), 80, "TCP", addrs, i, entrances)


def write(folder, services, endpoints, per_file=1000, own_files=0, entrances=False):
    """The first `own_files` Services have files of their own."""
    os.makedirs(folder, exist_ok=True)
    for i in range(min(own_files, services)):
        with open(os.path.join(folder, own_file(i)), "w", encoding="ascii") as out:
            out.write(numbered(i, endpoints, entrances=entrances))
    with open(os.path.join(folder, "cluster.yaml"), "w", encoding="ascii") as out:
        out.write(service("kubernetes", "default", "10.96.0.1", 443, "TCP", ["192.0.2.10"]))
        out.write(service("kube-dns", "kube-system", "10.96.0.10", 53, "UDP", ["192.0.2.11"]))
    for start in range(own_files, services, per_file):
        with open(os.path.join(folder, f"services-{start:05}.yaml"), "w", encoding="ascii") as out:
            for i in range(start, min(start + per_file, services)):
                out.write(numbered(i, endpoints, entrances=entrances))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    write(sys.argv[3], int(sys.argv[1]), int(sys.argv[2]))
