/* SPDX-License-Identifier: Apache-2.0 */
/* See json.h. By recursive descent, whose depth is bounded. Every function leaves `at` behind what
 * it read; NULL or false means that `error` is set, and all goes back up. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "source/json.h"

#define REPLACEMENT 0xfffd /* what Go's reader makes of half a surrogate pair */

struct json {
	const char *at, *end;
	int line;
	size_t depth, nodes;
	tree_fn fn;
	void *arg;
	int error;
};

static cJSON *read_value(struct json *j, bool hand_out);

static void *fail(struct json *j, int error)
{
	if (!j->error)
		j->error = error;
	return NULL;
}

static void skip_blanks(struct json *j)
{
	for (; j->at < j->end && strchr(" \t\r\n", *j->at) && *j->at; j->at++)
		j->line += *j->at == '\n';
}

/* Takes `c`, if it is what comes next. */
static bool take(struct json *j, char c)
{
	skip_blanks(j);
	if (j->at == j->end || *j->at != c)
		return false;
	j->at++;
	return true;
}

/* ---- texts ---- */

/* Four hexadecimal digits at `p`; UINT32_MAX if they are none. */
static uint32_t hex4(const char *p, const char *end)
{
	uint32_t code = 0;

	if (end - p < 4)
		return UINT32_MAX;
	for (int i = 0; i < 4; i++) {
		int c = tolower((unsigned char)p[i]);

		if (!isxdigit(c))
			return UINT32_MAX;
		code = code << 4 | (uint32_t)(isdigit(c) ? c - '0' : c - 'a' + 10);
	}
	return code;
}

static char *put_utf8(char *out, uint32_t code)
{
	if (code < 0x80) {
		*out++ = (char)code;
		return out;
	}
	if (code < 0x800) {
		*out++ = (char)(0xc0 | code >> 6);
	} else {
		if (code < 0x10000) {
			*out++ = (char)(0xe0 | code >> 12);
		} else {
			*out++ = (char)(0xf0 | code >> 18);
			*out++ = (char)(0x80 | (code >> 12 & 0x3f));
		}
		*out++ = (char)(0x80 | (code >> 6 & 0x3f));
	}
	*out++ = (char)(0x80 | (code & 0x3f));
	return out;
}

/* Behind "\u": one code, or a pair that makes one. */
static char *read_code(struct json *j, const char *end, char *out)
{
	uint32_t code = hex4(j->at, end), low;

	if (code == UINT32_MAX || !code)
		return fail(j, -EINVAL);
	j->at += 4;
	if (code < 0xd800 || code > 0xdfff)
		return put_utf8(out, code);
	low = end - j->at >= 6 && j->at[0] == '\\' && j->at[1] == 'u' ? hex4(j->at + 2, end) : 0;
	if (code > 0xdbff || low < 0xdc00 || low > 0xdfff)
		return put_utf8(out, REPLACEMENT);
	j->at += 6;
	return put_utf8(out, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
}

static char *read_escape(struct json *j, const char *end, char *out)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *name;

	if (*j->at == 'u') {
		j->at++;
		return read_code(j, end, out);
	}
	name = *j->at ? strchr(names, *j->at) : NULL;
	if (!name)
		return fail(j, -EINVAL);
	j->at++;
	*out++ = values[name - names];
	return out;
}

/* A character of several bytes; what is no UTF-8 (overlong, surrogate, cut off) is refused. */
static char *read_wide(struct json *j, const char *end, char *out)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = (unsigned char)*j->at;
	int n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	uint32_t code = first & (0xffU >> (n + 1));

	if (first < 0xc2 || first > 0xf4 || end - j->at < n)
		return fail(j, -EINVAL);
	for (int i = 1; i < n; i++) {
		if (((unsigned char)j->at[i] & 0xc0) != 0x80)
			return fail(j, -EINVAL);
		code = code << 6 | ((unsigned char)j->at[i] & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return fail(j, -EINVAL);
	j->at += n;
	return put_utf8(out, code);
}

static char *read_char(struct json *j, const char *end, char *out)
{
	unsigned char c = (unsigned char)*j->at;

	if (c == '\\') {
		j->at++;
		return read_escape(j, end, out);
	}
	if (c >= 0x80)
		return read_wide(j, end, out);
	if (c < 0x20)
		return fail(j, -EINVAL);
	*out++ = *j->at++;
	return out;
}

/* A text in quotes, owned by the caller. No escape is shorter than what it stands for, so that the
 * text in the file is room enough. */
static char *read_text(struct json *j)
{
	const char *close;
	char *text, *out;

	if (!take(j, '"'))
		return fail(j, -EINVAL);
	for (close = j->at; close < j->end && *close != '"';)
		close += *close == '\\' ? 2 : 1;
	if (close >= j->end)
		return fail(j, -EINVAL);
	text = out = malloc((size_t)(close - j->at) + 1);
	if (!text)
		return fail(j, -ENOMEM);
	while (out && j->at < close)
		out = read_char(j, close, out);
	if (!out) {
		free(text);
		return NULL;
	}
	*out = '\0';
	j->at++;
	return text;
}

/* ---- other scalars ---- */

static size_t count_digits(const char *p, const char *end)
{
	size_t n = 0;

	while (p + n < end && isdigit((unsigned char)p[n]))
		n++;
	return n;
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)? The length; 0 if there is none. */
static size_t number_len(const char *at, const char *end)
{
	const char *p = at + (at < end && *at == '-');
	size_t n = count_digits(p, end);

	if (!n || (*p == '0' && n > 1))
		return 0;
	p += n;
	if (p < end && *p == '.') {
		n = count_digits(p + 1, end);
		if (!n)
			return 0;
		p += 1 + n;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		p += p < end && (*p == '-' || *p == '+');
		n = count_digits(p, end);
		if (!n)
			return 0;
		p += n;
	}
	return (size_t)(p - at);
}

static cJSON *read_number(struct json *j)
{
	size_t len = number_len(j->at, j->end);
	char text[64];
	double value;

	if (!len || len >= sizeof(text))
		return fail(j, -EINVAL);
	memcpy(text, j->at, len);
	text[len] = '\0';
	value = strtod(text, NULL);
	if (!isfinite(value))
		return fail(j, -EINVAL);
	j->at += len;
	return cJSON_CreateNumber(value);
}

static cJSON *read_string(struct json *j)
{
	char *text = read_text(j);
	cJSON *node = text ? cJSON_CreateNull() : NULL;

	if (!node) {
		free(text);
		return NULL;
	}
	node->type = cJSON_String;
	node->valuestring = text;
	return node;
}

static bool take_word(struct json *j, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(j->end - j->at) < len || memcmp(j->at, word, len) != 0)
		return false;
	j->at += len;
	return true;
}

static cJSON *read_scalar(struct json *j)
{
	if (j->at < j->end && *j->at == '"')
		return read_string(j);
	if (take_word(j, "true"))
		return cJSON_CreateTrue();
	if (take_word(j, "false"))
		return cJSON_CreateFalse();
	if (take_word(j, "null"))
		return cJSON_CreateNull();
	return read_number(j);
}

/* ---- lists and mappings ---- */

/* An object in a List is handed out at once; the count is of what is in memory. */
static bool add_element(struct json *j, cJSON *list, cJSON *node, bool hand_out)
{
	if (!hand_out || !cJSON_IsObject(node)) {
		cJSON_AddItemToArray(list, node);
		return true;
	}
	j->nodes = 0;
	j->error = j->fn(node, true, j->arg);
	return j->error == 0;
}

static bool read_elements(struct json *j, cJSON *list, bool hand_out)
{
	if (take(j, ']'))
		return true;
	do {
		cJSON *node = read_value(j, false);

		if (!node || !add_element(j, list, node, hand_out))
			return false;
	} while (take(j, ','));
	return take(j, ']') || fail(j, -EINVAL);
}

static bool read_members(struct json *j, cJSON *map)
{
	if (take(j, '}'))
		return true;
	do {
		char *key = read_text(j);
		bool items = key && j->depth == 1 && strcmp(key, "items") == 0;
		cJSON *node =
			key && (take(j, ':') || fail(j, -EINVAL)) ? read_value(j, items) : NULL;

		if (!node) {
			free(key);
			return false;
		}
		node->string = key;
		cJSON_AddItemToArray(map, node); /* it bears its name already */
	} while (take(j, ','));
	return take(j, '}') || fail(j, -EINVAL);
}

static cJSON *read_container(struct json *j, bool hand_out)
{
	bool map = *j->at++ == '{', good = false;
	cJSON *node = map ? cJSON_CreateObject() : cJSON_CreateArray();

	if (j->depth == TREE_DEPTH_MAX)
		fail(j, -EINVAL);
	else if (node) {
		j->depth++;
		good = map ? read_members(j, node) : read_elements(j, node, hand_out);
		j->depth--;
	}
	if (good)
		return node;
	cJSON_Delete(node);
	return NULL;
}

/* `hand_out`: if it is a list, it is a List's. */
static cJSON *read_value(struct json *j, bool hand_out)
{
	cJSON *node;
	int line;

	skip_blanks(j);
	line = j->line;
	if (j->at == j->end || ++j->nodes > TREE_NODES_MAX)
		return fail(j, -EINVAL);
	node = *j->at == '{' || *j->at == '[' ? read_container(j, hand_out) : read_scalar(j);
	if (!node)
		return fail(j, -ENOMEM); /* unless it is known why already */
	node->valueint = line;
	return node;
}

int json_read(const char *text, size_t len, int first_line, tree_fn fn, void *arg)
{
	struct json j = {.at = text, .end = text + len, .line = first_line, .fn = fn, .arg = arg};

	for (skip_blanks(&j); j.at < j.end && !j.error; skip_blanks(&j)) {
		cJSON *root = read_value(&j, false);

		if (!root)
			break;
		j.nodes = 0;
		if (cJSON_IsNull(root))
			cJSON_Delete(root);
		else
			j.error = fn(root, false, arg);
	}
	return j.error;
}
