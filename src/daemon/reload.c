/* SPDX-License-Identifier: Apache-2.0 */
/* See reload.h. */
#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/reload.h"
#include "log.h"

struct reload {
	const struct options *options;
	uv_fs_event_t watch; /* the file's folder: a ConfigMap is changed by a link beside it */
	uv_timer_t calm;
	int open_handles;
};

static void log_all(enum log_level level, char *const *texts, size_t n)
{
	char quoted[1024];

	for (size_t i = 0; i < n; i++)
		log_at(level, "configuration", "what=%s",
		       log_quote(texts[i], quoted, sizeof(quoted)));
}

static void take_field(struct kubeproxy *now, const struct kp_field *field, const char *value)
{
	char was[256], is[256];

	log_quote(kubeproxy_value(now, field), was, sizeof(was));
	log_quote(value, is, sizeof(is));
	if (strcmp(field->path, "logging.verbosity") != 0) {
		log_warn("configuration needs a restart", "field=%s was=%s is=%s", field->path, was,
			 is);
		return;
	}
	log_set_verbosity(atoi(value));
	kubeproxy_set(now, field, value);
	log_info("configuration taken up", "field=%s was=%s is=%s", field->path, was, is);
}

static void compare(struct kubeproxy *now, const struct kubeproxy *next)
{
	for (const struct kp_field *field = kp_fields; field < kp_fields + kp_n_fields; field++) {
		const char *value = kubeproxy_value(next, field);

		if (strcmp(kubeproxy_value(now, field), value) != 0)
			take_field(now, field, value);
	}
}

void reload_now(struct reload *reload)
{
	const struct options *options = reload ? reload->options : NULL;
	struct options next_options;
	struct kubeproxy next;
	struct err err = {0};

	if (!reload || kubeproxy_init(&next) < 0)
		return;
	if (options_load(options->argc, options->argv, &next, &next_options, &err) == 0) {
		compare(options->kp, &next);
	} else {
		log_all(LOG_ERROR, next.errors, next.n_errors);
		if (err.code)
			log_error("configuration", "what=\"%s\"", err.text);
		log_error("the configuration stays as it was", "file=%s", options->config);
	}
	kubeproxy_done(&next);
}

static void on_calm(uv_timer_t *timer)
{
	reload_now(timer->data);
}

static void on_event(uv_fs_event_t *watch, const char *name, int events, int status)
{
	struct reload *reload = watch->data;

	(void)name, (void)events, (void)status;
	uv_timer_start(&reload->calm, on_calm, RELOAD_CALM_MS, 0);
}

struct reload *reload_open(uv_loop_t *loop, const struct options *options)
{
	struct reload *reload = options->config && options->kp ? calloc(1, sizeof(*reload)) : NULL;
	cleanup_free char *path = reload ? strdup(options->config) : NULL;
	int rc;

	if (!reload || !path) {
		free(reload);
		return NULL;
	}
	reload->options = options;
	uv_timer_init(loop, &reload->calm);
	uv_fs_event_init(loop, &reload->watch);
	reload->calm.data = reload->watch.data = reload;
	reload->open_handles = 2;
	rc = uv_fs_event_start(&reload->watch, on_event, dirname(path), 0);
	if (rc < 0)
		log_warn("the configuration file is not followed, SIGHUP reads it again",
			 "file=%s error=\"%s\"", options->config, strerror(-rc));
	return reload;
}

static void closed(uv_handle_t *handle)
{
	struct reload *reload = handle->data;

	if (--reload->open_handles == 0)
		free(reload);
}

void reload_close(struct reload *reload)
{
	if (!reload)
		return;
	uv_close((uv_handle_t *)&reload->watch, closed);
	uv_close((uv_handle_t *)&reload->calm, closed);
}
