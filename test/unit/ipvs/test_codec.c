/* SPDX-License-Identifier: Apache-2.0 */
/* The IPVS codec: what it writes is what ipvsadm writes, what kernels answered is understood, every
 * attribute comes back from a round trip, and a message cut anywhere is never misread. */
#include "codec_bytes.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>

#include "codec_vectors.h"
#include "ipvs.h"

#define HEAD (NLMSG_HDRLEN + GENL_HDRLEN)

static struct ip_addr addr(const char *text)
{
	struct ip_addr parsed;

	assert_int_equal(addr_parse(text, &parsed), 0);
	return parsed;
}

static struct ipvs_key key_of(const char *vip, uint16_t port, uint16_t proto)
{
	struct ip_addr parsed = addr(vip);

	return ipvs_key_make(&parsed, port, proto);
}

static struct ipvs_service service_of(struct ipvs_key key, const char *sched)
{
	struct ipvs_service svc;

	memset(&svc, 0, sizeof(svc));
	svc.key = key;
	snprintf(svc.sched, sizeof(svc.sched), "%s", sched);
	svc.flags_mask = 0xffffffff;
	svc.netmask = key.af == AF_INET ? 0xffffffff : 128;
	return svc;
}

/* The requests as values. */
static struct ipvs_service svc_tcp4(void)
{
	return service_of(key_of("10.96.0.1", 443, IPPROTO_TCP), "rr");
}

static struct ipvs_service svc_udp6(void)
{
	struct ipvs_service svc = service_of(key_of("fd00:96::1", 53, IPPROTO_UDP), "wrr");

	svc.flags = IP_VS_SVC_F_PERSISTENT;
	svc.timeout_sec = 10800;
	svc.netmask = 64;
	return svc;
}

static struct ipvs_service svc_mark(void)
{
	struct ipvs_service svc = service_of((struct ipvs_key){.af = AF_INET, .fwmark = 7}, "sh");

	svc.flags = IP_VS_SVC_F_SCHED1;
	return svc;
}

static struct ipvs_service svc_sip(void)
{
	struct ipvs_service svc = service_of(key_of("10.96.0.2", 5060, IPPROTO_UDP), "rr");

	strcpy(svc.pe, "sip");
	svc.flags = IP_VS_SVC_F_PERSISTENT;
	svc.timeout_sec = 60;
	return svc;
}

static struct ipvs_dest dest_of(const char *ip, uint16_t port)
{
	struct ipvs_dest dest;

	memset(&dest, 0, sizeof(dest));
	dest.addr = addr(ip);
	dest.port = port;
	dest.weight = 1;
	return dest;
}

static struct ipvs_dest dest_limited(void)
{
	struct ipvs_dest dest = dest_of("10.244.1.5", 6443);

	dest.weight = 5;
	dest.u_thresh = 100;
	dest.l_thresh = 50;
	return dest;
}

static struct ipvs_dest dest_gue(void)
{
	struct ipvs_dest dest = dest_of("192.0.2.9", 0);

	dest.fwd = IP_VS_CONN_F_TUNNEL;
	dest.tun_type = IP_VS_CONN_F_TUNNEL_TYPE_GUE;
	dest.tun_port = 6080;
	dest.tun_flags = IP_VS_TUNNEL_ENCAP_FLAG_REMCSUM;
	return dest;
}

static struct ipvs_daemon daemon_master(void)
{
	struct ipvs_daemon daemon;

	memset(&daemon, 0, sizeof(daemon));
	daemon.state = IP_VS_STATE_MASTER;
	strcpy(daemon.ifname, "v0");
	daemon.sync_id = 5;
	daemon.sync_maxlen = 1400;
	daemon.mcast_group = addr("224.0.1.9");
	daemon.mcast_port = 9000;
	daemon.mcast_ttl = 3;
	return daemon;
}

/* ---- against recorded bytes ---- */

static void check_service_bytes(struct nl_batch *batch, struct ipvs_service svc, const char *hex)
{
	cleanup_free struct nlmsghdr *want = message_parse(hex);
	cleanup_free struct nlmsghdr *msg =
		batch_take(batch, ipvs_put_service(batch, IPVS_CMD_NEW_SERVICE, &svc));
	struct ipvs_service got;

	assert_same_message(msg, want);
	assert_int_equal(msg->nlmsg_type, 0x1c);
	assert_int_equal(msg->nlmsg_flags, NLM_F_REQUEST);
	assert_int_equal(ipvs_get_service(want, &got), 0);
	assert_memory_equal(&got, &svc, sizeof(got));
}

static void services_are_written_as_ipvsadm_does(void **state)
{
	struct nl_batch *batch = batch_unsent();

	(void)state;
	check_service_bytes(batch, svc_tcp4(), ask_add4);
	check_service_bytes(batch, svc_udp6(), ask_add6);
	check_service_bytes(batch, svc_mark(), ask_addfw);
	check_service_bytes(batch, svc_sip(), ask_addsip);
	nl_batch_free(batch);
}

/* ipvsadm orders destinations' attributes otherwise, so its requests are compared as values. */
static void check_dest_value(const char *hex, struct ipvs_key key, struct ipvs_dest want)
{
	cleanup_free struct nlmsghdr *msg = message_parse(hex);
	struct ipvs_service svc;
	struct ipvs_dest got;

	assert_int_equal(ipvs_get_service(msg, &svc), 0);
	assert_memory_equal(&svc.key, &key, sizeof(key));
	assert_int_equal(ipvs_get_dest(msg, &key, &got), 0);
	assert_memory_equal(&got, &want, sizeof(got));
}

static void destinations_of_ipvsadm_are_understood(void **state)
{
	struct ipvs_dest bare = dest_of("10.244.1.5", 6443);

	(void)state;
	bare.fwd = IP_VS_CONN_F_DROUTE; /* ipvsadm's default, sent though it does not count */
	check_dest_value(ask_dest4, svc_tcp4().key, dest_limited());
	check_dest_value(ask_dest6, svc_udp6().key, dest_of("fd00::5", 5353));
	check_dest_value(ask_tun, svc_mark().key, dest_gue());
	check_dest_value(ask_deldest, svc_tcp4().key, bare);
}

static void other_requests_are_written_as_ipvsadm_does(void **state)
{
	const struct ipvs_timeouts timeouts = {900, 120, 300};
	struct nl_batch *batch = batch_unsent();
	struct ipvs_key key = svc_udp6().key;
	cleanup_free struct nlmsghdr *list = message_parse(ask_list_dests);
	cleanup_free struct nlmsghdr *set = message_parse(ask_timeout);
	cleanup_free struct nlmsghdr *clear = message_parse(ask_clear);
	cleanup_free struct nlmsghdr *msg =
		batch_take(batch, ipvs_put_key(batch, IPVS_CMD_GET_DEST, &key));
	cleanup_free struct nlmsghdr *msg2 = batch_take(batch, ipvs_put_timeouts(batch, &timeouts));
	cleanup_free struct nlmsghdr *msg3 =
		batch_take(batch, ipvs_put_key(batch, IPVS_CMD_FLUSH, NULL));

	(void)state;
	assert_same_message(msg, list);
	assert_same_message(msg2, set);
	assert_same_message(msg3, clear);
	nl_batch_free(batch);
}

static void daemons_of_ipvsadm_are_understood(void **state)
{
	cleanup_free struct nlmsghdr *master = message_parse(ask_daemon);
	cleanup_free struct nlmsghdr *backup = message_parse(ask_daemon6);
	struct ipvs_daemon got, want = daemon_master();

	(void)state;
	assert_int_equal(ipvs_get_daemon(master, &got), 0);
	assert_memory_equal(&got, &want, sizeof(got));
	memset(&want, 0, sizeof(want));
	want.state = IP_VS_STATE_BACKUP;
	strcpy(want.ifname, "v0");
	want.sync_id = 6;
	want.mcast_group = addr("ff02::81");
	assert_int_equal(ipvs_get_daemon(backup, &got), 0);
	assert_memory_equal(&got, &want, sizeof(got));
}

/* A DEL_DAEMON needs the state alone; of what ipvsadm adds, nothing is needed. */
static void stopping_a_daemon_names_its_state(void **state)
{
	struct ipvs_daemon master = daemon_master(), got, want = {.state = IP_VS_STATE_MASTER};
	struct nl_batch *batch = batch_unsent();
	cleanup_free struct nlmsghdr *theirs = message_parse(ask_stop);
	cleanup_free struct nlmsghdr *ours =
		batch_take(batch, ipvs_put_daemon(batch, IPVS_CMD_DEL_DAEMON, &master));

	(void)state;
	assert_int_equal(ours->nlmsg_len, HEAD + 12);
	assert_int_equal(ipvs_get_daemon(ours, &got), 0);
	assert_memory_equal(&got, &want, sizeof(got));
	assert_int_equal(ipvs_get_daemon(theirs, &got), 0);
	assert_memory_equal(&got, &want, sizeof(got));
	nl_batch_free(batch);
}

static void check_answer(const char *hex, struct ipvs_service want)
{
	cleanup_free struct nlmsghdr *msg = message_parse(hex);
	struct ipvs_service got;

	assert_int_equal(ipvs_get_service(msg, &got), 0);
	assert_true(got.stats64);
	memset(&got.stats, 0, sizeof(got.stats)); /* one had traffic */
	want.stats64 = true;
	want.flags |= IP_VS_SVC_F_HASHED;
	assert_memory_equal(&got, &want, sizeof(got));
}

static void services_of_kernels_are_understood(void **state)
{
	struct ipvs_service sip = svc_sip();

	(void)state;
	check_answer(got_service6, svc_udp6());
	check_answer(got_fwmark, svc_mark());
	sip.key = key_of("10.0.0.1", 5060, IPPROTO_UDP);
	check_answer(got_sip, sip);
}

static void check_dest_answer(const char *hex, uint16_t af, struct ipvs_dest want)
{
	const struct ipvs_key key = {.af = af};
	cleanup_free struct nlmsghdr *msg = message_parse(hex);
	struct ipvs_dest got;

	assert_int_equal(ipvs_get_dest(msg, &key, &got), 0);
	want.stats64 = true;
	assert_memory_equal(&got, &want, sizeof(got));
}

static void destinations_of_kernels_are_understood(void **state)
{
	struct ipvs_dest mixed = dest_of("fd00:aaaa:bbbb:cccc:dddd:eeee:ffff:10", 80);

	(void)state;
	check_dest_answer(got_dest6, AF_INET6, dest_of("fd00::5", 5353));
	check_dest_answer(got_tunnel, AF_INET, dest_gue());
	mixed.weight = 5;
	mixed.fwd = IP_VS_CONN_F_TUNNEL;
	check_dest_answer(got_mixed_dest, AF_INET, mixed);
}

static void daemons_timeouts_and_info_of_kernels_are_understood(void **state)
{
	cleanup_free struct nlmsghdr *master = message_parse(got_master);
	cleanup_free struct nlmsghdr *backup = message_parse(got_backup);
	cleanup_free struct nlmsghdr *times = message_parse(got_timeouts);
	cleanup_free struct nlmsghdr *about = message_parse(got_info);
	struct ipvs_daemon got, want = daemon_master();
	struct ipvs_timeouts timeouts;
	struct ipvs_info info;

	(void)state;
	assert_int_equal(ipvs_get_daemon(master, &got), 0);
	assert_memory_equal(&got, &want, sizeof(got));
	want.state = IP_VS_STATE_BACKUP;
	want.sync_id = 6;
	want.sync_maxlen = 1452; /* what the kernel fills in */
	want.mcast_group = addr("ff02::81");
	want.mcast_port = 8848;
	want.mcast_ttl = 1;
	assert_int_equal(ipvs_get_daemon(backup, &got), 0);
	assert_memory_equal(&got, &want, sizeof(got));
	assert_int_equal(ipvs_get_timeouts(times, &timeouts), 0);
	assert_int_equal(timeouts.tcp_sec, 900);
	assert_int_equal(timeouts.tcp_fin_sec, 120);
	assert_int_equal(timeouts.udp_sec, 300);
	assert_int_equal(ipvs_get_info(about, &info), 0);
	assert_int_equal(info.version, 0x010201);
	assert_int_equal(info.conn_tab_size, 4096);
}

static void check_stats(const char *hex, bool stats64, struct ipvs_stats want)
{
	cleanup_free struct nlmsghdr *msg = message_parse(hex);
	struct ipvs_service svc;

	assert_int_equal(ipvs_get_service(msg, &svc), 0);
	assert_int_equal(svc.stats64, stats64);
	assert_memory_equal(&svc.stats, &want, sizeof(want));
}

/* Numbers as ipvsadm --exact printed them. */
static void counters_of_kernels_are_understood(void **state)
{
	const struct ipvs_stats wide = {99999999,     100000000,   100000999,  999999999,
					1000000000,   1000999999,  9999999999, 99999999999,
					100000000000, 999999999999},
				narrow = {99999999,   100000000,  100000999,  999999999,
					  1000000000, 1000999999, 1410065407, 1215752191,
					  1215752192, 3567587327};
	cleanup_free struct nlmsghdr *msg = message_parse(got_large_dest);
	const struct ipvs_key key = {.af = AF_INET};
	struct ipvs_dest dest;

	(void)state;
	check_stats(got_large_service, true, wide);
	check_stats(got_unaligned_service, true, wide);
	check_stats(got_old_service, false, narrow);
	assert_int_equal(ipvs_get_dest(msg, &key, &dest), 0);
	assert_true(dest.stats64);
	assert_true(dest.stats.conns == 99999999 && dest.stats.out_bps == 999999999999);
}

/* ---- round trips ---- */

static void every_service_attribute_comes_back(void **state)
{
	struct nl_batch *batch = batch_unsent();
	struct ipvs_service svc = service_of(key_of("255.254.253.252", 65535, 65535), ""), got;
	const int cmds[] = {IPVS_CMD_NEW_SERVICE, IPVS_CMD_SET_SERVICE};

	(void)state;
	memset(svc.sched, 'x', sizeof(svc.sched) - 1);
	memset(svc.pe, 'y', sizeof(svc.pe) - 1);
	svc.flags = 0x89abcdef;
	svc.flags_mask = 0x01234567;
	svc.timeout_sec = 0xfedcba98;
	svc.netmask = 0x76543210;
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++) {
		cleanup_free struct nlmsghdr *msg =
			batch_take(batch, ipvs_put_service(batch, cmds[i], &svc));
		const struct genlmsghdr *head = (const void *)((const uint8_t *)msg + NLMSG_HDRLEN);

		assert_int_equal(head->cmd, cmds[i]);
		assert_int_equal(head->version, 1);
		assert_int_equal(ipvs_get_service(msg, &got), 0);
		assert_memory_equal(&got, &svc, sizeof(got));
	}
	nl_batch_free(batch);
}

static void check_dest_round_trip(struct nl_batch *batch, struct ipvs_key key,
				  struct ipvs_dest dest)
{
	cleanup_free struct nlmsghdr *msg =
		batch_take(batch, ipvs_put_dest(batch, IPVS_CMD_SET_DEST, &key, &dest));
	struct ipvs_service svc;
	struct ipvs_dest got;

	assert_int_equal(ipvs_get_service(msg, &svc), 0);
	assert_memory_equal(&svc.key, &key, sizeof(key));
	assert_int_equal(ipvs_get_dest(msg, &key, &got), 0);
	assert_memory_equal(&got, &dest, sizeof(got));
}

static void every_destination_attribute_comes_back(void **state)
{
	const struct ipvs_key v4 = svc_tcp4().key, v6 = svc_udp6().key, mark = svc_mark().key;
	struct ipvs_dest dest = dest_of("fd00:1:2:3:4:5:6:7", 65535);
	struct nl_batch *batch = batch_unsent();

	(void)state;
	check_dest_round_trip(batch, v4, dest_limited());
	check_dest_round_trip(batch, mark, dest_gue());
	dest.fwd = 0xfe;
	dest.weight = 0xfedcba98;
	dest.u_thresh = 0x89abcdef;
	dest.l_thresh = 0x76543210;
	dest.tun_type = 0xfd;
	dest.tun_port = 0x1234;
	dest.tun_flags = 0x5678;
	check_dest_round_trip(batch, v6, dest);
	check_dest_round_trip(batch, v4, dest); /* of the other family */
	nl_batch_free(batch);
}

/* Deleting says which, and no more. */
static void a_deleted_destination_is_only_named(void **state)
{
	const struct ipvs_key key = svc_tcp4().key;
	const struct ipvs_dest full = dest_limited();
	struct ipvs_dest got, want = dest_of("10.244.1.5", 6443);
	struct nl_batch *batch = batch_unsent();
	cleanup_free struct nlmsghdr *msg =
		batch_take(batch, ipvs_put_dest(batch, IPVS_CMD_DEL_DEST, &key, &full));

	(void)state;
	want.weight = 0;
	assert_int_equal(ipvs_get_dest(msg, &key, &got), 0);
	assert_memory_equal(&got, &want, sizeof(got));
	nl_batch_free(batch);
}

static void every_daemon_attribute_comes_back(void **state)
{
	struct ipvs_daemon daemon = daemon_master(), got;
	struct nl_batch *batch = batch_unsent();

	(void)state;
	for (int i = 0; i < 2; i++) {
		cleanup_free struct nlmsghdr *msg =
			batch_take(batch, ipvs_put_daemon(batch, IPVS_CMD_NEW_DAEMON, &daemon));

		assert_int_equal(ipvs_get_daemon(msg, &got), 0);
		assert_memory_equal(&got, &daemon, sizeof(got));
		daemon.mcast_group = addr("ff02::81");
		memset(daemon.ifname, 'i', sizeof(daemon.ifname) - 1);
	}
	nl_batch_free(batch);
}

static void old_answers_take_the_family_of_the_service(void **state)
{
	struct nl_batch *batch = batch_unsent();
	const struct ipvs_key v4 = {.af = AF_INET}, none = {.af = 0};
	struct nlattr *nest;
	struct ipvs_dest got;
	struct genlmsghdr head = {.cmd = IPVS_CMD_NEW_DEST};

	(void)state;
	nl_batch_begin(batch, NL_TYPE_FAMILY, 0, &head, sizeof(head));
	nest = nl_nest_begin(batch, IPVS_CMD_ATTR_DEST);
	nl_put(batch, IPVS_DEST_ATTR_ADDR, "\12\0\0\1", 4);
	nl_put(batch, IPVS_DEST_ATTR_PORT, "\0\120", 2);
	nl_nest_end(batch, nest);
	{
		cleanup_free struct nlmsghdr *msg = batch_take(batch, nl_batch_end(batch));

		assert_int_equal(ipvs_get_dest(msg, &v4, &got), 0);
		assert_int_equal(got.addr.family, AF_INET);
		assert_int_equal(got.port, 80);
		assert_int_equal(ipvs_get_dest(msg, &none, &got), -EBADMSG);
	}
	nl_batch_free(batch);
}

/* ---- damage ---- */

/* Cut at `len`, with the lengths of nests (and, with `depth` 2, of what is in them) made to fit: so
 * that what is inside is read as far as it goes, and has short attributes. */
static struct nlmsghdr *cut_inside(const struct nlmsghdr *msg, size_t len, int depth)
{
	struct nlmsghdr *cut = message_cut(msg, len);

	message_fit(cut, HEAD, depth);
	return cut;
}

#define WHOLE_OR_NONE(got, whole) assert_true((got) == (whole) || (got) == 0)

static void check_cut_service(const struct nlmsghdr *cut, const struct ipvs_service *whole)
{
	struct ipvs_service got;
	int rc = ipvs_get_service(cut, &got);

	assert_true(rc == 0 || rc == -EBADMSG);
	if (rc < 0)
		return;
	assert_memory_equal(&got.key, &whole->key, sizeof(got.key));
	assert_true(strcmp(got.sched, whole->sched) == 0 || !got.sched[0]);
	WHOLE_OR_NONE(got.flags, whole->flags);
	WHOLE_OR_NONE(got.timeout_sec, whole->timeout_sec);
	WHOLE_OR_NONE(got.netmask, whole->netmask);
	WHOLE_OR_NONE(got.stats.conns, whole->stats.conns);
	WHOLE_OR_NONE(got.stats.in_bytes, whole->stats.in_bytes);
}

static void check_cut_dest(const struct nlmsghdr *cut, const struct ipvs_dest *whole)
{
	const struct ipvs_key key = {.af = AF_INET};
	struct ipvs_dest got;
	int rc = ipvs_get_dest(cut, &key, &got);

	assert_true(rc == 0 || rc == -EBADMSG);
	if (rc < 0)
		return;
	assert_true(addr_equal(&got.addr, &whole->addr));
	assert_int_equal(got.port, whole->port);
	WHOLE_OR_NONE(got.weight, whole->weight);
	WHOLE_OR_NONE(got.tun_port, whole->tun_port);
	WHOLE_OR_NONE(got.stats.conns, whole->stats.conns);
}

static void a_cut_service_is_never_misread(void **state)
{
	const char *const answers[] = {got_service6, got_large_service, got_old_service, got_sip};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		cleanup_free struct nlmsghdr *msg = message_parse(answers[i]);
		struct ipvs_service whole, got;

		assert_int_equal(ipvs_get_service(msg, &whole), 0);
		for (size_t len = NLMSG_HDRLEN; len < msg->nlmsg_len; len++) {
			cleanup_free struct nlmsghdr *cut = message_cut(msg, len);
			cleanup_free struct nlmsghdr *fitted = cut_inside(msg, len, 1);
			cleanup_free struct nlmsghdr *shortened = cut_inside(msg, len, 2);

			assert_int_equal(ipvs_get_service(cut, &got), -EBADMSG);
			check_cut_service(fitted, &whole);
			check_cut_service(shortened, &whole);
		}
	}
}

static void a_cut_destination_is_never_misread(void **state)
{
	const char *const answers[] = {got_tunnel, got_large_dest};
	const struct ipvs_key key = {.af = AF_INET};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		cleanup_free struct nlmsghdr *msg = message_parse(answers[i]);
		struct ipvs_dest whole, got;

		assert_int_equal(ipvs_get_dest(msg, &key, &whole), 0);
		for (size_t len = NLMSG_HDRLEN; len < msg->nlmsg_len; len++) {
			cleanup_free struct nlmsghdr *cut = message_cut(msg, len);
			cleanup_free struct nlmsghdr *fitted = cut_inside(msg, len, 1);
			cleanup_free struct nlmsghdr *shortened = cut_inside(msg, len, 2);

			assert_int_equal(ipvs_get_dest(cut, &key, &got), -EBADMSG);
			check_cut_dest(fitted, &whole);
			check_cut_dest(shortened, &whole);
		}
	}
}

static void check_cut_daemon(const struct nlmsghdr *cut, const struct ipvs_daemon *whole)
{
	struct ipvs_daemon got;
	int rc = ipvs_get_daemon(cut, &got);

	assert_true(rc == 0 || rc == -EBADMSG);
	if (rc < 0)
		return;
	assert_int_equal(got.state, whole->state);
	WHOLE_OR_NONE(got.sync_id, whole->sync_id);
	WHOLE_OR_NONE(got.mcast_port, whole->mcast_port);
	assert_true(!addr_is_set(&got.mcast_group) ||
		    addr_equal(&got.mcast_group, &whole->mcast_group));
}

static void other_cut_answers_are_never_misread(void **state)
{
	cleanup_free struct nlmsghdr *daemon = message_parse(got_backup);
	cleanup_free struct nlmsghdr *info = message_parse(got_info);
	cleanup_free struct nlmsghdr *times = message_parse(got_timeouts);
	struct ipvs_daemon whole, got;
	struct ipvs_timeouts timeouts;
	struct ipvs_info about;

	(void)state;
	assert_int_equal(ipvs_get_daemon(daemon, &whole), 0);
	for (size_t len = NLMSG_HDRLEN; len < daemon->nlmsg_len; len++) {
		cleanup_free struct nlmsghdr *cut = message_cut(daemon, len);
		cleanup_free struct nlmsghdr *fitted = cut_inside(daemon, len, 1);
		cleanup_free struct nlmsghdr *shortened = cut_inside(daemon, len, 2);

		assert_int_equal(ipvs_get_daemon(cut, &got), -EBADMSG);
		check_cut_daemon(fitted, &whole);
		check_cut_daemon(shortened, &whole);
	}
	for (size_t len = NLMSG_HDRLEN; len < info->nlmsg_len; len++) {
		cleanup_free struct nlmsghdr *cut = message_cut(info, len);

		cleanup_free struct nlmsghdr *fitted = cut_inside(info, len, 1);

		if (ipvs_get_info(cut, &about) == 0)
			assert_true(len >= HEAD + 8 && about.version == 0x010201);
		if (ipvs_get_info(fitted, &about) == 0)
			assert_true(len >= HEAD + 8 && about.version == 0x010201);
	}
	for (size_t len = NLMSG_HDRLEN; len < times->nlmsg_len; len++) {
		cleanup_free struct nlmsghdr *cut = message_cut(times, len);

		assert_int_equal(ipvs_get_timeouts(cut, &timeouts) == 0, len >= HEAD);
		if (len < HEAD)
			continue;
		WHOLE_OR_NONE(timeouts.tcp_sec, 900);
		WHOLE_OR_NONE(timeouts.udp_sec, 300);
	}
}

static void what_names_no_object_is_refused(void **state)
{
	cleanup_free struct nlmsghdr *info = message_parse(got_info);
	cleanup_free struct nlmsghdr *svc_msg = message_parse(got_service6);
	const struct ipvs_key key = {.af = AF_INET};
	struct ipvs_service svc;
	struct ipvs_daemon daemon;
	struct ipvs_dest dest;

	(void)state;
	assert_int_equal(ipvs_get_service(info, &svc), -EBADMSG);
	assert_int_equal(ipvs_get_dest(svc_msg, &key, &dest), -EBADMSG);
	assert_int_equal(ipvs_get_daemon(svc_msg, &daemon), -EBADMSG);
	((uint8_t *)svc_msg)[HEAD + 8] = AF_UNIX; /* the family, first in the nest */
	assert_int_equal(ipvs_get_service(svc_msg, &svc), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(services_are_written_as_ipvsadm_does),
		cmocka_unit_test(destinations_of_ipvsadm_are_understood),
		cmocka_unit_test(other_requests_are_written_as_ipvsadm_does),
		cmocka_unit_test(daemons_of_ipvsadm_are_understood),
		cmocka_unit_test(stopping_a_daemon_names_its_state),
		cmocka_unit_test(services_of_kernels_are_understood),
		cmocka_unit_test(destinations_of_kernels_are_understood),
		cmocka_unit_test(daemons_timeouts_and_info_of_kernels_are_understood),
		cmocka_unit_test(counters_of_kernels_are_understood),
		cmocka_unit_test(every_service_attribute_comes_back),
		cmocka_unit_test(every_destination_attribute_comes_back),
		cmocka_unit_test(a_deleted_destination_is_only_named),
		cmocka_unit_test(every_daemon_attribute_comes_back),
		cmocka_unit_test(old_answers_take_the_family_of_the_service),
		cmocka_unit_test(a_cut_service_is_never_misread),
		cmocka_unit_test(a_cut_destination_is_never_misread),
		cmocka_unit_test(other_cut_answers_are_never_misread),
		cmocka_unit_test(what_names_no_object_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
