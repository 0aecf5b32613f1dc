/* Those whom a promotion asks: late, cut off, not in order, or about to lead (replication/promotion.h). */
#include "promotion_outcome.h"

/* ---- late, cut, silent ---- */

static void one_that_answers_late_is_waited_for_if_it_is_needed(void)
{
    struct town *town = town_new(3, 1, 1);
    town->node[2].answer_ms = 700;
    promote(town, 1);
    town_pass(town, 690);
    CU_ASSERT_EQUAL(town_result(town, 1)->state, PROMOTION_RUNS);
    town_pass(town, 20);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    town_free(town);

    town = town_new(5, 2, 1); /* it takes three */
    town->node[4].answer_ms = 900;
    promote(town, 1);
    town_pass(town, 520);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    CU_ASSERT_EQUAL(town->node[4].seals, 0);
    town_free(town);

    town = town_new(5, 2, 1);
    town->node[3].promises_nothing = true;
    town->node[4].answer_ms = 900; /* while others promise */
    promote(town, 1);
    town_pass(town, 890);
    CU_ASSERT_EQUAL(town->node[2].seals, 1);
    CU_ASSERT_EQUAL(town->node[4].seals, 0);
    CU_ASSERT_EQUAL(town_result(town, 1)->state, PROMOTION_RUNS);
    town_pass(town, 20);
    CU_ASSERT_EQUAL(town->node[4].seals, 1);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    town_free(town);
}

static void a_promise_that_does_not_come_ends_it_in_time(void)
{
    struct town *town = town_new(3, 1, 1);
    town->node[2].seal_ms = TOWN_NEVER;
    promote(town, 1);
    town_pass(town, 1990);
    CU_ASSERT_EQUAL(town_result(town, 1)->state, PROMOTION_RUNS);
    town_pass(town, 20);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_TOO_FEW));
    CU_ASSERT_TRUE(text_has(town, 1, "it did not answer in time"));
    town_free(town);

    town = town_new(5, 2, 1); /* enough without it: not for long */
    town->node[4].seal_ms = TOWN_NEVER;
    promote(town, 1);
    town_pass(town, 750);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    town_free(town);
}

static struct town_link *link_to(struct town *town, unsigned number)
{
    for (unsigned i = 0; i < TOWN_LINKS; i++)
        if (town->link[i].used && town->link[i].to == number && town->link[i].pair != NULL)
            return &town->link[i];
    CU_FAIL_FATAL("there is a link");
    return NULL;
}

static void a_session_that_dies_is_begun_again(void)
{
    struct town *town = town_new(3, 1, 1);
    town->node[2].answer_ms = 50;
    promote(town, 1);
    town_pass(town, 20);
    CU_ASSERT_EQUAL(town->node[2].probes, 1);
    town_cut_link(link_to(town, 2)); /* asked, and not answered */
    town_pass(town, 60);
    CU_ASSERT_EQUAL(town->node[2].probes, 2);
    town->node[2].seal_ms = 50;
    town->node[1].own_seal_ms = 200;
    town_pass(town, 100);
    town_cut_link(link_to(town, 2)); /* answered; our own promise is on its way */
    for (unsigned ms = 0; ms < 300 && town->node[2].seals == 0; ms++)
        town_pass(town, 1);
    CU_ASSERT_EQUAL(town->node[2].seals, 1);
    town_cut_link(link_to(town, 2)); /* asked for its promise */
    town_pass(town, 60);
    CU_ASSERT_EQUAL(town->node[2].seals, 2);
    CU_ASSERT_EQUAL(town->node[2].probes, 2);
    town_pass(town, 60);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    town_free(town);
}

static void one_that_dies_for_good_does_not_take_all_the_time(void)
{
    struct town *town = town_new(3, 1, 1);
    town->node[2].seal_ms = 100;
    promote(town, 1);
    town_pass(town, 150);
    CU_ASSERT_EQUAL(town->node[2].seals, 1);
    town_stop_node(town, 2);
    town_pass(town, 300);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_TOO_FEW));
    CU_ASSERT_TRUE(text_has(town, 1, "it cannot be reached"));
    town_free(town);
}

/* ---- others who want to lead ---- */

static void two_at_once_do_not_both_win(void)
{
    struct town *town = town_new(3, 1, 1);
    promote(town, 1);
    promote(town, 2);
    town_pass(town, 300);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_RIVAL));
    CU_ASSERT_TRUE(is_lost(town, 2, PROMOTION_RIVAL));
    CU_ASSERT_TRUE(text_has(town, 1, "\"c\" (198.18.0.3:9001) has promised itself to \"c\" for epoch 65536"));
    town_pass(town, 1100);
    promote(town, 1); /* and then one alone does */
    town_pass(town, 150);
    CU_ASSERT_TRUE(is_won(town, 1, SECOND_TERM));
    town_free(town);
}

static void whoever_has_enough_need_not_mind_a_rival(void)
{
    for (uint16_t k = 1; k <= 2; k++) {
        struct town *town = town_new(3, k, 1);
        town->node[0].up = true;
        town->node[0].standing.mode = STANDING_FOLLOWS;
        promote_up_to_own_seal(town, 1, false);
        town->node[2].standing.sealed_epoch = FIRST_TERM;
        town->node[2].standing.sealed_node = town_id(2);
        town_pass(town, 50);
        if (k == 1) {
            CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM)); /* he would need two */
        } else {
            CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_RIVAL)); /* he alone is enough */
        }
        town_free(town);
    }
}

static void force_does_not_pass_over_a_rival(void)
{
    struct town *town = town_new(3, 1, 1);
    promote_up_to_own_seal(town, 1, true);
    town->node[2].standing.sealed_epoch = SECOND_TERM;
    town->node[2].standing.sealed_node = town_id(2);
    town_pass(town, 200);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_RIVAL));
    CU_ASSERT_EQUAL(town_result(town, 1)->highest_epoch, SECOND_TERM);
    town_free(town);
}

static void who_was_promoted_meanwhile_leads(void)
{
    struct town *town = town_new(3, 1, 1);
    promote_up_to_own_seal(town, 1, false);
    town->node[2].standing.mode = STANDING_LEADS;
    town->node[2].standing.epoch = FIRST_TERM;
    town_pass(town, 50);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_OVERTAKEN));
    CU_ASSERT_EQUAL(town_result(town, 1)->leader.node_id, town_id(2));
    CU_ASSERT_TRUE(
        text_has(town, 1, "\"c\" (198.18.0.3:9001) knows epoch 65536: another node has become primary"));
    town_free(town);
}

static void our_own_promise_to_another_ends_it(void)
{
    struct town *town = town_new(3, 1, 1);
    promote_up_to_own_seal(town, 1, false);
    promotion_overruled(town->node[1].promotion, SECOND_TERM, town_id(2));
    town_pass(town, 50);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_RIVAL));
    CU_ASSERT_TRUE(text_has(town, 1, "this node has promised itself to \"c\" for epoch 131072 meanwhile"));
    CU_ASSERT_EQUAL(town_result(town, 1)->node.node_id, town_id(2));
    CU_ASSERT_EQUAL(seals(town), 0);
    town_free(town);
}

/* ---- what does not count as an answer ---- */

static void say_foreign(struct town_node *node)
{
    node->refuses = REFUSE_FOREIGN_CLUSTER;
}

static void say_handover(struct town_node *node)
{
    node->says = REPLICATION_HANDOVER;
}

static void say_version(struct town_node *node)
{
    node->standing.version = REPLICATION_VERSION + 1;
}

static void say_our_id(struct town_node *node)
{
    node->standing.node_id = town_id(1);
}

static void hang_up(struct town_node *node)
{
    node->hangs_up = true;
}

static void have_another_secret(struct town_node *node)
{
    node->keys = &node->town->other_keys;
}

static void who_is_refused_or_not_in_order_is_not_heard_of(void)
{
    static const struct {
        void (*is)(struct town_node *node);
        const char *text;
        enum replication_counter counter; /* 0: none */
    } cases[] = {
        {say_foreign, "it is of another cluster: because", 0},
        {say_handover, "what it sent is not valid", REPLICATION_not_in_order},
        {say_version, "it speaks another version", 0},
        {say_our_id, "another node has our node id", 0},
        {hang_up, "the connection was cut", REPLICATION_cut},
        {have_another_secret, "is its secret ours?", REPLICATION_cut},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct town *town = town_new(3, 1, 1);
        cases[i].is(&town->node[2]);
        promote(town, 1);
        town_pass(town, 300);
        CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_TOO_FEW));
        CU_ASSERT_TRUE(text_has(town, 1, cases[i].text));
        if (cases[i].counter != 0) {
            CU_ASSERT(replication_counted(&town->counters, cases[i].counter) > 0);
        }
        CU_ASSERT_EQUAL(town->node[1].standing.sealed_epoch, 0);
        town_free(town);
    }
}

static void of_two_secrets_the_other_is_tried_too(void)
{
    struct town *town = town_new(3, 1, 1);
    town->node[1].keys = &town->other_keys;
    town_new_promotion(&town->node[1], &town->keys);
    promote(town, 1);
    town_pass(town, 150);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    town_free(town);
}

/* ---- whom it asks ---- */

static void members_are_found_by_seeds_and_count_once(void)
{
    struct town *town = town_new(4, 1, 1); /* it takes three */
    struct promotion_seed seeds[5] = {
        {.port = 9001}, {.port = 9001}, {.port = 9001}, {.port = 9001}, {.port = 0}};
    struct promotion_order order = town_order(town, 1);
    memset(town->list.member[2].address, 0, 16);
    town->node[3].up = false;
    town_address(seeds[0].address, 1); /* ourselves */
    town_address(seeds[1].address, 2);
    town_address(seeds[2].address, 2); /* the same */
    town_address(seeds[3].address, 2); /* by another address of its */
    town_address(seeds[4].address, 3);
    seeds[3].address[14] = 1;
    order.seed = seeds;
    order.seeds = 5;
    town_begin(town, 1, &order);
    town_pass(town, 150);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_TOO_FEW));
    CU_ASSERT_TRUE(text_has(town, 1, "2 of 4 members answered"));
    CU_ASSERT_EQUAL(town->node[2].probes, 2);
    CU_ASSERT_EQUAL(town_result(town, 1)->heard, 1);
    CU_ASSERT_EQUAL(town_result(town, 1)->asked, 4); /* a, d, and c twice */
    town->node[3].up = true;
    town_begin(town, 1, &order);
    town_pass(town, 150);
    CU_ASSERT_TRUE(is_won(town, 1, FIRST_TERM));
    CU_ASSERT_TRUE(text_has(town, 1, "3 of 4 members"));
    town_free(town);
}

static void a_member_counts_by_what_it_is_not_by_where_it_is(void)
{
    struct town *town = town_new(4, 1, 1); /* it takes three */
    memset(town->list.member[3].address, 0, 16);
    town->node[2].standing.node_id = town_id(3);
    promote(town, 1);
    town_pass(town, 150);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_TOO_FEW));
    CU_ASSERT_TRUE(text_has(town, 1, "2 of 4 members answered"));
    CU_ASSERT_TRUE(text_has(town, 1, "\"c\" (198.18.0.3:9001): another node answers there"));
    town_free(town);
}

static void one_that_is_not_in_the_list_is_no_member(void)
{
    struct town *town = town_new(4, 1, 1);
    struct promotion_seed seed = {.port = 9001};
    struct promotion_order order = town_order(town, 1);
    town_address(seed.address, 3);
    town->list.count = 3; /* it takes two: a is dead, c too */
    town->node[2].up = false;
    order.seed = &seed;
    order.seeds = 1;
    town_begin(town, 1, &order);
    town_pass(town, 150);
    CU_ASSERT_TRUE(is_lost(town, 1, PROMOTION_TOO_FEW));
    CU_ASSERT_EQUAL(town->node[3].probes, 1);
    town_free(town);
}

/* ---- asking only ---- */

static void ask(struct town *town, enum promotion_why why)
{
    struct promotion_order order = town_order(town, 1);
    order.only_asks = true;
    town_begin(town, 1, &order);
    town_pass(town, 150);
    CU_ASSERT_EQUAL(town_result(town, 1)->state, PROMOTION_ASKED);
    CU_ASSERT_EQUAL(town_result(town, 1)->why, why);
    CU_ASSERT_EQUAL(town_result(town, 1)->epoch, 0);
    CU_ASSERT_EQUAL(seals(town), 0);
    CU_ASSERT_EQUAL(town->node[1].standing.sealed_epoch, 0);
    town_free(town);
}

static void asking_only_says_what_would_be_in_the_way(void)
{
    struct town *town = town_new(3, 1, 1);
    ask(town, PROMOTION_NONE);

    town = town_new(3, 1, 1);
    town->node[2].reach = TOWN_CLOSED;
    ask(town, PROMOTION_TOO_FEW);

    town = town_new(3, 1, 1);
    town->node[2].standing.tail_lsn = 101;
    ask(town, PROMOTION_MORE_ELSEWHERE);

    town = town_new(3, 1, 1);
    town->node[2].standing.sealed_epoch = FIRST_TERM;
    town->node[2].standing.sealed_node = town_id(2);
    ask(town, PROMOTION_RIVAL);

    town = town_new(3, 1, 1);
    town->node[2].standing.sealed_epoch = FIRST_TERM; /* to us: that is no rival */
    town->node[2].standing.sealed_node = town_id(1);
    ask(town, PROMOTION_NONE);

    town = town_new(3, 1, 1);
    town->node[2].standing.epoch = 2;
    ask(town, PROMOTION_OVERTAKEN);

    town = town_new(3, 1, 1);
    town->node[0].up = true;
    town->node[0].standing.tail_lsn = 101;
    ask(town, PROMOTION_LIVE_PRIMARY);
}

/* ---- ending ---- */

static void it_can_be_stopped_at_any_time(void)
{
    for (unsigned ms = 0; ms < 60; ms++) {
        struct town *town = town_new(3, 1, 1);
        struct promotion_order order = town_order(town, 1);
        uint32_t epoch;
        town->node[0].reach = TOWN_SILENT;
        town->list.min_replicas = town->list.min_replicas_before = 2; /* it need not wait for all */
        town->node[2].answer_ms = 10;
        town->node[1].own_seal_ms = 20;
        town->node[2].seal_ms = 20;
        town_begin(town, 1, &order);
        town_pass(town, 10 * ms);
        promotion_stop(town->node[1].promotion);
        CU_ASSERT_EQUAL(town_result(town, 1)->state, PROMOTION_IDLE);
        CU_ASSERT_FALSE(promotion_wants_seal(town->node[1].promotion, &epoch));
        CU_ASSERT_FALSE(promotion_begin(town->node[1].promotion, &order, town->now_ns));
        town_pass(town, 1100); /* one connection that is being opened is the host's to give up */
        CU_ASSERT_EQUAL(promotion_links(town->node[1].promotion), 0);
        CU_ASSERT_EQUAL(town_result(town, 1)->state, PROMOTION_IDLE);
        town_free(town);
    }
}

static void a_peer_that_takes_nothing_is_left_in_time(void)
{
    struct town *town = town_new(3, 1, 1);
    struct town_link *link;
    town->node[2].seal_ms = TOWN_NEVER;
    promote(town, 1);
    town_pass(town, 150);
    link = link_to(town, 2);
    link->pair->end[1].no_room = true;
    promotion_stop(town->node[1].promotion);
    town_pass(town, 900);
    CU_ASSERT_EQUAL(promotion_links(town->node[1].promotion), 1);
    town_pass(town, 200);
    CU_ASSERT_EQUAL(promotion_links(town->node[1].promotion), 0);
    town_free(town);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"one that answers late is waited for if it is needed",
         one_that_answers_late_is_waited_for_if_it_is_needed},
        {"a promise that does not come ends it in time", a_promise_that_does_not_come_ends_it_in_time},
        {"a session that dies is begun again", a_session_that_dies_is_begun_again},
        {"one that dies for good does not take all the time",
         one_that_dies_for_good_does_not_take_all_the_time},
        {"two at once do not both win", two_at_once_do_not_both_win},
        {"whoever has enough need not mind a rival", whoever_has_enough_need_not_mind_a_rival},
        {"force does not pass over a rival", force_does_not_pass_over_a_rival},
        {"who was promoted meanwhile leads", who_was_promoted_meanwhile_leads},
        {"our own promise to another ends it", our_own_promise_to_another_ends_it},
        {"who is refused or not in order is not heard of", who_is_refused_or_not_in_order_is_not_heard_of},
        {"of two secrets the other is tried too", of_two_secrets_the_other_is_tried_too},
        {"members are found by seeds and count once", members_are_found_by_seeds_and_count_once},
        {"a member counts by what it is not by where it is",
         a_member_counts_by_what_it_is_not_by_where_it_is},
        {"one that is not in the list is no member", one_that_is_not_in_the_list_is_no_member},
        {"asking only says what would be in the way", asking_only_says_what_would_be_in_the_way},
        {"it can be stopped at any time", it_can_be_stopped_at_any_time},
        {"a peer that takes nothing is left in time", a_peer_that_takes_nothing_is_left_in_time},
        CU_TEST_INFO_NULL,
    };
    return suite_run("promotion_peers", tests);
}
