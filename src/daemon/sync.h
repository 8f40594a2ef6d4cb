/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences the stages: source -> cache -> desired -> claims -> model -> backend, on one loop.
 *
 * The only place that knows the order. Each turn of the loop does a slice of one stage, so that no
 * turn lasts longer than SYNC_SLICE_US plus what cannot be divided. */
#ifndef VIPD_DAEMON_SYNC_H
#define VIPD_DAEMON_SYNC_H

#include <uv.h>

#include "daemon/options.h"

#define SYNC_SLICE_US 10000

struct sync;

/* Sets up source and backend after `options`; neither is kept running before the loop runs.
 * -errno with what is missing and the remedy. */
int sync_open(uv_loop_t *loop, const struct options *options, struct sync **ret_sync,
	      struct err *err);
/* Runs until there is a reason to end: a signal, or the one pass is over. Returns the exit code. */
int sync_run(struct sync *sync);
void sync_close(struct sync *sync);

#endif
