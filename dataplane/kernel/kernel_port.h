/*
 * kernel_port.h - the sockets of a node that uses the kernel's network stack instead of a device of its own:
 * for each worker one for datagrams and one that listens for streams, all on one address and port. The kernel
 * gives every flow to one worker's socket (SO_REUSEPORT hashes the 4-tuple), as RSS does on a device, and the
 * same one as long as the node runs.
 */
#ifndef WILD_KERNEL_PORT_H
#define WILD_KERNEL_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/endpoint.h"

enum {
    KERNEL_WORKERS_MAX = 64,
    /* Asked for; the kernel's limits may give less (sysctl net.core.rmem_max). A worker that is not scheduled
     * for 10 ms finds 200,000 small datagrams a second still there. */
    KERNEL_DATAGRAM_BUFFER_BYTES = 4 << 20,
    KERNEL_BACKLOG = 1024, /* connections that wait for accept, each worker */
};

struct kernel_port_config {
    struct address address; /* IPv4; 0.0.0.0: every address of the machine */
    uint16_t port;          /* host order; 0: any that is free for both */
    unsigned workers;
    bool streams;       /* false: datagrams alone; nobody gets a connection that no one would answer */
    bool streams_alone; /* and no datagrams */
    /* Options that chose port and address, for `error`; NULL: --port, --bind-address. */
    const char *port_name, *address_name;
};

struct kernel_sockets {
    int datagrams, listener; /* -1: none */
};

struct kernel_port {
    struct address address;
    uint16_t port; /* host order; the one that was found where any was asked for */
    unsigned workers;
    struct kernel_sockets sockets[KERNEL_WORKERS_MAX];
};

/*
 * 0, or -1 with one line in `error` that says what to do. A port that anyone uses, another wild included, is
 * refused. Needs no privilege from port 1,024 on.
 */
int kernel_port_open(struct kernel_port *out, const struct kernel_port_config *config, char *error,
                     size_t error_bytes);
void kernel_port_close(struct kernel_port *port);

#endif
