/*
 * control_streams_internal.h - what the files of control_streams share. Nobody else includes it.
 *
 *   control_streams.c          which of the two a node has
 *   control_streams_sockets.c  over kernel sockets
 */
#ifndef WILD_CONTROL_STREAMS_INTERNAL_H
#define WILD_CONTROL_STREAMS_INTERNAL_H

#include "control_streams.h"
#include "kernel/kernel_worker.h"

struct control_streams {
    struct node *node;
    struct control_streams_config config;
    struct kernel_port listener; /* over sockets, where somebody listens; else it has no workers */
    struct kernel_worker *sockets;
};

/* 0 or -1, as control_streams_create(). */
int control_sockets_start(struct control_streams *streams, char *error, size_t error_bytes);
void control_sockets_stop(struct control_streams *streams);

#endif
