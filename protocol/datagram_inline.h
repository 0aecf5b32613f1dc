/*
 * datagram_inline.h - datagram.h for callers that take millions of datagrams a second: what needs no key, as
 * inline functions, from which datagram.c makes those of datagram.h (what each does stands there); and the
 * parts of datagram_open() and datagram_seal() for bursts, whose SUITE_MAC tags are computed together, in
 * about a third of the cycles:
 *
 *   open    datagram_is_well_formed(), then datagram_tag_expect() for each until datagram_tags_are_full() or no more
 *           come; datagram_tags_make(); for each datagram_tag_is_right() and then replay_window_take(). Of several
 *           with one counter the first is accepted.
 *   seal    datagram_seal_with() for each; datagram_tags_make() after the last.
 *
 * Sealed suites have datagram_open() and datagram_seal() alone.
 */
#ifndef WILD_DATAGRAM_INLINE_H
#define WILD_DATAGRAM_INLINE_H

#include "datagram.h"
#include "siphash_lanes.h"
#include "wire.h"

enum {
    DATAGRAM_AT_MAGIC = 0,
    DATAGRAM_AT_KIND = 1,
    DATAGRAM_AT_VERSION = 2,
    DATAGRAM_AT_RESERVED = 3,
    DATAGRAM_AT_SESSION = 4,
    DATAGRAM_AT_COUNTER = 8,
    DATAGRAM_AT_MESSAGE = 16,
};
static_assert((int)DATAGRAM_AT_MESSAGE == (int)DATAGRAM_HEADER_BYTES, "offset table");

static inline bool datagram_peek_inline(struct datagram_header *out, const uint8_t *bytes, size_t length)
{
    if (length < DATAGRAM_HEADER_BYTES || bytes[DATAGRAM_AT_MAGIC] != DATAGRAM_MAGIC)
        return false;
    out->kind = bytes[DATAGRAM_AT_KIND];
    out->version = bytes[DATAGRAM_AT_VERSION];
    out->session = wire_u32(bytes + DATAGRAM_AT_SESSION);
    out->counter = wire_u64(bytes + DATAGRAM_AT_COUNTER);
    return true;
}

static inline void datagram_put_header(uint8_t *out, unsigned kind, uint8_t version, uint32_t session,
                                       uint64_t counter)
{
    /* One store for the first eight bytes: the MAC loads them as one word right after. */
    wire_put_u64(
        out, (uint64_t)DATAGRAM_MAGIC << 8 * DATAGRAM_AT_MAGIC | (uint64_t)kind << 8 * DATAGRAM_AT_KIND |
                 (uint64_t)version << 8 * DATAGRAM_AT_VERSION | (uint64_t)session << 8 * DATAGRAM_AT_SESSION);
    wire_put_u64(out + DATAGRAM_AT_COUNTER, counter);
}

static inline size_t datagram_plain_inline(uint8_t *out, uint32_t session, uint64_t counter,
                                           size_t message_length)
{
    datagram_put_header(out, DATAGRAM_PLAIN, PROTOCOL_VERSION_MAX, session, counter);
    return DATAGRAM_HEADER_BYTES + message_length;
}

/* A PLAIN datagram that was peeked at, of a length that a datagram may have. */
static inline bool datagram_plain_is_well_formed(const struct datagram_header *header, const uint8_t *bytes)
{
    return bytes[DATAGRAM_AT_RESERVED] == 0 && header->version >= PROTOCOL_VERSION_MIN &&
           header->version <= PROTOCOL_VERSION_MAX;
}

/* All that datagram_open() asks for except the tag and the counter. */
static inline bool datagram_is_well_formed(const struct direction_key *key, uint8_t version,
                                           const uint8_t *bytes, size_t length)
{
    if (length < DATAGRAM_OVERHEAD_BYTES || length > DATAGRAM_BYTES_MAX)
        return false;
    unsigned own_kind = key->suite == SUITE_MAC ? DATAGRAM_DATA : DATAGRAM_SEALED;
    uint32_t head = wire_u32(bytes), any_kind = (uint32_t)DATAGRAM_MAGIC << 8 * DATAGRAM_AT_MAGIC |
                                                (uint32_t)version << 8 * DATAGRAM_AT_VERSION;
    return head == (any_kind | (uint32_t)own_kind << 8 * DATAGRAM_AT_KIND) ||
           (head == (any_kind | (uint32_t)DATAGRAM_CLOSE << 8 * DATAGRAM_AT_KIND) &&
            length == DATAGRAM_OVERHEAD_BYTES);
}

/* The tag has verified: whether the counter is new; if so, it is no more. */
static inline bool replay_window_take(struct replay_window *window, uint64_t counter)
{
    if (counter == window->next && counter != DATAGRAM_COUNTER_NEVER) { /* nothing was jumped over */
        window->seen[counter / 64 % (REPLAY_WINDOW_COUNTERS / 64)] |= UINT64_C(1) << (counter % 64);
        window->next = counter + 1;
        return true;
    }
    if (!replay_window_is_new(window, counter))
        return false;
    replay_window_accept(window, counter);
    return true;
}

/* Whatever the bytes are, in the same time. */
static inline bool datagram_tag_equal(const uint8_t *a, const uint8_t *b)
{
    return ((wire_u64(a) ^ wire_u64(b)) | (wire_u64(a + 8) ^ wire_u64(b + 8))) == 0;
}
static_assert(DATAGRAM_TAG_BYTES == 16, "two words");

/* Tags of SUITE_MAC to be computed together: as many as the lanes take, so that what they read is still
 * near. */
enum { DATAGRAM_TAGS_MAX = SIPHASH_LANES };
struct datagram_tags {
    unsigned count; /* below DATAGRAM_TAGS_MAX whenever one is queued */
    struct siphash_job job[DATAGRAM_TAGS_MAX];
    uint8_t expected[DATAGRAM_TAGS_MAX][DATAGRAM_TAG_BYTES];
};

static inline bool datagram_tags_are_full(const struct datagram_tags *tags)
{
    return tags->count == DATAGRAM_TAGS_MAX;
}

static inline void datagram_tags_make(struct datagram_tags *tags)
{
    siphash_lanes(tags->job, tags->count);
    tags->count = 0;
}

static inline void datagram_tag_queue(struct datagram_tags *tags, const struct direction_key *key,
                                      const uint8_t *bytes, size_t length, uint8_t *tag)
{
    tags->job[tags->count++] =
        (struct siphash_job){.key = key->state, .bytes = bytes, .length = length, .tag = tag};
}

/* The tag that a well-formed datagram must end with, which datagram_tag_is_right() compares. */
static inline void datagram_tag_expect(struct datagram_tags *tags, const struct direction_key *key,
                                       const uint8_t *bytes, size_t length)
{
    datagram_tag_queue(tags, key, bytes, length - DATAGRAM_TAG_BYTES, tags->expected[tags->count]);
}

/* After datagram_tags_make(): which is the datagram's place among those that were queued. */
static inline bool datagram_tag_is_right(const struct datagram_tags *tags, unsigned which,
                                         const uint8_t *bytes, size_t length)
{
    return datagram_tag_equal(tags->expected[which], bytes + length - DATAGRAM_TAG_BYTES);
}

/* datagram_seal() with kind 0, but the tag of SUITE_MAC may wait for datagram_tags_make(). */
static inline size_t datagram_seal_with(struct datagram_tags *tags, const struct direction_key *key,
                                        uint8_t version, uint32_t session, uint64_t counter, uint8_t *out,
                                        size_t message_length)
{
    if (key->suite != SUITE_MAC)
        return datagram_seal(key, 0, version, session, counter, out, message_length);
    size_t length = DATAGRAM_HEADER_BYTES + message_length;
    datagram_put_header(out, DATAGRAM_DATA, version, session, counter);
    datagram_tag_queue(tags, key, out, length, out + length);
    if (datagram_tags_are_full(tags))
        datagram_tags_make(tags);
    return length + DATAGRAM_TAG_BYTES;
}

#endif
