/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of vipd. Flags bear kube-proxy's names where it has them. */
#ifndef VIPD_DAEMON_OPTIONS_H
#define VIPD_DAEMON_OPTIONS_H

#include <stdio.h>

#include "addr.h"
#include "daemon/conntrack.h"
#include "daemon/node_http.h"
#include "daemon/kubeproxy.h"
#include "err.h"

#define OPTIONS_NETS_MAX 16 /* --cluster-cidr: one or two in any real cluster */

/* Who is a client in the cluster (kube-proxy's detectLocalMode). */
enum detect_local { LOCAL_CLUSTER_CIDR, LOCAL_NODE_CIDR, LOCAL_BRIDGE, LOCAL_PREFIX };

enum print_stage { PRINT_NONE, PRINT_OBJECTS, PRINT_MODEL, PRINT_ACTUAL, PRINT_PLAN };

struct options {
	const char *manifests;
	const char *proxy_mode; /* "ipvs", "iptables" */
	char node_name[256];
	char scheduler[16];
	struct ip_prefix cluster_nets[OPTIONS_NETS_MAX];
	size_t n_cluster_nets;
	enum detect_local detect_local;
	char bridge[16], interface_prefix[16]; /* names of network interfaces (IFNAMSIZ) */
	bool masquerade_all;
	struct ip_prefix nodeport_nets[OPTIONS_NETS_MAX];
	size_t n_nodeport_nets;
	bool nodeport_primary;
	bool strict_arp;
	struct ip_prefix exclude_nets[OPTIONS_NETS_MAX];
	size_t n_exclude_nets;
	uint64_t tcp_ms, tcp_fin_ms, udp_ms; /* IPVS; 0 = as the kernel has it */
	struct conntrack_limits conntrack;
	struct ip_prefix service_ranges[2]; /* at most one a family, in the order given */
	struct port_range node_ports;       /* for Services that name no nodePort */
	uint64_t drain_ms, audit_ms;
	struct node_http_addr healthz, metrics;
	bool bind_hard_fail; /* an address that is taken is a reason to end */
	const char *release; /* of the program, for those who ask it */
	const char *state_dir, *run_dir;
	enum print_stage print;
	bool once, cleanup, help, version;
	struct kubeproxy *kp; /* what is in force; NULL = nobody keeps it */
	int argc;
	char **argv;
	const char *config, *write_config_to; /* files; NULL = none */
	bool check_config;
	bool audit_given;
	uint64_t ipvs_sync_ms, iptables_sync_ms; /* how often the kernel is compared, by mode */
	struct ip_addr bind_addr;                /* this node's, where it is not unspecified */
	bool healthz_given, metrics_given;
	int oom_score_adj;
	int verbosity; /* -v: 0 info, 1 and up debug; -1 warnings only */
};

/* Fills `ret_options` from the command line, and from the file that --config names. `kp`
 * (initialized, lives as long as the options) tells what is in force, and what there is to say
 * about it: all errors of the file, warnings of both. -EINVAL with the flag and the remedy in
 * `err`, or with the errors in `kp` and nothing in `err`. */
int options_load(int argc, char **argv, struct kubeproxy *kp, struct options *ret_options,
		 struct err *err);
/* The same of a command line without --config. */
int options_parse(int argc, char **argv, struct options *ret_options, struct err *err);
void options_help(FILE *out);

#endif
