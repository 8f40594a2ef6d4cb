/* SPDX-License-Identifier: Apache-2.0 */
/* See tree.h. libyaml's events build the tree on a stack; libyaml knows syntax, this file what a
 * scalar is (yaml.org/type, as go-yaml v2.4 resolves it) and what a merge key does. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "source/json.h"
#include "source/tree.h"

#define ANCHORS_MAX 1024
/* What anchors and aliases may add to a text's own values: some 60 MB. */
#define COPIES_MAX 400000

struct anchor {
	char *name;
	cJSON *tree; /* a copy of its own */
	size_t nodes, height;
};

struct level {
	cJSON *container;
	char *key;    /* of the value awaited in an object; NULL = the key is awaited */
	char *anchor; /* of the container itself */
};

struct builder {
	yaml_parser_t parser;
	const char *text;
	size_t len;
	int first_line;
	tree_fn fn;
	void *arg;
	struct err *err;
	struct level stack[TREE_DEPTH_MAX];
	size_t depth;
	size_t nodes;  /* of the text, in memory */
	size_t copies; /* of such nodes: aliases' in memory, and all anchors' */
	struct anchor anchors[ANCHORS_MAX];
	size_t n_anchors;
	cJSON *root;
};

const cJSON *tree_get(const cJSON *map, const char *name)
{
	const cJSON *found = NULL;

	if (!cJSON_IsObject(map))
		return NULL;
	for (const cJSON *child = map->child; child; child = child->next)
		if (strcmp(child->string, name) == 0)
			found = child;
	return found;
}

static int fail_at(struct builder *b, size_t line, const char *what)
{
	return err_set(b->err, -EINVAL, "%zu: %s", line + (size_t)b->first_line, what);
}

/* ---- scalars ---- */

static bool one_of(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(text, words[i]) == 0)
			return true;
	return false;
}

static bool is_null(const char *text)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};

	return one_of(text, words, ARRAY_SIZE(words));
}

static bool is_bool(const char *text, bool *ret_value)
{
	static const char *const yes[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
					  "True", "TRUE", "on",  "On",  "ON"};
	static const char *const no[] = {"n",     "N",     "no",  "No",  "NO", "false",
					 "False", "FALSE", "off", "Off", "OFF"};

	*ret_value = one_of(text, yes, ARRAY_SIZE(yes));
	return *ret_value || one_of(text, no, ARRAY_SIZE(no));
}

/* Go's strconv.ParseInt with base 0, after the underscores are gone: 0x 0o 0b and leading-0 octal.
 */
static bool is_int(const char *text, double *ret_value)
{
	const char *digits = text + (*text == '-' || *text == '+');
	double value = 0;
	int base = 10;

	if (digits[0] == '0' && digits[1]) {
		char c = (char)tolower((unsigned char)digits[1]);

		base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
		digits += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
	}
	if (!*digits)
		return false;
	for (; *digits; digits++) {
		int c = tolower((unsigned char)*digits);
		int digit = isdigit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;

		if (digit >= base)
			return false;
		value = value * base + digit;
	}
	*ret_value = *text == '-' ? -value : value;
	return true;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(const char *text, double *ret_value)
{
	const char *p = text + (*text == '-' || *text == '+');
	size_t whole = strspn(p, "0123456789"), fraction = 0;

	p += whole;
	if (*p == '.') {
		fraction = strspn(p + 1, "0123456789");
		p += 1 + fraction;
	}
	if (!whole && !fraction)
		return false;
	if (*p == 'e' || *p == 'E') {
		p += 1 + (p[1] == '-' || p[1] == '+');
		if (!isdigit((unsigned char)*p))
			return false;
		p += strspn(p, "0123456789");
	}
	if (*p)
		return false;
	*ret_value = strtod(text, NULL);
	return isfinite(*ret_value);
}

static bool is_number(const char *text, double *ret_value)
{
	char plain[64];
	size_t n = 0;

	if (!isdigit((unsigned char)*text) && !strchr("+-.", *text))
		return false;
	for (; *text; text++) {
		if (*text == '_')
			continue;
		if (n + 1 == sizeof(plain))
			return false;
		plain[n++] = *text;
	}
	plain[n] = '\0';
	return is_int(plain, ret_value) || is_float(plain, ret_value);
}

static bool tag_is(const char *tag, const char *name)
{
	static const char prefix[] = "tag:yaml.org,2002:";

	return tag && strncmp(tag, prefix, sizeof(prefix) - 1) == 0 &&
	       strcmp(tag + sizeof(prefix) - 1, name) == 0;
}

static cJSON *make_scalar(const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	const char *tag = (const char *)event->data.scalar.tag;
	bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	double number;
	bool truth;

	if (tag_is(tag, "str") || tag_is(tag, "binary") ||
	    (!plain && !tag_is(tag, "int") && !tag_is(tag, "bool") && !tag_is(tag, "float")))
		return cJSON_CreateString(text);
	if (is_null(text))
		return cJSON_CreateNull();
	if (is_bool(text, &truth))
		return cJSON_CreateBool(truth);
	if (is_number(text, &number))
		return cJSON_CreateNumber(number);
	return cJSON_CreateString(text);
}

/* ---- the tree ---- */

static bool in_items(const struct builder *b)
{
	return b->depth == 2 && cJSON_IsArray(b->stack[1].container) && b->stack[0].key &&
	       strcmp(b->stack[0].key, "items") == 0;
}

static size_t anchored_nodes(const struct builder *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_anchors; i++)
		n += b->anchors[i].nodes;
	return n;
}

/* Puts a finished node where it belongs; an element of a List is handed out instead. */
static int attach(struct builder *b, cJSON *node)
{
	struct level *top = b->depth ? &b->stack[b->depth - 1] : NULL;

	if (!top) {
		b->root = node;
		return 0;
	}
	if (in_items(b) && cJSON_IsObject(node)) {
		b->nodes = 0; /* the bounds are for what is in memory at once */
		b->copies = anchored_nodes(b);
		return b->fn(node, true, b->arg);
	}
	if (cJSON_IsArray(top->container)) {
		cJSON_AddItemToArray(top->container, node);
		return 0;
	}
	if (!cJSON_AddItemToObject(top->container, top->key, node)) {
		cJSON_Delete(node);
		return -ENOMEM;
	}
	free(top->key);
	top->key = NULL;
	return 0;
}

/* The nodes of a tree, and its height: 1 for a scalar. */
static size_t measure(const cJSON *node, size_t *ret_height)
{
	size_t n = 1, highest = 0;

	for (const cJSON *child = node->child; child; child = child->next) {
		size_t height;

		n += measure(child, &height);
		highest = height > highest ? height : highest;
	}
	*ret_height = highest + 1;
	return n;
}

static int count_copies(struct builder *b, size_t nodes, size_t line)
{
	b->copies += nodes;
	return b->copies <= COPIES_MAX ? 0
				       : fail_at(b, line, "anchors and aliases expand to too much");
}

static struct anchor *find_anchor(struct builder *b, const char *name)
{
	for (size_t i = 0; i < b->n_anchors; i++)
		if (strcmp(b->anchors[i].name, name) == 0)
			return &b->anchors[i];
	return NULL;
}

static int define_anchor(struct builder *b, const char *name, const cJSON *node)
{
	struct anchor *anchor = find_anchor(b, name);
	size_t line = (size_t)(tree_line(node) - b->first_line);

	if (!anchor) {
		if (b->n_anchors == ANCHORS_MAX)
			return fail_at(b, line, "too many anchors");
		anchor = &b->anchors[b->n_anchors];
		anchor->name = strdup(name);
		if (!anchor->name)
			return -ENOMEM;
		b->n_anchors++;
	}
	cJSON_Delete(anchor->tree);
	anchor->tree = NULL;
	b->copies -= anchor->nodes;
	anchor->nodes = measure(node, &anchor->height);
	if (count_copies(b, anchor->nodes, line) < 0)
		return -EINVAL;
	anchor->tree = cJSON_Duplicate(node, true);
	return anchor->tree ? 0 : -ENOMEM;
}

/* A key is a text in JSON: of a plain scalar that of its value, so that `on:` is "true" and `0x10:`
 * is "16", as they are for Kubernetes. Not so a null's: there it is an error. */
static char *make_key(const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	cJSON *node = make_scalar(event);
	char number[40], *key;

	if (!node)
		return NULL;
	snprintf(number, sizeof(number), "%.15g", node->valuedouble);
	key = strdup(cJSON_IsBool(node)     ? (cJSON_IsTrue(node) ? "true" : "false")
		     : cJSON_IsNumber(node) ? number
					    : text);
	cJSON_Delete(node);
	return key;
}

/* In an object the first of each two nodes is a key: only a scalar can be one in JSON. */
static bool awaits_key(const struct builder *b)
{
	const struct level *top = b->depth ? &b->stack[b->depth - 1] : NULL;

	return top && cJSON_IsObject(top->container) && !top->key;
}

static int on_scalar(struct builder *b, const yaml_event_t *event)
{
	const char *anchor = (const char *)event->data.scalar.anchor;
	size_t line = event->start_mark.line;
	cJSON *node;
	int rc = 0;

	if (event->data.scalar.length != strlen((const char *)event->data.scalar.value))
		return fail_at(b, line, "a NUL character in a text");
	if (awaits_key(b)) {
		struct level *top = &b->stack[b->depth - 1];

		top->key = make_key(event);
		return top->key ? 0 : -ENOMEM;
	}
	node = make_scalar(event);
	if (!node)
		return -ENOMEM;
	node->valueint = (int)line + b->first_line;
	if (anchor)
		rc = define_anchor(b, anchor, node);
	if (rc < 0) {
		cJSON_Delete(node);
		return rc;
	}
	return attach(b, node);
}

static int on_begin(struct builder *b, const yaml_event_t *event, bool map)
{
	const char *anchor = (const char *)(map ? event->data.mapping_start.anchor
						: event->data.sequence_start.anchor);
	struct level *level;

	if (awaits_key(b))
		return fail_at(b, event->start_mark.line,
			       "a mapping or sequence as a key (a template has to be rendered "
			       "first)");
	if (b->depth == TREE_DEPTH_MAX)
		return fail_at(b, event->start_mark.line, "nested too deep");
	level = &b->stack[b->depth];
	*level = (struct level){.container = map ? cJSON_CreateObject() : cJSON_CreateArray()};
	if (!level->container)
		return -ENOMEM;
	level->container->valueint = (int)event->start_mark.line + b->first_line;
	b->depth++;
	if (anchor && !(level->anchor = strdup(anchor)))
		return -ENOMEM;
	return 0;
}

static int merge_map(struct builder *b, cJSON *into, const cJSON *from)
{
	if (!cJSON_IsObject(from))
		return fail_at(b, (size_t)(tree_line(from) - b->first_line),
			       "a merge key (<<) needs a mapping or a list of them");
	for (const cJSON *child = from->child; child; child = child->next) {
		cJSON *copy;

		if (tree_get(into, child->string))
			continue;
		copy = cJSON_Duplicate(tree_get(from, child->string), true);
		if (!copy || !cJSON_AddItemToObject(into, child->string, copy)) {
			cJSON_Delete(copy);
			return -ENOMEM;
		}
	}
	return 0;
}

static int merge_all(struct builder *b, cJSON *into, const cJSON *merge)
{
	int rc = 0;

	if (!cJSON_IsArray(merge))
		return merge_map(b, into, merge);
	for (const cJSON *item = merge->child; item && rc == 0; item = item->next)
		rc = merge_map(b, into, item);
	return rc;
}

/* What the mapping says itself goes before what is merged, and earlier merged before later. */
static int apply_merge(struct builder *b, cJSON *map)
{
	cJSON *merge;
	int rc = 0;

	while (rc == 0 && (merge = cJSON_DetachItemFromObjectCaseSensitive(map, "<<"))) {
		rc = merge_all(b, map, merge);
		cJSON_Delete(merge);
	}
	return rc;
}

static int on_end(struct builder *b)
{
	struct level *level = &b->stack[b->depth - 1];
	cJSON *node = level->container;
	char *anchor = take_ptr(level->anchor);
	int rc = cJSON_IsObject(node) ? apply_merge(b, node) : 0;

	if (rc == 0 && anchor)
		rc = define_anchor(b, anchor, node);
	free(anchor);
	if (rc < 0)
		return rc;
	b->depth--;
	return attach(b, node);
}

static int on_alias(struct builder *b, const yaml_event_t *event)
{
	const struct anchor *anchor = find_anchor(b, (const char *)event->data.alias.anchor);
	size_t line = event->start_mark.line;
	cJSON *copy;

	if (awaits_key(b))
		return fail_at(b, line, "an alias as a key");
	if (!anchor)
		return fail_at(b, line, "an alias for an unknown anchor");
	if (b->depth + anchor->height > TREE_DEPTH_MAX)
		return fail_at(b, line, "nested too deep");
	if (count_copies(b, anchor->nodes, line) < 0)
		return -EINVAL;
	copy = cJSON_Duplicate(anchor->tree, true);
	return copy ? attach(b, copy) : -ENOMEM;
}

static int on_document_end(struct builder *b)
{
	cJSON *root = take_ptr(b->root);

	for (size_t i = 0; i < b->n_anchors; i++) {
		free(b->anchors[i].name);
		cJSON_Delete(b->anchors[i].tree);
		b->anchors[i] = (struct anchor){0};
	}
	b->n_anchors = 0;
	b->nodes = b->copies = 0;
	if (root && !cJSON_IsNull(root))
		return b->fn(root, false, b->arg);
	cJSON_Delete(root);
	return 0;
}

static int on_event(struct builder *b, const yaml_event_t *event)
{
	if (++b->nodes > TREE_NODES_MAX)
		return fail_at(b, event->start_mark.line, "more values than one document may have");
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(b, event);
	case YAML_MAPPING_START_EVENT:
		return on_begin(b, event, true);
	case YAML_SEQUENCE_START_EVENT:
		return on_begin(b, event, false);
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		return on_end(b);
	case YAML_ALIAS_EVENT:
		return on_alias(b, event);
	case YAML_DOCUMENT_END_EVENT:
		return on_document_end(b);
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_START_EVENT:
		break;
	}
	return 0;
}

static size_t lines_before(const struct builder *b, size_t offset)
{
	size_t n = 0;

	for (size_t i = 0; i < offset && i < b->len; i++)
		n += b->text[i] == '\n';
	return n;
}

/* libyaml takes the end of a text for one more line, even behind a newline. */
static size_t line_inside(const struct builder *b, size_t line)
{
	size_t last = lines_before(b, b->len - (b->len && b->text[b->len - 1] == '\n'));

	return line < last ? line : last;
}

static const char *find_line(const struct builder *b, size_t line)
{
	const char *at = b->text, *end = b->text + b->len, *newline;

	while (line-- && (newline = memchr(at, '\n', (size_t)(end - at))))
		at = newline + 1;
	return at;
}

/* The common one, which libyaml calls a character that cannot start any token. */
static bool is_tab_indented(const struct builder *b, size_t line)
{
	const char *at = find_line(b, line), *end = b->text + b->len;

	while (at < end && *at == ' ')
		at++;
	return at < end && *at == '\t';
}

/* libyaml's problem, and in what: "..., while parsing a flow mapping begun in line 3". It does not
 * keep the line of a byte that it cannot read. */
static int syntax_error(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	size_t line = p->error == YAML_READER_ERROR ? lines_before(b, p->problem_offset)
						    : line_inside(b, p->problem_mark.line);
	size_t context_line = line_inside(b, p->context_mark.line);
	char begun[40] = "";

	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (p->context && context_line != line)
		snprintf(begun, sizeof(begun), " begun in line %zu",
			 context_line + (size_t)b->first_line);
	if (p->error == YAML_SCANNER_ERROR && is_tab_indented(b, line))
		return err_set(b->err, -EINVAL,
			       "%zu: not YAML: a tab: lines are indented by blanks",
			       line + (size_t)b->first_line);
	return err_set(b->err, -EINVAL, "%zu: not YAML: %s%s%s%s", line + (size_t)b->first_line,
		       p->problem ? p->problem : "unreadable", p->context ? ", " : "",
		       p->context ? p->context : "", begun);
}

static void builder_done(struct builder *b)
{
	for (size_t i = 0; i < b->depth; i++) {
		cJSON_Delete(b->stack[i].container);
		free(b->stack[i].key);
		free(b->stack[i].anchor);
	}
	for (size_t i = 0; i < b->n_anchors; i++) {
		free(b->anchors[i].name);
		cJSON_Delete(b->anchors[i].tree);
	}
	cJSON_Delete(b->root);
	yaml_parser_delete(&b->parser);
	free(b);
}

static int parse_events(struct builder *b)
{
	int rc = 0;

	for (bool more = true; more && rc == 0;) {
		yaml_event_t event;

		if (!yaml_parser_parse(&b->parser, &event))
			return syntax_error(b);
		more = event.type != YAML_STREAM_END_EVENT;
		rc = on_event(b, &event);
		yaml_event_delete(&event);
	}
	if (rc == -ENOMEM)
		err_set(b->err, rc, "%d: no memory", b->first_line);
	return rc;
}

/* ---- either ---- */

static bool looks_like_json(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len && isspace((unsigned char)text[i]))
		i++;
	return i < len && text[i] == '{';
}

/* Nothing may be handed out twice: so it is seen first whether all of the text is JSON. */
static int count_only(cJSON *tree, bool item, void *arg)
{
	(void)item, (void)arg;
	cJSON_Delete(tree);
	return 0;
}

static int read_yaml(const char *text, size_t len, int first_line, tree_fn fn, void *arg,
		     struct err *err)
{
	struct builder *b = calloc(1, sizeof(*b));
	int rc;

	if (!b || !yaml_parser_initialize(&b->parser)) {
		free(b);
		return err_set(err, -ENOMEM, "%d: no memory", first_line);
	}
	b->text = text;
	b->len = len;
	b->first_line = first_line;
	b->fn = fn;
	b->arg = arg;
	b->err = err;
	yaml_parser_set_input_string(&b->parser, (const unsigned char *)text, len);
	yaml_parser_set_encoding(&b->parser, YAML_UTF8_ENCODING);
	rc = parse_events(b);
	builder_done(b);
	return rc;
}

int tree_read(const char *text, size_t len, int first_line, tree_fn fn, void *arg, struct err *err)
{
	int rc = -EINVAL;

	if (looks_like_json(text, len) && json_read(text, len, first_line, count_only, NULL) == 0)
		rc = json_read(text, len, first_line, fn, arg);
	else
		return read_yaml(text, len, first_line, fn, arg, err);
	return rc == -ENOMEM ? err_set(err, rc, "%d: no memory", first_line) : rc;
}
