#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load_values.h"
#include "wild.h"

static const char *const event_names[] = {[JOURNAL_SET] = "set",
                                          [JOURNAL_DELETE] = "delete",
                                          [JOURNAL_OK] = "ok",
                                          [JOURNAL_UNANSWERED] = "unanswered",
                                          [JOURNAL_REFUSED] = "refused"};
enum { EVENTS = sizeof event_names / sizeof event_names[0] };

/* ---- lines ---- */

size_t journal_line_write(char out[JOURNAL_LINE_BYTES], const struct journal_line *line)
{
    char key[LOAD_KEY_BYTES + 1] = "", expiry[24] = "-";
    load_key_fill(key, line->key);
    if (line->expiry_ms != 0)
        snprintf(expiry, sizeof(expiry), "%" PRIu64, line->expiry_ms);
    int length = snprintf(out, JOURNAL_LINE_BYTES, "%s %s %08" PRIx32 ".%" PRIu32, event_names[line->event],
                          key, line->run, line->version);
    size_t room = JOURNAL_LINE_BYTES - (size_t)length;
    if (line->event == JOURNAL_SET)
        length += snprintf(out + length, room, " %" PRIu32 " %s\n", line->bytes, expiry);
    else if (line->event == JOURNAL_OK)
        length += snprintf(out + length, room, " %" PRIu64 " %s\n", line->lsn, expiry);
    else
        length += snprintf(out + length, room, "\n");
    return (size_t)length;
}

static bool take_word(const char **at, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(*at, word, length) != 0)
        return false;
    *at += length;
    return true;
}

/* Digits alone: no sign, no space, no "0x". */
static bool take_number(const char **at, int base, size_t digits, uint64_t most, uint64_t *out)
{
    static const char known[] = "0123456789abcdef";
    size_t n = 0;
    uint64_t number = 0;
    for (; n < digits && (*at)[n] != '\0'; n++) {
        const char *digit = memchr(known, (*at)[n], (size_t)base);
        if (digit == NULL)
            break;
        if (__builtin_mul_overflow(number, (uint64_t)base, &number) ||
            __builtin_add_overflow(number, (uint64_t)(digit - known), &number))
            return false;
    }
    *at += n;
    *out = number;
    return n > 0 && number <= most;
}

static bool take_expiry(const char **at, uint64_t *out)
{
    *out = 0;
    return take_word(at, "-") || take_number(at, 10, 20, UINT64_MAX, out);
}

bool journal_line_read(struct journal_line *out, const char *text)
{
    uint64_t run, version, bytes = 0;
    const char *at = text;
    unsigned event = 0;
    while (event < EVENTS && !take_word(&at, event_names[event]))
        event++;
    *out = (struct journal_line){.event = (enum journal_event)event};
    if (event == EVENTS || !take_word(&at, " load:"))
        return false;
    const char *digits = at;
    if (!take_number(&at, 10, LOAD_KEY_BYTES - 5, UINT64_MAX, &out->key) || at - digits != LOAD_KEY_BYTES - 5)
        return false;
    if (!take_word(&at, " ") || !take_number(&at, 16, 8, UINT32_MAX, &run) || !take_word(&at, ".") ||
        !take_number(&at, 10, 10, UINT32_MAX, &version))
        return false;
    if (event == JOURNAL_SET && !(take_word(&at, " ") && take_number(&at, 10, 4, WILD_VALUE_MAX, &bytes) &&
                                  take_word(&at, " ") && take_expiry(&at, &out->expiry_ms)))
        return false;
    if (event == JOURNAL_OK && !(take_word(&at, " ") && take_number(&at, 10, 20, UINT64_MAX, &out->lsn) &&
                                 take_word(&at, " ") && take_expiry(&at, &out->expiry_ms)))
        return false;
    out->run = (uint32_t)run;
    out->version = (uint32_t)version;
    out->bytes = (uint32_t)bytes;
    return *at == '\0';
}

/* ---- the file ---- */

static bool write_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        length -= (size_t)written;
    }
    return true;
}

/* The head of a new file; the end of a line that was cut off. NULL, or what is wrong. */
static const char *prepare(int fd)
{
    static const char head[] = JOURNAL_HEAD "\n", cut[] = JOURNAL_CUT "\n";
    char found[sizeof(head) - 1], last;
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        return strerror(errno);
    if (stat.st_size == 0)
        return write_all(fd, head, strlen(head)) ? NULL : strerror(errno);
    if (pread(fd, found, sizeof(found), 0) != (ssize_t)sizeof(found) ||
        memcmp(found, head, sizeof(found)) != 0)
        return "something else is in that file, and it is left as it is";
    if (pread(fd, &last, 1, stat.st_size - 1) != 1)
        return strerror(errno);
    return last == '\n' || write_all(fd, cut, strlen(cut)) ? NULL : strerror(errno);
}

int journal_open(const char *path, char error[JOURNAL_ERROR_BYTES])
{
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    const char *wrong = fd < 0 ? strerror(errno) : NULL;
    if (wrong == NULL && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        wrong = "another load test is writing to it";
    if (wrong == NULL)
        wrong = prepare(fd);
    if (wrong == NULL)
        return fd;
    snprintf(error, JOURNAL_ERROR_BYTES, "journal %s: %s", path, wrong);
    if (fd >= 0)
        close(fd);
    return -1;
}

bool journal_flush(struct journal *journal)
{
    if (journal->error == 0 && journal->length > 0 && !write_all(journal->fd, journal->text, journal->length))
        journal->error = errno != 0 ? errno : EIO;
    journal->length = 0;
    return journal->error == 0;
}

void journal_add(struct journal *journal, const struct journal_line *line)
{
    if (journal->fd < 0)
        return;
    if (sizeof(journal->text) - journal->length < JOURNAL_LINE_BYTES)
        journal_flush(journal);
    journal->length += journal_line_write(journal->text + journal->length, line);
}
