/* SPDX-License-Identifier: Apache-2.0 */
/* Listens on the health-check node ports of health.h and answers there over HTTP, on the loop.
 *
 * One server (http.h) for all ports. Which Service is asked for is told by the port that was
 * connected to. */
#ifndef VIPD_DAEMON_HEALTH_HTTP_H
#define VIPD_DAEMON_HEALTH_HTTP_H

#include <uv.h>

#include "addr.h"
#include "daemon/health.h"
#include "err.h"

/* Bounds, for all Services together. A load balancer has a connection or two a Service. */
#define HEALTH_CONNECTIONS        256
#define HEALTH_CONNECTIONS_CLIENT 128  /* of one address */
#define HEALTH_REQUEST_BYTES      8192 /* request line and headers, and the answer to it */
#define HEALTH_REQUEST_MS         5000 /* for a request, from connecting or the last answer on */
#define HEALTH_RETRY_MS           1000 /* a port that could not be listened on is tried again */

struct health_http;

/* `health` must live until the loop has ended after health_http_close(). -errno with the reason. */
int health_http_open(uv_loop_t *loop, struct health *health, struct health_http **ret_http,
		     struct err *err);
/* Closes everything; the handles are gone with the loop's next turns. */
void health_http_close(struct health_http *http);

/* Where to listen: these addresses of the node, none = all that it has (the beginning). What it
 * knows already is no change. 0 or -ENOMEM. */
int health_http_set_addrs(struct health_http *http, const struct ip_addr *addrs, size_t n);
/* Begins to follow what health_next_change() tells, in slices, on the loop's next turns. */
void health_http_update(struct health_http *http);

#endif
