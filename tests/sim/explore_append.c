/*
 * explore_append.c - walks through interleavings of two or three workers on one bucket, at the yield points of
 * yield.h, and checks after every one: the merged log has no hole, it never waits for a worker that owes it
 * nothing, its order explains every answer, and replayed into another table it gives the same contents.
 *
 *   explore_append [--random N]      WILD_SEED=S replays the random part
 *
 * The workers are coroutines in one thread. Fixed scenarios are walked exhaustively up to a number of
 * preemptions (a switch away from a worker that could have gone on); after them come random scripts with random
 * switches.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include "apply.h"
#include "execute.h"
#include "item.h"
#include "log_merge.h"
#include "yield.h"

enum {
    WORKERS = 3,
    STEPS_MAX = 8,
    STACK_BYTES = 128 << 10,
    CHOICES_MAX = 4096,
    KEYS = 4,         /* that scripts use: 'a'.. */
    FILLERS_MAX = 64, /* that the set-up puts there */
    LOG_MAX = 512,    /* records of one run */
    CAPACITY = 64,
    RING_BYTES = LOG_RING_BYTES_MIN,
};

/* A script is text: one operation a word. Lower-case letters are keys.
 *   Sk set   Lk set to 300 bytes   Ak set if absent   Pk set if present   Dk delete   Ik incr   Tk touch
 *   Gk get   F flush   W sweep */
struct scenario {
    const char *name;
    const char *script[WORKERS]; /* NULL: no such worker */
    const char *before;          /* run by worker 0 alone */
    unsigned fillers;            /* items in the table beforehand, one line each */
    unsigned ring_room;          /* 0: the rings are empty; else bytes left in worker 0's */
    enum evict evict;
    bool drain_late; /* the rings are read only after the run */
    unsigned preemptions;
};

static const struct scenario scenarios[] = {
    {"two writers of one key", {"Sa Da Ia", "Ia Ta Sa"}, "Sb", .preemptions = 3},
    {"creation is claimed once", {"Aa Da Aa", "Aa Pa Da"}, "Sb", .preemptions = 3},
    {"FLUSH against increments", {"Ia Ia", "F Ga"}, "Ia", .preemptions = 4},
    {"two FLUSHes against a writer", {"Ia Pa", "F", "F"}, "Ia", .preemptions = 3},
    {"FLUSH against conditions", {"Pa Aa Ta", "F Aa"}, "Sa", .preemptions = 3},
    {"readers while items grow and shrink", {"La Sa Da", "Ga Ga Ga"}, "Sa", .preemptions = 3},
    {"three writers and a chain that shrinks",
     {"Da Db", "Dc Sa", "Ga Dd"},
     "Sa Sb Sc Sd",
     12,
     .preemptions = 2},
    {"one record fits the ring",
     {"Sa Sa", "Ia Ia"},
     "Sb",
     .ring_room = 64,
     .drain_late = true,
     .preemptions = 3},
    {"the ring is full during FLUSH",
     {"Sa F", "Ia F"},
     "Sb",
     .ring_room = 32,
     .drain_late = true,
     .preemptions = 3},
    {"the ring empties while writers try", {"Sa Sa", "Ia F"}, "Sb", .ring_room = 48, .preemptions = 3},
    {"two writers evict", {"La", "Lb"}, "", 60, .evict = EVICT_CLOCK, .preemptions = 2},
    {"eviction and FLUSH", {"La Ga", "F Sb"}, "Sc", 60, .evict = EVICT_CLOCK, .preemptions = 2},
    {"eviction into a full ring", {"La", "Sb Sc"}, "", 62, 600, EVICT_CLOCK, true, 2},
    {"room comes back after FLUSH", {"La", "F Lb"}, "Sc", 62, .preemptions = 2},
    {"hidden items are no reason for FULL", {"La", "Sb F Sd"}, "Sc", 56, .preemptions = 2},
    {"sweep against FLUSH and writers", {"W Sa W", "F Sb", "Ia"}, "Sa Sc", 10, .preemptions = 2},
};

struct step {
    char what, key;
    enum status status;
    uint64_t version;
    int64_t integer;
    uint16_t value_length;
    uint8_t value[VALUE_BYTES_MAX];
};

struct coroutine {
    ucontext_t machine;
    void *stack;
    unsigned number;
    bool done;
    bool owes_lsn; /* has an LSN that it has not published */
    unsigned flush_points;
    unsigned steps;
    struct step step[STEPS_MAX];
};

struct choice {
    unsigned taken, of;
};

struct explorer {
    const struct scenario *scenario;
    struct coroutine worker[WORKERS];
    unsigned workers, current;
    bool exploring; /* else yields are ignored: set-up */
    ucontext_t scheduler;

    struct choice choice[CHOICES_MAX];
    unsigned choices, prefix;
    unsigned preemptions_left;
    bool random_mode;
    uint64_t seed, random;
    uint64_t runs, busy;

    struct table *table, *replica;
    struct log_ring *ring[WORKERS];
    struct execute_context *context[WORKERS], *apply;
    struct log_merge merge;
    uint64_t first_lsn;
    uint8_t log[LOG_MAX][LOG_RECORD_BYTES_MAX];
    struct log_record record[LOG_MAX];
    unsigned records;
};

/* store_yield() has no parameter to reach the explorer by. */
static struct explorer *running;

static void fail(const struct explorer *x, const char *what, int line)
{
    fprintf(stderr,
            "explore_append: line %d: %s\n  scenario \"%s\", WILD_SEED=%" PRIu64 ", run %" PRIu64
            ", choices:",
            line, what, x->scenario->name, x->seed, x->runs);
    for (unsigned i = 0; i < x->choices; i++)
        fprintf(stderr, " %u/%u", x->choice[i].taken, x->choice[i].of);
    fprintf(stderr, "\n");
    for (unsigned w = 0; w < x->workers; w++)
        for (unsigned i = 0; i < x->worker[w].steps; i++)
            fprintf(stderr, "  worker %u: %c%c -> %s, version %" PRIu64 "\n", w, x->worker[w].step[i].what,
                    x->worker[w].step[i].key ? x->worker[w].step[i].key : ' ',
                    status_name(x->worker[w].step[i].status), x->worker[w].step[i].version - x->first_lsn);
    exit(1);
}

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            fail(x, #condition, __LINE__);                                                                   \
    } while (0)

static unsigned random_below(struct explorer *x, unsigned bound)
{
    uint64_t z = x->random += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (unsigned)(((z ^ z >> 31) >> 32) * bound >> 32);
}

/* ---- the log ---- */

static void drain(struct explorer *x)
{
    size_t length;
    const uint8_t *encoded;
    while ((encoded = log_merge_peek(&x->merge, &length)) != NULL) {
        EXPECT(x->records < LOG_MAX);
        memcpy(x->log[x->records], encoded, length);
        struct log_record *record = &x->record[x->records];
        EXPECT(log_record_decode(record, x->log[x->records], length) == (int)length);
        EXPECT(record->lsn == x->first_lsn + x->records);
        x->records++;
        log_merge_pop(&x->merge);
        EXPECT(apply_record(x->apply, record) == 0);
    }
}

/* Every LSN handed out is in the log, but for those that a worker still owes. */
static void check_live(struct explorer *x)
{
    for (unsigned i = 0; i < x->workers; i++)
        if (x->worker[i].owes_lsn)
            return;
    struct table_counts counts;
    table_counts(x->table, &counts);
    EXPECT(x->merge.next_lsn == counts.lsn + 1);
}

/* ---- scheduling ---- */

/* One of `of` ways to go on. Way 0 is what happens without interference. */
static unsigned choose(struct explorer *x, unsigned of)
{
    if (of < 2)
        return 0;
    EXPECT(x->choices < CHOICES_MAX);
    struct choice *choice = &x->choice[x->choices++];
    if (x->random_mode)
        choice->taken = random_below(x, 3) ? 0 : random_below(x, of);
    else if (x->choices > x->prefix)
        choice->taken = 0;
    choice->of = of;
    return choice->taken;
}

static unsigned others(const struct explorer *x, unsigned out[WORKERS])
{
    unsigned count = 0;
    for (unsigned i = 1; i < x->workers; i++) {
        unsigned other = (x->current + i) % x->workers;
        if (!x->worker[other].done)
            out[count++] = other;
    }
    return count;
}

static void switch_to(struct explorer *x, unsigned next)
{
    struct coroutine *from = &x->worker[x->current];
    x->current = next;
    swapcontext(&from->machine, &x->worker[next].machine);
}

void store_yield(enum yield_point point)
{
    struct explorer *x = running;
    if (!x->exploring)
        return;
    struct coroutine *self = &x->worker[x->current];
    unsigned other[WORKERS], count = others(x, other);

    if (point == YIELD_FLUSH)
        self->flush_points++;
    self->owes_lsn = point == YIELD_LSN_TAKEN || point == YIELD_ITEM_WRITTEN ||
                     (point == YIELD_FLUSH && self->flush_points % 2 == 0);
    if (!x->scenario->drain_late) {
        drain(x);
        check_live(x);
    }
    if (count == 0)
        return;
    if (point == YIELD_LOCK_SPIN) {
        switch_to(x, other[0]); /* waiting is no choice */
        return;
    }
    if (x->preemptions_left == 0)
        return;
    unsigned way = choose(x, 1 + count);
    if (way == 0)
        return;
    if (!x->random_mode)
        x->preemptions_left--;
    switch_to(x, other[way - 1]);
}

/* ---- the workers ---- */

static void perform(struct explorer *x, unsigned worker, struct step *step)
{
    uint8_t value[300], operand[INCR_OPERAND_BYTES], key = (uint8_t)step->key;
    struct operation operation = {.key = &key, .key_length = 1, .value = value};
    struct result result = {.value = step->value, .room = sizeof step->value};
    memset(value, step->key, sizeof value);
    value[0] = (uint8_t)('0' + worker);
    operation.value_length = 8;
    switch (step->what) {
    case 'L':
        operation.value_length = sizeof value;
        operation.opcode = OPCODE_SET;
        break;
    case 'A':
        operation.flags = FLAG_IF_ABSENT;
        operation.opcode = OPCODE_SET;
        break;
    case 'P':
        operation.flags = FLAG_IF_PRESENT;
        operation.opcode = OPCODE_SET;
        break;
    case 'S':
        operation.opcode = OPCODE_SET;
        break;
    case 'D':
        operation.opcode = OPCODE_DELETE;
        operation.value_length = 0;
        break;
    case 'T':
        operation.opcode = OPCODE_TOUCH;
        operation.value_length = 0;
        break;
    case 'G':
        operation.opcode = OPCODE_GET;
        operation.value_length = 0;
        break;
    case 'F':
        operation = (struct operation){.opcode = OPCODE_FLUSH};
        break;
    case 'I':
        incr_operand_encode(operand, 1 + worker, 10);
        operation.opcode = OPCODE_INCR;
        operation.value = operand;
        operation.value_length = sizeof operand;
        break;
    default: /* 'W' */
        (void)execute_sweep(x->context[worker], 4, 1000);
        step->status = STATUS_OK;
        return;
    }
    step->status = execute(x->context[worker], &operation, table_hash(x->table, &key, 1), 1000, &result);
    step->version = result.version;
    step->value_length = result.value_length;
    if (step->what == 'I' && step->status == STATUS_OK)
        EXPECT(incr_result_decode(step->value, result.value_length, &step->integer));
    x->busy += step->status == STATUS_BUSY;
}

static void parse(struct coroutine *worker, const char *script)
{
    worker->steps = 0;
    for (const char *at = script; *at; at++) {
        if (*at == ' ')
            continue;
        struct step *step = &worker->step[worker->steps++];
        step->what = *at;
        step->key = 0;
        step->version = 0;
        if (at[1] && at[1] != ' ')
            step->key = *++at;
    }
}

static void worker_main(void)
{
    struct explorer *x = running;
    struct coroutine *self = &x->worker[x->current];
    for (unsigned i = 0; i < self->steps; i++) {
        perform(x, self->number, &self->step[i]);
        store_yield(YIELD_PUBLISHED); /* nothing is owed, nothing is locked */
    }
    self->done = true;
    unsigned other[WORKERS], count = others(x, other);
    if (count == 0) {
        setcontext(&x->scheduler);
    } else {
        unsigned next = other[choose(x, count)];
        x->current = next;
        setcontext(&x->worker[next].machine);
    }
}

/* ---- one run ---- */

static void fill_table(struct explorer *x)
{
    const struct scenario *scenario = x->scenario;
    struct result result = {0};
    for (unsigned i = 0; i < scenario->fillers; i++) {
        uint8_t key[2] = {'~', (uint8_t)i};
        struct operation set = {.opcode = OPCODE_SET, .key = key, .key_length = 2};
        EXPECT(execute(x->context[0], &set, table_hash(x->table, key, 2), 1000, &result) == STATUS_OK);
    }
    if (scenario->ring_room == 0) {
        drain(x);
        return;
    }
    /* Worker 0 writes until its ring has exactly this little room left; none of it is read before the run. */
    uint8_t key = '+', value[40] = {0};
    for (uint64_t left = RING_BYTES - log_ring_used_bytes(x->ring[0]) - scenario->ring_room; left;) {
        size_t bytes = left >= 128 || left == 64 ? 64 : left > 64 ? 32 : left;
        struct operation set = {.opcode = OPCODE_SET,
                                .key = &key,
                                .key_length = 1,
                                .value = value,
                                .value_length = (uint16_t)(bytes - LOG_RECORD_HEADER_BYTES - 1)};
        EXPECT(execute(x->context[0], &set, table_hash(x->table, &key, 1), 1000, &result) == STATUS_OK);
        left -= bytes;
    }
    EXPECT(RING_BYTES - log_ring_used_bytes(x->ring[0]) == scenario->ring_room);
}

static void open_run(struct explorer *x)
{
    struct table_config config = {.capacity = CAPACITY,
                                  .first_lsn = x->first_lsn,
                                  .workers = WORKERS,
                                  .evict = x->scenario->evict,
                                  .numa_node = -1,
                                  .force_equal_hashes = true};
    x->exploring = false;
    x->records = x->choices = 0;
    x->preemptions_left = x->random_mode ? 1 : x->scenario->preemptions;
    EXPECT(table_create(&x->table, &config, NULL) == 0);
    EXPECT(table_create(&x->replica, &config, NULL) == 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        x->ring[i] = log_ring_create(RING_BYTES, -1);
        EXPECT(x->ring[i] != NULL);
        x->context[i] = execute_context_create(x->table, i, x->ring[i]);
        EXPECT(x->context[i] != NULL);
    }
    x->apply = execute_context_create(x->replica, 0, NULL);
    EXPECT(x->apply != NULL);
    log_merge_init(&x->merge, x->ring, WORKERS, x->first_lsn);
    parse(&x->worker[0], x->scenario->before);
    for (unsigned i = 0; i < x->worker[0].steps; i++)
        perform(x, 0, &x->worker[0].step[i]);
    fill_table(x);
}

static void close_run(struct explorer *x)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        execute_context_destroy(x->context[i]);
        log_ring_destroy(x->ring[i]);
    }
    execute_context_destroy(x->apply);
    table_destroy(x->table);
    table_destroy(x->replica);
}

static const struct step *step_with_version(const struct explorer *x, uint64_t lsn)
{
    for (unsigned w = 0; w < x->workers; w++)
        for (unsigned i = 0; i < x->worker[w].steps; i++) {
            const struct step *step = &x->worker[w].step[i];
            bool writes = step->what != 'G' && step->what != 'W';
            if (writes && step->status == STATUS_OK && step->version == lsn)
                return step;
        }
    return NULL;
}

/* Whether this operation, at this place in the log, did what the record says; `before`: the item's last state. */
static void check_step(struct explorer *x, const struct step *step, const struct log_record *record,
                       const struct log_record *before)
{
    bool there = before != NULL;
    if (step == NULL) { /* from the set-up, or nobody's: evictions and NOPs */
        EXPECT(record->type != LOG_DELETE || record->reason == LOG_REASON_REQUEST || there);
        return;
    }
    EXPECT((record->type == LOG_FLUSH) == (step->what == 'F'));
    if (step->what == 'F')
        return;
    EXPECT(record->key_length == 1 && record->key[0] == (uint8_t)step->key);
    EXPECT((record->type == LOG_DELETE) == (step->what == 'D'));
    if (step->what == 'A')
        EXPECT(!there);
    if (step->what == 'P' || step->what == 'D' || step->what == 'T')
        EXPECT(there);
    if (step->what == 'T')
        EXPECT(record->value_length == before->value_length &&
               memcmp(record->value, before->value, before->value_length) == 0);
    if (step->what == 'I') {
        char text[32];
        long long was = 10;
        unsigned worker = (unsigned)((const char *)step - (const char *)x->worker) / sizeof x->worker[0];
        if (there) {
            memcpy(text, before->value, before->value_length);
            text[before->value_length] = 0;
            was = atoll(text);
        }
        EXPECT(step->integer == was + 1 + (long long)worker);
        EXPECT(record->value_length == sprintf(text, "%lld", (long long)step->integer));
        EXPECT(memcmp(record->value, text, record->value_length) == 0);
    }
}

/* The state of a key just before record `end`. */
static const struct log_record *state_before(const struct explorer *x, unsigned end, const uint8_t *key,
                                             unsigned length)
{
    for (unsigned i = end; i-- > 0;) {
        const struct log_record *r = &x->record[i];
        if (r->type == LOG_FLUSH)
            return NULL;
        if (r->key_length == length && memcmp(r->key, key, length) == 0)
            return r->type == LOG_SET ? r : NULL;
    }
    return NULL;
}

/* Lines of everything but this key, as the first `end` records leave it. */
static unsigned lines_before(const struct explorer *x, unsigned end, uint8_t key)
{
    unsigned lines = 0;
    for (unsigned i = 0; i < end; i++) {
        const struct log_record *r = &x->record[i];
        if (r->type == LOG_SET && (r->key_length > 1 || r->key[0] != key) &&
            state_before(x, end, r->key, r->key_length) == r)
            lines += item_lines((size_t)r->key_length + r->value_length);
    }
    return lines;
}

/* FULL is right if at some place in the log there was no room. A write that a FLUSH made begin anew (NOP) had
 * claimed room that the log does not show: then nothing is said. */
static void check_full(struct explorer *x, const struct step *step)
{
    for (unsigned i = 0; i < x->records; i++)
        if (x->record[i].type == LOG_NOP)
            return;
    size_t length = step->what == 'L' ? 300 : step->what == 'I' ? 2 : 8;
    unsigned end = 0;
    while (end <= x->records && lines_before(x, end, (uint8_t)step->key) + item_lines(1 + length) <= CAPACITY)
        end++;
    EXPECT(end <= x->records);
    EXPECT(x->scenario->evict == EVICT_NONE);
}

static void check_order(struct explorer *x)
{
    for (unsigned i = 0; i < x->records; i++) {
        const struct log_record *r = &x->record[i];
        if (r->type == LOG_NOP)
            EXPECT(step_with_version(x, r->lsn) == NULL);
        else
            check_step(x, step_with_version(x, r->lsn), r, state_before(x, i, r->key, r->key_length));
    }
    for (unsigned w = 0; w < x->workers; w++)
        for (unsigned i = 0; i < x->worker[w].steps; i++) {
            const struct step *step = &x->worker[w].step[i];
            if (step->status == STATUS_FULL)
                check_full(x, step);
            if (step->what != 'G' || step->status != STATUS_OK)
                continue;
            EXPECT(step->version >= x->first_lsn && step->version - x->first_lsn < x->records);
            const struct log_record *r = &x->record[step->version - x->first_lsn];
            EXPECT(r->type == LOG_SET && r->key_length == 1 && r->key[0] == (uint8_t)step->key);
            EXPECT(r->value_length == step->value_length &&
                   memcmp(r->value, step->value, r->value_length) == 0);
        }
}

static void check_key(struct explorer *x, const uint8_t *key, unsigned length)
{
    uint8_t value[2][VALUE_BYTES_MAX];
    struct result result[2];
    enum status status[2];
    struct operation get = {.opcode = OPCODE_GET, .key = key, .key_length = (uint8_t)length};
    for (unsigned i = 0; i < 2; i++) {
        result[i] = (struct result){.value = value[i], .room = sizeof value[i]};
        status[i] = execute(i ? x->apply : x->context[0], &get,
                            table_hash(i ? x->replica : x->table, key, length), 0, &result[i]);
    }
    const struct log_record *state = state_before(x, x->records, key, length);
    EXPECT(status[0] == status[1] && status[0] == (state ? STATUS_OK : STATUS_NOT_FOUND));
    EXPECT(state == NULL || (result[0].version == state->lsn && result[1].version == state->lsn));
    EXPECT(result[0].value_length == result[1].value_length);
    EXPECT(memcmp(value[0], value[1], result[0].value_length) == 0);
}

static void check_end(struct explorer *x)
{
    x->exploring = false;
    drain(x);
    check_live(x);
    check_order(x);
    for (uint8_t key = 'a'; key < 'a' + KEYS; key++)
        check_key(x, &key, 1);
    for (unsigned i = 0; i < x->scenario->fillers; i++)
        check_key(x, (uint8_t[]){'~', (uint8_t)i}, 2);
    struct table_counts counts;
    table_counts(x->table, &counts);
    EXPECT(counts.lines_used <= counts.capacity);
    /* All hidden items reclaimed, every line in use belongs to an item: nothing leaked. */
    for (unsigned i = 0; i < 64; i++)
        (void)execute_sweep(x->context[0], 16, 1000);
    struct table_counts replica;
    for (unsigned i = 0; i < 64; i++)
        (void)execute_sweep(x->apply, 16, 1000);
    table_counts(x->table, &counts);
    table_counts(x->replica, &replica);
    EXPECT(counts.lines_used == replica.lines_used && counts.items == replica.items);
    EXPECT(counts.overflow_buckets == replica.overflow_buckets);
    EXPECT(counts.flush_lsn == replica.flush_lsn);
}

static void run_once(struct explorer *x)
{
    open_run(x);
    for (unsigned i = 0; i < x->workers; i++) {
        struct coroutine *worker = &x->worker[i];
        parse(worker, x->scenario->script[i]);
        worker->number = i;
        worker->done = worker->owes_lsn = false;
        worker->flush_points = 0;
        getcontext(&worker->machine);
        worker->machine.uc_stack.ss_sp = worker->stack;
        worker->machine.uc_stack.ss_size = STACK_BYTES;
        worker->machine.uc_link = NULL;
        makecontext(&worker->machine, worker_main, 0);
    }
    x->exploring = true;
    x->current = choose(x, x->workers);
    volatile bool started = false;
    getcontext(&x->scheduler); /* the last worker comes back here */
    if (!started) {
        started = true;
        setcontext(&x->worker[x->current].machine);
    }
    check_end(x);
    close_run(x);
    x->runs++;
}

/* The next combination of choices; false when all have been taken. */
static bool next_choices(struct explorer *x)
{
    for (unsigned i = x->choices; i-- > 0;) {
        if (x->choice[i].taken + 1 < x->choice[i].of) {
            x->choice[i].taken++;
            x->prefix = i + 1;
            return true;
        }
    }
    return false;
}

static void explore(struct explorer *x, const struct scenario *scenario)
{
    x->scenario = scenario;
    x->random_mode = false;
    x->prefix = 0;
    x->runs = x->busy = 0;
    x->workers = scenario->script[2] ? 3 : 2;
    do
        run_once(x);
    while (next_choices(x));
    printf("  %-40s %8" PRIu64 " interleavings, %" PRIu64 " BUSY\n", scenario->name, x->runs, x->busy);
    fflush(stdout);
}

static void explore_random(struct explorer *x, uint64_t runs)
{
    static const char operations[] = "SLAPDITGFW";
    char script[WORKERS][STEPS_MAX * 3 + 1];
    struct scenario scenario = {.name = "random", .before = "Sa Ib"};
    x->scenario = &scenario;
    x->random_mode = true;
    x->runs = x->busy = 0;
    while (x->runs < runs) {
        x->workers = 2 + random_below(x, 2);
        for (unsigned w = 0; w < WORKERS; w++) {
            char *at = script[w];
            for (unsigned i = 0, steps = 1 + random_below(x, STEPS_MAX); i < steps; i++) {
                char what = operations[random_below(x, sizeof operations - 1)];
                *at++ = what;
                if (what != 'F' && what != 'W')
                    *at++ = (char)('a' + random_below(x, KEYS));
                *at++ = ' ';
            }
            *at = 0;
            scenario.script[w] = script[w];
        }
        scenario.fillers = random_below(x, 3) ? random_below(x, 20) : 50 + random_below(x, 12);
        scenario.evict = random_below(x, 2) ? EVICT_CLOCK : EVICT_NONE;
        scenario.drain_late = random_below(x, 2);
        scenario.ring_room = random_below(x, 3) ? 0 : 8 * (4 + random_below(x, 100));
        run_once(x);
    }
    printf("  %-40s %8" PRIu64 " interleavings, %" PRIu64 " BUSY\n", "random scripts", x->runs, x->busy);
}

int main(int argc, char **argv)
{
    uint64_t random_runs = 5000;
    static const struct option options[] = {{"random", required_argument, NULL, 'r'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "r:", options, NULL)) != -1;) {
        if (c != 'r')
            return 2;
        random_runs = strtoull(optarg, NULL, 10);
    }
    struct explorer *x = calloc(1, sizeof *x);
    if (x == NULL)
        return 1;
    running = x;
    x->first_lsn = (uint64_t)1 << 32;
    const char *seed = getenv("WILD_SEED");
    x->seed = x->random = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    printf("explore_append: WILD_SEED=%" PRIu64 "\n", x->seed);
    for (unsigned i = 0; i < WORKERS; i++)
        x->worker[i].stack = malloc(STACK_BYTES);
    for (unsigned i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        explore(x, &scenarios[i]);
    explore_random(x, random_runs);
    for (unsigned i = 0; i < WORKERS; i++)
        free(x->worker[i].stack);
    free(x);
    return 0;
}
