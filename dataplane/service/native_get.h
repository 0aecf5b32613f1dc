/*
 * native_get.h - the message that nearly all are: one GET, answered over its request. The hot half of
 * native_operations.c, inlined into native_udp.c; message_lone_get() is the predicate between them.
 */
#ifndef WILD_NATIVE_GET_H
#define WILD_NATIVE_GET_H

#include <rte_branch_prediction.h>

#include "message_inline.h"
#include "service/native_internal.h"

/* True: the verified message, which must be of this version, is a lone GET that may be answered; it has its
 * probe. */
static inline bool native_take_lone_get(struct native_udp *service, struct native_work *work,
                                        const uint8_t *message, size_t length, uint8_t version)
{
    bool may_be_padded = work->kind == DATAGRAM_PLAIN;
    unsigned key_length = message_lone_get(message, length, version, may_be_padded);
    bool lone_get = key_length != 0 && service->engine.gate.read == STATUS_OK;
    work->lone_get = lone_get;
    if (lone_get)
        work->probe = native_probe(service, message + LONE_GET_KEY, (uint8_t)key_length);
    return lone_get;
}

/* Writes the reply over the request; returns its bytes, 0 if not even a bare reply fits `room`, and
 * NATIVE_WAITS with them if it has to wait for the log (engine.wait_lsn). */
static inline size_t native_answer_lone_get(struct native_udp *service, const struct native_work *work,
                                            uint8_t *message, size_t room)
{
    if (room < LONE_REPLY_VALUE)
        return 0;
    room -= LONE_REPLY_VALUE;
    struct result result = {.value = message + LONE_REPLY_VALUE,
                            .room = (uint16_t)(room < VALUE_BYTES_MAX ? room : VALUE_BYTES_MAX)};
    enum status status =
        execute_get(service->config.execute, work->probe, service->engine.now.wall_ms, &result);
    /* native_depends_on(), in parts: of an item that was found the bucket need not be looked at. */
    size_t waits = 0;
    uint64_t lsn = likely(status == STATUS_OK) ? result.version : native_depends_on(status, &result);
    if (unlikely(lsn > service->engine.log.reads_above)) {
        status = native_lone_get_waits(service, work, status, &result);
        waits = service->engine.wait_lsn != 0 ? NATIVE_WAITS : 0;
    }
    if (status > STATUS_VERSION_MISMATCH)
        native_count_refusal(&service->engine, status);
    const struct message_header header = {.history = service->engine.gate.history,
                                          .epoch = service->engine.gate.epoch};
    const struct reply reply = {
        .status = (uint8_t)status, .version = result.version, .value_length = result.value_length};
    return message_lone_reply(message, &header, &reply) | waits;
}

#endif
