/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in the kernel (iptables-save's text) against what should: the input that
 * `iptables-restore --noflush` needs. Pure. */
#ifndef VIPD_IPTABLES_RESTORE_H
#define VIPD_IPTABLES_RESTORE_H

#include "iptables/chains.h"

/* What iptables-save printed, as far as it is ours. */
struct saved {
	struct chain_set chains; /* KUBE-* ones, sorted */
	bool jumps[16];          /* by index in ipt_jumps */
};

/* Anything may stand in `text`: what is no chain, rule or jump of ours is passed over. 0 or
 * -ENOMEM; saved_done() in any case. */
int saved_parse(const char *text, struct saved *ret_saved);
void saved_done(struct saved *saved);

/* The restore input; "" if nothing is to do, NULL without memory. The caller frees. `remove_stale`:
 * chains of services that are not wanted go, too. */
char *restore_text(const struct saved *have, const struct chain_set *want, bool remove_stale);
/* The input that removes everything of ours. */
char *restore_cleanup_text(const struct saved *have);

#endif
