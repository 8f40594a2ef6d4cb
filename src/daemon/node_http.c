/* SPDX-License-Identifier: Apache-2.0 */
/* See node_http.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/node_http.h"
#include "daemon/page.h"
#include "log.h"

#define TEXT "text/plain; charset=utf-8"
#define JSON "application/json"
/* The page loads nothing from elsewhere, and nobody frames it. */
#define BROWSER_MAY                                                                   \
	"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; " \
	"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"

struct server {
	struct node_http *node;
	const char *name; /* for messages */
	struct node_http_addr addr;
	struct http *http; /* NULL: not wanted */
	uv_timer_t retry;
};

struct node_http {
	struct node_pages pages;
	struct server health, metrics;
	size_t open_handles;
};

/* ---- pages ---- */

typedef unsigned (*page_fn)(const struct node_pages *pages, const char *search,
			    FILE *out); /* the status */

struct page {
	const char *path, *type;
	page_fn fill;
};

static unsigned page_healthz(const struct node_pages *pages, const char *search, FILE *out)
{
	(void)search;
	return pages->health(pages->ctx, false, out) ? 200 : 503;
}

static unsigned page_livez(const struct node_pages *pages, const char *search, FILE *out)
{
	(void)search;
	return pages->health(pages->ctx, true, out) ? 200 : 503;
}

static unsigned page_ping(const struct node_pages *pages, const char *search, FILE *out)
{
	(void)pages, (void)search;
	fputs("ok", out);
	return 200;
}

static unsigned page_mode(const struct node_pages *pages, const char *search, FILE *out)
{
	(void)search;
	fputs(pages->mode, out);
	return 200;
}

static unsigned page_metrics(const struct node_pages *pages, const char *search, FILE *out)
{
	(void)search;
	pages->metrics(pages->ctx, out);
	return 200;
}

static unsigned page_status(const struct node_pages *pages, const char *search, FILE *out)
{
	(void)search;
	pages->status(pages->ctx, out);
	return 200;
}

static unsigned page_configz(const struct node_pages *pages, const char *search, FILE *out)
{
	(void)search;
	return pages->configz(pages->ctx, out) ? 200 : 503;
}

static unsigned page_services(const struct node_pages *pages, const char *search, FILE *out)
{
	pages->services(pages->ctx, search, out);
	return 200;
}

/* For a browser; it asks /status and /services. */
static unsigned page_browser(const struct node_pages *pages, const char *search, FILE *out)
{
	(void)pages, (void)search;
	fwrite(page_html, 1, page_html_len, out);
	return 200;
}

static const struct page health_pages[] = {
	{"/healthz", JSON, page_healthz},
	{"/livez", JSON, page_livez},
};

static const struct page metrics_pages[] = {
	{"/", "text/html; charset=utf-8", page_browser},
	{"/configz", JSON, page_configz},
	{"/healthz", TEXT, page_ping},
	{"/healthz/ping", TEXT, page_ping},
	{"/metrics", "text/plain; version=0.0.4; charset=utf-8", page_metrics},
	{"/proxyMode", TEXT, page_mode},
	{"/services", JSON, page_services},
	{"/status", JSON, page_status},
};

static int reply_text(struct http_reply *reply, unsigned status, const char *text)
{
	return http_set_body(reply, status, TEXT, strdup(text), strlen(text));
}

static int reply_page(const struct node_pages *pages, const struct page *page, const char *search,
		      struct http_reply *reply)
{
	char *body = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&body, &len);
	unsigned status;

	if (!out)
		return -ENOMEM;
	status = page->fill(pages, search, out);
	if (fclose(out) != 0) {
		free(body);
		return -ENOMEM;
	}
	if (page->fill == page_browser)
		http_add_header(reply, "Content-Security-Policy", "%s", BROWSER_MAY);
	return http_set_body(reply, status, page->type, body, len);
}

static int reply_one_of(const struct node_pages *pages, const struct page *table, size_t n,
			const struct http_request *request, struct http_reply *reply)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(table[i].path, request->path) == 0)
			return reply_page(pages, &table[i], request->search, reply);
	return reply_text(reply, 404, "404 page not found\n");
}

static int on_health(void *ctx, const struct http_request *request, struct http_reply *reply)
{
	const struct node_http *node = ctx;

	return reply_one_of(&node->pages, health_pages, ARRAY_SIZE(health_pages), request, reply);
}

/* Nothing here is changed by asking: who posts has the wrong door. */
static int on_metrics(void *ctx, const struct http_request *request, struct http_reply *reply)
{
	const struct node_http *node = ctx;

	if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0) {
		http_add_header(reply, "Allow", "GET, HEAD");
		return reply_text(reply, 405, "only GET and HEAD\n");
	}
	return reply_one_of(&node->pages, metrics_pages, ARRAY_SIZE(metrics_pages), request, reply);
}

/* ---- listening ---- */

static int listen_now(struct server *server, struct err *err)
{
	const struct node_pages *pages = &server->node->pages;
	static const uint8_t any[16];
	const struct ip_addr *addr = &server->addr.addr;
	int rc = memcmp(addr->bytes, any, sizeof(any)) == 0
			 ? http_listen_everywhere(server->http, server->addr.port, err)
			 : http_listen(server->http, addr, server->addr.port, err);

	pages->problem(pages->ctx, server->name, rc < 0 ? err->text : NULL);
	return rc;
}

static void on_retry(uv_timer_t *timer)
{
	struct server *server = timer->data;
	struct err err = {0};

	if (listen_now(server, &err) < 0)
		uv_timer_start(timer, on_retry, NODE_HTTP_RETRY_MS, 0);
}

static int open_server(uv_loop_t *loop, struct server *server, bool hard, http_answer_fn answer,
		       struct err *err)
{
	static const struct http_limits limits = {NODE_HTTP_CONNECTIONS,
						  NODE_HTTP_CONNECTIONS_CLIENT,
						  NODE_HTTP_REQUEST_BYTES, NODE_HTTP_REQUEST_MS};
	int rc;

	if (!server->addr.port)
		return 0;
	rc = http_open(loop, &limits, answer, server->node, &server->http, err);
	if (rc < 0)
		return rc;
	rc = listen_now(server, err);
	if (rc < 0 && !hard)
		uv_timer_start(&server->retry, on_retry, NODE_HTTP_RETRY_MS, 0);
	return hard ? rc : 0;
}

static void begin_server(uv_loop_t *loop, struct node_http *node, struct server *server,
			 const char *name, const struct node_http_addr *addr)
{
	server->node = node;
	server->name = name;
	server->addr = *addr;
	uv_timer_init(loop, &server->retry);
	server->retry.data = server;
	node->open_handles++;
}

int node_http_open(uv_loop_t *loop, const struct node_http_addr *health,
		   const struct node_http_addr *metrics, bool hard, const struct node_pages *pages,
		   struct node_http **ret_http, struct err *err)
{
	struct node_http *node = calloc(1, sizeof(*node));
	int rc;

	if (!node)
		return err_set(err, -ENOMEM, "no memory");
	node->pages = *pages;
	begin_server(loop, node, &node->health, "--healthz-bind-address", health);
	begin_server(loop, node, &node->metrics, "--metrics-bind-address", metrics);
	rc = open_server(loop, &node->health, hard, on_health, err);
	if (rc == 0)
		rc = open_server(loop, &node->metrics, hard, on_metrics, err);
	if (rc < 0) {
		node_http_close(node);
		return rc;
	}
	*ret_http = node;
	return 0;
}

static void retry_closed(uv_handle_t *handle)
{
	struct server *server = handle->data;

	if (--server->node->open_handles == 0)
		free(server->node);
}

void node_http_close(struct node_http *node)
{
	if (!node)
		return;
	http_close(node->health.http);
	http_close(node->metrics.http);
	uv_close((uv_handle_t *)&node->health.retry, retry_closed);
	uv_close((uv_handle_t *)&node->metrics.retry, retry_closed);
}
