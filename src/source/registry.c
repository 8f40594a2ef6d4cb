/* SPDX-License-Identifier: Apache-2.0 */
/* See registry.h. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "log.h"
#include "source/nodeports.h"
#include "source/registry.h"

#define STATE_BYTES_MAX (64 << 20) /* half a million Services */
#define KEY_MAX         330        /* "namespace/name" with NUL */
#define PROBES_MAX      1000000 /* a range with more taken than that in a row is as good as full */

struct reg_entry {
	char *key; /* namespace/name */
	int64_t created_ms;
	struct ip_addr ips[2]; /* allocated by us, or the Service's own */
	bool own;              /* the Service names them itself */
	struct nodeports_held node_ports;
	bool seen;
	UT_hash_handle hh;
};

struct reg_addr {
	struct ip_addr addr;
	size_t holders;
	UT_hash_handle hh;
};

struct registry {
	char *path;
	bool read_only, dirty;
	struct ip_prefix ranges[2];
	struct reg_entry *entries;
	struct reg_addr *taken;
	struct nodeports *node_ports;
};

/* ---- addresses ---- */

static struct reg_addr *taken_find(const struct registry *registry, const struct ip_addr *addr)
{
	struct reg_addr *taken;

	HASH_FIND(hh, registry->taken, addr, sizeof(*addr), taken);
	return taken;
}

static bool is_taken(const struct registry *registry, const struct ip_addr *addr)
{
	return taken_find(registry, addr) != NULL;
}

static int hold(struct registry *registry, const struct ip_addr *addr)
{
	struct reg_addr *taken;

	if (!addr_is_set(addr))
		return 0;
	taken = taken_find(registry, addr);
	if (!taken) {
		taken = calloc(1, sizeof(*taken));
		if (!taken)
			return -ENOMEM;
		taken->addr = *addr;
		HASH_ADD(hh, registry->taken, addr, sizeof(taken->addr), taken);
	}
	taken->holders++;
	return 0;
}

static void release(struct registry *registry, const struct ip_addr *addr)
{
	struct reg_addr *taken;

	if (!addr_is_set(addr))
		return;
	taken = taken_find(registry, addr);
	if (taken && --taken->holders == 0) {
		HASH_DEL(registry->taken, taken);
		free(taken);
	}
}

/* How many addresses a range has, cut to 2^32: more are never needed. */
static uint64_t range_size(const struct ip_prefix *range)
{
	unsigned bits = 8 * addr_len(&range->addr) - range->len;

	return bits >= 32 ? UINT64_C(1) << 32 : UINT64_C(1) << bits;
}

static struct ip_addr range_addr(const struct ip_prefix *range, uint64_t offset)
{
	struct ip_addr addr = range->addr;

	for (int i = (int)addr_len(&addr) - 1; i >= 0 && offset; i--, offset >>= 8)
		addr.bytes[i] |= (uint8_t)offset;
	return addr;
}

/* The network's own address is no host's, and in IPv4 the last is the broadcast. */
static bool is_host(const struct ip_prefix *range, uint64_t offset)
{
	return offset != 0 && (range->addr.family != AF_INET || offset != range_size(range) - 1);
}

/* Names that clusters give fixed places: the first address and the tenth. */
static uint64_t first_choice(const char *key, uint64_t size)
{
	if (strcmp(key, "default/kubernetes") == 0)
		return 1;
	if (strcmp(key, "kube-system/kube-dns") == 0 && size > 11)
		return 10;
	return util_hash(UTIL_HASH_SEED, key, strlen(key)) % size;
}

static bool is_fixed_place(const char *key, uint64_t offset)
{
	return (offset == 1 && strcmp(key, "default/kubernetes") != 0) ||
	       (offset == 10 && strcmp(key, "kube-system/kube-dns") != 0);
}

/* Fixed places are given away only when nothing else is left. */
static int allocate(struct registry *registry, const struct ip_prefix *range, const char *key,
		    struct ip_addr *ret_addr)
{
	uint64_t size = range_size(range), start = first_choice(key, size);

	for (int last_resort = 0; last_resort < 2; last_resort++) {
		for (uint64_t i = 0; i < size && i < PROBES_MAX; i++) {
			uint64_t offset = (start + i) % size;
			struct ip_addr addr = range_addr(range, offset);

			if (!is_host(range, offset) || is_taken(registry, &addr) ||
			    (!last_resort && is_fixed_place(key, offset)))
				continue;
			*ret_addr = addr;
			return hold(registry, &addr);
		}
	}
	return -ENOSPC;
}

/* ---- entries ---- */

static struct reg_entry *entry_find(const struct registry *registry, const char *key)
{
	struct reg_entry *entry;

	HASH_FIND_STR(registry->entries, key, entry);
	return entry;
}

static struct reg_entry *entry_get(struct registry *registry, const char *key)
{
	struct reg_entry *entry = entry_find(registry, key);

	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry || !(entry->key = strdup(key))) {
		free(entry);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, registry->entries, entry->key, strlen(entry->key), entry);
	return entry;
}

static void entry_drop(struct registry *registry, struct reg_entry *entry)
{
	for (size_t i = 0; i < ARRAY_SIZE(entry->ips); i++)
		release(registry, &entry->ips[i]);
	nodeports_release(registry->node_ports, &entry->node_ports);
	HASH_DEL(registry->entries, entry);
	free(entry->key);
	free(entry);
}

static void entry_set_ips(struct registry *registry, struct reg_entry *entry,
			  const struct ip_addr ips[2])
{
	for (size_t i = 0; i < ARRAY_SIZE(entry->ips); i++)
		hold(registry, &ips[i]);
	for (size_t i = 0; i < ARRAY_SIZE(entry->ips); i++)
		release(registry, &entry->ips[i]);
	memcpy(entry->ips, ips, sizeof(entry->ips));
}

static bool has_own_ips(const struct service *svc)
{
	return addr_is_set(&svc->cluster_ips[0]);
}

static void service_key(char *buf, size_t size, const char *ns, const char *name)
{
	snprintf(buf, size, "%s/%s", ns, name);
}

static bool names_node_port(const struct service *svc)
{
	for (size_t i = 0; i < svc->n_ports; i++)
		if (svc->ports[i].node_port)
			return true;
	return svc->health_check_node_port;
}

static void reserve_ips(struct registry *registry, struct reg_entry *entry,
			const struct service *svc)
{
	if (!entry->own && addr_is_set(&entry->ips[0])) /* the file gives it one */
		registry->dirty = true;
	entry_set_ips(registry, entry, svc->cluster_ips);
	entry->own = true;
}

int registry_reserve(struct registry *registry, const struct service *svc)
{
	struct reg_entry *entry;
	char key[KEY_MAX];

	if (!has_own_ips(svc) && !names_node_port(svc))
		return 0;
	service_key(key, sizeof(key), svc->meta.ns, svc->meta.name);
	entry = entry_get(registry, key);
	if (!entry)
		return -ENOMEM;
	entry->seen = true;
	if (has_own_ips(svc))
		reserve_ips(registry, entry, svc);
	return nodeports_reserve(registry->node_ports, &entry->node_ports, svc);
}

void registry_forget(struct registry *registry, const char *ns, const char *name)
{
	struct reg_entry *entry;
	char key[KEY_MAX];

	service_key(key, sizeof(key), ns, name);
	entry = entry_find(registry, key);
	if (!entry)
		return;
	entry_drop(registry, entry);
	registry->dirty = true;
}

void registry_drop_unseen(struct registry *registry)
{
	struct reg_entry *entry, *next;

	HASH_ITER (hh, registry->entries, entry, next) {
		if (entry->seen)
			continue;
		entry_drop(registry, entry);
		registry->dirty = true;
	}
}

/* ---- filling in ---- */

static const struct ip_prefix *range_of(const struct registry *registry, uint8_t family)
{
	for (size_t i = 0; i < ARRAY_SIZE(registry->ranges); i++)
		if (registry->ranges[i].addr.family == family && family)
			return &registry->ranges[i];
	return NULL;
}

/* The families a Service is to have, as the API server chooses them
 * (kubernetes.io/docs/concepts/services-networking/dual-stack). Their number. */
static size_t choose_families(const struct registry *registry, const struct service *svc,
			      uint8_t ret_families[2])
{
	uint8_t first = svc->families[0] ? svc->families[0] : registry->ranges[0].addr.family;
	uint8_t other = first == AF_INET ? AF_INET6 : AF_INET;

	ret_families[0] = first;
	ret_families[1] = other;
	if (svc->family_policy == SVC_REQUIRE_DUAL)
		return 2;
	if (svc->family_policy == SVC_PREFER_DUAL && range_of(registry, other))
		return 2;
	return svc->families[1] ? 2 : 1;
}

static bool is_only_holder(const struct registry *registry, const struct ip_addr *addr)
{
	const struct reg_addr *taken = taken_find(registry, addr);

	return taken && taken->holders == 1;
}

/* What it was given before; or what it named itself, if nobody else does. */
static struct ip_addr kept_ip(const struct registry *registry, const struct reg_entry *entry,
			      const struct ip_prefix *range)
{
	for (size_t i = 0; i < ARRAY_SIZE(entry->ips); i++)
		if (addr_is_set(&entry->ips[i]) && prefix_contains(range, &entry->ips[i]) &&
		    (!entry->own || is_only_holder(registry, &entry->ips[i])))
			return entry->ips[i];
	return (struct ip_addr){0};
}

static int fill_ip(struct registry *registry, struct reg_entry *entry, uint8_t family,
		   struct ip_addr *ret_ip, struct err *err)
{
	const struct ip_prefix *range = range_of(registry, family);
	char text[PREFIX_TEXT_MAX];
	int rc;

	if (!range)
		return err_set(err, -EINVAL,
			       "has no clusterIP, and there is no range to give it an %s address "
			       "from: set spec.clusterIP or --service-cluster-ip-range",
			       family == AF_INET6 ? "IPv6" : "IPv4");
	*ret_ip = kept_ip(registry, entry, range);
	if (addr_is_set(ret_ip))
		return hold(registry, ret_ip);
	rc = allocate(registry, range, entry->key, ret_ip);
	if (rc == -ENOSPC)
		return err_set(err, rc,
			       "gets no clusterIP: all addresses of %s are taken; make "
			       "--service-cluster-ip-range larger",
			       prefix_format(range, text));
	if (rc == 0)
		log_info("cluster IP given", "service=%s ip=%s", entry->key,
			 addr_format(ret_ip, text));
	return rc;
}

static int fill_ips(struct registry *registry, struct service *svc, struct reg_entry *entry,
		    struct err *err)
{
	struct ip_addr ips[2] = {0};
	uint8_t families[2];
	size_t n = choose_families(registry, svc, families);
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = fill_ip(registry, entry, families[i], &ips[i], err);
	if (rc == 0 && (entry->own || memcmp(ips, entry->ips, sizeof(ips)) != 0))
		registry->dirty = true;
	for (size_t i = 0; i < ARRAY_SIZE(ips); i++) /* set_ips holds them once more */
		if (rc == 0 && addr_is_set(&ips[i]))
			release(registry, &ips[i]);
	if (rc < 0) {
		for (size_t i = 0; i < ARRAY_SIZE(ips); i++)
			if (addr_is_set(&ips[i]) && is_taken(registry, &ips[i]))
				release(registry, &ips[i]);
		return rc;
	}
	entry_set_ips(registry, entry, ips);
	entry->own = false;
	memcpy(svc->cluster_ips, ips, sizeof(ips));
	return 0;
}

int registry_fill(struct registry *registry, struct service *svc, int64_t now_ms, struct err *err)
{
	struct reg_entry *entry;
	bool changed = false;
	char key[KEY_MAX];
	int rc;

	service_key(key, sizeof(key), svc->meta.ns, svc->meta.name);
	entry = entry_get(registry, key);
	if (!entry)
		return err_set(err, -ENOMEM, "no memory");
	entry->seen = true;
	if (!entry->created_ms) {
		entry->created_ms = svc->meta.created_ms ? svc->meta.created_ms : now_ms;
		registry->dirty |= !svc->meta.created_ms;
	}
	if (!svc->meta.created_ms)
		svc->meta.created_ms = entry->created_ms;
	if (svc->headless || svc->foreign || svc->type == SVC_EXTERNAL_NAME)
		return 0;
	rc = has_own_ips(svc) ? 0 : fill_ips(registry, svc, entry, err);
	if (rc == 0) /* else it has no frontend, and keeps what it had until it gets one */
		rc = nodeports_fill(registry->node_ports, &entry->node_ports, key, svc, &changed,
				    err);
	registry->dirty |= changed;
	return rc;
}

/* ---- the file ---- */

/* An address that the file gives to two Services is the first one's. */
static void load_ips(const struct registry *registry, const cJSON *list, struct ip_addr ret_ips[2])
{
	size_t n = 0;

	for (const cJSON *ip = cJSON_IsArray(list) ? list->child : NULL; ip && n < 2;
	     ip = ip->next) {
		struct ip_addr addr;

		if (cJSON_IsString(ip) && addr_parse(ip->valuestring, &addr) == 0 &&
		    !is_taken(registry, &addr))
			ret_ips[n++] = addr;
	}
}

static void load_entry(struct registry *registry, const cJSON *node)
{
	const cJSON *created = cJSON_GetObjectItemCaseSensitive(node, "created_ms");
	struct ip_addr ips[2] = {0};
	struct reg_entry *entry;

	if (!cJSON_IsObject(node) || strlen(node->string) > KEY_MAX - 1 ||
	    entry_find(registry, node->string))
		return;
	entry = entry_get(registry, node->string);
	if (!entry)
		return;
	if (cJSON_IsNumber(created) && created->valuedouble >= 1 && created->valuedouble < 1e15)
		entry->created_ms = (int64_t)created->valuedouble;
	load_ips(registry, cJSON_GetObjectItemCaseSensitive(node, "cluster_ips"), ips);
	entry_set_ips(registry, entry, ips);
	nodeports_load(registry->node_ports, &entry->node_ports, node);
}

/* The caller frees; NULL with errno set. */
static char *read_file(const char *path)
{
	FILE *in = fopen(path, "re");
	char *text = NULL;
	struct stat st;

	if (!in)
		return NULL;
	errno = EFBIG;
	if (fstat(fileno(in), &st) == 0 && st.st_size <= STATE_BYTES_MAX)
		text = calloc(1, (size_t)st.st_size + 1);
	if (text)
		fread(text, 1, (size_t)st.st_size, in);
	fclose(in);
	return text;
}

/* It is never written over before somebody could look at it. */
static void set_aside(const struct registry *registry, const char *why)
{
	cleanup_free char *aside = NULL;

	if (registry->read_only || asprintf(&aside, "%s.damaged", registry->path) < 0 ||
	    rename(registry->path, aside) < 0) {
		log_warn("the file of allocations cannot be used: Services without a clusterIP or "
			 "nodePort may get others",
			 "file=%s error=\"%s\"", registry->path, why);
		return;
	}
	log_error("the file of allocations cannot be used; it is set aside and begun anew: "
		  "Services without a clusterIP or nodePort may get others",
		  "file=%s aside=%s error=\"%s\"", registry->path, aside, why);
}

static void load(struct registry *registry)
{
	cleanup_free char *text = read_file(registry->path);
	const cJSON *services;
	cJSON *root;

	if (!text) {
		if (errno != ENOENT && errno != ENOTDIR)
			set_aside(registry, strerror(errno));
		return;
	}
	root = cJSON_Parse(text);
	services = cJSON_GetObjectItemCaseSensitive(root, "services");
	if (!cJSON_IsObject(services))
		set_aside(registry, "damaged");
	for (const cJSON *node = cJSON_IsObject(services) ? services->child : NULL; node;
	     node = node->next)
		load_entry(registry, node);
	cJSON_Delete(root);
}

int registry_open(const char *path, bool read_only, const struct ip_prefix ranges[2],
		  const struct port_range *node_ports, struct registry **ret_registry,
		  struct err *err)
{
	struct registry *registry = calloc(1, sizeof(*registry));
	char text[PREFIX_TEXT_MAX];

	if (!registry || !(registry->node_ports = nodeports_new(node_ports)) ||
	    (path && !(registry->path = strdup(path)))) {
		registry_close(registry);
		return err_set(err, -ENOMEM, "no memory");
	}
	registry->read_only = read_only;
	memcpy(registry->ranges, ranges, sizeof(registry->ranges));
	for (size_t i = 0; i < ARRAY_SIZE(registry->ranges); i++) {
		if (!ranges[i].addr.family || range_size(&ranges[i]) >= 4)
			continue;
		registry_close(registry);
		return err_set(err, -EINVAL, "--service-cluster-ip-range: %s is too small",
			       prefix_format(&ranges[i], text));
	}
	if (path)
		load(registry);
	*ret_registry = registry;
	return 0;
}

void registry_close(struct registry *registry)
{
	struct reg_entry *entry, *next;
	struct reg_addr *taken, *next_taken;

	if (!registry)
		return;
	HASH_ITER (hh, registry->entries, entry, next)
		entry_drop(registry, entry);
	HASH_ITER (hh, registry->taken, taken, next_taken) {
		HASH_DEL(registry->taken, taken);
		free(taken);
	}
	nodeports_free(registry->node_ports);
	free(registry->path);
	free(registry);
}

static int key_cmp(struct reg_entry *a, struct reg_entry *b)
{
	return strcmp(a->key, b->key);
}

static void write_entry(const struct reg_entry *entry, bool first, FILE *out)
{
	cJSON *key = cJSON_CreateString(entry->key);
	char *quoted = key ? cJSON_PrintUnformatted(key) : NULL;
	char text[ADDR_TEXT_MAX];

	if (quoted) {
		fprintf(out, "%s\n    %s: {\"created_ms\": %lld, \"cluster_ips\": [",
			first ? "" : ",", quoted, (long long)entry->created_ms);
		for (size_t i = 0; i < ARRAY_SIZE(entry->ips) && !entry->own; i++)
			if (addr_is_set(&entry->ips[i]))
				fprintf(out, "%s\"%s\"", i ? ", " : "",
					addr_format(&entry->ips[i], text));
		fputs("]", out);
		nodeports_write(&entry->node_ports, out);
		fputs("}", out);
	}
	cJSON_free(quoted);
	cJSON_Delete(key);
}

char *registry_take_text(struct registry *registry)
{
	struct reg_entry *entry, *next;
	char *text = NULL;
	size_t len = 0;
	bool first = true;
	FILE *out;

	if (!registry->dirty || registry->read_only || !registry->path)
		return NULL;
	out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	registry->dirty = false;
	HASH_SORT(registry->entries, key_cmp);
	/* still version 1: whoever reads this file takes what is missing as not given */
	fputs("{\n  \"version\": 1,\n  \"services\": {", out);
	HASH_ITER (hh, registry->entries, entry, next) {
		write_entry(entry, first, out);
		first = false;
	}
	fputs("\n  }\n}\n", out);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int write_text(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left) {
		ssize_t n = write(fd, text, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		left -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int registry_save(const char *path, const char *text)
{
	cleanup_free char *tmp = NULL, *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	int fd, rc;

	if (!dir || asprintf(&tmp, "%s.new", path) < 0)
		return -ENOMEM;
	if (slash && slash != dir) {
		*slash = '\0';
		mkdir(dir, 0755);
	}
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	rc = write_text(fd, text);
	close(fd);
	if (rc == 0 && rename(tmp, path) < 0)
		rc = -errno;
	return rc;
}
