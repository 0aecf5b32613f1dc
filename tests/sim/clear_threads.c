/*
 * clear_threads.c - a table is filled, cleared and filled again, while readers run. Made for ThreadSanitizer,
 * and useful without it.
 *
 *   clear_threads [--lives N]     WILD_SEED=S
 *
 * Every value says which life of the table it is of. What a reader is told is whole at any time, and never of
 * a life that was over when it asked.
 */
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "apply.h"
#include "table_load.h"

enum { READERS = 2, CAPACITY = 1500, KEYS = 500, LIVES = 60, SETS = 1200, LIFE_BITS = 16 };
#define FIRST_LSN ((uint64_t)1 << 32)

struct shared {
    struct table *table;
    _Atomic uint64_t life; /* of what is in the table; all before it were cleared. Writer: main */
    _Atomic bool over;
};

struct reader {
    struct shared *shared;
    struct execute_context *context;
    uint64_t random, found, absent;
    pthread_t thread;
};

static void read_one(struct reader *reader)
{
    struct shared *shared = reader->shared;
    uint8_t key[KEY_BYTES_MAX], out[VALUE_BYTES_MAX];
    unsigned number = (unsigned)(next_random(&reader->random) >> 8) % KEYS;
    struct operation get = {.opcode = OPCODE_GET, .key = key};
    struct result result = {.value = out, .room = sizeof out};
    uint64_t life = atomic_load(&shared->life), nonce;

    get.key_length = (uint8_t)make_key(number, key);
    enum status status =
        execute(reader->context, &get, table_hash(shared->table, key, get.key_length), 0, &result);
    EXPECT(status == STATUS_OK || status == STATUS_NOT_FOUND || status == STATUS_BUSY);
    reader->absent += status == STATUS_NOT_FOUND;
    if (status != STATUS_OK)
        return;
    reader->found++;
    EXPECT(value_is_whole(number, out, result.value_length));
    memcpy(&nonce, out, sizeof nonce);
    EXPECT((nonce & ((1u << LIFE_BITS) - 1)) >= life);
}

static void *reader_main(void *argument)
{
    struct reader *reader = argument;
    while (!atomic_load(&reader->shared->over))
        read_one(reader);
    return NULL;
}

static void fill(struct shared *shared, struct execute_context *context, uint64_t *random, uint64_t lsn)
{
    for (unsigned i = 0; i < SETS; i++) {
        uint8_t key[KEY_BYTES_MAX], value[VALUE_BYTES_MAX];
        uint64_t draw = next_random(random);
        unsigned number = (unsigned)(draw >> 8) % KEYS;
        unsigned length =
            VALUE_MIN + (unsigned)(draw >> 20) % (draw % 16 == 0 ? VALUE_BYTES_MAX - VALUE_MIN : 60);
        struct log_record record = {.lsn = lsn + i, .type = LOG_SET, .key = key, .value = value};
        if (draw % 400 == 1) {
            record = (struct log_record){.lsn = lsn + i, .type = LOG_FLUSH};
        } else {
            record.key_length = (uint8_t)make_key(number, key);
            record.value_length = (uint16_t)length;
            make_value(number, (draw & ~(uint64_t)0xffff) | atomic_load(&shared->life), value, length);
        }
        /* Keys of 200 and values of 1,000 bytes may be more than fits. */
        (void)apply_record(context, &record);
    }
}

static void run(uint64_t seed, unsigned lives, bool equal_hashes)
{
    struct shared shared = {0};
    struct table_config config = {.capacity = CAPACITY,
                                  .first_lsn = FIRST_LSN,
                                  .workers = READERS + 1,
                                  .evict = EVICT_CLOCK,
                                  .numa_node = -1,
                                  .force_equal_hashes = equal_hashes};
    struct reader reader[READERS];
    struct table_counts counts;

    EXPECT(table_create(&shared.table, &config, NULL) == 0);
    struct execute_context *context = execute_context_create(shared.table, READERS, NULL);
    EXPECT(context != NULL);
    for (unsigned i = 0; i < READERS; i++) {
        reader[i] = (struct reader){.shared = &shared, .random = seed * 100 + i};
        reader[i].context = execute_context_create(shared.table, i, NULL);
        EXPECT(reader[i].context != NULL);
        EXPECT(pthread_create(&reader[i].thread, NULL, reader_main, &reader[i]) == 0);
    }
    for (unsigned life = 0; life < lives; life++) {
        fill(&shared, context, &seed, FIRST_LSN + (uint64_t)(lives - life) * 100000);
        while (!apply_clear(context, 1 + (unsigned)(next_random(&seed) % 50)))
            ;
        atomic_store(&shared.life, life + 1);
        table_counts(shared.table, &counts);
        EXPECT(counts.items == 0 && counts.lines_used == 0 && counts.overflow_buckets == 0);
    }
    atomic_store(&shared.over, true);
    for (unsigned i = 0; i < READERS; i++) {
        EXPECT(pthread_join(reader[i].thread, NULL) == 0);
        printf("  %s reader %u: %" PRIu64 " found, %" PRIu64 " not\n",
               equal_hashes ? "one chain," : "many chains,", i, reader[i].found, reader[i].absent);
        EXPECT(reader[i].found > 0 && reader[i].absent > 0);
        execute_context_destroy(reader[i].context);
    }
    execute_context_destroy(context);
    table_destroy(shared.table);
}

int main(int argc, char **argv)
{
    unsigned lives = LIVES;
    static const struct option options[] = {{"lives", required_argument, NULL, 'n'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "n:", options, NULL)) != -1;) {
        if (c != 'n')
            return 2;
        lives = (unsigned)strtoul(optarg, NULL, 10);
    }
    EXPECT(lives < 1u << LIFE_BITS);
    const char *text = getenv("WILD_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    printf("clear_threads: WILD_SEED=%" PRIu64 "\n", seed);
    run(seed, lives, false);
    run(seed, lives, true);
    return 0;
}
