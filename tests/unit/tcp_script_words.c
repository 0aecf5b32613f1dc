/*
 * tcp_script_words.c - numbers, times, segments and options, read from words.
 */
#include <stdlib.h>
#include <string.h>

#include "tcp_script_words.h"

const char *reader_next(struct reader *reader)
{
    return reader->at < reader->words ? reader->word[reader->at++] : "";
}

bool reader_take(struct reader *reader, const char *word)
{
    if (reader->at >= reader->words || strcmp(reader->word[reader->at], word) != 0)
        return false;
    reader->at++;
    return true;
}

uint64_t reader_number_of(struct reader *reader, const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0')
        reader->error = "a number is wanted";
    return value;
}

uint64_t reader_number(struct reader *reader)
{
    return reader_number_of(reader, reader_next(reader));
}

struct script_number reader_script_number(struct reader *reader, const char *text)
{
    struct script_number number = {0};
    if (strcmp(text, "*") == 0)
        number.any = true;
    else if (*text == '=')
        number =
            (struct script_number){.value = (uint32_t)reader_number_of(reader, text + 1), .absolute = true};
    else
        number.value = (uint32_t)reader_number_of(reader, text);
    return number;
}

uint64_t reader_duration(struct reader *reader, const char *text)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {"min", 60000000000}};
    char *end;
    double value = strtod(text, &end);
    for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t length = strlen(units[i].unit);
        if (end != text && strncmp(end, units[i].unit, length) == 0 &&
            (end[length] == '\0' || end[length] == '.')) {
            return (uint64_t)(value * (double)units[i].ns + 0.5);
        }
    }
    reader->error = "a time is wanted, as 40ms";
    return 0;
}

/* ---- segments ---- */

static const struct {
    char letter;
    uint8_t flag;
} flag_letters[] = {{'S', TCP_SYN}, {'F', TCP_FIN}, {'R', TCP_RST}, {'P', TCP_PSH},
                    {'.', TCP_ACK}, {'U', TCP_URG}, {'E', TCP_ECE}, {'W', TCP_CWR}};

static uint8_t read_flags(struct reader *reader, const char *text, bool *ack_either)
{
    uint8_t flags = 0;
    if (strcmp(text, "-") == 0)
        return 0;
    for (; *text != '\0'; text++) {
        unsigned i = 0;
        if (*text == '?') {
            *ack_either = true;
            continue;
        }
        while (i < 8 && flag_letters[i].letter != *text)
            i++;
        if (i == 8)
            reader->error = "flags are letters of SFRP.UEW?, or -";
        else
            flags |= flag_letters[i].flag;
    }
    return flags;
}

/* One option's words. */
static void read_option(struct reader *reader, struct script_options *out, char *text)
{
    char *word[SCRIPT_BLOCKS_MAX + 1] = {NULL}, *rest = NULL;
    unsigned words = 0;
    for (char *at = strtok_r(text, " ", &rest); at != NULL && words <= SCRIPT_BLOCKS_MAX;
         at = strtok_r(NULL, " ", &rest))
        word[words++] = at;
    if (words == 2 && strcmp(word[0], "mss") == 0) {
        out->mss = true;
        out->mss_value = (uint16_t)reader_number_of(reader, word[1]);
    } else if (words == 2 && strcmp(word[0], "wscale") == 0) {
        out->wscale = true;
        out->wscale_value = (uint8_t)reader_number_of(reader, word[1]);
    } else if (words == 1 && strcmp(word[0], "sackOK") == 0) {
        out->sack_ok = true;
    } else if (words == 3 && strcmp(word[0], "ts") == 0) {
        out->ts = true;
        out->ts_value = reader_script_number(reader, word[1]);
        out->ts_echo = reader_script_number(reader, word[2]);
    } else if (words >= 2 && strcmp(word[0], "sack") == 0) {
        for (unsigned i = 1; i < words; i++) {
            char *dash = strchr(word[i], '-');
            if (dash == NULL) {
                reader->error = "blocks are FROM-TO";
                return;
            }
            *dash = '\0';
            out->block[out->blocks].start = (uint32_t)reader_number_of(reader, word[i]);
            out->block[out->blocks++].end = (uint32_t)reader_number_of(reader, dash + 1);
        }
    } else if (words == 1 && strcmp(word[0], "nop") == 0) {
        out->raw[out->raw_bytes++] = 1;
    } else if (words == 2 && strcmp(word[0], "hex") == 0) {
        for (const char *at = word[1]; at[0] != '\0' && at[1] != '\0' && out->raw_bytes < SCRIPT_RAW_MAX;
             at += 2) {
            char pair[3] = {at[0], at[1], '\0'};
            out->raw[out->raw_bytes++] = (uint8_t)strtoul(pair, NULL, 16);
        }
    } else if (words > 0) {
        reader->error = "no such option";
    }
}

void reader_options(struct reader *reader, struct script_options *out, char *text)
{
    char *rest = NULL;
    out->given = true;
    for (char *at = strtok_r(text, ",", &rest); at != NULL && reader->error == NULL;
         at = strtok_r(NULL, ",", &rest))
        read_option(reader, out, at);
}

void reader_segment(struct reader *reader, struct script_segment *out)
{
    out->window = -1;
    out->doff = -1;
    if (reader_take(reader, "any")) {
        out->any = true;
        return;
    }
    out->flags = read_flags(reader, reader_next(reader), &out->ack_either);
    char *range = (char *)(uintptr_t)reader_next(reader), *colon = strchr(range, ':');
    if (colon != NULL)
        *colon = '\0';
    out->seq = reader_script_number(reader, range);
    if (colon != NULL)
        out->length = reader_script_number(reader, colon + 1).value - out->seq.value;
    while (reader->at < reader->words && reader->error == NULL) {
        if (reader_take(reader, "ack")) {
            out->has_ack = true;
            out->ack = reader_script_number(reader, reader_next(reader));
        } else if (reader_take(reader, "win")) {
            out->window = (int32_t)reader_number(reader);
        } else if (reader_take(reader, "urg")) {
            out->urgent = (uint16_t)reader_number(reader);
        } else if (reader_take(reader, "doff")) {
            out->doff = (int)reader_number(reader);
        } else if (reader_take(reader, "cut")) {
            out->cut = (unsigned)reader_number(reader);
        } else if (reader_take(reader, "junk")) {
            out->junk = true;
        } else {
            reader->error = "ack, win, urg, doff, cut or junk is wanted";
        }
    }
}
