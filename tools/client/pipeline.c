/*
 * pipeline.c - operations in flight: their request ids, timers and outcomes.
 *
 * Ids. message.h's retry window is about writes, so writes count 1, 2, 3 ... on a sequence of their own: 255
 * new writes may follow the oldest unanswered one, however many reads go by. A read's id has the top bit set
 * and its flight's index in the low byte; the rest counts, so that a late answer to an older read misses.
 *
 * Timers. One lower bound (timer_ns) for all flights; the table is walked only when it is reached.
 */
#include <errno.h>
#include <string.h>

#include "client.h"

#define READ_ID_BIT (UINT64_C(1) << 63)

static bool is_write(const struct operation *operation)
{
    switch (operation->opcode) {
    case OPCODE_SET:
    case OPCODE_DELETE:
    case OPCODE_INCR:
    case OPCODE_TOUCH:
    case OPCODE_FLUSH:
        return true;
    default:
        return false;
    }
}

/* May be executed a second time by a node that forgot the first (wild.h, "Retries"). */
static bool is_safe_to_repeat(const struct operation *operation)
{
    if (!is_write(operation))
        return true;
    if (operation->opcode == OPCODE_INCR || operation->opcode == OPCODE_FLUSH)
        return false;
    return (operation->flags & FLAG_CONDITIONS) == 0;
}

void flight_queue_add(struct flight_queue *queue, unsigned index)
{
    queue->index[(queue->head + queue->count) % FLIGHTS_MAX] = (uint8_t)index;
    queue->count++;
}

unsigned flight_queue_take(struct flight_queue *queue)
{
    unsigned index = queue->index[queue->head];
    queue->head = (queue->head + 1) % FLIGHTS_MAX;
    queue->count--;
    return index;
}

static void flight_queue_remove(struct flight_queue *queue, unsigned index)
{
    unsigned count = queue->count;
    for (unsigned i = 0; i < count; i++) {
        unsigned taken = flight_queue_take(queue);
        if (taken != index)
            flight_queue_add(queue, taken);
    }
}

void pipeline_init(struct wild_client *client)
{
    client->next_write_id = client->oldest_write_id = 1;
    client->timer_ns = NEVER_NS;
    memset(client->write_flight, FLIGHT_NONE, sizeof(client->write_flight));
    for (unsigned i = 0; i < FLIGHTS_MAX; i++)
        flight_queue_add(&client->free, i);
}

/* ---- ids ---- */

static bool write_window_open(const struct wild_client *client)
{
    return client->next_write_id - client->oldest_write_id < RETRY_WINDOW_IDS;
}

static void id_assign(struct wild_client *client, unsigned index)
{
    struct operation *operation = &client->flight[index].operation;
    if (is_write(operation)) {
        operation->request_id = client->next_write_id++;
        client->write_flight[operation->request_id % RETRY_WINDOW_IDS] = (uint8_t)index;
    } else {
        operation->request_id = READ_ID_BIT | client->next_read_id++ << 8 | index;
    }
}

static void id_release(struct wild_client *client, const struct operation *operation)
{
    if (!is_write(operation))
        return;
    client->write_flight[operation->request_id % RETRY_WINDOW_IDS] = FLIGHT_NONE;
    while (client->oldest_write_id < client->next_write_id &&
           client->write_flight[client->oldest_write_id % RETRY_WINDOW_IDS] == FLIGHT_NONE)
        client->oldest_write_id++;
}

/* The unanswered flight that a reply names, or NULL: a late duplicate, or none of ours. */
static struct flight *flight_find(struct wild_client *client, const struct reply *reply)
{
    uint64_t id = reply->request_id;
    unsigned index = (id & READ_ID_BIT) ? id & 0xFF : client->write_flight[id % RETRY_WINDOW_IDS];
    if (index >= FLIGHTS_MAX)
        return NULL;
    struct flight *flight = &client->flight[index];
    bool waiting = flight->state == FLIGHT_SENT || flight->state == FLIGHT_QUEUED;
    if (!waiting || flight->sends == 0 || flight->operation.request_id != id ||
        flight->operation.opcode != reply->opcode)
        return NULL;
    return flight;
}

/* ---- a flight's life ---- */

enum wild_status pipeline_submit(struct wild_client *client, const struct operation *operation,
                                 uint64_t history, uint64_t tag, bool synchronous, uint64_t now,
                                 unsigned *out)
{
    enum status check = operation_check(operation);
    if (check != STATUS_OK)
        return (enum wild_status)check;
    if (client->free.count == 0 || (is_write(operation) && !write_window_open(client)))
        return WILD_PIPELINE_FULL;
    if (client->in_flight == 0)
        client->carrier->doubt(client, now);

    unsigned index = flight_queue_take(&client->free);
    struct flight *flight = &client->flight[index];
    uint8_t *body = client->body[index];
    if (operation->key_length > 0)
        memcpy(body, operation->key, operation->key_length);
    if (operation->value_length > 0)
        memcpy(body + operation->key_length, operation->value, operation->value_length);

    *flight = (struct flight){
        .operation = *operation,
        .history = history,
        .sequence = client->next_sequence++,
        .submitted_ns = now,
        .deadline_ns = now + client->timeout_ns,
        .rto_ns = client->rto_ns,
        .result = {.tag = tag},
        .state = FLIGHT_QUEUED,
        .synchronous = synchronous,
    };
    flight->operation.key = body;
    flight->operation.value = body + operation->key_length;
    id_assign(client, index);
    flight_queue_add(&client->outbox, index);
    client->in_flight++;
    client->timer_ns = min_u64(client->timer_ns, flight->deadline_ns);
    *out = index;
    return WILD_OK;
}

void pipeline_sent(struct wild_client *client, unsigned index, uint64_t now)
{
    struct flight *flight = &client->flight[index];
    if (flight->sends > 0)
        client->statistics.retransmissions++;
    flight->state = FLIGHT_SENT;
    flight->sends++;
    flight->sent_ns = now;
    flight->retry_ns = flight->rto_ns != NEVER_NS ? now + flight->rto_ns : NEVER_NS;
    client->timer_ns = min_u64(client->timer_ns, flight->retry_ns);
}

static void flight_finish(struct wild_client *client, struct flight *flight, enum wild_status status,
                          uint64_t now)
{
    unsigned index = (unsigned)(flight - client->flight);
    if (flight->state == FLIGHT_QUEUED)
        flight_queue_remove(&client->outbox, index);
    id_release(client, &flight->operation);
    flight->state = FLIGHT_DONE;
    flight->result.status = status;
    flight->result.latency_ns = now - flight->submitted_ns;
    client->statistics.operations++;
    if (status == WILD_NO_ANSWER)
        client->statistics.timeouts++;
    if (!flight->synchronous)
        flight_queue_add(&client->done, index);
}

static void flight_queue_again(struct wild_client *client, struct flight *flight)
{
    if (flight->state == FLIGHT_QUEUED)
        return;
    flight->state = FLIGHT_QUEUED;
    flight_queue_add(&client->outbox, (unsigned)(flight - client->flight));
}

void pipeline_unsent(struct wild_client *client, unsigned index)
{
    client->flight[index].sends = client->flight[index].refusals = 0;
    flight_queue_again(client, &client->flight[index]);
}

void pipeline_lend(struct wild_client *client, unsigned index, struct wild_result *out)
{
    struct flight *flight = &client->flight[index];
    if (out != NULL)
        *out = flight->result;
    flight->state = FLIGHT_LENT;
    client->lent[client->lent_count++] = (uint8_t)index;
    client->in_flight--;
}

void pipeline_reclaim(struct wild_client *client)
{
    for (unsigned i = 0; i < client->lent_count; i++) {
        client->flight[client->lent[i]].state = FLIGHT_FREE;
        flight_queue_add(&client->free, client->lent[i]);
    }
    client->lent_count = 0;
}

/* ---- answers ---- */

/* A node may send what it likes: an answer whose value does not suit its opcode says nothing. */
static bool answer_is_sound(const struct reply *reply, struct wild_result *result)
{
    if (reply->status != STATUS_OK)
        return true;
    switch (reply->opcode) {
    case OPCODE_GET:
        return reply->value_length <= VALUE_BYTES_MAX;
    case OPCODE_INCR:
        return incr_result_decode(reply->value, reply->value_length, &result->integer);
    case OPCODE_HEALTH:
        return reply->value_length == HEALTH_REPLY_BYTES;
    default:
        return true;
    }
}

/* How large values are lately: up at once, down slowly. */
static void expect_value(struct wild_client *client, unsigned bytes)
{
    if (bytes >= client->value_bytes)
        client->value_bytes = bytes;
    else
        client->value_bytes -= (client->value_bytes - bytes + 15) / 16;
}

/* Says that one copy changed nothing, and that the next may be executed. */
static bool is_refusal(const struct reply *reply)
{
    switch (reply->status) {
    case STATUS_BUSY:
    case STATUS_NOT_PRIMARY:
    case STATUS_READ_ONLY:
    case STATUS_MORE:
        return true;
    default:
        return false;
    }
}

void pipeline_answer(struct wild_client *client, const struct reply *reply, uint64_t history, uint64_t now)
{
    struct flight *flight = flight_find(client, reply);
    if (flight == NULL || !answer_is_sound(reply, &flight->result))
        return;
    if (flight->sends == 1 &&
        client->carrier->answered !=
            NULL) /* Karn: an answer to a repeated operation says nothing about the round trip */
        client->carrier->answered(client, now - flight->sent_ns);
    if (is_refusal(reply))
        flight->refusals++;
    if (reply->status == STATUS_MORE) {
        /* Not executed. By itself its answer has all the room there is, so MORE once it is alone answers an
         * earlier datagram that it shared. */
        if (!flight->alone) {
            flight->alone = true;
            flight_queue_again(client, flight);
        }
        return;
    }
    /* message.h, "Retries": while another copy may still be executed, a refusal is no outcome of a write. The
     * node answers each copy at most once, so it is one when every copy was refused; until then the timer
     * repeats the id. */
    if (is_refusal(reply) && is_write(&flight->operation) && flight->refusals < flight->sends)
        return;
    /* Nor is it one of a write that a session which is gone may have executed: its node may be a replica by now. */
    if ((reply->status == STATUS_NOT_PRIMARY || reply->status == STATUS_READ_ONLY) && flight->exposed &&
        is_write(&flight->operation)) {
        flight_finish(client, flight, WILD_UNKNOWN, now);
        return;
    }

    bool is_read = reply->opcode == OPCODE_GET || reply->opcode == OPCODE_HEALTH;
    if (reply->status == STATUS_NOT_PRIMARY || (reply->status == STATUS_OK && is_read)) {
        if (is_read)
            expect_value(client, reply->value_length);
        uint8_t *body = client->body[flight - client->flight];
        if (reply->value_length > 0)
            memcpy(body, reply->value, reply->value_length);
        flight->result.value = body;
        flight->result.value_length = reply->value_length;
    }
    flight->result.version = reply->version;
    flight->result.history = history;
    flight_finish(client, flight, (enum wild_status)reply->status, now);
}

/* ---- time ---- */

void pipeline_timer(struct wild_client *client, uint64_t now)
{
    if (now < client->timer_ns)
        return;
    bool due = false;
    uint64_t next = NEVER_NS;
    for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
        struct flight *flight = &client->flight[i];
        if (flight->state != FLIGHT_SENT && flight->state != FLIGHT_QUEUED)
            continue;
        if (now >= flight->deadline_ns) {
            flight_finish(client, flight, WILD_NO_ANSWER, now);
            if (client->carrier->timed_out != NULL)
                client->carrier->timed_out(client, now);
            continue;
        }
        if (flight->state == FLIGHT_SENT && now >= flight->retry_ns) {
            flight->rto_ns = min_u64(2 * flight->rto_ns, RTO_MAX_NS);
            flight_queue_again(client, flight);
            due = true;
        } else if (flight->state == FLIGHT_SENT) {
            next = min_u64(next, flight->retry_ns);
        }
        next = min_u64(next, flight->deadline_ns);
    }
    client->timer_ns = next;
    if (due)
        client->carrier->unanswered(client, now);
}

void pipeline_expire(struct wild_client *client, unsigned index, uint64_t now)
{
    client->flight[index].deadline_ns = client->timer_ns = 0;
    pipeline_timer(client, now);
}

bool pipeline_unexecuted(const struct flight *flight)
{
    return !flight->exposed && flight->refusals >= flight->sends;
}

void pipeline_give_up(struct wild_client *client, uint64_t now)
{
    for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
        struct flight *flight = &client->flight[i];
        if ((flight->state == FLIGHT_SENT || flight->state == FLIGHT_QUEUED) &&
            (!is_write(&flight->operation) || pipeline_unexecuted(flight)))
            flight_finish(client, flight, WILD_UNREACHABLE, now);
    }
}

/* Oldest first. Insertion: the outbox is short, and nearly in order. */
static void outbox_sort(struct wild_client *client)
{
    uint8_t sorted[FLIGHTS_MAX];
    unsigned count = client->outbox.count;
    for (unsigned i = 0; i < count; i++) {
        unsigned index = flight_queue_take(&client->outbox), at = i;
        for (; at > 0 && client->flight[sorted[at - 1]].sequence > client->flight[index].sequence; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = (uint8_t)index;
    }
    for (unsigned i = 0; i < count; i++)
        flight_queue_add(&client->outbox, sorted[i]);
}

void pipeline_renew(struct wild_client *client, uint64_t now)
{
    for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
        struct flight *flight = &client->flight[i];
        if ((flight->state != FLIGHT_SENT && flight->state != FLIGHT_QUEUED) || flight->sends == 0)
            continue;
        /* What was refused as often as it was sent has not happened. */
        if (!is_safe_to_repeat(&flight->operation) && flight->refusals < flight->sends) {
            flight_finish(client, flight, WILD_UNKNOWN, now);
            continue;
        }
        client->statistics.retransmissions++; /* counted here: `sends` starts anew with the session */
        flight->exposed = flight->exposed || flight->refusals < flight->sends;
        flight->sends = flight->refusals = 0;
        flight->rto_ns = client->rto_ns;
        flight_queue_again(client, flight);
    }
    outbox_sort(client);
}
