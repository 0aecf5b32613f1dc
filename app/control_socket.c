/*
 * control_socket.c - a few threads, each with one connection at a time.
 */
#include "control_socket.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <rte_lcore.h>

enum { BACKLOG = 8, ACCEPT_PAUSE_MS = 100 };

struct control_socket {
    struct control_answers answers;
    struct sockaddr_un address;
    pthread_t thread[CONTROL_THREADS];
    unsigned threads;
    int listener, stop; /* stop: an eventfd */
};

/* ---- one connection ---- */

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Whether the connection is ready for `events` before the time; not if the node stops meanwhile. */
static bool ready(const struct control_socket *socket, int peer, short events, int64_t until_ms)
{
    struct pollfd wait[2] = {{.fd = peer, .events = events}, {.fd = socket->stop, .events = POLLIN}};
    int64_t left = until_ms - now_ms();

    return left > 0 && poll(wait, 2, (int)left) > 0 && wait[1].revents == 0;
}

/* A line without its end, or false: too long, too late, or cut off. */
static bool read_line(const struct control_socket *socket, int peer, char line[CONTROL_REQUEST_BYTES])
{
    int64_t until_ms = now_ms() + CONTROL_SOCKET_MS;
    size_t have = 0;

    while (have < CONTROL_REQUEST_BYTES && ready(socket, peer, POLLIN, until_ms)) {
        ssize_t got = recv(peer, line + have, CONTROL_REQUEST_BYTES - have, MSG_DONTWAIT);
        char *end = got > 0 ? memchr(line + have, '\n', (size_t)got) : NULL;

        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        have += got > 0 ? (size_t)got : 0;
        if (end != NULL) {
            *end = '\0';
            return true;
        }
    }
    return false;
}

static void write_all(const struct control_socket *socket, int peer, const char *text, size_t length)
{
    int64_t until_ms = now_ms() + CONTROL_SOCKET_MS;

    while (length > 0) {
        ssize_t taken = send(peer, text, length, MSG_DONTWAIT | MSG_NOSIGNAL);

        /* An answer that can be sent at once is sent also when the node stops: it may be about that. */
        if (taken < 0 && (errno != EAGAIN || !ready(socket, peer, POLLOUT, until_ms)))
            return;
        text += taken > 0 ? taken : 0;
        length -= taken > 0 ? (size_t)taken : 0;
    }
}

static json_t *answer_to(const struct control_socket *socket, const char *line)
{
    char error[CONTROL_ERROR_BYTES] = "a request is a JSON object with a \"command\"";
    json_t *request = json_loads(line, JSON_REJECT_DUPLICATES, NULL), *answer = NULL;
    const char *command = json_string_value(json_object_get(request, "command"));

    if (command != NULL)
        answer = socket->answers.answer(socket->answers.state, command, request, error);
    json_decref(request);
    return answer != NULL ? json_pack("{s:b, s:o}", "ok", 1, "answer", answer)
                          : json_pack("{s:b, s:s}", "ok", 0, "error", error);
}

static bool may_ask(int peer)
{
    struct ucred who;
    socklen_t length = sizeof who;

    return getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &who, &length) == 0 &&
           (who.uid == 0 || who.uid == geteuid());
}

static void serve(const struct control_socket *socket, int peer)
{
    char line[CONTROL_REQUEST_BYTES];
    json_t *answer;
    char *text;

    if (!may_ask(peer) || !read_line(socket, peer, line))
        return;
    answer = answer_to(socket, line);
    text = answer != NULL ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);
    if (text == NULL)
        return;
    size_t length = strlen(text);
    text[length] = '\n'; /* in the place of the terminator: write_all() is told how long it is */
    write_all(socket, peer, text, length + 1);
    free(text);
}

/* ---- the threads ---- */

static void *loop(void *argument)
{
    struct control_socket *socket = argument;
    struct pollfd wait[2] = {{.fd = socket->listener, .events = POLLIN},
                             {.fd = socket->stop, .events = POLLIN}};

    while (wait[1].revents == 0) {
        int peer;

        if (poll(wait, 2, -1) < 0 || wait[0].revents == 0)
            continue;
        peer = accept4(socket->listener, NULL, NULL, SOCK_CLOEXEC);
        if (peer >= 0) {
            serve(socket, peer);
            close(peer);
        } else if (errno != EAGAIN) {           /* which it is where another thread was faster */
            poll(&wait[1], 1, ACCEPT_PAUSE_MS); /* out of descriptors, say */
        }
    }
    return NULL;
}

/* ---- life ---- */

/* 0: there is nothing in the way (any more). */
static int make_room(const struct sockaddr_un *address, char *error, size_t error_bytes)
{
    struct stat status;
    int probe;
    bool alive;

    if (lstat(address->sun_path, &status) != 0)
        return 0;
    if (!S_ISSOCK(status.st_mode)) {
        snprintf(error, error_bytes, "--control-socket %s: a file that is no socket is there",
                 address->sun_path);
        return -1;
    }
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    alive = probe < 0 || connect(probe, (const struct sockaddr *)address, sizeof *address) == 0 ||
            errno != ECONNREFUSED;
    if (probe >= 0)
        close(probe);
    if (!alive && unlink(address->sun_path) == 0)
        return 0;
    snprintf(error, error_bytes,
             "--control-socket %s: a process answers there already, or it cannot be replaced",
             address->sun_path);
    return -1;
}

/* It must never be there with more rights than in the end: the mode is set before anybody can connect. */
static int listen_at(struct control_socket *socket, char *error, size_t error_bytes)
{
    const char *path = socket->address.sun_path;

    if (bind(socket->listener, (const struct sockaddr *)&socket->address, sizeof socket->address) == 0) {
        if (chmod(path, 0600) == 0 && listen(socket->listener, BACKLOG) == 0)
            return 0;
        unlink(path);
    }
    snprintf(error, error_bytes, "--control-socket %s: %s", path, strerror(errno));
    return -1;
}

static bool start_threads(struct control_socket *socket)
{
    char name[16];

    for (; socket->threads < CONTROL_THREADS; socket->threads++) {
        snprintf(name, sizeof name, "wild-control%u", socket->threads);
        if (rte_ctrl_thread_create(&socket->thread[socket->threads], name, NULL, loop, socket) != 0)
            return false;
    }
    return true;
}

static void end_threads(struct control_socket *socket)
{
    eventfd_write(socket->stop, 1);
    for (unsigned i = 0; i < socket->threads; i++)
        pthread_join(socket->thread[i], NULL);
}

int control_socket_open(struct control_socket **out, const char *path, const struct control_answers *answers,
                        char *error, size_t error_bytes)
{
    struct control_socket *made = calloc(1, sizeof *made);

    if (made == NULL || strlen(path) >= sizeof made->address.sun_path) {
        snprintf(error, error_bytes, "--control-socket %.60s: %s", path,
                 made == NULL ? "not enough memory" : "the path is longer than a socket's may be");
        free(made);
        return -1;
    }
    made->answers = *answers;
    made->address.sun_family = AF_UNIX;
    strcpy(made->address.sun_path, path);
    made->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    made->stop = eventfd(0, EFD_CLOEXEC);
    if (made->listener < 0 || made->stop < 0)
        snprintf(error, error_bytes, "--control-socket: no descriptor: %s", strerror(errno));
    else if (make_room(&made->address, error, error_bytes) == 0 && listen_at(made, error, error_bytes) == 0) {
        if (start_threads(made)) {
            *out = made;
            return 0;
        }
        end_threads(made);
        unlink(path);
        snprintf(error, error_bytes, "--control-socket: no thread");
    }
    if (made->listener >= 0)
        close(made->listener);
    if (made->stop >= 0)
        close(made->stop);
    free(made);
    return -1;
}

void control_socket_close(struct control_socket *socket)
{
    if (socket == NULL)
        return;
    end_threads(socket);
    unlink(socket->address.sun_path);
    close(socket->listener);
    close(socket->stop);
    free(socket);
}
