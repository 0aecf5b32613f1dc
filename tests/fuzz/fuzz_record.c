/*
 * fuzz_record.c - one receiver of a stream. The input is a program: which stream, how it is damaged, and the
 * pieces in which it comes.
 *
 * A stream of sealed records gives its messages in their order, all of them if nothing was changed, and never
 * anything else; CLOSED only at its end. A stream of bytes from nowhere gives nothing but what its headers
 * say, and nothing that was not expected.
 */
#include <string.h>

#include "fuzz.h"
#include "handshake.h"
#include "record.h"

enum { RECORDS_MAX = 40, STREAM_MAX = 1 << 16 };

struct world {
    struct direction_key sender, receiver;
    struct record_reader reader;
    uint8_t stream[STREAM_MAX], sent[STREAM_MAX], buffer[RECORD_BYTES_MAX];
    size_t length;
    unsigned records, delivered;
    uint16_t lengths[RECORDS_MAX];
    bool closed;
};

/* What fills the message with number n. */
static uint8_t filling(unsigned n, size_t length)
{
    return (uint8_t)(n * 31 + length);
}

static void make_stream(struct world *w, struct fuzz_input *input, const struct record_limits *limits)
{
    struct record_writer writer = record_writer_start(&w->sender, limits);
    unsigned count = fuzz_u8(input) % RECORDS_MAX;
    for (unsigned n = 0; n < count; n++) {
        size_t length = 1 + fuzz_u16(input) % (n % 8 ? 300 : RECORD_MESSAGE_BYTES_MAX);
        if (w->length + length + RECORD_ROOM_BYTES > STREAM_MAX - RECORD_OVERHEAD_BYTES)
            break;
        uint8_t *message = w->stream + w->length + RECORD_HEADER_BYTES;
        memset(message, filling(n, length), length);
        w->lengths[w->records++] = (uint16_t)length;
        w->length += record_seal(&writer, message, length, w->stream + w->length);
    }
    w->length += record_close(&writer, w->stream + w->length);
    memcpy(w->sent, w->stream, w->length);
}

/* What an attacker can do to a stream. */
static void damage(struct world *w, struct fuzz_input *input)
{
    for (unsigned changes = fuzz_u8(input) % 4; changes > 0 && w->length > 0; changes--) {
        unsigned how = fuzz_u8(input) % 4;
        size_t at = fuzz_u16(input) % w->length, bytes = fuzz_u16(input) % (w->length - at);
        switch (how) {
        case 0:
            w->stream[at] ^= fuzz_u8(input);
            break;
        case 1: /* cut out */
            memmove(w->stream + at, w->stream + at + bytes, w->length - at - bytes);
            w->length -= bytes;
            break;
        case 2: /* repeat, over what follows */
            if (at + 2 * bytes <= w->length)
                memcpy(w->stream + at + bytes, w->stream + at, bytes);
            break;
        default:
            w->length = at;
            break;
        }
    }
}

static void judge_sealed(struct world *w, enum record_event event, const struct record_item *item)
{
    if (event == RECORD_MESSAGE) {
        unsigned n = w->delivered++;
        MUST(n < w->records && item->length == w->lengths[n] && item->kind == RECORD_DATA);
        for (uint32_t i = 0; i < item->length; i++)
            MUST(item->bytes[i] == filling(n, item->length));
    }
    if (event == RECORD_CLOSED) {
        MUST(!w->closed && w->delivered == w->records);
        w->closed = true;
    }
}

static void judge_foreign(const struct world *w, uint32_t expected, enum record_event event,
                          const struct record_item *item)
{
    MUST(event != RECORD_CLOSED && event != RECORD_REKEYED); /* nothing was sealed with this key */
    if (event != RECORD_HANDSHAKE && event != RECORD_MESSAGE)
        return;
    MUST(expected & RECORD_KIND_BIT(item->kind));
    MUST(item->kind != RECORD_DATA);
    MUST(event == RECORD_HANDSHAKE
             ? item->length <= HANDSHAKE_INIT_BYTES && item->bytes[0] == DATAGRAM_MAGIC &&
                   item->bytes[1] == item->kind
             : item->kind == RECORD_PLAIN && item->length > 0 && item->length <= RECORD_MESSAGE_BYTES_MAX);
    MUST(w->reader.held == 0);
}

/* One piece, in a block of its exact size; false once the stream is refused. */
static bool feed(struct world *w, const uint8_t *bytes, size_t length, bool sealed)
{
    uint8_t *copy = malloc(length > 0 ? length : 1), *at = copy;
    enum record_event event;
    memcpy(copy, bytes, length);
    do {
        struct record_item item;
        uint32_t expected = w->reader.expected;
        uint8_t *before = at;
        event = record_next(&w->reader, &at, copy + length, &item);
        MUST(at >= before && at <= copy + length);
        if (event == RECORD_NEEDS_BUFFER) {
            MUST(item.length > w->reader.room && item.length <= sizeof w->buffer);
            record_reader_lend(&w->reader, w->buffer, item.length);
            continue;
        } else if (event == RECORD_NEEDS_BYTES) {
            MUST(at == copy + length);
        } else if (sealed) {
            judge_sealed(w, event, &item);
        } else {
            judge_foreign(w, expected, event, &item);
        }
        if (w->reader.held == 0)
            record_reader_lend(&w->reader, NULL, 0); /* as a pool would have it */
    } while (event != RECORD_NEEDS_BYTES && event != RECORD_REFUSED);
    free(copy);
    return event != RECORD_REFUSED;
}

static bool feed_in_pieces(struct world *w, struct fuzz_input *input, const uint8_t *bytes, size_t length,
                           bool sealed)
{
    size_t at = 0;
    while (at < length) {
        size_t piece = fuzz_left(input) > 0 ? 1 + (size_t)fuzz_u16(input) % 2000 : length - at;
        if (piece > length - at)
            piece = length - at;
        if (!feed(w, bytes + at, piece, sealed))
            return false;
        at += piece;
    }
    return true;
}

static void sealed_stream(struct world *w, struct fuzz_input *input)
{
    static const struct record_limits often = {.records = 4, .bytes = 20000};
    const struct record_limits *limits = fuzz_u8(input) % 2 ? &often : &record_limits_default;
    make_stream(w, input, limits);
    size_t sent = w->length;
    damage(w, input);
    w->reader = record_reader_start(0, limits);
    record_reader_key(&w->reader, &w->receiver);
    bool whole = sent == w->length && memcmp(w->sent, w->stream, sent) == 0;
    bool good = feed_in_pieces(w, input, w->stream, w->length, true);
    if (whole)
        MUST(good && w->closed && w->delivered == w->records);
    else if (w->closed) /* only something behind the last record can have changed */
        MUST(w->length >= sent && memcmp(w->sent, w->stream, sent) == 0);
}

/*
 * libFuzzer sees both sides of a memcmp() and would sooner or later play back genuine records: another key.
 */
static void foreign_stream(struct world *w, struct fuzz_input *input)
{
    static const uint8_t unused[DIRECTION_KEY_BYTES] = "a key that seals no records....";
    uint32_t expected = fuzz_u8(input);
    uint8_t bytes[4096];
    datagram_key_init(&w->receiver, w->receiver.suite, unused);
    w->reader = record_reader_start(0, &record_limits_default);
    record_reader_key(&w->reader, &w->receiver);
    w->reader.expected = (expected & 0x3F) | (expected & 0x40 ? RECORD_KINDS_SEALED : 0) |
                         (expected & 0x80 ? RECORD_KIND_BIT(RECORD_PLAIN) : 0);
    while (fuzz_left(input) > 0) {
        size_t piece = 1 + fuzz_u8(input);
        for (size_t i = 0; i < piece; i++)
            bytes[i] = fuzz_u8(input);
        if (!feed(w, bytes, piece, false))
            break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t raw[DIRECTION_KEY_BYTES] = "thirty-two bytes of session key";
    static struct world world; /* large; each run starts from zero where it matters */
    struct fuzz_input input = {data, data + size};
    struct world *w = &world;

    if (keys_start() != 0)
        abort();
    unsigned what = fuzz_u8(&input);
    enum suite suite = (what & 2 ? SUITE_AES_256_GCM : SUITE_CHACHA20_POLY1305) & datagram_suites();
    datagram_key_init(&w->sender, suite != 0 ? suite : SUITE_CHACHA20_POLY1305, raw);
    w->receiver = w->sender;
    w->length = 0;
    w->records = w->delivered = 0;
    w->closed = false;
    if (what & 1)
        foreign_stream(w, &input);
    else
        sealed_stream(w, &input);
    return 0;
}
