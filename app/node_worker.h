/*
 * node_worker.h - one worker of a node. node.c starts and stops them; their turns stand in node.h.
 */
#ifndef WILD_NODE_WORKER_H
#define WILD_NODE_WORKER_H

#include "node_internal.h"

/* 0, or -1: memory is short; what was started is stopped by node_worker_stop(), which takes any part of it. */
int node_worker_start(struct node *node, unsigned i);
void node_worker_stop(struct node *node, unsigned i);
/*
 * The log is durable further than it was: workers that sleep over kernel sockets with replies that wait for it
 * are woken. Control thread; cheap when none is.
 */
void node_workers_wake(struct node *node);
/*
 * What was published just now is to be seen by every worker, none of which may be in a turn that saw what was there
 * before: begins that, and wakes those who sleep. Control thread. node_quiescent(): they all have noted that generation,
 * and none has replies waiting that it read under a table that is being hidden.
 */
uint64_t node_new_generation(struct node *node);
bool node_quiescent(const struct node *node, uint64_t generation);

#endif
