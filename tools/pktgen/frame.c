#include "frame.h"

#include <string.h>

static void put16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static size_t get16(const uint8_t *at)
{
    return (size_t)at[0] << 8 | at[1];
}

/* RFC 1071: the sum of 16-bit words; an odd last byte counts as if a zero followed. */
static uint32_t sum(uint32_t start, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i + 1 < length; i += 2)
        start += (uint32_t)get16(bytes + i);
    if (length % 2 != 0)
        start += (uint32_t)bytes[length - 1] << 8;
    return start;
}

static uint16_t fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

/* UDP with its pseudo header: addresses, protocol, length. */
static uint16_t udp_checksum(const uint8_t *ip, const uint8_t *udp, size_t length)
{
    return fold(sum(sum(17 + (uint32_t)length, ip + 12, 8), udp, length));
}

size_t frame_finish(uint8_t *frame, const struct frame_address *from, const struct frame_address *to,
                    uint16_t ip_id, size_t payload_length)
{
    uint8_t *ip = frame + FRAME_ETHERNET_BYTES, *udp = ip + FRAME_IP_BYTES;
    size_t udp_length = FRAME_UDP_BYTES + payload_length;
    memcpy(frame, to->mac, 6);
    memcpy(frame + 6, from->mac, 6);
    put16(frame + 12, 0x0800);

    memset(ip, 0, FRAME_IP_BYTES);
    ip[0] = 0x45;
    put16(ip + 2, FRAME_IP_BYTES + udp_length);
    put16(ip + 4, ip_id);
    put16(ip + 6, 0x4000);
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + 12, from->ip, 4);
    memcpy(ip + 16, to->ip, 4);
    put16(ip + 10, fold(sum(0, ip, FRAME_IP_BYTES)));

    put16(udp, from->port);
    put16(udp + 2, to->port);
    put16(udp + 4, udp_length);
    put16(udp + 6, 0);
    uint16_t checksum = udp_checksum(ip, udp, udp_length);
    put16(udp + 6, checksum != 0 ? checksum : 0xFFFF); /* RFC 768: 0 means none */

    size_t length = FRAME_PAYLOAD_AT + payload_length;
    if (length >= FRAME_BYTES_MIN)
        return length;
    memset(frame + length, 0, FRAME_BYTES_MIN - length);
    return FRAME_BYTES_MIN;
}

bool frame_open(const uint8_t *frame, size_t length, struct frame_address *from, struct frame_address *to,
                const uint8_t **payload, size_t *payload_length)
{
    const uint8_t *ip = frame + FRAME_ETHERNET_BYTES, *udp = ip + FRAME_IP_BYTES;
    if (length < FRAME_BYTES_MIN || get16(frame + 12) != 0x0800 || ip[0] != 0x45 || ip[9] != 17 ||
        (get16(ip + 6) & 0x3FFF) != 0 || fold(sum(0, ip, FRAME_IP_BYTES)) != 0)
        return false;
    size_t ip_length = get16(ip + 2), udp_length = get16(udp + 4);
    if (ip_length > length - FRAME_ETHERNET_BYTES || udp_length != ip_length - FRAME_IP_BYTES ||
        udp_length < FRAME_UDP_BYTES || get16(udp + 6) == 0 || udp_checksum(ip, udp, udp_length) != 0)
        return false;
    memcpy(to->mac, frame, 6);
    memcpy(from->mac, frame + 6, 6);
    memcpy(from->ip, ip + 12, 4);
    memcpy(to->ip, ip + 16, 4);
    from->port = (uint16_t)get16(udp);
    to->port = (uint16_t)get16(udp + 2);
    *payload = udp + FRAME_UDP_BYTES;
    *payload_length = udp_length - FRAME_UDP_BYTES;
    return true;
}
