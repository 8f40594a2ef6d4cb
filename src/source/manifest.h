/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of Kubernetes manifests as a source. See source.h for what a source promises. */
#ifndef VIPD_SOURCE_MANIFEST_H
#define VIPD_SOURCE_MANIFEST_H

#include <uv.h>

#include "source/source.h"

struct manifest_config {
	const char *dir;
	/* Where Services without a clusterIP get theirs; one a family, unset len and family = none.
	 */
	struct ip_prefix cluster_ranges[2];
	struct port_range node_ports; /* where NodePort Services get theirs; unset = nowhere */
	/* The file that keeps allocations and first appearances; NULL = keep none. */
	const char *state_path;
	bool read_only; /* read the state file, never write it (printers, --dry-run) */
	bool watch;     /* follow changes; false: one reading (--once) */
};

struct manifest_source;

/* Opens the folder and starts reading on the loop. -ENOENT, -ENOTDIR, -EACCES ... with the remedy
 * in `err`; -EINVAL for a range that cannot be allocated from. */
int manifest_open(uv_loop_t *loop, const struct manifest_config *config,
		  const struct source_sink *sink, struct manifest_source **ret_source,
		  struct err *err);
/* Stops reading; the handles are closed by the loop's next turns. */
void manifest_close(struct manifest_source *source);

#endif
