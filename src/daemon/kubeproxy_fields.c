/* SPDX-License-Identifier: Apache-2.0 */
/* The table of fields, sorted by path, and what a value must be. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "daemon/duration.h"
#include "daemon/kubeproxy.h"

#define OTHER_MODE "that mode is not there"
#define CLIENT     "connections to an API server take what they need"
#define LOGGING    "the log is lines of key=value on stderr, written at once"
#define PROFILING  "there is no Go here"

#define TEXT(path, flag, initial)                                         \
	{                                                                 \
		path, flag, initial, FIELD_TEXT, 0, 0, false, false, NULL \
	}
#define LIST(path, flag)                                             \
	{                                                            \
		path, flag, "", FIELD_LIST, 0, 0, false, false, NULL \
	}
#define BOOL(path, flag, initial)                                         \
	{                                                                 \
		path, flag, initial, FIELD_BOOL, 0, 0, false, false, NULL \
	}
#define TIME(path, flag, initial)                                         \
	{                                                                 \
		path, flag, initial, FIELD_TIME, 0, 0, false, false, NULL \
	}
/* 0s is what kubeadm writes for "not set". */
#define SYNC(path, flag, initial)                                        \
	{                                                                \
		path, flag, initial, FIELD_TIME, 0, 0, true, false, NULL \
	}
#define INT(path, flag, initial, min, max)                                   \
	{                                                                    \
		path, flag, initial, FIELD_INT, min, max, false, false, NULL \
	}
#define IDLE(path, flag, initial, kind, why)                            \
	{                                                               \
		path, flag, initial, kind, 0, INT_MAX, true, false, why \
	}
#define OWN(path, flag, kind)                                         \
	{                                                             \
		"vipd." path, flag, "", kind, 0, 0, false, true, NULL \
	}

const struct kp_field kp_fields[] = {
	TEXT("bindAddress", "bind-address", "0.0.0.0"),
	BOOL("bindAddressHardFail", "bind-address-hard-fail", "false"),
	IDLE("clientConnection.acceptContentTypes", NULL, "", FIELD_TEXT, CLIENT),
	IDLE("clientConnection.burst", "kube-api-burst", "10", FIELD_INT, CLIENT),
	IDLE("clientConnection.contentType", "kube-api-content-type",
	     "application/vnd.kubernetes.protobuf", FIELD_TEXT, CLIENT),
	IDLE("clientConnection.kubeconfig", "kubeconfig", "", FIELD_TEXT,
	     "manifests are the only source"),
	IDLE("clientConnection.qps", "kube-api-qps", "5", FIELD_REAL, CLIENT),
	TEXT("clusterCIDR", "cluster-cidr", ""),
	IDLE("configSyncPeriod", "config-sync-period", "15m0s", FIELD_TIME,
	     "nothing is told twice to be sure"),
	INT("conntrack.maxPerCore", "conntrack-max-per-core", "32768", 0, INT_MAX),
	INT("conntrack.min", "conntrack-min", "131072", 0, INT_MAX),
	BOOL("conntrack.tcpBeLiberal", "conntrack-tcp-be-liberal", "false"),
	TIME("conntrack.tcpCloseWaitTimeout", "conntrack-tcp-timeout-close-wait", "1h0m0s"),
	TIME("conntrack.tcpEstablishedTimeout", "conntrack-tcp-timeout-established", "24h0m0s"),
	TIME("conntrack.udpStreamTimeout", "conntrack-udp-timeout-stream", "0s"),
	TIME("conntrack.udpTimeout", "conntrack-udp-timeout", "0s"),
	TEXT("detectLocal.bridgeInterface", "pod-bridge-interface", ""),
	TEXT("detectLocal.interfaceNamePrefix", "pod-interface-name-prefix", ""),
	TEXT("detectLocalMode", "detect-local-mode", "ClusterCIDR"),
	IDLE("enableProfiling", "profiling", "false", FIELD_BOOL, PROFILING),
	IDLE("featureGates", "feature-gates", "", FIELD_GATES, "there are none here"),
	TEXT("healthzBindAddress", "healthz-bind-address", "0.0.0.0:10256"),
	{"hostnameOverride", "hostname-override", "", FIELD_TEXT, 0, 0, false, true, NULL},
	IDLE("iptables.localhostNodePorts", "iptables-localhost-nodeports", "false", FIELD_BOOL,
	     "127.0.0.1 has no node ports (docs/differences.md, catalogue, 5)"),
	{"iptables.masqueradeBit", "iptables-masquerade-bit", "14", FIELD_INT, 0, 31, false, false,
	 "packets are not marked"},
	BOOL("iptables.masqueradeAll", "masquerade-all", "false"),
	IDLE("iptables.minSyncPeriod", "iptables-min-sync-period", "1s", FIELD_TIME,
	     "a change costs what changed, and goes at once"),
	SYNC("iptables.syncPeriod", "iptables-sync-period", "30s"),
	LIST("ipvs.excludeCIDRs", "ipvs-exclude-cidrs"),
	IDLE("ipvs.minSyncPeriod", "ipvs-min-sync-period", "0s", FIELD_TIME,
	     "a change costs what changed, and goes at once"),
	TEXT("ipvs.scheduler", "ipvs-scheduler", ""),
	BOOL("ipvs.strictARP", "ipvs-strict-arp", "false"),
	SYNC("ipvs.syncPeriod", "ipvs-sync-period", "30s"),
	TIME("ipvs.tcpFinTimeout", "ipvs-tcpfin-timeout", "0s"),
	TIME("ipvs.tcpTimeout", "ipvs-tcp-timeout", "0s"),
	TIME("ipvs.udpTimeout", "ipvs-udp-timeout", "0s"),
	IDLE("logging.flushFrequency", "log-flush-frequency", "5s", FIELD_TIME, LOGGING),
	IDLE("logging.format", "logging-format", "text", FIELD_TEXT, LOGGING),
	IDLE("logging.options.json.infoBufferSize", "log-json-info-buffer-size", "0", FIELD_TEXT,
	     LOGGING),
	IDLE("logging.options.json.splitStream", "log-json-split-stream", "false", FIELD_BOOL,
	     LOGGING),
	IDLE("logging.options.text.infoBufferSize", "log-text-info-buffer-size", "0", FIELD_TEXT,
	     LOGGING),
	IDLE("logging.options.text.splitStream", "log-text-split-stream", "false", FIELD_BOOL,
	     LOGGING),
	{"logging.verbosity", "v", "0", FIELD_INT, 0, 10, false, true, NULL},
	IDLE("logging.vmodule", "vmodule", "", FIELD_LIST, LOGGING),
	TEXT("metricsBindAddress", "metrics-bind-address", "127.0.0.1:10249"),
	TEXT("mode", "proxy-mode", "ipvs"),
	IDLE("nftables.masqueradeAll", NULL, "false", FIELD_BOOL, OTHER_MODE),
	IDLE("nftables.masqueradeBit", NULL, "14", FIELD_INT, OTHER_MODE),
	IDLE("nftables.minSyncPeriod", NULL, "1s", FIELD_TIME, OTHER_MODE),
	IDLE("nftables.syncPeriod", NULL, "30s", FIELD_TIME, OTHER_MODE),
	LIST("nodePortAddresses", "nodeport-addresses"),
	INT("oomScoreAdj", "oom-score-adj", "-999", -1000, 1000),
	IDLE("portRange", "proxy-port-range", "", FIELD_TEXT, "it is deprecated"),
	IDLE("showHiddenMetricsForVersion", "show-hidden-metrics-for-version", "", FIELD_TEXT,
	     "no metric is hidden"),
	OWN("auditPeriod", "audit-period", FIELD_TIME),
	OWN("drainTimeout", "drain-timeout", FIELD_TIME),
	OWN("manifests", "manifests", FIELD_TEXT),
	OWN("runDir", "run-dir", FIELD_TEXT),
	OWN("serviceClusterIPRange", "service-cluster-ip-range", FIELD_LIST),
	OWN("serviceNodePortRange", "service-node-port-range", FIELD_TEXT),
	OWN("stateDir", "state-dir", FIELD_TEXT),
	IDLE("windowsRunAsService", NULL, "false", FIELD_BOOL, "this is Linux"),
	IDLE("winkernel.enableDSR", NULL, "false", FIELD_BOOL, "this is Linux"),
	IDLE("winkernel.forwardHealthCheckVip", NULL, "false", FIELD_BOOL, "this is Linux"),
	IDLE("winkernel.networkName", NULL, "", FIELD_TEXT, "this is Linux"),
	IDLE("winkernel.rootHnsEndpointName", NULL, "", FIELD_TEXT, "this is Linux"),
	IDLE("winkernel.sourceVip", NULL, "", FIELD_TEXT, "this is Linux"),
};
const size_t kp_n_fields = ARRAY_SIZE(kp_fields);

const struct kp_field *kp_field_of_flag(const char *name, size_t len)
{
	for (size_t i = 0; i < kp_n_fields; i++) {
		const char *flag = kp_fields[i].flag;

		if (flag && strlen(flag) == len && strncmp(flag, name, len) == 0)
			return &kp_fields[i];
	}
	return NULL;
}

static int check_number(const struct kp_field *field, const char *value, struct err *err)
{
	char *end;
	long number = strtol(value, &end, 10);

	if (end == value || *end)
		return err_set(err, -EINVAL, "must be a whole number, is \"%.100s\"", value);
	if (number < field->min || number > field->max)
		return err_set(err, -EINVAL, "must be from %ld to %ld, is %.100s", field->min,
			       field->max, value);
	return 0;
}

static int check_real(const char *value, struct err *err)
{
	char *end;

	strtod(value, &end);
	if (end == value || *end)
		return err_set(err, -EINVAL, "must be a number, is \"%.100s\"", value);
	return 0;
}

/* NAME=true,... */
static int check_gates(const char *value, struct err *err)
{
	while (*value) {
		size_t len = strcspn(value, ","), name = strcspn(value, "=,");
		const char *word = value + name;

		if (!name ||
		    (strncmp(word, "=true", len - name) != 0 &&
		     strncmp(word, "=false", len - name) != 0) ||
		    len - name < 5)
			return err_set(err, -EINVAL, "must be like Name=true, has \"%.*s\"",
				       (int)(len < 100 ? len : 100), value);
		value += len + (value[len] == ',');
	}
	return 0;
}

int kp_check(const struct kp_field *field, const char *value, struct err *err)
{
	uint64_t ms;

	switch (field->kind) {
	case FIELD_BOOL:
		if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)
			return 0;
		return err_set(err, -EINVAL, "must be true or false, is \"%.100s\"", value);
	case FIELD_INT:
		return check_number(field, value, err);
	case FIELD_REAL:
		return check_real(value, err);
	case FIELD_TIME:
		if (duration_parse(value, &ms) == 0)
			return 0;
		return err_set(err, -EINVAL, "must be a duration like 30s or 5m, is \"%.100s\"",
			       value);
	case FIELD_GATES:
		return check_gates(value, err);
	case FIELD_TEXT:
	case FIELD_LIST:
		break;
	}
	return 0;
}
