/*
 * test_client_example.c - wild-client-example as a script sees it: output, exit codes, secrets that do not
 * show. argv[1] is the program, argv[2] the transport: tcp or udp.
 */
#include <stdio.h>
#include <stdlib.h>
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
                                        "load-test --get-percent 101"};
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
        {"a node that does not answer is one line", test_a_node_that_does_not_answer_is_one_line},
        CU_TEST_INFO_NULL,
    };
    return suite_run("client_example", tests);
}
