/*
 * crash_worker.h - what the simulated node's workers do: operations on few keys, so that they collide,
 * checked against the journal, and the answers that clients wait for.
 */
#ifndef WILD_TESTS_CRASH_WORKER_H
#define WILD_TESTS_CRASH_WORKER_H

#include "crash_node.h"

void worker_step(struct node *node, unsigned worker);

#endif
