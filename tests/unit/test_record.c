/* test_record.c - records on a stream: whole messages out of any pieces, and the end of the connection for
 * anything that is not in order. */
#include "record.h"

#include <stdio.h>
#include <stdlib.h>

#include "handshake.h"
#include "suite.h"
#include "wire.h"

static const enum suite sealing_suites[] = {SUITE_AES_256_GCM, SUITE_CHACHA20_POLY1305};
enum { SUITES = sizeof sealing_suites / sizeof sealing_suites[0], STREAM_ROOM = 1 << 18 };

static const uint8_t raw_key[DIRECTION_KEY_BYTES] = "an example key of 32 bytes, yes";

/* One direction: a writer, the stream that it made, and a reader. */
struct line {
    struct direction_key writer_key, reader_key;
    struct record_writer writer;
    struct record_reader reader;
    uint8_t stream[STREAM_ROOM], buffer[RECORD_BYTES_MAX];
    size_t length;
    /* what came out */
    unsigned messages, rekeys, good;
    uint64_t bytes;
    enum record_event last; /* NEEDS_BYTES, CLOSED or REFUSED */
};

static struct line *line_new(enum suite suite, const struct record_limits *limits)
{
    if ((datagram_suites() & suite) == 0) {
        printf("(suite %d needs a CPU with AES) ", suite);
        suite = SUITE_CHACHA20_POLY1305;
    }
    struct line *l = aligned_alloc(64, (sizeof *l + 63) / 64 * 64);
    memset(l, 0, sizeof *l);
    datagram_key_init(&l->writer_key, suite, raw_key);
    datagram_key_init(&l->reader_key, suite, raw_key);
    l->writer = record_writer_start(&l->writer_key, limits);
    l->reader = record_reader_start(0, limits);
    record_reader_key(&l->reader, &l->reader_key);
    record_reader_lend(&l->reader, l->buffer, sizeof l->buffer);
    return l;
}

/* A fresh reader for the same stream. */
static void line_rewind(struct line *l)
{
    datagram_key_init(&l->reader_key, l->reader_key.suite, raw_key);
    l->reader = record_reader_start(0, l->reader.limits);
    record_reader_key(&l->reader, &l->reader_key);
    record_reader_lend(&l->reader, l->buffer, sizeof l->buffer);
    l->messages = l->rekeys = l->good = 0;
    l->bytes = 0;
    l->last = RECORD_NEEDS_BYTES;
}

/* Message number n of a stream: its bytes follow from n and its length. */
static void fill(uint8_t *message, size_t length, unsigned n)
{
    for (size_t i = 0; i < length; i++)
        message[i] = (uint8_t)(i * 7 + n * 13 + length);
}

static bool filled(const uint8_t *message, size_t length, unsigned n)
{
    for (size_t i = 0; i < length; i++)
        if (message[i] != (uint8_t)(i * 7 + n * 13 + length))
            return false;
    return true;
}

/* Appends the next record; every second one is sealed where its message stands. Returns its bytes. */
static size_t put(struct line *l, size_t length, unsigned n)
{
    uint8_t message[RECORD_MESSAGE_BYTES_MAX];
    uint8_t *out = l->stream + l->length;
    const uint8_t *from = n % 2 ? out + RECORD_HEADER_BYTES : message;
    fill(n % 2 ? out + RECORD_HEADER_BYTES : message, length, n);
    size_t bytes = record_seal(&l->writer, from, length, out);
    l->length += bytes;
    return bytes;
}

static void put_close(struct line *l)
{
    l->length += record_close(&l->writer, l->stream + l->length);
}

/* Feeds bytes until no more are wanted; they lie in a block of their exact size. */
static void feed(struct line *l, const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length + 1), *at = copy;
    memcpy(copy, bytes, length);
    for (;;) {
        struct record_item item;
        enum record_event event = record_next(&l->reader, &at, copy + length, &item);
        if (event == RECORD_MESSAGE) {
            l->good += filled(item.bytes, item.length, l->messages);
            l->bytes += item.length;
            l->messages++;
            continue;
        }
        l->rekeys += event == RECORD_REKEYED;
        if (event == RECORD_REKEYED)
            continue;
        if (event == RECORD_CLOSED && at != copy + length)
            continue; /* what follows must be refused */
        l->last = event;
        break;
    }
    if (l->last == RECORD_NEEDS_BYTES)
        CU_ASSERT_PTR_EQUAL(at, copy + length);
    free(copy);
}

static bool delivered(const struct line *l, unsigned messages, enum record_event last)
{
    return l->messages == messages && l->good == messages && l->last == last;
}

/* ---- what is in order ---- */

static void every_length_of_message_survives_in_every_suite(void)
{
    for (unsigned s = 0; s < SUITES; s++) {
        struct line *l = line_new(sealing_suites[s], &record_limits_default);
        for (size_t n = 1; n <= RECORD_MESSAGE_BYTES_MAX; n += n < 300 || n > 16300 ? 1 : 97) {
            l->length = 0;
            CU_ASSERT_EQUAL(put(l, n, l->messages), n + RECORD_OVERHEAD_BYTES);
            feed(l, l->stream, l->length);
        }
        CU_ASSERT(delivered(l, l->messages, RECORD_NEEDS_BYTES));
        CU_ASSERT_EQUAL(l->reader.counter, l->messages);
        CU_ASSERT_EQUAL(l->reader.bytes, l->bytes);
        l->length = 0;
        put_close(l);
        feed(l, l->stream, l->length);
        CU_ASSERT_EQUAL(l->last, RECORD_CLOSED);
        free(l);
    }
}

/* Records of some lengths, rekeys among them, and CLOSE. */
static unsigned put_mixture(struct line *l)
{
    static const size_t lengths[] = {1, 60, 17, 500, 2, 1300, 64};
    unsigned count = sizeof lengths / sizeof lengths[0];
    for (unsigned i = 0; i < count; i++)
        put(l, lengths[i], i);
    put_close(l);
    return count;
}

static const struct record_limits few = {.records = 4, .bytes = UINT64_C(1) << 36};

static void a_stream_may_be_split_anywhere(void)
{
    for (unsigned s = 0; s < SUITES; s++) {
        struct line *l = line_new(sealing_suites[s], &few);
        unsigned count = put_mixture(l);
        for (size_t split = 0; split < l->length; split++) {
            line_rewind(l);
            feed(l, l->stream, split);
            feed(l, l->stream + split, l->length - split);
            CU_ASSERT(delivered(l, count, RECORD_CLOSED));
            CU_ASSERT_EQUAL(l->rekeys, 2);
        }
        line_rewind(l);
        for (size_t i = 0; i < l->length; i++)
            feed(l, l->stream + i, 1);
        CU_ASSERT(delivered(l, count, RECORD_CLOSED));
        free(l);
    }
}

static void a_stream_in_random_pieces_gives_the_same_messages(void)
{
    uint64_t seed = seeded_from_environment(11), state = seeded_start(seed);
    printf("(WILD_SEED=%llu) ", (unsigned long long)seed);
    struct line *l = line_new(SUITE_CHACHA20_POLY1305, &few);
    for (unsigned n = 0; n < 40; n++)
        put(l, 1 + seeded_below(&state, n % 8 ? 300 : RECORD_MESSAGE_BYTES_MAX), n);
    put_close(l);
    for (unsigned trial = 0; trial < 50; trial++) {
        line_rewind(l);
        for (size_t at = 0; at < l->length;) {
            size_t piece = 1 + seeded_below(&state, trial % 2 ? 1448 : 4000);
            piece = piece < l->length - at ? piece : l->length - at;
            feed(l, l->stream + at, piece);
            at += piece;
        }
        CU_ASSERT(delivered(l, 40, RECORD_CLOSED));
    }
    free(l);
}

/* The buffer is asked for by size, once that is known, and may be exchanged for a larger one half-way. */
static void a_buffer_is_asked_for_only_for_what_is_not_whole(void)
{
    struct line *l = line_new(SUITE_CHACHA20_POLY1305, &record_limits_default);
    uint8_t small[8], exact[1000 + RECORD_OVERHEAD_BYTES];
    struct record_item item;
    put(l, 100, 0);
    put(l, 1000, 1);
    record_reader_lend(&l->reader, NULL, 0);
    uint8_t *at = l->stream, *end = l->stream + 120 + 3;
    CU_ASSERT_EQUAL(record_next(&l->reader, &at, end, &item), RECORD_MESSAGE);
    CU_ASSERT(item.length == 100 && filled(item.bytes, 100, 0));
    CU_ASSERT_PTR_EQUAL(item.bytes, l->stream + RECORD_HEADER_BYTES);
    CU_ASSERT_EQUAL(record_next(&l->reader, &at, end, &item), RECORD_NEEDS_BUFFER);
    CU_ASSERT_EQUAL(item.length, RECORD_HEADER_BYTES);
    record_reader_lend(&l->reader, small, sizeof small);
    CU_ASSERT_EQUAL(record_next(&l->reader, &at, end, &item), RECORD_NEEDS_BYTES);
    CU_ASSERT_EQUAL(l->reader.held, 3);
    end = l->stream + l->length;
    CU_ASSERT_EQUAL(record_next(&l->reader, &at, end, &item), RECORD_NEEDS_BUFFER);
    CU_ASSERT_EQUAL(item.length, sizeof exact);
    record_reader_lend(&l->reader, exact, sizeof exact);
    CU_ASSERT_EQUAL(record_next(&l->reader, &at, end, &item), RECORD_MESSAGE);
    CU_ASSERT(item.length == 1000 && filled(item.bytes, 1000, 1));
    CU_ASSERT_PTR_EQUAL(item.bytes, exact + RECORD_HEADER_BYTES);
    CU_ASSERT_EQUAL(l->reader.held, 0);
    CU_ASSERT_EQUAL(record_next(&l->reader, &at, end, &item), RECORD_NEEDS_BYTES);
    free(l);
}

static void sealed_messages_cannot_be_read(void)
{
    for (unsigned s = 0; s < SUITES; s++) {
        struct line *l = line_new(sealing_suites[s], &record_limits_default);
        put(l, 64, 1);
        CU_ASSERT_FALSE(filled(l->stream + RECORD_HEADER_BYTES, 64, 1));
        free(l);
    }
}

/* ---- what is not ---- */

/* Whatever follows, a changed record and those behind it are never delivered. */
static void any_flipped_bit_ends_the_connection(void)
{
    static uint8_t filler[RECORD_BYTES_MAX];
    for (unsigned s = 0; s < SUITES; s++) {
        struct line *l = line_new(sealing_suites[s], &record_limits_default);
        size_t first = put(l, 40, 0), second = put(l, 60, 1);
        put(l, 30, 2);
        put_close(l);
        for (size_t bit = 8 * first; bit < 8 * (first + second); bit++) {
            line_rewind(l);
            l->stream[bit / 8] ^= (uint8_t)(1u << bit % 8);
            feed(l, l->stream, l->length);
            CU_ASSERT_EQUAL(l->messages, 1);
            feed(l, filler, sizeof filler); /* a longer length waits for more */
            CU_ASSERT(delivered(l, 1, RECORD_REFUSED));
            l->stream[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t bit = 8 * (l->length - RECORD_OVERHEAD_BYTES); bit < 8 * l->length; bit++) {
            line_rewind(l);
            l->stream[bit / 8] ^= (uint8_t)(1u << bit % 8);
            feed(l, l->stream, l->length);
            feed(l, filler, sizeof filler);
            CU_ASSERT(delivered(l, 3, RECORD_REFUSED));
            l->stream[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        free(l);
    }
}

static void repeated_moved_and_missing_records_are_refused(void)
{
    enum { N = 40, BYTES = N + RECORD_OVERHEAD_BYTES };
    static const unsigned orders[][3] = {{0, 0, 1}, {1, 0, 2}, {0, 2, 1}, {2, 1, 0}, {1, 2, 3}, {0, 1, 0}};
    static const unsigned good[] = {1, 0, 1, 0, 0, 2};
    for (unsigned s = 0; s < SUITES; s++)
        for (unsigned o = 0; o < sizeof orders / sizeof orders[0]; o++) {
            struct line *l = line_new(sealing_suites[s], &record_limits_default);
            for (unsigned n = 0; n < 4; n++)
                put(l, N, n);
            for (unsigned i = 0; i < 3; i++)
                feed(l, l->stream + orders[o][i] * BYTES, BYTES);
            CU_ASSERT(delivered(l, good[o], RECORD_REFUSED));
            free(l);
        }
}

static void a_record_sent_back_to_its_sender_is_refused(void)
{
    struct line *l = line_new(SUITE_CHACHA20_POLY1305, &record_limits_default);
    static const uint8_t other_raw[DIRECTION_KEY_BYTES] = "the other direction's 32 bytes.";
    put(l, 40, 0);
    datagram_key_init(&l->reader_key, SUITE_CHACHA20_POLY1305, other_raw);
    feed(l, l->stream, l->length);
    CU_ASSERT(delivered(l, 0, RECORD_REFUSED));
    free(l);
}

static void a_stream_cut_anywhere_is_not_closed(void)
{
    struct line *l = line_new(SUITE_CHACHA20_POLY1305, &few);
    put_mixture(l);
    for (size_t cut = 0; cut < l->length; cut++) {
        line_rewind(l);
        feed(l, l->stream, cut);
        CU_ASSERT_EQUAL(l->last, RECORD_NEEDS_BYTES);
        CU_ASSERT_EQUAL(l->good, l->messages);
    }
    free(l);
}

static void nothing_may_follow_a_close(void)
{
    struct line *l = line_new(SUITE_CHACHA20_POLY1305, &record_limits_default);
    put_close(l);
    put(l, 10, 0);
    feed(l, l->stream, l->length);
    CU_ASSERT(delivered(l, 0, RECORD_REFUSED));
    line_rewind(l);
    feed(l, l->stream, RECORD_OVERHEAD_BYTES);
    CU_ASSERT_EQUAL(l->last, RECORD_CLOSED);
    feed(l, l->stream, 1);
    CU_ASSERT_EQUAL(l->last, RECORD_REFUSED);
    free(l);
}

/* Refused by the header, as early as it says so: nothing is gathered for it. */
static void wrong_headers_are_refused_before_their_bytes_are_waited_for(void)
{
    static const struct {
        uint8_t bytes[4];
        unsigned given;
    } rows[] = {
        {{0xF6}, 1},
        {{'G', 'E', 'T', ' '}, 1},
        {{0xF7, 0}, 2},
        {{0xF7, DATAGRAM_INIT}, 2},
        {{0xF7, DATAGRAM_READY}, 2},
        {{0xF7, DATAGRAM_DATA}, 2},
        {{0xF7, RECORD_PLAIN}, 2},
        {{0xF7, 20}, 2},
        {{0xF7, 48}, 2}, /* 16 + 32: not taken for DATA */
        {{0xF7, 255}, 2},
        {{0xF7, RECORD_DATA, 0, 0}, 4},
        {{0xF7, RECORD_DATA, 1, 0x40}, 4},
        {{0xF7, RECORD_DATA, 0xFF, 0xFF}, 4},
        {{0xF7, RECORD_CLOSE, 1, 0}, 4},
        {{0xF7, RECORD_REKEY, 0, 1}, 4},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct line *l = line_new(SUITE_CHACHA20_POLY1305, &record_limits_default);
        for (unsigned b = 0; b < rows[i].given; b++) {
            CU_ASSERT_EQUAL(l->last, RECORD_NEEDS_BYTES);
            feed(l, rows[i].bytes + b, 1);
        }
        CU_ASSERT_EQUAL(l->last, RECORD_REFUSED);
        put(l, 10, 0); /* and it stays so */
        feed(l, l->stream, l->length);
        CU_ASSERT(delivered(l, 0, RECORD_REFUSED));
        free(l);
    }
}

/* ---- rekeying ---- */

static void a_sender_goes_on_to_its_next_key_before_one_is_used_up(void)
{
    const struct record_limits limits[] = {
        {.records = 2, .bytes = UINT64_C(1) << 36},
        {.records = 5, .bytes = UINT64_C(1) << 36},
        {.records = UINT64_C(1) << 24, .bytes = RECORD_MESSAGE_BYTES_MAX},
        {.records = UINT64_C(1) << 24, .bytes = RECORD_MESSAGE_BYTES_MAX + 300},
    };
    static const unsigned rekeys[] = {60, 15, 60, 20};
    for (unsigned s = 0; s < SUITES; s++)
        for (unsigned i = 0; i < 4; i++) {
            struct line *l = line_new(sealing_suites[s], &limits[i]);
            for (unsigned n = 0; n < 60; n++)
                CU_ASSERT(put(l, 101, n) <= 101 + RECORD_ROOM_BYTES);
            feed(l, l->stream, l->length);
            CU_ASSERT(delivered(l, 60, RECORD_NEEDS_BYTES));
            CU_ASSERT_EQUAL(l->rekeys, rekeys[i]);
            CU_ASSERT_EQUAL(memcmp(&l->reader_key, &l->writer_key, sizeof l->reader_key), 0);
            CU_ASSERT_NOT_EQUAL(memcmp(l->reader_key.raw, raw_key, sizeof raw_key), 0);
            put_close(l);
            feed(l, l->stream + l->length - RECORD_OVERHEAD_BYTES, RECORD_OVERHEAD_BYTES);
            CU_ASSERT_EQUAL(l->last, RECORD_CLOSED);
            free(l);
        }
}

static void the_limits_of_the_product_are_those_of_the_format(void)
{
    CU_ASSERT_EQUAL(record_limits_default.records, UINT64_C(1) << 24);
    CU_ASSERT_EQUAL(record_limits_default.bytes, UINT64_C(1) << 36);
}

static void a_sender_that_uses_a_key_for_too_long_is_refused(void)
{
    static const struct record_limits bytes = {.records = UINT64_C(1) << 24, .bytes = 1000};
    struct line *l = line_new(SUITE_CHACHA20_POLY1305, &record_limits_default);
    for (unsigned n = 0; n < 5; n++)
        put(l, 10, n);
    l->reader.limits = &few;
    feed(l, l->stream, l->length);
    CU_ASSERT(delivered(l, 4, RECORD_REFUSED));
    free(l);

    l = line_new(SUITE_CHACHA20_POLY1305, &record_limits_default);
    for (unsigned n = 0; n < 3; n++)
        put(l, 400, n);
    l->reader.limits = &bytes;
    feed(l, l->stream, l->length);
    CU_ASSERT(delivered(l, 2, RECORD_REFUSED));
    free(l);
}

/* A key may be left early, but not unused: deriving the next one costs more than asking for it does. */
static void a_rekey_is_taken_early_but_not_first_under_a_key(void)
{
    static const struct record_limits always = {.records = 2, .bytes = UINT64_C(1) << 36};
    struct line *l = line_new(SUITE_CHACHA20_POLY1305, &always);
    size_t first = put(l, 10, 0);
    CU_ASSERT_EQUAL(first, 10 + 2 * RECORD_OVERHEAD_BYTES);
    l->reader.limits = &record_limits_default;
    feed(l, l->stream, l->length);
    CU_ASSERT(delivered(l, 1, RECORD_NEEDS_BYTES));
    CU_ASSERT_EQUAL(l->rekeys, 1);

    /* Sealed as number 2^64 - 1 the message is of no use, but the REKEY behind it has number 0. */
    static const struct record_limits at_once = {.records = 1, .bytes = UINT64_C(1) << 36};
    struct line *m = line_new(SUITE_CHACHA20_POLY1305, &at_once);
    m->reader.limits = &record_limits_default;
    m->writer.counter = UINT64_MAX;
    size_t length = put(m, 10, 0);
    feed(m, m->stream + length - RECORD_OVERHEAD_BYTES, RECORD_OVERHEAD_BYTES);
    CU_ASSERT(delivered(m, 0, RECORD_REFUSED));
    CU_ASSERT_EQUAL(m->reader.counter, 1); /* its tag was right */
    CU_ASSERT_EQUAL(m->rekeys, 0);
    free(m);
    free(l);
}

/* ---- handshake messages and PLAIN ---- */

static void handshake_messages_come_whole_from_any_pieces(void)
{
    static const struct {
        uint8_t kind;
        uint32_t bytes;
    } rows[] = {{DATAGRAM_INIT, HANDSHAKE_INIT_BYTES},
                {DATAGRAM_COOKIE, HANDSHAKE_COOKIE_BYTES},
                {DATAGRAM_RESPONSE, HANDSHAKE_RESPONSE_BYTES},
                {DATAGRAM_CONFIRM, HANDSHAKE_CONFIRM_BYTES},
                {DATAGRAM_READY, HANDSHAKE_READY_BYTES}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (uint32_t split = 0; split <= rows[i].bytes; split++) {
            uint8_t bytes[HANDSHAKE_INIT_BYTES], buffer[HANDSHAKE_INIT_BYTES], copy[HANDSHAKE_INIT_BYTES];
            fill(bytes, sizeof bytes, i);
            bytes[0] = DATAGRAM_MAGIC;
            bytes[1] = rows[i].kind;
            memcpy(copy, bytes, sizeof bytes);
            struct record_reader reader =
                record_reader_start(RECORD_KIND_BIT(rows[i].kind), &record_limits_default);
            record_reader_lend(&reader, buffer, sizeof buffer);
            struct record_item item;
            uint8_t *at = bytes;
            if (split < rows[i].bytes)
                CU_ASSERT_EQUAL(record_next(&reader, &at, bytes + split, &item), RECORD_NEEDS_BYTES);
            CU_ASSERT_EQUAL(record_next(&reader, &at, bytes + rows[i].bytes, &item), RECORD_HANDSHAKE);
            CU_ASSERT(item.kind == rows[i].kind && item.length == rows[i].bytes);
            CU_ASSERT_EQUAL(memcmp(item.bytes, copy, item.length), 0);
            /* every other kind is refused by its second byte */
            for (unsigned other = 0; other < 256; other++) {
                uint8_t wrong[2] = {DATAGRAM_MAGIC, (uint8_t)other};
                struct record_reader fresh =
                    record_reader_start(RECORD_KIND_BIT(rows[i].kind), &record_limits_default);
                at = wrong;
                if (split == 0 && other != rows[i].kind)
                    CU_ASSERT_EQUAL(record_next(&fresh, &at, wrong + 2, &item), RECORD_REFUSED);
            }
        }
}

static void records_may_follow_the_handshake_in_the_same_bytes(void)
{
    struct line *l = line_new(SUITE_CHACHA20_POLY1305, &record_limits_default);
    uint8_t bytes[HANDSHAKE_CONFIRM_BYTES + 60] = {DATAGRAM_MAGIC, DATAGRAM_CONFIRM};
    size_t length = put(l, 40, 0);
    memcpy(bytes + HANDSHAKE_CONFIRM_BYTES, l->stream, length);
    l->reader = record_reader_start(RECORD_KIND_BIT(DATAGRAM_CONFIRM), &record_limits_default);
    struct record_item item;
    uint8_t *at = bytes, *end = bytes + sizeof bytes;
    CU_ASSERT_EQUAL(record_next(&l->reader, &at, end, &item), RECORD_HANDSHAKE);
    record_reader_key(&l->reader, &l->reader_key);
    CU_ASSERT_EQUAL(record_next(&l->reader, &at, end, &item), RECORD_MESSAGE);
    CU_ASSERT(item.length == 40 && filled(item.bytes, 40, 0));
    free(l);
}

static void plain_records_carry_messages_as_they_are_and_keep_to_themselves(void)
{
    struct line *l = line_new(SUITE_CHACHA20_POLY1305, &record_limits_default);
    l->writer = record_writer_start(NULL, NULL);
    for (unsigned n = 0; n < 4; n++)
        CU_ASSERT_EQUAL(put(l, n == 3 ? RECORD_MESSAGE_BYTES_MAX : 50 + n, n),
                        RECORD_HEADER_BYTES + (n == 3 ? RECORD_MESSAGE_BYTES_MAX : 50 + n));
    CU_ASSERT(filled(l->stream + RECORD_HEADER_BYTES, 50, 0));
    CU_ASSERT_EQUAL(record_close(&l->writer, l->stream + l->length), 0);
    const uint32_t first = RECORD_KIND_BIT(RECORD_PLAIN) | RECORD_KIND_BIT(DATAGRAM_INIT);
    for (size_t split = 0; split < 300; split++) {
        line_rewind(l);
        l->reader.expected = first;
        feed(l, l->stream, split);
        feed(l, l->stream + split, l->length - split);
        CU_ASSERT(delivered(l, 4, RECORD_NEEDS_BYTES));
    }
    static const uint8_t init[2] = {DATAGRAM_MAGIC, DATAGRAM_INIT};
    feed(l, init, sizeof init); /* no way back to a handshake */
    CU_ASSERT_EQUAL(l->last, RECORD_REFUSED);
    free(l);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"every length of message survives in every suite", every_length_of_message_survives_in_every_suite},
        {"a stream may be split anywhere", a_stream_may_be_split_anywhere},
        {"a stream in random pieces gives the same messages",
         a_stream_in_random_pieces_gives_the_same_messages},
        {"a buffer is asked for only for what is not whole",
         a_buffer_is_asked_for_only_for_what_is_not_whole},
        {"sealed messages cannot be read", sealed_messages_cannot_be_read},
        {"any flipped bit ends the connection", any_flipped_bit_ends_the_connection},
        {"repeated, moved and missing records are refused", repeated_moved_and_missing_records_are_refused},
        {"a record sent back to its sender is refused", a_record_sent_back_to_its_sender_is_refused},
        {"a stream cut anywhere is not closed", a_stream_cut_anywhere_is_not_closed},
        {"nothing may follow a CLOSE", nothing_may_follow_a_close},
        {"wrong headers are refused before their bytes are waited for",
         wrong_headers_are_refused_before_their_bytes_are_waited_for},
        {"a sender goes on to its next key before one is used up",
         a_sender_goes_on_to_its_next_key_before_one_is_used_up},
        {"the limits of the product are those of the format",
         the_limits_of_the_product_are_those_of_the_format},
        {"a sender that uses a key for too long is refused",
         a_sender_that_uses_a_key_for_too_long_is_refused},
        {"a REKEY is taken early but not first under a key",
         a_rekey_is_taken_early_but_not_first_under_a_key},
        {"handshake messages come whole from any pieces", handshake_messages_come_whole_from_any_pieces},
        {"records may follow the handshake in the same bytes",
         records_may_follow_the_handshake_in_the_same_bytes},
        {"plain records carry messages as they are and keep to themselves",
         plain_records_carry_messages_as_they_are_and_keep_to_themselves},
        CU_TEST_INFO_NULL,
    };
    if (keys_start() != 0)
        return 1;
    return suite_run("record", tests);
}
