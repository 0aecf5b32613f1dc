/*
 * test_control_socket.c - the socket that operators ask: who is answered, what is refused, and how `wildctl -s` shows it.
 * argv[1] is wildctl.
 */
#include "control_socket.h"

#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "status_json.h"
#include "test_eal.h"

/* set once, before the tests */
static const char *wildctl;
static char folder[] = "/tmp/wild-control-XXXXXX";
static char path[sizeof folder + 16];

static struct node_status status = {
    .mode = MODE_PRIMARY,
    .state = STATE_SERVING,
    .epoch = 3,
    .lsn = 12884901900,
    .durable_lsn = 12884901899,
    .replicated_lsn = 12884901890,
    .items = 17,
    .log = true,
    .name = "db1",
    .cluster_id = {0xab},
    .replicas = 1,
    .replica[0] = {.name = "r1",
                   .applied_lsn = 4294967399, /* of a history before */
                   .lag_ns = 1500000,
                   .client_address = {[10] = 0xff, [11] = 0xff, [12] = 198, [13] = 18, [14] = 0, [15] = 2},
                   .client_port = 7879,
                   .state = PRIMARY_REPLICA_STREAMING,
                   .serving = true},
    .replica_lag_lsn = {10},
    .members = 2,
    .member = {{.member = {.node_id = 0xd1,
                           .part = MEMBER_STAYS,
                           .name = "db1",
                           .replication_port = 9001,
                           .client_port = 7878},
                .primary = true,
                .self = true,
                .counts = true,
                .durable_lsn = 12884901899},
               {.member = {.node_id = 0xd2,
                           .part = MEMBER_JOINS,
                           .name = "db2",
                           .address = {[10] = 0xff, [11] = 0xff, [12] = 198, [13] = 18, [14] = 0, [15] = 3},
                           .replication_port = 9002,
                           .client_port = 7879}}},
};

static json_t *answer(void *state, const char *command, const json_t *request,
                      char error[CONTROL_ERROR_BYTES])
{
    atomic_fetch_add((_Atomic unsigned *)state, 1);
    (void)request;
    if (strcmp(command, "status") == 0)
        return status_json(&status);
    if (strcmp(command, "replicas") == 0)
        return replicas_json(&status);
    if (strcmp(command, "members") == 0)
        return members_json(&status);
    snprintf(error, CONTROL_ERROR_BYTES, "cannot \"%.20s\"", command);
    return NULL;
}

static _Atomic unsigned asked;
static const struct control_answers answers = {&asked, answer};

static struct control_socket *opened(void)
{
    char error[256] = "";
    struct control_socket *made = NULL;

    CU_ASSERT_EQUAL_FATAL(control_socket_open(&made, path, &answers, error, sizeof error), 0);
    return made;
}

static int connected(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, path);
    CU_ASSERT_EQUAL_FATAL(connect(peer, (struct sockaddr *)&address, sizeof address), 0);
    return peer;
}

/* What is answered to these bytes: everything until the end. */
static const char *said(const char *request, size_t length)
{
    static char text[65536];
    int peer = connected();
    size_t have = 0;
    ssize_t got;

    (void)send(peer, request, length, MSG_NOSIGNAL);
    while (have < sizeof text - 1 && (got = recv(peer, text + have, sizeof text - 1 - have, 0)) > 0)
        have += (size_t)got;
    text[have] = '\0';
    close(peer);
    return text;
}

static void a_request_is_answered_by_one_line(void)
{
    struct control_socket *made = opened();
    json_t *reply = json_loads(said("{\"command\": \"status\"}\n", 22), 0, NULL);
    json_t *object = json_object_get(reply, "answer");

    CU_ASSERT_TRUE(json_is_true(json_object_get(reply, "ok")));
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(object, "mode")), "primary");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(object, "state")), "serving");
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "epoch")), 3);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "lsn")), 12884901900);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "durable_lsn")), 12884901899);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "replicated_lsn")), 12884901890);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "items")), 17);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(object, "cluster")),
                           "ab000000000000000000000000000000");
    CU_ASSERT_PTR_NULL(json_object_get(object, "lag_ms")); /* a replica's */
    json_decref(reply);
    control_socket_close(made);
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
}

static void a_replica_says_whom_it_follows(void)
{
    struct node_status replica = {.mode = MODE_REPLICA,
                                  .state = STATE_CATCHING_UP,
                                  .primary = "db1:9001",
                                  .lag_lsn = 4,
                                  .lag_ms = 9,
                                  .following = {.phase = REPLICA_LOADING, .primary_lsn = 44}};
    json_t *object = status_json(&replica);

    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(object, "state")), "catching_up");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(object, "primary")), "db1:9001");
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "lag_lsn")), 4);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "lag_ms")), 9);
    json_decref(object);
}

static void what_is_no_request_gets_an_error_and_nothing_is_asked(void)
{
    static const char *const wrong[] = {
        "\n", "{}\n", "[]\n", "status\n", "{\"command\": 3}\n", "{\"command\": \"a\", \"command\": \"b\"}\n"};
    struct control_socket *made = opened();
    unsigned before = asked;

    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        json_t *reply = json_loads(said(wrong[i], strlen(wrong[i])), 0, NULL);

        CU_ASSERT_TRUE(json_is_false(json_object_get(reply, "ok")));
        CU_ASSERT_PTR_NOT_NULL(json_string_value(json_object_get(reply, "error")));
        json_decref(reply);
    }
    CU_ASSERT_EQUAL(asked, before);
    control_socket_close(made);
}

static void a_request_without_end_and_one_that_never_comes_hold_nobody_up_for_long(void)
{
    static char endless[CONTROL_REQUEST_BYTES + 100];
    struct control_socket *made = opened();
    int silent[CONTROL_THREADS];

    for (unsigned i = 0; i < CONTROL_THREADS; i++)
        silent[i] = connected();
    memset(endless, ' ', sizeof endless);
    CU_ASSERT_STRING_EQUAL(said(endless, sizeof endless), ""); /* after the silent ones' second */
    for (unsigned i = 0; i < CONTROL_THREADS; i++)
        close(silent[i]);
    CU_ASSERT_NOT_EQUAL(said("{\"command\": \"status\"}\n", 22)[0], '\0');
    control_socket_close(made);
}

static void the_socket_is_its_owner_s_alone(void)
{
    struct control_socket *made = opened();
    struct stat found;

    CU_ASSERT_EQUAL_FATAL(stat(path, &found), 0);
    CU_ASSERT_EQUAL(found.st_mode & 07777, 0600);
    if (geteuid() == 0) {                        /* another user who got hold of the socket is not answered */
        CU_ASSERT_EQUAL(chmod(folder, 0755), 0); /* before the child goes there as that user */
        pid_t child = fork();

        if (child == 0) {
            int peer = connected(); /* as root; but who asks is judged by what it was when it connected */
            close(peer);
            if (chmod(path, 0666) != 0 || setuid(65534) != 0)
                _exit(9);
            _exit(said("{\"command\": \"status\"}\n", 22)[0] == '\0' ? 0 : 1);
        }
        int outcome;
        CU_ASSERT_EQUAL(waitpid(child, &outcome, 0), child);
        CU_ASSERT_EQUAL(outcome, 0);
    }
    control_socket_close(made);
}

static void what_lies_at_the_path_is_replaced_only_if_it_is_a_dead_socket(void)
{
    char error[256] = "";
    struct control_socket *made = opened(), *second = NULL;

    CU_ASSERT_EQUAL(control_socket_open(&second, path, &answers, error, sizeof error), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "answers there already"));
    control_socket_close(made);

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, path);
    CU_ASSERT_EQUAL(bind(dead, (struct sockaddr *)&address, sizeof address), 0);
    close(dead);
    control_socket_close(opened());

    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(file);
    CU_ASSERT_EQUAL(control_socket_open(&second, path, &answers, error, sizeof error), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "no socket"));
    CU_ASSERT_EQUAL(unlink(path), 0);

    char longer[200];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    CU_ASSERT_EQUAL(control_socket_open(&second, longer, &answers, error, sizeof error), -1);
}

/* ---- wildctl ---- */

struct ran {
    int exit_code;
    char text[8192];
};

static struct ran run(const char *arguments)
{
    struct ran ran = {0};
    char command[512];
    FILE *pipe;

    snprintf(command, sizeof command, "%s %s 2>&1", wildctl, arguments);
    pipe = popen(command, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(pipe);
    ran.text[fread(ran.text, 1, sizeof ran.text - 1, pipe)] = '\0';
    ran.exit_code = WEXITSTATUS(pclose(pipe));
    return ran;
}

static struct ran run_at_socket(const char *before, const char *after)
{
    char arguments[256];

    snprintf(arguments, sizeof arguments, "%s -s %s %s", before, path, after);
    return run(arguments);
}

static void wildctl_shows_status_and_replicas(void)
{
    struct control_socket *made = opened();
    struct ran ran = run_at_socket("", "status");

    CU_ASSERT_EQUAL(ran.exit_code, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.text, "mode            primary\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.text, "log             yes\n"));
    CU_ASSERT_PTR_NULL(strstr(ran.text, "why"));
    ran = run_at_socket("", "replicas");
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.text, "r1 "));
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.text, "198.18.0.2:7879"));
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.text, "streaming"));
    ran = run_at_socket("", "replicas -j");
    json_t *list = json_loads(ran.text, 0, NULL);
    const json_t *replica = json_array_get(list, 0);
    CU_ASSERT_EQUAL(json_array_size(list), 1);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(replica, "lag_lsn")), 10);
    CU_ASSERT_DOUBLE_EQUAL(json_real_value(json_object_get(replica, "lag_ms")), 1.5, 0.001);
    json_decref(list);
    ran = run_at_socket("-j", "status");
    json_t *object = json_loads(ran.text, 0, NULL);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(object, "name")), "db1");
    json_decref(object);
    control_socket_close(made);
}

static void wildctl_shows_members(void)
{
    struct control_socket *made = opened();
    struct ran ran = run_at_socket("", "members");
    json_t *list;

    CU_ASSERT_EQUAL(ran.exit_code, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.text, "00000000000000d1"));
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.text, "198.18.0.3:7879        198.18.0.3:9002 "));
    ran = run_at_socket("-j", "members");
    list = json_loads(ran.text, 0, NULL);
    CU_ASSERT_EQUAL(json_array_size(list), 2);
    const json_t *first = json_array_get(list, 0), *second = json_array_get(list, 1);
    CU_ASSERT(json_is_true(json_object_get(first, "primary")) &&
              json_is_true(json_object_get(first, "this")));
    CU_ASSERT(json_is_true(json_object_get(first, "counts")));
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(first, "durable_lsn")), 12884901899);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(first, "address")), ""); /* not known */
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(second, "node")), "00000000000000d2");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(second, "replication")), "198.18.0.3:9002");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(first, "part")), "stays");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(second, "part")), "joins");
    CU_ASSERT(json_is_false(json_object_get(second, "counts")));
    CU_ASSERT(json_is_null(json_object_get(second, "durable_lsn")));
    json_decref(list);
    control_socket_close(made);
}

static void wildctl_says_why_not(void)
{
    struct ran ran = run_at_socket("", "status");

    CU_ASSERT_EQUAL(ran.exit_code, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.text, "is the node running"));
    struct control_socket *made = opened();
    ran = run_at_socket("", "snapshot"); /* this test's answers know none */
    CU_ASSERT_EQUAL(ran.exit_code, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.text, "cannot \"snapshot\""));
    control_socket_close(made);
    CU_ASSERT_EQUAL(run_at_socket("", "").exit_code, 2);
    CU_ASSERT_EQUAL(run_at_socket("", "status replicas").exit_code, 2);
    CU_ASSERT_EQUAL(run_at_socket("", "nonsense").exit_code, 2);
    CU_ASSERT_EQUAL(run_at_socket("", "--nonsense status").exit_code, 2);
    CU_ASSERT_EQUAL(run("-s").exit_code, 2);
    CU_ASSERT_EQUAL(run("-j status").exit_code, 2);
    ran = run_at_socket("", "--help");
    CU_ASSERT_EQUAL(ran.exit_code, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.text, "replicas"));
    CU_ASSERT_EQUAL(run_at_socket("", "drain --help").exit_code, 0);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    wildctl = argv[1];
    test_eal_start();
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/socket", folder);
    CU_initialize_registry();
    CU_pSuite suite = CU_add_suite("control socket", NULL, NULL);
    CU_ADD_TEST(suite, a_request_is_answered_by_one_line);
    CU_ADD_TEST(suite, a_replica_says_whom_it_follows);
    CU_ADD_TEST(suite, what_is_no_request_gets_an_error_and_nothing_is_asked);
    CU_ADD_TEST(suite, a_request_without_end_and_one_that_never_comes_hold_nobody_up_for_long);
    CU_ADD_TEST(suite, the_socket_is_its_owner_s_alone);
    CU_ADD_TEST(suite, what_lies_at_the_path_is_replaced_only_if_it_is_a_dead_socket);
    CU_ADD_TEST(suite, wildctl_shows_status_and_replicas);
    CU_ADD_TEST(suite, wildctl_shows_members);
    CU_ADD_TEST(suite, wildctl_says_why_not);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    rmdir(folder);
    return failed != 0;
}
