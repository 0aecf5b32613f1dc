#include "net/neighbour.h"

#include <stdatomic.h>
#include <string.h>

#include <rte_malloc.h>

#include "net/eth.h"
#include "net/token_bucket.h"

static_assert((NEIGHBOUR_SETS & (NEIGHBOUR_SETS - 1)) == 0, "sets are chosen by mask");

struct neighbour {
    /* Writer: control; readers: workers. `who` = address (32) | generation (32); `what` = state (8) |
     * generation's low byte (8) | MAC (48). A reader believes `what` only under the generation of `who`. */
    _Atomic uint64_t who, what;
    /* control's own */
    uint64_t due_ns, used_ns;
    uint8_t tries;
    bool pinned;
};

struct neighbour_table {
    struct neighbour entry[NEIGHBOURS_MAX];
    struct token_bucket requests;
    uint64_t next_due_ns; /* nothing to do before */
};

struct neighbour_table *neighbour_table_create(int numa_node)
{
    struct neighbour_table *table = rte_zmalloc_socket("neighbours", sizeof *table, 64, numa_node);
    if (table != NULL) {
        table->requests = token_bucket_make(NEIGHBOUR_REQUESTS_PER_SECOND, NEIGHBOUR_REQUESTS_BURST);
        table->next_due_ns = UINT64_MAX;
    }
    return table;
}

void neighbour_table_destroy(struct neighbour_table *table)
{
    rte_free(table);
}

/* Addresses come from our own configuration and peers, so an ordinary hash will do. */
static unsigned first_way(rte_be32_t address)
{
    return (rte_be_to_cpu_32(address) * 2654435761u >> 26) % NEIGHBOUR_SETS * NEIGHBOUR_WAYS;
}

bool neighbour_lookup(const struct neighbour_table *table, rte_be32_t address, uint8_t mac[6])
{
    const struct neighbour *entry = &table->entry[first_way(address)];
    for (unsigned i = 0; i < NEIGHBOUR_WAYS; i++, entry++) {
        /* acquire: pairs with release in entry_take(), so `what` is not older than `who` */
        uint64_t who = atomic_load_explicit(&entry->who, memory_order_acquire);
        if (who >> 32 != address)
            continue;
        uint64_t what = atomic_load_explicit(&entry->what, memory_order_relaxed);
        enum neighbour_state state = (enum neighbour_state)(what >> 56);
        if ((what >> 48 & 0xFF) != (who & 0xFF) || state == NEIGHBOUR_FREE || state == NEIGHBOUR_INCOMPLETE)
            return false;
        for (unsigned b = 0; b < 6; b++)
            mac[b] = (uint8_t)(what >> 8 * b);
        return true;
    }
    return false;
}

/* ---- control lcore ---- */

static enum neighbour_state entry_state(const struct neighbour *entry)
{
    return (enum neighbour_state)(atomic_load_explicit(&entry->what, memory_order_relaxed) >> 56);
}

static uint64_t entry_mac(const struct neighbour *entry)
{
    return atomic_load_explicit(&entry->what, memory_order_relaxed) << 16 >> 16;
}

static rte_be32_t entry_address(const struct neighbour *entry)
{
    return (rte_be32_t)(atomic_load_explicit(&entry->who, memory_order_relaxed) >> 32);
}

/* Moves to a state and starts its timer. State and MAC change in one store. */
static void entry_set(struct neighbour_table *table, struct neighbour *entry, enum neighbour_state state,
                      uint64_t mac, uint64_t due_ns)
{
    uint64_t generation = atomic_load_explicit(&entry->who, memory_order_relaxed) & 0xFF;
    entry->tries = 0;
    entry->due_ns = due_ns;
    if (due_ns < table->next_due_ns)
        table->next_due_ns = due_ns;
    /* relaxed: the word is whole in itself */
    atomic_store_explicit(&entry->what, (uint64_t)state << 56 | generation << 48 | mac, memory_order_relaxed);
}

static struct neighbour *entry_find(struct neighbour_table *table, rte_be32_t address)
{
    struct neighbour *entry = &table->entry[first_way(address)];
    for (unsigned i = 0; i < NEIGHBOUR_WAYS; i++) {
        if (entry_address(&entry[i]) == address && entry_state(&entry[i]) != NEIGHBOUR_FREE)
            return &entry[i];
    }
    return NULL;
}

/* A place for a new address: a free one, else the one unused for longest; NULL if all are pinned. */
static struct neighbour *entry_take(struct neighbour_table *table, rte_be32_t address)
{
    struct neighbour *set = &table->entry[first_way(address)], *best = NULL;
    for (unsigned i = 0; i < NEIGHBOUR_WAYS; i++) {
        if (entry_state(&set[i]) == NEIGHBOUR_FREE) {
            best = &set[i];
            break;
        }
        if (!set[i].pinned && (best == NULL || set[i].used_ns < best->used_ns))
            best = &set[i];
    }
    if (best == NULL)
        return NULL;
    uint32_t generation = (uint32_t)atomic_load_explicit(&best->who, memory_order_relaxed) + 1;
    atomic_store_explicit(&best->what, (uint64_t)(generation & 0xFF) << 48, memory_order_relaxed);
    /* release: pairs with acquire in neighbour_lookup() */
    atomic_store_explicit(&best->who, (uint64_t)address << 32 | generation, memory_order_release);
    best->pinned = false;
    return best;
}

bool neighbour_want(struct neighbour_table *table, rte_be32_t address, bool pinned, uint64_t now_ns)
{
    struct neighbour *entry = entry_find(table, address);
    if (entry == NULL) {
        entry = entry_take(table, address);
        if (entry == NULL)
            return false;
        entry_set(table, entry, NEIGHBOUR_INCOMPLETE, 0, now_ns);
    } else if (entry_state(entry) == NEIGHBOUR_STALE) {
        entry_set(table, entry, NEIGHBOUR_PROBE, entry_mac(entry), now_ns);
    }
    entry->used_ns = now_ns;
    entry->pinned |= pinned;
    return true;
}

enum neighbour_effect neighbour_heard(struct neighbour_table *table, const struct arp_packet *arp,
                                      bool answer, uint64_t now_ns)
{
    struct neighbour *entry = entry_find(table, arp->sender);
    if (entry == NULL)
        return NEIGHBOUR_IGNORED;
    uint64_t mac = eth_mac_word(arp->sender_mac);
    bool same = mac == entry_mac(entry), asked = entry->tries > 0;
    switch (entry_state(entry)) {
    case NEIGHBOUR_INCOMPLETE:
        if (!answer || !asked)
            return NEIGHBOUR_IGNORED;
        break;
    case NEIGHBOUR_PROBE:
        if (!answer || !asked || !same)
            return NEIGHBOUR_IGNORED;
        break;
    default: /* REACHABLE, STALE: the same MAC again is no news */
        if (same)
            return NEIGHBOUR_IGNORED;
        entry_set(table, entry, NEIGHBOUR_PROBE, entry_mac(entry), now_ns);
        return NEIGHBOUR_PROBED;
    }
    entry_set(table, entry, NEIGHBOUR_REACHABLE, mac, now_ns + NEIGHBOUR_REACHABLE_NS);
    return NEIGHBOUR_CONFIRMED;
}

/* The entry's timer has run out. True: a request is to be sent, and the timer runs again. */
static bool entry_step(struct neighbour_table *table, struct neighbour *entry, uint64_t now_ns)
{
    uint64_t mac = entry_mac(entry), forget_ns = entry->used_ns + NEIGHBOUR_UNUSED_NS;
    switch (entry_state(entry)) {
    case NEIGHBOUR_REACHABLE:
        if (entry->pinned)
            entry_set(table, entry, NEIGHBOUR_PROBE, mac, now_ns);
        else
            entry_set(table, entry, NEIGHBOUR_STALE, mac, forget_ns);
        return false;
    case NEIGHBOUR_STALE:
        if (forget_ns <= now_ns)
            entry_set(table, entry, NEIGHBOUR_FREE, 0, UINT64_MAX);
        else
            entry->due_ns = forget_ns;
        return false;
    case NEIGHBOUR_PROBE:
        if (entry->tries == NEIGHBOUR_TRIES_MAX) {
            entry_set(table, entry, NEIGHBOUR_INCOMPLETE, 0, now_ns);
            return false;
        }
        break;
    case NEIGHBOUR_INCOMPLETE:
        if (entry->tries == NEIGHBOUR_TRIES_MAX && !entry->pinned) {
            entry_set(table, entry, NEIGHBOUR_FREE, 0, UINT64_MAX);
            return false;
        }
        break;
    default: /* FREE */
        entry->due_ns = UINT64_MAX;
        return false;
    }
    return token_bucket_take(&table->requests, now_ns);
}

static void entry_asked(struct neighbour *entry, uint64_t now_ns, struct neighbour_request *out)
{
    uint64_t mac = entry_mac(entry);
    bool probe = entry_state(entry) == NEIGHBOUR_PROBE;
    unsigned extra = entry->tries > NEIGHBOUR_TRIES_MAX ? entry->tries - NEIGHBOUR_TRIES_MAX : 0;
    if (entry->tries < NEIGHBOUR_TRIES_MAX + NEIGHBOUR_BACKOFF_SHIFT_MAX)
        entry->tries++;
    entry->due_ns = now_ns + (probe ? NEIGHBOUR_PROBE_RETRY_NS : NEIGHBOUR_RETRY_NS << extra);
    *out = (struct neighbour_request){.address = entry_address(entry), .broadcast = !probe};
    for (unsigned b = 0; b < 6; b++)
        out->mac[b] = probe ? (uint8_t)(mac >> 8 * b) : 0xFF;
}

bool neighbour_due(struct neighbour_table *table, uint64_t now_ns, struct neighbour_request *out)
{
    if (now_ns < table->next_due_ns)
        return false;
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < NEIGHBOURS_MAX; i++) {
        struct neighbour *entry = &table->entry[i];
        /* at most: REACHABLE > PROBE; PROBE > INCOMPLETE; then a request, or no token */
        for (unsigned step = 0; step < 3 && entry->due_ns <= now_ns; step++) {
            if (entry_state(entry) == NEIGHBOUR_FREE)
                break;
            if (entry_step(table, entry, now_ns)) {
                entry_asked(entry, now_ns, out);
                return true;
            }
        }
        if (entry_state(entry) != NEIGHBOUR_FREE && entry->due_ns < next)
            next = entry->due_ns;
    }
    table->next_due_ns = next;
    return false;
}

enum neighbour_state neighbour_state(const struct neighbour_table *table, rte_be32_t address)
{
    const struct neighbour *entry = &table->entry[first_way(address)];
    for (unsigned i = 0; i < NEIGHBOUR_WAYS; i++) {
        if (entry_address(&entry[i]) == address)
            return entry_state(&entry[i]);
    }
    return NEIGHBOUR_FREE;
}
