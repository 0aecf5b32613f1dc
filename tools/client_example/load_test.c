/*
 * load_test.c - a closed-loop load that verifies what it reads.
 *
 * Each connection is a session and a thread with keys of its own, so each knows what every one of its keys
 * holds. A key with an operation in flight is not chosen again (answers are unordered), so there is always
 * exactly one right value. Only a write whose outcome is unknown leaves two: the old one and the new one,
 * until the next acknowledged write.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <jansson.h>

#include "commands.h"
#include "histogram.h"
#include "load_values.h"

#define SECOND_NS UINT64_C(1000000000)

/* What one connection knows of one of its keys. */
struct load_key {
    uint32_t stored, attempted; /* versions; they differ while the last write's outcome is unknown */
    bool in_flight;
};

/* One operation under way; the request's tag is its index. */
struct load_operation {
    uint64_t begin_ns;
    uint32_t key; /* index among the connection's keys */
    bool get, used;
};

struct load_connection {
    pthread_t thread;
    struct wild_client *client; /* used by this thread alone */
    const struct load_options *options;
    unsigned number;
    uint32_t run;
    uint64_t timeout_ns, random;
    const _Atomic bool *stop; /* writer: the main thread */

    /* writer: this thread; reader: the main thread's progress line */
    _Atomic uint64_t operations, errors, mismatches;

    struct load_key *keys;
    uint32_t key_count, next_key;
    unsigned in_flight;
    struct load_operation operation[WILD_PIPELINE_MAX];
    struct histogram histogram;
    enum wild_status first_error;
    bool preloaded;
};

struct load_totals {
    uint64_t operations, errors, mismatches, elapsed_ns;
    struct histogram histogram;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static void count(_Atomic uint64_t *counter)
{
    /* one writer: no locked instruction */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static uint64_t key_number(const struct load_connection *connection, uint32_t key)
{
    return (uint64_t)key * connection->options->connections + connection->number;
}

/* ---- one operation ---- */

static bool submit(struct load_connection *connection, unsigned tag)
{
    struct load_operation *operation = &connection->operation[tag];
    struct load_key *key = &connection->keys[operation->key];
    uint64_t number = key_number(connection, operation->key);
    char name[LOAD_KEY_BYTES];
    uint8_t value[WILD_VALUE_MAX];
    load_key_fill(name, number);
    struct wild_request request = {.operation = operation->get ? WILD_OP_GET : WILD_OP_SET,
                                   .key = name,
                                   .key_length = sizeof(name),
                                   .tag = tag};
    if (!operation->get) {
        request.value = value;
        request.value_length = connection->options->value_size;
        load_value_fill(value, request.value_length, number, key->attempted, connection->run);
    }
    return wild_submit(connection->client, &request) == WILD_OK;
}

static bool begin(struct load_connection *connection, uint32_t key, bool get)
{
    unsigned tag = 0;
    while (connection->operation[tag].used)
        tag++;
    connection->operation[tag] =
        (struct load_operation){.begin_ns = now_ns(), .key = key, .get = get, .used = true};
    uint32_t attempted = connection->keys[key].attempted;
    if (!get)
        connection->keys[key].attempted = attempted + 1;
    if (!submit(connection, tag)) {
        connection->operation[tag].used = false;
        connection->keys[key].attempted = attempted;
        return false;
    }
    connection->keys[key].in_flight = true;
    connection->in_flight++;
    return true;
}

static void verify(struct load_connection *connection, const struct load_operation *operation,
                   const struct wild_result *result)
{
    const struct load_key *key = &connection->keys[operation->key];
    uint64_t number = key_number(connection, operation->key);
    size_t size = connection->options->value_size;
    if (result->status == WILD_OK &&
        (load_value_is(result->value, result->value_length, size, number, key->stored, connection->run) ||
         load_value_is(result->value, result->value_length, size, number, key->attempted, connection->run)))
        return;
    count(&connection->mismatches);
}

static void finish(struct load_connection *connection, const struct wild_result *result, bool measure)
{
    struct load_operation *operation = &connection->operation[result->tag];
    struct load_key *key = &connection->keys[operation->key];
    uint64_t now = now_ns();
    /* BUSY: not executed. Tried again within the time-out, and the wait counts. */
    if (result->status == WILD_BUSY && now - operation->begin_ns < connection->timeout_ns &&
        submit(connection, (unsigned)result->tag))
        return;

    bool read_missing = operation->get && result->status == WILD_NOT_FOUND;
    if (result->status != WILD_OK && !read_missing) {
        count(&connection->errors);
        if (connection->first_error == WILD_OK)
            connection->first_error = result->status;
    } else if (operation->get) {
        verify(connection, operation, result);
    } else {
        key->stored = key->attempted;
    }
    if (measure) {
        histogram_record(&connection->histogram, now - operation->begin_ns);
        count(&connection->operations);
    }
    key->in_flight = false;
    operation->used = false;
    connection->in_flight--;
}

static void collect(struct load_connection *connection, bool measure)
{
    struct wild_result results[WILD_PIPELINE_MAX];
    size_t finished = wild_poll(connection->client, results, WILD_PIPELINE_MAX, 100);
    for (size_t i = 0; i < finished; i++)
        if (results[i].status != WILD_BUSY)
            finish(connection, &results[i], measure);
    /* Last: to submit again invalidates the values of the results above. */
    for (size_t i = 0; i < finished; i++)
        if (results[i].status == WILD_BUSY)
            finish(connection, &results[i], measure);
}

/* ---- the phases of a connection ---- */

static void preload(struct load_connection *connection)
{
    unsigned depth = (unsigned)connection->options->pipeline;
    uint32_t next = 0;
    while (atomic_load_explicit(&connection->errors, memory_order_relaxed) == 0 &&
           (next < connection->key_count || connection->in_flight > 0)) {
        wild_batch_begin(connection->client);
        while (connection->in_flight < depth && next < connection->key_count &&
               begin(connection, next, false))
            next++;
        wild_batch_end(connection->client);
        collect(connection, false);
    }
    connection->preloaded = atomic_load_explicit(&connection->errors, memory_order_relaxed) == 0;
}

/* A random key of ours that is idle; there is one, as the pipeline is no deeper than our keys are many. */
static uint32_t choose_key(struct load_connection *connection)
{
    uint32_t key = (uint32_t)((load_random(&connection->random) >> 32) * connection->key_count >> 32);
    while (connection->keys[key].in_flight)
        key = key + 1 == connection->key_count ? 0 : key + 1;
    return key;
}

static void load(struct load_connection *connection)
{
    unsigned depth = (unsigned)connection->options->pipeline;
    if (depth > connection->key_count)
        depth = connection->key_count;
    while (!atomic_load_explicit(connection->stop, memory_order_relaxed)) {
        wild_batch_begin(connection->client);
        while (connection->in_flight < depth) {
            bool get = load_random(&connection->random) % 100 < connection->options->get_percent;
            if (!begin(connection, choose_key(connection), get))
                break;
        }
        wild_batch_end(connection->client);
        collect(connection, true);
    }
    while (connection->in_flight > 0)
        collect(connection, true);
}

static void *preload_thread(void *argument)
{
    preload(argument);
    return NULL;
}

static void *load_thread(void *argument)
{
    load(argument);
    return NULL;
}

/* ---- all connections ---- */

static void threads_start(struct load_connection *connections, unsigned n, void *(*run)(void *))
{
    for (unsigned i = 0; i < n; i++) {
        if (pthread_create(&connections[i].thread, NULL, run, &connections[i]) != 0) {
            fprintf(stderr, "wild-client-example: cannot start %u threads: use fewer --connections\n", n);
            exit(EXIT_FAILED); /* the threads that run have no owner to come back to */
        }
    }
}

static void threads_join(struct load_connection *connections, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        pthread_join(connections[i].thread, NULL);
}

static struct load_totals sum(const struct load_connection *connections, unsigned n)
{
    struct load_totals totals = {0};
    for (unsigned i = 0; i < n; i++) {
        totals.operations += atomic_load_explicit(&connections[i].operations, memory_order_relaxed);
        totals.errors += atomic_load_explicit(&connections[i].errors, memory_order_relaxed);
        totals.mismatches += atomic_load_explicit(&connections[i].mismatches, memory_order_relaxed);
    }
    return totals;
}

static uint64_t to_us(uint64_t ns)
{
    return (ns + 500) / 1000;
}

static void print_totals(const struct load_totals *totals, bool json)
{
    uint64_t rate = totals->operations * SECOND_NS / (totals->elapsed_ns > 0 ? totals->elapsed_ns : 1);
    uint64_t p50 = to_us(histogram_quantile(&totals->histogram, 500));
    uint64_t p99 = to_us(histogram_quantile(&totals->histogram, 990));
    uint64_t p999 = to_us(histogram_quantile(&totals->histogram, 999));
    uint64_t max = to_us(totals->histogram.max_ns);
    if (!json) {
        printf("load-test: %" PRIu64 " operations, %" PRIu64 " errors, %" PRIu64 " mismatches, %" PRIu64
               " ops/s, p50 %" PRIu64 " us, p99 %" PRIu64 " us, p99.9 %" PRIu64 " us, max %" PRIu64 " us\n",
               totals->operations, totals->errors, totals->mismatches, rate, p50, p99, p999, max);
        return;
    }
    json_t *object =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "operations", (json_int_t)totals->operations,
                  "errors", (json_int_t)totals->errors, "mismatches", (json_int_t)totals->mismatches,
                  "ops_per_second", (json_int_t)rate, "p50_us", (json_int_t)p50, "p99_us", (json_int_t)p99,
                  "p999_us", (json_int_t)p999, "max_us", (json_int_t)max);
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

static void sleep_until(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / SECOND_NS), .tv_nsec = (long)(ns % SECOND_NS)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
        ;
}

static uint64_t load_all(struct load_connection *connections, unsigned n, uint64_t seconds,
                         _Atomic bool *stop)
{
    uint64_t begin_ns = now_ns(), before = 0;
    threads_start(connections, n, load_thread);
    for (uint64_t second = 1; second <= seconds; second++) {
        sleep_until(begin_ns + second * SECOND_NS);
        struct load_totals totals = sum(connections, n);
        fprintf(stderr,
                "load-test: %" PRIu64 " s, %" PRIu64 " ops/s, %" PRIu64 " errors, %" PRIu64 " mismatches\n",
                second, totals.operations - before, totals.errors, totals.mismatches);
        before = totals.operations;
    }
    atomic_store_explicit(stop, true, memory_order_relaxed);
    threads_join(connections, n);
    return now_ns() - begin_ns;
}

static int preload_all(struct load_connection *connections, unsigned n, uint64_t keys)
{
    threads_start(connections, n, preload_thread);
    threads_join(connections, n);
    for (unsigned i = 0; i < n; i++) {
        if (connections[i].preloaded)
            continue;
        enum wild_status status = connections[i].first_error;
        fprintf(stderr, "wild-client-example: load-test: cannot store %" PRIu64 " keys: %s\n", keys,
                wild_status_text(status));
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}

static int connection_open(struct load_connection *connection, struct wild_client *first,
                           const struct options *options, unsigned number)
{
    const struct load_options *load = &options->load;
    connection->options = load;
    connection->number = number;
    connection->timeout_ns =
        UINT64_C(1000000) * (options->client.timeout_ms != 0 ? options->client.timeout_ms : 1000);
    connection->key_count =
        (uint32_t)(load->keys / load->connections + (number < load->keys % load->connections));
    connection->keys = calloc(connection->key_count, sizeof(*connection->keys));
    if (connection->keys == NULL) {
        fprintf(stderr, "wild-client-example: no memory for %" PRIu64 " keys\n", load->keys);
        return EXIT_FAILED;
    }
    if (number == 0) {
        connection->client = first;
        return EXIT_DONE;
    }
    char error[WILD_ERROR_BYTES];
    connection->client = wild_duplicate(first, error);
    if (connection->client != NULL)
        return EXIT_DONE;
    fprintf(stderr, "wild-client-example: connection %u: %s\n", number + 1, error);
    return EXIT_FAILED;
}

int load_test_run(struct wild_client *client, const struct options *options)
{
    const struct load_options *load = &options->load;
    unsigned n = (unsigned)load->connections;
    if (load->keys < n) {
        fprintf(stderr, "wild-client-example: load-test: fewer --keys than --connections; see --help\n");
        return EXIT_USAGE;
    }
    struct load_connection *connections = calloc(n, sizeof(*connections));
    if (connections == NULL) {
        fprintf(stderr, "wild-client-example: no memory for %u connections\n", n);
        return EXIT_FAILED;
    }
    uint32_t run = (uint32_t)now_ns();
    (void)!getrandom(&run, sizeof(run), GRND_NONBLOCK);
    _Atomic bool stop = false;
    int outcome = EXIT_DONE;
    for (unsigned i = 0; i < n && outcome == EXIT_DONE; i++) {
        connections[i].run = run;
        connections[i].random = (uint64_t)run << 32 | i;
        connections[i].stop = &stop;
        outcome = connection_open(&connections[i], client, options, i);
    }
    if (outcome == EXIT_DONE)
        outcome = preload_all(connections, n, load->keys);
    if (outcome == EXIT_DONE) {
        uint64_t elapsed_ns = load_all(connections, n, load->seconds, &stop);
        struct load_totals totals = sum(connections, n);
        totals.elapsed_ns = elapsed_ns;
        for (unsigned i = 0; i < n; i++)
            histogram_add(&totals.histogram, &connections[i].histogram);
        for (unsigned i = 0; i < n; i++)
            if (connections[i].first_error != WILD_OK) {
                fprintf(stderr, "load-test: the first error: %s\n",
                        wild_status_text(connections[i].first_error));
                break;
            }
        print_totals(&totals, options->json);
        if (totals.operations == 0 || totals.errors > 0 || totals.mismatches > 0)
            outcome = EXIT_FAILED;
    }
    for (unsigned i = 0; i < n; i++) {
        if (i > 0)
            wild_close(connections[i].client);
        free(connections[i].keys);
    }
    free(connections);
    return outcome;
}
