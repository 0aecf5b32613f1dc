/*
 * fuzz_replication_message.c - the codec of replication. The input is a message; whatever decodes is encoded
 * again and must be the same bytes.
 */
#include <string.h>

#include "fuzz.h"
#include "replication_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct replication_message message;
    struct replication_history histories[REPLICATION_HISTORIES_MAX];
    uint32_t length = size >= REPLICATION_HEADER_BYTES ? replication_length(data, UINT32_MAX) : 0;
    MUST(length <= REPLICATION_MESSAGE_BYTES_MAX);
    if (length > 0) {
        MUST(replication_length(data, length) == length && replication_length(data, length - 1) == 0);
    }

    if (replication_decode(&message, data, size) != 0)
        return 0;
    MUST(length == size);
    unsigned count = message.type == REPLICATION_WELCOME ? message.welcome.histories : 0;
    MUST(count <= REPLICATION_HISTORIES_MAX);
    for (unsigned i = 0; i < count; i++)
        histories[i] = replication_history_decode(&message.welcome, i);
    if (message.type == REPLICATION_HELLO)
        MUST(memchr(message.hello.name, 0, sizeof message.hello.name) != NULL);
    if (message.type == REPLICATION_REFUSE) {
        MUST(memchr(message.refuse.text, 0, sizeof message.refuse.text) != NULL);
        MUST(strcmp(refuse_text(message.refuse.reason), "unknown reason") != 0);
    }

    /* blocks of exactly the room that the encoder asks for */
    size_t room = count > 0 ? replication_welcome_bytes(count) : REPLICATION_UPSTREAM_BYTES_MAX;
    uint8_t *again = malloc(room);
    memset(again, 0xee, room);
    size_t head = replication_encode(again, &message, histories);
    MUST(head <= room && head + message.payload_bytes == size);
    MUST(memcmp(again, data, head) == 0);
    if (message.payload_bytes > 0)
        MUST(message.payload == data + head);
    free(again);
    return 0;
}
