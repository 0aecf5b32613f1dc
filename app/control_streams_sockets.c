/* control_streams_sockets.c - the control lcore's streams over kernel sockets: a kernel worker that has a listener at the
 * most, and no datagrams. */
#include "control_streams_internal.h"

#include <stdio.h>

#include "node_internal.h"

static int listen_at(struct control_streams *streams, char *error, size_t error_bytes)
{
    const struct node_config *node = &streams->node->config;
    struct kernel_port_config config = {
        .address = node->replication.own_address ? node->replication.address : node->kernel->address,
        .port = streams->config.port,
        .workers = 1,
        .streams = true,
        .streams_alone = true,
        .port_name = "--replication-port",
        .address_name = node->replication.own_address ? "--replication-address" : NULL};

    if (kernel_port_open(&streams->listener, &config, error, error_bytes) != 0)
        return -1;
    streams->config.port = streams->listener.port;
    return 0;
}

/* Every stream may have as much as it is allowed to; memory is taken as it is used. */
static unsigned blocks_max(const struct control_streams_config *config)
{
    return config->streams_max * (config->send_bytes_max / (KERNEL_BLOCK_BYTES / 2) + 1);
}

int control_sockets_start(struct control_streams *streams, char *error, size_t error_bytes)
{
    struct node *node = streams->node;
    bool listens = streams->config.acceptor.accepted != NULL;
    struct kernel_worker_config config = {
        .sockets = {.datagrams = -1, .listener = -1},
        .acceptor = streams->config.acceptor,
        .streams_max = streams->config.streams_max,
        .blocks_max = blocks_max(&streams->config),
        .send_bytes_max = streams->config.send_bytes_max,
        .random = &node->config.random,
        .counters = &node->control.counters,
        .numa_node = node->config.numa_node,
    };

    if (!listens)
        streams->config.port = 0;
    /* Who only connects from an address of its own finds out now whether this machine has it. */
    if ((listens || node->config.replication.own_address) && listen_at(streams, error, error_bytes) != 0)
        return -1;
    if (listens) {
        config.sockets = streams->listener.sockets[0];
    } else {
        kernel_port_close(&streams->listener);
        streams->config.port = 0;
    }
    streams->sockets = kernel_worker_create(&config, node->started);
    if (streams->sockets != NULL)
        return 0;
    snprintf(error, error_bytes, "no memory or descriptors for replication");
    kernel_port_close(&streams->listener);
    return -1;
}

void control_sockets_stop(struct control_streams *streams)
{
    kernel_worker_destroy(streams->sockets);
    kernel_port_close(&streams->listener);
}
