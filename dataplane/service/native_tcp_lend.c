/*
 * native_tcp_lend.c - buffers for records that came in part. Who never completes a record holds one: so a
 * source has a share of them, and when there is none for somebody else the record that has been waited for
 * longest makes room.
 */
#include "service/native_tcp_internal.h"

enum { HOLDERS_LOOKED_AT = 16 };

static unsigned class_of(uint32_t bytes)
{
    return bytes > NATIVE_BUFFER_SMALL_BYTES;
}

static struct native_host *host_of(const struct native_connection *c)
{
    return &c->service->hosts[c->source.network * SOURCE_HOSTS + c->source.host];
}

/* ---- the lists of those who hold one, by when their record began ---- */

static void holder_append(struct native_connection *c)
{
    struct native_tcp *service = c->service;
    struct native_holders *holders = &service->holders[class_of(c->buffer->size)];
    int32_t place = native_tcp_place(c);
    c->holding_ns = service->engine.now.mono_ns;
    c->holder_next = NOBODY;
    c->holder_previous = holders->newest;
    if (holders->newest == NOBODY)
        holders->oldest = place;
    else
        service->connections[holders->newest].holder_next = place;
    holders->newest = place;
}

static void holder_remove(struct native_connection *c)
{
    struct native_tcp *service = c->service;
    struct native_holders *holders = &service->holders[class_of(c->buffer->size)];
    if (c->holder_previous == NOBODY)
        holders->oldest = c->holder_next;
    else
        service->connections[c->holder_previous].holder_next = c->holder_next;
    if (c->holder_next == NOBODY)
        holders->newest = c->holder_previous;
    else
        service->connections[c->holder_next].holder_previous = c->holder_previous;
}

/* ---- giving and taking ---- */

void native_tcp_wipe_opened(struct native_connection *c)
{
    if (c->buffer == NULL || c->buffer->length == 0)
        return;
    keys_wipe(c->buffer->bytes, c->buffer->length);
    c->buffer->length = 0;
}

void native_tcp_give_back(struct native_connection *c)
{
    if (c->buffer == NULL)
        return;
    native_tcp_wipe_opened(c);
    holder_remove(c);
    host_of(c)->requests[class_of(c->buffer->size)]--;
    native_buffer_give(&c->service->buffers, c->buffer);
    c->buffer = NULL;
}

void native_tcp_record_begun(struct native_connection *c)
{
    if (c->buffer == NULL)
        return;
    holder_remove(c);
    holder_append(c);
}

/* NULL: none is free, or the source has its share. */
static struct native_buffer *take(const struct native_connection *c, uint32_t bytes)
{
    struct native_tcp *service = c->service;
    struct native_buffer *buffer = native_buffer_take(&service->buffers, bytes, NATIVE_BUFFER_REQUEST);
    if (buffer == NULL)
        return NULL;
    unsigned class = class_of(buffer->size);
    if (host_of(c)->requests[class] < service->holders[class].each_max)
        return buffer;
    native_buffer_give(&service->buffers, buffer);
    return NULL;
}

/* The oldest record whose source holds no fewer buffers than this one makes room, if it had its time. */
static bool displace(const struct native_connection *c, uint32_t bytes)
{
    struct native_tcp *service = c->service;
    unsigned class = class_of(bytes);
    const struct native_holders *holders = &service->holders[class];
    const struct native_host *own = host_of(c);
    bool share_used = own->requests[class] >= holders->each_max;
    int32_t place = holders->oldest;
    for (unsigned i = 0; i < HOLDERS_LOOKED_AT && place != NOBODY; i++) {
        struct native_connection *holder = &service->connections[place];
        const struct native_host *host = host_of(holder);
        if (service->engine.now.mono_ns - holder->holding_ns < NATIVE_TCP_RECORD_GRACE_NS)
            return false;
        /* one that is starved would go on if we let it */
        if (holder != c && !holder->starved &&
            (share_used ? host == own : host->requests[class] >= own->requests[class])) {
            native_tcp_abort(holder, COUNTER_native_tcp_displaced);
            return true;
        }
        place = holder->holder_next;
    }
    return false;
}

bool native_tcp_lend(struct native_connection *c, uint32_t bytes)
{
    if (bytes <= NATIVE_TCP_INLINE_BYTES) {
        record_reader_lend(&c->reader, c->inline_bytes, NATIVE_TCP_INLINE_BYTES);
        native_tcp_give_back(c);
        return true;
    }
    struct native_buffer *buffer = take(c, bytes);
    if (buffer == NULL && displace(c, bytes))
        buffer = take(c, bytes);
    /* Whoever waits has not more than the record's header yet: it need not hold a buffer meanwhile. */
    bool waits = buffer == NULL;
    if (!waits)
        record_reader_lend(&c->reader, buffer->bytes, buffer->size);
    else if (c->buffer != NULL)
        record_reader_lend(&c->reader, c->inline_bytes, NATIVE_TCP_INLINE_BYTES);
    native_tcp_give_back(c);
    if (waits)
        return false;
    c->buffer = buffer;
    host_of(c)->requests[class_of(buffer->size)]++;
    holder_append(c);
    return true;
}
