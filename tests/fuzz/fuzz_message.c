/*
 * fuzz_message.c - the codec. First byte: bit 0 requests or replies, bit 1 whether padding is allowed. The
 * rest is a message. Whatever decodes is encoded again and must be the same bytes.
 */
#include <string.h>

#include "fuzz.h"
#include "message.h"

enum { BYTES_MAX = 4096 };

/* Decodes all of it; the bytes of the valid message, or 0. */
static size_t decode_and_encode(const uint8_t *bytes, size_t length, bool replies, bool padding,
                                uint8_t *again)
{
    struct message_reader reader;
    struct message_header header;
    struct message_writer writer;
    unsigned entries = 0;
    int outcome;

    if (message_open(&reader, &header, bytes, length, padding) != 0)
        return 0;
    MUST(header.count >= 1 && header.count <= MESSAGE_OPERATIONS_MAX);
    MUST(message_begin(&writer, again, BYTES_MAX) == 0);
    for (;; entries++) {
        if (replies) {
            struct reply reply;
            if ((outcome = message_next_reply(&reader, &reply)) != 1)
                break;
            MUST(reply.value >= bytes && reply.value + reply.value_length <= bytes + length);
            MUST(reply.value_length <= VALUE_BYTES_MAX);
            MUST(status_name(reply.status) != NULL);
            MUST(message_add_reply(&writer, &reply) == 0);
        } else {
            struct operation operation;
            if ((outcome = message_next_operation(&reader, &operation)) != 1)
                break;
            MUST(operation.key >= bytes && operation.key + operation.key_length == operation.value);
            MUST(operation.value + operation.value_length <= bytes + length);
            if (operation_check(&operation) == STATUS_OK) {
                MUST(operation.key_length <= KEY_BYTES_MAX && operation.value_length <= VALUE_BYTES_MAX);
                MUST(operation.opcode >= OPCODE_GET && operation.opcode <= OPCODE_HEALTH);
                MUST(operation.reserved == 0 && operation.durability <= DURABILITY_REPLICATED);
            }
            MUST(message_add_operation(&writer, &operation) == 0);
        }
        MUST(entries < header.count);
    }
    if (outcome != 0)
        return 0;
    MUST(entries == header.count);
    return message_finish(&writer, &header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t again[BYTES_MAX];
    struct health health;
    int64_t delta, initial;
    if (size < 1 || size > BYTES_MAX)
        return 0;

    bool replies = data[0] & 1, padding = data[0] & 2;
    size_t length = decode_and_encode(data + 1, size - 1, replies, padding, again);
    if (length > 0) {
        MUST(length <= size - 1 && memcmp(again, data + 1, length) == 0);
        MUST(padding || length == size - 1);
        for (size_t i = length; i < size - 1; i++)
            MUST(data[1 + i] == 0);
    }

    if (health_decode(data + 1, size - 1, &health)) {
        health_encode(again, &health);
        MUST(memcmp(again, data + 1, HEALTH_REPLY_BYTES) == 0);
    }
    if (incr_operand_decode(data + 1, size - 1, &delta, &initial)) {
        incr_operand_encode(again, delta, initial);
        MUST(memcmp(again, data + 1, INCR_OPERAND_BYTES) == 0);
    }
    return 0;
}
