/*
 * lcores.h - the threads of a real node: worker lcores, the handshake helper, the housekeeper of the log, and the
 * control loop on the calling thread.
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
    pthread_t helper, housekeeper;
    unsigned launched;
    bool helper_runs, housekeeper_runs;
    bool log;        /* the node has a log: the housekeeper is wanted */
    int log_wake_fd; /* with a log: disk_folder_wake_fd() */
    /* What workers raise for the control thread: log_wake_fd; without a log an eventfd of its own, -1: they have nothing for
     * it. Set at start. */
    int wake_fd;
    struct lcore_worker worker[NODE_WORKERS_MAX];
    _Alignas(64) _Atomic bool stop; /* writer: the control thread; readers: workers and the helper */
    /* The control thread naps, and a worker that has something for it raises wake_fd. Set by control, cleared
     * by whoever wakes it or by itself. */
    _Alignas(64) _Atomic bool control_naps;
};

/* 0 or -1 with one line in `error`. All pointers are borrowed. */
int lcores_start(struct lcores *lcores, char *error, size_t error_bytes);
enum lcores_end { LCORES_TOLD, LCORES_READY, LCORES_REFUSED };
/* The control loop while the node recovers: READY; TOLD to stop by one of `signals` (a signalfd); REFUSED, with one
 * line in `error`. Logs how far it is now and then. */
enum lcores_end lcores_recover(struct lcores *lcores, int signals, struct logger *logger, char *error,
                               size_t error_bytes);
/* The control loop, until a signal says stop. SIGUSR1 asks for a snapshot. */
void lcores_control(struct lcores *lcores, int signals, struct logger *logger);
/* Answers what was received, then ends every thread. */
void lcores_stop(struct lcores *lcores);

#endif
