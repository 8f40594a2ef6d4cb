/* SPDX-License-Identifier: Apache-2.0 */
/* The node's two addresses for those who watch it: health (`/healthz`, `/livez`) and metrics
 * (`/metrics`, `/status`, ...), with kube-proxy's paths, codes and headers.
 *
 * Who answers what is in node_http.c's table; the contents are the callbacks'. An address that
 * cannot be listened on is tried again; it is told as a problem. */
#ifndef VIPD_DAEMON_NODE_HTTP_H
#define VIPD_DAEMON_NODE_HTTP_H

#include "daemon/http.h"

/* Limits of each of the two. Prometheus gives up after 10 s by itself. */
#define NODE_HTTP_CONNECTIONS        64
#define NODE_HTTP_CONNECTIONS_CLIENT 32
#define NODE_HTTP_REQUEST_BYTES      8192
#define NODE_HTTP_REQUEST_MS         10000
#define NODE_HTTP_RETRY_MS           5000 /* as kube-proxy */

/* Where to listen; port 0: not at all. An unspecified address is all addresses of both families, as
 * Go has it. */
struct node_http_addr {
	struct ip_addr addr;
	uint16_t port;
};

/* What is answered. `out` is a page's body. */
struct node_pages {
	void *ctx;
	const char *mode; /* kube-proxy's word for it */
	/* The body of /healthz (`live` false) or /livez; true: healthy. */
	bool (*health)(void *ctx, bool live, FILE *out);
	void (*metrics)(void *ctx, FILE *out);
	void (*status)(void *ctx, FILE *out);
	void (*services)(void *ctx, const char *search, FILE *out);
	bool (*configz)(void *ctx, FILE *out); /* false: nobody keeps it */
	/* An address could not be listened on; `text` NULL: it can now. */
	void (*problem)(void *ctx, const char *subject, const char *text);
};

struct node_http;

/* `pages` is copied. An address that is taken is no failure, but with `hard`: then -errno with the
 * reason. */
int node_http_open(uv_loop_t *loop, const struct node_http_addr *health,
		   const struct node_http_addr *metrics, bool hard, const struct node_pages *pages,
		   struct node_http **ret_http, struct err *err);
void node_http_close(struct node_http *http);

#endif
