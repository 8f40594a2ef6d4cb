/* SPDX-License-Identifier: Apache-2.0 */
/* See health_http.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/health_http.h"
#include "daemon/http.h"

#define CHANGES_A_TURN 50 /* ports opened or closed in one turn of the loop */

struct health_http {
	struct health *health;
	struct http *http;
	struct ip_addr *addrs;
	size_t n_addrs;
	uv_timer_t retry;
	uv_idle_t work; /* active while ports are to be opened or closed */
	size_t open_handles;
	bool closing;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Any path and method; which Service is asked for is told by the port. */
static int on_request(void *ctx, const struct http_request *request, struct http_reply *reply)
{
	const struct health_http *hh = ctx;
	struct health_answer answer;
	int rc = health_answer(hh->health, request->port, now_ms(), &answer);

	if (rc == 0)
		rc = http_set_body(reply, answer.status, "application/json", answer.body,
				   answer.body_len);
	if (rc == 0)
		http_add_header(reply, "X-Load-Balancing-Endpoint-Weight", "%zu", answer.n_local);
	return rc;
}

/* ---- ports ---- */

static void on_retry(uv_timer_t *timer)
{
	struct health_http *hh = timer->data;

	if (health_retry(hh->health))
		health_http_update(hh);
}

/* On all addresses that are asked for, or on none. */
static void open_port(struct health_http *hh, uint16_t port)
{
	struct err err = {0};
	int rc = hh->n_addrs ? 0 : http_listen_everywhere(hh->http, port, &err);

	for (size_t i = 0; i < hh->n_addrs && rc == 0; i++)
		if (!http_listens(hh->http, &hh->addrs[i], port))
			rc = http_listen(hh->http, &hh->addrs[i], port, &err);
	if (rc < 0) {
		http_unlisten(hh->http, port, NULL, 0);
		if (!uv_is_active((uv_handle_t *)&hh->retry))
			uv_timer_start(&hh->retry, on_retry, HEALTH_RETRY_MS, 0);
	}
	health_listened(hh->health, port, rc < 0 ? err.text : NULL);
}

static void on_work(uv_idle_t *idle)
{
	struct health_http *hh = idle->data;
	uint16_t port;
	bool wanted;

	for (int i = 0; i < CHANGES_A_TURN; i++) {
		if (!health_next_change(hh->health, &port, &wanted)) {
			uv_idle_stop(idle);
			break;
		}
		if (wanted) {
			open_port(hh, port);
		} else {
			http_unlisten(hh->http, port, NULL, 0);
			http_end_clients(hh->http, port);
		}
	}
}

void health_http_update(struct health_http *hh)
{
	if (!hh->closing)
		uv_idle_start(&hh->work, on_work);
}

int health_http_set_addrs(struct health_http *hh, const struct ip_addr *addrs, size_t n)
{
	struct ip_addr *copy;
	cleanup_free uint16_t *ports = NULL;
	size_t n_ports;

	if (n == hh->n_addrs && (!n || !memcmp(hh->addrs, addrs, n * sizeof(*addrs))))
		return 0;
	copy = calloc(n + 1, sizeof(*copy));
	ports = http_ports(hh->http, &n_ports);
	if (!copy || !ports) {
		free(copy);
		return -ENOMEM;
	}
	if (n)
		memcpy(copy, addrs, n * sizeof(*copy));
	free(hh->addrs);
	hh->addrs = copy;
	hh->n_addrs = n;
	for (size_t i = 0; i < n_ports; i++) {
		http_unlisten(hh->http, ports[i], hh->addrs, n);
		open_port(hh, ports[i]);
	}
	return 0;
}

/* ---- open and close ---- */

int health_http_open(uv_loop_t *loop, struct health *health, struct health_http **ret_http,
		     struct err *err)
{
	static const struct http_limits limits = {HEALTH_CONNECTIONS, HEALTH_CONNECTIONS_CLIENT,
						  HEALTH_REQUEST_BYTES, HEALTH_REQUEST_MS};
	struct health_http *hh = calloc(1, sizeof(*hh));
	int rc;

	if (!hh)
		return err_set(err, -ENOMEM, "no memory");
	hh->health = health;
	rc = http_open(loop, &limits, on_request, hh, &hh->http, err);
	if (rc < 0) {
		free(hh);
		return rc;
	}
	uv_timer_init(loop, &hh->retry);
	uv_idle_init(loop, &hh->work);
	hh->retry.data = hh->work.data = hh;
	hh->open_handles = 2;
	*ret_http = hh;
	return 0;
}

static void handle_closed(uv_handle_t *handle)
{
	struct health_http *hh = handle->data;

	if (--hh->open_handles)
		return;
	free(hh->addrs);
	free(hh);
}

void health_http_close(struct health_http *hh)
{
	if (!hh)
		return;
	hh->closing = true;
	http_close(hh->http);
	uv_close((uv_handle_t *)&hh->retry, handle_closed);
	uv_close((uv_handle_t *)&hh->work, handle_closed);
}
