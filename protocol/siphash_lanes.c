#include "siphash_lanes.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "wire.h"

enum { LANES = 4, VECTORS_MAX = SIPHASH_LANES / LANES };

typedef uint64_t lanes64 __attribute__((vector_size(8 * LANES)));
typedef uint32_t lanes32 __attribute__((vector_size(8 * LANES)));
typedef uint16_t lanes16 __attribute__((vector_size(8 * LANES)));

struct siphash_state {
    lanes64 v0, v1, v2, v3;
};

static_assert(SIPHASH_TAG_BYTES == crypto_shorthash_siphashx24_BYTES, "the same function");

/* `vectors` is 1 or 2 and known where these are inlined, so that states live in registers. */
#define INLINED __attribute__((always_inline)) static inline

#define ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

INLINED lanes64 broadcast(uint64_t x)
{
    return (lanes64){x, x, x, x};
}

/* Whole 32- and 16-bit parts move: one shuffle instead of two shifts and an or. */
INLINED lanes64 rotate32(lanes64 x)
{
    lanes32 y = (lanes32)x;
    return (lanes64)__builtin_shufflevector(y, y, 1, 0, 3, 2, 5, 4, 7, 6);
}

INLINED lanes64 rotate16(lanes64 x)
{
    lanes16 y = (lanes16)x;
    return (lanes64)__builtin_shufflevector(y, y, 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14);
}

INLINED void round_of(struct siphash_state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = ROTATE(s->v1, 13) ^ s->v0;
    s->v3 = rotate16(s->v3) ^ s->v2;
    s->v0 = rotate32(s->v0);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = ROTATE(s->v1, 17) ^ s->v2;
    s->v3 = ROTATE(s->v3, 21) ^ s->v0;
    s->v2 = rotate32(s->v2);
}

INLINED void rounds(struct siphash_state *s, unsigned vectors, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned v = 0; v < vectors; v++)
            round_of(&s[v]);
}

INLINED void absorb(struct siphash_state *s, const lanes64 *word, unsigned vectors)
{
    for (unsigned v = 0; v < vectors; v++)
        s[v].v3 ^= word[v];
    rounds(s, vectors, 2);
    for (unsigned v = 0; v < vectors; v++)
        s[v].v0 ^= word[v];
}

/* The last word: what is left of the message, and its length in the top byte. */
static inline uint64_t last_word(const struct siphash_job *job)
{
    size_t length = job->length, left = length & 7;
    uint64_t word = (uint64_t)length << 56;
    if (left == 0)
        return word;
    if (length >= 8)
        return word | wire_u64(job->bytes + length - 8) >> 8 * (8 - left);
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)job->bytes[i] << 8 * i;
    return word;
}

/* From each of four messages the word at `at`. */
INLINED lanes64 gather(const struct siphash_job *job, size_t at)
{
    return (lanes64){wire_u64(job[0].bytes + at), wire_u64(job[1].bytes + at), wire_u64(job[2].bytes + at),
                     wire_u64(job[3].bytes + at)};
}

INLINED void absorb_words(struct siphash_state *s, const struct siphash_job *job, unsigned vectors,
                          size_t words)
{
    for (size_t at = 0; at < 8 * words; at += 8) {
        lanes64 word[VECTORS_MAX];
        for (unsigned v = 0; v < vectors; v++)
            word[v] = gather(job + LANES * v, at);
        absorb(s, word, vectors);
    }
}

/* The last words of messages of one length, 8 bytes at least. */
INLINED void absorb_last(struct siphash_state *s, const struct siphash_job *job, unsigned vectors,
                         size_t length)
{
    lanes64 word[VECTORS_MAX];
    for (unsigned v = 0; v < vectors; v++) {
        word[v] = broadcast((uint64_t)length << 56);
        if (length % 8 != 0)
            word[v] |= gather(job + LANES * v, length - 8) >> 8 * (8 - length % 8);
    }
    absorb(s, word, vectors);
}

/* Words `from` to `to` and the last: a lane that has had its last word keeps its state while others go on. */
static __attribute__((noinline)) void absorb_uneven(struct siphash_state *s, const struct siphash_job *job,
                                                    unsigned vectors, size_t from, size_t to)
{
    for (unsigned v = 0; v < vectors; v++, s++, job += LANES) {
        for (size_t i = from; i <= to; i++) {
            struct siphash_state before = *s;
            lanes64 word = {0}, mask = {0};
            for (unsigned l = 0; l < LANES; l++) {
                size_t own = job[l].length / 8;
                word[l] = i < own ? wire_u64(job[l].bytes + 8 * i) : i == own ? last_word(&job[l]) : 0;
                mask[l] = i <= own ? UINT64_MAX : 0;
            }
            absorb(s, &word, 1);
            s->v0 = (s->v0 & mask) | (before.v0 & ~mask);
            s->v1 = (s->v1 & mask) | (before.v1 & ~mask);
            s->v2 = (s->v2 & mask) | (before.v2 & ~mask);
            s->v3 = (s->v3 & mask) | (before.v3 & ~mask);
        }
    }
}

/* Messages of any lengths: first the words that all have. */
static __attribute__((noinline)) void absorb_any(struct siphash_state *s, const struct siphash_job *job,
                                                 unsigned vectors)
{
    size_t most = 0, fewest = SIZE_MAX;
    for (unsigned l = 0; l < LANES * vectors; l++) {
        size_t words = job[l].length / 8;
        most = words > most ? words : most;
        fewest = words < fewest ? words : fewest;
    }
    if (vectors == 2)
        absorb_words(s, job, 2, fewest);
    else
        absorb_words(s, job, 1, fewest);
    absorb_uneven(s, job, vectors, fewest, most);
}

INLINED void start(struct siphash_state *s, const struct siphash_job *job)
{
    lanes64 key0 = {wire_u64(job[0].key), wire_u64(job[1].key), wire_u64(job[2].key), wire_u64(job[3].key)};
    lanes64 key1 = {wire_u64(job[0].key + 8), wire_u64(job[1].key + 8), wire_u64(job[2].key + 8),
                    wire_u64(job[3].key + 8)};
    s->v0 = key0 ^ broadcast(0x736f6d6570736575);
    s->v1 = key1 ^ broadcast(0x646f72616e646f6d ^ 0xee); /* 0xee: 128 bits of output */
    s->v2 = key0 ^ broadcast(0x6c7967656e657261);
    s->v3 = key1 ^ broadcast(0x7465646279746573);
}

INLINED lanes64 half_tag(const struct siphash_state *s)
{
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

INLINED void finish(struct siphash_state *s, const struct siphash_job *job, unsigned vectors)
{
    lanes64 low[VECTORS_MAX], high[VECTORS_MAX];
    for (unsigned v = 0; v < vectors; v++)
        s[v].v2 ^= broadcast(0xee);
    rounds(s, vectors, 4);
    for (unsigned v = 0; v < vectors; v++) {
        low[v] = half_tag(&s[v]);
        s[v].v1 ^= broadcast(0xdd);
    }
    rounds(s, vectors, 4);
    for (unsigned v = 0; v < vectors; v++) {
        high[v] = half_tag(&s[v]);
        for (unsigned l = 0; l < LANES; l++) {
            wire_put_u64(job[LANES * v + l].tag, low[v][l]);
            wire_put_u64(job[LANES * v + l].tag + 8, high[v][l]);
        }
    }
}

/* LANES * vectors messages. */
INLINED void side_by_side(const struct siphash_job *job, unsigned vectors)
{
    struct siphash_state s[VECTORS_MAX];
    size_t length = job[0].length, differences = 0;
    for (unsigned l = 1; l < LANES * vectors; l++)
        differences |= job[l].length ^ length;
    for (unsigned v = 0; v < vectors; v++)
        start(&s[v], job + LANES * v);
    if (differences == 0 && length >= 8) {
        absorb_words(s, job, vectors, length / 8);
        absorb_last(s, job, vectors, length);
        finish(s, job, vectors);
    } else {
        struct siphash_state any[VECTORS_MAX]; /* in memory, so that the states above need not be */
        memcpy(any, s, sizeof s[0] * vectors);
        absorb_any(any, job, vectors);
        finish(any, job, vectors);
    }
}

/* Fewer than SIPHASH_LANES, but at least two: lanes without a message repeat the first, to its tag's
 * place. */
static __attribute__((noinline)) void side_by_side_rest(const struct siphash_job *jobs, unsigned count)
{
    struct siphash_job job[SIPHASH_LANES];
    for (unsigned l = 0; l < SIPHASH_LANES; l++)
        job[l] = jobs[l < count ? l : 0];
    if (count <= LANES)
        side_by_side(job, 1);
    else
        side_by_side(job, 2);
}

void siphash_lanes(const struct siphash_job *jobs, unsigned count)
{
    for (; count >= SIPHASH_LANES; jobs += SIPHASH_LANES, count -= SIPHASH_LANES)
        side_by_side(jobs, 2);
    if (count > 1)
        side_by_side_rest(jobs, count);
    else if (count == 1)
        crypto_shorthash_siphashx24(jobs->tag, jobs->bytes, jobs->length, jobs->key);
}
