/* SPDX-License-Identifier: Apache-2.0 */
/* YAML and JSON as trees: what Kubernetes' reader makes of a text, printed as JSON; what is refused
 * and where; bounds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "source/tree.h"

static int print_tree(cJSON *tree, bool item, void *arg)
{
	char *text = cJSON_PrintUnformatted(tree);

	assert_non_null(text);
	fprintf(arg, "%s%s\n", item ? "- " : "", text);
	cJSON_free(text);
	cJSON_Delete(tree);
	return 0;
}

/* All that is handed out, in order: elements as "- JSON", documents as "JSON", a line each. The
 * caller frees. */
static char *read_all(const char *text, size_t len, int *ret_rc, struct err *err)
{
	char *result = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&result, &size);

	assert_non_null(out);
	*err = (struct err){0};
	*ret_rc = tree_read(text, len, 1, print_tree, out, err);
	fclose(out);
	return result;
}

struct good_case {
	const char *text, *want;
};

static void check_good(const struct good_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct err err;
		int rc;
		char *got = read_all(cases[i].text, strlen(cases[i].text), &rc, &err);

		if (rc != 0 || strcmp(got, cases[i].want) != 0)
			print_error("%s\n  gave %d %s\n%s  wanted\n%s", cases[i].text, rc, err.text,
				    got, cases[i].want);
		assert_int_equal(rc, 0);
		assert_string_equal(got, cases[i].want);
		free(got);
	}
}

static void check_bad(const struct good_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct err err;
		int rc;
		char *got = read_all(cases[i].text, strlen(cases[i].text), &rc, &err);

		if (rc != -EINVAL || strncmp(err.text, cases[i].want, strlen(cases[i].want)) != 0)
			print_error("%s\n  gave %d %s\n  wanted %s", cases[i].text, rc, err.text,
				    cases[i].want);
		assert_int_equal(rc, -EINVAL);
		assert_int_equal(err.code, -EINVAL);
		assert_memory_equal(err.text, cases[i].want, strlen(cases[i].want));
		free(got);
	}
}

/* ---- scalars ---- */

static void plain_scalars(void **state)
{
	static const struct good_case cases[] = {
		{"[80, 0, -1, +7]", "[80,0,-1,7]\n"},
		{"[0x1F, 0X1f, 0o17, 017, 0b101, -0x10]", "[31,31,15,15,5,-16]\n"},
		{"[1_000, 08, 0x, 0b2, 0o8, 1__0]", "[1000,8,\"0x\",\"0b2\",\"0o8\",10]\n"},
		{"[1.5, .5, 1., 1e3, -2.5E-1, +.5]", "[1.5,0.5,1,1000,-0.25,0.5]\n"},
		{"[., e5, 1e, 1e+, 1.2.3, -, +, _1]",
		 "[\".\",\"e5\",\"1e\",\"1e+\",\"1.2.3\",\"-\",\"+\",\"_1\"]\n"},
		{"[10.0.0.1, 10.0.0.0/8, 1:30, 1e999]",
		 "[\"10.0.0.1\",\"10.0.0.0/8\",\"1:30\",\"1e999\"]\n"},
		{"[y, Y, yes, Yes, YES, true, True, TRUE, on, On, ON]",
		 "[true,true,true,true,true,true,true,true,true,true,true]\n"},
		{"[n, N, no, No, NO, false, False, FALSE, off, Off, OFF]",
		 "[false,false,false,false,false,false,false,false,false,false,false]\n"},
		{"[yEs, tRUE, oN, nULL]", "[\"yEs\",\"tRUE\",\"oN\",\"nULL\"]\n"},
		{"a:\nb: ~\nc: null\nd: Null\ne: NULL\n",
		 "{\"a\":null,\"b\":null,\"c\":null,\"d\":null,\"e\":null}\n"},
		{"[=, <<, 2024-01-01, 2024-01-01T00:00:00Z]",
		 "[\"=\",\"<<\",\"2024-01-01\",\"2024-01-01T00:00:00Z\"]\n"},
	};

	(void)state;
	check_good(cases, ARRAY_SIZE(cases));
}

static void quoted_and_tagged(void **state)
{
	static const struct good_case cases[] = {
		{"[\"80\", '80', \"yes\", 'null', \"\", '']",
		 "[\"80\",\"80\",\"yes\",\"null\",\"\",\"\"]\n"},
		{"['it''s', \"a\\tb\", \"\\u00e9\\x41\\/\"]", "[\"it's\",\"a\\tb\",\"\xc3\xa9"
							      "A/\"]\n"},
		{"[!!str 80, !!str yes, !!str, !!int \"80\", !!bool \"on\", !!float '1.5']",
		 "[\"80\",\"yes\",\"\",80,true,1.5]\n"},
		{"[!!binary aGk=, !mine 80, !mine \"80\"]", "[\"aGk=\",80,\"80\"]\n"},
	};

	(void)state;
	check_good(cases, ARRAY_SIZE(cases));
}

/* Keys are texts: that of a plain key's value. */
static void keys(void **state)
{
	static const struct good_case cases[] = {
		{"{80: a, 0x10: b, on: c, \"on\": d, 1.50: e}",
		 "{\"80\":\"a\",\"16\":\"b\",\"true\":\"c\",\"on\":\"d\",\"1.5\":\"e\"}\n"},
		{"? a\n: b\n? \"80\"\n", "{\"a\":\"b\",\"80\":null}\n"},
		{"=: a\n", "{\"=\":\"a\"}\n"},
	};

	(void)state;
	check_good(cases, ARRAY_SIZE(cases));
}

static void texts_of_several_lines(void **state)
{
	static const struct good_case cases[] = {
		{"a: |\n  x\n   y\n\n  z\n", "{\"a\":\"x\\n y\\n\\nz\\n\"}\n"},
		{"a: |-\n  x\nb: |+\n  y\n\nc: |2\n    z\n",
		 "{\"a\":\"x\",\"b\":\"y\\n\\n\",\"c\":\"  z\\n\"}\n"},
		{"a: >\n  x\n  y\n\n  z\nb: >-\n  80\n", "{\"a\":\"x y\\nz\\n\",\"b\":\"80\"}\n"},
		{"a: |\n  # no comment\n  --- no document\n  b: c\n",
		 "{\"a\":\"# no comment\\n--- no document\\nb: c\\n\"}\n"},
		{"a: one\n  two\nb: \"one\n  two\\\n  three\"\n",
		 "{\"a\":\"one two\",\"b\":\"one twothree\"}\n"},
	};

	(void)state;
	check_good(cases, ARRAY_SIZE(cases));
}

/* ---- anchors and merging ---- */

static void anchors(void **state)
{
	static const struct good_case cases[] = {
		{"a: &x 80\nb: *x\nc: &y [1, {d: 2}]\ne: *y\n",
		 "{\"a\":80,\"b\":80,\"c\":[1,{\"d\":2}],\"e\":[1,{\"d\":2}]}\n"},
		{"- &x 1\n- &x 2\n- *x\n", "[1,2,2]\n"},
		{"a: &x\nb: *x\n", "{\"a\":null,\"b\":null}\n"},
		{"kind: List\nitems:\n- &x {a: 1}\n- {b: *x}\n",
		 "- {\"a\":1}\n- {\"b\":{\"a\":1}}\n{\"kind\":\"List\",\"items\":[]}\n"},
	};

	(void)state;
	check_good(cases, ARRAY_SIZE(cases));
}

static void merging(void **state)
{
	static const struct good_case cases[] = {
		{"a: &a {x: 1, q: 2}\nb: {<<: *a, q: 3}\n",
		 "{\"a\":{\"x\":1,\"q\":2},\"b\":{\"q\":3,\"x\":1}}\n"},
		{"a: &a {x: 1}\nb: &b {x: 2, q: 3}\nc: {<<: [*a, *b]}\n",
		 "{\"a\":{\"x\":1},\"b\":{\"x\":2,\"q\":3},\"c\":{\"x\":1,\"q\":3}}\n"},
		{"a: {<<: {x: 1}, <<: {x: 2, q: 3}}\n", "{\"a\":{\"x\":1,\"q\":3}}\n"},
		{"a: &a {x: 1, x: 2}\nb: {<<: *a}\n",
		 "{\"a\":{\"x\":1,\"x\":2},\"b\":{\"x\":2}}\n"},
		{"a: &a {x: {p: 1}}\nb: &b {<<: *a}\nc: {<<: *b}\n",
		 "{\"a\":{\"x\":{\"p\":1}},\"b\":{\"x\":{\"p\":1}},\"c\":{\"x\":{\"p\":1}}}\n"},
	};

	(void)state;
	check_good(cases, ARRAY_SIZE(cases));
}

/* ---- documents and files as they come ---- */

static void documents(void **state)
{
	static const struct good_case cases[] = {
		{"", ""},
		{"# only a comment\n", ""},
		{"---\n---\n# nothing\n---\n", ""},
		{"a: 1\n---\nb: 2\n", "{\"a\":1}\n{\"b\":2}\n"},
		{"%YAML 1.1\n---\na: 1\n...\n---\nb: 2\n", "{\"a\":1}\n{\"b\":2}\n"},
		{"--- {a: 1}\n--- [b]\n--- c\n", "{\"a\":1}\n[\"b\"]\n\"c\"\n"},
		{"\xef\xbb\xbf"
		 "a: 1\n",
		 "{\"a\":1}\n"},
		{"a: 1\r\nb: |\r\n  x\r\n  y\r\n---\r\nc: [1,\r\n 2]\r\n",
		 "{\"a\":1,\"b\":\"x\\ny\\n\"}\n{\"c\":[1,2]}\n"},
		{"a: 1 # comment\n# comment\nb: '#'\n", "{\"a\":1,\"b\":\"#\"}\n"},
		{"{a: 1, b: [x, w], c: \"z\"} # YAML, for all its looks\n",
		 "{\"a\":1,\"b\":[\"x\",\"w\"],\"c\":\"z\"}\n"},
	};

	(void)state;
	check_good(cases, ARRAY_SIZE(cases));
}

static void lists(void **state)
{
	static const struct good_case cases[] = {
		{"kind: List\nitems:\n- a: 1\n- b: 2\nlast: x\n",
		 "- {\"a\":1}\n- {\"b\":2}\n{\"kind\":\"List\",\"items\":[],\"last\":\"x\"}\n"},
		{"items: [1, {a: {items: [{b: 2}]}}, [x]]\n",
		 "- {\"a\":{\"items\":[{\"b\":2}]}}\n{\"items\":[1,[\"x\"]]}\n"},
		{"spec: {items: [{a: 1}]}\n", "{\"spec\":{\"items\":[{\"a\":1}]}}\n"},
		{"- items: [{a: 1}]\n", "[{\"items\":[{\"a\":1}]}]\n"},
		{"{\"items\":[{\"a\":1},2,{\"b\":{\"items\":[{}]}}],\"k\":\"List\"}",
		 "- {\"a\":1}\n- {\"b\":{\"items\":[{}]}}\n{\"items\":[2],\"k\":\"List\"}\n"},
	};

	(void)state;
	check_good(cases, ARRAY_SIZE(cases));
}

/* All keys are there; the last is the one that counts. */
static int take_last(cJSON *tree, bool item, void *arg)
{
	const cJSON **nodes = arg;

	assert_false(item);
	assert_int_equal(tree_get(tree, "a")->valuedouble, 3);
	assert_int_equal(tree_line(tree_get(tree, "a")), 12);
	assert_null(tree_get(tree, "c"));
	assert_null(tree_get(tree_get(tree, "b"), "a"));
	nodes[0] = tree;
	return 0;
}

static void duplicate_keys(void **state)
{
	static const char *const texts[] = {"a: 1\nb: 2\na: 3\n",
					    "{\"a\": 1,\n\"b\": 2,\n\"a\": 3}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		cJSON *tree = NULL;
		struct err err;

		assert_int_equal(tree_read(texts[i], strlen(texts[i]), 10, take_last, &tree, &err),
				 0);
		cJSON_Delete(tree);
	}
}

/* ---- JSON ---- */

static void json(void **state)
{
	static const struct good_case cases[] = {
		{"{\"a\":[1,-0.5,1e3,2E-1,0,true,false,null,\"x\"],\"\":{}}",
		 "{\"a\":[1,-0.5,1000,0.2,0,true,false,null,\"x\"],\"\":{}}\n"},
		{"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac\"}",
		 "{\"a\":\"\\\"\\\\/\\b\\f\\n\\r\\t\xc3\xa9\xe2\x82\xac\"}\n"},
		{"{\"a\":\"\\ud83d\\ude00 \xf0\x9f\x98\x80 \\uDBFF\\uDFFF\"}",
		 "{\"a\":\"\xf0\x9f\x98\x80 \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf\"}\n"},
		{"{\"a\":\"\\ud83d|\\ude00|\\ud83d\\u0041|\\\\ud83d\"}",
		 "{\"a\":\"\xef\xbf\xbd|\xef\xbf\xbd|\xef\xbf\xbd"
		 "A|\\\\ud83d\"}\n"},
		{"\n\t {\"a\"\n:\t1 ,\r\n\"b\" : [ ] , \"c\":[ 1 , 2 ] }\n",
		 "{\"a\":1,\"b\":[],\"c\":[1,2]}\n"},
		{"{\"a\":1}{\"b\":\"\\ud83d\\ude00\"}\n{\"c\":3} null ",
		 "{\"a\":1}\n{\"b\":\"\xf0\x9f\x98\x80\"}\n{\"c\":3}\n"},
		{"{\"<<\":{\"x\":1},\"80\":2,\"yes\":\"yes\"}",
		 "{\"<<\":{\"x\":1},\"80\":2,\"yes\":\"yes\"}\n"},
		{"{\"a\":1}\n---\n{\"b\":2}\n", "{\"a\":1}\n{\"b\":2}\n"},
	};

	(void)state;
	check_good(cases, ARRAY_SIZE(cases));
}

/* ---- errors ---- */

static void bad_yaml(void **state)
{
	static const struct good_case cases[] = {
		{"a: 1\n\tb: 2\n", "2: not YAML: a tab: lines are indented by blanks"},
		{"a:\n\tb: 2\n", "2: not YAML: a tab: lines are indented by blanks"},
		{"a:\n  b: 1\n c: 2\n", "3: not YAML: did not find expected key"},
		{"a: [1, 2\nb: 3\n", "2: not YAML: did not find expected ',' or ']'"},
		{"a: 'x\n", "1: not YAML: found unexpected end of stream"},
		{"a: 'x\nb: c\n", "2: not YAML: found unexpected end of stream, while scanning a "
				  "quoted scalar begun in line 1"},
		{"a: b: c\n", "1: not YAML: mapping values are not allowed in this context"},
		{"a: {{ .Values.port }}\n",
		 "1: a mapping or sequence as a key (a template has to be rendered first)"},
		{"? [a]\n: b\n",
		 "1: a mapping or sequence as a key (a template has to be rendered first)"},
		{"a: 1\n? *x\n: b\n", "2: an alias as a key"},
		{"a: 1\nb: *x\n", "2: an alias for an unknown anchor"},
		{"a: &x [1, *x]\n", "1: an alias for an unknown anchor"},
		{"a: &x 1\n---\nb: *x\n", "3: an alias for an unknown anchor"},
		{"a: 1\nb:\n  <<: 80\n", "3: a merge key (<<) needs a mapping or a list of them"},
		{"b: {<<: [{}, x]}\n", "1: a merge key (<<) needs a mapping or a list of them"},
		{"a: 1\nb: \"x\\0\"\n", "2: a NUL character in a text"},
		{"a: 1\nb: \xff\n", "2: not YAML: invalid leading UTF-8 octet"},
		{"a: 1\nb: \x01\n", "2: not YAML: control characters are not allowed"},
		{"a: @x\n", "1: not YAML: found character that cannot start any token"},
		{"a: !<tag\n", "1: not YAML: "},
		{"plain text\nb: 1\n", "2: not YAML: "},
	};

	(void)state;
	check_bad(cases, ARRAY_SIZE(cases));
}

static void bad_json(void **state)
{
	static const struct good_case cases[] = {
		{"{\n\"a\": 1\n\"b\": 2}", "3: not YAML: did not find expected ',' or '}', while "
					   "parsing a flow mapping begun in line 1"},
		{"{\"a\": [1, 2}", "1: not YAML: did not find expected ',' or ']'"},
		{"{\"a\":\n1", "2: not YAML: did not find expected ',' or '}'"},
		{"{\"a\": \"x", "1: not YAML: found unexpected end of stream"},
		{"{\"a\":\n\"\\q\"}", "2: not YAML: found unknown escape character"},
		{"{\"a\":\n\"\\u12g4\"}", "2: not YAML: did not find expected hexdecimal number"},
		{"{\"a\":\n\"\\u0000\"}", "2: a NUL character in a text"},
		{"{\"a\":\n\"\xc0\xaf\"}", "2: not YAML: "},
		{"{\"a\":1}\n]", "2: not YAML: "},
	};

	(void)state;
	check_bad(cases, ARRAY_SIZE(cases));
}

/* What json.c refuses is YAML or nothing: neither half a number nor broken UTF-8 comes through. */
static void json_is_strict(void **state)
{
	static const struct good_case cases[] = {
		{"{\"a\":01}", "{\"a\":1}\n"},
		{"{\"a\":1.}", "{\"a\":1}\n"},
		{"{\"a\":.5}", "{\"a\":0.5}\n"},
		{"{\"a\":+1}", "{\"a\":1}\n"},
		{"{\"a\":1e}", "{\"a\":\"1e\"}\n"},
		{"{\"a\":-}", "{\"a\":\"-\"}\n"},
		{"{\"a\":truer}", "{\"a\":\"truer\"}\n"},
		{"{\"a\":1e999}", "{\"a\":\"1e999\"}\n"},
		{"{\"a\":[1,]}", "{\"a\":[1]}\n"},
		{"{\"a\":1,}", "{\"a\":1}\n"},
	};

	(void)state;
	check_good(cases, ARRAY_SIZE(cases));
}

static int cancel(cJSON *tree, bool item, void *arg)
{
	(void)item;
	++*(size_t *)arg;
	cJSON_Delete(tree);
	return -ECANCELED;
}

static void receiver_ends_it(void **state)
{
	static const char *const texts[] = {
		"a: 1\n---\nb: 2\n",
		"items: [{a: 1}, {b: 2}]\n",
		"{\"a\":1}{\"b\":2}",
		"{\"x\":{\"y\":1},\"items\":[{\"a\":1},{\"b\":2}]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct err err;
		size_t calls = 0;

		assert_int_equal(tree_read(texts[i], strlen(texts[i]), 1, cancel, &calls, &err),
				 -ECANCELED);
		assert_int_equal(calls, 1);
	}
}

/* ---- lines ---- */

static int take_lines(cJSON *tree, bool item, void *arg)
{
	const cJSON *list = tree_get(tree, "list");

	(void)item;
	assert_int_equal(tree_line(tree), 101);
	assert_int_equal(tree_line(tree_get(tree, "port")), 101);
	assert_int_equal(tree_line(tree_get(tree, "name")), 102);
	assert_int_equal(tree_line(list), 104);
	assert_int_equal(tree_line(cJSON_GetArrayItem(list, 0)), 104);
	assert_int_equal(tree_line(cJSON_GetArrayItem(list, 1)), 105);
	assert_int_equal(tree_line(tree_get(cJSON_GetArrayItem(list, 1), "x")), 106);
	++*(int *)arg;
	cJSON_Delete(tree);
	return 0;
}

static void lines(void **state)
{
	static const char *const texts[] = {
		"port: 70000\nname: \"x\"\nlist:\n- 1\n- y: 2\n  x: {}\n",
		"{\"port\": 70000,\n\"name\": \"\\ud83d\\ude00\",\n\"list\":\n[1,\n{\"y\": 2,\n"
		"\"x\": {}}]}",
	};
	int calls = 0;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(
			tree_read(texts[i], strlen(texts[i]), 101, take_lines, &calls, &err), 0);
	assert_int_equal(calls, ARRAY_SIZE(texts));
}

/* ---- bounds ---- */

/* `open` and `close` n times around `inside`; the caller frees. */
static char *nested(size_t n, const char *open, const char *inside, const char *close)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	for (size_t i = 0; i < n; i++)
		fputs(open, out);
	fputs(inside, out);
	for (size_t i = 0; i < n; i++)
		fputs(close, out);
	fclose(out);
	return text;
}

static void check_nested(size_t n, const char *open, const char *inside, const char *close,
			 bool good)
{
	char *text = nested(n, open, inside, close), *got;
	struct err err;
	int rc;

	got = read_all(text, strlen(text), &rc, &err);
	assert_int_equal(rc, good ? 0 : -EINVAL);
	if (!good)
		assert_string_equal(err.text, "1: nested too deep");
	free(got);
	free(text);
}

static void nesting(void **state)
{
	static const size_t too_many[] = {TREE_DEPTH_MAX + 1, 10000, 100000};

	(void)state;
	check_nested(TREE_DEPTH_MAX, "[", "1", "]", true);
	check_nested(TREE_DEPTH_MAX, "{\"a\":", "1", "}", true);
	check_nested(TREE_DEPTH_MAX - 1, "- ", "1", "", true);
	for (size_t i = 0; i < ARRAY_SIZE(too_many); i++) {
		check_nested(too_many[i], "[", "1", "]", false);
		check_nested(too_many[i], "[", "1", "", false);
		check_nested(too_many[i], "{a: ", "1", "}", false);
		check_nested(too_many[i], "{\"a\":", "1", "}", false);
		check_nested(too_many[i], "- ", "1", "", false);
	}
}

/* Each mapping holds the one before it ten times. */
static char *alias_bomb(const char *begin, size_t n)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	fprintf(out, "%s- &a0 {x: 1}\n", begin);
	for (size_t i = 1; i <= n; i++) {
		fprintf(out, "- &a%zu {l: [", i);
		for (int k = 0; k < 10; k++)
			fprintf(out, "%s*a%zu", k ? ", " : "", i - 1);
		fputs("]}\n", out);
	}
	fclose(out);
	return text;
}

/* What a List hands out is out of memory, its anchors are not. */
static void alias_bombs(void **state)
{
	static const struct {
		const char *begin, *error; /* error NULL = good */
		size_t n;
	} cases[] = {
		{"", NULL, 3},
		{"", "6: anchors and aliases expand to too much", 9},
		{"items:\n", NULL, 4},
		{"items:\n", "7: anchors and aliases expand to too much", 9},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text = alias_bomb(cases[i].begin, cases[i].n), *got;
		struct err err;
		int rc;

		got = read_all(text, strlen(text), &rc, &err);
		assert_int_equal(rc, cases[i].error ? -EINVAL : 0);
		if (cases[i].error)
			assert_string_equal(err.text, cases[i].error);
		free(got);
		free(text);
	}
}

/* Each level is shallow in the text; together they are deep. */
static void nesting_by_aliases(void **state)
{
	char *text = NULL, *got;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct err err;
	int rc;

	(void)state;
	fputs("- &a0 1\n", out);
	for (int i = 1; i <= 300; i++)
		fprintf(out, "- &a%d [*a%d]\n", i, i - 1);
	fclose(out);
	got = read_all(text, len, &rc, &err);
	assert_int_equal(rc, -EINVAL);
	assert_string_equal(err.text, "200: nested too deep");
	free(got);
	free(text);
}

static void many_anchors(void **state)
{
	char *text = NULL, *got;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct err err;
	int rc;

	(void)state;
	for (int i = 0; i < 2000; i++)
		fprintf(out, "- &a%d 1\n", i);
	fclose(out);
	got = read_all(text, len, &rc, &err);
	assert_int_equal(rc, -EINVAL);
	assert_string_equal(err.text, "1025: too many anchors");
	free(got);
	free(text);
}

static int count_trees(cJSON *tree, bool item, void *arg)
{
	(void)item;
	++*(size_t *)arg;
	cJSON_Delete(tree);
	return 0;
}

/* 5 MiB of one List, in either syntax: as quick to read as it is long. */
static void large_file(void **state)
{
	static const struct {
		const char *begin, *item, *end;
	} cases[] = {
		{"kind: List\nitems:\n", "- {a: some text, b: [1, 2, 3], c: {d: e}}\n", ""},
		{"{\"items\":[{}\n", ",{\"a\":\"some text\",\"b\":[1,2,3],\"c\":{\"d\":\"e\"}}\n",
		 "]}"},
		{"items:\n", "- # a comment, and a text\n  a: |\n    one\n    two\n", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = (5 << 20) / strlen(cases[i].item), len = 0, trees = 0;
		bool json_begin = cases[i].begin[0] == '{';
		char *text = NULL;
		FILE *out = open_memstream(&text, &len);
		struct err err;

		fputs(cases[i].begin, out);
		for (size_t k = 0; k < n; k++)
			fputs(cases[i].item, out);
		fputs(cases[i].end, out);
		fclose(out);
		assert_int_equal(tree_read(text, len, 1, count_trees, &trees, &err), 0);
		assert_int_equal(trees, n + 1 + json_begin);
		free(text);
	}
}

/* Of JSON, too: it is read as such first, then as YAML. */
static void too_many_values(void **state)
{
	char *text = malloc(2 * (size_t)TREE_NODES_MAX + 64), *at;
	size_t trees = 0;
	struct err err;

	(void)state;
	assert_non_null(text);
	at = stpcpy(text, "{\"a\":[0");
	for (int k = 0; k < TREE_NODES_MAX; k++)
		at = stpcpy(at, ",0");
	at = stpcpy(at, "]}");
	assert_int_equal(tree_read(text, (size_t)(at - text), 1, count_trees, &trees, &err),
			 -EINVAL);
	assert_string_equal(err.text, "1: more values than one document may have");
	assert_int_equal(trees, 0);
	free(text);
}

/* The length counts, not a NUL: nothing behind it is read. */
static void length_counts(void **state)
{
	static const char *const texts[] = {"a: 12345",    "{\"a\":12345", "{\"a\":\"x\\u12",
					    "{\"a\":\"\\", "{\"a\":tr",    "{\"a\":\"\xe2\x82"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		for (size_t len = 0; len <= strlen(texts[i]); len++) {
			char *text = malloc(len ? len : 1), *got; /* ASan sees one byte too far */
			struct err err;
			int rc;

			assert_non_null(text);
			memcpy(text, texts[i], len);
			got = read_all(text, len, &rc, &err);
			assert_true(rc == 0 || rc == -EINVAL);
			free(got);
			free(text);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_scalars),
		cmocka_unit_test(quoted_and_tagged),
		cmocka_unit_test(keys),
		cmocka_unit_test(texts_of_several_lines),
		cmocka_unit_test(anchors),
		cmocka_unit_test(merging),
		cmocka_unit_test(documents),
		cmocka_unit_test(lists),
		cmocka_unit_test(duplicate_keys),
		cmocka_unit_test(json),
		cmocka_unit_test(bad_yaml),
		cmocka_unit_test(bad_json),
		cmocka_unit_test(json_is_strict),
		cmocka_unit_test(receiver_ends_it),
		cmocka_unit_test(lines),
		cmocka_unit_test(nesting),
		cmocka_unit_test(alias_bombs),
		cmocka_unit_test(nesting_by_aliases),
		cmocka_unit_test(many_anchors),
		cmocka_unit_test(large_file),
		cmocka_unit_test(too_many_values),
		cmocka_unit_test(length_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
