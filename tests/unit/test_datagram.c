/* test_datagram.c - a session's datagrams: sealed, opened once, refused when anything is off. */
#include "handshake_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "datagram_inline.h"
#include "keys.h"
#include "suite.h"

static const enum suite all_suites[] = {SUITE_MAC, SUITE_AES_256_GCM, SUITE_CHACHA20_POLY1305};
enum { SUITES = sizeof all_suites / sizeof all_suites[0] };

static const uint8_t raw_key[DIRECTION_KEY_BYTES] = "an example key of 32 bytes, yes";
static const uint8_t other_raw_key[DIRECTION_KEY_BYTES] = "another key of 32 bytes, no more";

/* One suite's keys and a window, skipped where this machine cannot run it. */
struct fixture {
    struct direction_key key, other;
    struct replay_window window;
};

static bool fixture_init(struct fixture *f, enum suite suite)
{
    if ((datagram_suites() & suite) == 0) {
        printf("(suite %d needs a CPU with AES) ", suite);
        return false;
    }
    memset(f, 0, sizeof *f);
    datagram_key_init(&f->key, suite, raw_key);
    datagram_key_init(&f->other, suite, other_raw_key);
    return true;
}

static size_t seal(const struct fixture *f, unsigned kind, uint64_t counter, uint8_t *out,
                   size_t message_length)
{
    for (size_t i = 0; i < message_length; i++)
        out[DATAGRAM_HEADER_BYTES + i] = (uint8_t)(i * 7 + counter);
    return datagram_seal(&f->key, kind, 1, 0xCAFEBABE, counter, out, message_length);
}

static int try_open(struct fixture *f, uint8_t *bytes, size_t length)
{
    uint8_t *message;
    size_t message_length;
    int outcome = datagram_open(&f->key, &f->window, 1, bytes, length, &message, &message_length);
    if (outcome == 0) {
        CU_ASSERT_PTR_EQUAL(message, bytes + DATAGRAM_HEADER_BYTES);
        CU_ASSERT_EQUAL(message_length, length - DATAGRAM_OVERHEAD_BYTES);
    }
    return outcome;
}

static void every_length_of_message_survives_in_every_suite(void)
{
    for (unsigned s = 0; s < SUITES; s++) {
        struct fixture f;
        if (!fixture_init(&f, all_suites[s]))
            continue;
        for (size_t n = 0; n <= MESSAGE_BYTES_MAX; n++) {
            uint8_t bytes[DATAGRAM_BYTES_MAX];
            size_t length = seal(&f, 0, n, bytes, n), right = 0;
            struct datagram_header header;
            CU_ASSERT_EQUAL(length, n + DATAGRAM_OVERHEAD_BYTES);
            CU_ASSERT_TRUE(datagram_peek(&header, bytes, length));
            CU_ASSERT_EQUAL(header.kind, all_suites[s] == SUITE_MAC ? DATAGRAM_DATA : DATAGRAM_SEALED);
            CU_ASSERT_EQUAL(header.session, 0xCAFEBABE);
            CU_ASSERT_EQUAL(header.counter, n);
            CU_ASSERT_EQUAL(header.version, 1);
            CU_ASSERT_EQUAL(try_open(&f, bytes, length), 0);
            for (size_t i = 0; i < n; i++)
                right += bytes[DATAGRAM_HEADER_BYTES + i] == (uint8_t)(i * 7 + n);
            CU_ASSERT_EQUAL(right, n);
        }
    }
}

static void sealed_messages_cannot_be_read_and_mac_messages_can(void)
{
    for (unsigned s = 0; s < SUITES; s++) {
        struct fixture f;
        uint8_t bytes[DATAGRAM_BYTES_MAX];
        if (!fixture_init(&f, all_suites[s]))
            continue;
        memcpy(bytes + DATAGRAM_HEADER_BYTES, "a secret that nobody reads", 26);
        datagram_seal(&f.key, 0, 1, 1, 0, bytes, 26);
        CU_ASSERT_EQUAL(memcmp(bytes + DATAGRAM_HEADER_BYTES, "a secret that nobody reads", 26) == 0,
                        all_suites[s] == SUITE_MAC);
    }
}

/* Every truncation and every single-bit flip of one datagram; the window must not move. */
static void damage_everywhere(struct fixture *f, const uint8_t *good, size_t length)
{
    const struct replay_window before = f->window;
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *exact = malloc(cut > 0 ? cut : 1);
        memcpy(exact, good, cut);
        CU_ASSERT_EQUAL(try_open(f, exact, cut), -EBADMSG);
        free(exact);
    }
    for (size_t bit = 0; bit < 8 * length; bit++) {
        uint8_t bytes[DATAGRAM_BYTES_MAX];
        memcpy(bytes, good, length);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        CU_ASSERT_EQUAL(try_open(f, bytes, length), -EBADMSG);
    }
    uint8_t longer[DATAGRAM_BYTES_MAX + 1] = {0};
    memcpy(longer, good, length);
    CU_ASSERT_EQUAL(try_open(f, longer, length + 1), -EBADMSG);
    CU_ASSERT_EQUAL(memcmp(&before, &f->window, sizeof before), 0);
}

static void any_damage_is_refused_and_moves_no_window(void)
{
    static const size_t lengths[] = {0, 1, 60, 200};
    for (unsigned s = 0; s < SUITES; s++)
        for (unsigned i = 0; i < 4; i++) {
            struct fixture f;
            uint8_t bytes[DATAGRAM_BYTES_MAX];
            if (!fixture_init(&f, all_suites[s]))
                continue;
            seal(&f, 0, 41, bytes, 10);
            CU_ASSERT_EQUAL(try_open(&f, bytes, 10 + DATAGRAM_OVERHEAD_BYTES), 0);
            size_t length = seal(&f, 0, 42, bytes, lengths[i]);
            damage_everywhere(&f, bytes, length);
            CU_ASSERT_EQUAL(try_open(&f, bytes, length), 0);
            CU_ASSERT_EQUAL(f.window.next, 43);
        }
}

static void close_is_authenticated_and_carries_nothing(void)
{
    for (unsigned s = 0; s < SUITES; s++) {
        struct fixture f;
        uint8_t bytes[DATAGRAM_BYTES_MAX], copy[DATAGRAM_BYTES_MAX];
        if (!fixture_init(&f, all_suites[s]))
            continue;
        size_t length = seal(&f, DATAGRAM_CLOSE, 5, bytes, 0);
        CU_ASSERT_EQUAL(length, DATAGRAM_OVERHEAD_BYTES);
        CU_ASSERT_EQUAL(bytes[1], DATAGRAM_CLOSE);
        damage_everywhere(&f, bytes, length);
        memcpy(copy, bytes, length);
        CU_ASSERT_EQUAL(try_open(&f, copy, length), 0);
        CU_ASSERT_EQUAL(try_open(&f, bytes, length), -EALREADY);
        length = seal(&f, DATAGRAM_CLOSE, 6, bytes, 1); /* rightly tagged, but not empty */
        CU_ASSERT_EQUAL(try_open(&f, bytes, length), -EBADMSG);
    }
}

static void other_keys_versions_and_kinds_are_refused(void)
{
    for (unsigned s = 0; s < SUITES; s++) {
        struct fixture f;
        uint8_t bytes[DATAGRAM_BYTES_MAX], *message;
        size_t message_length;
        if (!fixture_init(&f, all_suites[s]))
            continue;
        size_t length = seal(&f, 0, 0, bytes, 30);
        CU_ASSERT_EQUAL(datagram_open(&f.other, &f.window, 1, bytes, length, &message, &message_length),
                        -EBADMSG);
        length = seal(&f, 0, 0, bytes, 30);
        CU_ASSERT_EQUAL(datagram_open(&f.key, &f.window, 2, bytes, length, &message, &message_length),
                        -EBADMSG);
        /* rightly tagged under a kind that no message has */
        for (unsigned kind = 1; kind < 256; kind++) {
            if (kind == (all_suites[s] == SUITE_MAC ? DATAGRAM_DATA : DATAGRAM_SEALED))
                continue;
            length = seal(&f, kind, 0, bytes, 30);
            CU_ASSERT_EQUAL(try_open(&f, bytes, length), -EBADMSG);
        }
        CU_ASSERT_EQUAL(f.window.next, 0);
    }
}

static void reserved_bits_and_a_wrong_magic_are_refused_though_the_tag_is_right(void)
{
    static const uint8_t changes[][2] = {{0, 0xF6}, {3, 1}, {3, 0x80}};
    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct fixture f;
        uint8_t bytes[DATAGRAM_BYTES_MAX];
        fixture_init(&f, SUITE_MAC);
        size_t length = seal(&f, 0, 0, bytes, 30);
        bytes[changes[i][0]] = changes[i][1];
        handshake_tag(bytes + length - DATAGRAM_TAG_BYTES, raw_key, bytes, length - DATAGRAM_TAG_BYTES);
        CU_ASSERT_EQUAL(try_open(&f, bytes, length), -EBADMSG);
    }
}

static void oversized_datagrams_are_refused_before_anything_else(void)
{
    struct fixture f;
    static uint8_t bytes[70000];
    fixture_init(&f, SUITE_MAC);
    size_t length = seal(&f, 0, 0, bytes, MESSAGE_BYTES_MAX + 1);
    CU_ASSERT_EQUAL(try_open(&f, bytes, length), -EBADMSG);
    length = seal(&f, 0, 0, bytes, 65000);
    CU_ASSERT_EQUAL(try_open(&f, bytes, length), -EBADMSG);
    length = seal(&f, 0, 0, bytes, MESSAGE_BYTES_MAX);
    CU_ASSERT_EQUAL(try_open(&f, bytes, length), 0);
}

static void a_datagram_is_accepted_once(void)
{
    for (unsigned s = 0; s < SUITES; s++) {
        struct fixture f;
        uint8_t bytes[DATAGRAM_BYTES_MAX], copy[DATAGRAM_BYTES_MAX];
        if (!fixture_init(&f, all_suites[s]))
            continue;
        size_t length = seal(&f, 0, 9, bytes, 20);
        memcpy(copy, bytes, length);
        CU_ASSERT_EQUAL(try_open(&f, copy, length), 0);
        for (unsigned again = 0; again < 3; again++) {
            memcpy(copy, bytes, length);
            CU_ASSERT_EQUAL(try_open(&f, copy, length), -EALREADY);
        }
        length = seal(&f, 0, DATAGRAM_COUNTER_NEVER, bytes, 20);
        CU_ASSERT_EQUAL(try_open(&f, bytes, length), -EALREADY);
        CU_ASSERT_EQUAL(f.window.next, 10);
    }
}

/* ---- replay window ---- */

static bool offer(struct replay_window *window, uint64_t counter)
{
    if (!replay_window_is_new(window, counter))
        return false;
    replay_window_accept(window, counter);
    CU_ASSERT_FALSE(replay_window_is_new(window, counter));
    return true;
}

static void the_window_ends_at_1023_behind_the_highest(void)
{
    struct replay_window window = {0};
    CU_ASSERT_TRUE(offer(&window, 5000));
    CU_ASSERT_TRUE(offer(&window, 5000 - 1023));
    CU_ASSERT_FALSE(offer(&window, 5000 - 1024));
    CU_ASSERT_FALSE(offer(&window, 5000 - 1025));
    CU_ASSERT_FALSE(offer(&window, 0));
    CU_ASSERT_FALSE(offer(&window, 5000 - 1023));
    CU_ASSERT_TRUE(offer(&window, 5001));
    CU_ASSERT_FALSE(offer(&window, 5001 - 1024));
    for (uint64_t counter = 5001 - 1023; counter < 5000; counter++)
        CU_ASSERT_TRUE(offer(&window, counter));
    for (uint64_t counter = 0; counter <= 5001; counter++)
        CU_ASSERT_FALSE(offer(&window, counter));
}

static void huge_jumps_forget_what_was_seen_and_nothing_wraps(void)
{
    static const uint64_t jumps[] = {
        1, 63, 64, 65, 1023, 1024, 1025, 2047, 2048, 4096, 1000, UINT32_MAX, UINT64_C(1) << 40};
    for (unsigned i = 0; i < sizeof jumps / sizeof jumps[0]; i++) {
        struct replay_window window = {0};
        for (uint64_t counter = 0; counter < 3000; counter++)
            CU_ASSERT_TRUE(offer(&window, counter));
        uint64_t top = 2999 + jumps[i];
        CU_ASSERT_TRUE(offer(&window, top));
        unsigned fresh = 0;
        for (uint64_t back = 1; back < 1024; back++)
            fresh += offer(&window, top - back);
        CU_ASSERT_EQUAL(fresh, (jumps[i] < 1024 ? jumps[i] : 1024) - 1); /* those that were jumped over */
        CU_ASSERT_FALSE(offer(&window, top - 1024));
    }
    struct replay_window window = {0};
    CU_ASSERT_FALSE(offer(&window, UINT64_MAX));
    CU_ASSERT_TRUE(offer(&window, UINT64_MAX - 1));
    CU_ASSERT_FALSE(offer(&window, UINT64_MAX));
    CU_ASSERT_FALSE(offer(&window, 0));
    CU_ASSERT_TRUE(offer(&window, UINT64_MAX - 1024));
    CU_ASSERT_FALSE(offer(&window, UINT64_MAX - 1025));
}

static void the_window_agrees_with_a_plain_list_of_what_was_seen(void)
{
    enum { TOP = 20000 };
    static bool seen[TOP];
    const char *wanted = getenv("WILD_SEED");
    uint64_t seed = wanted != NULL ? strtoull(wanted, NULL, 0) : 42, state = seed | 1;
    struct replay_window window = {0};
    uint64_t highest = 0, centre = 0, wrong = 0;
    bool any = false;
    memset(seen, 0, sizeof seen);
    printf("(WILD_SEED=%llu) ", (unsigned long long)seed);
    for (unsigned i = 0; i < 200000; i++) {
        if (seeded_next(&state) % 64 == 0)
            centre = seeded_next(&state) % TOP;
        else if (seeded_next(&state) % 8 == 0)
            centre = highest;
        uint64_t counter = (centre + TOP - seeded_next(&state) % 1100 + seeded_next(&state) % 40) % TOP;
        if (highest + 400 < counter && seeded_next(&state) % 16 != 0)
            counter = highest; /* the top is reached slowly */
        bool expected = !any || counter > highest || (highest - counter < 1024 && !seen[counter]);
        wrong += offer(&window, counter) != expected;
        if (expected) {
            seen[counter] = true;
            highest = !any || counter > highest ? counter : highest;
            any = true;
        }
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

/* ---- bench mode, and SipHash itself ---- */

static void plain_datagrams_have_one_form(void)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX + 1] = {0}, *message;
    size_t message_length, length = datagram_plain(bytes, 7, 8, 100);
    struct datagram_header header;
    CU_ASSERT_EQUAL(length, 116);
    CU_ASSERT_TRUE(datagram_peek(&header, bytes, length));
    CU_ASSERT_TRUE(header.kind == DATAGRAM_PLAIN && header.session == 7 && header.counter == 8);
    CU_ASSERT_EQUAL(datagram_plain_open(bytes, length, &message, &message_length), 0);
    CU_ASSERT_PTR_EQUAL(message, bytes + 16);
    CU_ASSERT_EQUAL(message_length, 100);
    for (size_t at = 0; at < 4; at++) {
        bytes[at] ^= 0x10;
        CU_ASSERT_EQUAL(datagram_plain_open(bytes, length, &message, &message_length), -EBADMSG);
        bytes[at] ^= 0x10;
    }
    bytes[2] = 0;
    CU_ASSERT_EQUAL(datagram_plain_open(bytes, length, &message, &message_length), -EBADMSG);
    bytes[2] = 1;
    CU_ASSERT_EQUAL(datagram_plain_open(bytes, 15, &message, &message_length), -EBADMSG);
    CU_ASSERT_EQUAL(datagram_plain_open(bytes, DATAGRAM_BYTES_MAX, &message, &message_length), 0);
    CU_ASSERT_EQUAL(datagram_plain_open(bytes, DATAGRAM_BYTES_MAX + 1, &message, &message_length), -EBADMSG);
    CU_ASSERT_FALSE(datagram_peek(&header, bytes, 15));
}

/* A datagram of a burst, as a caller of datagram_inline.h keeps it. */
struct member {
    struct fixture *fixture;
    uint64_t counter;
    size_t length;
    int outcome;
};

static void judge_queued(struct datagram_tags *tags, struct member *member, uint8_t bytes[][256],
                         const unsigned *queued)
{
    unsigned count = tags->count;
    datagram_tags_make(tags);
    CU_ASSERT_EQUAL(tags->count, 0);
    for (unsigned which = 0; which < count; which++) {
        unsigned i = queued[which];
        struct member *m = &member[i];
        if (!datagram_tag_is_right(tags, which, bytes[i], m->length))
            m->outcome = -EBADMSG;
        else if (!replay_window_take(&m->fixture->window, wire_u64(bytes[i] + 8)))
            m->outcome = -EALREADY;
    }
}

static void open_together(struct datagram_tags *tags, struct member *member, uint8_t bytes[][256],
                          unsigned count)
{
    unsigned queued[DATAGRAM_TAGS_MAX];
    for (unsigned i = 0; i < count; i++) {
        struct member *m = &member[i];
        if (m->fixture->key.suite != SUITE_MAC) {
            m->outcome = try_open(m->fixture, bytes[i], m->length);
            continue;
        }
        m->outcome = datagram_is_well_formed(&m->fixture->key, 1, bytes[i], m->length) ? 0 : -EBADMSG;
        if (m->outcome != 0)
            continue;
        queued[tags->count] = i;
        datagram_tag_expect(tags, &m->fixture->key, bytes[i], m->length);
        if (datagram_tags_are_full(tags))
            judge_queued(tags, member, bytes, queued);
    }
    judge_queued(tags, member, bytes, queued);
}

/* A burst of good, repeated, forged, foreign and malformed datagrams in every suite: together they get the verdicts
 * of datagram_open(), one after the other, and the bytes of datagram_seal(). */
static void a_burst_judges_and_seals_each_datagram_as_if_it_were_alone(void)
{
    enum { BURST_MAX = 64 };
    static uint8_t bytes[2][BURST_MAX][256];
    static struct datagram_tags tags;
    struct fixture single[SUITES], burst[SUITES];
    struct member member[BURST_MAX];
    bool usable[SUITES];
    uint64_t state = seeded_start(seeded_from_environment(7));
    for (unsigned s = 0; s < SUITES; s++)
        usable[s] = fixture_init(&single[s], all_suites[s]) && fixture_init(&burst[s], all_suites[s]);
    for (unsigned trial = 0; trial < 200; trial++) {
        unsigned count = (unsigned)seeded_below(&state, BURST_MAX + 1);
        unsigned suite[BURST_MAX];
        for (unsigned i = 0; i < count; i++) {
            unsigned s = trial % 2 ? (unsigned)seeded_below(&state, SUITES) : 0;
            suite[i] = s = usable[s] ? s : 0;
            size_t message_length = seeded_below(&state, 100);
            struct member *m = &member[i];
            *m = (struct member){.fixture = &burst[s],
                                 .counter = trial * 40 + seeded_below(&state, 60),
                                 .length = DATAGRAM_OVERHEAD_BYTES + message_length};
            seal(&single[s], 0, m->counter, bytes[0][i], message_length);
            for (size_t at = 0; at < message_length; at++)
                bytes[1][i][DATAGRAM_HEADER_BYTES + at] = (uint8_t)(at * 7 + m->counter);
            CU_ASSERT_EQUAL(datagram_seal_with(&tags, &burst[s].key, 1, 0xCAFEBABE, m->counter, bytes[1][i],
                                               message_length),
                            m->length);
        }
        datagram_tags_make(&tags);
        for (unsigned i = 0; i < count; i++) {
            struct member *m = &member[i];
            CU_ASSERT(memcmp(bytes[0][i], bytes[1][i], m->length) == 0);
            uint64_t hurt = seeded_below(&state, 6 * m->length);
            if (hurt < m->length) {
                bytes[0][i][hurt] ^= 0x10;
                bytes[1][i][hurt] ^= 0x10;
            } else if (hurt < m->length + 10) {
                m->length = hurt - m->length;
            }
        }
        open_together(&tags, member, bytes[1], count);
        for (unsigned i = 0; i < count; i++) {
            CU_ASSERT_EQUAL(try_open(&single[suite[i]], bytes[0][i], member[i].length), member[i].outcome);
            if (member[i].outcome == 0)
                CU_ASSERT(memcmp(bytes[0][i], bytes[1][i], member[i].length) == 0);
        }
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"every length of message survives in every suite", every_length_of_message_survives_in_every_suite},
        {"sealed messages cannot be read and MAC messages can",
         sealed_messages_cannot_be_read_and_mac_messages_can},
        {"any damage is refused and moves no window", any_damage_is_refused_and_moves_no_window},
        {"CLOSE is authenticated and carries nothing", close_is_authenticated_and_carries_nothing},
        {"other keys, versions and kinds are refused", other_keys_versions_and_kinds_are_refused},
        {"reserved bits and a wrong magic are refused though the tag is right",
         reserved_bits_and_a_wrong_magic_are_refused_though_the_tag_is_right},
        {"oversized datagrams are refused before anything else",
         oversized_datagrams_are_refused_before_anything_else},
        {"a datagram is accepted once", a_datagram_is_accepted_once},
        {"the window ends at 1023 behind the highest", the_window_ends_at_1023_behind_the_highest},
        {"huge jumps forget what was seen and nothing wraps",
         huge_jumps_forget_what_was_seen_and_nothing_wraps},
        {"the window agrees with a plain list of what was seen",
         the_window_agrees_with_a_plain_list_of_what_was_seen},
        {"PLAIN datagrams have one form", plain_datagrams_have_one_form},
        {"a burst judges and seals each datagram as if it were alone",
         a_burst_judges_and_seals_each_datagram_as_if_it_were_alone},
        CU_TEST_INFO_NULL,
    };
    if (keys_start() != 0)
        return 1;
    return suite_run("datagram", tests);
}
