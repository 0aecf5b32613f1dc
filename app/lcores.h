/*
 * lcores.h - the threads of a real node: worker lcores, the handshake helper, and the control loop on the
 * calling thread.
 */
#ifndef WILD_LCORES_H
#define WILD_LCORES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "clock.h"
#include "eal.h"
#include "node.h"

struct lcores;

struct lcore_worker {
    struct lcores *lcores;
    unsigned index; /* of the node's worker */
};

struct lcores {
    struct node *node;
    const struct eal *eal;
    struct clock *clock;
    enum idle idle;
    bool kernel; /* the node has sockets of the kernel's, which workers can wait for */
    pthread_t helper;
    unsigned launched;
    bool helper_runs;
    struct lcore_worker worker[NODE_WORKERS_MAX];
    _Alignas(64) _Atomic bool stop; /* writer: the control thread; readers: workers and the helper */
};

/* 0 or -1 with one line in `error`. All pointers are borrowed. */
int lcores_start(struct lcores *lcores, char *error, size_t error_bytes);
/* The control loop, until `signals` (a signalfd) is readable. */
void lcores_control(struct lcores *lcores, int signals);
/* Answers what was received, then ends every thread. */
void lcores_stop(struct lcores *lcores);

#endif
