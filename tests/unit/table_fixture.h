/*
 * table_fixture.h - a table with one worker and one ring, for tests that run in one thread. The ring is
 * drained after every operation unless a test says otherwise.
 */
#ifndef WILD_TESTS_TABLE_FIXTURE_H
#define WILD_TESTS_TABLE_FIXTURE_H

#include <CUnit/Basic.h>
#include <string.h>

#include "execute.h"
#include "log_merge.h"

#define FIXTURE_FIRST_LSN ((uint64_t)1 << 32)

struct fixture {
    struct table *table;
    struct table_info info;
    struct log_ring *ring;
    struct log_merge merge;
    struct execute_context *context;
    struct result result;
    uint64_t now_ms;
    bool keep_log;
    uint8_t value[VALUE_BYTES_MAX + 8]; /* the last result's value */
    uint8_t last_record[LOG_RECORD_BYTES_MAX];
    struct log_record last; /* drained last, and where its bytes lie */
    unsigned drained;       /* records so far */
};

static inline void fixture_open(struct fixture *f, const struct table_config *wanted)
{
    struct table_config config = *wanted;
    config.first_lsn = FIXTURE_FIRST_LSN;
    config.workers = 1;
    config.numa_node = -1;
    memset(f, 0, sizeof *f);
    f->now_ms = 1000;
    CU_ASSERT_EQUAL_FATAL(table_create(&f->table, &config, &f->info), 0);
    f->ring = log_ring_create(LOG_RING_BYTES_MIN, -1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f->ring);
    f->context = execute_context_create(f->table, 0, f->ring);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f->context);
    log_merge_init(&f->merge, &f->ring, 1, FIXTURE_FIRST_LSN);
}

static inline void fixture_close(struct fixture *f)
{
    execute_context_destroy(f->context);
    log_ring_destroy(f->ring);
    table_destroy(f->table);
}

static inline void fixture_drain(struct fixture *f)
{
    size_t length;
    const uint8_t *record;
    while ((record = log_merge_peek(&f->merge, &length)) != NULL) {
        memcpy(f->last_record, record, length);
        CU_ASSERT_EQUAL_FATAL(log_record_decode(&f->last, f->last_record, length), (int)length);
        f->drained++;
        log_merge_pop(&f->merge);
    }
}

static inline enum status fixture_execute(struct fixture *f, const struct operation *operation)
{
    uint64_t hash = table_hash(f->table, operation->key, operation->key_length);
    f->result = (struct result){.value = f->value, .room = VALUE_BYTES_MAX};
    enum status status = execute(f->context, operation, hash, f->now_ms, &f->result);
    if (!f->keep_log)
        fixture_drain(f);
    return status;
}

static inline struct operation fixture_operation(enum opcode opcode, const char *key)
{
    return (struct operation){
        .opcode = (uint8_t)opcode, .key = (const uint8_t *)key, .key_length = (uint8_t)strlen(key)};
}

static inline enum status fixture_get(struct fixture *f, const char *key)
{
    struct operation operation = fixture_operation(OPCODE_GET, key);
    return fixture_execute(f, &operation);
}

static inline enum status fixture_set(struct fixture *f, const char *key, const char *value, uint64_t ttl_ms,
                                      unsigned flags)
{
    struct operation operation = fixture_operation(OPCODE_SET, key);
    operation.value = (const uint8_t *)value;
    operation.value_length = (uint16_t)strlen(value);
    operation.ttl_ms = ttl_ms;
    operation.flags = (uint8_t)flags;
    return fixture_execute(f, &operation);
}

static inline enum status fixture_delete(struct fixture *f, const char *key)
{
    struct operation operation = fixture_operation(OPCODE_DELETE, key);
    return fixture_execute(f, &operation);
}

static inline bool fixture_value_is(const struct fixture *f, const char *expected)
{
    return f->result.value_length == strlen(expected) &&
           memcmp(f->value, expected, f->result.value_length) == 0;
}

#endif
