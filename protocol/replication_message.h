/*
 * replication_message.h - what a primary and its replicas tell each other, as bytes.
 *
 * A replica opens a stream to the primary's replication port, shakes hands as ROLE_REPLICA (handshake.h, over TCP), and
 * from then on both send messages: a stream of bytes of its own inside the DATA records (record.h), in which a message
 * may begin and end anywhere. The replica speaks first.
 *
 *   replica                                      primary
 *     HELLO -------------------------------------->
 *     <------------------------------------ WELCOME   or REFUSE, and the stream is closed
 *     ACK ------------------------------------------>   if WELCOME says BOOTSTRAP: its table is empty now
 *     <-- SNAPSHOT_BEGIN, SNAPSHOT_CHUNK*, SNAPSHOT_END
 *     <------------------------------ BATCH, HEARTBEAT ...   HEARTBEATs at any time after WELCOME
 *     ACK ... -------------------------------------->
 *
 * A replica that is told REFUSE_DIVERGED comes again with HELLO_BOOTSTRAP once what it has is set aside. A primary that
 * hands its place over says HANDOVER on the replica's session.
 *
 * Who wants to be the next primary (a caller: replication/promotion.h) opens a stream in the same way to the replication
 * port of any member, and says in place of HELLO, as often as it likes, one at a time:
 *
 *   caller                                       member
 *     PROBE or SEAL ------------------------------>
 *     <------------------------------------ STANDING   after SEAL once the promise is durable, or is not given: it
 *                                                      is what sealed_epoch and sealed_node say; or REFUSE
 *
 * Every message:
 *   offset size  field
 *   0      4     length      of the whole message, this header included
 *   4      1     type        enum replication_type
 *   5      3     reserved    zero
 *   8      ...   body
 *
 * HELLO (1)                                      WELCOME (2)
 *   0   2  version          REPLICATION_VERSION    0   2  version
 *   2   2  client_port      where the replica      2   2  client_port     where the primary answers clients
 *                           answers clients        4   4  epoch           of the history that it writes
 *   4   4  flags            HELLO_HAS_LOG,         8   8  node_id
 *                           HELLO_HAS_DATA,        16  16 cluster_id
 *                           HELLO_BOOTSTRAP        32  8  capacity        items
 *   8   8  node_id                                 40  8  durable_lsn     last on its stable storage; to catch up to
 *   16  16 cluster_id       zero: none yet         48  8  acknowledged_lsn
 *   32  8  capacity         items                  56  8  wall_ms
 *   40  8  history          of the last change     64  4  heartbeat_ms    as often the primary is heard of
 *                           that it has; 0: none   68  4  timeout_ms      after so long without a word: gone
 *   48  8  lsn              of that change         72  1  start           enum welcome_start
 *   56  4  epoch            the highest it knows   73  3  reserved        zero
 *   60  2  replication_port of the replica,        76  4  histories       count, 1..REPLICATION_HISTORIES_MAX
 *                           0: it has none, or
 *                           no log
 *   62  2  reserved         zero
 *   64  16 client_address                          80  16 client_address
 *   80  n  name             0..64 bytes of text    96  40*n histories, oldest first:
 *                                                      0 id u64 | 8 first_lsn u64 | 16 node_id u64
 *                                                      | 24 before_lsn u64 | 32 epoch u32 | 36 reserved u32
 * client_address: where its clients reach the sender, IPv4 mapped; zero: at the address that this connection is of.
 *
 * REFUSE (3)                                     ACK (8)
 *   0   2  reason           enum refuse_reason     0   8  applied_lsn     readers of the replica may see it
 *   2   2  reserved         zero                   8   8  durable_lsn     on the replica's stable storage; 0: no log
 *   4   n  text             0..200 bytes           16  8  echo_ns         sent_ns of the last BATCH or HEARTBEAT that is
 *                                                                        applied whole
 * SNAPSHOT_BEGIN (4)                               24  1  state           enum replica_state
 *   0   8  start_lsn        0: none was taken;     25  7  reserved        zero
 *                           the log is whole
 *   8   8  flush_lsn                             BATCH (7)
 *   16  8  capacity                                0   8  acknowledged_lsn
 *   24  8  wall_ms                                 8   8  sent_ns         the primary's own monotonic clock
 *   32  8  bytes            about, for progress    16  n  block           a block of the log as it stands on the
 *                                                                        primary's disk, less its padding
 * SNAPSHOT_CHUNK (5)                                                      (store/wal_block.h)
 *   0   n  records          of one chunk
 *                                                HEARTBEAT (9)
 * SNAPSHOT_END (6)                                 0   8  acknowledged_lsn
 *   0   8  end_lsn          whole from here on     8   8  durable_lsn     the primary's
 *   8   8  items                                   16  8  sent_ns
 *                                                  24  8  wall_ms
 *
 * PROBE (10), SEAL (11)                          STANDING (12)
 *   0   2  version                                 0   2  version
 *   2   6  reserved         zero                   2   1  mode            enum standing_mode
 *   8   8  node_id          the caller's           3   1  state           enum standing_state
 *   16  16 cluster_id       not zero               4   4  epoch           the highest whose history it has or follows
 *   32  4  epoch            PROBE: the highest     8   8  node_id
 *                           that it knows          16  8  sealed_node     0: it has promised nothing
 *                           SEAL: to be promised   24  4  sealed_epoch
 *   36  4  reserved         zero                   28  4  tail_epoch      of the history that its log ends in; 0: it
 *                                                                         has no change and no history
 * HANDOVER (13)                                    32  8  tail_history
 *   0   4  epoch            promised to the        40  8  tail_lsn        its last change on stable storage
 *                           replica
 *   4   4  reserved         zero
 *
 * Little-endian. acknowledged_lsn: changes up to it are what --durability and --min-replicas promise; a replica applies
 * later ones at once, and shows them to nobody before the primary says so.
 *
 * Valid if and only if: length is one that the type can have (a payload: 1..REPLICATION_PAYLOAD_BYTES_MAX); reserved bytes
 * are zero; the type is known; versions are REPLICATION_VERSION or above; flags, start, reason, mode and state are known; the
 * epoch of a SEAL and of a HANDOVER is not zero, a caller's node and cluster ids neither; text and names are printable ASCII. A message that is not ends the session.
 */
#ifndef WILD_REPLICATION_MESSAGE_H
#define WILD_REPLICATION_MESSAGE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "handshake.h"

enum {
    REPLICATION_VERSION = 1,
    REPLICATION_HEADER_BYTES = 8,
    REPLICATION_HELLO_BYTES = 80, /* without the name; bodies, like those below */
    REPLICATION_WELCOME_BYTES = 96,
    REPLICATION_HISTORY_BYTES = 40,
    REPLICATION_REFUSE_BYTES = 4,
    REPLICATION_SNAPSHOT_BEGIN_BYTES = 40,
    REPLICATION_SNAPSHOT_END_BYTES = 16,
    REPLICATION_BATCH_BYTES = 16,
    REPLICATION_ACK_BYTES = 32,
    REPLICATION_HEARTBEAT_BYTES = 32,
    REPLICATION_CALL_BYTES = 40,
    REPLICATION_STANDING_BYTES = 48,
    REPLICATION_HANDOVER_BYTES = 8,

    REPLICATION_ADDRESS_BYTES = 16,

    REPLICATION_NAME_BYTES = 65, /* with the terminator */
    REPLICATION_TEXT_BYTES = 201,
    REPLICATION_HISTORIES_MAX = 400,
    REPLICATION_PAYLOAD_BYTES_MAX = 256 * 1024, /* a block's, a chunk's */
    REPLICATION_MESSAGE_BYTES_MAX =
        REPLICATION_HEADER_BYTES + REPLICATION_BATCH_BYTES + REPLICATION_PAYLOAD_BYTES_MAX,
    REPLICATION_UPSTREAM_BYTES_MAX = 256, /* the longest that a replica sends: a primary needs no more room */
};

enum replication_type {
    REPLICATION_HELLO = 1,
    REPLICATION_WELCOME = 2,
    REPLICATION_REFUSE = 3,
    REPLICATION_SNAPSHOT_BEGIN = 4,
    REPLICATION_SNAPSHOT_CHUNK = 5,
    REPLICATION_SNAPSHOT_END = 6,
    REPLICATION_BATCH = 7,
    REPLICATION_ACK = 8,
    REPLICATION_HEARTBEAT = 9,
    REPLICATION_PROBE = 10,
    REPLICATION_SEAL = 11,
    REPLICATION_STANDING = 12,
    REPLICATION_HANDOVER = 13,
};

enum hello_flag {
    HELLO_HAS_LOG = 0x01,   /* what it applies, it makes durable */
    HELLO_HAS_DATA = 0x02,  /* history and lsn say what */
    HELLO_BOOTSTRAP = 0x04, /* it asks for a snapshot whatever it has */
    HELLO_FLAGS_ALL = HELLO_HAS_LOG | HELLO_HAS_DATA | HELLO_BOOTSTRAP,
};

enum welcome_start {
    WELCOME_RESUME = 1,    /* the log from hello.lsn on */
    WELCOME_BOOTSTRAP = 2, /* a snapshot, then the log from there */
};

/* X(name, number, text): why a primary turns a replica away. */
#define REFUSE_REASON_LIST(X)                                                                                \
    X(VERSION, 1, "it speaks another version")                                                               \
    X(NOT_PRIMARY, 2, "it is not a primary")                                                                 \
    X(NOT_READY, 3, "it is not ready")                                                                       \
    X(FOREIGN_CLUSTER, 4, "it is of another cluster")                                                        \
    X(CAPACITY, 5, "its table is larger than ours: raise --capacity")                                        \
    X(CROWDED, 6, "it has as many replicas as it can serve")                                                 \
    X(DIVERGED, 7, "ours has changes that it does not have")                                                 \
    X(STALE_EPOCH, 8, "its epoch is below one that we know")                                                 \
    X(RIVAL, 9, "the primary that we followed has its epoch, too")                                           \
    X(SAME_NODE, 10, "another node has our node id: was a folder copied?")

enum refuse_reason {
#define REFUSE_ENUM(name, number, text) REFUSE_##name = number,
    REFUSE_REASON_LIST(REFUSE_ENUM)
#undef REFUSE_ENUM
};
const char *refuse_text(unsigned reason); /* "unknown reason" if it is */

enum replica_state { REPLICA_CATCHING_UP = 1, REPLICA_SERVING = 2 };

enum standing_mode { STANDING_FOLLOWS = 1, STANDING_LEADS = 2 };
enum standing_state {
    STANDING_SERVING = 1,
    STANDING_CATCHING_UP = 2, /* its table is not whole: it cannot be promoted */
    STANDING_READ_ONLY = 3,
    STANDING_FENCED = 4, /* it has led, and gives place */
};

struct replication_hello {
    uint64_t node_id, capacity, history, lsn;
    uint32_t flags, epoch;
    uint16_t version, client_port, replication_port;
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint8_t client_address[REPLICATION_ADDRESS_BYTES];
    char name[REPLICATION_NAME_BYTES];
};

struct replication_history {
    uint64_t id, first_lsn, node_id, before_lsn; /* store/meta.h */
    uint32_t epoch;
};

struct replication_welcome {
    uint64_t node_id, capacity, durable_lsn, acknowledged_lsn, wall_ms;
    uint32_t epoch, heartbeat_ms, timeout_ms;
    uint16_t version, client_port;
    uint8_t start; /* enum welcome_start */
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint8_t client_address[REPLICATION_ADDRESS_BYTES];
    unsigned histories;
    const uint8_t *history_bytes; /* decoded one by one with replication_history_decode() */
};

struct replication_refuse {
    uint16_t reason;
    char text[REPLICATION_TEXT_BYTES];
};

struct replication_snapshot_begin {
    uint64_t start_lsn, flush_lsn, capacity, wall_ms, bytes;
};

struct replication_snapshot_end {
    uint64_t end_lsn, items;
};

struct replication_batch {
    uint64_t acknowledged_lsn, sent_ns;
};

struct replication_ack {
    uint64_t applied_lsn, durable_lsn, echo_ns;
    uint8_t state; /* enum replica_state */
};

struct replication_heartbeat {
    uint64_t acknowledged_lsn, durable_lsn, sent_ns, wall_ms;
};

/* PROBE, SEAL */
struct replication_call {
    uint64_t node_id;
    uint32_t epoch;
    uint16_t version;
    uint8_t cluster_id[CLUSTER_ID_BYTES];
};

struct replication_standing {
    uint64_t node_id, sealed_node, tail_history, tail_lsn;
    uint32_t epoch, sealed_epoch, tail_epoch;
    uint16_t version;
    uint8_t mode, state; /* enum standing_mode, enum standing_state */
};

struct replication_handover {
    uint32_t epoch;
};

/* One message, decoded. */
struct replication_message {
    uint8_t type; /* enum replication_type: which of these it is */
    union {
        struct replication_hello hello;
        struct replication_welcome welcome;
        struct replication_refuse refuse;
        struct replication_snapshot_begin begin;
        struct replication_snapshot_end end;
        struct replication_batch batch;
        struct replication_ack ack;
        struct replication_heartbeat heartbeat;
        struct replication_call call;
        struct replication_standing standing;
        struct replication_handover handover;
    };
    /* BATCH: the block; SNAPSHOT_CHUNK: the records. Into the bytes that were decoded. */
    const uint8_t *payload;
    uint32_t payload_bytes;
};

/*
 * Bytes of the message that begins here, from its first REPLICATION_HEADER_BYTES: its length; 0: it cannot be one of at
 * most `max` bytes.
 */
uint32_t replication_length(const uint8_t header[REPLICATION_HEADER_BYTES], uint32_t max);

/* A whole message, of any length that its type can have: 0 or -EBADMSG. */
int replication_decode(struct replication_message *out, const uint8_t *bytes, size_t length);
/* The n-th history of a welcome that was decoded. */
struct replication_history replication_history_decode(const struct replication_welcome *welcome, unsigned n);

/*
 * Writes the message's bytes up to its payload, whose length is in payload_bytes (the payload itself follows by other
 * ways), and returns how many. `out` has room for REPLICATION_UPSTREAM_BYTES_MAX, or for replication_welcome_bytes().
 * WELCOME: history_bytes is not read, `histories` are given to the encoder. The message is valid: ours, so it is not
 * checked.
 */
size_t replication_encode(uint8_t *out, const struct replication_message *message,
                          const struct replication_history *histories);
size_t replication_welcome_bytes(unsigned histories);

#endif
