/*
 * tcp_script_parse.c - reads scripts (the language: tcp_script.h). Words and numbers only; what they mean
 * for a connection is the player's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcp_script_words.h"

static const char *const event_names[EVENTS] = {"accepted", "connected", "received", "ended",
                                                "writable", "expired",   "closed"};

static enum script_event event_of(const char *word)
{
    unsigned i = 0;
    while (i < EVENTS && strcmp(word, event_names[i]) != 0)
        i++;
    return (enum script_event)i;
}

static unsigned place_of(const char *const *names, unsigned count, const char *word)
{
    unsigned i = 0;
    while (i < count && strcmp(names[i], word) != 0)
        i++;
    return i;
}

static void read_state(struct reader *reader, struct script_step *step)
{
    static const char *const names[TCP_STATES] = {"CLOSED",      "SYN_SENT",   "SYN_RECEIVED",
                                                  "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2",
                                                  "CLOSE_WAIT",  "CLOSING",    "LAST_ACK"};
    const char *word = reader_next(reader);
    step->number = place_of(names, TCP_STATES, word);
    if (strcmp(word, "TIME_WAIT") == 0)
        step->number = SCRIPT_STATE_TIME_WAIT;
    else if (step->number == TCP_STATES)
        reader->error = "no such state";
}

static void read_end(struct reader *reader, struct script_step *step)
{
    static const char *const names[] = {"CLOSED", "RESET", "TIMED_OUT", "REFUSED", "UNREACHABLE", "ABORTED"};
    const char *word = reader_next(reader);
    step->number = strcmp(word, "any") == 0 ? SCRIPT_END_ANY : place_of(names, 6, word);
    if (step->number == 6)
        reader->error = "no such end";
}

static void read_send(struct reader *reader, struct script_step *step)
{
    step->number = reader_number(reader);
    step->takes = SCRIPT_SEND_ALL;
    if (reader_take(reader, "takes"))
        step->takes = (int64_t)reader_number(reader);
}

static void read_on(struct reader *reader, struct script_step *step)
{
    step->event = event_of(reader_next(reader));
    if (step->event >= EVENT_CLOSED)
        reader->error = "no such event";
    if (reader_take(reader, "send")) {
        step->reaction = STEP_SEND;
        step->number = reader_number(reader);
    } else if (reader_take(reader, "close")) {
        step->reaction = STEP_CLOSE;
    } else if (reader_take(reader, "abort")) {
        step->reaction = STEP_ABORT;
    } else if (reader_take(reader, "hold")) {
        step->reaction = STEP_HOLD;
    } else {
        reader->error = "send, close, abort or hold is wanted";
    }
}

static void read_icmp(struct reader *reader, struct script_step *step)
{
    char *type = (char *)(uintptr_t)reader_next(reader), *dot = strchr(type, '.');
    if (dot == NULL) {
        reader->error = "icmp TYPE.CODE is wanted";
        return;
    }
    *dot = '\0';
    step->number = reader_number_of(reader, type) << 8 | reader_number_of(reader, dot + 1);
    if (!reader_take(reader, "seq"))
        reader->error = "seq is wanted";
    step->segment.seq = reader_script_number(reader, reader_next(reader));
    if (reader_take(reader, "mtu"))
        step->second = reader_number(reader);
}

static void read_peer(struct reader *reader, struct script_step *step)
{
    if (reader_take(reader, "next")) {
        step->number = SCRIPT_PEER_NEXT;
    } else {
        step->number = reader_number(reader);
        if (reader_take(reader, "host"))
            step->second = reader_number(reader);
    }
}

static void read_deadline(struct reader *reader, struct script_step *step)
{
    if (!reader_take(reader, "off"))
        step->from_ns = reader_duration(reader, reader_next(reader));
}

static void read_hold(struct reader *reader, struct script_step *step)
{
    if (reader->at < reader->words)
        step->number = reader_number(reader);
}

static void read_discard(struct reader *reader, struct script_step *step)
{
    step->number = reader->at < reader->words ? reader_number(reader) : UINT64_MAX;
    step->second = reader_take(reader, "unreset");
}

static void read_listen(struct reader *reader, struct script_step *step)
{
    step->number = reader->at < reader->words ? reader_number(reader) : 7878;
}

static void read_number(struct reader *reader, struct script_step *step)
{
    step->number = reader_number(reader);
}

static void read_received(struct reader *reader, struct script_step *step)
{
    step->event = EVENT_RECEIVED;
    read_number(reader, step);
}

static void read_isn(struct reader *reader, struct script_step *step)
{
    if (reader_take(reader, "later"))
        step->kind = STEP_ISN_LATER;
    else
        read_number(reader, step);
}

static void read_counter(struct reader *reader, struct script_step *step)
{
    snprintf(step->name, sizeof step->name, "%s", reader_next(reader));
    step->number = reader_number(reader);
}

static void read_not(struct reader *reader, struct script_step *step)
{
    step->event = event_of(reader_next(reader));
    if (step->event >= EVENT_CLOSED || step->event == EVENT_RECEIVED)
        reader->error = "no such event";
}

static const struct {
    const char *word;
    enum script_kind kind;
    void (*read)(struct reader *reader, struct script_step *step);
} step_words[] = {
    {"listen", STEP_LISTEN, read_listen},
    {"stop", STEP_STOP, NULL},
    {"connect", STEP_CONNECT, NULL},
    {"refuse", STEP_REFUSE, NULL},
    {"send", STEP_SEND, read_send},
    {"close", STEP_CLOSE, NULL},
    {"abort", STEP_ABORT, NULL},
    {"hold", STEP_HOLD, read_hold},
    {"resume", STEP_RESUME, read_hold},
    {"deadline", STEP_DEADLINE, read_deadline},
    {"on", STEP_ON, read_on},
    {"received", STEP_RECEIVED, read_received},
    {"open", STEP_OPEN, NULL},
    {"state", STEP_STATE, read_state},
    {"unsent", STEP_UNSENT, read_number},
    {"nothing", STEP_NOTHING, NULL},
    {"counter", STEP_COUNTER, read_counter},
    {"isn", STEP_ISN, read_isn},
    {"icmp", STEP_ICMP, read_icmp},
    {"mtu", STEP_MTU, read_number},
    {"starve", STEP_STARVE, read_number},
    {"feed", STEP_FEED, NULL},
    {"discard", STEP_DISCARD, read_discard},
    {"again", STEP_AGAIN, NULL},
    {"peer", STEP_PEER, read_peer},
    {"repeat", STEP_REPEAT, read_number},
    {"end", STEP_END, NULL},
    {"not", STEP_NOT_TOLD, read_not},
    {"closed", STEP_TOLD, read_end},
};

static void read_step(struct reader *reader, struct script_step *step)
{
    const char *word = reader_next(reader);
    for (unsigned i = 0; i < sizeof step_words / sizeof step_words[0]; i++) {
        if (strcmp(word, step_words[i].word) == 0) {
            step->kind = step_words[i].kind;
            step->event = EVENT_CLOSED; /* STEP_TOLD here: closed */
            if (step_words[i].read != NULL)
                step_words[i].read(reader, step);
            return;
        }
    }
    step->event = event_of(word);
    step->kind = STEP_TOLD;
    if (step->event >= EVENTS)
        reader->error = "no such step";
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

struct parser {
    struct script *out;
    unsigned line;
    const char *error;
};

static struct script_step *new_step(struct parser *parser, const char *text)
{
    if (parser->out->steps == SCRIPT_STEPS_MAX) {
        parser->error = "too many steps";
        return NULL;
    }
    struct script_step *step = &parser->out->step[parser->out->steps++];
    memset(step, 0, sizeof *step);
    step->line = parser->line;
    snprintf(step->text, sizeof step->text, "%s", text);
    return step;
}

static void split(struct reader *reader, char *text)
{
    char *rest = NULL;
    for (char *at = strtok_r(text, " \t", &rest); at != NULL; at = strtok_r(NULL, " \t", &rest)) {
        if (reader->words == SCRIPT_WORDS_MAX)
            reader->error = "too many words";
        else
            reader->word[reader->words++] = at;
    }
}

/* config and counts take pairs: a step each. */
static void read_pairs(struct parser *parser, struct reader *reader, enum script_kind kind, const char *text)
{
    do {
        struct script_step *step = new_step(parser, text);
        if (step == NULL)
            return;
        step->kind = kind;
        read_counter(reader, step);
    } while (reader->at < reader->words && reader->error == NULL);
}

static void read_line(struct parser *parser, char *line);

/* +40ms | ~40ms > ... | ~20..50ms > ... */
static void read_time(struct parser *parser, char *line)
{
    char *rest = line;
    while (*rest != '\0' && !is_space(*rest))
        rest++;
    bool more = *rest != '\0';
    *rest = '\0';
    struct reader reader = {0};
    struct script_step *step = new_step(parser, line);
    if (step == NULL)
        return;
    step->kind = *line == '+' ? STEP_ADVANCE : STEP_AWAIT;
    char *range = strstr(line, "..");
    if (range != NULL) { /* the unit of the second counts for both: ~20..50ms */
        step->to_ns = reader_duration(&reader, range + 2);
        char *unit = range + 2;
        double upto = strtod(unit, NULL);
        step->from_ns = upto > 0 ? (uint64_t)(strtod(line + 1, NULL) / upto * (double)step->to_ns + 0.5) : 0;
        step->to_ns += 3000000;
    } else {
        step->from_ns = reader_duration(&reader, line + 1);
        step->to_ns = step->from_ns + 3000000; /* timers tick about each millisecond */
    }
    parser->error = reader.error;
    if (step->kind == STEP_AWAIT && !more)
        parser->error = "~ wants the segment on the same line";
    if (parser->error == NULL && more)
        read_line(parser, rest + 1);
}

static void read_line(struct parser *parser, char *line)
{
    while (is_space(*line))
        line++;
    for (char *end = line + strlen(line); end > line && is_space(end[-1]);)
        *--end = '\0';
    if (*line == '\0')
        return;
    if (*line == '+' || *line == '~') {
        read_time(parser, line);
        return;
    }
    char text[SCRIPT_LINE_MAX];
    snprintf(text, sizeof text, "%s", line);
    struct reader reader = {0};
    bool arrives = *line == '<', segment = arrives || *line == '>';
    char *options = segment ? strchr(line + 1, '<') : NULL,
         *end = options != NULL ? strchr(options, '>') : NULL;
    if (options != NULL && (end == NULL || end[1] != '\0')) {
        parser->error = "options stand at the end, in < and >";
        return;
    }
    if (options != NULL) {
        *options++ = '\0';
        *end = '\0';
    }
    split(&reader, line);
    if (!segment && (reader_take(&reader, "config") || reader_take(&reader, "counts"))) {
        read_pairs(parser, &reader, text[2] == 'n' ? STEP_CONFIG : STEP_COUNTS, text);
        parser->error = reader.error;
        return;
    }
    struct script_step *step = new_step(parser, text);
    if (step == NULL)
        return;
    if (segment) {
        const char *arrow = reader_next(&reader);
        step->kind = arrives ? STEP_ARRIVES : STEP_LEAVES;
        step->segment.burst = strcmp(arrow, "<+") == 0;
        step->segment.run = strcmp(arrow, ">>") == 0;
        if (!step->segment.burst && !step->segment.run && arrow[1] != '\0')
            reader.error = "a segment's line begins with <, <+, > or >>";
        reader_segment(&reader, &step->segment);
        if (options != NULL)
            reader_options(&reader, &step->segment.options, options);
    } else {
        read_step(&reader, step);
    }
    if (reader.error == NULL && reader.at < reader.words)
        reader.error = "more words than wanted";
    parser->error = reader.error;
}

bool script_parse(struct script *out, const struct tcp_script *script, char *error, size_t error_bytes)
{
    struct parser parser = {.out = out};
    unsigned depth = 0;
    out->name = script->name;
    out->steps = 0;
    for (const char *at = script->text; *at != '\0' && parser.error == NULL;) {
        size_t length = strcspn(at, "\n");
        char line[SCRIPT_LINE_MAX];
        parser.line++;
        snprintf(line, sizeof line, "%.*s", (int)length, at);
        if (length >= sizeof line)
            parser.error = "line too long";
        char *comment = strchr(line, '#');
        if (comment != NULL)
            *comment = '\0';
        if (parser.error == NULL)
            read_line(&parser, line);
        at += length + (at[length] == '\n');
    }
    for (unsigned i = 0; i < out->steps && parser.error == NULL; i++) {
        parser.line = out->step[i].line;
        if (out->step[i].kind == STEP_REPEAT)
            depth++;
        if (out->step[i].kind == STEP_END && depth-- == 0)
            parser.error = "end without repeat";
        if (out->step[i].kind == STEP_AWAIT && (i + 1 == out->steps || out->step[i + 1].kind != STEP_LEAVES))
            parser.error = "~ waits for a segment: > ...";
        if (depth > 1)
            parser.error = "repeat inside repeat";
    }
    if (parser.error == NULL && depth != 0)
        parser.error = "repeat without end";
    if (parser.error != NULL)
        snprintf(error, error_bytes, "%s: line %u: %s\n", script->name, parser.line, parser.error);
    return parser.error == NULL;
}
