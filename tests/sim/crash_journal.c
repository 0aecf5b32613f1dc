#include "crash_journal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "table_internal.h"
#include "table_walk.h"
#include "wal_block.h"

/* ---- keys ---- */

uint8_t journal_key(uint8_t out[KEY_BYTES_MAX], unsigned key)
{
    static const uint8_t lengths[] = {1, 2, 5, 16, 39, 40, 41, 100, KEY_BYTES_MAX};
    uint8_t length = lengths[key % (sizeof lengths / sizeof lengths[0])];

    if (key > UINT8_MAX && length < 2)
        length = 2;
    for (unsigned i = 0; i < length; i++)
        out[i] = (uint8_t)(key * 7 + i);
    out[0] = (uint8_t)key;
    if (length > 1)
        out[1] = (uint8_t)(key >> 8);
    return length;
}

static unsigned key_number(const struct trail *trail, const uint8_t *key, uint8_t length)
{
    unsigned number = key[0] | (length > 1 ? (unsigned)key[1] << 8 : 0);
    uint8_t expected[KEY_BYTES_MAX];

    if (number >= JOURNAL_KEYS_MAX || journal_key(expected, number) != length ||
        memcmp(expected, key, length) != 0)
        trail_fail(trail, "a key that nobody wrote");
    return number;
}

/* ---- the journal ---- */

uint32_t journal_value_crc(const uint8_t *value, size_t length)
{
    return wal_crc(0, value, length);
}

void journal_add(struct journal *journal, const struct trail *trail, const struct log_record *record)
{
    struct journal_entry entry = {.lsn = record->lsn,
                                  .expiry_ms = record->expiry_ms,
                                  .value_crc = journal_value_crc(record->value, record->value_length),
                                  .value_length = record->value_length,
                                  .type = record->type};

    if (record->type == LOG_SET || record->type == LOG_DELETE)
        entry.key = (uint16_t)key_number(trail, record->key, record->key_length);
    if (journal->count > 0 && journal->entry[journal->count - 1].lsn >= entry.lsn)
        trail_fail(trail, "lsn %" PRIu64 " was given twice", entry.lsn);
    if (journal->count == journal->room) {
        journal->room = journal->room * 2 + 256;
        journal->entry = crash_memory(journal->entry, journal->room * sizeof *journal->entry);
    }
    journal->entry[journal->count++] = entry;
}

size_t journal_count_to(const struct journal *journal, uint64_t lsn)
{
    size_t low = 0, high = journal->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (journal->entry[middle].lsn <= lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void journal_copy(struct journal *out, const struct journal *from, size_t count)
{
    *out = (struct journal){.count = count, .room = count};
    out->entry = crash_memory(NULL, count * sizeof *out->entry);
    if (count > 0)
        memcpy(out->entry, from->entry, count * sizeof *out->entry);
}

void journal_free(struct journal *journal)
{
    free(journal->entry);
    *journal = (struct journal){0};
}

/* ---- what it makes of the keys ---- */

void oracle_apply(struct oracle *oracle, const struct journal_entry *entry)
{
    struct key_state *key = &oracle->key[entry->key];

    switch (entry->type) {
    case LOG_SET:
        *key = (struct key_state){.lsn = entry->lsn,
                                  .expiry_ms = entry->expiry_ms,
                                  .value_crc = entry->value_crc,
                                  .value_length = entry->value_length,
                                  .present = true};
        break;
    case LOG_DELETE:
        *key = (struct key_state){.lsn = entry->lsn};
        break;
    case LOG_FLUSH:
        oracle->flush_lsn = entry->lsn;
        for (unsigned i = 0; i < JOURNAL_KEYS_MAX; i++)
            if (oracle->key[i].present)
                oracle->key[i] = (struct key_state){.lsn = entry->lsn};
        break;
    default:
        break;
    }
}

void oracle_at(struct oracle *oracle, const struct journal *journal, size_t count)
{
    memset(oracle, 0, sizeof *oracle);
    for (size_t i = 0; i < count; i++)
        oracle_apply(oracle, &journal->entry[i]);
}

/* ---- a table against it ---- */

static void compare_item(const struct oracle *oracle, const struct log_record *item, bool *seen,
                         const struct trail *trail)
{
    unsigned number = key_number(trail, item->key, item->key_length);
    const struct key_state *key = &oracle->key[number];

    if (seen[number])
        trail_fail(trail, "key %u is there twice", number);
    seen[number] = true;
    if (!key->present)
        trail_fail(trail, "key %u is there with version %" PRIu64 ", but has been gone since lsn %" PRIu64,
                   number, item->lsn, key->lsn);
    if (key->lsn != item->lsn)
        trail_fail(trail, "key %u has version %" PRIu64 " instead of %" PRIu64, number, item->lsn, key->lsn);
    if (key->expiry_ms != item->expiry_ms)
        trail_fail(trail, "key %u expires at %" PRIu64 " instead of %" PRIu64, number, item->expiry_ms,
                   key->expiry_ms);
    if (key->value_length != item->value_length ||
        key->value_crc != journal_value_crc(item->value, item->value_length))
        trail_fail(trail, "key %u has another value than version %" PRIu64 " had", number, item->lsn);
}

static void compare_bucket(const struct oracle *oracle, const struct table *table, uint32_t bucket,
                           bool *seen, const struct trail *trail)
{
    uint8_t bytes[16384];
    uint32_t below = TABLE_COPY_ALL;

    do {
        int64_t length = table_copy_bucket(table, bucket, &below, bytes, sizeof bytes);
        if (length < 0)
            trail_fail(trail, "bucket %u cannot be copied: %d", bucket, (int)length);
        for (size_t at = 0; at < (size_t)length;) {
            struct log_record item;
            int taken = log_record_decode(&item, bytes + at, (size_t)length - at);
            if (taken <= 0)
                trail_fail(trail, "bucket %u: a record that is not valid", bucket);
            compare_item(oracle, &item, seen, trail);
            at += (size_t)taken;
        }
    } while (below != 0);
}

void oracle_compare(const struct oracle *oracle, const struct table *table, const struct trail *trail)
{
    bool seen[JOURNAL_KEYS_MAX] = {false};
    uint64_t items = 0, lines = 0;
    struct table_counts counts;

    for (uint32_t i = 0; i < table_bucket_count(table); i++)
        compare_bucket(oracle, table, i, seen, trail);
    for (unsigned i = 0; i < JOURNAL_KEYS_MAX; i++) {
        const struct key_state *key = &oracle->key[i];
        uint8_t bytes[KEY_BYTES_MAX];
        if (!key->present)
            continue;
        items++;
        lines += item_lines((size_t)journal_key(bytes, i) + key->value_length);
        if (!seen[i])
            trail_fail(trail, "key %u with version %" PRIu64 " is missing", i, key->lsn);
    }
    table_counts(table, &counts);
    if (counts.items != items || counts.lines_used != lines)
        trail_fail(trail, "%" PRIu64 " items in %" PRIu64 " lines instead of %" PRIu64 " in %" PRIu64,
                   counts.items, counts.lines_used, items, lines);
    if (counts.flush_lsn != oracle->flush_lsn)
        trail_fail(trail, "the last FLUSH was %" PRIu64 ", not %" PRIu64, oracle->flush_lsn,
                   counts.flush_lsn);
}
