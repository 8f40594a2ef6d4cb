/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes on the loop: input on stdin, output collected, a deadline. */
#ifndef VIPD_DAEMON_CHILD_H
#define VIPD_DAEMON_CHILD_H

#include <uv.h>

#include "backend.h"

#define CHILD_OUTPUT_MAX (64 << 20) /* an iptables-save of 100,000 rules is some 20 MB */

/* See backend_env.run. `done` is called once, on a later turn of the loop, also when the child
 * could not be started (status -errno). A child at its deadline is killed. */
int child_run(uv_loop_t *loop, const char *const argv[], const char *input, size_t input_len,
	      uint64_t deadline_ms, child_done_fn done, void *arg);

#endif
