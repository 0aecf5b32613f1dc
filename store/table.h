/*
 * table.h - the L3-sized hash table: its shape, memory and reads. Changes go through execute.h only.
 *
 * Shape. Two arrays of 64-byte lines:
 *   buckets   one line each: sequence lock, last mutation's LSN, 8 slots of {16-bit tag, 32-bit item line},
 *             and an overflow bucket's number. SipHash-1-3 of the key under the table's own key chooses the
 *             bucket: who does not know the key cannot aim at one.
 *   items     item.h: the first line holds version, expiry, lengths and 40 bytes of key and value; larger
 *             items chain further lines of 56 bytes.
 * A GET of a one-line item in its main bucket touches two lines.
 *
 * FULL depends on one count only: lines in use (an item has at least one, so items <= lines). Buckets
 * overflow into a pool that is large enough for any distribution: floor(capacity / 8) spare buckets, since a
 * chain is always packed (a removal moves the chain's last slot into the hole and gives an empty overflow
 * bucket back). Hence: a set of items that one table admits fits every table of equal capacity, whatever the
 * hash keys and the order. No tombstones, no rehash, no growth.
 *
 * Concurrency. Any worker reads and writes any bucket.
 *   readers   take no lock: read the bucket's sequence (acquire), copy what they need by relaxed 8-byte
 *             loads, and check that the sequence did not move; once, then TABLE_READ_RETRIES_MAX times more,
 *             then BUSY.
 *   writers   lock the bucket (sequence odd). All words that readers may see are written as relaxed 8-byte
 *             atomics.
 * A chain of overflow buckets is guarded by its main bucket's lock and sequence.
 *
 * Expiry: milliseconds of wall-clock time. The table's expiry clock is the highest time it was ever shown (by
 * callers and by the log): it never goes back. An item is expired when 0 < expiry_ms <= clock.
 */
#ifndef WILD_TABLE_H
#define WILD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LINE_BYTES = 64,
    TABLE_WORKERS_MAX = 65, /* one more than a node has workers: who replays a log is one too */
    TABLE_CAPACITY_MIN = 64,
    TABLE_CAPACITY_MAX = 1 << 30, /* line numbers take 32 bits, recovery may use three times the lines */
    TABLE_READ_RETRIES_MAX = 64,
    TABLE_HASH_KEY_BYTES = 16,
};

enum evict { EVICT_NONE = 0, EVICT_CLOCK = 1 };

struct table_config {
    uint64_t capacity;  /* one-line items, >= TABLE_CAPACITY_MIN */
    uint64_t first_lsn; /* LSN of the first mutation; a multiple of 2^32 (DESIGN: histories) */
    uint8_t hash_key[TABLE_HASH_KEY_BYTES];
    unsigned workers; /* contexts that will execute operations, 1..TABLE_WORKERS_MAX */
    enum evict evict;
    int numa_node;           /* -1: wherever */
    bool huge_pages;         /* try; falls back to ordinary pages (see table_info) */
    bool force_equal_hashes; /* tests: every key goes to bucket 0 with the same tag */
};

/* What table_create() got, for the start-up line. */
struct table_info {
    uint64_t bytes;     /* all memory mapped */
    uint64_t hot_bytes; /* what look-ups of a full table touch: main buckets and item lines */
    uint64_t capacity;  /* lines */
    bool huge_pages;
};

struct table; /* opaque outside store/ (table_internal.h) */

/* 0; -ENOMEM, -EINVAL. The caller owns *out until table_destroy(). */
int table_create(struct table **out, const struct table_config *config, struct table_info *info);
void table_destroy(struct table *table); /* NULL is fine; wipes the hash key */

/* Memory that table_create() takes: two pieces, each in hugepages as a whole or not at all. */
struct table_memory {
    uint64_t bucket_bytes, line_bytes;
};
struct table_memory table_memory(uint64_t capacity, unsigned workers);

/* Largest capacity whose hot bytes fit `bytes`. */
uint64_t table_capacity_for(uint64_t bytes);

/* Keyed hash of a key, computed once per operation and passed along. */
uint64_t table_hash(const struct table *table, const uint8_t *key, size_t length);

/*
 * The same for a burst, whose look-ups go through three steps together, each a loop over all of them:
 *
 *   1. the caller sets key and key_length of every probe; table_probe_hash() hashes them (eight at a time,
 *      where the keys' lengths are alike) and prefetches their buckets;
 *   2. table_probe_find() looks for each tag in its bucket, which has come by now, and prefetches the item, the
 *      first of its further lines too;
 *   3. each operation in its turn: a GET by execute_get() (execute.h), which starts at the line that was
 *      found; any other by execute() with the probe's hash.
 *
 * Nothing is locked or promised between the steps: other operations of the same burst, and other workers, may
 * change what a probe found; step 3 notices and starts anew. A probe whose burst is over means nothing.
 */
struct table_probe {
    const uint8_t *key; /* in; its bytes must stay until step 3 has its result */
    uint64_t hash;      /* out of step 1: table_hash() of the key */
    /* store/ only */
    struct bucket *bucket;
    const struct line *line; /* the candidate's first line, NULL if there is none */
    uint32_t sequence;       /* of the bucket, read before the candidate */
    uint8_t slot;
    uint8_t key_length; /* in: 1..KEY_BYTES_MAX */
};
void table_probe_hash(const struct table *table, struct table_probe *probes, unsigned count);
void table_probe_find(const struct table *table, struct table_probe *probes, unsigned count);

/* Counts, approximate while workers write. lsn: last assigned, or applied (apply.h). highest_lsn: of what is
 * there no change is higher: above lsn while one is being applied. */
struct table_counts {
    uint64_t items, lines_used, capacity, lsn, highest_lsn, flush_lsn, overflow_buckets;
};
void table_counts(const struct table *table, struct table_counts *out);

#endif
