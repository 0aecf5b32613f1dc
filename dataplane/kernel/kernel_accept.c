/* kernel_accept.c - streams begin here, and their places end here. */
#include "kernel/kernel_internal.h"

#include <errno.h>
#include <unistd.h>

/* ---- places ---- */

static struct kernel_stream *take_place(struct kernel_worker *worker)
{
    struct kernel_stream *stream = worker->free_streams;
    if (stream != NULL)
        worker->free_streams = stream->next_free;
    else if (worker->streams_touched < worker->config.streams_max)
        stream = &worker->streams[worker->streams_touched++];
    else
        return NULL;
    worker->streams_used++;
    *stream = (struct kernel_stream){
        .stream.functions = &kernel_stream_functions, .worker = worker, .fd = -1, .timer.at_ns = UINT64_MAX};
    return stream;
}

void kernel_stream_release(struct kernel_stream *stream)
{
    struct kernel_worker *worker = stream->worker;
    if (stream->counted)
        tcp_source_give_back(&worker->sources, &stream->stream.flow.peer);
    stream->state = KERNEL_FREE;
    stream->next_free = worker->free_streams;
    worker->free_streams = stream;
    worker->streams_used--;
    /* A descriptor is free: whoever waits outside may come in. */
    if (worker->accept_again_ns != 0)
        worker->accept_again_ns = worker->now.mono_ns;
}

/* ---- accept ---- */

void kernel_listen(struct kernel_worker *worker, bool on)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &worker->config.sockets.listener};
    if (worker->listening == on || worker->config.sockets.listener < 0)
        return;
    if (epoll_ctl(worker->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, worker->config.sockets.listener,
                  &event) == 0)
        worker->listening = on;
}

/* Descriptors or memory are short: those who wait stay in the backlog for a while. */
static void pause_accepting(struct kernel_worker *worker)
{
    kernel_count(worker, COUNTER_kernel_accept_paused, 1);
    kernel_listen(worker, false);
    worker->accept_again_ns = worker->now.mono_ns + KERNEL_ACCEPT_PAUSE_MS * UINT64_C(1000000);
}

void kernel_accept_resume(struct kernel_worker *worker)
{
    if (worker->accept_again_ns == 0 || worker->accept_again_ns > worker->now.mono_ns || worker->draining)
        return;
    worker->accept_again_ns = 0;
    kernel_listen(worker, true);
}

static void turn_away(struct kernel_worker *worker, int fd, enum counter why)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    kernel_count(worker, why, 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
}

static void let_in(struct kernel_worker *worker, int fd, const struct sockaddr_in *from)
{
    struct address peer = kernel_address(from);
    struct sockaddr_in local;
    socklen_t length = sizeof(local);
    if (tcp_source_full(&worker->sources, &peer)) {
        turn_away(worker, fd, COUNTER_kernel_accept_source_limit);
        return;
    }
    if (getsockname(fd, (struct sockaddr *)&local, &length) != 0) {
        turn_away(worker, fd, COUNTER_kernel_accept_failed);
        return;
    }
    struct kernel_stream *stream = take_place(worker);
    if (stream == NULL) {
        turn_away(worker, fd, COUNTER_kernel_accept_limit);
        return;
    }
    stream->fd = fd;
    stream->state = KERNEL_OPEN;
    stream->stream.flow = (struct flow){.peer = peer,
                                        .local = kernel_address(&local),
                                        .peer_port = from->sin_port,
                                        .local_port = local.sin_port};
    stream->counted = tcp_source_take(&worker->sources, &peer);
    /* Until the service has said that it wants the stream, nobody is told of its end. */
    stream->unwanted = true;
    kernel_stream_interest(stream);
    if (stream->state != KERNEL_OPEN) {
        kernel_count(worker, COUNTER_kernel_accept_failed, 1);
        return;
    }
    bool wanted = worker->config.acceptor.accepted(worker->config.acceptor.state, &stream->stream);
    stream->unwanted = !wanted;
    kernel_count(worker, wanted ? COUNTER_kernel_accepted : COUNTER_kernel_accept_refused, 1);
    if (!wanted)
        kernel_stream_die(stream, STREAM_END_ABORTED);
    else if (stream->state == KERNEL_DEAD)
        kernel_count(worker, COUNTER_kernel_stream_aborted, 1); /* in accepted: not counted there */
}

void kernel_accept_turn(struct kernel_worker *worker)
{
    for (unsigned i = 0; i < KERNEL_ACCEPTS_PER_TURN; i++) {
        struct sockaddr_in from;
        socklen_t length = sizeof(from);
        int fd = accept4(worker->config.sockets.listener, (struct sockaddr *)&from, &length,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            let_in(worker, fd, &from);
            continue;
        }
        switch (errno) {
        case EAGAIN:
            return;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            pause_accepting(worker);
            return;
        case EINTR:
            break;
        default: /* accept(2): errors that wait on the new socket come out here */
            kernel_count(worker, COUNTER_kernel_accept_failed, 1);
        }
    }
}

/* ---- connect ---- */

/* A socket on its way to flow->peer, or -1. */
static int start_connecting(const struct flow *flow)
{
    struct sockaddr_in to = kernel_sockaddr(&flow->peer, flow->peer_port);
    struct sockaddr_in from = kernel_sockaddr(&flow->local, flow->local_port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (kernel_socket_prepare_stream(fd) &&
        ((from.sin_addr.s_addr == 0 && from.sin_port == 0) ||
         bind(fd, (const struct sockaddr *)&from, sizeof(from)) == 0) &&
        (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS))
        return fd;
    close(fd);
    return -1;
}

struct stream *kernel_connect(struct kernel_worker *worker, const struct flow *flow,
                              const struct stream_events *events, void *user)
{
    struct kernel_stream *stream = take_place(worker);
    kernel_count(worker, COUNTER_kernel_connects, 1);
    if (stream == NULL)
        goto failed;
    stream->stream.events = events;
    stream->stream.user = user;
    stream->stream.flow = *flow;
    stream->fd = start_connecting(flow);
    if (stream->fd < 0) {
        kernel_stream_release(stream);
        goto failed;
    }
    stream->state = KERNEL_OPENING;
    kernel_stream_interest(stream);
    return &stream->stream;
failed:
    kernel_count(worker, COUNTER_kernel_connect_failed, 1);
    return NULL;
}
