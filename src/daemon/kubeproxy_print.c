/* SPDX-License-Identifier: Apache-2.0 */
/* What is in force, as YAML and as JSON: one walk over the sorted table. */
#include <stdlib.h>
#include <string.h>

#include "daemon/kubeproxy.h"
#include "daemon/metrics.h"

#define HEAD_API  "kubeproxy.config.k8s.io/v1alpha1"
#define HEAD_KIND "KubeProxyConfiguration"

/* "a,b": each item, as {"a":...} of a map or ["a",...] of a list. */
static void put_items(FILE *out, const char *value, bool map)
{
	cleanup_free char *copy = strdup(value);
	char *rest = copy, *item;
	bool first = true;

	fputc(map ? '{' : '[', out);
	while (copy && *copy && (item = strsep(&rest, ",")) != NULL) {
		char *equals = map ? strchr(item, '=') : NULL;

		if (!first)
			fputc(',', out);
		first = false;
		if (equals)
			*equals = '\0';
		json_text(out, item);
		if (equals)
			fprintf(out, ": %s", equals + 1);
	}
	fputc(map ? '}' : ']', out);
}

static void put_value(FILE *out, const struct kp_field *field, const char *value)
{
	switch (field->kind) {
	case FIELD_BOOL:
	case FIELD_INT:
	case FIELD_REAL:
		fputs(value, out);
		break;
	case FIELD_GATES:
		put_items(out, value, true);
		break;
	case FIELD_LIST:
		put_items(out, value, false);
		break;
	case FIELD_TEXT:
	case FIELD_TIME:
		json_text(out, value);
		break;
	}
}

/* How many of the leading components two paths share. */
static size_t shared_depth(const char *a, const char *b)
{
	size_t depth = 0;

	for (; *a && *a == *b; a++, b++)
		depth += *a == '.';
	return depth;
}

static size_t depth_of(const char *path)
{
	size_t depth = 0;

	for (; *path; path++)
		depth += *path == '.';
	return depth;
}

/* The component at that depth. */
static int component(const char *path, size_t depth, const char **ret_name)
{
	while (depth--)
		path = strchr(path, '.') + 1;
	*ret_name = path;
	return (int)strcspn(path, ".");
}

/* vipd's own have no value of their own accord: those that were not given are left out. */
static bool is_shown(const struct kubeproxy *kp, const struct kp_field *field)
{
	return strncmp(field->path, "vipd.", 5) != 0 || *kubeproxy_value(kp, field);
}

void kubeproxy_print_yaml(const struct kubeproxy *kp, FILE *out)
{
	const char *before = "";

	fprintf(out, "apiVersion: %s\nkind: %s\n", HEAD_API, HEAD_KIND);
	for (const struct kp_field *field = kp_fields; field < kp_fields + kp_n_fields; field++) {
		size_t depth = depth_of(field->path);
		const char *name;
		int len;

		if (!is_shown(kp, field))
			continue;
		for (size_t d = shared_depth(before, field->path); d <= depth; d++) {
			len = component(field->path, d, &name);
			fprintf(out, "%*s%.*s:%s", (int)(2 * d), "", len, name,
				d < depth ? "\n" : " ");
		}
		put_value(out, field, kubeproxy_value(kp, field));
		fputc('\n', out);
		before = field->path;
	}
}

void kubeproxy_print_json(const struct kubeproxy *kp, FILE *out)
{
	const char *before = "";

	fprintf(out, "{\"apiVersion\":\"%s\",\"kind\":\"%s\"", HEAD_API, HEAD_KIND);
	for (const struct kp_field *field = kp_fields; field < kp_fields + kp_n_fields; field++) {
		size_t depth = depth_of(field->path), shared = shared_depth(before, field->path);
		const char *name;
		int len;

		if (!is_shown(kp, field))
			continue;
		for (size_t d = depth_of(before); d > shared; d--)
			fputc('}', out);
		fputc(',', out);
		for (size_t d = shared; d <= depth; d++) {
			len = component(field->path, d, &name);
			fprintf(out, "\"%.*s\":%s", len, name, d < depth ? "{" : "");
		}
		put_value(out, field, kubeproxy_value(kp, field));
		before = field->path;
	}
	for (size_t d = depth_of(before); d > 0; d--)
		fputc('}', out);
	fputc('}', out);
}
