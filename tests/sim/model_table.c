/*
 * model_table.c - random operations on the table, each compared with a map so simple that it is plainly right;
 * and the log they leave, replayed into a second table.
 *
 *   model_table [--operations N]        WILD_SEED=S replays a run
 *
 * The run is cut into rounds, each with a table of its own: random capacity, eviction policy, honest or equal
 * hashes, clock that jumps both ways, rings that are drained late.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apply.h"
#include "execute.h"
#include "log_merge.h"

enum {
    KEYS_MAX = 3000,
    ONE_BYTE_KEYS = 100,
    ROUND_OPERATIONS = 40000,
    COMPARE_EVERY = 8000,
    BATCH_MAX = 32,
    RING_BYTES = 32768,
};

/* One key of the universe and what the model knows of it. */
struct model_item {
    uint8_t key[KEY_BYTES_MAX], key_length;
    bool stored; /* not deleted; may have expired */
    uint16_t value_length;
    uint8_t value[VALUE_BYTES_MAX];
    uint64_t version, expiry_ms;
};

struct model {
    struct model_item item[KEYS_MAX];
    unsigned keys;
    uint64_t clock_ms, next_lsn, flush_lsn;
    uint64_t stored, lines; /* sums over what is stored */
};

struct round {
    struct table_config config;
    struct table *table, *replica;
    struct log_ring *ring;
    struct execute_context *context, *apply;
    struct log_merge merge;
    uint64_t now_ms;
    bool draining;
};

struct run {
    uint64_t seed, random, done;
    struct model model;
    struct round round;
    uint64_t statuses[STATUS_COUNT], evicted, expired, busy_log, busy_garbage, busy_evict;
};

static void fail(const struct run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "model_table: WILD_SEED=%" PRIu64 ", operation %" PRIu64 ": ", run->seed, run->done);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            fail(run, "line %d: not so: %s", __LINE__, #condition);                                          \
    } while (0)

static uint64_t next_random(struct run *run)
{
    uint64_t z = run->random += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static unsigned below(struct run *run, unsigned bound)
{
    return (unsigned)((next_random(run) >> 32) * bound >> 32);
}

static void fill(struct run *run, uint8_t *out, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)next_random(run);
}

/* The rule, written down a second time: 40 bytes in the first line, 56 in each further one. */
static unsigned lines_of(unsigned bytes)
{
    return bytes <= 40 ? 1 : 1 + (bytes - 40 + 55) / 56;
}

static unsigned item_lines_of(const struct model_item *item)
{
    return item->stored ? lines_of(item->key_length + item->value_length) : 0u;
}

static bool alive(const struct model *model, const struct model_item *item)
{
    return item->stored && (item->expiry_ms == 0 || item->expiry_ms > model->clock_ms);
}

static void model_remove(struct model *model, struct model_item *item)
{
    model->stored -= item->stored;
    model->lines -= item_lines_of(item);
    item->stored = false;
}

static void model_store(struct model *model, struct model_item *item, const uint8_t *value, unsigned length,
                        uint64_t expiry_ms)
{
    model_remove(model, item);
    memmove(item->value, value, length);
    item->value_length = (uint16_t)length;
    item->expiry_ms = expiry_ms;
    item->version = model->next_lsn;
    item->stored = true;
    model->stored++;
    model->lines += item_lines_of(item);
}

/* Keys of one byte say their number in it, others in their first two: the log's keys are found again. */
static void make_keys(struct run *run)
{
    struct model *model = &run->model;
    for (unsigned i = 0; i < model->keys; i++) {
        struct model_item *item = &model->item[i];
        unsigned length = below(run, 3) ? 2 + below(run, 40) : 2 + below(run, KEY_BYTES_MAX - 1);
        if (length > KEY_BYTES_MAX)
            length = KEY_BYTES_MAX;
        memset(item, 0, sizeof *item);
        item->key_length = (uint8_t)(i < ONE_BYTE_KEYS ? 1 : length);
        fill(run, item->key, item->key_length);
        item->key[0] = (uint8_t)i;
        if (item->key_length > 1)
            item->key[1] = (uint8_t)(i >> 8);
    }
}

static struct model_item *find_key(struct run *run, const uint8_t *key, unsigned length)
{
    unsigned number = length == 1 ? key[0] : key[0] | (unsigned)key[1] << 8;
    EXPECT(number < run->model.keys);
    struct model_item *item = &run->model.item[number];
    EXPECT(item->key_length == length && memcmp(item->key, key, length) == 0);
    return item;
}

/* ---- the log ---- */

/* The next record in the log: decoded into *record; also applied to the replica. */
static bool next_record(struct run *run, struct log_record *record, uint8_t bytes[LOG_RECORD_BYTES_MAX])
{
    struct round *round = &run->round;
    size_t length;
    const uint8_t *encoded = log_merge_peek(&round->merge, &length);
    if (encoded == NULL)
        return false;
    memcpy(bytes, encoded, length);
    EXPECT(log_record_decode(record, bytes, length) == (int)length);
    log_merge_pop(&round->merge);
    EXPECT(apply_record(round->apply, record) == 0);
    return true;
}

/*
 * The log holds state changes; the model follows it for those that nobody asked for (evictions, expiry). So
 * the ring may be drained late: only what the model cannot know by itself is taken from it.
 */
static void drain(struct run *run)
{
    struct log_record record;
    uint8_t bytes[LOG_RECORD_BYTES_MAX];
    while (next_record(run, &record, bytes))
        ;
}

/* After an operation that may have removed items on its own account: takes them out of the model as well. The
 * ring was empty before. Leaves the operation's own record, if there is one, in *own. */
static bool follow_log(struct run *run, const struct model_item *spared, struct log_record *own,
                       uint8_t bytes[LOG_RECORD_BYTES_MAX])
{
    struct model *model = &run->model;
    bool found = false;
    struct log_record record;
    uint8_t read[LOG_RECORD_BYTES_MAX];
    while (next_record(run, &record, read)) {
        EXPECT(!found);
        EXPECT(record.lsn == model->next_lsn);
        bool by_itself = record.type == LOG_DELETE && record.reason != LOG_REASON_REQUEST;
        if (!by_itself) {
            memcpy(bytes, read, sizeof read);
            *own = record;
            own->key = bytes + LOG_RECORD_HEADER_BYTES;
            own->value = own->key + own->key_length;
            found = true;
            continue;
        }
        struct model_item *item = find_key(run, record.key, record.key_length);
        EXPECT(item != spared && item->stored);
        EXPECT((record.reason == LOG_REASON_EXPIRED) == !alive(model, item));
        EXPECT(record.reason == LOG_REASON_EXPIRED || run->round.config.evict == EVICT_CLOCK);
        run->expired += record.reason == LOG_REASON_EXPIRED;
        run->evicted += record.reason == LOG_REASON_EVICTED;
        model_remove(model, item);
        model->next_lsn++;
    }
    return found;
}

/* ---- one operation ---- */

/* What the model says the operation should answer, apart from the want of resources. */
struct expected {
    enum status status;
    bool stores, removes;
    uint8_t value[VALUE_BYTES_MAX];
    unsigned value_length;
    uint64_t expiry_ms;
    long long integer;
};

static enum status expected_condition(const struct operation *operation, bool there, uint64_t version)
{
    if (operation->flags & FLAG_IF_ABSENT && there)
        return STATUS_EXISTS;
    if (operation->flags & (FLAG_IF_PRESENT | FLAG_IF_VERSION) && !there)
        return STATUS_NOT_FOUND;
    if (operation->flags & FLAG_IF_VERSION && version != operation->version)
        return STATUS_VERSION_MISMATCH;
    return STATUS_OK;
}

/* strtoll accepts more than INCR does; printing what it read back tells the difference. */
static bool is_number(const struct model_item *item, long long *number)
{
    char text[VALUE_BYTES_MAX + 1], printed[32];
    memcpy(text, item->value, item->value_length);
    text[item->value_length] = 0;
    *number = strtoll(text, NULL, 10);
    int length = snprintf(printed, sizeof printed, "%lld", *number);
    return length == item->value_length && memcmp(printed, text, (size_t)length) == 0;
}

static void expect_write(struct run *run, const struct operation *operation, const struct model_item *item,
                         uint16_t room, struct expected *out)
{
    const struct model *model = &run->model;
    bool there = alive(model, item);
    uint64_t fresh_expiry = operation->ttl_ms ? model->clock_ms + operation->ttl_ms : 0;
    memset(out, 0, sizeof *out);
    out->status = expected_condition(operation, there, item->version);
    if (out->status != STATUS_OK)
        return;
    switch (operation->opcode) {
    case OPCODE_SET:
        memcpy(out->value, operation->value, operation->value_length);
        out->value_length = operation->value_length;
        out->expiry_ms = fresh_expiry;
        out->stores = true;
        return;
    case OPCODE_DELETE:
        out->removes = there;
        out->status = there ? STATUS_OK : STATUS_NOT_FOUND;
        return;
    case OPCODE_TOUCH:
        memcpy(out->value, item->value, item->value_length);
        out->value_length = item->value_length;
        out->expiry_ms = fresh_expiry;
        out->stores = there;
        out->status = there ? STATUS_OK : STATUS_NOT_FOUND;
        return;
    default: { /* INCR */
        int64_t delta, initial;
        EXPECT(incr_operand_decode(operation->value, operation->value_length, &delta, &initial));
        long long number = initial;
        bool good = !there || is_number(item, &number);
        if (!good || __builtin_add_overflow(number, (long long)delta, &out->integer)) {
            out->status = STATUS_NOT_A_NUMBER;
            return;
        }
        if (room < INCR_RESULT_BYTES) {
            out->status = STATUS_MORE;
            return;
        }
        out->value_length = (unsigned)sprintf((char *)out->value, "%lld", out->integer);
        out->expiry_ms = there ? item->expiry_ms : fresh_expiry;
        out->stores = true;
    }
    }
}

/* Whether the refusal was allowed, and that it changed nothing. */
static void check_refusal(struct run *run, enum status status, unsigned new_lines,
                          const struct model_item *item, const struct execute_counters *before)
{
    const struct model *model = &run->model;
    const struct execute_counters *after = execute_counters(run->round.context);
    struct table_counts counts;
    table_counts(run->round.table, &counts);
    bool fits = model->lines - item_lines_of(item) + new_lines <= run->round.config.capacity;
    if (status == STATUS_FULL) {
        EXPECT(run->round.config.evict == EVICT_NONE);
        EXPECT(!fits);
        EXPECT(after->full == before->full + 1);
        return;
    }
    EXPECT(status == STATUS_BUSY);
    if (after->busy_log_full > before->busy_log_full) {
        EXPECT(!run->round.draining);
        run->busy_log++;
        return;
    }
    EXPECT(after->busy_contended == before->busy_contended + 1);
    if (counts.lines_used > model->lines) {
        run->busy_garbage++;
        return;
    }
    EXPECT(run->round.config.evict == EVICT_CLOCK);
    EXPECT(!run->round.draining || run->round.config.force_equal_hashes);
    run->busy_evict++;
}

static void check_record(struct run *run, const struct log_record *record, const struct operation *operation,
                         const struct expected *expected)
{
    EXPECT(record->lsn == run->model.next_lsn);
    EXPECT(record->type == (expected->stores ? LOG_SET : LOG_DELETE));
    EXPECT(record->key_length == operation->key_length);
    EXPECT(memcmp(record->key, operation->key, operation->key_length) == 0);
    EXPECT(record->value_length == expected->value_length);
    EXPECT(memcmp(record->value, expected->value, expected->value_length) == 0);
    EXPECT(record->expiry_ms == expected->expiry_ms);
    EXPECT(record->reason == (expected->stores ? LOG_REASON_NONE : LOG_REASON_REQUEST));
}

static void do_write(struct run *run, const struct operation *operation, uint64_t hash,
                     struct model_item *item, uint16_t room)
{
    struct model *model = &run->model;
    struct round *round = &run->round;
    uint8_t value[VALUE_BYTES_MAX], bytes[LOG_RECORD_BYTES_MAX];
    struct result result = {.value = value, .room = room};
    struct execute_counters before;
    struct expected expected;
    struct log_record own;

    memcpy(&before, execute_counters(round->context), sizeof before);
    expect_write(run, operation, item, room, &expected);
    bool was_alive = alive(model, item);
    enum status status = execute(round->context, operation, hash, round->now_ms, &result);
    run->statuses[status]++;

    /* Late draining is for tables in which nothing goes by itself. */
    bool follow = round->draining || round->config.evict == EVICT_CLOCK;
    bool logged = follow && follow_log(run, item, &own, bytes);
    unsigned new_lines = lines_of(operation->key_length + expected.value_length);
    if (status != expected.status && (expected.stores || expected.removes)) {
        EXPECT(!logged);
        check_refusal(run, status, new_lines, item, &before);
        return;
    }
    EXPECT(status == expected.status);
    if (!expected.stores && !expected.removes) {
        EXPECT(!logged);
        EXPECT(result.version == (was_alive && status != STATUS_NOT_FOUND ? item->version : 0));
        EXPECT(result.bucket_lsn < model->next_lsn);
        EXPECT(!was_alive || result.bucket_lsn >= item->version);
        return;
    }
    EXPECT(logged == follow);
    EXPECT(result.version == model->next_lsn && result.bucket_lsn == model->next_lsn);
    if (logged)
        check_record(run, &own, operation, &expected);
    if (expected.stores)
        model_store(model, item, expected.value, expected.value_length, expected.expiry_ms);
    else
        model_remove(model, item);
    EXPECT(model->lines <= round->config.capacity);
    model->next_lsn++;
    int64_t integer;
    if (operation->opcode == OPCODE_INCR) {
        EXPECT(incr_result_decode(value, result.value_length, &integer) && integer == expected.integer);
    } else {
        EXPECT(result.value_length == 0);
    }
}

/* probe: one that was made before other operations of its batch, or NULL. */
static void do_get(struct run *run, const struct operation *operation, uint64_t hash,
                   const struct table_probe *probe, const struct model_item *item, uint16_t room)
{
    uint8_t value[VALUE_BYTES_MAX + 1];
    struct result result = {.value = value, .room = room};
    memset(value, 0xA5, sizeof value);
    enum status status = probe ? execute_get(run->round.context, probe, run->round.now_ms, &result)
                               : execute(run->round.context, operation, hash, run->round.now_ms, &result);
    run->statuses[status]++;
    EXPECT(result.bucket_lsn < run->model.next_lsn);
    if (!alive(&run->model, item)) {
        EXPECT(status == STATUS_NOT_FOUND);
        EXPECT(result.bucket_lsn >= run->model.flush_lsn);
        return;
    }
    if (item->value_length > room) {
        EXPECT(status == STATUS_MORE);
        EXPECT(value[0] == 0xA5);
        return;
    }
    EXPECT(status == STATUS_OK);
    EXPECT(result.version == item->version && result.bucket_lsn >= item->version);
    EXPECT(result.value_length == item->value_length);
    EXPECT(memcmp(value, item->value, item->value_length) == 0);
    EXPECT(value[item->value_length] == 0xA5);
}

static void do_flush(struct run *run)
{
    struct model *model = &run->model;
    struct operation operation = {.opcode = OPCODE_FLUSH};
    struct result result = {0};
    enum status status = execute(run->round.context, &operation, 0, run->round.now_ms, &result);
    run->statuses[status]++;
    if (status == STATUS_BUSY) {
        EXPECT(!run->round.draining);
        return;
    }
    EXPECT(status == STATUS_OK && result.version == model->next_lsn);
    for (unsigned i = 0; i < model->keys; i++)
        model_remove(model, &model->item[i]);
    model->flush_lsn = model->next_lsn++;
    if (run->round.draining || run->round.config.evict == EVICT_CLOCK)
        drain(run);
}

static void do_sweep(struct run *run)
{
    struct log_record own;
    uint8_t bytes[LOG_RECORD_BYTES_MAX];
    drain(run);
    (void)execute_sweep(run->round.context, 1 + below(run, 64), run->round.now_ms);
    EXPECT(!follow_log(run, NULL, &own, bytes));
}

/* ---- choosing operations ---- */

struct choice {
    struct operation operation;
    struct model_item *item;
    uint64_t hash;
    uint16_t room;
    uint8_t value[VALUE_BYTES_MAX];
};

static unsigned random_value_length(struct run *run)
{
    switch (below(run, 4)) {
    case 0:
        return below(run, VALUE_BYTES_MAX + 1);
    case 1:
        return below(run, 120);
    default:
        return below(run, 33);
    }
}

static void choose(struct run *run, struct choice *choice)
{
    static const uint8_t opcodes[] = {OPCODE_GET,    OPCODE_GET,  OPCODE_GET,  OPCODE_SET,
                                      OPCODE_SET,    OPCODE_SET,  OPCODE_SET,  OPCODE_DELETE,
                                      OPCODE_DELETE, OPCODE_INCR, OPCODE_INCR, OPCODE_TOUCH};
    static const uint8_t conditions[] = {FLAG_IF_ABSENT, FLAG_IF_PRESENT, FLAG_IF_VERSION};
    struct operation *operation = &choice->operation;
    struct model_item *item = choice->item = &run->model.item[below(run, run->model.keys)];

    *operation = (struct operation){.opcode = opcodes[below(run, sizeof opcodes)],
                                    .key = item->key,
                                    .key_length = item->key_length,
                                    .value = choice->value};
    choice->room = (uint16_t)(below(run, 8) ? VALUE_BYTES_MAX : below(run, VALUE_BYTES_MAX));
    choice->hash = table_hash(run->round.table, item->key, item->key_length);
    if (operation->opcode != OPCODE_GET && below(run, 3) == 0)
        operation->flags = conditions[below(run, 3)];
    if (operation->opcode == OPCODE_DELETE)
        operation->flags &= (uint8_t)~FLAG_IF_ABSENT;
    operation->version = below(run, 2) ? item->version : run->model.next_lsn - below(run, 3);
    if (below(run, 3) == 0)
        operation->ttl_ms = 1 + below(run, 3000);
    if (operation->opcode == OPCODE_SET && below(run, 6) == 0) {
        operation->value_length =
            (uint16_t)sprintf((char *)choice->value, "%lld", (long long)next_random(run) >> below(run, 64));
    } else if (operation->opcode == OPCODE_SET) {
        operation->value_length = (uint16_t)random_value_length(run);
        fill(run, choice->value, operation->value_length);
    } else if (operation->opcode == OPCODE_INCR) {
        operation->value_length = INCR_OPERAND_BYTES;
        incr_operand_encode(choice->value, (int64_t)next_random(run) >> below(run, 64),
                            (int64_t)next_random(run) >> below(run, 64));
    }
}

static void do_batch(struct run *run)
{
    struct choice choice[BATCH_MAX];
    unsigned count = below(run, 2) ? 1 : 1 + below(run, BATCH_MAX);
    for (unsigned i = 0; i < count; i++)
        choose(run, &choice[i]);
    struct table_probe probe[BATCH_MAX];
    for (unsigned i = 0; i < count; i++)
        probe[i] = (struct table_probe){.key = choice[i].operation.key,
                                        .key_length = choice[i].operation.key_length};
    table_probe_hash(run->round.table, probe, count);
    for (unsigned i = 0; i < count; i++)
        EXPECT(probe[i].hash == choice[i].hash);
    table_probe_find(run->round.table, probe, count);
    for (unsigned i = 0; i < count; i++, run->done++) {
        const struct choice *c = &choice[i];
        if (c->operation.opcode == OPCODE_GET)
            do_get(run, &c->operation, c->hash, below(run, 2) ? &probe[i] : NULL, c->item, c->room);
        else
            do_write(run, &c->operation, c->hash, c->item, c->room);
    }
}

/* ---- a round ---- */

static void compare_tables(struct run *run)
{
    struct model *model = &run->model;
    struct round *round = &run->round;
    drain(run);
    apply_clock(round->apply, model->clock_ms);
    for (unsigned i = 0; i < model->keys; i++) {
        struct model_item *item = &model->item[i];
        struct operation get = {.opcode = OPCODE_GET, .key = item->key, .key_length = item->key_length};
        struct execute_context *contexts[] = {round->context, round->apply};
        struct table *tables[] = {round->table, round->replica};
        for (unsigned t = 0; t < 2; t++) {
            uint8_t value[VALUE_BYTES_MAX];
            struct result result = {.value = value, .room = sizeof value};
            enum status status =
                execute(contexts[t], &get, table_hash(tables[t], item->key, item->key_length), 0, &result);
            EXPECT(status == (alive(model, item) ? STATUS_OK : STATUS_NOT_FOUND));
            EXPECT(status != STATUS_OK ||
                   (result.version == item->version && result.value_length == item->value_length &&
                    memcmp(value, item->value, item->value_length) == 0));
        }
    }
    struct table_counts counts, replica;
    table_counts(round->table, &counts);
    table_counts(round->replica, &replica);
    EXPECT(counts.lsn == model->next_lsn - 1 && replica.lsn == counts.lsn);
    EXPECT(replica.flush_lsn == counts.flush_lsn && counts.flush_lsn == model->flush_lsn);
    EXPECT(counts.lines_used >= model->lines && replica.lines_used >= model->lines);
    /* Without a FLUSH nothing hidden is left: the counts are exact. */
    bool exact = model->flush_lsn == 0;
    EXPECT(!exact || (counts.lines_used == model->lines && replica.lines_used == model->lines));
    EXPECT(!exact || (counts.items == model->stored && replica.items == model->stored));
    EXPECT(counts.overflow_buckets <= counts.capacity / 8);
}

static void open_round(struct run *run)
{
    struct round *round = &run->round;
    struct model *model = &run->model;
    memset(round, 0, sizeof *round);
    bool equal = below(run, 6) == 0;
    round->config = (struct table_config){
        .capacity = TABLE_CAPACITY_MIN + below(run, equal ? 200 : 3000),
        .first_lsn = (1 + next_random(run) % 1000) << 32,
        .workers = 1,
        .evict = below(run, 3) == 0 ? EVICT_CLOCK : EVICT_NONE,
        .numa_node = -1,
        .force_equal_hashes = equal,
    };
    fill(run, round->config.hash_key, sizeof round->config.hash_key);
    EXPECT(table_create(&round->table, &round->config, NULL) == 0);
    struct table_config config = round->config;
    config.force_equal_hashes = false;
    fill(run, config.hash_key, sizeof config.hash_key);
    EXPECT(table_create(&round->replica, &config, NULL) == 0);
    round->ring = log_ring_create(RING_BYTES, -1);
    EXPECT(round->ring != NULL);
    round->context = execute_context_create(round->table, 0, round->ring);
    round->apply = execute_context_create(round->replica, 0, NULL);
    EXPECT(round->context != NULL && round->apply != NULL);
    log_merge_init(&round->merge, &round->ring, 1, config.first_lsn);
    round->now_ms = 1 + below(run, 1000000);
    round->draining = true;

    memset(model, 0, sizeof *model);
    model->keys = ONE_BYTE_KEYS + below(run, equal ? 100 : KEYS_MAX - ONE_BYTE_KEYS);
    model->next_lsn = config.first_lsn;
    model->clock_ms = 0; /* the table has not been shown a time */
    make_keys(run);
}

static void close_round(struct run *run)
{
    struct round *round = &run->round;
    compare_tables(run);
    execute_context_destroy(round->context);
    execute_context_destroy(round->apply);
    log_ring_destroy(round->ring);
    table_destroy(round->table);
    table_destroy(round->replica);
}

static void turn_clock(struct run *run)
{
    struct round *round = &run->round;
    if (below(run, 20) == 0)
        round->now_ms += below(run, 100);
    if (below(run, 200) == 0)
        round->now_ms -= round->now_ms > 500 ? below(run, 500) : 0;
    if (round->now_ms > run->model.clock_ms)
        run->model.clock_ms = round->now_ms;
}

static void play_round(struct run *run, uint64_t operations)
{
    uint64_t end = run->done + operations, compare = run->done + COMPARE_EVERY;
    open_round(run);
    bool flushes = below(run, 2) == 0;
    while (run->done < end) {
        turn_clock(run);
        do_batch(run);
        if (below(run, 30) == 0)
            do_sweep(run);
        if (flushes && below(run, 1500) == 0)
            do_flush(run);
        if (below(run, 100) == 0) {
            drain(run);
            run->round.draining = below(run, 4) != 0;
        }
        if (run->done >= compare) {
            compare_tables(run);
            compare = run->done + COMPARE_EVERY;
        }
    }
    close_round(run);
}

int main(int argc, char **argv)
{
    uint64_t operations = 1000000;
    static const struct option options[] = {{"operations", required_argument, NULL, 'n'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "n:", options, NULL)) != -1;) {
        if (c != 'n')
            return 2;
        operations = strtoull(optarg, NULL, 10);
    }
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return 1;
    const char *seed = getenv("WILD_SEED");
    run->seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    run->random = run->seed;
    printf("model_table: WILD_SEED=%" PRIu64 ", %" PRIu64 " operations\n", run->seed, operations);
    fflush(stdout);
    while (run->done < operations)
        play_round(run, ROUND_OPERATIONS);

    for (unsigned i = 0; i < STATUS_COUNT; i++)
        if (run->statuses[i])
            printf("  %-16s %" PRIu64 "\n", status_name(i), run->statuses[i]);
    printf("  evicted %" PRIu64 ", expired %" PRIu64 "; BUSY: ring %" PRIu64 ", hidden items %" PRIu64
           ", eviction %" PRIu64 "\n",
           run->evicted, run->expired, run->busy_log, run->busy_garbage, run->busy_evict);
    printf("model_table: %" PRIu64 " operations agree\n", run->done);
    free(run);
    return 0;
}
