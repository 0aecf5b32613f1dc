/*
 * replication_test.h - what the writer of a replication test and the readers of its replicas share.
 *
 * Writes are numbered 1, 2, 3 ... and come in bursts: the writer waits until every replica has been read for
 * a burst before it begins the next. Write number n stores a value that says so (load_values.h) under a key
 * of n's own within any KEYS writes. A reader looks for the burst's last write first: once a replica shows
 * that, it must show all before it, since a replica applies them in order.
 */
#ifndef WILD_EXAMPLE_REPLICATION_TEST_H
#define WILD_EXAMPLE_REPLICATION_TEST_H

#include <pthread.h>

#include "histogram.h"
#include "nodes.h"

enum { REPLICATION_KEYS = 1000, REPLICATION_BURST_MAX = 8, REPLICATION_KEY_BYTES = 64 };

struct replication_write {
    uint64_t number, version, acknowledged_ns;
};

/* Below `lock`, but for what never changes once the readers run. */
struct replication {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t bursts;         /* so many were written */
    unsigned readers, ready; /* ready: have read the latest */
    bool stop;
    unsigned burst_count;
    struct replication_write burst[REPLICATION_BURST_MAX];

    uint32_t run;
    size_t value_size;
    uint64_t wait_ns;
};

/* One replica and the thread that reads it. */
struct replication_reader {
    struct replication *test;
    pthread_t thread;
    const char *endpoint;
    struct wild_client *client;
    uint64_t seen, missing, wrong;
    bool gone; /* the latest burst was not seen in time: the next is not waited for as long */
    struct histogram lag;
};

uint64_t replication_now_ns(void);
/* Its length. */
size_t replication_key(char out[REPLICATION_KEY_BYTES], uint32_t run, uint64_t number);
void *replication_read(void *reader);

#endif
