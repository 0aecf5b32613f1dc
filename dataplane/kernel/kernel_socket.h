/*
 * kernel_socket.h - addresses as sockets know them, and what every socket of a stream is set to. The one
 * place where kernel/ says IPv4.
 */
#ifndef WILD_KERNEL_SOCKET_H
#define WILD_KERNEL_SOCKET_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "kernel/kernel_worker.h"

static inline struct sockaddr_in kernel_sockaddr(const struct address *address, rte_be16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = address_ip4(address)};
}

static inline struct address kernel_address(const struct sockaddr_in *from)
{
    return address_from_ip4(from->sin_addr.s_addr);
}

/* Time-outs, buffers, no Nagle: for a listener (its connections inherit them) or a socket that will connect.
 * False: errno. */
bool kernel_socket_prepare_stream(int fd);

#endif
