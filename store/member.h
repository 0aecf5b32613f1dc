/*
 * member.h - the members of a cluster, as the log carries them: the nodes whose logs count for --min-replicas
 * and for a promotion. What the lists mean, and why that is safe, stands in replication/members.h.
 *
 * A list is written whole, one record of type LOG_MEMBER (log_record.h) for each member, in order; other
 * records may lie between. It counts from its last record on; until then the list before it does, and one
 * that is not finished never does. Key: the member's node id, 8 bytes, not zero. Value:
 *
 *   offset size  field
 *   0      2     count             records of the list, 1..MEMBERS_MAX
 *   2      2     index             of this one, 0..count-1
 *   4      2     min_replicas      K
 *   6      2     min_replicas_before   K of the list before
 *   8      2     replication_port  0: not known, as below
 *   10     2     client_port
 *   12     1     part              enum member_part
 *   13     3     reserved          zero
 *   16     16    address           IPv4 mapped; zero: not known
 *   32     n     name              0..64 bytes, printable ASCII
 *
 * Little-endian. A list is valid if and only if: all of its records are, and agree in count and both K; no
 * node is in it twice; somebody stays or joins. While part or K says that the list differs from the one
 * before, both count: the change is under way. It is over with the next list, in which all STAY.
 */
#ifndef WILD_MEMBER_H
#define WILD_MEMBER_H

#include "log_record.h"

enum {
    MEMBERS_MAX = 65,       /* a primary and its replicas */
    MEMBER_NAME_BYTES = 65, /* with the terminator */
    MEMBER_ADDRESS_BYTES = 16,
    MEMBER_KEY_BYTES = 8,
    MEMBER_VALUE_BYTES = 32, /* without the name */
    MEMBER_VALUE_BYTES_MAX = MEMBER_VALUE_BYTES + MEMBER_NAME_BYTES - 1,
    MEMBERS_MIN_REPLICAS_MAX = MEMBERS_MAX - 1,
};

enum member_part {
    MEMBER_STAYS = 1,  /* in the list, and in the one before if that counts */
    MEMBER_JOINS = 2,  /* not in the one before */
    MEMBER_LEAVES = 3, /* in the one before only */
};
const char *member_part_text(unsigned part); /* "stays", "joins", "leaves" */

struct member {
    uint64_t node_id;
    uint8_t address[MEMBER_ADDRESS_BYTES]; /* IPv4 mapped; zero: not known */
    uint16_t replication_port, client_port;
    uint8_t part; /* enum member_part */
    char name[MEMBER_NAME_BYTES];
};

/* In a struct meta it is kept with its LSN; count 0: there is none. */
struct member_list {
    uint64_t first_lsn,
        last_lsn; /* of its first and last record; first_lsn is not kept in meta, and 0 then */
    uint16_t min_replicas, min_replicas_before;
    unsigned count;
    struct member member[MEMBERS_MAX];
};

/* Whether no change is under way. */
bool member_list_is_settled(const struct member_list *list);
/* The same nodes in the same parts, the same K, names and addresses; LSNs may differ. */
bool member_list_equal(const struct member_list *a, const struct member_list *b);
bool member_list_valid(const struct member_list *list);
/* NULL: not in it. One that LEAVES is in it. */
const struct member *member_find(const struct member_list *list, uint64_t node_id);

/* The record of a list's n-th member, without an LSN; key and value are written to `room`. */
enum { MEMBER_ROOM_BYTES = MEMBER_KEY_BYTES + MEMBER_VALUE_BYTES_MAX };
void member_record(struct log_record *out, const struct member_list *list, unsigned n,
                   uint8_t room[MEMBER_ROOM_BYTES]);

/* One record, read: `head` gets what it says of its list (no members), *index its place there. False: not
 * valid. */
bool member_decode(struct member *out, struct member_list *head, unsigned *index,
                   const struct log_record *record);

/* Lists as they come with the log's records. Zeroed before its first use. */
struct member_collector {
    struct member_list list; /* `next` of list.count members of it are there */
    unsigned next;
};
/* A record of type LOG_MEMBER, in the order of the log. True: with it a list is whole: `out`. */
bool member_collect(struct member_collector *collector, const struct log_record *record,
                    struct member_list *out);

#endif
