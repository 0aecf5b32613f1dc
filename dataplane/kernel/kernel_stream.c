/* kernel_stream.c - what happens to a stream that is open: input, ends, deadlines, and the functions of
 * stream.h. */
#include "kernel/kernel_internal.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- the end ---- */

static enum counter end_counter(enum stream_end end)
{
    switch (end) {
    case STREAM_END_CLOSED:
        return COUNTER_kernel_stream_closed;
    case STREAM_END_RESET:
        return COUNTER_kernel_stream_reset;
    case STREAM_END_TIMED_OUT:
        return COUNTER_kernel_stream_timed_out;
    case STREAM_END_ABORTED:
        return COUNTER_kernel_stream_aborted;
    case STREAM_END_REFUSED:
    case STREAM_END_UNREACHABLE:
        break;
    }
    return COUNTER_kernel_connect_failed;
}

void kernel_stream_die(struct kernel_stream *stream, enum stream_end end)
{
    struct kernel_worker *worker = stream->worker;
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (stream->state == KERNEL_DEAD)
        return;
    /* Whatever ends out of order ends for the peer too, and at once. */
    if (end != STREAM_END_CLOSED)
        setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(stream->fd); /* which takes it out of epoll */
    stream->fd = -1;
    stream->state = KERNEL_DEAD;
    stream->end = (uint8_t)end;
    stream->deadline_ns = stream->linger_ns = 0;
    kernel_stream_arm(stream);
    kernel_stream_drop_output(stream);
    stream->todo = 0;
    kernel_todo_add(stream, KERNEL_TODO_CLOSED);
    if (!stream->unwanted)
        kernel_count(worker, end_counter(end), 1);
}

void kernel_stream_fail(struct kernel_stream *stream, int why)
{
    bool opening = stream->state == KERNEL_OPENING;
    switch (why) {
    case ETIMEDOUT:
        kernel_stream_die(stream, STREAM_END_TIMED_OUT);
        break;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN: /* it was reset, and we were told so before */
        kernel_stream_die(stream, opening ? STREAM_END_REFUSED : STREAM_END_RESET);
        break;
    default: /* what the network said while it did not answer */
        kernel_stream_die(stream, opening ? STREAM_END_UNREACHABLE : STREAM_END_TIMED_OUT);
    }
}

void kernel_stream_finish_if_done(struct kernel_stream *stream)
{
    if (stream->state == KERNEL_OPEN && stream->ended && stream->fin_sent)
        kernel_stream_die(stream, STREAM_END_CLOSED);
}

/* ---- epoll ---- */

static void register_interest(struct kernel_stream *stream, uint32_t events, int operation)
{
    struct epoll_event event = {.events = events, .data.ptr = stream};
    if (epoll_ctl(stream->worker->epoll, operation, stream->fd, &event) != 0) {
        kernel_stream_fail(stream, errno); /* nobody would hear of it again */
        return;
    }
    stream->interest = events;
    stream->registered = operation != EPOLL_CTL_DEL;
}

void kernel_stream_interest(struct kernel_stream *stream)
{
    uint32_t wanted = stream->state == KERNEL_OPENING ? (uint32_t)EPOLLOUT
                                                      : (stream->paused || stream->ended ? 0 : EPOLLIN) |
                                                            (stream->blocked ? EPOLLOUT : 0);
    if (!stream->registered)
        register_interest(stream, wanted, EPOLL_CTL_ADD);
    else if (wanted != stream->interest)
        register_interest(stream, wanted, EPOLL_CTL_MOD);
}

/* ---- input ---- */

/* Takes what the service took out of the kernel's buffer. */
static void consume(struct kernel_stream *stream, size_t bytes)
{
    struct kernel_worker *worker = stream->worker;
    kernel_count(worker, COUNTER_kernel_rx_bytes, bytes);
    while (bytes > 0) {
        /* MSG_TRUNC: TCP throws them away, uncopied (tcp(7)) */
        ssize_t gone = recv(stream->fd, worker->read, bytes, MSG_TRUNC | MSG_DONTWAIT);
        if (gone > 0) {
            bytes -= (size_t)gone;
        } else if (gone == 0 || errno != EINTR) {
            kernel_stream_fail(stream, gone == 0 ? ECONNRESET : errno);
            return;
        }
    }
}

static void deliver(struct kernel_stream *stream, size_t bytes)
{
    struct kernel_worker *worker = stream->worker;
    size_t taken = stream->stream.events->received(&stream->stream, worker->read, bytes);
    CHECK(taken <= bytes);
    if (stream->state != KERNEL_OPEN)
        return;
    consume(stream, taken);
    if (stream->state != KERNEL_OPEN)
        return;
    if (stream->fin_sent) { /* half closed, and still at work */
        stream->linger_ns = worker->now.mono_ns + KERNEL_LINGER_NS;
        kernel_stream_arm(stream);
    }
    if (taken < bytes) {
        kernel_count(worker, COUNTER_kernel_stream_held, 1);
        stream->paused = true;
        kernel_stream_interest(stream);
    }
}

/*
 * Input is looked at, given to the service, and taken out only as far as that took it: so what it leaves
 * costs us no memory, and the window is the kernel's business.
 */
void kernel_stream_read(struct kernel_stream *stream)
{
    ssize_t got = recv(stream->fd, stream->worker->read, KERNEL_READ_BYTES, MSG_PEEK | MSG_DONTWAIT);
    if (got > 0) {
        deliver(stream, (size_t)got);
    } else if (got == 0) {
        stream->ended = true;
        kernel_stream_interest(stream);
        if (stream->state == KERNEL_OPEN)
            stream->stream.events->ended(&stream->stream);
        kernel_stream_finish_if_done(stream);
    } else if (errno != EAGAIN && errno != EINTR) {
        kernel_stream_fail(stream, errno);
    }
}

void kernel_stream_resume_now(struct kernel_stream *stream)
{
    if (stream->state != KERNEL_OPEN || !stream->paused)
        return;
    stream->paused = false;
    kernel_stream_interest(stream);
    if (stream->state == KERNEL_OPEN)
        kernel_stream_read(stream);
}

/* ---- events ---- */

static int socket_error(const struct kernel_stream *stream)
{
    int why = 0;
    socklen_t length = sizeof(why);
    return getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &why, &length) == 0 ? why : errno;
}

static void connect_done(struct kernel_stream *stream)
{
    struct sockaddr_in local;
    socklen_t length = sizeof(local);
    int why = socket_error(stream);
    if (why != 0 || getsockname(stream->fd, (struct sockaddr *)&local, &length) != 0) {
        kernel_stream_fail(stream, why != 0 ? why : errno);
        return;
    }
    stream->state = KERNEL_OPEN;
    stream->stream.flow.local = kernel_address(&local);
    stream->stream.flow.local_port = local.sin_port;
    kernel_stream_interest(stream);
    kernel_todo_add(stream, KERNEL_TODO_FLUSH); /* what was written, and perhaps refused, meanwhile */
    if (stream->state == KERNEL_OPEN && stream->stream.events->connected != NULL)
        stream->stream.events->connected(&stream->stream);
}

void kernel_stream_event(struct kernel_stream *stream, uint32_t events)
{
    if (stream->state == KERNEL_OPENING) {
        connect_done(stream);
        return;
    }
    /* What came before a reset is delivered, as a segment is that precedes it. */
    if (stream->state == KERNEL_OPEN && (events & EPOLLIN) && !stream->paused && !stream->ended)
        kernel_stream_read(stream);
    if (stream->state != KERNEL_OPEN)
        return;
    if (events & EPOLLERR) {
        int why = socket_error(stream);
        kernel_stream_fail(stream, why != 0 ? why : ECONNRESET);
        return;
    }
    if (events & EPOLLOUT)
        kernel_todo_add(stream, KERNEL_TODO_FLUSH);
    /* Both directions have ended but for input that the service left: epoll would say so for ever. */
    if ((events & EPOLLHUP) && (stream->paused || stream->ended))
        register_interest(stream, 0, EPOLL_CTL_DEL);
}

/* ---- deadlines ---- */

static uint64_t due_ns(const struct kernel_stream *stream)
{
    uint64_t deadline = stream->deadline_ns, linger = stream->linger_ns;
    return deadline == 0 ? linger : linger == 0 || deadline < linger ? deadline : linger;
}

/*
 * A time that moves back leaves the entry where it is: it fires too early, and is put where it belongs. One
 * that is over already comes with the next tick: in this one the wheel would turn for ever.
 */
void kernel_stream_arm(struct kernel_stream *stream)
{
    uint64_t due = due_ns(stream), now_ns = stream->worker->now.mono_ns;
    if (due == 0)
        tcp_timers_cancel(&stream->worker->timers, &stream->timer);
    else if (due < stream->timer.at_ns)
        tcp_timers_arm(&stream->worker->timers, &stream->timer, due > now_ns ? due : now_ns);
}

bool kernel_stream_expire(struct kernel_stream *stream)
{
    uint64_t now_ns = stream->worker->now.mono_ns;
    if (due_ns(stream) > now_ns) {
        kernel_stream_arm(stream);
        return false;
    }
    if (stream->linger_ns != 0 && stream->linger_ns <= now_ns) {
        if (!stream->paused && stream->deadline_ns == 0) {
            kernel_stream_die(stream, STREAM_END_TIMED_OUT);
            return true;
        }
        stream->linger_ns = now_ns + KERNEL_LINGER_NS; /* its user waits for something still */
    }
    if (stream->deadline_ns == 0 || stream->deadline_ns > now_ns) {
        kernel_stream_arm(stream);
        return false;
    }
    stream->deadline_ns = 0;
    kernel_stream_arm(stream);
    stream->stream.events->expired(&stream->stream);
    return true;
}

/* ---- functions of stream.h ---- */

/* The first block of the pool's last part is to be had, those behind it then are not: a long reply may be
 * cut. */
static size_t stream_spare_bytes(const struct stream *face)
{
    const struct kernel_stream *stream = (const struct kernel_stream *)face;
    const struct kernel_worker *worker = stream->worker;
    unsigned kept = stream->first != NULL ? worker->config.blocks_max / KERNEL_BLOCKS_KEPT_DIVISOR : 0;
    size_t blocks = worker->blocks_free > kept ? worker->blocks_free - kept : 0;
    return blocks * sizeof stream->first->payload;
}

static size_t stream_unsent_bytes(const struct stream *face)
{
    const struct kernel_stream *stream = (const struct kernel_stream *)face;
    int waiting = 0;
    if (stream->state != KERNEL_OPEN)
        return stream->queued;
    /* Not SIOCOUTQ, which counts what has left as well: the peer may have read all of it and put its
     * acknowledgement off by 40 ms, and a service that waits for it would be idle meanwhile. */
    if (ioctl(stream->fd, SIOCOUTQNSD, &waiting) != 0 || waiting < 0)
        waiting = 0;
    if (stream->fin_sent && waiting > 0)
        waiting--; /* our FIN counts as a byte there */
    return stream->queued + (size_t)waiting;
}

static void resume(struct stream *face)
{
    struct kernel_stream *stream = kernel_stream_of(face);
    if (stream->state == KERNEL_OPEN)
        kernel_todo_add(stream, KERNEL_TODO_RESUME);
}

static void close_ours(struct stream *face)
{
    struct kernel_stream *stream = kernel_stream_of(face);
    if (stream->state == KERNEL_OPENING)
        kernel_stream_die(stream, STREAM_END_ABORTED); /* RFC 9293 3.10.4, SYN-SENT */
    if (stream->state != KERNEL_OPEN || stream->closing)
        return;
    stream->closing = true;
    stream->refused = false;
    kernel_stream_starve_no_more(stream);
    kernel_todo_add(stream, KERNEL_TODO_FLUSH);
}

static void abort_now(struct stream *face)
{
    kernel_stream_die(kernel_stream_of(face), STREAM_END_ABORTED);
}

static void set_deadline(struct stream *face, uint64_t mono_ns)
{
    struct kernel_stream *stream = kernel_stream_of(face);
    if (stream->state == KERNEL_DEAD)
        return;
    stream->deadline_ns = mono_ns;
    kernel_stream_arm(stream);
}

const struct stream_functions kernel_stream_functions = {
    .reserve = kernel_stream_reserve,
    .commit = kernel_stream_commit,
    .unsent = stream_unsent_bytes,
    .spare = stream_spare_bytes,
    .resume = resume,
    .close = close_ours,
    .abort = abort_now,
    .set_deadline = set_deadline,
};
