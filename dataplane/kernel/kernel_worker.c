/* kernel_worker.c - the turn, the wait and the wake; a worker's creation and end. */
#include "kernel/kernel_internal.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_common.h>

/* ---- the list of streams that something is to be done with ---- */

void kernel_todo_add(struct kernel_stream *stream, unsigned todo)
{
    struct kernel_todo *list = &stream->worker->todo;
    stream->todo |= (uint8_t)todo;
    if (stream->listed)
        return;
    stream->listed = true;
    stream->next_todo = NULL;
    if (list->first == NULL)
        list->first = stream;
    else
        list->last->next_todo = stream;
    list->last = stream;
}

static struct kernel_stream *take_first(struct kernel_todo *list)
{
    struct kernel_stream *stream = list->first;
    if (stream == NULL)
        return NULL;
    list->first = stream->next_todo;
    stream->listed = false;
    return stream;
}

/* What events left for later. Streams that these events put on the list again wait for the turn's end, or the
 * next one. */
static void do_what_was_put_off(struct kernel_worker *worker)
{
    struct kernel_todo list = worker->todo;
    struct kernel_stream *stream;
    worker->todo = (struct kernel_todo){.first = NULL};
    while ((stream = take_first(&list)) != NULL) {
        unsigned todo = stream->todo;
        stream->todo &= KERNEL_TODO_FLUSH | KERNEL_TODO_CLOSED;
        if (stream->todo != 0)
            kernel_todo_add(stream, 0);
        if (todo & KERNEL_TODO_RESUME)
            kernel_stream_resume_now(stream);
        if ((todo & KERNEL_TODO_WRITABLE) && stream->state == KERNEL_OPEN && !stream->closing) {
            stream->refused = false;
            stream->stream.events->writable(&stream->stream);
        }
        worker->done++;
    }
}

static void tell_closed(struct kernel_stream *stream)
{
    if (!stream->unwanted)
        stream->stream.events->closed(&stream->stream, (enum stream_end)stream->end);
    kernel_stream_release(stream);
}

/* Output, and ends. What is put on the list by `closed` events, and what is to be done later, stays on it. */
static void end_turn(struct kernel_worker *worker)
{
    struct kernel_todo list = worker->todo;
    struct kernel_stream *stream;
    worker->todo = (struct kernel_todo){.first = NULL};
    while ((stream = take_first(&list)) != NULL) {
        bool flush = stream->todo & KERNEL_TODO_FLUSH;
        stream->todo &= (uint8_t)~KERNEL_TODO_FLUSH;
        if (flush)
            kernel_stream_flush(stream); /* which may be its end */
        worker->done += flush;
        if (stream->todo & KERNEL_TODO_CLOSED) {
            /* It is on the list again if it has just died. */
            if (!stream->listed)
                tell_closed(stream);
        } else if (stream->todo != 0) {
            kernel_todo_add(stream, 0);
        }
    }
    kernel_feed_starved(worker);
}

/* ---- the turn ---- */

static void woken(struct kernel_worker *worker)
{
    uint64_t count;
    ssize_t got = read(worker->wake, &count, sizeof(count));
    (void)got; /* it says nothing that we do not know */
    /* acquire and release: pairs with kernel_wake(); whoever comes after this writes again */
    atomic_exchange_explicit(&worker->woken, false, memory_order_acq_rel);
}

static void dispatch(struct kernel_worker *worker)
{
    unsigned count = worker->events;
    worker->events = 0;
    for (unsigned i = 0; i < count; i++) {
        void *what = worker->event[i].data.ptr;
        if (what == &worker->config.sockets.datagrams)
            kernel_datagrams_turn(worker);
        else if (what == &worker->config.sockets.listener)
            kernel_accept_turn(worker);
        else if (what == &worker->wake)
            woken(worker);
        else
            kernel_stream_event(what, worker->event[i].events);
    }
    worker->done += count;
}

static void expire(struct kernel_worker *worker)
{
    struct tcp_timer_entry *entry;
    /* Bounded: what a service sets anew is due in a later tick. */
    while ((entry = tcp_timers_next(&worker->timers, worker->now.mono_ns)) != NULL)
        worker->done += kernel_stream_expire(RTE_PTR_SUB(entry, offsetof(struct kernel_stream, timer)));
}

static void poll_events(struct kernel_worker *worker, int timeout_ms)
{
    int count = epoll_wait(worker->epoll, worker->event, KERNEL_EVENTS_MAX, timeout_ms);
    worker->events = count > 0 ? (unsigned)count : 0;
}

unsigned kernel_turn(struct kernel_worker *worker, struct instant now)
{
    worker->now = now;
    worker->done = 0;
    do_what_was_put_off(worker);
    if (worker->events == 0)
        poll_events(worker, 0);
    dispatch(worker);
    kernel_accept_resume(worker);
    worker->service.turn(worker->service.state, now);
    expire(worker);
    end_turn(worker);
    return worker->done;
}

uint64_t kernel_next_ns(const struct kernel_worker *worker)
{
    uint64_t next_ns = tcp_timers_earliest(&worker->timers);
    if (worker->todo.first != NULL || worker->events > 0)
        return 0;
    if (worker->accept_again_ns != 0 && worker->accept_again_ns < next_ns)
        next_ns = worker->accept_again_ns;
    return next_ns;
}

int kernel_wait_fd(const struct kernel_worker *worker)
{
    return worker->epoll;
}

void kernel_wait(struct kernel_worker *worker, unsigned timeout_ms)
{
    uint64_t now_ns = worker->now.mono_ns, next_ns = kernel_next_ns(worker);
    if (next_ns <= now_ns)
        return;
    uint64_t until_next_ms = (next_ns - now_ns - 1) / 1000000 + 1;
    poll_events(worker, (int)(until_next_ms < timeout_ms ? until_next_ms : timeout_ms));
}

void kernel_wake(struct kernel_worker *worker)
{
    const uint64_t one = 1;
    /* acquire and release: pairs with woken(); one system call however many wake it meanwhile */
    if (atomic_exchange_explicit(&worker->woken, true, memory_order_acq_rel))
        return;
    ssize_t put = write(worker->wake, &one, sizeof(one));
    (void)put; /* it cannot be full: it is read before `woken` is false again */
}

void kernel_drain(struct kernel_worker *worker)
{
    worker->draining = true;
    worker->accept_again_ns = 0;
    kernel_listen(worker, false);
}

struct kernel_counts kernel_counts(const struct kernel_worker *worker)
{
    return (struct kernel_counts){.streams = worker->streams_used,
                                  .blocks = worker->config.blocks_max - worker->blocks_free};
}

/* ---- life ---- */

/* What is not touched costs nothing: the system gives zeroed pages as they are written to. */
static bool take_memory(struct kernel_worker *worker)
{
    const struct kernel_worker_config *config = &worker->config;
    struct siphash_key key;
    random_fill(config->random, &key, sizeof(key));
    if (tcp_sources_init(&worker->sources, config->streams_max, config->per_source_max, &key,
                         config->numa_node) != 0)
        return false;
    worker->streams = calloc(config->streams_max + 1, sizeof(*worker->streams));
    worker->blocks = calloc(config->blocks_max + 1, sizeof(*worker->blocks));
    worker->free_blocks = calloc(config->blocks_max + 1, sizeof(struct kernel_block *));
    if (worker->streams == NULL || worker->blocks == NULL || worker->free_blocks == NULL)
        return false;
    while (worker->blocks_free < config->blocks_max) {
        worker->free_blocks[worker->blocks_free] = &worker->blocks[worker->blocks_free];
        worker->blocks_free++;
    }
    return true;
}

static bool watch_datagrams(struct kernel_worker *worker)
{
    struct epoll_event datagrams = {.events = EPOLLIN, .data.ptr = &worker->config.sockets.datagrams};
    int fd = worker->config.sockets.datagrams;
    struct sockaddr_in local;
    socklen_t length = sizeof(local);
    if (fd < 0)
        return true;
    if (getsockname(fd, (struct sockaddr *)&local, &length) != 0)
        return false;
    worker->port = local.sin_port;
    return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &datagrams) == 0;
}

static bool take_descriptors(struct kernel_worker *worker)
{
    struct epoll_event wake = {.events = EPOLLIN, .data.ptr = &worker->wake};
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    worker->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (worker->epoll < 0 || worker->wake < 0 || !watch_datagrams(worker))
        return false;
    kernel_listen(worker, worker->config.acceptor.accepted != NULL);
    return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->wake, &wake) == 0;
}

static void free_all(struct kernel_worker *worker)
{
    if (worker->epoll >= 0)
        close(worker->epoll);
    if (worker->wake >= 0)
        close(worker->wake);
    free(worker->streams);
    tcp_sources_fini(&worker->sources);
    free(worker->blocks);
    free(worker->free_blocks);
    free(worker);
}

struct kernel_worker *kernel_worker_create(const struct kernel_worker_config *config, struct instant now)
{
    struct kernel_worker *worker = aligned_alloc(_Alignof(struct kernel_worker), sizeof(*worker));
    CHECK(config->send_bytes_max >= STREAM_RESERVE_MAX);
    if (worker == NULL)
        return NULL;
    memset(worker, 0, sizeof(*worker));
    worker->config = *config;
    worker->service = udp_service_mute();
    worker->starved_end = &worker->starved;
    worker->epoll = worker->wake = -1;
    tcp_timers_init(&worker->timers, now.mono_ns);
    worker->now = now;
    kernel_datagrams_init(&worker->datagrams);
    if (take_memory(worker) && take_descriptors(worker))
        return worker;
    free_all(worker);
    return NULL;
}

void kernel_worker_destroy(struct kernel_worker *worker)
{
    if (worker == NULL)
        return;
    kernel_drain(worker);
    for (unsigned i = 0; i < worker->streams_touched; i++) {
        struct kernel_stream *stream = &worker->streams[i];
        if (stream->state == KERNEL_OPEN || stream->state == KERNEL_OPENING) {
            close(stream->fd); /* in order, as far as the kernel has it */
            stream->fd = -1;
            stream->end = STREAM_END_ABORTED;
            stream->state = KERNEL_DEAD;
        }
    }
    for (unsigned i = 0; i < worker->streams_touched; i++)
        if (worker->streams[i].state == KERNEL_DEAD)
            tell_closed(&worker->streams[i]);
    free_all(worker);
}

void kernel_worker_set_service(struct kernel_worker *worker, struct udp_service service)
{
    worker->service = service;
}
