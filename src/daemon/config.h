/* SPDX-License-Identifier: Apache-2.0 */
/* What the flags mean for a backend. Pure. */
#ifndef VIPD_DAEMON_CONFIG_H
#define VIPD_DAEMON_CONFIG_H

#include "backend.h"
#include "daemon/options.h"

#define CONFIG_GLOB_MAX 64 /* a prefix of an interface's name and the star behind it */

/* Points into `options` and `glob`, which must live as long as the backend. */
struct backend_config config_make(const struct options *options, char glob[CONFIG_GLOB_MAX]);

/* --bind-address is the node's address of its family, whatever its Node object says (IPv4 first).
 */
void config_override_node(const struct options *options, struct ip_addr addrs[2]);

#endif
