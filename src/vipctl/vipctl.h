/* SPDX-License-Identifier: Apache-2.0 */
/* vipctl: what is in the kernel's IPVS table, printed. What its files share.
 *
 * In the flow: command line -> request -> reader -> format -> stdout. Nothing is ever written to
 * the kernel. Exit codes are ipvsadm's. */
#ifndef VIPD_VIPCTL_H
#define VIPD_VIPCTL_H

#include "ipvs_print.h"

#define EXIT_DONE    0
#define EXIT_LIST    1   /* a list failed: no such service, a write error */
#define EXIT_USAGE   2   /* refused by our own checks, or IPVS cannot be had */
#define EXIT_COMMAND 255 /* no command, or an option that there is not */

/* What the program needs of the world; tests bring their own. */
struct vipctl_env {
	FILE *out, *err;
	const struct ipvs_names *names;
	void *ctx;
	/* The IPv4 address of a host, given its name: 0 or -ENOENT. */
	int (*find_host)(void *ctx, const char *name, struct ip_addr *ret_addr);
	/* A connection bound to the IPVS family: 0 or -errno. */
	int (*connect)(void *ctx, struct nl_conn **ret_conn);
	/* Tries to get IPVS into the kernel; true if it may be there now. */
	bool (*load_module)(void *ctx);
	/* The connection table's text; NULL with errno set if it cannot be opened. */
	FILE *(*open_conns)(void *ctx);
};

enum subject { SUBJECT_TABLE, SUBJECT_CONNS, SUBJECT_TIMEOUTS, SUBJECT_DAEMONS };

/* What was asked for. */
struct request {
	enum subject subject;
	const struct format *format;
	bool one; /* only the service with this key */
	struct ipvs_key key;
	enum ipvs_view view;
	bool numeric, exact, nosort;
	bool engine; /* connections: with what the persistence engine keeps */
};

/* A request being answered. */
struct report {
	FILE *out;
	const struct request *request;
	const struct ipvs_names *names; /* NULL: numeric */
	struct ipvs_info info;
	size_t n;    /* objects so far */
	void *state; /* the format's own */
};

/* An output format. A NULL member: the format does not show this. All but end return nothing: a
 * write error stays in the stream. */
struct format {
	const char *name;
	void (*begin)(struct report *r);
	void (*service)(struct report *r, const struct ipvs_service *svc,
			const struct ipvs_dest *dests, size_t n);
	void (*conn)(struct report *r, const struct ipvs_conn *conn);
	void (*timeouts)(struct report *r, const struct ipvs_timeouts *timeouts);
	void (*daemon)(struct report *r, const struct ipvs_daemon *daemon);
	/* Called in any case, to free; `whole`: nothing failed before. 0 or -errno. */
	int (*end)(struct report *r, bool whole);
};
extern const struct format format_text, format_rules, format_json, format_prometheus;

/* Reads the command line. -1: go on with the request; else the exit code, everything said. */
int options_parse(int argc, char **argv, const struct vipctl_env *env, struct request *ret_request);
/* Is it called by the name of ipvsadm? */
bool options_as_ipvsadm(const char *argv0);
/* Is it -h, --help, -v or --version? */
bool options_is_help(const char *word);
void help_print(FILE *out, const char *argv0);
void help_print_version(FILE *out, const char *argv0);

/* The whole program; returns the exit code. */
int vipctl_run(int argc, char **argv, const struct vipctl_env *env);

/* The resolver of this machine, as ipvsadm asks it. */
extern const struct ipvs_names names_system;
int names_find_host(void *ctx, const char *name, struct ip_addr *ret_addr);

/* ---- values of options (values.c) ---- */

/* A whole decimal number as strtol reads it. -EINVAL. */
int value_number(const char *text, long min, long max, long *ret_number);
/* "10.0.0.1:80", "host:http", "[::1]:80", "::1"; `proto` is whose port names count. -EINVAL. */
int value_address(const struct vipctl_env *env, const char *text, uint16_t proto,
		  struct ip_addr *ret_addr, uint16_t *ret_port);
/* An IPv4 address or netmask, or a host's name. -EINVAL. */
int value_address4(const struct vipctl_env *env, const char *text, struct ip_addr *ret_addr);

#endif
