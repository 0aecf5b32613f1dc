#include "net/tcp_ip4.h"

unsigned tcp_ip4_validate(const uint8_t *segment, size_t length, const uint8_t *ip4_addresses,
                          bool checksum_known_good)
{
    if (length < TCP_HEADER_BYTES_MIN)
        return COUNTER_tcp_truncated;
    const struct rte_tcp_hdr *header = (const struct rte_tcp_hdr *)segment;
    if (!checksum_known_good && !checksum_valid(tcp_ip4_sum(ip4_addresses, segment, (uint16_t)length)))
        return COUNTER_tcp_bad_checksum;
    if (header->src_port == 0 || header->dst_port == 0)
        return COUNTER_tcp_no_port;
    return NET_ACCEPT;
}
