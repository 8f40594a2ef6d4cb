# SPDX-License-Identifier: Apache-2.0
"""What those see who watch a node: health, metrics and status, and what bad clients cannot do."""
import json
import pathlib
import re
import signal
import socket
import time

import jsonschema
from prometheus_client.parser import text_string_to_metric_families

import daemon
import test_health

HEALTH, METRICS = 10256, 10249
SCHEMA = json.loads((pathlib.Path(__file__).parents[2] / "docs/status.schema.json").read_text())
SECONDS = [f"{0.001 * 2 ** i:.10g}" for i in range(15)] + ["+Inf"]
PROGRAMMING = (["0.25", "0.5"] + [str(i) for i in range(1, 60)] + [str(i) for i in range(60, 120, 5)]
               + [str(i) for i in range(120, 330, 30)] + ["+Inf"])
FAMILY = {"ip_family"}
# Name without the suffix of counters: type, labels, bounds, modes.
EVERYWHERE, IPTABLES = ("ipvs", "iptables"), ("iptables",)
KUBEPROXY = {
    "sync_proxy_rules_duration_seconds": ("histogram", FAMILY, SECONDS, EVERYWHERE),
    "sync_full_proxy_rules_duration_seconds": ("histogram", FAMILY, SECONDS, IPTABLES),
    "sync_partial_proxy_rules_duration_seconds": ("histogram", FAMILY, SECONDS, IPTABLES),
    "sync_proxy_rules_last_timestamp_seconds": ("gauge", FAMILY, None, EVERYWHERE),
    "sync_proxy_rules_last_queued_timestamp_seconds": ("gauge", FAMILY, None, EVERYWHERE),
    "network_programming_duration_seconds": ("histogram", FAMILY, PROGRAMMING, EVERYWHERE),
    "sync_proxy_rules_endpoint_changes_pending": ("gauge", set(), None, EVERYWHERE),
    "sync_proxy_rules_endpoint_changes": ("counter", set(), None, EVERYWHERE),
    "sync_proxy_rules_service_changes_pending": ("gauge", set(), None, EVERYWHERE),
    "sync_proxy_rules_service_changes": ("counter", set(), None, EVERYWHERE),
    "sync_proxy_rules_iptables_restore_failures": ("counter", FAMILY, None, EVERYWHERE),
    "sync_proxy_rules_no_local_endpoints_total": ("gauge", {"traffic_policy", "ip_family"}, None,
                                                  EVERYWHERE),
    "proxy_healthz": ("counter", {"code"}, None, EVERYWHERE),
    "proxy_livez": ("counter", {"code"}, None, EVERYWHERE),
    "conntrack_reconciler_deleted_entries": ("counter", FAMILY, None, ("ipvs",)),
}


def ask(port, path, **kwargs):
    return test_health.ask(port, host="node", addr="127.0.0.1", path=path, **kwargs)


def metrics():
    """Each family once, by its name."""
    families = {}
    for family in text_string_to_metric_families(ask(METRICS, "/metrics")[2]):
        assert family.name not in families, f"{family.name} comes twice"
        assert family.documentation and family.type != "unknown", family.name
        families[family.name] = family
    return families


def value(name, **labels):
    name = name.removeprefix("kubeproxy_")
    for family in metrics().values():
        for sample in family.samples:
            if sample.name in (name, f"kubeproxy_{name}") and sample.labels == labels:
                return sample.value
    return None


def service(name="web", **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"name": "http", "port": 80}], **spec}}


def settled(one):
    """A Service with endpoints is in the kernel."""
    one.apply("web", test_health.manifest(service(), test_health.endpoints("ab", local="a")))
    test_health.until(lambda: json.loads(ask(METRICS, "/status")[2])["complete"])


def test_paths_codes_and_headers(vipd):
    one = vipd()
    settled(one)
    for port, path, kind in ((HEALTH, "/healthz", "application/json"),
                             (HEALTH, "/livez", "application/json"),
                             (METRICS, "/healthz", "text/plain; charset=utf-8"),
                             (METRICS, "/proxyMode", "text/plain; charset=utf-8"),
                             (METRICS, "/metrics", "text/plain; version=0.0.4; charset=utf-8"),
                             (METRICS, "/status", "application/json")):
        code, headers, body = ask(port, path)
        assert code == 200 and headers["Content-Type"] == kind, path
        assert headers["X-Content-Type-Options"] == "nosniff" and body
    assert ask(METRICS, "/healthz")[2] == "ok"
    assert ask(METRICS, "/proxyMode")[2] == daemon.MODE.split("-")[0]
    for port, path in ((HEALTH, "/"), (HEALTH, "/metrics"), (METRICS, "/livez"), (METRICS, "/x")):
        assert ask(port, path)[0] == 404
    assert ask(METRICS, "/metrics", method="POST")[0] == 405
    assert ask(METRICS, "/metrics", method="HEAD")[0] == 200
    # the one is for load balancers, the other for this node alone
    assert test_health.status(HEALTH, host="client") == 200
    assert test_health.status(HEALTH, host="client", family=1) == 200
    assert test_health.refuses(METRICS, host="client")


def test_health_says(vipd):
    one = vipd()
    settled(one)
    body = json.loads(ask(HEALTH, "/healthz")[2])
    assert list(body) == ["lastUpdated", "currentTime", "nodeEligible", "healthy", "status"]
    assert body["nodeEligible"] and body["healthy"] and body["lastUpdated"] == body["currentTime"]
    assert set(body["status"]) <= {"IPv4", "IPv6"} and body["status"]["IPv4"]["healthy"]
    assert "nodeEligible" not in json.loads(ask(HEALTH, "/livez")[2])
    one.apply("node", test_health.manifest(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"},
         "spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]}}))
    test_health.until(lambda: ask(HEALTH, "/healthz")[0] == 503)
    assert ask(HEALTH, "/livez")[0] == 200
    one.remove("node")
    test_health.until(lambda: ask(HEALTH, "/healthz")[0] == 200)
    assert value("proxy_healthz_total", code="503") >= 1


def test_metrics_are_kube_proxys(vipd):
    """Names, types, labels, buckets: its dashboards and alerts go on working."""
    one = vipd()
    settled(one)
    ask(HEALTH, "/healthz"), ask(HEALTH, "/livez")
    got, mode = metrics(), daemon.MODE.split("-")[0]
    wanted = {f"kubeproxy_{name}" for name, spec in KUBEPROXY.items() if mode in spec[3]}
    assert {name for name in got if name.startswith("kubeproxy_")} == wanted
    for name, (kind, labels, bounds, modes) in KUBEPROXY.items():
        if mode not in modes:
            continue
        family = got[f"kubeproxy_{name}"]
        assert family.type == kind, name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == labels, sample
        if bounds:
            assert [s.labels["le"] for s in family.samples
                    if s.name.endswith("_bucket") and s.labels["ip_family"] == "IPv4"] == bounds
    assert {"vipd_not_in_order", "vipd_frontends", "process_resident_memory_bytes"} <= set(got)


def test_metrics_are_measured(vipd):
    one = vipd()
    settled(one)
    count, changes = "sync_proxy_rules_duration_seconds_count", "sync_proxy_rules_%s_changes_total"
    before = value(count, ip_family="IPv4")
    services, endpoints = value(changes % "service"), value(changes % "endpoint")
    far = test_health.endpoints("d", name="far")
    far["metadata"]["annotations"] = {
        "endpoints.kubernetes.io/last-change-trigger-time":
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))}
    one.apply("far", test_health.manifest(service("far", internalTrafficPolicy="Local"), far))
    test_health.until(lambda: value("sync_proxy_rules_no_local_endpoints_total",
                                    traffic_policy="internal", ip_family="IPv4") == 1)
    test_health.until(lambda: value(count, ip_family="IPv4") > before)
    assert value(changes % "service") == services + 1
    assert value(changes % "endpoint") == endpoints + 1
    for what in ("service", "endpoint"):
        assert value(f"sync_proxy_rules_{what}_changes_pending") == 0
    assert value("network_programming_duration_seconds_count", ip_family="IPv4") == 1
    assert value("sync_proxy_rules_last_timestamp_seconds", ip_family="IPv4") >= \
        value("sync_proxy_rules_last_queued_timestamp_seconds", ip_family="IPv4") > time.time() - 60


def test_status(vipd):
    """Complete, then not, with the reason, then again."""
    one = vipd()
    settled(one)

    def status():
        text = json.loads(ask(METRICS, "/status")[2])
        jsonschema.validate(text, SCHEMA)
        return text

    assert status()["state"] == "complete" and status()["problems"] == []
    assert status()["objects"]["Service"] == 1
    one.apply("broken", "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {ports: 7}\n")
    test_health.until(lambda: status()["state"] == "incomplete")
    problem = status()["problems"][0]
    assert problem["kind"] == "source" and "ports" in problem["reason"] and not status()["complete"]
    assert value("vipd_not_in_order", kind="source") == 1
    one.remove("broken")
    test_health.until(lambda: status()["complete"])


def test_somebody_has_the_port(vipd):
    """The Services do not wait for it; it is told, and taken when it is free."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", METRICS))
    taken.listen()
    one = vipd()
    one.apply("web", test_health.manifest(test_health.load_balancer(),
                                          test_health.endpoints("ab", local="a")))
    test_health.until(lambda: test_health.status() == 200)
    one.wait_log("--metrics-bind-address")
    taken.close()
    test_health.until(lambda: ask(METRICS, "/healthz")[0] == 200, seconds=15)
    one.stop()
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", METRICS))
    taken.listen()
    hard = vipd("--bind-address-hard-fail")
    assert hard.process.wait(10) == 1
    hard.wait_log("cannot listen on 127.0.0.1:10249")
    taken.close()


def test_nowhere(vipd):
    one = vipd("--healthz-bind-address=", "--metrics-bind-address=[::1]:9999")
    test_health.until(lambda: test_health.ask(9999, host="node", addr="::1", path="/healthz")[0] == 200)
    assert test_health.refuses(HEALTH, host="node") and one.process.poll() is None


def test_bad_clients(vipd):
    """Connections, headers and patience have their limits; others are answered all the while."""
    one = vipd()
    settled(one)
    crowd = []
    for _ in range(100): # 32 of one address
        sock = socket.create_connection(("127.0.0.1", METRICS), timeout=5)
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: ")
        crowd.append(sock)
    assert ask(HEALTH, "/healthz")[0] == 200
    begun = time.monotonic()
    for sock in crowd:
        sock.settimeout(20)
        try:
            while sock.recv(4096):
                pass
        except ConnectionError:
            pass
        sock.close()
    assert time.monotonic() - begun < 15
    test_health.until(lambda: ask(METRICS, "/healthz")[0] == 200)
    sock = socket.create_connection(("127.0.0.1", METRICS), timeout=5)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: n\r\nX: " + b"a" * 20000 + b"\r\n\r\n")
    try:
        reply = sock.recv(4096)
    except ConnectionError:
        reply = b""
    assert not reply or reply.split()[1] in (b"431", b"413", b"414", b"400")
    sock.close()
    assert ask(METRICS, "/healthz")[0] == 200


def test_the_page(vipd):
    """It is whole in itself, and what it asks for is there."""
    one = vipd()
    settled(one)
    code, headers, page = ask(METRICS, "/")
    assert code == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not re.search(r"https?:|src=|href=|@import|url\(|innerHTML", page)
    for theme in ("color-scheme: light dark", "prefers-color-scheme: dark"):
        assert theme in page
    assert set(re.findall(r'ask\("([a-z]+)', page)) == {"status", "services"}
    found = json.loads(ask(METRICS, "/services?q=WEB%3Ahttp")[2])
    assert found["matched"] == len(found["frontends"]) >= 1
    for one_of_them in found["frontends"]:
        assert one_of_them["service"] == "default/web:http" and one_of_them["verdict"] == "forwarded"
        assert one_of_them["address"].endswith(":80/TCP")
    assert json.loads(ask(METRICS, "/services?q=nobody")[2]) == {"frontends": [], "matched": 0}
    fields = set(re.findall(r"\bs\.(?:objects\.|frontends\.)?(\w+)", page)) - {"objects", "frontends"}
    status = json.loads(ask(METRICS, "/status")[2])
    assert fields <= set(status) | set(status["objects"]) | set(status["frontends"])


def test_a_service_manager_is_told(vipd, tmp_path):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(10)
    one = vipd(begin=False)
    one.environment |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    one.start()
    told = {manager.recv(300) for _ in range(4)}
    assert told == {b"READY=1\nSTATUS=in the kernel", b"WATCHDOG=1"}
    one.process.terminate()
    while told != b"STOPPING=1":
        told = manager.recv(300)
    assert one.process.wait(10) == 0


def test_state_is_written(vipd):
    one = vipd()
    settled(one)
    one.process.send_signal(signal.SIGUSR1)
    dump = one.work / "run" / "dump"
    test_health.until(dump.exists)
    assert dump.stat().st_mode & 0o777 == 0o600
    heads = [line[5:] for line in dump.read_text().split("\n") if line.startswith("==== ")]
    assert heads == ["status", "configuration", "metrics", "not in order", "objects", "model", "actual",
                     "plan"]
    text = dump.read_text()
    assert "Service default/web" in text and "owner=default/web:http" in text
    assert text.rstrip().endswith("==== plan"), "there is nothing left to do"
    assert ask(METRICS, "/healthz")[0] == 200


def test_a_flood_of_lines(vipd):
    """The log takes a thousand at once; what it left out is a number. /metrics has them all."""
    one = vipd("--audit-period=1s")
    one.apply("many", "---\n".join(f"apiVersion: v1\nkind: Service\nmetadata: {{name: s{i}}}\n"
                                   "spec: {clusterIP: 10.96.9.9, ports: [{port: 80}]}\n"
                                   for i in range(1800)))
    test_health.until(lambda: value("vipd_not_in_order", kind="claim") == 1799, seconds=20)
    one.wait_log('msg="lines left out" of="not in order"')
    lines = one.log_path.read_text().split("\n")
    left_out = sum(int(line.rpartition("=")[2]) for line in lines if 'of="not in order"' in line)
    assert 700 <= left_out <= 799
    assert left_out + sum('msg="not in order"' in line for line in lines) == 1799
    assert len(json.loads(ask(METRICS, "/status")[2])["problems"]) == 200


CONFIG = """apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: %s
clusterCIDR: 10.244.0.0/16,fd00:244::/64
bindAddress: "::"
oomScoreAdj: 500
metricsBindAddress: 127.0.0.1:9
ipvs: {scheduler: lc, syncPeriod: 0s}
logging: {verbosity: %d}
"""


def test_started_by_kube_proxys_configuration(vipd, tmp_path):
    """The file is in force, /configz tells it; a change is taken up where it can be."""
    mode, file = daemon.MODE.split("-")[0], tmp_path / "config.conf"
    file.write_text(CONFIG % (mode, 0))
    one = vipd(f"--config={file}")
    test_health.until(lambda: test_health.ask(9, host="node", addr="127.0.0.1", path="/healthz")[0] == 200)
    one.wait_log("--cluster-cidr is passed over")

    def configz():
        return json.loads(test_health.ask(9, host="node", addr="127.0.0.1", path="/configz")[2])[
            "kubeproxy.config.k8s.io"]

    now = configz()
    assert now["mode"] == mode and now["ipvs"]["scheduler"] == "lc" and now["hostnameOverride"] == "node"
    assert now["healthzBindAddress"] == "[::]:10256" and now["logging"]["verbosity"] == 0
    assert now["vipd"]["manifests"] == str(one.manifests) and now["ipvs"]["syncPeriod"] == "30s"
    assert int(pathlib.Path(f"/proc/{one.process.pid}/oom_score_adj").read_text()) == 500
    since = one.mark_log()
    temporary = tmp_path / "new"
    temporary.write_text(CONFIG.replace("lc", "sh") % (mode, 2))
    temporary.rename(file)
    one.wait_log("configuration taken up", since)
    one.wait_log('needs a restart" field=ipvs.scheduler was="lc" is="sh"', since)
    assert configz()["logging"]["verbosity"] == 2 and configz()["ipvs"]["scheduler"] == "lc"
    since = one.mark_log()
    file.write_text(CONFIG.replace("lc", "what") % (mode, 0))
    one.wait_log("the configuration stays as it was", since)
    assert configz()["logging"]["verbosity"] == 2 and one.process.poll() is None
    since = one.mark_log()
    file.write_text(CONFIG % (mode, 0))
    one.process.send_signal(signal.SIGHUP)
    one.wait_log('configuration taken up" field=logging.verbosity was="2" is="0"', since)
