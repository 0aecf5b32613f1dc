/*
 * token_bucket.h - a rate limit: `burst` at once, `per_second` in the long run. One owner.
 */
#ifndef WILD_TOKEN_BUCKET_H
#define WILD_TOKEN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct token_bucket {
    uint64_t interval_ns; /* one token's worth of time */
    uint64_t burst_ns;    /* what may be saved up */
    uint64_t spent_until_ns;
};

static inline struct token_bucket token_bucket_make(uint64_t per_second, uint64_t burst)
{
    uint64_t interval_ns = 1000000000 / per_second;
    return (struct token_bucket){.interval_ns = interval_ns, .burst_ns = burst * interval_ns};
}

/* Takes a token if there is one: a clock that starts at 0 finds the bucket full, one that goes back finds it
 * slow. */
static inline bool token_bucket_take(struct token_bucket *bucket, uint64_t now_ns)
{
    uint64_t end = now_ns > bucket->burst_ns ? now_ns : bucket->burst_ns;
    uint64_t start = end - bucket->burst_ns;
    if (start < bucket->spent_until_ns)
        start = bucket->spent_until_ns;
    if (start + bucket->interval_ns > end)
        return false;
    bucket->spent_until_ns = start + bucket->interval_ns;
    return true;
}

#endif
