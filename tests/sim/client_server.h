/*
 * client_server.h - what libwild and its load test owe a user of the real native service, whatever carries
 * their messages: the part that the tests over UDP and those over TCP share.
 */
#ifndef WILD_TESTS_CLIENT_SERVER_H
#define WILD_TESTS_CLIENT_SERVER_H

#include <stdio.h>

#include "../unit/native_peer.h"
#include "../unit/suite.h"
#include "wild.h"

/* Waits for as long as only a hang takes. */
static inline struct wild_client *connect_with(struct wild_options options)
{
    char error[WILD_ERROR_BYTES];
    options.timeout_ms = options.connect_timeout_ms = 30000;
    struct wild_client *client = wild_connect(&options, error);
    if (client == NULL)
        fprintf(stderr, "%s\n", error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(client);
    return client;
}

/* The node must be empty. */
static inline void expect_every_operation(struct wild_client *client)
{
    struct wild_result result;
    struct wild_health health;
    uint8_t big[WILD_VALUE_MAX];
    memset(big, 0xA5, sizeof(big));
    CU_ASSERT_EQUAL(wild_get(client, "k", 1, &result), WILD_NOT_FOUND);
    CU_ASSERT_EQUAL(wild_set(client, "k", 1, big, sizeof(big), NULL, &result), WILD_OK);
    uint64_t version = result.version;
    CU_ASSERT_EQUAL(wild_get(client, "k", 1, &result), WILD_OK);
    CU_ASSERT(result.value_length == sizeof(big) && memcmp(result.value, big, sizeof(big)) == 0);
    CU_ASSERT_EQUAL(result.version, version);
    CU_ASSERT_EQUAL(result.history, NATIVE_PEER_HISTORY);
    struct wild_write_options options = {.if_version = true, .version = version + 1};
    CU_ASSERT_EQUAL(wild_set(client, "k", 1, "v", 1, &options, NULL), WILD_VERSION_MISMATCH);
    options.version = version;
    CU_ASSERT_EQUAL(wild_set(client, "k", 1, "v", 1, &options, NULL), WILD_OK);
    CU_ASSERT_EQUAL(wild_touch(client, "k", 1, 60000, NULL), WILD_OK);
    CU_ASSERT_EQUAL(wild_incr(client, "k", 1, 1, 0, NULL, NULL), WILD_NOT_A_NUMBER);
    CU_ASSERT_EQUAL(wild_incr(client, "n", 1, INT64_MIN, 0, NULL, &result), WILD_OK);
    CU_ASSERT_EQUAL(result.integer, INT64_MIN);
    CU_ASSERT_EQUAL(wild_incr(client, "n", 1, -1, 0, NULL, NULL), WILD_NOT_A_NUMBER);
    CU_ASSERT_EQUAL(wild_health(client, &health), WILD_OK);
    CU_ASSERT_EQUAL(health.items, 2);
    CU_ASSERT_EQUAL(health.epoch, 3);
    CU_ASSERT_EQUAL(wild_delete(client, "k", 1, NULL, NULL), WILD_OK);
    CU_ASSERT_EQUAL(wild_flush(client, NULL), WILD_OK);
    CU_ASSERT_EQUAL(wild_get(client, "n", 1, NULL), WILD_NOT_FOUND);
}

/* One after the other, each of them like `first`; the node has no "n" yet. */
static inline void expect_a_thousand_clients(struct wild_client *first)
{
    char error[WILD_ERROR_BYTES];
    for (unsigned i = 0; i < 1000; i++) {
        struct wild_client *client = wild_duplicate(first, error);
        struct wild_result result;
        CU_ASSERT_PTR_NOT_NULL_FATAL(client);
        CU_ASSERT_EQUAL(wild_incr(client, "n", 1, 1, 0, NULL, &result), WILD_OK);
        CU_ASSERT_EQUAL(result.integer, i + 1);
        wild_close(client);
    }
}

/* `program` load-test, for a second: a mixed load on keys of each connection's own, every value verified. */
static inline void expect_load_test(const char *program, const char *transport, const char *endpoint,
                                    const char *arguments)
{
    char command[512], line[512] = "";
    unsigned long long operations = 0, errors = 1, mismatches = 1;
    snprintf(command, sizeof(command),
             "WILD_AUTH_SECRET=%s %s --transport %s --endpoint %s --timeout 20000 load-test --seconds 1"
             " %s 2>/dev/null",
             NATIVE_PEER_SECRET, program, transport, endpoint, arguments);
    FILE *pipe = popen(command, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(pipe);
    CU_ASSERT_PTR_NOT_NULL(fgets(line, sizeof(line), pipe));
    CU_ASSERT_EQUAL(pclose(pipe), 0);
    CU_ASSERT_EQUAL(sscanf(line, "load-test: %llu operations, %llu errors, %llu mismatches", &operations,
                           &errors, &mismatches),
                    3);
    CU_ASSERT(operations > 0 && errors == 0 && mismatches == 0);
    printf("%s", line);
}

#endif
