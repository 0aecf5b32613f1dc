#include "crash_worker.h"

#include <inttypes.h>
#include <string.h>

#include "message.h"
#include "seeded.h"

enum {
    HELD_MAX = NODE_HELD_BYTES / 2, /* unpublished: then the worker waits */
    SWEEP_BUCKETS = 8,
    TTL_MAX_MS = 200,
};

/* ---- what came of it ---- */

/* From the worker's ring into the journal, and to be published later. Records taken. */
static unsigned take_records(struct node *node, unsigned worker)
{
    struct node_held *held = &node->held[worker];
    unsigned taken = 0;
    const uint8_t *bytes;
    size_t length;

    for (; (bytes = log_ring_peek(node->own[worker], &length)) != NULL; taken++) {
        struct log_record record;
        if (log_record_decode(&record, bytes, length) != (int)length)
            trail_fail(node->trail, "a record that is not valid");
        journal_add(&node->journal, node->trail, &record);
        oracle_apply(&node->oracle, &node->journal.entry[node->journal.count - 1]);
        crash_must(held->used + length <= NODE_HELD_BYTES, "more was logged than there is room for");
        memcpy(held->bytes + held->used, bytes, length);
        held->used += length;
        log_ring_pop(node->own[worker]);
    }
    return taken;
}

/* The client is told at once, or when the log is durable as far as the node says. */
static void answer(struct node *node, uint64_t waits_for, uint64_t depends_on, bool waits)
{
    if (!waits)
        return; /* told at once, and nothing is promised */
    if (waits_for <= node->durable_lsn) {
        node->promised = depends_on > node->promised ? depends_on : node->promised;
        return;
    }
    crash_must(node->answers < NODE_ANSWERS_MAX, "more answers wait than there is room for");
    node->answer[node->answers++] = (struct node_answer){waits_for, depends_on};
}

/* What a reply waits for: the service's rule (native_depends_on()). */
static uint64_t waits_for(const struct result *result)
{
    return result->version != 0 ? result->version : result->bucket_lsn;
}

/* ---- operations ---- */

struct asked {
    struct operation operation;
    unsigned key;
    uint8_t key_bytes[KEY_BYTES_MAX], value[VALUE_BYTES_MAX];
};

static void make_value(struct node *node, struct asked *asked)
{
    unsigned sizes[] = {0, 8, 30, 100, 400, node->plan->value_max};
    unsigned pick = (unsigned)seeded_below(&node->random, sizeof sizes / sizeof sizes[0]);
    unsigned length = (unsigned)seeded_below(&node->random, sizes[pick] + 1);

    if (length > node->plan->value_max)
        length = node->plan->value_max;
    for (unsigned i = 0; i < length; i += 8) {
        uint64_t bits = seeded_next(&node->random);
        memcpy(asked->value + i, &bits, length - i < 8 ? length - i : 8);
    }
    asked->operation.value = asked->value;
    asked->operation.value_length = (uint16_t)length;
}

static void make_conditions(struct node *node, struct asked *asked)
{
    static const uint8_t conditions[] = {
        0, 0, FLAG_IF_ABSENT, FLAG_IF_PRESENT, FLAG_IF_VERSION, FLAG_IF_VERSION};
    struct operation *operation = &asked->operation;

    operation->flags = conditions[seeded_below(&node->random, sizeof conditions)];
    if (operation->flags & FLAG_IF_VERSION)
        operation->version = node->oracle.key[asked->key].lsn + (seeded_below(&node->random, 4) == 0);
    if (operation->opcode == OPCODE_TOUCH || operation->opcode == OPCODE_DELETE)
        operation->flags &= (uint8_t)~FLAG_IF_ABSENT;
}

static enum opcode pick_opcode(struct node *node, unsigned key)
{
    uint64_t pick = seeded_below(&node->random, 2000);

    if (pick < 3)
        return OPCODE_FLUSH;
    if (pick < 400)
        return OPCODE_GET;
    if (pick < 650)
        return OPCODE_DELETE;
    if (pick < 800)
        return OPCODE_TOUCH;
    return key % 5 == 0 && pick % 8 != 0 ? OPCODE_INCR : OPCODE_SET;
}

static void make_operation(struct node *node, struct asked *asked)
{
    struct operation *operation = &asked->operation;

    memset(operation, 0, sizeof *operation);
    asked->key = (unsigned)seeded_below(&node->random, node->plan->keys);
    operation->opcode = (uint8_t)pick_opcode(node, asked->key);
    if (operation->opcode == OPCODE_FLUSH)
        return;
    operation->key = asked->key_bytes;
    operation->key_length = journal_key(asked->key_bytes, asked->key);
    if (operation->opcode == OPCODE_GET)
        return;
    make_conditions(node, asked);
    if (operation->opcode != OPCODE_DELETE && seeded_below(&node->random, 3) == 0)
        operation->ttl_ms = 1 + seeded_below(&node->random, TTL_MAX_MS);
    if (operation->opcode == OPCODE_SET) {
        make_value(node, asked);
    } else if (operation->opcode == OPCODE_INCR) {
        incr_operand_encode(asked->value, (int64_t)seeded_below(&node->random, 2000) - 1000,
                            (int64_t)seeded_next(&node->random) >> 8);
        operation->value = asked->value;
        operation->value_length = INCR_OPERAND_BYTES;
    }
}

/* A GET says what the journal says. */
static void check_read(struct node *node, const struct asked *asked, enum status status,
                       const struct result *result)
{
    const struct key_state *key = &node->oracle.key[asked->key];
    bool there = key->present && (key->expiry_ms == 0 || key->expiry_ms > node->wall_ms);

    if (status != (there ? STATUS_OK : STATUS_NOT_FOUND))
        trail_fail(node->trail, "GET of key %u: status %u", asked->key, (unsigned)status);
    if (there && (result->version != key->lsn || result->value_length != key->value_length ||
                  journal_value_crc(result->value, result->value_length) != key->value_crc))
        trail_fail(node->trail, "GET of key %u: not what was written", asked->key);
}

/* A write that was done is the last record, and says what was asked for. */
static void check_write(struct node *node, const struct asked *asked, const struct result *result,
                        unsigned records)
{
    const struct journal_entry *last = &node->journal.entry[node->journal.count - 1];
    static const uint8_t types[] = {[OPCODE_SET] = LOG_SET,
                                    [OPCODE_INCR] = LOG_SET,
                                    [OPCODE_TOUCH] = LOG_SET,
                                    [OPCODE_DELETE] = LOG_DELETE,
                                    [OPCODE_FLUSH] = LOG_FLUSH};

    if (records == 0 || last->lsn != result->version || last->type != types[asked->operation.opcode])
        trail_fail(node->trail, "a write with lsn %" PRIu64 " left no such record", result->version);
    if (last->type != LOG_FLUSH && last->key != asked->key)
        trail_fail(node->trail, "a write of key %u was logged as key %u", asked->key, last->key);
    if (asked->operation.opcode == OPCODE_SET &&
        (last->value_length != asked->operation.value_length ||
         last->value_crc != journal_value_crc(asked->value, last->value_length)))
        trail_fail(node->trail, "the value of lsn %" PRIu64 " is not what was asked for", last->lsn);
}

static void one_operation(struct node *node, unsigned worker)
{
    struct asked asked;
    uint8_t value[VALUE_BYTES_MAX];
    struct result result = {.value = value, .room = sizeof value};

    make_operation(node, &asked);
    const struct operation *operation = &asked.operation;
    crash_must(operation_check(operation) == STATUS_OK, "an operation that may not be");
    uint64_t hash =
        operation->key_length > 0 ? table_hash(node->table, operation->key, operation->key_length) : 0;
    enum status status = execute(node->context[worker], operation, hash, node->wall_ms, &result);
    unsigned records = take_records(node, worker);

    node->counts.operations++;
    if (status == STATUS_BUSY || status == STATUS_FULL) {
        node->counts.refused++;
        return;
    }
    const struct key_state *key = &node->oracle.key[asked.key];
    if (operation->opcode == OPCODE_GET) {
        node->counts.reads++;
        check_read(node, &asked, status, &result);
        answer(node, waits_for(&result), key->lsn, !node->plan->async);
        return;
    }
    if (status != STATUS_OK) { /* it tells what it found, like a read */
        answer(node, waits_for(&result), key->lsn, !node->plan->async);
        return;
    }
    node->counts.writes++;
    node->counts.flushes += operation->opcode == OPCODE_FLUSH;
    check_write(node, &asked, &result, records);
    /* With --durability async a request may still ask for it. */
    answer(node, waits_for(&result), result.version,
           !node->plan->async || seeded_below(&node->random, 10) == 0);
}

void worker_step(struct node *node, unsigned worker)
{
    unsigned burst = 1 + (unsigned)seeded_below(&node->random, node->plan->burst_max);

    if (seeded_below(&node->random, 20) == 0) {
        if (node->held[worker].used > HELD_MAX)
            return;
        (void)execute_sweep(node->context[worker], SWEEP_BUCKETS, node->wall_ms);
        (void)take_records(node, worker);
    }
    for (; burst > 0 && node->held[worker].used <= HELD_MAX && node->answers < NODE_ANSWERS_MAX; burst--)
        one_operation(node, worker);
}
