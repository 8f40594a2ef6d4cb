/* SPDX-License-Identifier: Apache-2.0 */
/* See health_http.h. */
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include "daemon/health_http.h"
#include "log.h"

#define CHANGES_A_TURN 50 /* ports opened or closed in one turn of the loop */
#define ACCEPTS_A_TURN 16 /* connections of one port in one turn */
#define BACKLOG        64
#define FILES_WANTED   65536 /* a socket a port, and the connections; usual are 1024 */

struct listener {
	struct health_http *http;
	uint16_t port;
	struct ip_addr addr; /* unspecified = all */
	int fd;
	bool paused; /* there was no descriptor for another connection */
	uv_poll_t poll;
	struct listener *next; /* of the same port, on another address */
	UT_hash_handle hh;
};

/* A connection, from when it was accepted until it is closed. */
struct client {
	int fd;
	uint16_t port;
	bool over; /* its time is over: it is about to be closed */
	uint64_t since_ms;
	TAILQ_ENTRY(client) link; /* in the order of `since_ms` */
};

struct health_http {
	uv_loop_t *loop;
	struct health *health;
	struct MHD_Daemon *daemon;
	struct ip_addr *addrs;
	size_t n_addrs;
	struct listener *listeners; /* by port */
	TAILQ_HEAD(clients, client) clients;
	uv_poll_t poll; /* the daemon's epoll descriptor */
	uv_timer_t timer, retry;
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

/* ---- requests ---- */

static uint16_t local_port(int fd)
{
	struct sockaddr_storage addr = {0};
	socklen_t len = sizeof(addr);

	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return 0;
	return ntohs(addr.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&addr)->sin6_port
						: ((struct sockaddr_in *)&addr)->sin_port);
}

static struct client *client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static void add_headers(struct MHD_Response *response, const struct health_answer *answer)
{
	char number[24];

	snprintf(number, sizeof(number), "%zu", answer->n_local);
	MHD_add_response_header(response, "Content-Type", "application/json");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(response, "X-Load-Balancing-Endpoint-Weight", number);
}

static enum MHD_Result answer_request(const struct health_http *http,
				      struct MHD_Connection *connection)
{
	const struct client *client = client_of(connection);
	struct MHD_Response *response;
	struct health_answer answer;
	enum MHD_Result rc;

	if (!client || health_answer(http->health, client->port, now_ms(), &answer) < 0)
		return MHD_NO;
	response = MHD_create_response_from_buffer(answer.body_len, answer.body,
						   MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(answer.body);
		return MHD_NO;
	}
	add_headers(response, &answer);
	rc = MHD_queue_response(connection, answer.status, response);
	MHD_destroy_response(response);
	return rc;
}

/* Called with the headers, then with each part of a body, then at its end. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *body,
				  size_t *body_len, void **request)
{
	(void)url, (void)method, (void)version, (void)body;
	if (!*request) {
		*request = ctx;
		return MHD_YES;
	}
	if (*body_len) {
		*body_len = 0;
		return MHD_YES;
	}
	return answer_request(ctx, connection);
}

/* The next request has its time from here. */
static void on_answered(void *ctx, struct MHD_Connection *connection, void **request,
			enum MHD_RequestTerminationCode code)
{
	struct client *client = client_of(connection);
	struct health_http *http = ctx;

	(void)request, (void)code;
	if (!client || client->over)
		return;
	client->since_ms = now_ms();
	TAILQ_REMOVE(&http->clients, client, link);
	TAILQ_INSERT_TAIL(&http->clients, client, link);
}

static void client_starts(struct health_http *http, struct MHD_Connection *connection,
			  void **ret_client)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct client *client = info ? calloc(1, sizeof(*client)) : NULL;

	*ret_client = client;
	if (!client)
		return; /* then its requests are not answered */
	client->fd = info->connect_fd;
	client->port = local_port(client->fd);
	client->since_ms = now_ms();
	TAILQ_INSERT_TAIL(&http->clients, client, link);
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **ret_client,
			  enum MHD_ConnectionNotificationCode code)
{
	struct health_http *http = ctx;
	struct client *client = *ret_client;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		client_starts(http, connection, ret_client);
		return;
	}
	if (client && !client->over)
		TAILQ_REMOVE(&http->clients, client, link);
	free(client);
	*ret_client = NULL;
}

/* ---- the daemon on the loop ---- */

/* The daemon sees the end of the stream and closes the connection. */
static void end_client(struct health_http *http, struct client *client)
{
	TAILQ_REMOVE(&http->clients, client, link);
	client->over = true;
	shutdown(client->fd, SHUT_RDWR);
}

static void end_slow_clients(struct health_http *http)
{
	struct client *client;

	while ((client = TAILQ_FIRST(&http->clients)) &&
	       now_ms() - client->since_ms >= HEALTH_REQUEST_MS)
		end_client(http, client);
}

static void end_clients_of(struct health_http *http, uint16_t port)
{
	struct client *next;

	for (struct client *client = TAILQ_FIRST(&http->clients); client; client = next) {
		next = TAILQ_NEXT(client, link);
		if (client->port == port)
			end_client(http, client);
	}
}

static void on_timer(uv_timer_t *timer);

static void schedule(struct health_http *http)
{
	const struct client *oldest = TAILQ_FIRST(&http->clients);
	uint64_t wait_ms = UINT64_MAX, age_ms;
	unsigned long long timeout_ms;

	if (oldest) {
		age_ms = now_ms() - oldest->since_ms;
		wait_ms = age_ms < HEALTH_REQUEST_MS ? HEALTH_REQUEST_MS - age_ms : 0;
	}
	if (MHD_get_timeout(http->daemon, &timeout_ms) == MHD_YES && timeout_ms < wait_ms)
		wait_ms = timeout_ms;
	if (wait_ms == UINT64_MAX)
		uv_timer_stop(&http->timer);
	else
		uv_timer_start(&http->timer, on_timer, wait_ms, 0);
}

static void run_daemon(struct health_http *http)
{
	end_slow_clients(http);
	MHD_run(http->daemon);
	schedule(http);
}

static void on_timer(uv_timer_t *timer)
{
	run_daemon(timer->data);
}

static void on_daemon(uv_poll_t *poll, int status, int events)
{
	(void)status, (void)events;
	run_daemon(poll->data);
}

/* ---- listeners ---- */

static void on_retry(uv_timer_t *timer);

static void retry_soon(struct health_http *http)
{
	if (!uv_is_active((uv_handle_t *)&http->retry))
		uv_timer_start(&http->retry, on_retry, HEALTH_RETRY_MS, 0);
}

static void on_connect(uv_poll_t *poll, int status, int events)
{
	struct listener *listener = poll->data;
	struct health_http *http = listener->http;

	(void)status, (void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage addr;
		socklen_t len = sizeof(addr);
		int fd = accept4(listener->fd, (struct sockaddr *)&addr, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
			uv_poll_stop(&listener->poll); /* it would be readable all the time */
			listener->paused = true;
			retry_soon(http);
		}
		if (fd < 0)
			break;
		/* over its limits the daemon refuses, and has closed it */
		MHD_add_connection(http->daemon, fd, (struct sockaddr *)&addr, len);
	}
	run_daemon(http);
}

static socklen_t make_sockaddr(const struct ip_addr *addr, uint16_t port,
			       struct sockaddr_storage *ret_addr)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_addr;
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret_addr;

	memset(ret_addr, 0, sizeof(*ret_addr));
	ret_addr->ss_family = addr->family;
	if (addr->family == AF_INET) {
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, addr->bytes, sizeof(v4->sin_addr));
		return sizeof(*v4);
	}
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, addr->bytes, sizeof(v6->sin6_addr));
	return sizeof(*v6);
}

/* The descriptor or -errno. The unspecified IPv6 address stands for both families. */
static int open_socket(const struct ip_addr *addr, uint16_t port)
{
	static const uint8_t any[16];
	const int on = 1, off = 0;
	bool both = addr->family == AF_INET6 && memcmp(addr->bytes, any, sizeof(any)) == 0;
	struct sockaddr_storage name;
	socklen_t len = make_sockaddr(addr, port, &name);
	int fd = socket(addr->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (addr->family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, both ? &off : &on, sizeof(on)) < 0) ||
	    bind(fd, (struct sockaddr *)&name, len) < 0 || listen(fd, BACKLOG) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static void free_if_over(struct health_http *http)
{
	if (!http->closing || http->open_handles)
		return;
	free(http->addrs);
	free(http);
}

static void listener_closed(uv_handle_t *handle)
{
	struct listener *listener = handle->data;
	struct health_http *http = listener->http;

	free(listener);
	http->open_handles--;
	free_if_over(http);
}

static void close_listener(struct listener *listener)
{
	uv_poll_stop(&listener->poll);
	uv_close((uv_handle_t *)&listener->poll, listener_closed);
	close(listener->fd);
}

static void close_port(struct health_http *http, uint16_t port)
{
	struct listener *first, *next;

	HASH_FIND(hh, http->listeners, &port, sizeof(port), first);
	if (first)
		HASH_DEL(http->listeners, first);
	for (struct listener *listener = first; listener; listener = next) {
		next = listener->next;
		close_listener(listener);
	}
}

static int add_listener(struct health_http *http, const struct ip_addr *addr, uint16_t port, int fd)
{
	struct listener *listener = calloc(1, sizeof(*listener)), *first;
	int rc = listener ? uv_poll_init(http->loop, &listener->poll, fd) : -ENOMEM;

	if (rc < 0) {
		free(listener);
		close(fd);
		return rc;
	}
	http->open_handles++;
	listener->http = http;
	listener->addr = *addr;
	listener->port = port;
	listener->fd = fd;
	listener->poll.data = listener;
	uv_poll_start(&listener->poll, UV_READABLE, on_connect);
	HASH_FIND(hh, http->listeners, &port, sizeof(port), first);
	if (first) {
		listener->next = first->next;
		first->next = listener;
	} else {
		HASH_ADD(hh, http->listeners, port, sizeof(listener->port), listener);
	}
	return 0;
}

static int listen_at(struct health_http *http, const struct ip_addr *addr, uint16_t port,
		     struct err *err)
{
	char text[ADDR_PORT_TEXT_MAX];
	int rc = open_socket(addr, port);

	if (rc >= 0)
		rc = add_listener(http, addr, port, rc);
	if (rc < 0)
		return err_set(err, rc, "cannot listen on %s: %s",
			       addr_port_format(addr, port, text), strerror(-rc));
	return 0;
}

/* On all addresses: one socket for both families; without IPv6 in the kernel, of IPv4. */
static int listen_everywhere(struct health_http *http, uint16_t port, struct err *err)
{
	static const uint8_t any[16];
	const struct ip_addr any4 = addr_make(AF_INET, any), any6 = addr_make(AF_INET6, any);
	int rc = listen_at(http, &any6, port, err);

	return rc == -EAFNOSUPPORT ? listen_at(http, &any4, port, err) : rc;
}

static bool listens(const struct health_http *http, const struct ip_addr *addr, uint16_t port)
{
	struct listener *listener;

	HASH_FIND(hh, http->listeners, &port, sizeof(port), listener);
	while (listener && !addr_equal(&listener->addr, addr))
		listener = listener->next;
	return listener;
}

static bool is_wanted(const struct health_http *http, const struct ip_addr *addr)
{
	for (size_t i = 0; i < http->n_addrs; i++)
		if (addr_equal(&http->addrs[i], addr))
			return true;
	return false;
}

/* Where nobody asks for it any more. The others go on, without a gap in which they refuse. */
static void close_unwanted(struct health_http *http, uint16_t port)
{
	struct listener *listener, *next, *kept = NULL;

	HASH_FIND(hh, http->listeners, &port, sizeof(port), listener);
	if (!listener)
		return;
	HASH_DEL(http->listeners, listener);
	for (; listener; listener = next) {
		next = listener->next;
		if (is_wanted(http, &listener->addr)) {
			listener->next = kept;
			kept = listener;
		} else {
			close_listener(listener);
		}
	}
	if (kept)
		HASH_ADD(hh, http->listeners, port, sizeof(kept->port), kept);
}

/* On all addresses that are asked for, or on none. */
static void open_port(struct health_http *http, uint16_t port)
{
	struct err err = {0};
	int rc = http->n_addrs ? 0 : listen_everywhere(http, port, &err);

	for (size_t i = 0; i < http->n_addrs && rc == 0; i++)
		if (!listens(http, &http->addrs[i], port))
			rc = listen_at(http, &http->addrs[i], port, &err);
	if (rc < 0) {
		close_port(http, port);
		retry_soon(http);
	}
	health_listened(http->health, port, rc < 0 ? err.text : NULL);
}

static void resume_listeners(struct health_http *http)
{
	for (struct listener *first = http->listeners; first; first = first->hh.next) {
		for (struct listener *listener = first; listener; listener = listener->next) {
			if (!listener->paused)
				continue;
			listener->paused = false;
			uv_poll_start(&listener->poll, UV_READABLE, on_connect);
		}
	}
}

static void on_retry(uv_timer_t *timer)
{
	struct health_http *http = timer->data;

	resume_listeners(http);
	if (health_retry(http->health))
		health_http_update(http);
}

/* ---- following what is wanted ---- */

static void on_work(uv_idle_t *idle)
{
	struct health_http *http = idle->data;
	uint16_t port;
	bool wanted;

	for (int i = 0; i < CHANGES_A_TURN; i++) {
		if (!health_next_change(http->health, &port, &wanted)) {
			uv_idle_stop(idle);
			break;
		}
		if (wanted) {
			open_port(http, port);
		} else {
			close_port(http, port);
			end_clients_of(http, port);
		}
	}
	run_daemon(http);
}

void health_http_update(struct health_http *http)
{
	if (!http->closing)
		uv_idle_start(&http->work, on_work);
}

int health_http_set_addrs(struct health_http *http, const struct ip_addr *addrs, size_t n)
{
	struct ip_addr *copy = calloc(n + 1, sizeof(*copy));
	cleanup_free uint16_t *ports = calloc(HASH_COUNT(http->listeners) + 1, sizeof(*ports));
	size_t n_ports = 0;

	if (n == http->n_addrs && (!n || !memcmp(http->addrs, addrs, n * sizeof(*addrs)))) {
		free(copy);
		return 0;
	}
	if (!copy || !ports) {
		free(copy);
		return -ENOMEM;
	}
	if (n)
		memcpy(copy, addrs, n * sizeof(*copy));
	free(http->addrs);
	http->addrs = copy;
	http->n_addrs = n;
	for (struct listener *first = http->listeners; first; first = first->hh.next)
		ports[n_ports++] = first->port;
	for (size_t i = 0; i < n_ports; i++) {
		close_unwanted(http, ports[i]);
		open_port(http, ports[i]);
	}
	return 0;
}

/* ---- open and close ---- */

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= FILES_WANTED)
		return;
	limit.rlim_cur = limit.rlim_max < FILES_WANTED ? limit.rlim_max : FILES_WANTED;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int start_daemon(struct health_http *http, struct err *err)
{
	const union MHD_DaemonInfo *info;

	errno = 0;
	http->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, http,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)HEALTH_CONNECTIONS,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)HEALTH_CONNECTIONS_CLIENT,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEALTH_REQUEST_BYTES,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_NOTIFY_COMPLETED,
		on_answered, http, MHD_OPTION_END);
	if (!http->daemon)
		return err_set(err, errno ? -errno : -EINVAL,
			       "the HTTP server for health checks does not start: %s",
			       strerror(errno ? errno : EINVAL));
	info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	return uv_poll_init(http->loop, &http->poll, info->epoll_fd);
}

int health_http_open(uv_loop_t *loop, struct health *health, struct health_http **ret_http,
		     struct err *err)
{
	struct health_http *http = calloc(1, sizeof(*http));
	int rc;

	if (!http)
		return err_set(err, -ENOMEM, "no memory");
	http->loop = loop;
	http->health = health;
	TAILQ_INIT(&http->clients);
	raise_file_limit();
	rc = start_daemon(http, err);
	if (rc < 0) {
		if (http->daemon)
			MHD_stop_daemon(http->daemon);
		free(http);
		return rc;
	}
	uv_timer_init(loop, &http->timer);
	uv_timer_init(loop, &http->retry);
	uv_idle_init(loop, &http->work);
	http->poll.data = http->timer.data = http->retry.data = http->work.data = http;
	http->open_handles = 4;
	uv_poll_start(&http->poll, UV_READABLE, on_daemon);
	*ret_http = http;
	return 0;
}

static void handle_closed(uv_handle_t *handle)
{
	struct health_http *http = handle->data;

	http->open_handles--;
	free_if_over(http);
}

void health_http_close(struct health_http *http)
{
	struct listener *first, *next;

	if (!http)
		return;
	http->closing = true;
	HASH_ITER (hh, http->listeners, first, next)
		close_port(http, first->port);
	uv_close((uv_handle_t *)&http->poll, handle_closed);
	uv_close((uv_handle_t *)&http->timer, handle_closed);
	uv_close((uv_handle_t *)&http->retry, handle_closed);
	uv_close((uv_handle_t *)&http->work, handle_closed);
	MHD_stop_daemon(http->daemon);
}
