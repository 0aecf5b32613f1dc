#include "workload.h"

#include <string.h>

#include "datagram.h"
#include "message.h"

/* splitmix64 */
static uint64_t next_word(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

const char *workload_start(struct workload *workload)
{
    if (workload->key_size < KEY_BYTES_MIN || workload->key_size > KEY_BYTES_MAX)
        return "a key has 1 to 250 bytes";
    if (workload->value_size > VALUE_BYTES_MAX)
        return "a value has at most 1024 bytes";
    if (workload->echo_size != 0 &&
        (workload->echo_size < ECHO_BYTES_MIN || workload->echo_size > DATAGRAM_BYTES_MAX))
        return "an ECHO has 30 to 1372 bytes";
    if (workload->keys == 0)
        return "there must be a key";
    uint64_t room = 1;
    for (unsigned i = 0; i < workload->key_size && room < workload->keys; i++)
        room *= 10;
    if (room < workload->keys)
        return "keys of this size cannot number so many (they are decimal numbers)";
    workload->random = workload->seed;
    workload->request = 0;
    if (workload->zipf_exponent > 0)
        zipf_init(&workload->zipf, workload->keys, workload->zipf_exponent);
    return NULL;
}

void workload_key(const struct workload *workload, uint64_t number, uint8_t out[KEY_BYTES_MAX])
{
    for (unsigned i = workload->key_size; i-- > 0; number /= 10)
        out[i] = (uint8_t)('0' + number % 10);
}

bool workload_key_number(const struct workload *workload, const uint8_t *key, size_t length, uint64_t *out)
{
    uint64_t number = 0;
    if (length != workload->key_size)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (key[i] < '0' || key[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(key[i] - '0');
    }
    *out = number;
    return number < workload->keys;
}

void workload_value(const struct workload *workload, uint64_t number, uint8_t out[VALUE_BYTES_MAX])
{
    uint64_t state = number;
    for (unsigned at = 0; at < workload->value_size; at += 8) {
        uint64_t word = next_word(&state);
        memcpy(out + at, &word, workload->value_size - at < 8 ? workload->value_size - at : 8);
    }
}

static size_t encode(struct workload *workload, enum opcode opcode, uint64_t number,
                     uint8_t out[DATAGRAM_BYTES_MAX])
{
    uint8_t key[KEY_BYTES_MAX], value[VALUE_BYTES_MAX];
    uint64_t request = ++workload->request;
    struct operation operation = {
        .opcode = opcode, .key = key, .key_length = (uint8_t)workload->key_size, .request_id = request};
    workload_key(workload, number, key);
    if (opcode == OPCODE_SET) {
        workload_value(workload, number, value);
        operation.value = value;
        operation.value_length = (uint16_t)workload->value_size;
    }
    struct message_header header = {.version = PROTOCOL_VERSION_MAX};
    struct message_writer writer;
    message_begin(&writer, out + DATAGRAM_HEADER_BYTES, MESSAGE_BYTES_MAX);
    message_add_operation(&writer, &operation);
    size_t length = datagram_plain(out, 0, request, message_finish(&writer, &header));
    size_t answer = DATAGRAM_HEADER_BYTES + MESSAGE_HEADER_BYTES + reply_bytes(workload->value_size);
    if (opcode == OPCODE_GET && length < answer) {
        memset(out + length, 0, answer - length);
        length = answer;
    }
    return length;
}

size_t workload_next(struct workload *workload, uint8_t out[DATAGRAM_BYTES_MAX], bool *is_get)
{
    *is_get = false;
    if (workload->echo_size != 0) {
        memset(out, 0, workload->echo_size);
        out[0] = DATAGRAM_MAGIC;
        out[1] = DATAGRAM_ECHO;
        return workload->echo_size;
    }
    uint64_t number;
    if (workload->zipf_exponent > 0)
        number = zipf_rank(&workload->zipf, next_word, &workload->random) - 1;
    else
        number = next_word(&workload->random) % workload->keys;
    *is_get = next_word(&workload->random) % 100 < workload->get_percent;
    return encode(workload, *is_get ? OPCODE_GET : OPCODE_SET, number, out);
}

size_t workload_preload(struct workload *workload, uint64_t number, uint8_t out[DATAGRAM_BYTES_MAX])
{
    return encode(workload, OPCODE_SET, number, out);
}
