/* SPDX-License-Identifier: Apache-2.0 */
/* See sync.h. The order of a pass: read the kernel, take the source whole, desired for every dirty
 * Service, then step until nothing is left; later passes the same with what changed. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backend.h"
#include "daemon/child.h"
#include "daemon/config.h"
#include "daemon/conntrack.h"
#include "daemon/health_http.h"
#include "daemon/node_http.h"
#include "daemon/notify.h"
#include "daemon/reload.h"
#include "daemon/status.h"
#include "daemon/sync.h"
#include "daemon/telemetry.h"
#include "heap.h"
#include "log.h"
#include "model/claims.h"
#include "model/urgent.h"
#include "source/manifest.h"

#define MARK_MAX         1000 /* keys a turn */
#define READ_RETRY_MS    1000
#define ONCE_PATIENCE_MS 5000 /* how long --once waits for what is being retried */

enum exit_code { EXIT_DONE = 0, EXIT_CANNOT = 1, EXIT_INCOMPLETE = 3 };

struct sync {
	uv_loop_t *loop;
	struct options options;
	char state_path[512];

	struct cache *cache;
	struct claims *claims;
	struct model *model;
	struct status *status;
	struct health *health;
	struct health_http *health_http; /* NULL: one pass only */
	struct telemetry *telemetry;
	struct node_http *node_http; /* NULL: one pass only */
	struct reload *reload;       /* NULL: there is no file */
	struct notify *notify;       /* NULL: nobody asks */
	struct desired_config desired;
	char *zone; /* of this node, for `desired` */
	char interface_glob[CONFIG_GLOB_MAX];
	struct ip_prefix *pod_nets; /* of this node, with NodeCIDR */

	const struct backend_ops *ops;
	struct backend *be;
	struct backend_config be_config;
	struct backend_env env;

	struct manifest_source *source;
	bool source_complete, kernel_read, marked_all, announced, stopping;
	bool urgent_begun;
	size_t n_urgent; /* frontends on their way before all others; 0 = none, or they are there */
	bool uncommitted; /* the source is in the middle of a change: nothing is computed from half
			   */
	bool backend_waits; /* for env.wake */
	char **dirty;       /* keys being computed, [next_dirty, n_dirty) left */
	size_t n_dirty, next_dirty;
	struct fe_key *changed; /* keys being marked, [next_changed, n_changed) left */
	size_t n_changed, next_changed;
	int exit_code;

	uv_idle_t work;   /* active while there is work; its empty twin makes the loop not block */
	uv_timer_t timer; /* the backend's tick, retries of read */
	uv_poll_t polls[4];
	size_t n_polls;
	uv_signal_t signals[5];
	size_t n_signals;

	uint64_t opened_ms, complete_ms, desired_us, kernel_us, read_us;
	struct turns cpu_turns, wall_turns;
	void *heap; /* see heap_populate() */
	uint64_t once_deadline_ms;
};

static uint64_t clock_us(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t boottime_ms(void *ctx)
{
	(void)ctx;
	return clock_us(CLOCK_BOOTTIME) / 1000;
}

static void on_work(uv_idle_t *idle);

static void wake(struct sync *sync)
{
	if (!sync->stopping)
		uv_idle_start(&sync->work, on_work);
}

static void stop(struct sync *sync, int exit_code)
{
	sync->stopping = true;
	sync->exit_code = exit_code;
	uv_idle_stop(&sync->work);
	uv_stop(sync->loop);
}

/* ---- what the backend uses ---- */

static int env_run(void *ctx, const char *const argv[], const char *input, size_t input_len,
		   uint64_t deadline_ms, child_done_fn done, void *arg)
{
	struct sync *sync = ctx;

	return child_run(sync->loop, argv, input, input_len, deadline_ms, done, arg);
}

static void env_report(void *ctx, const struct fe_key *key, enum outcome outcome,
		       const char *reason)
{
	struct sync *sync = ctx;
	const struct frontend *fe;
	char text[FE_KEY_TEXT_MAX], subject[FE_KEY_TEXT_MAX + 400];

	if (outcome == R_DONE && !status_count(sync->status))
		return;
	fe = model_find(sync->model, key);
	fe_key_format(key, text);
	snprintf(subject, sizeof(subject), "%s%s%s", text, fe ? " " : "", fe ? fe->owner : "");
	if (outcome == R_DONE || outcome == R_DRIFT || outcome == R_UNKNOWN)
		status_set(sync->status, "kernel", subject, NULL);
	else
		status_set(sync->status, "kernel", subject,
			   reason ? reason : outcome_name(outcome));
}

static void env_wake(void *ctx)
{
	struct sync *sync = ctx;

	sync->backend_waits = false;
	health_work_goes_on(sync->health, boottime_ms(NULL));
	wake(sync);
}

/* Health-check node ports are where node ports are. With no such address nothing else is opened. */
static void env_nodeport_addrs(void *ctx, const struct ip_addr *addrs, size_t n)
{
	struct sync *sync = ctx;

	if (sync->health_http && n && health_http_set_addrs(sync->health_http, addrs, n) < 0)
		log_warn("no memory, health-check node ports stay where they are", "");
}

static void on_claim_waits(void *arg, const char *owner, const struct fe_key *key,
			   const char *winner)
{
	struct sync *sync = arg;
	char text[FE_KEY_TEXT_MAX], subject[FE_KEY_TEXT_MAX + 400], reason[512];

	snprintf(subject, sizeof(subject), "%s %s", owner, fe_key_format(key, text));
	snprintf(reason, sizeof(reason), "waits: the older Service %s has this address and port",
		 winner ? winner : "");
	status_set(sync->status, "claim", subject, winner ? reason : NULL);
}

static void on_health_problem(void *ctx, const char *key, const char *text)
{
	struct sync *sync = ctx;

	status_set(sync->status, "health", key, text);
}

/* ---- what the source uses ---- */

static void set_zone(struct sync *sync, const char *zone)
{
	const char *now = sync->desired.place.zone;

	if ((now && zone && strcmp(now, zone) == 0) || (!now && !zone))
		return;
	free(sync->zone);
	sync->zone = zone ? strdup(zone) : NULL;
	sync->desired.place.zone = sync->zone;
	cache_mark_placed(sync->cache);
}

/* With NodeCIDR: who is in the cluster is this node's pods. */
static void set_pod_nets(struct sync *sync, const struct node *node)
{
	struct ip_prefix *nets, *old = sync->pod_nets;

	if (sync->options.detect_local != LOCAL_NODE_CIDR || !sync->be ||
	    !sync->ops->set_local_nets)
		return;
	nets = calloc(node->n_pod_cidrs + 1, sizeof(*nets));
	if (!nets)
		return;
	if (node->n_pod_cidrs)
		memcpy(nets, node->pod_cidrs, node->n_pod_cidrs * sizeof(*nets));
	sync->pod_nets = nets;
	if (sync->ops->set_local_nets(sync->be, nets, node->n_pod_cidrs) < 0)
		log_error("out of memory, the pods' networks are not known", "");
	free(old);
}

static void own_node_changed(struct sync *sync, const struct node *node)
{
	struct ip_addr addrs[2] = {0};

	for (size_t i = 0; i < node->n_addrs; i++) {
		struct ip_addr *slot = &addrs[node->addrs[i].family == AF_INET6];

		if (!addr_is_set(slot))
			*slot = node->addrs[i];
	}
	config_override_node(&sync->options, addrs);
	if (sync->be && sync->ops->set_node_addrs)
		sync->ops->set_node_addrs(sync->be, addrs);
	set_zone(sync, node->zone);
	set_pod_nets(sync, node);
}

/* The pods' networks stay as they were: their Pods are not gone with the Node object. */
static void own_node_gone(struct sync *sync)
{
	struct ip_addr unknown[2] = {0};

	config_override_node(&sync->options, unknown);
	if (sync->be && sync->ops->set_node_addrs)
		sync->ops->set_node_addrs(sync->be, unknown);
	set_zone(sync, NULL);
}

static void sink_put(void *ctx, union object *object)
{
	struct sync *sync = ctx;
	enum obj_kind kind = object->meta.kind;
	int64_t trigger_ms = object->meta.trigger_ms;
	uint64_t changes = cache_changes(sync->cache, kind);

	sync->uncommitted = true;
	if (kind == OBJ_NODE && strcmp(object->meta.name, sync->options.node_name) == 0)
		own_node_changed(sync, &object->node);
	if (cache_put(sync->cache, object) < 0)
		log_error("out of memory, an object is lost", "");
	if (trigger_ms && cache_changes(sync->cache, kind) != changes)
		telemetry_trigger(sync->telemetry, trigger_ms);
}

static void sink_remove(void *ctx, enum obj_kind kind, const char *ns, const char *name)
{
	struct sync *sync = ctx;

	sync->uncommitted = true;
	if (kind == OBJ_NODE && strcmp(name, sync->options.node_name) == 0)
		own_node_gone(sync);
	cache_remove(sync->cache, kind, ns, name);
}

static void sink_commit(void *ctx, bool complete)
{
	struct sync *sync = ctx;

	sync->uncommitted = false;
	health_work_begins(sync->health, boottime_ms(NULL));
	telemetry_queued(sync->telemetry, telemetry_now(), complete);
	if (complete && !sync->source_complete) {
		sync->source_complete = true;
		sync->complete_ms = boottime_ms(NULL);
		log_info("manifests read",
			 "services=%zu slices=%zu endpoints=%zu pods=%zu nodes=%zu ms=%" PRIu64,
			 cache_count(sync->cache, OBJ_SERVICE), cache_count(sync->cache, OBJ_SLICE),
			 cache_count(sync->cache, OBJ_ENDPOINTS), cache_count(sync->cache, OBJ_POD),
			 cache_count(sync->cache, OBJ_NODE), sync->complete_ms - sync->opened_ms);
	}
	wake(sync);
}

static void sink_problem(void *ctx, const char *subject, const char *text)
{
	struct sync *sync = ctx;

	status_set(sync->status, "source", subject, text);
}

/* ---- stages, a slice each; true = there is more of it now ---- */

static void read_failed(struct sync *sync, const struct err *err)
{
	log_error("kernel not read", "error=\"%s\"", err->text);
	if (sync->options.once || sync->options.print || sync->options.cleanup)
		stop(sync, EXIT_CANNOT);
	else
		uv_timer_start(&sync->timer, sync->timer.timer_cb, READ_RETRY_MS, 0);
}

static bool stage_read(struct sync *sync)
{
	uint64_t start_us = clock_us(CLOCK_MONOTONIC);
	struct err err = {0};
	int rc = sync->ops->read(sync->be, SYNC_SLICE_US, &err);

	sync->read_us += clock_us(CLOCK_MONOTONIC) - start_us;
	if (rc == -EAGAIN) {
		sync->backend_waits = true;
		return false;
	}
	if (rc < 0) {
		read_failed(sync, &err);
		return false;
	}
	sync->kernel_read = rc == 0;
	return true;
}

static int compute_service(struct sync *sync, const char *key)
{
	struct svc_inputs inputs;
	struct svc_want want;
	int rc = cache_inputs(sync->cache, key, &inputs);

	if (rc == 0)
		rc = desired_compute(&sync->desired, &inputs, &want);
	svc_inputs_done(&inputs);
	if (rc < 0)
		return rc;
	status_set(sync->status, "service", key, want.note);
	telemetry_want(sync->telemetry, key, &want);
	rc = claims_update(sync->claims, key, &want, sync->model);
	if (rc == 0)
		rc = health_put(sync->health, key, want.created_ms, want.health_port,
				want.n_local_ready);
	svc_want_done(&want);
	return rc;
}

static void take_dirty(struct sync *sync)
{
	ssize_t n;

	free(sync->dirty);
	sync->dirty = NULL;
	sync->next_dirty = sync->n_dirty = 0;
	n = cache_take_dirty(sync->cache, &sync->dirty);
	sync->n_dirty = n > 0 ? (size_t)n : 0;
}

static bool stage_desired(struct sync *sync)
{
	struct budget budget = budget_start(SYNC_SLICE_US);
	uint64_t start_us = clock_us(CLOCK_MONOTONIC);

	if (sync->next_dirty == sync->n_dirty && !sync->uncommitted)
		take_dirty(sync);
	while (sync->next_dirty < sync->n_dirty && budget_left(&budget))
		if (compute_service(sync, sync->dirty[sync->next_dirty++]) < 0)
			log_error("out of memory, a Service is not computed", "");
	sync->desired_us += clock_us(CLOCK_MONOTONIC) - start_us;
	return sync->next_dirty < sync->n_dirty;
}

static void take_changes(struct sync *sync)
{
	ssize_t n;

	free(sync->changed);
	sync->changed = NULL;
	sync->n_changed = sync->next_changed = 0;
	n = model_take_changes(sync->model, &sync->changed);
	if (n < 0)
		log_error("out of memory, changes are late", "");
	else
		sync->n_changed = (size_t)n;
}

/* What everything else on the node waits for, the API server and DNS, does not wait until all
 * Services are computed. */
static bool begin_urgent(struct sync *sync)
{
	size_t n;

	sync->urgent_begun = true;
	take_dirty(sync);
	n = urgent_first(sync->cache, sync->dirty, sync->n_dirty);
	while (sync->next_dirty < n)
		if (compute_service(sync, sync->dirty[sync->next_dirty++]) < 0)
			log_error("out of memory, a Service is not computed", "");
	take_changes(sync);
	n = sync->n_changed;
	if (n && sync->ops->mark(sync->be, sync->model, sync->changed, n) == 0) {
		sync->next_changed = n;
		sync->n_urgent = n;
	}
	return true;
}

/* The first time everything there is has changed; then what only the kernel has is marked, too. */
static bool stage_mark(struct sync *sync)
{
	size_t n;

	if (sync->next_changed == sync->n_changed)
		take_changes(sync);
	n = sync->n_changed - sync->next_changed;
	n = n > MARK_MAX ? MARK_MAX : n;
	if (n && sync->ops->mark(sync->be, sync->model, sync->changed + sync->next_changed, n) < 0)
		log_error("out of memory, changes are late", "");
	sync->next_changed += n;
	if (sync->next_changed < sync->n_changed || n == MARK_MAX)
		return true;
	if (!sync->marked_all)
		sync->marked_all = sync->ops->mark(sync->be, sync->model, NULL, 0) == 0;
	return !sync->marked_all;
}

static bool stage_step(struct sync *sync)
{
	uint64_t start_us = clock_us(CLOCK_MONOTONIC);
	int rc = sync->ops->step(sync->be, sync->model, SYNC_SLICE_US);

	sync->kernel_us += clock_us(CLOCK_MONOTONIC) - start_us;
	sync->backend_waits = rc == -EAGAIN;
	return rc > 0;
}

/* While the rest is being computed. */
static void step_urgent(struct sync *sync)
{
	if (stage_step(sync) || sync->backend_waits)
		return;
	log_info("the API server and DNS are in the kernel", "frontends=%zu ms=%" PRIu64,
		 sync->n_urgent, boottime_ms(NULL) - sync->complete_ms);
	sync->n_urgent = 0;
}

static int print_stage(struct sync *sync)
{
	switch (sync->options.print) {
	case PRINT_OBJECTS:
		return cache_print(sync->cache, stdout);
	case PRINT_MODEL:
		model_print(sync->model, stdout);
		return 0;
	case PRINT_ACTUAL:
		return sync->ops->print_actual(sync->be, stdout);
	case PRINT_PLAN:
		return sync->ops->print_plan(sync->be, sync->model, stdout);
	case PRINT_NONE:
		break;
	}
	return 0;
}

static int verdict(const struct sync *sync)
{
	return status_count(sync->status) ? EXIT_INCOMPLETE : EXIT_DONE;
}

static void end_print(struct sync *sync)
{
	int rc = print_stage(sync);

	if (rc == 0 && fflush(stdout) != 0)
		rc = -errno;
	if (rc < 0)
		log_error("cannot print", "error=\"%s\"", strerror(-rc));
	stop(sync, rc < 0 ? EXIT_CANNOT : verdict(sync));
}

static void announce(struct sync *sync)
{
	uint64_t now_ms = boottime_ms(NULL);

	if (sync->announced)
		return;
	sync->announced = true;
	notify_ready(sync->notify, "in the kernel");
	log_info("in the kernel",
		 "mode=%s frontends=%zu waiting=%zu failed=%zu total_ms=%" PRIu64
		 " source_ms=%" PRIu64 " desired_ms=%" PRIu64 " read_ms=%" PRIu64
		 " program_ms=%" PRIu64,
		 sync->ops->name, model_count(sync->model), claims_waiting(sync->claims),
		 status_count_kind(sync->status, "kernel"), now_ms - sync->opened_ms,
		 sync->complete_ms - sync->opened_ms, sync->desired_us / 1000, sync->read_us / 1000,
		 sync->kernel_us / 1000);
}

static void on_timer(uv_timer_t *timer);

/* Nothing is left to do now: when is the next time? */
static void schedule_tick(struct sync *sync)
{
	uint64_t now_ms = boottime_ms(NULL), next_ms;

	if (!sync->marked_all || sync->backend_waits || sync->options.print)
		return;
	next_ms = sync->ops->tick(sync->be, sync->model, now_ms);
	if (next_ms != UINT64_MAX)
		uv_timer_start(&sync->timer, on_timer, next_ms > now_ms ? next_ms - now_ms : 0, 0);
}

static void once_done(struct sync *sync)
{
	uint64_t now_ms = boottime_ms(NULL);

	if (!sync->once_deadline_ms)
		sync->once_deadline_ms = now_ms + ONCE_PATIENCE_MS;
	if (!status_count_kind(sync->status, "kernel") || now_ms >= sync->once_deadline_ms)
		stop(sync, verdict(sync));
}

/* A port for health checks opens when there is something behind it. */
static void on_settled(struct sync *sync)
{
	announce(sync);
	health_work_done(sync->health);
	telemetry_settled(sync->telemetry, telemetry_now());
	if (sync->health_http)
		health_http_update(sync->health_http);
	if (sync->options.once)
		once_done(sync);
}

static bool stage_cleanup(struct sync *sync)
{
	struct err err = {0};
	int rc = sync->ops->cleanup(sync->be, &err);

	if (rc == -EAGAIN) {
		sync->backend_waits = true;
		return false;
	}
	if (rc < 0)
		log_error("cleanup failed", "error=\"%s\"", err.text);
	else
		log_info("everything of vipd's is removed from the kernel", "mode=%s",
			 sync->ops->name);
	stop(sync, rc < 0 ? EXIT_CANNOT : EXIT_DONE);
	return false;
}

/* One slice of the first stage that has work. True: come again at once. */
static bool work_slice(struct sync *sync)
{
	enum print_stage print = sync->options.print;

	if (sync->options.cleanup)
		return stage_cleanup(sync);
	if (sync->be && !sync->kernel_read)
		return stage_read(sync);
	if (print == PRINT_ACTUAL) {
		end_print(sync);
		return false;
	}
	if (!sync->source_complete)
		return false; /* unknown is not empty: nothing is computed from half a source */
	if (print == PRINT_OBJECTS) {
		end_print(sync);
		return false;
	}
	if (!sync->urgent_begun && sync->ops->steps_early && print == PRINT_NONE)
		return begin_urgent(sync);
	if (sync->n_urgent && !sync->backend_waits)
		step_urgent(sync);
	if (stage_desired(sync))
		return true;
	if (print == PRINT_MODEL) {
		end_print(sync);
		return false;
	}
	if (stage_mark(sync))
		return true;
	if (print == PRINT_PLAN) {
		end_print(sync);
		return false;
	}
	if (stage_step(sync))
		return true;
	if (!sync->backend_waits)
		on_settled(sync);
	return false;
}

static void on_work(uv_idle_t *idle)
{
	struct sync *sync = idle->data;

	if (sync->backend_waits && sync->source_complete && sync->marked_all) {
		stage_desired(sync); /* computing goes on while the backend waits */
		uv_idle_stop(idle);
		return;
	}
	if (work_slice(sync) || sync->stopping)
		return;
	uv_idle_stop(idle);
	schedule_tick(sync);
}

static void on_timer(uv_timer_t *timer)
{
	wake(timer->data);
}

/* ---- notifications, signals, the length of turns ---- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct sync *sync = poll->data;
	int fd;

	(void)status, (void)events;
	if (uv_fileno((uv_handle_t *)poll, &fd) == 0)
		sync->ops->on_fd(sync->be, sync->model, fd);
	wake(sync);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct sync *sync = handle->data;

	if (number == SIGUSR1) {
		telemetry_dump(sync->telemetry);
		return;
	}
	if (number == SIGUSR2) {
		telemetry_log_counters(sync->telemetry);
		return;
	}
	if (number == SIGHUP) {
		reload_now(sync->reload);
		return;
	}
	log_info("stopping, the kernel's state stays as it is", "signal=%d", number);
	notify_stopping(sync->notify);
	telemetry_log_counters(sync->telemetry);
	stop(sync, sync->options.once || sync->options.print ? EXIT_CANNOT : EXIT_DONE);
}

static void turn_end(struct turns *turns, uint64_t now_us)
{
	uint64_t took_us = now_us - turns->start_us;

	turns->start_us = now_us;
	turns->busy_us += took_us;
	if (took_us > turns->longest_us)
		turns->longest_us = took_us;
}

/* Until something is ready or a timer is due. */
static void wait_for_work(struct sync *sync)
{
	struct pollfd ready = {.fd = uv_backend_fd(sync->loop), .events = POLLIN};

	if (!uv_backend_timeout(sync->loop))
		return;
	uv_update_time(sync->loop);
	poll(&ready, 1, uv_backend_timeout(sync->loop));
	sync->wall_turns.start_us = clock_us(CLOCK_MONOTONIC);
}

/* A turn of the loop is all it does between two waits. We wait ourselves, not within uv_run(), to
 * tell the two apart. A turn's length is taken twice: in the thread's CPU time, for which we
 * answer; and by the clock, which is what others see: on a busy machine it tells of that, too. */
static void run_loop(struct sync *sync)
{
	sync->cpu_turns.start_us = clock_us(CLOCK_THREAD_CPUTIME_ID);
	sync->wall_turns.start_us = clock_us(CLOCK_MONOTONIC);
	while (!sync->stopping && uv_loop_alive(sync->loop)) {
		wait_for_work(sync);
		uv_run(sync->loop, UV_RUN_NOWAIT);
		sync->heap = heap_populate(sync->heap);
		log_tell_left_out();
		turn_end(&sync->cpu_turns, clock_us(CLOCK_THREAD_CPUTIME_ID));
		turn_end(&sync->wall_turns, clock_us(CLOCK_MONOTONIC));
	}
}

static void start_handles(struct sync *sync)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP};

	uv_idle_init(sync->loop, &sync->work);
	uv_timer_init(sync->loop, &sync->timer);
	sync->work.data = sync->timer.data = sync;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		uv_signal_init(sync->loop, &sync->signals[i]);
		sync->signals[i].data = sync;
		uv_signal_start(&sync->signals[i], on_signal, numbers[i]);
	}
	sync->n_signals = ARRAY_SIZE(numbers);
}

static void start_polls(struct sync *sync)
{
	int fds[ARRAY_SIZE(sync->polls)];
	size_t n = sync->ops->fds(sync->be, fds, ARRAY_SIZE(fds));

	for (size_t i = 0; i < n; i++) {
		if (uv_poll_init(sync->loop, &sync->polls[i], fds[i]) < 0)
			continue;
		sync->polls[i].data = sync;
		uv_poll_start(&sync->polls[i], UV_READABLE, on_readable);
		sync->n_polls = i + 1;
	}
}

/* ---- open and close ---- */

static bool needs_backend(const struct options *options)
{
	return options->print != PRINT_OBJECTS && options->print != PRINT_MODEL;
}

static int open_backend(struct sync *sync, struct err *err)
{
	const struct options *options = &sync->options;

	sync->ops = strcmp(options->proxy_mode, "iptables") == 0 ? &iptables_backend_ops
								 : &ipvs_backend_ops;
	if (!needs_backend(options))
		return 0;
	sync->env = (struct backend_env){
		.ctx = sync,
		.now_ms = boottime_ms,
		.run = env_run,
		.report = env_report,
		.wake = env_wake,
		.nodeport_addrs = env_nodeport_addrs,
	};
	sync->be_config = config_make(options, sync->interface_glob);
	if (!sync->be_config.read_only && !options->cleanup)
		conntrack_setup(&options->conntrack);
	return sync->ops->open(&sync->be_config, &sync->env, &sync->be, err);
}

static int open_source(struct sync *sync, struct err *err)
{
	const struct options *options = &sync->options;
	const struct source_sink sink = {
		.ctx = sync,
		.put = sink_put,
		.remove = sink_remove,
		.commit = sink_commit,
		.problem = sink_problem,
	};
	struct manifest_config config = {
		.dir = options->manifests,
		.state_path = sync->state_path,
		.read_only = options->print != PRINT_NONE,
		.watch = !options->once && options->print == PRINT_NONE,
	};

	if (options->cleanup || options->print == PRINT_ACTUAL)
		return 0;
	memcpy(config.cluster_ranges, options->service_ranges, sizeof(config.cluster_ranges));
	config.node_ports = options->node_ports;
	snprintf(sync->state_path, sizeof(sync->state_path), "%s/manifests.json",
		 options->state_dir);
	return manifest_open(sync->loop, &config, &sink, &sync->source, err);
}

/* ---- who watches the node ---- */

static int open_servers(struct sync *sync, struct err *err)
{
	const struct options *options = &sync->options;
	const struct telemetry_parts parts = {options,           sync->cache,      sync->model,
					      sync->claims,      sync->status,     sync->health,
					      sync->ops,         sync->be,         &sync->cpu_turns,
					      &sync->wall_turns, &sync->desired_us};
	struct node_pages pages;
	int rc;

	telemetry_set_parts(sync->telemetry, &parts);
	pages = telemetry_pages(sync->telemetry);
	if (options->once || options->cleanup || options->print)
		return 0;
	sync->reload = reload_open(sync->loop, options);
	sync->notify = notify_open(sync->loop);
	rc = health_http_open(sync->loop, sync->health, &sync->health_http, err);
	if (rc < 0)
		return rc;
	return node_http_open(sync->loop, &options->healthz, &options->metrics,
			      options->bind_hard_fail, &pages, &sync->node_http, err);
}

int sync_open(uv_loop_t *loop, const struct options *options, struct sync **ret_sync,
	      struct err *err)
{
	struct sync *sync = calloc(1, sizeof(*sync));
	int rc;

	if (!sync)
		return err_set(err, -ENOMEM, "no memory");
	sync->loop = loop;
	sync->options = *options;
	sync->desired.place.node_name = sync->options.node_name;
	sync->opened_ms = boottime_ms(NULL);
	sync->cache = cache_new();
	sync->desired.cache = sync->cache;
	sync->model = model_new();
	sync->status = status_new();
	sync->claims = claims_new(on_claim_waits, sync);
	sync->health = health_new(on_health_problem, sync);
	sync->telemetry = telemetry_new(telemetry_now());
	start_handles(sync);
	if (!sync->cache || !sync->model || !sync->status || !sync->claims || !sync->health ||
	    !sync->telemetry)
		rc = err_set(err, -ENOMEM, "no memory");
	else
		rc = open_backend(sync, err);
	if (rc == 0)
		rc = open_source(sync, err);
	if (rc == 0)
		rc = open_servers(sync, err);
	if (rc < 0) {
		sync_close(sync);
		return rc;
	}
	*ret_sync = sync;
	return 0;
}

int sync_run(struct sync *sync)
{
	if (sync->be && !sync->options.print && !sync->options.cleanup)
		start_polls(sync);
	if (sync->options.detect_local == LOCAL_CLUSTER_CIDR && !sync->options.n_cluster_nets &&
	    !sync->options.print && !sync->options.cleanup)
		log_info("no --cluster-cidr: clients from outside the cluster keep their address",
			 "");
	wake(sync);
	run_loop(sync);
	return sync->exit_code;
}

static void close_any(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void sync_close(struct sync *sync)
{
	if (!sync)
		return;
	manifest_close(sync->source);
	health_http_close(sync->health_http);
	node_http_close(sync->node_http);
	reload_close(sync->reload);
	notify_close(sync->notify);
	for (size_t i = 0; i < sync->n_polls; i++)
		uv_poll_stop(&sync->polls[i]);
	uv_walk(sync->loop, close_any, NULL);
	uv_run(sync->loop, UV_RUN_DEFAULT);
	if (sync->be)
		sync->ops->close(sync->be);
	claims_free(sync->claims);
	model_free(sync->model);
	cache_free(sync->cache);
	health_free(sync->health);
	telemetry_free(sync->telemetry);
	status_free(sync->status);
	free(sync->dirty);
	free(sync->changed);
	free(sync->zone);
	free(sync->pod_nets);
	free(sync);
}
