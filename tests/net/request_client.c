/*
 * request_client.c - the request tests over a kernel socket: the same table that the simulator runs.
 *
 *   request_client ADDRESS PORT SECRET-FILE    prints "ok NAME" or "not ok NAME: why" for each test
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "request_tests.h"

static void socket_send(void *state, const uint8_t *bytes, size_t length)
{
    /* A datagram that cannot be sent is a lost one. */
    if (send(*(int *)state, bytes, length, 0) < 0)
        perror("send");
}

static size_t socket_receive(void *state, uint8_t *out, size_t room, unsigned timeout_ms)
{
    struct pollfd wait = {.fd = *(int *)state, .events = POLLIN};
    ssize_t length;

    if (poll(&wait, 1, (int)timeout_ms) != 1)
        return 0;
    length = recv(wait.fd, out, room, 0);
    return length > 0 ? (size_t)length : 0;
}

static void socket_pass_time(void *state, unsigned ms)
{
    struct timespec nap = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)state;
    nanosleep(&nap, NULL);
}

static int open_socket(const char *address, const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
        connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        perror("socket");
        exit(2);
    }
    return fd;
}

static bool flush(struct test_client *client)
{
    struct operation operation = {.opcode = OPCODE_FLUSH};
    struct reply replies[TEST_CLIENT_OPERATIONS];

    return test_client_request(client, &operation, 1, replies) == 1 && replies[0].status == STATUS_OK;
}

int main(int argc, char **argv)
{
    char secret[SECRET_TEXT_BYTES_MAX + 1] = "", error[256];
    struct datagram_link link = {
        .send = socket_send, .receive = socket_receive, .pass_time = socket_pass_time};
    struct test_client client;
    int fd, failed = 0;

    if (argc != 4 || keys_start() != 0) {
        fprintf(stderr, "usage: request_client ADDRESS PORT SECRET-FILE\n");
        return 2;
    }
    if (keys_read_secret_file(argv[3], secret, error, sizeof error) < 0) {
        fprintf(stderr, "%s\n", error);
        return 2;
    }
    fd = open_socket(argv[1], argv[2]);
    link.state = &fd;
    if (!test_client_connect(&client, &link, secret, SUITE_ALL, random_system())) {
        fprintf(stderr, "no session\n");
        return 1;
    }
    for (unsigned i = 0; i < request_tests_count; i++) {
        const char *wrong = flush(&client) ? request_tests[i].run(&client) : "FLUSH was not answered";

        if (wrong == NULL)
            printf("ok %s\n", request_tests[i].name);
        else
            printf("not ok %s: not so: %s\n", request_tests[i].name, wrong);
        failed |= wrong != NULL;
    }
    test_client_close(&client);
    close(fd);
    return failed;
}
