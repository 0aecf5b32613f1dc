/*
 * crash_journal.h - what really happened: every record of the log in its order, and what each key was after
 * any of them. A recovered table is compared with that.
 */
#ifndef WILD_TESTS_CRASH_JOURNAL_H
#define WILD_TESTS_CRASH_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crash_trail.h"
#include "log_record.h"
#include "table.h"

enum { JOURNAL_KEYS_MAX = 512 };

/* Keys are numbers: the key's length and bytes follow. Lengths from 1 to KEY_BYTES_MAX. */
uint8_t journal_key(uint8_t out[KEY_BYTES_MAX], unsigned key);

struct journal_entry {
    uint64_t lsn, expiry_ms;
    uint32_t value_crc;
    uint16_t key, value_length;
    uint8_t type;
};

struct journal {
    struct journal_entry *entry; /* ascending by LSN */
    size_t count, room;
};

uint32_t journal_value_crc(const uint8_t *value, size_t length);
void journal_add(struct journal *journal, const struct trail *trail, const struct log_record *record);
/* Entries up to that LSN. */
size_t journal_count_to(const struct journal *journal, uint64_t lsn);
/* Another one with the first `count` of them. */
void journal_copy(struct journal *out, const struct journal *from, size_t count);
void journal_free(struct journal *journal);

struct key_state {
    uint64_t lsn; /* of the record that made it so; 0: it never was */
    uint64_t expiry_ms;
    uint32_t value_crc;
    uint16_t value_length;
    bool present;
};

struct oracle {
    struct key_state key[JOURNAL_KEYS_MAX];
    uint64_t flush_lsn;
};

void oracle_apply(struct oracle *oracle, const struct journal_entry *entry);
void oracle_at(struct oracle *oracle, const struct journal *journal, size_t count);
/* Ends the program if the table is anything else than that: keys, values, versions, expiry, counts. What has
 * expired and was not logged as gone is part of it. */
void oracle_compare(const struct oracle *oracle, const struct table *table, const struct trail *trail);

#endif
