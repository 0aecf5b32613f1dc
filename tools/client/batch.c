/*
 * batch.c - many operations at once: requests in, results out, messages shared.
 */
#include <string.h>

#include "client.h"

static uint8_t condition_flags(const struct wild_write_options *options)
{
    return (uint8_t)((options->if_absent ? FLAG_IF_ABSENT : 0) | (options->if_present ? FLAG_IF_PRESENT : 0) |
                     (options->if_version ? FLAG_IF_VERSION : 0));
}

/*
 * A request as an operation that still points into it; `operands` is where INCR's go. Whether the fields fit
 * the opcode is operation_check()'s business: only what would not survive the narrowing is refused here.
 */
enum wild_status client_request_encode(struct operation *out, uint8_t operands[INCR_OPERAND_BYTES],
                                       const struct wild_request *request)
{
    if (request->key_length > WILD_KEY_MAX || request->value_length > WILD_VALUE_MAX)
        return WILD_TOO_LARGE;
    *out = (struct operation){
        .opcode = (uint8_t)request->operation,
        .key = request->key,
        .key_length = (uint8_t)request->key_length,
        .ttl_ms = request->options.ttl_ms,
    };
    switch (request->operation) {
    case WILD_OP_GET:
        if (request->min_lsn != 0) {
            out->flags = FLAG_MIN_LSN;
            out->version = request->min_lsn;
        }
        return WILD_OK;
    case WILD_OP_SET:
        out->value = request->value;
        out->value_length = (uint16_t)request->value_length;
        break;
    case WILD_OP_INCR:
        incr_operand_encode(operands, request->delta, request->initial);
        out->value = operands;
        out->value_length = INCR_OPERAND_BYTES;
        break;
    case WILD_OP_DELETE:
    case WILD_OP_TOUCH:
    case WILD_OP_FLUSH:
        break;
    default:
        return WILD_BAD_REQUEST;
    }
    out->flags = condition_flags(&request->options);
    if (request->options.if_version)
        out->version = request->options.version;
    return WILD_OK;
}

enum wild_status wild_submit(struct wild_client *client, const struct wild_request *request)
{
    struct operation operation;
    uint8_t operands[INCR_OPERAND_BYTES];
    unsigned index;
    pipeline_reclaim(client);
    enum wild_status status = client_request_encode(&operation, operands, request);
    if (status != WILD_OK)
        return status;
    uint64_t now = client_now();
    status = pipeline_submit(client, &operation, request->min_history, request->tag, false, now, &index);
    if (status == WILD_OK && !client->batch)
        client->carrier->flush(client, now);
    return status;
}

void wild_batch_begin(struct wild_client *client)
{
    client->batch = true;
}

void wild_batch_end(struct wild_client *client)
{
    client->batch = false;
    client->carrier->flush(client, client_now());
}

size_t wild_poll(struct wild_client *client, struct wild_result *results, size_t room, uint32_t timeout_ms)
{
    pipeline_reclaim(client);
    uint64_t now = client_now(), until_ns = now + timeout_ms * MS_NS;
    /* Even without time to wait, what has arrived is taken and timers run: an event loop may never wait. */
    do {
        bool wait = client->done.count == 0 && client->in_flight > 0;
        now = client_turn(client, now, wait ? until_ns : now);
    } while (client->done.count == 0 && client->in_flight > 0 && now < until_ns);

    size_t count = 0;
    while (count < room && client->done.count > 0)
        pipeline_lend(client, flight_queue_take(&client->done), &results[count++]);
    return count;
}

size_t wild_in_flight(const struct wild_client *client)
{
    return client->in_flight;
}

int wild_descriptor(const struct wild_client *client)
{
    return client->descriptor;
}

void wild_statistics(const struct wild_client *client, struct wild_statistics *out)
{
    *out = client->statistics;
}
