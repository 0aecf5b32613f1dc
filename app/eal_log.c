#include "eal_log.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rte_log.h>

struct eal_log {
    struct logger logger;
    FILE *log, *printed, *said; /* in the places of DPDK's log, of stdout and of stderr */
    FILE *real_stdout, *real_stderr;
    char complaint[200];
};

static void take_line(struct eal_log *log, enum log_level level, const char *bytes, size_t size,
                      bool complaint)
{
    static const char own_name[] = "wild: "; /* getopt's prefix; the final line has one too */
    int length = (int)(size > 0 && bytes[size - 1] == '\n' ? size - 1 : size);

    if (length >= (int)sizeof own_name && memcmp(bytes, own_name, sizeof own_name - 1) == 0) {
        bytes += sizeof own_name - 1;
        length -= (int)sizeof own_name - 1;
    }
    if (length <= 0)
        return;
    logger_line(&log->logger, level, "%.*s", length, bytes);
    if (complaint && log->complaint[0] == '\0')
        snprintf(log->complaint, sizeof log->complaint, "%.*s", length, bytes);
}

/* One write is one message of rte_log(), "LIBRARY: text\n". */
static ssize_t take_message(void *cookie, const char *bytes, size_t size)
{
    int level = rte_log_cur_msg_loglevel();

    /* After a critical one DPDK ends the process by itself: the last chance to say why. */
    take_line(cookie, level <= (int)RTE_LOG_CRIT ? LOG_LEVEL_ERROR : LOG_LEVEL_DEBUG, bytes, size,
              level <= (int)RTE_LOG_ERR);
    return (ssize_t)size;
}

static ssize_t take_said(void *cookie, const char *bytes, size_t size)
{
    take_line(cookie, LOG_LEVEL_DEBUG, bytes, size, true);
    return (ssize_t)size;
}

static ssize_t take_nothing(void *cookie, const char *bytes, size_t size)
{
    (void)cookie;
    (void)bytes;
    return (ssize_t)size;
}

static FILE *stream_to(struct eal_log *log, cookie_write_function_t *take)
{
    FILE *stream = fopencookie(log, "w", (cookie_io_functions_t){.write = take});

    if (stream != NULL)
        setvbuf(stream, NULL, _IOLBF, 4096);
    return stream;
}

static void close_streams(struct eal_log *log)
{
    FILE *const streams[] = {log->log, log->printed, log->said};

    for (unsigned i = 0; i < 3; i++)
        if (streams[i] != NULL)
            fclose(streams[i]);
    free(log);
}

struct eal_log *eal_log_open(const struct logger *logger)
{
    struct eal_log *log = calloc(1, sizeof *log);

    if (log == NULL)
        return NULL;
    log->logger = *logger;
    log->log = stream_to(log, take_message);
    log->printed = stream_to(log, take_nothing);
    log->said = stream_to(log, take_said);
    if (log->log == NULL || log->printed == NULL || log->said == NULL) {
        close_streams(log);
        return NULL;
    }
    rte_openlog_stream(log->log);
    return log;
}

void eal_log_close(struct eal_log *log)
{
    rte_openlog_stream(NULL);
    close_streams(log);
}

void eal_log_capture(struct eal_log *log)
{
    log->real_stdout = stdout;
    log->real_stderr = stderr;
    stdout = log->printed;
    stderr = log->said;
}

void eal_log_release(struct eal_log *log)
{
    stdout = log->real_stdout;
    stderr = log->real_stderr;
}

const char *eal_log_complaint(const struct eal_log *log)
{
    return log->complaint;
}
