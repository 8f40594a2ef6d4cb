/* SPDX-License-Identifier: Apache-2.0 */
/* What a service manager is told (sd_notify(3)): ready, alive, stopping. A datagram each to the
 * socket that it named in the environment; without one, nothing happens. */
#ifndef VIPD_DAEMON_NOTIFY_H
#define VIPD_DAEMON_NOTIFY_H

#include <uv.h>

#include "util.h"

#define NOTIFY_READY_MS 30000 /* ready by then in any case: a source that is away is no failure */

struct notify;

/* Takes its words out of the environment, which children are not to have. NULL: nobody asks. */
struct notify *notify_open(uv_loop_t *loop);
void notify_close(struct notify *notify);

/* All of these take NULL. The first call tells that we are ready, too. */
void notify_ready(struct notify *notify, const char *status);
void notify_stopping(struct notify *notify);

#endif
