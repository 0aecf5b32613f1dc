/*
 * log.h - lines for the operator, on stderr: `wild: LEVEL: text`. Control lcore and start-up only; workers
 * count instead of logging.
 */
#ifndef WILD_LOG_H
#define WILD_LOG_H

#include <stdio.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct logger {
    FILE *out; /* NULL: silence */
    enum log_level level;
};

/* Writes the line if `level` is within the logger's. The format has no newline. */
void logger_line(const struct logger *logger, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
