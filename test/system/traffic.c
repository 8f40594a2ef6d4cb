/* SPDX-License-Identifier: Apache-2.0 */
/* Traffic for the system tests: servers in many network namespaces, load, numbered datagrams.
 *
 *   traffic serve --ports=P,P... HOST... [HOST:PORT ...]   answers "HOST CLIENT\n" to every request
 *   traffic load HOST ADDR PORT RATE KEPT SECONDS          new connections beside kept ones
 *   traffic refused HOST ADDR PORT RATE SECONDS LIMIT_MS   connections that are to be refused in
 * time traffic pace HOST ADDR PORT RATE SECONDS               numbered UDP datagrams, echoed
 *
 * HOST is a namespace of `ip netns`; "node" is the one it runs in. One thread, one epoll: the guest
 * has one CPU and system calls are slow there. `serve` ends with its stdin; the others print one
 * JSON object. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX   2048
#define DEADLINE_US   5000000
#define KEPT_PAUSE_US 200000
#define HOSTS_MAX     64

static int epoll_fd;

static void die(const char *what)
{
	fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* A socket stays in the namespace it was made in, so going there once is enough. */
static void enter(const char *host)
{
	static int home = -1;
	char path[128];
	int fd;

	if (home < 0)
		home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/run/netns/%s", host);
	fd = strcmp(host, "node") == 0 ? home : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		die(host);
	if (fd != home)
		close(fd);
}

/* What waits while this process does not run is not lost. */
static void grow_buffer(int fd)
{
	int size = 8 << 20;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
}

struct address {
	struct sockaddr_storage ss;
	socklen_t len;
};

static struct address make_address(const char *text, int port)
{
	struct address a = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a.ss;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a.ss;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		a.len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		a.len = sizeof(*v6);
	} else {
		errno = EINVAL;
		die(text);
	}
	return a;
}

/* ---- serve ---- */

enum kind { LISTENER, DATAGRAMS, STREAM, CONTROL };

struct served {
	enum kind kind;
	int fd;
	const char *host;
	char peer[INET6_ADDRSTRLEN];
};

static void watch(struct served *served, enum kind kind, int fd, const char *host)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = served};

	served->kind = kind;
	served->fd = fd;
	served->host = host;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll");
}

static void listen_on(const char *host, const char *text, int port, int type, int proto)
{
	struct address a = make_address(text, port);
	int fd = socket(a.ss.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, proto), one = 1;
	struct served *served;

	if (fd < 0 && errno == EPROTONOSUPPORT && proto == IPPROTO_SCTP)
		return; /* this kernel has none; who asks for it will see */
	served = calloc(1, sizeof(*served));
	if (!served || fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a.ss.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a.ss, a.len) < 0)
		die("bind");
	if (type == SOCK_DGRAM)
		grow_buffer(fd);
	if (type == SOCK_STREAM && listen(fd, 1024) < 0)
		die("listen");
	watch(served, type == SOCK_STREAM ? LISTENER : DATAGRAMS, fd, host);
}

static void print_peer(const struct sockaddr_storage *ss, char text[INET6_ADDRSTRLEN])
{
	const void *bytes = ss->ss_family == AF_INET
				    ? (const void *)&((const struct sockaddr_in *)ss)->sin_addr
				    : (const void *)&((const struct sockaddr_in6 *)ss)->sin6_addr;

	inet_ntop(ss->ss_family, bytes, text, INET6_ADDRSTRLEN);
}

static void accept_all(const struct served *listener)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int fd;

	while ((fd = accept4(listener->fd, (struct sockaddr *)&peer, &len,
			     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct served *stream = calloc(1, sizeof(*stream));

		if (!stream)
			die("memory");
		print_peer(&peer, stream->peer);
		watch(stream, STREAM, fd, listener->host);
		len = sizeof(peer);
	}
}

static void answer_stream(struct served *stream)
{
	char request[REQUEST_MAX], answer[128];
	ssize_t n = read(stream->fd, request, sizeof(request));

	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0) {
		int len = snprintf(answer, sizeof(answer), "%s %s\n", stream->host, stream->peer);

		if (send(stream->fd, answer, (size_t)len, MSG_NOSIGNAL) == len)
			return;
	}
	close(stream->fd);
	free(stream);
}

/* A numbered datagram ("#...") is echoed as it is, any other is answered like a stream's request.
 */
static void answer_datagrams(const struct served *served)
{
	struct sockaddr_storage peer;
	char request[REQUEST_MAX], text[INET6_ADDRSTRLEN], answer[128];
	socklen_t len = sizeof(peer);
	ssize_t n;

	while ((n = recvfrom(served->fd, request, sizeof(request), 0, (struct sockaddr *)&peer,
			     &len)) >= 0) {
		if (n == 0 || request[0] != '#') {
			print_peer(&peer, text);
			n = snprintf(answer, sizeof(answer), "%s %s\n", served->host, text);
			memcpy(request, answer, (size_t)n);
		}
		sendto(served->fd, request, (size_t)n, 0, (struct sockaddr *)&peer, len);
		len = sizeof(peer);
	}
}

static void serve_host(const char *host, const int *ports, size_t n_ports, bool all_protocols)
{
	static const char *const any[] = {"0.0.0.0", "::"};

	enter(host);
	for (size_t p = 0; p < n_ports; p++) {
		for (size_t a = 0; a < 2; a++) {
			listen_on(host, any[a], ports[p], SOCK_STREAM, IPPROTO_TCP);
			listen_on(host, any[a], ports[p], SOCK_DGRAM, IPPROTO_UDP);
			if (all_protocols)
				listen_on(host, any[a], ports[p], SOCK_STREAM, IPPROTO_SCTP);
		}
	}
	enter("node");
}

static size_t parse_ports(char *text, int *ports, size_t max)
{
	size_t n = 0;

	for (char *item = strtok(text, ","); item && n < max; item = strtok(NULL, ","))
		ports[n++] = atoi(item);
	return n;
}

static int serve(int argc, char **argv)
{
	static struct served control;
	int ports[16];
	size_t n_ports = 0;

	for (int i = 0; i < argc; i++) {
		char *colon = strchr(argv[i], ':');

		if (strncmp(argv[i], "--ports=", 8) == 0) {
			n_ports = parse_ports(argv[i] + 8, ports, 16);
		} else if (colon) {
			int port = atoi(colon + 1);

			*colon = '\0';
			serve_host(argv[i], &port, 1, false);
		} else {
			serve_host(argv[i], ports, n_ports, true);
		}
	}
	watch(&control, CONTROL, STDIN_FILENO, NULL);
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct epoll_event events[64];
		int n = epoll_wait(epoll_fd, events, 64, -1);

		for (int i = 0; i < n; i++) {
			struct served *served = events[i].data.ptr;

			if (served->kind == CONTROL)
				return 0;
			if (served->kind == LISTENER)
				accept_all(served);
			else if (served->kind == STREAM)
				answer_stream(served);
			else
				answer_datagrams(served);
		}
	}
}

/* ---- load ---- */

enum flow_state { CONNECTING, ASKED, IDLE };

struct flow {
	enum flow_state state;
	bool kept;
	int fd;
	uint64_t deadline_us, next_us;
	char host[128]; /* who answered first */
	struct flow *next;
};

struct tally {
	char host[HOSTS_MAX][32];
	unsigned long n[HOSTS_MAX];
	size_t hosts;
};

struct load {
	struct address to;
	unsigned long started, answered, refused, reset, late, other, kept_broken, kept_moved,
		requests;
	struct tally answers, broken, kept;
	struct flow *flows;
	bool ending;
};

static void count(struct tally *tally, const char *host)
{
	size_t i = 0;

	while (i < tally->hosts && strcmp(tally->host[i], host) != 0)
		i++;
	if (i == HOSTS_MAX)
		return;
	if (i == tally->hosts)
		snprintf(tally->host[tally->hosts++], sizeof(tally->host[0]), "%s", host);
	tally->n[i]++;
}

static void start_flow(struct load *load, bool kept)
{
	struct flow *flow = calloc(1, sizeof(*flow));
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = flow};

	if (!flow)
		die("memory");
	flow->kept = kept;
	flow->fd = socket(load->to.ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (flow->fd < 0)
		die("socket");
	flow->deadline_us = now_us() + DEADLINE_US;
	load->started += !kept;
	if (connect(flow->fd, (struct sockaddr *)&load->to.ss, load->to.len) < 0 &&
	    errno != EINPROGRESS)
		event.events = EPOLLOUT; /* the error is found by the first send */
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, flow->fd, &event) < 0)
		die("epoll");
	flow->next = load->flows;
	load->flows = flow;
}

static void end_flow(struct flow *flow)
{
	close(flow->fd);
	flow->fd = -1; /* swept out of the list later */
}

static void fail_flow(struct load *load, struct flow *flow, int error)
{
	if (flow->kept) {
		load->kept_broken++;
		count(&load->broken, flow->host[0] ? flow->host : "unconnected");
	} else if (error == ECONNREFUSED) {
		load->refused++;
	} else if (error == ECONNRESET) {
		load->reset++;
	} else if (error == ETIMEDOUT) {
		load->late++;
	} else {
		load->other++;
	}
	end_flow(flow);
}

static void ask(struct load *load, struct flow *flow)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = flow};

	if (send(flow->fd, "who\n", 4, MSG_NOSIGNAL) != 4) {
		fail_flow(load, flow, errno);
		return;
	}
	flow->state = ASKED;
	flow->deadline_us = now_us() + DEADLINE_US;
	load->requests++;
	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, flow->fd, &event);
}

static void take_answer(struct load *load, struct flow *flow)
{
	char answer[128];
	ssize_t n = recv(flow->fd, answer, sizeof(answer) - 1, 0);

	if (n <= 0) {
		fail_flow(load, flow, n ? errno : ECONNRESET);
		return;
	}
	answer[n] = '\0';
	answer[strcspn(answer, " \n")] = '\0';
	if (!flow->kept) {
		load->answered++;
		count(&load->answers, answer);
		end_flow(flow);
		return;
	}
	if (!flow->host[0])
		count(&load->kept, answer);
	else
		load->kept_moved += strcmp(flow->host, answer) != 0;
	snprintf(flow->host, sizeof(flow->host), "%s", answer);
	flow->state = IDLE;
	flow->next_us = now_us() + KEPT_PAUSE_US;
}

/* Flows whose time has come: late ones fail, idle kept ones ask again, ended ones are swept out. */
static size_t sweep(struct load *load, uint64_t now)
{
	size_t left = 0;

	for (struct flow **at = &load->flows; *at;) {
		struct flow *flow = *at;

		if (flow->fd >= 0 && flow->state == IDLE && load->ending)
			end_flow(flow);
		else if (flow->fd >= 0 && flow->state == IDLE && now >= flow->next_us)
			ask(load, flow);
		else if (flow->fd >= 0 && flow->state != IDLE && now > flow->deadline_us)
			fail_flow(load, flow, ETIMEDOUT);
		if (flow->fd < 0) {
			*at = flow->next;
			free(flow);
			continue;
		}
		left++;
		at = &flow->next;
	}
	return left;
}

static void handle(struct load *load, struct flow *flow)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (flow->fd < 0)
		return;
	getsockopt(flow->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error)
		fail_flow(load, flow, error);
	else if (flow->state == CONNECTING)
		ask(load, flow);
	else
		take_answer(load, flow);
}

static void print_tally(const char *name, const struct tally *tally)
{
	printf("\"%s\": {", name);
	for (size_t i = 0; i < tally->hosts; i++)
		printf("%s\"%s\": %lu", i ? ", " : "", tally->host[i], tally->n[i]);
	printf("}");
}

static int run_load(int argc, char **argv)
{
	static struct load load;
	unsigned long rate, kept;
	uint64_t start, swept = 0;
	double seconds;

	if (argc != 6)
		return 2;
	load.to = make_address(argv[1], atoi(argv[2]));
	rate = strtoul(argv[3], NULL, 10);
	kept = strtoul(argv[4], NULL, 10);
	seconds = strtod(argv[5], NULL);
	enter(argv[0]);
	for (unsigned long i = 0; i < kept; i++)
		start_flow(&load, true);
	start = now_us();
	for (;;) {
		struct epoll_event events[128];
		uint64_t now = now_us();
		unsigned long due = (unsigned long)((double)(now - start) / 1e6 * (double)rate);
		int n;

		load.ending = (double)(now - start) / 1e6 >= seconds;
		for (unsigned i = 0; i < 32 && !load.ending && load.started < due; i++)
			start_flow(&load, false);
		if (now - swept > 10000) {
			swept = now;
			if (!sweep(&load, now) && load.ending)
				break;
		}
		n = epoll_wait(epoll_fd, events, 128, 2);
		for (int i = 0; i < n; i++)
			handle(&load, events[i].data.ptr);
	}
	printf("{\"started\": %lu, \"answered\": %lu, \"refused\": %lu, \"reset\": %lu, "
	       "\"late\": %lu, \"other\": %lu, \"kept\": %lu, \"kept_broken\": %lu, "
	       "\"kept_moved\": %lu, \"requests\": %lu, ",
	       load.started, load.answered, load.refused, load.reset, load.late, load.other, kept,
	       load.kept_broken, load.kept_moved, load.requests);
	print_tally("answers", &load.answers);
	printf(", ");
	print_tally("kept_on", &load.kept);
	printf(", ");
	print_tally("broken_on", &load.broken);
	printf("}\n");
	return 0;
}

/* ---- refused ---- */

/* Time in which this program waited for its turn is nobody's answer being late: it is summed up and
 * taken off. A SYN that nobody answered is sent again after a second, and that shows. */
#define TURN_US 3000 /* the longest that one turn of the loop may take by itself */

struct attempt {
	int fd;
	uint64_t start_us, stalled_us;
};

struct refusals {
	struct address to;
	unsigned long started, refused, in_time, other, open;
	uint64_t limit_us, slowest_us, turn_us, stalled_us;
};

static void note_turn(struct refusals *all)
{
	uint64_t now = now_us();

	if (all->turn_us && now - all->turn_us > TURN_US)
		all->stalled_us += now - all->turn_us - TURN_US;
	all->turn_us = now;
}

static void end_attempt(struct refusals *all, struct attempt *attempt, int error)
{
	uint64_t took, stalled;

	note_turn(all);
	took = all->turn_us - attempt->start_us;
	stalled = all->stalled_us - attempt->stalled_us;
	took -= stalled < took ? stalled : took;
	if (error == ECONNREFUSED) {
		all->refused++;
		all->in_time += took <= all->limit_us;
		if (took > all->slowest_us)
			all->slowest_us = took;
	} else {
		all->other++;
	}
	all->open--;
	close(attempt->fd);
	free(attempt);
}

static void start_attempt(struct refusals *all)
{
	struct attempt *attempt = calloc(1, sizeof(*attempt));
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = attempt};

	if (!attempt)
		die("memory");
	attempt->fd = socket(all->to.ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (attempt->fd < 0)
		die("socket");
	note_turn(all);
	attempt->start_us = all->turn_us;
	attempt->stalled_us = all->stalled_us;
	all->started++;
	all->open++;
	if (connect(attempt->fd, (struct sockaddr *)&all->to.ss, all->to.len) < 0 &&
	    errno != EINPROGRESS)
		end_attempt(all, attempt, errno);
	else if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, attempt->fd, &event) < 0)
		die("epoll");
}

static void take_refusals(struct refusals *all)
{
	struct epoll_event events[64];
	int n = epoll_wait(epoll_fd, events, 64, 1);

	for (int i = 0; i < n; i++) {
		struct attempt *attempt = events[i].data.ptr;
		int error = 0;
		socklen_t len = sizeof(error);

		getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		end_attempt(all, attempt, error);
	}
}

static int run_refused(int argc, char **argv)
{
	static struct refusals all;
	uint64_t start;
	double rate, seconds;

	if (argc != 6)
		return 2;
	all.to = make_address(argv[1], atoi(argv[2]));
	rate = strtod(argv[3], NULL);
	seconds = strtod(argv[4], NULL);
	all.limit_us = strtoul(argv[5], NULL, 10) * 1000;
	enter(argv[0]);
	start = now_us();
	for (;;) {
		double run = (double)(now_us() - start) / 1e6;

		note_turn(&all);
		if (run < seconds && (double)all.started < run * rate)
			start_attempt(&all);
		if (run >= seconds + 5 || (run >= seconds && !all.open))
			break;
		take_refusals(&all);
	}
	printf("{\"started\": %lu, \"refused\": %lu, \"in_time\": %lu, \"other\": %lu, "
	       "\"unanswered\": %lu, \"slowest_ms\": %.1f, \"stalled_ms\": %.1f}\n",
	       all.started, all.refused, all.in_time, all.other, all.open,
	       (double)all.slowest_us / 1000, (double)all.stalled_us / 1000);
	return 0;
}

/* ---- pace ---- */

/* Datagrams numbered from 0, one socket. What does not come back is a gap; also told: the longest
 * time without an answer. */
/* Becomes readable on SIGTERM, which ends the sending before its time. */
static int open_stop(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int run_pace(int argc, char **argv)
{
	struct address to;
	unsigned long rate, sent = 0, got = 0, total, longest_us = 0, errors = 0;
	uint64_t start, last_answer;
	unsigned char *seen;
	char text[64];
	struct signalfd_siginfo stop;
	int fd, stop_fd;

	if (argc != 5)
		return 2;
	stop_fd = open_stop();
	to = make_address(argv[1], atoi(argv[2]));
	rate = strtoul(argv[3], NULL, 10);
	total = (unsigned long)(strtod(argv[4], NULL) * (double)rate);
	seen = calloc(total + 1, 1);
	enter(argv[0]);
	fd = socket(to.ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (!seen || fd < 0 || connect(fd, (struct sockaddr *)&to.ss, to.len) < 0)
		die("pace");
	grow_buffer(fd);
	start = last_answer = now_us();
	for (;;) {
		uint64_t now = now_us();
		unsigned long due = (unsigned long)((double)(now - start) / 1e6 * (double)rate);
		ssize_t n;

		if (read(stop_fd, &stop, sizeof(stop)) > 0)
			total = sent;
		if (sent < total && sent < due) {
			n = snprintf(text, sizeof(text), "#%lu", sent++);
			errors += send(fd, text, (size_t)n, 0) < 0;
		} else if (sent == total && (got == total || now - last_answer > 1000000)) {
			break;
		} else {
			usleep(200);
		}
		while ((n = recv(fd, text, sizeof(text) - 1, 0)) > 0) {
			unsigned long number;

			text[n] = '\0';
			number = strtoul(text + 1, NULL, 10);
			if (number < sent && !seen[number]) {
				seen[number] = 1;
				got++;
			}
			now = now_us();
			if (now - last_answer > longest_us)
				longest_us = now - last_answer;
			last_answer = now;
		}
		errors += n < 0 && errno != EAGAIN;
	}
	printf("{\"sent\": %lu, \"answered\": %lu, \"gaps\": %lu, \"errors\": %lu, "
	       "\"longest_silence_ms\": %.1f}\n",
	       sent, got, total - got, errors, (double)longest_us / 1000);
	free(seen);
	return 0;
}

int main(int argc, char **argv)
{
	int rc = 2;

	signal(SIGPIPE, SIG_IGN);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		die("epoll");
	if (argc > 1 && strcmp(argv[1], "serve") == 0)
		rc = serve(argc - 2, argv + 2);
	else if (argc > 1 && strcmp(argv[1], "load") == 0)
		rc = run_load(argc - 2, argv + 2);
	else if (argc > 1 && strcmp(argv[1], "refused") == 0)
		rc = run_refused(argc - 2, argv + 2);
	else if (argc > 1 && strcmp(argv[1], "pace") == 0)
		rc = run_pace(argc - 2, argv + 2);
	if (rc == 2)
		fputs("usage: traffic serve|load|refused|pace ... (see the head of traffic.c)\n",
		      stderr);
	return rc;
}
