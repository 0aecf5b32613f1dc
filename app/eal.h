/*
 * eal.h - from --nic to ports of DPDK's environment abstraction layer: looks at the machine, composes the
 * EAL's arguments, starts it, and finds the port of each --nic.
 *
 * The EAL exists once a process and is not part of a node.
 */
#ifndef WILD_EAL_H
#define WILD_EAL_H

#include <stdbool.h>
#include <stdint.h>

#include "log.h"
#include "options.h"

struct eal {
    unsigned workers; /* worker lcores in use */
    unsigned worker_lcore[NODE_WORKERS_MAX];
    unsigned worker_cpu[NODE_WORKERS_MAX]; /* the CPU each is pinned to */
    bool shared_core;                      /* the control lcore shares its core with a worker */
    bool huge_pages_refused;               /* the operator gave --no-huge among the raw arguments */
    bool memory_given;                     /* ... or said themselves what memory the EAL takes */
    bool own_prefix;                       /* the EAL's folder is named after this process */
    uint16_t port_id[NODE_PORTS_MAX];      /* of each --nic */
    struct eal_log *log;
};

/*
 * 0, or -1 with one line in `error` that says what to do. DPDK's own messages go to `logger` at debug level;
 * the first error among them explains a failure. Nothing is printed to stdout.
 */
int eal_start(struct eal *eal, const struct options *options, const struct logger *logger, char *error,
              size_t error_bytes);
void eal_stop(struct eal *eal);

/*
 * Whether the machine lets this --nic be used, before any device is touched: 0, or -1 with one line in
 * `error`. Never the interface of the default route, never an address that the kernel owns.
 */
int nic_check(const struct nic_option *nic, char *error, size_t error_bytes);
/* The same for the default route alone. */
int nic_check_route(const char *interface, char *error, size_t error_bytes);

#endif
