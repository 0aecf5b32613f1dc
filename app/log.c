#include "log.h"

#include <stdarg.h>

void logger_line(const struct logger *logger, enum log_level level, const char *format, ...)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    char text[512];
    va_list arguments;

    if (logger->out == NULL || level > logger->level)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* One call, so that lines of several threads do not mix. */
    fprintf(logger->out, "wild: %s: %s\n", names[level], text);
}
