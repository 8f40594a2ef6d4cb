/* SPDX-License-Identifier: Apache-2.0 */
/* The page /metrics: kube-proxy's names (its dashboards and alerts go on working), vipd's own, and
 * the process's. Names, types, labels and buckets are compared with a list by a test. */
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/telemetry_private.h"

#define PROXY "kubeproxy_sync_proxy_rules_"

static const char *const family_labels[] = {"ip_family=\"IPv4\"", "ip_family=\"IPv6\""};

static bool is_iptables(const struct telemetry *t)
{
	return strcmp(t->parts.ops->name, "iptables") == 0;
}

static size_t families(const struct telemetry *t)
{
	return t->ipv6 ? 2 : 1;
}

/* ---- kube-proxy's ---- */

/* A pass is of both families: each has its number. */
static void put_histogram(FILE *out, const struct telemetry *t, const char *name, const char *help,
			  const struct histogram *h)
{
	metric_head(out, name, "histogram", help);
	for (size_t i = 0; i < families(t); i++)
		metric_histogram(out, name, family_labels[i], h);
}

static void put_time(FILE *out, const struct telemetry *t, const char *name, const char *help,
		     uint64_t unix_us)
{
	metric_head(out, name, "gauge", help);
	for (size_t i = 0; i < families(t); i++)
		metric_value(out, name, family_labels[i], (double)unix_us / 1e6);
}

static void put_passes(FILE *out, const struct telemetry *t)
{
	put_histogram(out, t, PROXY "duration_seconds",
		      "From a change until nothing was left to do.", &t->passes);
	if (is_iptables(t)) {
		put_histogram(out, t, "kubeproxy_sync_full_proxy_rules_duration_seconds",
			      "The same of passes over everything.", &t->full_passes);
		put_histogram(out, t, "kubeproxy_sync_partial_proxy_rules_duration_seconds",
			      "The same of passes over what changed.", &t->partial_passes);
	}
	put_time(out, t, PROXY "last_timestamp_seconds", "When nothing was left to do last.",
		 t->done_unix_us);
	put_time(out, t, PROXY "last_queued_timestamp_seconds", "When a change came last.",
		 t->queued_unix_us);
	put_histogram(out, t, "kubeproxy_network_programming_duration_seconds",
		      "From when a controller noted a change of endpoints until it was done.",
		      &t->programming);
}

static void put_one(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
	metric_head(out, name, type, help);
	metric_count(out, name, "", value);
}

static void put_changes(FILE *out, const struct telemetry *t)
{
	uint64_t endpoints = telemetry_endpoint_changes(t->parts.cache);
	uint64_t services = cache_changes(t->parts.cache, OBJ_SERVICE);

	put_one(out, PROXY "endpoint_changes_pending", "gauge",
		"Changes of endpoints that are not done.", endpoints - t->told_endpoints);
	put_one(out, PROXY "endpoint_changes_total", "counter", "Changes of endpoints so far.",
		endpoints);
	put_one(out, PROXY "service_changes_pending", "gauge",
		"Changes of Services that are not done.", services - t->told_services);
	put_one(out, PROXY "service_changes_total", "counter", "Changes of Services so far.",
		services);
}

static void put_no_local(FILE *out, const struct telemetry *t)
{
	static const char *const name = PROXY "no_local_endpoints_total";
	char labels[80];

	metric_head(out, name, "gauge",
		    "Service ports with a Local policy whose endpoints are all on other nodes.");
	for (size_t i = 0; i < families(t); i++) {
		snprintf(labels, sizeof(labels), "traffic_policy=\"internal\",%s",
			 family_labels[i]);
		metric_count(out, name, labels, t->no_local_inside[i]);
		snprintf(labels, sizeof(labels), "traffic_policy=\"external\",%s",
			 family_labels[i]);
		metric_count(out, name, labels, t->no_local_outside[i]);
	}
}

static void put_answers(FILE *out, const char *name, const char *help, const uint64_t answered[2])
{
	metric_head(out, name, "counter", help);
	if (answered[0])
		metric_count(out, name, "code=\"200\"", answered[0]);
	if (answered[1])
		metric_count(out, name, "code=\"503\"", answered[1]);
}

/* ---- of the backend's counters ---- */

struct counter_metric {
	const char *counter, *name, *type, *help;
	double unit;
	bool by_family; /* is told for both */
};

static const struct counter_metric counter_metrics[] = {
	{"rules_failed", PROXY "iptables_restore_failures_total", "counter",
	 "Rule sets that could not be loaded (IPVS mode: by nft).", 1, true},
	{"restore_failures", PROXY "iptables_restore_failures_total", "counter",
	 "Calls of iptables-restore that failed.", 1, true},
	{"flows_removed", "kubeproxy_conntrack_reconciler_deleted_entries_total", "counter",
	 "Entries of connection tracking removed since what they lead to is gone.", 1, true},
	{"operations", "vipd_kernel_operations_total", "counter",
	 "Changes of the kernel's tables that were asked for.", 1, false},
	{"failures", "vipd_failures_total", "counter", "Changes that failed; each is tried again.",
	 1, false},
	{"audits", "vipd_audits_total", "counter", "Times the kernel's whole table was compared.",
	 1, false},
	{"drift", "vipd_drift_repaired_total", "counter",
	 "Things in the kernel that others changed, and that were put right.", 1, false},
	{"rules_loads", "vipd_rules_loads_total", "counter", "Loads of the helper rules.", 1,
	 false},
	{"services", "vipd_virtual_servers", "gauge", "Virtual servers of vipd in the kernel.", 1,
	 false},
	{"drains", "vipd_draining_endpoints", "gauge",
	 "Endpoints that went away and keep their connections for now.", 1, false},
	{"kernel_writes", "vipd_netlink_messages_total", "counter",
	 "Netlink messages that change something.", 1, false},
	{"netlink_sends", "vipd_netlink_sends_total", "counter", "Batches in which they were sent.",
	 1, false},
	{"netlink_dumps", "vipd_netlink_dumps_total", "counter", "Tables and entries asked for.", 1,
	 false},
	{"netlink_errors", "vipd_netlink_errors_total", "counter",
	 "Answers of the kernel that were errors.", 1, false},
	{"netlink_lost", "vipd_netlink_lost_total", "counter",
	 "Times that answers or notifications were lost for want of room.", 1, false},
	{"lower_us", "vipd_planning_seconds_total", "counter", "Time spent on comparing.", 1e-6,
	 false},
	{"kernel_us", "vipd_kernel_seconds_total", "counter", "Time spent on changes.", 1e-6,
	 false},
	{"restores", "vipd_iptables_restores_total", "counter", "Calls of iptables-restore.", 1,
	 false},
	{"restore_lines", "vipd_iptables_restore_lines_total", "counter", "Lines they were given.",
	 1, false},
};

static void put_counter(FILE *out, const struct telemetry *t, const struct counter_metric *m,
			double value)
{
	metric_head(out, m->name, m->type, m->help);
	for (size_t i = 0; i < (m->by_family ? families(t) : 1); i++)
		metric_value(out, m->name, m->by_family ? family_labels[i] : "", value * m->unit);
}

static void put_errors(FILE *out, const char *line, bool *first)
{
	char kind[32], label[48];
	uint64_t value;

	if (sscanf(line, "failed_%31s %" SCNu64, kind, &value) != 2)
		return;
	if (*first)
		metric_head(out, "vipd_kernel_errors_total", "counter",
			    "Changes that failed, by the kernel's error.");
	*first = false;
	snprintf(label, sizeof(label), "kind=\"%s\"", kind);
	metric_count(out, "vipd_kernel_errors_total", label, value);
}

static void put_line(FILE *out, const struct telemetry *t, const char *line, bool *first_error)
{
	char name[48];
	double value;

	put_errors(out, line, first_error);
	if (sscanf(line, "%47s %lf", name, &value) != 2)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(counter_metrics); i++)
		if (strcmp(counter_metrics[i].counter, name) == 0)
			put_counter(out, t, &counter_metrics[i], value);
}

static void put_backend(FILE *out, const struct telemetry *t)
{
	cleanup_free char *text = NULL;
	char *rest, *line;
	bool first_error = true;
	size_t len;
	FILE *counters = t->parts.be ? open_memstream(&text, &len) : NULL;

	if (!counters)
		return;
	t->parts.ops->print_counters(t->parts.be, counters);
	if (fclose(counters) != 0)
		return;
	rest = text;
	while ((line = strsep(&rest, "\n")) != NULL)
		put_line(out, t, line, &first_error);
}

/* ---- the daemon's own ---- */

static void put_problem(void *arg, const char *kind, const char *subject, const char *text)
{
	char labels[1200], quoted[512];
	FILE *out = arg;
	int n = snprintf(labels, sizeof(labels), "kind=\"%s\",", kind);

	n += snprintf(labels + n, sizeof(labels) - (size_t)n, "subject=\"%.400s\",",
		      metric_escape(subject, quoted, 400));
	snprintf(labels + n, sizeof(labels) - (size_t)n, "reason=\"%s\"",
		 metric_escape(text, quoted, sizeof(quoted)));
	metric_count(out, "vipd_not_in_order_info", labels, 1);
}

static void put_problems(FILE *out, const struct telemetry *t)
{
	static const char *const kinds[] = STATUS_KINDS;
	char label[40];

	metric_head(out, "vipd_not_in_order", "gauge",
		    "What is not as it should be, by who says so; /status names each.");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		snprintf(label, sizeof(label), "kind=\"%s\"", kinds[i]);
		metric_count(out, "vipd_not_in_order", label,
			     status_count_kind(t->parts.status, kinds[i]));
	}
	metric_head(out, "vipd_not_in_order_info", "gauge", "The first of these, with the reason.");
	status_each(t->parts.status, TELEMETRY_PROBLEMS_MAX, put_problem, out);
}

static void put_objects(FILE *out, const struct telemetry *t)
{
	char label[40];

	metric_head(out, "vipd_objects", "gauge", "Objects that the source told, by kind.");
	for (int kind = 0; kind < OBJ_KIND_COUNT; kind++) {
		snprintf(label, sizeof(label), "kind=\"%s\"", obj_kind_name((enum obj_kind)kind));
		metric_count(out, "vipd_objects", label,
			     cache_count(t->parts.cache, (enum obj_kind)kind));
	}
	put_one(out, "vipd_frontends", "gauge", "Addresses and ports that the node should balance.",
		model_count(t->parts.model));
	put_one(out, "vipd_claims_waiting", "gauge", "Of these, such as an older Service has.",
		claims_waiting(t->parts.claims));
	put_one(out, "vipd_triggers_left_out_total", "counter",
		"Changes of endpoints that came in too great a number to be timed.",
		t->triggers_left_out);
}

static void put_seconds(FILE *out, const char *name, const char *type, const char *help, double us)
{
	metric_head(out, name, type, help);
	metric_value(out, name, "", us / 1e6);
}

static void put_turns(FILE *out, const struct telemetry *t)
{
	put_seconds(out, "vipd_loop_busy_seconds_total", "counter", "Time the loop spent at work.",
		    (double)t->parts.wall_turns->busy_us);
	put_seconds(out, "vipd_loop_longest_turn_seconds", "gauge",
		    "The loop's longest turn since the start, by the clock.",
		    (double)t->parts.wall_turns->longest_us);
	put_seconds(out, "vipd_loop_longest_turn_cpu_seconds", "gauge",
		    "The same in its own CPU time.", (double)t->parts.cpu_turns->longest_us);
}

/* ---- the process ---- */

static double cpu_us(const struct rusage *usage)
{
	return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1e6 +
	       (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

static uint64_t open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n > 3 ? n - 3 : 0; /* ".", ".." and the folder itself */
}

static void put_memory(FILE *out)
{
	uint64_t pages[2] = {0}, page = (uint64_t)sysconf(_SC_PAGESIZE);
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file)
		return;
	if (fscanf(file, "%" SCNu64 " %" SCNu64, &pages[0], &pages[1]) == 2) {
		put_one(out, "process_virtual_memory_bytes", "gauge", "Virtual memory size.",
			pages[0] * page);
		put_one(out, "process_resident_memory_bytes", "gauge", "Resident memory size.",
			pages[1] * page);
	}
	fclose(file);
}

static void put_process(FILE *out, const struct telemetry *t)
{
	struct rusage usage = {0};
	struct rlimit limit = {0};

	getrusage(RUSAGE_SELF, &usage);
	getrlimit(RLIMIT_NOFILE, &limit);
	put_seconds(out, "process_cpu_seconds_total", "counter", "User and system CPU time.",
		    cpu_us(&usage));
	put_one(out, "process_open_fds", "gauge", "Open files.", open_files());
	put_one(out, "process_max_fds", "gauge", "Files that may be open.", limit.rlim_cur);
	put_memory(out);
	put_seconds(out, "process_start_time_seconds", "gauge", "When the process began.",
		    (double)t->started_unix_us);
}

void telemetry_metrics(struct telemetry *t, FILE *out)
{
	char labels[80];

	put_passes(out, t);
	put_changes(out, t);
	put_no_local(out, t);
	put_answers(out, "kubeproxy_proxy_healthz_total", "Answers of /healthz, by code.",
		    t->answered[0]);
	put_answers(out, "kubeproxy_proxy_livez_total", "Answers of /livez, by code.",
		    t->answered[1]);
	put_backend(out, t);
	put_problems(out, t);
	put_objects(out, t);
	put_turns(out, t);
	snprintf(labels, sizeof(labels), "version=\"%s\",mode=\"%s\"", t->parts.options->release,
		 t->parts.ops->name);
	metric_head(out, "vipd_build_info", "gauge", "The program.");
	metric_count(out, "vipd_build_info", labels, 1);
	put_process(out, t);
}
