/*
 * bench_failover - how long there is nobody to write to: three nodes with a log each, the program itself over kernel sockets on
 * loopback, --min-replicas 1. The primary is killed, `wildctl promote` is typed for a replica, and a client tries to write there.
 *
 *   promote_to_first_write   seconds from the start of `wildctl promote` to the first acknowledged write; median of rounds
 *
 *   bench_failover [FOLDER]  where the logs are kept (default /var/tmp); a folder is made and removed
 */
#include <errno.h>
#include <ftw.h>
#include <libgen.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench_window.h"
#include "wild.h"

enum { NODES = 3, ROUNDS = 7, WRITES = 200, TRIES_MAX = 3000 };

static const char secret[] = "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

static struct member {
    pid_t pid;
    char name[8], port[8], replication_port[8], log[320], control[320];
} member[NODES];

static char base[256], wild[512], wildctl[512];

static void end_all(void)
{
    for (unsigned i = 0; i < NODES; i++)
        if (member[i].pid > 0)
            kill(member[i].pid, SIGKILL);
}

static void must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "bench_failover: %s: %s\n", what, strerror(errno));
    end_all();
    exit(1);
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void pause_ms(unsigned ms)
{
    struct timespec time = {.tv_nsec = ms * 1000000L};

    nanosleep(&time, NULL);
}

/* ---- nodes ---- */

static void run_node(const struct member *own, const char *leads_port)
{
    const char *arguments[32] = {wild,
                                 "--nic",
                                 "kernel",
                                 "--port",
                                 own->port,
                                 "--replication-port",
                                 own->replication_port,
                                 "--workers",
                                 "1",
                                 "--capacity",
                                 "20000",
                                 "--enable-wal",
                                 "--wal-path",
                                 own->log,
                                 "--control-socket",
                                 own->control,
                                 "--min-replicas",
                                 "1",
                                 "--log-level",
                                 "error",
                                 "--mode",
                                 leads_port == NULL ? "primary" : "replica"};
    unsigned count = 22;

    if (leads_port != NULL) {
        arguments[count++] = "--primary-address";
        arguments[count++] = "127.0.0.1";
        arguments[count++] = "--primary-port";
        arguments[count++] = leads_port;
    }
    setenv("WILD_AUTH_SECRET", secret, 1);
    setenv("WILD_REPLICA_ID", own->name, 1);
    if (freopen("/dev/null", "w", stdout) != NULL)
        execv(wild, (char *const *)(uintptr_t)arguments);
    _exit(127);
}

static void start(struct member *own, const struct member *leads)
{
    fflush(stdout);
    own->pid = fork();
    must(own->pid >= 0, "fork");
    if (own->pid == 0)
        run_node(own, leads == NULL ? NULL : leads->replication_port);
}

/* Its output, or what there is room for; the exit code. */
static int ask(const struct member *node, const char *command, char *text, size_t text_bytes)
{
    char line[1024];
    FILE *output;
    size_t length;
    int status;

    snprintf(line, sizeof line, "'%s' -s '%s' %s 2>&1", wildctl, node->control, command);
    output = popen(line, "re");
    must(output != NULL, "popen");
    length = fread(text, 1, text_bytes - 1, output);
    text[length] = '\0';
    status = pclose(output);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static unsigned occurrences(const char *text, const char *word)
{
    unsigned count = 0;

    while ((text = strstr(text, word)) != NULL) {
        text += strlen(word);
        count++;
    }
    return count;
}

/* All three are members, and the two others follow closely. */
static void wait_whole(const struct member *leads)
{
    char members[4096] = "", replicas[4096] = "";

    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        if (ask(leads, "members", members, sizeof members) == 0 && occurrences(members, " stays ") == NODES &&
            ask(leads, "replicas", replicas, sizeof replicas) == 0 &&
            occurrences(replicas, " streaming ") == NODES - 1)
            return;
        pause_ms(20);
    }
    fprintf(stderr, "%s%s", members, replicas);
    must(false, "the cluster does not become whole");
}

/* ---- rounds ---- */

static struct wild_client *connect_client(const struct member *node, char error[WILD_ERROR_BYTES])
{
    char endpoint[32];
    struct wild_options options = {
        .endpoint = endpoint, .secret = secret, .transport = WILD_TRANSPORT_TCP, .timeout_ms = 1000};

    snprintf(endpoint, sizeof endpoint, "127.0.0.1:%s", node->port);
    return wild_connect(&options, error);
}

static struct wild_client *client_of(const struct member *node)
{
    char error[WILD_ERROR_BYTES] = "";
    struct wild_client *client;

    for (unsigned tries = 0; (client = connect_client(node, error)) == NULL; tries++) {
        if (tries == TRIES_MAX)
            fprintf(stderr, "%s\n", error);
        must(tries < TRIES_MAX, "no client");
        pause_ms(5);
    }
    return client;
}

static void write_some(struct wild_client *client)
{
    unsigned tries = 0;

    for (uint64_t key = 0; key < WRITES; key++)
        while (wild_set(client, &key, sizeof key, "value", 5, NULL, NULL) != WILD_OK) {
            must(++tries < TRIES_MAX, "no write is taken");
            pause_ms(5);
        }
}

/* Seconds until `next` has acknowledged a write. */
static double take_over(struct member *leads, const struct member *next)
{
    struct wild_client *client = client_of(leads), *to_next = client_of(next);
    uint64_t key = 0;
    char told[1024];

    write_some(client);
    wild_close(client);
    pause_ms(200); /* what the one has acknowledged, the other has by then, too */
    must(kill(leads->pid, SIGKILL) == 0 && waitpid(leads->pid, NULL, 0) == leads->pid, "kill");
    leads->pid = 0;
    double begin = now_s();
    int failed = ask(next, "promote", told, sizeof told);
    if (failed != 0)
        fprintf(stderr, "%s", told);
    must(failed == 0, "promote");
    for (unsigned tries = 0; wild_set(to_next, &key, sizeof key, "first", 5, NULL, NULL) != WILD_OK;
         tries++) {
        must(tries < TRIES_MAX, "no write after the promotion");
        pause_ms(1);
    }
    double took = now_s() - begin;
    wild_close(to_next);
    return took;
}

static void name_members(void)
{
    int fd[2 * NODES];

    for (unsigned i = 0; i < 2 * NODES; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t length = sizeof address;
        struct member *own = &member[i / 2];

        fd[i] = socket(AF_INET, SOCK_STREAM, 0);
        must(fd[i] >= 0 && bind(fd[i], (struct sockaddr *)&address, length) == 0 &&
                 getsockname(fd[i], (struct sockaddr *)&address, &length) == 0,
             "a free port");
        snprintf(i % 2 == 0 ? own->port : own->replication_port, sizeof own->port, "%u",
                 ntohs(address.sin_port));
        snprintf(own->name, sizeof own->name, "node%u", i / 2);
        snprintf(own->log, sizeof own->log, "%s/node%u.wal", base, i / 2);
        snprintf(own->control, sizeof own->control, "%s/node%u", base, i / 2);
    }
    for (unsigned i = 0; i < 2 * NODES; i++)
        close(fd[i]);
}

static int remove_one(const char *path, const struct stat *facts, int type, struct FTW *where)
{
    (void)facts, (void)type, (void)where;
    return remove(path);
}

int main(int argc, char **argv)
{
    char own[400] = "";
    double seconds[ROUNDS];

    must(readlink("/proc/self/exe", own, sizeof own - 1) > 0, "where this program is");
    const char *folder = dirname(own);
    snprintf(wild, sizeof wild, "%s/../../app/wild", folder);
    snprintf(wildctl, sizeof wildctl, "%s/../../tools/wildctl", folder);
    must(access(wild, X_OK) == 0, wild);
    must(access(wildctl, X_OK) == 0, wildctl);
    snprintf(base, sizeof base, "%s/bench-failover-XXXXXX", argc > 1 ? argv[1] : "/var/tmp");
    must(mkdtemp(base) != NULL, base);
    name_members();
    for (unsigned i = 0; i < NODES; i++)
        start(&member[i], i == 0 ? NULL : &member[0]);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct member *leads = &member[round % NODES], *next = &member[(round + 1) % NODES];
        wait_whole(leads);
        seconds[round] = take_over(leads, next);
        printf("# %s is killed, %s promoted: first write after %.0f ms\n", leads->name, next->name,
               1e3 * seconds[round]);
        start(leads, next);
    }
    for (unsigned i = 0; i < NODES; i++)
        must(kill(member[i].pid, SIGTERM) == 0 && waitpid(member[i].pid, NULL, 0) == member[i].pid, "stop");
    nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    bench_print("promote_to_first_write", bench_quantile(seconds, ROUNDS, 0.5), 1);
    return 0;
}
