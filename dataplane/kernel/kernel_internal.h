/*
 * kernel_internal.h - what the files of kernel/ share. Nobody else includes it.
 *
 *   kernel_worker.c    creation, turn, wait, wake        kernel_accept.c   streams begin: accept, connect
 *   kernel_datagrams.c the UDP socket                    kernel_stream.c   their events, functions, end
 *   kernel_output.c    blocks, reserve, commit, flush    (tcp_timers.h: deadlines; tcp_sources.h: shares)
 *
 * A stream's life:
 *
 *     FREE --accept--> OPEN <--connected-- OPENING <--kernel_connect-- FREE
 *                       |                    |
 *                       +------> DEAD <------+     DEAD --end of turn: closed--> FREE
 *
 *   FREE     in the free list; fd -1
 *   OPENING  fd connects, epoll waits for it to be writable; what is committed waits
 *   OPEN     fd open; input may be paused, either direction may have ended, not both
 *   DEAD     fd closed, no blocks, no deadline; on the list until its user is told
 */
#ifndef WILD_KERNEL_INTERNAL_H
#define WILD_KERNEL_INTERNAL_H

#include <stdatomic.h>
#include <sys/epoll.h>

#include "check.h"
#include "kernel/kernel_socket.h"
#include "kernel/kernel_worker.h"
#include "tcp/tcp_sources.h"
#include "tcp/tcp_timers.h"

enum {
    KERNEL_BURST_MAX = 64, /* udp_service.h's promise */
    KERNEL_DATAGRAM_BYTES = 2048,
    KERNEL_DATAGRAM_ROOM = 1472, /* a reply that no Ethernet has to cut into pieces */
    KERNEL_CONTROL_BYTES = 64,   /* IP_PKTINFO and SO_RXQ_OVFL, with their headers */
    KERNEL_EVENTS_MAX = 256,
    KERNEL_ACCEPTS_PER_TURN = 32,
    KERNEL_FLUSH_BLOCKS_MAX = 16, /* one system call's */
    /* This part of the blocks is for streams that have none yet: whoever does not read cannot have them
     * all. */
    KERNEL_BLOCKS_KEPT_DIVISOR = 4,
    KERNEL_STARVED_PER_TURN = 64,
};

enum kernel_state { KERNEL_FREE, KERNEL_OPENING, KERNEL_OPEN, KERNEL_DEAD };

/* What is to be done with a stream on the list. */
enum {
    KERNEL_TODO_RESUME = 1,   /* at the beginning of the next turn */
    KERNEL_TODO_WRITABLE = 2, /* then, too */
    KERNEL_TODO_FLUSH = 4,    /* at the end of this one */
    KERNEL_TODO_CLOSED = 8,   /* then, too */
};

struct kernel_block {
    struct kernel_block *next;
    uint32_t bytes, sent; /* sent <= bytes */
    uint8_t payload[KERNEL_BLOCK_BYTES - 16];
};
static_assert(sizeof(struct kernel_block) == KERNEL_BLOCK_BYTES, "no padding");
static_assert(sizeof(((struct kernel_block *)0)->payload) >= STREAM_RESERVE_MAX, "one reservation is in one");

struct kernel_stream {
    struct stream stream;
    struct kernel_worker *worker;
    struct kernel_stream *next_todo;
    struct kernel_stream *next_free;                    /* of the free list */
    struct kernel_stream *next_starved, **starved_link; /* waiting for a block; link NULL: not */
    struct kernel_block *first, *last;                  /* committed, not yet the kernel's */
    uint64_t deadline_ns, linger_ns;                    /* 0: none */
    struct tcp_timer_entry timer;                       /* at or before the earlier of the two */
    int fd;
    uint32_t queued;   /* bytes in the blocks */
    uint32_t interest; /* what epoll was asked for */
    uint8_t state, todo, end;
    bool listed : 1;     /* on the list */
    bool registered : 1; /* epoll knows it */
    bool paused : 1;     /* the service left input */
    bool ended : 1;      /* the peer has ended, and the service was told */
    bool closing : 1;    /* we end once all is with the kernel */
    bool fin_sent : 1;   /* and have */
    bool blocked : 1;    /* the kernel took less than there was */
    bool refused : 1;    /* reserve gave NULL */
    bool counted : 1;    /* in its source's share */
    bool unwanted : 1;   /* refused by the acceptor: nobody is told of its end */
};
static_assert(sizeof(struct kernel_stream) <= KERNEL_STREAM_BYTES_MAX, "kernel_worker.h says so");

struct kernel_datagrams {
    struct udp_datagram datagram[KERNEL_BURST_MAX];
    unsigned from[KERNEL_BURST_MAX]; /* which of the messages received it is */
    struct mmsghdr message[KERNEL_BURST_MAX], reply[KERNEL_BURST_MAX];
    struct iovec piece[KERNEL_BURST_MAX];
    struct sockaddr_in peer[KERNEL_BURST_MAX];
    _Alignas(struct cmsghdr) uint8_t control[KERNEL_BURST_MAX][KERNEL_CONTROL_BYTES];
    _Alignas(64) uint8_t payload[KERNEL_BURST_MAX][KERNEL_DATAGRAM_BYTES];
};

struct kernel_todo {
    struct kernel_stream *first, *last;
};

struct kernel_worker {
    struct kernel_worker_config config;
    struct instant now; /* of this turn */
    unsigned done;      /* in this turn */
    int epoll, wake;
    _Atomic bool woken; /* set: by whoever wakes; cleared: by the worker, before it looks for work */
    bool listening, draining;
    uint64_t accept_again_ns; /* 0: nobody is held up */
    rte_be16_t port;          /* of the socket for datagrams */
    struct kernel_todo todo;
    struct epoll_event event[KERNEL_EVENTS_MAX];
    unsigned events; /* that kernel_wait() has brought */

    struct udp_service service;
    uint32_t overflows; /* the kernel's count of datagrams lost for want of room, as last seen */

    struct kernel_stream *streams, *free_streams;
    unsigned streams_used, streams_touched; /* not free; ever used: those behind were never written to */
    struct tcp_sources sources;
    struct tcp_timers timers;

    struct kernel_block *blocks;
    struct kernel_block **free_blocks; /* a stack: what was used last is used first */
    unsigned blocks_free;
    struct kernel_stream *starved, **starved_end; /* first come, first served; where the next one goes */

    struct kernel_datagrams datagrams;
    _Alignas(64) uint8_t read[KERNEL_READ_BYTES];
};

static inline void kernel_count(struct kernel_worker *worker, enum counter which, uint64_t n)
{
    counter_add(worker->config.counters, which, n);
}

static inline struct kernel_stream *kernel_stream_of(struct stream *stream)
{
    static_assert(offsetof(struct kernel_stream, stream) == 0, "a stream begins it");
    return (struct kernel_stream *)stream;
}

/* ---- kernel_worker.c ---- */

void kernel_todo_add(struct kernel_stream *stream, unsigned todo);

/* ---- kernel_datagrams.c ---- */

void kernel_datagrams_init(struct kernel_datagrams *datagrams);
/* One burst at most. */
void kernel_datagrams_turn(struct kernel_worker *worker);

/* ---- kernel_accept.c ---- */

void kernel_accept_turn(struct kernel_worker *worker); /* the listener is readable */
/* The listener is looked at again once the pause is over. */
void kernel_accept_resume(struct kernel_worker *worker);
void kernel_listen(struct kernel_worker *worker, bool on);
/* The socket that connects is writable, or has failed. */
void kernel_connect_done(struct kernel_stream *stream);
/* Back to the free list; gives its source's share back. */
void kernel_stream_release(struct kernel_stream *stream);

/* ---- kernel_stream.c ---- */

extern const struct stream_functions kernel_stream_functions;
/* epoll says so. */
void kernel_stream_event(struct kernel_stream *stream, uint32_t events);
/* One read: received, or ended, or the end. */
void kernel_stream_read(struct kernel_stream *stream);
void kernel_stream_resume_now(struct kernel_stream *stream);
/* Closes the socket; `closed` comes at the end of the turn. Nothing if it is dead already. */
void kernel_stream_die(struct kernel_stream *stream, enum stream_end end);
void kernel_stream_fail(struct kernel_stream *stream, int why); /* errno of the socket */
/* Tells epoll what the stream waits for now. */
void kernel_stream_interest(struct kernel_stream *stream);
/* After a change of deadline_ns or linger_ns. */
void kernel_stream_arm(struct kernel_stream *stream);
/* Its entry came out of the wheel. False: no time of the stream's had come. */
bool kernel_stream_expire(struct kernel_stream *stream);
/* The peer has ended, and ours is with the kernel: that was all. */
void kernel_stream_finish_if_done(struct kernel_stream *stream);

/* ---- kernel_output.c ---- */

uint8_t *kernel_stream_reserve(struct stream *stream, size_t least, size_t *room);
void kernel_stream_commit(struct stream *stream, size_t length);
void kernel_stream_flush(struct kernel_stream *stream);
void kernel_stream_drop_output(struct kernel_stream *stream);
void kernel_stream_starve_no_more(struct kernel_stream *stream);
/* Streams that wait for blocks are told, as far as there are some. */
void kernel_feed_starved(struct kernel_worker *worker);

#endif
