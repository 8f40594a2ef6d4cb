/* SPDX-License-Identifier: Apache-2.0 */
/* What an API server would have filled in: cluster IPs, node ports (nodeports.h) and creation times
 * of manifests' Services.
 *
 * Kept in a JSON file, so that they are the same after a restart and whatever other Services come
 * and go. An address or port is searched from a place that the Service's name alone gives: even
 * without the file most Services get theirs again. */
#ifndef VIPD_SOURCE_REGISTRY_H
#define VIPD_SOURCE_REGISTRY_H

#include "kube/objects.h"

struct registry;

/* `ranges` (at most one a family; unset family = none) in the order of preference; `node_ports` may
 * be unset. A file that is
 * missing is an empty one; a damaged one is set aside (PATH.damaged, unless `read_only`) with a log
 * line. -EINVAL: a range too small, with the reason; -ENOMEM. */
int registry_open(const char *path, bool read_only, const struct ip_prefix ranges[2],
		  const struct port_range *node_ports, struct registry **ret_registry,
		  struct err *err);
void registry_close(struct registry *registry);

/* A Service with cluster IPs or node ports of its own (kept from others), or one that is gone. */
int registry_reserve(struct registry *registry, const struct service *service);
void registry_forget(struct registry *registry, const char *ns, const char *name);

/* Fills in what `service` lacks. 0, or -ENOSPC / -EINVAL with what is missing and the remedy: then
 * the Service stays without an address, or a port without its number. -ENOMEM. */
int registry_fill(struct registry *registry, struct service *service, int64_t now_ms,
		  struct err *err);

/* Entries that were neither reserved nor filled since the registry was opened go. */
void registry_drop_unseen(struct registry *registry);

/* The file's new text if it must be written (the caller frees), else NULL; saving it is
 * registry_save's, which may run on another thread. */
char *registry_take_text(struct registry *registry);
int registry_save(const char *path, const char *text);

#endif
