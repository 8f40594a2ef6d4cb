/* SPDX-License-Identifier: Apache-2.0 */
/* See kubeproxy.h: decoding, and what is reported. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/duration.h"
#include "daemon/kubeproxy.h"
#include "source/tree.h"

#define API_VERSION    "kubeproxy.config.k8s.io/v1alpha1"
#define KIND           "KubeProxyConfiguration"
#define FIELD_PATH_MAX 256

int kubeproxy_init(struct kubeproxy *kp)
{
	*kp = (struct kubeproxy){
		.values = calloc(kp_n_fields, sizeof(*kp->values)),
		.lines = calloc(kp_n_fields, sizeof(*kp->lines)),
		.errors = calloc(KUBEPROXY_REPORT_MAX, sizeof(*kp->errors)),
		.warnings = calloc(KUBEPROXY_REPORT_MAX, sizeof(*kp->warnings)),
	};
	if (kp->values && kp->lines && kp->errors && kp->warnings)
		return 0;
	kubeproxy_done(kp);
	return -ENOMEM;
}

void kubeproxy_done(struct kubeproxy *kp)
{
	for (size_t i = 0; kp->values && i < kp_n_fields; i++)
		free(kp->values[i]);
	for (size_t i = 0; i < kp->n_errors; i++)
		free(kp->errors[i]);
	for (size_t i = 0; i < kp->n_warnings; i++)
		free(kp->warnings[i]);
	free(kp->values);
	free(kp->lines);
	free(kp->errors);
	free(kp->warnings);
	*kp = (struct kubeproxy){0};
}

const char *kubeproxy_value(const struct kubeproxy *kp, const struct kp_field *field)
{
	const char *value = kp->values[field - kp_fields];

	return value ? value : field->initial;
}

int kubeproxy_set(struct kubeproxy *kp, const struct kp_field *field, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(kp->values[field - kp_fields]);
	kp->values[field - kp_fields] = copy;
	return 0;
}

/* ---- the report ---- */

static void report(const struct kubeproxy *kp, char **list, size_t *n, int line, const char *fmt,
		   va_list args) __attribute__((format(printf, 5, 0)));

static void report(const struct kubeproxy *kp, char **list, size_t *n, int line, const char *fmt,
		   va_list args)
{
	cleanup_free char *text = NULL;
	int rc;

	if (*n == KUBEPROXY_REPORT_MAX)
		return;
	if (vasprintf(&text, fmt, args) < 0) {
		text = NULL;
		return;
	}
	if (line > 0)
		rc = asprintf(&list[*n], "%s:%d: %s", kp->file ? kp->file : "", line, text);
	else if (line == 0 && kp->file)
		rc = asprintf(&list[*n], "%s: %s", kp->file, text);
	else
		rc = asprintf(&list[*n], "%s", text);
	*n += rc >= 0;
}

void kubeproxy_error(struct kubeproxy *kp, int line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report(kp, kp->errors, &kp->n_errors, line, fmt, args);
	va_end(args);
}

void kubeproxy_warn(struct kubeproxy *kp, int line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report(kp, kp->warnings, &kp->n_warnings, line, fmt, args);
	va_end(args);
}

static int report_cmp(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

void kubeproxy_sort(struct kubeproxy *kp)
{
	qsort(kp->errors, kp->n_errors, sizeof(*kp->errors), report_cmp);
	qsort(kp->warnings, kp->n_warnings, sizeof(*kp->warnings), report_cmp);
}

/* ---- values ---- */

static const char *type_name(const cJSON *node)
{
	return cJSON_IsString(node)   ? "a string"
	       : cJSON_IsNumber(node) ? "a number"
	       : cJSON_IsBool(node)   ? "true or false"
	       : cJSON_IsArray(node)  ? "a list"
	       : cJSON_IsNull(node)   ? "null"
				      : "a map";
}

static int wrong_type(struct kubeproxy *kp, const char *path, const cJSON *node, const char *wanted)
{
	kubeproxy_error(kp, tree_line(node), "%s: must be %s, is %s", path, wanted,
			type_name(node));
	return 0;
}

static int put_value(struct kubeproxy *kp, const struct kp_field *field, const cJSON *node,
		     const char *value)
{
	int rc = kubeproxy_set(kp, field, value);

	if (rc == 0)
		kp->lines[field - kp_fields] = tree_line(node) > 0 ? tree_line(node) : 1;
	return rc;
}

static int put_number(struct kubeproxy *kp, const struct kp_field *field, const cJSON *node)
{
	char text[40];

	if (field->kind == FIELD_INT &&
	    !(node->valuedouble >= INT32_MIN && node->valuedouble <= UINT32_MAX &&
	      node->valuedouble == (double)(int64_t)node->valuedouble)) {
		kubeproxy_error(kp, tree_line(node), "%s: must be a whole number, is %.9g",
				field->path, node->valuedouble);
		return 0;
	}
	snprintf(text, sizeof(text), field->kind == FIELD_INT ? "%.0f" : "%.9g", node->valuedouble);
	return put_value(kp, field, node, text);
}

/* "a,b" of a list of strings; NAME=true of a map of booleans. */
static int put_several(struct kubeproxy *kp, const struct kp_field *field, const cJSON *node)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	const cJSON *item;
	bool gates = field->kind == FIELD_GATES;

	if (!out)
		return -ENOMEM;
	cJSON_ArrayForEach(item, node)
	{
		if (!gates && !cJSON_IsString(item) && !field->no_effect)
			wrong_type(kp, field->path, item, "a list of strings");
		else if (gates && !cJSON_IsBool(item))
			wrong_type(kp, field->path, item, "a map of booleans");
		else if (gates)
			fprintf(out, "%s%s=%s", item == node->child ? "" : ",", item->string,
				cJSON_IsTrue(item) ? "true" : "false");
		else if (cJSON_IsString(item))
			fprintf(out, "%s%s", item == node->child ? "" : ",", item->valuestring);
	}
	if (fclose(out) != 0)
		return -ENOMEM;
	return *text ? put_value(kp, field, node, text) : 0;
}

/* Two are a number or a string with a unit. */
static bool may_be_number(const struct kp_field *field)
{
	return strstr(field->path, "infoBufferSize") || strstr(field->path, "flushFrequency");
}

static int decode_value(struct kubeproxy *kp, const struct kp_field *field, const cJSON *node)
{
	static const char *const wanted[] = {
		[FIELD_TEXT] = "a string", [FIELD_BOOL] = "true or false", [FIELD_INT] = "a number",
		[FIELD_REAL] = "a number", [FIELD_TIME] = "a string",      [FIELD_LIST] = "a list",
		[FIELD_GATES] = "a map"};

	if (cJSON_IsNull(node) || (cJSON_IsNumber(node) && may_be_number(field)))
		return 0;
	switch (field->kind) {
	case FIELD_TEXT:
	case FIELD_TIME:
		if (!cJSON_IsString(node))
			break;
		return *node->valuestring ? put_value(kp, field, node, node->valuestring) : 0;
	case FIELD_BOOL:
		if (!cJSON_IsBool(node))
			break;
		return put_value(kp, field, node, cJSON_IsTrue(node) ? "true" : "false");
	case FIELD_INT:
	case FIELD_REAL:
		if (!cJSON_IsNumber(node))
			break;
		return put_number(kp, field, node);
	case FIELD_LIST:
		if (!cJSON_IsArray(node))
			break;
		return put_several(kp, field, node);
	case FIELD_GATES:
		if (!cJSON_IsObject(node))
			break;
		return put_several(kp, field, node);
	}
	return wrong_type(kp, field->path, node, wanted[field->kind]);
}

/* ---- the document ---- */

/* The field of that path, and whether there are fields below it. */
static const struct kp_field *find_path(const char *path, bool *ret_above)
{
	size_t len = strlen(path);

	*ret_above = false;
	for (size_t i = 0; i < kp_n_fields; i++) {
		if (strncmp(kp_fields[i].path, path, len) != 0)
			continue;
		if (!kp_fields[i].path[len])
			return &kp_fields[i];
		*ret_above |= kp_fields[i].path[len] == '.';
	}
	return NULL;
}

static bool comes_again(const cJSON *node)
{
	for (const cJSON *other = node->next; other; other = other->next)
		if (strcmp(other->string, node->string) == 0)
			return true;
	return false;
}

static int decode_map(struct kubeproxy *kp, const char *prefix, const cJSON *map);

static int decode_member(struct kubeproxy *kp, const char *prefix, const cJSON *node)
{
	char path[FIELD_PATH_MAX];
	const struct kp_field *field;
	bool above;

	snprintf(path, sizeof(path), "%s%s%.128s", prefix, *prefix ? "." : "", node->string);
	field = strchr(node->string, '.') ? NULL : find_path(path, &above);
	if (field)
		return decode_value(kp, field, node);
	if (strchr(node->string, '.') || !above) {
		kubeproxy_warn(kp, tree_line(node), "unknown field \"%s\" is passed over", path);
		return 0;
	}
	if (cJSON_IsNull(node))
		return 0;
	if (!cJSON_IsObject(node))
		return wrong_type(kp, path, node, "a map");
	return decode_map(kp, path, node);
}

static int decode_map(struct kubeproxy *kp, const char *prefix, const cJSON *map)
{
	const cJSON *node;
	int rc = 0;

	cJSON_ArrayForEach(node, map)
	{
		bool type = !*prefix && (strcmp(node->string, "apiVersion") == 0 ||
					 strcmp(node->string, "kind") == 0);

		if (comes_again(node))
			kubeproxy_warn(kp, tree_line(node),
				       "field \"%s%s%.128s\" is there twice: the last one counts",
				       prefix, *prefix ? "." : "", node->string);
		else if (!type)
			rc = decode_member(kp, prefix, node);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void check_type(struct kubeproxy *kp, const cJSON *tree, const char *name,
		       const char *wanted)
{
	const cJSON *node = tree_get(tree, name);

	if (!node)
		kubeproxy_error(kp, tree_line(tree), "%s is missing, must be %s", name, wanted);
	else if (!cJSON_IsString(node) || strcmp(node->valuestring, wanted) != 0)
		kubeproxy_error(kp, tree_line(node), "%s must be %s, is \"%.100s\"", name, wanted,
				cJSON_IsString(node) ? node->valuestring : type_name(node));
}

struct reading {
	struct kubeproxy *kp;
	unsigned documents;
};

static int on_document(cJSON *tree, bool item, void *arg)
{
	struct reading *reading = arg;
	struct kubeproxy *kp = reading->kp;
	int rc = 0;

	if (item) {
		/* of an unknown field, which the document tells of */
	} else if (reading->documents++) {
		kubeproxy_warn(kp, tree_line(tree),
			       "only the first document is read, not this one");
	} else if (!cJSON_IsObject(tree)) {
		kubeproxy_error(kp, tree_line(tree), "must be a map, is %s", type_name(tree));
	} else {
		check_type(kp, tree, "apiVersion", API_VERSION);
		check_type(kp, tree, "kind", KIND);
		rc = kp->n_errors ? 0 : decode_map(kp, "", tree);
	}
	cJSON_Delete(tree);
	return rc;
}

int kubeproxy_decode(struct kubeproxy *kp, const char *text, size_t len)
{
	struct reading reading = {.kp = kp};
	struct err err = {0};
	int rc = tree_read(text, len, 1, on_document, &reading, &err);

	if (rc == -ENOMEM)
		return rc;
	if (rc < 0)
		kubeproxy_error(kp, 0, "%s", err.text);
	else if (!reading.documents)
		kubeproxy_error(kp, 0, "there is nothing in it");
	return kp->n_errors ? -EINVAL : 0;
}

static int read_all(int fd, char **ret_text, size_t *ret_len)
{
	char *text = malloc(KUBEPROXY_FILE_BYTES_MAX + 1);
	size_t len = 0;
	ssize_t n = text ? 0 : -1;

	while (text && (n = read(fd, text + len, KUBEPROXY_FILE_BYTES_MAX + 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0 || len > KUBEPROXY_FILE_BYTES_MAX) {
		n = !text ? -ENOMEM : n < 0 ? -errno : -EFBIG;
		free(text);
		return (int)n;
	}
	*ret_text = text;
	*ret_len = len;
	return 0;
}

int kubeproxy_read(struct kubeproxy *kp, const char *path)
{
	cleanup_free char *text = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
	size_t len = 0;

	kp->file = path;
	rc = fd < 0 ? -errno : read_all(fd, &text, &len);
	if (fd >= 0)
		close(fd);
	if (rc == -ENOMEM)
		return rc;
	if (rc < 0) {
		kubeproxy_error(kp, 0, "cannot be read: %s", strerror(-rc));
		return -EINVAL;
	}
	return kubeproxy_decode(kp, text, len);
}
