/* SPDX-License-Identifier: Apache-2.0 */
/* See options.h. One table says every flag: its name, its help, and what takes its value. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/duration.h"
#include "daemon/options.h"

#define HEALTHZ_PORT 10256 /* kube-proxy's */
#define METRICS_PORT 10249
#define AUDIT_MIN_MS 50

struct flag {
	const char *group;             /* set on the first flag of a group */
	const char *name, *value_name; /* value_name NULL = a switch */
	const char *help;
	int (*take)(struct options *options, const char *value, struct err *err);
};

/* A switch is on unless it is said to be false. */
static bool is_on(const char *value)
{
	return strcmp(value, "false") != 0;
}

static int take_manifests(struct options *options, const char *value, struct err *err)
{
	if (!*value)
		return err_set(err, -EINVAL, "names no folder");
	options->manifests = value;
	return 0;
}

static int take_mode(struct options *options, const char *value, struct err *err)
{
	if (strcmp(value, "ipvs") != 0 && strcmp(value, "iptables") != 0)
		return err_set(err, -EINVAL, "must be ipvs or iptables, is \"%s\"", value);
	options->proxy_mode = value;
	return 0;
}

/* As kube-proxy has it: blanks around it gone, lower case. */
static int take_hostname(struct options *options, const char *value, struct err *err)
{
	size_t n = 0;

	while (isspace((unsigned char)*value))
		value++;
	for (; *value && n + 1 < sizeof(options->node_name); value++)
		options->node_name[n++] = (char)tolower((unsigned char)*value);
	while (n && isspace((unsigned char)options->node_name[n - 1]))
		n--;
	options->node_name[n] = '\0';
	return n ? 0 : err_set(err, -EINVAL, "is empty");
}

static int take_scheduler(struct options *options, const char *value, struct err *err)
{
	static const char *const names[] = {"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh",
					    "dh", "sed", "nq", "mh",  "fo",   "ovf",   "twos"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], value) != 0)
			continue;
		snprintf(options->scheduler, sizeof(options->scheduler), "%s", value);
		return 0;
	}
	return err_set(err, -EINVAL,
		       "must be one of rr wrr lc wlc lblc lblcr sh dh sed nq mh fo ovf twos, is "
		       "\"%s\"",
		       value);
}

static int take_prefixes(const char *value, struct ip_prefix *ret, size_t max, size_t *ret_n,
			 struct err *err)
{
	cleanup_free char *copy = strdup(value);
	char *rest = copy, *item;

	*ret_n = 0;
	if (!copy)
		return err_set(err, -ENOMEM, "no memory");
	while ((item = strsep(&rest, ",")) != NULL) {
		while (isspace((unsigned char)*item))
			item++;
		item[strcspn(item, " \t")] = '\0';
		if (*ret_n == max)
			return err_set(err, -EINVAL, "has more than %zu networks", max);
		if (prefix_parse(item, &ret[*ret_n]) < 0)
			return err_set(err, -EINVAL,
				       "must be networks like 10.244.0.0/16,fd00::/48, has \"%s\"",
				       item);
		++*ret_n;
	}
	return 0;
}

static int take_cluster_cidr(struct options *options, const char *value, struct err *err)
{
	if (!*value)
		return 0;
	return take_prefixes(value, options->cluster_nets, OPTIONS_NETS_MAX,
			     &options->n_cluster_nets, err);
}

static int take_detect_local(struct options *options, const char *value, struct err *err)
{
	static const char *const names[] = {[LOCAL_CLUSTER_CIDR] = "ClusterCIDR",
					    [LOCAL_NODE_CIDR] = "NodeCIDR",
					    [LOCAL_BRIDGE] = "BridgeInterface",
					    [LOCAL_PREFIX] = "InterfaceNamePrefix"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], value) != 0)
			continue;
		options->detect_local = (enum detect_local)i;
		return 0;
	}
	return err_set(err, -EINVAL,
		       "must be ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix, is "
		       "\"%s\"",
		       value);
}

/* Letters that a name of an interface cannot have, or that nft would read as more than a name. */
static int take_interface(char ret_name[16], size_t max, const char *value, struct err *err)
{
	if (!*value || strlen(value) > max || strpbrk(value, " \t\n/\"\\*;{}"))
		return err_set(err, -EINVAL, "must be a name of at most %zu letters, is \"%s\"",
			       max, value);
	snprintf(ret_name, 16, "%s", value);
	return 0;
}

static int take_bridge(struct options *options, const char *value, struct err *err)
{
	return take_interface(options->bridge, 15, value, err);
}

static int take_interface_prefix(struct options *options, const char *value, struct err *err)
{
	return take_interface(options->interface_prefix, 14, value, err);
}

static int take_nodeport_addresses(struct options *options, const char *value, struct err *err)
{
	options->nodeport_primary = strcmp(value, "primary") == 0;
	options->n_nodeport_nets = 0;
	if (!*value || options->nodeport_primary)
		return 0;
	return take_prefixes(value, options->nodeport_nets, OPTIONS_NETS_MAX,
			     &options->n_nodeport_nets, err);
}

static int take_exclude(struct options *options, const char *value, struct err *err)
{
	if (!*value)
		return 0;
	return take_prefixes(value, options->exclude_nets, OPTIONS_NETS_MAX,
			     &options->n_exclude_nets, err);
}

static int take_masquerade_all(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->masquerade_all = is_on(value);
	return 0;
}

static int take_strict_arp(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->strict_arp = is_on(value);
	return 0;
}

static int take_service_range(struct options *options, const char *value, struct err *err)
{
	size_t n;
	int rc = take_prefixes(value, options->service_ranges, 2, &n, err);

	if (rc < 0)
		return rc;
	if (n == 2 &&
	    options->service_ranges[0].addr.family == options->service_ranges[1].addr.family)
		return err_set(err, -EINVAL, "must have at most one network a family");
	return 0;
}

static int take_node_port_range(struct options *options, const char *value, struct err *err)
{
	unsigned first = 0, last = 0;
	int end = 0;

	if (sscanf(value, "%5u-%5u%n", &first, &last, &end) < 2 || value[end] || !first ||
	    first > last || last > UINT16_MAX)
		return err_set(err, -EINVAL, "must be two ports like 30000-32767, is \"%s\"",
			       value);
	options->node_ports = (struct port_range){(uint16_t)first, (uint16_t)last};
	return 0;
}

static int take_duration(uint64_t *ret_ms, uint64_t min_ms, const char *value, struct err *err)
{
	uint64_t ms;

	if (duration_parse(value, &ms) < 0)
		return err_set(err, -EINVAL, "must be a duration like 30s or 5m, is \"%s\"", value);
	if (ms < min_ms)
		return err_set(err, -EINVAL, "must be at least %llums, is \"%s\"",
			       (unsigned long long)min_ms, value);
	*ret_ms = ms;
	return 0;
}

static int take_drain(struct options *options, const char *value, struct err *err)
{
	return take_duration(&options->drain_ms, 0, value, err);
}

static int take_audit(struct options *options, const char *value, struct err *err)
{
	options->audit_given = true;
	return take_duration(&options->audit_ms, AUDIT_MIN_MS, value, err);
}

static int take_tcp(struct options *options, const char *value, struct err *err)
{
	return take_duration(&options->tcp_ms, 0, value, err);
}

static int take_tcp_fin(struct options *options, const char *value, struct err *err)
{
	return take_duration(&options->tcp_fin_ms, 0, value, err);
}

static int take_udp(struct options *options, const char *value, struct err *err)
{
	return take_duration(&options->udp_ms, 0, value, err);
}

static int take_entries(uint32_t *ret, const char *value, struct err *err)
{
	char *end;
	long number = strtol(value, &end, 10);

	if (end == value || *end || number < 0 || number > INT32_MAX)
		return err_set(err, -EINVAL, "must be a number from 0 on, is \"%s\"", value);
	*ret = (uint32_t)number;
	return 0;
}

static int take_ct_max(struct options *options, const char *value, struct err *err)
{
	return take_entries(&options->conntrack.max_per_core, value, err);
}

static int take_ct_min(struct options *options, const char *value, struct err *err)
{
	return take_entries(&options->conntrack.min, value, err);
}

static int take_ct_established(struct options *options, const char *value, struct err *err)
{
	return take_duration(&options->conntrack.tcp_established_ms, 0, value, err);
}

static int take_ct_close_wait(struct options *options, const char *value, struct err *err)
{
	return take_duration(&options->conntrack.tcp_close_wait_ms, 0, value, err);
}

static int take_ct_udp(struct options *options, const char *value, struct err *err)
{
	return take_duration(&options->conntrack.udp_ms, 0, value, err);
}

static int take_ct_udp_stream(struct options *options, const char *value, struct err *err)
{
	return take_duration(&options->conntrack.udp_stream_ms, 0, value, err);
}

static int take_ct_liberal(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->conntrack.tcp_be_liberal = is_on(value);
	return 0;
}

static int take_dir(const char **ret_dir, const char *value, struct err *err)
{
	if (!*value)
		return err_set(err, -EINVAL, "names no folder");
	*ret_dir = value;
	return 0;
}

static int take_state_dir(struct options *options, const char *value, struct err *err)
{
	return take_dir(&options->state_dir, value, err);
}

static int take_run_dir(struct options *options, const char *value, struct err *err)
{
	return take_dir(&options->run_dir, value, err);
}

static int take_print(struct options *options, const char *value, struct err *err)
{
	static const char *const names[] = {[PRINT_OBJECTS] = "objects",
					    [PRINT_MODEL] = "model",
					    [PRINT_ACTUAL] = "actual",
					    [PRINT_PLAN] = "plan"};

	for (size_t i = PRINT_OBJECTS; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], value) != 0)
			continue;
		options->print = (enum print_stage)i;
		return 0;
	}
	return err_set(err, -EINVAL, "must be objects, model, actual or plan, is \"%s\"", value);
}

static int take_verbosity(struct options *options, const char *value, struct err *err)
{
	char *end;
	long level = strtol(value, &end, 10);

	if (end == value || *end || level < -1 || level > 10)
		return err_set(err, -EINVAL, "must be a number from -1 to 10, is \"%s\"", value);
	options->verbosity = (int)level;
	return 0;
}

/* ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT; nothing: nobody listens. */
static int take_listen(struct node_http_addr *ret, uint16_t default_port, const char *value,
		       struct err *err)
{
	const char *colon = strrchr(value, ':'), *end = value + strlen(value);
	bool bracket = *value == '[';
	char host[64], *rest = NULL;
	unsigned long port = default_port;

	*ret = (struct node_http_addr){0};
	if (!*value)
		return 0;
	if (colon && (bracket ? colon[-1] == ']' : strchr(value, ':') == colon)) {
		port = isdigit((unsigned char)colon[1]) ? strtoul(colon + 1, &rest, 10) : 0;
		end = rest && !*rest ? colon : value;
	}
	snprintf(host, sizeof(host), "%.*s", (int)(end - value) - 2 * bracket, value + bracket);
	if (end == value || !port || port > UINT16_MAX || (bracket && end[-1] != ']') ||
	    addr_parse(host, &ret->addr) < 0)
		return err_set(err, -EINVAL,
			       "must be an address and a port like 0.0.0.0:10256 or [::]:10256, "
			       "or nothing, is \"%s\"",
			       value);
	ret->port = (uint16_t)port;
	return 0;
}

static int take_healthz(struct options *options, const char *value, struct err *err)
{
	options->healthz_given = true;
	return take_listen(&options->healthz, HEALTHZ_PORT, value, err);
}

static int take_metrics(struct options *options, const char *value, struct err *err)
{
	options->metrics_given = true;
	return take_listen(&options->metrics, METRICS_PORT, value, err);
}

static int take_hard_fail(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->bind_hard_fail = is_on(value);
	return 0;
}

static int take_bind_address(struct options *options, const char *value, struct err *err)
{
	if (addr_parse(value, &options->bind_addr) < 0)
		return err_set(err, -EINVAL, "must be an address, is \"%s\"", value);
	return 0;
}

static int take_ipvs_sync(struct options *options, const char *value, struct err *err)
{
	return take_duration(&options->ipvs_sync_ms, AUDIT_MIN_MS, value, err);
}

static int take_iptables_sync(struct options *options, const char *value, struct err *err)
{
	return take_duration(&options->iptables_sync_ms, AUDIT_MIN_MS, value, err);
}

static int take_oom_score(struct options *options, const char *value, struct err *err)
{
	char *end;
	long number = strtol(value, &end, 10);

	if (end == value || *end || number < -1000 || number > 1000)
		return err_set(err, -EINVAL, "must be from -1000 to 1000, is \"%s\"", value);
	options->oom_score_adj = (int)number;
	return 0;
}

/* Kept for old manifests: 0 is nowhere. */
static int take_port(struct node_http_addr *addr, const char *value, struct err *err)
{
	char *end;
	long number = strtol(value, &end, 10);

	if (end == value || *end || number < 0 || number > UINT16_MAX)
		return err_set(err, -EINVAL, "must be a port, is \"%s\"", value);
	addr->port = (uint16_t)number;
	return 0;
}

static int take_healthz_port(struct options *options, const char *value, struct err *err)
{
	return take_port(&options->healthz, value, err);
}

static int take_metrics_port(struct options *options, const char *value, struct err *err)
{
	return take_port(&options->metrics, value, err);
}

static int take_config(struct options *options, const char *value, struct err *err)
{
	if (!*value)
		return err_set(err, -EINVAL, "names no file");
	options->config = value;
	return 0;
}

static int take_write_config(struct options *options, const char *value, struct err *err)
{
	if (!*value)
		return err_set(err, -EINVAL, "names no file");
	options->write_config_to = value;
	return 0;
}

static int take_check_config(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->check_config = is_on(value);
	return 0;
}

static int take_once(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->once = is_on(value);
	return 0;
}

static int take_dry_run(struct options *options, const char *value, struct err *err)
{
	(void)err;
	if (is_on(value))
		options->print = PRINT_PLAN;
	else if (options->print == PRINT_PLAN)
		options->print = PRINT_NONE;
	return 0;
}

static int take_cleanup(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->cleanup = is_on(value);
	return 0;
}

static int take_help(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->help = is_on(value);
	return 0;
}

static int take_version(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->version = is_on(value);
	return 0;
}

static const struct flag flags[] = {
	{"Source", "manifests", "DIR",
	 "folder of Kubernetes manifests (*.yaml *.yml *.json), followed while it changes",
	 take_manifests},
	{NULL, "service-cluster-ip-range", "NETS",
	 "where Services without a clusterIP get one; at most one network a family",
	 take_service_range},
	{NULL, "service-node-port-range", "FIRST-LAST",
	 "where NodePort Services that name no nodePort get one (default 30000-32767)",
	 take_node_port_range},
	{NULL, "state-dir", "DIR", "keeps those allocations (default /var/lib/vipd)",
	 take_state_dir},
	{"Configuration", "config", "FILE",
	 "a KubeProxyConfiguration; then flags that a field of it stands for are passed over",
	 take_config},
	{NULL, "check-config", NULL,
	 "read it all, print what is in force, exit: 0 if nothing is wrong", take_check_config},
	{NULL, "write-config-to", "FILE", "write what is in force there, exit", take_write_config},
	{"Balancing", "proxy-mode", "MODE", "ipvs (default) or iptables", take_mode},
	{NULL, "ipvs-scheduler", "NAME",
	 "for Services that name none: rr (default) wrr lc wlc lblc lblcr sh dh sed nq mh ...",
	 take_scheduler},
	{NULL, "cluster-cidr", "NETS",
	 "the pods' networks; clients from elsewhere are masqueraded, without it nobody is",
	 take_cluster_cidr},
	{NULL, "masquerade-all", NULL, "clients in the cluster are masqueraded, too",
	 take_masquerade_all},
	{NULL, "nodeport-addresses", "NETS",
	 "node ports are found at the node's addresses in these networks; primary: at the Node "
	 "object's alone (default: all addresses)",
	 take_nodeport_addresses},
	{NULL, "hostname-override", "NAME", "this node's name (default: the host's)",
	 take_hostname},
	{NULL, "drain-timeout", "TIME",
	 "how long a removed endpoint may keep its connections (default 5m)", take_drain},
	{NULL, "audit-period", "TIME",
	 "the kernel's state is compared with ours once in this time (default 30s)", take_audit},
	{NULL, "ipvs-sync-period", "TIME", "the same, in ipvs mode", take_ipvs_sync},
	{NULL, "iptables-sync-period", "TIME", "the same, in iptables mode", take_iptables_sync},
	{NULL, "bind-address", "ADDR",
	 "this node's address (default 0.0.0.0: found out); IPv6: listen there by IPv6, too",
	 take_bind_address},
	{NULL, "run-dir", "DIR", "lock and ledger (default /run/vipd)", take_run_dir},
	{"Who is in the cluster", "detect-local-mode", "MODE",
	 "ClusterCIDR (default), NodeCIDR, BridgeInterface or InterfaceNamePrefix",
	 take_detect_local},
	{NULL, "pod-bridge-interface", "NAME", "the pods' bridge, for BridgeInterface",
	 take_bridge},
	{NULL, "pod-interface-name-prefix", "PREFIX",
	 "how the pods' interfaces begin, for InterfaceNamePrefix", take_interface_prefix},
	{"IPVS", "ipvs-strict-arp", NULL,
	 "answer and announce ARP for addresses of the asked interface only (arp_ignore, "
	 "arp_announce)",
	 take_strict_arp},
	{NULL, "ipvs-exclude-cidrs", "NETS",
	 "virtual servers at these addresses are others', whatever they look like", take_exclude},
	{NULL, "ipvs-tcp-timeout", "TIME", "idle TCP connections (0: as the kernel has it, 15m)",
	 take_tcp},
	{NULL, "ipvs-tcpfin-timeout", "TIME", "TCP connections after a FIN (0: 2m)", take_tcp_fin},
	{NULL, "ipvs-udp-timeout", "TIME", "idle UDP flows (0: 5m)", take_udp},
	{"Connection tracking", "conntrack-max-per-core", "N",
	 "entries a CPU (default 32768); 0: left as it is", take_ct_max},
	{NULL, "conntrack-min", "N", "at least so many entries (default 131072)", take_ct_min},
	{NULL, "conntrack-tcp-timeout-established", "TIME", "default 24h; 0: left as it is",
	 take_ct_established},
	{NULL, "conntrack-tcp-timeout-close-wait", "TIME", "default 1h; 0: left as it is",
	 take_ct_close_wait},
	{NULL, "conntrack-tcp-be-liberal", NULL,
	 "packets outside of the window are no reason to drop", take_ct_liberal},
	{NULL, "conntrack-udp-timeout", "TIME", "unanswered flows; 0 (default): left as it is",
	 take_ct_udp},
	{NULL, "conntrack-udp-timeout-stream", "TIME", "answered flows; 0 (default): left as it is",
	 take_ct_udp_stream},
	{"Who watches the node", "healthz-bind-address", "ADDR",
	 "/healthz and /livez are answered here (default 0.0.0.0:10256; nothing: nowhere)",
	 take_healthz},
	{NULL, "metrics-bind-address", "ADDR",
	 "/metrics, /status, /proxyMode and /healthz (default 127.0.0.1:10249; nothing: nowhere)",
	 take_metrics},
	{NULL, "healthz-port", "PORT", "the port of the first; 0: nowhere (deprecated)",
	 take_healthz_port},
	{NULL, "metrics-port", "PORT", "the port of the second; 0: nowhere (deprecated)",
	 take_metrics_port},
	{NULL, "bind-address-hard-fail", NULL,
	 "end if one of these is taken, instead of trying again", take_hard_fail},
	{"One pass", "once", NULL, "program the kernel once and exit", take_once},
	{NULL, "print", "STAGE",
	 "print objects, model, actual or plan (sorted, stable), write nothing, exit", take_print},
	{NULL, "dry-run", NULL, "the same as --print=plan", take_dry_run},
	{NULL, "cleanup", NULL, "remove everything of vipd's from the kernel and exit",
	 take_cleanup},
	{"General", "v", "N", "log more: 0 (default), 1 and up; -1 only warnings (also -v N)",
	 take_verbosity},
	{NULL, "oom-score-adj", "N", "how late the kernel ends us for memory (default -999)",
	 take_oom_score},
	{NULL, "version", NULL, "print the version and exit", take_version},
	{NULL, "help", NULL, "print this and exit", take_help},
};

static const struct flag *find_flag(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (strlen(flags[i].name) == len && strncmp(flags[i].name, name, len) == 0)
			return &flags[i];
	return NULL;
}

void options_help(FILE *out)
{
	fputs("vipd: Kubernetes Services in the kernel's own load balancer\n"
	      "\n"
	      "usage: vipd --manifests DIR [flags]\n",
	      out);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		char left[64];

		if (flags[i].group)
			fprintf(out, "\n%s\n", flags[i].group);
		snprintf(left, sizeof(left), "--%s%s%s", flags[i].name,
			 flags[i].value_name ? "=" : "",
			 flags[i].value_name ? flags[i].value_name : "");
		fprintf(out, "  %-32s %s\n", left, flags[i].help);
	}
	fputs("\nWithout effect, for manifests that have them\n", out);
	for (size_t i = 0; i < kp_n_fields; i++)
		if (kp_fields[i].flag && kp_fields[i].no_effect &&
		    !find_flag(kp_fields[i].flag, strlen(kp_fields[i].flag)))
			fprintf(out, "  --%s\n", kp_fields[i].flag);
	fputs("\n"
	      "exit codes: 0 done, and with --once everything is in the kernel; 1 could not run;\n"
	      "2 wrong usage; 3 ran, but not everything is in the kernel (the log says what).\n"
	      "On SIGTERM the kernel's state stays as it is; SIGUSR2 logs counters, SIGUSR1 "
	      "writes\n"
	      "what is known to the file dump in --run-dir.\n",
	      out);
}

/* A flag at argv[*at], its value behind '=' or in the next argument. */
struct given {
	const struct flag *flag;      /* NULL: one of kube-proxy's that has no effect */
	const struct kp_field *field; /* that it stands for; NULL = none */
	const char *value;
};

static int unknown_flag(const char *arg, struct err *err)
{
	return err_set(err, -EINVAL, "unknown %s \"%s\"; see vipd --help",
		       arg[0] == '-' ? "flag" : "argument", arg);
}

static int split_flag(int argc, char **argv, int *at, struct given *ret, struct err *err)
{
	const char *arg = argv[*at];
	const char *name = arg + (strncmp(arg, "--", 2) == 0 ? 2 : *arg == '-');
	size_t len = strcspn(name, "=");
	const char *value = name[len] == '=' ? name + len + 1 : NULL;
	bool takes_value;

	if (strcmp(arg, "-h") == 0)
		name = "help", len = 4;
	if (arg[0] != '-' || (arg[1] != '-' && len != 1 && arg[1] != 'h'))
		return unknown_flag(arg, err);
	*ret = (struct given){.flag = find_flag(name, len), .field = kp_field_of_flag(name, len)};
	if (!ret->flag && (!ret->field || !ret->field->no_effect))
		return unknown_flag(arg, err);
	takes_value = ret->flag ? ret->flag->value_name != NULL : ret->field->kind != FIELD_BOOL;
	if (takes_value && !value) {
		if (*at + 1 >= argc)
			return err_set(err, -EINVAL, "--%.*s needs a value: --%.*s=%s", (int)len,
				       name, (int)len, name,
				       ret->flag ? ret->flag->value_name : "VALUE");
		value = argv[++*at];
	} else if (!takes_value && value && strcmp(value, "true") != 0 &&
		   strcmp(value, "false") != 0) {
		return err_set(err, -EINVAL, "--%.*s takes no value but true or false", (int)len,
			       name);
	}
	ret->value = value ? value : takes_value ? "" : "true";
	return 0;
}

/* The names of files are needed before all else. */
static bool comes_first(const struct flag *flag)
{
	return flag &&
	       (flag->take == take_config || flag->take == take_help || flag->take == take_version);
}

static int take_given(const struct given *given, struct kubeproxy *kp, struct options *options,
		      struct err *err)
{
	const char *name = given->flag ? given->flag->name : given->field->flag;
	int rc;

	if (options->config && given->field && !given->field->flag_wins) {
		kubeproxy_warn(kp, -1, "--%s is passed over, since there is a --config: %s says it",
			       name, given->field->path);
		return 0;
	}
	if (given->flag)
		rc = given->flag->take(options, given->value, err);
	else
		rc = kp_check(given->field, given->value, err);
	if (rc < 0)
		return err_prefix(err, "--%s", name);
	if (!given->flag)
		kubeproxy_warn(kp, -1, "--%s has no effect: %s", name, given->field->no_effect);
	return given->field ? kubeproxy_set(kp, given->field, given->value) : 0;
}

static int parse_flags(int argc, char **argv, bool first, struct kubeproxy *kp,
		       struct options *options, struct err *err)
{
	struct given given = {0};

	for (int i = 1; i < argc; i++) {
		int rc = split_flag(argc, argv, &i, &given, err);

		if (rc == 0 && comes_first(given.flag) == first)
			rc = take_given(&given, kp, options, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- the file ---- */

/* Does it say the same as if it were not there? */
static bool is_initial(const struct kp_field *field, const char *value)
{
	uint64_t ms, initial_ms;

	if (field->kind == FIELD_TIME && duration_parse(value, &ms) == 0 &&
	    duration_parse(field->initial, &initial_ms) == 0)
		return ms == initial_ms || (field->zero_is_initial && !ms);
	return strcmp(value, field->initial) == 0 ||
	       (field->zero_is_initial && strcmp(value, "0") == 0 &&
		(field->kind == FIELD_INT || field->kind == FIELD_REAL));
}

static int apply_field(const struct kp_field *field, int line, struct kubeproxy *kp,
		       struct options *options)
{
	const char *value = kubeproxy_value(kp, field);
	const struct flag *flag = field->flag && !field->no_effect
					  ? find_flag(field->flag, strlen(field->flag))
					  : NULL;
	struct err err = {0};

	if (field->zero_is_initial && is_initial(field, value))
		return kubeproxy_set(kp, field, field->initial);
	if (kp_check(field, value, &err) < 0 || (flag && flag->take(options, value, &err) < 0))
		kubeproxy_error(kp, line, "%s: %s", field->path, err.text);
	else if (!flag && !is_initial(field, value))
		kubeproxy_warn(kp, line, "%s has no effect: %s", field->path, field->no_effect);
	return 0;
}

static int apply_file(struct kubeproxy *kp, struct options *options)
{
	int rc = kubeproxy_read(kp, options->config);

	for (size_t i = 0; i < kp_n_fields && rc != -ENOMEM; i++)
		if (kp->lines[i] && apply_field(&kp_fields[i], kp->lines[i], kp, options) < 0)
			rc = -ENOMEM;
	return rc;
}

/* ---- all of it ---- */

static int check(const struct options *options, struct err *err)
{
	bool needs_source = !options->cleanup && options->print != PRINT_ACTUAL &&
			    !options->check_config && !options->write_config_to;

	if (options->help || options->version)
		return 0;
	if (options->check_config && !options->config)
		return err_set(err, -EINVAL, "--check-config needs a --config=FILE");
	if (needs_source && !options->manifests)
		return err_set(err, -EINVAL,
			       "nothing to do: name a folder with --manifests=DIR (see vipd "
			       "--help)");
	if (options->detect_local == LOCAL_BRIDGE && !*options->bridge)
		return err_set(err, -EINVAL,
			       "--detect-local-mode=BridgeInterface needs --pod-bridge-interface "
			       "(in a file: detectLocal.bridgeInterface)");
	if (options->detect_local == LOCAL_PREFIX && !*options->interface_prefix)
		return err_set(err, -EINVAL,
			       "--detect-local-mode=InterfaceNamePrefix needs "
			       "--pod-interface-name-prefix (in a file: "
			       "detectLocal.interfaceNamePrefix)");
	return 0;
}

static void set_defaults(struct options *options)
{
	char host[256] = "";

	*options = (struct options){
		.proxy_mode = "ipvs",
		.scheduler = "rr",
		.node_ports = {30000, 32767},
		.drain_ms = 5 * 60 * 1000,
		.ipvs_sync_ms = 30 * 1000,
		.iptables_sync_ms = 30 * 1000,
		.oom_score_adj = -999,
		.state_dir = "/var/lib/vipd",
		.run_dir = "/run/vipd",
		.release = "",
		.conntrack = conntrack_defaults(),
	};
	if (gethostname(host, sizeof(host) - 1) < 0 || !*host)
		snprintf(host, sizeof(host), "localhost");
	take_hostname(options, host, NULL);
	take_healthz(options, "0.0.0.0", NULL);
	take_metrics(options, "127.0.0.1", NULL);
	options->healthz_given = options->metrics_given = false;
}

/* What depends on several. */
static void finish(struct options *options, struct kubeproxy *kp)
{
	bool v6 = options->bind_addr.family == AF_INET6;
	uint16_t health_port = options->healthz.port, metrics_port = options->metrics.port;

	if (!options->audit_given)
		options->audit_ms = strcmp(options->proxy_mode, "iptables") == 0
					    ? options->iptables_sync_ms
					    : options->ipvs_sync_ms;
	if (v6 && !options->healthz_given) {
		take_listen(&options->healthz, health_port, "::", NULL);
		kubeproxy_set(kp, kp_field_of_flag("healthz-bind-address", 20), "[::]:10256");
	}
	if (v6 && !options->metrics_given) {
		take_listen(&options->metrics, metrics_port, "::1", NULL);
		kubeproxy_set(kp, kp_field_of_flag("metrics-bind-address", 20), "[::1]:10249");
	}
}

int options_load(int argc, char **argv, struct kubeproxy *kp, struct options *ret_options,
		 struct err *err)
{
	int rc;

	*err = (struct err){0};
	set_defaults(ret_options);
	ret_options->argc = argc;
	ret_options->argv = argv;
	rc = parse_flags(argc, argv, true, kp, ret_options, err);
	if (rc == 0 && ret_options->config && !ret_options->help && !ret_options->version)
		rc = apply_file(kp, ret_options);
	if (rc == -ENOMEM)
		return err_set(err, rc, "no memory");
	if (rc == 0 || !err->code)
		rc = parse_flags(argc, argv, false, kp, ret_options, err);
	kubeproxy_sort(kp);
	if (rc < 0 || kp->n_errors)
		return err->code ? err->code : -EINVAL;
	finish(ret_options, kp);
	return check(ret_options, err);
}

int options_parse(int argc, char **argv, struct options *ret_options, struct err *err)
{
	struct kubeproxy kp;
	int rc = kubeproxy_init(&kp);

	if (rc < 0)
		return err_set(err, rc, "no memory");
	rc = options_load(argc, argv, &kp, ret_options, err);
	kubeproxy_done(&kp);
	return rc;
}
