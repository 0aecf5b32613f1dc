/*
 * test_replication_message.c - the codec of replication: what is written is read back, every byte where the format
 * says, and what breaks any of its rules is refused.
 */
#include "replication_message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "suite.h"
#include "wire.h"

static const uint8_t cluster_id[CLUSTER_ID_BYTES] = "a cluster's id.";
static const uint8_t client_address[REPLICATION_ADDRESS_BYTES] = "a node's address";
static uint8_t payload[REPLICATION_PAYLOAD_BYTES_MAX];

static struct replication_history some_history(unsigned n)
{
    return (struct replication_history){.id = 0x1111111111111100 + n,
                                        .first_lsn = (uint64_t)(n + 1) << 32,
                                        .node_id = 0x2222222222222200 + n,
                                        .before_lsn = (uint64_t)n << 32 | 7,
                                        .epoch = 0x33333300 + n};
}

static const struct replication_history *some_histories(void)
{
    static struct replication_history histories[REPLICATION_HISTORIES_MAX];
    for (unsigned i = 0; i < REPLICATION_HISTORIES_MAX; i++)
        histories[i] = some_history(i);
    return histories;
}

/* ---- one of each, with `count` of what repeats in it: no two fields have one value ---- */

static void some_text(char *out, unsigned length)
{
    for (unsigned i = 0; i < length; i++)
        out[i] = (char)(' ' + i % 95);
    out[length] = 0;
}

static struct replication_message hello(unsigned count)
{
    struct replication_message m = {.type = REPLICATION_HELLO,
                                    .hello = {.version = 1,
                                              .client_port = 0x0203,
                                              .replication_port = 0x2829,
                                              .flags = HELLO_HAS_LOG | HELLO_HAS_DATA | HELLO_BOOTSTRAP,
                                              .node_id = 0x0405060708090a0b,
                                              .capacity = 0x0c0d0e0f10111213,
                                              .history = 0x1415161718191a1b,
                                              .lsn = 0x1c1d1e1f20212223,
                                              .epoch = 0x24252627}};
    memcpy(m.hello.cluster_id, cluster_id, sizeof cluster_id);
    memcpy(m.hello.client_address, client_address, sizeof client_address);
    some_text(m.hello.name, count);
    return m;
}

static struct replication_message welcome(unsigned count)
{
    struct replication_message m = {.type = REPLICATION_WELCOME,
                                    .welcome = {.version = 0xfffe,
                                                .client_port = 0x0203,
                                                .epoch = 0x04050607,
                                                .node_id = 0x08090a0b0c0d0e0f,
                                                .capacity = 0x1011121314151617,
                                                .durable_lsn = 0x18191a1b1c1d1e1f,
                                                .acknowledged_lsn = 0x2021222324252627,
                                                .wall_ms = 0x28292a2b2c2d2e2f,
                                                .heartbeat_ms = 0x30313233,
                                                .timeout_ms = 0x34353637,
                                                .start = WELCOME_BOOTSTRAP,
                                                .histories = count}};
    memcpy(m.welcome.cluster_id, cluster_id, sizeof cluster_id);
    memcpy(m.welcome.client_address, client_address, sizeof client_address);
    return m;
}

static struct replication_message refuse(unsigned count)
{
    struct replication_message m = {.type = REPLICATION_REFUSE, .refuse = {.reason = REFUSE_CAPACITY}};
    some_text(m.refuse.text, count);
    return m;
}

static struct replication_message snapshot_begin(unsigned count)
{
    (void)count;
    return (struct replication_message){.type = REPLICATION_SNAPSHOT_BEGIN,
                                        .begin = {.start_lsn = 0x0102030405060708,
                                                  .flush_lsn = 0x090a0b0c0d0e0f10,
                                                  .capacity = 0x1112131415161718,
                                                  .wall_ms = 0x191a1b1c1d1e1f20,
                                                  .bytes = 0x2122232425262728}};
}

static struct replication_message snapshot_chunk(unsigned count)
{
    return (struct replication_message){.type = REPLICATION_SNAPSHOT_CHUNK, .payload_bytes = count};
}

static struct replication_message snapshot_end(unsigned count)
{
    (void)count;
    return (struct replication_message){.type = REPLICATION_SNAPSHOT_END,
                                        .end = {.end_lsn = 0x0102030405060708, .items = 0x090a0b0c0d0e0f10}};
}

static struct replication_message batch(unsigned count)
{
    return (struct replication_message){
        .type = REPLICATION_BATCH,
        .batch = {.acknowledged_lsn = 0x0102030405060708, .sent_ns = 0x090a0b0c0d0e0f10},
        .payload_bytes = count};
}

static struct replication_message ack(unsigned count)
{
    (void)count;
    return (struct replication_message){.type = REPLICATION_ACK,
                                        .ack = {.applied_lsn = 0x0102030405060708,
                                                .durable_lsn = 0x090a0b0c0d0e0f10,
                                                .echo_ns = 0x1112131415161718,
                                                .state = REPLICA_SERVING}};
}

static struct replication_message heartbeat(unsigned count)
{
    (void)count;
    return (struct replication_message){.type = REPLICATION_HEARTBEAT,
                                        .heartbeat = {.acknowledged_lsn = 0x0102030405060708,
                                                      .durable_lsn = 0x090a0b0c0d0e0f10,
                                                      .sent_ns = 0x1112131415161718,
                                                      .wall_ms = 0x191a1b1c1d1e1f20}};
}

static struct replication_message call(enum replication_type type)
{
    struct replication_message m = {
        .type = type, .call = {.version = 0x0102, .node_id = 0x090a0b0c0d0e0f10, .epoch = 0x21222324}};
    memcpy(m.call.cluster_id, cluster_id, sizeof cluster_id);
    return m;
}

static struct replication_message probe(unsigned count)
{
    (void)count;
    return call(REPLICATION_PROBE);
}

static struct replication_message seal(unsigned count)
{
    (void)count;
    return call(REPLICATION_SEAL);
}

static struct replication_message standing(unsigned count)
{
    (void)count;
    return (struct replication_message){.type = REPLICATION_STANDING,
                                        .standing = {.version = 0x0102,
                                                     .mode = STANDING_LEADS,
                                                     .state = STANDING_FENCED,
                                                     .epoch = 0x05060708,
                                                     .node_id = 0x090a0b0c0d0e0f10,
                                                     .sealed_node = 0x1112131415161718,
                                                     .sealed_epoch = 0x191a1b1c,
                                                     .tail_epoch = 0x1d1e1f20,
                                                     .tail_history = 0x2122232425262728,
                                                     .tail_lsn = 0x292a2b2c2d2e2f30}};
}

static struct replication_message handover(unsigned count)
{
    (void)count;
    return (struct replication_message){.type = REPLICATION_HANDOVER, .handover = {.epoch = 0x01020304}};
}

/* Lengths as the format's tables have them, in figures of their own. */
static const struct {
    struct replication_message (*make)(unsigned count);
    uint32_t fixed, each, count_min, count_max;
} kinds[] = {
    {hello, 8 + 80, 1, 0, 64},         {welcome, 8 + 96, 40, 1, 400},
    {refuse, 8 + 4, 1, 0, 200},        {snapshot_begin, 8 + 40, 1, 0, 0},
    {snapshot_chunk, 8, 1, 1, 262144}, {snapshot_end, 8 + 16, 1, 0, 0},
    {batch, 8 + 16, 1, 1, 262144},     {ack, 8 + 32, 1, 0, 0},
    {heartbeat, 8 + 32, 1, 0, 0},      {probe, 8 + 40, 1, 0, 0},
    {seal, 8 + 40, 1, 0, 0},           {standing, 8 + 48, 1, 0, 0},
    {handover, 8 + 8, 1, 0, 0},
};
enum { KINDS = sizeof kinds / sizeof kinds[0], ROOM = REPLICATION_MESSAGE_BYTES_MAX + 64 };

/* A whole message in `out`; its bytes. */
static uint32_t whole(uint8_t *out, const struct replication_message *message)
{
    size_t head = replication_encode(out, message, some_histories());
    memcpy(out + head, payload, message->payload_bytes);
    return (uint32_t)head + message->payload_bytes;
}

/* In a block of its exact size, so that a sanitizer sees a byte too far. */
static int decode(struct replication_message *out, const uint8_t *bytes, size_t length, uint8_t **block)
{
    *block = malloc(length > 0 ? length : 1);
    memcpy(*block, bytes, length);
    return replication_decode(out, *block, length);
}

static bool decodes(const uint8_t *bytes, size_t length)
{
    struct replication_message out;
    uint8_t *block;
    bool good = decode(&out, bytes, length, &block) == 0;
    free(block);
    return good;
}

/* Field by field, by way of the encoder, whose bytes another test checks. */
static bool same(const struct replication_message *sent, const struct replication_message *got)
{
    static uint8_t one[ROOM], other[ROOM];
    size_t head = replication_encode(one, sent, some_histories());
    return sent->type == got->type && replication_encode(other, got, some_histories()) == head &&
           memcmp(one, other, head) == 0;
}

static bool histories_are_there(const struct replication_welcome *welcome)
{
    for (unsigned i = 0; i < welcome->histories; i++) {
        struct replication_history want = some_history(i), got = replication_history_decode(welcome, i);
        if (want.id != got.id || want.first_lsn != got.first_lsn || want.node_id != got.node_id ||
            want.before_lsn != got.before_lsn || want.epoch != got.epoch)
            return false;
    }
    return true;
}

/* ---- what is in order ---- */

static void every_message_survives_at_every_size(void)
{
    uint8_t *bytes = malloc(ROOM), *block;
    for (unsigned k = 0; k < KINDS; k++) {
        uint32_t most = kinds[k].count_max;
        for (uint32_t n = kinds[k].count_min; n <= most;
             n += n < 500 || n + 4 > most ? 1 : (most - n - 3) / 4 + 1) {
            struct replication_message sent = kinds[k].make(n), got;
            uint32_t length = whole(bytes, &sent);
            CU_ASSERT_EQUAL(length, kinds[k].fixed + n * kinds[k].each);
            CU_ASSERT_EQUAL(replication_length(bytes, length), length);
            CU_ASSERT_EQUAL(decode(&got, bytes, length, &block), 0);
            CU_ASSERT(same(&sent, &got));
            CU_ASSERT_PTR_EQUAL(got.payload, sent.payload_bytes > 0 ? block + length - n : NULL);
            CU_ASSERT(got.payload == NULL || memcmp(got.payload, payload, n) == 0);
            if (got.type == REPLICATION_WELCOME) {
                CU_ASSERT_EQUAL(length, replication_welcome_bytes(n));
                CU_ASSERT(histories_are_there(&got.welcome));
            }
            free(block);
        }
    }
    free(bytes);
}

/* A message put together from the format's tables, by other means than the encoder's. */
struct layout {
    uint8_t bytes[512];
    size_t at;
};

static void number(struct layout *l, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++)
        l->bytes[l->at++] = (uint8_t)(value >> (8 * i));
}

static void text(struct layout *l, const void *from, size_t length)
{
    memcpy(l->bytes + l->at, from, length);
    l->at += length;
}

static void numbers_of_8(struct layout *l, uint64_t first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        number(l, 8, first + i * UINT64_C(0x0808080808080808));
}

static void must_be(const struct layout *l, struct replication_message message)
{
    static uint8_t bytes[ROOM];
    memset(bytes, 0xee, sizeof bytes); /* what the encoder leaves out stands out */
    uint32_t length = whole(bytes, &message);
    CU_ASSERT_EQUAL(length, l->at);
    CU_ASSERT_EQUAL(memcmp(bytes, l->bytes, l->at), 0);
}

#define LAYOUT(length, type)                                                                                 \
    {                                                                                                        \
        .bytes = {(length)&0xff, (length) >> 8, 0, 0, (type), 0, 0, 0}, .at = 8                              \
    }

static void every_field_stands_where_the_format_says(void)
{
    struct layout h = LAYOUT(91, 1), w = LAYOUT(184, 2), r = LAYOUT(14, 3), b = LAYOUT(48, 4),
                  c = LAYOUT(10, 5);
    struct layout e = LAYOUT(24, 6), l = LAYOUT(26, 7), a = LAYOUT(40, 8), t = LAYOUT(40, 9);
    struct layout p = LAYOUT(48, 10), s = LAYOUT(48, 11), g = LAYOUT(56, 12), o = LAYOUT(16, 13);

    number(&h, 2, 1), number(&h, 2, 0x0203), number(&h, 4, 7), number(&h, 8, 0x0405060708090a0b);
    text(&h, cluster_id, 16), numbers_of_8(&h, 0x0c0d0e0f10111213, 3), number(&h, 4, 0x24252627);
    number(&h, 2, 0x2829), number(&h, 2, 0), text(&h, client_address, 16), text(&h, " !\"", 3);
    must_be(&h, hello(3));

    number(&w, 2, 0xfffe), number(&w, 2, 0x0203), number(&w, 4, 0x04050607),
        number(&w, 8, 0x08090a0b0c0d0e0f);
    text(&w, cluster_id, 16), numbers_of_8(&w, 0x1011121314151617, 4), number(&w, 4, 0x30313233);
    number(&w, 4, 0x34353637), number(&w, 1, 2), number(&w, 3, 0), number(&w, 4, 2);
    text(&w, client_address, 16);
    for (unsigned i = 0; i < 2; i++) {
        number(&w, 8, 0x1111111111111100 + i), number(&w, 8, (uint64_t)(i + 1) << 32);
        number(&w, 8, 0x2222222222222200 + i), number(&w, 8, (uint64_t)i << 32 | 7);
        number(&w, 4, 0x33333300 + i), number(&w, 4, 0);
    }
    must_be(&w, welcome(2));

    number(&r, 2, 5), number(&r, 2, 0), text(&r, " !", 2);
    must_be(&r, refuse(2));
    numbers_of_8(&b, 0x0102030405060708, 5);
    must_be(&b, snapshot_begin(0));
    text(&c, payload, 2);
    must_be(&c, snapshot_chunk(2));
    numbers_of_8(&e, 0x0102030405060708, 2);
    must_be(&e, snapshot_end(0));
    numbers_of_8(&l, 0x0102030405060708, 2), text(&l, payload, 2);
    must_be(&l, batch(2));
    numbers_of_8(&a, 0x0102030405060708, 3), number(&a, 1, 2), number(&a, 7, 0);
    must_be(&a, ack(0));
    numbers_of_8(&t, 0x0102030405060708, 4);
    must_be(&t, heartbeat(0));
    number(&p, 2, 0x0102), number(&p, 6, 0), number(&p, 8, 0x090a0b0c0d0e0f10), text(&p, cluster_id, 16);
    number(&p, 4, 0x21222324), number(&p, 4, 0);
    memcpy(s.bytes + s.at, p.bytes + s.at, p.at - s.at);
    s.at = p.at;
    must_be(&p, probe(0));
    must_be(&s, seal(0));
    number(&g, 2, 0x0102), number(&g, 1, 2), number(&g, 1, 4), number(&g, 4, 0x05060708);
    number(&g, 8, 0x090a0b0c0d0e0f10), number(&g, 8, 0x1112131415161718), number(&g, 4, 0x191a1b1c);
    number(&g, 4, 0x1d1e1f20), number(&g, 8, 0x2122232425262728), number(&g, 8, 0x292a2b2c2d2e2f30);
    must_be(&g, standing(0));
    number(&o, 4, 0x01020304), number(&o, 4, 0);
    must_be(&o, handover(0));
}

static void every_known_value_is_taken_and_no_other(void)
{
    uint8_t bytes[512];
    struct replication_message m = welcome(1);
    uint32_t length = whole(bytes, &m);
    for (unsigned v = 0; v < 256; v++) {
        bytes[8 + 72] = (uint8_t)v;
        CU_ASSERT_EQUAL(decodes(bytes, length), v == WELCOME_RESUME || v == WELCOME_BOOTSTRAP);
    }
    m = ack(0);
    length = whole(bytes, &m);
    for (unsigned v = 0; v < 256; v++) {
        bytes[8 + 24] = (uint8_t)v;
        CU_ASSERT_EQUAL(decodes(bytes, length), v == REPLICA_CATCHING_UP || v == REPLICA_SERVING);
    }
    m = standing(0);
    length = whole(bytes, &m);
    for (unsigned v = 0; v < 256; v++) {
        bytes[8 + 2] = (uint8_t)v;
        CU_ASSERT_EQUAL(decodes(bytes, length), v == STANDING_FOLLOWS || v == STANDING_LEADS);
    }
    bytes[8 + 2] = STANDING_FOLLOWS;
    for (unsigned v = 0; v < 256; v++) {
        bytes[8 + 3] = (uint8_t)v;
        CU_ASSERT_EQUAL(decodes(bytes, length), v >= 1 && v <= STANDING_FENCED);
    }
    m = refuse(0);
    length = whole(bytes, &m);
    for (unsigned v = 0; v < 0x10000; v++) {
        wire_put_u16(bytes + 8, (uint16_t)v);
        CU_ASSERT_EQUAL(decodes(bytes, length), v >= 1 && v <= REFUSE_SAME_NODE);
    }
    m = hello(0);
    length = whole(bytes, &m);
    for (unsigned bit = 0; bit < 32; bit++) {
        wire_put_u32(bytes + 8 + 4, UINT32_C(1) << bit);
        CU_ASSERT_EQUAL(decodes(bytes, length), bit < 3);
    }
    for (unsigned type = 0; type < 256; type++) {
        m = ack(0);
        length = whole(bytes, &m);
        bytes[4] = (uint8_t)
            type; /* as long as a HEARTBEAT, a CHUNK and a BATCH can be; a REFUSE's reason is wrong */
        CU_ASSERT_EQUAL(decodes(bytes, length), type == REPLICATION_ACK || type == REPLICATION_HEARTBEAT ||
                                                    type == REPLICATION_BATCH ||
                                                    type == REPLICATION_SNAPSHOT_CHUNK);
    }
}

static void a_later_version_is_read_an_earlier_one_is_not(void)
{
    uint8_t bytes[512];
    struct replication_message m[] = {hello(4), welcome(1), probe(0), seal(0), standing(0)};
    for (unsigned i = 0; i < sizeof m / sizeof m[0]; i++) {
        uint32_t length = whole(bytes, &m[i]);
        wire_put_u16(bytes + 8, 0);
        CU_ASSERT_FALSE(decodes(bytes, length));
        for (unsigned version = 1; version < 0x10000; version++) {
            wire_put_u16(bytes + 8, (uint16_t)version);
            CU_ASSERT_TRUE(decodes(bytes, length));
        }
    }
}

/* ---- what is not ---- */

static void reserved_bytes_must_be_zero(void)
{
    static const struct {
        unsigned kind, from, bytes;
    } reserved[] = {{0, 8 + 62, 2}, {1, 8 + 73, 3},  {1, 8 + 96 + 36, 4}, {1, 8 + 96 + 40 + 36, 4},
                    {2, 8 + 2, 2},  {7, 8 + 25, 7},  {9, 8 + 2, 6},       {9, 8 + 36, 4},
                    {10, 8 + 2, 6}, {10, 8 + 36, 4}, {12, 8 + 4, 4}};
    uint8_t bytes[512];
    for (unsigned k = 0; k < KINDS; k++) {
        struct replication_message m = kinds[k].make(kinds[k].count_max > 0 ? 2 : 0);
        uint32_t length = whole(bytes, &m);
        for (unsigned at = 5; at < 8; at++)
            for (unsigned bit = 0; bit < 8; bit++) {
                bytes[at] = (uint8_t)(1u << bit);
                CU_ASSERT_FALSE(decodes(bytes, length));
                CU_ASSERT_EQUAL(replication_length(bytes, UINT32_MAX), 0);
                bytes[at] = 0;
            }
        for (unsigned r = 0; r < sizeof reserved / sizeof reserved[0]; r++)
            for (unsigned bit = 0; reserved[r].kind == k && bit < 8 * reserved[r].bytes; bit++) {
                bytes[reserved[r].from + bit / 8] ^= (uint8_t)(1u << bit % 8);
                CU_ASSERT_FALSE(decodes(bytes, length));
                bytes[reserved[r].from + bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
        CU_ASSERT_TRUE(decodes(bytes, length));
    }
}

static void names_and_texts_are_printable(void)
{
    uint8_t bytes[512];
    struct replication_message m[2] = {hello(64), refuse(200)};
    for (unsigned i = 0; i < 2; i++) {
        uint32_t length = whole(bytes, &m[i]), fixed = kinds[i == 0 ? 0 : 2].fixed;
        for (unsigned v = 0; v < 256; v++)
            for (uint32_t at = fixed; at < length; at += (length - fixed) / 2 - 1) {
                uint8_t before = bytes[at];
                bytes[at] = (uint8_t)v;
                CU_ASSERT_EQUAL(decodes(bytes, length), v >= 0x20 && v <= 0x7e);
                bytes[at] = before;
            }
    }
}

static void a_name_without_an_end_is_cut_by_the_encoder(void)
{
    uint8_t bytes[512];
    struct replication_message m = hello(0), got;
    memset(m.hello.name, 'x', sizeof m.hello.name);
    uint32_t length = whole(bytes, &m);
    CU_ASSERT_EQUAL(length, 8 + 80 + 64);
    CU_ASSERT_EQUAL(replication_decode(&got, bytes, length), 0);
    CU_ASSERT_EQUAL(strlen(got.hello.name), 64);
}

/* Every length there is, in the header alone: only those of the type's table are one. */
static void a_type_has_its_own_lengths_and_no_others(void)
{
    uint8_t header[REPLICATION_HEADER_BYTES] = {0};
    unsigned wrong = 0;
    for (unsigned k = 0; k < KINDS; k++)
        for (uint32_t length = 0; length < REPLICATION_MESSAGE_BYTES_MAX + 100; length++) {
            uint32_t over = length - kinds[k].fixed, count = over / kinds[k].each;
            bool good = length >= kinds[k].fixed && over % kinds[k].each == 0 &&
                        count >= kinds[k].count_min && count <= kinds[k].count_max;
            wire_put_u32(header, length);
            header[4] = (uint8_t)(k + 1);
            wrong += replication_length(header, UINT32_MAX) != (good ? length : 0);
            wrong += replication_length(header, length) != (good ? length : 0);
            wrong += length > 0 && replication_length(header, length - 1) != 0;
            wrong += replication_length(header, REPLICATION_MESSAGE_BYTES_MAX) != (good ? length : 0);
        }
    CU_ASSERT_EQUAL(wrong, 0);
    for (uint32_t length = UINT32_MAX; length > UINT32_MAX - 200; length--) {
        wire_put_u32(header, length);
        for (unsigned type = 0; type < 256; type++) {
            header[4] = (uint8_t)type;
            CU_ASSERT_EQUAL(replication_length(header, UINT32_MAX), 0);
        }
    }
}

static void a_message_that_is_cut_anywhere_or_too_long_is_refused(void)
{
    uint8_t *bytes = calloc(1, ROOM);
    for (unsigned k = 0; k < KINDS; k++) {
        uint32_t most = kinds[k].count_max < 70 ? kinds[k].count_max : 70;
        struct replication_message m = kinds[k].make(most);
        uint32_t length = whole(bytes, &m);
        for (uint32_t n = 0; n < length + 3; n++)
            CU_ASSERT_EQUAL(decodes(bytes, n), n == length);
        m = kinds[k].make(kinds[k].count_max); /* one more than there can be, and the header says so */
        length = whole(bytes, &m) + kinds[k].each;
        memset(bytes + length - kinds[k].each, 0, kinds[k].each);
        wire_put_u32(bytes, length);
        CU_ASSERT_FALSE(decodes(bytes, length));
    }
    free(bytes);
}

static void a_welcome_says_how_many_histories_follow(void)
{
    uint8_t bytes[512];
    struct replication_message m = welcome(3);
    uint32_t length = whole(bytes, &m);
    for (unsigned count = 0; count < 10; count++) {
        wire_put_u32(bytes + 8 + 76, count);
        CU_ASSERT_EQUAL(decodes(bytes, length), count == 3);
    }
    wire_put_u32(bytes + 8 + 76, 3 + 0x10000);
    CU_ASSERT_FALSE(decodes(bytes, length));
}

static void a_payload_is_not_empty(void)
{
    uint8_t bytes[64] = {0};
    struct replication_message m[2] = {batch(1), snapshot_chunk(1)};
    for (unsigned i = 0; i < 2; i++) {
        uint32_t length = whole(bytes, &m[i]);
        CU_ASSERT_TRUE(decodes(bytes, length));
        wire_put_u32(bytes, length - 1);
        CU_ASSERT_FALSE(decodes(bytes, length - 1));
    }
}

static void what_is_promised_is_never_nothing(void)
{
    uint8_t bytes[512];
    struct replication_message m[] = {probe(0), seal(0)}, h = handover(0);
    for (unsigned i = 0; i < 2; i++) {
        uint32_t length = whole(bytes, &m[i]);
        memset(bytes + 8 + 32, 0, 4); /* epoch: a PROBE may know of none */
        CU_ASSERT_EQUAL(decodes(bytes, length), m[i].type == REPLICATION_PROBE);
        length = whole(bytes, &m[i]);
        memset(bytes + 8 + 16, 0, 16); /* cluster id */
        CU_ASSERT_FALSE(decodes(bytes, length));
        length = whole(bytes, &m[i]);
        memset(bytes + 8 + 8, 0, 8); /* node id */
        CU_ASSERT_FALSE(decodes(bytes, length));
    }
    uint32_t length = whole(bytes, &h);
    memset(bytes + 8, 0, 4);
    CU_ASSERT_FALSE(decodes(bytes, length));
}

static void reasons_have_texts(void)
{
    CU_ASSERT_STRING_EQUAL(refuse_text(REFUSE_VERSION), "it speaks another version");
    CU_ASSERT_STRING_EQUAL(refuse_text(REFUSE_STALE_EPOCH), "its epoch is below one that we know");
    CU_ASSERT_STRING_EQUAL(refuse_text(0), "unknown reason");
    CU_ASSERT_STRING_EQUAL(refuse_text(REFUSE_SAME_NODE + 1), "unknown reason");
    CU_ASSERT_STRING_EQUAL(refuse_text(UINT32_MAX), "unknown reason");
    for (unsigned reason = 1; reason <= REFUSE_SAME_NODE; reason++)
        CU_ASSERT_TRUE(strlen(refuse_text(reason)) < REPLICATION_TEXT_BYTES);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"every message survives at every size", every_message_survives_at_every_size},
        {"every field stands where the format says", every_field_stands_where_the_format_says},
        {"every known value is taken and no other", every_known_value_is_taken_and_no_other},
        {"a later version is read, an earlier one is not", a_later_version_is_read_an_earlier_one_is_not},
        {"reserved bytes must be zero", reserved_bytes_must_be_zero},
        {"names and texts are printable", names_and_texts_are_printable},
        {"a name without an end is cut by the encoder", a_name_without_an_end_is_cut_by_the_encoder},
        {"a type has its own lengths and no others", a_type_has_its_own_lengths_and_no_others},
        {"a message that is cut anywhere or too long is refused",
         a_message_that_is_cut_anywhere_or_too_long_is_refused},
        {"a welcome says how many histories follow", a_welcome_says_how_many_histories_follow},
        {"a payload is not empty", a_payload_is_not_empty},
        {"what is promised is never nothing", what_is_promised_is_never_nothing},
        {"reasons have texts", reasons_have_texts},
        CU_TEST_INFO_NULL,
    };
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i * 7 + (i >> 8) + 1);
    return suite_run("replication messages", tests);
}
