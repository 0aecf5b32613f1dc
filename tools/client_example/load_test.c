/*
 * load_test.c - a closed-loop load that verifies what it reads: all connections, and their figures. With a
 * journal
 * it also ends, in order, when the node does.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "load_connection.h"

#define SECOND_NS UINT64_C(1000000000)

struct load_totals {
    uint64_t operations, errors, mismatches, elapsed_ns;
    struct histogram histogram;
};

static void *preload_thread(void *argument)
{
    load_connection_preload(argument);
    return NULL;
}

static void *load_thread(void *argument)
{
    load_connection_run(argument);
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
    print_json(object);
}

/* False: the load ended meanwhile. */
static bool sleep_until(uint64_t ns, const _Atomic bool *stop)
{
    uint64_t now = load_now_ns();
    while (now < ns && !atomic_load_explicit(stop, memory_order_relaxed)) {
        uint64_t nap = now + SECOND_NS / 20 < ns ? now + SECOND_NS / 20 : ns;
        struct timespec t = {.tv_sec = (time_t)(nap / SECOND_NS), .tv_nsec = (long)(nap % SECOND_NS)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        now = load_now_ns();
    }
    return now >= ns;
}

static uint64_t load_all(struct load_connection *connections, unsigned n, uint64_t seconds,
                         _Atomic bool *stop)
{
    uint64_t begin_ns = load_now_ns(), before = 0;
    threads_start(connections, n, load_thread);
    for (uint64_t second = 1; second <= seconds && sleep_until(begin_ns + second * SECOND_NS, stop);
         second++) {
        struct load_totals totals = sum(connections, n);
        fprintf(stderr,
                "load-test: %" PRIu64 " s, %" PRIu64 " ops/s, %" PRIu64 " errors, %" PRIu64 " mismatches\n",
                second, totals.operations - before, totals.errors, totals.mismatches);
        before = totals.operations;
    }
    atomic_store_explicit(stop, true, memory_order_relaxed);
    threads_join(connections, n);
    return load_now_ns() - begin_ns;
}

static const struct load_connection *first_failed(const struct load_connection *connections, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (connections[i].first_error != WILD_OK)
            return &connections[i];
    return NULL;
}

static int preload_all(struct load_connection *connections, unsigned n, uint64_t keys)
{
    threads_start(connections, n, preload_thread);
    threads_join(connections, n);
    bool preloaded = true;
    for (unsigned i = 0; i < n; i++)
        preloaded = preloaded && connections[i].preloaded;
    if (preloaded)
        return EXIT_DONE;
    const struct load_connection *failed = first_failed(connections, n);
    fprintf(stderr, "wild-client-example: load-test: cannot store %" PRIu64 " keys: %s\n", keys,
            failed != NULL ? wild_status_text(failed->first_error) : "the journal cannot be written");
    return EXIT_FAILED;
}

static int connection_open(struct load_connection *connection, const struct nodes *nodes,
                           const struct options *options, unsigned number)
{
    const struct load_options *load = &options->load;
    connection->random = (uint64_t)connection->run << 32 | number;
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
    for (uint32_t i = 0; i < connection->key_count; i++)
        connection->keys[i].expires_ns = LOAD_NEVER;
    char error[WILD_ERROR_BYTES];
    if (nodes->router != NULL)
        connection->port.pipeline = wild_pipeline_open(nodes->router, error);
    else
        connection->port.client = number == 0 ? nodes->client : wild_duplicate(nodes->client, error);
    if (connection->port.client != NULL || connection->port.pipeline != NULL)
        return EXIT_DONE;
    fprintf(stderr, "wild-client-example: connection %u: %s\n", number + 1, error);
    return EXIT_FAILED;
}

static int report(const struct load_connection *connections, unsigned n, uint64_t elapsed_ns,
                  const struct options *options)
{
    struct load_totals totals = sum(connections, n);
    const struct load_connection *failed = first_failed(connections, n);
    int error = 0;
    totals.elapsed_ns = elapsed_ns;
    for (unsigned i = 0; i < n; i++) {
        histogram_add(&totals.histogram, &connections[i].histogram);
        if (error == 0)
            error = connections[i].journal.error;
    }
    if (failed != NULL)
        fprintf(stderr, "load-test: the first error: %s\n", wild_status_text(failed->first_error));
    if (error != 0)
        fprintf(stderr, "wild-client-example: journal %s: %s\n", options->journal, strerror(error));
    print_totals(&totals, options->json);
    return totals.operations == 0 || totals.errors > 0 || totals.mismatches > 0 || error != 0 ? EXIT_FAILED
                                                                                              : EXIT_DONE;
}

static int load_with(struct load_connection *connections, const struct nodes *nodes,
                     const struct options *options, int journal)
{
    unsigned n = (unsigned)options->load.connections;
    uint32_t run = (uint32_t)load_now_ns();
    (void)!getrandom(&run, sizeof(run), GRND_NONBLOCK);
    _Atomic bool stop = false;
    int outcome = EXIT_DONE;
    for (unsigned i = 0; i < n && outcome == EXIT_DONE; i++) {
        connections[i].run = run;
        connections[i].stop = &stop;
        connections[i].journal.fd = journal;
        outcome = connection_open(&connections[i], nodes, options, i);
    }
    uint64_t elapsed_ns = 0;
    if (outcome == EXIT_DONE) {
        outcome = preload_all(connections, n, options->load.keys);
        if (outcome == EXIT_DONE)
            elapsed_ns = load_all(connections, n, options->load.seconds, &stop);
        if (nodes->router != NULL)
            endpoints_print_reads(nodes->router);
        if (outcome == EXIT_DONE || journal >= 0)
            outcome = report(connections, n, elapsed_ns, options);
    }
    for (unsigned i = 0; i < n; i++) {
        if (i > 0)
            wild_close(connections[i].port.client);
        wild_pipeline_close(connections[i].port.pipeline);
        free(connections[i].keys);
    }
    return outcome;
}

int load_test_run(const struct nodes *nodes, const struct options *options)
{
    const struct load_options *load = &options->load;
    if (load->keys < load->connections) {
        fprintf(stderr, "wild-client-example: load-test: fewer --keys than --connections; see --help\n");
        return EXIT_USAGE;
    }
    struct load_connection *connections = calloc(load->connections, sizeof(*connections));
    if (connections == NULL) {
        fprintf(stderr, "wild-client-example: no memory for %" PRIu64 " connections\n", load->connections);
        return EXIT_FAILED;
    }
    char error[JOURNAL_ERROR_BYTES];
    int journal = options->journal != NULL ? journal_open(options->journal, error) : -1;
    int outcome = EXIT_FAILED;
    if (options->journal != NULL && journal < 0)
        fprintf(stderr, "wild-client-example: %s\n", error);
    else
        outcome = load_with(connections, nodes, options, journal);
    if (journal >= 0)
        close(journal);
    free(connections);
    return outcome;
}
