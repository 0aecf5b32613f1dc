/*
 * test_control_orders.c - from `wildctl -s` through the socket into a node's box: what an operator says arrives as
 * it was said, and while an order takes its time, others are answered. argv[1] is wildctl.
 */
#include "control_commands.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node_internal.h"
#include "suite.h"
#include "test_eal.h"

/* set once, before the tests */
static const char *wildctl;
static char folder[] = "/tmp/wild-orders-XXXXXX";
static char path[sizeof folder + 16];

/* ---- a node of which only the box is there, and who obeys ---- */

static struct {
    struct node *node;
    struct control_socket *socket;
    pthread_t control;
    _Atomic bool over, holds; /* holds: orders stay pending */
    pthread_mutex_t lock;     /* of `last`: between it and this thread there are other processes */
    struct node_order last;
    _Atomic unsigned obeyed;
} w;

static void *obey(void *argument)
{
    (void)argument;
    while (!atomic_load(&w.over)) {
        const struct node_order *order = node_order_pending(w.node);

        if (order != NULL && !atomic_load(&w.holds)) {
            pthread_mutex_lock(&w.lock);
            w.last = *order;
            pthread_mutex_unlock(&w.lock);
            atomic_fetch_add(&w.obeyed, 1);
            node_order_end(w.node, strcmp(order->node, "nobody") != 0, "order %d: \"%s\" é", (int)order->kind,
                           order->node);
        }
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return NULL;
}

static struct node_order last(void)
{
    struct node_order order;

    pthread_mutex_lock(&w.lock);
    order = w.last;
    pthread_mutex_unlock(&w.lock);
    return order;
}

static void begin(void)
{
    char error[256] = "";
    struct control_answers answers;

    memset(&w, 0, sizeof w);
    w.node = aligned_alloc(_Alignof(struct node), sizeof *w.node);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w.node);
    memset(w.node, 0, sizeof *w.node);
    pthread_mutex_init(&w.node->replication.status_lock, NULL);
    pthread_mutex_init(&w.lock, NULL);
    w.node->replication.status_filled = true;
    answers = control_commands(w.node);
    CU_ASSERT_EQUAL_FATAL(control_socket_open(&w.socket, path, &answers, error, sizeof error), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&w.control, NULL, obey, NULL), 0);
}

static void end(void)
{
    node_order_close(w.node);
    control_socket_close(w.socket);
    w.over = true;
    pthread_join(w.control, NULL);
    node_order_stop(w.node);
    pthread_mutex_destroy(&w.node->replication.status_lock);
    free(w.node);
}

/* ---- wildctl ---- */

struct ran {
    int exit_code;
    char text[4096];
};

static FILE *begin_to_run(const char *arguments)
{
    char command[1024];
    FILE *pipe;

    snprintf(command, sizeof command, "%s -s %s %s 2>&1", wildctl, path, arguments);
    pipe = popen(command, "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(pipe);
    return pipe;
}

static struct ran ended(FILE *pipe)
{
    struct ran ran = {0};

    ran.text[fread(ran.text, 1, sizeof ran.text - 1, pipe)] = '\0';
    ran.exit_code = WEXITSTATUS(pclose(pipe));
    return ran;
}

static struct ran run(const char *arguments)
{
    return ended(begin_to_run(arguments));
}

/* ---- tests ---- */

static void an_order_arrives_as_it_was_said(void)
{
    struct ran ran;

    begin();
    ran = run("promote");
    CU_ASSERT_EQUAL(ran.exit_code, 0);
    CU_ASSERT_STRING_EQUAL(ran.text, "order 0: \"\" é\n");
    CU_ASSERT(last().kind == NODE_ORDER_PROMOTE && !last().force && last().wal_path[0] == '\0');
    ran = run("promote --force --wal-path '/data/a \"b\" \\c'");
    CU_ASSERT_EQUAL(ran.exit_code, 0);
    CU_ASSERT(last().force);
    CU_ASSERT_STRING_EQUAL(last().wal_path, "/data/a \"b\" \\c");
    ran = run("demote --to 'db2:7879'");
    CU_ASSERT_EQUAL(ran.exit_code, 0);
    CU_ASSERT_EQUAL(last().kind, NODE_ORDER_DEMOTE);
    CU_ASSERT_STRING_EQUAL(last().node, "db2:7879");
    ran = run("follow db3.example.com:9003");
    CU_ASSERT_EQUAL(ran.exit_code, 0);
    CU_ASSERT(last().kind == NODE_ORDER_FOLLOW && last().port == 9003 && last().lookup != NULL);
    CU_ASSERT_STRING_EQUAL(last().host, "db3.example.com");
    ran = run("-j members remove 00000000000000d2");
    CU_ASSERT_EQUAL(ran.exit_code, 0);
    CU_ASSERT_EQUAL(last().kind, NODE_ORDER_REMOVE_MEMBER);
    CU_ASSERT_STRING_EQUAL(last().node, "00000000000000d2");
    json_t *answer = json_loads(ran.text, 0, NULL);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(answer, "done")),
                           "order 3: \"00000000000000d2\" é");
    json_decref(answer);
    ran = run("members remove d3");
    CU_ASSERT_STRING_EQUAL(ran.text, "order 3: \"d3\" é\n");
    end();
}

static void what_was_not_done_is_an_error(void)
{
    struct ran ran;

    begin();
    ran = run("demote --to nobody");
    CU_ASSERT_EQUAL(ran.exit_code, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.text, "order 1: \"nobody\" é\n"));
    CU_ASSERT_EQUAL(atomic_load(&w.obeyed), 1);
    end();
}

static void what_is_no_order_is_not_given(void)
{
    static const char *const usage[] = {"demote",
                                        "demote db2",
                                        "demote --to",
                                        "demote --to a b",
                                        "demote --to a --force",
                                        "promote now",
                                        "promote --to a",
                                        "promote --wal-path",
                                        "promote --wal-path $(printf '\\377')",
                                        "follow",
                                        "follow db2",
                                        "follow db2:",
                                        "follow :1",
                                        "follow db2:0",
                                        "follow db2:65536",
                                        "follow db2:9001x",
                                        "follow a:1 b:2",
                                        "members remove",
                                        "members add db2",
                                        "members remove a b",
                                        "status --force",
                                        "follow --wal-path w a:1"};
    static const char *const refused[] = {
        "follow a/b:1", "demote --to ''", "promote --wal-path ''", "demote --to \"$(printf 'a\\nb')\"",
        "demote --to 01234567890123456789012345678901234567890123456789012345678901234"};

    begin();
    for (unsigned i = 0; i < sizeof usage / sizeof usage[0]; i++) {
        struct ran ran = run(usage[i]);

        if (ran.exit_code != 2)
            printf("`%s` gave %d: %s", usage[i], ran.exit_code, ran.text);
        CU_ASSERT_EQUAL(ran.exit_code, 2);
        CU_ASSERT_PTR_EQUAL(strchr(ran.text, '\n'), ran.text + strlen(ran.text) - 1);
    }
    for (unsigned i = 0; i < sizeof refused / sizeof refused[0]; i++)
        CU_ASSERT_EQUAL(run(refused[i]).exit_code, 1);
    CU_ASSERT_EQUAL(atomic_load(&w.obeyed), 0);
    end();
}

/* Requests that no wildctl of this version makes. */
static void a_request_of_another_version_is_not_half_obeyed(void)
{
    static const char *const requests[] = {"{\"command\": \"promote\", \"force\": 1}",
                                           "{\"command\": \"promote\", \"gently\": true}",
                                           "{\"command\": \"demote\"}",
                                           "{\"command\": \"demote\", \"to\": 3}",
                                           "{\"command\": \"follow\", \"host\": \"a\"}",
                                           "{\"command\": \"follow\", \"host\": \"a\", \"port\": \"1\"}",
                                           "{\"command\": \"follow\", \"host\": \"a\", \"port\": 65536}",
                                           "{\"command\": \"follow\", \"host\": \"a\", \"port\": -1}",
                                           "{\"command\": \"members_remove\"}"};
    struct control_answers answers;

    begin();
    answers = control_commands(w.node);
    for (unsigned i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        char error[CONTROL_ERROR_BYTES] = "";
        json_t *request = json_loads(requests[i], 0, NULL);

        CU_ASSERT_PTR_NULL(answers.answer(
            answers.state, json_string_value(json_object_get(request, "command")), request, error));
        CU_ASSERT_NOT_EQUAL(error[0], '\0');
        json_decref(request);
    }
    CU_ASSERT_EQUAL(atomic_load(&w.obeyed), 0);
    end();
}

static void until_under_way(void)
{
    for (unsigned i = 0; i < 5000 && atomic_load(&w.node->order.state) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void others_are_answered_while_an_order_takes_its_time(void)
{
    FILE *promotes;
    struct ran ran;

    begin();
    w.holds = true;
    promotes = begin_to_run("promote");
    until_under_way();
    for (unsigned i = 0; i < 2 * CONTROL_THREADS; i++)
        CU_ASSERT_EQUAL(run("status").exit_code, 0);
    ran = run("demote --to db2");
    CU_ASSERT_EQUAL(ran.exit_code, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.text, "another order is under way"));
    w.holds = false;
    ran = ended(promotes);
    CU_ASSERT_EQUAL(ran.exit_code, 0);
    CU_ASSERT_EQUAL(last().kind, NODE_ORDER_PROMOTE);
    end();
}

static void a_node_that_stops_answers_who_waits(void)
{
    FILE *promotes;
    struct ran ran;

    begin();
    w.holds = true;
    promotes = begin_to_run("promote");
    until_under_way();
    end();
    ran = ended(promotes);
    CU_ASSERT_EQUAL(ran.exit_code, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.text, "the node is stopping"));
}

int main(int argc, char **argv)
{
    CU_TestInfo tests[] = {
#define TEST(name) {#name, name}
        TEST(an_order_arrives_as_it_was_said),
        TEST(what_was_not_done_is_an_error),
        TEST(what_is_no_order_is_not_given),
        TEST(a_request_of_another_version_is_not_half_obeyed),
        TEST(others_are_answered_while_an_order_takes_its_time),
        TEST(a_node_that_stops_answers_who_waits),
        CU_TEST_INFO_NULL,
    };
    int failed;

    if (argc < 2 || mkdtemp(folder) == NULL)
        return 2;
    wildctl = argv[1];
    snprintf(path, sizeof path, "%s/socket", folder);
    test_eal_start();
    failed = suite_run("control orders", tests);
    rmdir(folder);
    return failed;
}
