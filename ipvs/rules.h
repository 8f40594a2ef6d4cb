/* SPDX-License-Identifier: Apache-2.0 */
/* The static rules of the helper table, as text for `nft -f -`. Pure.
 *
 * Loaded once; everything that changes later is an element of a set. Loading again is one
 * transaction that replaces the rules and leaves the sets' elements alone. */
#ifndef VIPD_IPVS_RULES_H
#define VIPD_IPVS_RULES_H

#include "addr.h"

/* The script for AF_INET or AF_INET6; `nets` of the other family are passed over. Without a net of
 * this family nobody but hairpins is masqueraded. The caller frees; NULL without memory. */
char *rules_text(int family, const struct ip_prefix *nets, size_t n_nets);
/* The script that removes the table. */
const char *rules_delete_text(int family);

#endif
