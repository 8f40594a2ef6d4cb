/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP server on the loop: listening, limits, and one function that answers.
 *
 * libmicrohttpd does the protocol for all connections of one server: its epoll descriptor is polled
 * by the loop. The listening sockets are ours, so that a port more costs a socket and not a daemon.
 * What is asked and what is answered is its users' business: health_http, node_http. No TLS, no
 * authentication: as with kube-proxy, who may ask is decided by the address listened on. */
#ifndef VIPD_DAEMON_HTTP_H
#define VIPD_DAEMON_HTTP_H

#include <uv.h>

#include "addr.h"
#include "err.h"

#define HTTP_RETRY_MS    1000 /* accepting goes on after there was no descriptor for it */
#define HTTP_HEADERS_MAX 4

/* What clients can take of one server. */
struct http_limits {
	unsigned connections, connections_client; /* in all; of one address */
	size_t request_bytes; /* request line and headers, and those of the answer */
	unsigned request_ms;  /* for a request and its answer, from connecting or the last one on */
};

struct http_request {
	const char *method, *path; /* the path is decoded, without a query */
	const char *accept;        /* header; NULL = none */
	const char *search;        /* the query's member "q", decoded; "" = none */
	uint16_t port;             /* that was connected to */
};

struct http_header {
	const char *name; /* constant */
	char value[192];
};

struct http_reply {
	unsigned status;
	char *body; /* the server frees it, with free() */
	size_t body_len;
	size_t n_headers;
	struct http_header headers[HTTP_HEADERS_MAX];
};

/* Fills an empty reply. Any error: the connection is closed without an answer. */
typedef int (*http_answer_fn)(void *ctx, const struct http_request *request,
			      struct http_reply *reply);

struct http;

/* -errno with the reason. */
int http_open(uv_loop_t *loop, const struct http_limits *limits, http_answer_fn answer, void *ctx,
	      struct http **ret_http, struct err *err);
/* Closes everything, `answer` is not called any more; handles are gone with the loop's next turns.
 */
void http_close(struct http *http);

/* One socket more. The unspecified IPv6 address stands for both families. 0 or -errno with what
 * could not be listened on and why. */
int http_listen(struct http *http, const struct ip_addr *addr, uint16_t port, struct err *err);
/* On all addresses: one socket for both families; without IPv6 in the kernel, of IPv4. */
int http_listen_everywhere(struct http *http, uint16_t port, struct err *err);
bool http_listens(const struct http *http, const struct ip_addr *addr, uint16_t port);
/* The sockets of a port, but for those at the addresses given. */
void http_unlisten(struct http *http, uint16_t port, const struct ip_addr *keep, size_t n_keep);
/* Connections that came by this port are ended. */
void http_end_clients(struct http *http, uint16_t port);
/* Ports that are listened on; the caller frees. NULL without memory. */
uint16_t *http_ports(const struct http *http, size_t *ret_n);

/* "Name: value" more for the reply. */
void http_add_header(struct http_reply *reply, const char *name, const char *fmt, ...) PRINTF(3, 4);
/* Takes `body` over (NULL: -ENOMEM) and adds Content-Type and nosniff. 0 or -ENOMEM. */
int http_set_body(struct http_reply *reply, unsigned status, const char *type, char *body,
		  size_t len);

#endif
