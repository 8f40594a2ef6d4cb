/* SPDX-License-Identifier: Apache-2.0 */
/* Frontends as iptables chains: names and rule texts. Pure.
 *
 * Names and comments are kube-proxy's, so that its operators and tools feel at home. Every line is
 * written the way `iptables-save` prints it: so what should be and what is are compared as text.
 * Source: iptables(8), iptables-extensions(8), pkg/proxy/iptables of Kubernetes. */
#ifndef VIPD_IPTABLES_CHAINS_H
#define VIPD_IPTABLES_CHAINS_H

#include "model.h"

enum ipt_table { IPT_FILTER, IPT_NAT, IPT_TABLES };
extern const char *const ipt_table_names[IPT_TABLES];

#define CHAIN_NAME_MAX 32 /* the kernel's limit is 28 characters */

/* The rules of one chain: lines "-A CHAIN ...\n". */
struct chain {
	enum ipt_table table;
	char name[CHAIN_NAME_MAX];
	char *rules; /* owned; "" for none */
	size_t len, cap;
};

/* All chains of one family, sorted by table and name. */
struct chain_set {
	size_t n, cap;
	struct chain *items;
};

struct chain *chain_set_get(struct chain_set *set, enum ipt_table table, const char *name);
/* Without looking whether it is there. NULL without memory. */
struct chain *chain_set_append(struct chain_set *set, enum ipt_table table, const char *name);
const struct chain *chain_set_find(const struct chain_set *set, enum ipt_table table,
				   const char *name);
/* Appends a rule: "-A CHAIN " and the text; or a whole line, without its newline. 0 or -ENOMEM,
 * also for a `chain` that is NULL. */
int chain_add(struct chain *chain, const char *fmt, ...) PRINTF(2, 3);
int chain_add_line(struct chain *chain, const char *line, size_t len);
void chain_set_sort(struct chain_set *set);
void chain_set_done(struct chain_set *set);

/* "KUBE-SVC-" and 16 characters of base32(sha256("ns/name:port" "tcp")). */
void chain_service_name(const struct frontend *fe, char buf[CHAIN_NAME_MAX]);
/* "KUBE-SEP-" likewise, with the endpoint ("10.0.0.1:80") behind the protocol. */
void chain_endpoint_name(const struct frontend *fe, const struct endpoint *ep,
			 char buf[CHAIN_NAME_MAX]);
/* Is it a chain of ours (or of a kube-proxy before us), to be removed when nobody wants it? */
bool chain_is_per_service(const char *name);
/* That, or one of the chains that our frontends share: what cleanup removes. */
bool chain_is_ours(const char *name);

/* Is it a frontend that these chains can make? Entrances are not, so far. */
bool chains_can(const struct frontend *fe);

/* Everything that the frontends of `family` in the model ask for. 0 or -ENOMEM. */
int chains_build(const struct model *model, int family, const struct ip_prefix *local_nets,
		 size_t n_local_nets, struct chain_set *ret_set);

/* The jumps from the built-in chains, in the order in which they must end up: table, chain, rule.
 */
struct jump {
	enum ipt_table table;
	const char *chain, *rule, *target;
};
extern const struct jump ipt_jumps[];
extern const size_t ipt_n_jumps;

#endif
