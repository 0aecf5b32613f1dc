/* client_responder_store.c - the responder's tiny store, and how it answers a message. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client_responder_internal.h"

static struct item *item_find(struct responder *r, const struct operation *operation)
{
    for (unsigned i = 0; i < r->item_count; i++)
        if (r->items[i].key_length == operation->key_length &&
            memcmp(r->items[i].key, operation->key, operation->key_length) == 0)
            return &r->items[i];
    return NULL;
}

static void item_store(struct responder *r, struct item *item, const struct operation *operation,
                       const void *value, uint16_t length)
{
    if (item == NULL) {
        if (r->item_count == ITEMS_MAX)
            abort();
        item = &r->items[r->item_count++];
        item->key_length = operation->key_length;
        memcpy(item->key, operation->key, operation->key_length);
    }
    if (length > 0)
        memcpy(item->value, value, length);
    item->value_length = length;
    item->version = ++r->lsn;
}

static enum status conditions(const struct operation *operation, const struct item *item)
{
    if ((operation->flags & FLAG_IF_ABSENT) && item != NULL)
        return STATUS_EXISTS;
    if ((operation->flags & (FLAG_IF_PRESENT | FLAG_IF_VERSION)) && item == NULL)
        return STATUS_NOT_FOUND;
    if ((operation->flags & FLAG_IF_VERSION) && item->version != operation->version)
        return STATUS_VERSION_MISMATCH;
    return STATUS_OK;
}

static void execute_write(struct responder *r, const struct operation *operation, struct outcome *out)
{
    struct item *item = item_find(r, operation);
    out->status = conditions(operation, item);
    if (out->status != STATUS_OK) {
        out->version = item != NULL ? item->version : 0;
        return;
    }
    int64_t delta, integer;
    char digits[DECIMAL_BYTES_MAX + 1];
    switch (operation->opcode) {
    case OPCODE_SET:
        item_store(r, item, operation, operation->value, operation->value_length);
        break;
    case OPCODE_INCR:
        incr_operand_decode(operation->value, operation->value_length, &delta, &integer);
        if (item != NULL) {
            memcpy(digits, item->value, item->value_length < sizeof(digits) ? item->value_length : 20);
            digits[item->value_length < sizeof(digits) ? item->value_length : 20] = '\0';
            integer = strtoll(digits, NULL, 10);
        }
        out->integer = integer + delta;
        item_store(r, item, operation, digits,
                   (uint16_t)snprintf(digits, sizeof(digits), "%lld", (long long)out->integer));
        break;
    case OPCODE_TOUCH:
        if (item == NULL)
            out->status = STATUS_NOT_FOUND;
        else
            item->version = ++r->lsn;
        break;
    case OPCODE_DELETE:
        if (item == NULL)
            out->status = STATUS_NOT_FOUND;
        else
            *item = r->items[--r->item_count], ++r->lsn;
        break;
    case OPCODE_FLUSH:
        r->item_count = 0;
        ++r->lsn;
        break;
    default:
        out->status = STATUS_BAD_REQUEST;
    }
    out->version = r->lsn;
}

/* At a follower, in the same order, with the same LSNs. */
static void replicate(struct responder *r, const struct operation *operation)
{
    struct outcome unused;
    struct operation copy = *operation;
    uint8_t damaged[VALUE_BYTES_MAX];
    if (r->orders.lose_replicated > 0) {
        r->orders.lose_replicated--;
        ++r->lsn;
        return;
    }
    if (r->orders.damage_replicated > 0 && copy.opcode == OPCODE_SET && copy.value_length > 0) {
        r->orders.damage_replicated--;
        memcpy(damaged, copy.value, copy.value_length);
        damaged[copy.value_length / 2] ^= 1;
        copy.value = damaged;
    }
    execute_write(r, &copy, &unused);
}

static void replicate_all(struct responder *r, const struct operation *operation)
{
    for (unsigned i = 0; i < r->followers; i++) {
        pthread_mutex_lock(&r->follower[i]->lock);
        replicate(r->follower[i], operation);
        pthread_mutex_unlock(&r->follower[i]->lock);
    }
}

static bool is_write(unsigned opcode)
{
    return opcode >= OPCODE_SET && opcode <= OPCODE_FLUSH;
}

/* False: no answer (parked). */
static bool answer_write(struct responder *r, struct outcome *outcomes, const struct operation *operation,
                         struct reply *reply, uint8_t value[INCR_RESULT_BYTES], bool *executed)
{
    struct outcome *outcome = &outcomes[operation->request_id % RETRY_WINDOW_IDS];
    *executed = false;
    if (r->role.mode == MODE_REPLICA || r->role.state == STATE_FENCED) {
        reply->status = STATUS_NOT_PRIMARY;
        reply->value = (const uint8_t *)r->role.primary;
        reply->value_length = (uint16_t)strlen(r->role.primary);
        return true;
    }
    if (outcome->request_id > operation->request_id) {
        reply->status = STATUS_TIMEOUT; /* below the window */
        return true;
    }
    if (outcome->request_id != operation->request_id) {
        if (r->orders.busy > 0) {
            r->orders.busy--;
            reply->status = STATUS_BUSY;
            return true;
        }
        *outcome = (struct outcome){.request_id = operation->request_id};
        outcome->parked = r->orders.park_first_write;
        r->orders.park_first_write = false;
        execute_write(r, operation, outcome);
        replicate_all(r, operation);
        *executed = true;
    }
    reply->status = outcome->status;
    reply->version = outcome->version;
    if (operation->opcode == OPCODE_INCR && outcome->status == STATUS_OK) {
        incr_result_encode(value, outcome->integer);
        reply->value = value;
        reply->value_length = INCR_RESULT_BYTES;
    }
    /* On a stream a reply that waits holds up all that follow: client_responder_stream.c does that. */
    return r->stream || (!r->orders.park_writes && !outcome->parked);
}

static void answer_read(struct responder *r, const struct operation *operation, struct reply *reply,
                        uint8_t health_bytes[HEALTH_REPLY_BYTES])
{
    if (operation->opcode == OPCODE_HEALTH) {
        struct health health = {.lsn = r->lsn,
                                .items = r->item_count,
                                .capacity = ITEMS_MAX,
                                .epoch = r->role.epoch,
                                .mode = r->role.mode,
                                .state = r->role.state};
        health_encode(health_bytes, &health);
        reply->value = health_bytes;
        reply->value_length = HEALTH_REPLY_BYTES;
        return;
    }
    if (r->orders.busy > 0) {
        r->orders.busy--;
        reply->status = STATUS_BUSY;
        return;
    }
    if ((operation->flags & FLAG_MIN_LSN) && r->orders.lost > 0) {
        r->orders.lost--;
        reply->status = STATUS_LOST;
        return;
    }
    struct item *item = item_find(r, operation);
    if (r->role.state == STATE_CATCHING_UP ||
        ((operation->flags & FLAG_MIN_LSN) && operation->version > r->lsn)) {
        reply->status = STATUS_STALE;
    } else if (item == NULL) {
        reply->status = STATUS_NOT_FOUND;
    } else {
        reply->value = item->value;
        reply->value_length = item->value_length;
        reply->version = item->version;
        if (r->orders.wrong_values > 0 && item->value_length > 0 && ++r->gets > 100) {
            r->orders.wrong_values--;
            memcpy(r->damaged, item->value, item->value_length);
            r->damaged[item->value_length / 2] ^= 1;
            reply->value = r->damaged;
        }
    }
}

static void log_operation(struct responder *r, const struct operation *operation, unsigned kind,
                          uint32_t epoch, bool executed)
{
    if (r->log_count < RESPONDER_LOG_MAX)
        r->log[r->log_count++] = (struct responder_entry){.request_id = operation->request_id,
                                                          .datagram = r->datagrams,
                                                          .opcode = operation->opcode,
                                                          .kind = (uint8_t)kind,
                                                          .executed = executed,
                                                          .flags = operation->flags,
                                                          .epoch = epoch,
                                                          .version = operation->version};
}

/* A value that does not fit leaves room for the bare replies of the operations after it, and is MORE. */
static void add_reply(struct message_writer *writer, struct reply *reply, unsigned left)
{
    size_t room = (size_t)(writer->end - writer->at);
    if (reply_bytes(reply->value_length) + left * reply_bytes(INCR_RESULT_BYTES) > room) {
        reply->status = STATUS_MORE;
        reply->value_length = 0;
    }
    message_add_reply(writer, reply);
}

size_t responder_answer(struct responder *r, struct outcome outcomes[RETRY_WINDOW_IDS], unsigned kind,
                        const uint8_t *bytes, size_t length, uint8_t *out, size_t room)
{
    struct message_reader reader;
    struct message_header header;
    struct message_writer writer;
    struct operation operation;
    if (message_open(&reader, &header, bytes, length, false) != 0)
        return 0;
    message_begin(&writer, out, room);
    while (message_next_operation(&reader, &operation) == 1) {
        uint8_t value[HEALTH_REPLY_BYTES];
        struct reply reply = {.opcode = operation.opcode, .request_id = operation.request_id};
        bool executed = true, answered = true;
        reply.status = operation_check(&operation);
        if (reply.status == STATUS_OK && is_write(operation.opcode))
            answered = answer_write(r, outcomes, &operation, &reply, value, &executed);
        else if (reply.status == STATUS_OK)
            answer_read(r, &operation, &reply, value);
        log_operation(r, &operation, kind, header.epoch, executed);
        if (r->orders.silent_after > 0 && --r->orders.silent_after == 0)
            r->orders.silent = true;
        if (answered)
            add_reply(&writer, &reply, reader.left);
    }
    if (writer.count == 0 || r->orders.silent)
        return 0;
    header.epoch = r->role.epoch;
    header.history = r->role.history;
    return message_finish(&writer, &header);
}
