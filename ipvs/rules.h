/* SPDX-License-Identifier: Apache-2.0 */
/* The static rules of the helper table, as text for `nft -f -`. Pure.
 *
 * Loaded once; everything that changes later is an element of a set. Loading again is one
 * transaction that replaces the rules and leaves the sets' elements alone. */
#ifndef VIPD_IPVS_RULES_H
#define VIPD_IPVS_RULES_H

#include "addr.h"

struct rules_config {
	/* Who is in the cluster: these sources, or who comes in by this interface (its name, or a
	 * prefix of names with "*" behind it; NULL = by source). Neither: nobody but the node. */
	const struct ip_prefix *local_nets;
	size_t n_local_nets;
	const char *local_interface;
	bool masquerade_all;                   /* clients in the cluster, too */
	uint16_t snat_port_min, snat_port_max; /* of masqueraded flows; 0 = the kernel's choice */
};

/* The script for AF_INET or AF_INET6; nets of the other family are passed over. The caller frees;
 * NULL without memory. */
char *rules_text(int family, const struct rules_config *config);
/* The script that removes the table. */
const char *rules_delete_text(int family);

#endif
