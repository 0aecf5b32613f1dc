/*
 * lcores.c - loops around the node's turns: time read once a turn, naps while there is nothing to do.
 */
#include "lcores.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_pause.h>

#include "napper.h"

enum {
    /* The first packet after a quiet time waits for the end of the longest nap and a wake-up: at most 100
     * us. */
    WORKER_NAP_NS = 50 * 1000,
    /* Over kernel sockets a worker sleeps until something comes; this long at most, so that it sweeps, and
     * hears of the end. */
    WORKER_WAIT_MS = 5,
    /* Who waits for the log spins for as long as a quick disk takes: nobody wakes it. */
    WAIT_SPIN_NS = 500 * 1000,
    /* Without a log. With one, whoever has something for it wakes the control lcore. */
    CONTROL_NAP_NS = 1000 * 1000,
    HELPER_NAP_NS = 500 * 1000,
    /* Segments and snapshots are asked for long before they are needed. */
    HOUSEKEEPER_NAP_NS = 2 * 1000 * 1000,
    /* Between two parts of a snapshot: the table's lines are left to the workers. */
    SNAPSHOT_PAUSE_NS = 500 * 1000,
    WALL_REFRESH_NS = 10 * 1000 * 1000,
    /* At the end: more than all rings hold (CONTROL_LOG_RECORDS_TURN each). */
    LAST_TURNS_MAX = 4096,
};

#define PROGRESS_NS UINT64_C(1000000000)

struct control_loop {
    struct napper napper;
    uint64_t refresh_due_ns;
};

static void start_naps(struct napper *napper, uint32_t longest_ns)
{
    napper_init(napper, longest_ns);
    /* The kernel otherwise adds up to 50 us to every nap. */
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
}

/* How long a worker naps after a turn. */
static uint32_t worker_nap_ns(const struct lcore_worker *worker, struct napper *napper, bool busy,
                              uint64_t now_ns)
{
    uint32_t nap = napper_turn(napper, busy, now_ns);

    if (nap == 0 || !node_worker_waits(worker->lcores->node, worker->index))
        return nap;
    return now_ns - napper->idle_since_ns < WAIT_SPIN_NS ? 0 : nap;
}

/* Nothing to do, and no nap. Who shares a core would else keep the other one from it until the scheduler's tick. */
static void spin(const struct lcores *lcores)
{
    if (lcores->eal->shared_core)
        sched_yield();
    else
        rte_pause();
}

static void nap(uint32_t ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* ---- the control thread's nap ---- */

/* Without a log what workers write to theirs is only counted: nobody is woken for that. */
static bool has_news(const struct lcores *lcores, unsigned worker)
{
    return (lcores->log && node_worker_logged(lcores->node, worker)) || node_control_has_frames(lcores->node);
}

static bool any_news(const struct lcores *lcores)
{
    for (unsigned i = 0; i < lcores->eal->workers; i++)
        if (has_news(lcores, i))
            return true;
    return false;
}

/* Until a worker has something for it, a block of the log is on the disk, or a stream over sockets has something to do;
 * and for `ns` at the most. */
static void control_nap(struct lcores *lcores, uint32_t ns, uint64_t now_ns)
{
    /* poll(2) leaves out what is -1 */
    struct pollfd wake[] = {{.fd = lcores->wake_fd, .events = POLLIN},
                            {.fd = node_control_wait_fd(lcores->node), .events = POLLIN}};
    uint64_t next_ns = node_control_next_ns(lcores->node);
    eventfd_t count;

    if (next_ns <= now_ns)
        return;
    ns = (uint32_t)RTE_MIN(ns, next_ns - now_ns);
    if (lcores->wake_fd < 0) {
        ppoll(&wake[1], 1, &(struct timespec){.tv_nsec = ns}, NULL);
        return;
    }
    /* seq_cst, so that this stands before the look at the rings. A worker looks here after it has written without such
     * an order: rarely it sees no nap, and what it has written waits for the nap's end. */
    atomic_store_explicit(&lcores->control_naps, true, memory_order_seq_cst);
    if (any_news(lcores)) /* just now, or the disk is full and nothing can be taken */
        ns = RTE_MIN(ns, (uint32_t)WORKER_NAP_NS);
    if (ppoll(wake, RTE_DIM(wake), &(struct timespec){.tv_nsec = ns}, NULL) > 0 && wake[0].revents != 0)
        eventfd_read(lcores->wake_fd, &count);
    atomic_store_explicit(&lcores->control_naps, false, memory_order_relaxed);
}

/* After a worker's turn. With --idle poll the control thread never naps, and no worker makes a call here. */
static inline void wake_control(struct lcores *lcores, unsigned worker)
{
    /* relaxed: a hint */
    if (atomic_load_explicit(&lcores->control_naps, memory_order_relaxed) && has_news(lcores, worker) &&
        atomic_exchange_explicit(&lcores->control_naps, false, memory_order_relaxed))
        eventfd_write(lcores->wake_fd, 1);
}

/* ---- workers ---- */

static int worker_loop(void *argument)
{
    const struct lcore_worker *worker = argument;
    struct lcores *lcores = worker->lcores;
    bool poll = lcores->idle == IDLE_POLL;
    struct napper napper;

    start_naps(&napper, WORKER_NAP_NS);
    /* acquire: pairs with release in end_threads() */
    while (!atomic_load_explicit(&lcores->stop, memory_order_acquire)) {
        struct instant now = clock_now(lcores->clock);
        unsigned frames = node_worker_turn(lcores->node, worker->index, now);
        uint32_t rest_ns = 0;

        if (frames != 0)
            wake_control(lcores, worker->index);
        if (!poll)
            rest_ns = worker_nap_ns(worker, &napper, frames != 0, now.mono_ns);
        if (rest_ns != 0)
            nap(rest_ns);
        else if (frames == 0)
            spin(lcores);
    }
    return 0;
}

/* The same over kernel sockets: nothing is gained by polling those but with --idle poll. */
static int socket_worker_loop(void *argument)
{
    const struct lcore_worker *worker = argument;
    struct lcores *lcores = worker->lcores;
    unsigned wait_ms = lcores->idle == IDLE_POLL ? 0 : WORKER_WAIT_MS;

    while (!atomic_load_explicit(&lcores->stop, memory_order_acquire)) {
        unsigned done = node_worker_turn(lcores->node, worker->index, clock_now(lcores->clock));

        if (done != 0)
            wake_control(lcores, worker->index);
        else
            node_worker_wait(lcores->node, worker->index, wait_ms);
        if (done == 0 && wait_ms == 0)
            spin(lcores);
    }
    return 0;
}

static void *helper_loop(void *argument)
{
    struct lcores *lcores = argument;
    struct napper napper;

    start_naps(&napper, HELPER_NAP_NS);
    while (!atomic_load_explicit(&lcores->stop, memory_order_acquire)) {
        bool busy = node_helper_step(lcores->node);
        uint32_t rest_ns = napper_turn(&napper, busy, clock_now(lcores->clock).mono_ns);

        if (rest_ns != 0)
            nap(rest_ns);
        else if (!busy)
            rte_pause();
    }
    return NULL;
}

static void *housekeeper_loop(void *argument)
{
    static const uint32_t pause_ns[] = {
        [NODE_HOUSEKEEPING_IDLE] = HOUSEKEEPER_NAP_NS, [NODE_HOUSEKEEPING_THROTTLE] = SNAPSHOT_PAUSE_NS};
    struct lcores *lcores = argument;

    while (!atomic_load_explicit(&lcores->stop, memory_order_acquire)) {
        enum node_housekeeping step = node_housekeeping_step(lcores->node);

        if (step != NODE_HOUSEKEEPING_WORKED)
            nanosleep(&(struct timespec){.tv_nsec = pause_ns[step]}, NULL);
    }
    return NULL;
}

static void end_threads(struct lcores *lcores)
{
    atomic_store_explicit(&lcores->stop, true, memory_order_release);
    for (unsigned i = 0; i < lcores->launched; i++)
        rte_eal_wait_lcore(lcores->eal->worker_lcore[i]);
    if (lcores->helper_runs)
        pthread_join(lcores->helper, NULL);
    if (lcores->housekeeper_runs)
        pthread_join(lcores->housekeeper, NULL);
    if (!lcores->log && lcores->wake_fd >= 0)
        close(lcores->wake_fd);
    lcores->wake_fd = -1;
    lcores->launched = 0;
    lcores->helper_runs = lcores->housekeeper_runs = false;
}

static int choose_wake_fd(struct lcores *lcores)
{
    lcores->wake_fd = lcores->log_wake_fd;
    if (lcores->log || !node_control_takes_frames(lcores->node))
        return 0;
    lcores->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return lcores->wake_fd >= 0 ? 0 : -1;
}

int lcores_start(struct lcores *lcores, char *error, size_t error_bytes)
{
    int failed;

    if (choose_wake_fd(lcores) != 0) {
        snprintf(error, error_bytes,
                 "no descriptor to wake the control thread by: raise the limit (ulimit -n)");
        return -1;
    }
    failed = rte_ctrl_thread_create(&lcores->helper, "wild-handshake", NULL, helper_loop, lcores);

    if (failed != 0) {
        snprintf(error, error_bytes, "no thread for handshakes: %s", strerror(-failed));
        return -1;
    }
    lcores->helper_runs = true;
    if (lcores->log) {
        failed = rte_ctrl_thread_create(&lcores->housekeeper, "wild-log", NULL, housekeeper_loop, lcores);
        if (failed != 0) {
            snprintf(error, error_bytes, "no thread for the log: %s", strerror(-failed));
            end_threads(lcores);
            return -1;
        }
        lcores->housekeeper_runs = true;
    }
    for (unsigned i = 0; i < lcores->eal->workers; i++) {
        lcores->worker[i] = (struct lcore_worker){.lcores = lcores, .index = i};
        if (rte_eal_remote_launch(lcores->kernel ? socket_worker_loop : worker_loop, &lcores->worker[i],
                                  lcores->eal->worker_lcore[i]) != 0) {
            snprintf(error, error_bytes, "lcore %u does not start", lcores->eal->worker_lcore[i]);
            end_threads(lcores);
            return -1;
        }
        lcores->launched++;
    }
    return 0;
}

/* Reads pending signals; true: one of them says stop. */
static bool told_to_stop(struct lcores *lcores, int signals, struct logger *logger)
{
    struct signalfd_siginfo info;

    while (read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGUSR1)
            return true;
        if (!node_snapshot(lcores->node))
            logger_line(logger, LOG_LEVEL_WARNING,
                        "SIGUSR1: no snapshot without a log (--enable-wal) that is open");
    }
    return false;
}

/* Whoever has something for the control lcore wakes it: its nap may be long from the beginning. */
static bool is_woken(const struct lcores *lcores)
{
    return lcores->wake_fd >= 0 || node_control_wait_fd(lcores->node) >= 0;
}

/* One turn, and its rest. True: a signal says stop. */
static bool control_once(struct lcores *lcores, struct control_loop *loop, int signals, struct logger *logger)
{
    struct instant now = clock_now(lcores->clock);
    unsigned done = node_control_turn(lcores->node, now);
    uint32_t rest_ns = 0;

    if (now.mono_ns >= loop->refresh_due_ns) {
        loop->refresh_due_ns = now.mono_ns + WALL_REFRESH_NS;
        clock_refresh_wall(lcores->clock);
        if (told_to_stop(lcores, signals, logger))
            return true;
    }
    if (lcores->idle != IDLE_POLL)
        rest_ns = napper_turn(&loop->napper, done != 0, now.mono_ns);
    if (rest_ns != 0)
        control_nap(lcores, is_woken(lcores) ? CONTROL_NAP_NS : rest_ns, now.mono_ns);
    else if (done == 0)
        spin(lcores);
    return false;
}

static void log_progress(const struct node_recovery_progress *progress, struct logger *logger)
{
    logger_line(logger, LOG_LEVEL_INFO, "recovering: %llu of %llu MiB, %llu records",
                (unsigned long long)progress->bytes_read >> 20,
                (unsigned long long)progress->bytes_total >> 20, (unsigned long long)progress->records);
}

enum lcores_end lcores_recover(struct lcores *lcores, int signals, struct logger *logger, char *error,
                               size_t error_bytes)
{
    uint64_t progress_due_ns = clock_now(lcores->clock).mono_ns + PROGRESS_NS;
    struct control_loop loop = {.refresh_due_ns = 0};

    start_naps(&loop.napper, CONTROL_NAP_NS);
    while (!control_once(lcores, &loop, signals, logger)) {
        struct node_recovery_progress progress;

        switch (node_readiness(lcores->node, &progress, error, error_bytes)) {
        case NODE_READY:
            return LCORES_READY;
        case NODE_REFUSED:
            return LCORES_REFUSED;
        case NODE_RECOVERING:
            break;
        }
        if (clock_now(lcores->clock).mono_ns >= progress_due_ns) {
            progress_due_ns += PROGRESS_NS;
            log_progress(&progress, logger);
        }
    }
    return LCORES_TOLD;
}

void lcores_control(struct lcores *lcores, int signals, struct logger *logger)
{
    struct control_loop loop = {.refresh_due_ns = 0};

    start_naps(&loop.napper, CONTROL_NAP_NS);
    while (!control_once(lcores, &loop, signals, logger))
        ;
}

void lcores_stop(struct lcores *lcores)
{
    node_drain(lcores->node);
    while (!node_drained(lcores->node))
        node_control_turn(lcores->node, clock_now(lcores->clock));
    end_threads(lcores);
    /* What the workers logged last; whoever goes on connecting to the replication port does not keep the node. */
    for (unsigned i = 0; i < LAST_TURNS_MAX && node_control_turn(lcores->node, clock_now(lcores->clock)) != 0;
         i++)
        ;
}
