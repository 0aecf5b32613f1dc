/*
 * replica_fixture.h - a replica with a real table; the test is its node, the network between, and the primary: a real
 * channel, behind which the test says whatever it likes.
 *
 * stage_run() lets everything happen that happens by itself, stage_pass() lets time pass meanwhile.
 */
#ifndef WILD_TESTS_REPLICA_FIXTURE_H
#define WILD_TESTS_REPLICA_FIXTURE_H

#include <stdarg.h>
#include <stdio.h>

#include "link_pair.h"
#include "replica.h"
#include "suite.h"
#include "table_fixture.h"
#include "wal_blocks.h"

enum {
    STAGE_CAPACITY = 300,
    STAGE_LINES = 64,
    STAGE_LIMIT_BYTES = 1 << 20, /* that may be on their way */
    STAGE_PRIMARY = 0,           /* ends of a link_pair */
    STAGE_REPLICA = 1,
    STAGE_HEARTBEAT_MS = 100,
    STAGE_TIMEOUT_MS = 1000,
};
#define STAGE_FIRST        (UINT64_C(1) << 32) /* the cluster's first change */
#define STAGE_SECOND       (UINT64_C(2) << 32)
#define STAGE_THIRD        (UINT64_C(3) << 32)
#define STAGE_SECRET       "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define STAGE_OTHER_SECRET "wild1:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

struct stage {
    struct fixture table;
    struct replica *replica;
    struct replica_config config;
    struct replication_counters counters;
    struct role_keys keys, other_keys;
    struct session_keys session[2];
    struct handshake_identity identity;
    uint64_t seed;
    struct random_source random;
    uint64_t now_ns, wall_ms;

    /* the network */
    struct link_pair *pair; /* NULL: there was none yet */
    bool connecting, linked;
    bool hold_connect;  /* nobody answers */
    bool no_primary;    /* it is said at once that nobody is there */
    size_t piece;       /* bytes are delivered in pieces of this size; 0: all at once */
    bool frozen;        /* the primary: its kernel takes what it is sent, and nothing else happens there */
    uint64_t cut_after; /* bytes from the primary until the link is cut; UINT64_MAX: never */

    /* the node */
    bool connect_fails, hold_quiescence;
    unsigned connects, asked_quiescent, welcomed;
    struct replica_view view;
    struct meta histories;
    uint16_t client_port;
    uint8_t client_host; /* the last byte of the address */
    uint64_t point;
    char events[2048]; /* "publish(1,11) point(7) ..." */
    char line[STAGE_LINES][256];
    unsigned lines;

    /* the primary, and what it heard */
    struct channel primary;
    struct channel_config primary_config;
    uint8_t receive[REPLICATION_UPSTREAM_BYTES_MAX];
    uint8_t long_head[32768];
    struct replication_welcome welcome; /* what it says, but for `start` */
    struct replication_history history[REPLICATION_HISTORIES_MAX];
    uint64_t acknowledged_lsn, sent_ns;
    struct replication_hello hello;
    struct replication_ack ack;
    unsigned hellos, acks;
    bool primary_up; /* its channel was started, and its link is there */
};

/* ---- the node ---- */

static inline void stage_note(struct stage *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline void stage_note(struct stage *s, const char *format, ...)
{
    size_t used = strlen(s->events);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(s->events + used, sizeof s->events - used, format, arguments);
    va_end(arguments);
}

static inline bool stage_connect(void *state)
{
    struct stage *s = state;
    s->connects++;
    s->connecting = !s->connect_fails;
    return !s->connect_fails;
}

static inline void stage_publish(void *state, const struct replica_view *view)
{
    struct stage *s = state;
    s->view = *view;
    stage_note(s, "publish(%d,%llx) ", view->serving, (unsigned long long)view->history);
}

static inline bool stage_quiescent(void *state)
{
    struct stage *s = state;
    s->asked_quiescent++;
    return !s->hold_quiescence;
}

static inline void stage_point(void *state, uint64_t lsn)
{
    struct stage *s = state;
    s->point = lsn;
    stage_note(s, "point(%lld) ", lsn >= STAGE_FIRST - 1 ? (long long)(lsn - STAGE_FIRST) : (long long)lsn);
}

static inline void stage_welcomed(void *state, const struct meta *histories, const uint8_t address[16],
                                  uint16_t client_port)
{
    struct stage *s = state;
    CU_ASSERT(address[12] == 198);
    s->client_host = address[15];
    s->histories = *histories;
    s->client_port = client_port;
    s->welcomed++;
}

static inline void stage_say(void *state, bool warning, const char *line)
{
    struct stage *s = state;
    CU_ASSERT_FATAL(s->lines < STAGE_LINES);
    snprintf(s->line[s->lines++], sizeof s->line[0], "%s%s", warning ? "! " : "", line);
}

static inline unsigned stage_lines_with(const struct stage *s, const char *text)
{
    unsigned count = 0;
    for (unsigned i = 0; i < s->lines; i++)
        count += strstr(s->line[i], text) != NULL;
    return count;
}

static inline uint64_t stage_counted(const struct stage *s, enum replication_counter which)
{
    return replication_counted(&s->counters, which);
}

static inline struct replica_facts stage_facts(const struct stage *s)
{
    struct replica_facts facts;
    replica_facts(s->replica, &facts);
    return facts;
}

/* ---- the network ---- */

static inline bool stage_may_compute(void *owner)
{
    (void)owner;
    return true;
}

static inline void stage_opened(void *owner)
{
    (void)owner;
}

static inline void stage_heard(void *owner, const struct replication_message *message)
{
    struct stage *s = owner;
    if (message->type == REPLICATION_HELLO) {
        s->hello = message->hello;
        s->hellos++;
        return;
    }
    CU_ASSERT_EQUAL_FATAL(message->type, REPLICATION_ACK);
    s->ack = message->ack;
    s->acks++;
}

static inline size_t stage_replica_received(void *user, uint8_t *bytes, size_t length)
{
    return replica_received(((struct stage *)user)->replica, bytes, length);
}

static inline void stage_replica_writable(void *user)
{
    replica_writable(((struct stage *)user)->replica);
}

static inline void stage_replica_gone(void *user)
{
    struct stage *s = user;
    s->linked = false;
    replica_link_closed(s->replica);
}

static inline size_t stage_primary_received(void *user, uint8_t *bytes, size_t length)
{
    return channel_received(&((struct stage *)user)->primary, bytes, length);
}

static inline void stage_primary_writable(void *user)
{
    channel_turn(&((struct stage *)user)->primary);
}

static inline void stage_primary_gone(void *user)
{
    struct stage *s = user;
    s->primary_up = false;
    channel_gone(&s->primary);
}

static inline void stage_open_link(struct stage *s)
{
    static const struct link_user primary = {
        .received = stage_primary_received, .writable = stage_primary_writable, .gone = stage_primary_gone};
    static const struct link_user replica = {
        .received = stage_replica_received, .writable = stage_replica_writable, .gone = stage_replica_gone};
    if (s->pair != NULL)
        link_pair_free(s->pair);
    s->pair = link_pair_new(STAGE_LIMIT_BYTES);
    s->linked = s->primary_up = true;
    link_pair_user(s->pair, STAGE_PRIMARY, &primary, s);
    link_pair_user(s->pair, STAGE_REPLICA, &replica, s);
    channel_start(&s->primary, &s->primary_config, &s->pair->end[STAGE_PRIMARY].link);
    replica_connected(s->replica, &s->pair->end[STAGE_REPLICA].link);
}

/* Both ends learn that the link is gone. */
static inline void stage_cut(struct stage *s)
{
    CU_ASSERT_FATAL(s->linked);
    link_pair_cut(s->pair);
}

static inline bool stage_deliver(struct stage *s)
{
    size_t piece = s->piece > 0 ? s->piece : SIZE_MAX, moved;
    if (!s->linked && !s->primary_up)
        return false;
    if (s->cut_after == 0) {
        s->cut_after = UINT64_MAX;
        link_pair_cut(s->pair);
        return true;
    }
    if (s->frozen) {
        s->pair->end[STAGE_REPLICA].length = 0;
        return link_pair_tell(s->pair, STAGE_REPLICA);
    }
    moved = link_pair_move(s->pair, STAGE_PRIMARY, piece < s->cut_after ? piece : s->cut_after);
    if (s->cut_after != UINT64_MAX)
        s->cut_after -= moved;
    moved += link_pair_move(s->pair, STAGE_REPLICA, piece);
    bool told = link_pair_tell(s->pair, STAGE_PRIMARY);
    told |= link_pair_tell(s->pair, STAGE_REPLICA);
    return moved > 0 || told;
}

static inline bool stage_answer_connect(struct stage *s)
{
    if (!s->connecting || s->hold_connect)
        return false;
    s->connecting = false;
    if (s->no_primary)
        replica_link_closed(s->replica);
    else
        stage_open_link(s);
    return true;
}

/* Until nothing happens by itself any more. */
static inline void stage_run(struct stage *s)
{
    for (unsigned i = 0; i < 200000; i++) {
        bool more = replica_turn(s->replica, s->now_ns, s->wall_ms) > 0;
        more |= stage_answer_connect(s);
        more |= stage_deliver(s);
        if (!more)
            return;
    }
    CU_FAIL_FATAL("it never rests");
}

static inline void stage_pass(struct stage *s, unsigned ms)
{
    for (; ms > 0; ms--) {
        s->now_ns += 1000000;
        stage_run(s);
    }
}

/* ---- the primary ---- */

static inline void stage_send(struct stage *s, const struct replication_message *message,
                              const uint8_t *payload)
{
    uint8_t *head = message->type == REPLICATION_WELCOME ? s->long_head : NULL;
    CU_ASSERT_FATAL(s->primary_up && !channel_sending(&s->primary));
    channel_send(&s->primary, message, payload, head != NULL ? s->history : NULL, head);
    while (channel_sending(&s->primary)) {
        CU_ASSERT_FATAL(stage_deliver(s));
        channel_turn(&s->primary);
    }
}

static inline void stage_welcome(struct stage *s, enum welcome_start start)
{
    struct replication_message message = {.type = REPLICATION_WELCOME, .welcome = s->welcome};
    message.welcome.start = (uint8_t)start;
    stage_send(s, &message, NULL);
    stage_run(s);
}

static inline void stage_refuse(struct stage *s, enum refuse_reason reason, const char *text)
{
    struct replication_message message = {.type = REPLICATION_REFUSE, .refuse = {.reason = (uint16_t)reason}};
    snprintf(message.refuse.text, sizeof message.refuse.text, "%s", text);
    stage_send(s, &message, NULL);
    channel_close(&s->primary);
    stage_run(s);
}

static inline void stage_heartbeat(struct stage *s, uint64_t durable_lsn)
{
    struct replication_message message = {.type = REPLICATION_HEARTBEAT,
                                          .heartbeat = {.acknowledged_lsn = s->acknowledged_lsn,
                                                        .durable_lsn = durable_lsn,
                                                        .sent_ns = ++s->sent_ns,
                                                        .wall_ms = s->wall_ms}};
    stage_send(s, &message, NULL);
    stage_run(s);
}

static inline void stage_send_block(struct stage *s, const uint8_t *bytes, size_t length)
{
    struct replication_message message = {
        .type = REPLICATION_BATCH,
        .payload_bytes = (uint32_t)length,
        .batch = {.acknowledged_lsn = s->acknowledged_lsn, .sent_ns = ++s->sent_ns}};
    stage_send(s, &message, bytes);
}

/* A block with `count` numbered records (wal_blocks.h); 0: a mark. Returns its length without padding. */
static inline size_t stage_make_block(struct stage *s, uint8_t *bytes, uint64_t history, uint64_t first_lsn,
                                      uint32_t count)
{
    struct wal_block block = {.first_lsn = first_lsn,
                              .history = history,
                              .wall_ms = s->wall_ms,
                              .durable_lsn = first_lsn - 1,
                              .segment = 3,
                              .offset = 4096,
                              .stamp = 99,
                              .count = count};
    make_block(bytes, &block, 20);
    return block.length;
}

static inline void stage_block(struct stage *s, uint64_t history, uint64_t first_lsn, uint32_t count)
{
    static uint8_t bytes[WAL_BLOCK_BYTES_MAX];
    stage_send_block(s, bytes, stage_make_block(s, bytes, history, first_lsn, count));
    stage_run(s);
}

static inline void stage_begin(struct stage *s, uint64_t start_lsn, uint64_t flush_lsn)
{
    struct replication_message message = {.type = REPLICATION_SNAPSHOT_BEGIN,
                                          .begin = {.start_lsn = start_lsn,
                                                    .flush_lsn = flush_lsn,
                                                    .capacity = STAGE_CAPACITY,
                                                    .wall_ms = s->wall_ms,
                                                    .bytes = 4096}};
    stage_send(s, &message, NULL);
    stage_run(s);
}

static inline void stage_send_chunk(struct stage *s, const uint8_t *bytes, size_t length)
{
    struct replication_message message = {.type = REPLICATION_SNAPSHOT_CHUNK,
                                          .payload_bytes = (uint32_t)length};
    stage_send(s, &message, bytes);
    stage_run(s);
}

/* Items that were set at these LSNs, numbered as those of blocks are. */
static inline void stage_chunk(struct stage *s, uint64_t first_lsn, unsigned count)
{
    static uint8_t bytes[REPLICATION_PAYLOAD_BYTES_MAX];
    size_t length = 0;
    for (unsigned i = 0; i < count; i++)
        length += numbered_record(bytes + length, first_lsn + i, 20);
    stage_send_chunk(s, bytes, length);
}

static inline void stage_end(struct stage *s, uint64_t end_lsn, uint64_t items)
{
    struct replication_message message = {.type = REPLICATION_SNAPSHOT_END,
                                          .end = {.end_lsn = end_lsn, .items = items}};
    stage_send(s, &message, NULL);
    stage_run(s);
}

/* ---- beginning and ending ---- */

static inline void stage_keys(struct role_keys *out, const char *secret)
{
    char error[256];
    CU_ASSERT_EQUAL_FATAL(keys_start(), 0);
    CU_ASSERT_EQUAL_FATAL(keys_from_secret(out, secret, strlen(secret), "wild", error, sizeof error), 0);
}

/* The primary's cluster has one history, of which `durable` changes are on its disk. */
static inline void stage_primary_has(struct stage *s, uint64_t durable)
{
    s->welcome.durable_lsn = s->welcome.acknowledged_lsn = s->acknowledged_lsn = STAGE_FIRST - 1 + durable;
}

/* With a table of that capacity, whatever the primary has. */
static inline void stage_open_sized(struct stage *s, uint64_t capacity)
{
    static const struct channel_events events = {
        .may_compute = stage_may_compute, .opened = stage_opened, .message = stage_heard};
    memset(s, 0, sizeof *s);
    s->seed = seeded_start(seeded_from_environment(1));
    s->random = seeded_source(&s->seed);
    s->now_ns = 1000000000;
    s->wall_ms = 5000;
    s->sent_ns = 70000;
    s->cut_after = UINT64_MAX;
    stage_keys(&s->keys, STAGE_SECRET);
    stage_keys(&s->other_keys, STAGE_OTHER_SECRET);
    fixture_open(&s->table, &(struct table_config){.capacity = capacity});
    s->config = (struct replica_config){.keys = {&s->keys},
                                        .random = &s->random,
                                        .session_keys = &s->session[0],
                                        .apply = s->table.context,
                                        .counters = &s->counters,
                                        .voice = {.state = s, .say = stage_say},
                                        .host = {.state = s,
                                                 .connect = stage_connect,
                                                 .publish = stage_publish,
                                                 .quiescent = stage_quiescent,
                                                 .point = stage_point,
                                                 .welcomed = stage_welcomed},
                                        .node_id = 55,
                                        .capacity = capacity,
                                        .client_port = 7878,
                                        .name = "replica-1"};
    s->replica = replica_create(&s->config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s->replica);
    s->primary_config = (struct channel_config){.events = &events,
                                                .owner = s,
                                                .keys = {&s->keys},
                                                .identity = &s->identity,
                                                .random = &s->random,
                                                .session = &s->session[1],
                                                .receive = s->receive,
                                                .receive_bytes = sizeof s->receive,
                                                .server = true};
    s->welcome = (struct replication_welcome){.node_id = 7,
                                              .capacity = STAGE_CAPACITY,
                                              .wall_ms = s->wall_ms,
                                              .epoch = 1,
                                              .heartbeat_ms = STAGE_HEARTBEAT_MS,
                                              .timeout_ms = STAGE_TIMEOUT_MS,
                                              .version = REPLICATION_VERSION,
                                              .client_port = 7979,
                                              .cluster_id = "cluster of test",
                                              .histories = 1};
    s->history[0] =
        (struct replication_history){.id = 0x11, .first_lsn = STAGE_FIRST, .node_id = 7, .epoch = 1};
    stage_primary_has(s, 0);
}

static inline void stage_open(struct stage *s)
{
    stage_open_sized(s, STAGE_CAPACITY);
}

/* The primary has started again after that change: history 0x22, and nothing in it yet. */
static inline void stage_second_history(struct stage *s, uint64_t before_lsn)
{
    s->history[1] = (struct replication_history){
        .id = 0x22, .first_lsn = STAGE_SECOND, .node_id = 7, .before_lsn = before_lsn, .epoch = 2};
    s->welcome.histories = 2;
    s->welcome.epoch = 2;
    s->welcome.durable_lsn = s->welcome.acknowledged_lsn = s->acknowledged_lsn = STAGE_SECOND - 1;
}

static inline void stage_close_all(struct stage *s)
{
    replica_destroy(s->replica);
    if (s->primary_up)
        channel_gone(&s->primary);
    if (s->pair != NULL)
        link_pair_free(s->pair);
    fixture_close(&s->table);
}

/* Up to the HELLO of the next session. */
static inline void stage_until_hello(struct stage *s)
{
    unsigned before = s->hellos;
    for (unsigned ms = 0; ms < 5000 && s->hellos == before; ms++)
        stage_pass(s, 1);
    CU_ASSERT_EQUAL_FATAL(s->hellos, before + 1);
}

/* A log without a snapshot, of `count` changes, is followed from its beginning, and served. */
static inline void stage_follow(struct stage *s, unsigned count)
{
    stage_primary_has(s, count);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    stage_begin(s, 0, 0);
    stage_end(s, 0, 0);
    stage_block(s, 0x11, STAGE_FIRST, 0);
    if (count > 0)
        stage_block(s, 0x11, STAGE_FIRST, count);
    CU_ASSERT_TRUE_FATAL(s->view.serving);
}

/* The change that a block or chunk made at this LSN is in the table. */
static inline bool stage_has(struct stage *s, uint64_t lsn)
{
    char key[24];
    snprintf(key, sizeof key, "key-%llu", (unsigned long long)(lsn & 0xffffff));
    return fixture_get(&s->table, key) == STATUS_OK && s->table.result.version == lsn;
}

static inline uint64_t stage_items(const struct stage *s)
{
    struct table_counts counts;
    table_counts(s->table.table, &counts);
    return counts.items;
}

#endif
