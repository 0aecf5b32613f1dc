/*
 * calls.c - one operation, one answer: submit it, and turn until it is done.
 */
#include <string.h>

#include "client.h"

/* As unreachable, what the node cannot have executed and is not likely to get soon. */
static void look_at(struct wild_client *client, unsigned index, const struct call_terms *terms, uint64_t now)
{
    if (client->flight[index].state == FLIGHT_DONE)
        return;
    if (client_is_stopped(client))
        pipeline_expire(client, index, now);
    else if ((terms->gives_up && client_is_unreachable(client)) || (now >= terms->unsent_ns && !client->live))
        pipeline_give_up(client, now);
}

static enum wild_status call_once(struct wild_client *client, const struct operation *operation,
                                  const struct call_terms *terms, uint64_t *now, struct wild_result *result)
{
    unsigned index;
    enum wild_status status = pipeline_submit(client, operation, terms->history, 0, true, *now, &index);
    if (status != WILD_OK) {
        result->status = status;
        return status;
    }
    struct flight *flight = &client->flight[index];
    flight->deadline_ns = min_u64(flight->deadline_ns, terms->deadline_ns);
    client->timer_ns = min_u64(client->timer_ns, flight->deadline_ns);
    while (flight->state != FLIGHT_DONE) {
        uint64_t until_ns = client->live ? NEVER_NS : max_u64(terms->unsent_ns, *now + MS_NS);
        *now = client_turn(client, *now, min_u64(flight->deadline_ns, until_ns));
        look_at(client, index, terms, *now);
    }
    pipeline_lend(client, index, result);
    return result->status;
}

enum wild_status client_call_with(struct wild_client *client, const struct operation *operation,
                                  const struct call_terms *terms, struct wild_result *result)
{
    struct wild_result unused;
    if (result == NULL)
        result = &unused;
    *result = (struct wild_result){0};
    pipeline_reclaim(client);
    uint64_t now = client_now(), begin_ns = now, pause_ns = BUSY_PAUSE_MIN_NS;
    unsigned tries = 1;
    /* BUSY was not executed, so what follows is a new operation with a new id. */
    while (call_once(client, operation, terms, &now, result) == WILD_BUSY && tries++ != terms->busy_tries &&
           now + pause_ns < terms->deadline_ns && !client_is_stopped(client)) {
        uint64_t until_ns = now + pause_ns;
        while (now < until_ns)
            now = client_turn(client, now, until_ns);
        pipeline_reclaim(client);
        pause_ns = min_u64(2 * pause_ns, BUSY_PAUSE_MAX_NS);
    }
    result->latency_ns = now - begin_ns;
    return result->status;
}

enum wild_status client_call(struct wild_client *client, const struct operation *operation,
                             struct wild_result *result)
{
    struct call_terms terms = {.deadline_ns = client_now() + client->timeout_ns, .unsent_ns = NEVER_NS};
    return client_call_with(client, operation, &terms, result);
}

/* The synchronous calls are wild_submit()'s requests with someone waiting. */
static enum wild_status call_request(struct wild_client *client, const struct wild_request *request,
                                     struct wild_result *result)
{
    struct operation operation;
    uint8_t operands[INCR_OPERAND_BYTES];
    enum wild_status status = client_request_encode(&operation, operands, request);
    if (status == WILD_OK)
        return client_call(client, &operation, result);
    if (result != NULL)
        *result = (struct wild_result){.status = status};
    return status;
}

enum wild_status wild_get(struct wild_client *client, const void *key, size_t key_length,
                          struct wild_result *result)
{
    struct wild_request request = {.operation = WILD_OP_GET, .key = key, .key_length = key_length};
    return call_request(client, &request, result);
}

enum wild_status wild_set(struct wild_client *client, const void *key, size_t key_length, const void *value,
                          size_t value_length, const struct wild_write_options *options,
                          struct wild_result *result)
{
    struct wild_request request = {.operation = WILD_OP_SET,
                                   .key = key,
                                   .key_length = key_length,
                                   .value = value,
                                   .value_length = value_length};
    if (options != NULL)
        request.options = *options;
    return call_request(client, &request, result);
}

enum wild_status wild_delete(struct wild_client *client, const void *key, size_t key_length,
                             const struct wild_write_options *options, struct wild_result *result)
{
    struct wild_request request = {.operation = WILD_OP_DELETE, .key = key, .key_length = key_length};
    if (options != NULL)
        request.options = *options;
    return call_request(client, &request, result);
}

enum wild_status wild_incr(struct wild_client *client, const void *key, size_t key_length, int64_t delta,
                           int64_t initial, const struct wild_write_options *options,
                           struct wild_result *result)
{
    struct wild_request request = {
        .operation = WILD_OP_INCR, .key = key, .key_length = key_length, .delta = delta, .initial = initial};
    if (options != NULL)
        request.options = *options;
    return call_request(client, &request, result);
}

enum wild_status wild_touch(struct wild_client *client, const void *key, size_t key_length, uint64_t ttl_ms,
                            struct wild_result *result)
{
    struct wild_request request = {
        .operation = WILD_OP_TOUCH, .key = key, .key_length = key_length, .options = {.ttl_ms = ttl_ms}};
    return call_request(client, &request, result);
}

enum wild_status wild_flush(struct wild_client *client, struct wild_result *result)
{
    struct wild_request request = {.operation = WILD_OP_FLUSH};
    return call_request(client, &request, result);
}
