#include "load_connection.h"

#include <time.h>

#define SECOND_NS UINT64_C(1000000000)
#define MS_NS     UINT64_C(1000000)

/* A node's clock counts milliseconds, and may be set a little while it counts. */
#define CLOCK_SLACK_NS SECOND_NS

uint64_t load_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static uint64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- one node or several ---- */

static enum wild_status port_submit(const struct load_port *port, const struct wild_request *request)
{
    return port->client != NULL ? wild_submit(port->client, request)
                                : wild_pipeline_submit(port->pipeline, request);
}

static void port_batch_begin(const struct load_port *port)
{
    if (port->client != NULL)
        wild_batch_begin(port->client);
    else
        wild_pipeline_batch_begin(port->pipeline);
}

static void port_batch_end(const struct load_port *port)
{
    if (port->client != NULL)
        wild_batch_end(port->client);
    else
        wild_pipeline_batch_end(port->pipeline);
}

static size_t port_poll(const struct load_port *port, struct wild_result *results, size_t room)
{
    return port->client != NULL ? wild_poll(port->client, results, room, 100)
                                : wild_pipeline_poll(port->pipeline, results, room, 100);
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

static enum load_write write_kind(const struct load_connection *connection, uint32_t key, uint32_t version)
{
    return load_write_kind(key_number(connection, key), version, connection->run,
                           (unsigned)connection->options->delete_percent, connection->options->ttl_ms > 0);
}

/* ---- the journal ---- */

static void journal_write_begins(struct load_connection *connection, uint32_t key)
{
    uint32_t version = connection->keys[key].attempted;
    enum load_write kind = write_kind(connection, key, version);
    struct journal_line line = {.event = kind == LOAD_DELETE ? JOURNAL_DELETE : JOURNAL_SET,
                                .run = connection->run,
                                .version = version,
                                .key = key_number(connection, key),
                                .bytes = (uint32_t)connection->options->value_size};
    if (kind == LOAD_STORE_EXPIRING)
        line.expiry_ms = wall_ms() + connection->options->ttl_ms;
    journal_add(&connection->journal, &line);
}

static void journal_write_ends(struct load_connection *connection, uint32_t key, enum journal_event event,
                               uint64_t lsn)
{
    uint32_t version = connection->keys[key].attempted;
    struct journal_line line = {.event = event,
                                .run = connection->run,
                                .version = version,
                                .key = key_number(connection, key),
                                .lsn = lsn};
    if (event == JOURNAL_OK && write_kind(connection, key, version) == LOAD_STORE_EXPIRING)
        line.expiry_ms = wall_ms() + connection->options->ttl_ms;
    journal_add(&connection->journal, &line);
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
    struct wild_request request = {
        .operation = WILD_OP_GET, .key = name, .key_length = sizeof(name), .tag = tag};
    if (!operation->get) {
        enum load_write kind = write_kind(connection, operation->key, key->attempted);
        request.operation = kind == LOAD_DELETE ? WILD_OP_DELETE : WILD_OP_SET;
        if (kind == LOAD_STORE_EXPIRING)
            request.options.ttl_ms = connection->options->ttl_ms;
        if (kind != LOAD_DELETE) {
            request.value = value;
            request.value_length = connection->options->value_size;
            load_value_fill(value, request.value_length, number, key->attempted, connection->run);
        }
    }
    if (operation->get && connection->port.pipeline != NULL) {
        request.min_lsn = key->lsn;
        request.min_history = key->history;
    }
    return port_submit(&connection->port, &request) == WILD_OK;
}

/* Chooses a place for the operation and puts a write into the journal; to be submitted after that is
 * flushed. */
static unsigned prepare(struct load_connection *connection, uint32_t index, bool get)
{
    struct load_key *key = &connection->keys[index];
    unsigned tag = 0;
    while (connection->operation[tag].used)
        tag++;
    connection->operation[tag] =
        (struct load_operation){.begin_ns = load_now_ns(), .key = index, .get = get, .used = true};
    key->in_flight = true;
    connection->in_flight++;
    if (!get) {
        key->attempted++;
        journal_write_begins(connection, index);
        uint64_t expires_ns = connection->operation[tag].begin_ns + connection->options->ttl_ms * MS_NS;
        if (write_kind(connection, index, key->attempted) == LOAD_STORE_EXPIRING &&
            expires_ns < key->expires_ns)
            key->expires_ns = expires_ns;
    }
    return tag;
}

static void forget(struct load_connection *connection, unsigned tag)
{
    connection->operation[tag].used = false;
    connection->keys[connection->operation[tag].key].in_flight = false;
    connection->in_flight--;
}

/* It did not happen, and never will. */
static void take_back(struct load_connection *connection, uint32_t key)
{
    journal_write_ends(connection, key, JOURNAL_REFUSED, 0);
    connection->keys[key].attempted--;
}

/* What was prepared, in order, as far as the client takes it. */
static void submit_all(struct load_connection *connection, const unsigned *tags, unsigned count)
{
    bool taken = journal_flush(&connection->journal);
    if (!taken)
        atomic_store_explicit(connection->stop, true, memory_order_relaxed);
    port_batch_begin(&connection->port);
    for (unsigned i = 0; i < count; i++) {
        const struct load_operation *operation = &connection->operation[tags[i]];
        taken = taken && submit(connection, tags[i]);
        if (taken)
            continue;
        if (!operation->get)
            take_back(connection, operation->key);
        forget(connection, tags[i]);
    }
    port_batch_end(&connection->port);
}

/* Whether one of the states that the key may be in is what was read. */
static bool is_right(const struct load_connection *connection, uint32_t index,
                     const struct wild_result *result)
{
    const struct load_key *key = &connection->keys[index];
    uint64_t number = key_number(connection, index);
    bool absent = result->status == WILD_NOT_FOUND;
    if (absent && key->expires_ns != LOAD_NEVER && load_now_ns() + CLOCK_SLACK_NS >= key->expires_ns)
        return true;
    for (uint32_t version = key->stored; version <= key->attempted; version++) {
        bool removed = version > 0 && write_kind(connection, index, version) == LOAD_DELETE;
        if (absent ? removed
                   : !removed &&
                         load_value_is(result->value, result->value_length, connection->options->value_size,
                                       number, version, connection->run))
            return true;
    }
    return false;
}

static void finish_write(struct load_connection *connection, const struct load_operation *operation,
                         const struct wild_result *result)
{
    struct load_key *key = &connection->keys[operation->key];
    enum load_write kind = write_kind(connection, operation->key, key->attempted);
    /* a delete that was sent again finds nothing */
    if (result->status == WILD_OK || (kind == LOAD_DELETE && result->status == WILD_NOT_FOUND)) {
        journal_write_ends(connection, operation->key, JOURNAL_OK,
                           result->status == WILD_OK ? result->version : 0);
        key->stored = key->attempted;
        if (result->status == WILD_OK) {
            key->lsn = result->version;
            key->history = result->history;
        }
        key->expires_ns = kind == LOAD_STORE_EXPIRING
                              ? operation->begin_ns + connection->options->ttl_ms * MS_NS
                              : LOAD_NEVER;
    } else if (result->status == WILD_BUSY || result->status == WILD_READ_ONLY ||
               result->status == WILD_NOT_PRIMARY || result->status == WILD_UNREACHABLE) {
        take_back(connection, operation->key);
    } else {
        journal_write_ends(connection, operation->key, JOURNAL_UNANSWERED, 0);
    }
}

/* Nothing at all came for as long as the operation waited: there is nobody to load any more. */
static void notice_silence(struct load_connection *connection, const struct load_operation *operation)
{
    if (connection->journal.fd >= 0 && connection->answer_ns < operation->begin_ns)
        atomic_store_explicit(connection->stop, true, memory_order_relaxed);
}

static void finish(struct load_connection *connection, const struct wild_result *result, bool measure)
{
    struct load_operation *operation = &connection->operation[result->tag];
    uint64_t now = load_now_ns();
    bool answered = result->status != WILD_NO_ANSWER && result->status != WILD_UNKNOWN &&
                    result->status != WILD_UNREACHABLE;
    if (answered)
        connection->answer_ns = now;
    /* BUSY: not executed. Tried again within the time-out, and the wait counts. */
    if (result->status == WILD_BUSY && now - operation->begin_ns < connection->timeout_ns &&
        submit(connection, (unsigned)result->tag))
        return;

    bool missing = result->status == WILD_NOT_FOUND;
    if (result->status != WILD_OK && !missing) {
        count(&connection->errors);
        if (connection->first_error == WILD_OK)
            connection->first_error = result->status;
    } else if (operation->get && !is_right(connection, operation->key, result)) {
        count(&connection->mismatches);
    }
    if (!operation->get)
        finish_write(connection, operation, result);
    if (measure) {
        histogram_record(&connection->histogram, now - operation->begin_ns);
        count(&connection->operations);
    }
    if (!answered)
        notice_silence(connection, operation);
    forget(connection, (unsigned)result->tag);
}

static void collect(struct load_connection *connection, bool measure)
{
    struct wild_result results[WILD_PIPELINE_MAX];
    size_t finished = port_poll(&connection->port, results, WILD_PIPELINE_MAX);
    for (size_t i = 0; i < finished; i++)
        if (results[i].status != WILD_BUSY)
            finish(connection, &results[i], measure);
    /* Last: to submit again invalidates the values of the results above. */
    for (size_t i = 0; i < finished; i++)
        if (results[i].status == WILD_BUSY)
            finish(connection, &results[i], measure);
}

static void collect_rest(struct load_connection *connection, bool measure)
{
    while (connection->in_flight > 0)
        collect(connection, measure);
    journal_flush(&connection->journal);
}

/* ---- the phases of a connection ---- */

void load_connection_preload(struct load_connection *connection)
{
    unsigned depth = (unsigned)connection->options->pipeline;
    while (atomic_load_explicit(&connection->errors, memory_order_relaxed) == 0 &&
           !atomic_load_explicit(connection->stop, memory_order_relaxed) &&
           (connection->next_key < connection->key_count || connection->in_flight > 0)) {
        unsigned tags[WILD_PIPELINE_MAX], prepared = 0;
        uint32_t first = connection->next_key;
        while (connection->in_flight < depth && connection->next_key < connection->key_count)
            tags[prepared++] = prepare(connection, connection->next_key++, false);
        submit_all(connection, tags, prepared);
        /* those that the client did not take have their turn again */
        while (connection->next_key > first && connection->keys[connection->next_key - 1].attempted == 0)
            connection->next_key--;
        collect(connection, false);
    }
    connection->preloaded = connection->in_flight == 0 && connection->next_key == connection->key_count &&
                            atomic_load_explicit(&connection->errors, memory_order_relaxed) == 0;
    collect_rest(connection, false);
}

/* A random key of ours that is idle; there is one, as the pipeline is no deeper than our keys are many. */
static uint32_t choose_key(struct load_connection *connection)
{
    uint32_t key = (uint32_t)((load_random(&connection->random) >> 32) * connection->key_count >> 32);
    while (connection->keys[key].in_flight)
        key = key + 1 == connection->key_count ? 0 : key + 1;
    return key;
}

void load_connection_run(struct load_connection *connection)
{
    unsigned depth = (unsigned)connection->options->pipeline;
    if (depth > connection->key_count)
        depth = connection->key_count;
    while (!atomic_load_explicit(connection->stop, memory_order_relaxed)) {
        unsigned tags[WILD_PIPELINE_MAX], prepared = 0;
        while (connection->in_flight < depth) {
            bool get = load_random(&connection->random) % 100 < connection->options->get_percent;
            tags[prepared++] = prepare(connection, choose_key(connection), get);
        }
        submit_all(connection, tags, prepared);
        collect(connection, true);
    }
    collect_rest(connection, true);
}
