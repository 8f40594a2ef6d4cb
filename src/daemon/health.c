/* SPDX-License-Identifier: Apache-2.0 */
/* See health.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "daemon/health.h"
#include "log.h"

#define NAME_TEXT_MAX 640 /* a name of 253, if every byte of it had to be escaped */

struct checked {
	char *key;
	int64_t created_ms;
	uint16_t port;
	size_t n_local;
	struct checked *next; /* who wants the same port, the oldest first */
	UT_hash_handle hh;
};

struct checked_port {
	uint16_t number;
	struct checked *first; /* who has it; NULL: to be closed */
	bool changed;          /* to be told: a listener has to come or go; is in the queue */
	struct checked_port *next_changed;
	bool told;   /* the listener was told to come */
	char *error; /* why nobody listens; NULL = somebody does, or will */
	UT_hash_handle hh;
};

struct health {
	health_problem_fn problem;
	void *ctx;
	struct checked *services;
	struct checked_port *ports;
	struct checked_port *changed; /* queue of those to be told */
	uint64_t working_since_ms;    /* 0 = nothing is under way */
};

struct health *health_new(health_problem_fn problem, void *ctx)
{
	struct health *health = calloc(1, sizeof(*health));

	if (health) {
		health->problem = problem;
		health->ctx = ctx;
	}
	return health;
}

static void port_drop(struct health *health, struct checked_port *port)
{
	HASH_DEL(health->ports, port);
	free(port->error);
	free(port);
}

static void service_drop(struct health *health, struct checked *svc)
{
	HASH_DEL(health->services, svc);
	free(svc->key);
	free(svc);
}

void health_free(struct health *health)
{
	struct checked *svc, *next_svc;
	struct checked_port *port, *next_port;

	if (!health)
		return;
	HASH_ITER (hh, health->services, svc, next_svc)
		service_drop(health, svc);
	HASH_ITER (hh, health->ports, port, next_port)
		port_drop(health, port);
	free(health);
}

/* ---- who has which port ---- */

static struct checked_port *port_find(const struct health *health, uint16_t number)
{
	struct checked_port *port;

	HASH_FIND(hh, health->ports, &number, sizeof(number), port);
	return port;
}

static void port_changed(struct health *health, struct checked_port *port)
{
	if (port->changed)
		return;
	port->changed = true;
	port->next_changed = health->changed;
	health->changed = port;
}

static struct checked_port *port_get(struct health *health, uint16_t number)
{
	struct checked_port *port = port_find(health, number);

	if (port)
		return port;
	port = calloc(1, sizeof(*port));
	if (!port)
		return NULL;
	port->number = number;
	HASH_ADD(hh, health->ports, number, sizeof(port->number), port);
	port_changed(health, port);
	return port;
}

static struct checked *service_get(struct health *health, const char *key)
{
	struct checked *svc;

	HASH_FIND_STR(health->services, key, svc);
	if (svc)
		return svc;
	svc = calloc(1, sizeof(*svc));
	if (!svc || !(svc->key = strdup(key))) {
		free(svc);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, health->services, svc->key, strlen(svc->key), svc);
	return svc;
}

static void tell_problem(const struct health *health, const struct checked *svc, const char *text)
{
	health->problem(health->ctx, svc->key, text);
}

/* How a Service fares that wants this port. */
static void tell_service(const struct health *health, const struct checked_port *port,
			 const struct checked *svc)
{
	char text[512];

	if (svc != port->first)
		snprintf(text, sizeof(text),
			 "waits for health check node port %u: the older Service %s has it",
			 port->number, port->first->key);
	else if (port->error)
		snprintf(text, sizeof(text),
			 "nobody answers on health check node port %u: %s; tried again",
			 port->number, port->error);
	tell_problem(health, svc, svc != port->first || port->error ? text : NULL);
}

static void tell_port(const struct health *health, const struct checked_port *port)
{
	for (const struct checked *svc = port->first; svc; svc = svc->next)
		tell_service(health, port, svc);
}

static bool is_older(const struct checked *a, const struct checked *b)
{
	if (a->created_ms != b->created_ms)
		return a->created_ms < b->created_ms;
	return strcmp(a->key, b->key) < 0;
}

static void link_service(const struct health *health, struct checked_port *port,
			 struct checked *svc)
{
	struct checked **at = &port->first;

	while (*at && is_older(*at, svc))
		at = &(*at)->next;
	svc->next = *at;
	*at = svc;
	svc->port = port->number;
	if (svc == port->first)
		tell_port(health, port);
	else
		tell_service(health, port, svc);
}

static void unlink_service(struct health *health, struct checked *svc)
{
	struct checked_port *port = port_find(health, svc->port);
	struct checked **at;
	bool first;

	if (!port)
		return;
	first = port->first == svc;
	for (at = &port->first; *at != svc;)
		at = &(*at)->next;
	*at = svc->next;
	svc->next = NULL;
	svc->port = 0;
	tell_problem(health, svc, NULL);
	if (first)
		tell_port(health, port);
	if (!port->first)
		port_changed(health, port);
}

static void forget(struct health *health, const char *key)
{
	struct checked *svc;

	HASH_FIND_STR(health->services, key, svc);
	if (!svc)
		return;
	unlink_service(health, svc);
	service_drop(health, svc);
}

int health_put(struct health *health, const char *key, int64_t created_ms, uint16_t number,
	       size_t n_local)
{
	struct checked_port *port;
	struct checked *svc;

	if (!number) {
		forget(health, key);
		return 0;
	}
	svc = service_get(health, key);
	port = port_get(health, number);
	if (!svc || !port)
		return -ENOMEM;
	svc->n_local = n_local;
	if (svc->port == number && svc->created_ms == created_ms)
		return 0;
	unlink_service(health, svc);
	svc->created_ms = created_ms;
	link_service(health, port, svc);
	return 0;
}

/* ---- listeners ---- */

bool health_next_change(struct health *health, uint16_t *ret_port, bool *ret_wanted)
{
	struct checked_port *port;

	while ((port = health->changed)) {
		bool told = port->told;

		health->changed = port->next_changed;
		port->changed = false;
		*ret_port = port->number;
		*ret_wanted = port->told = port->first != NULL;
		if (!port->first)
			port_drop(health, port);
		if (told != *ret_wanted) /* else it went and came while nobody looked */
			return true;
	}
	return false;
}

void health_listened(struct health *health, uint16_t number, const char *error)
{
	struct checked_port *port = port_find(health, number);

	if (!port)
		return;
	free(port->error);
	port->error = error ? strdup(error) : NULL;
	tell_port(health, port);
}

size_t health_retry(struct health *health)
{
	struct checked_port *port, *next;
	size_t n = 0;

	HASH_ITER (hh, health->ports, port, next) {
		if (!port->error)
			continue;
		port->told = false;
		port_changed(health, port);
		n++;
	}
	return n;
}

/* ---- answers ---- */

void health_work_begins(struct health *health, uint64_t now_ms)
{
	if (!health->working_since_ms)
		health->working_since_ms = now_ms;
}

void health_work_goes_on(struct health *health, uint64_t now_ms)
{
	if (health->working_since_ms)
		health->working_since_ms = now_ms;
}

void health_work_done(struct health *health)
{
	health->working_since_ms = 0;
}

bool health_is_good(const struct health *health, uint64_t now_ms)
{
	return !health->working_since_ms || now_ms - health->working_since_ms < HEALTH_PATIENCE_MS;
}

/* As kube-proxy words it, to the byte. */
static int word_body(const struct checked *svc, bool good, struct health_answer *answer)
{
	char ns[NAME_TEXT_MAX], name[NAME_TEXT_MAX];
	cleanup_free char *key = strdup(svc->key);
	char *slash = key ? strchr(key, '/') : NULL;
	int len;

	if (!slash)
		return -ENOMEM;
	*slash = '\0';
	len = asprintf(&answer->body,
		       "{\n"
		       "\t\"service\": {\n"
		       "\t\t\"namespace\": %s,\n"
		       "\t\t\"name\": %s\n"
		       "\t},\n"
		       "\t\"localEndpoints\": %zu,\n"
		       "\t\"serviceProxyHealthy\": %s\n"
		       "}",
		       log_quote(key, ns, sizeof(ns)), log_quote(slash + 1, name, sizeof(name)),
		       svc->n_local, good ? "true" : "false");
	if (len < 0)
		return -ENOMEM;
	answer->body_len = (size_t)len;
	return 0;
}

int health_answer(const struct health *health, uint16_t number, uint64_t now_ms,
		  struct health_answer *ret_answer)
{
	const struct checked_port *port = port_find(health, number);
	const struct checked *svc = port ? port->first : NULL;
	bool good = health_is_good(health, now_ms);

	*ret_answer = (struct health_answer){.status = 404};
	if (!svc) {
		ret_answer->body = strdup("");
		return ret_answer->body ? 0 : -ENOMEM;
	}
	ret_answer->n_local = svc->n_local;
	ret_answer->status = svc->n_local && good ? 200 : 503;
	return word_body(svc, good, ret_answer);
}
