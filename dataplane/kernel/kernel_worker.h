/*
 * kernel_worker.h - one worker over kernel sockets: the faces of a DPDK worker (udp_service.h, stream.h),
 * slower by the system calls that the kernel's stack takes. It needs no privilege, no hugepage and no
 * device, and it is the oracle that our own TCP is compared with.
 *
 *     loop:  now = clock;  if (kernel_turn(worker, now) == 0)  kernel_wait(worker, at most so long);
 *
 * kernel_turn() handles what is there and never blocks; kernel_wait() blocks until there is something.
 * Neither reads a clock. Everything runs on one thread, except kernel_wake().
 *
 * One turn: what was put off by the last one (resume, writable), then what epoll reports (datagrams, new
 * streams, readable and writable ones), then the services' turns, then deadlines, then output, and
 * `closed` last.
 *
 * Streams, beyond what stream.h says:
 *   - Input that a service leaves stays in the kernel, whose window closes as it fills.
 *   - What is committed is kept here until the kernel takes it: in blocks of one pool, each stream at most
 *     send_bytes_max. A reservation is good until the end of the turn.
 *   - unsent() includes what the kernel holds and has not sent, as windows do not let it.
 *   - STREAM_END_CLOSED: the peer has ended, and all of ours is with the kernel, which goes on sending it.
 *   - A deadline passes with the tick of tcp_timers.h that follows it.
 *   - A stream that we have closed and on which nothing arrives for KERNEL_LINGER_NS is ended, as timed out, unless
 *     its user holds input back or has a deadline running.
 *   - A peer that takes nothing, or acknowledges nothing, for KERNEL_USER_TIMEOUT_MS is given up.
 *
 * Memory, all of it taken at creation: a burst of datagrams, streams_max times less than
 * KERNEL_STREAM_BYTES_MAX, and blocks_max * KERNEL_BLOCK_BYTES, which the system provides as they are
 * first used.
 */
#ifndef WILD_KERNEL_WORKER_H
#define WILD_KERNEL_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counters.h"
#include "instant.h"
#include "kernel/kernel_port.h"
#include "random.h"
#include "service/udp_service.h"
#include "stream.h"

enum {
    KERNEL_STREAM_BYTES_MAX = 256,
    KERNEL_BLOCK_BYTES = 4096,
    KERNEL_READ_BYTES = 64 * 1024, /* given to `received` at once, at most */
    /* What the kernel may hold of a stream, each way. It counts its own book-keeping, and doubles what it is
     * told for that (socket(7)). */
    KERNEL_STREAM_BUFFER_BYTES = 128 * 1024,
    KERNEL_USER_TIMEOUT_MS = 120 * 1000,
    KERNEL_KEEPALIVE_IDLE_S = 120, /* as tcp_limits.h has it */
    KERNEL_KEEPALIVE_STEP_S = 15,
    KERNEL_KEEPALIVE_PROBES = 8,
    /* Out of descriptors: how long nobody is accepted. */
    KERNEL_ACCEPT_PAUSE_MS = 100,
};
#define KERNEL_LINGER_NS UINT64_C(60000000000) /* FIN-WAIT-2, as tcp_limits.h has it */

struct kernel_worker_config {
    /* Borrowed: kernel_port_close() ends them, after the worker. Without a listener nobody comes, and without
     * a socket for datagrams the service has none. */
    struct kernel_sockets sockets;
    struct stream_acceptor acceptor;
    unsigned streams_max;
    unsigned per_source_max;            /* streams accepted from one address; 0: no limit */
    unsigned blocks_max;                /* of KERNEL_BLOCK_BYTES, for what the kernel does not take yet */
    uint32_t send_bytes_max;            /* each stream, of these; at least STREAM_RESERVE_MAX */
    const struct random_source *random; /* a key, drawn at creation; nothing later */
    struct counters *counters;          /* borrowed */
    int numa_node;
};

struct kernel_worker;

/* NULL: memory or descriptors are short. */
struct kernel_worker *kernel_worker_create(const struct kernel_worker_config *config, struct instant now);
/* Ends every stream (their `closed` is called); what the kernel has taken is still sent. NULL is fine. */
void kernel_worker_destroy(struct kernel_worker *worker);
/* Once, before the first turn; until then nothing is answered. State is destroyed by its owner, after the
 * worker. */
void kernel_worker_set_service(struct kernel_worker *worker, struct udp_service service);
/* For deferred answers; call it from within kernel_turn(). */
struct udp_transmit kernel_worker_transmit(struct kernel_worker *worker);

/* Things done: 0 means idle. */
unsigned kernel_turn(struct kernel_worker *worker, struct instant now);
/*
 * Until something arrives, a deadline passes, somebody wakes it, or timeout_ms, at most. Not at all when the
 * last turn left something to do.
 */
void kernel_wait(struct kernel_worker *worker, unsigned timeout_ms);
/*
 * For who sleeps by other means: a descriptor that is readable (poll(2)) once something has arrived or
 * somebody wakes it; and when the next turn has something to do anyway, UINT64_MAX: never.
 */
int kernel_wait_fd(const struct kernel_worker *worker);
uint64_t kernel_next_ns(const struct kernel_worker *worker);
/*
 * From any thread: there is work that came by memory (release what it is before, the turn that follows
 * acquires it).
 */
void kernel_wake(struct kernel_worker *worker);

/* No new streams from now on; those there are go on. */
void kernel_drain(struct kernel_worker *worker);

/*
 * Opens a stream to flow->peer, from flow->local where that is not 0.0.0.0 (port 0: any). `connected` or
 * `closed` follows, never from inside this call. NULL: no place, no descriptor, or nowhere to go.
 */
struct stream *kernel_connect(struct kernel_worker *worker, const struct flow *flow,
                              const struct stream_events *events, void *user);

struct kernel_counts {
    unsigned streams; /* open or not yet told `closed` */
    unsigned blocks;  /* in use */
};
struct kernel_counts kernel_counts(const struct kernel_worker *worker);

#endif
