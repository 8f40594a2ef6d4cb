/* SPDX-License-Identifier: Apache-2.0 */
/* See policy.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <linux/ip_vs.h>

#include "model/policy.h"
#include "util.h"

static const char *const schedulers[] = {"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh",
					 "dh", "sed", "nq", "mh",  "fo",   "ovf",   "twos"};

static void note(struct svc_policy *policy, const char *fmt, ...) PRINTF(2, 3);
static void note(struct svc_policy *policy, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)util_add_note(&policy->notes, fmt, args);
	va_end(args);
}

/* The first of two names that is there; *ret_name tells which. */
static const char *either(const struct service *svc, const char *ours, const char *theirs,
			  const char **ret_name)
{
	const char *value = obj_annotation(&svc->meta, ours);

	*ret_name = ours;
	if (!value && theirs) {
		value = obj_annotation(&svc->meta, theirs);
		*ret_name = theirs;
	}
	return value && *value ? value : NULL;
}

static void read_scheduler(const struct service *svc, struct svc_policy *policy)
{
	const char *which, *name = either(svc, ANN_SCHEDULER, ANN_SCHEDULER_KR, &which);

	if (!name)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(schedulers); i++) {
		if (strcmp(schedulers[i], name) != 0)
			continue;
		snprintf(policy->lb.scheduler, sizeof(policy->lb.scheduler), "%s", name);
		return;
	}
	note(policy,
	     "annotation %s: \"%.32s\" is no scheduler (rr wrr lc wlc lblc lblcr sh dh sed nq mh "
	     "fo "
	     "ovf twos); the node's default is used",
	     which, name);
}

static void read_flag(const char *which, const char *word, struct svc_policy *policy)
{
	static const struct {
		const char *name, *scheduler;
		uint32_t bit;
	} flags[] = {
		{"sh-fallback", "sh", IP_VS_SVC_F_SCHED_SH_FALLBACK},
		{"sh-port", "sh", IP_VS_SVC_F_SCHED_SH_PORT},
		{"mh-fallback", "mh", IP_VS_SVC_F_SCHED1},
		{"mh-port", "mh", IP_VS_SVC_F_SCHED2},
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (strcmp(flags[i].name, word) != 0)
			continue;
		if (strcmp(flags[i].scheduler, policy->lb.scheduler) == 0)
			policy->lb.sched_flags |= flags[i].bit;
		else
			note(policy, "annotation %s: %s is for scheduler %s, left out", which, word,
			     flags[i].scheduler);
		return;
	}
	note(policy,
	     "annotation %s: \"%.32s\" is no flag (sh-fallback sh-port mh-fallback mh-port), left "
	     "out",
	     which, word);
}

static int read_flags(const struct service *svc, struct svc_policy *policy)
{
	const char *which, *text = either(svc, ANN_SCHED_FLAGS, ANN_SCHED_FLAGS_KR, &which);
	cleanup_free char *copy = NULL;
	char *place = NULL;

	if (!text)
		return 0;
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	for (char *word = strtok_r(copy, ", ", &place); word; word = strtok_r(NULL, ", ", &place))
		read_flag(which, word, policy);
	return 0;
}

/* A whole number of at most `max`; false with a note. */
static bool read_number(const struct service *svc, const char *name, uint32_t max,
			struct svc_policy *policy, uint32_t *ret_number)
{
	const char *text = obj_annotation(&svc->meta, name);
	unsigned long number;
	char *end;

	if (!text)
		return false;
	number = strtoul(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && number <= max) {
		*ret_number = (uint32_t)number;
		return true;
	}
	note(policy, "annotation %s: must be a number from 0 to %u, is \"%.32s\"; left out", name,
	     max, text);
	return false;
}

static void read_thresholds(const struct service *svc, struct svc_policy *policy)
{
	struct lb_policy *lb = &policy->lb;

	read_number(svc, ANN_CONNS_MAX, INT32_MAX, policy, &lb->conns_max);
	read_number(svc, ANN_CONNS_MIN, INT32_MAX, policy, &lb->conns_min);
	if (lb->conns_min > lb->conns_max) {
		note(policy, "annotation " ANN_CONNS_MIN ": is more than " ANN_CONNS_MAX
			     "; both are left out");
		lb->conns_min = lb->conns_max = 0;
	}
}

static bool read_bool(const struct service *svc, const char *name, struct svc_policy *policy)
{
	const char *text = obj_annotation(&svc->meta, name);

	if (text && strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		note(policy, "annotation %s: must be \"true\" or \"false\", is \"%.32s\"; left out",
		     name, text);
	return text && strcmp(text, "true") == 0;
}

static void read_one_packet(const struct service *svc, struct svc_policy *policy)
{
	bool udp = false;

	if (!read_bool(svc, ANN_ONE_PACKET, policy))
		return;
	for (size_t i = 0; i < svc->n_ports; i++)
		udp |= svc->ports[i].proto == IPPROTO_UDP;
	if (!udp)
		note(policy, "annotation " ANN_ONE_PACKET ": the Service has no UDP port");
	policy->lb.one_packet = udp;
}

/* "ipip", "gre", "gue:6080" */
static void read_tunnel(const char *which, const char *text, struct svc_policy *policy)
{
	static const char *const types[] = {
		[TUNNEL_IPIP] = "ipip", [TUNNEL_GUE] = "gue", [TUNNEL_GRE] = "gre"};
	const char *colon = strchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);
	unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		bool gue = i == TUNNEL_GUE;

		if (strlen(types[i]) != len || strncmp(types[i], text, len) != 0 ||
		    gue != (colon != NULL) || (gue && (!port || port > UINT16_MAX)))
			continue;
		policy->lb.forwarding = FORWARD_TUNNEL;
		policy->lb.tunnel_type = (uint8_t)i;
		policy->lb.tunnel_port = (uint16_t)port;
		return;
	}
	note(policy,
	     "annotation %s: \"%.32s\" is no tunnel (ipip, gre, gue:PORT); the Service is "
	     "masqueraded",
	     which, text);
}

static void read_forwarding(const struct service *svc, struct svc_policy *policy)
{
	const char *which, *text = either(svc, ANN_FORWARDING, ANN_DSR_KR, &which);
	const char *tunnel = obj_annotation(&svc->meta, ANN_TUNNEL);

	if (!text || strcmp(text, "masquerade") == 0)
		return;
	if (strcmp(text, "direct") == 0)
		policy->lb.forwarding = FORWARD_DIRECT;
	else if (strcmp(text, "tunnel") == 0)
		read_tunnel(ANN_TUNNEL, tunnel ? tunnel : "ipip", policy);
	else
		note(policy,
		     "annotation %s: must be masquerade, direct or tunnel, is \"%.32s\"; the "
		     "Service is "
		     "masqueraded",
		     which, text);
}

/* rr knows weight 0 alone: who asks for weights of whatever kind wants them to count. */
static void weights_count(struct svc_policy *policy)
{
	if (!policy->lb.scheduler[0])
		strcpy(policy->lb.scheduler, "wrr");
}

/* "30s", "2m" */
static void read_slow_start(const struct service *svc, struct svc_policy *policy)
{
	const char *text = obj_annotation(&svc->meta, ANN_SLOW_START);
	unsigned long number;
	char *end;

	if (!text)
		return;
	number = strtoul(text, &end, 10);
	if (*text >= '0' && *text <= '9' && number <= 3600 &&
	    (strcmp(end, "s") == 0 || strcmp(end, "m") == 0)) {
		policy->lb.slow_start_sec = (uint32_t)(*end == 'm' ? number * 60 : number);
		policy->weight_unit = policy->lb.slow_start_sec ? POLICY_SLOW_UNIT : 1;
		weights_count(policy);
		return;
	}
	note(policy,
	     "annotation " ANN_SLOW_START ": must be a time like 30s or 2m, is \"%.32s\"; left "
	     "out",
	     text);
}

static int add_weight(struct svc_policy *policy, const char *name, uint32_t weight)
{
	struct policy_weight *grown =
		reallocarray(policy->weights, policy->n_weights + 1, sizeof(*grown));
	struct policy_weight *item;

	if (!grown)
		return -ENOMEM;
	policy->weights = grown;
	item = &grown[policy->n_weights];
	*item = (struct policy_weight){.weight = weight};
	if (addr_parse(name, &item->addr) < 0 && !(item->node = strdup(name)))
		return -ENOMEM;
	policy->n_weights++;
	return 0;
}

static bool parse_weight(const char *text, uint32_t *ret_weight)
{
	char *end;
	unsigned long weight = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || weight > 65535)
		return false;
	*ret_weight = (uint32_t)weight;
	return true;
}

/* "10.244.1.2=3, node-b=0" */
static int read_weights(const struct service *svc, struct svc_policy *policy)
{
	const char *text = obj_annotation(&svc->meta, ANN_WEIGHTS);
	cleanup_free char *copy = text ? strdup(text) : NULL;
	char *place = NULL;
	int rc = text && !copy ? -ENOMEM : 0;

	for (char *word = copy ? strtok_r(copy, ", ", &place) : NULL; word && rc == 0;
	     word = strtok_r(NULL, ", ", &place)) {
		char *equals = strchr(word, '=');
		uint32_t weight;

		if (policy->n_weights == POLICY_WEIGHTS_MAX) {
			note(policy, "annotation " ANN_WEIGHTS ": has more than %d entries",
			     POLICY_WEIGHTS_MAX);
			break;
		}
		if (!equals || equals == word || !parse_weight(equals + 1, &weight)) {
			note(policy,
			     "annotation " ANN_WEIGHTS
			     ": must be ADDRESS=N or NODE=N with N from 0 to 65535, has \"%.40s\"",
			     word);
			continue;
		}
		*equals = '\0';
		rc = add_weight(policy, word, weight);
	}
	if (policy->n_weights)
		weights_count(policy);
	return rc;
}

int policy_read(const struct service *svc, struct svc_policy *ret_policy)
{
	int rc;

	memset(ret_policy, 0, sizeof(*ret_policy));
	ret_policy->weight_unit = 1;
	if (!svc->meta.n_annotations)
		return 0;
	read_scheduler(svc, ret_policy);
	rc = read_flags(svc, ret_policy);
	if (rc == 0)
		rc = read_weights(svc, ret_policy);
	read_thresholds(svc, ret_policy);
	read_slow_start(svc, ret_policy);
	read_one_packet(svc, ret_policy);
	read_forwarding(svc, ret_policy);
	if (rc < 0)
		policy_done(ret_policy);
	return rc;
}

void policy_done(struct svc_policy *policy)
{
	for (size_t i = 0; i < policy->n_weights; i++)
		free(policy->weights[i].node);
	free(policy->weights);
	free(policy->notes);
	*policy = (struct svc_policy){0};
}

static uint32_t share_of(const struct svc_policy *policy, const struct ip_addr *addr,
			 const char *node, const char *own)
{
	uint32_t weight = 1;

	for (size_t i = 0; i < policy->n_weights; i++) {
		const struct policy_weight *item = &policy->weights[i];

		if (addr_is_set(&item->addr) && addr_equal(&item->addr, addr))
			return item->weight;
		if (item->node && node && strcmp(item->node, node) == 0)
			weight = item->weight;
	}
	if (own)
		parse_weight(own, &weight);
	return weight;
}

uint32_t policy_weight(const struct svc_policy *policy, const struct ip_addr *addr,
		       const char *node, const char *own)
{
	uint32_t weight = share_of(policy, addr, node, own) * policy->weight_unit;

	return weight > UINT16_MAX ? UINT16_MAX : weight;
}

const char *policy_fallback(const struct service *svc, char *buf, size_t size)
{
	const char *name = obj_annotation(&svc->meta, ANN_FALLBACK);

	if (!name || !*name)
		return NULL;
	if (strchr(name, '/'))
		snprintf(buf, size, "%s", name);
	else
		snprintf(buf, size, "%s/%s", svc->meta.ns, name);
	return buf;
}
