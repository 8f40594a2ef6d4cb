/* SPDX-License-Identifier: Apache-2.0 */
/* Words of Prometheus' text format (0.0.4) and of JSON, and histograms. Pure; knows no metric. */
#ifndef VIPD_DAEMON_METRICS_H
#define VIPD_DAEMON_METRICS_H

#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_BOUNDS_MAX 112

/* Observations by size; bounds ascend, +Inf is not among them. */
struct histogram {
	size_t n_bounds;
	double bounds[HISTOGRAM_BOUNDS_MAX];
	uint64_t counts[HISTOGRAM_BOUNDS_MAX + 1]; /* each its own, not summed up */
	double sum;
};

/* `n` bounds: the first, then each `factor` times as large. */
void histogram_set_exponential(struct histogram *h, double first, double factor, size_t n);
/* More bounds: `n` from `first` on, `step` apart. */
void histogram_add_linear(struct histogram *h, double first, double step, size_t n);
void histogram_observe(struct histogram *h, double value);

/* # HELP and # TYPE; once a metric, before its samples. */
void metric_head(FILE *out, const char *name, const char *type, const char *help);
/* `labels`: name="value",... without braces, values escaped by metric_escape(); "" for none. */
void metric_value(FILE *out, const char *name, const char *labels, double value);
void metric_count(FILE *out, const char *name, const char *labels, uint64_t value);
/* The three kinds of samples of a histogram. */
void metric_histogram(FILE *out, const char *name, const char *labels, const struct histogram *h);
/* `text` as it may stand between quotes; cut to `size`; returns `buf`. */
const char *metric_escape(const char *text, char *buf, size_t size);

/* A JSON string with its quotes. What is not UTF-8 becomes U+FFFD. */
void json_text(FILE *out, const char *text);
/* An RFC 3339 time in quotes as Go writes it: nanoseconds without trailing zeros; 0: Go's zero. */
void json_time(FILE *out, uint64_t unix_us);

#endif
