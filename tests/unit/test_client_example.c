/*
 * test_client_example.c - wild-client-example as a script sees it: output, exit codes, secrets that do not
 * show. argv[1] is the program, argv[2] the transport: tcp or udp.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client_responder.h"
#include "suite.h"

#define SECRET "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* set once, before the tests */
static const char *program;
static bool stream;

struct outcome {
    int exit_code;
    char text[8192]; /* stdout, or stderr if asked for */
};

/* TCP is the default, so nothing needs to be said for it. */
static const char *transport(const struct responder *node)
{
    return node == NULL || responder_is_stream(node) ? "" : "--transport udp";
}

/* Runs `wild-client-example --endpoint NODE ARGUMENTS` with the secret in its environment. */
static struct outcome run_with(const struct responder *node, const char *arguments, const char *redirect)
{
    struct outcome outcome = {0};
    char command[1024];
    snprintf(command, sizeof(command), "WILD_AUTH_SECRET=%s %s %s --endpoint %s %s %s", SECRET, program,
             transport(node), node != NULL ? responder_endpoint(node) : "127.0.0.1:1", arguments, redirect);
    FILE *pipe = popen(command, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(pipe);
    size_t length = fread(outcome.text, 1, sizeof(outcome.text) - 1, pipe);
    outcome.text[length] = '\0';
    int status = pclose(pipe);
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
}

static struct outcome run(const struct responder *node, const char *arguments)
{
    return run_with(node, arguments, "2>/dev/null");
}

static struct outcome run_stderr(const struct responder *node, const char *arguments)
{
    return run_with(node, arguments, "2>&1 >/dev/null");
}

static void expect(const struct responder *node, const char *arguments, int exit_code, const char *output)
{
    struct outcome outcome = run(node, arguments);
    if (outcome.exit_code != exit_code || strcmp(outcome.text, output) != 0)
        fprintf(stderr, "%s: exit %d, \"%s\"\n", arguments, outcome.exit_code, outcome.text);
    CU_ASSERT_EQUAL(outcome.exit_code, exit_code);
    CU_ASSERT_STRING_EQUAL(outcome.text, output);
}

static struct responder *start(void)
{
    struct responder *node =
        stream ? responder_start_stream(SECRET, "127.0.0.1") : responder_start(SECRET, "127.0.0.1");
    CU_ASSERT_PTR_NOT_NULL_FATAL(node);
    return node;
}

static void test_commands_print_what_scripts_expect(void)
{
    struct responder *node = start();
    expect(node, "get k", 1, "");
    expect(node, "set k v", 0, "OK\n");
    expect(node, "get k", 0, "v\n");
    expect(node, "set k w --if-absent", 1, "");
    expect(node, "get k", 0, "v\n");
    expect(node, "set --ttl-ms 100000 k 'two words'", 0, "OK\n");
    expect(node, "get k", 0, "two words\n");
    expect(node, "touch k 5000", 0, "OK\n");
    expect(node, "delete k", 0, "OK\n");
    expect(node, "delete k", 1, "");
    expect(node, "touch k 5000", 1, "");
    expect(node, "incr n", 0, "1\n");
    expect(node, "incr n 41", 0, "42\n");
    expect(node, "incr n -50", 0, "-8\n");
    expect(node, "set -- -k -v", 0, "OK\n");
    expect(node, "get -- -k", 0, "-v\n");
    expect(node, "flush", 0, "OK\n");
    expect(node, "get n", 1, "");
    expect(node, stream ? "--sealed --transport=tcp set k v" : "--sealed --transport=udp set k v", 0, "OK\n");
    CU_ASSERT_PTR_NOT_NULL(strstr(run_stderr(node, "get absent").text, "no such key"));
    struct outcome health = run(node, "health");
    CU_ASSERT_EQUAL(health.exit_code, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(health.text, "state serving\n"));
    responder_stop(node);
}

static void test_json_is_one_object(void)
{
    struct responder *node = start();
    struct outcome outcome = run(node, "-j set k v");
    CU_ASSERT_EQUAL(outcome.exit_code, 0);
    outcome = run(node, "get k -j");
    CU_ASSERT_EQUAL(outcome.exit_code, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(outcome.text, "\"value\":\"v\""));
    CU_ASSERT_EQUAL(outcome.text[0], '{');
    CU_ASSERT_EQUAL(strchr(outcome.text, '\n'), outcome.text + strlen(outcome.text) - 1);
    outcome = run(node, "-j get absent");
    CU_ASSERT_EQUAL(outcome.exit_code, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(outcome.text, "\"ok\":false"));
    outcome = run(node, "-j set b \"$(printf '\\377\\001')\"");
    CU_ASSERT_EQUAL(outcome.exit_code, 0);
    outcome = run(node, "-j get b");
    CU_ASSERT_PTR_NOT_NULL(strstr(outcome.text, "\"value_hex\":\"ff01\""));
    outcome = run(node, "-j incr n 7");
    CU_ASSERT_PTR_NOT_NULL(strstr(outcome.text, "\"integer\":7"));
    outcome = run(node, "-j health");
    CU_ASSERT_PTR_NOT_NULL(strstr(outcome.text, "\"epoch\":7"));
    responder_stop(node);
}

static void test_wrong_usage_exits_2_with_one_line(void)
{
    static const char *const wrong[] = {"",
                                        "frobnicate",
                                        "get",
                                        "get a b",
                                        "set k",
                                        "set a b c",
                                        "incr n x",
                                        "incr n 99999999999999999999",
                                        "touch k x",
                                        "get k --seconds 1",
                                        "delete k --ttl-ms 5",
                                        "--frobnicate get k",
                                        "get k --endpoint",
                                        "--transport carrier-pigeon get k",
                                        "--timeout 0 get k",
                                        "--json=1 get k",
                                        "--auth-secret a --insecure-no-auth get k",
                                        "--auth-secret a --auth-secret-file b get k",
                                        "load-test --seconds 0",
                                        "load-test --pipeline 129",
                                        "load-test --value-size 1025",
                                        "load-test --get-percent 101",
                                        "load-test --delete-percent 101",
                                        "load-test --ttl-ms 99999999999999",
                                        "verify",
                                        "get k --journal f"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct outcome outcome = run_stderr(NULL, wrong[i]);
        if (outcome.exit_code != 2)
            fprintf(stderr, "%s: exit %d\n", wrong[i], outcome.exit_code);
        CU_ASSERT_EQUAL(outcome.exit_code, 2);
        CU_ASSERT_EQUAL(strchr(outcome.text, '\n'), outcome.text + strlen(outcome.text) - 1);
        CU_ASSERT_PTR_NULL(strstr(outcome.text, SECRET));
    }
    CU_ASSERT_EQUAL(run(NULL, "--help").exit_code, 0);
}

static void test_a_secret_comes_from_a_private_file(void)
{
    struct responder *node = start();
    char path[] = "/tmp/wild-test-secret-XXXXXX", arguments[128];
    int fd = mkstemp(path);
    CU_ASSERT_FATAL(fd >= 0 && write(fd, SECRET "\n", sizeof(SECRET)) == sizeof(SECRET));
    snprintf(arguments, sizeof(arguments), "--auth-secret-file %s get k", path);
    CU_ASSERT_EQUAL(run(node, arguments).exit_code, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(run_stderr(node, arguments).text, "no such key"));
    CU_ASSERT_EQUAL(fchmod(fd, 0644), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(run_stderr(node, arguments).text, path));
    close(fd);
    unlink(path);
    responder_stop(node);
}

/* While the program runs, neither its arguments nor its environment hold the secret. */
static void test_the_secret_is_gone_from_arguments_and_environment(void)
{
    struct responder *node = start();
    char command[2048], text[64] = "";
    snprintf(command, sizeof(command),
             "{ WILD_AUTH_SECRET=%s %s %s --endpoint %s --auth-secret %s load-test --seconds 1 --keys 8"
             " --connections 1 >/dev/null & } 2>/dev/null; pid=$!;"
             " for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.05;"
             " tr '\\0' ' ' </proc/$pid/cmdline | grep -q load-test && break; done;"
             " cat /proc/$pid/cmdline /proc/$pid/environ | tr '\\0' ' ' | grep -c %s; wait $pid",
             SECRET, program, transport(node), responder_endpoint(node), SECRET, SECRET);
    FILE *pipe = popen(command, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(pipe);
    CU_ASSERT_PTR_NOT_NULL(fgets(text, sizeof(text), pipe));
    CU_ASSERT_STRING_EQUAL(text, "0\n");
    CU_ASSERT_EQUAL(pclose(pipe), 0);
    responder_stop(node);
}

static void test_a_load_test_ends_in_its_figures(void)
{
    struct responder *node = start();
    unsigned long long n[8];
    int end = 0;
    struct outcome outcome = run(
        node,
        "load-test --seconds 1 --keys 200 --value-size 100 --get-percent 60 --connections 1 --pipeline 8");
    CU_ASSERT_EQUAL(outcome.exit_code, 0);
    CU_ASSERT_EQUAL(
        sscanf(outcome.text,
               "load-test: %llu operations, %llu errors, %llu mismatches, %llu ops/s, p50 %llu us, "
               "p99 %llu us, p99.9 %llu us, max %llu us\n%n",
               &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7], &end),
        8);
    CU_ASSERT_EQUAL((size_t)end, strlen(outcome.text));
    CU_ASSERT(n[0] > 0 && n[1] == 0 && n[2] == 0 && n[3] > 0);
    CU_ASSERT(n[4] <= n[5] && n[5] <= n[6] && n[6] <= n[7]);
    responder_stop(node);
}

static void test_a_load_test_finds_wrong_values(void)
{
    struct responder *node = start();
    responder_order(node, (struct responder_orders){.wrong_values = 3});
    struct outcome outcome = run(node, "load-test --seconds 1 --keys 20 --connections 1");
    CU_ASSERT_EQUAL(outcome.exit_code, 1);
    unsigned long long operations, errors, mismatches = 0;
    CU_ASSERT_EQUAL(sscanf(outcome.text, "load-test: %llu operations, %llu errors, %llu mismatches,",
                           &operations, &errors, &mismatches),
                    3);
    /* fewer only if a damaged answer came second, to an operation that had been sent again */
    CU_ASSERT(mismatches >= 1 && mismatches <= 3);
    responder_stop(node);
}

static void test_a_load_test_counts_errors(void)
{
    struct responder *node = start();
    responder_order(node, (struct responder_orders){.busy = 50});
    struct outcome outcome = run(node, "load-test -j --seconds 1 --keys 20 --connections 1");
    CU_ASSERT_EQUAL(outcome.exit_code, 0); /* BUSY passes, and was tried again */
    CU_ASSERT_PTR_NOT_NULL(strstr(outcome.text, "\"errors\":0,\"mismatches\":0,"));
    responder_order(node, (struct responder_orders){.busy = 1000000000});
    outcome = run_stderr(node, "load-test --timeout 50 --seconds 1 --keys 20 --connections 1");
    CU_ASSERT_EQUAL(outcome.exit_code, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(outcome.text, "cannot store 20 keys: not executed"));
    responder_stop(node);
}

/* ---- journals ---- */

struct journal_file {
    char path[40], arguments[256];
};

static struct journal_file journal_new(void)
{
    struct journal_file journal = {.path = "/tmp/wild-test-journal-XXXXXX"};
    int fd = mkstemp(journal.path);
    CU_ASSERT_FATAL(fd >= 0);
    close(fd);
    return journal;
}

static struct outcome load_with(const struct responder *node, struct journal_file *journal,
                                const char *arguments)
{
    snprintf(journal->arguments, sizeof(journal->arguments), "load-test --journal %s %s", journal->path,
             arguments);
    return run(node, journal->arguments);
}

static void expect_verdict(const struct responder *node, struct journal_file *journal, int exit_code,
                           const char *last_line)
{
    snprintf(journal->arguments, sizeof(journal->arguments), "verify --journal %s", journal->path);
    expect(node, journal->arguments, exit_code, last_line);
}

/* What sed makes of the journal. */
static void edit(const struct journal_file *journal, const char *script)
{
    char command[256];
    snprintf(command, sizeof(command), "sed -i %s %s", script, journal->path);
    CU_ASSERT_EQUAL(system(command), 0);
}

static unsigned lines_with(const struct journal_file *journal, const char *word)
{
    FILE *file = fopen(journal->path, "r");
    char line[256];
    unsigned n = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while (fgets(line, sizeof(line), file) != NULL)
        n += strncmp(line, word, strlen(word)) == 0;
    fclose(file);
    return n;
}

static const char usual_load[] =
    "--seconds 1 --keys 200 --connections 1 --pipeline 8 --get-percent 30 --delete-percent 20 --ttl-ms 600000";

static void test_a_node_that_keeps_what_it_acknowledged_is_verified(void)
{
    struct responder *node = start();
    struct journal_file journal = journal_new();
    CU_ASSERT_EQUAL(load_with(node, &journal, usual_load).exit_code, 0);
    CU_ASSERT(lines_with(&journal, "delete ") > 0);
    CU_ASSERT_EQUAL(lines_with(&journal, "set ") + lines_with(&journal, "delete "),
                    lines_with(&journal, "ok "));
    expect_verdict(node, &journal, 0, "verify: 200 keys, 0 lost, 0 wrong\n");
    /* a second load test appends, other keys and other sizes */
    CU_ASSERT_EQUAL(
        load_with(node, &journal, "--seconds 1 --keys 300 --value-size 100 --connections 1").exit_code, 0);
    CU_ASSERT_EQUAL(lines_with(&journal, "#"), 1);
    expect_verdict(node, &journal, 0, "verify: 300 keys, 0 lost, 0 wrong\n");
    snprintf(journal.arguments, sizeof(journal.arguments), "-j verify --journal %s", journal.path);
    expect(node, journal.arguments, 0, "{\"keys\":300,\"lost\":0,\"wrong\":0}\n");
    unlink(journal.path);
    responder_stop(node);
}

static void test_verify_finds_what_is_lost_and_what_is_wrong(void)
{
    struct responder *node = start();
    struct journal_file journal = journal_new();
    CU_ASSERT_EQUAL(
        load_with(node, &journal, "--seconds 1 --keys 200 --get-percent 50 --connections 1").exit_code, 0);
    expect(node, "delete load:00000000007", 0, "OK\n");
    expect_verdict(node, &journal, 1, "verify: 200 keys, 1 lost, 0 wrong\n");
    expect(node, "set load:00000000008 forged", 0, "OK\n");
    expect_verdict(node, &journal, 1, "verify: 200 keys, 1 lost, 1 wrong\n");
    /* under the version that was acknowledged, other bytes */
    responder_order(node, (struct responder_orders){.wrong_values = 10});
    unsigned wrong = 0;
    struct outcome outcome = run(node, journal.arguments);
    CU_ASSERT_EQUAL(outcome.exit_code, 1);
    CU_ASSERT_EQUAL(sscanf(outcome.text, "verify: 200 keys, 1 lost, %u wrong\n", &wrong), 1);
    /* fewer only if a damaged answer came second, to a read that had been sent again */
    CU_ASSERT(wrong >= 2 && wrong <= 11);
    responder_order(node, (struct responder_orders){0});
    /* acknowledged with a later version than the node has: it went back */
    edit(&journal, "-E 's/^(ok load:00000000009 .*) [0-9]+ -$/\\1 99999999999 -/'");
    expect_verdict(node, &journal, 1, "verify: 200 keys, 2 lost, 1 wrong\n");
    responder_restart(node); /* and now it has forgotten everything */
    expect_verdict(node, &journal, 1, "verify: 200 keys, 200 lost, 0 wrong\n");
    unlink(journal.path);
    responder_stop(node);
}

/* The node is gone, for good, while keys are stored first, or later. The test does not go on for its hour. */
static void test_a_load_test_outlives_its_node(void)
{
    static const unsigned requests[] = {20, 90};
    for (unsigned i = 0; i < 2; i++) {
        struct responder *node = start();
        struct journal_file journal = journal_new();
        unsigned long long operations, errors, mismatches;
        responder_order(node, (struct responder_orders){.silent_after = requests[i]});
        struct outcome outcome = load_with(
            node, &journal, "--seconds 3600 --timeout 300 --keys 50 --get-percent 0 --connections 1");
        CU_ASSERT_EQUAL(outcome.exit_code, 1);
        CU_ASSERT_EQUAL(sscanf(outcome.text, "load-test: %llu operations, %llu errors, %llu mismatches,",
                               &operations, &errors, &mismatches),
                        3);
        CU_ASSERT(errors > 0 && mismatches == 0);
        CU_ASSERT_EQUAL(lines_with(&journal, "unanswered "), errors);
        CU_ASSERT_EQUAL(lines_with(&journal, "set "), lines_with(&journal, "ok ") + errors);
        responder_order(node, (struct responder_orders){0});
        expect_verdict(node, &journal, 0,
                       i == 0 ? "verify: 32 keys, 0 lost, 0 wrong\n" : "verify: 50 keys, 0 lost, 0 wrong\n");
        unlink(journal.path);
        responder_stop(node);
    }
}

static void test_the_journal_of_a_load_test_that_was_killed_holds(void)
{
    struct responder *node = start();
    struct journal_file journal = journal_new();
    char command[1024];
    for (unsigned i = 0; i < 3; i++) {
        snprintf(
            command, sizeof(command),
            "WILD_AUTH_SECRET=%s timeout -s KILL 0.%u %s %s --endpoint %s load-test --journal %s --keys 40"
            " --seconds 3600 --get-percent 10 --delete-percent 10 --connections 1 2>/dev/null",
            SECRET, 4 + i, program, transport(node), responder_endpoint(node), journal.path);
        CU_ASSERT_NOT_EQUAL(system(command), 0);
        expect_verdict(node, &journal, 0, "verify: 40 keys, 0 lost, 0 wrong\n");
    }
    unlink(journal.path);
    responder_stop(node);
}

static void test_a_line_that_was_cut_off_does_not_count_and_a_damaged_one_does(void)
{
    struct responder *node = start();
    struct journal_file journal = journal_new();
    CU_ASSERT_EQUAL(load_with(node, &journal, "--seconds 1 --keys 20 --connections 1").exit_code, 0);
    FILE *file = fopen(journal.path, "a");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs("ok load:0000000", file);
    fclose(file);
    expect_verdict(node, &journal, 0, "verify: 20 keys, 0 lost, 0 wrong\n");
    CU_ASSERT_EQUAL(load_with(node, &journal, "--seconds 1 --keys 20 --connections 1").exit_code, 0);
    CU_ASSERT_EQUAL(lines_with(&journal, "ok load:0000000 (cut)\n"), 1);
    expect_verdict(node, &journal, 0, "verify: 20 keys, 0 lost, 0 wrong\n");
    edit(&journal, "'30s/load/lead/'");
    expect_verdict(node, &journal, 1, "");
    CU_ASSERT_PTR_NOT_NULL(
        strstr(run_stderr(node, journal.arguments).text, "line 30: not a line of a journal"));
    edit(&journal, "1d");
    CU_ASSERT_PTR_NOT_NULL(strstr(run_stderr(node, journal.arguments).text, "line 1: no journal"));
    unlink(journal.path);
    expect_verdict(node, &journal, 1, "");
    responder_stop(node);
}

static void test_one_load_test_at_a_time_writes_to_a_journal(void)
{
    struct responder *node = start();
    struct journal_file journal = journal_new();
    int fd = open(journal.path, O_RDWR);
    CU_ASSERT_FATAL(fd >= 0 && flock(fd, LOCK_EX) == 0);
    snprintf(journal.arguments, sizeof(journal.arguments), "load-test --seconds 1 --journal %s",
             journal.path);
    struct outcome outcome = run_stderr(node, journal.arguments);
    CU_ASSERT_EQUAL(outcome.exit_code, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(outcome.text, "another load test is writing to it"));
    close(fd);
    unlink(journal.path);
    /* what cannot be journalled is not sent */
    outcome = run_stderr(node, "load-test --connections 1 --seconds 1 --keys 20 --journal /dev/full");
    CU_ASSERT_EQUAL(outcome.exit_code, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(outcome.text, "No space left"));
    expect(node, "get load:00000000000", 1, "");
    responder_stop(node);
}

static void test_a_node_that_does_not_answer_is_one_line(void)
{
    static const char *const ways[] = {"--timeout 50 get k", "--timeout 50 --transport udp get k"};
    for (unsigned i = 0; i < 2; i++) {
        struct outcome outcome = run_stderr(NULL, ways[i]); /* nothing listens there */
        CU_ASSERT_EQUAL(outcome.exit_code, 1);
        CU_ASSERT_PTR_NOT_NULL(strstr(outcome.text, "no answer from 127.0.0.1:1"));
        CU_ASSERT_EQUAL(strchr(outcome.text, '\n'), outcome.text + strlen(outcome.text) - 1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    program = argv[1];
    stream = strcmp(argv[2], "tcp") == 0;
    CU_TestInfo tests[] = {
        {"commands print what scripts expect", test_commands_print_what_scripts_expect},
        {"JSON is one object", test_json_is_one_object},
        {"wrong usage exits 2 with one line", test_wrong_usage_exits_2_with_one_line},
        {"a secret comes from a private file", test_a_secret_comes_from_a_private_file},
        {"the secret is gone from arguments and environment",
         test_the_secret_is_gone_from_arguments_and_environment},
        {"a load test ends in its figures", test_a_load_test_ends_in_its_figures},
        {"a load test finds wrong values", test_a_load_test_finds_wrong_values},
        {"a load test counts errors", test_a_load_test_counts_errors},
        {"a node that keeps what it acknowledged is verified",
         test_a_node_that_keeps_what_it_acknowledged_is_verified},
        {"verify finds what is lost and what is wrong", test_verify_finds_what_is_lost_and_what_is_wrong},
        {"a load test outlives its node", test_a_load_test_outlives_its_node},
        {"the journal of a load test that was killed holds",
         test_the_journal_of_a_load_test_that_was_killed_holds},
        {"a line that was cut off does not count, and a damaged one does",
         test_a_line_that_was_cut_off_does_not_count_and_a_damaged_one_does},
        {"one load test at a time writes to a journal", test_one_load_test_at_a_time_writes_to_a_journal},
        {"a node that does not answer is one line", test_a_node_that_does_not_answer_is_one_line},
        CU_TEST_INFO_NULL,
    };
    return suite_run("client_example", tests);
}
