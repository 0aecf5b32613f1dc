/* kernel_port.c - opening a node's sockets, and saying in one line why they cannot be opened. */
#include "kernel/kernel_port.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernel/kernel_socket.h"
#include "port.h"

enum {
    ANY_PORT_TRIES = 16, /* ports that are free for streams and taken for datagrams, one after the other */
};
static_assert((int)KERNEL_WORKERS_MAX == (int)PORT_WORKERS_MAX, "as many workers as on a device");

/* One port on its way to be opened. */
struct opening {
    const struct kernel_port_config *config;
    struct kernel_port *port;
    int why; /* errno */
};

static bool set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

bool kernel_socket_prepare_stream(int fd)
{
    return set_option(fd, SOL_SOCKET, SO_RCVBUF, KERNEL_STREAM_BUFFER_BYTES) &&
           set_option(fd, SOL_SOCKET, SO_SNDBUF, KERNEL_STREAM_BUFFER_BYTES) &&
           set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1) && /* RFC 6093 3.1 */
           set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KERNEL_KEEPALIVE_IDLE_S) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KERNEL_KEEPALIVE_STEP_S) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KERNEL_KEEPALIVE_PROBES) &&
           set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, KERNEL_USER_TIMEOUT_MS) &&
           set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

static bool prepare_datagrams(int fd)
{
    /* More than the limit takes a privilege; what the limit gives will do. */
    if (!set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, KERNEL_DATAGRAM_BUFFER_BYTES))
        set_option(fd, SOL_SOCKET, SO_RCVBUF, KERNEL_DATAGRAM_BUFFER_BYTES);
    if (!set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, KERNEL_DATAGRAM_BUFFER_BYTES))
        set_option(fd, SOL_SOCKET, SO_SNDBUF, KERNEL_DATAGRAM_BUFFER_BYTES);
    return set_option(fd, IPPROTO_IP, IP_PKTINFO, 1) && set_option(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
}

/*
 * The first socket of each kind is bound without SO_REUSEPORT, so that nobody else's is on the port, not even
 * another node's of the same user; then it lets the other workers' join it. -1: opening->why.
 */
static int open_socket(struct opening *opening, bool stream, bool first)
{
    const struct kernel_port_config *config = opening->config;
    bool shared = config->workers > 1;
    struct sockaddr_in to = kernel_sockaddr(&config->address, rte_cpu_to_be_16(opening->port->port));
    int fd = socket(AF_INET, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        opening->why = errno;
        return -1;
    }
    /* Connections of the last run in TIME-WAIT are no reason not to start. */
    bool good =
        (!stream || (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) && kernel_socket_prepare_stream(fd))) &&
        (stream || prepare_datagrams(fd)) && (first || set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
        bind(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 &&
        (!stream || listen(fd, KERNEL_BACKLOG) == 0) &&
        (!first || !shared || set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1));
    if (good)
        return fd;
    opening->why = errno;
    close(fd);
    return -1;
}

/* Worker `i`'s sockets: 0, or -1. */
static int open_pair(struct opening *opening, unsigned i)
{
    struct kernel_port *port = opening->port;
    struct kernel_sockets *sockets = &port->sockets[i];
    struct sockaddr_in found;
    socklen_t length = sizeof(found);
    *sockets = (struct kernel_sockets){.datagrams = -1, .listener = -1};
    if (opening->config->streams) {
        sockets->listener = open_socket(opening, true, i == 0);
        if (sockets->listener < 0)
            return -1;
        if (port->port == 0 && getsockname(sockets->listener, (struct sockaddr *)&found, &length) == 0)
            port->port = rte_be_to_cpu_16(found.sin_port);
    }
    if (opening->config->streams_alone)
        return 0;
    sockets->datagrams = open_socket(opening, false, i == 0);
    if (sockets->datagrams < 0) {
        if (sockets->listener >= 0)
            close(sockets->listener);
        return -1;
    }
    length = sizeof(found);
    if (port->port == 0 && getsockname(sockets->datagrams, (struct sockaddr *)&found, &length) == 0)
        port->port = rte_be_to_cpu_16(found.sin_port);
    return 0;
}

static void explain(const struct opening *opening, char *error, size_t error_bytes)
{
    const struct kernel_port_config *config = opening->config;
    char address[INET_ADDRSTRLEN];
    const char *name = config->port_name != NULL ? config->port_name : "--port";
    rte_be32_t ip4 = address_ip4(&config->address);
    inet_ntop(AF_INET, &ip4, address, sizeof(address));
    switch (opening->why) {
    case EADDRINUSE:
        snprintf(error, error_bytes,
                 "port %u of %s is in use (ss -lntup shows by whom): stop that, or choose another %s",
                 config->port, address, name);
        break;
    case EADDRNOTAVAIL:
        snprintf(error, error_bytes,
                 "%s is no address of this machine (ip addr lists them): choose another %s", address,
                 config->address_name != NULL ? config->address_name : "--bind-address");
        break;
    case EACCES:
        snprintf(error, error_bytes, "port %u needs root or CAP_NET_BIND_SERVICE: choose a %s from 1024 on",
                 config->port, name);
        break;
    case EMFILE:
    case ENFILE:
        snprintf(error, error_bytes, "no descriptors for sockets: raise the limit (ulimit -n)");
        break;
    default:
        snprintf(error, error_bytes, "no sockets on port %u of %s: %s", config->port, address,
                 strerror(opening->why));
    }
}

int kernel_port_open(struct kernel_port *out, const struct kernel_port_config *config, char *error,
                     size_t error_bytes)
{
    struct opening opening = {.config = config, .port = out};
    unsigned tries = config->port == 0 ? ANY_PORT_TRIES : 1;
    *out = (struct kernel_port){.address = config->address};
    do {
        out->port = config->port;
        opening.why = 0;
        while (out->workers < config->workers && open_pair(&opening, out->workers) == 0)
            out->workers++;
        if (out->workers == config->workers)
            return 0;
        kernel_port_close(out);
    } while (--tries > 0 && opening.why == EADDRINUSE);
    explain(&opening, error, error_bytes);
    return -1;
}

void kernel_port_close(struct kernel_port *port)
{
    while (port->workers > 0) {
        const struct kernel_sockets *sockets = &port->sockets[--port->workers];
        if (sockets->datagrams >= 0)
            close(sockets->datagrams);
        if (sockets->listener >= 0)
            close(sockets->listener);
    }
}
