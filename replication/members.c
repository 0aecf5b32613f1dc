/* members.c - which list is due, and what is acknowledged by it; the rules stand in members.h. */
#include "members.h"

#include <errno.h>
#include <string.h>

#include "epoch.h"

/* ---- a list of two ---- */

/* The list as it shall be, and the one before it, which counts too while they differ. */
enum half { HALF_AFTER, HALF_BEFORE };

static bool is_in(const struct member *member, enum half half)
{
    return member->part != (half == HALF_AFTER ? MEMBER_LEAVES : MEMBER_JOINS);
}

static unsigned count_of(const struct member_list *list, enum half half)
{
    unsigned count = 0;
    for (unsigned i = 0; i < list->count; i++)
        count += is_in(&list->member[i], half);
    return count;
}

static unsigned min_replicas_of(const struct member_list *list, enum half half)
{
    return half == HALF_AFTER ? list->min_replicas : list->min_replicas_before;
}

/* ---- what is acknowledged ---- */

static uint64_t lsn_of(const struct members *members, uint64_t node_id, uint64_t durable_lsn,
                       const struct members_peer *peers, unsigned count)
{
    if (node_id == members->own_id)
        return durable_lsn;
    for (unsigned i = 0; i < count; i++)
        if (peers[i].member.node_id == node_id)
            return peers[i].durable_lsn;
    return 0;
}

/* The highest LSN that `needed` of one half have. 0: there are not as many. */
static uint64_t lsn_of_half(const struct members *members, enum half half, unsigned needed,
                            uint64_t durable_lsn, const struct members_peer *peers, unsigned count)
{
    const struct member_list *list = &members->list;
    uint64_t best[MEMBERS_MAX]; /* the `needed` highest so far, highest first */
    unsigned found = 0;

    if (needed > MEMBERS_MAX)
        return 0;
    for (unsigned i = 0; i < list->count; i++) {
        if (!is_in(&list->member[i], half))
            continue;
        uint64_t lsn = lsn_of(members, list->member[i].node_id, durable_lsn, peers, count);
        if (found == needed && lsn <= best[found - 1])
            continue;
        unsigned at = found < needed ? found++ : found - 1;
        for (; at > 0 && best[at - 1] < lsn; at--)
            best[at] = best[at - 1];
        best[at] = lsn;
    }
    return found == needed ? best[needed - 1] : 0;
}

static unsigned at_most(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The old half, as long as it counts: clients were promised nothing by it that it could not keep. */
static uint64_t lsn_before(const struct members *members, unsigned *needed, uint64_t durable_lsn,
                           const struct members_peer *peers, unsigned count)
{
    const struct member_list *list = &members->list;

    if (member_list_is_settled(list))
        return UINT64_MAX;
    *needed = at_most(list->min_replicas_before + 1u, count_of(list, HALF_BEFORE));
    return lsn_of_half(members, HALF_BEFORE, *needed, durable_lsn, peers, count);
}

static uint64_t of_this_history(const struct members *members, uint64_t lsn)
{
    return lsn >= members->first_lsn ? lsn : 0;
}

uint64_t members_acknowledged_lsn(const struct members *members, uint64_t durable_lsn,
                                  const struct members_peer *peers, unsigned count)
{
    unsigned wanted = members->min_replicas, written = members->list.min_replicas, before = 1;
    unsigned needed = (wanted > written ? wanted : written) + 1;
    uint64_t lsn = lsn_before(members, &before, durable_lsn, peers, count);

    if (members->list.count == 0)
        return needed == 1 ? durable_lsn : 0;
    lsn = lower(lsn, lsn_of_half(members, HALF_AFTER, needed, durable_lsn, peers, count));
    lsn = lower(lsn, durable_lsn);
    /* Where one node is enough, that is this one, whose log has the history's first mark. */
    return needed == 1 && before == 1 ? lsn : of_this_history(members, lsn);
}

/* Whether the list itself is, so that what it changes is over. */
static bool list_is_acknowledged(const struct members *members, uint64_t durable_lsn,
                                 const struct members_peer *peers, unsigned count)
{
    const struct member_list *list = &members->list;
    unsigned before = 1, needed = at_most(list->min_replicas + 1u, count_of(list, HALF_AFTER));
    uint64_t lsn = lower(lsn_before(members, &before, durable_lsn, peers, count),
                         lsn_of_half(members, HALF_AFTER, needed, durable_lsn, peers, count));

    return list->last_lsn >= members->first_lsn && lower(lsn, durable_lsn) >= list->last_lsn;
}

/* ---- the list ---- */

void members_init(struct members *members, uint64_t own_id, const struct member_list *list)
{
    *members = (struct members){.own_id = own_id};
    members->list = *list;
}

bool members_take(struct members *members, const struct log_record *record)
{
    struct member_list list;

    if (!member_collect(&members->collector, record, &list))
        return false;
    members->list = list;
    return true;
}

void members_forget(struct members *members)
{
    members->list.count = 0;
    members->collector.list.count = 0;
}

void members_lead(struct members *members, const struct member *self, uint16_t min_replicas,
                  uint64_t first_lsn)
{
    members->leads = true;
    members->self = *self;
    members->self.node_id = members->own_id;
    members->min_replicas = min_replicas;
    members->first_lsn = first_lsn;
    members->removal.node_id = 0;
    members->collector.list.count = 0; /* one that is not finished was another's */
    memset(members->left, 0, sizeof members->left);
}

void members_stop_leading(struct members *members)
{
    members->leads = false;
}

/* ---- the next list ---- */

static int place_of(const struct member_list *list, uint64_t node_id)
{
    const struct member *member = member_find(list, node_id);
    return member != NULL ? (int)(member - list->member) : -1;
}

/* Adds a node, or brings up to date what is known of it. */
static void put(struct member_list *list, const struct member *member)
{
    int at = place_of(list, member->node_id);
    uint8_t part = at >= 0 ? list->member[at].part : MEMBER_JOINS;

    if (at < 0 && list->count == MEMBERS_MAX)
        return;
    if (at < 0)
        at = (int)list->count++;
    list->member[at] = *member;
    list->member[at].part = part;
}

/* What was under way is over. */
static void settle(struct member_list *list)
{
    unsigned count = 0;
    for (unsigned i = 0; i < list->count; i++)
        if (list->member[i].part != MEMBER_LEAVES) {
            list->member[count] = list->member[i];
            list->member[count++].part = MEMBER_STAYS;
        }
    list->count = count;
    list->min_replicas_before = list->min_replicas;
}

static bool has_left(const struct members *members, uint64_t node_id)
{
    for (unsigned i = 0; i < MEMBERS_LEFT_MAX; i++)
        if (members->left[i] == node_id)
            return true;
    return false;
}

/* Those whose sessions are over may join again when they come again. */
static void forget_left(struct members *members, const struct members_peer *peers, unsigned count)
{
    for (unsigned i = 0; i < MEMBERS_LEFT_MAX; i++) {
        bool there = false;
        for (unsigned k = 0; k < count; k++)
            there = there || peers[k].member.node_id == members->left[i];
        if (!there)
            members->left[i] = 0;
    }
}

static void remember_left(struct members *members, uint64_t node_id)
{
    memmove(&members->left[1], &members->left[0], sizeof members->left - sizeof members->left[0]);
    members->left[0] = node_id;
}

/* Takes the node out that the operator wants out. */
static void take_out(struct members *members, struct member_list *next)
{
    const struct members_removal removal = members->removal;
    int at = place_of(next, removal.node_id);

    members->removal.node_id = 0;
    if (at < 0)
        return;
    remember_left(members, removal.node_id);
    next->member[at].part = MEMBER_LEAVES;
    if (removal.force)
        settle(next); /* the others with it: what was under way need not wait for a node that is gone */
}

/* A list without a change under way: what is to change next, into `next`: nodes, what is known of them, K. */
static void change(struct members *members, struct member_list *next, const struct members_peer *peers,
                   unsigned count)
{
    if (members->removal.node_id != 0) {
        take_out(members, next);
        return;
    }
    put(next, &members->self);
    next->min_replicas = members->min_replicas;
    for (unsigned i = 0; i < count; i++)
        if (peers[i].has_all && !has_left(members, peers[i].member.node_id))
            put(next, &peers[i].member);
}

/* Somebody has all that is in the log, but for the list. */
static bool is_missing(const struct members *members, const struct members_peer *peers, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (peers[i].has_all && peers[i].snapshot_lsn >= members->list.first_lsn)
            return true;
    return false;
}

bool members_turn(struct members *members, const struct members_log *log, uint64_t durable_lsn,
                  const struct members_peer *peers, unsigned count)
{
    struct member_list next = members->list;
    bool is_first = next.count == 0, again = next.last_lsn < members->first_lsn;

    if (!members->leads)
        return false;
    forget_left(members, peers, count);
    if (members->removal.force && members->removal.node_id != 0)
        take_out(members, &next);
    else if (is_first || member_list_is_settled(&next))
        change(members, &next, peers, count);
    else if (list_is_acknowledged(members, durable_lsn, peers, count))
        settle(&next);
    else if (place_of(&next, members->own_id) >= 0)
        put(&next, &members->self);
    if (is_first) /* nobody could be promoted by a list before it */
        settle(&next);
    if (!again && member_list_equal(&next, &members->list) && !is_missing(members, peers, count))
        return false;
    if (!log->write(log->state, &next))
        return false;
    members->list = next;
    return true;
}

int members_remove(struct members *members, uint64_t node_id, bool force)
{
    if (node_id == members->own_id)
        return -EINVAL;
    if (member_find(&members->list, node_id) == NULL)
        return -ENOENT;
    if (!force && (members->removal.node_id != 0 || !member_list_is_settled(&members->list)))
        return -EBUSY;
    members->removal = (struct members_removal){.node_id = node_id, .force = force};
    return 0;
}

/* ---- promises ---- */

static bool enough_of(const struct member_list *list, enum half half, const uint64_t *ids, unsigned count)
{
    unsigned all = count_of(list, half), replicas = min_replicas_of(list, half);
    unsigned needed = all > replicas ? all - replicas : 1, found = 0;

    for (unsigned i = 0; i < list->count; i++)
        for (unsigned k = 0; is_in(&list->member[i], half) && k < count; k++)
            found += list->member[i].node_id == ids[k];
    return found >= needed;
}

bool members_enough(const struct member_list *list, const uint64_t *ids, unsigned count)
{
    return list->count > 0 && enough_of(list, HALF_AFTER, ids, count) &&
           enough_of(list, HALF_BEFORE, ids, count);
}

bool members_counts(const struct member_list *list, uint64_t node_id)
{
    const struct member *member = member_find(list, node_id);
    return member != NULL && member->part != MEMBER_JOINS;
}

/* ---- starting ---- */

enum members_start members_may_start(const struct meta *meta)
{
    const struct history *last = &meta->history[meta->count > 0 ? meta->count - 1 : 0];

    if (meta->count == 0)
        return meta->sealed_epoch == 0 ? MEMBERS_START_LEADS : MEMBERS_START_ASKS;
    /* A promise to itself is none that counts: it may stand where one to another stood. */
    return last->node_id == meta->node_id && meta->sealed_epoch <= last->epoch &&
                   epoch_of_start(last->epoch) != 0
               ? MEMBERS_START_LEADS
               : MEMBERS_START_ASKS;
}
