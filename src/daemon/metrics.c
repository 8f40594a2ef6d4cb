/* SPDX-License-Identifier: Apache-2.0 */
/* See metrics.h. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/metrics.h"

/* ---- histograms ---- */

void histogram_set_exponential(struct histogram *h, double first, double factor, size_t n)
{
	*h = (struct histogram){.n_bounds = n};
	for (size_t i = 0; i < n; i++, first *= factor)
		h->bounds[i] = first;
}

void histogram_add_linear(struct histogram *h, double first, double step, size_t n)
{
	for (size_t i = 0; i < n && h->n_bounds < HISTOGRAM_BOUNDS_MAX; i++)
		h->bounds[h->n_bounds++] = first + step * (double)i;
}

void histogram_observe(struct histogram *h, double value)
{
	size_t i = 0;

	while (i < h->n_bounds && value > h->bounds[i])
		i++;
	h->counts[i]++;
	h->sum += value;
}

/* ---- Prometheus ---- */

void metric_head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_sample(FILE *out, const char *name, const char *suffix, const char *labels,
		       const char *more)
{
	bool both = *labels && *more;

	fprintf(out, "%s%s", name, suffix);
	if (*labels || *more)
		fprintf(out, "{%s%s%s}", labels, both ? "," : "", more);
}

/* The shortest of those that are read back as the same number. */
static void put_number(FILE *out, double value)
{
	char text[40];

	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	fputs(text, out);
}

void metric_value(FILE *out, const char *name, const char *labels, double value)
{
	put_sample(out, name, "", labels, "");
	fputc(' ', out);
	put_number(out, value);
	fputc('\n', out);
}

void metric_count(FILE *out, const char *name, const char *labels, uint64_t value)
{
	put_sample(out, name, "", labels, "");
	fprintf(out, " %" PRIu64 "\n", value);
}

void metric_histogram(FILE *out, const char *name, const char *labels, const struct histogram *h)
{
	uint64_t sum = 0;

	for (size_t i = 0; i <= h->n_bounds; i++) {
		char le[40] = "le=\"+Inf\"";

		if (i < h->n_bounds)
			snprintf(le, sizeof(le), "le=\"%.10g\"", h->bounds[i]);
		sum += h->counts[i];
		put_sample(out, name, "_bucket", labels, le);
		fprintf(out, " %" PRIu64 "\n", sum);
	}
	put_sample(out, name, "_sum", labels, "");
	fputc(' ', out);
	put_number(out, h->sum);
	fputc('\n', out);
	put_sample(out, name, "_count", labels, "");
	fprintf(out, " %" PRIu64 "\n", sum);
}

const char *metric_escape(const char *text, char *buf, size_t size)
{
	size_t n = 0;

	for (; *text && n + 3 < size; text++) {
		if (*text == '\\' || *text == '"' || *text == '\n')
			buf[n++] = '\\';
		buf[n++] = (char)(*text == '\n' ? 'n' : *text);
	}
	buf[n] = '\0';
	return buf;
}

/* ---- JSON ---- */

/* The length of the UTF-8 sequence that begins here; 0: it is none. */
static size_t utf8_length(const unsigned char *s)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = s[0] < 0x80                   ? 1
		     : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
		     : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
		     : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
						   : 0;
	uint32_t code = len ? s[0] & (0xffU >> (len + (len > 1))) : 0;

	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fU);
	}
	if (len > 1 && (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)))
		return 0;
	return len;
}

void json_text(FILE *out, const char *text)
{
	fputc('"', out);
	while (*text) {
		unsigned char c = (unsigned char)*text;
		size_t len = utf8_length((const unsigned char *)text);

		if (!len)
			fputs("\\ufffd", out);
		else if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fwrite(text, 1, len, out);
		text += len ? len : 1;
	}
	fputc('"', out);
}

void json_time(FILE *out, uint64_t unix_us)
{
	time_t seconds = (time_t)(unix_us / 1000000);
	char stamp[32], fraction[16] = "";
	struct tm utc;
	size_t n;

	if (!unix_us) {
		fputs("\"0001-01-01T00:00:00Z\"", out);
		return;
	}
	gmtime_r(&seconds, &utc);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
	n = (size_t)snprintf(fraction, sizeof(fraction), ".%06u", (unsigned)(unix_us % 1000000));
	while (n > 1 && fraction[n - 1] == '0')
		fraction[--n] = '\0';
	fprintf(out, "\"%s%sZ\"", stamp, n > 1 ? fraction : "");
}
