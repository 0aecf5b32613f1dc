/*
 * native_get.h - the message that nearly all are: one GET, answered over its request. The hot half of
 * native_operations.c, inlined into native_udp.c; message_lone_get() is the predicate between them.
 */
#ifndef WILD_NATIVE_GET_H
#define WILD_NATIVE_GET_H

#include "message_inline.h"
#include "service/native_internal.h"

/* True: the verified message is a lone GET that may be answered, and its bucket is on its way. */
static inline bool native_take_lone_get(struct native_udp *service, struct native_work *work,
                                        const uint8_t *message, size_t length)
{
    unsigned key_length =
        message_lone_get(message, length, native_version(work), work->session == NULL /* may be padded */);
    if (key_length == 0 || service->gate.read != STATUS_OK)
        return false;
    work->lone_get = (uint8_t)key_length;
    work->keyed = true;
    work->hash = table_hash(service->config.table, message + LONE_GET_KEY, key_length);
    table_prefetch_bucket(service->config.table, work->hash);
    return true;
}

/* Writes the reply over the request; returns its bytes, 0 if not even a bare reply fits `room`. */
static inline size_t native_answer_lone_get(struct native_udp *service, const struct native_work *work,
                                            uint8_t *message, size_t room)
{
    size_t key_length = work->lone_get;
    uint8_t key[LONE_GET_KEY_MAX];
    if (room < LONE_REPLY_VALUE)
        return 0;
    room -= LONE_REPLY_VALUE;
    /* The value will land on the key, which a reader that was disturbed compares again: so it is copied, as two
     * words that meet or overlap. */
    memcpy(key, message + LONE_GET_KEY, 8);
    memcpy(key + key_length - 8, message + LONE_GET_KEY + key_length - 8, 8);
    const struct operation get = {.opcode = OPCODE_GET, .key = key, .key_length = (uint8_t)key_length};
    struct result result = {.value = message + LONE_REPLY_VALUE,
                            .room = (uint16_t)(room < VALUE_BYTES_MAX ? room : VALUE_BYTES_MAX)};
    enum status status = execute(service->config.execute, &get, work->hash, service->now.wall_ms, &result);
    if (status > STATUS_VERSION_MISMATCH)
        native_count_refusal(service, status);
    const struct message_header header = {
        .history = service->gate.history, .epoch = service->gate.epoch, .version = native_version(work)};
    const struct reply reply = {
        .status = (uint8_t)status, .version = result.version, .value_length = result.value_length};
    return message_lone_reply(message, &header, &reply);
}

#endif
