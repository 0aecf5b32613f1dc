/* parked.c - see parked.h. */
#include "service/parked.h"

#include <string.h>

#include "check.h"
#include "keys.h"
#include "message_inline.h"
#include "region.h"

/* In front of owner and message. */
struct entry_header {
    uint64_t wait_lsn; /* or skip_mark: the next entry stands at the buffer's start */
    uint64_t parked_ns;
    uint16_t entry_bytes; /* all of it */
    uint16_t message_bytes;
    uint8_t owner_bytes; /* in whole words */
    struct source source;
};
static_assert(sizeof(struct entry_header) % 8 == 0, "what follows is aligned");
static_assert(PARKED_OWNER_BYTES_MAX <= UINT8_MAX, "owner_bytes");

enum { WORD = 8 };
static const uint64_t skip_mark = UINT64_MAX; /* no LSN is that high */

/* One owner: the worker. */
struct parked {
    struct region region;
    uint8_t *buffer;
    size_t size;
    uint64_t added, popped; /* bytes since it was empty, skipped ones among them; `popped` is at an entry */
    unsigned count;
    /* Bytes of the entries of each, without skipped ones. */
    uint32_t networks[SOURCE_NETWORKS];
    uint32_t hosts[SOURCE_NETWORKS][SOURCE_HOSTS];
};

static size_t whole_words(size_t bytes)
{
    return (bytes + WORD - 1) & ~(size_t)(WORD - 1);
}

static size_t entry_bytes(size_t owner_bytes, size_t message_bytes)
{
    return sizeof(struct entry_header) + whole_words(owner_bytes) + whole_words(message_bytes);
}

/* The largest that anybody parks, twice, leaves room. */
static_assert(2 * (sizeof(struct entry_header) + PARKED_OWNER_BYTES_MAX + RECORD_MESSAGE_BYTES_MAX) <=
                  PARKED_RING_BYTES_MIN,
              "an empty ring takes any entry, wherever it stands");
static_assert(PARKED_OWNER_BYTES_MAX % WORD == 0, "whole words");
static_assert(PARKED_RING_BYTES_MIN / 2 <= UINT16_MAX, "entry_bytes");

struct parked *parked_create(size_t bytes, int numa_node)
{
    if (bytes < PARKED_RING_BYTES_MIN || (bytes & (bytes - 1)) != 0)
        return NULL;
    /* The struct stands in front of the buffer, in the same memory. */
    size_t head = (sizeof(struct parked) + 63) & ~(size_t)63;
    struct region_config config = {.bytes = head + bytes, .numa_node = numa_node};
    struct region region;
    if (region_create(&region, &config) != 0)
        return NULL;
    struct parked *parked = (struct parked *)(void *)region.start;
    parked->region = region;
    parked->buffer = region.start + head;
    parked->size = bytes;
    return parked;
}

void parked_destroy(struct parked *parked)
{
    if (parked == NULL)
        return;
    struct region region = parked->region;
    keys_wipe(parked->buffer, parked->size);
    region_destroy(&region);
}

static size_t to_end(const struct parked *parked, uint64_t position)
{
    return parked->size - (position & (parked->size - 1));
}

/* Bytes of the ring that an entry takes now: itself, and the rest of the buffer if it must skip that. */
static size_t cost(const struct parked *parked, size_t bytes)
{
    size_t end = to_end(parked, parked->added);
    return bytes <= end ? bytes : end + bytes;
}

size_t parked_bytes(const struct parked *parked)
{
    return parked->added - parked->popped;
}

unsigned parked_count(const struct parked *parked)
{
    return parked->count;
}

bool parked_room(const struct parked *parked, size_t message_bytes)
{
    return cost(parked, entry_bytes(PARKED_OWNER_BYTES_MAX, message_bytes)) <=
           parked->size - parked_bytes(parked);
}

bool parked_room_for(const struct parked *parked, unsigned entries, size_t message_bytes)
{
    size_t each = entry_bytes(PARKED_OWNER_BYTES_MAX, WORD); /* a message's last word may be a part of one */
    size_t skipped = entry_bytes(PARKED_OWNER_BYTES_MAX, RECORD_MESSAGE_BYTES_MAX);
    return entries * each + message_bytes + skipped <= parked->size - parked_bytes(parked);
}

size_t parked_entry_bytes(size_t message_bytes)
{
    return entry_bytes(PARKED_OWNER_BYTES_MAX, message_bytes);
}

bool parked_fair(const struct parked *parked, struct source source, size_t message_bytes, size_t spare)
{
    size_t used = parked_bytes(parked), taken = used + spare + parked_entry_bytes(message_bytes);
    if (taken + 2 * used <= parked->size) /* whoever holds all of it */
        return true;
    return taken + parked->hosts[source.network][source.host] + parked->networks[source.network] <=
           parked->size;
}

static struct entry_header *header_at(const struct parked *parked, uint64_t position)
{
    return (struct entry_header *)(void *)(parked->buffer + (position & (parked->size - 1)));
}

void parked_add(struct parked *parked, uint64_t wait_lsn, uint64_t now_ns, struct source source,
                const void *owner, size_t owner_bytes, const uint8_t *message, size_t message_bytes)
{
    size_t bytes = entry_bytes(owner_bytes, message_bytes), end = to_end(parked, parked->added);
    CHECK(owner_bytes <= PARKED_OWNER_BYTES_MAX && message_bytes <= RECORD_MESSAGE_BYTES_MAX &&
          cost(parked, bytes) <= parked->size - parked_bytes(parked));
    if (bytes > end) { /* a header may not fit there, but a word does */
        wire_put_u64(parked->buffer + (parked->size - end), skip_mark);
        parked->added += end;
    }
    struct entry_header *header = header_at(parked, parked->added);
    *header = (struct entry_header){.wait_lsn = wait_lsn,
                                    .parked_ns = now_ns,
                                    .entry_bytes = (uint16_t)bytes,
                                    .message_bytes = (uint16_t)message_bytes,
                                    .owner_bytes = (uint8_t)whole_words(owner_bytes),
                                    .source = source};
    uint8_t *at = (uint8_t *)(header + 1);
    memcpy(at, owner, owner_bytes);
    memcpy(at + header->owner_bytes, message, message_bytes);
    parked->added += bytes;
    parked->count++;
    parked->networks[source.network] += (uint32_t)bytes;
    parked->hosts[source.network][source.host] += (uint32_t)bytes;
}

bool parked_next(const struct parked *parked, uint64_t durable_lsn, bool failed, uint64_t now_ns,
                 struct parked_entry *out)
{
    if (parked->count == 0)
        return false;
    const struct entry_header *header = header_at(parked, parked->popped);
    bool reached = header->wait_lsn <= durable_lsn;
    if (!reached && !failed && now_ns - header->parked_ns < PARKED_NS_MAX)
        return false;
    const uint8_t *at = (const uint8_t *)(header + 1);
    *out = (struct parked_entry){.owner = at,
                                 .message = at + header->owner_bytes,
                                 .message_bytes = header->message_bytes,
                                 .wait_lsn = header->wait_lsn,
                                 .given_up = !reached};
    return true;
}

void parked_pop(struct parked *parked)
{
    CHECK(parked->count > 0);
    const struct entry_header *header = header_at(parked, parked->popped);
    parked->networks[header->source.network] -= header->entry_bytes;
    parked->hosts[header->source.network][header->source.host] -= header->entry_bytes;
    parked->popped += header->entry_bytes;
    if (--parked->count == 0)
        parked->added = parked->popped = 0; /* the same memory again: it is in the cache */
    else if (header_at(parked, parked->popped)->wait_lsn == skip_mark)
        parked->popped += to_end(parked, parked->popped);
}

/* ---- giving up ---- */

/* Whether an outcome of the table's depends on more than is durable, or may. */
static bool may_have_waited(const struct reply *reply, uint64_t durable_lsn)
{
    switch (reply->status) {
    case STATUS_OK:
    case STATUS_NOT_FOUND:
    case STATUS_EXISTS:
    case STATUS_VERSION_MISMATCH:
    case STATUS_FULL:
    case STATUS_NOT_A_NUMBER:
        return reply->version == 0 || reply->version > durable_lsn;
    default: /* nothing was done; but MORE tells of a GET that there is such an item */
        return reply->status == STATUS_MORE && reply->opcode == OPCODE_GET;
    }
}

static void rewrite(struct reply *reply, uint64_t durable_lsn, struct parked_given_up *out)
{
    if (reply->opcode == OPCODE_ECHO || reply->opcode == OPCODE_HEALTH ||
        !may_have_waited(reply, durable_lsn))
        return;
    bool read = reply->opcode == OPCODE_GET;
    out->reads += read;
    out->writes += !read;
    reply->status = read ? STATUS_STALE : STATUS_TIMEOUT;
    reply->value_length = 0;
    reply->version = 0;
}

size_t parked_give_up(uint8_t *message, size_t message_bytes, uint64_t durable_lsn,
                      struct parked_given_up *out)
{
    struct message_header header;
    struct message_reader reader;
    struct message_writer writer;
    struct reply reply;
    *out = (struct parked_given_up){0};
    CHECK(message_open(&reader, &header, message, message_bytes, false) == 0);
    message_begin(&writer, message, message_bytes);
    /* A reply never grows, so what is written stays behind what is read. */
    while (message_next_reply(&reader, &reply) == 1) {
        rewrite(&reply, durable_lsn, out);
        message_add_reply(&writer, &reply);
    }
    CHECK(writer.count == header.count); /* we wrote it */
    return message_finish(&writer, &header);
}
