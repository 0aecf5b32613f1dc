/*
 * kernel_datagrams.c - the UDP socket: a burst in by one system call, answered in place, out by another. A
 * reply leaves from the address that its request was sent to, whatever the socket is bound to.
 */
#include "kernel/kernel_internal.h"

#include <errno.h>

void kernel_datagrams_init(struct kernel_datagrams *datagrams)
{
    for (unsigned i = 0; i < KERNEL_BURST_MAX; i++) {
        datagrams->piece[i].iov_base = datagrams->payload[i];
        datagrams->message[i].msg_hdr = (struct msghdr){
            .msg_name = &datagrams->peer[i],
            .msg_iov = &datagrams->piece[i],
            .msg_iovlen = 1,
            .msg_control = datagrams->control[i],
        };
    }
}

/* What a call changed is set back for the next one. */
static void make_ready(struct kernel_datagrams *datagrams)
{
    for (unsigned i = 0; i < KERNEL_BURST_MAX; i++) {
        datagrams->piece[i].iov_len = KERNEL_DATAGRAM_BYTES;
        datagrams->message[i].msg_hdr.msg_namelen = sizeof(datagrams->peer[i]);
        datagrams->message[i].msg_hdr.msg_controllen = KERNEL_CONTROL_BYTES;
    }
}

/* The address that it was sent to; false: not one of ours alone. */
static bool read_control(struct kernel_worker *worker, struct msghdr *message, struct address *local)
{
    bool unicast = false;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(part), sizeof(info));
            unicast = info.ipi_addr.s_addr == info.ipi_spec_dst.s_addr;
            *local = address_from_ip4(info.ipi_spec_dst.s_addr);
        } else if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SO_RXQ_OVFL) {
            uint32_t overflows;
            memcpy(&overflows, CMSG_DATA(part), sizeof(overflows));
            kernel_count(worker, COUNTER_kernel_datagram_overflow, (uint32_t)(overflows - worker->overflows));
            worker->overflows = overflows;
        }
    }
    return unicast;
}

/* True: *out is a datagram for the service. */
static bool take(struct kernel_worker *worker, unsigned i, struct udp_datagram *out)
{
    struct kernel_datagrams *datagrams = &worker->datagrams;
    struct msghdr *message = &datagrams->message[i].msg_hdr;
    *out = (struct udp_datagram){
        .payload = datagrams->payload[i],
        .length = (uint16_t)datagrams->message[i].msg_len,
        .room = KERNEL_DATAGRAM_ROOM,
        .path = {.flow = {.peer = kernel_address(&datagrams->peer[i]),
                          .peer_port = datagrams->peer[i].sin_port,
                          .local_port = worker->port},
                 .vlan_tci = VLAN_NONE},
    };
    bool unicast = read_control(worker, message, &out->path.flow.local);
    if (message->msg_flags & MSG_TRUNC)
        kernel_count(worker, COUNTER_kernel_datagram_truncated, 1);
    else if (!unicast)
        kernel_count(worker, COUNTER_ip4_broadcast, 1);
    else if (datagrams->peer[i].sin_port == 0)
        kernel_count(worker, COUNTER_udp_no_source_port, 1);
    else
        return true;
    return false;
}

/* Who sends: `control` has KERNEL_CONTROL_BYTES. */
static void write_control(struct msghdr *message, void *control, const struct address *local)
{
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = address_ip4(local)};
    memset(control, 0, CMSG_SPACE(sizeof(info)));
    message->msg_control = control;
    message->msg_controllen = CMSG_SPACE(sizeof(info));
    struct cmsghdr *part = CMSG_FIRSTHDR(message);
    part->cmsg_level = IPPROTO_IP;
    part->cmsg_type = IP_PKTINFO;
    part->cmsg_len = CMSG_LEN(sizeof(info));
    memcpy(CMSG_DATA(part), &info, sizeof(info));
}

/* The message that datagram `i` of the burst came in becomes the one that its answer leaves in. */
static void make_reply(struct kernel_datagrams *datagrams, unsigned i, struct mmsghdr *out)
{
    unsigned from = datagrams->from[i];
    const struct udp_datagram *datagram = &datagrams->datagram[i];
    datagrams->piece[from].iov_len = datagram->length;
    out->msg_hdr = datagrams->message[from].msg_hdr;
    write_control(&out->msg_hdr, datagrams->control[from], &datagram->path.flow.local);
}

static bool is_full(int why)
{
    return why == EAGAIN || why == ENOBUFS || why == ENOMEM;
}

/* Whatever the kernel does not take is dropped: whoever waits for it asks again. */
static void send_replies(struct kernel_worker *worker, unsigned count)
{
    unsigned at = 0;
    while (at < count) {
        int sent = sendmmsg(worker->config.sockets.datagrams, worker->datagrams.reply + at, count - at,
                            MSG_DONTWAIT);
        if (sent > 0) {
            kernel_count(worker, COUNTER_udp_replies, (unsigned)sent);
            at += (unsigned)sent;
        } else if (is_full(errno)) {
            kernel_count(worker, COUNTER_kernel_reply_full, count - at);
            return;
        } else if (errno != EINTR) {
            kernel_count(worker, COUNTER_kernel_reply_failed, 1);
            at++; /* the others may go elsewhere */
        }
    }
}

void kernel_datagrams_turn(struct kernel_worker *worker)
{
    struct kernel_datagrams *datagrams = &worker->datagrams;
    make_ready(datagrams);
    int received =
        recvmmsg(worker->config.sockets.datagrams, datagrams->message, KERNEL_BURST_MAX, MSG_DONTWAIT, NULL);
    unsigned count = 0, replies = 0;
    for (int i = 0; i < received; i++) {
        datagrams->from[count] = (unsigned)i;
        count += take(worker, (unsigned)i, &datagrams->datagram[count]);
    }
    if (count == 0)
        return;
    worker->service.burst(worker->service.state, datagrams->datagram, count, worker->now);
    for (unsigned i = 0; i < count; i++) {
        CHECK(datagrams->datagram[i].length <= datagrams->datagram[i].room);
        if (datagrams->datagram[i].length > 0)
            make_reply(datagrams, i, &datagrams->reply[replies++]);
    }
    kernel_count(worker, COUNTER_udp_datagrams, count);
    kernel_count(worker, COUNTER_udp_unanswered, count - replies);
    send_replies(worker, replies);
}

static bool transmit(void *state, const struct return_path *path, const uint8_t *payload, uint16_t length)
{
    struct kernel_worker *worker = state;
    struct sockaddr_in to = kernel_sockaddr(&path->flow.peer, path->flow.peer_port);
    struct iovec piece = {.iov_base = (void *)(uintptr_t)payload, .iov_len = length};
    _Alignas(struct cmsghdr) uint8_t control[KERNEL_CONTROL_BYTES];
    struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &piece, .msg_iovlen = 1};
    write_control(&message, control, &path->flow.local);
    if (sendmsg(worker->config.sockets.datagrams, &message, MSG_DONTWAIT) < 0) {
        bool full = is_full(errno);
        kernel_count(worker, full ? COUNTER_kernel_reply_full : COUNTER_kernel_reply_failed, 1);
        return !full;
    }
    kernel_count(worker, COUNTER_udp_replies, 1);
    worker->done++;
    return true;
}

struct udp_transmit kernel_worker_transmit(struct kernel_worker *worker)
{
    return (struct udp_transmit){.state = worker, .send = transmit};
}
