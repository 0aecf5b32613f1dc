/*
 * messages.c - operations into messages, answers out of them, and the turn that waits for them: what every
 * carrier does alike.
 */
#include <poll.h>
#include <time.h>

#include "client.h"

uint64_t client_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

void client_wait(int fd, short events, uint64_t wait_ns)
{
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / UINT64_C(1000000000)),
                            .tv_nsec = (long)(wait_ns % UINT64_C(1000000000))};
    struct pollfd descriptor = {.fd = fd, .events = events}; /* a negative one is not looked at */
    ppoll(&descriptor, 1, &wait, NULL);
}

/* ---- out ---- */

static struct message_header request_header(const struct wild_client *client, uint64_t history)
{
    return (struct message_header){
        .version = client->secrets->current.version,
        .epoch = client->epoch,
        .history = history,
    };
}

size_t messages_probe(const struct wild_client *client, uint8_t *out, uint64_t id)
{
    struct operation health = {.opcode = OPCODE_HEALTH, .request_id = id};
    struct message_header header = request_header(client, 0);
    struct message_writer writer;
    message_begin(&writer, out, MESSAGE_BYTES_MAX);
    message_add_operation(&writer, &health);
    return message_finish(&writer, &header);
}

static size_t likely_answer_bytes(const struct wild_client *client, const struct operation *operation)
{
    if (operation->opcode == OPCODE_GET)
        return reply_bytes(client->value_bytes);
    return reply_bytes(operation->opcode == OPCODE_INCR ? INCR_RESULT_BYTES : 0);
}

size_t messages_fill(struct wild_client *client, uint8_t *out, bool fresh, unsigned *left,
                     struct message_load *load)
{
    struct message_writer writer;
    uint64_t history = 0;
    size_t room = client->carrier->message_bytes_max, answer_bytes = MESSAGE_HEADER_BYTES;
    message_begin(&writer, out, room);
    load->count = 0;
    while (*left > 0) {
        unsigned index = client->outbox.index[client->outbox.head];
        struct flight *flight = &client->flight[index];
        if (!fresh && flight->sends == 0) {
            flight_queue_add(&client->outbox, flight_queue_take(&client->outbox));
            --*left;
            continue;
        }
        bool asks_history = flight->operation.flags & FLAG_MIN_LSN;
        uint64_t asked = flight->history != 0 ? flight->history : client->history;
        if (writer.count > 0 && (flight->alone || (asks_history && history != 0 && history != asked)))
            break;
        answer_bytes += likely_answer_bytes(client, &flight->operation);
        if (writer.count > 0 && answer_bytes > room)
            break; /* the rest would only be answered with MORE */
        if (message_add_operation(&writer, &flight->operation) != 0)
            break;
        if (asks_history)
            history = asked;
        load->index[load->count++] = (uint8_t)flight_queue_take(&client->outbox);
        --*left;
        if (flight->alone)
            break;
    }
    if (writer.count == 0)
        return 0;
    struct message_header header = request_header(client, history);
    return message_finish(&writer, &header);
}

/* ---- in ---- */

void messages_take(struct wild_client *client, const uint8_t *bytes, size_t length, uint64_t now)
{
    struct message_reader reader;
    struct message_header header;
    if (message_open(&reader, &header, bytes, length, false) != 0 ||
        header.version != client->secrets->current.version)
        return;
    if (header.epoch > client->epoch)
        client->epoch = header.epoch;
    client->history = header.history;
    struct reply reply;
    while (message_next_reply(&reader, &reply) == 1)
        pipeline_answer(client, &reply, header.history, now);
}

/* ---- turns ---- */

uint64_t client_turn(struct wild_client *client, uint64_t now, uint64_t until_ns)
{
    const struct carrier *carrier = client->carrier;
    carrier->flush(client, now);
    uint64_t wake_ns = min_u64(min_u64(until_ns, client->timer_ns), carrier->timer_ns(client));
    if (client->stop != NULL)
        wake_ns = min_u64(wake_ns, now + STOP_LOOK_NS);
    if (wake_ns > now)
        carrier->wait(client, wake_ns - now);
    now = client_now();
    carrier->receive(client, now);
    carrier->timer(client, now);
    pipeline_timer(client, now);
    carrier->flush(client, now);
    return now;
}
