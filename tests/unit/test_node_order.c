/* test_node_order.c - orders reach the control lcore one at a time, and their ends whoever gave them. */
#include "node_order.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "node_internal.h"
#include "suite.h"

/* A node of which nothing runs but its box. */
static struct node *made(void)
{
    struct node *node = aligned_alloc(_Alignof(struct node), sizeof *node);

    CU_ASSERT_PTR_NOT_NULL_FATAL(node);
    memset(node, 0, sizeof *node);
    return node;
}

static void end(struct node *node)
{
    node_order_stop(node);
    free(node);
}

static struct name_lookup *lookup(void)
{
    char error[128];
    struct name_lookup *found = name_lookup_create("localhost", error, sizeof error); /* its thread waits */

    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    return found;
}

static const struct node_order promote = {.kind = NODE_ORDER_PROMOTE, .force = true, .wal_path = "/data/w"};

static void an_order_and_its_answer_go_through_the_box(void)
{
    struct node *node = made();
    struct node_order_answer answer;
    const struct node_order *order;

    CU_ASSERT_PTR_NULL(node_order_pending(node));
    CU_ASSERT_FALSE(node_order_ended(node, &answer));
    CU_ASSERT_STRING_EQUAL(node_order_told(node), "");
    CU_ASSERT_EQUAL(node_order_begin(node, &promote), 0);
    CU_ASSERT_FALSE(node_order_ended(node, &answer));
    order = node_order_pending(node);
    CU_ASSERT_PTR_NOT_NULL_FATAL(order);
    CU_ASSERT(order->kind == NODE_ORDER_PROMOTE && order->force);
    CU_ASSERT_STRING_EQUAL(order->wal_path, "/data/w");
    CU_ASSERT_STRING_EQUAL(node_order_told(node), "promote: under way");
    CU_ASSERT_PTR_EQUAL(node_order_pending(node), order); /* until it is ended */
    node_order_end(node, false, "member %s has more", "db2");
    CU_ASSERT_PTR_NULL(node_order_pending(node));
    CU_ASSERT_STRING_EQUAL(node_order_told(node), "promote: not done: member db2 has more");
    CU_ASSERT_TRUE(node_order_ended(node, &answer));
    CU_ASSERT_FALSE(answer.ok);
    CU_ASSERT_STRING_EQUAL(answer.text, "member db2 has more");
    CU_ASSERT_FALSE(node_order_ended(node, &answer)); /* once */
    end(node);
}

static void a_second_order_waits_for_nobody(void)
{
    struct node *node = made();
    struct node_order_answer answer;

    CU_ASSERT_EQUAL(node_order_begin(node, &promote), 0);
    CU_ASSERT_EQUAL(node_order_begin(node, &promote), -EBUSY);
    CU_ASSERT_EQUAL(node_order_give(node, &promote, 1000, &answer), -EBUSY);
    CU_ASSERT_PTR_NOT_NULL(node_order_pending(node));
    node_order_end(node, true, "done");
    CU_ASSERT_EQUAL(node_order_begin(node, &promote), -EBUSY); /* its answer is somebody's */
    CU_ASSERT_TRUE(node_order_ended(node, &answer));
    CU_ASSERT_EQUAL(node_order_begin(node, &promote), 0);
    end(node);
}

static void an_order_nobody_waits_for_any_more_is_done_and_forgotten(void)
{
    struct node *node = made();
    struct node_order_answer answer;

    CU_ASSERT_EQUAL(node_order_give(node, &promote, 5, &answer), -ETIMEDOUT);
    CU_ASSERT_PTR_NOT_NULL(node_order_pending(node));
    CU_ASSERT_EQUAL(node_order_begin(node, &promote), -EBUSY);
    node_order_end(node, true, "this node leads");
    CU_ASSERT_PTR_NULL(node_order_pending(node));
    CU_ASSERT_STRING_EQUAL(node_order_told(node), "promote: this node leads");
    CU_ASSERT_FALSE(node_order_ended(node, &answer));
    CU_ASSERT_EQUAL(node_order_begin(node, &promote), 0);
    end(node);
}

static void a_node_that_stops_lets_go_of_who_waits(void)
{
    struct node *node = made();
    struct node_order_answer answer;

    CU_ASSERT_EQUAL(node_order_begin(node, &promote), 0);
    node_order_close(node);
    CU_ASSERT_EQUAL(node_order_begin(node, &promote), -ESHUTDOWN);
    CU_ASSERT_EQUAL(node_order_give(node, &promote, 60000, &answer), -ESHUTDOWN);
    end(node);
}

/* A lookup that were lost, or destroyed twice, the sanitizers would find. */
static void the_lookup_that_is_left_in_the_box_is_destroyed(void)
{
    struct node *node = made();
    struct node_order follow = {.kind = NODE_ORDER_FOLLOW, .host = "localhost", .port = 9001};
    struct node_order_answer answer;
    struct name_lookup *used = NULL;

    for (unsigned i = 0; i < 6; i++) { /* taken; refused; and both where nobody waits for the end */
        follow.lookup = lookup();
        if (i % 2 == 0)
            CU_ASSERT_EQUAL(node_order_begin(node, &follow), 0)
        else
            CU_ASSERT_EQUAL(node_order_give(node, &follow, 0, &answer), -ETIMEDOUT)
        CU_ASSERT_PTR_NOT_NULL_FATAL(node_order_pending(node));
        if (i % 3 != 0)
            used = node_order_swap_lookup(node, used);
        node_order_end(node, i % 3 != 0, "%u", i);
        if (i % 2 == 0)
            CU_ASSERT_TRUE(node_order_ended(node, &answer))
    }
    CU_ASSERT_PTR_NOT_NULL(used);
    follow.lookup = lookup();
    CU_ASSERT_EQUAL(node_order_begin(node, &follow), 0);
    follow.lookup = lookup();
    CU_ASSERT_EQUAL(node_order_give(node, &follow, 0, &answer), -EBUSY);
    name_lookup_destroy(used);
    end(node);
}

/* ---- threads ---- */

enum { GIVERS = 3, ORDERS = 80 };

struct crowd {
    struct node *node;
    _Atomic unsigned done, late, wrong;
    _Atomic bool over;
};

static void *obey(void *argument)
{
    struct crowd *crowd = argument;
    unsigned seed = 1;

    while (!atomic_load(&crowd->over)) {
        const struct node_order *order = node_order_pending(crowd->node);

        if (order != NULL && rand_r(&seed) % 4 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL); /* longer than some wait */
        if (order != NULL)
            node_order_end(crowd->node, true, "%s", order->node);
    }
    return NULL;
}

static void *give(void *argument)
{
    struct crowd *crowd = argument;
    struct node_order order = {.kind = NODE_ORDER_REMOVE_MEMBER};
    struct node_order_answer answer;

    for (unsigned i = 0; i < ORDERS;) {
        snprintf(order.node, sizeof order.node, "%p-%u", (void *)&order, i);
        switch (node_order_give(crowd->node, &order, i % 3, &answer)) {
        case 0:
            crowd->done++;
            crowd->wrong += !answer.ok || strcmp(answer.text, order.node) != 0;
            break;
        case -EBUSY:
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
            continue; /* the same once more */
        default:
            crowd->late++;
        }
        i++;
    }
    return NULL;
}

static void everybody_gets_the_end_of_his_own_order(void)
{
    struct crowd crowd = {.node = made()};
    pthread_t control, giver[GIVERS];

    CU_ASSERT_EQUAL_FATAL(pthread_create(&control, NULL, obey, &crowd), 0);
    for (unsigned i = 0; i < GIVERS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&giver[i], NULL, give, &crowd), 0);
    for (unsigned i = 0; i < GIVERS; i++)
        pthread_join(giver[i], NULL);
    crowd.over = true;
    pthread_join(control, NULL);
    printf("%u done, %u late\n", crowd.done, crowd.late);
    CU_ASSERT_EQUAL(crowd.wrong, 0);
    CU_ASSERT(crowd.done > 0 && crowd.late > 0);
    CU_ASSERT_EQUAL(crowd.done + crowd.late, GIVERS * ORDERS);
    end(crowd.node);
}

int main(void)
{
    CU_TestInfo tests[] = {
#define TEST(name) {#name, name}
        TEST(an_order_and_its_answer_go_through_the_box),
        TEST(a_second_order_waits_for_nobody),
        TEST(an_order_nobody_waits_for_any_more_is_done_and_forgotten),
        TEST(a_node_that_stops_lets_go_of_who_waits),
        TEST(the_lookup_that_is_left_in_the_box_is_destroyed),
        TEST(everybody_gets_the_end_of_his_own_order),
        CU_TEST_INFO_NULL,
    };
    return suite_run("node order", tests);
}
