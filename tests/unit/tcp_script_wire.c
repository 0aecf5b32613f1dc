/*
 * tcp_script_wire.c - segments as bytes, written and read straight from RFC 9293 3.1: a second opinion on
 * the tree's own codec.
 */
#include <stdio.h>
#include <string.h>

#include <rte_byteorder.h>

#include "tcp_script_internal.h"

uint8_t script_byte(uint32_t relative)
{
    uint32_t mixed = relative * UINT32_C(2654435761);
    return (uint8_t)(mixed >> 24);
}

static uint8_t *put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
    return put16(put16(at, value >> 16), value & 0xFFFF);
}

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static uint32_t absolute(const struct script_number *number, bool known, uint32_t origin)
{
    return number->absolute || !known ? number->value : number->value + origin;
}

static uint8_t *write_options(uint8_t *at, const struct script_options *options,
                              const struct script_origin *origin)
{
    uint8_t *start = at;
    if (options->mss) {
        *at++ = 2;
        *at++ = 4;
        at = put16(at, options->mss_value);
    }
    if (options->sack_ok) {
        *at++ = 4;
        *at++ = 2;
    }
    if (options->ts) {
        *at++ = 8;
        *at++ = 10;
        at = put32(at, options->ts_value.value);
        at = put32(at, absolute(&options->ts_echo, origin->clock_known, origin->clock));
    }
    if (options->wscale) {
        *at++ = 3;
        *at++ = 3;
        *at++ = options->wscale_value;
    }
    if (options->blocks > 0) {
        *at++ = 5;
        *at++ = (uint8_t)(2 + 8 * options->blocks);
        for (unsigned i = 0; i < options->blocks; i++) {
            at = put32(at, options->block[i].start + origin->local);
            at = put32(at, options->block[i].end + origin->local);
        }
    }
    memcpy(at, options->raw, options->raw_bytes);
    at += options->raw_bytes;
    while ((at - start) % 4 != 0)
        *at++ = options->raw_bytes > 0 ? 0 : 1;
    return at;
}

unsigned script_segment_write(uint8_t *out, const struct script_segment *segment, struct script_ports ports,
                              const struct script_origin *origin)
{
    uint8_t *options_end = write_options(out + 20, &segment->options, origin);
    unsigned header = (unsigned)(options_end - out);
    memcpy(out, &ports.peer, 2);
    memcpy(out + 2, &ports.local, 2);
    put32(out + 4, absolute(&segment->seq, true, origin->peer));
    put32(out + 8, segment->has_ack ? absolute(&segment->ack, origin->local_known, origin->local) : 0);
    out[12] = (uint8_t)((segment->doff >= 0 ? (unsigned)segment->doff : header / 4) << 4);
    out[13] = segment->flags;
    put16(out + 14, segment->window >= 0 ? (unsigned)segment->window : 65535);
    put16(out + 16, 0xBEEF); /* verified and done with below: nobody may look at it */
    put16(out + 18, segment->urgent);
    uint32_t length = segment->length < SCRIPT_PAYLOAD_MAX ? segment->length : SCRIPT_PAYLOAD_MAX;
    uint32_t first = segment->seq.value + ((segment->flags & TCP_SYN) != 0);
    for (uint32_t i = 0; i < length; i++)
        out[header + i] = script_byte(first + i) ^ (segment->junk ? 0xFF : 0);
    unsigned total = header + length;
    return segment->cut < total ? total - segment->cut : 0;
}

static const char *read_option(struct script_options *out, const uint8_t *at, unsigned length)
{
    static const uint8_t lengths[9] = {[2] = 4, [3] = 3, [4] = 2, [8] = 10};
    if (at[0] != 5 && (at[0] > 8 || lengths[at[0]] != length))
        return "it has an option that we do not send, or one of a wrong length";
    if ((at[0] == 2 && out->mss) || (at[0] == 3 && out->wscale) || (at[0] == 4 && out->sack_ok) ||
        (at[0] == 8 && out->ts) || (at[0] == 5 && out->blocks > 0))
        return "an option stands there twice";
    if (at[0] == 2) {
        out->mss = true;
        out->mss_value = (uint16_t)get16(at + 2);
    } else if (at[0] == 3) {
        out->wscale = true;
        out->wscale_value = at[2];
    } else if (at[0] == 4) {
        out->sack_ok = true;
    } else if (at[0] == 8) {
        out->ts = true;
        out->ts_value.value = get32(at + 2);
        out->ts_echo.value = get32(at + 6);
    } else {
        if (length < 10 || (length - 2) % 8 != 0 || length > 2 + 8 * SCRIPT_BLOCKS_MAX)
            return "its SACK option has a wrong length";
        for (unsigned i = 2; i < length; i += 8) {
            out->block[out->blocks].start = get32(at + i);
            out->block[out->blocks++].end = get32(at + i + 4);
        }
    }
    return NULL;
}

const char *script_segment_read(struct script_sent *out, const uint8_t *bytes, size_t length)
{
    memset(out, 0, sizeof *out);
    if (length < 20)
        return "it is shorter than a header";
    unsigned header = (bytes[12] >> 4) * 4u;
    if (header < 20 || header > length)
        return "its data offset is wrong";
    if ((bytes[12] & 15) != 0)
        return "reserved bits are set";
    if (get16(bytes + 16) != 0)
        return "the checksum field is not zero";
    if (get16(bytes + 18) != 0)
        return "the urgent pointer is set";
    out->seq = get32(bytes + 4);
    out->ack = get32(bytes + 8);
    out->flags = bytes[13];
    out->window = (uint16_t)get16(bytes + 14);
    out->payload = bytes + header;
    out->length = (uint32_t)(length - header);
    if (out->flags & (TCP_URG | TCP_ECE | TCP_CWR))
        return "flags that we never send";
    if (!(out->flags & TCP_ACK) && out->ack != 0)
        return "an acknowledgement number without its flag";
    for (unsigned at = 20; at < header;) {
        if (bytes[at] == 0)
            break;
        if (bytes[at] == 1) {
            at++;
            continue;
        }
        if (at + 1 >= header || bytes[at + 1] < 2 || at + bytes[at + 1] > header)
            return "its options do not parse";
        const char *wrong = read_option(&out->options, bytes + at, bytes[at + 1]);
        if (wrong != NULL)
            return wrong;
        at += bytes[at + 1];
    }
    return NULL;
}

static bool number_differs(const struct script_number *want, uint32_t got, bool known, uint32_t origin)
{
    return !want->any && absolute(want, known, origin) != got;
}

static const char *options_differ(const struct script_options *want, const struct script_options *got,
                                  const struct script_origin *origin)
{
    if (want->blocks != got->blocks)
        return "number of SACK blocks";
    for (unsigned i = 0; i < want->blocks; i++) {
        if (want->block[i].start + origin->peer != got->block[i].start ||
            want->block[i].end + origin->peer != got->block[i].end)
            return "SACK blocks";
    }
    if (!want->given)
        return NULL;
    if (want->mss != got->mss || (want->mss && want->mss_value != got->mss_value))
        return "MSS option";
    if (want->wscale != got->wscale || (want->wscale && want->wscale_value != got->wscale_value))
        return "window scale option";
    if (want->sack_ok != got->sack_ok)
        return "SACK permitted option";
    if (want->ts != got->ts)
        return "time stamps option";
    if (want->ts && number_differs(&want->ts_value, got->ts_value.value, origin->clock_known, origin->clock))
        return "time stamp";
    if (want->ts && number_differs(&want->ts_echo, got->ts_echo.value, false, 0))
        return "time stamp's echo";
    return NULL;
}

const char *script_segment_differs(const struct script_segment *want, const struct script_sent *got,
                                   const struct script_origin *origin)
{
    if (want->any)
        return NULL;
    uint8_t ignored = want->ack_either ? TCP_PSH | TCP_ACK : TCP_PSH;
    if ((want->flags & ~ignored) != (got->flags & ~ignored))
        return "flags";
    if (number_differs(&want->seq, got->seq, origin->local_known, origin->local))
        return "sequence number";
    if (want->run ? got->length == 0 || got->length > want->length : got->length != want->length)
        return "length";
    if (want->has_ack && number_differs(&want->ack, got->ack, true, origin->peer))
        return "acknowledgement";
    if (want->window >= 0 && (uint32_t)want->window != got->window)
        return "window";
    return options_differ(&want->options, &got->options, origin);
}

void script_segment_print(char *out, size_t room, const struct script_sent *sent,
                          const struct script_origin *origin)
{
    const struct script_options *o = &sent->options;
    char flags[16];
    unsigned count = 0;
    for (unsigned bit = 0; bit < 8; bit++) {
        if (sent->flags & 1u << bit)
            flags[count++] = "FSRP.UEW"[bit];
    }
    if (count == 0)
        flags[count++] = '-';
    flags[count] = '\0';
    uint32_t seq = sent->seq - (origin->local_known ? origin->local : 0);
    size_t used = (size_t)snprintf(out, room, "%s %u", flags, seq);
#define PRINT(...)                                                                                           \
    if (used < room)                                                                                         \
    used += (size_t)snprintf(out + used, room - used, __VA_ARGS__)
    if (sent->length > 0)
        PRINT(":%u", seq + sent->length);
    if (sent->flags & TCP_ACK)
        PRINT(" ack %u", sent->ack - origin->peer);
    PRINT(" win %u <", sent->window);
    if (o->mss)
        PRINT("mss %u,", o->mss_value);
    if (o->sack_ok)
        PRINT("sackOK,");
    if (o->ts)
        PRINT("ts %u %u,", o->ts_value.value - (origin->clock_known ? origin->clock : 0), o->ts_echo.value);
    if (o->wscale)
        PRINT("wscale %u,", o->wscale_value);
    for (unsigned i = 0; i < o->blocks; i++)
        PRINT("%s%u-%u", i == 0 ? "sack " : " ", o->block[i].start - origin->peer,
              o->block[i].end - origin->peer);
    PRINT(">");
#undef PRINT
}
