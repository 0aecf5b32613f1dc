/*
 * verify.c - reads every key that a journal names and holds the node to it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "journal_state.h"
#include "load_values.h"

enum { SHOWN_MAX = 20, DEPTH = WILD_PIPELINE_MAX };

struct verification {
    struct wild_client *client;
    struct journal_state journal;
    uint64_t timeout_ms, lost, wrong;
    uint64_t asked_ms[DEPTH]; /* of the reads in flight; a request's tag is key * DEPTH + place */
    bool used[DEPTH];
    enum wild_status error; /* a read failed: the rest is not looked at */
};

static uint64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool ask(struct verification *v, uint32_t key, unsigned place)
{
    char name[LOAD_KEY_BYTES];
    load_key_fill(name, v->journal.keys[key].number);
    struct wild_request request = {.operation = WILD_OP_GET,
                                   .key = name,
                                   .key_length = sizeof(name),
                                   .tag = (uint64_t)key * DEPTH + place};
    return wild_submit(v->client, &request) == WILD_OK;
}

static void show(const struct verification *v, const struct journal_key *key,
                 const struct journal_found *found, const char *verdict)
{
    const struct journal_write *write = &key->acknowledged;
    if (v->lost + v->wrong > SHOWN_MAX)
        return;
    fprintf(stderr,
            "verify: load:%011" PRIu64 " %s: %s %08" PRIx32 ".%" PRIu32 " was acknowledged with lsn %" PRIu64
            "; ",
            key->number, verdict, write->removes ? "delete" : "set", write->run, write->version, write->lsn);
    if (found->absent)
        fputs("the node has nothing\n", stderr);
    else
        fprintf(stderr, "the node has %zu bytes of lsn %" PRIu64 "\n", found->length, found->version);
}

static void judge(struct verification *v, const struct wild_result *result)
{
    const struct journal_key *key = &v->journal.keys[result->tag / DEPTH];
    struct journal_found found = {.value = result->value,
                                  .length = result->value_length,
                                  .absent = result->status == WILD_NOT_FOUND,
                                  .version = result->version,
                                  .asked_ms = v->asked_ms[result->tag % DEPTH],
                                  .answer_ms = wall_ms()};
    switch (journal_judge(&v->journal, key, &found)) {
    case JOURNAL_FINE:
        return;
    case JOURNAL_LOST:
        v->lost++;
        show(v, key, &found, "lost");
        return;
    case JOURNAL_WRONG:
        v->wrong++;
        show(v, key, &found, "wrong");
        return;
    }
}

/* Results of one poll. Those to be asked again come last: that invalidates the values of the others. */
static unsigned take(struct verification *v, const struct wild_result *results, size_t n)
{
    unsigned finished = 0;
    for (size_t i = 0; i < n; i++) {
        enum wild_status status = results[i].status;
        bool again = status == WILD_BUSY || status == WILD_STALE;
        unsigned place = (unsigned)(results[i].tag % DEPTH);
        if (again && wall_ms() - v->asked_ms[place] < v->timeout_ms)
            continue;
        if (status == WILD_OK || status == WILD_NOT_FOUND)
            judge(v, &results[i]);
        else if (v->error == WILD_OK)
            v->error = status;
        v->used[place] = false;
        finished++;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned place = (unsigned)(results[i].tag % DEPTH);
        if (!v->used[place])
            continue;
        if (!ask(v, (uint32_t)(results[i].tag / DEPTH), place)) {
            v->error = results[i].status;
            v->used[place] = false;
            finished++;
        }
    }
    return finished;
}

static void read_all(struct verification *v)
{
    uint32_t next = 0;
    unsigned in_flight = 0;
    while (in_flight > 0 || (next < v->journal.key_count && v->error == WILD_OK)) {
        struct wild_result results[DEPTH];
        wild_batch_begin(v->client);
        for (unsigned place = 0; place < DEPTH && next < v->journal.key_count && v->error == WILD_OK;
             place++) {
            if (v->used[place])
                continue;
            v->asked_ms[place] = wall_ms();
            if (!ask(v, next, place))
                break;
            v->used[place] = true;
            next++;
            in_flight++;
        }
        wild_batch_end(v->client);
        in_flight -= take(v, results, wild_poll(v->client, results, DEPTH, 100));
    }
}

static bool journal_load(struct verification *v, const char *path)
{
    char error[JOURNAL_ERROR_BYTES];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        fprintf(stderr, "wild-client-example: journal %s: %s\n", path, strerror(errno));
        return false;
    }
    bool read = journal_state_read(&v->journal, file, error);
    fclose(file);
    if (!read)
        fprintf(stderr, "wild-client-example: journal %s, %s\n", path, error);
    return read;
}

int verify_run(struct wild_client *client, const struct options *options)
{
    struct verification v = {.client = client, .timeout_ms = options->client.timeout_ms};
    if (v.timeout_ms == 0)
        v.timeout_ms = 1000;
    if (!journal_load(&v, options->journal))
        return EXIT_FAILED;
    read_all(&v);
    uint32_t keys = v.journal.key_count;
    journal_state_free(&v.journal);
    if (v.error != WILD_OK) {
        fprintf(stderr,
                "wild-client-example: verify: cannot read every key: %s (%" PRIu64 " lost, %" PRIu64
                " wrong so far)\n",
                wild_status_text(v.error), v.lost, v.wrong);
        return EXIT_FAILED;
    }
    if (options->json)
        printf("{\"keys\":%" PRIu32 ",\"lost\":%" PRIu64 ",\"wrong\":%" PRIu64 "}\n", keys, v.lost, v.wrong);
    else
        printf("verify: %" PRIu32 " keys, %" PRIu64 " lost, %" PRIu64 " wrong\n", keys, v.lost, v.wrong);
    return v.lost == 0 && v.wrong == 0 ? EXIT_DONE : EXIT_FAILED;
}
