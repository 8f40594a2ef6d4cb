# SPDX-License-Identifier: Apache-2.0
"""Health-check node ports: what a load balancer outside is told about a node's endpoints, on which
addresses, and what happens when the port changes, goes, or is another program's."""
import http.client
import socket
import time

import pytest
import yaml

import daemon
import hosts

HEALTH_PORT = 32100
BODY = """{
\t"service": {
\t\t"namespace": "default",
\t\t"name": "%s"
\t},
\t"localEndpoints": %d,
\t"serviceProxyHealthy": true
}"""


class Connection(http.client.HTTPConnection):
    """From a host of the lab."""

    def __init__(self, host, addr, port):
        super().__init__(addr, port, timeout=3)
        self.from_host = host

    def connect(self):
        with hosts.inside(self.from_host):
            self.sock = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        self.sock.settimeout(self.timeout)
        self.sock.connect((self.host, self.port))


def ask(port=HEALTH_PORT, host="client", family=0, addr=None, method="GET", path="/healthz"):
    """Status, headers and body."""
    connection = Connection(host, addr or hosts.near_node(host)[family], port)
    try:
        connection.request(method, path)
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read().decode()
    finally:
        connection.close()


def status(*args, **kwargs):
    return ask(*args, **kwargs)[0]


def refuses(port, **kwargs):
    try:
        ask(port, **kwargs)
    except ConnectionRefusedError:
        return True
    return False


def load_balancer(name="web", port=HEALTH_PORT, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local",
                     "healthCheckNodePort": port,
                     "ports": [{"name": "http", "port": 80}, {"name": "more", "port": 81}],
                     "ipFamilyPolicy": "RequireDualStack", **spec},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.100"}]}}}


def endpoints(names, name="web", local=(), conditions=None, family=0):
    """A slice with these pods, those in `local` on this node, both ports."""
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-{family}", "labels": {"kubernetes.io/service-name": name}},
            "addressType": ("IPv4", "IPv6")[family],
            "ports": [{"name": "http", "port": 8080}, {"name": "more", "port": 8081}],
            "endpoints": [{"addresses": [hosts.ADDRS[n][family]],
                           "nodeName": "node" if n in local else "node2",
                           "conditions": (conditions or {}).get(n, {"ready": True})}
                          for n in names]}


def manifest(*documents):
    return "---\n".join(yaml.safe_dump(document) for document in documents)


def another_program():
    """It listens where Services want to."""
    sock = socket.socket(socket.AF_INET6)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::", HEALTH_PORT))
    sock.listen()
    return sock


def until(what, seconds=8):
    """Until it is so."""
    end = time.monotonic() + seconds
    while True:
        try:
            if what():
                return
        except OSError:
            pass
        assert time.monotonic() < end, "not so in time"
        time.sleep(0.02)


def test_what_is_answered(vipd):
    """Counts, headers and body, from everywhere and in both families."""
    one = vipd()
    one.apply("web", manifest(load_balancer(), endpoints("abd", local="ab"),
                              endpoints("abd", local="a", family=1)))
    until(lambda: status() == 200)
    for host in ("client", "client2", "a", "node2", "node"):
        for family in (0, 1):
            code, headers, body = ask(host=host, family=family, path="/any")
            assert code == 200 and body == BODY % ("web", 2)
            assert headers["Content-Type"] == "application/json"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Load-Balancing-Endpoint-Weight"] == "2"
            assert headers["Content-Length"] == str(len(body))
    assert ask(method="POST")[0] == 200
    assert ask(method="HEAD")[2] == ""


def test_what_counts(vipd):
    """Ready endpoints of this node, each address once: not those that terminate."""
    one = vipd()
    leaving = {"ready": False, "serving": True, "terminating": True}
    cases = [("d", "", {}, 0), ("abcd", "abc", {}, 3), ("abd", "ab", {"b": leaving}, 1),
             ("ad", "a", {"a": leaving}, 0), ("a", "a", {"a": {"ready": False}}, 0), ("a", "a", {}, 1)]
    for names, local, conditions, count in cases:
        one.apply("web", manifest(load_balancer(), endpoints(names, "web", local, conditions)))
        until(lambda: ask()[2] == BODY % ("web", count))
        code, headers, _ = ask()
        assert code == (200 if count else 503)
        assert headers["X-Load-Balancing-Endpoint-Weight"] == str(count)
    one.apply("web", manifest(load_balancer()))
    until(lambda: status() == 503)


def test_only_on_the_nodes_addresses(vipd):
    """A Service's addresses answer what the Service is for, and nothing else."""
    one = vipd()
    one.apply("web", manifest(load_balancer(clusterIP="10.96.7.7", clusterIPs=["10.96.7.7",
                                                                              "fd00:96::77"]),
                              endpoints("a", local="a")))
    until(lambda: status() == 200)
    for host, addr in (("a", "10.96.7.7"), ("node", "10.96.7.7"), ("a", "fd00:96::77"),
                       ("client", "192.0.2.100")):
        if daemon.MODE == "ipvs":
            assert refuses(HEALTH_PORT, addr=addr, host=host)
        else:  # there it is nobody's address
            with pytest.raises(OSError):
                ask(HEALTH_PORT, addr=addr, host=host)


def test_port_changes_and_goes(vipd):
    one = vipd()
    backing = endpoints("a", local="a")
    one.apply("web", manifest(load_balancer(), backing))
    until(lambda: status() == 200)
    one.apply("web", manifest(load_balancer(port=HEALTH_PORT + 1), backing))
    until(lambda: status(HEALTH_PORT + 1) == 200)
    assert refuses(HEALTH_PORT)
    one.apply("web", manifest(load_balancer(port=HEALTH_PORT + 1, externalTrafficPolicy="Cluster"),
                              backing))
    until(lambda: refuses(HEALTH_PORT + 1))
    one.apply("web", manifest(load_balancer(), backing))
    until(lambda: status() == 200)
    one.remove("web")
    until(lambda: refuses(HEALTH_PORT))


def test_no_port_named(vipd):
    """It is given one, as an API server would; after a restart the same."""
    one = vipd()
    one.apply("web", manifest(load_balancer(port=0), endpoints("a", local="a")))
    one.wait_log("health check node port given")
    port = int(one.log_path.read_text().split("healthchecknodeport=")[1].split()[0])
    until(lambda: status(port) == 200)
    assert f"healthchecknodeport {port}\n" in one.run("--print=objects")[1]
    one.kill()
    assert refuses(port)
    one.start()
    until(lambda: status(port) == 200)


def test_port_of_another_program(vipd):
    """Said in the status with Service, port and reason; taken when it is free. Others are not held up."""
    one = vipd()
    other = another_program()
    one.apply("web", manifest(load_balancer(), endpoints("a", local="a"),
                              load_balancer("good", HEALTH_PORT + 1, ports=[{"port": 90}])))
    one.wait_log(f'msg="not in order" health="default/web" reason="nobody answers on health check '
                 f'node port {HEALTH_PORT}: cannot listen on [::]:{HEALTH_PORT}: Address already '
                 'in use; tried again"')
    until(lambda: status(HEALTH_PORT + 1) == 503)
    since = one.mark_log()
    other.close()
    until(lambda: status() == 200)
    one.wait_log('msg="in order again" health="default/web"', since)


def test_two_services_one_port(vipd):
    """The older one has it; the other one waits, by name, and has it when that goes."""
    one = vipd()
    old, young = load_balancer("old"), load_balancer("young", ports=[{"port": 90}])
    old["metadata"]["creationTimestamp"] = "2024-01-01T00:00:00Z"
    young["metadata"]["creationTimestamp"] = "2024-01-02T00:00:00Z"
    one.apply("a-young", manifest(young))
    until(lambda: ask()[2] == BODY % ("young", 0))
    one.apply("old", manifest(old))
    until(lambda: ask()[2] == BODY % ("old", 0))
    one.wait_log('health="default/young" reason="waits for health check node port '
                 f'{HEALTH_PORT}: the older Service default/old has it"')
    one.remove("old")
    until(lambda: ask()[2] == BODY % ("young", 0))


def test_hundred_services_and_slow_clients(vipd):
    """Clients that open a connection and say nothing keep nobody waiting, and not for long."""
    one = vipd()
    one.apply("all", manifest(*[load_balancer(f"s{i}", 31000 + i, ports=[{"port": 80 + i}])
                                for i in range(100)]))
    until(lambda: all(status(31000 + i) == 503 for i in range(100)), 20)
    silent = []
    for i in range(50):
        connection = Connection("client2", hosts.near_node("client2")[0], 31000 + i)
        connection.connect()
        connection.sock.send(b"GET / HTTP/1.1\r\n")
        silent.append(connection.sock)
    start = time.monotonic()
    for i in range(100):
        assert ask(31000 + i)[2] == BODY % (f"s{i}", 0)
    assert time.monotonic() - start < 5
    for sock in silent:
        sock.settimeout(10)
        try:
            assert sock.recv(1) == b""
        except ConnectionResetError:
            pass
        sock.close()
    one.remove("all")
    until(lambda: all(refuses(31000 + i) for i in range(100)))


def test_one_pass_does_not_listen(vipd):
    one = vipd(begin=False)
    one.apply("web", manifest(load_balancer(), endpoints("a", local="a")))
    with another_program():
        assert "health=" not in one.run("--once")[2]
