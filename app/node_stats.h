/*
 * node_stats.h - a node as the source of the numbers on its pages.
 */
#ifndef WILD_NODE_STATS_H
#define WILD_NODE_STATS_H

#include "node_internal.h"

struct stats_source node_stats(struct node *node);
/* What others may know of this worker's connections: called by the worker itself, now and then. */
void node_stats_publish(struct node_worker *worker, struct instant now);

#endif
