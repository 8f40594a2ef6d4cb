/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file while the daemon runs: read again on SIGHUP and when it changed.
 *
 * What can be changed live is (`logging.verbosity`); of all else the log says that it needs a
 * restart. A file that is wrong is told and changes nothing. */
#ifndef VIPD_DAEMON_RELOAD_H
#define VIPD_DAEMON_RELOAD_H

#include <uv.h>

#include "daemon/options.h"

#define RELOAD_CALM_MS 200 /* after the last event: editors and kubelets make several */

struct reload;

/* Begins to follow the file; NULL: there is none, or it cannot be followed (which is logged).
 * `options` and its `kp` must live as long. */
struct reload *reload_open(uv_loop_t *loop, const struct options *options);
void reload_close(struct reload *reload);
/* Now. NULL is allowed. */
void reload_now(struct reload *reload);

#endif
