/* replication_message.c - encoder beside decoder; the format and its rules stand in replication_message.h. */
#include "replication_message.h"

#include <errno.h>
#include <string.h>

#include "wire.h"

/* replication_message.h's offset tables: the header, then bodies */
enum {
    AT_LENGTH = 0,
    AT_TYPE = 4,
    AT_RESERVED = 5,
    AT_BODY = 8,
};
enum {
    HELLO_VERSION = 0,
    HELLO_CLIENT_PORT = 2,
    HELLO_FLAGS = 4,
    HELLO_NODE_ID = 8,
    HELLO_CLUSTER_ID = 16,
    HELLO_CAPACITY = 32,
    HELLO_HISTORY = 40,
    HELLO_LSN = 48,
    HELLO_EPOCH = 56,
    HELLO_REPLICATION_PORT = 60,
    HELLO_RESERVED = 62,
    HELLO_CLIENT_ADDRESS = 64,
    HELLO_NAME = 80,
};
enum {
    WELCOME_VERSION = 0,
    WELCOME_CLIENT_PORT = 2,
    WELCOME_EPOCH = 4,
    WELCOME_NODE_ID = 8,
    WELCOME_CLUSTER_ID = 16,
    WELCOME_CAPACITY = 32,
    WELCOME_DURABLE_LSN = 40,
    WELCOME_ACKNOWLEDGED_LSN = 48,
    WELCOME_WALL_MS = 56,
    WELCOME_HEARTBEAT_MS = 64,
    WELCOME_TIMEOUT_MS = 68,
    WELCOME_START = 72,
    WELCOME_RESERVED = 73,
    WELCOME_COUNT = 76,
    WELCOME_CLIENT_ADDRESS = 80,
    WELCOME_HISTORIES = 96,
};
enum {
    HISTORY_ID = 0,
    HISTORY_FIRST_LSN = 8,
    HISTORY_NODE_ID = 16,
    HISTORY_BEFORE_LSN = 24,
    HISTORY_EPOCH = 32,
    HISTORY_RESERVED = 36,
    HISTORY_END = 40,
};
enum {
    REFUSE_REASON = 0,
    REFUSE_RESERVED = 2,
    REFUSE_TEXT = 4,
};
enum {
    BEGIN_START_LSN = 0,
    BEGIN_FLUSH_LSN = 8,
    BEGIN_CAPACITY = 16,
    BEGIN_WALL_MS = 24,
    BEGIN_BYTES = 32,
    BEGIN_END = 40,
};
enum {
    END_END_LSN = 0,
    END_ITEMS = 8,
    END_END = 16,
};
enum {
    BATCH_ACKNOWLEDGED_LSN = 0,
    BATCH_SENT_NS = 8,
    BATCH_BLOCK = 16,
};
enum {
    ACK_APPLIED_LSN = 0,
    ACK_DURABLE_LSN = 8,
    ACK_ECHO_NS = 16,
    ACK_STATE = 24,
    ACK_RESERVED = 25,
    ACK_END = 32,
};
enum {
    HEARTBEAT_ACKNOWLEDGED_LSN = 0,
    HEARTBEAT_DURABLE_LSN = 8,
    HEARTBEAT_SENT_NS = 16,
    HEARTBEAT_WALL_MS = 24,
    HEARTBEAT_END = 32,
};
enum {
    CALL_VERSION = 0,
    CALL_RESERVED = 2,
    CALL_NODE_ID = 8,
    CALL_CLUSTER_ID = 16,
    CALL_EPOCH = 32,
    CALL_RESERVED_TOO = 36,
    CALL_END = 40,
};
enum {
    STANDING_VERSION = 0,
    STANDING_MODE = 2,
    STANDING_STATE = 3,
    STANDING_EPOCH = 4,
    STANDING_NODE_ID = 8,
    STANDING_SEALED_NODE = 16,
    STANDING_SEALED_EPOCH = 24,
    STANDING_TAIL_EPOCH = 28,
    STANDING_TAIL_HISTORY = 32,
    STANDING_TAIL_LSN = 40,
    STANDING_END = 48,
};
enum {
    HANDOVER_EPOCH = 0,
    HANDOVER_RESERVED = 4,
    HANDOVER_END = 8,
};
static_assert((int)AT_BODY == (int)REPLICATION_HEADER_BYTES, "offset table");
static_assert((int)HELLO_NAME == (int)REPLICATION_HELLO_BYTES, "offset table");
static_assert((int)WELCOME_HISTORIES == (int)REPLICATION_WELCOME_BYTES, "offset table");
static_assert((int)HISTORY_END == (int)REPLICATION_HISTORY_BYTES, "offset table");
static_assert((int)REFUSE_TEXT == (int)REPLICATION_REFUSE_BYTES, "offset table");
static_assert((int)BEGIN_END == (int)REPLICATION_SNAPSHOT_BEGIN_BYTES, "offset table");
static_assert((int)END_END == (int)REPLICATION_SNAPSHOT_END_BYTES, "offset table");
static_assert((int)BATCH_BLOCK == (int)REPLICATION_BATCH_BYTES, "offset table");
static_assert((int)ACK_END == (int)REPLICATION_ACK_BYTES, "offset table");
static_assert((int)HEARTBEAT_END == (int)REPLICATION_HEARTBEAT_BYTES, "offset table");
static_assert((int)CALL_END == (int)REPLICATION_CALL_BYTES, "offset table");
static_assert((int)STANDING_END == (int)REPLICATION_STANDING_BYTES, "offset table");
static_assert((int)HANDOVER_END == (int)REPLICATION_HANDOVER_BYTES, "offset table");

static_assert((int)REPLICATION_UPSTREAM_BYTES_MAX >=
                  REPLICATION_HEADER_BYTES + REPLICATION_HELLO_BYTES + REPLICATION_NAME_BYTES - 1,
              "the longest HELLO");
static_assert((int)REPLICATION_UPSTREAM_BYTES_MAX >=
                  REPLICATION_HEADER_BYTES + REPLICATION_REFUSE_BYTES + REPLICATION_TEXT_BYTES - 1,
              "replication_encode()'s room: the longest head but a WELCOME's");

const char *refuse_text(unsigned reason)
{
    switch (reason) {
#define REFUSE_CASE(name, number, text)                                                                      \
    case number:                                                                                             \
        return text;
        REFUSE_REASON_LIST(REFUSE_CASE)
#undef REFUSE_CASE
    default:
        return "unknown reason";
    }
}

static bool reason_is_known(unsigned reason)
{
#define REFUSE_IS(name, number, text) || reason == number
    return false REFUSE_REASON_LIST(REFUSE_IS);
#undef REFUSE_IS
}

/* ---- texts: printable ASCII, without a terminator on the wire ---- */

static bool take_text(char *out, const uint8_t *from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (from[i] < 0x20 || from[i] > 0x7e)
            return false;
    memcpy(out, from, length);
    out[length] = 0;
    return true;
}

static uint32_t put_text(uint8_t *to, const char *text, size_t room)
{
    size_t length = strnlen(text, room - 1);
    memcpy(to, text, length);
    return (uint32_t)length;
}

/*
 * ---- bodies ----
 * take_: whether the body is valid; `count` of what repeats in it follow its fixed part.
 * put_: writes the body, returns the count.
 */

static bool take_hello(struct replication_message *out, const uint8_t *body, uint32_t count)
{
    struct replication_hello *hello = &out->hello;
    hello->version = wire_u16(body + HELLO_VERSION);
    hello->client_port = wire_u16(body + HELLO_CLIENT_PORT);
    hello->flags = wire_u32(body + HELLO_FLAGS);
    hello->node_id = wire_u64(body + HELLO_NODE_ID);
    memcpy(hello->cluster_id, body + HELLO_CLUSTER_ID, CLUSTER_ID_BYTES);
    hello->capacity = wire_u64(body + HELLO_CAPACITY);
    hello->history = wire_u64(body + HELLO_HISTORY);
    hello->lsn = wire_u64(body + HELLO_LSN);
    hello->epoch = wire_u32(body + HELLO_EPOCH);
    hello->replication_port = wire_u16(body + HELLO_REPLICATION_PORT);
    memcpy(hello->client_address, body + HELLO_CLIENT_ADDRESS, REPLICATION_ADDRESS_BYTES);
    return hello->version >= REPLICATION_VERSION && (hello->flags & ~(uint32_t)HELLO_FLAGS_ALL) == 0 &&
           wire_u16(body + HELLO_RESERVED) == 0 && take_text(hello->name, body + HELLO_NAME, count);
}

static uint32_t put_hello(uint8_t *body, const struct replication_message *message)
{
    const struct replication_hello *hello = &message->hello;
    wire_put_u16(body + HELLO_VERSION, hello->version);
    wire_put_u16(body + HELLO_CLIENT_PORT, hello->client_port);
    wire_put_u32(body + HELLO_FLAGS, hello->flags);
    wire_put_u64(body + HELLO_NODE_ID, hello->node_id);
    memcpy(body + HELLO_CLUSTER_ID, hello->cluster_id, CLUSTER_ID_BYTES);
    wire_put_u64(body + HELLO_CAPACITY, hello->capacity);
    wire_put_u64(body + HELLO_HISTORY, hello->history);
    wire_put_u64(body + HELLO_LSN, hello->lsn);
    wire_put_u32(body + HELLO_EPOCH, hello->epoch);
    wire_put_u32(body + HELLO_REPLICATION_PORT,
                 hello->replication_port); /* and the reserved bytes behind it */
    memcpy(body + HELLO_CLIENT_ADDRESS, hello->client_address, REPLICATION_ADDRESS_BYTES);
    return put_text(body + HELLO_NAME, hello->name, sizeof hello->name);
}

static bool take_welcome(struct replication_message *out, const uint8_t *body, uint32_t count)
{
    struct replication_welcome *welcome = &out->welcome;
    welcome->version = wire_u16(body + WELCOME_VERSION);
    welcome->client_port = wire_u16(body + WELCOME_CLIENT_PORT);
    welcome->epoch = wire_u32(body + WELCOME_EPOCH);
    welcome->node_id = wire_u64(body + WELCOME_NODE_ID);
    memcpy(welcome->cluster_id, body + WELCOME_CLUSTER_ID, CLUSTER_ID_BYTES);
    welcome->capacity = wire_u64(body + WELCOME_CAPACITY);
    welcome->durable_lsn = wire_u64(body + WELCOME_DURABLE_LSN);
    welcome->acknowledged_lsn = wire_u64(body + WELCOME_ACKNOWLEDGED_LSN);
    welcome->wall_ms = wire_u64(body + WELCOME_WALL_MS);
    welcome->heartbeat_ms = wire_u32(body + WELCOME_HEARTBEAT_MS);
    welcome->timeout_ms = wire_u32(body + WELCOME_TIMEOUT_MS);
    welcome->start = body[WELCOME_START];
    memcpy(welcome->client_address, body + WELCOME_CLIENT_ADDRESS, REPLICATION_ADDRESS_BYTES);
    welcome->histories = count;
    welcome->history_bytes = body + WELCOME_HISTORIES;
    for (uint32_t i = 0; i < count; i++)
        if (wire_u32(welcome->history_bytes + i * HISTORY_END + HISTORY_RESERVED) != 0)
            return false;
    return welcome->version >= REPLICATION_VERSION && wire_u32(body + WELCOME_COUNT) == count &&
           (welcome->start == WELCOME_RESUME || welcome->start == WELCOME_BOOTSTRAP) &&
           wire_is_zero(body + WELCOME_RESERVED, WELCOME_COUNT - WELCOME_RESERVED);
}

struct replication_history replication_history_decode(const struct replication_welcome *welcome, unsigned n)
{
    const uint8_t *from = welcome->history_bytes + (size_t)n * HISTORY_END;
    return (struct replication_history){.id = wire_u64(from + HISTORY_ID),
                                        .first_lsn = wire_u64(from + HISTORY_FIRST_LSN),
                                        .node_id = wire_u64(from + HISTORY_NODE_ID),
                                        .before_lsn = wire_u64(from + HISTORY_BEFORE_LSN),
                                        .epoch = wire_u32(from + HISTORY_EPOCH)};
}

static void put_history(uint8_t *to, const struct replication_history *history)
{
    wire_put_u64(to + HISTORY_ID, history->id);
    wire_put_u64(to + HISTORY_FIRST_LSN, history->first_lsn);
    wire_put_u64(to + HISTORY_NODE_ID, history->node_id);
    wire_put_u64(to + HISTORY_BEFORE_LSN, history->before_lsn);
    wire_put_u32(to + HISTORY_EPOCH, history->epoch);
    wire_put_u32(to + HISTORY_RESERVED, 0);
}

/* All but the histories, which replication_encode() puts behind it. */
static uint32_t put_welcome(uint8_t *body, const struct replication_message *message)
{
    const struct replication_welcome *welcome = &message->welcome;
    wire_put_u16(body + WELCOME_VERSION, welcome->version);
    wire_put_u16(body + WELCOME_CLIENT_PORT, welcome->client_port);
    wire_put_u32(body + WELCOME_EPOCH, welcome->epoch);
    wire_put_u64(body + WELCOME_NODE_ID, welcome->node_id);
    memcpy(body + WELCOME_CLUSTER_ID, welcome->cluster_id, CLUSTER_ID_BYTES);
    wire_put_u64(body + WELCOME_CAPACITY, welcome->capacity);
    wire_put_u64(body + WELCOME_DURABLE_LSN, welcome->durable_lsn);
    wire_put_u64(body + WELCOME_ACKNOWLEDGED_LSN, welcome->acknowledged_lsn);
    wire_put_u64(body + WELCOME_WALL_MS, welcome->wall_ms);
    wire_put_u32(body + WELCOME_HEARTBEAT_MS, welcome->heartbeat_ms);
    wire_put_u32(body + WELCOME_TIMEOUT_MS, welcome->timeout_ms);
    wire_put_u32(body + WELCOME_START, welcome->start); /* and the reserved bytes behind it */
    wire_put_u32(body + WELCOME_COUNT, welcome->histories);
    memcpy(body + WELCOME_CLIENT_ADDRESS, welcome->client_address, REPLICATION_ADDRESS_BYTES);
    return welcome->histories;
}

static bool take_refuse(struct replication_message *out, const uint8_t *body, uint32_t count)
{
    out->refuse.reason = wire_u16(body + REFUSE_REASON);
    return reason_is_known(out->refuse.reason) && wire_u16(body + REFUSE_RESERVED) == 0 &&
           take_text(out->refuse.text, body + REFUSE_TEXT, count);
}

static uint32_t put_refuse(uint8_t *body, const struct replication_message *message)
{
    wire_put_u16(body + REFUSE_REASON, message->refuse.reason);
    wire_put_u16(body + REFUSE_RESERVED, 0);
    return put_text(body + REFUSE_TEXT, message->refuse.text, sizeof message->refuse.text);
}

static bool take_snapshot_begin(struct replication_message *out, const uint8_t *body, uint32_t count)
{
    (void)count;
    out->begin = (struct replication_snapshot_begin){.start_lsn = wire_u64(body + BEGIN_START_LSN),
                                                     .flush_lsn = wire_u64(body + BEGIN_FLUSH_LSN),
                                                     .capacity = wire_u64(body + BEGIN_CAPACITY),
                                                     .wall_ms = wire_u64(body + BEGIN_WALL_MS),
                                                     .bytes = wire_u64(body + BEGIN_BYTES)};
    return true;
}

static uint32_t put_snapshot_begin(uint8_t *body, const struct replication_message *message)
{
    wire_put_u64(body + BEGIN_START_LSN, message->begin.start_lsn);
    wire_put_u64(body + BEGIN_FLUSH_LSN, message->begin.flush_lsn);
    wire_put_u64(body + BEGIN_CAPACITY, message->begin.capacity);
    wire_put_u64(body + BEGIN_WALL_MS, message->begin.wall_ms);
    wire_put_u64(body + BEGIN_BYTES, message->begin.bytes);
    return 0;
}

static bool take_snapshot_chunk(struct replication_message *out, const uint8_t *body, uint32_t count)
{
    out->payload = body;
    out->payload_bytes = count;
    return true;
}

static uint32_t put_snapshot_chunk(uint8_t *body, const struct replication_message *message)
{
    (void)body;
    return message->payload_bytes;
}

static bool take_snapshot_end(struct replication_message *out, const uint8_t *body, uint32_t count)
{
    (void)count;
    out->end.end_lsn = wire_u64(body + END_END_LSN);
    out->end.items = wire_u64(body + END_ITEMS);
    return true;
}

static uint32_t put_snapshot_end(uint8_t *body, const struct replication_message *message)
{
    wire_put_u64(body + END_END_LSN, message->end.end_lsn);
    wire_put_u64(body + END_ITEMS, message->end.items);
    return 0;
}

static bool take_batch(struct replication_message *out, const uint8_t *body, uint32_t count)
{
    out->batch.acknowledged_lsn = wire_u64(body + BATCH_ACKNOWLEDGED_LSN);
    out->batch.sent_ns = wire_u64(body + BATCH_SENT_NS);
    out->payload = body + BATCH_BLOCK;
    out->payload_bytes = count;
    return true;
}

static uint32_t put_batch(uint8_t *body, const struct replication_message *message)
{
    wire_put_u64(body + BATCH_ACKNOWLEDGED_LSN, message->batch.acknowledged_lsn);
    wire_put_u64(body + BATCH_SENT_NS, message->batch.sent_ns);
    return message->payload_bytes;
}

static bool take_ack(struct replication_message *out, const uint8_t *body, uint32_t count)
{
    (void)count;
    out->ack.applied_lsn = wire_u64(body + ACK_APPLIED_LSN);
    out->ack.durable_lsn = wire_u64(body + ACK_DURABLE_LSN);
    out->ack.echo_ns = wire_u64(body + ACK_ECHO_NS);
    out->ack.state = body[ACK_STATE];
    return (out->ack.state == REPLICA_CATCHING_UP || out->ack.state == REPLICA_SERVING) &&
           wire_is_zero(body + ACK_RESERVED, ACK_END - ACK_RESERVED);
}

static uint32_t put_ack(uint8_t *body, const struct replication_message *message)
{
    wire_put_u64(body + ACK_APPLIED_LSN, message->ack.applied_lsn);
    wire_put_u64(body + ACK_DURABLE_LSN, message->ack.durable_lsn);
    wire_put_u64(body + ACK_ECHO_NS, message->ack.echo_ns);
    wire_put_u64(body + ACK_STATE, message->ack.state); /* and the reserved bytes behind it */
    return 0;
}

static bool take_heartbeat(struct replication_message *out, const uint8_t *body, uint32_t count)
{
    (void)count;
    out->heartbeat =
        (struct replication_heartbeat){.acknowledged_lsn = wire_u64(body + HEARTBEAT_ACKNOWLEDGED_LSN),
                                       .durable_lsn = wire_u64(body + HEARTBEAT_DURABLE_LSN),
                                       .sent_ns = wire_u64(body + HEARTBEAT_SENT_NS),
                                       .wall_ms = wire_u64(body + HEARTBEAT_WALL_MS)};
    return true;
}

static uint32_t put_heartbeat(uint8_t *body, const struct replication_message *message)
{
    wire_put_u64(body + HEARTBEAT_ACKNOWLEDGED_LSN, message->heartbeat.acknowledged_lsn);
    wire_put_u64(body + HEARTBEAT_DURABLE_LSN, message->heartbeat.durable_lsn);
    wire_put_u64(body + HEARTBEAT_SENT_NS, message->heartbeat.sent_ns);
    wire_put_u64(body + HEARTBEAT_WALL_MS, message->heartbeat.wall_ms);
    return 0;
}

static bool take_call(struct replication_message *out, const uint8_t *body, uint32_t count)
{
    struct replication_call *call = &out->call;
    (void)count;
    call->version = wire_u16(body + CALL_VERSION);
    call->node_id = wire_u64(body + CALL_NODE_ID);
    memcpy(call->cluster_id, body + CALL_CLUSTER_ID, CLUSTER_ID_BYTES);
    call->epoch = wire_u32(body + CALL_EPOCH);
    return call->version >= REPLICATION_VERSION && call->node_id != 0 &&
           !wire_is_zero(call->cluster_id, CLUSTER_ID_BYTES) &&
           (call->epoch != 0 || out->type == REPLICATION_PROBE) &&
           wire_is_zero(body + CALL_RESERVED, CALL_NODE_ID - CALL_RESERVED) &&
           wire_u32(body + CALL_RESERVED_TOO) == 0;
}

static uint32_t put_call(uint8_t *body, const struct replication_message *message)
{
    const struct replication_call *call = &message->call;
    wire_put_u64(body + CALL_VERSION, call->version); /* and the reserved bytes behind it */
    wire_put_u64(body + CALL_NODE_ID, call->node_id);
    memcpy(body + CALL_CLUSTER_ID, call->cluster_id, CLUSTER_ID_BYTES);
    wire_put_u64(body + CALL_EPOCH, call->epoch); /* likewise */
    return 0;
}

static bool take_standing(struct replication_message *out, const uint8_t *body, uint32_t count)
{
    struct replication_standing *standing = &out->standing;
    (void)count;
    standing->version = wire_u16(body + STANDING_VERSION);
    standing->mode = body[STANDING_MODE];
    standing->state = body[STANDING_STATE];
    standing->epoch = wire_u32(body + STANDING_EPOCH);
    standing->node_id = wire_u64(body + STANDING_NODE_ID);
    standing->sealed_node = wire_u64(body + STANDING_SEALED_NODE);
    standing->sealed_epoch = wire_u32(body + STANDING_SEALED_EPOCH);
    standing->tail_epoch = wire_u32(body + STANDING_TAIL_EPOCH);
    standing->tail_history = wire_u64(body + STANDING_TAIL_HISTORY);
    standing->tail_lsn = wire_u64(body + STANDING_TAIL_LSN);
    return standing->version >= REPLICATION_VERSION &&
           (standing->mode == STANDING_FOLLOWS || standing->mode == STANDING_LEADS) &&
           standing->state >= STANDING_SERVING && standing->state <= STANDING_FENCED;
}

static uint32_t put_standing(uint8_t *body, const struct replication_message *message)
{
    const struct replication_standing *standing = &message->standing;
    wire_put_u16(body + STANDING_VERSION, standing->version);
    body[STANDING_MODE] = standing->mode;
    body[STANDING_STATE] = standing->state;
    wire_put_u32(body + STANDING_EPOCH, standing->epoch);
    wire_put_u64(body + STANDING_NODE_ID, standing->node_id);
    wire_put_u64(body + STANDING_SEALED_NODE, standing->sealed_node);
    wire_put_u32(body + STANDING_SEALED_EPOCH, standing->sealed_epoch);
    wire_put_u32(body + STANDING_TAIL_EPOCH, standing->tail_epoch);
    wire_put_u64(body + STANDING_TAIL_HISTORY, standing->tail_history);
    wire_put_u64(body + STANDING_TAIL_LSN, standing->tail_lsn);
    return 0;
}

static bool take_handover(struct replication_message *out, const uint8_t *body, uint32_t count)
{
    (void)count;
    out->handover.epoch = wire_u32(body + HANDOVER_EPOCH);
    return out->handover.epoch != 0 && wire_u32(body + HANDOVER_RESERVED) == 0;
}

static uint32_t put_handover(uint8_t *body, const struct replication_message *message)
{
    wire_put_u64(body + HANDOVER_EPOCH, message->handover.epoch); /* and the reserved bytes behind it */
    return 0;
}

/* ---- messages ---- */

/* What a type's body is: a fixed part, and then `count_min` to `count_max` times `each` bytes. */
struct form {
    uint32_t fixed, each, count_min, count_max;
    bool (*take)(struct replication_message *out, const uint8_t *body, uint32_t count);
    uint32_t (*put)(uint8_t *body, const struct replication_message *message);
    bool payload; /* what repeats is no part of the head */
};

#define BODY(name, fixed, each, count_min, count_max, payload)                                               \
    {                                                                                                        \
        fixed, each, count_min, count_max, take_##name, put_##name, payload                                  \
    }
/* clang-format off */
static const struct form forms[] = {
    [REPLICATION_HELLO] = BODY(hello, REPLICATION_HELLO_BYTES, 1, 0, REPLICATION_NAME_BYTES - 1, false),
    [REPLICATION_WELCOME] = BODY(welcome, REPLICATION_WELCOME_BYTES,
                                 REPLICATION_HISTORY_BYTES, 1, REPLICATION_HISTORIES_MAX, false),
    [REPLICATION_REFUSE] = BODY(refuse, REPLICATION_REFUSE_BYTES, 1, 0, REPLICATION_TEXT_BYTES - 1, false),
    [REPLICATION_SNAPSHOT_BEGIN] = BODY(snapshot_begin, REPLICATION_SNAPSHOT_BEGIN_BYTES, 1, 0, 0, false),
    [REPLICATION_SNAPSHOT_CHUNK] = BODY(snapshot_chunk, 0, 1, 1, REPLICATION_PAYLOAD_BYTES_MAX, true),
    [REPLICATION_SNAPSHOT_END] = BODY(snapshot_end, REPLICATION_SNAPSHOT_END_BYTES, 1, 0, 0, false),
    [REPLICATION_BATCH] = BODY(batch, REPLICATION_BATCH_BYTES, 1, 1, REPLICATION_PAYLOAD_BYTES_MAX, true),
    [REPLICATION_ACK] = BODY(ack, REPLICATION_ACK_BYTES, 1, 0, 0, false),
    [REPLICATION_HEARTBEAT] = BODY(heartbeat, REPLICATION_HEARTBEAT_BYTES, 1, 0, 0, false),
    [REPLICATION_PROBE] = BODY(call, REPLICATION_CALL_BYTES, 1, 0, 0, false),
    [REPLICATION_SEAL] = BODY(call, REPLICATION_CALL_BYTES, 1, 0, 0, false),
    [REPLICATION_STANDING] = BODY(standing, REPLICATION_STANDING_BYTES, 1, 0, 0, false),
    [REPLICATION_HANDOVER] = BODY(handover, REPLICATION_HANDOVER_BYTES, 1, 0, 0, false),
};
/* clang-format on */
#undef BODY

static const struct form *form_of(unsigned type)
{
    return type < sizeof forms / sizeof forms[0] && forms[type].take != NULL ? &forms[type] : NULL;
}

/* Of what repeats, in a message of this length. False: the type has no such length. */
static bool count_of(const struct form *form, uint32_t length, uint32_t *count)
{
    uint32_t least = AT_BODY + form->fixed;
    if (length < least || (length - least) % form->each != 0)
        return false;
    *count = (length - least) / form->each;
    return *count >= form->count_min && *count <= form->count_max;
}

uint32_t replication_length(const uint8_t header[REPLICATION_HEADER_BYTES], uint32_t max)
{
    const struct form *form = form_of(header[AT_TYPE]);
    uint32_t length = wire_u32(header + AT_LENGTH), count;
    if (form == NULL || !wire_is_zero(header + AT_RESERVED, AT_BODY - AT_RESERVED) || length > max ||
        !count_of(form, length, &count))
        return 0;
    return length;
}

int replication_decode(struct replication_message *out, const uint8_t *bytes, size_t length)
{
    uint32_t count = 0;
    *out = (struct replication_message){0};
    if (length < REPLICATION_HEADER_BYTES || replication_length(bytes, UINT32_MAX) != length)
        return -EBADMSG;
    const struct form *form = form_of(bytes[AT_TYPE]);
    count_of(form, (uint32_t)length, &count);
    out->type = bytes[AT_TYPE];
    return form->take(out, bytes + AT_BODY, count) ? 0 : -EBADMSG;
}

size_t replication_encode(uint8_t *out, const struct replication_message *message,
                          const struct replication_history *histories)
{
    const struct form *form = &forms[message->type];
    uint32_t count = form->put(out + AT_BODY, message);
    if (message->type == REPLICATION_WELCOME)
        for (uint32_t i = 0; i < count; i++)
            put_history(out + AT_BODY + WELCOME_HISTORIES + (size_t)i * HISTORY_END, &histories[i]);
    uint32_t head = AT_BODY + form->fixed, repeated = count * form->each;
    wire_put_u32(out + AT_LENGTH, head + repeated);
    wire_put_u32(out + AT_TYPE, message->type); /* and the reserved bytes behind it */
    return form->payload ? head : head + repeated;
}

size_t replication_welcome_bytes(unsigned histories)
{
    return REPLICATION_HEADER_BYTES + REPLICATION_WELCOME_BYTES +
           (size_t)histories * REPLICATION_HISTORY_BYTES;
}
