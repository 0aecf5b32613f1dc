/* Whether a node may lead, by what the members of its list answer (replication/promotion.h). */
#include "promotion_outcome.h"

/* ---- winning ---- */

static void enough_promises_make_a_primary(void)
{
    struct town *town = town_new(3, 1, 1);
    promote(town, 1);
    town_pass(town, 150); /* a few attempts at the dead one */
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    CU_ASSERT_TRUE(
        text_has(town, 1, "epoch 65536 is promised to this node by 2 of 3 members, itself counted"));
    for (unsigned i = 1; i < 3; i++) {
        CU_ASSERT_EQUAL(town->node[i].standing.sealed_epoch, FIRST_TERM);
        CU_ASSERT_EQUAL(town->node[i].standing.sealed_node, town_id(1));
    }
    CU_ASSERT_EQUAL(town->node[2].probes, 1);
    CU_ASSERT_EQUAL(town->node[2].probed_epoch, 1);
    CU_ASSERT_EQUAL(town->node[2].seals, 1);
    CU_ASSERT_EQUAL(town_result(town, 1)->heard, 1);
    CU_ASSERT_EQUAL(town_result(town, 1)->promised, 1);
    CU_ASSERT_EQUAL(town_result(town, 1)->asked, 2);
    CU_ASSERT_EQUAL(replication_counted(&town->counters, REPLICATION_promotions_won), 1);
    town_free(town);
}

static void nobody_else_promises_before_our_own_is_durable(void)
{
    struct town *town = town_new(3, 1, 1);
    town->node[1].own_seal_ms = 300;
    promote(town, 1);
    town_pass(town, 250);
    CU_ASSERT_EQUAL(town->node[2].probes, 1);
    CU_ASSERT_EQUAL(seals(town), 0);
    CU_ASSERT_EQUAL(town_result(town, 1)->state, PROMOTION_RUNS);
    town_pass(town, 300);
    CU_ASSERT_EQUAL(town->node[2].seals, 1);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    town_free(town);
}

static void without_our_own_promise_it_is_lost_in_time(void)
{
    struct town *town = town_new(3, 1, 1);
    uint32_t epoch;
    promote_up_to_own_seal(town, 1, false);
    town->node[1].own_seal_ms = TOWN_NEVER;
    town_pass(town, 1800);
    CU_ASSERT_EQUAL(town_result(town, 1)->state, PROMOTION_RUNS);
    town_pass(town, 200);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_NOT_SEALED));
    CU_ASSERT_EQUAL(town_result(town, 1)->epoch, 0);
    CU_ASSERT_FALSE(promotion_wants_seal(town->node[1].promotion, &epoch));
    promotion_sealed(town->node[1].promotion, &town->node[1].own); /* too late */
    town_pass(town, 100);
    CU_ASSERT_EQUAL(seals(town), 0);
    CU_ASSERT_EQUAL(town_result(town, 1)->state, PROMOTION_LOST);
    town_free(town);
}

static void a_list_of_this_node_alone_wins_at_once(void)
{
    struct town *town = town_new(1, 0, 1);
    promote(town, 0);
    CU_ASSERT_TRUE(is_won(town, 0, FIRST_TERM));
    town_free(town);
}

static void without_a_list_it_takes_force_or_that_nobody_else_ever_led(void)
{
    for (unsigned round = 0; round < 3; round++) {
        struct town *town = town_new(2, 0, 1);
        struct promotion_order order = town_order(town, 1);
        struct promotion_seed seed = {.port = 9001};
        town_address(seed.address, 0);
        town->list.count = 0;
        order.seed = &seed;
        order.seeds = 1;
        order.sole = round == 1;
        order.force = round == 2;
        town_begin(town, 1, &order);
        town_pass(town, 150);
        if (round == 0) {
            CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_TOO_FEW));
        } else {
            CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
        }
        if (round != 1) {
            CU_ASSERT_TRUE(text_has(town, 1, "no list of members"));
        }
        town_free(town);
    }
}

static void epochs_that_were_heard_of_are_passed(void)
{
    struct town *town = town_new(3, 1, 1);
    town->node[2].standing.sealed_epoch = UINT32_C(0x50000);
    town->node[2].standing.sealed_node = 99;
    promote(town, 1);
    town_pass(town, 150);
    CU_ASSERT_TRUE(is_won(town, 1, UINT32_C(0x60000)));
    town_free(town);

    town = town_new(3, 1, 1);
    town->node[2].standing.sealed_epoch = UINT32_C(0xffff0000);
    town->node[2].standing.sealed_node = 99;
    promote(town, 1);
    town_pass(town, 150);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_NO_EPOCH));
    CU_ASSERT_EQUAL(town_result(town, 1)->highest_epoch, UINT32_C(0xffff0000));
    CU_ASSERT_EQUAL(town->node[1].standing.sealed_epoch, 0);
    town_free(town);
}

/* ---- a primary that is alive ---- */

static void a_primary_that_lives_is_left_alone(void)
{
    struct town *town = town_new(3, 1, 1);
    const struct promotion_node *leader;
    town->node[0].up = true;
    town->node[0].standing.tail_lsn = 105;
    promote(town, 1);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_LIVE_PRIMARY));
    CU_ASSERT_TRUE(text_has(town, 1, "the primary is alive: \"a\" (198.18.0.1:9001)"));
    leader = &town_result(town, 1)->leader;
    CU_ASSERT_EQUAL(leader->node_id, town_id(0));
    CU_ASSERT_EQUAL(leader->address[15], 1);
    CU_ASSERT_EQUAL(leader->port, 9001);
    CU_ASSERT_EQUAL(leader->client_port, 7000);
    CU_ASSERT_EQUAL(seals(town), 0);
    CU_ASSERT_EQUAL(town->node[1].standing.sealed_epoch, 0);
    CU_ASSERT_EQUAL(replication_counted(&town->counters, REPLICATION_promotions_lost), 1);
    town_free(town);
}

static void force_takes_its_place(void)
{
    struct town *town = town_new(3, 1, 1);
    town->node[0].up = true;
    town->node[0].standing.tail_lsn = 105;
    promote_by_force(town, 1);
    town_pass(town, 10);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    CU_ASSERT_TRUE(text_has(town, 1,
                            "what only these have is lost: \"a\" (198.18.0.1:9001) up to lsn 105 of"
                            " epoch 1, here it is 100 of 1"));
    CU_ASSERT_EQUAL(town->node[0].standing.state, STANDING_FENCED);
    town_free(town);
}

static void one_that_hands_over_is_not_in_the_way(void)
{
    struct town *town = town_new(3, 0, 1);
    struct promotion_order order = town_order(town, 1);
    order.yields = town_id(0);
    town->node[0].up = true;
    town_begin(town, 1, &order);
    town_pass(town, 10);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM)); /* K = 0: all three are needed */
    CU_ASSERT_EQUAL(town->node[0].standing.state, STANDING_FENCED);
    town_free(town);
}

static void one_that_is_stale_or_cannot_write_is_not_in_the_way(void)
{
    struct town *town = town_new(3, 1, 1);
    struct promotion_order order = town_order(town, 1);
    town->node[0].up = true;
    order.history_epoch = 2; /* it has led on after the one that answers */
    town_begin(town, 1, &order);
    town_pass(town, 10);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    CU_ASSERT_EQUAL(town->node[0].probed_epoch, 2);
    town_free(town);

    town = town_new(3, 1, 1);
    town->node[0].up = true;
    town->node[0].standing.state = STANDING_READ_ONLY;
    promote(town, 1);
    town_pass(town, 10);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    town_free(town);
}

/* It is heard of only when promises are being given already. */
static void one_that_answers_late_is_not_stopped(void)
{
    struct town *town = town_new(3, 1, 1);
    town->node[0].up = true;
    town->node[0].answer_ms = 800;
    town->node[0].standing.tail_lsn = 105; /* nobody else has that: it is not acknowledged */
    town->node[2].seal_ms = 400;
    promote(town, 1);
    town_pass(town, 890);
    CU_ASSERT_EQUAL(town->node[2].seals, 1);
    CU_ASSERT_EQUAL(town_result(town, 1)->state, PROMOTION_RUNS);
    town_pass(town, 50);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    CU_ASSERT_EQUAL(town->node[0].seals, 0);
    town_free(town);

    town = town_new(3, 1, 1);
    town->node[0].up = true;
    town->node[0].answer_ms = 800;
    town->node[2].promises_nothing = true;
    promote(town, 1);
    town_pass(town, 790);
    CU_ASSERT_EQUAL(town_result(town, 1)->state, PROMOTION_RUNS);
    town_pass(town, 20);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_LIVE_PRIMARY)); /* it would take his promise */
    CU_ASSERT_EQUAL(town_result(town, 1)->leader.node_id, town_id(0));
    CU_ASSERT_EQUAL(town->node[0].seals, 0);
    CU_ASSERT_EQUAL(town->node[0].standing.state, STANDING_SERVING);
    town_free(town);
}

/* ---- who has more ---- */

static void who_has_more_is_named_and_nobody_promises(void)
{
    struct town *town = town_new(3, 1, 1);
    town->node[2].standing.tail_lsn = 101;
    promote(town, 1);
    town_pass(town, 150);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_MORE_ELSEWHERE));
    CU_ASSERT_EQUAL(town_result(town, 1)->node.node_id, town_id(2));
    CU_ASSERT_EQUAL(town_result(town, 1)->lsn, 101);
    CU_ASSERT_TRUE(text_has(town, 1,
                            "\"c\" (198.18.0.3:9001) has more than this node: up to lsn 101 of epoch 1,"
                            " here it is 100 of 1. Promote that one"));
    CU_ASSERT_EQUAL(seals(town), 0);
    CU_ASSERT_EQUAL(town->node[1].standing.sealed_epoch, 0);
    promote(town, 2);
    town_pass(town, 150);
    CU_ASSERT_TRUE(is_won(town, 2, FIRST_TERM));
    town_free(town);
}

static void a_later_history_counts_more_than_a_higher_lsn(void)
{
    struct town *town = town_new(3, 1, 1);
    struct replication_standing *other = &town->node[2].standing;
    other->epoch = other->tail_epoch = 2;
    other->tail_history = 0x22;
    other->tail_lsn = 90;
    promote(town, 1);
    town_pass(town, 150);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_MORE_ELSEWHERE));
    promote(town, 2);
    town_pass(town, 150);
    CU_ASSERT_TRUE(is_won(town, 2, FIRST_TERM));
    town_free(town);
}

static void what_comes_until_the_promise_counts(void)
{
    struct town *town = town_new(3, 1, 1);
    promote_up_to_own_seal(town, 1, false);
    town->node[2].standing.tail_lsn = 101;
    town_pass(town, 50);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_MORE_ELSEWHERE));
    CU_ASSERT_EQUAL(town_result(town, 1)->epoch, FIRST_TERM);
    CU_ASSERT_EQUAL(town_result(town, 1)->promised, 1);
    CU_ASSERT_TRUE(text_has(town, 1, "Those who have promised epoch 65536 follow nobody of a lower one"));
    town_free(town);

    town = town_new(3, 1, 1);
    promote_up_to_own_seal(town, 1, false);
    town->node[1].own.lsn = town->node[2].standing.tail_lsn = 101; /* ours has become durable, too */
    town_pass(town, 50);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    town_free(town);
}

static void force_passes_over_who_could_not_lead_and_nobody_else(void)
{
    for (unsigned state = STANDING_SERVING; state <= STANDING_READ_ONLY; state++) {
        struct town *town = town_new(3, 1, 1);
        town->node[2].standing.tail_lsn = 101;
        town->node[2].standing.state = (uint8_t)state;
        promote_by_force(town, 1);
        town_pass(town, 150);
        if (state == STANDING_SERVING) {
            CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_MORE_ELSEWHERE));
            CU_ASSERT_EQUAL(seals(town), 0);
        } else {
            CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
            CU_ASSERT_TRUE(text_has(town, 1, "what only these have is lost: \"c\""));
        }
        town_free(town);
    }
}

static void who_is_of_another_history_of_that_epoch_does_not_count(void)
{
    struct town *town = town_new(3, 1, 1);
    town->node[2].standing.tail_history = 0x99;
    town->node[2].standing.tail_lsn = 500;
    promote(town, 1);
    town_pass(town, 150);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_TOO_FEW));
    CU_ASSERT_TRUE(text_has(town, 1, "\"c\" (198.18.0.3:9001): its log is of another history of epoch 1"));
    promotion_stop(town->node[1].promotion);
    town_pass(town, 10);
    promote_by_force(town, 1);
    town_pass(town, 150);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    town_free(town);
}

/* ---- too few ---- */

static void too_few_who_answer_are_too_few_and_nobody_promises(void)
{
    struct town *town = town_new(3, 1, 1);
    uint32_t epoch;
    town->node[2].reach = TOWN_SILENT;
    promote(town, 1);
    town_pass(town, 990);
    CU_ASSERT_EQUAL(town_result(town, 1)->state, PROMOTION_RUNS);
    CU_ASSERT_FALSE(promotion_wants_seal(town->node[1].promotion, &epoch));
    town_pass(town, 20);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_TOO_FEW));
    CU_ASSERT_TRUE(
        text_has(town, 1, "1 of 3 members answered, this node counted, too few with min-replicas 1"));
    CU_ASSERT_TRUE(text_has(town, 1,
                            ": \"a\" (198.18.0.1:9001): it cannot be reached; \"c\" (198.18.0.3:9001):"
                            " it "));
    CU_ASSERT_EQUAL(town->node[1].standing.sealed_epoch, 0);
    town_free(town);
}

static void force_goes_on_without_them_and_says_what_may_be_lost(void)
{
    struct town *town = town_new(3, 1, 1);
    town->node[2].reach = TOWN_SILENT;
    promote_by_force(town, 1);
    town_pass(town, 1010);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    CU_ASSERT_TRUE(text_has(town, 1, "what these have acknowledged may be lost: \"a\""));
    CU_ASSERT_TRUE(text_has(town, 1, "; \"c\""));
    town_free(town);
}

static void without_replicas_to_wait_for_all_are_needed(void)
{
    struct town *town = town_new(3, 0, 1);
    promote(town, 1);
    town_pass(town, 1010);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_TOO_FEW));
    promote_by_force(town, 1);
    town_pass(town, 150);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    CU_ASSERT_EQUAL(town->node[2].standing.sealed_node, town_id(1));
    town_free(town);
}

static void with_many_replicas_waited_for_one_is_enough(void)
{
    struct town *town = town_new(3, 2, 1);
    town->node[0].reach = town->node[2].reach = TOWN_SILENT;
    promote(town, 1);
    town_pass(town, 490);
    CU_ASSERT_EQUAL(town_result(town, 1)->state, PROMOTION_RUNS); /* a primary may yet answer */
    town_pass(town, 20);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    CU_ASSERT_TRUE(text_has(town, 1, "1 of 3 members"));
    town_free(town);
}

static void while_the_list_changes_both_must_have_enough(void)
{
    /* Before: a, b, c. After: a, b, d. a is dead, b asks. */
    static const struct {
        bool c, d, won;
    } cases[] = {{false, false, false}, {true, false, false}, {false, true, false}, {true, true, true}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct town *town = town_new(4, 1, 1);
        town->list.member[2].part = MEMBER_LEAVES;
        town->list.member[3].part = MEMBER_JOINS;
        town->node[2].up = cases[i].c;
        town->node[3].up = cases[i].d;
        promote(town, 1);
        town_pass(town, 150);
        if (cases[i].won) {
            CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
        } else {
            CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_TOO_FEW) && text_has(town, 1, "is changing"));
        }
        town_free(town);
    }
}

static void a_member_that_does_not_promise_does_not_count(void)
{
    struct town *town = town_new(3, 1, 1);
    town->node[2].promises_nothing = true;
    promote(town, 1);
    town_pass(town, 300);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_TOO_FEW)); /* at once: nobody is left who might */
    CU_ASSERT_TRUE(text_has(town, 1, "1 of 3 members have promised themselves"));
    CU_ASSERT_TRUE(text_has(town, 1, "\"c\" (198.18.0.3:9001): it did not promise itself"));
    town_free(town);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"enough promises make a primary", enough_promises_make_a_primary},
        {"nobody else promises before our own is durable", nobody_else_promises_before_our_own_is_durable},
        {"without our own promise it is lost in time", without_our_own_promise_it_is_lost_in_time},
        {"a list of this node alone wins at once", a_list_of_this_node_alone_wins_at_once},
        {"without a list it takes force or that nobody else ever led",
         without_a_list_it_takes_force_or_that_nobody_else_ever_led},
        {"epochs that were heard of are passed", epochs_that_were_heard_of_are_passed},
        {"a primary that lives is left alone", a_primary_that_lives_is_left_alone},
        {"force takes its place", force_takes_its_place},
        {"one that hands over is not in the way", one_that_hands_over_is_not_in_the_way},
        {"one that is stale or cannot write is not in the way",
         one_that_is_stale_or_cannot_write_is_not_in_the_way},
        {"one that answers late is not stopped", one_that_answers_late_is_not_stopped},
        {"who has more is named and nobody promises", who_has_more_is_named_and_nobody_promises},
        {"a later history counts more than a higher lsn", a_later_history_counts_more_than_a_higher_lsn},
        {"what comes until the promise counts", what_comes_until_the_promise_counts},
        {"force passes over who could not lead and nobody else",
         force_passes_over_who_could_not_lead_and_nobody_else},
        {"who is of another history of that epoch does not count",
         who_is_of_another_history_of_that_epoch_does_not_count},
        {"too few who answer are too few and nobody promises",
         too_few_who_answer_are_too_few_and_nobody_promises},
        {"force goes on without them and says what may be lost",
         force_goes_on_without_them_and_says_what_may_be_lost},
        {"without replicas to wait for all are needed", without_replicas_to_wait_for_all_are_needed},
        {"with many replicas waited for one is enough", with_many_replicas_waited_for_one_is_enough},
        {"while the list changes both must have enough", while_the_list_changes_both_must_have_enough},
        {"a member that does not promise does not count", a_member_that_does_not_promise_does_not_count},
        CU_TEST_INFO_NULL,
    };
    return suite_run("promotion", tests);
}
