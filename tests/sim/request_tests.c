#include "request_tests.h"

#include <string.h>

#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            return #condition;                                                                               \
    } while (0)

static struct operation make(enum opcode opcode, const char *key, const void *value, size_t length)
{
    return (struct operation){.opcode = (uint8_t)opcode,
                              .key = (const uint8_t *)key,
                              .key_length = (uint8_t)strlen(key),
                              .value = value,
                              .value_length = (uint16_t)length};
}

static struct operation set(const char *key, const char *value)
{
    return make(OPCODE_SET, key, value, strlen(value));
}

static struct operation get(const char *key)
{
    return make(OPCODE_GET, key, NULL, 0);
}

/* One operation, one reply. An answer that does not come is STATUS_COUNT. */
static struct reply ask(struct test_client *client, struct operation operation)
{
    struct reply replies[TEST_CLIENT_OPERATIONS];

    if (test_client_request(client, &operation, 1, replies) != 1)
        return (struct reply){.status = STATUS_COUNT};
    return replies[0];
}

static bool is_value(const struct reply *reply, const char *value)
{
    return reply->status == STATUS_OK && reply->value_length == strlen(value) &&
           memcmp(reply->value, value, reply->value_length) == 0;
}

static struct reply incr(struct test_client *client, const char *key, int64_t delta, int64_t initial,
                         uint64_t request_id)
{
    uint8_t operand[INCR_OPERAND_BYTES];
    struct operation operation = make(OPCODE_INCR, key, operand, sizeof operand);

    incr_operand_encode(operand, delta, initial);
    operation.request_id = request_id;
    return ask(client, operation);
}

static bool is_integer(const struct reply *reply, int64_t expected)
{
    int64_t result;

    return reply->status == STATUS_OK && incr_result_decode(reply->value, reply->value_length, &result) &&
           result == expected;
}

/* ---- the tests ---- */

static const char *what_was_set_is_got_and_what_was_deleted_is_not(struct test_client *client)
{
    struct reply reply = ask(client, get("a"));

    MUST(reply.status == STATUS_NOT_FOUND);
    reply = ask(client, set("a", "one"));
    MUST(reply.status == STATUS_OK);
    uint64_t first = reply.version;
    reply = ask(client, get("a"));
    MUST(is_value(&reply, "one"));
    MUST(reply.version == first);
    reply =
        ask(client, set("a", "two, longer than the one before it, so long that it takes more than one line"));
    MUST(reply.version > first);
    reply = ask(client, get("a"));
    MUST(is_value(&reply, "two, longer than the one before it, so long that it takes more than one line"));
    MUST(ask(client, make(OPCODE_DELETE, "a", NULL, 0)).status == STATUS_OK);
    MUST(ask(client, get("a")).status == STATUS_NOT_FOUND);
    MUST(ask(client, make(OPCODE_DELETE, "a", NULL, 0)).status == STATUS_NOT_FOUND);
    return NULL;
}

static const char *conditions_hold_or_say_why_not(struct test_client *client)
{
    struct operation operation = set("c", "1");
    uint64_t version;

    operation.flags = FLAG_IF_PRESENT;
    MUST(ask(client, operation).status == STATUS_NOT_FOUND);
    operation.flags = FLAG_IF_ABSENT;
    struct reply reply = ask(client, operation);
    MUST(reply.status == STATUS_OK);
    version = reply.version;
    reply = ask(client, operation);
    MUST(reply.status == STATUS_EXISTS);
    MUST(reply.version == version);
    operation = set("c", "2");
    operation.flags = FLAG_IF_VERSION;
    operation.version = version + 1;
    reply = ask(client, operation);
    MUST(reply.status == STATUS_VERSION_MISMATCH);
    MUST(reply.version == version);
    operation.version = version;
    MUST(ask(client, operation).status == STATUS_OK);
    reply = ask(client, get("c"));
    MUST(is_value(&reply, "2"));
    operation = make(OPCODE_DELETE, "c", NULL, 0);
    operation.flags = FLAG_IF_VERSION;
    operation.version = version;
    MUST(ask(client, operation).status == STATUS_VERSION_MISMATCH);
    operation = set("c", "3");
    operation.flags = FLAG_IF_ABSENT | FLAG_IF_PRESENT;
    MUST(ask(client, operation).status == STATUS_BAD_REQUEST);
    return NULL;
}

static const char *incr_counts_from_its_initial_value_and_never_wraps(struct test_client *client)
{
    struct reply reply = incr(client, "n", 5, 10, 0);

    MUST(is_integer(&reply, 15));
    reply = incr(client, "n", -20, 0, 0);
    MUST(is_integer(&reply, -5));
    reply = ask(client, get("n"));
    MUST(is_value(&reply, "-5"));
    MUST(ask(client, set("n", "9223372036854775807")).status == STATUS_OK);
    MUST(incr(client, "n", 1, 0, 0).status == STATUS_NOT_A_NUMBER);
    MUST(ask(client, set("n", "seven")).status == STATUS_OK);
    MUST(incr(client, "n", 1, 0, 0).status == STATUS_NOT_A_NUMBER);
    return NULL;
}

static const char *a_repeated_write_happens_once(struct test_client *client)
{
    struct reply reply = incr(client, "once", 1, 0, 0);
    uint64_t id = reply.request_id;

    MUST(is_integer(&reply, 1));
    for (unsigned i = 0; i < 5; i++) {
        reply = incr(client, "once", 1, 0, id);
        MUST(is_integer(&reply, 1));
    }
    reply = incr(client, "once", 1, 0, 0);
    MUST(is_integer(&reply, 2));
    for (unsigned i = 0; i < RETRY_WINDOW_IDS + 8; i++)
        MUST(ask(client, set("other", "x")).status == STATUS_OK);
    MUST(incr(client, "once", 1, 0, id).status == STATUS_TIMEOUT);
    reply = ask(client, get("once"));
    MUST(is_value(&reply, "2"));
    return NULL;
}

static const char *items_expire_and_touch_renews_them(struct test_client *client)
{
    struct operation short_lived = set("e", "x"), touched = set("t", "x"),
                     touch = make(OPCODE_TOUCH, "t", NULL, 0);

    short_lived.ttl_ms = touched.ttl_ms = 400;
    MUST(ask(client, short_lived).status == STATUS_OK);
    MUST(ask(client, touched).status == STATUS_OK);
    MUST(ask(client, touch).status == STATUS_OK); /* ttl 0: for good */
    MUST(ask(client, get("e")).status == STATUS_OK);
    client->link.pass_time(client->link.state, 600);
    MUST(ask(client, get("e")).status == STATUS_NOT_FOUND);
    MUST(ask(client, get("t")).status == STATUS_OK);
    touch = make(OPCODE_TOUCH, "e", NULL, 0);
    MUST(ask(client, touch).status == STATUS_NOT_FOUND);
    return NULL;
}

static const char *a_batch_answers_each_operation_in_order(struct test_client *client)
{
    struct operation operations[] = {set("b1", "x"),
                                     get("b1"),
                                     get("b2"),
                                     set("b2", "y"),
                                     get("b2"),
                                     make(99, "", NULL, 0),
                                     make(OPCODE_DELETE, "b1", NULL, 0),
                                     get("b1")};
    static const uint8_t expected[] = {STATUS_OK, STATUS_OK,          STATUS_NOT_FOUND, STATUS_OK,
                                       STATUS_OK, STATUS_BAD_REQUEST, STATUS_OK,        STATUS_NOT_FOUND};
    struct reply replies[TEST_CLIENT_OPERATIONS];
    enum { COUNT = sizeof operations / sizeof operations[0] };

    MUST(test_client_request(client, operations, COUNT, replies) == COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        MUST(replies[i].status == expected[i]);
        MUST(replies[i].request_id == operations[i].request_id);
    }
    MUST(is_value(&replies[1], "x"));
    MUST(is_value(&replies[4], "y"));
    return NULL;
}

static const char *the_largest_items_fit_and_larger_ones_are_refused(struct test_client *client)
{
    char key[KEY_BYTES_MAX + 2];
    uint8_t value[VALUE_BYTES_MAX];

    memset(key, 'k', sizeof key);
    key[KEY_BYTES_MAX] = '\0';
    for (unsigned i = 0; i < sizeof value; i++)
        value[i] = (uint8_t)(i * 7);
    MUST(ask(client, make(OPCODE_SET, key, value, sizeof value)).status == STATUS_OK);
    struct reply reply = ask(client, get(key));
    MUST(reply.status == STATUS_OK && reply.value_length == sizeof value);
    MUST(memcmp(reply.value, value, sizeof value) == 0);
    MUST(ask(client, make(OPCODE_SET, "empty", NULL, 0)).status == STATUS_OK);
    reply = ask(client, get("empty"));
    MUST(reply.status == STATUS_OK && reply.value_length == 0);
    key[KEY_BYTES_MAX] = 'k';
    key[KEY_BYTES_MAX + 1] = '\0';
    MUST(ask(client, get(key)).status == STATUS_TOO_LARGE);
    return NULL;
}

static const char *what_does_not_fit_the_reply_is_told_and_not_done(struct test_client *client)
{
    uint8_t value[VALUE_BYTES_MAX] = {1};
    struct operation operations[] = {get("big1"), get("big2")};
    struct reply replies[TEST_CLIENT_OPERATIONS];

    MUST(ask(client, make(OPCODE_SET, "big1", value, sizeof value)).status == STATUS_OK);
    MUST(ask(client, make(OPCODE_SET, "big2", value, sizeof value)).status == STATUS_OK);
    MUST(test_client_request(client, operations, 2, replies) == 2);
    MUST(replies[0].status == STATUS_OK && replies[0].value_length == sizeof value);
    MUST(replies[1].status == STATUS_MORE && replies[1].value_length == 0);
    return NULL;
}

static const char *flush_empties_the_table_at_once(struct test_client *client)
{
    struct reply reply = ask(client, set("f", "x"));
    uint64_t before = reply.version;

    MUST(reply.status == STATUS_OK);
    reply = ask(client, make(OPCODE_FLUSH, "", NULL, 0));
    MUST(reply.status == STATUS_OK && reply.version > before);
    MUST(ask(client, get("f")).status == STATUS_NOT_FOUND);
    MUST(ask(client, set("f", "y")).status == STATUS_OK);
    reply = ask(client, get("f"));
    MUST(is_value(&reply, "y"));
    return NULL;
}

static const char *reads_may_ask_for_a_state_and_learn_that_it_is_not_there(struct test_client *client)
{
    struct reply reply = ask(client, set("m", "x"));
    struct operation operation = get("m");

    operation.flags = FLAG_MIN_LSN;
    operation.version = reply.version;
    reply = ask(client, operation);
    MUST(is_value(&reply, "x"));
    operation.version += 1000000;
    reply = ask(client, operation);
    MUST(reply.status == STATUS_STALE || reply.status == STATUS_LOST);
    return NULL;
}

static const char *echo_and_health_answer(struct test_client *client)
{
    struct reply reply = ask(client, make(OPCODE_ECHO, "", "hello", 5));
    struct health health;

    MUST(is_value(&reply, "hello"));
    reply = ask(client, make(OPCODE_HEALTH, "", NULL, 0));
    MUST(reply.status == STATUS_OK && health_decode(reply.value, reply.value_length, &health));
    MUST(health.mode == MODE_STANDALONE && health.state == STATE_SERVING);
    MUST(health.epoch == 1 && client->reply_header.epoch == 1);
    MUST(health.capacity > 0 && health.lines_used <= health.capacity && health.lsn >= UINT64_C(1) << 32);
    return NULL;
}

static const char *many_items_are_all_there(struct test_client *client)
{
    enum { ITEMS = 600 };
    char key[16], value[16];

    for (unsigned i = 0; i < ITEMS; i++) {
        memcpy(key, "many-0000", 10);
        memcpy(value, "v0000", 6);
        for (unsigned digit = 0, n = i; digit < 4; digit++, n /= 10)
            key[8 - digit] = value[4 - digit] = (char)('0' + n % 10);
        MUST(ask(client, set(key, value)).status == STATUS_OK);
    }
    for (unsigned i = 0; i < ITEMS; i++) {
        for (unsigned digit = 0, n = i; digit < 4; digit++, n /= 10)
            key[8 - digit] = value[4 - digit] = (char)('0' + n % 10);
        struct reply reply = ask(client, get(key));
        MUST(is_value(&reply, value));
    }
    return NULL;
}

const struct request_test request_tests[] = {
    {"what_was_set_is_got_and_what_was_deleted_is_not", what_was_set_is_got_and_what_was_deleted_is_not},
    {"conditions_hold_or_say_why_not", conditions_hold_or_say_why_not},
    {"incr_counts_from_its_initial_value_and_never_wraps",
     incr_counts_from_its_initial_value_and_never_wraps},
    {"a_repeated_write_happens_once", a_repeated_write_happens_once},
    {"items_expire_and_touch_renews_them", items_expire_and_touch_renews_them},
    {"a_batch_answers_each_operation_in_order", a_batch_answers_each_operation_in_order},
    {"the_largest_items_fit_and_larger_ones_are_refused", the_largest_items_fit_and_larger_ones_are_refused},
    {"what_does_not_fit_the_reply_is_told_and_not_done", what_does_not_fit_the_reply_is_told_and_not_done},
    {"flush_empties_the_table_at_once", flush_empties_the_table_at_once},
    {"reads_may_ask_for_a_state_and_learn_that_it_is_not_there",
     reads_may_ask_for_a_state_and_learn_that_it_is_not_there},
    {"echo_and_health_answer", echo_and_health_answer},
    {"many_items_are_all_there", many_items_are_all_there},
};
const unsigned request_tests_count = sizeof request_tests / sizeof request_tests[0];
