/*
 * test_client_example_nodes.c - wild-client-example with several nodes, as a script sees it. argv[1] is the
 * program.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "router_fixture.h"

/* set once, before the tests */
static const char *program;

struct outcome {
    int exit_code;
    char text[16384]; /* stdout, then stderr */
};

/* Runs the program with the secret, and `environment`, in its environment. */
static struct outcome run_with(const char *environment, const char *arguments)
{
    struct outcome outcome = {0};
    char command[2048];
    snprintf(command, sizeof(command), "env WILD_AUTH_SECRET=%s %s %s %s 2>&1", ROUTER_SECRET, environment,
             program, arguments);
    FILE *pipe = popen(command, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(pipe);
    size_t length = fread(outcome.text, 1, sizeof(outcome.text) - 1, pipe);
    outcome.text[length] = '\0';
    int status = pclose(pipe);
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
}

/* With --primary and --replica for every node. */
static struct outcome run(const struct cluster *c, const char *arguments)
{
    char all[1024];
    int length = snprintf(all, sizeof(all), "--primary %s", responder_endpoint(c->node[0]));
    for (unsigned i = 1; i < c->count; i++)
        length += snprintf(all + length, sizeof(all) - (size_t)length, " --replica %s",
                           responder_endpoint(c->node[i]));
    snprintf(all + length, sizeof(all) - (size_t)length, " %s", arguments);
    return run_with("", all);
}

static void expect(const struct outcome *outcome, int exit_code, const char *says)
{
    if (outcome->exit_code != exit_code || strstr(outcome->text, says) == NULL)
        fprintf(stderr, "exit %d, not \"%s\" in:\n%s\n", outcome->exit_code, says, outcome->text);
    CU_ASSERT_EQUAL(outcome->exit_code, exit_code);
    CU_ASSERT_PTR_NOT_NULL(strstr(outcome->text, says));
}

static void expect_run(const struct cluster *c, const char *arguments, int exit_code, const char *says)
{
    struct outcome outcome = run(c, arguments);
    expect(&outcome, exit_code, says);
}

static const char *last_line(struct outcome *outcome)
{
    size_t length = strlen(outcome->text);
    if (length > 0 && outcome->text[length - 1] == '\n')
        outcome->text[length - 1] = '\0';
    char *newline = strrchr(outcome->text, '\n');
    return newline != NULL ? newline + 1 : outcome->text;
}

static void begin(struct cluster *c, unsigned count)
{
    cluster_start(c, count, true);
}

static void finish(struct cluster *c)
{
    cluster_end(c);
}

/* ---- requests, health ---- */

static void test_requests_go_through_the_router(void)
{
    struct cluster c;
    begin(&c, 2);
    expect_run(&c, "set k v", 0, "OK\n");
    expect_run(&c, "get k", 0, "v\n");
    CU_ASSERT_EQUAL(executed(&c, 1, OPCODE_GET), 1);
    CU_ASSERT_EQUAL(executed(&c, 0, OPCODE_SET), 1);
    expect_run(&c, "incr n 5", 0, "5\n");
    expect_run(&c, "touch k 1000", 0, "OK\n");
    expect_run(&c, "delete k", 0, "OK\n");
    expect_run(&c, "get k", 1, "no such key");
    expect_run(&c, "flush", 0, "OK\n");
    expect_run(&c, "set k v --read-preference primary", 0, "OK\n");
    forget_logs(&c);
    expect_run(&c, "get k --read-preference primary", 0, "v\n");
    CU_ASSERT_EQUAL(executed(&c, 0, OPCODE_GET), 1);
    finish(&c);
}

static void test_health_is_a_table_and_an_exit_code(void)
{
    struct cluster c;
    begin(&c, 3);
    expect_run(&c, "health", 0, "health: 3 of 3 endpoints are healthy\n");
    expect_run(&c, "health -j", 0, "{\"healthy\":true,\"endpoints\":[{");
    expect_run(&c, "health -j", 0, "\"lag_lsn\":0");
    struct responder_role role = role_of(1, MODE_REPLICA, 7);
    role.state = STATE_CATCHING_UP;
    responder_role(c.node[1], &role);
    expect_run(&c, "health", 1, "catching up");
    expect_run(&c, "health", 1, "health: 2 of 3 endpoints are healthy\n");
    responder_order(c.node[2], (struct responder_orders){.down = true});
    expect_run(&c, "health", 1, "nothing listens");
    expect_run(&c, "health -j", 1, "{\"healthy\":false,");
    responder_order(c.node[2], (struct responder_orders){0});
    set_role(&c, 1, MODE_REPLICA, 7);
    set_role(&c, 0, MODE_REPLICA, 7);
    expect_run(&c, "health", 1, "a replica; no primary is known");
    char alone[128];
    snprintf(alone, sizeof(alone), "--endpoint %s stats", responder_endpoint(c.node[0]));
    struct outcome outcome = run_with("", alone);
    expect(&outcome, 0, "mode replica\n");
    finish(&c);
}

static void test_stats_have_figures_of_every_node(void)
{
    struct cluster c;
    begin(&c, 2);
    expect_run(&c, "stats", 0, "reads 40\n");
    expect_run(&c, "stats", 0, "requests 40\n");
    expect_run(&c, "stats -j", 0, "\"p999_us\":");
    responder_order(c.node[1], (struct responder_orders){.down = true});
    expect_run(&c, "stats", 1, "fallbacks 20\n");
    finish(&c);
}

/* ---- tests of clusters ---- */

static void test_a_journal_through_the_router_holds_at_every_node(void)
{
    struct cluster c;
    char path[] = "/tmp/wild-test-journal-XXXXXX", arguments[256];
    int fd = mkstemp(path);
    CU_ASSERT_FATAL(fd >= 0);
    close(fd);
    begin(&c, 2);
    snprintf(arguments, sizeof(arguments), "load-test --seconds 1 --keys 50 --delete-percent 10 --journal %s",
             path);
    expect_run(&c, arguments, 0, " 0 errors, 0 mismatches");
    snprintf(arguments, sizeof(arguments), "verify --journal %s", path);
    expect_run(&c, arguments, 0, "verify: 50 keys, 0 lost, 0 wrong\n");
    /* what the replica has is the same */
    snprintf(arguments, sizeof(arguments), "--endpoint %s verify --journal %s", responder_endpoint(c.node[1]),
             path);
    struct outcome outcome = run_with("", arguments);
    expect(&outcome, 0, "verify: 50 keys, 0 lost, 0 wrong\n");
    unlink(path);
    finish(&c);
}

static void test_a_load_test_reads_replicas_and_verifies(void)
{
    struct cluster c;
    struct outcome outcome;
    unsigned long long n[3];
    begin(&c, 3);
    outcome =
        run(&c, "load-test --seconds 1 --keys 100 --connections 2 --get-percent 60 --delete-percent 20");
    expect(&outcome, 0, "load-test: replica ");
    CU_ASSERT_EQUAL(sscanf(last_line(&outcome), "load-test: %llu operations, %llu errors, %llu mismatches,",
                           &n[0], &n[1], &n[2]),
                    3);
    CU_ASSERT(n[0] > 0 && n[1] == 0 && n[2] == 0);
    CU_ASSERT(executed(&c, 1, OPCODE_GET) > 0 && executed(&c, 2, OPCODE_GET) > 0);
    /* a replica that lies is found out */
    responder_order(c.node[2], (struct responder_orders){.damage_replicated = 1000000});
    outcome = run(&c, "load-test --seconds 1 --keys 20 --connections 1");
    CU_ASSERT_EQUAL(outcome.exit_code, 1);
    CU_ASSERT_EQUAL(sscanf(last_line(&outcome), "load-test: %llu operations, %llu errors, %llu mismatches,",
                           &n[0], &n[1], &n[2]),
                    3);
    CU_ASSERT(n[2] > 0);
    finish(&c);
}

static void expect_replication(struct outcome *outcome, int exit_code, unsigned missing, unsigned wrong)
{
    unsigned n[6];
    int end = 0;
    const char *line = last_line(outcome);
    CU_ASSERT_EQUAL(outcome->exit_code, exit_code);
    if (sscanf(line,
               "replication-test: %u writes, %u replicas, %u missing, %u wrong, lag p50 %u us, p99 %u us%n",
               &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &end) != 6)
        fprintf(stderr, "%s\n", outcome->text);
    CU_ASSERT_EQUAL(line[end], '\0');
    CU_ASSERT_EQUAL(n[0], 300);
    CU_ASSERT_EQUAL(n[1], 2);
    CU_ASSERT_EQUAL(n[2], missing);
    CU_ASSERT_EQUAL(n[3], wrong);
    CU_ASSERT(n[4] <= n[5]);
}

static void test_replication_that_is_right(void)
{
    struct cluster c;
    begin(&c, 3);
    struct outcome outcome = run(&c, "replication-test --writes 300");
    expect_replication(&outcome, 0, 0, 0);
    expect_run(&c, "replication-test --writes 30 -j", 0, "\"missing\":0,\"wrong\":0,");
    expect_run(&c, "health -j", 0, "\"items\":0"); /* it removes what it wrote */
    finish(&c);
}

static void test_replication_that_is_not(void)
{
    struct cluster c;
    begin(&c, 3);
    /* a value is damaged on its way */
    responder_order(c.node[1], (struct responder_orders){.damage_replicated = 1});
    struct outcome outcome = run(&c, "replication-test --writes 300");
    expect_replication(&outcome, 1, 0, 1);
    /* writes are lost, and nothing later shows; then all is well again */
    responder_order(c.node[2], (struct responder_orders){.lose_replicated = 300});
    outcome = run(&c, "replication-test --writes 300 --wait 50");
    expect_replication(&outcome, 1, 300, 0);
    responder_order(c.node[2], (struct responder_orders){0});
    finish(&c);
}

static void test_replication_needs_replicas_and_a_primary(void)
{
    struct cluster c;
    begin(&c, 2);
    struct outcome outcome;
    char arguments[256];
    snprintf(arguments, sizeof(arguments), "--primary %s replication-test", responder_endpoint(c.node[0]));
    outcome = run_with("", arguments);
    expect(&outcome, 1, "no replica: give --replica H:P");
    responder_order(c.node[1], (struct responder_orders){.down = true});
    expect_run(&c, "replication-test", 1, "nothing listens");
    responder_order(c.node[1], (struct responder_orders){0});
    set_role(&c, 0, MODE_REPLICA, 7);
    expect_run(&c, "replication-test --timeout 500", 1, "write 1: this node does not accept writes");
    finish(&c);
}

/* ---- config-test ---- */

static void expect_wrong(const struct cluster *c, const char *says)
{
    struct outcome outcome = run(c, "--timeout 5000 config-test");
    expect(&outcome, 1, says);
}

static void test_a_right_configuration_is_ok(void)
{
    struct cluster c;
    begin(&c, 3);
    expect_run(&c, "config-test", 0, "config-test: 3 endpoints, 0 wrong\n");
    expect_run(&c, "config-test -j", 0, "{\"ok\":true,");
    finish(&c);
    begin(&c, 1);
    set_role(&c, 0, MODE_STANDALONE, 1);
    expect_run(&c, "config-test", 0, "ok: standalone, serving, epoch 1, lsn 0\n");
    finish(&c);
}

static void test_wrong_roles_are_named(void)
{
    struct cluster c;
    begin(&c, 3);
    set_role(&c, 0, MODE_REPLICA, 7);
    expect_wrong(&c, "WRONG: wrong mode: it is a replica, but configured as primary\n");
    set_role(&c, 0, MODE_STANDALONE, 7);
    expect_wrong(&c, "WRONG: wrong mode: it is standalone, which has no replicas\n");
    set_role(&c, 0, MODE_PRIMARY, 7);
    set_role(&c, 1, MODE_PRIMARY, 7);
    expect_wrong(&c, "WRONG: wrong mode: it is a primary, but configured as replica\n");
    set_role(&c, 1, MODE_STANDALONE, 7);
    expect_wrong(&c, "WRONG: wrong mode: it is standalone, with data of its own\n");
    struct responder_role other = role_of(1, MODE_REPLICA, 7);
    other.cluster = 9;
    responder_role(c.node[1], &other);
    expect_wrong(&c, "WRONG: another cluster: its id is not that of 127.0.0.1:");
    set_role(&c, 1, MODE_REPLICA, 6);
    expect_wrong(&c, "WRONG: its epoch 6 is behind: another node has 7\n");
    struct responder_role catching_up = role_of(1, MODE_REPLICA, 7);
    catching_up.state = STATE_CATCHING_UP;
    responder_role(c.node[1], &catching_up);
    expect_wrong(&c, "WRONG: does not serve: catching up\n");
    struct responder_role twin = role_of(2, MODE_REPLICA, 7);
    responder_role(c.node[1], &twin);
    expect_wrong(&c, "WRONG: the same node as 127.0.0.1:");
    set_role(&c, 1, MODE_REPLICA, 7);
    expect_run(&c, "config-test", 0, ", 0 wrong\n");
    finish(&c);
}

/* A listener that says something to whoever connects; it takes connections until it is closed. */
static int listen_as(uint16_t *port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(any);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(fd >= 0 && bind(fd, (struct sockaddr *)&any, bytes) == 0 && listen(fd, 8) == 0 &&
                    getsockname(fd, (struct sockaddr *)&any, &bytes) == 0);
    *port = ntohs(any.sin_port);
    return fd;
}

struct stranger {
    int fd;
    const char *says;
};

static void *be_a_stranger(void *argument)
{
    const struct stranger *stranger = argument;
    for (int fd; (fd = accept(stranger->fd, NULL, NULL)) >= 0; close(fd)) {
        char request[512];
        (void)!recv(fd, request, sizeof(request), 0);
        (void)!send(fd, stranger->says, strlen(stranger->says), MSG_NOSIGNAL);
    }
    return NULL;
}

static void meet(const char *stranger_says, const char *config_test_says)
{
    struct cluster c;
    struct stranger stranger = {.says = stranger_says};
    pthread_t thread;
    uint16_t port;
    char arguments[256];
    begin(&c, 1);
    stranger.fd = listen_as(&port);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, be_a_stranger, &stranger), 0);
    snprintf(arguments, sizeof(arguments), "--timeout 1000 --primary %s --replica 127.0.0.1:%u config-test",
             responder_endpoint(c.node[0]), port);
    struct outcome outcome = run_with("", arguments);
    expect(&outcome, 1, config_test_says);
    shutdown(stranger.fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(stranger.fd);
    finish(&c);
}

static void test_strangers_are_told_from_nodes(void)
{
    meet("SSH-2.0-Nonsense\r\n", "WRONG: not WILD: it says \"SSH-2.0-Nonsense\"\n");
    meet("HTTP/1.1 200 OK\r\n\r\n{\"mode\":\"replica\",\"state\":\"serving\"}\n",
         "WRONG: a WILD node that does not take our secret: it or the cluster name differs\n");
    meet("", "ended the handshake: the secret or cluster name differs");
}

static void test_what_cannot_be_reached_is_named(void)
{
    struct cluster c;
    struct outcome outcome;
    begin(&c, 2);
    responder_order(c.node[1], (struct responder_orders){.down = true});
    expect_wrong(&c, "nothing listens on that port\n");
    responder_order(c.node[1], (struct responder_orders){.silent = true});
    expect_run(&c, "--timeout 200 config-test", 1, "node down, or the secret or cluster name differs\n");
    outcome = run_with("", "--primary no-such-host.invalid:7878 --replica 127.0.0.1:1 config-test");
    expect(&outcome, 1, "WRONG: cannot resolve no-such-host.invalid:7878");
    expect(&outcome, 1, "config-test: 2 endpoints, 2 wrong\n");
    char arguments[256];
    snprintf(arguments, sizeof(arguments), "--primary %s --auth-secret %s1 config-test",
             responder_endpoint(c.node[0]), "another-passphrase-");
    outcome = run_with("", arguments);
    expect(&outcome, 1, "the secret or cluster name differs");
    finish(&c);
}

/* ---- where options come from ---- */

static void write_config(char path[40], const char *text)
{
    strcpy(path, "/tmp/wild-test-config-XXXXXX");
    int fd = mkstemp(path);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void test_a_file_the_environment_and_the_command_line(void)
{
    struct cluster c;
    char path[40], text[512], environment[512], arguments[512];
    begin(&c, 3);
    snprintf(text, sizeof(text),
             "# nodes\nprimary = %s\nreplica = %s\nreplica = %s,weight=3\nread-preference = replica\n",
             responder_endpoint(c.node[0]), responder_endpoint(c.node[1]), responder_endpoint(c.node[2]));
    write_config(path, text);
    snprintf(arguments, sizeof(arguments), "--config %s stats", path);
    struct outcome outcome = run_with("", arguments);
    expect(&outcome, 0, "weight 3\n");
    expect(&outcome, 0, "requests 45\n"); /* 20 reads a node, one to three */
    snprintf(environment, sizeof(environment), "WILD_CONFIG=%s", path);
    outcome = run_with(environment, "health");
    expect(&outcome, 0, "3 of 3");
    /* the environment's nodes replace the file's */
    snprintf(environment, sizeof(environment),
             "WILD_CONFIG=%s WILD_PRIMARY=%s WILD_REPLICAS='%s %s,weight=2'", path,
             responder_endpoint(c.node[0]), responder_endpoint(c.node[1]), responder_endpoint(c.node[2]));
    outcome = run_with(environment, "stats");
    expect(&outcome, 0, "weight 2\n");
    /* and the command line's both */
    snprintf(arguments, sizeof(arguments), "health --endpoint %s", responder_endpoint(c.node[2]));
    outcome = run_with(environment, arguments);
    expect(&outcome, 0, "mode replica\n");
    unlink(path);
    finish(&c);
}

static void test_a_wrong_file_is_one_line(void)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"auth-secret = x\n", "a secret does not stand in here"},
        {"seconds = 5\n", "unknown option \"seconds\""},
        {"config = x\n", "unknown option \"config\""},
        {"[nodes]\nprimary = a:1\n", "there are no sections"},
        {"sealed = yes\n", "sealed is true, or not there"},
        {"timeout = 0\n", "--timeout takes a number"},
        {"replica = a:1,weight=0\n", "H:P,weight=N"},
        {"replica = a:1,heavy\n", "H:P,weight=N"},
        {"nonsense\n", "line 1 is not"},
    };
    char path[40], arguments[128];
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        write_config(path, wrong[i].text);
        snprintf(arguments, sizeof(arguments), "--config %s get k", path);
        struct outcome outcome = run_with("", arguments);
        expect(&outcome, 2, wrong[i].says);
        CU_ASSERT_PTR_EQUAL(strchr(outcome.text, '\n'), outcome.text + strlen(outcome.text) - 1);
        unlink(path);
    }
    struct outcome outcome = run_with("", "--config /nonexistent get k");
    expect(&outcome, 2, "/nonexistent: No such file");
}

static void test_contradictions_are_usage_errors(void)
{
    static const char *const wrong[] = {
        "--endpoint a:1 --primary b:1 get k", "--replica b:1 --endpoint a:1 get k",
        "--endpoint a:1 replication-test",    "--read-preference fastest get k",
        "--replica a:1,weight=1001 get k",    "--writes 5 load-test",
        "--writes 0 replication-test",        "--bytes 15 replication-test",
        "--seconds 5 replication-test",       "--max-connections-per-endpoint 0 get k",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct outcome outcome = run_with("", wrong[i]);
        expect(&outcome, 2, "see --help\n");
    }
    struct outcome outcome = run_with("WILD_AUTH_SECRET_FILE=x", "get k");
    expect(&outcome, 2, "give one of WILD_AUTH_SECRET and WILD_AUTH_SECRET_FILE");
    outcome = run_with("", "--primary a:b:c: get k");
    expect(&outcome, 1, "primary \"a:b:c:\" is not HOST:PORT");
}

static void test_every_command_has_help(void)
{
    static const char *const commands[] = {
        "get",       "set",    "delete",           "incr",        "touch", "flush",
        "load-test", "verify", "replication-test", "config-test", "stats", "health"};
    struct outcome outcome = run_with("", "--help");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        char arguments[64], says[64];
        snprintf(arguments, sizeof(arguments), "%s --help", commands[i]);
        snprintf(says, sizeof(says), "usage: wild-client-example [OPTION]... %s", commands[i]);
        struct outcome help = run_with("", arguments);
        expect(&help, 0, says);
        snprintf(says, sizeof(says), "  %s", commands[i]);
        expect(&outcome, 0, says);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    program = argv[1];
    CU_TestInfo tests[] = {
        {"requests go through the router", test_requests_go_through_the_router},
        {"health is a table and an exit code", test_health_is_a_table_and_an_exit_code},
        {"stats have figures of every node", test_stats_have_figures_of_every_node},
        {"a load test reads replicas and verifies", test_a_load_test_reads_replicas_and_verifies},
        {"a journal through the router holds at every node",
         test_a_journal_through_the_router_holds_at_every_node},
        {"replication that is right", test_replication_that_is_right},
        {"replication that is not", test_replication_that_is_not},
        {"replication needs replicas and a primary", test_replication_needs_replicas_and_a_primary},
        {"a right configuration is ok", test_a_right_configuration_is_ok},
        {"wrong roles are named", test_wrong_roles_are_named},
        {"strangers are told from nodes", test_strangers_are_told_from_nodes},
        {"what cannot be reached is named", test_what_cannot_be_reached_is_named},
        {"a file, the environment and the command line", test_a_file_the_environment_and_the_command_line},
        {"a wrong file is one line", test_a_wrong_file_is_one_line},
        {"contradictions are usage errors", test_contradictions_are_usage_errors},
        {"every command has help", test_every_command_has_help},
        CU_TEST_INFO_NULL,
    };
    return suite_run("client_example_nodes", tests);
}
