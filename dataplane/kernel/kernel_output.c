/* kernel_output.c - what streams send, from reserve to the kernel: blocks of one pool. */
#include "kernel/kernel_internal.h"

#include <errno.h>
#include <sys/uio.h>

/* ---- blocks ---- */

/*
 * The last part of the pool is for streams that hold nothing: those whose peers do not read could otherwise
 * have all of it, and everybody else nothing.
 */
static struct kernel_block *take_block(struct kernel_worker *worker, bool holds_some)
{
    unsigned kept = holds_some ? worker->config.blocks_max / KERNEL_BLOCKS_KEPT_DIVISOR : 0;
    if (worker->blocks_free <= kept)
        return NULL;
    struct kernel_block *block = worker->free_blocks[--worker->blocks_free];
    *block = (struct kernel_block){.next = NULL};
    return block;
}

static void drop_first(struct kernel_stream *stream)
{
    struct kernel_worker *worker = stream->worker;
    struct kernel_block *block = stream->first;
    stream->first = block->next;
    if (stream->first == NULL)
        stream->last = NULL;
    stream->queued -= block->bytes - block->sent;
    worker->free_blocks[worker->blocks_free++] = block;
}

void kernel_stream_drop_output(struct kernel_stream *stream)
{
    while (stream->first != NULL)
        drop_first(stream);
    kernel_stream_starve_no_more(stream);
}

/* ---- who waits for a block ---- */

/* Only streams that hold none wait here; the others are told when some of theirs are free again. */
static void starve(struct kernel_stream *stream)
{
    struct kernel_worker *worker = stream->worker;
    kernel_count(worker, COUNTER_kernel_blocks_short, 1);
    if (stream->first != NULL || stream->starved_link != NULL)
        return;
    stream->starved_link = worker->starved_end;
    stream->next_starved = NULL;
    *worker->starved_end = stream;
    worker->starved_end = &stream->next_starved;
}

void kernel_stream_starve_no_more(struct kernel_stream *stream)
{
    struct kernel_worker *worker = stream->worker;
    if (stream->starved_link == NULL)
        return;
    *stream->starved_link = stream->next_starved;
    if (stream->next_starved != NULL)
        stream->next_starved->starved_link = stream->starved_link;
    else
        worker->starved_end = stream->starved_link;
    stream->starved_link = NULL;
}

void kernel_feed_starved(struct kernel_worker *worker)
{
    for (unsigned n = 0; n < KERNEL_STARVED_PER_TURN && n < worker->blocks_free && worker->starved != NULL;
         n++) {
        struct kernel_stream *stream = worker->starved;
        kernel_stream_starve_no_more(stream);
        kernel_todo_add(stream, KERNEL_TODO_WRITABLE);
    }
}

/* ---- reserve and commit ---- */

static size_t tail_room(const struct kernel_stream *stream)
{
    return stream->last == NULL ? 0 : sizeof(stream->last->payload) - stream->last->bytes;
}

uint8_t *kernel_stream_reserve(struct stream *face, size_t least, size_t *room)
{
    struct kernel_stream *stream = kernel_stream_of(face);
    size_t allowed = stream->worker->config.send_bytes_max - stream->queued;
    CHECK(least > 0 && least <= STREAM_RESERVE_MAX);
    if ((stream->state != KERNEL_OPEN && stream->state != KERNEL_OPENING) || stream->closing)
        return NULL;
    stream->refused = true;
    if (allowed < least)
        return NULL;
    if (tail_room(stream) < least) {
        struct kernel_block *block = take_block(stream->worker, stream->first != NULL);
        if (block == NULL) {
            starve(stream);
            return NULL;
        }
        if (stream->last != NULL)
            stream->last->next = block;
        else
            stream->first = block;
        stream->last = block;
        kernel_todo_add(stream, KERNEL_TODO_FLUSH); /* gives it back if nothing is committed */
    }
    stream->refused = false;
    kernel_stream_starve_no_more(stream);
    *room = tail_room(stream) < allowed ? tail_room(stream) : allowed;
    return stream->last->payload + stream->last->bytes;
}

void kernel_stream_commit(struct stream *face, size_t length)
{
    struct kernel_stream *stream = kernel_stream_of(face);
    if (length == 0 || stream->state == KERNEL_DEAD)
        return;
    CHECK(length <= tail_room(stream) && length <= stream->worker->config.send_bytes_max - stream->queued);
    stream->last->bytes += (uint32_t)length;
    stream->queued += (uint32_t)length;
    kernel_todo_add(stream, KERNEL_TODO_FLUSH);
}

/* ---- flush ---- */

static void took(struct kernel_stream *stream, size_t bytes)
{
    kernel_count(stream->worker, COUNTER_kernel_tx_bytes, bytes);
    while (bytes > 0) {
        struct kernel_block *block = stream->first;
        size_t here = block->bytes - block->sent;
        if (here > bytes) {
            block->sent += (uint32_t)bytes;
            stream->queued -= (uint32_t)bytes;
            return;
        }
        bytes -= here;
        drop_first(stream);
    }
}

/* One system call. False: there is no more to do now. */
static bool send_some(struct kernel_stream *stream)
{
    struct iovec pieces[KERNEL_FLUSH_BLOCKS_MAX];
    struct msghdr message = {.msg_iov = pieces};
    for (struct kernel_block *block = stream->first;
         block != NULL && block->bytes > block->sent && message.msg_iovlen < KERNEL_FLUSH_BLOCKS_MAX;
         block = block->next)
        pieces[message.msg_iovlen++] =
            (struct iovec){.iov_base = block->payload + block->sent, .iov_len = block->bytes - block->sent};
    if (message.msg_iovlen == 0)
        return false;
    ssize_t sent = sendmsg(stream->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
        took(stream, (size_t)sent);
        return true;
    }
    if (errno == EINTR)
        return true;
    if (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM) {
        kernel_stream_fail(stream, errno);
        return false;
    }
    if (!stream->blocked)
        kernel_count(stream->worker, COUNTER_kernel_stream_blocked, 1);
    stream->blocked = true;
    return false;
}

/* Our end, once the kernel has all of ours. */
static void end_ours(struct kernel_stream *stream)
{
    if (!stream->closing || stream->fin_sent || stream->queued > 0)
        return;
    if (shutdown(stream->fd, SHUT_WR) != 0) {
        kernel_stream_fail(stream, errno);
        return;
    }
    stream->fin_sent = true;
    stream->linger_ns = stream->worker->now.mono_ns + KERNEL_LINGER_NS;
    kernel_stream_arm(stream);
    kernel_stream_finish_if_done(stream);
}

void kernel_stream_flush(struct kernel_stream *stream)
{
    if (stream->state != KERNEL_OPEN)
        return; /* OPENING: flushed once it is open */
    stream->blocked = false;
    while (send_some(stream))
        ;
    if (stream->state != KERNEL_OPEN)
        return;
    /* A reservation that nothing came of. Blocks before it are full or were sent. */
    if (stream->queued == 0)
        while (stream->first != NULL)
            drop_first(stream);
    end_ours(stream);
    if (stream->state != KERNEL_OPEN)
        return;
    kernel_stream_interest(stream);
    if (stream->refused && stream->starved_link == NULL &&
        stream->queued <= stream->worker->config.send_bytes_max / 2)
        kernel_todo_add(stream, KERNEL_TODO_WRITABLE);
}
