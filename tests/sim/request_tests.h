/*
 * request_tests.h - what every node must answer, whatever carries the datagrams: one table of tests that runs
 * over the simulator's links and over a veth into a namespace.
 */
#ifndef WILD_REQUEST_TESTS_H
#define WILD_REQUEST_TESTS_H

#include "test_client.h"

struct request_test {
    const char *name;
    /* NULL, or what was not as it must be. The client has a session; the table holds nothing of the test's. */
    const char *(*run)(struct test_client *client);
};

extern const struct request_test request_tests[];
extern const unsigned request_tests_count;

#endif
