/*
 * commands.c - one operation per run, and how its outcome is shown.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "commands.h"

static void print_json(json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

/* A value is bytes; JSON strings are text. What is no UTF-8 is shown in hexadecimal under another name. */
static void json_add_value(json_t *object, const char *value, size_t length)
{
    json_t *text = json_stringn(value, length);
    if (text != NULL) {
        json_object_set_new(object, "value", text);
        return;
    }
    char hex[2 * WILD_VALUE_MAX + 1];
    for (size_t i = 0; i < length; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)value[i]);
    json_object_set_new(object, "value_hex", json_string(hex));
}

static int show_health(struct wild_client *client, const struct options *options)
{
    struct wild_health health;
    enum wild_status status = wild_health(client, &health);
    if (status != WILD_OK) {
        fprintf(stderr, "wild-client-example: health: %s\n", wild_status_text(status));
        return EXIT_FAILED;
    }
    if (options->json) {
        print_json(json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "mode", health.mode, "state",
                             health.state, "epoch", (json_int_t)health.epoch, "lsn", (json_int_t)health.lsn,
                             "items", (json_int_t)health.items, "capacity", (json_int_t)health.capacity,
                             "lines_used", (json_int_t)health.lines_used, "uptime_ms",
                             (json_int_t)health.uptime_ms));
    } else {
        printf("mode %s\nstate %s\nepoch %" PRIu32 "\nlsn %" PRIu64 "\nitems %" PRIu64 "\ncapacity %" PRIu64
               "\nlines_used %" PRIu64 "\nuptime_ms %" PRIu64 "\n",
               health.mode, health.state, health.epoch, health.lsn, health.items, health.capacity,
               health.lines_used, health.uptime_ms);
    }
    return strcmp(health.state, "serving") == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int show_result(const struct options *options, const struct wild_result *result)
{
    bool ok = result->status == WILD_OK, incr = options->command == COMMAND_INCR;
    if (options->json) {
        json_t *object =
            json_pack("{s:b, s:i, s:s, s:I, s:f}", "ok", ok, "status", (int)result->status, "text",
                      wild_status_text(result->status), "version", (json_int_t)result->version, "latency_us",
                      (double)result->latency_ns / 1e3);
        if (ok && options->command == COMMAND_GET)
            json_add_value(object, result->value, result->value_length);
        if (ok && incr)
            json_object_set_new(object, "integer", json_integer(result->integer));
        print_json(object);
    } else if (!ok) {
        fprintf(stderr, "wild-client-example: %s\n", wild_status_text(result->status));
    } else if (options->command == COMMAND_GET) {
        fwrite(result->value, 1, result->value_length, stdout);
        putchar('\n');
    } else if (incr) {
        printf("%" PRId64 "\n", result->integer);
    } else {
        puts("OK");
    }
    return ok ? EXIT_DONE : EXIT_FAILED;
}

int command_run(struct wild_client *client, const struct options *options)
{
    const char *key = options->argument[0], *value = options->argument[1];
    size_t key_length = key != NULL ? strlen(key) : 0;
    struct wild_result result = {0};
    switch (options->command) {
    case COMMAND_HEALTH:
        return show_health(client, options);
    case COMMAND_GET:
        wild_get(client, key, key_length, &result);
        break;
    case COMMAND_SET:
        wild_set(client, key, key_length, value, strlen(value), &options->write, &result);
        break;
    case COMMAND_DELETE:
        wild_delete(client, key, key_length, &options->write, &result);
        break;
    case COMMAND_INCR:
        wild_incr(client, key, key_length, options->delta, 0, &options->write, &result);
        break;
    case COMMAND_TOUCH:
        wild_touch(client, key, key_length, options->ttl_ms, &result);
        break;
    case COMMAND_FLUSH:
        wild_flush(client, &result);
        break;
    default:
        return EXIT_USAGE;
    }
    return show_result(options, &result);
}
