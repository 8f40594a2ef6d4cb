/* SPDX-License-Identifier: Apache-2.0 */
/* See http.h. */
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

#include "daemon/http.h"

#define ACCEPTS_A_TURN 16 /* connections of one port in one turn */
#define BACKLOG        64
#define FILES_WANTED   65536 /* a socket a port, and the connections; usual are 1024 */

struct listener {
	struct http *http;
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

struct http {
	uv_loop_t *loop;
	struct http_limits limits;
	http_answer_fn answer;
	void *ctx;
	struct MHD_Daemon *daemon;
	struct listener *listeners; /* by port */
	TAILQ_HEAD(clients, client) clients;
	uv_poll_t poll; /* the daemon's epoll descriptor */
	uv_timer_t timer, resume;
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

static enum MHD_Result answer_request(const struct http *http, struct MHD_Connection *connection,
				      const char *url, const char *method)
{
	const struct client *client = client_of(connection);
	struct MHD_Response *response;
	struct http_reply reply = {0};
	enum MHD_Result rc;
	const char *search = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "q");
	struct http_request request = {
		.method = method,
		.path = url,
		.accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept"),
		.search = search ? search : "",
		.port = client ? client->port : 0,
	};

	if (!client || http->answer(http->ctx, &request, &reply) < 0)
		return MHD_NO;
	response =
		MHD_create_response_from_buffer(reply.body_len, reply.body, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(reply.body);
		return MHD_NO;
	}
	for (size_t i = 0; i < reply.n_headers; i++)
		MHD_add_response_header(response, reply.headers[i].name, reply.headers[i].value);
	rc = MHD_queue_response(connection, reply.status, response);
	MHD_destroy_response(response);
	return rc;
}

/* Called with the headers, then with each part of a body, then at its end. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *body,
				  size_t *body_len, void **request)
{
	(void)version, (void)body;
	if (!*request) {
		*request = ctx;
		return MHD_YES;
	}
	if (*body_len) {
		*body_len = 0;
		return MHD_YES;
	}
	return answer_request(ctx, connection, url, method);
}

/* The next request has its time from here. */
static void on_answered(void *ctx, struct MHD_Connection *connection, void **request,
			enum MHD_RequestTerminationCode code)
{
	struct client *client = client_of(connection);
	struct http *http = ctx;

	(void)request, (void)code;
	if (!client || client->over)
		return;
	client->since_ms = now_ms();
	TAILQ_REMOVE(&http->clients, client, link);
	TAILQ_INSERT_TAIL(&http->clients, client, link);
}

static void client_starts(struct http *http, struct MHD_Connection *connection, void **ret_client)
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
	struct http *http = ctx;
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
static void end_client(struct http *http, struct client *client)
{
	TAILQ_REMOVE(&http->clients, client, link);
	client->over = true;
	shutdown(client->fd, SHUT_RDWR);
}

static void end_slow_clients(struct http *http)
{
	struct client *client;

	while ((client = TAILQ_FIRST(&http->clients)) &&
	       now_ms() - client->since_ms >= http->limits.request_ms)
		end_client(http, client);
}

void http_end_clients(struct http *http, uint16_t port)
{
	struct client *next;

	for (struct client *client = TAILQ_FIRST(&http->clients); client; client = next) {
		next = TAILQ_NEXT(client, link);
		if (client->port == port)
			end_client(http, client);
	}
}

static void on_timer(uv_timer_t *timer);

static void schedule(struct http *http)
{
	const struct client *oldest = TAILQ_FIRST(&http->clients);
	uint64_t wait_ms = UINT64_MAX, age_ms;
	unsigned long long timeout_ms;

	if (oldest) {
		age_ms = now_ms() - oldest->since_ms;
		wait_ms = age_ms < http->limits.request_ms ? http->limits.request_ms - age_ms : 0;
	}
	if (MHD_get_timeout(http->daemon, &timeout_ms) == MHD_YES && timeout_ms < wait_ms)
		wait_ms = timeout_ms;
	if (wait_ms == UINT64_MAX)
		uv_timer_stop(&http->timer);
	else
		uv_timer_start(&http->timer, on_timer, wait_ms, 0);
}

static void run_daemon(struct http *http)
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

static void on_resume(uv_timer_t *timer);

static void on_connect(uv_poll_t *poll, int status, int events)
{
	struct listener *listener = poll->data;
	struct http *http = listener->http;

	(void)status, (void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage addr;
		socklen_t len = sizeof(addr);
		int fd = accept4(listener->fd, (struct sockaddr *)&addr, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
			uv_poll_stop(&listener->poll); /* it would be readable all the time */
			listener->paused = true;
			uv_timer_start(&http->resume, on_resume, HTTP_RETRY_MS, 0);
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

static void free_if_over(struct http *http)
{
	if (!http->closing || http->open_handles)
		return;
	free(http);
}

static void listener_closed(uv_handle_t *handle)
{
	struct listener *listener = handle->data;
	struct http *http = listener->http;

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

static bool is_one_of(const struct ip_addr *addr, const struct ip_addr *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (addr_equal(&list[i], addr))
			return true;
	return false;
}

/* Those that are kept go on, without a gap in which they refuse. */
void http_unlisten(struct http *http, uint16_t port, const struct ip_addr *keep, size_t n_keep)
{
	struct listener *listener, *next, *kept = NULL;

	HASH_FIND(hh, http->listeners, &port, sizeof(port), listener);
	if (!listener)
		return;
	HASH_DEL(http->listeners, listener);
	for (; listener; listener = next) {
		next = listener->next;
		if (is_one_of(&listener->addr, keep, n_keep)) {
			listener->next = kept;
			kept = listener;
		} else {
			close_listener(listener);
		}
	}
	if (kept)
		HASH_ADD(hh, http->listeners, port, sizeof(kept->port), kept);
}

static int add_listener(struct http *http, const struct ip_addr *addr, uint16_t port, int fd)
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

int http_listen(struct http *http, const struct ip_addr *addr, uint16_t port, struct err *err)
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

int http_listen_everywhere(struct http *http, uint16_t port, struct err *err)
{
	static const uint8_t any[16];
	const struct ip_addr any4 = addr_make(AF_INET, any), any6 = addr_make(AF_INET6, any);
	int rc = http_listen(http, &any6, port, err);

	return rc == -EAFNOSUPPORT ? http_listen(http, &any4, port, err) : rc;
}

bool http_listens(const struct http *http, const struct ip_addr *addr, uint16_t port)
{
	struct listener *listener;

	HASH_FIND(hh, http->listeners, &port, sizeof(port), listener);
	while (listener && !addr_equal(&listener->addr, addr))
		listener = listener->next;
	return listener;
}

static void resume_listeners(struct http *http)
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

static void on_resume(uv_timer_t *timer)
{
	resume_listeners(timer->data);
}

uint16_t *http_ports(const struct http *http, size_t *ret_n)
{
	uint16_t *ports = calloc(HASH_COUNT(http->listeners) + 1, sizeof(*ports));

	*ret_n = 0;
	for (struct listener *first = http->listeners; ports && first; first = first->hh.next)
		ports[(*ret_n)++] = first->port;
	return ports;
}

/* ---- replies ---- */

void http_add_header(struct http_reply *reply, const char *name, const char *fmt, ...)
{
	struct http_header *header = &reply->headers[reply->n_headers];
	va_list args;

	if (reply->n_headers == HTTP_HEADERS_MAX)
		return;
	reply->n_headers++;
	header->name = name;
	va_start(args, fmt);
	vsnprintf(header->value, sizeof(header->value), fmt, args);
	va_end(args);
}

int http_set_body(struct http_reply *reply, unsigned status, const char *type, char *body,
		  size_t len)
{
	if (!body)
		return -ENOMEM;
	reply->status = status;
	reply->body = body;
	reply->body_len = len;
	http_add_header(reply, "Content-Type", "%s", type);
	http_add_header(reply, "X-Content-Type-Options", "nosniff");
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

static int start_daemon(struct http *http, struct err *err)
{
	const union MHD_DaemonInfo *info;

	errno = 0;
	http->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, http,
		MHD_OPTION_CONNECTION_LIMIT, http->limits.connections,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, http->limits.connections_client,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, http->limits.request_bytes,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_NOTIFY_COMPLETED,
		on_answered, http, MHD_OPTION_END);
	if (!http->daemon)
		return err_set(err, errno ? -errno : -EINVAL, "an HTTP server does not start: %s",
			       strerror(errno ? errno : EINVAL));
	info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	return uv_poll_init(http->loop, &http->poll, info->epoll_fd);
}

int http_open(uv_loop_t *loop, const struct http_limits *limits, http_answer_fn answer, void *ctx,
	      struct http **ret_http, struct err *err)
{
	struct http *http = calloc(1, sizeof(*http));
	int rc;

	if (!http)
		return err_set(err, -ENOMEM, "no memory");
	http->loop = loop;
	http->limits = *limits;
	http->answer = answer;
	http->ctx = ctx;
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
	uv_timer_init(loop, &http->resume);
	http->poll.data = http->timer.data = http->resume.data = http;
	http->open_handles = 3;
	uv_poll_start(&http->poll, UV_READABLE, on_daemon);
	*ret_http = http;
	return 0;
}

static void handle_closed(uv_handle_t *handle)
{
	struct http *http = handle->data;

	http->open_handles--;
	free_if_over(http);
}

void http_close(struct http *http)
{
	struct listener *first, *next;

	if (!http)
		return;
	http->closing = true;
	HASH_ITER (hh, http->listeners, first, next)
		http_unlisten(http, first->port, NULL, 0);
	uv_close((uv_handle_t *)&http->poll, handle_closed);
	uv_close((uv_handle_t *)&http->timer, handle_closed);
	uv_close((uv_handle_t *)&http->resume, handle_closed);
	MHD_stop_daemon(http->daemon);
}
