/* SPDX-License-Identifier: Apache-2.0 */
/* What is not as it should be: units that are not in the kernel, claims that wait, broken files.
 *
 * Facts only: an entry is made and removed by what the backend, the claims and the source reported.
 * Everything not named here is done. Each change is logged once. */
#ifndef VIPD_DAEMON_STATUS_H
#define VIPD_DAEMON_STATUS_H

#include "backend.h"

struct status;

/* Who may report. */
#define STATUS_KINDS                                                         \
	{                                                                    \
		"kernel", "claim", "service", "source", "health", "listener" \
	}

struct status *status_new(void);
void status_free(struct status *status);

/* `subject` is a frontend, a Service or a file; `kind` tells whose report it is ("kernel", "claim",
 * "service", "source"): one subject may have one entry of each. `text` NULL: all is well. */
void status_set(struct status *status, const char *kind, const char *subject, const char *text);
size_t status_count(const struct status *status);
size_t status_count_kind(const struct status *status, const char *kind);
/* Calls `fn` for the first `max` entries in the order of kind and subject. */
typedef void (*status_fn)(void *arg, const char *kind, const char *subject, const char *text);
void status_each(struct status *status, size_t max, status_fn fn, void *arg);
/* "kind subject: text" lines, sorted. */
void status_print(struct status *status, FILE *out);

#endif
