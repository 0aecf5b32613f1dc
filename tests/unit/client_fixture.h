/*
 * client_fixture.h - one client and the responder it talks to, for the tests of libwild. No pass or fail
 * depends on how long something took, but for bounds that only a hang exceeds.
 */
#ifndef WILD_TESTS_CLIENT_FIXTURE_H
#define WILD_TESTS_CLIENT_FIXTURE_H

#include <stdio.h>

#include "client.h"
#include "client_responder.h"
#include "suite.h"

#define CLIENT_SECRET "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* CUnit's fixtures have no argument: one pair at a time, made by `begin`. */
struct fixture {
    struct responder *node;
    struct wild_client *client;
    struct responder_entry log[RESPONDER_LOG_MAX];
};

static inline struct wild_client *open_client(const struct responder *node, uint32_t timeout_ms, bool sealed)
{
    char error[WILD_ERROR_BYTES];
    struct wild_options options = {.endpoint = responder_endpoint(node),
                                   .secret = CLIENT_SECRET,
                                   .timeout_ms = timeout_ms,
                                   .connect_timeout_ms = 10000,
                                   .sealed = sealed,
                                   .transport =
                                       responder_is_stream(node) ? WILD_TRANSPORT_TCP : WILD_TRANSPORT_UDP};
    struct wild_client *client = wild_connect(&options, error);
    if (client == NULL)
        fprintf(stderr, "%s\n", error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(client);
    return client;
}

static inline void begin_with(struct fixture *f, uint32_t timeout_ms, bool sealed)
{
    f->node = responder_start(CLIENT_SECRET, "127.0.0.1");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f->node);
    f->client = open_client(f->node, timeout_ms, sealed);
}

static inline void begin_stream(struct fixture *f, uint32_t timeout_ms)
{
    f->node = responder_start_stream(CLIENT_SECRET, "127.0.0.1");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f->node);
    f->client = open_client(f->node, timeout_ms, false);
}

static inline void begin(struct fixture *f)
{
    begin_with(f, 20000, false);
}

static inline void end(struct fixture *f)
{
    wild_close(f->client);
    responder_stop(f->node);
}

static inline struct wild_statistics statistics(const struct fixture *f)
{
    struct wild_statistics s;
    wild_statistics(f->client, &s);
    return s;
}

static inline unsigned count_opcode(struct fixture *f, unsigned opcode, unsigned *executed)
{
    unsigned n = responder_log(f->node, f->log), found = 0;
    *executed = 0;
    for (unsigned i = 0; i < n; i++)
        if (f->log[i].opcode == opcode)
            found++, *executed += f->log[i].executed;
    return found;
}

/* Takes every result; false when one of them is not `status`. */
static inline bool drain(struct fixture *f, enum wild_status status, unsigned expected)
{
    struct wild_result results[WILD_PIPELINE_MAX];
    bool all = true;
    unsigned n = 0;
    while (wild_in_flight(f->client) > 0) {
        size_t got = wild_poll(f->client, results, WILD_PIPELINE_MAX, 20000);
        for (size_t i = 0; i < got; i++, n++)
            all = all && results[i].status == status;
    }
    return all && n == expected;
}

static inline enum wild_status set(struct fixture *f, const char *key, const char *value)
{
    return wild_set(f->client, key, strlen(key), value, strlen(value), NULL, NULL);
}

static inline bool holds(struct fixture *f, const char *key, const char *value)
{
    struct wild_result result;
    return wild_get(f->client, key, strlen(key), &result) == WILD_OK &&
           result.value_length == strlen(value) && memcmp(result.value, value, strlen(value)) == 0;
}

/*
 * Operations of every kind, a few at a time, for whose answers the node has its orders, or gets them from `order` before
 * each round: whatever is in those answers, all that was accepted ends, and every byte that is given can be read.
 */
static inline void expect_every_answer(struct fixture *f, void (*order)(struct fixture *f, unsigned round))
{
    struct wild_result results[WILD_PIPELINE_MAX];
    unsigned accepted = 0, finished = 0;
    for (unsigned round = 0; round < 200; round++) {
        struct wild_request request = {.operation = WILD_OP_GET + round % 5,
                                       .key = &"abcdefgh"[round % 8],
                                       .key_length = 1,
                                       .value = "another value",
                                       .value_length = round % 14};
        if (order != NULL)
            order(f, round);
        wild_batch_begin(f->client);
        for (unsigned i = 0; i <= round % 5; i++)
            accepted += wild_submit(f->client, &request) == WILD_OK;
        wild_batch_end(f->client);
        while (wild_in_flight(f->client) > 0) {
            size_t n = wild_poll(f->client, results, WILD_PIPELINE_MAX, 20000);
            for (size_t i = 0; i < n; i++, finished++) {
                volatile uint8_t sum = 0;
                for (size_t at = 0; at < results[i].value_length; at++)
                    sum = (uint8_t)(sum + ((const uint8_t *)results[i].value)[at]);
                CU_ASSERT(results[i].value_length <= WILD_VALUE_MAX);
            }
        }
    }
    CU_ASSERT(accepted > 0);
    CU_ASSERT_EQUAL(finished, accepted);
}

#endif
