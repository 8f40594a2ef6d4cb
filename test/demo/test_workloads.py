# SPDX-License-Identifier: Apache-2.0
"""What the demo makes of people's manifests."""
import json

import pytest

import workloads

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, tier: front}}
    spec:
      containers:
      - name: web
        ports: [{name: http, containerPort: 8080}, {containerPort: 9090, protocol: UDP}]
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}, {name: admin, port: 81, targetPort: 8181}]
"""


def application(tmp_path, *documents, name="all.yaml", **kwargs):
    (tmp_path / name).write_text("\n---\n".join(documents))
    return workloads.read_application(tmp_path, **kwargs)


def test_deployment_makes_its_replicas(tmp_path):
    app = application(tmp_path, WEB)
    assert [one.title for one in app.standins] == ["shop/web-1", "shop/web-2", "shop/web-3"]
    assert app.standins[0].ports == {("TCP", 8080), ("UDP", 9090)}
    assert app.standins[0].labels == {"app": "web", "tier": "front"}


def test_numeric_target_ports_are_answered_though_no_container_lists_them(tmp_path):
    app = application(tmp_path, WEB, SERVICE)
    assert app.standins[0].ports == {("TCP", 8080), ("UDP", 9090), ("TCP", 8181)}


def test_port_is_the_target_where_none_is_given(tmp_path):
    service = SERVICE.replace(", targetPort: 8181", "")
    app = application(tmp_path, WEB, service)
    assert ("TCP", 81) in app.standins[0].ports


def test_another_namespace_is_not_selected(tmp_path):
    app = application(tmp_path, WEB, SERVICE.replace("shop", "default"))
    assert ("TCP", 8181) not in app.standins[0].ports


@pytest.mark.parametrize("kind, names", [
    ("StatefulSet", ["web-0", "web-1", "web-2"]),
    ("ReplicaSet", ["web-1", "web-2", "web-3"]),
    ("DaemonSet", ["web-node"]),
])
def test_other_workloads(tmp_path, kind, names):
    app = application(tmp_path, WEB.replace("Deployment", kind))
    assert [one.name for one in app.standins] == names


def test_replicas_default_to_one_and_zero_is_none(tmp_path):
    assert len(application(tmp_path, WEB.replace("  replicas: 3\n", "")).standins) == 1
    assert not application(tmp_path, WEB.replace("replicas: 3", "replicas: 0")).standins


def test_other_kinds_jobs_and_odd_documents_are_passed_over(tmp_path):
    app = application(tmp_path, "", "- a list", "just text", "kind: ConfigMap", "kind: 7",
                      "apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\nspec: {template: 3}",
                      "x: =\ny: 2001-12-14", WEB)
    assert len(app.standins) == 3 and not app.unreadable


def test_a_broken_file_is_named_and_the_others_are_read(tmp_path):
    (tmp_path / "broken.yml").write_text("a: [1,\nb")
    app = application(tmp_path, WEB)
    assert app.unreadable == ["broken.yml"] and len(app.standins) == 3


def test_lists_and_json_and_a_byte_order_mark(tmp_path):
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"ports": [{"containerPort": 5}]}]}}
    text = json.dumps({"apiVersion": "v1", "kind": "PodList", "items": [pod]})
    app = application(tmp_path, "\ufeff" + text, name="pods.json")
    assert [one.title for one in app.standins] == ["default/p-standin"]
    assert app.standins[0].ports == {("TCP", 5)}


def test_a_clusters_own_listing_is_not_doubled(tmp_path):
    pod = """
kind: Pod
metadata: {name: web-abc, namespace: shop, labels: {app: web, tier: front},
           ownerReferences: [{kind: ReplicaSet}]}
spec: {containers: [{ports: [{name: http, containerPort: 8080}]}]}
status: {podIPs: [{ip: 10.1.2.3}]}
"""
    owned = WEB.replace("Deployment", "ReplicaSet").replace(
        "namespace: shop}", "namespace: shop, ownerReferences: [{kind: Deployment}]}")
    endpoints = """
kind: Endpoints
metadata: {name: web, namespace: shop}
subsets: [{addresses: [{ip: 10.1.2.3}, {ip: 10.1.2.4}], ports: [{port: 8081}]}]
"""
    app = application(tmp_path, WEB, pod, owned, endpoints)
    assert [one.name for one in app.standins] == ["web-abc", "web@10.1.2.4"]
    assert app.standins[0].ports == {("TCP", 8080), ("TCP", 8081)}
    assert workloads.pods_file(app.standins, "node").count("podIP") == 0


def test_headless_and_external_name_are_not_balanced(tmp_path):
    app = application(tmp_path, SERVICE, SERVICE.replace("ports:", "clusterIP: None\n  ports:"),
                      SERVICE.replace("ports:", "type: ExternalName\n  ports:"))
    assert [one.balanced for one in app.services] == [True, False, False]


def test_a_sidecar_answers_an_init_container_does_not(tmp_path):
    init = """      initContainers:
      - {name: mesh, restartPolicy: Always, ports: [{containerPort: 15001}]}
      - {name: migrate, ports: [{containerPort: 15002}]}
"""
    app = application(tmp_path, WEB + init)
    assert ("TCP", 15001) in app.standins[0].ports and ("TCP", 15002) not in app.standins[0].ports


def test_too_many_are_shared_out_fairly(tmp_path):
    many = WEB.replace("replicas: 3", "replicas: 500")
    app = application(tmp_path, many, WEB.replace("name: web,", "name: api,"), standins_max=10)
    assert len(app.standins) == 10 and app.notes
    assert sum(one.name.startswith("api") for one in app.standins) == 3


def test_addresses_are_unique_and_those_given_are_left_alone(tmp_path):
    pod = "kind: Pod\nmetadata: {name: p}\nstatus: {podIP: 10.244.0.2}"
    app = application(tmp_path, WEB, pod)
    workloads.assign_addresses(app.standins, ["10.244.0.0/24", "fd00:244::/64"])
    assert [one.addrs for one in app.standins] == [
        ["10.244.0.3", "fd00:244::2"], ["10.244.0.4", "fd00:244::3"],
        ["10.244.0.5", "fd00:244::4"], ["10.244.0.2"]]


def test_pods_file_is_what_a_kubelet_would_report(tmp_path):
    app = application(tmp_path, WEB)
    workloads.assign_addresses(app.standins, ["10.244.0.0/24"])
    pod = json.loads(workloads.pods_file(app.standins, "node1"))["items"][0]
    assert pod["metadata"]["labels"]["app"] == "web" and pod["spec"]["nodeName"] == "node1"
    assert pod["status"]["podIPs"] == [{"ip": "10.244.0.2"}]
    assert pod["spec"]["containers"][0]["ports"][0] == {"name": "http", "containerPort": 8080}
