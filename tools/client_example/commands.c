/*
 * commands.c - one operation per run, and how its outcome is shown.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "commands.h"

void print_json(json_t *object)
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

int command_run(const struct nodes *nodes, const struct options *options)
{
    static const enum wild_operation operations[] = {
        [COMMAND_GET] = WILD_OP_GET,   [COMMAND_SET] = WILD_OP_SET,     [COMMAND_DELETE] = WILD_OP_DELETE,
        [COMMAND_INCR] = WILD_OP_INCR, [COMMAND_TOUCH] = WILD_OP_TOUCH, [COMMAND_FLUSH] = WILD_OP_FLUSH,
    };
    const char *key = options->argument[0], *value = options->argument[1];
    char bytes[WILD_VALUE_MAX];
    struct wild_request request = {
        .operation = operations[options->command],
        .key = key,
        .key_length = key != NULL ? strlen(key) : 0,
        .delta = options->delta,
        .options = options->write,
    };
    if (options->command == COMMAND_SET) {
        request.value = value;
        request.value_length = strlen(value);
    }
    if (options->command == COMMAND_TOUCH)
        request.options = (struct wild_write_options){.ttl_ms = options->ttl_ms};
    struct wild_result result = {0};
    nodes_call(nodes, &request, bytes, &result);
    return show_result(options, &result);
}
