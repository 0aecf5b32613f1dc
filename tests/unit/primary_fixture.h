/*
 * primary_fixture.h - a primary with a log made by hand, on a clock that the test moves, and peers with real
 * channels that keep what they are told. Every block that comes must be the very one that the log has there.
 */
#ifndef WILD_TESTS_PRIMARY_FIXTURE_H
#define WILD_TESTS_PRIMARY_FIXTURE_H

#include "link_pair.h"
#include "primary.h"
#include "suite.h"
#include "wal_blocks.h"
#include "wire.h"

enum {
    FIXTURE_TAIL_BYTES = 4 * REPLICATION_PAYLOAD_BYTES_MAX,
    FIXTURE_BLOCKS_MAX = 4096,
    FIXTURE_LINES_MAX = 64,
    FIXTURE_CAPACITY = 1000,
    HEARTBEAT_MS = 100,
    TIMEOUT_MS = 1000,
    PRIMARY_ID = 1000, /* of no replica */
};
#define MS            UINT64_C(1000000)
#define OLD_HISTORY   UINT64_C(0xaaaa)
#define OLD_FIRST_LSN (UINT64_C(1) << 32)
#define OLD_LAST_LSN  (OLD_FIRST_LSN + 99) /* 100 changes */
#define HISTORY       UINT64_C(0xbbbb)
#define FIRST_LSN     (UINT64_C(2) << 32)
#define EPOCH         7

struct fixture_block {
    uint8_t *bytes;
    uint32_t length;
    uint64_t first_lsn, next_lsn, history;
};

/* One replica, as the network sees it. */
struct peer {
    struct primary_session *session; /* NULL once its link is gone */
    struct link_pair *link;          /* [0] the primary's end, [1] its own */
    struct channel channel;
    struct session_keys keys;
    bool opened, left; /* left: the peer's end is gone */
    /* What it was told. */
    unsigned welcomes, refusals, heartbeats, batches, begins, chunks, ends, standings, handovers;
    struct replication_welcome welcome;
    struct replication_history first_history, last_history;
    struct replication_refuse refuse;
    struct replication_standing standing;
    uint32_t handover_epoch;
    struct replication_snapshot_begin begin;
    struct replication_snapshot_end end;
    uint64_t chunk_bytes, chunk_sum;
    uint64_t next_lsn; /* of the block that must come next; 0: any */
    unsigned at;       /* which block came last, of fixture.block */
    uint64_t stamp_ns, acknowledged_lsn, durable_lsn;
    bool answers;     /* every BATCH and HEARTBEAT, with an ACK */
    uint64_t has_lsn; /* what it says to have applied */
    /* Who does something with what comes; NULL: nobody. */
    void (*took)(void *taker, struct peer *peer, const struct replication_message *message);
    void *taker;
    uint8_t receive[REPLICATION_MESSAGE_BYTES_MAX];
};

static struct {
    struct primary *primary;
    struct meta meta;
    struct tail *tail;
    struct feeder *feeder;
    struct role_keys keys, other_keys;
    struct handshake_identity identity;
    struct primary_seat seat; /* of none, if a test has set nothing */
    struct random_source random;
    uint64_t random_state;
    struct session_keys session_keys[PRIMARY_SESSIONS_MAX];
    struct replication_counters counters;
    struct primary_log log;
    uint64_t now_ns, wall_ms, next_lsn;
    struct fixture_block block[FIXTURE_BLOCKS_MAX];
    unsigned blocks;
    char line[FIXTURE_LINES_MAX][512];
    unsigned lines, warnings;
} fixture;

/* ---- the log ---- */

static inline void fixture_block(uint32_t count, unsigned value_length)
{
    static uint8_t bytes[WAL_BLOCK_BYTES_MAX];
    struct wal_block block = {.first_lsn = fixture.next_lsn,
                              .history = HISTORY,
                              .wall_ms = fixture.wall_ms,
                              .durable_lsn = fixture.log.durable_lsn,
                              .segment = 1,
                              .stamp = 5,
                              .count = count};
    make_block(bytes, &block, value_length);
    CU_ASSERT_FATAL(fixture.blocks < FIXTURE_BLOCKS_MAX);
    struct fixture_block *kept = &fixture.block[fixture.blocks++];
    *kept = (struct fixture_block){.bytes = malloc(block.length),
                                   .length = block.length,
                                   .first_lsn = block.first_lsn,
                                   .next_lsn = block.first_lsn + count,
                                   .history = HISTORY};
    memcpy(kept->bytes, bytes, block.length);
    tail_append(fixture.tail, bytes, block.length, HISTORY, block.first_lsn, count);
    fixture.next_lsn += count;
    fixture.log.durable_lsn = fixture.log.acknowledged_lsn = fixture.next_lsn - 1;
}

/* A block of about 100,000 bytes: ten fill the tail. */
static inline void fixture_big_block(void)
{
    fixture_block(100, 976);
}

/* ---- voices and clocks ---- */

static inline void fixture_say(void *state, bool warning, const char *line)
{
    (void)state;
    if (fixture.lines < FIXTURE_LINES_MAX)
        snprintf(fixture.line[fixture.lines], sizeof fixture.line[0], "%s", line);
    fixture.lines++;
    fixture.warnings += warning;
}

/* Lines with this in them. */
static inline unsigned fixture_said(const char *what)
{
    unsigned count = 0;
    for (unsigned i = 0; i < fixture.lines && i < FIXTURE_LINES_MAX; i++)
        count += strstr(fixture.line[i], what) != NULL;
    return count;
}

static inline uint64_t counted(enum replication_counter which)
{
    return replication_counted(&fixture.counters, which);
}

static inline unsigned fixture_turn(void)
{
    return primary_turn(fixture.primary, &fixture.log, fixture.now_ns, fixture.wall_ms);
}

/* ---- life ---- */

static inline struct primary_config fixture_config(void)
{
    return (struct primary_config){.keys = {&fixture.keys, NULL},
                                   .identity = &fixture.identity,
                                   .random = &fixture.random,
                                   .session_keys = fixture.session_keys,
                                   .meta = &fixture.meta,
                                   .tail = fixture.tail,
                                   .feeder = fixture.feeder,
                                   .counters = &fixture.counters,
                                   .voice = {.say = fixture_say},
                                   .seat = fixture.seat,
                                   .capacity = FIXTURE_CAPACITY,
                                   .heartbeat_ms = HEARTBEAT_MS,
                                   .timeout_ms = TIMEOUT_MS,
                                   .client_address = {[10] = 0xff, 0xff, 198, 18, 0, 7},
                                   .client_port = 7878};
}

/* Keys and clocks; nothing is there yet. */
static inline void fixture_prepare(void)
{
    memset(&fixture, 0, sizeof fixture);
    keys_start();
    keys_insecure(&fixture.keys);
    static const char secret[] = "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    char error[128];
    CU_ASSERT_EQUAL_FATAL(
        keys_from_secret(&fixture.other_keys, secret, sizeof secret - 1, "c", error, sizeof error), 0);
    fixture.random_state = seeded_start(1);
    fixture.random = seeded_source(&fixture.random_state);
    fixture.now_ns = 50 * 1000 * MS;
    fixture.wall_ms = 1700000000000;
}

/* On the tail, the feeder and the histories that are there. */
static inline void fixture_begin(void)
{
    fixture.identity.node_id = fixture.meta.node_id;
    memcpy(fixture.identity.cluster_id, fixture.meta.cluster_id, CLUSTER_ID_BYTES);
    struct primary_config config = fixture_config();
    fixture.primary = primary_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.primary);
    fixture_turn();
}

/* feeder: what the test has instead. The log: an old history of 100 changes, and the present one's first
 * mark. */
static inline void fixture_start(struct feeder *feeder)
{
    fixture_prepare();
    fixture.meta =
        (struct meta){.cluster_id = "a cluster's id.", .node_id = PRIMARY_ID, .stamp = 5, .count = 2};
    fixture.meta.history[0] = (struct history){
        .id = OLD_HISTORY, .first_lsn = OLD_FIRST_LSN, .node_id = PRIMARY_ID, .epoch = EPOCH - 1};
    fixture.meta.history[1] = (struct history){.id = HISTORY,
                                               .first_lsn = FIRST_LSN,
                                               .node_id = PRIMARY_ID,
                                               .before_lsn = OLD_LAST_LSN,
                                               .epoch = EPOCH};
    fixture.tail = tail_create(FIXTURE_TAIL_BYTES, OLD_LAST_LSN);
    fixture.feeder = feeder;
    fixture.next_lsn = FIRST_LSN;
    fixture_block(0, 0);
    fixture_begin();
}

static inline void fixture_stop(void)
{
    primary_destroy(fixture.primary);
    tail_destroy(fixture.tail);
    for (unsigned i = 0; i < fixture.blocks; i++)
        free(fixture.block[i].bytes);
}

/* ---- a peer ---- */

static inline void peer_send(struct peer *peer, const struct replication_message *message)
{
    CU_ASSERT_EQUAL_FATAL(peer->channel.state, CHANNEL_OPEN);
    channel_send(&peer->channel, message, NULL, NULL, NULL);
}

static inline void peer_ack(struct peer *peer, uint64_t applied_lsn, uint64_t durable_lsn, uint64_t echo_ns)
{
    struct replication_message message = {.type = REPLICATION_ACK,
                                          .ack = {.applied_lsn = applied_lsn,
                                                  .durable_lsn = durable_lsn,
                                                  .echo_ns = echo_ns,
                                                  .state = REPLICA_SERVING}};
    peer_send(peer, &message);
}

/* Whether the block may come after the one that came last: in between there are marks that say nothing. */
static inline bool peer_may_skip_to(const struct peer *peer, unsigned number)
{
    for (unsigned i = peer->at + 1; i < number; i++)
        if (fixture.block[i].next_lsn != fixture.block[i].first_lsn ||
            fixture.block[i].history != fixture.block[i - 1].history)
            return false;
    return number > peer->at;
}

static inline void peer_takes_batch(struct peer *peer, const struct replication_message *message)
{
    const uint8_t *block = message->payload;
    unsigned number = 0;

    while (number < fixture.blocks &&
           (fixture.block[number].length != message->payload_bytes ||
            memcmp(fixture.block[number].bytes, block, message->payload_bytes) != 0))
        number++;
    CU_ASSERT_FATAL(number < fixture.blocks);
    if (peer->batches > 0) {
        CU_ASSERT_TRUE_FATAL(peer_may_skip_to(peer, number));
    } else if (peer->next_lsn != 0) {
        CU_ASSERT_EQUAL_FATAL(fixture.block[number].first_lsn, peer->next_lsn);
    }
    peer->at = number;
    peer->next_lsn = fixture.block[number].next_lsn;
    peer->has_lsn = peer->next_lsn - 1;
    peer->batches++;
}

static inline void peer_takes_stamp(struct peer *peer, uint64_t stamp_ns, uint64_t acknowledged_lsn)
{
    CU_ASSERT_TRUE(stamp_ns > peer->stamp_ns);
    CU_ASSERT_TRUE(acknowledged_lsn >= peer->acknowledged_lsn);
    peer->stamp_ns = stamp_ns;
    peer->acknowledged_lsn = acknowledged_lsn;
    if (peer->answers && !channel_sending(&peer->channel))
        peer_ack(peer, peer->has_lsn, 0, stamp_ns);
}

static inline void peer_message(void *owner, const struct replication_message *message)
{
    struct peer *peer = owner;
    if (message->type == REPLICATION_BATCH)
        peer_takes_batch(peer, message);
    if (peer->took != NULL)
        peer->took(peer->taker, peer, message);
    switch ((enum replication_type)message->type) {
    case REPLICATION_WELCOME:
        peer->welcomes++;
        peer->welcome = message->welcome;
        peer->first_history = replication_history_decode(&message->welcome, 0);
        peer->last_history = replication_history_decode(&message->welcome, message->welcome.histories - 1);
        break;
    case REPLICATION_REFUSE:
        peer->refusals++;
        peer->refuse = message->refuse;
        break;
    case REPLICATION_SNAPSHOT_BEGIN:
        peer->begins++;
        peer->begin = message->begin;
        break;
    case REPLICATION_SNAPSHOT_CHUNK:
        peer->chunks++;
        peer->chunk_bytes += message->payload_bytes;
        for (uint32_t i = 0; i < message->payload_bytes; i++)
            peer->chunk_sum += message->payload[i];
        break;
    case REPLICATION_SNAPSHOT_END:
        peer->ends++;
        peer->end = message->end;
        break;
    case REPLICATION_BATCH:
        peer_takes_stamp(peer, message->batch.sent_ns, message->batch.acknowledged_lsn);
        break;
    case REPLICATION_HEARTBEAT:
        peer->heartbeats++;
        peer->durable_lsn = message->heartbeat.durable_lsn;
        peer_takes_stamp(peer, message->heartbeat.sent_ns, message->heartbeat.acknowledged_lsn);
        break;
    case REPLICATION_STANDING:
        peer->standings++;
        peer->standing = message->standing;
        break;
    case REPLICATION_HANDOVER:
        peer->handovers++;
        peer->handover_epoch = message->handover.epoch;
        break;
    default:
        CU_FAIL_FATAL("a primary does not send that");
    }
}

static inline bool peer_may_compute(void *owner)
{
    (void)owner;
    return true;
}

static inline void peer_opened(void *owner)
{
    ((struct peer *)owner)->opened = true;
}

static inline size_t peer_received(void *user, uint8_t *bytes, size_t length)
{
    return channel_received(&((struct peer *)user)->channel, bytes, length);
}

static inline void peer_writable(void *user)
{
    channel_turn(&((struct peer *)user)->channel);
}

static inline void peer_gone(void *user)
{
    struct peer *peer = user;
    channel_gone(&peer->channel);
    peer->left = true;
}

static inline size_t primary_end_received(void *user, uint8_t *bytes, size_t length)
{
    primary_received(((struct peer *)user)->session, bytes, length);
    return length;
}

static inline void primary_end_writable(void *user)
{
    primary_writable(((struct peer *)user)->session);
}

static inline void primary_end_gone(void *user)
{
    struct peer *peer = user;
    primary_link_closed(peer->session);
    peer->session = NULL;
}

static const struct link_user primary_end = {primary_end_received, primary_end_writable, primary_end_gone};
static const struct link_user peer_end = {peer_received, peer_writable, peer_gone};
static const struct channel_events peer_events = {
    .may_compute = peer_may_compute, .opened = peer_opened, .message = peer_message};

/* A connection from 198.18.0.`host`: with a session, or NULL if there is no place. The peer is yet to speak.
 * */
static inline struct peer *peer_connect_from(uint8_t host)
{
    struct peer *peer = calloc(1, sizeof *peer);
    peer->link = link_pair_new(1 << 20);
    peer->link->end[0].link.peer_address[15] = host;
    link_pair_user(peer->link, 0, &primary_end, peer);
    link_pair_user(peer->link, 1, &peer_end, peer);
    peer->session = primary_accept(fixture.primary, &peer->link->end[0].link, fixture.now_ns);
    if (peer->session != NULL)
        return peer;
    link_pair_free(peer->link);
    free(peer);
    return NULL;
}

static inline void peer_begin(struct peer *peer, const struct role_keys *keys)
{
    struct channel_config config = {.events = &peer_events,
                                    .owner = peer,
                                    .keys = {keys, NULL},
                                    .random = &fixture.random,
                                    .session = &peer->keys,
                                    .receive = peer->receive,
                                    .receive_bytes = sizeof peer->receive};
    channel_start(&peer->channel, &config, &peer->link->end[1].link);
}

/* Hands are shaken. */
static inline struct peer *peer_open(uint8_t host)
{
    struct peer *peer = peer_connect_from(host);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer);
    peer_begin(peer, &fixture.keys);
    link_pair_run(peer->link);
    CU_ASSERT_TRUE_FATAL(peer->opened);
    return peer;
}

/* Of an empty node; tests change it. */
static inline struct replication_message peer_hello(uint64_t node_id)
{
    return (struct replication_message){.type = REPLICATION_HELLO,
                                        .hello = {.node_id = node_id,
                                                  .capacity = FIXTURE_CAPACITY,
                                                  .version = REPLICATION_VERSION,
                                                  .client_port = 17878,
                                                  .name = "r"}};
}

/* ... of one that has all up to there. */
static inline struct replication_message peer_hello_at(uint64_t node_id, uint64_t history, uint64_t lsn)
{
    struct replication_message message = peer_hello(node_id);
    message.hello.flags = HELLO_HAS_DATA;
    message.hello.history = history;
    message.hello.lsn = lsn;
    message.hello.epoch = EPOCH;
    memcpy(message.hello.cluster_id, fixture.meta.cluster_id, CLUSTER_ID_BYTES);
    return message;
}

/* Everything that goes by itself goes, without time passing. */
static inline void peer_settle(struct peer *peer)
{
    for (unsigned idle = 0; idle < 2;) {
        link_pair_run(peer->link);
        idle = fixture_turn() == 0 ? idle + 1 : 0;
    }
}

static inline struct peer *peer_says(struct peer *peer, const struct replication_message *hello)
{
    peer_send(peer, hello);
    peer_settle(peer);
    return peer;
}

/* A replica of that node id that has all up to the end of the log, and streams. */
static inline struct peer *peer_streams(uint64_t node_id)
{
    struct replication_message hello = peer_hello_at(node_id, HISTORY, fixture.next_lsn - 1);
    struct peer *peer = peer_open((uint8_t)node_id);
    peer->next_lsn = fixture.next_lsn;
    peer->has_lsn = fixture.next_lsn - 1;
    peer_says(peer, &hello);
    CU_ASSERT_EQUAL_FATAL(peer->welcomes, 1);
    return peer;
}

/* Its link goes, if it is still there, and its memory. */
static inline void peer_free(struct peer *peer)
{
    link_pair_cut(peer->link);
    CU_ASSERT_PTR_NULL(peer->session);
    link_pair_free(peer->link);
    free(peer);
}

/* Time passes, a turn each millisecond, and all of these peers' bytes move. */
static inline void fixture_pass(uint64_t ms, struct peer **peers, unsigned count)
{
    for (; ms > 0; ms--) {
        fixture.now_ns += MS;
        fixture.wall_ms++;
        fixture_turn();
        for (unsigned i = 0; i < count; i++)
            link_pair_run(peers[i]->link);
    }
}

#endif
