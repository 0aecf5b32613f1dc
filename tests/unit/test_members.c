/*
 * test_members.c - the list of members as a primary changes it: what is acknowledged meanwhile, whose promises
 * are enough; and that the two always have a member in common.
 */
#include "members.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "epoch.h"
#include "suite.h"

enum { OWN = 1 };
#define HISTORY(n) ((uint64_t)(n) << 32)

struct world {
    struct members members;
    struct members_peer peer[MEMBERS_PEERS_MAX];
    unsigned peers;
    uint64_t next_lsn, durable_lsn;
    unsigned written;
    bool full; /* the ring takes nothing */
};

static bool write_list(void *state, struct member_list *list)
{
    struct world *w = state;
    if (w->full)
        return false;
    CU_ASSERT_TRUE(member_list_valid(list));
    list->first_lsn = w->next_lsn;
    w->next_lsn += list->count;
    list->last_lsn = w->next_lsn - 1;
    w->written++;
    return true;
}

static bool turn(struct world *w)
{
    struct members_log log = {w, write_list};
    return members_turn(&w->members, &log, w->durable_lsn, w->peer, w->peers);
}

static uint64_t acknowledged(const struct world *w)
{
    return members_acknowledged_lsn(&w->members, w->durable_lsn, w->peer, w->peers);
}

static struct member node(uint64_t id)
{
    struct member member = {.node_id = id, .replication_port = 9001};
    snprintf(member.name, sizeof member.name, "node-%u", (unsigned)id);
    return member;
}

static struct members_peer *peer(struct world *w, uint64_t id)
{
    for (unsigned i = 0; i < w->peers; i++)
        if (w->peer[i].member.node_id == id)
            return &w->peer[i];
    return NULL;
}

/* A replica with a log comes. */
static struct members_peer *comes(struct world *w, uint64_t id)
{
    w->peer[w->peers] = (struct members_peer){.member = node(id), .has_all = true};
    return &w->peer[w->peers++];
}

static void goes(struct world *w, uint64_t id)
{
    struct members_peer *gone = peer(w, id);
    *gone = w->peer[--w->peers];
}

/* Everything that is logged is on every disk. */
static void all_is_durable(struct world *w)
{
    w->durable_lsn = w->next_lsn - 1;
    for (unsigned i = 0; i < w->peers; i++)
        w->peer[i].durable_lsn = w->durable_lsn;
}

/* Until nothing changes any more. */
static void settle(struct world *w)
{
    for (unsigned i = 0; i < 20; i++) {
        all_is_durable(w);
        if (!turn(w))
            return;
    }
    CU_FAIL("the list does not come to rest");
}

static void leads(struct world *w, unsigned min_replicas)
{
    struct member self = node(OWN);
    *w = (struct world){.next_lsn = HISTORY(1)};
    members_init(&w->members, OWN, &(struct member_list){.count = 0});
    members_lead(&w->members, &self, (uint16_t)min_replicas, w->next_lsn);
}

/* Another history of this node's; what the list was stays. */
static void leads_again(struct world *w, unsigned min_replicas)
{
    struct member self = node(OWN);
    struct member_list list = w->members.list;
    w->next_lsn = (w->next_lsn / HISTORY(1) + 1) * HISTORY(1);
    members_init(&w->members, OWN, &list);
    members_lead(&w->members, &self, (uint16_t)min_replicas, w->next_lsn);
}

static unsigned part_of(const struct world *w, uint64_t id)
{
    const struct member *member = member_find(&w->members.list, id);
    return member != NULL ? member->part : 0;
}

/* ---- tests ---- */

static void a_cluster_begins_with_its_primary(void)
{
    struct world w;
    leads(&w, 0);
    CU_ASSERT_FALSE(members_enough(&w.members.list, (uint64_t[]){OWN}, 1));
    CU_ASSERT_TRUE(turn(&w));
    CU_ASSERT_EQUAL(w.members.list.count, 1);
    CU_ASSERT_TRUE(member_list_is_settled(&w.members.list));
    CU_ASSERT_EQUAL(part_of(&w, OWN), MEMBER_STAYS);
    CU_ASSERT_TRUE(members_enough(&w.members.list, (uint64_t[]){OWN}, 1));
    CU_ASSERT_FALSE(members_enough(&w.members.list, (uint64_t[]){7, 8}, 2));
    CU_ASSERT_EQUAL(acknowledged(&w), 0);
    all_is_durable(&w);
    CU_ASSERT_EQUAL(acknowledged(&w), w.durable_lsn);
    CU_ASSERT_FALSE(turn(&w));
}

static void a_replica_that_has_all_joins_and_counts_once_it_is_known_to(void)
{
    struct world w;
    leads(&w, 1);
    turn(&w);
    comes(&w, 2)->has_all = false;
    all_is_durable(&w);
    CU_ASSERT_FALSE(turn(&w));
    CU_ASSERT_EQUAL(acknowledged(&w), 0); /* it is none yet */
    peer(&w, 2)->has_all = true;
    CU_ASSERT_TRUE(turn(&w));
    CU_ASSERT_EQUAL(part_of(&w, 2), MEMBER_JOINS);
    CU_ASSERT_FALSE(members_counts(&w.members.list, 2));
    w.durable_lsn = w.next_lsn - 1;
    CU_ASSERT_FALSE(turn(&w)); /* both have to have it: with N = K nothing else is acknowledged */
    peer(&w, 2)->durable_lsn = w.members.list.last_lsn - 1;
    CU_ASSERT_FALSE(turn(&w));
    all_is_durable(&w);
    CU_ASSERT_TRUE(turn(&w));
    CU_ASSERT_EQUAL(part_of(&w, 2), MEMBER_STAYS);
    CU_ASSERT_TRUE(members_counts(&w.members.list, 2));
    all_is_durable(&w);
    CU_ASSERT_EQUAL(acknowledged(&w), w.durable_lsn);
    peer(&w, 2)->durable_lsn -= 1;
    CU_ASSERT_EQUAL(acknowledged(&w), w.durable_lsn - 1);
    goes(&w, 2);
    CU_ASSERT_EQUAL(acknowledged(&w), 0);
    CU_ASSERT_FALSE(turn(&w)); /* who is away stays a member */
}

/* Three of them, settled. */
static void three(struct world *w, unsigned min_replicas)
{
    leads(w, min_replicas);
    turn(w);
    comes(w, 2), comes(w, 3);
    settle(w);
    CU_ASSERT_EQUAL_FATAL(w->members.list.count, 3);
    CU_ASSERT_TRUE_FATAL(member_list_is_settled(&w->members.list));
}

static void one_that_is_removed_counts_no_more_at_once_but_the_old_list_must_agree(void)
{
    struct world w;
    three(&w, 1);
    CU_ASSERT_EQUAL(members_remove(&w.members, OWN, false), -EINVAL);
    CU_ASSERT_EQUAL(members_remove(&w.members, 9, false), -ENOENT);
    CU_ASSERT_EQUAL(members_remove(&w.members, 3, false), 0);
    CU_ASSERT_EQUAL(members_remove(&w.members, 2, false), -EBUSY);
    CU_ASSERT_TRUE(turn(&w));
    CU_ASSERT_EQUAL(part_of(&w, 3), MEMBER_LEAVES);
    CU_ASSERT_EQUAL(members_remove(&w.members, 2, false), -EBUSY);
    w.durable_lsn = peer(&w, 3)->durable_lsn = w.next_lsn - 1;
    CU_ASSERT(acknowledged(&w) < w.members.list.first_lsn); /* two of three have it, but one of the new two */
    CU_ASSERT_FALSE(turn(&w));
    peer(&w, 2)->durable_lsn = w.durable_lsn;
    CU_ASSERT_EQUAL(acknowledged(&w), w.durable_lsn);
    CU_ASSERT_TRUE(turn(&w));
    CU_ASSERT_EQUAL(part_of(&w, 3), 0);
    /* its session is there yet: it does not join again by that */
    settle(&w);
    CU_ASSERT_EQUAL(w.members.list.count, 2);
    goes(&w, 3);
    settle(&w);
    comes(&w, 3);
    settle(&w);
    CU_ASSERT_EQUAL(w.members.list.count, 3);
}

static void a_node_that_is_gone_for_good_is_removed_by_force(void)
{
    struct world w;
    leads(&w, 1);
    turn(&w);
    comes(&w, 2);
    settle(&w);
    goes(&w, 2);
    CU_ASSERT_EQUAL(members_remove(&w.members, 2, false), 0);
    CU_ASSERT_TRUE(turn(&w));
    w.durable_lsn = w.next_lsn - 1;
    for (unsigned i = 0; i < 5; i++)
        CU_ASSERT_FALSE(turn(&w)); /* the other could be promoted alone, so it has to agree */
    CU_ASSERT_EQUAL(members_remove(&w.members, 2, true), 0);
    w.full = true;
    CU_ASSERT_FALSE(turn(&w));
    w.full = false;
    CU_ASSERT_EQUAL(members_remove(&w.members, 2, true), 0);
    CU_ASSERT_TRUE(turn(&w));
    CU_ASSERT_EQUAL(w.members.list.count, 1);
    CU_ASSERT_TRUE(member_list_is_settled(&w.members.list));
    comes(&w, 3);
    settle(&w);
    CU_ASSERT_EQUAL(part_of(&w, 3), MEMBER_STAYS);
    CU_ASSERT_EQUAL(acknowledged(&w), w.durable_lsn);
}

static void less_replicas_take_more_until_it_is_known(void)
{
    struct world w;
    three(&w, 2);
    leads_again(&w, 1);
    CU_ASSERT_TRUE(turn(&w));
    CU_ASSERT(w.members.list.min_replicas == 1 && w.members.list.min_replicas_before == 2);
    w.durable_lsn = peer(&w, 2)->durable_lsn = w.next_lsn - 1;
    CU_ASSERT_EQUAL(acknowledged(&w), 0);
    CU_ASSERT_FALSE(turn(&w));
    CU_ASSERT_FALSE(members_enough(&w.members.list, (uint64_t[]){2}, 1));
    CU_ASSERT_TRUE(members_enough(&w.members.list, (uint64_t[]){2, 3}, 2));
    peer(&w, 3)->durable_lsn = w.durable_lsn;
    CU_ASSERT_TRUE(turn(&w));
    w.durable_lsn = peer(&w, 2)->durable_lsn = w.next_lsn - 1;
    CU_ASSERT_EQUAL(acknowledged(&w), w.durable_lsn);
}

static void more_replicas_are_waited_for_at_once(void)
{
    struct world w;
    three(&w, 0);
    leads_again(&w, 2);
    CU_ASSERT_EQUAL(acknowledged(&w), 0); /* also before the list says so */
    CU_ASSERT_TRUE(turn(&w));
    w.durable_lsn = peer(&w, 2)->durable_lsn = w.next_lsn - 1;
    CU_ASSERT_EQUAL(acknowledged(&w), 0);
    CU_ASSERT_FALSE(members_enough(&w.members.list, (uint64_t[]){2, 3}, 2)); /* at K = 0 all of them */
    CU_ASSERT_TRUE(members_enough(&w.members.list, (uint64_t[]){OWN, 2, 3}, 3));
}

static void what_lies_before_the_history_counts_by_what_lies_in_it(void)
{
    struct world w;
    three(&w, 1);
    uint64_t old_lsn = w.durable_lsn;
    leads_again(&w, 1);
    CU_ASSERT_EQUAL(acknowledged(&w), 0); /* all three have old_lsn */
    CU_ASSERT_TRUE(turn(&w));
    CU_ASSERT(w.members.list.first_lsn == w.members.first_lsn && w.members.first_lsn > old_lsn);
    CU_ASSERT_EQUAL(acknowledged(&w), 0);
    w.durable_lsn = w.next_lsn - 1;
    peer(&w, 2)->durable_lsn = w.members.first_lsn;
    CU_ASSERT_EQUAL(acknowledged(&w), w.members.first_lsn);
}

static void a_change_under_way_is_gone_on_with_in_the_next_history(void)
{
    struct world w;
    three(&w, 1);
    members_remove(&w.members, 3, false);
    turn(&w);
    leads_again(&w, 0); /* another K is the next thing */
    CU_ASSERT_TRUE(turn(&w));
    CU_ASSERT_EQUAL(part_of(&w, 3), MEMBER_LEAVES);
    CU_ASSERT_EQUAL(w.members.list.min_replicas, 1);
    w.durable_lsn = w.next_lsn - 1;
    CU_ASSERT_FALSE(turn(&w));
    goes(&w, 3);
    settle(&w);
    CU_ASSERT_EQUAL(w.members.list.min_replicas, 0);
    CU_ASSERT_EQUAL(w.members.list.count, 2);
}

static void who_began_with_a_snapshot_gets_the_list_again(void)
{
    struct world w;
    three(&w, 1);
    unsigned written = w.written;
    peer(&w, 2)->snapshot_lsn = w.next_lsn + 5;
    w.next_lsn += 100;
    CU_ASSERT_TRUE(turn(&w));
    CU_ASSERT_FALSE(turn(&w));
    CU_ASSERT_EQUAL(w.written, written + 1);
    peer(&w, 3)->snapshot_lsn = w.next_lsn + 5;
    peer(&w, 3)->has_all = false;
    CU_ASSERT_FALSE(turn(&w)); /* not before it has caught up */
}

static void another_address_is_written_down(void)
{
    struct world w;
    three(&w, 1);
    peer(&w, 2)->member.replication_port = 9002;
    CU_ASSERT_TRUE(turn(&w));
    CU_ASSERT_TRUE(member_list_is_settled(&w.members.list));
    CU_ASSERT_EQUAL(member_find(&w.members.list, 2)->replication_port, 9002);
    CU_ASSERT_FALSE(turn(&w));
}

static void a_full_list_takes_nobody_else(void)
{
    struct world w;
    leads(&w, 0);
    for (unsigned i = 0; i < MEMBERS_PEERS_MAX; i++)
        comes(&w, 2 + i);
    settle(&w);
    CU_ASSERT_EQUAL(w.members.list.count, MEMBERS_MAX);
    goes(&w, 2);
    comes(&w, 1000);
    settle(&w);
    CU_ASSERT_EQUAL(part_of(&w, 1000), 0);
}

static void a_follower_goes_by_the_last_whole_list(void)
{
    struct world w;
    struct members follower;
    struct log_record record;
    uint8_t room[MEMBER_ROOM_BYTES];
    three(&w, 1);
    members_init(&follower, 2, &(struct member_list){.count = 0});
    for (unsigned i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(follower.list.count, 0);
        member_record(&record, &w.members.list, i, room);
        record.lsn = 50 + i;
        CU_ASSERT_EQUAL(members_take(&follower, &record), i == 2);
    }
    CU_ASSERT_TRUE(member_list_equal(&follower.list, &w.members.list));
    CU_ASSERT_EQUAL(follower.list.last_lsn, 52);
    members_forget(&follower);
    CU_ASSERT_FALSE(members_enough(&follower.list, (uint64_t[]){1, 2, 3}, 3));
}

/* ---- sets meet ---- */

enum { NODES = 6 };

/* Those of the set have `lsn`, the others nothing. */
static unsigned with_lsn(unsigned set, uint64_t lsn, struct members_peer *peers)
{
    for (unsigned i = 0; i < NODES - 1; i++)
        peers[i] =
            (struct members_peer){.member = {.node_id = 2 + i}, .durable_lsn = set >> (i + 1) & 1 ? lsn : 0};
    return NODES - 1;
}

static bool is_enough(const struct member_list *list, unsigned set)
{
    uint64_t ids[NODES];
    unsigned count = 0;
    for (unsigned i = 0; i < NODES; i++)
        if (set >> i & 1)
            ids[count++] = 1 + i;
    return members_enough(list, ids, count);
}

/* Whatever the present list acknowledges, nobody who goes by `list` is promoted without one that has it. */
static unsigned meet(const struct world *w, const struct member_list *list)
{
    struct members_peer peers[NODES];
    unsigned bad = 0;
    uint64_t lsn = w->next_lsn + 10;
    for (unsigned q = 1; q < 1u << NODES; q += 2) { /* the primary is in it */
        unsigned count = with_lsn(q, lsn, peers);
        if (members_acknowledged_lsn(&w->members, lsn, peers, count) != lsn)
            continue;
        for (unsigned s = 1; s < 1u << NODES; s++)
            bad += (q & s) == 0 && is_enough(list, s);
    }
    return bad;
}

static void any_two_sets_meet_while_lists_change(void)
{
    uint64_t run_seed = seeded_from_environment(1), seed = seeded_start(run_seed);
    unsigned changes = 0, bad = 0;
    for (unsigned run = 0; run < 40; run++) {
        struct world w;
        struct member_list before;
        leads(&w, (unsigned)(seeded_next(&seed) % 4));
        turn(&w);
        before = w.members.list;
        for (unsigned i = 0; i < 60; i++) {
            unsigned id = 2 + (unsigned)(seeded_next(&seed) % (NODES - 1));
            switch (seeded_next(&seed) % 6) {
            case 0:
                if (peer(&w, id) == NULL)
                    comes(&w, id);
                break;
            case 1:
                if (peer(&w, id) != NULL)
                    goes(&w, id);
                break;
            case 2:
                members_remove(&w.members, id, false);
                break;
            case 3:
                leads_again(&w, (unsigned)(seeded_next(&seed) % 4));
                break;
            case 4:
                if (peer(&w, id) != NULL)
                    peer(&w, id)->durable_lsn = w.next_lsn - 1;
                w.durable_lsn = w.next_lsn - 1;
                break;
            default:
                all_is_durable(&w);
            }
            if (!turn(&w))
                continue;
            changes++;
            /* the list itself, one that is behind by one, and one that is ahead of what is acknowledged */
            bad += meet(&w, &w.members.list) + meet(&w, &before);
            struct members now = w.members;
            w.members.list = before;
            w.members.min_replicas = before.min_replicas;
            bad += meet(&w, &now.list);
            w.members = now;
            before = w.members.list;
        }
    }
    printf("(WILD_SEED=%" PRIu64 ", %u changes) ", run_seed, changes);
    CU_ASSERT(changes > 200);
    CU_ASSERT_EQUAL(bad, 0);
}

/* ---- starting ---- */

static void only_the_last_primary_starts_without_asking(void)
{
    struct meta meta = {.node_id = OWN}, other;
    CU_ASSERT_EQUAL(members_may_start(&meta), MEMBERS_START_LEADS); /* an empty folder */
    meta.sealed_epoch = epoch_of_promotion(1), meta.sealed_node = 2;
    CU_ASSERT_EQUAL(members_may_start(&meta), MEMBERS_START_ASKS);
    meta.sealed_epoch = 0, meta.sealed_node = 0;
    meta_add(&meta, &(struct history){.id = 7, .first_lsn = HISTORY(1), .node_id = OWN, .epoch = 5});
    CU_ASSERT_EQUAL(members_may_start(&meta), MEMBERS_START_LEADS);
    meta.members = (struct member_list){.count = 2, .member = {node(OWN), node(2)}};
    CU_ASSERT_EQUAL(members_may_start(&meta), MEMBERS_START_LEADS);
    other = meta; /* it has promised itself */
    other.sealed_epoch = epoch_of_promotion(5), other.sealed_node = 2;
    CU_ASSERT_EQUAL(members_may_start(&other), MEMBERS_START_ASKS);
    other.sealed_node = OWN; /* to itself, and crashed: before it may have promised itself elsewhere */
    CU_ASSERT_EQUAL(members_may_start(&other), MEMBERS_START_ASKS);
    other.members.count = 1; /* its own list is an old one then */
    CU_ASSERT_EQUAL(members_may_start(&other), MEMBERS_START_ASKS);
    other = meta; /* the term has no more starts */
    other.history[0].epoch = 0xffff;
    CU_ASSERT_EQUAL(members_may_start(&other), MEMBERS_START_ASKS);
    other = meta; /* a replica's folder */
    other.history[0].node_id = 2;
    CU_ASSERT_EQUAL(members_may_start(&other), MEMBERS_START_ASKS);
    other = meta; /* it was promoted after it had promised itself to another for an earlier term */
    other.sealed_epoch = epoch_of_promotion(5), other.sealed_node = 2;
    other.history[0].epoch = epoch_of_promotion(other.sealed_epoch);
    CU_ASSERT_EQUAL(members_may_start(&other), MEMBERS_START_LEADS);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a cluster begins with its primary", a_cluster_begins_with_its_primary},
        {"a replica that has all joins, and counts once it is known to",
         a_replica_that_has_all_joins_and_counts_once_it_is_known_to},
        {"one that is removed counts no more at once, but the old list must agree",
         one_that_is_removed_counts_no_more_at_once_but_the_old_list_must_agree},
        {"a node that is gone for good is removed by force",
         a_node_that_is_gone_for_good_is_removed_by_force},
        {"less replicas take more until it is known", less_replicas_take_more_until_it_is_known},
        {"more replicas are waited for at once", more_replicas_are_waited_for_at_once},
        {"what lies before the history counts by what lies in it",
         what_lies_before_the_history_counts_by_what_lies_in_it},
        {"a change under way is gone on with in the next history",
         a_change_under_way_is_gone_on_with_in_the_next_history},
        {"who began with a snapshot gets the list again", who_began_with_a_snapshot_gets_the_list_again},
        {"another address is written down", another_address_is_written_down},
        {"a full list takes nobody else", a_full_list_takes_nobody_else},
        {"a follower goes by the last whole list", a_follower_goes_by_the_last_whole_list},
        {"any two sets meet while lists change", any_two_sets_meet_while_lists_change},
        {"only the last primary starts without asking", only_the_last_primary_starts_without_asking},
        CU_TEST_INFO_NULL,
    };
    return suite_run("members", tests);
}
