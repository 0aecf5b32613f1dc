/*
 * tcp_time_wait.h - what is remembered of a connection in TIME-WAIT (RFC 9293 3.6.1): enough to acknowledge a
 * repeated FIN, to ignore RSTs (RFC 1337) and to let a new SYN in when it is safe (RFC 6191).
 *
 * Records end in the order in which they began, so they are a ring: the oldest ends when its time has come,
 * or early when a new one needs its place. A repeated FIN starts the time anew by moving the record to the
 * end.
 */
#ifndef WILD_TCP_TIME_WAIT_H
#define WILD_TCP_TIME_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "net/endpoint.h"

struct tcp_time_wait {
    struct return_path path;
    uint32_t hash;
    uint32_t snd_nxt, rcv_nxt, rcv_wnd;
    uint32_t ts_recent, ts_offset;
    uint64_t ends_ns; /* 0: free */
    uint64_t ts_recent_ns;
    bool timestamps;
    uint32_t next, previous; /* in order of ends_ns */
};

struct tcp_time_waits {
    struct tcp_time_wait *record;
    uint32_t count_max, used, free, oldest, newest;
};

int tcp_time_waits_init(struct tcp_time_waits *waits, unsigned count_max, int numa_node);
void tcp_time_waits_fini(struct tcp_time_waits *waits);
/* A place for a new record, the newest; *displaced: the number of one that ended early for it (still filled
 * in, to be taken out of the demultiplexer first), or UINT32_MAX. UINT32_MAX: the pool has no places. */
uint32_t tcp_time_wait_take(struct tcp_time_waits *waits, uint64_t ends_ns, uint32_t *displaced);
void tcp_time_wait_again(struct tcp_time_waits *waits, uint32_t number, uint64_t ends_ns);
void tcp_time_wait_free(struct tcp_time_waits *waits, uint32_t number);
/* The oldest if its time has come, else UINT32_MAX. */
uint32_t tcp_time_wait_due(const struct tcp_time_waits *waits, uint64_t now_ns);

#endif
