/* SPDX-License-Identifier: Apache-2.0 */
/* KubeProxyConfiguration: kube-proxy's configuration file, field by field.
 *
 * In the flow: a file (--config) -> TABLE OF FIELDS -> options. One table says every field: its
 * type, its default, the flag of the same meaning, or why it has no effect here. Options take the
 * values; this only reads, checks what can be checked of one value, remembers what is in force, and
 * prints it. vipd's own settings are fields below `vipd`, which a kube-proxy passes over. Pure, but
 * for kubeproxy_read(). */
#ifndef VIPD_DAEMON_KUBEPROXY_H
#define VIPD_DAEMON_KUBEPROXY_H

#include <stdbool.h>
#include <stdio.h>

#include "err.h"

#define KUBEPROXY_FILE_BYTES_MAX (1 << 20) /* a ConfigMap's limit */
#define KUBEPROXY_REPORT_MAX     100       /* errors and warnings that are told */

enum field_kind {
	FIELD_TEXT,
	FIELD_BOOL,
	FIELD_INT,
	FIELD_REAL,
	FIELD_TIME,
	FIELD_LIST,
	FIELD_GATES
};

struct kp_field {
	const char *path; /* "iptables.masqueradeBit" */
	const char *flag; /* without dashes; NULL = there is none */
	const char *initial;
	enum field_kind kind;
	long min, max;        /* of numbers */
	bool zero_is_initial; /* 0 is taken for "not set" */
	bool flag_wins; /* over the file; else the flag is passed over where there is a file */
	const char *no_effect; /* why; NULL = it is honoured */
};

extern const struct kp_field kp_fields[];
extern const size_t kp_n_fields;
const struct kp_field *kp_field_of_flag(const char *name, size_t len);

/* A value as a flag has it: lists with commas. 0 or -EINVAL with what it must be. */
int kp_check(const struct kp_field *field, const char *value, struct err *err);

/* What is in force, and what there is to say about it. */
struct kubeproxy {
	const char *file;
	char **values; /* of each field; NULL = the initial one */
	int *lines;    /* where it was read; 0 = not from the file */
	char **errors, **warnings;
	size_t n_errors, n_warnings;
};

/* 0 or -ENOMEM. */
int kubeproxy_init(struct kubeproxy *kp);
void kubeproxy_done(struct kubeproxy *kp);
const char *kubeproxy_value(const struct kubeproxy *kp, const struct kp_field *field);
/* Notes the value in force. 0 or -ENOMEM. */
int kubeproxy_set(struct kubeproxy *kp, const struct kp_field *field, const char *value);
/* `line` 0: of the file as a whole; -1: of a flag. */
void kubeproxy_error(struct kubeproxy *kp, int line, const char *fmt, ...) PRINTF(3, 4);
void kubeproxy_warn(struct kubeproxy *kp, int line, const char *fmt, ...) PRINTF(3, 4);

/* By line. */
void kubeproxy_sort(struct kubeproxy *kp);

/* Reads a document. All that is wrong with it is in `errors`; unknown and repeated fields are
 * warnings, as with kube-proxy. 0, -EINVAL (there are errors), -ENOMEM. */
int kubeproxy_decode(struct kubeproxy *kp, const char *text, size_t len);
/* The same of a file. */
int kubeproxy_read(struct kubeproxy *kp, const char *path);

/* All fields with the values in force: a file that means the same (YAML), or an object (JSON). */
void kubeproxy_print_yaml(const struct kubeproxy *kp, FILE *out);
void kubeproxy_print_json(const struct kubeproxy *kp, FILE *out);

#endif
