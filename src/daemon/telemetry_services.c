/* SPDX-License-Identifier: Apache-2.0 */
/* /services?q=TEXT: what the node should balance, by Service, address or port; for the page that a
 * browser shows. At most SERVICES_SHOWN, whatever there is. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/telemetry_private.h"

#define SERVICES_SHOWN 200

static const char *verdict_word(const struct telemetry *t, const struct frontend *fe)
{
	const struct frontend *where = fe;

	if (frontend_is_entrance(fe))
		where = model_via(t->parts.model, fe, false);
	if (!where)
		return "nothing";
	return where->verdict == V_FORWARD  ? "forwarded"
	       : where->verdict == V_REJECT ? "refused"
					    : "dropped";
}

static void count_endpoints(const struct telemetry *t, const struct frontend *fe, size_t *ret_n,
			    size_t *ret_usable)
{
	const struct frontend *where =
		frontend_is_entrance(fe) ? model_via(t->parts.model, fe, false) : fe;
	const struct pool *pool = where ? where->pool : NULL;

	*ret_n = pool ? pool->n : 0;
	*ret_usable = 0;
	for (size_t i = 0; i < *ret_n; i++)
		*ret_usable += pool->ep[i].state == EP_ACTIVE && pool->ep[i].weight > 0;
}

static void put_frontend(FILE *out, const struct telemetry *t, const struct frontend *fe,
			 const char *address, bool first)
{
	char via[FE_KEY_TEXT_MAX];
	size_t n, usable;

	count_endpoints(t, fe, &n, &usable);
	fprintf(out, "%s{\"service\":", first ? "" : ",");
	json_text(out, fe->owner);
	fputs(",\"address\":", out);
	json_text(out, address);
	fprintf(out, ",\"verdict\":\"%s\",", verdict_word(t, fe));
	if (frontend_is_entrance(fe)) {
		fputs("\"via\":", out);
		json_text(out, fe_key_format(&fe->via, via));
		fputc(',', out);
	}
	fprintf(out, "\"endpoints\":%zu,\"usable\":%zu}", n, usable);
}

/* Those that are shown so far: the first in order of all that matched. */
struct finding {
	const char *search;
	size_t n, matched;
	const struct frontend *shown[SERVICES_SHOWN];
};

static int frontend_cmp(const struct frontend *a, const struct frontend *b)
{
	int order = strcmp(a->owner, b->owner);

	return order ? order : fe_key_cmp(&a->key, &b->key);
}

/* The empty search is the dearest: it matches all, and is asked for first. */
static bool matches(const struct finding *finding, const struct frontend *fe)
{
	char address[FE_KEY_TEXT_MAX];

	return !*finding->search || strcasestr(fe->owner, finding->search) ||
	       strcasestr(fe_key_format(&fe->key, address), finding->search);
}

static void find(void *arg, const struct frontend *fe)
{
	struct finding *finding = arg;
	size_t low = 0, high = finding->n;

	if (fe->inner || !matches(finding, fe))
		return;
	finding->matched++;
	if (high == SERVICES_SHOWN && frontend_cmp(fe, finding->shown[high - 1]) > 0)
		return;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (frontend_cmp(fe, finding->shown[middle]) < 0)
			high = middle;
		else
			low = middle + 1;
	}
	if (finding->n < SERVICES_SHOWN)
		finding->n++;
	memmove(&finding->shown[low + 1], &finding->shown[low],
		(finding->n - 1 - low) * sizeof(finding->shown[0]));
	finding->shown[low] = fe;
}

void telemetry_services(struct telemetry *t, const char *search, FILE *out)
{
	struct finding finding = {.search = search};
	char address[FE_KEY_TEXT_MAX];

	model_each(t->parts.model, find, &finding);
	fputs("{\"frontends\":[", out);
	for (size_t i = 0; i < finding.n; i++) {
		fe_key_format(&finding.shown[i]->key, address);
		put_frontend(out, t, finding.shown[i], address, i == 0);
	}
	fprintf(out, "],\"matched\":%zu}\n", finding.matched);
}
