#include "siphash_lanes.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "wire.h"

typedef uint64_t lanes64 __attribute__((vector_size(32)));
typedef uint32_t lanes32 __attribute__((vector_size(32)));
typedef uint16_t lanes16 __attribute__((vector_size(32)));

struct siphash_state {
    lanes64 v0, v1, v2, v3;
};

static_assert(SIPHASH_TAG_BYTES == crypto_shorthash_siphashx24_BYTES, "the same function");

#define ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

/* Whole 32- and 16-bit parts move: one shuffle instead of two shifts and an or. */
static inline lanes64 rotate32(lanes64 x)
{
    lanes32 y = (lanes32)x;
    return (lanes64)__builtin_shufflevector(y, y, 1, 0, 3, 2, 5, 4, 7, 6);
}

static inline lanes64 rotate16(lanes64 x)
{
    lanes16 y = (lanes16)x;
    return (lanes64)__builtin_shufflevector(y, y, 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14);
}

static inline void rounds(struct siphash_state *s, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
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
}

static inline void absorb(struct siphash_state *s, lanes64 word)
{
    s->v3 ^= word;
    rounds(s, 2);
    s->v0 ^= word;
}

/* The last word: what is left of the message, and its length in the top byte. */
static inline uint64_t last_word(const struct siphash_job *job)
{
    uint64_t word = (uint64_t)job->length << 56;
    const uint8_t *tail = job->bytes + (job->length & ~(size_t)7);
    for (unsigned i = 0; i < (job->length & 7); i++)
        word |= (uint64_t)tail[i] << 8 * i;
    return word;
}

/* Four messages of any lengths: a lane that has had its last word keeps its state while others go on. */
static void absorb_uneven(struct siphash_state *s, struct siphash_job *const lane[SIPHASH_LANES],
                          size_t words)
{
    for (size_t i = 0; i <= words; i++) {
        struct siphash_state before = *s;
        uint64_t word[SIPHASH_LANES], live[SIPHASH_LANES];
        for (unsigned l = 0; l < SIPHASH_LANES; l++) {
            size_t own = lane[l]->length / 8;
            word[l] = i < own ? wire_u64(lane[l]->bytes + 8 * i) : i == own ? last_word(lane[l]) : 0;
            live[l] = i <= own ? UINT64_MAX : 0;
        }
        absorb(s, (lanes64){word[0], word[1], word[2], word[3]});
        lanes64 mask = {live[0], live[1], live[2], live[3]};
        s->v0 = (s->v0 & mask) | (before.v0 & ~mask);
        s->v1 = (s->v1 & mask) | (before.v1 & ~mask);
        s->v2 = (s->v2 & mask) | (before.v2 & ~mask);
        s->v3 = (s->v3 & mask) | (before.v3 & ~mask);
    }
}

static inline void absorb_even(struct siphash_state *s, struct siphash_job *const lane[SIPHASH_LANES],
                               size_t words)
{
    const uint8_t *a = lane[0]->bytes, *b = lane[1]->bytes, *c = lane[2]->bytes, *d = lane[3]->bytes;
    for (size_t i = 0; i < words; i++)
        absorb(s,
               (lanes64){wire_u64(a + 8 * i), wire_u64(b + 8 * i), wire_u64(c + 8 * i), wire_u64(d + 8 * i)});
    absorb(s, (lanes64){last_word(lane[0]), last_word(lane[1]), last_word(lane[2]), last_word(lane[3])});
}

static inline lanes64 broadcast(uint64_t x)
{
    return (lanes64){x, x, x, x};
}

static void four(struct siphash_job *const lane[SIPHASH_LANES])
{
    uint64_t k0[SIPHASH_LANES], k1[SIPHASH_LANES];
    size_t words = 0, fewest = SIZE_MAX;
    for (unsigned l = 0; l < SIPHASH_LANES; l++) {
        size_t own = lane[l]->length / 8;
        k0[l] = wire_u64(lane[l]->key);
        k1[l] = wire_u64(lane[l]->key + 8);
        words = own > words ? own : words;
        fewest = own < fewest ? own : fewest;
    }
    lanes64 key0 = {k0[0], k0[1], k0[2], k0[3]}, key1 = {k1[0], k1[1], k1[2], k1[3]};
    struct siphash_state s = {
        .v0 = key0 ^ broadcast(0x736f6d6570736575),
        .v1 = key1 ^ broadcast(0x646f72616e646f6d ^ 0xee), /* 0xee: 128 bits of output */
        .v2 = key0 ^ broadcast(0x6c7967656e657261),
        .v3 = key1 ^ broadcast(0x7465646279746573),
    };
    if (words == fewest)
        absorb_even(&s, lane, words);
    else
        absorb_uneven(&s, lane, words);
    s.v2 ^= broadcast(0xee);
    rounds(&s, 4);
    lanes64 low = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    s.v1 ^= broadcast(0xdd);
    rounds(&s, 4);
    lanes64 high = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    for (unsigned l = 0; l < SIPHASH_LANES; l++) {
        wire_put_u64(lane[l]->tag, low[l]);
        wire_put_u64(lane[l]->tag + 8, high[l]);
    }
}

void siphash_lanes(struct siphash_job *jobs, unsigned count)
{
    while (count > 1) {
        /* lanes without a job repeat the first, which only computes its tag again */
        struct siphash_job *lane[SIPHASH_LANES];
        unsigned taken = count < SIPHASH_LANES ? count : SIPHASH_LANES;
        for (unsigned l = 0; l < SIPHASH_LANES; l++)
            lane[l] = &jobs[l < taken ? l : 0];
        four(lane);
        jobs += taken;
        count -= taken;
    }
    if (count == 1)
        crypto_shorthash_siphashx24(jobs->tag, jobs->bytes, jobs->length, jobs->key);
}
