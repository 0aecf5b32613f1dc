/*
 * fuzz_datagram.c - one receiver of a session. The input is a program: a suite, then steps. A sealed datagram
 * is accepted exactly when a plain list of the counters seen so far says so; a damaged or foreign one never,
 * and it never moves the window.
 */
#include <errno.h>
#include <string.h>

#include "datagram.h"
#include "fuzz.h"
#include "keys.h"

enum { STEPS_MAX = 200 };

struct receiver {
    struct direction_key key;
    struct replay_window window;
    uint64_t seen[STEPS_MAX], highest, counter;
    unsigned count;
};

static bool is_new(const struct receiver *r, uint64_t counter)
{
    if (counter == UINT64_MAX)
        return false;
    for (unsigned i = 0; i < r->count; i++)
        if (r->seen[i] == counter)
            return false;
    return r->count == 0 || counter > r->highest || r->highest - counter < REPLAY_WINDOW_COUNTERS;
}

static int open_it(struct receiver *r, uint8_t *bytes, size_t length)
{
    uint8_t *message = NULL;
    size_t message_length = 0;
    struct replay_window before = r->window;
    int outcome = datagram_open(&r->key, &r->window, 1, bytes, length, &message, &message_length);
    if (outcome != 0)
        MUST(memcmp(&before, &r->window, sizeof before) == 0);
    else
        MUST(message == bytes + DATAGRAM_HEADER_BYTES && message_length == length - DATAGRAM_OVERHEAD_BYTES);
    return outcome;
}

static void next_counter(struct receiver *r, struct fuzz_input *input)
{
    unsigned how = fuzz_u8(input);
    if (how < 128)
        r->counter += how - 64u; /* near, both ways */
    else if (how < 224)
        r->counter += fuzz_u16(input) - 32768u;
    else
        r->counter = fuzz_u64(input);
}

/* A genuine datagram, perhaps damaged by `flips` bytes. */
static void receive(struct receiver *r, struct fuzz_input *input, unsigned flips)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX], good[DATAGRAM_BYTES_MAX];
    next_counter(r, input);
    bool closing = (fuzz_u8(input) & 15) == 0;
    size_t message_length = closing ? 0 : fuzz_u16(input) % (MESSAGE_BYTES_MAX + 1);
    memset(bytes + DATAGRAM_HEADER_BYTES, (int)message_length, message_length);
    size_t length = datagram_seal(&r->key, closing ? DATAGRAM_CLOSE : 0, 1, 0x01020304, r->counter, bytes,
                                  message_length);
    memcpy(good, bytes, length);
    for (unsigned i = 0; i < flips; i++) {
        uint8_t mask = fuzz_u8(input);
        bytes[fuzz_u16(input) % length] ^= mask;
    }
    if (memcmp(good, bytes, length) != 0) {
        MUST(open_it(r, bytes, length) == -EBADMSG);
        return;
    }
    bool expected = is_new(r, r->counter);
    MUST(open_it(r, bytes, length) == (expected ? 0 : -EALREADY));
    if (expected) {
        for (size_t i = 0; i < message_length; i++)
            MUST(bytes[DATAGRAM_HEADER_BYTES + i] == (uint8_t)message_length);
        r->highest = r->count == 0 || r->counter > r->highest ? r->counter : r->highest;
        r->seen[r->count++] = r->counter;
    }
}

/*
 * The rest of the input is a datagram from nowhere. It meets a key that nothing was ever sealed with:
 * libFuzzer sees both sides of a memcmp() and would sooner or later play back one that is genuine.
 */
static void receive_foreign(struct receiver *r, const struct fuzz_input *input)
{
    static const uint8_t unused[DIRECTION_KEY_BYTES] = "a key that seals no datagrams..";
    uint8_t *bytes, *message;
    size_t length = fuzz_left(input), message_length;
    struct datagram_header header;
    if (length == 0)
        return;
    datagram_key_init(&r->key, r->key.suite, unused);
    bytes = malloc(length);
    memcpy(bytes, input->at, length);
    bool peeked = datagram_peek(&header, bytes, length);
    MUST(!peeked ||
         (length >= DATAGRAM_HEADER_BYTES && bytes[0] == DATAGRAM_MAGIC && header.kind == bytes[1]));
    if (datagram_plain_open(bytes, length, &message, &message_length) == 0)
        MUST(peeked && header.kind == DATAGRAM_PLAIN && message_length == length - DATAGRAM_HEADER_BYTES);
    MUST(open_it(r, bytes, length) == -EBADMSG);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum suite suites[] = {SUITE_MAC, SUITE_CHACHA20_POLY1305, SUITE_AES_256_GCM, SUITE_MAC};
    static const uint8_t raw[DIRECTION_KEY_BYTES] = "thirty-two bytes of session key";
    struct fuzz_input input = {data, data + size};
    struct receiver receiver;

    if (keys_start() != 0)
        abort();
    memset(&receiver, 0, sizeof receiver);
    enum suite suite = suites[fuzz_u8(&input) % 4] & datagram_suites();
    datagram_key_init(&receiver.key, suite != 0 ? suite : SUITE_MAC, raw);
    for (unsigned step = 0; step < STEPS_MAX && fuzz_left(&input) > 0; step++) {
        unsigned what = fuzz_u8(&input);
        if (what < 192)
            receive(&receiver, &input, 0);
        else if (what < 240)
            receive(&receiver, &input, 1 + what % 4);
        else {
            receive_foreign(&receiver, &input);
            break;
        }
    }
    return 0;
}
