#include "context.h"

#include <stdlib.h>
#include <string.h>

#include "read_inline.h"

struct execute_context *execute_context_create(struct table *table, unsigned worker, struct log_ring *log)
{
    if (worker >= table->workers)
        return NULL;
    struct execute_context *context = aligned_alloc(LINE_BYTES, sizeof *context);
    if (context == NULL)
        return NULL;
    memset(context, 0, sizeof *context);
    context->table = table;
    context->log = log;
    context->worker = worker;
    /* Hands start apart, so that workers do not crowd in one place. */
    context->evict_bucket = (uint32_t)((uint64_t)table->buckets.main_count * worker / table->workers);
    return context;
}

void execute_context_destroy(struct execute_context *context)
{
    if (context == NULL)
        return;
    lines_return_cache(&context->table->lines, &context->cache);
    free(context);
}

const struct execute_counters *execute_counters(const struct execute_context *context)
{
    return &context->counters;
}

static __attribute__((noinline)) enum status read_any(struct execute_context *context,
                                                      const struct table_probe *probe, uint64_t clock_ms,
                                                      struct result *result)
{
    /* The value may land on the key, and a reader that was disturbed compares that again. */
    copy_words(context->key, probe->key, probe->key_length);
    enum status status = table_read(context->table, probe, context->key, clock_ms, result);
    if (status == STATUS_BUSY)
        counter_bump(&context->counters.busy_readers);
    return status;
}

static __attribute__((noinline)) enum status change(struct execute_context *context,
                                                    const struct operation *operation, uint64_t hash,
                                                    uint64_t clock_ms, struct result *result)
{
    result->value_length = 0;
    result->version = 0;
    result->bucket_lsn = 0;
    switch (operation->opcode) {
    case OPCODE_SET:
    case OPCODE_DELETE:
    case OPCODE_INCR:
    case OPCODE_TOUCH:
        return execute_write(context, operation, hash, clock_ms, result);
    case OPCODE_FLUSH:
        return execute_flush(context, result);
    default:
        return STATUS_BAD_REQUEST;
    }
}

enum status execute_get(struct execute_context *context, const struct table_probe *probe, uint64_t now_ms,
                        struct result *result)
{
    uint64_t clock_ms = table_clock(context->table, now_ms);

    if (__builtin_expect(read_probed(context->table, probe, clock_ms, result), 1))
        return STATUS_OK;
    return read_any(context, probe, clock_ms, result);
}

/* The common GET needs no call from here; all others are tail calls, so that it pays for none. */
enum status execute(struct execute_context *context, const struct operation *operation, uint64_t hash,
                    uint64_t now_ms, struct result *result)
{
    uint64_t clock_ms = table_clock(context->table, now_ms);

    if (operation->opcode != OPCODE_GET)
        return change(context, operation, hash, clock_ms, result);
    struct table_probe probe = {.key = operation->key,
                                .key_length = operation->key_length,
                                .hash = hash,
                                .bucket = table_bucket(context->table, hash)};
    probe_match(context->table, &probe);
    if (read_probed(context->table, &probe, clock_ms, result))
        return STATUS_OK;
    return read_any(context, &probe, clock_ms, result);
}
