/* SPDX-License-Identifier: Apache-2.0 */
/* Health-check node ports over real sockets on loopback, the server on a loop of the test's. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <stddef.h>
#include <cmocka.h>

#include "daemon/health_http.h"

#define DEADLINE_MS 20000
#define GET         "GET /any/path HTTP/1.1\r\nHost: node\r\n\r\n"

struct fixture {
	uv_loop_t loop;
	struct health *health;
	struct health_http *http;
	char problem[600]; /* the last one told; "" = none */
};

static uint64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void on_problem(void *ctx, const char *key, const char *text)
{
	struct fixture *f = ctx;

	if (text)
		snprintf(f->problem, sizeof(f->problem), "%s: %s", key, text);
	else
		f->problem[0] = '\0';
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err = {0};

	assert_non_null(f);
	assert_int_equal(uv_loop_init(&f->loop), 0);
	f->health = health_new(on_problem, f);
	assert_int_equal(health_http_open(&f->loop, f->health, &f->http, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	health_http_close(f->http);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	health_free(f->health);
	free(f);
	return 0;
}

/* ---- a client ---- */

static struct sockaddr_in loopback(unsigned last, uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(0x7f000000 + last)};
}

/* Somebody else's listener; `*port` 0: a free one. */
static int take_port(unsigned last, uint16_t *port)
{
	struct sockaddr_in addr = loopback(last, *port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(addr);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	*port = ntohs(addr.sin_port);
	return fd;
}

static uint16_t free_port(void)
{
	uint16_t port = 0;

	close(take_port(1, &port));
	return port;
}

/* Connected to 127.0.0.LAST, or -errno: the kernel answers that by itself. */
static int dial(unsigned last, uint16_t port)
{
	struct sockaddr_in addr = loopback(last, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static bool is_complete(const char *reply)
{
	const char *end = strstr(reply, "\r\n\r\n"), *length = strstr(reply, "Content-Length: ");

	return end && length && strlen(end + 4) >= strtoul(length + 16, NULL, 10);
}

/* Runs the loop until the answer is there, or the connection has ended. Then false. */
static bool hear(struct fixture *f, int fd, char *buf, size_t size)
{
	uint64_t end_ms = clock_ms() + DEADLINE_MS;
	size_t len = 0;

	buf[0] = '\0';
	while (clock_ms() < end_ms) {
		ssize_t n;

		uv_run(&f->loop, UV_RUN_NOWAIT);
		n = recv(fd, buf + len, size - 1 - len, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		if (n < 0) {
			usleep(500);
			continue;
		}
		len += (size_t)n;
		buf[len] = '\0';
		if (is_complete(buf))
			return true;
	}
	fail_msg("no answer, and no end");
	return false;
}

/* One request on one connection; the connection is open afterwards. */
static int ask(struct fixture *f, uint16_t port, const char *request, char *buf, size_t size)
{
	int fd = dial(1, port);

	assert_true(fd >= 0);
	say(fd, request);
	assert_true(hear(f, fd, buf, size));
	return fd;
}

static unsigned status_of(struct fixture *f, uint16_t port)
{
	char buf[4096];

	close(ask(f, port, GET, buf, sizeof(buf)));
	return (unsigned)strtoul(buf + strlen("HTTP/1.1 "), NULL, 10);
}

/* Until all that is wanted is opened and closed. */
static void settle(struct fixture *f)
{
	health_http_update(f->http);
	for (int i = 0; i < 200; i++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
}

static uint16_t put(struct fixture *f, const char *key, uint16_t port, size_t n)
{
	assert_int_equal(health_put(f->health, key, 1, port, n), 0);
	settle(f);
	return port;
}

static bool run_until(struct fixture *f, bool (*what)(struct fixture *f))
{
	uint64_t end_ms = clock_ms() + DEADLINE_MS;

	while (!what(f) && clock_ms() < end_ms) {
		uv_run(&f->loop, UV_RUN_NOWAIT);
		usleep(500);
	}
	return what(f);
}

/* ---- answers ---- */

/* HS-7, and the rest of it, but for the date. */
static void answer_to_the_byte(void **state)
{
	struct fixture *f = *state;
	uint16_t port = put(f, "default/web", free_port(), 2);
	char buf[4096], *date;

	close(ask(f, port, GET, buf, sizeof(buf)));
	date = strstr(buf, "Date: ");
	assert_non_null(date);
	memmove(date, strstr(date, "\r\n") + 2, strlen(strstr(date, "\r\n") + 2) + 1);
	assert_string_equal(buf, "HTTP/1.1 200 OK\r\n"
				 "Content-Type: application/json\r\n"
				 "X-Content-Type-Options: nosniff\r\n"
				 "X-Load-Balancing-Endpoint-Weight: 2\r\n"
				 "Content-Length: 114\r\n\r\n"
				 "{\n\t\"service\": {\n\t\t\"namespace\": \"default\",\n"
				 "\t\t\"name\": \"web\"\n\t},\n\t\"localEndpoints\": 2,\n"
				 "\t\"serviceProxyHealthy\": true\n}");
	put(f, "default/web", port, 0);
	close(ask(f, port, GET, buf, sizeof(buf)));
	assert_memory_equal(buf, "HTTP/1.1 503 Service Unavailable\r\n", 34);
	assert_non_null(strstr(buf, "\r\nX-Load-Balancing-Endpoint-Weight: 0\r\n"));
	assert_non_null(strstr(buf, "\t\"localEndpoints\": 0,\n"));
}

static void any_path_and_method(void **state)
{
	static const char *const requests[] = {
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"GET /../..//%2e%00?a=b#c HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde",
		"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
		"DELETE /x HTTP/1.1\r\nHost: x\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
	};
	struct fixture *f = *state;
	uint16_t port = put(f, "default/web", free_port(), 1);
	char buf[4096];

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		close(ask(f, port, requests[i], buf, sizeof(buf)));
		assert_memory_equal(buf + 8, " 200 OK\r\n", 9);
		assert_non_null(strstr(buf, "\t\"localEndpoints\": 1,\n"));
	}
}

static void without_a_body(void **state)
{
	struct fixture *f = *state;
	uint16_t port = put(f, "default/web", free_port(), 1);
	int fd = dial(1, port);
	char buf[4096];

	say(fd, "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	assert_false(hear(f, fd, buf, sizeof(buf)));
	assert_memory_equal(buf, "HTTP/1.1 200 OK\r\n", 17);
	assert_non_null(strstr(buf, "\r\nContent-Length: 114\r\n"));
	assert_null(strchr(buf, '{'));
	close(fd);
}

/* Several requests on one connection, and two at once. */
static void connection_is_kept(void **state)
{
	struct fixture *f = *state;
	uint16_t port = put(f, "default/web", free_port(), 1);
	char buf[4096];
	int fd = ask(f, port, GET, buf, sizeof(buf));

	for (size_t n = 2; n < 20; n++) {
		char want[40];

		put(f, "default/web", port, n);
		say(fd, GET);
		assert_true(hear(f, fd, buf, sizeof(buf)));
		snprintf(want, sizeof(want), "\"localEndpoints\": %zu,", n);
		assert_non_null(strstr(buf, want));
	}
	close(fd);
}

/* In pieces, as they may arrive; and from a client that says no more after it. */
static void in_pieces(void **state)
{
	struct fixture *f = *state;
	uint16_t port = put(f, "default/web", free_port(), 1);
	int fd = dial(1, port);
	char buf[4096], piece[2] = "";

	for (const char *c = GET; *c; c++) {
		piece[0] = *c;
		say(fd, piece);
		settle(f);
	}
	assert_true(hear(f, fd, buf, sizeof(buf)));
	close(fd);
	fd = dial(1, port);
	say(fd, GET);
	shutdown(fd, SHUT_WR);
	assert_true(hear(f, fd, buf, sizeof(buf)));
	close(fd);
}

static void proxy_not_healthy(void **state)
{
	struct fixture *f = *state;
	uint16_t port = put(f, "default/web", free_port(), 1);
	char buf[4096];

	health_work_begins(f->health, 1); /* right after the machine was started */
	close(ask(f, port, GET, buf, sizeof(buf)));
	assert_memory_equal(buf, "HTTP/1.1 503 ", 13);
	assert_non_null(strstr(buf, "\"localEndpoints\": 1,\n\t\"serviceProxyHealthy\": false"));
	health_work_done(f->health);
	assert_int_equal(status_of(f, port), 200);
}

static void wrong_requests(void **state)
{
	static const char *const texts[] = {"\r\n\r\n\r\n", "GET\r\n\r\n",
					    "\x16\x03\x01\x02\x00\x01", "GET / HTTP/9.9\r\n\r\n"};
	struct fixture *f = *state;
	uint16_t port = put(f, "default/web", free_port(), 1);
	char buf[4096], large[2 * HEALTH_REQUEST_BYTES + 64];
	int fds[ARRAY_SIZE(texts)];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		fds[i] = dial(1, port);
		say(fds[i], texts[i]);
		shutdown(fds[i], SHUT_WR);
	}
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		while (hear(f, fds[i], buf, sizeof(buf)))
			assert_null(strstr(buf, " 200 "));
		close(fds[i]);
	}
	memcpy(large, "GET / HTTP/1.1\r\nX: ", 19);
	memset(large + 19, 'x', sizeof(large) - 20);
	large[sizeof(large) - 1] = '\0';
	int fd = dial(1, port);

	send(fd, large, strlen(large), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (hear(f, fd, buf, sizeof(buf)))
		assert_memory_equal(buf, "HTTP/1.1 431 ", 13);
	close(fd);
	assert_int_equal(status_of(f, port), 200);
}

/* ---- ports ---- */

static void port_changes(void **state)
{
	struct fixture *f = *state;
	uint16_t first = put(f, "default/web", free_port(), 1), second;
	char buf[4096];
	int kept = ask(f, first, GET, buf, sizeof(buf));
	uint64_t start_ms = clock_ms();

	second = put(f, "default/web", free_port(), 1);
	assert_int_equal(dial(1, first), -ECONNREFUSED);
	assert_false(hear(f, kept, buf, sizeof(buf))); /* it is closed with the port */
	close(kept);
	kept = ask(f, second, GET, buf, sizeof(buf));
	put(f, "default/web", 0, 0);
	assert_int_equal(dial(1, second), -ECONNREFUSED);
	assert_false(hear(f, kept, buf, sizeof(buf)));
	close(kept);
	assert_true(clock_ms() - start_ms < HEALTH_REQUEST_MS); /* not for being idle */
}

static bool has_no_problem(struct fixture *f)
{
	return !f->problem[0];
}

/* Another program has the port: said, and taken when it is free. */
static void taken_then_free(void **state)
{
	struct fixture *f = *state;
	uint16_t port = 0;
	int other = take_port(1, &port);
	char want[200];

	put(f, "default/web", port, 1);
	snprintf(want, sizeof(want),
		 "default/web: nobody answers on health check node port %u: cannot listen on "
		 "[::]:%u: Address already in use; tried again",
		 port, port);
	assert_string_equal(f->problem, want);
	close(other);
	assert_true(run_until(f, has_no_problem));
	assert_int_equal(status_of(f, port), 200);
}

/* HS-8, and several of them: all or none. */
static void only_some_addresses(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[2][4] = {{127, 0, 0, 1}, {127, 0, 0, 2}};
	struct ip_addr addrs[2] = {addr_make(AF_INET, bytes[0]), addr_make(AF_INET, bytes[1])};
	uint16_t port = put(f, "default/web", free_port(), 1), taken = 0;
	int other, fd;

	fd = dial(3, port); /* all addresses at first */
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(health_http_set_addrs(f->http, addrs, 1), 0);
	settle(f);
	assert_int_equal(dial(2, port), -ECONNREFUSED);
	assert_int_equal(status_of(f, port), 200);
	assert_int_equal(health_http_set_addrs(f->http, addrs, 2), 0);
	fd = dial(2, port);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(dial(3, port), -ECONNREFUSED);
	other = take_port(2, &taken);
	put(f, "default/late", taken, 1);
	assert_non_null(strstr(f->problem, "cannot listen on 127.0.0.2:"));
	assert_int_equal(dial(1, taken), -ECONNREFUSED);
	close(other);
	assert_true(run_until(f, has_no_problem));
	assert_int_equal(status_of(f, taken), 200);
	assert_int_equal(health_http_set_addrs(f->http, NULL, 0), 0);
	fd = dial(3, port);
	assert_true(fd >= 0);
	close(fd);
}

static void hundred_services(void **state)
{
	struct fixture *f = *state;
	uint16_t ports[100];
	char key[32];

	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		snprintf(key, sizeof(key), "default/s%zu", i);
		ports[i] = free_port();
		assert_int_equal(health_put(f->health, key, 1, ports[i], i), 0);
		settle(f);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		char buf[4096];

		close(ask(f, ports[i], GET, buf, sizeof(buf)));
		snprintf(key, sizeof(key), "\"s%zu\"\n", i);
		assert_non_null(strstr(buf, key));
		assert_memory_equal(buf, i ? "HTTP/1.1 200" : "HTTP/1.1 503", 12);
	}
	assert_string_equal(f->problem, "");
}

/* ---- clients that take their time ---- */

/* None holds a connection for longer than it takes; who is quick is served meanwhile. */
static void slow_clients(void **state)
{
	struct fixture *f = *state;
	uint16_t port = put(f, "default/web", free_port(), 1);
	int silent = dial(1, port), dripping = dial(1, port), idle, body = dial(1, port);
	uint64_t start_ms = clock_ms(), drop_ms = 0;
	char buf[4096];

	say(dripping, "GET / HTTP/1.1\r\nX: ");
	say(body, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
	idle = ask(f, port, GET, buf, sizeof(buf));
	while (clock_ms() < start_ms + DEADLINE_MS && !drop_ms) {
		uv_run(&f->loop, UV_RUN_NOWAIT);
		if (send(dripping, "x", 1, MSG_NOSIGNAL) < 0)
			drop_ms = clock_ms() - start_ms;
		send(body, "x", 1, MSG_NOSIGNAL);
		assert_int_equal(status_of(f, port), 200);
		usleep(20000);
	}
	assert_in_range(drop_ms, HEALTH_REQUEST_MS - 100, DEADLINE_MS - 1);
	assert_false(hear(f, silent, buf, sizeof(buf)));
	assert_false(hear(f, idle, buf, sizeof(buf)));
	assert_false(hear(f, body, buf, sizeof(buf)));
	close(silent);
	close(dripping);
	close(idle);
	close(body);
}

/* More of one address than it may have: those over it are closed at once, and there is room again
 * when others go. */
static void too_many_connections(void **state)
{
	struct fixture *f = *state;
	uint16_t port = put(f, "default/web", free_port(), 1);
	int fds[HEALTH_CONNECTIONS_CLIENT + 20];
	size_t open = 0;
	char buf[4096];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = dial(1, port);
		assert_true(fds[i] >= 0);
		settle(f);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		ssize_t n = recv(fds[i], buf, sizeof(buf), MSG_DONTWAIT);

		open += n < 0 && errno == EAGAIN;
		close(fds[i]);
	}
	assert_int_equal(open, HEALTH_CONNECTIONS_CLIENT);
	settle(f);
	assert_int_equal(status_of(f, port), 200);
}

/* Without a descriptor for another connection the loop does not spin; later it goes on. */
static void no_descriptors(void **state)
{
	struct fixture *f = *state;
	uint16_t port = put(f, "default/web", free_port(), 1);
	struct rlimit limit, none;
	int fd = dial(1, port), turns = 0;
	uint64_t start_ms;
	char buf[4096];

	getrlimit(RLIMIT_NOFILE, &limit);
	none = limit;
	none.rlim_cur = 3;
	say(fd, GET);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	start_ms = clock_ms();
	while (clock_ms() < start_ms + 300) {
		uv_run(&f->loop, UV_RUN_NOWAIT);
		turns++;
		uv_run(&f->loop, UV_RUN_ONCE);
		if (clock_ms() >= start_ms + 300)
			break;
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(turns < 20);
	assert_true(hear(f, fd, buf, sizeof(buf)));
	close(fd);
}

int main(void)
{
#define WITH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH(answer_to_the_byte),   WITH(any_path_and_method), WITH(without_a_body),
		WITH(connection_is_kept),   WITH(in_pieces),           WITH(proxy_not_healthy),
		WITH(wrong_requests),       WITH(port_changes),        WITH(taken_then_free),
		WITH(only_some_addresses),  WITH(hundred_services),    WITH(slow_clients),
		WITH(too_many_connections), WITH(no_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
