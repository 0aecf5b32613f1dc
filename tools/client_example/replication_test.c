/*
 * replication_test.c - writes through the primary and holds every replica to them: nothing missing, nothing
 * wrong, in order, and how long it took.
 */
#include "replication_test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "commands.h"
#include "load_values.h"

struct outcome {
    uint64_t writes, missing, wrong;
    enum wild_status error; /* of a write: it ended the test */
    struct histogram lag;
};

/* False: it was not acknowledged. */
static bool write_one(struct replication *test, struct wild_router *router, uint64_t number,
                      struct outcome *outcome)
{
    char key[REPLICATION_KEY_BYTES];
    uint8_t value[WILD_VALUE_MAX];
    struct wild_result result;
    size_t length = replication_key(key, test->run, number);
    load_value_fill(value, test->value_size, number % REPLICATION_KEYS, (uint32_t)number, test->run);
    outcome->error = wild_router_set(router, key, length, value, test->value_size, NULL, &result);
    if (outcome->error != WILD_OK)
        return false;
    test->burst[test->burst_count++] = (struct replication_write){
        .number = number, .version = result.version, .acknowledged_ns = replication_now_ns()};
    outcome->writes++;
    return true;
}

/* Lets every replica be read for the burst that was written. */
static void await_readers(struct replication *test)
{
    pthread_mutex_lock(&test->lock);
    test->ready = 0;
    test->bursts++;
    pthread_cond_broadcast(&test->changed);
    while (test->ready < test->readers)
        pthread_cond_wait(&test->changed, &test->lock);
    pthread_mutex_unlock(&test->lock);
}

static void write_all(struct replication *test, struct wild_router *router, uint64_t writes,
                      struct outcome *outcome)
{
    uint64_t random = test->run, number = 1;
    while (number <= writes && outcome->error == WILD_OK) {
        uint64_t burst = 1 + load_random(&random) % REPLICATION_BURST_MAX;
        test->burst_count = 0;
        for (; burst > 0 && number <= writes && write_one(test, router, number, outcome); burst--)
            number++;
        if (test->burst_count > 0)
            await_readers(test);
    }
}

static void remove_all(const struct replication *test, struct wild_router *router, uint64_t writes)
{
    for (uint64_t number = 1; number <= writes && number <= REPLICATION_KEYS; number++) {
        char key[REPLICATION_KEY_BYTES];
        wild_router_delete(router, key, replication_key(key, test->run, number), NULL, NULL);
    }
}

/* ---- readers ---- */

static bool readers_connect(struct replication_reader *readers, const struct options *options)
{
    char error[WILD_ERROR_BYTES];
    for (unsigned i = 0; i < options->replicas; i++) {
        readers[i].endpoint = options->replica[i].endpoint;
        readers[i].client = nodes_connect(options, readers[i].endpoint, error);
        if (readers[i].client != NULL)
            continue;
        fprintf(stderr, "wild-client-example: replication-test: %s\n", error);
        return false;
    }
    return true;
}

static void readers_start(struct replication *test, struct replication_reader *readers)
{
    for (unsigned i = 0; i < test->readers; i++) {
        readers[i].test = test;
        if (pthread_create(&readers[i].thread, NULL, replication_read, &readers[i]) != 0) {
            fprintf(stderr, "wild-client-example: cannot start %u threads\n", test->readers);
            exit(EXIT_FAILED); /* the threads that run have no owner to come back to */
        }
    }
}

static void readers_stop(struct replication *test, struct replication_reader *readers)
{
    pthread_mutex_lock(&test->lock);
    test->stop = true;
    pthread_cond_broadcast(&test->changed);
    pthread_mutex_unlock(&test->lock);
    for (unsigned i = 0; i < test->readers; i++)
        pthread_join(readers[i].thread, NULL);
}

/* ---- figures ---- */

static uint64_t lag_us(const struct histogram *lag, unsigned per_mille)
{
    return (histogram_quantile(lag, per_mille) + 500) / 1000;
}

static json_t *reader_json(const struct replication_reader *reader)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "endpoint", reader->endpoint, "seen",
                     (json_int_t)reader->seen, "missing", (json_int_t)reader->missing, "wrong",
                     (json_int_t)reader->wrong, "lag_p50_us", (json_int_t)lag_us(&reader->lag, 500),
                     "lag_p99_us", (json_int_t)lag_us(&reader->lag, 990), "lag_max_us",
                     (json_int_t)((reader->lag.max_ns + 500) / 1000));
}

static void print_outcome(const struct outcome *outcome, const struct replication_reader *readers, unsigned n,
                          bool json)
{
    if (json) {
        json_t *list = json_array();
        for (unsigned i = 0; i < n; i++)
            json_array_append_new(list, reader_json(&readers[i]));
        print_json(json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "writes", (json_int_t)outcome->writes,
                             "missing", (json_int_t)outcome->missing, "wrong", (json_int_t)outcome->wrong,
                             "lag_p50_us", (json_int_t)lag_us(&outcome->lag, 500), "lag_p99_us",
                             (json_int_t)lag_us(&outcome->lag, 990), "replicas", list));
        return;
    }
    printf("%-28s %9s %9s %9s %10s %10s %10s\n", "REPLICA", "SEEN", "MISSING", "WRONG", "P50_US", "P99_US",
           "MAX_US");
    for (unsigned i = 0; i < n; i++)
        printf("%-28s %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n",
               readers[i].endpoint, readers[i].seen, readers[i].missing, readers[i].wrong,
               lag_us(&readers[i].lag, 500), lag_us(&readers[i].lag, 990),
               (readers[i].lag.max_ns + 500) / 1000);
    printf("replication-test: %" PRIu64 " writes, %u replicas, %" PRIu64 " missing, %" PRIu64
           " wrong, lag p50 %" PRIu64 " us, p99 %" PRIu64 " us\n",
           outcome->writes, n, outcome->missing, outcome->wrong, lag_us(&outcome->lag, 500),
           lag_us(&outcome->lag, 990));
}

static int test_with(struct replication *test, struct replication_reader *readers, struct wild_router *router,
                     const struct options *options)
{
    struct outcome outcome = {.error = WILD_OK};
    readers_start(test, readers);
    write_all(test, router, options->replication.writes, &outcome);
    readers_stop(test, readers);
    remove_all(test, router, outcome.writes);
    for (unsigned i = 0; i < test->readers; i++) {
        outcome.missing += readers[i].missing;
        outcome.wrong += readers[i].wrong;
        histogram_add(&outcome.lag, &readers[i].lag);
    }
    if (outcome.error != WILD_OK)
        fprintf(stderr, "wild-client-example: replication-test: write %" PRIu64 ": %s\n", outcome.writes + 1,
                wild_status_text(outcome.error));
    print_outcome(&outcome, readers, test->readers, options->json);
    return outcome.error == WILD_OK && outcome.missing == 0 && outcome.wrong == 0 ? EXIT_DONE : EXIT_FAILED;
}

int replication_test_run(struct wild_router *router, const struct options *options)
{
    struct replication test = {
        .readers = options->replicas,
        .run = (uint32_t)replication_now_ns(),
        .value_size = options->replication.value_size,
        .wait_ns = options->replication.wait_ms * UINT64_C(1000000),
    };
    (void)!getrandom(&test.run, sizeof(test.run), GRND_NONBLOCK);
    pthread_mutex_init(&test.lock, NULL);
    pthread_cond_init(&test.changed, NULL);
    struct replication_reader *readers = calloc(test.readers, sizeof(*readers));
    int outcome = EXIT_FAILED;
    if (readers == NULL)
        fprintf(stderr, "wild-client-example: no memory for %u replicas\n", test.readers);
    else if (readers_connect(readers, options))
        outcome = test_with(&test, readers, router, options);
    for (unsigned i = 0; readers != NULL && i < test.readers; i++)
        wild_close(readers[i].client);
    free(readers);
    pthread_cond_destroy(&test.changed);
    pthread_mutex_destroy(&test.lock);
    return outcome;
}
