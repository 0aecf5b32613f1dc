/* test_parked.c - replies that wait: kept in order in a bounded ring, released by the log, or given up. */
#include "service/parked.h"

#include "message.h"
#include "suite.h"

enum { SECOND = 1000000000 };

struct owner {
    uint64_t id;
    uint8_t more[40];
};

static struct parked *parked;

static void set_up(void)
{
    parked = parked_create(PARKED_RING_BYTES_MIN, -1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(parked);
}

static void tear_down(void)
{
    parked_destroy(parked);
}

/* A message whose bytes and length follow from its number. */
static size_t numbered(uint64_t id, size_t most, uint8_t out[])
{
    uint64_t state = seeded_start(id);
    size_t length = 1 + seeded_below(&state, most);
    for (size_t i = 0; i < length; i++)
        out[i] = (uint8_t)(id + i);
    return length;
}

static void add(uint64_t id, uint64_t wait_lsn, uint64_t now_ns, size_t most)
{
    static uint8_t message[RECORD_MESSAGE_BYTES_MAX];
    struct owner owner = {.id = id, .more = {[39] = (uint8_t)id}};
    size_t length = numbered(id, most, message);
    parked_add(parked, wait_lsn, now_ns, (struct source){0}, &owner, sizeof owner, message, length);
}

static bool is(const struct parked_entry *entry, uint64_t id, size_t most)
{
    static uint8_t message[RECORD_MESSAGE_BYTES_MAX];
    size_t length = numbered(id, most, message);
    struct owner owner;
    memcpy(&owner, entry->owner, sizeof owner);
    return owner.id == id && owner.more[39] == (uint8_t)id && entry->message_bytes == length &&
           memcmp(entry->message, message, length) == 0;
}

/* ---- the ring ---- */

static void entries_leave_in_order_and_no_earlier_than_the_log_reaches_them(void)
{
    struct parked_entry entry;
    CU_ASSERT_FALSE(parked_next(parked, UINT64_MAX, true, 0, &entry));
    add(1, 10, 0, 100);
    add(2, 12, 0, 100);
    add(3, 11, 0, 100); /* behind what waits for more */
    add(4, 0, 0, 100);
    CU_ASSERT_EQUAL(parked_count(parked), 4);
    CU_ASSERT_FALSE(parked_next(parked, 9, false, 0, &entry));
    CU_ASSERT_FATAL(parked_next(parked, 11, false, 0, &entry));
    CU_ASSERT(is(&entry, 1, 100) && entry.wait_lsn == 10 && !entry.given_up);
    CU_ASSERT_FATAL(parked_next(parked, 11, false, 0, &entry)); /* until it is popped */
    CU_ASSERT(is(&entry, 1, 100));
    parked_pop(parked);
    CU_ASSERT_FALSE(parked_next(parked, 11, false, 0, &entry));
    for (uint64_t id = 2; id <= 4; id++) {
        CU_ASSERT_FATAL(parked_next(parked, 12, false, 0, &entry));
        CU_ASSERT(is(&entry, id, 100));
        parked_pop(parked);
    }
    CU_ASSERT_EQUAL(parked_count(parked), 0);
    CU_ASSERT_EQUAL(parked_bytes(parked), 0);
}

static void the_ring_goes_round_and_keeps_every_byte(void)
{
    uint64_t seed = seeded_from_environment(6), state = seeded_start(seed), added = 0, popped = 0;
    printf("seed %llu ", (unsigned long long)seed);
    for (unsigned i = 0; i < 20000; i++) {
        size_t most = added % 16 == 15 ? (size_t)RECORD_MESSAGE_BYTES_MAX : 1400;
        if (seeded_below(&state, 100) < 55 && parked_room(parked, most)) {
            add(added, added, 0, most);
            added++;
        } else if (popped < added) {
            struct parked_entry entry;
            CU_ASSERT_FALSE(popped > 0 && parked_next(parked, popped - 1, false, 0, &entry));
            CU_ASSERT_FATAL(parked_next(parked, popped, false, 0, &entry));
            CU_ASSERT_FATAL(is(&entry, popped, popped % 16 == 15 ? (size_t)RECORD_MESSAGE_BYTES_MAX : 1400));
            parked_pop(parked);
            popped++;
        }
        CU_ASSERT_EQUAL_FATAL(parked_count(parked), added - popped);
        CU_ASSERT_FATAL(parked_bytes(parked) <= PARKED_RING_BYTES_MIN);
    }
    CU_ASSERT(popped > 5000);
}

static void room_that_was_promised_is_there_wherever_the_ring_stands(void)
{
    struct parked_entry entry;
    unsigned refused = 0;
    for (unsigned i = 0; i < 5000; i++) {
        size_t most = i % 3 ? 1340 : RECORD_MESSAGE_BYTES_MAX;
        if (parked_room(parked, most)) {
            /* Fewer bytes than asked for, or exactly as many: parked_add() would abort. */
            static uint8_t message[RECORD_MESSAGE_BYTES_MAX];
            uint8_t owner[PARKED_OWNER_BYTES_MAX] = {0};
            parked_add(parked, 1, 0, (struct source){0}, owner, i % 5 ? sizeof owner : 1, message,
                       i % 2 ? most : most / 3);
        } else {
            refused++;
            CU_ASSERT_FATAL(parked_next(parked, 1, false, 0, &entry));
            parked_pop(parked);
        }
    }
    CU_ASSERT(refused > 1000);
}

static void room_for_many_is_there_for_each_of_them(void)
{
    static uint8_t message[RECORD_MESSAGE_BYTES_MAX];
    uint8_t owner[PARKED_OWNER_BYTES_MAX] = {0};
    struct parked_entry entry;
    unsigned rounds = 0;
    for (unsigned i = 0; i < 3000; i++) {
        if (parked_room_for(parked, 9, RECORD_MESSAGE_BYTES_MAX + 8 * 777)) {
            for (unsigned j = 0; j < 9; j++)
                parked_add(parked, 1, 0, (struct source){0}, owner, sizeof owner, message,
                           j == i % 9 ? (size_t)RECORD_MESSAGE_BYTES_MAX : 777);
            rounds++;
        } else {
            CU_ASSERT_FATAL(parked_next(parked, 1, false, 0, &entry));
            parked_pop(parked);
        }
    }
    CU_ASSERT(rounds > 100);
    CU_ASSERT_FALSE(parked_room_for(parked, 1, PARKED_RING_BYTES_MIN));
}

/* ---- shares ---- */

enum { SHARE_MESSAGE_BYTES = 200 };

/* One more of this source's, if that is fair. */
static bool add_of(struct source source)
{
    static const uint8_t message[SHARE_MESSAGE_BYTES], owner[PARKED_OWNER_BYTES_MAX];
    if (!parked_fair(parked, source, sizeof message, 4096))
        return false;
    CU_ASSERT_FATAL(parked_room(parked, sizeof message)); /* fair leaves room */
    parked_add(parked, 1, 0, source, owner, sizeof owner, message, sizeof message);
    return true;
}

/* Sources, one of which is network(i), host(i), take turns until none gets more; how many bytes there are then. */
static size_t flood(unsigned sources, unsigned networks)
{
    static unsigned entries[512];
    unsigned least = UINT32_MAX, most = 0;
    bool any = true;
    memset(entries, 0, sizeof entries);
    while (any) {
        any = false;
        for (unsigned i = 0; i < sources; i++)
            if (add_of((struct source){(uint8_t)(i % networks), (uint8_t)(i / networks)})) {
                entries[i]++;
                any = true;
            }
    }
    for (unsigned i = 0; i < sources; i++) {
        least = entries[i] < least ? entries[i] : least;
        most = entries[i] > most ? entries[i] : most;
    }
    CU_ASSERT(most - least <= 1);
    return parked_bytes(parked);
}

static void pop_all(void)
{
    struct parked_entry entry;
    while (parked_next(parked, 1, false, 0, &entry))
        parked_pop(parked);
}

static void one_host_gets_a_third_and_a_network_less_than_half(void)
{
    size_t each = parked_entry_bytes(SHARE_MESSAGE_BYTES), ring = PARKED_RING_BYTES_MIN - 4096;
    for (unsigned round = 0; round < 3; round++) { /* what is popped is given back */
        size_t alone = flood(1, 1);
        CU_ASSERT(alone < ring / 3 + each && alone > ring / 3 - each);
        CU_ASSERT(add_of((struct source){9, 0}));
        CU_ASSERT(add_of((struct source){0, 9}));
        CU_ASSERT_FALSE(add_of((struct source){0, 0}));
        pop_all();
        size_t bytes = flood(20, 1);
        CU_ASSERT(bytes < ring / 2 && bytes > ring * 2 / 5);
        CU_ASSERT(add_of((struct source){9, 0}));
        pop_all();
    }
}

static void however_many_flood_a_newcomer_finds_room(void)
{
    static const unsigned crowds[][2] = {{2, 2}, {20, 5}, {40, 40}, {100, 100}, {100, 4}};
    for (unsigned i = 0; i < 5; i++) {
        flood(crowds[i][0], crowds[i][1]);
        CU_ASSERT(add_of((struct source){255, 255}));
        pop_all();
    }
}

static void a_ring_of_another_size_is_refused(void)
{
    CU_ASSERT_PTR_NULL(parked_create(PARKED_RING_BYTES_MIN / 2, -1));
    CU_ASSERT_PTR_NULL(parked_create(PARKED_RING_BYTES_MIN + 4096, -1));
}

/* ---- not reached ---- */

static void an_entry_is_overdue_after_its_time(void)
{
    struct parked_entry entry;
    add(1, 10, SECOND, 100);
    CU_ASSERT_FALSE(parked_next(parked, 9, false, SECOND + PARKED_NS_MAX - 1, &entry));
    CU_ASSERT_FATAL(parked_next(parked, 9, false, SECOND + PARKED_NS_MAX, &entry));
    CU_ASSERT(is(&entry, 1, 100) && entry.given_up);
    CU_ASSERT_FATAL(parked_next(parked, 10, false, SECOND + PARKED_NS_MAX, &entry));
    CU_ASSERT_FALSE(entry.given_up); /* late, and durable */
}

static void a_failed_log_lets_all_go(void)
{
    struct parked_entry entry;
    add(1, 10, 0, 100);
    add(2, 11, 0, 100);
    CU_ASSERT_FATAL(parked_next(parked, 10, true, 0, &entry));
    CU_ASSERT_FALSE(entry.given_up);
    parked_pop(parked);
    CU_ASSERT_FATAL(parked_next(parked, 10, true, 0, &entry));
    CU_ASSERT(is(&entry, 2, 100) && entry.given_up);
}

/* ---- giving up ---- */

struct line {
    uint8_t opcode, status;
    uint64_t version;
    const char *value;
    uint8_t becomes;
};

static void give_up(const struct line *lines, unsigned count, unsigned writes, unsigned reads)
{
    uint8_t message[2048], before[2048];
    struct message_writer writer;
    struct message_header header = {.version = 1, .epoch = 7, .history = 99};
    CU_ASSERT_EQUAL_FATAL(message_begin(&writer, message, sizeof message), 0);
    for (unsigned i = 0; i < count; i++) {
        struct reply reply = {.opcode = lines[i].opcode,
                              .status = lines[i].status,
                              .version = lines[i].version,
                              .request_id = 1000 + i,
                              .value = (const uint8_t *)lines[i].value,
                              .value_length = (uint16_t)(lines[i].value ? strlen(lines[i].value) : 0)};
        CU_ASSERT_EQUAL_FATAL(message_add_reply(&writer, &reply), 0);
    }
    size_t length = message_finish(&writer, &header);
    memcpy(before, message, length);
    struct parked_given_up given_up;
    size_t left = parked_give_up(message, length, 50, &given_up);
    CU_ASSERT_EQUAL(given_up.writes, writes);
    CU_ASSERT_EQUAL(given_up.reads, reads);

    struct message_reader reader;
    struct reply reply;
    header = (struct message_header){0};
    CU_ASSERT_EQUAL_FATAL(message_open(&reader, &header, message, left, false), 0);
    CU_ASSERT(header.version == 1 && header.epoch == 7 && header.history == 99 && header.count == count);
    for (unsigned i = 0; i < count; i++) {
        bool stays = lines[i].becomes == lines[i].status;
        CU_ASSERT_EQUAL_FATAL(message_next_reply(&reader, &reply), 1);
        CU_ASSERT_EQUAL(reply.opcode, lines[i].opcode);
        CU_ASSERT_EQUAL(reply.request_id, 1000 + i);
        CU_ASSERT_EQUAL(reply.status, lines[i].becomes);
        CU_ASSERT_EQUAL(reply.version, stays ? lines[i].version : 0);
        size_t value = stays && lines[i].value ? strlen(lines[i].value) : 0;
        CU_ASSERT_FATAL(reply.value_length == value &&
                        (value == 0 || memcmp(reply.value, lines[i].value, value) == 0));
    }
    CU_ASSERT_EQUAL(message_next_reply(&reader, &reply), 0);
    if (writes + reads == 0)
        CU_ASSERT(left == length && memcmp(message, before, length) == 0);
}

static void a_write_that_is_not_durable_becomes_timeout(void)
{
    struct line line = {OPCODE_SET, STATUS_OK, 51, NULL, STATUS_TIMEOUT};
    give_up(&line, 1, 1, 0);
    struct line incr = {OPCODE_INCR, STATUS_OK, 60, "12345678", STATUS_TIMEOUT};
    give_up(&incr, 1, 1, 0);
    struct line unchanged = {OPCODE_DELETE, STATUS_NOT_FOUND, 0, NULL, STATUS_TIMEOUT};
    give_up(&unchanged, 1, 1, 0);
}

static void a_read_that_is_not_durable_becomes_stale_and_its_value_goes(void)
{
    struct line line = {OPCODE_GET, STATUS_OK, 51, "a value", STATUS_STALE};
    give_up(&line, 1, 0, 1);
    struct line absent = {OPCODE_GET, STATUS_NOT_FOUND, 0, NULL, STATUS_STALE};
    give_up(&absent, 1, 0, 1);
}

static void each_reply_of_several_says_what_is_known_of_it(void)
{
    static const struct line lines[] = {
        {OPCODE_GET, STATUS_OK, 50, "durable", STATUS_OK},
        {OPCODE_SET, STATUS_OK, 52, NULL, STATUS_TIMEOUT},
        {OPCODE_GET, STATUS_OK, 52, "taken back", STATUS_STALE},
        {OPCODE_ECHO, STATUS_OK, 0, "echo", STATUS_OK},
        {OPCODE_SET, STATUS_EXISTS, 50, NULL, STATUS_EXISTS},
        {OPCODE_SET, STATUS_EXISTS, 51, NULL, STATUS_TIMEOUT},
        {OPCODE_DELETE, STATUS_BUSY, 0, NULL, STATUS_BUSY},
        {OPCODE_INCR, STATUS_OK, 40, "12345678", STATUS_OK},
        {OPCODE_INCR, STATUS_MORE, 0, NULL, STATUS_MORE},
        {OPCODE_GET, STATUS_MORE, 0, NULL, STATUS_STALE},
        {77, STATUS_BAD_REQUEST, 0, NULL, STATUS_BAD_REQUEST},
        {OPCODE_SET, STATUS_FULL, 0, NULL, STATUS_TIMEOUT},
        {OPCODE_GET, STATUS_STALE, 0, NULL, STATUS_STALE},
        {OPCODE_HEALTH, STATUS_OK, 0, "health", STATUS_OK},
    };
    give_up(lines, sizeof lines / sizeof lines[0], 3, 2);
}

static void a_message_of_durable_replies_stays_as_it_is(void)
{
    static const struct line lines[] = {{OPCODE_SET, STATUS_OK, 50, NULL, STATUS_OK},
                                        {OPCODE_GET, STATUS_OK, 3, "x", STATUS_OK}};
    give_up(lines, 2, 0, 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"entries leave in order and no earlier than the log reaches them",
         entries_leave_in_order_and_no_earlier_than_the_log_reaches_them},
        {"the ring goes round and keeps every byte", the_ring_goes_round_and_keeps_every_byte},
        {"room that was promised is there wherever the ring stands",
         room_that_was_promised_is_there_wherever_the_ring_stands},
        {"room for many is there for each of them", room_for_many_is_there_for_each_of_them},
        {"one host gets a third and a network less than half",
         one_host_gets_a_third_and_a_network_less_than_half},
        {"however many flood a newcomer finds room", however_many_flood_a_newcomer_finds_room},
        {"a ring of another size is refused", a_ring_of_another_size_is_refused},
        {"an entry is overdue after its time", an_entry_is_overdue_after_its_time},
        {"a failed log lets all go", a_failed_log_lets_all_go},
        {"a write that is not durable becomes TIMEOUT", a_write_that_is_not_durable_becomes_timeout},
        {"a read that is not durable becomes STALE and its value goes",
         a_read_that_is_not_durable_becomes_stale_and_its_value_goes},
        {"each reply of several says what is known of it", each_reply_of_several_says_what_is_known_of_it},
        {"a message of durable replies stays as it is", a_message_of_durable_replies_stays_as_it_is},
        CU_TEST_INFO_NULL};
    return suite_run_each("parked", set_up, tear_down, tests);
}
