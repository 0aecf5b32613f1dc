/*
 * neighbour.h - which MAC has which IPv4 address on our link, for packets that this node originates. (Replies
 * go back to the station that delivered the request and never look here.)
 *
 * One writer, the control lcore; readers, the workers, take no lock: two 8-byte words an entry tell them.
 * Entries exist only for addresses that this node wants, so no station can fill the table; it is bounded,
 * and so is the rate of requests.
 *
 *              wanted                answered               30 s
 *      (free) -------> INCOMPLETE -------------> REACHABLE ------> STALE ---> (free) after 10 min unused
 *        ^               |   ^                    ^    |             | wanted, or pinned, or
 *        | 3 unanswered, |   | 3 unanswered       |    |             | another MAC speaks for it
 *        | not pinned    |   |           answered |    | another     |
 *        +---------------+   +------------------ PROBE <-------------+
 *                                                      MAC speaks
 *
 *   INCOMPLETE  no MAC; requests by broadcast, a second apart; pinned entries go on ever more slowly
 *   REACHABLE   the MAC answered our request within 30 s
 *   STALE       it did so once: still used, asked again at the next occasion
 *   PROBE       still used; requests go to the old MAC, and only it can confirm itself: ARP that nobody asked
 *               for changes nothing but makes us ask, so a station can take over an address only when the one
 *               before no longer answers
 */
#ifndef WILD_NEIGHBOUR_H
#define WILD_NEIGHBOUR_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>

#include "net/arp.h"

enum {
    NEIGHBOUR_SETS = 64, /* a power of two */
    NEIGHBOUR_WAYS = 4,
    NEIGHBOURS_MAX = NEIGHBOUR_SETS * NEIGHBOUR_WAYS,
    NEIGHBOUR_TRIES_MAX = 3,
    NEIGHBOUR_BACKOFF_SHIFT_MAX = 5, /* pinned and silent: asked every 32 s in the end */
    NEIGHBOUR_REQUESTS_PER_SECOND = 50,
    NEIGHBOUR_REQUESTS_BURST = 16,
};
#define NEIGHBOUR_REACHABLE_NS   30000000000ull
#define NEIGHBOUR_RETRY_NS       1000000000ull
#define NEIGHBOUR_PROBE_RETRY_NS 300000000ull
#define NEIGHBOUR_UNUSED_NS      600000000000ull

enum neighbour_state {
    NEIGHBOUR_FREE = 0,
    NEIGHBOUR_INCOMPLETE,
    NEIGHBOUR_REACHABLE,
    NEIGHBOUR_STALE,
    NEIGHBOUR_PROBE,
};

struct neighbour_table;

struct neighbour_table *neighbour_table_create(int numa_node); /* NULL: memory is short */
void neighbour_table_destroy(struct neighbour_table *table);

/* Any thread. False: no MAC is known (yet). */
bool neighbour_lookup(const struct neighbour_table *table, rte_be32_t address, uint8_t mac[6]);

/* ---- control lcore only ---- */

/* This address matters: an entry is made, or kept from ageing. Pinned entries are kept and refreshed for
 * good. False: its place in the table is taken by pinned ones. */
bool neighbour_want(struct neighbour_table *table, rte_be32_t address, bool pinned, uint64_t now_ns);

enum neighbour_effect { NEIGHBOUR_IGNORED, NEIGHBOUR_CONFIRMED, NEIGHBOUR_PROBED };
/* Any ARP packet's sender. answer: a reply that was sent to us. */
enum neighbour_effect neighbour_heard(struct neighbour_table *table, const struct arp_packet *arp,
                                      bool answer, uint64_t now_ns);

struct neighbour_request {
    rte_be32_t address;
    bool broadcast; /* else to `mac` */
    uint8_t mac[6];
};
/* Moves timers on. True: this request is due, send it and call again. */
bool neighbour_due(struct neighbour_table *table, uint64_t now_ns, struct neighbour_request *out);
enum neighbour_state neighbour_state(const struct neighbour_table *table, rte_be32_t address);

#endif
