/*
 * record.c - records sealed, and read back from a stream in any pieces. The format and its rules: record.h.
 */
#include "record.h"

#include <sodium.h>

#include "aead.h"
#include "handshake.h"
#include "wire.h"

enum {
    AT_MAGIC = 0,
    AT_KIND = 1,
    AT_LENGTH = 2,
    AT_MESSAGE = 4,
};
static_assert((int)AT_MESSAGE == (int)RECORD_HEADER_BYTES, "offset table");
static_assert((int)RECORD_TAG_BYTES == (int)AEAD_TAG_BYTES, "the AEAD's");
static_assert((int)DIRECTION_KEY_BYTES == (int)crypto_kdf_KEYBYTES, "a direction's key is a kdf key");

const struct record_limits record_limits_default = {.records = UINT64_C(1) << 24, .bytes = UINT64_C(1) << 36};

static void next_key(struct direction_key *key)
{
    uint8_t raw[DIRECTION_KEY_BYTES];
    crypto_kdf_derive_from_key(raw, sizeof raw, 1, "wildrkey", key->raw);
    datagram_key_init(key, key->suite, raw);
    sodium_memzero(raw, sizeof raw);
}

/* ---- writing ---- */

static size_t seal_one(struct record_writer *writer, uint8_t kind, const uint8_t *message, size_t length,
                       uint8_t *out)
{
    wire_put_u32(out, (uint32_t)(DATAGRAM_MAGIC << 8 * AT_MAGIC | (uint32_t)kind << 8 * AT_KIND |
                                 (uint32_t)length << 8 * AT_LENGTH));
    aead_seal(writer->key, writer->counter++, out, RECORD_HEADER_BYTES, message, length, out + AT_MESSAGE,
              out + AT_MESSAGE + length);
    writer->bytes += length;
    return RECORD_OVERHEAD_BYTES + length;
}

/* No further record may be sealed but a REKEY: there would be none left for that, or not enough bytes. */
static bool used_up(const struct record_writer *writer)
{
    return writer->counter + 1 >= writer->limits->records ||
           writer->bytes + RECORD_MESSAGE_BYTES_MAX > writer->limits->bytes;
}

size_t record_seal(struct record_writer *writer, const uint8_t *message, size_t length, uint8_t *out)
{
    if (writer->key == NULL) {
        out[AT_MAGIC] = DATAGRAM_MAGIC;
        out[AT_KIND] = RECORD_PLAIN;
        wire_put_u16(out + AT_LENGTH, (uint16_t)length);
        memmove(out + AT_MESSAGE, message, length);
        return RECORD_HEADER_BYTES + length;
    }
    size_t bytes = seal_one(writer, RECORD_DATA, message, length, out);
    if (used_up(writer)) {
        bytes += seal_one(writer, RECORD_REKEY, NULL, 0, out + bytes);
        next_key(writer->key);
        writer->counter = writer->bytes = 0;
    }
    return bytes;
}

size_t record_close(struct record_writer *writer, uint8_t out[RECORD_OVERHEAD_BYTES])
{
    return writer->key != NULL ? seal_one(writer, RECORD_CLOSE, NULL, 0, out) : 0;
}

/* ---- reading ---- */

static bool is_record(unsigned kind)
{
    return kind >= RECORD_DATA;
}

/* Of a handshake message; 0: no such kind. */
static uint32_t handshake_bytes(unsigned kind)
{
    switch (kind) {
    case DATAGRAM_INIT:
        return HANDSHAKE_INIT_BYTES;
    case DATAGRAM_COOKIE:
        return HANDSHAKE_COOKIE_BYTES;
    case DATAGRAM_RESPONSE:
        return HANDSHAKE_RESPONSE_BYTES;
    case DATAGRAM_CONFIRM:
        return HANDSHAKE_CONFIRM_BYTES;
    case DATAGRAM_READY:
        return HANDSHAKE_READY_BYTES;
    default:
        return 0;
    }
}

static bool length_fits(unsigned kind, uint32_t length)
{
    bool empty = kind == RECORD_CLOSE || kind == RECORD_REKEY;
    return empty ? length == 0 : length > 0 && length <= RECORD_MESSAGE_BYTES_MAX;
}

/*
 * Bytes of what begins with `bytes`, or RECORD_HEADER_BYTES when more must be given to tell (whatever is
 * whole is longer than that). 0: not in order.
 */
static uint32_t whole_bytes(const struct record_reader *reader, const uint8_t *bytes, size_t given)
{
    if (given > AT_MAGIC && (bytes[AT_MAGIC] != DATAGRAM_MAGIC || reader->expected == 0))
        return 0;
    if (given <= AT_KIND)
        return RECORD_HEADER_BYTES;
    unsigned kind = bytes[AT_KIND];
    if (kind >= 32 || (reader->expected & RECORD_KIND_BIT(kind)) == 0)
        return 0;
    if (!is_record(kind))
        return handshake_bytes(kind);
    if (given < RECORD_HEADER_BYTES)
        return RECORD_HEADER_BYTES;
    uint32_t length = wire_u16(bytes + AT_LENGTH);
    if (!length_fits(kind, length))
        return 0;
    return length + (kind == RECORD_PLAIN ? (uint32_t)RECORD_HEADER_BYTES : (uint32_t)RECORD_OVERHEAD_BYTES);
}

static enum record_event refuse(struct record_reader *reader)
{
    reader->failed = true;
    reader->expected = 0;
    reader->held = 0;
    return RECORD_REFUSED;
}

/* A sealed record, whole. */
static enum record_event open_record(struct record_reader *reader, uint8_t *bytes,
                                     const struct record_item *item)
{
    if (reader->counter >= reader->limits->records || reader->bytes + item->length > reader->limits->bytes)
        return refuse(reader);
    if (!aead_open(reader->key, reader->counter, bytes, RECORD_HEADER_BYTES, item->bytes, item->length,
                   item->bytes + item->length))
        return refuse(reader);
    reader->counter++;
    reader->bytes += item->length;
    switch (item->kind) {
    case RECORD_CLOSE:
        reader->expected = 0;
        return RECORD_CLOSED;
    case RECORD_REKEY:
        if (reader->counter == 1) /* deriving keys costs more than sending this does */
            return refuse(reader);
        next_key(reader->key);
        reader->counter = reader->bytes = 0;
        return RECORD_REKEYED;
    default:
        return RECORD_MESSAGE;
    }
}

static enum record_event take_whole(struct record_reader *reader, uint8_t *bytes, uint32_t length,
                                    struct record_item *item)
{
    item->kind = bytes[AT_KIND];
    if (!is_record(item->kind)) {
        item->bytes = bytes;
        item->length = length;
        return RECORD_HANDSHAKE;
    }
    item->bytes = bytes + AT_MESSAGE;
    item->length = wire_u16(bytes + AT_LENGTH);
    if (item->kind == RECORD_PLAIN) {
        reader->expected = RECORD_KIND_BIT(RECORD_PLAIN);
        return RECORD_MESSAGE;
    }
    return open_record(reader, bytes, item);
}

/* Moves bytes into the buffer until `wanted` are held or none are left. */
static void gather(struct record_reader *reader, uint8_t **at, const uint8_t *end, uint32_t wanted)
{
    size_t take = (size_t)(end - *at), missing = wanted - reader->held;
    if (take > missing)
        take = missing;
    if (take > 0)
        memcpy(reader->buffer + reader->held, *at, take);
    reader->held += (uint32_t)take;
    *at += take;
}

enum record_event record_next(struct record_reader *reader, uint8_t **at, const uint8_t *end,
                              struct record_item *item)
{
    if (reader->failed)
        return RECORD_REFUSED;
    *item = (struct record_item){0};
    for (;;) { /* each round takes bytes in or is the last */
        uint8_t *start = reader->held > 0 ? reader->buffer : *at;
        size_t given = reader->held > 0 ? reader->held : (size_t)(end - *at);
        uint32_t wanted = whole_bytes(reader, start, given);
        if (wanted == 0)
            return refuse(reader);
        if (given >= wanted && wanted > RECORD_HEADER_BYTES) {
            if (reader->held > 0)
                reader->held = 0;
            else
                *at += wanted;
            return take_whole(reader, start, wanted, item);
        }
        if (*at == end)
            return RECORD_NEEDS_BYTES;
        if (wanted > reader->room) {
            item->length = wanted;
            return RECORD_NEEDS_BUFFER;
        }
        gather(reader, at, end, wanted);
    }
}

void record_reader_lend(struct record_reader *reader, uint8_t *buffer, uint32_t room)
{
    if (reader->held > 0)
        memcpy(buffer, reader->buffer, reader->held);
    reader->buffer = buffer;
    reader->room = room;
}
