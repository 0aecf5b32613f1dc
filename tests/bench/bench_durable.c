/*
 * bench_durable - the program itself with a log on a real disk, over UDP on loopback, one client.
 *
 *   durable_set_udp          a SET that is answered once it is on stable storage, one outstanding, divided by pwrite and
 *                            fdatasync of 4 KiB in the same folder; medians of turns of both
 *   start_full_table         seconds from a started environment (EAL) to the first reply, with a snapshot of a full table
 *                            of 32 MiB; median of starts
 *
 *   bench_durable [FOLDER]   where the device under test is mounted (default /var/tmp); a folder is made and removed
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "durable_set.h"
#include "wild.h"

enum { BLOCK = 4096, ROUNDS = 60, WRITES = 25, SPACE = ROUNDS * WRITES * BLOCK, STARTS = 5, LINE = 512 };
/* One-line items in 32 MiB: as `wild` counts them. */
enum { FULL_CAPACITY = 436904 };

static char base[256], program[512], port_text[8], capacity_text[16];
static _Alignas(BLOCK) uint8_t block[BLOCK];

static void must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "bench_durable: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* ---- the program ---- */

struct lines {
    int fd;
    char text[LINE * 8];
    size_t length;
};

static struct program {
    pid_t pid;
    struct lines out, err;
} wild;

static void start(const char *durability)
{
    char folder[300];
    int out[2], err[2];

    snprintf(folder, sizeof folder, "%s/log", base);
    must(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0, "pipe");
    wild = (struct program){.pid = fork(), .out = {.fd = out[0]}, .err = {.fd = err[0]}};
    must(wild.pid >= 0, "fork");
    if (wild.pid == 0) {
        char *arguments[] = {program,
                             (char *)"--nic",
                             (char *)"kernel",
                             (char *)"--bind-address",
                             (char *)"127.0.0.1",
                             (char *)"--port",
                             port_text,
                             (char *)"--workers",
                             (char *)"1",
                             (char *)"--insecure-no-auth",
                             (char *)"--capacity",
                             capacity_text,
                             (char *)"--enable-wal",
                             (char *)"--wal-path",
                             folder,
                             (char *)"--durability",
                             (char *)durability,
                             NULL};
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        execv(program, arguments);
        _exit(127);
    }
    close(out[1]);
    close(err[1]);
}

/* Waits for a line with that in it; when it came, in us. */
static double wait_line(struct lines *lines, const char *wanted)
{
    struct pollfd readable = {.fd = lines->fd, .events = POLLIN};
    char *found;

    while ((found = strstr(lines->text, wanted)) == NULL) {
        if (lines->length > sizeof lines->text / 2) { /* nobody asks for what is so old */
            memmove(lines->text, lines->text + LINE, lines->length - LINE + 1);
            lines->length -= LINE;
        }
        must(poll(&readable, 1, 60 * 1000) == 1, wanted);
        ssize_t got = read(lines->fd, lines->text + lines->length, LINE - 1);
        if (got <= 0)
            fprintf(stderr, "%s", wild.err.text);
        must(got > 0, wanted);
        lines->length += (size_t)got;
        lines->text[lines->length] = '\0';
    }
    return now_us();
}

static void stop(void)
{
    int status = 0;

    kill(wild.pid, SIGTERM);
    must(waitpid(wild.pid, &status, 0) == wild.pid && WIFEXITED(status) && WEXITSTATUS(status) == 0,
         "wild does not end well");
    close(wild.out.fd);
    close(wild.err.fd);
}

static struct wild_client *connect_client(void)
{
    char endpoint[32], error[WILD_ERROR_BYTES];
    struct wild_options options = {
        .endpoint = endpoint, .insecure_no_auth = true, .transport = WILD_TRANSPORT_UDP, .timeout_ms = 5000};

    snprintf(endpoint, sizeof endpoint, "127.0.0.1:%s", port_text);
    struct wild_client *client = wild_connect(&options, error);
    if (client == NULL)
        fprintf(stderr, "bench_durable: %s\n", error);
    must(client != NULL, "connect");
    return client;
}

static void choose_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    must(fd >= 0 && bind(fd, (struct sockaddr *)&address, length) == 0 &&
             getsockname(fd, (struct sockaddr *)&address, &length) == 0,
         "a free port");
    close(fd);
    snprintf(port_text, sizeof port_text, "%u", ntohs(address.sin_port));
}

/* ---- durable SETs ---- */

static int open_by_hand(void)
{
    char path[300];
    int fd;

    snprintf(path, sizeof path, "%s/raw", base);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600);
    must(fd >= 0 && unlink(path) == 0 && fallocate(fd, 0, 0, SPACE) == 0, path);
    for (int offset = 0; offset < SPACE; offset += BLOCK)
        must(pwrite(fd, block, BLOCK, offset) == BLOCK, "pwrite");
    must(fsync(fd) == 0, "fsync");
    return fd;
}

static void durable_sets(void)
{
    static double raw[ROUNDS * WRITES], set[ROUNDS * WRITES];
    unsigned count = 0;
    int fd = open_by_hand();

    start("sync");
    wait_line(&wild.out, "ready ");
    struct wild_client *client = connect_client();
    memset(block, 1, sizeof block);
    for (unsigned round = 0; round < ROUNDS; round++, count += WRITES) {
        for (unsigned i = 0; i < WRITES; i++) {
            double begin = now_us();
            must(pwrite(fd, block, BLOCK, (off_t)(count + i) * BLOCK) == BLOCK && fdatasync(fd) == 0,
                 "pwrite, fdatasync");
            raw[count + i] = now_us() - begin;
        }
        for (unsigned i = 0; i < WRITES; i++) {
            uint64_t key = count + i;
            double begin = now_us();
            must(wild_set(client, &key, sizeof key, block, 32, NULL, NULL) == WILD_OK, "SET");
            set[count + i] = now_us() - begin;
        }
    }
    wild_close(client);
    stop();
    close(fd);
    durable_set_print("durable_set_udp", raw, set, count);
}

/* ---- starts ---- */

static bool submit(struct wild_client *client, uint64_t key)
{
    struct wild_request request = {.operation = WILD_OP_SET,
                                   .key = &key,
                                   .key_length = sizeof key,
                                   .value = block,
                                   .value_length = 32,
                                   .tag = key};

    return wild_submit(client, &request) == WILD_OK;
}

static void fill(void)
{
    struct wild_client *client = connect_client();
    struct wild_result results[WILD_PIPELINE_MAX];
    uint64_t next = 0, done = 0;

    while (done < FULL_CAPACITY) {
        wild_batch_begin(client);
        while (next < FULL_CAPACITY && submit(client, next))
            next++;
        wild_batch_end(client);
        size_t count = wild_poll(client, results, WILD_PIPELINE_MAX, 1000);
        for (size_t i = 0; i < count; i++) {
            if (results[i].status == WILD_BUSY)
                must(submit(client, results[i].tag), "again");
            else
                must(results[i].status == WILD_OK, wild_status_text(results[i].status));
            done += results[i].status == WILD_OK;
        }
    }
    wild_close(client);
}

static void starts(void)
{
    static double seconds[STARTS];

    start("async");
    wait_line(&wild.out, "ready ");
    double begin = now_us();
    fill();
    printf("# %d items in %.1f s\n", FULL_CAPACITY, (now_us() - begin) / 1e6);
    kill(wild.pid, SIGUSR1);
    wait_line(&wild.err, "snapshot from lsn");
    stop();
    for (unsigned i = 0; i < STARTS; i++) {
        uint64_t key = FULL_CAPACITY - 1;
        double forked = now_us();
        start("sync");
        double environment = wait_line(&wild.err, ": log in "), ready = wait_line(&wild.out, "ready ");
        struct wild_client *client = connect_client();
        must(wild_get(client, &key, sizeof key, NULL) == WILD_OK, "GET");
        double answered = now_us();
        wild_close(client);
        stop();
        printf("# start: environment after %.0f ms, ready %.0f ms later, first reply %.1f ms after that\n",
               (environment - forked) / 1e3, (ready - environment) / 1e3, (answered - ready) / 1e3);
        seconds[i] = (answered - environment) / 1e6;
    }
    bench_print("start_full_table", bench_quantile(seconds, STARTS, 0.5), 1);
}

static void remove_folder(const char *path)
{
    char file[768];
    DIR *entries = opendir(path);
    const struct dirent *entry;

    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        unlink(file);
    }
    if (entries != NULL)
        closedir(entries);
    rmdir(path);
}

static void new_log(void)
{
    char folder[300];

    snprintf(folder, sizeof folder, "%s/log", base);
    remove_folder(folder);
}

int main(int argc, char **argv)
{
    char own[400] = "";

    must(readlink("/proc/self/exe", own, sizeof own - 1) > 0, "where this program is");
    snprintf(program, sizeof program, "%s/../../app/wild", dirname(own));
    must(access(program, X_OK) == 0, program);
    snprintf(base, sizeof base, "%s/bench-durable-XXXXXX", argc > 1 ? argv[1] : "/var/tmp");
    must(mkdtemp(base) != NULL, base);
    snprintf(capacity_text, sizeof capacity_text, "%d", FULL_CAPACITY);
    choose_port();
    durable_sets();
    new_log();
    starts();
    new_log();
    rmdir(base);
    return 0;
}
